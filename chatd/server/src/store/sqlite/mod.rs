//! The store on SQLite: one writer thread with group commit, two reader threads, an append-only log that a folder follows.
//!
//! Opened by the server's assembly. The writer owns `World` and the writing connection; readers have
//! connections of their own. What the writer shares with them, and why not by messages: the places that are not folded
//! yet, and who is online, are read with every inbox page and every `whoelse`; a round trip through the writer's queue would
//! make them wait for the disk.

mod account;
mod apply;
mod fold;
mod operator;
mod people;
mod private;
mod reader;
mod schema;
mod space;
mod start;
mod waiting;
pub(crate) mod whole;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chat_proto::id::AccountName;
use chat_proto::limits::WRITER_QUEUE;
use chat_proto::machine::hello::Epochs;
use tokio::sync::{mpsc, oneshot};

use super::{AcctId, Contents, Gauges, Op, Outlet, Query, Settings, Store, StoreError};

use space::Room;

pub(crate) use schema::file;
pub(crate) use start::lock;

/// Reader threads: one long catch-up must not hold up a login.
const READERS: usize = 2;

/// Who is announced online, in the order of names, since when (wall clock).
type Online = BTreeMap<AccountName, (AcctId, i64)>;

/// What the writer and the readers both see.
#[derive(Debug, Default)]
struct Shared {
    /// Places behind the fold mark, by account, ascending. Written after commits, read by inbox pages.
    unfolded: Mutex<HashMap<AcctId, Vec<u64>>>,
    /// Who is online. Written after commits, read by `whoelse`.
    online: RwLock<Online>,
    /// Rises with everything that the writer has done.
    progress: AtomicU64,
    /// Log rows that wait for the folder, after the last round.
    behind: AtomicU64,
    /// The disk's room at the last round. Written by the writer, read by whoever looks.
    space: Mutex<Room>,
    /// Held until the last thread is gone: nobody else may open the database before.
    _lock: Option<File>,
}

/// The store on SQLite.
pub struct SqliteStore {
    dir: PathBuf,
    ops: mpsc::Sender<Op>,
    queries: std::sync::mpsc::Sender<Query>,
    shared: Arc<Shared>,
    epochs: Arc<Epochs>,
    failed: Mutex<Option<oneshot::Receiver<StoreError>>>,
}

impl SqliteStore {
    /// Opens the store in `dir` (made when absent), makes durable what is visible, raises the epoch, and starts its threads.
    ///
    /// `mono_ms` is the server's monotonic clock, `now_ms` its wall clock: accounts whose sessions were open when the server
    /// went down stay announced for a grace.
    pub fn open(
        dir: &Path,
        outlet: Arc<dyn Outlet>,
        settings: Settings,
        mono_ms: u64,
        now_ms: i64,
    ) -> Result<SqliteStore, StoreError> {
        let lock = start::lock(dir)?;
        let shared = Arc::new(Shared { _lock: Some(lock), ..Shared::default() });
        let begun = start::begin(dir, &shared, &settings, mono_ms, now_ms)?;
        let epochs = Arc::new(begun.epochs.clone());
        let (ops, ops_in) = mpsc::channel(WRITER_QUEUE);
        let (queries, queries_in) = std::sync::mpsc::channel();
        let (failing, failed) = oneshot::channel();
        reader::spawn(dir, READERS, queries_in, Arc::clone(&shared))?;
        writer::spawn(begun, settings, outlet, Arc::clone(&shared), ops_in, failing, (mono_ms, now_ms))
            .map_err(|error| StoreError::File { path: dir.to_owned(), error })?;
        Ok(SqliteStore { dir: dir.to_owned(), ops, queries, shared, epochs, failed: Mutex::new(Some(failed)) })
    }

    /// Resolves when the store cannot go on: the process must end with the code of a storage error. For one caller.
    pub async fn failed(&self) -> StoreError {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed {
            Some(failed) => match failed.await {
                Ok(error) => error,
                // The writer ended without an error: an orderly shutdown.
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

impl Store for SqliteStore {
    async fn submit(&self, op: Op) {
        // A closed queue drops the operation with its answer: the caller sees that the store is gone.
        let _ = self.ops.send(op).await;
    }

    fn query(&self, query: Query) {
        let _ = self.queries.send(query);
    }

    fn epochs(&self) -> Arc<Epochs> {
        Arc::clone(&self.epochs)
    }

    fn progress(&self) -> u64 {
        self.shared.progress.load(Ordering::Relaxed)
    }

    fn gauges(&self) -> Gauges {
        let space = *self.shared.space.lock().unwrap_or_else(PoisonError::into_inner);
        Gauges {
            waiting: (WRITER_QUEUE - self.ops.capacity()) as u64,
            online: self.shared.online.read().unwrap_or_else(PoisonError::into_inner).len() as u64,
            unfolded: self.shared.behind.load(Ordering::Relaxed),
            free: space.free,
            floor: space.floor,
            full: space.full,
        }
    }

    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        whole::copy(&self.dir, to)
    }

    fn contents(&self) -> Result<Contents, StoreError> {
        whole::contents(&schema::file(&self.dir))
    }

    fn faults(&self) -> Result<Vec<String>, StoreError> {
        whole::faults(&schema::file(&self.dir))
    }
}

#[cfg(test)]
mod tests;

//! The SQLite implementation of [`History`]: opening, checking, committing. Its reading side is `read.rs`, its changes `write.rs`.
//!
//! WAL with synchronous FULL, checkpointed before anything is served (contract E1); the bundled library only.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_local::directory::{Directory, OpenError};
use chat_proto::machine::hello::Epochs;
use chat_proto::machine::outbox::Entry;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};

use super::{
    Counts, Cursor, Done, Found, History, Hit, Outgoing, Place, Restored, Row, Search, Taken, Trouble, Unsure, Wanted,
    Write, cursor, hooks, private, read, schema, search, trace, write,
};
use crate::planted::planted;
use crate::world::World;
use chat_proto::id::{DeviceId, Incarnation, MessageId};

/// Name of the marker beside the database that asks the next start for a check of every page.
const SUSPECT: &str = "suspect";
/// KiB of page cache per connection: chatd is to stay small.
const CACHE_KIB: i32 = 1024;

/// Why a history cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenHistoryError {
    /// The directory or file is not safe to use.
    #[error(transparent)]
    Place(#[from] OpenError),
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A newer chatd wrote it: nothing of it is changed (S51).
    #[error("{}: it has form {found}, this chatd knows {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its form.
        found: i64,
        /// The newest form that this build knows.
        known: i64,
    },
    /// It cannot be brought to the form of this build.
    #[error("{}: {source}", path.display())]
    Schema {
        /// The database.
        path: PathBuf,
        /// What was wrong.
        source: Box<refinery::Error>,
    },
    /// Pages are damaged, or somebody else uses the database.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What the check said.
        what: String,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OpenHistoryError {
    /// Reading, writing or flushing failed, whatever was being done.
    pub fn is_storage(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = match self {
            OpenHistoryError::Sqlite { source, .. } => Some(source),
            OpenHistoryError::Schema { source, .. } => Some(&**source),
            OpenHistoryError::Place(_)
            | OpenHistoryError::Newer { .. }
            | OpenHistoryError::Damaged { .. }
            | OpenHistoryError::Thread(_) => None,
        };
        while let Some(error) = cause {
            let sqlite = error.downcast_ref::<rusqlite::Error>();
            if sqlite.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::SystemIoFailure) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// One connection to a profile's database.
pub struct Sqlite {
    connection: Connection,
    file: PathBuf,
    /// For the times that `trace` shows, and nothing else.
    world: World,
}

impl Sqlite {
    /// Opens the writing connection: makes file and tables where missing, checkpoints, and checks where a start before ended badly.
    pub fn open(file: &Path) -> Result<Sqlite, OpenHistoryError> {
        let (directory, name) = (file.parent().unwrap_or(Path::new(".")), file.file_name().unwrap_or_default());
        Directory::create(directory)?.open_file(&name.to_string_lossy(), true)?;
        // To open it for writing would alone move its log into it.
        let (found, known) = (schema::found(file).map_err(|source| at(file, source))?, schema::known());
        if found > known {
            return Err(OpenHistoryError::Newer { path: file.to_owned(), found, known });
        }
        let mut connection = connect(file).map_err(|source| at(file, source))?;
        if !planted("no-start-sync") {
            checkpoint(&connection, file)?;
        }
        let suspect = directory.join(SUSPECT);
        if suspect.exists() {
            quick_check(&connection, file)?;
            // Left behind, it costs the next start one more check.
            let _ = std::fs::remove_file(&suspect);
        }
        schema::migrate(&mut connection)
            .map_err(|source| OpenHistoryError::Schema { path: file.to_owned(), source: Box::new(source) })?;
        if !planted("no-start-sync") {
            checkpoint(&connection, file)?;
        }
        Ok(Sqlite { connection, file: file.to_owned(), world: World::real() })
    }

    /// Opens a further, reading connection to a database that [`Sqlite::open`] opened.
    pub fn reader(file: &Path) -> Result<Sqlite, OpenHistoryError> {
        let connection = connect(file).map_err(|source| at(file, source))?;
        connection.pragma_update(None, "query_only", true).map_err(|source| at(file, source))?;
        Ok(Sqlite { connection, file: file.to_owned(), world: World::real() })
    }

    /// Asks the next start to check every page. The process is about to end; that this may fail too changes nothing.
    pub fn mark_suspect(file: &Path) {
        if let Some(directory) = file.parent() {
            let _ = std::fs::write(directory.join(SUSPECT), "");
        }
    }

    fn try_commit(&mut self, batch: &[Write]) -> rusqlite::Result<Vec<Done>> {
        let at_ms = self.world.now_ms();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = batch.iter().map(|one| write::apply(&transaction, one, at_ms)).collect::<rusqlite::Result<_>>()?;
        transaction.commit()?;
        Ok(done)
    }
}

fn at(file: &Path, source: rusqlite::Error) -> OpenHistoryError {
    OpenHistoryError::Sqlite { path: file.to_owned(), source }
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(file.canonicalize().unwrap_or_else(|_| file.to_owned()), flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", if planted("no-flush") { "OFF" } else { "FULL" })?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// What a killed process left visible becomes durable here, before anybody is told of it (contract E1).
fn checkpoint(connection: &Connection, file: &Path) -> Result<(), OpenHistoryError> {
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|source| at(file, source))?;
    match busy {
        0 => Ok(()),
        _ => Err(OpenHistoryError::Damaged { path: file.to_owned(), what: "another process uses the database".into() }),
    }
}

fn quick_check(connection: &Connection, file: &Path) -> Result<(), OpenHistoryError> {
    let said: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|source| at(file, source))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(OpenHistoryError::Damaged { path: file.to_owned(), what: said }),
    }
}

/// A write that did not fit was undone whole; anything else leaves the disk unknown (contract E2).
fn trouble(error: rusqlite::Error, file: &Path) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Full,
        Some(ErrorCode::SystemIoFailure) if is_growth(&error) && over_quota(file) => Trouble::Full,
        _ => Trouble::Broken(error.to_string()),
    }
}

/// The system call that failed would have made a file larger.
fn is_growth(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE].contains(&code))
}

/// SQLite does not tell a quota that is used up from a broken disk; a file beside the database does.
fn over_quota(file: &Path) -> bool {
    /// Bytes: more than what is left where a page did not fit.
    const PROBE: usize = 64 << 10;
    let probe = file.with_extension("probe");
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&probe).and_then(|mut out| {
        out.write_all(&[0; PROBE])?;
        out.sync_all()
    });
    let _ = std::fs::remove_file(&probe);
    written.is_err_and(|error| error.kind() == ErrorKind::QuotaExceeded)
}

fn broken(error: rusqlite::Error) -> Trouble {
    Trouble::Broken(error.to_string())
}

impl History for Sqlite {
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Done>, Trouble> {
        let done = self.try_commit(batch).map_err(|error| trouble(error, &self.file));
        if done.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK").map_err(broken)?;
        }
        done
    }

    fn restore(&mut self) -> Result<Restored, Trouble> {
        read::restore(&self.connection).map_err(broken)
    }

    fn load(&mut self, places: &[Place]) -> Result<Vec<Outgoing>, Trouble> {
        read::load(&self.connection, places).map_err(broken)
    }

    fn forgotten(&mut self, incarnation: Incarnation, first: u64, last: u64) -> Result<Vec<Entry>, Trouble> {
        read::forgotten(&self.connection, incarnation, first, last).map_err(broken)
    }

    fn lost(&mut self, epochs: &Epochs) -> Result<Vec<Unsure>, Trouble> {
        read::lost(&self.connection, epochs).map_err(broken)
    }

    fn taken(&mut self, device: DeviceId, named: &[Incarnation], account: &str) -> Result<Vec<Taken>, Trouble> {
        private::taken(&self.connection, device, named, account).map_err(broken)
    }

    fn page(&mut self, wanted: &Wanted) -> Result<(Vec<Row>, Option<u64>), Trouble> {
        read::page(&self.connection, wanted).map_err(broken)
    }

    fn peers(&mut self, prefix: &str, limit: u32) -> Result<Vec<String>, Trouble> {
        read::peers(&self.connection, prefix, limit).map_err(broken)
    }

    fn search(&mut self, search: &Search) -> Result<(Vec<Hit>, Option<u64>), Trouble> {
        search::search(&self.connection, search).map_err(broken)
    }

    fn conversations(&mut self, unread: bool, limit: u32) -> Result<Vec<(String, u64, Row)>, Trouble> {
        read::conversations(&self.connection, unread, limit).map_err(broken)
    }

    fn unread(&mut self, peer: Option<&str>) -> Result<Vec<(String, u64)>, Trouble> {
        read::unread(&self.connection, peer).map_err(broken)
    }

    fn find(&mut self, text: &str) -> Result<Found, Trouble> {
        read::find(&self.connection, text).map_err(broken)
    }

    fn row(&mut self, index: u64) -> Result<Option<Row>, Trouble> {
        read::row(&self.connection, index).map_err(broken)
    }

    fn outbox(&mut self, limit: u32) -> Result<Vec<Row>, Trouble> {
        read::outbox(&self.connection, limit).map_err(broken)
    }

    fn cursors(&mut self) -> Result<Vec<Cursor>, Trouble> {
        cursor::list(&self.connection).map_err(broken)
    }

    fn before(&mut self, index: u64) -> Result<Option<MessageId>, Trouble> {
        read::before(&self.connection, index).map_err(broken)
    }

    fn head(&mut self) -> Result<u64, Trouble> {
        read::head(&self.connection).map_err(broken)
    }

    fn counts(&mut self) -> Result<Counts, Trouble> {
        read::counts(&self.connection).map_err(broken)
    }

    fn awaited(&mut self, limit: usize) -> Result<Vec<String>, Trouble> {
        read::awaited(&self.connection, limit).map_err(broken)
    }

    fn times(&mut self, index: u64) -> Result<Option<trace::Times>, Trouble> {
        trace::times(&self.connection, index).map_err(broken)
    }

    fn hooks(&mut self) -> Result<Vec<hooks::HookState>, Trouble> {
        hooks::states(&self.connection).map_err(broken)
    }

    fn letters(&mut self) -> Result<(Vec<hooks::Letter>, u64), Trouble> {
        hooks::letters(&self.connection).map_err(broken)
    }

    fn arrivals(&mut self, after: u64, limit: usize) -> Result<(Vec<hooks::Arrival>, u64), Trouble> {
        hooks::arrivals(&self.connection, after, limit).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::NewMessage;

    fn queue(size: usize, key: &str) -> Write {
        Write::Queue(NewMessage {
            key: key.into(),
            kind: 1,
            from: "alice".into(),
            to: "bob".into(),
            content_type: "text/plain".into(),
            body: vec![b'x'; size].into(),
            h: [0; 32],
            at_ms: 0,
            device: DeviceId([1; 16]),
            incarnation: Incarnation(1),
            peer: None,
        })
    }

    #[test]
    fn a_full_disk_takes_nothing_of_the_batch_and_goes_on_later() {
        let home = tempfile::tempdir().expect("a directory");
        let mut history = Sqlite::open(&home.path().join("work/chat.db")).expect("opened");
        let pages: i64 = history.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("counted");
        let limit = |history: &Sqlite, pages: i64| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            history.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).expect("limited");
        };
        limit(&history, pages);
        let full = history.commit(&[queue(10, "small"), queue(60_000, "large")]);
        assert!(matches!(full, Err(Trouble::Full)), "{full:?}");
        assert_eq!(history.head().expect("read"), 0);
        limit(&history, 100_000);
        assert!(matches!(history.commit(&[queue(60_000, "large")]).expect("committed")[..], [Done::Queued { .. }]));
    }
}

//! The listening side of the control socket: chatd makes one at its start and takes connections of its own user from it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat_proto::limits;
use interprocess::local_socket::tokio::{self as local, prelude::*};
use tokio::sync::Semaphore;

use crate::connection::Connection;
use crate::endpoint::{Unfit, fits};
use crate::lock::Lock;
use crate::system;

/// Why the control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another chatd of this home lives.
    #[error("chatd is already running: another process holds {}", lock.display())]
    AlreadyRunning {
        /// The lock that it holds.
        lock: PathBuf,
    },
    /// A directory or the lock file is there and must not be used; the text names owner, mode and rule.
    #[error(transparent)]
    BadDirectory(crate::directory::Unsafe),
    /// No such path can be a control socket.
    #[error(transparent)]
    BadPath(#[from] Unfit),
    /// Something that is no dead socket of ours has the name.
    #[error("{} is taken by {by}; it is not removed", path.display())]
    Occupied {
        /// The socket's path.
        path: PathBuf,
        /// What is there.
        by: &'static str,
    },
    /// Another user made what has the name.
    #[error("{} belongs to uid {owner}; it is not removed", path.display())]
    ForeignSocket {
        /// The socket's path.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The descriptor handed over is no listening local socket.
    #[error("the descriptor handed over is not a listening local socket")]
    NotListening,
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }
}

impl From<crate::directory::OpenError> for BindError {
    fn from(error: crate::directory::OpenError) -> Self {
        use crate::directory::OpenError;
        match error {
            OpenError::Unsafe(broken) => Self::BadDirectory(broken),
            OpenError::Io { path, source } => Self::Io { doing: "open", path, source },
        }
    }
}

/// A peer of another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) uid: Option<u32>,
}

/// A listening control socket. Dropping it removes the socket's name and then gives up the lock.
#[derive(Debug)]
pub struct Listener {
    // Fields are dropped in this order: the name goes while the lock is held.
    _place: Option<system::Place>,
    inner: local::Listener,
    seats: Arc<Semaphore>,
    _lock: Lock,
}

/// Takes the lock of `state_dir` and listens at `path`. Must be called within a tokio runtime.
pub fn bind(path: &Path, state_dir: &Path) -> Result<Listener, BindError> {
    fits(path)?;
    Lock::take(state_dir)?.bind(path)
}

impl Lock {
    /// Listens at `path`; a dead socket of ours in the way is removed. Must be called within a tokio runtime.
    pub fn bind(self, path: &Path) -> Result<Listener, BindError> {
        fits(path)?;
        let (inner, place) = system::listen(path)?;
        Ok(Listener::new(inner, place, self))
    }

    /// Removes a dead socket of ours at `path`, so that somebody else can listen there; a living one is [`BindError::Occupied`].
    pub fn sweep(&self, path: &Path) -> Result<(), BindError> {
        system::sweep(path)
    }

    /// Listens on a socket that the service manager made and handed over (LISTEN_FDS). Its name is the manager's and stays. Must
    /// be called within a tokio runtime.
    #[cfg(unix)]
    pub fn adopt(self, socket: std::os::fd::OwnedFd) -> Result<Listener, BindError> {
        let inner = system::adopt(socket)?;
        Ok(Listener::new(inner, None, self))
    }
}

impl Listener {
    fn new(inner: local::Listener, place: Option<system::Place>, lock: Lock) -> Self {
        let seats = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS));
        Self { _place: place, inner, seats, _lock: lock }
    }

    /// The next connection of our own user. Peers of others are closed without a byte (S33). While all seats are taken the next
    /// one waits in the backlog; a seat is free again when its connection is dropped. Safe to cancel.
    pub async fn accept(&self) -> io::Result<Connection> {
        let seat = self.seats.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            let stream = self.accept_any().await;
            match system::check_client(&stream) {
                Ok(Ok(())) => return Ok(Connection::seated(stream, seat)),
                Ok(Err(refusal)) => tracing::warn!(uid = refusal.uid, "refused another user on the control socket"),
                Err(error) => {
                    tracing::debug!(%error, "a control connection ended before it was looked at")
                }
            }
        }
    }

    /// Without descriptors or memory the system refuses for a while: waiting beats a busy loop, and nobody is lost in the backlog.
    async fn accept_any(&self) -> local::Stream {
        let mut wait = Duration::from_millis(10);
        loop {
            match self.inner.accept().await {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control connection");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(ACCEPT_WAIT_MAX);
                }
            }
        }
    }
}

/// Longest wait between two tries to accept: an interactive command should not notice.
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);

#[cfg(all(test, unix))]
#[path = "listener_tests.rs"]
mod tests;

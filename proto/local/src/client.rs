//! The dialling side of the control socket: chatctl (and a second chatd that asks whether one lives) comes through here.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::endpoint::{Unfit, fits};
use crate::system;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nothing listens there.
    #[error("chatd is not running")]
    NotRunning,
    /// Another user made the socket or listens on it: nothing was said to him (S35).
    #[error("the control socket belongs to {}, not to you", who(*uid))]
    ForeignOwner {
        /// His uid, where the system says it.
        uid: Option<u32>,
    },
    /// The socket's directory is not private; the text names owner, mode and rule.
    #[error(transparent)]
    BadDirectory(#[from] crate::directory::Unsafe),
    /// No such path can be a socket.
    #[error(transparent)]
    BadPath(#[from] Unfit),
    /// The deadline passed; chatd may be stopped or have all its seats taken.
    #[error("chatd did not answer in time")]
    TimedOut,
    /// The system refused.
    #[error("cannot connect to chatd: {0}")]
    Io(#[from] io::Error),
}

fn who(uid: Option<u32>) -> String {
    uid.map_or_else(|| "another user".to_owned(), |uid| format!("uid {uid}"))
}

/// Connects to the chatd at `path`. Its directory, its socket and its process must be of our user; the latter is asked of the
/// system after connecting and before a byte is sent. Safe to cancel.
pub async fn connect(path: &Path, deadline: Instant) -> Result<Connection, DialError> {
    fits(path)?;
    system::check_before_dial(path)?;
    let dialled = timeout_at(deadline, dial(path)).await;
    let stream = dialled.map_err(|_| DialError::TimedOut)??;
    match system::check_server(&stream)? {
        Ok(()) => Ok(Connection::over(stream)),
        Err(refusal) => Err(DialError::ForeignOwner { uid: refusal.uid }),
    }
}

/// Where the backlog is full, someone lives there and may take us later.
async fn dial(path: &Path) -> Result<system::Dialled, DialError> {
    let mut wait = Duration::from_millis(5);
    loop {
        if let Some(stream) = system::dial(path).await? {
            return Ok(stream);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(REDIAL_WAIT_MAX);
    }
}

/// Longest wait between two tries: a user at a terminal should not notice.
const REDIAL_WAIT_MAX: Duration = Duration::from_millis(200);

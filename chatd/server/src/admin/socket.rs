//! The admin socket: how verbs reach the running server. Whoever may open the socket (its owner and its group) may ask; who did,
//! for what, and how it ended is in the audit log. What can be asked is in `call`.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_proto::limits::{ADMIN_CONNECTIONS, CONTROL_LINE_MAX, CONTROL_STALL};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Caller, Desk, call};
use crate::StartError;
use crate::files::FileError;
use crate::store::Store;

/// Bytes of a socket's path that the system takes: `sun_path` less the closing NUL.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Listens at `path`, for owner and group. The caller holds the store's lock, so what is in the way is dead. The socket gets
/// its mode under another name: there is no moment in which others may open it.
pub fn listen(path: &Path) -> Result<UnixListener, StartError> {
    let fresh = path.with_extension("new");
    let make = || {
        // The system's own words for it speak of no number and no place.
        fits(&fresh).map_err(|long| io::Error::other(format!("{long}; admin.socket names another place")))?;
        remove(&fresh)?;
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o660))?;
        std::fs::rename(&fresh, path)?;
        Ok(listener)
    };
    make().map_err(|error| FileError::Io { path: path.to_owned(), error }.into())
}

/// Whether the system takes a socket's path of this length.
pub(super) fn fits(path: &Path) -> Result<(), String> {
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(format!("a socket's path has at most {SOCKET_PATH_MAX} bytes, and this one has {length}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Answers until dropped.
pub async fn serve<S: Store>(listener: UnixListener, desk: Desk<S>) {
    let desk = Arc::new(desk);
    let seats = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    // What went wrong on the way is the caller's to see.
                    let _ = converse(stream, &desk).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the admin socket");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// One caller: a request, its answer, and so on. Who is too slow is dropped.
async fn converse<S: Store>(stream: UnixStream, desk: &Desk<S>) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let caller = tokio::task::spawn_blocking(move || Caller::of(uid)).await?;
    let mut stream = BufReader::new(stream);
    let mut line = Zeroizing::new(Vec::new());
    let mut before = String::new();
    loop {
        line.clear();
        let mut bounded = (&mut stream).take(CONTROL_LINE_MAX as u64);
        if timeout(CONTROL_STALL, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let answered = call::dispatch(desk, &line).await;
        desk.note(&caller, &mut before, &answered.method, &answered.about, answered.refused.as_ref());
        timeout(CONTROL_STALL, stream.get_mut().write_all(&answered.line)).await??;
    }
}

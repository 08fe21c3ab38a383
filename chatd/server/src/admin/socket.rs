//! The admin socket: how verbs reach the running server. A line of JSON asks, lines of JSON answer. Whoever may open the
//! socket (its owner and its group) may ask; who did is in the log.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_proto::limits;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::user::Row;
use crate::StartError;
use crate::files::FileError;
use crate::store::{Query, Store};

/// Connections at once: operators and their scripts.
const CONNECTIONS: usize = 16;
/// Bytes of a request line.
const LINE_MAX: u64 = 4096;

/// What may be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Request {
    /// All accounts.
    UserList,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// All accounts.
    Users(Vec<Row>),
    /// The request makes no sense here.
    Error(String),
}

/// Listens at `path`, for owner and group. The caller holds the store's lock, so what is in the way is dead. The socket gets
/// its mode under another name: there is no moment in which others may open it.
pub fn listen(path: &Path) -> Result<UnixListener, StartError> {
    let fresh = path.with_extension("new");
    let make = || {
        remove(&fresh)?;
        let listener = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o660))?;
        std::fs::rename(&fresh, path)?;
        Ok(listener)
    };
    make().map_err(|error| FileError::Io { path: path.to_owned(), error }.into())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Answers until dropped.
pub async fn serve<S: Store>(listener: UnixListener, store: Arc<S>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    // Who is too slow is dropped; what went wrong is his to see.
                    let _ = timeout(limits::CONTROL_STALL, converse(stream, &*store)).await;
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

async fn converse<S: Store>(stream: UnixStream, store: &S) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(LINE_MAX).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => {
            tracing::info!(uid, ?request, "admin");
            answer(request, store).await
        }
        Err(error) => Reply::Error(error.to_string()),
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    stream.get_mut().write_all(&text).await?;
    stream.get_mut().shutdown().await
}

async fn answer<S: Store>(request: Request, store: &S) -> Reply {
    match request {
        Request::UserList => {
            let (answer, users) = oneshot::channel();
            store.query(Query::Users(answer));
            match users.await {
                Ok(users) => Reply::Users(users.into_iter().map(Row::from).collect()),
                Err(_) => Reply::Error("the server is stopping".into()),
            }
        }
    }
}

/// Asks the running server; `None` when none runs.
pub async fn ask(path: &Path, request: Request) -> io::Result<Option<Reply>> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    Ok(Some(serde_json::from_slice(&text)?))
}

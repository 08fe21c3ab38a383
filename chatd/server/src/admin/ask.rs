//! How a verb gets its answer: from the running server, or from the store of a stopped one. Called by the program's commands.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_proto::fault::Code;
use nix::unistd::{Gid, Group, Uid, User};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::call::{Reply, Request};
use super::{Call, Caller, Desk, Refusal};
use crate::StartError;
use crate::config::Config;
use crate::store::sqlite::SqliteStore;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No server runs, and the verb is about what runs.
    #[error("the server is not running: nothing answers at {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket is not for this user.
    #[error("you may not ask the server: {} is for {}", path.display(), allowed.as_ref().map_or("others", Allowed::whom))]
    Denied {
        /// The socket.
        path: PathBuf,
        /// For whom it is, where that can be seen.
        allowed: Option<Allowed>,
    },
    /// The running server is older than this program.
    #[error("the running server does not know this: it is older than this chat-server ({})", env!("CARGO_PKG_VERSION"))]
    Older,
    /// It answered with a refusal.
    #[error("{}", refusal.code.name())]
    Refused {
        /// What was asked: [`Call::METHOD`].
        method: &'static str,
        /// Why not.
        refusal: Refusal,
    },
    /// It did not answer in time.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It went away, or what listens there is no chat-server.
    #[error("the server at {} broke off: {error}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The store of the stopped server cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// For whom a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Members of this group.
    Group(String),
    /// This user.
    User(String),
}

impl Allowed {
    fn whom(&self) -> &str {
        match self {
            Allowed::Group(name) | Allowed::User(name) => name,
        }
    }

    /// The option of sudo that makes one of them.
    pub fn sudo(&self) -> String {
        match self {
            Allowed::Group(name) => format!("sudo -g {name}"),
            Allowed::User(name) => format!("sudo -u {name}"),
        }
    }

    /// Looks at the socket, or at the nearest directory above it that may be looked at.
    pub fn of(path: &Path) -> Option<Allowed> {
        let meta = path.ancestors().find_map(|path| std::fs::metadata(path).ok())?;
        let group = Group::from_gid(Gid::from_raw(meta.gid())).ok().flatten();
        if let Some(group) = group.filter(|_| meta.gid() != 0 && meta.permissions().mode() & 0o040 != 0) {
            return Some(Allowed::Group(group.name));
        }
        let user = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten()?;
        Some(Allowed::User(user.name))
    }
}

/// Asks the running server; without one, where the call needs none, the store.
pub async fn ask<C: Call>(config: &Config, call: C) -> Result<C::Reply, AskError> {
    let mut talk = Talk::open(config, C::LIVE).await?;
    let answered = talk.ask(call).await;
    talk.close().await;
    answered
}

/// A conversation with whoever can answer: the running server, or the store of a stopped one, which it locks until it is closed.
pub enum Talk {
    /// With the server.
    Server(Line),
    /// With nobody: calls are answered here.
    Alone {
        /// The place to answer at.
        desk: Desk<SqliteStore>,
        /// Who asks.
        caller: Caller,
        /// What was asked last, for the audit log.
        before: String,
    },
}

impl Talk {
    /// Begins one; `live` says that only a running server will do.
    pub async fn open(config: &Config, live: bool) -> Result<Talk, AskError> {
        match Line::open(&config.admin_socket).await? {
            Some(line) => Ok(Talk::Server(line)),
            None if live => Err(AskError::NotRunning(config.admin_socket.clone())),
            None => {
                let desk = crate::offline(config).await?;
                Ok(Talk::Alone { desk, caller: Caller::own(), before: String::new() })
            }
        }
    }

    /// Asks and waits for the answer.
    pub async fn ask<C: Call>(&mut self, call: C) -> Result<C::Reply, AskError> {
        let (desk, caller, before) = match self {
            Talk::Server(line) => return line.ask(&call).await,
            Talk::Alone { desk, caller, before } => (desk, caller, before),
        };
        let about = call.about();
        let answered = call.answer(desk).await;
        desk.note(caller, before, C::METHOD, &about, answered.as_ref().err());
        answered.map_err(|refusal| AskError::Refused { method: C::METHOD, refusal })
    }

    /// Ends it: what was changed is on the disk, and the store is free.
    pub async fn close(self) {
        if let Talk::Alone { desk, .. } = self {
            crate::close_desk(desk).await;
        }
    }
}

/// A connection to the running server, for one question after another.
pub struct Line {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Line {
    /// Connects; nothing when no server runs.
    pub async fn open(path: &Path) -> Result<Option<Line>, AskError> {
        // Nobody can listen at such a place.
        if super::socket::fits(path).is_err() {
            return Ok(None);
        }
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Some(Line { path: path.to_owned(), stream: BufReader::new(stream) })),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                io::ErrorKind::PermissionDenied => {
                    Err(AskError::Denied { path: path.to_owned(), allowed: Allowed::of(path) })
                }
                _ => Err(AskError::Broken { path: path.to_owned(), error }),
            },
        }
    }

    /// Asks and waits for the answer.
    pub async fn ask<C: Call>(&mut self, call: &C) -> Result<C::Reply, AskError> {
        let answered = timeout(C::WITHIN, self.exchange(call)).await.map_err(|_| AskError::Silent(C::WITHIN))?;
        match answered.map_err(|error| self.broken(error))? {
            Reply::Result(reply) => Ok(reply),
            Reply::Error(refusal) if refusal.code == Code::UNSUPPORTED => Err(AskError::Older),
            Reply::Error(refusal) => Err(AskError::Refused { method: C::METHOD, refusal }),
        }
    }

    async fn exchange<C: Call>(&mut self, call: &C) -> io::Result<Reply<C::Reply>> {
        let request = Request { method: C::METHOD, params: call };
        let mut line = Zeroizing::new(serde_json::to_vec(&request)?);
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await?;
        let mut answer = Vec::new();
        if self.stream.read_until(b'\n', &mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Waits until the server is gone.
    pub async fn ended(&mut self, within: Duration) -> Result<(), AskError> {
        let mut rest = Vec::new();
        match timeout(within, self.stream.read_until(b'\n', &mut rest)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(AskError::Silent(within)),
        }
    }

    fn broken(&self, error: io::Error) -> AskError {
        AskError::Broken { path: self.path.clone(), error }
    }
}

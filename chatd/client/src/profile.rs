//! A profile: an account on a server. One owner task has its outbox, inbox follower and link; others hold a [`Profile`] and ask.
//!
//! Control handlers ask the owner to change something, and the history's reader for anything that is only looked at.

mod file;
mod incoming;
mod login;
mod outgoing;
mod owner;
mod private;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_process::watchdog::Workers;
use chat_proto::control::ErrorData;
use chat_proto::control::account::{Ended, LinkState, LoggedOut, Problem};
use chat_proto::control::events::Event;
use chat_proto::control::message::{Sent, State};
use chat_proto::control::private::{PrivateRequest, PrivateSession, Stopped, Verification};
use chat_proto::fault::Code;
use chat_proto::id::Fingerprint;
use chat_proto::limits::CONTROL_EVENTS;
use chat_proto::method::Tag4;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::book::Book;
use crate::config;
use crate::history::sqlite::{OpenHistoryError, Sqlite};
use crate::history::thread::{OnBroken, Reader, Writer};
use crate::history::{Done, History as _, Place, Trouble, Write};
use crate::hooks::{self, Hooks};
use crate::keys::KeyFileError;
use crate::pins::PeerPins;
use crate::runner::Opener;
use crate::trust::TrustStore;
use crate::upstream::Credentials;
use crate::world::World;

pub use private::{AcceptAsk, StartAsk, no_session};

/// An answer that may be a refusal meant for chatctl.
pub type Answer<T> = Result<T, Box<ErrorData>>;

pub use file::FileAsk;

/// Requests that wait for an owner: as many as there are control connections.
const ASKS: usize = chat_proto::limits::CONTROL_CONNECTIONS;

/// What a profile needs from the assembly.
#[derive(Clone)]
pub struct Surroundings {
    /// Remembered profiles.
    pub book: Arc<Book>,
    /// Known servers.
    pub trust: Arc<TrustStore>,
    /// Clocks and randomness.
    pub world: World,
    /// State directory.
    pub state: PathBuf,
    /// This host's name: the device's name where none is given.
    pub host: String,
    /// Keys of peers.
    pub pins: Arc<PeerPins>,
    /// Private sessions.
    pub private: crate::config::Private,
    /// Tell senders what was read.
    pub send_read: bool,
    /// Programs that run when something happens.
    pub hooks: Arc<hooks::Setup>,
    /// Opens files that are sent.
    pub opener: Opener,
    /// What happens to files that come.
    pub files: Arc<config::Files>,
    /// What `~` means.
    pub home: PathBuf,
    /// Called once when storage failed.
    pub broken: OnBroken,
    /// Threads that a watchdog looks at.
    pub workers: Workers,
    /// Random per chatd start.
    pub run: u64,
}

/// Why a profile cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenProfileError {
    /// Its history.
    #[error(transparent)]
    History(#[from] OpenHistoryError),
    /// What the history says.
    #[error(transparent)]
    Content(#[from] Trouble),
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OpenProfileError {
    /// The disk is not to be believed: the process must end, its next start looks at what is there (contract E2).
    pub fn is_storage(&self) -> bool {
        match self {
            OpenProfileError::History(error) => error.is_storage(),
            OpenProfileError::Content(trouble) => matches!(trouble, Trouble::Broken(_)),
            OpenProfileError::Key(_) | OpenProfileError::Thread(_) => false,
        }
    }
}

/// What `status` shows, kept up to date by the owner.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Account; empty when there is none yet.
    pub user: String,
    /// Server as typed.
    pub server: String,
    /// This device's name.
    pub device: String,
    /// The server keeps the case of names.
    pub classic: bool,
    /// State of the link.
    pub link: LinkState,
    /// Since when.
    pub since_ms: i64,
    /// Last measured round trip.
    pub rtt_ms: Option<u64>,
    /// Why the last try failed.
    pub cause: Option<Problem>,
    /// When the next try is.
    pub retry_at: Option<Instant>,
    /// Why the login ended.
    pub ended: Option<Ended>,
    /// The server program's version.
    pub server_version: Option<String>,
    /// What needs the user.
    pub problems: Vec<Problem>,
    /// Messages without a verdict.
    pub queued: usize,
    /// Private requests of others that wait for an answer.
    pub requests: usize,
    /// Private sessions.
    pub sessions: usize,
}

/// One event with its place in the history, 0 where it has none.
#[derive(Clone, Debug)]
pub struct Published {
    /// Place.
    pub index: u64,
    /// What happened.
    pub event: Event,
}

/// A login or registration.
pub struct LoginAsk {
    /// Account as typed.
    pub user: String,
    /// Server as typed.
    pub server: String,
    /// How.
    pub credentials: Credentials,
    /// The device's name.
    pub device: Option<String>,
    /// Trust this key.
    pub trust: Option<Fingerprint>,
    /// Authorities in PEM.
    pub ca: Option<String>,
    /// The history is empty: another account may move in.
    pub empty: bool,
    /// Give up after this long.
    pub within: Duration,
}

/// A message to queue.
pub struct SendAsk {
    /// Recipient; empty for a broadcast.
    pub to: String,
    /// Kind on the wire.
    pub kind: u32,
    /// Content type.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// The sender's key.
    pub key: String,
    /// How far to wait.
    pub wait: State,
    /// Refuse when not online.
    pub no_queue: bool,
}

/// A message that is on the disk.
pub struct Queued {
    /// What holds now.
    pub progress: Progress,
    /// Its place in the history.
    pub index: u64,
    /// Tells more once the goal is reached or cannot be reached now; nothing when there is nothing to wait for.
    pub more: Option<oneshot::Receiver<Progress>>,
}

/// How far a message got.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What its sender is told.
    pub sent: Sent,
    /// Why it failed.
    pub code: Option<Code>,
    /// When a new message may be taken.
    pub retry_after_ms: Option<u64>,
}

/// What an owner is asked.
pub enum Ask {
    /// Log in.
    Login(Box<LoginAsk>, oneshot::Sender<Answer<()>>),
    /// Log out.
    Logout {
        /// Other devices too.
        all_devices: bool,
        /// Although messages wait.
        force: bool,
        /// Wait for the server so long.
        within: Duration,
        /// The answer.
        reply: oneshot::Sender<Answer<LoggedOut>>,
    },
    /// Queue a message.
    Send(Box<SendAsk>, oneshot::Sender<Answer<Queued>>),
    /// Queue a private text.
    Private(Box<SendAsk>, oneshot::Sender<Answer<Queued>>),
    /// Ask somebody for a private session; answered when the server took it.
    Startprivate(Box<StartAsk>, oneshot::Sender<Answer<PrivateRequest>>),
    /// Tell when the own request with this id is over.
    AwaitRequest(String, oneshot::Sender<Answer<PrivateRequest>>),
    /// Open private requests.
    Requests(oneshot::Sender<Answer<Vec<PrivateRequest>>>),
    /// Accept somebody's request; answered when the session is open.
    Accept(Box<AcceptAsk>, oneshot::Sender<Answer<PrivateSession>>),
    /// Decline it.
    Decline(String, oneshot::Sender<Answer<PrivateRequest>>),
    /// End the session with somebody, or all.
    Stopprivate(Option<String>, oneshot::Sender<Answer<Stopped>>),
    /// Private sessions.
    Sessions(oneshot::Sender<Answer<Vec<PrivateSession>>>),
    /// The code of the session with somebody; with `true` it was compared.
    Verify(String, bool, oneshot::Sender<Answer<Verification>>),
    /// The user did something that the server does not see.
    Active,
    /// Tell when a message got so far.
    Wait {
        /// Its place in the history.
        index: u64,
        /// How far.
        goal: State,
        /// What holds now.
        now: Progress,
        /// The answer.
        reply: oneshot::Sender<Progress>,
    },
    /// Ask the server.
    Server {
        /// The method.
        method: Tag4,
        /// The encoded body.
        body: Bytes,
        /// The answer's body.
        reply: oneshot::Sender<Answer<Bytes>>,
    },
    /// These rows were shown.
    MarkRead(Vec<u64>, oneshot::Sender<Answer<()>>),
    /// These failures were shown.
    Looked(Vec<u64>),
    /// These people were seen: their names are offered for completion.
    Saw(Vec<String>),
    /// People seen lately.
    Seen(oneshot::Sender<Answer<Vec<String>>>),
    /// Give up the message at this place; answered once that is on the disk, or at once when its verdict came before.
    Cancel(Place, oneshot::Sender<Answer<()>>),
    /// Try to connect now; answers whether that is worth waiting for.
    Try(oneshot::Sender<Answer<bool>>),
    /// Write something down that nobody here has a part in.
    Keep(Write, oneshot::Sender<Answer<Done>>),
    /// Something about files within private sessions.
    File(FileAsk),
    /// Try to connect now.
    Hurry,
    /// End; everything taken is committed first.
    Close,
}

/// A handle on a profile; cheap to clone.
#[derive(Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The history, to look at.
    pub reader: Reader,
    /// Its hooks, where it has any.
    pub hooks: Option<Hooks>,
    asks: mpsc::Sender<Ask>,
    view: watch::Receiver<View>,
    events: broadcast::WeakSender<Arc<Published>>,
}

impl Profile {
    /// Opens the history and starts the owner. Blocks on the disk.
    pub fn start(
        name: &str,
        file: &std::path::Path,
        surroundings: Surroundings,
        connect: bool,
    ) -> Result<(Profile, JoinHandle<()>), OpenProfileError> {
        let opened = Sqlite::open(file).map_err(OpenProfileError::from);
        let restored = opened.and_then(|mut history| {
            let restored = history.restore()?;
            let begun = hooks::begin(&surroundings.hooks, name, &mut history, surroundings.world)?;
            Ok((restored, begun, history))
        });
        let (restored, begun, history) = restored.inspect_err(|error| {
            if error.is_storage() {
                Sqlite::mark_suspect(file);
                (surroundings.broken)(error.to_string());
            }
        })?;
        let suspect = file.to_owned();
        let broken = Arc::clone(&surroundings.broken);
        let on_broken: OnBroken = Arc::new(move |text| {
            Sqlite::mark_suspect(&suspect);
            broken(text);
        });
        let (writer, results, written) = Writer::start(name, history, on_broken, surroundings.workers.begin())?;
        let (reader, read) = Reader::start(name, Sqlite::reader(file)?)?;
        let (asks, asked) = mpsc::channel(ASKS);
        let (events, _) = broadcast::channel(CONTROL_EVENTS);
        let (weak, happening) = (events.downgrade(), events.subscribe());
        let (setup, world) = (Arc::clone(&surroundings.hooks), surroundings.world);
        let files = crate::file::Setup::new(&surroundings.files, &surroundings.home, file);
        let owner = owner::Owner::new(name, surroundings, writer, reader.clone(), restored, files, events)?;
        let (owner, view) = owner;
        let hooks = begun.map(|begun| {
            let (reader, owner, views) = (reader.clone(), asks.clone(), view.clone());
            let around =
                hooks::Around { profile: name.to_owned(), setup, world, reader, owner, events: happening, views };
            Hooks::start(begun, around)
        });
        let closing = reader.clone();
        let task = tokio::spawn(async move {
            owner.run(asked, results, connect).await;
            closing.close().await;
            // A broken thread ends without a word, and the process with it.
            let _ = (written.await, read.await);
        });
        Ok((Profile { name: name.to_owned(), reader, hooks, asks, view, events: weak }, task))
    }

    /// What `status` shows.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// The view as it changes.
    pub fn views(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Events from now on; nothing once the owner has ended.
    pub fn follow(&self) -> Option<broadcast::Receiver<Arc<Published>>> {
        Some(self.events.upgrade()?.subscribe())
    }

    /// Ends hooks and owner once what they took is committed.
    pub async fn close(&self) {
        if let Some(hooks) = &self.hooks {
            hooks.close().await;
        }
        // One that has ended is as good.
        let _ = self.tell(Ask::Close).await;
    }

    /// Hands something to the owner.
    pub async fn tell(&self, ask: Ask) -> Answer<()> {
        self.asks.send(ask).await.map_err(|_| stopping())
    }

    /// Asks the owner and waits for its answer.
    pub async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<Answer<T>>) -> Ask) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(ask(reply)).await?;
        answer.await.map_err(|_| stopping())?
    }
}

fn stopping() -> Box<ErrorData> {
    Box::new(Code::DAEMON_STOPPING.into())
}

//! The gateway: everything between the network and the store. Owns the listener loop, who may be here at all, and what every
//! connection shares. Started by the assembly, once per listener.

mod directory;
mod handshake;
mod mailbox;
mod probe;
mod session;
mod strangers;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chat_link::ServerIdentity;
use chat_process::shutdown::Shutdown;
use chat_proto::bus::Hint;
use tokio::net::{TcpListener, TcpStream};

pub use directory::Directory;
pub use mailbox::{Mailbox, Origin};
pub use strangers::Strangers;

use crate::account::Accounts;
use crate::audit::Audit;
use crate::bus::{Bus, Heard, Subscription};
use crate::certificate::Served;
use crate::clock::Clock;
use crate::config::Idle;
use crate::metrics::Metrics;
use crate::places::Place;
use crate::private::Private;
use crate::rate::Rate;
use crate::settings::Live;
use crate::source::Source;
use crate::store::{Policy, SessionNo, Store};
use crate::sync::read;

/// Waits between two tries to accept when the system has no descriptors or memory; the longest is short enough that everything
/// goes on within a second of there being some again (S7).
const ACCEPT_WAIT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(640));

/// How sessions behave, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's name for people.
    pub name: String,
    /// Other devices of an account that logs in.
    pub policy: Policy,
    /// What happens without activity, and after how long.
    pub idle: Idle,
    /// See [`Settings::idle`].
    pub idle_after: Duration,
    /// A lost link is announced after this.
    pub grace_ms: u64,
    /// Sends of one account.
    pub sending: Rate,
    /// Connections in all, strangers included.
    pub connections: usize,
    /// whoelsesince reaches back to the server's start and no further.
    pub seen_since_start: bool,
    /// Private sessions are allowed.
    pub private: bool,
}

/// What all connections share.
pub struct Gateway<S: Store> {
    /// The store.
    pub store: Arc<S>,
    /// Who is here.
    pub directory: Arc<Directory>,
    /// Who may be.
    pub accounts: Accounts<S>,
    /// The server's long-term key.
    pub identity: ServerIdentity,
    /// Certificate and key; replaced when the files are read anew.
    pub tls: Arc<RwLock<Served>>,
    /// What may change while the server runs.
    pub live: Arc<Live>,
    /// The time.
    pub clock: Clock,
    /// The wall clock at the start.
    pub started_ms: i64,
    /// The audit log.
    pub audit: Audit,
    /// What is counted for monitoring.
    pub metrics: Arc<Metrics>,
    /// Tickets of private sessions, and the relay.
    pub private: Private,
    /// The stop signal and the tasks that heed it.
    pub shutdown: Shutdown,
    /// Those who are not logged in.
    pub strangers: Strangers,
    /// The number of the next session.
    pub next_session: AtomicU64,
}

impl<S: Store> Gateway<S> {
    /// A number for a session; never given twice in this process.
    fn number(&self) -> SessionNo {
        SessionNo(self.next_session.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether another connection would leave too few descriptors for those who are logged in.
    fn is_full(&self) -> bool {
        self.directory.count() + self.strangers.count() + self.private.relayed() >= self.live.get().sessions.connections
    }

    /// A stranger's place for a newcomer. Who is turned away is counted, and written down with the door that he came to: nothing for
    /// that of the chat, ` from the relay`.
    pub(crate) fn place(&self, peer: SocketAddr, door: &str) -> Option<Place> {
        if self.is_full() {
            self.metrics.turned_away("full");
            self.audit.stranger(peer, format_args!("turned away{door}: as many connections as there may be"));
            return None;
        }
        let place = self.strangers.admit(Source::of(peer.ip()), dice());
        if place.is_none() {
            self.metrics.turned_away("too_many_strangers");
            self.audit.stranger(peer, format_args!("turned away{door}: too many that are not logged in"));
        }
        place
    }

    fn welcome(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        if let Some(place) = self.place(peer, "") {
            self.shutdown.spawn(handshake::meet(Arc::clone(self), stream, peer, place));
        }
    }
}

/// A random number for the early drop. When the system has none, chance is not what is missing most.
fn dice() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Accepts connections of clients until the shutdown begins.
pub async fn serve<S: Store>(gateway: Arc<Gateway<S>>, listener: TcpListener) {
    accept(&gateway.shutdown, &listener, |stream, peer| gateway.welcome(stream, peer)).await;
}

/// Accepts connections until the shutdown begins. Where the system cannot, it is asked again and again.
pub(crate) async fn accept(
    shutdown: &Shutdown,
    listener: &TcpListener,
    mut welcome: impl FnMut(TcpStream, SocketAddr),
) {
    let mut wait = ACCEPT_WAIT.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                wait = ACCEPT_WAIT.0;
                welcome(stream, peer);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                let port = listener.local_addr().map(|address| address.port()).unwrap_or_default();
                tracing::warn!(%error, port, "cannot accept a connection");
                tokio::select! {
                    () = shutdown.begun() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                wait = (wait * 2).min(ACCEPT_WAIT.1);
            }
        }
    }
}

/// The client left before it was accepted: the next one is no worse for it.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Hears hints of other nodes until the bus ends: whoever may have something new reads the store again.
pub async fn heed<B: Bus>(directory: Arc<Directory>, mut hints: B::Subscription) {
    while let Some(heard) = hints.next().await {
        match heard {
            Heard::Hint(Hint::Inbox(name)) => directory.reread(&name),
            // Presence is read when it is asked for.
            Heard::Hint(Hint::Presence(_)) => {}
            Heard::Missed => directory.all().iter().for_each(|mailbox| mailbox.reread()),
        }
    }
}

/// The settings of TLS as they are now.
fn tls<S: Store>(gateway: &Gateway<S>) -> Arc<rustls::ServerConfig> {
    Arc::clone(&read(&gateway.tls).tls)
}

//! The chat server: accounts, inboxes, relaying.
//!
//! This file is the assembly: from a [`Config`] to a running server and to its end. The only place that names a backend.

pub mod account;
pub mod admin;
pub mod advice;
pub mod audit;
pub mod backup;
pub mod bus;
pub mod certificate;
pub mod check;
pub mod clock;
pub mod config;
pub mod database;
pub mod files;
pub mod gateway;
pub mod http;
pub mod keys;
pub mod listen;
pub mod message;
pub mod metrics;
#[cfg(test)]
mod model;
pub mod people;
mod places;
mod planted;
pub mod private;
pub mod rate;
pub mod running;
pub mod sandbox;
pub mod settings;
pub mod source;
mod start;
pub mod store;
mod sync;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chat_process::logging::LevelHandle;
use chat_process::notify::Supervisor;
use chat_process::sandbox::{Confined, Rules};
use chat_process::shutdown::Shutdown;
use chat_proto::fault::Code;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use config::Config;
pub use running::Running;
pub use start::{StartError, level, names};

use account::{Accounts, Hasher};
use admin::{Closed, Desk};
use audit::Audit;
use audit::file::AuditFile;
use bus::Bus as _;
use bus::local::LocalBus;
use clock::Clock;
use gateway::{Directory, Gateway, Strangers};
use listen::{Doors, Handed};
use metrics::Metrics;
use people::People;
use private::Private;
use running::Reread;
use settings::Live;
use store::sqlite::SqliteStore;
use store::{Op, Store as _, StoreError};

/// How long sessions get for their last words at a shutdown.
pub const DRAIN: Duration = Duration::from_secs(5);

/// What the assembly is given of the world outside.
pub struct Outside {
    /// The stop signal.
    pub shutdown: Shutdown,
    /// Who is told about each step.
    pub supervisor: Supervisor,
    /// Reads the configuration once more.
    pub reread: Reread,
    /// Changes how much is logged; nothing where nobody logs.
    pub level: Option<LevelHandle>,
    /// Sockets that the service manager handed over.
    pub handed: Handed,
    /// How this process is confined, and to what; nothing where it is not.
    pub sandbox: Option<(Rules, Confined)>,
}

/// How long a server that ends may hold the store after its last word: its threads end a moment later.
const LETS_GO: Duration = Duration::from_secs(1);

/// A server that listens.
pub struct Server {
    running: Arc<Running<SqliteStore>>,
    addresses: Vec<SocketAddr>,
    http: Option<SocketAddr>,
    config: Config,
    // Held for the subscription of the gateway: one node hints to nobody, its own sessions are woken by the store.
    _bus: LocalBus,
}

impl Server {
    /// Opens the store, listens, and serves until the shutdown begins. Must be called within a runtime.
    pub async fn start(config: Config, outside: Outside) -> Result<Server, StartError> {
        let Outside { shutdown, supervisor, reread, level, handed, sandbox } = outside;
        let keys = start::keys(&config)?;
        let tls = Arc::new(RwLock::new(start::tls(&config)?));
        let clock = Clock::start();
        let people = Arc::new(People::default());
        let metrics = Arc::new(Metrics::default());
        let directory = Arc::new(Directory::new(Arc::clone(&people), Arc::clone(&metrics)));
        let hasher = Hasher::new(keys.pepper)?;
        // The broker of private sessions says whether there is one.
        let relay = config.relay.is_some() || handed.has_relay();
        let store = free_store(|| open_store(&config, Arc::clone(&directory) as _, clock, relay)).await?;
        let live = Live::new(start::settings(&config, relay));
        let mut accounts = Accounts::open(Arc::clone(&store), clock, Arc::clone(&live), hasher, keys.lockout).await;
        if let Some(file) = &config.credentials {
            accounts.read_credentials(file).await?;
        }
        let audit = Audit::new(clock, Arc::clone(&live), AuditFile::open(&config.data)?);
        let mut doors = listen::open(&config, handed)?;
        let private = Private::start(&config, doors.relay.take(), &keys.tickets, &store, &tls, clock, &live)?;
        let addresses = doors.listen.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let http = doors.http.as_ref().and_then(|listener| listener.local_addr().ok());
        let gateway = Arc::new(Gateway {
            store,
            directory: Arc::clone(&directory),
            accounts,
            identity: keys.identity,
            tls,
            live,
            started_ms: clock.wall_ms(),
            clock,
            audit,
            metrics,
            private,
            shutdown: shutdown.clone(),
            strangers: Strangers::default(),
            next_session: AtomicU64::new(1),
        });
        let bus = LocalBus::default();
        let running = Running::new(gateway, config.clone(), reread, level, (doors.given.clone(), sandbox));
        let server = Server { running, addresses, http, config, _bus: bus };
        server.begin(doors, people, supervisor)?;
        Ok(server)
    }

    /// Starts the tasks; all of them end when the shutdown begins.
    fn begin(&self, doors: Doors, people: Arc<People>, supervisor: Supervisor) -> Result<(), StartError> {
        let gateway = &self.running.gateway;
        let shutdown = &gateway.shutdown;
        let admin = admin::socket::listen(&self.config.admin_socket)?;
        until_shutdown(shutdown, admin::socket::serve(admin, Desk::Open(Arc::clone(&self.running))));
        let (directory, live) = (Arc::clone(&gateway.directory), Arc::clone(&gateway.live));
        until_shutdown(shutdown, async move { people.run(&directory, &live).await });
        until_shutdown(shutdown, gateway::heed::<LocalBus>(Arc::clone(&gateway.directory), self._bus.subscribe()));
        until_shutdown(shutdown, tick(Arc::clone(&self.running), supervisor));
        let running = Arc::clone(&self.running);
        until_shutdown(shutdown, async move { running.watch_certificate().await });
        if let Some(listener) = doors.http {
            until_shutdown(shutdown, http::serve(listener, Arc::clone(&self.running)));
        }
        for listener in doors.listen {
            shutdown.spawn(gateway::serve(Arc::clone(gateway), listener));
        }
        private::serve(gateway);
        start::tell_addresses(&self.config, &self.addresses, &doors.given)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it answers for health and metrics.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Resolves when the store cannot go on: the process must end.
    pub async fn failed(&self) -> StoreError {
        self.running.gateway.store.failed().await
    }

    /// What its operator may ask and change.
    pub fn running(&self) -> &Arc<Running<SqliteStore>> {
        &self.running
    }

    /// Tells every client, waits for what is on its way, and closes the store. Sessions stay open there: a restart
    /// announces nobody who comes back in time.
    pub async fn stop(self) {
        self.stop_within(DRAIN).await;
    }

    /// As [`Server::stop`]; sessions get so long for their last words.
    pub async fn stop_within(self, grace: Duration) {
        let Server { running, config, .. } = self;
        let gateway = &running.gateway;
        gateway.shutdown.begin();
        gateway.directory.end_all(Code::SHUTTING_DOWN, true);
        if !gateway.shutdown.finished(grace).await {
            tracing::warn!("some connections did not end in time");
        }
        gateway.accounts.shutdown().await;
        gateway.audit.flushed().await;
        close_store(&gateway.store).await;
        start::forget_addresses(&config);
    }
}

/// Runs a task until the shutdown begins.
fn until_shutdown(shutdown: &Shutdown, task: impl Future<Output = ()> + Send + 'static) {
    let stopping = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            biased;
            () = stopping.begun() => {}
            () = task => {}
        }
    });
}

fn open_store(
    config: &Config,
    outlet: Arc<dyn store::Outlet>,
    clock: Clock,
    relay: bool,
) -> Result<Arc<SqliteStore>, StartError> {
    start::refuse_half_restored(config)?;
    // A relay that cannot listen ends the start, so what is wanted is what will run.
    let settings = start::store(config, relay);
    Ok(Arc::new(SqliteStore::open(&config.data, outlet, settings, clock.mono_ms(), clock.wall_ms())?))
}

async fn close_store(store: &SqliteStore) {
    let (done, closed) = oneshot::channel();
    store.submit(Op::Shutdown(done)).await;
    // Ends without a word when the store failed before.
    let _ = closed.await;
}

/// Once a second: time for the store and for locks; the supervisor hears of us while the writer makes progress, and how we are.
async fn tick(running: Arc<Running<SqliteStore>>, supervisor: Supervisor) {
    let gateway = &running.gateway;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watchdog = supervisor.watchdog();
    let (mut progress, mut told, mut line) = (0, Instant::now(), String::new());
    loop {
        seconds.tick().await;
        let (mono_ms, now_ms) = (gateway.clock.mono_ms(), gateway.clock.wall_ms());
        gateway.store.submit(Op::Tick { mono_ms, now_ms }).await;
        gateway.accounts.tick().await;
        running.tick();
        let now = gateway.store.progress();
        if watchdog.is_some_and(|every| told.elapsed() + Duration::from_secs(1) >= every) && now != progress {
            supervisor.alive();
            (progress, told) = (now, Instant::now());
        }
        let now = running.line();
        if now != line {
            supervisor.status(&now);
            line = now;
        }
    }
}

/// Makes an empty store, or brings an old one up to date, and closes it again.
pub async fn prepare_store(config: &Config) -> Result<(), StartError> {
    let store = offline_store(config)?;
    close_store(&store).await;
    Ok(())
}

/// The operator's place at the store of a server that does not run.
pub async fn offline(config: &Config) -> Result<Desk<SqliteStore>, StartError> {
    let keys = start::keys(config)?;
    let clock = Clock::start();
    let store = free_store(|| offline_store(config)).await?;
    let hasher = Hasher::new(keys.pepper)?;
    let live = Live::new(start::settings(config, false));
    let accounts = Accounts::open(Arc::clone(&store), clock, Arc::clone(&live), hasher, keys.lockout).await;
    let audit = Audit::new(clock, live, AuditFile::open(&config.data)?);
    Ok(Desk::Closed(Box::new(Closed { config: Arc::new(config.clone()), store, accounts, audit })))
}

/// The store, as soon as a server that has just ended lets go of it.
async fn free_store(open: impl Fn() -> Result<Arc<SqliteStore>, StartError>) -> Result<Arc<SqliteStore>, StartError> {
    let began = Instant::now();
    loop {
        match open() {
            Err(StartError::Store(StoreError::Locked(_))) if began.elapsed() < LETS_GO => {
                tokio::time::sleep(LETS_GO / 50).await;
            }
            done => return done,
        }
    }
}

/// Leaves that place: all is on the disk when this returns.
pub async fn close_desk(desk: Desk<SqliteStore>) {
    if let Desk::Closed(closed) = desk {
        closed.accounts.shutdown().await;
        closed.audit.flushed().await;
        close_store(&closed.store).await;
    }
}

fn offline_store(config: &Config) -> Result<Arc<SqliteStore>, StartError> {
    files::become_owner(&config.data)?;
    open_store(config, Arc::new(Directory::new(Arc::default(), Arc::default())), Clock::start(), false)
}

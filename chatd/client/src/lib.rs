//! The per-user daemon as a library: assembly alone. `main` calls [`run`]; tests do too.

mod book;
pub mod config;
mod control;
mod daemon;
mod file;
mod files;
pub mod history;
mod hooks;
mod keys;
mod peer;
mod pins;
mod planted;
mod profile;
#[cfg_attr(windows, path = "runner/windows.rs")]
pub mod runner;
pub mod sandbox;
mod shown;
mod trust;
mod upstream;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat_local::directory::OpenError;
use chat_local::listener::Listener;
use chat_local::paths::Layout;
use chat_local::record::{self, Record, RecordError};
use chat_process::sandbox::Confined;
use chat_process::shutdown::Shutdown;
use chat_process::watchdog::Workers;
use tokio::sync::watch;

use crate::book::Book;
use crate::config::Config;
use crate::daemon::{Daemon, Outside};
use crate::history::thread::OnBroken;
use crate::pins::PeerPins;
use crate::profile::Surroundings;
use crate::runner::Opener;
use crate::trust::TrustStore;
use crate::world::World;

/// Connections get so long to take their last answer.
const GRACE: Duration = Duration::from_secs(3);

/// What `main` found out before there was a runtime.
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// Directories.
    pub layout: Layout,
    /// The control socket.
    pub socket: PathBuf,
    /// The log file, where chatd keeps one.
    pub log: Option<PathBuf>,
    /// This host's name.
    pub host: String,
    /// This boot of the host.
    pub boot_id: String,
    /// Threads that a watchdog looks at.
    pub workers: Workers,
    /// What hooks inherit of the environment, by name.
    pub environment: Vec<(String, String)>,
    /// How this process is confined; nothing where it is not.
    pub confined: Option<Confined>,
    /// What does for a confined chatd what it no longer may.
    pub runner: Option<runner::Begun>,
}

/// What the runner of this chatd may do.
pub fn outside(config: &Config, layout: &Layout, socket: &Path, environment: &[(String, String)]) -> runner::Setup {
    let home = inherited_home(environment);
    let environment = hook_environment(environment.to_vec(), layout, socket);
    runner::Setup { programs: hooks::programs(&config.hooks, &environment, &home), home }
}

/// The folder for received files; profiles that name no other one have it.
pub fn received(config: &Config, layout: &Layout, environment: &[(String, String)]) -> PathBuf {
    let home = layout.home.clone().unwrap_or_else(|| inherited_home(environment));
    config.files.folder_in(&home)
}

/// Why the daemon ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the state directory is wrong or not safe to use.
    #[error(transparent)]
    State(#[from] OpenError),
    /// The endpoint cannot be announced.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The way to the runner.
    #[error("the runner cannot be reached: {0}")]
    Runner(std::io::Error),
    /// The system gives no randomness.
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
    /// Storage failed: what is on the disk is known again at the next start (contract E2).
    #[error("{0}")]
    Storage(String),
    /// The listener failed.
    #[error("the control socket failed: {0}")]
    Listener(std::io::Error),
}

/// Serves until the shutdown begins; `ready` is called once calls are answered.
pub async fn run(listener: Listener, setup: Setup, shutdown: Shutdown, ready: impl FnOnce()) -> Result<(), RunError> {
    let (broken, mut failed) = watch::channel(None);
    let on_broken: OnBroken = Arc::new(move |text| {
        tracing::error!(text, "storage failed");
        broken.send_replace(Some(text));
    });
    let state = setup.layout.state.clone();
    let daemon = Arc::new(assemble(setup, shutdown.clone(), on_broken)?);
    ready();
    let opening = tokio::spawn({
        let daemon = Arc::clone(&daemon);
        async move { daemon.open_all().await }
    });
    let served = tokio::select! {
        served = accept(&listener, &daemon) => served.map_err(RunError::Listener),
        () = shutdown.begun() => Ok(()),
        text = broken_text(&mut failed) => return Err(RunError::Storage(text)),
    };
    tracing::info!("stopping");
    let stop = async {
        let _ = opening.await;
        daemon.close_all().await;
        shutdown.finished(GRACE).await;
    };
    tokio::select! {
        () = stop => {}
        text = broken_text(&mut failed) => return Err(RunError::Storage(text)),
    }
    if let Err(error) = record::remove(&state) {
        tracing::warn!(%error, "the endpoint record stays behind");
    }
    served
}

fn assemble(setup: Setup, shutdown: Shutdown, broken: OnBroken) -> Result<Daemon, RunError> {
    let runner::Setup { programs, home } = outside(&setup.config, &setup.layout, &setup.socket, &setup.environment);
    let Setup { config, layout, socket, log, host, boot_id, workers, confined, runner, .. } = setup;
    let world = World::real();
    let home = layout.home.clone().unwrap_or(home);
    let (runner, opener) = match runner.map(runner::Begun::attach).transpose().map_err(RunError::Runner)? {
        Some((runner, opener)) => (Some(runner), opener),
        None => (None, Opener::default()),
    };
    let hooks = hooks::Setup::new(config.hooks.clone(), programs, runner.clone());
    let around = Surroundings {
        book: Arc::new(Book::load(&layout.state)?),
        trust: Arc::new(TrustStore::load(&layout.state)?),
        pins: Arc::new(PeerPins::load(&layout.state)?),
        private: config.private.clone(),
        world,
        state: layout.state.clone(),
        host,
        send_read: config.send_read,
        hooks: Arc::new(hooks),
        opener,
        files: Arc::new(config.files.clone()),
        home,
        broken,
        workers,
        run: world.random().map_err(RunError::Random)?,
    };
    record::write(&layout.state, &Record { path: socket.clone(), version: env!("CARGO_PKG_VERSION").into(), boot_id })?;
    Ok(Daemon::new(config, layout, around, shutdown, socket, log, Outside { confined, runner }))
}

/// Hooks run in the user's home directory.
fn inherited_home(environment: &[(String, String)]) -> PathBuf {
    let home = environment.iter().find(|(name, _)| name == "HOME").map(|(_, home)| PathBuf::from(home));
    home.filter(|home| home.is_dir()).unwrap_or_else(|| PathBuf::from("/"))
}

/// What hooks find in their environment beside the event: a search path that does not depend on how chatd was started, and what
/// a chatctl in them needs to find this chatd.
fn hook_environment(inherited: Vec<(String, String)>, layout: &Layout, socket: &Path) -> Vec<(String, String)> {
    let mut environment: Vec<_> =
        hooks::SEARCH_PATH.map(|path| ("PATH".to_owned(), path.to_owned())).into_iter().collect();
    environment.extend(inherited);
    environment.push(("CHAT_SOCKET".into(), socket.to_string_lossy().into_owned()));
    if let Some(home) = &layout.home {
        environment.push(("CHAT_HOME".into(), home.to_string_lossy().into_owned()));
    }
    environment
}

async fn accept(listener: &Listener, daemon: &Arc<Daemon>) -> std::io::Result<()> {
    loop {
        let connection = listener.accept().await?;
        daemon.shutdown.spawn(control::serve(connection, Arc::clone(daemon)));
    }
}

async fn broken_text(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await.map(|text| text.clone()) {
        Ok(Some(text)) => text,
        // All profiles are closed: nothing can break any more.
        _ => std::future::pending().await,
    }
}

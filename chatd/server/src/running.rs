//! A server that runs, as its operator has it: reads its configuration anew, and says how it is. Used by the assembly, by
//! signals and by the admin socket.

use std::sync::{Arc, Mutex};

use chat_process::config::ConfigError;
use chat_process::logging::LevelHandle;

use crate::config::{Config, flat};
use crate::gateway::Gateway;
use crate::store::{Op, Store};
use crate::sync::{lock, write};
use crate::{StartError, start};

/// Reads the configuration once more, from where it was read at start.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// The running server.
pub struct Running<S: Store> {
    /// Everything between the network and the store.
    pub gateway: Arc<Gateway<S>>,
    /// The configuration that the process started with.
    started: Config,
    // Read and replaced by reloads and status alone, never held across an await.
    config: Mutex<Arc<Config>>,
    reread: Reread,
    level: Option<LevelHandle>,
    /// One backup at a time.
    pub backing_up: tokio::sync::Mutex<()>,
    /// One reload at a time: two that interleave could leave half of each.
    reloading: tokio::sync::Mutex<()>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys with another value than before.
    pub changed: Vec<String>,
    /// Keys whose new value counts from the next start.
    pub restart: Vec<String>,
}

/// Why nothing was changed by a reload.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is no good.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate or its key is no good.
    #[error(transparent)]
    Tls(#[from] StartError),
}

impl<S: Store> Running<S> {
    /// `level` changes how much is logged, where somebody logs.
    pub fn new(
        gateway: Arc<Gateway<S>>,
        config: Config,
        reread: Reread,
        level: Option<LevelHandle>,
    ) -> Arc<Running<S>> {
        let current = Mutex::new(Arc::new(config.clone()));
        Arc::new(Running {
            gateway,
            started: config,
            config: current,
            reread,
            level,
            backing_up: Default::default(),
            reloading: Default::default(),
        })
    }

    /// The configuration that counts now, save keys that need a restart.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    /// Reads configuration and certificate anew. All of it counts, or on any mistake nothing.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _alone = self.reloading.lock().await;
        let fresh = (self.reread)()?;
        let tls = start::tls(&fresh)?;
        let changed = flat::changed(&flat::flat(&self.config().keys), &flat::flat(&fresh.keys));
        let since_start = flat::changed(&flat::flat(&self.started.keys), &flat::flat(&fresh.keys));
        let restart = since_start.into_iter().filter(|key| flat::NEEDS_RESTART.contains(&key.as_str())).collect();
        // From here on nothing can fail.
        self.gateway.live.set(start::settings(&fresh));
        self.gateway.accounts.configured();
        *write(&self.gateway.tls) = tls;
        if let Some(level) = &self.level {
            level.set(start::level(&fresh));
        }
        self.gateway.store.submit(Op::Configure(Box::new(start::store(&fresh)))).await;
        *lock(&self.config) = Arc::new(fresh);
        Ok(Reloaded { changed, restart })
    }

    /// One line about how things are.
    pub fn summary(&self) -> String {
        let (sessions, strangers) = (self.gateway.directory.count(), self.gateway.strangers.count());
        format!("{sessions} sessions, {strangers} connections not logged in")
    }
}

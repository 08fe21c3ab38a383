//! A server that runs, as its operator has it: reads its configuration anew, watches its certificate, and says how it is. Used by
//! the assembly, by signals, by the admin socket and by [`crate::http`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chat_process::config::ConfigError;
use chat_process::logging::LevelHandle;
use chat_process::sandbox::{Confined, Rules};
use chat_proto::display;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::backup;
use crate::certificate::{self, WARN_BEFORE, now_ms};
use crate::config::{Config, Level, flat};
use crate::gateway::Gateway;
use crate::listen::Given;
use crate::metrics;
use crate::private::relay::Carried;
use crate::sandbox::{self, Sandbox};
use crate::store::{Contents, Op, Store};
use crate::sync::{lock, write};
use crate::{StartError, files, start};

/// What is counted by going through the store is counted again after this.
const COUNTED_FOR: Duration = Duration::from_secs(30);
/// A writer that made no round for so long is stuck: it makes one a second.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// How often the certificate's end is spoken of in the log.
const REMIND_EVERY: Duration = Duration::from_secs(86_400);

/// Reads the configuration once more, from where it was read at start.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// The running server.
pub struct Running<S: Store> {
    /// Everything between the network and the store.
    pub gateway: Arc<Gateway<S>>,
    /// One backup at a time.
    pub backing_up: tokio::sync::Mutex<()>,
    /// The configuration that the process started with.
    started: Config,
    /// The doors whose sockets were handed over.
    given: Vec<Given>,
    // Short locks: each is held for a look or a swap, never across an await.
    config: Mutex<Arc<Config>>,
    level: Mutex<Loudness>,
    tls: Mutex<Served>,
    /// Why the last reload changed nothing, if it did not.
    refused: Mutex<Option<String>>,
    counted: Mutex<Option<(Instant, Contents)>>,
    beat: Mutex<(u64, Instant)>,
    reread: Reread,
    handle: Option<LevelHandle>,
    sandbox: Option<(Rules, Confined)>,
    /// One reload at a time: two that interleave could leave half of each.
    reloading: tokio::sync::Mutex<()>,
    stop: Mutex<Option<Duration>>,
    stopping: Notify,
    since: Instant,
}

/// How much is logged now.
#[derive(Clone, Copy, Debug)]
struct Loudness {
    level: Level,
    /// Rises with every change, so that an older one does not undo a newer one.
    change: u64,
}

/// The certificate that is served, and what is known of its files.
#[derive(Clone, Debug, Default)]
struct Served {
    not_after_ms: i64,
    /// Of the two files when they were last looked at.
    looked_at: [u8; 32],
    /// Why the files as they are now are not served.
    trouble: Option<String>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Keys with another value than before.
    pub changed: Vec<String>,
    /// Keys whose new value counts from the next start.
    pub restart: Vec<String>,
    /// Keys whose value does not count, because the service manager listens elsewhere.
    #[serde(default)]
    pub unheeded: Vec<String>,
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
    /// The sandbox of the start holds, whatever the configuration says now.
    #[error("{key}: the running server cannot read {}: its sandbox holds what was configured at its start; it needs a restart", path.display())]
    Beyond {
        /// The key.
        key: &'static str,
        /// What it names.
        path: PathBuf,
    },
}

impl ReloadError {
    /// The mistake in few words: its line in the configuration, key and what to write.
    pub fn short(&self, main: &Path) -> String {
        match self {
            ReloadError::Config(error) => {
                let file = if error.file == main { String::new() } else { format!("{} ", error.file.display()) };
                let line = error.place.map_or_else(String::new, |(line, _)| format!("line {line} "));
                let key = error.key.as_deref().unwrap_or_default();
                let key = key.rsplit('.').next().unwrap_or_default();
                let meant =
                    error.suggestion.as_ref().map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
                format!("{file}{line}{key} {}{meant}", error.problem)
            }
            ReloadError::Tls(_) | ReloadError::Beyond { .. } => self.to_string(),
        }
    }
}

/// How the server is, in numbers. As it is answered, and as it is printed for scripts, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Milliseconds since it started.
    pub up_ms: u64,
    /// Accounts announced online.
    pub online: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Connections that are not logged in.
    pub strangers: u64,
    /// Accounts.
    pub accounts: u64,
    /// Messages that wait for accounts.
    pub queued: u64,
    /// Messages accepted since it started.
    pub accepted: u64,
    /// Messages given to devices since it started.
    pub delivered: u64,
    /// Days until the certificate ends.
    pub certificate_days: i64,
    /// Why certificate or key as they are now on the disk are not served.
    pub certificate_trouble: Option<String>,
    /// Seconds since the last backup; nothing when there is none.
    pub backup_age_s: Option<i64>,
    /// That is longer ago than the operator wants.
    pub backup_due: bool,
    /// Free bytes on the store's disk.
    pub free: u64,
    /// Messages are refused for want of room.
    pub full: bool,
    /// What the relay for private sessions did, where there is one.
    pub relay: Option<Carried>,
    /// How much is logged.
    pub log: Level,
    /// Keys whose new value counts from the next start.
    pub restart: Vec<String>,
    /// Keys whose value does not count, because the service manager listens elsewhere.
    #[serde(default)]
    pub unheeded: Vec<String>,
    /// How it is confined.
    #[serde(default = "Sandbox::off")]
    pub sandbox: Sandbox,
}

/// How busy an account is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// Whose.
    pub user: String,
    /// Open sessions.
    pub sessions: u64,
    /// Messages sent in the time.
    pub sent: u64,
    /// Messages given to its devices in the time.
    pub received: u64,
}

/// Who was busy, and how much was done, in a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// That time, in milliseconds.
    pub over_ms: u64,
    /// Messages accepted in it.
    pub accepted: u64,
    /// Messages given to devices.
    pub delivered: u64,
    /// Open sessions.
    pub sessions: u64,
    /// The busiest accounts first.
    pub items: Vec<Busy>,
}

impl<S: Store> Running<S> {
    /// `handle` changes how much is logged, where somebody logs; `given` are the doors whose sockets were handed over.
    pub fn new(
        gateway: Arc<Gateway<S>>,
        config: Config,
        reread: Reread,
        handle: Option<LevelHandle>,
        (given, sandbox): (Vec<Given>, Option<(Rules, Confined)>),
    ) -> Arc<Running<S>> {
        let (tls, progress) = (looked_at(&config), gateway.store.progress());
        Arc::new(Running {
            gateway,
            backing_up: tokio::sync::Mutex::default(),
            config: Mutex::new(Arc::new(config.clone())),
            level: Mutex::new(Loudness { level: config.keys.log.level, change: 0 }),
            tls: Mutex::new(tls),
            refused: Mutex::default(),
            counted: Mutex::default(),
            beat: Mutex::new((progress, Instant::now())),
            started: config,
            given,
            reread,
            handle,
            sandbox,
            reloading: tokio::sync::Mutex::default(),
            stop: Mutex::default(),
            stopping: Notify::new(),
            since: Instant::now(),
        })
    }

    /// The configuration that counts now, save keys that need a restart.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    /// Reads configuration and certificate anew. All of it counts, or on any mistake nothing.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _alone = self.reloading.lock().await;
        let read = (self.reread)().map_err(ReloadError::from).and_then(|fresh| {
            if let Some((key, path)) = self.beyond(&fresh).into_iter().find(|(key, _)| key.starts_with("tls.")) {
                return Err(ReloadError::Beyond { key, path });
            }
            let tls = start::tls(&fresh)?;
            Ok((fresh, tls))
        });
        self.gateway.metrics.reload(read.is_ok());
        *lock(&self.refused) = read.as_ref().err().map(|error| self.short(error));
        let (fresh, tls) = read?;
        let changed = flat::changed(&flat::flat(&self.config().keys), &flat::flat(&fresh.keys));
        let relay = self.gateway.private.relay().is_some();
        // From here on nothing can fail.
        self.gateway.live.set(start::settings(&fresh, relay));
        self.gateway.accounts.configured();
        self.gateway.private.configured(&fresh);
        *write(&self.gateway.tls) = tls;
        *lock(&self.tls) = looked_at(&fresh);
        self.set_level(fresh.keys.log.level);
        self.gateway.store.submit(Op::Configure(Box::new(start::store(&fresh, relay)))).await;
        *lock(&self.config) = Arc::new(fresh);
        Ok(Reloaded { changed, restart: self.restart_keys(), unheeded: self.unheeded_keys() })
    }

    /// A refusal in few words.
    pub fn short(&self, error: &ReloadError) -> String {
        let main = self.config().files.first().cloned().unwrap_or_default();
        error.short(&main)
    }

    /// Keys whose new value counts from the next start: always, or because the sandbox ends before it.
    fn restart_keys(&self) -> Vec<String> {
        let config = self.config();
        let since_start = flat::changed(&flat::flat(&self.started.keys), &flat::flat(&config.keys));
        let is_given = |key: &str| self.given.iter().any(|given| given.door.key() == key);
        let counts_later = |key: &String| flat::NEEDS_RESTART.contains(&key.as_str()) && !is_given(key);
        let beyond = self.beyond(&config).into_iter().map(|(key, _)| key.to_owned());
        let mut keys: Vec<String> = since_start.into_iter().filter(counts_later).chain(beyond).collect();
        keys.sort_unstable();
        keys
    }

    /// What of a configuration lies beyond the sandbox.
    fn beyond(&self, config: &Config) -> Vec<(&'static str, PathBuf)> {
        match &self.sandbox {
            Some((rules, confined)) if confined.landlock.is_some() => sandbox::beyond(rules, config),
            _ => Vec::new(),
        }
    }

    /// Keys that say where to listen while the service manager listens elsewhere.
    pub fn unheeded_keys(&self) -> Vec<String> {
        let config = self.config();
        let unheeded = self.given.iter().filter(|given| given.contradicts(&config));
        unheeded.map(|given| given.door.key().to_owned()).collect()
    }

    /// From now on so much is logged. Answers the number of this change.
    fn set_level(&self, level: Level) -> u64 {
        if let Some(handle) = &self.handle {
            handle.set(start::filter(level));
        }
        let mut loudness = lock(&self.level);
        *loudness = Loudness { level, change: loudness.change + 1 };
        loudness.change
    }

    /// Logs so much, for a time or until it is changed again; then as the configuration says.
    pub fn log_level(self: &Arc<Self>, level: Level, time: Option<Duration>) {
        let change = self.set_level(level);
        tracing::info!(?level, "the log level was changed");
        let Some(time) = time else { return };
        let running = Arc::clone(self);
        let stopping = self.gateway.shutdown.clone();
        self.gateway.shutdown.spawn(async move {
            tokio::select! {
                () = stopping.begun() => {}
                () = sleep(time) => running.fall_back(change),
            }
        });
    }

    fn fall_back(&self, change: u64) {
        if lock(&self.level).change == change {
            let usual = self.config().keys.log.level;
            self.set_level(usual);
            tracing::info!(level = ?usual, "the log level is as configured again");
        }
    }

    /// Asks for the end; sessions get so long for their last words.
    pub fn ask_to_stop(&self, grace: Duration) {
        *lock(&self.stop) = Some(grace);
        self.stopping.notify_one();
    }

    /// Resolves when somebody asks for the end. For one caller.
    pub async fn asked_to_stop(&self) -> Duration {
        loop {
            self.stopping.notified().await;
            if let Some(grace) = *lock(&self.stop) {
                return grace;
            }
        }
    }

    /// Looks at the certificate's files every now and then: changed ones are served from then on, or on any mistake the old ones.
    /// Speaks of an end that is near. Runs until dropped.
    pub async fn watch_certificate(&self) {
        let mut reminded: Option<Instant> = None;
        loop {
            if reminded.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
                reminded = Some(Instant::now());
                self.remind();
            }
            let config = self.config();
            sleep(config.keys.tls.reload_check.0).await;
            let _alone = self.reloading.lock().await;
            let config = self.config();
            let now = looked_at(&config);
            if lock(&self.tls).looked_at == now.looked_at {
                continue;
            }
            match start::tls(&config) {
                Ok(tls) => {
                    *write(&self.gateway.tls) = tls;
                    *lock(&self.tls) = now;
                    tracing::info!(file = %config.cert.display(), "a new certificate is served");
                    reminded = None;
                }
                Err(error) => {
                    let trouble = error.to_string();
                    tracing::warn!(%trouble, "certificate or key changed and cannot be used; the old ones stay");
                    let mut tls = lock(&self.tls);
                    tls.looked_at = now.looked_at;
                    tls.trouble = Some(trouble);
                }
            }
        }
    }

    fn remind(&self) {
        let days = self.certificate_days();
        if days < i64::try_from(WARN_BEFORE.as_secs() / 86_400).unwrap_or(i64::MAX) {
            tracing::warn!(days, "the certificate ends soon; chat-server cert show");
        }
    }

    fn certificate_days(&self) -> i64 {
        let left = lock(&self.tls).not_after_ms - self.gateway.clock.wall_ms();
        left.div_euclid(86_400_000)
    }

    /// What the store holds, as of not long ago.
    async fn counted(&self) -> Contents {
        if let Some((at, contents)) = *lock(&self.counted)
            && at.elapsed() < COUNTED_FOR
        {
            return contents;
        }
        let store = Arc::clone(&self.gateway.store);
        let contents = match tokio::task::spawn_blocking(move || store.contents()).await {
            Ok(Ok(contents)) => contents,
            Ok(Err(error)) => {
                tracing::error!(%error, "the store cannot be counted");
                Contents::default()
            }
            Err(_) => Contents::default(),
        };
        *lock(&self.counted) = Some((Instant::now(), contents));
        contents
    }

    /// Why clients cannot be served; nothing when they can.
    pub async fn not_ready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.gateway.shutdown.has_begun() {
            reasons.push("stopping");
        }
        if self.gateway.store.gauges().full {
            reasons.push("storage_full");
        }
        if self.is_stuck() {
            reasons.push("storage_stuck");
        }
        let data = self.config().data.clone();
        if !tokio::task::spawn_blocking(move || files::is_writable(&data)).await.unwrap_or(false) {
            reasons.push("storage_not_writable");
        }
        if lock(&self.tls).not_after_ms <= self.gateway.clock.wall_ms() {
            reasons.push("certificate_ended");
        }
        reasons
    }

    /// Whether the store's writer makes no rounds.
    fn is_stuck(&self) -> bool {
        let progress = self.gateway.store.progress();
        let mut beat = lock(&self.beat);
        if beat.0 != progress {
            *beat = (progress, Instant::now());
        }
        beat.1.elapsed() > STUCK_AFTER
    }

    /// Time passes: called about once a second, so that a stuck writer is known as such.
    pub fn tick(&self) {
        self.is_stuck();
    }

    /// How it is.
    pub async fn status(&self) -> Status {
        let (contents, gauges, config) = (self.counted().await, self.gateway.store.gauges(), self.config());
        let backup = backup::newest_ms(&config.backups);
        let age = backup.map(|made| (self.gateway.clock.wall_ms() - made) / 1000);
        let allowed = i64::try_from(config.keys.backup.warn_age.0.as_secs()).unwrap_or(i64::MAX);
        let metrics = &self.gateway.metrics;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            up_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            online: gauges.online,
            sessions: self.gateway.directory.count() as u64,
            strangers: self.gateway.strangers.count() as u64,
            accounts: contents.accounts,
            queued: contents.queued,
            accepted: metrics.accepted(),
            delivered: metrics.delivered.get(),
            certificate_days: self.certificate_days(),
            certificate_trouble: lock(&self.tls).trouble.clone(),
            backup_age_s: age,
            backup_due: age.is_none_or(|age| age > allowed),
            free: gauges.free,
            full: gauges.full,
            relay: self.gateway.private.carried(),
            log: lock(&self.level).level,
            restart: self.restart_keys(),
            unheeded: self.unheeded_keys(),
            sandbox: self.sandbox.as_ref().map_or(Sandbox::off(), |(_, confined)| Sandbox::of(*confined)),
        }
    }

    /// Looks up everything that is not counted as it happens.
    pub async fn measure(&self) {
        let (status, contents, gauges) = (self.status().await, self.counted().await, self.gateway.store.gauges());
        let ready = self.not_ready().await.is_empty();
        let now = &self.gateway.metrics.now;
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        now.sessions.set(count(status.sessions));
        now.strangers.set(count(status.strangers));
        now.online.set(count(status.online));
        now.accounts.set(count(contents.accounts));
        now.queued.set(count(contents.queued));
        now.log_rows.set(count(contents.log));
        now.database.set(count(contents.bytes));
        now.waiting.set(count(gauges.waiting));
        now.unfolded.set(count(gauges.unfolded));
        now.free.set(count(gauges.free));
        now.floor.set(count(gauges.floor));
        now.accepting.set(i64::from(!gauges.full));
        now.ready.set(i64::from(ready));
        now.certificate.set((lock(&self.tls).not_after_ms - self.gateway.clock.wall_ms()) / 1000);
        now.backup.set(status.backup_age_s.unwrap_or(-1));
        now.hashing.set(count(self.gateway.accounts.hashing() as u64));
        now.uptime.set(metrics::seconds(self.since.elapsed()));
        if let Some(relay) = &status.relay {
            self.gateway.metrics.relay(relay);
        }
        now.restart.set(count(status.restart.len() as u64));
        if let Some((memory, files)) = metrics::process() {
            now.memory.set(memory);
            now.files.set(files);
        }
    }

    /// Watches for a time who is busy; answers the busiest `count`.
    pub async fn top(&self, time: Duration, count: usize) -> Top {
        let metrics = &self.gateway.metrics;
        let totals = || (metrics.accepted(), metrics.delivered.get());
        let (before, began, first) = (self.gateway.directory.busy(), Instant::now(), totals());
        sleep(time).await;
        let last = totals();
        let mut items: Vec<Busy> = self.gateway.directory.busy().into_values().collect();
        for busy in &mut items {
            if let Some(old) = before.get(&busy.user) {
                busy.sent = busy.sent.saturating_sub(old.sent);
                busy.received = busy.received.saturating_sub(old.received);
            }
        }
        items.sort_by(|a, b| (b.sent + b.received, &a.user).cmp(&(a.sent + a.received, &b.user)));
        items.truncate(count);
        Top {
            over_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            accepted: last.0 - first.0,
            delivered: last.1 - first.1,
            sessions: self.gateway.directory.count() as u64,
            items,
        }
    }

    /// For `systemctl status`: who is here, and what needs the operator. Cheap enough for every second.
    pub fn line(&self) -> String {
        let gauges = self.gateway.store.gauges();
        let full = if gauges.full { "; the disk is full: no message is accepted" } else { "" };
        let refused = lock(&self.refused).as_ref().map(|why| format!("; reload refused: {}", display::line(why)));
        let refused = refused.unwrap_or_default();
        format!("{} online, {} sessions{full}{refused}", gauges.online, self.gateway.directory.count())
    }

    /// One line about how things are.
    pub async fn summary(&self) -> String {
        let (status, gauges) = (self.status().await, self.gateway.store.gauges());
        format!(
            "up {} s, {} sessions of {} accounts online, {} connections not logged in, {} queued, {} accepted, {} delivered, \
             {} operations wait, {} rows unfolded, {} bytes free, certificate {} days, log {:?}",
            status.up_ms / 1000,
            status.sessions,
            status.online,
            status.strangers,
            status.queued,
            status.accepted,
            status.delivered,
            gauges.waiting,
            gauges.unfolded,
            status.free,
            status.certificate_days,
            status.log,
        )
    }
}

/// What the certificate's files are now.
fn looked_at(config: &Config) -> Served {
    let mut hash = Sha256::new();
    let chain = files::read(&config.cert).unwrap_or_default();
    hash.update(&chain);
    hash.update([0]);
    if let Ok(key) = files::read(&config.key) {
        hash.update(zeroize::Zeroizing::new(key).as_slice());
    }
    let chain = certificate::read(&chain).unwrap_or_default();
    let not_after_ms = chain.first().map_or_else(|| now_ms(SystemTime::now()), |own| own.not_after_ms);
    Served { not_after_ms, looked_at: hash.finalize().into(), trouble: None }
}

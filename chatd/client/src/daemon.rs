//! What all control connections share: the profiles, who opens and closes them, and what the daemon says of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chat_local::paths::Layout;
use chat_process::sandbox::Confined;
use chat_process::shutdown::Shutdown;
use chat_proto::control::ErrorData;
use chat_proto::control::account::Problem;
use chat_proto::fault::Code;
use chat_proto::limits::PROFILES_MAX;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};

use crate::book::Entry;
use crate::config::{Config, is_profile_name};
use crate::history::sqlite::OpenHistoryError;
use crate::keys;
use crate::profile::{Answer, Ask, OpenProfileError, Profile, Surroundings};
use crate::runner::Runner;

/// The name used when nobody names a profile.
const DEFAULT: &str = "default";

/// An open profile and its owner.
struct Open {
    profile: Profile,
    owner: JoinHandle<()>,
}

/// What this process may, and who does the rest.
pub struct Outside {
    /// How it is confined; nothing where it is not.
    pub confined: Option<Confined>,
    /// Starts hooks and opens files, where it may not.
    pub runner: Option<Runner>,
}

impl Outside {
    /// What of it needs the user.
    pub fn problem(&self) -> Option<Problem> {
        let gone = self.runner.as_ref().is_some_and(Runner::is_gone);
        gone.then_some(Problem { code: Code::RUNNER_GONE, subject: None })
    }
}

/// The daemon as its connections see it.
pub struct Daemon {
    /// The configuration.
    pub config: Config,
    /// Directories.
    pub layout: Layout,
    /// What profiles need.
    pub around: Surroundings,
    /// The stop signal.
    pub shutdown: Shutdown,
    /// When it started.
    pub since_ms: i64,
    /// The control socket.
    pub socket: PathBuf,
    /// The log file, where chatd keeps one.
    pub log: Option<PathBuf>,
    /// What it may.
    pub outside: Outside,
    connections: AtomicU32,
    // Held while a profile is opened or closed, so that nobody opens the same history twice.
    profiles: Mutex<BTreeMap<String, Open>>,
}

/// Counts a connection as long as it is held.
pub struct Counted(Arc<Daemon>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Daemon {
    /// A daemon that has no profile open yet.
    pub fn new(
        config: Config,
        layout: Layout,
        around: Surroundings,
        shutdown: Shutdown,
        socket: PathBuf,
        log: Option<PathBuf>,
        outside: Outside,
    ) -> Daemon {
        let since_ms = around.world.now_ms();
        Daemon {
            config,
            layout,
            around,
            shutdown,
            since_ms,
            socket,
            log,
            outside,
            connections: AtomicU32::new(0),
            profiles: Mutex::new(BTreeMap::new()),
        }
    }

    /// Counts a connection.
    pub fn count(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// Connections now.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Opens all remembered profiles; those that were logged in connect. One that cannot be opened does not stop the others.
    pub async fn open_all(&self) {
        let mut open = self.profiles.lock().await;
        for name in self.names() {
            match self.open(&name).await {
                Ok(one) => {
                    open.insert(name, one);
                }
                Err(error) => tracing::error!(profile = name, detail = error.detail, "cannot be opened"),
            }
        }
    }

    /// Ends all profiles once what they took is committed.
    pub async fn close_all(&self) {
        let open = std::mem::take(&mut *self.profiles.lock().await);
        let closing: Vec<_> = open.values().map(|one| one.profile.clone()).collect();
        let mut closing: JoinSet<()> =
            closing.into_iter().map(|profile| async move { profile.close().await }).collect();
        while closing.join_next().await.is_some() {}
        for one in open.into_values() {
            drop(one.profile);
            let _ = one.owner.await;
        }
    }

    /// All profiles: remembered ones and those of the configuration.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.around.book.names();
        names.extend(self.config.profiles.keys().cloned());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The profile used when none is named.
    pub fn default_name(&self) -> String {
        let only = || match &self.names()[..] {
            [one] => Some(one.clone()),
            _ => None,
        };
        let chosen = self.around.book.default_profile().or_else(|| self.config.default_profile.clone());
        chosen.or_else(only).unwrap_or_else(|| DEFAULT.to_owned())
    }

    /// The name that is meant: an empty one means the default.
    pub fn named(&self, name: &str) -> String {
        if name.is_empty() { self.default_name() } else { name.to_owned() }
    }

    /// What is remembered of a profile, or else what the configuration says.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        let configured = self.config.profiles.get(name);
        self.around.book.get(name).or_else(|| {
            let named = configured?;
            Some(Entry { user: named.user.clone(), server: named.server.clone(), ..Entry::default() })
        })
    }

    /// The open profile of this name.
    pub async fn profile(&self, name: &str) -> Answer<Profile> {
        let name = self.named(name);
        let mut open = self.profiles.lock().await;
        if let Some(one) = open.get(&name) {
            return Ok(one.profile.clone());
        }
        if self.entry(&name).is_none() {
            // Before the first login the default profile is not unknown, it is empty.
            let code = if name == self.default_name() { Code::NOT_LOGGED_IN } else { Code::UNKNOWN_PROFILE };
            return Err(Box::new(ErrorData { subject: Some(name), ..code.into() }));
        }
        let one = self.open(&name).await?;
        Ok(open.entry(name).or_insert(one).profile.clone())
    }

    /// The open profile of this name, made where it is not there; says whether it was made.
    pub async fn profile_or_new(&self, name: &str) -> Answer<(Profile, bool)> {
        let name = self.named(name);
        let refuse = |code: Code| Err(Box::new(ErrorData { subject: Some(name.clone()), ..code.into() }));
        if !is_profile_name(&name) {
            return refuse(Code::BAD_NAME);
        }
        if self.entry(&name).is_some() {
            return Ok((self.profile(&name).await?, false));
        }
        if self.names().len() >= PROFILES_MAX {
            return refuse(Code::LIMIT);
        }
        self.around.book.put(&name, Entry::default()).map_err(|error| disk(&error))?;
        Ok((self.profile(&name).await?, true))
    }

    /// Closes a profile and removes everything of it.
    pub async fn forget(&self, name: &str) -> Answer<()> {
        let mut open = self.profiles.lock().await;
        if let Some(one) = open.remove(name) {
            one.profile.close().await;
            drop(one.profile);
            let _ = one.owner.await;
        }
        let data = self.layout.history_file(name);
        let state = keys::directory(&self.layout.state, name);
        for directory in [data.parent(), Some(state.as_path())].into_iter().flatten() {
            match std::fs::remove_dir_all(directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(&error)),
                _ => {}
            }
        }
        self.around.book.remove(name).map_err(|error| disk(&error))
    }

    /// Has all profiles try their servers now.
    pub async fn hurry_all(&self) {
        for one in self.profiles.lock().await.values() {
            let _ = one.profile.tell(Ask::Hurry).await;
        }
    }

    async fn open(&self, name: &str) -> Answer<Open> {
        let (name, file) = (name.to_owned(), self.layout.history_file(name));
        let (around, entry) = (self.around.clone(), self.entry(name.as_str()).unwrap_or_default());
        let connect = self.config.profiles.get(&name).is_none_or(|named| named.autologin);
        if around.book.get(&name).is_none() {
            around.book.put(&name, entry).map_err(|error| disk(&error))?;
        }
        // Opening waits for the disk: not on the thread that serves everybody.
        let named = name.clone();
        let opened = tokio::task::spawn_blocking(move || Profile::start(&named, &file, around, connect)).await;
        match opened {
            Ok(Ok((profile, owner))) => Ok(Open { profile, owner }),
            Ok(Err(error)) => Err(not_opened(name, &error)),
            Err(error) => Err(internal(&error)),
        }
    }
}

fn not_opened(profile: String, error: &OpenProfileError) -> Box<ErrorData> {
    match error {
        OpenProfileError::History(OpenHistoryError::Newer { .. }) => Box::new(ErrorData {
            subject: Some(profile),
            detail: Some(error.to_string()),
            ..Code::NEWER_HISTORY.into()
        }),
        error => internal(error),
    }
}

fn internal(error: &impl std::fmt::Display) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(error.to_string()), ..Code::INTERNAL.into() })
}

/// A file could not be written.
pub fn disk(error: &impl std::fmt::Display) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(error.to_string()), ..Code::DISK_FULL.into() })
}

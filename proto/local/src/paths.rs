//! Where config, data, state and the control socket of one user are. chatd and chatctl both ask here, so that they agree.
//!
//! `CHAT_HOME` (or `--home`) moves everything under one directory; without it the XDG base directories hold, on Windows `%APPDATA%`
//! and `%LOCALAPPDATA%`. The computation is pure: [`Surroundings`] carries what the environment says, and
//! [`Surroundings::of_process`] is the one place that reads it.

use std::path::{Path, PathBuf};

/// What the environment says, as far as paths depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `--home DIR`; wins over [`Surroundings::chat_home`].
    pub home_flag: Option<PathBuf>,
    /// `CHAT_HOME`.
    pub chat_home: Option<PathBuf>,
    /// The user's home directory: `HOME`, else what the user database says.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    #[cfg(not(windows))]
    pub xdg_config_home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    #[cfg(not(windows))]
    pub xdg_data_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    #[cfg(not(windows))]
    pub xdg_state_home: Option<PathBuf>,
    /// `APPDATA`.
    #[cfg(windows)]
    pub app_data: Option<PathBuf>,
    /// `LOCALAPPDATA`.
    #[cfg(windows)]
    pub local_app_data: Option<PathBuf>,
    /// The current directory, for a relative `CHAT_HOME`: a daemon that detaches leaves it.
    pub current: Option<PathBuf>,
    /// The user's number: `/run/user/<uid>` is computed from it, so that cron, su and ssh find the same socket.
    #[cfg(not(windows))]
    pub uid: u32,
    /// The user's security identifier, a part of the pipe's name.
    #[cfg(windows)]
    pub sid: Option<String>,
}

/// No directory can be named for the user's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// Neither `CHAT_HOME` nor a home directory is known.
    #[cfg_attr(not(windows), error("HOME is not set and the user database names no home directory"))]
    #[cfg_attr(windows, error("USERPROFILE is not set and the system names no profile directory"))]
    NoHome,
    /// The system does not say who the user is.
    #[cfg(windows)]
    #[error("the system does not say which user this is")]
    NoUser,
    /// `CHAT_HOME` is relative and the current directory is gone.
    #[error("CHAT_HOME is a relative path and the current directory cannot be read")]
    NoCurrent,
}

/// The directories and sockets of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The directory that `CHAT_HOME` or `--home` names; pass it on to a chatd that is started.
    pub home: Option<PathBuf>,
    /// Directory of `config.toml`.
    pub config: PathBuf,
    /// Directory of histories: `<profile>/chat.db`.
    pub data: PathBuf,
    /// Directory of keys, known servers, lock, log and `endpoint.json`.
    pub state: PathBuf,
    /// Places of the control socket when nothing else is said, best first; never empty.
    pub sockets: Vec<PathBuf>,
}

/// Name of the config file in [`Layout::config`].
pub const CONFIG_FILE: &str = "config.toml";
/// Name of the file in [`Layout::state`] that says where chatd listens.
pub const ENDPOINT_FILE: &str = "endpoint.json";
/// Name of the log in [`Layout::state`] when chatd keeps one itself.
pub const LOG_FILE: &str = "chatd.log";
/// Name of the lock in [`Layout::state`] that a living chatd holds.
pub const LOCK_FILE: &str = "chatd.lock";
/// Name of the lock in [`Layout::state`] that a chatctl holds while it starts chatd.
pub const SPAWN_LOCK_FILE: &str = "spawn.lock";

impl Surroundings {
    /// Reads the process's environment, user number and current directory.
    pub fn of_process(home_flag: Option<PathBuf>) -> Surroundings {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Surroundings {
            home_flag,
            chat_home: var("CHAT_HOME"),
            home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            #[cfg(not(windows))]
            xdg_config_home: var("XDG_CONFIG_HOME"),
            #[cfg(not(windows))]
            xdg_data_home: var("XDG_DATA_HOME"),
            #[cfg(not(windows))]
            xdg_state_home: var("XDG_STATE_HOME"),
            #[cfg(windows)]
            app_data: var("APPDATA"),
            #[cfg(windows)]
            local_app_data: var("LOCALAPPDATA"),
            current: std::env::current_dir().ok(),
            #[cfg(not(windows))]
            uid: rustix::process::geteuid().as_raw(),
            #[cfg(windows)]
            sid: crate::user::sid().ok(),
        }
    }

    /// The layout that these surroundings ask for.
    pub fn layout(&self) -> Result<Layout, PathsError> {
        match self.home_flag.as_ref().or(self.chat_home.as_ref()) {
            Some(dir) => self.under(self.absolute(dir)?),
            None => self.base_directories(),
        }
    }

    fn under(&self, home: PathBuf) -> Result<Layout, PathsError> {
        Ok(Layout {
            config: home.join("config"),
            data: home.join("data"),
            state: home.join("state"),
            #[cfg(not(windows))]
            sockets: vec![home.join("run/sock")],
            #[cfg(windows)]
            sockets: vec![self.pipe(Some(&home))?],
            home: Some(home),
        })
    }

    #[cfg(not(windows))]
    fn base_directories(&self) -> Result<Layout, PathsError> {
        let state = self.base(self.xdg_state_home.as_ref(), ".local/state")?;
        let run_user = PathBuf::from(format!("/run/user/{}/chat/sock", self.uid));
        Ok(Layout {
            home: None,
            config: self.base(self.xdg_config_home.as_ref(), ".config")?,
            data: self.base(self.xdg_data_home.as_ref(), ".local/share")?,
            sockets: vec![run_user, state.join("run/sock")],
            state,
        })
    }

    #[cfg(windows)]
    fn base_directories(&self) -> Result<Layout, PathsError> {
        let local = self.base(self.local_app_data.as_ref(), r"AppData\Local")?;
        Ok(Layout {
            home: None,
            config: self.base(self.app_data.as_ref(), r"AppData\Roaming")?,
            data: local.join("data"),
            state: local.join("state"),
            sockets: vec![self.pipe(None)?],
        })
    }

    /// The pipe of the user, or of one of his homes. Names of pipes are one list for the whole host: the user's identifier keeps
    /// users apart, a hash keeps homes apart.
    #[cfg(windows)]
    fn pipe(&self, home: Option<&Path>) -> Result<PathBuf, PathsError> {
        use sha2::Digest as _;
        let sid = self.sid.as_ref().ok_or(PathsError::NoUser)?;
        let Some(home) = home else {
            return Ok(format!("{}chat-{sid}", crate::endpoint::PIPE_PREFIX).into());
        };
        // One directory has many spellings; what a chatd wrote down settles those that this does not.
        let spelled = home.to_string_lossy().replace('/', r"\").to_lowercase();
        let hash = sha2::Sha256::digest(spelled.trim_end_matches('\\'));
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}chat-{sid}-{hash}", crate::endpoint::PIPE_PREFIX).into())
    }

    /// A base directory: the variable where it is absolute (the XDG rule ignores others), else its place in the home directory.
    fn base(&self, variable: Option<&PathBuf>, default: &str) -> Result<PathBuf, PathsError> {
        let base = match variable.filter(|path| path.is_absolute()) {
            Some(path) => path.clone(),
            None => self.absolute(self.home.as_ref().ok_or(PathsError::NoHome)?)?.join(default),
        };
        Ok(base.join("chat"))
    }

    fn absolute(&self, path: &Path) -> Result<PathBuf, PathsError> {
        if path.is_absolute() {
            return Ok(path.to_owned());
        }
        let current = self.current.as_ref().ok_or(PathsError::NoCurrent)?;
        Ok(current.join(path).components().collect())
    }
}

impl Layout {
    /// Where chatd listens when no flag and no config says otherwise: the first place whose runtime directory exists
    /// (`/run/user/<uid>`, which the system makes), else the last one, whose directories chatd makes itself.
    pub fn listen_path(&self, exists: impl Fn(&Path) -> bool) -> PathBuf {
        let mut places = self.sockets.iter();
        let last = self.sockets.last().cloned().unwrap_or_default();
        places.find(|place| place.parent().and_then(Path::parent).is_some_and(&exists)).cloned().unwrap_or(last)
    }

    /// Where the user's own service manager takes calls, on a system that has one: beside the first socket's directory.
    pub fn manager(&self) -> Option<PathBuf> {
        let runtime = self.sockets.first()?.parent()?.parent()?;
        Some(runtime.join("systemd/private"))
    }

    /// The config file.
    pub fn config_file(&self) -> PathBuf {
        self.config.join(CONFIG_FILE)
    }

    /// The file that says where chatd listens.
    pub fn endpoint_file(&self) -> PathBuf {
        self.state.join(ENDPOINT_FILE)
    }

    /// The log that chatd keeps itself.
    pub fn log_file(&self) -> PathBuf {
        self.state.join(LOG_FILE)
    }

    /// The lock of a living chatd.
    pub fn lock_file(&self) -> PathBuf {
        self.state.join(LOCK_FILE)
    }

    /// The lock of a chatctl that starts chatd.
    pub fn spawn_lock_file(&self) -> PathBuf {
        self.state.join(SPAWN_LOCK_FILE)
    }

    /// The history of a profile.
    pub fn history_file(&self, profile: &str) -> PathBuf {
        self.data.join(profile).join("chat.db")
    }
}

#[cfg(all(test, not(windows)))]
mod tests {
    use super::*;

    fn alice() -> Surroundings {
        Surroundings {
            home: Some("/home/alice".into()),
            current: Some("/tmp".into()),
            uid: 1000,
            ..Surroundings::default()
        }
    }

    #[test]
    fn base_directories_by_default() {
        let layout = alice().layout().expect("a home is known");
        assert_eq!(layout.config_file(), Path::new("/home/alice/.config/chat/config.toml"));
        assert_eq!(layout.history_file("work"), Path::new("/home/alice/.local/share/chat/work/chat.db"));
        assert_eq!(layout.state, Path::new("/home/alice/.local/state/chat"));
        assert_eq!(layout.sockets[0], Path::new("/run/user/1000/chat/sock"));
        assert_eq!(layout.listen_path(|_| true), layout.sockets[0]);
        assert_eq!(layout.listen_path(|_| false), Path::new("/home/alice/.local/state/chat/run/sock"));
    }

    #[test]
    fn variables_move_them_when_absolute() {
        let surroundings = Surroundings {
            xdg_config_home: Some("/etc/alice".into()),
            xdg_state_home: Some("relative".into()),
            ..alice()
        };
        let layout = surroundings.layout().expect("a home is known");
        assert_eq!(layout.config, Path::new("/etc/alice/chat"));
        assert_eq!(layout.state, Path::new("/home/alice/.local/state/chat"));
    }

    #[test]
    fn chat_home_holds_everything_and_the_flag_wins() {
        let surroundings =
            Surroundings { home_flag: Some("./try".into()), chat_home: Some("/elsewhere".into()), ..alice() };
        let layout = surroundings.layout().expect("a home is known");
        assert_eq!(layout.home.as_deref(), Some(Path::new("/tmp/try")));
        assert_eq!(layout.config, Path::new("/tmp/try/config"));
        assert_eq!(layout.data, Path::new("/tmp/try/data"));
        assert_eq!(layout.state, Path::new("/tmp/try/state"));
        assert_eq!(layout.sockets, [Path::new("/tmp/try/run/sock")]);
        assert_eq!(layout.listen_path(|_| false), layout.sockets[0]);
    }

    #[test]
    fn nothing_known_is_a_clear_error() {
        let nothing = Surroundings::default();
        assert_eq!(nothing.layout(), Err(PathsError::NoHome));
        let relative = Surroundings { chat_home: Some("try".into()), ..nothing };
        assert_eq!(relative.layout(), Err(PathsError::NoCurrent));
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    fn alice() -> Surroundings {
        Surroundings {
            home: Some(r"C:\Users\alice".into()),
            app_data: Some(r"C:\Users\alice\AppData\Roaming".into()),
            local_app_data: Some(r"D:\local".into()),
            current: Some(r"C:\try".into()),
            sid: Some("S-1-5-21-7".into()),
            ..Surroundings::default()
        }
    }

    #[test]
    fn base_directories_by_default() {
        let layout = alice().layout().expect("a home is known");
        assert_eq!(layout.config_file(), Path::new(r"C:\Users\alice\AppData\Roaming\chat\config.toml"));
        assert_eq!(layout.history_file("work"), Path::new(r"D:\local\chat\data\work\chat.db"));
        assert_eq!(layout.state, Path::new(r"D:\local\chat\state"));
        assert_eq!(layout.sockets, [Path::new(r"\\.\pipe\chat-S-1-5-21-7")]);
        assert_eq!(layout.listen_path(Path::exists), layout.sockets[0]);
        let bare = Surroundings { app_data: None, local_app_data: Some("relative".into()), ..alice() };
        let layout = bare.layout().expect("a home is known");
        assert_eq!(layout.config, Path::new(r"C:\Users\alice\AppData\Roaming\chat"));
        assert_eq!(layout.state, Path::new(r"C:\Users\alice\AppData\Local\chat\state"));
    }

    #[test]
    fn chat_home_holds_everything_and_has_a_pipe_of_its_own() {
        let under = |dir: &str| Surroundings { chat_home: Some(dir.into()), ..alice() }.layout().expect("a home");
        let layout = under("home");
        assert_eq!(layout.home.as_deref(), Some(Path::new(r"C:\try\home")));
        assert_eq!(layout.config, Path::new(r"C:\try\home\config"));
        assert_eq!(layout.state, Path::new(r"C:\try\home\state"));
        assert_eq!(under(r"c:/TRY/home\").sockets, layout.sockets);
        assert_ne!(under(r"C:\try\other").sockets, layout.sockets);
        assert!(crate::endpoint::fits(&layout.sockets[0]).is_ok(), "{:?}", layout.sockets);
        assert!(layout.sockets[0].to_string_lossy().starts_with(r"\\.\pipe\chat-S-1-5-21-7-"));
    }

    #[test]
    fn nothing_known_is_a_clear_error() {
        assert_eq!(Surroundings { sid: None, ..alice() }.layout(), Err(PathsError::NoUser));
        assert_eq!(Surroundings { sid: alice().sid, ..Surroundings::default() }.layout(), Err(PathsError::NoHome));
    }
}

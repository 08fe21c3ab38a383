//! Where the control socket may be: the search order of chatctl and chatd, as a pure function.
//!
//! The order must not depend on the caller's environment: cron, su and an ssh command find the same socket as a desktop terminal.
//! Whoever calls (chatctl's connect chain, chatd's start) passes in what was typed, the state directory and the uid.

use std::path::{Path, PathBuf};

use crate::record::Record;

/// Bytes of a socket path that the system takes: `sun_path` less the closing NUL.
pub const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What the search order depends on.
#[derive(Debug, Clone)]
pub struct Where {
    /// `--socket` or `CHAT_SOCKET`: nothing else is tried then.
    pub explicit: Option<PathBuf>,
    /// The state directory of this home.
    pub state_dir: PathBuf,
    /// The user whose runtime directory is meant.
    pub uid: u32,
    /// `CHAT_HOME` or `--home` was given: the runtime directory belongs to the usual home and is skipped.
    pub home_moved: bool,
}

/// How a place came into the search order; error texts name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Typed by the user.
    Explicit,
    /// Read from `endpoint.json`, which a running chatd writes.
    Recorded,
    /// The user's runtime directory, computed from the uid.
    Runtime,
    /// Below the state directory.
    State,
}

/// One place where the control socket may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where the path comes from.
    pub source: Source,
    /// The socket's path (the pipe's name on Windows).
    pub path: PathBuf,
}

impl Endpoint {
    fn new(source: Source, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { source, path }
    }
}

/// The places to try, best first. `recorded` is what [`crate::record::read`] found; chatd passes `None` when it looks for a place
/// to bind.
pub fn candidates(place: &Where, recorded: Option<&Record>) -> Vec<Endpoint> {
    if let Some(path) = &place.explicit {
        return vec![Endpoint::new(Source::Explicit, path)];
    }
    let mut found = Vec::with_capacity(3);
    found.extend(recorded.map(|record| Endpoint::new(Source::Recorded, &record.path)));
    found.extend(runtime(place).map(|path| Endpoint::new(Source::Runtime, path)));
    found.push(Endpoint::new(Source::State, state(place)));
    found.dedup_by(|later, earlier| later.path == earlier.path);
    found
}

#[cfg(unix)]
fn runtime(place: &Where) -> Option<PathBuf> {
    (!place.home_moved).then(|| PathBuf::from(format!("/run/user/{}/chat/sock", place.uid)))
}

#[cfg(not(unix))]
fn runtime(_place: &Where) -> Option<PathBuf> {
    None
}

fn state(place: &Where) -> PathBuf {
    place.state_dir.join("run").join("sock")
}

/// A socket path longer than the system takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the socket path {} has {len} bytes and the system takes {SOCKET_PATH_MAX}; choose a shorter home or --socket", path.display())]
pub struct TooLong {
    /// The path that was asked for.
    pub path: PathBuf,
    /// Its bytes.
    pub len: usize,
}

/// Says whether the system takes `path` as a socket path. The caller decides what to use instead.
pub fn fits(path: &Path) -> Result<(), TooLong> {
    let len = path.as_os_str().len();
    if cfg!(windows) || len <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(TooLong { path: path.to_owned(), len })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn place() -> Where {
        Where { explicit: None, state_dir: "/home/a/.local/state/chat".into(), uid: 1000, home_moved: false }
    }

    fn record(path: &str) -> Record {
        Record { path: path.into(), version: "0.1.0".into(), boot_id: "b".into() }
    }

    fn paths(place: &Where, recorded: Option<&Record>) -> Vec<String> {
        candidates(place, recorded).iter().map(|found| found.path.display().to_string()).collect()
    }

    #[test]
    fn the_order_is_recorded_runtime_state() {
        let state = "/home/a/.local/state/chat/run/sock";
        assert_eq!(paths(&place(), None), ["/run/user/1000/chat/sock", state]);
        assert_eq!(paths(&place(), Some(&record("/x/sock"))), ["/x/sock", "/run/user/1000/chat/sock", state]);
    }

    #[test]
    fn an_explicit_path_stands_alone() {
        let place = Where { explicit: Some("/x/mine".into()), ..place() };
        assert_eq!(candidates(&place, Some(&record("/y"))), [Endpoint::new(Source::Explicit, "/x/mine")]);
    }

    #[test]
    fn a_moved_home_skips_the_runtime_directory() {
        let place = Where { home_moved: true, state_dir: "/tmp/h/state".into(), ..place() };
        assert_eq!(paths(&place, Some(&record("/tmp/h/state/run/sock"))), ["/tmp/h/state/run/sock"]);
    }

    #[test]
    fn the_longest_path_that_fits() {
        let longest = PathBuf::from(format!("/{}", "x".repeat(SOCKET_PATH_MAX - 1)));
        assert_eq!(fits(&longest), Ok(()));
        let longer = longest.join("y");
        assert_eq!(fits(&longer), Err(TooLong { path: longer.clone(), len: SOCKET_PATH_MAX + 2 }));
    }
}

//! Starts chatd where none answers: finds the program, starts it under a lock, waits for its hello. Called by every command that
//! may start it, and by `daemon start`.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[cfg(windows)]
use chat_local::directory::{Directory, OpenError};
use tokio::time::{Instant, sleep};

use crate::daemon::{Daemon, NoDaemon};
use crate::output::Trouble;
use crate::paths::Places;
use crate::time::Clock;
use crate::words::troubles;

/// A chatd that was started says hello within this.
const HELLO_WITHIN: Duration = Duration::from_secs(3);
/// A chatd that detaches is ready or has failed within this; it may have to recover a history first.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often the lock and the child are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes of chatd's last words that are shown.
const LAST_WORDS: u64 = 4096;

/// Starts chatd unless one answers by then; many callers at once start one.
pub async fn start(places: &Places, clock: &Clock) -> Result<Daemon, Trouble> {
    let deadline = Instant::now() + READY_WITHIN;
    let lock = lock_file(places)?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Err(TryLockError::WouldBlock) => return Err(troubles::silent()),
            Err(TryLockError::Error(error)) => {
                return Err(troubles::state_file(&places.layout.spawn_lock_file(), &error));
            }
        }
    }
    // Whoever held the lock may have started it.
    match connect(places, HELLO_WITHIN, clock).await {
        Err(NoDaemon::Absent) => {}
        settled => return settled.map_err(trouble),
    }
    let program = places.chatd().ok_or_else(troubles::no_program)?;
    let started = run(&program, places, deadline).await;
    // The user's systemd may have begun to listen meanwhile, when he logs in just now: then this chatd did not start, but that one does.
    match (connect(places, HELLO_WITHIN, clock).await, started) {
        (Ok(daemon), _) => Ok(daemon),
        (Err(_), Err(failed)) => Err(failed),
        (Err(why), Ok(())) => Err(trouble(why)),
    }
}

async fn connect(places: &Places, within: Duration, clock: &Clock) -> Result<Daemon, NoDaemon> {
    Daemon::connect(&places.sockets(), Instant::now() + within, clock).await
}

fn trouble(why: NoDaemon) -> Trouble {
    match why {
        NoDaemon::Absent => troubles::not_started("it does not answer"),
        NoDaemon::Unusable(trouble) => trouble,
    }
}

fn lock_file(places: &Places) -> Result<File, Trouble> {
    let path = places.layout.spawn_lock_file();
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    private_directory(&places.layout.state)
        .and_then(|()| options.open(&path))
        .map_err(|error| troubles::state_file(&path, &error))
}

/// One that is there is for chatd to judge.
#[cfg(unix)]
fn private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// One that is there is for chatd to judge.
#[cfg(windows)]
fn private_directory(path: &Path) -> std::io::Result<()> {
    match Directory::create(path) {
        Err(OpenError::Io { source, .. }) => Err(source),
        _ => Ok(()),
    }
}

/// Runs chatd, which detaches and returns: success when it is ready, else failure with the reason as the last words on stderr.
async fn run(program: &PathBuf, places: &Places, deadline: Instant) -> Result<(), Trouble> {
    if let Some(scoped) = in_scope(&chatd(program, places), places) {
        match finished(scoped, deadline).await {
            // The codes of systemd-run itself: there is no scope to be had, which is no reason to have no chatd.
            Err(Ended::With(1 | 127, _)) | Err(Ended::NotStarted(_)) => {}
            settled => return settled.map_err(Ended::trouble),
        }
    }
    finished(chatd(program, places), deadline).await.map_err(Ended::trouble)
}

/// The same in a scope of the user's own service manager, where there is one: what is started from a session of a login would else
/// end with it on a host that kills what a session leaves behind.
fn in_scope(command: &Command, places: &Places) -> Option<Command> {
    let manager = places.layout.manager()?;
    if !manager.exists() || places.layout.home.is_some() {
        return None;
    }
    let mut scoped = Command::new("systemd-run");
    crate::units::reachable(&mut scoped);
    scoped
        .args(["--user", "--scope", "--quiet", "--collect", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    Some(scoped)
}

/// How a chatd that was started did not become ready.
enum Ended {
    /// With this code, after these words.
    With(i32, String),
    /// The program could not be run.
    NotStarted(String),
    /// Not in time, or the system does not tell.
    Unknown(String),
}

impl Ended {
    fn trouble(self) -> Trouble {
        match self {
            Ended::With(_, words) => refusal(&words),
            Ended::NotStarted(why) | Ended::Unknown(why) => troubles::not_started(&why),
        }
    }
}

async fn finished(mut command: Command, deadline: Instant) -> Result<(), Ended> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| Ended::NotStarted(error.to_string()))?;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Ok(None) => return Err(Ended::Unknown("it did not become ready in time".to_owned())),
            Err(error) => return Err(Ended::Unknown(error.to_string())),
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(Ended::With(status.code().unwrap_or(-1), last_words(child).await))
}

/// chatd with the places of this call.
pub fn chatd(program: &PathBuf, places: &Places) -> Command {
    let mut command = Command::new(program);
    if let Some(home) = &places.layout.home {
        command.arg("--home").arg(home);
    }
    if let Some(socket) = &places.explicit {
        command.arg("--socket").arg(socket);
    }
    command
}

/// What the failed one said last; bounded in bytes and in time, as a grandchild may hold the pipe.
async fn last_words(mut child: Child) -> String {
    let Some(pipe) = child.stderr.take() else {
        return String::new();
    };
    let read = tokio::task::spawn_blocking(move || {
        let mut words = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.take(LAST_WORDS).read_to_end(&mut words);
        words
    });
    let words = tokio::time::timeout(Duration::from_secs(1), read).await;
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    String::from_utf8_lossy(&words).into_owned()
}

/// chatd's last words: the reason, and below it what it says to run next.
fn refusal(words: &str) -> Trouble {
    let (reason, next) = understood(words);
    match (reason, next) {
        ("", _) => troubles::not_started("it gave no reason"),
        (reason, None) => troubles::not_started(reason),
        (reason, Some(next)) => troubles::not_started_but(reason, next),
    }
}

/// The reason and the next command in what a chatd that failed has printed.
pub fn understood(words: &str) -> (&str, Option<&str>) {
    let mut lines = words.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let last = lines.next().unwrap_or_default();
    let (line, next) = match last.strip_prefix("next: ") {
        Some(next) => (lines.next().unwrap_or_default(), Some(next)),
        None => (last, None),
    };
    (line.strip_prefix("chatd: ").unwrap_or(line), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stands_last_with_the_next_step() {
        assert_eq!(understood("warn\nchatd: config line 12: no\n\n"), ("config line 12: no", None));
        let said = "warn\nchatd: config line 12: no\n  next: chatctl config edit\n";
        assert_eq!(understood(said), ("config line 12: no", Some("chatctl config edit")));
        assert_eq!(understood(""), ("", None));
    }
}

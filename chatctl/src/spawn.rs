//! Starts chatd where none answers: finds the program, starts it under a lock, waits for its hello. Called by every command that
//! may start it, and by `daemon start`.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

fn private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Runs chatd, which detaches and returns: success when it is ready, else failure with the reason as the last words on stderr.
async fn run(program: &PathBuf, places: &Places, deadline: Instant) -> Result<(), Trouble> {
    let mut command = chatd(program, places);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| troubles::not_started(&error.to_string()))?;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Ok(None) => return Err(troubles::not_started("it did not become ready in time")),
            Err(error) => return Err(troubles::not_started(&error.to_string())),
        }
    };
    if status.success() {
        return Ok(());
    }
    let words = last_words(child).await;
    Err(troubles::not_started(if words.is_empty() { "it gave no reason" } else { &words }))
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
    last_line(&String::from_utf8_lossy(&words))
}

fn last_line(words: &str) -> String {
    let line = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.strip_prefix("chatd: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line() {
        assert_eq!(last_line("warn\nchatd: config line 12: no\n\n"), "config line 12: no");
        assert_eq!(last_line(""), "");
    }
}

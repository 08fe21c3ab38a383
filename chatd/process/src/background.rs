//! Goes into the background and tells whoever waits at the terminal how it went. The only user of `daemonize`.
//!
//! daemonize alone reports success before the daemon has done anything, so a pipe of ours is made before the fork: the
//! child writes one line when it serves or has failed, the parent waits for it. Called by `main` before any thread.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use daemonize::{Daemonize, Outcome, Stdio};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::exit;

/// Bytes of the line that the child may send: an error text and its causes.
const LINE_MAX: u64 = 16 * 1024;

/// Which of the two processes we are now.
#[derive(Debug)]
pub enum Role {
    /// The process that was started: prints the verdict and exits.
    Parent(Verdict),
    /// The daemon: goes on and reports through the handle.
    Child(Readiness),
}

/// What became of the daemon, as far as the parent knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves.
    Ready,
    /// It said why it cannot.
    Failed {
        /// The exit code that the parent should end with.
        code: u8,
        /// The text to print.
        text: String,
    },
    /// It ended without a word.
    Died {
        /// Where its last words may be.
        log: Option<PathBuf>,
    },
    /// It has said nothing yet, and goes on.
    Slow {
        /// Where to see what it does.
        log: Option<PathBuf>,
    },
}

impl Verdict {
    /// The code that the parent exits with, and the text that it prints to stderr before.
    pub fn exit(&self) -> (u8, Option<String>) {
        let see =
            |log: &Option<PathBuf>| log.as_ref().map(|log| format!("; see {}", log.display())).unwrap_or_default();
        match self {
            Verdict::Ready => (exit::OK, None),
            Verdict::Failed { code, text } => (*code, Some(text.clone())),
            Verdict::Died { log } => {
                (exit::SOFTWARE, Some(format!("the daemon ended before it was ready{}", see(log))))
            }
            Verdict::Slow { log } => {
                (exit::UNAVAILABLE, Some(format!("the daemon is not ready yet and goes on trying{}", see(log))))
            }
        }
    }
}

/// The child's end of the pipe. Dropping it unused tells the parent that the daemon died.
#[derive(Debug)]
pub struct Readiness(Option<File>);

impl Readiness {
    /// A handle that tells nobody: for a daemon that stays in the foreground.
    pub fn foreground() -> Readiness {
        Readiness(None)
    }

    /// The daemon serves now.
    pub fn ready(self) {
        self.tell("ready");
    }

    /// The daemon gives up; the parent prints `text` and exits with `code`.
    pub fn failed(self, code: u8, text: &str) {
        self.tell(&format!("failed {code} {text}"));
    }

    /// Writes the line at once, so that it is whole or not there.
    fn tell(self, line: &str) {
        if let Some(mut pipe) = self.0 {
            // A parent that is gone does not want to know.
            let _ = pipe.write_all(line.as_bytes());
        }
    }
}

/// Forks. The child has no terminal, `/` as its directory (so paths must be absolute by now), umask 077, and `log` (made
/// 0600, or `/dev/null`) as its stdout and stderr. The parent waits `within` for the child's word.
pub fn detach(log: Option<&Path>, within: Duration) -> io::Result<Role> {
    refuse_threads()?;
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stdout, stderr) = match log {
        Some(path) => {
            let file = open_log(path)?;
            (Stdio::from(file.try_clone()?), Stdio::from(file))
        }
        None => (Stdio::devnull(), Stdio::devnull()),
    };
    let readiness = Readiness(Some(File::from(ours)));
    match Daemonize::new().umask(0o077).stdout(stdout).stderr(stderr).execute() {
        Outcome::Parent(Ok(_)) => {
            // Ours must be closed, or the pipe never ends.
            drop(readiness);
            Ok(Role::Parent(listen(File::from(theirs), log, within)))
        }
        Outcome::Parent(Err(error)) => Err(io::Error::other(error.to_string())),
        Outcome::Child(Ok(_)) => Ok(Role::Child(readiness)),
        Outcome::Child(Err(error)) => {
            readiness.failed(exit::OS, &format!("cannot go into the background: {error}"));
            Err(io::Error::other(error.to_string()))
        }
    }
}

/// A fork keeps one thread; locks that others held would stay locked for ever.
fn refuse_threads() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(io::Error::other("a fork after threads were started"));
    }
    Ok(())
}

/// Opens the log for appending, private, and never through a link that somebody put there (S40).
fn open_log(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags as i32).open(path)
}

/// Waits for the child's line. Threads are harmless now: this process never forks again.
fn listen(pipe: File, log: Option<&Path>, within: Duration) -> Verdict {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let _ = pipe.take(LINE_MAX).read_to_end(&mut line);
        let _ = tell.send(String::from_utf8_lossy(&line).into_owned());
    });
    let log = || log.map(Path::to_owned);
    match told.recv_timeout(within) {
        Ok(line) => understand(&line).unwrap_or_else(|| Verdict::Died { log: log() }),
        Err(_) => Verdict::Slow { log: log() },
    }
}

fn understand(line: &str) -> Option<Verdict> {
    if line == "ready" {
        return Some(Verdict::Ready);
    }
    let (code, text) = line.strip_prefix("failed ")?.split_once(' ')?;
    Some(Verdict::Failed { code: code.parse().ok()?, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(understand("ready"), Some(Verdict::Ready));
        let failed = Verdict::Failed { code: 69, text: "port 7443 is taken\nby someone".into() };
        assert_eq!(understand("failed 69 port 7443 is taken\nby someone"), Some(failed));
        for nothing in ["", "read", "failed", "failed x y", "failed 999 y"] {
            assert_eq!(understand(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_the_parent_says() {
        assert_eq!(Verdict::Ready.exit(), (0, None));
        let (code, text) = Verdict::Died { log: Some("/x/chatd.log".into()) }.exit();
        assert_eq!((code, text.as_deref()), (70, Some("the daemon ended before it was ready; see /x/chatd.log")));
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        assert!(detach(None, Duration::ZERO).is_err());
    }
}

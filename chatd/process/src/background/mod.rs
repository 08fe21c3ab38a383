//! Goes into the background and tells whoever waits at the terminal how it went.
//!
//! The child says one line when it serves or has failed, the parent waits for it. How a child comes to be is the system's matter: a
//! fork on Unix, the program started again on Windows. Called by `main` before any thread.

use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use crate::exit;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

#[cfg(windows)]
pub use system::DETACHED;
pub use system::detach;

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
pub struct Readiness(Option<system::Pipe>);

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
        if let Some(pipe) = self.0 {
            // A parent that is gone does not want to know.
            let _ = system::tell(pipe, line);
        }
    }
}

/// Waits for the child's line. Threads are harmless now: this process never detaches again.
fn listen(pipe: impl Read + Send + 'static, log: Option<PathBuf>, within: Duration) -> Verdict {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = tell.send(system::hear(pipe));
    });
    match told.recv_timeout(within) {
        Ok(line) => understand(&line).unwrap_or(Verdict::Died { log }),
        Err(_) => Verdict::Slow { log },
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

    #[cfg(unix)]
    #[test]
    fn a_process_with_threads_does_not_fork() {
        assert!(detach(None, Duration::ZERO).is_err());
    }
}

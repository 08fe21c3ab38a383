//! A program is the first of a process group of its own, so that it ends with all that it started.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use chat_proto::control::hooks::Outcome;
use chat_proto::limits::HOOK_KILL_AFTER;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::timeout;

use super::Run;

/// Where programs find others, however chatd was started.
pub const SEARCH_PATH: Option<&str> = Some("/usr/local/bin:/usr/bin:/bin");

/// Where what it prints comes from.
pub type Output = pipe::Receiver;

/// Starts it.
pub fn begin(run: &Run) -> io::Result<(Group, Output)> {
    let (mut command, printed) = run.command()?;
    let child = command.process_group(0).spawn()?;
    let number = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok((Group { child, number }, pipe::Receiver::from_owned_fd(OwnedFd::from(printed))?))
}

/// How it ended.
pub fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited { code },
        (None, signal) => Outcome::Killed { signal: signal.unwrap_or_default() },
    }
}

/// A program and everything it started, as long as that stays in its process group.
pub struct Group {
    /// The program.
    pub child: Child,
    /// The group; nothing once the program ended by itself.
    number: Option<Pid>,
}

impl Group {
    /// The program has ended: what it left running is its own.
    pub fn leave(&mut self) {
        self.number = None;
    }

    /// Asks it to end, and after a while makes it.
    pub async fn end(&mut self) {
        self.signal(Signal::TERM);
        let _ = timeout(HOOK_KILL_AFTER, self.child.wait()).await;
        self.signal(Signal::KILL);
        self.number = None;
        let _ = self.child.wait().await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(number) = self.number {
            // It may have ended meanwhile.
            let _ = kill_process_group(number, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

//! The fork. The only user of `daemonize`, which alone reports success before the daemon has done anything: a pipe of ours is made
//! before the fork.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use daemonize::{Daemonize, Outcome, Stdio};
use rustix::fs::OFlags;

use super::{LINE_MAX, Readiness, Role, listen};
use crate::{exit, runtime};

/// The child's end.
pub(super) type Pipe = File;

/// Forks. The child has no terminal, `/` as its directory (so paths must be absolute by now), umask 077, and `log` (made
/// 0600, or `/dev/null`) as its stdout and stderr. The parent waits `within` for the child's word.
pub fn detach(log: Option<&Path>, within: Duration) -> io::Result<Role> {
    refuse_threads()?;
    let (theirs, ours) = io::pipe()?;
    let (stdout, stderr) = match log {
        Some(path) => {
            let file = open_log(path)?;
            (Stdio::from(file.try_clone()?), Stdio::from(file))
        }
        None => (Stdio::devnull(), Stdio::devnull()),
    };
    let readiness = Readiness(Some(Pipe::from(OwnedFd::from(ours))));
    match Daemonize::new().umask(0o077).stdout(stdout).stderr(stderr).execute() {
        Outcome::Parent(Ok(_)) => {
            // Ours must be closed, or the pipe never ends.
            drop(readiness);
            Ok(Role::Parent(listen(theirs, log.map(Path::to_owned), within)))
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
    if runtime::threads_now() > 1 {
        return Err(io::Error::other("a fork after threads were started"));
    }
    Ok(())
}

/// Opens the log for appending, private, and never through a link that somebody put there (S40).
fn open_log(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags as i32).open(path)
}

pub(super) fn tell(mut pipe: Pipe, line: &str) -> io::Result<()> {
    pipe.write_all(line.as_bytes())
}

/// The line ends with the pipe.
pub(super) fn hear(pipe: impl Read) -> String {
    let mut line = Vec::new();
    // What came before an error is still worth knowing.
    let _ = pipe.take(LINE_MAX).read_to_end(&mut line);
    String::from_utf8_lossy(&line).into_owned()
}

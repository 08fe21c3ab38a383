//! What a daemon gives up for good once it runs: programs, files that are not its own, ports and kinds of sockets that it has no use
//! for, calls that only an attacker wants. Landlock holds files and ports, seccomp the calls.
//!
//! A daemon says as plain data what it needs ([`Rules`]); nothing here knows a daemon. `main` calls [`confine`] in its only thread,
//! when the directories are there: both restrictions hold for that thread and all that it starts from then on. A kernel that lacks
//! one of the two is named by the answer, for its daemon to be loud about; one that has it and refuses to apply it is an error.

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod seccomp;

use std::fmt;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub use seccomp::{Asked, Verdict, verdict};

/// What a daemon may still do. Everything else of its kind is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Files, and directories with all below them, that may be read. One that is not there is left out.
    pub read: Vec<PathBuf>,
    /// Directories below which everything may be read, written, made, removed and renamed. They must be there. Devices and FIFOs are
    /// made nowhere, and nothing is executed, here or elsewhere.
    pub write: Vec<PathBuf>,
    /// TCP ports that may be bound; 0 stands for any that the system picks.
    pub bind: Vec<u16>,
    /// TCP connections may be made.
    pub connect: bool,
    /// The system's addresses and routes may be asked for (a netlink socket of kind ROUTE).
    pub routes: bool,
    /// Abstract sockets of others may be reached, as some supervisors have one.
    pub abstract_sockets: bool,
    /// Modes of files may be changed by their paths. Landlock does not ask where.
    pub modes: bool,
}

/// What the running kernel can do of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Landlock, of an ABI that lets files move between directories (2, Linux 5.19).
    pub landlock: bool,
    /// Filters of system calls, for this processor.
    pub seccomp: bool,
}

impl Kernel {
    /// Of a system without either.
    pub const NONE: Kernel = Kernel { landlock: false, seccomp: false };

    /// Asks the running one.
    #[cfg(target_os = "linux")]
    pub fn look() -> Kernel {
        Kernel { landlock: landlock::is_there(), seccomp: seccomp::is_there() }
    }

    /// Other systems have neither.
    #[cfg(not(target_os = "linux"))]
    pub fn look() -> Kernel {
        Kernel::NONE
    }
}

/// What holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confined {
    /// Landlock's ABI; nothing where the kernel lacks it.
    pub landlock: Option<u32>,
    /// The filter of system calls.
    pub seccomp: bool,
}

impl Confined {
    /// What the kernel lacks, for an operator; nothing where neither is missing. A service manager's own filter of system calls looks
    /// as an old kernel does.
    pub fn lacks(&self) -> Option<&'static str> {
        match (self.landlock, self.seccomp) {
            (Some(_), true) => None,
            (None, true) => Some(NO_LANDLOCK),
            (Some(_), false) => Some(NO_SECCOMP),
            (None, false) => Some(NEITHER),
        }
    }
}

const NO_LANDLOCK: &str =
    "files are not confined: no Landlock here; Linux 5.19 or newer has it, where no SystemCallFilter hides it";
const NO_SECCOMP: &str = "system calls are not confined: no seccomp here";
const NEITHER: &str = if cfg!(target_os = "linux") {
    "nothing is confined: no Landlock and no seccomp here; Linux 5.19 or newer has both"
} else {
    "nothing is confined: this system has nothing to confine it with"
};

/// `landlock ABI 7 + seccomp`.
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.landlock, self.seccomp) {
            (Some(abi), true) => write!(f, "landlock ABI {abi} + seccomp"),
            (Some(abi), false) => write!(f, "landlock ABI {abi}"),
            (None, true) => f.write_str("seccomp"),
            (None, false) => f.write_str("none"),
        }
    }
}

/// Why a sandbox that the kernel has was not applied. The daemon must not go on without it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A restriction of one thread would not hold for the others.
    #[error("the sandbox cannot be applied: {0} threads run already")]
    Threads(usize),
    /// A directory of [`Rules::write`].
    #[error("the sandbox cannot be applied: {}: {said}", path.display())]
    Place {
        /// Which.
        path: PathBuf,
        /// What the system said.
        said: String,
    },
    /// The kernel refused.
    #[error("the sandbox cannot be applied: {part}: {said}")]
    Refused {
        /// `landlock` or `seccomp`.
        part: &'static str,
        /// What it said.
        said: String,
    },
}

/// Gives up everything that the rules do not name, as far as this kernel can hold it. There is no way back.
#[cfg(target_os = "linux")]
pub fn confine(rules: &Rules, kernel: Kernel) -> Result<Confined, SandboxError> {
    alone()?;
    let landlock = if kernel.landlock { Some(landlock::apply(rules)?) } else { None };
    if kernel.seccomp {
        seccomp::apply(rules)?;
    }
    Ok(Confined { landlock, seccomp: kernel.seccomp })
}

/// Whether this is the only thread. One that was waited for is seen for a moment longer.
#[cfg(target_os = "linux")]
fn alone() -> Result<(), SandboxError> {
    let began = std::time::Instant::now();
    loop {
        let threads = crate::runtime::threads_now();
        if threads <= 1 {
            return Ok(());
        }
        if began.elapsed() > LINGERING {
            return Err(SandboxError::Threads(threads));
        }
        std::thread::yield_now();
    }
}

/// A thread that has ended is gone far sooner.
#[cfg(target_os = "linux")]
const LINGERING: std::time::Duration = std::time::Duration::from_millis(500);

/// Other systems have none.
#[cfg(not(target_os = "linux"))]
pub fn confine(_: &Rules, _: Kernel) -> Result<Confined, SandboxError> {
    Ok(Confined::default())
}

/// One line in the log, as soon as there is one, and a loud one where something is missing. `daemon` is what is confined; nothing
/// holds where the configuration asks for none.
pub fn tell(daemon: &str, confined: Option<Confined>) {
    match confined.map(|confined| (confined, confined.lacks())) {
        None => tracing::warn!("the sandbox is off by configuration"),
        Some((confined, None)) => tracing::info!(%confined, "{daemon} is confined"),
        Some((confined, Some(lack))) => tracing::warn!(%confined, "{lack}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_named() {
        let said = |landlock, seccomp| Confined { landlock, seccomp }.to_string();
        assert_eq!(said(Some(7), true), "landlock ABI 7 + seccomp");
        assert_eq!(said(None, true), "seccomp");
        assert_eq!(said(None, false), "none");
    }

    #[test]
    fn what_is_missing_is_named() {
        let lacks = |landlock, seccomp| Confined { landlock, seccomp }.lacks();
        assert_eq!(lacks(Some(7), true), None);
        assert!(lacks(None, true).is_some_and(|text| text.contains("5.19")));
        assert_eq!(lacks(Some(7), false), Some(NO_SECCOMP));
        assert_eq!(lacks(None, false), Some(NEITHER));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_with_threads_is_not_confined() {
        let error = confine(&Rules::default(), Kernel::NONE).expect_err("the test runner has threads");
        assert!(matches!(error, SandboxError::Threads(2..)), "{error}");
    }
}

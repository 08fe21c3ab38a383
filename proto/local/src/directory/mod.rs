//! Directories and files that only their owner may touch: opened without following a link, and judged before they are used. The
//! lock, the listener, the endpoint record and the dialling side use it, and chatd for all that it keeps.

use std::io;
use std::path::{Path, PathBuf};

use crate::refusal::cannot_use;

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub use system::Directory;
#[cfg(unix)]
pub(crate) use system::{is_ours, kind};

impl Directory {
    /// Opens the directory, making it (and its missing parents) for our user alone first: mode 0700 on Unix.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        match Self::open(path) {
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            settled => return settled,
        }
        system::make(path).map_err(|source| OpenError::io(path, source))?;
        Self::open(path)
    }
}

/// The rule that a directory or file breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A link could be pointed elsewhere at any time.
    #[error("it must not be a symbolic link")]
    NoLink,
    /// Something else has that name.
    #[error("it must be a directory")]
    Directory,
    /// FIFOs, devices and sockets are refused where a file is meant.
    #[error("it must be a regular file")]
    RegularFile,
    /// Another name for the same file lies elsewhere.
    #[error("it must not have a second hard link")]
    OneLink,
    /// Another user made it.
    #[error("it must belong to you")]
    Owner,
    /// Group or others have rights in it.
    #[cfg_attr(unix, error("group and others must have no rights in it"))]
    #[cfg_attr(windows, error("only you, administrators and the system may have rights in it"))]
    Private,
}

/// A directory or file that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(unix, error("{} (owner {owner}, mode {mode:04o}) is not safe to use: {rule}", path.display()))]
#[cfg_attr(windows, error("{} is not safe to use: {rule}", path.display()))]
pub struct Unsafe {
    /// What was looked at.
    pub path: PathBuf,
    /// Its owner's uid.
    #[cfg(unix)]
    pub owner: u32,
    /// Its permission bits.
    #[cfg(unix)]
    pub mode: u32,
    /// What it breaks.
    pub rule: Rule,
}

/// Why a private directory or file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is there and must not be used.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// The system refused.
    #[error("{}", cannot_use(path, source))]
    Io {
        /// What was to be opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    fn io(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), source: source.into() }
    }
}

//! The lock of one home: whoever holds `<state>/chatd.lock` is its chatd, for life. It lies in the state directory, so that two
//! environments cannot make two daemons, and only its holder may remove a stale socket (S36).
//!
//! The lock is the kernel's, not the file's existence: it ends with the process, however that ends, and the file stays.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::listener::BindError;

/// Name of the file in the state directory.
pub const FILE: &str = "chatd.lock";

/// The right to be the chatd of a home; given up by dropping it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock or says that another chatd lives. The state directory is made with mode 0700 when it is missing.
    pub fn take(state_dir: &Path) -> Result<Self, BindError> {
        let path = state_dir.join(FILE);
        let file = open(state_dir)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, path }),
            Err(TryLockError::WouldBlock) => Err(BindError::AlreadyRunning { lock: path }),
            Err(TryLockError::Error(source)) => Err(BindError::Io { doing: "lock", path, source }),
        }
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
fn open(state_dir: &Path) -> Result<File, BindError> {
    Ok(crate::directory::Directory::create(state_dir)?.open_file(FILE, true)?)
}

#[cfg(windows)]
fn open(state_dir: &Path) -> Result<File, BindError> {
    let path = state_dir.join(FILE);
    let opened = std::fs::create_dir_all(state_dir)
        .and_then(|()| File::options().read(true).write(true).create(true).truncate(false).open(&path));
    opened.map_err(|source| BindError::Io { doing: "open", path, source })
}

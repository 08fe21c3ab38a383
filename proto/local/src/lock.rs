//! The lock of one home: whoever holds `<state>/chatd.lock` is its chatd, for life. It lies in the state directory, so that two
//! environments cannot make two daemons, and only its holder may remove a stale socket (S36).
//!
//! The lock is the kernel's, not the file's existence: it ends with the process, however that ends, and the file stays.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::directory::Directory;
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
    /// Takes the lock or says that another chatd lives. The state directory is made, for our user alone, when it is missing.
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

fn open(state_dir: &Path) -> Result<File, BindError> {
    Ok(Directory::create(state_dir)?.open_file(FILE, true)?)
}

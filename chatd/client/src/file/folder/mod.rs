//! The folder that files are received into, held open: what is done with names in it, with no link followed below it. Used by `target`.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

pub use system::{Folder, write_at};

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its size in bytes.
    pub size: u64,
    /// It is a regular file.
    pub is_file: bool,
}

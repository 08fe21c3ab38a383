//! chatd's birth on Windows: no socket is handed over, the command that frees a taken name, what the system says of itself.

use std::path::{Path, PathBuf};

use chat_local::listener::{BindError, Listener};
use chat_local::lock::Lock;
use chat_process::inherit::Socket;

/// What hooks may know of the environment: where programs are, who the user is, where his files and those of the system lie.
pub const INHERITED: &[&str] = &[
    "HOME",
    "PATH",
    "PATHEXT",
    "SystemRoot",
    "SystemDrive",
    "ComSpec",
    "TEMP",
    "TMP",
    "USERNAME",
    "USERPROFILE",
    "APPDATA",
    "LOCALAPPDATA",
    "TZ",
];
/// The command that lets more files be open: there is no limit to raise.
pub const MORE_FILES: &str = "chatctl doctor";

/// Nothing is handed over.
pub fn path(given: &Socket) -> Option<PathBuf> {
    match *given {}
}

/// Nothing is handed over.
pub fn adopt(_: Lock, given: Socket) -> Result<Listener, BindError> {
    match given {}
}

/// The command that shows who has the pipe's name: it is free again when that process ends.
pub fn freed(_pipe: &Path) -> String {
    "chatctl daemon status".to_owned()
}

/// This host's name; empty where it has none.
pub fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default().to_lowercase()
}

/// This boot of the host has no name: a pipe ends with its chatd, so nothing of an earlier boot can be taken for a living one.
pub fn boot_id() -> String {
    String::new()
}

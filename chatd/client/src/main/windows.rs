//! chatd's birth on Windows: no socket is handed over, commands that mend what is refused, what the system says of itself.

use std::path::PathBuf;

use chat_local::directory::Rule;
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

/// The command that makes a directory or file what it must be.
pub fn mended(rule: Rule, name: &str) -> String {
    match rule {
        Rule::Private => format!("icacls {name} /inheritance:r /grant:r \"%USERNAME%:(OI)(CI)F\""),
        Rule::Owner => format!("takeown /f {name}"),
        Rule::NoLink | Rule::Directory | Rule::RegularFile | Rule::OneLink => aside(name),
    }
}

/// The command that shows who has the pipe's name: it is free again when that process ends.
pub fn freed(_name: &str) -> String {
    "chatctl daemon status".to_owned()
}

fn aside(name: &str) -> String {
    format!("move {name} {name}.old")
}

/// The command that shows who may do what with it.
pub fn look(name: &str) -> String {
    format!("icacls {name}")
}

/// This host's name; empty where it has none.
pub fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default().to_lowercase()
}

/// This boot of the host has no name: a pipe ends with its chatd, so nothing of an earlier boot can be taken for a living one.
pub fn boot_id() -> String {
    String::new()
}

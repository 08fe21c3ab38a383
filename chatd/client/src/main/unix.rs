//! chatd's birth on Unix: the socket of a service manager, the command that frees a taken name, what the system says of itself.

use std::path::{Path, PathBuf};

use chat_local::listener::{BindError, Listener};
use chat_local::lock::Lock;
use chat_local::mend;
use chat_process::inherit::Socket;

/// What hooks may know of the environment: who the user is, the language, the time zone.
pub const INHERITED: &[&str] = &["HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"];
/// The command that lets more files be open.
pub const MORE_FILES: &str = "ulimit -n 1024";

/// The path of a socket that was handed over.
pub fn path(given: &Socket) -> Option<PathBuf> {
    let Socket::Local(given) = given else { return None };
    given.local_addr().ok()?.as_pathname().map(PathBuf::from)
}

/// Listens on the socket that was handed over.
pub fn adopt(lock: Lock, given: Socket) -> Result<Listener, BindError> {
    match given {
        Socket::Local(given) => lock.adopt(given.into()),
        _ => Err(BindError::NotListening),
    }
}

/// The command that frees the socket's place.
pub fn freed(socket: &Path) -> String {
    mend::aside(socket)
}

/// This host's name; empty where it has none.
pub fn host() -> String {
    said("/proc/sys/kernel/hostname")
}

/// This boot of the host.
pub fn boot_id() -> String {
    said("/proc/sys/kernel/random/boot_id")
}

fn said(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

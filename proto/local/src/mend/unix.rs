//! Commands of a POSIX shell. A name is quoted already.

pub fn private(name: &str) -> String {
    format!("chmod go= {name}")
}

/// Only root gives files away, and may have no sudo.
pub fn owned(name: &str) -> String {
    match rustix::process::geteuid() {
        root if root.is_root() => format!("chown 0 {name}"),
        user => format!("sudo chown {} {name}", user.as_raw()),
    }
}

pub fn aside(name: &str) -> String {
    format!("mv {name} {name}.old")
}

pub fn look(name: &str) -> String {
    format!("ls -ld {name}")
}

//! What a server that runs still needs of the system, as rules for [`chat_process::sandbox`]. Called by `main` before the first
//! thread, and at a reload, which can reach no farther than the server could at its start.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use chat_process::sandbox::{Confined, Rules};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::config::values::Switch;
use crate::files;

/// Read by the C library and the runtime: names of users, the number of processors, what this process uses.
const SYSTEM: &[&str] = &[
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/lib",
    "/lib64",
    "/proc/self",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/dev/urandom",
];

/// How the server is confined, for its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The configuration asks for it.
    pub wanted: bool,
    /// Landlock's ABI, where the kernel has it.
    pub landlock: Option<u32>,
    /// The filter of system calls.
    pub seccomp: bool,
}

impl Sandbox {
    /// Of a server whose configuration asks for none.
    pub fn off() -> Sandbox {
        Sandbox { wanted: false, landlock: None, seccomp: false }
    }

    /// As it was applied.
    pub fn of(confined: Confined) -> Sandbox {
        Sandbox { wanted: true, landlock: confined.landlock, seccomp: confined.seccomp }
    }

    /// What the kernel lacks of it; nothing where nothing is missing or none is wanted.
    pub fn lacks(&self) -> Option<&'static str> {
        if self.wanted { Confined { landlock: self.landlock, seccomp: self.seccomp }.lacks() } else { None }
    }
}

/// Makes the directories that the server makes at its first use of them: later it could not. What cannot be made is told where it is
/// used.
pub fn prepare(config: &Config) {
    let _ = files::make_dir(&config.backups, 0o700);
    if let Some(above) = config.admin_socket.parent() {
        let _ = files::make_dir(above, 0o750);
    }
}

/// What the server may do; `supervisor` is NOTIFY_SOCKET.
pub fn rules(config: &Config, supervisor: Option<&OsStr>) -> Rules {
    let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    read.extend(around(config.files.first()));
    read.extend([&config.cert, &config.key].into_iter().flat_map(|file| around(Some(file))));
    let own = [&config.data, &config.run, &config.backups].into_iter().cloned();
    let above = [Some(&config.admin_socket), config.credentials.as_ref()].into_iter().flatten();
    let above = above.flat_map(|file| around(Some(file)));
    // What is not there now is an error of its own, told by whoever needs it.
    let write = own.chain(above).filter(|path| path.is_dir()).collect();
    let ports = config.listen.iter().chain(&config.http).chain(&config.relay).map(|address| address.port());
    Rules {
        read,
        write,
        bind: ports.collect(),
        connect: false,
        routes: false,
        abstract_sockets: supervisor.is_some_and(|path| path.as_encoded_bytes().first() == Some(&b'@')),
        // The admin socket gets its mode while it has another name.
        modes: true,
    }
}

/// The directory of a file, in which it may be replaced by another, and that of what it is a link to: nothing else is seen there when
/// the file has changed. A file right below the root has none that could be given away.
fn around(file: Option<&PathBuf>) -> Vec<PathBuf> {
    let Some(file) = file else { return Vec::new() };
    let target = file.canonicalize().ok();
    [Some(file), target.as_ref()].into_iter().flatten().map(|file| place(file)).collect()
}

fn place(file: &Path) -> PathBuf {
    match file.parent() {
        Some(above) if above.as_os_str().is_empty() => PathBuf::from("."),
        Some(above) if above.parent().is_some() => above.to_owned(),
        _ => file.to_owned(),
    }
}

/// Keys of a fresh configuration that name places beyond the rules of the start: they count from the next one.
pub fn beyond(rules: &Rules, fresh: &Config) -> Vec<(&'static str, PathBuf)> {
    let covers = |all: &[PathBuf], path: &Path| {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        all.iter().any(|place| path.starts_with(place.canonicalize().as_ref().unwrap_or(place)))
    };
    let mut keys = Vec::new();
    for (key, path) in [("tls.cert", &fresh.cert), ("tls.key", &fresh.key)] {
        if !covers(&rules.read, path) && !covers(&rules.write, path) {
            keys.push((key, path.clone()));
        }
    }
    if !covers(&rules.write, &fresh.backups) {
        keys.push(("backup.dir", fresh.backups.clone()));
    }
    keys
}

/// Whether the configuration asks for it.
pub fn is_wanted(config: &Config) -> bool {
    config.keys.sandbox == Switch::On
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Layout};

    fn config(dir: &Path) -> Config {
        for name in ["data", "run", "backups", "tls"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        config::usual(&Layout::new(Some(dir), None), "host").unwrap()
    }

    #[test]
    fn it_keeps_to_its_own_directories_and_ports() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let rules = rules(&config, None);
        assert_eq!(rules.bind, [7443]);
        let own = ["data", "run", "backups", "run"].map(|name| dir.path().join(name));
        assert_eq!(rules.write, own);
        assert!(!rules.connect && !rules.routes && !rules.abstract_sockets);
        assert!(rules.read.contains(&dir.path().join("tls")));
        assert!(!rules.read.iter().any(|path| path == Path::new("/") || path == Path::new("/etc")));
    }

    #[test]
    fn a_supervisor_with_an_abstract_socket_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        assert!(rules(&config, Some(OsStr::new("@/org/x"))).abstract_sockets);
        assert!(!rules(&config, Some(OsStr::new("/run/systemd/notify"))).abstract_sockets);
    }

    #[test]
    fn places_of_a_later_configuration_are_known_as_beyond() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = config(dir.path());
        let rules = rules(&config, None);
        assert!(beyond(&rules, &config).is_empty());
        let moved = Config { key: other.path().join("k.pem"), backups: other.path().to_owned(), ..config };
        let keys: Vec<&str> = beyond(&rules, &moved).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["tls.key", "backup.dir"]);
    }

    #[test]
    fn nothing_is_missing_where_none_is_wanted() {
        assert_eq!(Sandbox::off().lacks(), None);
        let none = Confined::default();
        assert!(none.lacks().is_some());
        assert_eq!(Sandbox::of(none).lacks(), none.lacks());
    }

    #[test]
    fn a_file_is_replaced_in_its_directory() {
        let placed = |file: &str| place(Path::new(file));
        assert_eq!(placed("/srv/tls/key.pem"), Path::new("/srv/tls"));
        assert_eq!(placed("key.pem"), Path::new("."));
        assert_eq!(placed("/key.pem"), Path::new("/key.pem"), "the whole root is not given away");
    }
}

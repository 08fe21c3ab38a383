//! What a chatd that runs still needs of the system, as rules for [`chat_process::sandbox`]. Called by `main` before the first thread.
//! It starts no program and opens no file of its user outside its own directories and the folder for received files: hooks and files
//! to send are the runner's ([`crate::runner`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chat_local::directory::Directory;
use chat_local::paths::Layout;
use chat_process::sandbox::Rules;

use crate::file::Folder;

/// Read by the C library, by TLS and by iroh: names of hosts and how to look them up, authorities, time zones, interfaces and routes.
const SYSTEM: &[&str] = &[
    "/dev/urandom",
    "/etc",
    "/lib",
    "/lib64",
    "/proc/self",
    "/proc/sys/kernel",
    "/proc/sys/net",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sys/class/net",
    "/sys/devices",
    "/sys/fs/cgroup",
    "/usr",
    "/var/lib/ca-certificates",
];

/// What `main` found in the environment.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where authorities are instead of in the usual places: SSL_CERT_FILE, SSL_CERT_DIR.
    pub authorities: Vec<PathBuf>,
    /// NOTIFY_SOCKET.
    pub supervisor: Option<OsString>,
}

/// Makes the directories that chatd makes at its first use of them: later it could not. What cannot be made is told where it is used.
pub fn prepare(layout: &Layout, socket: &Path, received: &Path) {
    for own in [Some(layout.state.as_path()), Some(layout.data.as_path()), socket.parent()].into_iter().flatten() {
        let _ = Directory::create(own);
    }
    // As a user makes a folder: private, since chatd's umask is.
    let _ = Folder::make(received);
}

/// What chatd may do; `received` is the folder for received files.
pub fn rules(layout: &Layout, socket: &Path, received: &Path, around: &Surroundings) -> Rules {
    let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    read.extend(around.authorities.iter().cloned());
    let own = [Some(layout.state.as_path()), Some(layout.data.as_path()), socket.parent(), Some(received)];
    // What is not there now is an error of its own, told by whoever needs it.
    let write = own.into_iter().flatten().filter(|path| path.is_dir()).map(Path::to_owned).collect();
    let abstract_sockets =
        around.supervisor.as_ref().is_some_and(|path| path.as_encoded_bytes().first() == Some(&b'@'));
    Rules { read, write, bind: Vec::new(), connect: true, routes: true, abstract_sockets, modes: false }
}

// It keeps to them on Linux alone.
#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use chat_local::paths;

    #[test]
    fn it_keeps_to_its_own_directories() {
        let home = tempfile::tempdir().expect("a directory");
        let home_flag = Some(home.path().to_owned());
        let layout = paths::Surroundings { home_flag, ..Default::default() }.layout().expect("a layout");
        let (socket, received) = (layout.listen_path(|_| false), home.path().join("Downloads"));
        let around = Surroundings { authorities: vec!["/srv/ca.pem".into()], supervisor: None };
        assert!(rules(&layout, &socket, &received, &around).write.is_empty(), "nothing is there yet");
        prepare(&layout, &socket, &received);
        let rules = rules(&layout, &socket, &received, &around);
        let own = ["state", "data", "run", "Downloads"].map(|name| home.path().join(name));
        assert_eq!(rules.write, own);
        assert!(rules.read.contains(&"/srv/ca.pem".into()));
        assert!(!rules.read.iter().any(|path| home.path().starts_with(path)), "nothing of the user is read");
        assert!(rules.connect && rules.routes && rules.bind.is_empty() && !rules.modes && !rules.abstract_sockets);
        let around = Surroundings { supervisor: Some("@x".into()), ..around };
        assert!(super::rules(&layout, &socket, &received, &around).abstract_sockets);
    }
}

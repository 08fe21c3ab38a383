//! What a supervisor hears, over a real socket: this program starts itself with NOTIFY_SOCKET set.
#![cfg(target_os = "linux")]

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use chat_process::notify::Supervisor;

/// The daemon's part. Run by itself there is no supervisor, and then it must be silent and do no harm.
#[test]
fn a_daemon_speaks() {
    let supervisor = Supervisor::new(std::env::var_os("NOTIFY_SOCKET").is_some());
    supervisor.ready();
    supervisor.reloading();
    supervisor.status("two\nlines");
    supervisor.alive();
    supervisor.stopping();
    let due = std::env::var_os("WATCHDOG_USEC").map(|_| Duration::from_secs(5));
    assert_eq!(supervisor.watchdog(), due);
}

#[test]
fn a_supervisor_hears() {
    let path = std::env::temp_dir().join(format!("chat-process-notify-{}", std::process::id()));
    let socket = UnixDatagram::bind(&path).unwrap();
    let daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_daemon_speaks"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "10000000")
        .env_remove("WATCHDOG_PID")
        .output()
        .unwrap();
    assert!(daemon.status.success(), "{daemon:?}");
    std::fs::remove_file(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for expected in ["READY=1\n", "RELOADING=1\nMONOTONIC_USEC=", "STATUS=two lines\n", "WATCHDOG=1\n", "STOPPING=1\n"]
    {
        let mut heard = [0; 256];
        let length = socket.recv(&mut heard).unwrap();
        let heard = String::from_utf8_lossy(&heard[..length]);
        assert!(heard.starts_with(expected), "{heard:?} instead of {expected:?}");
    }
}

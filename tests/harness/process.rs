//! Processes under test: where the binaries are, waiting for facts, ending a process for certain. Called by every other harness file.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::build::Build;

/// How long a test waits for a fact that should hold within milliseconds: long enough for a busy machine, short enough to fail in.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A binary under test: from `CHAT_BIN_DIR`, else beside the test's own target directory.
pub fn binary(name: &str) -> PathBuf {
    let dir = match std::env::var_os("CHAT_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let own = std::env::current_exe().expect("the path of the running test");
            let deps = own.parent().expect("a file has a folder");
            if deps.ends_with("deps") {
                deps.parent().expect("deps lies in the profile's folder").to_path_buf()
            } else {
                deps.to_path_buf()
            }
        }
    };
    let path = dir.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run tests/run, or cargo build -p chatd -p chat-server -p chatctl with the same profile",
        path.display()
    );
    path
}

/// A command of the build under test, see [`Build::command`].
pub fn command(name: &str) -> Command {
    Build::Tested.command(name)
}

/// The same command run by another program, say strace, whose arguments come first.
pub fn wrapped(wrap: &[String], inner: Command) -> Command {
    let Some((program, arguments)) = wrap.split_first() else {
        return inner;
    };
    let mut outer = Command::new(program);
    outer.args(arguments).arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null()).env_clear();
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            outer.env(name, value);
        }
    }
    outer
}

/// Wait until `fact` gives something; panics with `what` when that takes longer than [`PATIENCE`].
pub fn until<T>(what: &str, fact: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, fact) {
        Some(value) => value,
        None => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Wait until `fact` gives something, at most `time`.
pub fn within<T>(time: Duration, mut fact: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        if let Some(value) = fact() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        pause(Duration::from_millis(10));
    }
}

/// Let some time pass between two looks at a fact, or between two faults; never in place of waiting for a fact.
pub fn pause(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// The process that listens on this local socket, as the kernel knows it.
pub fn listener_pid(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Send a signal; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// True while the process runs; one that ended and waits to be reaped does not run. Its first thread may be gone while others
/// still hold its sockets: then it runs.
pub fn alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let ended = matches!(stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().as_bytes()), Some([b'Z' | b'X', ..]));
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    !ended || threads > 1
}

/// kill -9 and wait until it is gone.
pub fn kill_hard(pid: u32) {
    signal(pid, Signal::KILL);
    until("a killed process is gone", || (!alive(pid)).then_some(()));
}

/// kill -9 a child and reap it.
pub fn kill_child(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The last lines of a log file, for the report of a failed test.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

//! What a killed daemon leaves behind. A test program of its own: a child copies every open descriptor for a moment between fork and
//! exec, and with it the locks that tests beside it give up.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chat_local::paths::Surroundings;
use chat_local::{BindError, DialError, bind, connect};
use tokio::time::Instant;

/// Set for the child process that is killed while it listens: its home.
const VICTIM: &str = "CHAT_LOCAL_TEST_VICTIM";

/// The socket and the state directory of a home.
fn places(home: &Path) -> (PathBuf, PathBuf) {
    let mut layout = Surroundings::of_process(Some(home.to_owned())).layout().expect("a home");
    (layout.sockets.remove(0), layout.state)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// No test by itself: what the test below starts and kills.
#[tokio::test]
async fn victim() {
    let Some(home) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let (path, state) = places(&home);
    let _listener = bind(&path, &state).expect("bound");
    eprintln!("listening");
    std::future::pending::<()>().await;
}

fn start_victim(home: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, home)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("listening")));
    child
}

#[tokio::test]
async fn the_socket_of_a_killed_daemon_is_taken_over() {
    let home = tempfile::tempdir().expect("a directory to play in");
    let (path, state) = places(home.path());
    for _ in 0..3 {
        let mut child = start_victim(home.path());
        connect(&path, soon()).await.expect("it lives");
        assert!(matches!(bind(&path, &state), Err(BindError::AlreadyRunning { .. })));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        // A pipe's name ends with the process.
        #[cfg(unix)]
        assert!(std::fs::symlink_metadata(&path).is_ok(), "a stale socket lies there");
        assert!(matches!(connect(&path, soon()).await, Err(DialError::NotRunning)));
    }
    let listener = bind(&path, &state).expect("taken over");
    let (ours, theirs) = tokio::join!(connect(&path, soon()), listener.accept());
    ours.expect("connected");
    theirs.expect("accepted");
}

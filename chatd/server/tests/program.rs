//! The program: exit codes, what it refuses to start with (S49 to S51), and how it ends.

mod stage;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use stage::{done, follow, initialised, program, running};

#[test]
fn init_prints_the_fingerprint_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = done(dir.path(), &["init", "--self-signed", "--name", "chat.example.org"]);
    assert_eq!(code, 0);
    let (_, print, _) = done(dir.path(), &["cert", "fingerprint"]);
    assert!(print.starts_with("sha256:") && out.contains(print.trim()) && out.contains(" run"), "{out}");
    let config = fs::read(dir.path().join("chat-server.toml")).unwrap();
    let (code, _, err) = done(dir.path(), &["init", "--self-signed"]);
    assert_eq!(code, 73);
    assert!(err.contains("is there already"), "{err}");
    assert_eq!(fs::read(dir.path().join("chat-server.toml")).unwrap(), config);
    assert_eq!(
        done(dir.path(), &["check", "config"]),
        (0, "ok config: sandbox: landlock + seccomp\n".into(), String::new())
    );
    for secret in ["data/identity.key", "tls/privkey.pem"] {
        let mode = fs::metadata(dir.path().join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

#[test]
fn s50_a_bad_configuration_ends_with_78_line_and_key() {
    let dir = initialised();
    fs::create_dir(dir.path().join("chat-server.d")).unwrap();
    fs::write(dir.path().join("chat-server.d/x.toml"), "[sessions]\nidle_after = \"30 min\"\n").unwrap();
    let (code, out, err) = done(dir.path(), &["run"]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(err.contains("x.toml:2:14: sessions.idle_after"), "{err}");
    let (code, out, _) = done(dir.path(), &["check", "config"]);
    assert_eq!(code, 14);
    assert!(out.contains("sessions.idle_after"), "{out}");
    let (code, _, _) = done(&dir.path().join("nothing"), &["run"]);
    assert_eq!(code, 78, "never initialised");
}

#[test]
fn s49_what_others_may_read_or_write_is_refused() {
    let dir = initialised();
    for (file, bad, good, code) in [
        ("data/identity.key", 0o644, 0o600, 77),
        ("tls/privkey.pem", 0o604, 0o600, 77),
        ("chat-server.toml", 0o666, 0o640, 78),
    ] {
        let path = dir.path().join(file);
        fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
        let (ended, out, err) = done(dir.path(), &["run", "--listen", "127.0.0.1:0"]);
        assert_eq!((ended, out.as_str()), (code, ""), "{file}: {err}");
        assert!(err.contains(file), "{err}");
        fs::set_permissions(&path, Permissions::from_mode(good)).unwrap();
    }
}

#[test]
fn it_says_where_it_listens_and_ends_on_sigterm() {
    let dir = initialised();
    let (mut child, address) = running(dir.path());
    assert_eq!(fs::read_to_string(dir.path().join("run/listen")).unwrap(), format!("{address}\n"));
    let socket = fs::metadata(dir.path().join("run/admin.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    let (code, out, _) = done(dir.path(), &["user", "list", "--json"]);
    assert_eq!((code, out.as_str()), (0, "{\"v\":1,\"type\":\"users\",\"items\":[]}\n"));

    let (code, _, err) = done(dir.path(), &["run"]);
    assert_eq!(code, 69, "the store is in use: {err}");
    let other = initialised();
    let (code, _, err) = done(other.path(), &["run", "--listen", &address]);
    assert_eq!(code, 69, "the port is taken: {err}");
    assert!(err.contains(&address) && err.contains("next: chat-server"), "{err}");

    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!dir.path().join("run/listen").exists());
    assert_eq!(done(dir.path(), &["user", "list"]).0, 0, "from the stopped server's store");
}

/// Killed again and again while it starts: the database is whole, and the next start serves.
#[test]
#[expect(clippy::disallowed_methods, reason = "the kills come at other moments of each start")]
fn s52_a_crash_loop_corrupts_nothing() {
    let dir = initialised();
    for round in 0..30_u64 {
        let mut child = program(dir.path(), &["run", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 5));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let db = rusqlite::Connection::open(dir.path().join("data/chat-server.db")).unwrap();
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    drop(db);
    let (mut child, _) = running(dir.path());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_killed_server_starts_again() {
    let dir = initialised();
    let (mut child, _) = running(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, _) = running(dir.path());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn s51_a_newer_or_damaged_database_is_refused() {
    let dir = initialised();
    assert_eq!(done(dir.path(), &["user", "list"]).0, 0);
    let newer = dir.path().join("data/chat-server.db");
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 1_000_000).unwrap();
    let before = fs::read(&newer).unwrap();
    let (code, out, err) = done(dir.path(), &["run", "--listen", "127.0.0.1:0"]);
    assert_eq!((code, out.as_str()), (78, ""), "{err}");
    assert!(err.contains("use the newer chat-server"), "{err}");
    assert_eq!(fs::read(&newer).unwrap(), before, "not a byte is written");
    let dir = initialised();
    let db = dir.path().join("data/chat-server.db");
    fs::write(&db, b"this is no database, and long enough not to be taken for an empty one").unwrap();
    let (code, out, err) = done(dir.path(), &["run", "--listen", "127.0.0.1:0"]);
    assert_eq!((code, out.as_str()), (74, ""), "{err}");
}

#[test]
fn every_error_names_a_next_step_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = done(dir.path(), &["run"]);
    assert_eq!((code, follow(&err)), (78, 0), "not set up yet: {err}");
    let (code, _, err) = done(dir.path(), &["init"]);
    assert_eq!((code, follow(&err)), (73, 0), "set up already: {err}");

    for file in ["tls/fullchain.pem", "tls/privkey.pem"] {
        fs::remove_file(dir.path().join(file)).unwrap();
    }
    let (code, _, err) = done(dir.path(), &["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 78, "{err}");
    assert!(!err.contains("os error"), "{err}");
    assert_eq!(follow(&err), 0, "{err}");
    assert!(dir.path().join("tls/fullchain.pem").exists());

    let key = dir.path().join("data/identity.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = done(dir.path(), &["run", "--listen", "127.0.0.1:0"]);
    assert_eq!((code, follow(&err)), (77, 0), "{err}");
    assert_eq!(err.matches("others may read it").count(), 1, "{err}");
    assert_eq!(done(dir.path(), &["check", "config"]).0, 0);
}

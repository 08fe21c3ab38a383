//! The way to chatd: absent, misfit, started; usage errors; config.

use serde_json::json;

use crate::fake::{AT, Answer, Home};

#[test]
fn an_absent_daemon_is_3() {
    let home = Home::empty();
    for args in [&["status"][..], &["message", "bob", "hi"], &["read"], &["watch"], &["daemon", "status"]] {
        home.run(args).complains(3, "chatctl: chatd is not running.\n  next: chatctl daemon start\n");
    }
    assert_eq!(home.run(&["--json", "whoelse"]).error()["code"], "daemon_unreachable");
    home.run(&["--json", "daemon", "status"]).is(3, "{\"v\":1,\"type\":\"daemon\",\"state\":\"stopped\"}\n");
    home.run(&["daemon", "stop"]).is(0, "chatd was not running.\n");
}

#[test]
fn versions_that_do_not_fit_are_10() {
    let home = Home::with(|_, _| Answer::Refuse(json!({"code": "version_mismatch", "detail": "it speaks 2 to 3"})));
    let ran = home.run(&["status"]);
    assert_eq!(ran.code, 10);
    assert!(ran.err.contains("it speaks 2 to 3") && ran.err.contains("next: chatctl daemon restart"), "{}", ran.err);
}

/// The hint of a mismatch must mend it: a chatd that does not fit is stopped without a hello.
#[test]
fn a_daemon_that_does_not_fit_makes_way() {
    let home = Home::with(|method, _| match method {
        "hello" => Answer::Refuse(json!({"code": "version_mismatch", "detail": "it speaks 2 to 3"})),
        "daemon_stop" => Answer::Events(json!({}), Vec::new()),
        other => panic!("{other} was asked of a chatd that does not fit"),
    });
    home.run(&["daemon", "stop"]).is(0, "chatd stopped; what waits to be sent is kept.\n");
    assert_eq!(home.call_count("daemon_stop"), 1);
}

/// A chatd from before `doctor`: the finding says so, with the command that mends it.
#[test]
fn an_older_daemon_is_named_by_doctor() {
    let home = Home::with(|method, _| match method {
        "hello" => Answer::Ok(json!({"version": 1, "build": "0.0.9", "pid": 42})),
        "daemon_status" => {
            Answer::Ok(json!({"version": "0.0.9", "pid": 42, "proto": {"min": 1, "max": 1}, "since_ms": AT,
            "socket": "/x/sock", "log": null, "profiles": ["work"], "connections": 2}))
        }
        _ => Answer::Refuse(json!({"code": "unsupported"})),
    });
    let found = home.run(&["--json", "doctor"]).json();
    let versions = found["items"].as_array().and_then(|all| all.iter().find(|one| one["check"] == "versions")).cloned();
    let versions = versions.unwrap_or_else(|| panic!("nothing about versions: {found}"));
    assert_eq!((&versions["result"], &versions["hint"]), (&json!("WARN"), &json!("chatctl daemon restart")));
}

#[test]
fn an_answer_of_another_form_is_10() {
    let home = Home::answering("whoelse", json!({"surprise": true}));
    assert_eq!(home.run(&["whoelse"]).code, 10);
}

/// A pipe lies in no directory.
#[cfg(unix)]
#[test]
fn an_unsafe_place_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::answering("status", json!({}));
    std::fs::set_permissions(home.path().join("run"), std::fs::Permissions::from_mode(0o755)).expect("our directory");
    let ran = home.run(&["status"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("is not safe to use"), "{}", ran.err);
}

#[test]
fn daemon_status_says_how_it_is() {
    let home = Home::answering(
        "daemon_status",
        json!({"version": "0.1.0", "pid": 42, "proto": {"min": 1, "max": 1}, "since_ms": AT, "socket": "/x/sock",
            "log": null, "profiles": ["work"], "connections": 2}),
    );
    let ran = home.run(&["daemon", "status"]);
    assert!(
        ran.out.starts_with("chatd 0.1.0 running ")
            && ran.out.ends_with("(pid 42); 1 profile, 2 connections; socket /x/sock\n")
    );
    assert_eq!(home.run(&["--json", "daemon", "status"]).json()["pid"], 42);
    // a chatd in the foreground keeps no log of its own
    home.run(&["daemon", "logs"]).is(0, "");
}

/// A program chatd that only says `words` and fails, and a chatctl that stands alone: in a build of everything the real chatd
/// lies beside it. A shell writes both, so that no other test's child holds them open for writing while they are run.
#[cfg(unix)]
fn failing(home: &Home, words: &str) -> std::process::Command {
    const WRITE: &str = r#"cp "$1" chatctl && mkdir bin && printf '#!/bin/sh\necho "chatd: %s" >&2\nexit 78\n' "$2" >bin/chatd && chmod 755 bin/chatd"#;
    let mut shell = std::process::Command::new("/bin/sh");
    shell.current_dir(home.path()).args(["-c", WRITE, "sh", env!("CARGO_BIN_EXE_chatctl"), words]);
    assert!(shell.status().expect("a shell").success());
    let mut command = std::process::Command::new(home.path().join("chatctl"));
    command.env_clear().env("CHAT_HOME", home.path()).env("PATH", home.path().join("bin"));
    command.stdin(std::process::Stdio::null());
    command
}

#[cfg(unix)]
#[test]
fn a_daemon_that_does_not_start_says_why() {
    let home = Home::empty();
    let ended = failing(&home, "config line 12: no such key").arg("status").output().expect("chatctl runs");
    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr),
        "chatctl: chatd is not running and could not be started (config line 12: no such key).\n  next: chatctl config check\n"
    );
}

#[cfg(unix)]
#[test]
fn config_check_asks_chatd() {
    let home = Home::empty();
    let ended = failing(&home, "line 3: histroy").args(["config", "check"]).output().expect("chatctl runs");
    assert_eq!(ended.status.code(), Some(14));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the configuration is wrong: line 3: histroy."));
}

#[test]
fn config_path_needs_no_daemon() {
    let home = Home::empty();
    let (dir, socket) = (home.path().display(), home.socket());
    let paths = home.run(&["--plain", "config", "path"]);
    let expected =
        format!("config\t{dir}/config/config.toml\ndata\t{dir}/data\nstate\t{dir}/state\nlog\t{dir}/state/chatd.log\n");
    let expected = if cfg!(windows) { expected.replace('/', r"\") } else { expected };
    paths.is(0, &format!("{expected}socket\t{}\n", socket.display()));
    let data = home.path().join("data");
    assert_eq!(home.run(&["--json", "config", "path"]).json()["data"], data.to_str().expect("UTF-8"));
    if cfg!(unix) {
        assert_eq!(socket, home.path().join("run").join("sock"));
    }
}

#[test]
fn the_log_is_printed_safely() {
    let home = Home::empty();
    std::fs::create_dir(home.path().join("state")).expect("a directory");
    home.file("state/chatd.log", b"one\ntwo \x1b[2J\nthree\n");
    home.run(&["daemon", "logs", "-n", "2"]).is(0, "two \\x1b[2J\nthree\n");
    assert_eq!(Home::empty().run(&["daemon", "logs"]).code, 6);
}

#[test]
fn wrong_usage_shows_the_form() {
    let home = Home::empty();
    for args in [&["message"][..], &["block"], &["register"], &["--json=9", "status"], &["nonsense"], &["whoelses"]] {
        let ran = home.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.is_empty());
    }
    assert!(home.run(&["message"]).err.contains("Usage: chatctl message"), "the form of that command");
    assert!(home.run(&["whoelses"]).err.contains("whoelse"), "a suggestion");
    assert_eq!(home.run(&["--json", "block"]).error()["code"], "usage");
    for args in [&["--help"][..], &["-h"], &["help"], &["message", "--help"], &["help", "message"], &["--version"]] {
        let ran = home.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        assert!(ran.out.is_ascii());
    }
    assert_eq!(home.run(&["message", "-h"]).out, home.run(&["help", "message"]).out);
    assert_eq!(home.run(&["message", "-h"]).out, home.run(&["message", "--help"]).out);
    let help = home.run(&["message", "--help"]).out;
    assert!(help.find("Examples:") < help.find("Usage:"), "{help}");
}

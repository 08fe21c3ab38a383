//! Exit codes: each one that the commands of today can end with, provoked; those not here stand in the other modules.
//!
//! 0 everywhere · 1 account · 2 message, people · 3 daemon · 4 account · 5 message · 6 message, people · 7 account, people ·
//! 9 here, events · 11 account · 12 account · 13 account · 14 daemon · 15 message, account.

use chat_tests::process::signal;
use chat_tests::{Home, World};
use rustix::process::Signal;

/// Every command that needs a login, with arguments that parse.
const NEED_LOGIN: &[&[&str]] = &[
    &["message", "bob", "x"],
    &["broadcast", "x"],
    &["whoelse"],
    &["whoelsesince", "60"],
    &["block", "bob"],
    &["unblock", "bob"],
    &["blocked"],
];

/// Commands that answer from this host alone, logged in or not, server up or not.
const LOCAL: &[&[&str]] = &[
    &["status"],
    &["inbox"],
    &["read"],
    &["unread"],
    &["outbox"],
    &["profile", "list"],
    &["trust", "list"],
    &["daemon", "status"],
];

fn each(home: &Home, commands: &[&[&str]], code: i32) {
    for args in commands {
        home.run(args).exits(code);
        home.json(args).exits(code);
    }
}

#[test]
fn logged_out_is_4_and_local_commands_work() {
    let mut world = World::start();
    let home = world.user("alice");
    home.run(&["logout"]).ok();
    each(&home, NEED_LOGIN, 4);
    each(&home, LOCAL, 0);
    home.run(&["status", "--check"]).exits(4);
    for args in NEED_LOGIN {
        let error = home.json(args).error();
        assert_eq!(error["code"], "not_logged_in");
        // the hint is a command to run, and it runs
        let hint = error["hint"].as_str().unwrap_or_default();
        assert!(hint.starts_with("chatctl ") && hint.ends_with(" login"), "{error}");
    }
    home.run(&["login"]).ok();
    home.run(&["status", "--check"]).ok();
}

#[test]
fn server_down_is_5_and_local_commands_work() {
    let mut world = World::start();
    let home = world.user("alice");
    let _bob = world.user("bob");
    world.server.kill();
    each(&home, NEED_LOGIN, 5);
    each(&home, LOCAL, 0);
    home.run(&["status", "--check"]).exits(5);
    home.run(&["status", "--wait", "online", "--timeout", "300ms"]).exits(9);
    let fresh = world.home("carol", "carol");
    world.register(&fresh, &["--json"]).exits(5);
}

#[test]
fn no_daemon_is_3() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    each(&home, NEED_LOGIN, 3);
    let error = home.json(&["whoelse"]).error();
    assert!(error["hint"].as_str().is_some_and(|hint| hint.starts_with("chatctl ")), "{error}");
}

#[test]
fn a_silent_server_is_9() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let server = world.server.pid().expect("it runs");
    signal(server, Signal::STOP);
    alice.run(&["message", "bob", "x", "--timeout", "500ms"]).exits(9);
    alice.json(&["whoelse", "--timeout", "500ms"]).exits(9);
    signal(server, Signal::CONT);
    alice.run(&["message", "bob", "y", "--wait", "delivered"]).ok();
}

#[test]
fn wrong_use_is_2_with_the_form() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    for args in
        [&["message"][..], &["block"], &["whoelsesince"], &["register"], &["--json=9", "status"], &["--nonsense"]]
    {
        let output = home.run(args).exits(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output}");
    }
    // a password is never an argument (S37)
    home.run(&["login", "alice", "--server", "localhost", "--password", "x"]).exits(2);
    home.run(&["--version"]).ok();
    home.run(&["--help"]).ok().says("message");
    home.run(&["message", "--help"]).ok().says("--wait");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    for _ in 0..3 {
        alice.pipe(&["message", "bob", "-", "--wait", "delivered"], &[b'x'; 60_000]).ok();
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut run = bob.command(&["read", "--peek"]);
    let output = run.stdout(writer).output().expect("chatctl can be run");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn ctrl_c_is_130() {
    let mut world = World::start();
    let alice = world.user("alice");
    let watch = alice.watch(&[]);
    signal(watch.pid(), Signal::INT);
    assert_eq!(watch.end(), 130);
}

#[test]
fn an_inbox_that_is_full_is_7() {
    let mut world = World::with(&[("messages", "offline_max_per_user", "3")]);
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    bob.run(&["logout"]).ok();
    for _ in 0..3 {
        alice.sends("bob", "x");
    }
    alice.json(&["message", "bob", "one too many"]).fails_with("inbox_full", 7);
}

#[test]
fn registration_closed_is_7() {
    let mut world = World::with(&[("registration", "mode", "\"closed\"")]);
    let home = world.home("alice", "alice");
    world.register(&home, &["--json"]).fails_with("registration_closed", 7);
}

//! `run`: a command with its own stdio and exit code, and a message about how it ended.

use std::io::Read as _;
use std::process::Stdio;

use chat_tests::process::{signal, until};
use chat_tests::{Home, World};
use rustix::process::Signal;
use serde_json::Value;

/// The newest message that tells of a run with this exit code.
fn told(home: &Home, exit: i32) -> Value {
    let is_it = |message: &Value| message["run"]["exit"] == exit;
    until("the outcome is told", || home.history().into_iter().rfind(is_it))
}

fn text(message: &Value) -> &str {
    message["text"].as_str().expect("a text")
}

#[test]
fn the_outcome_is_told_and_the_exit_code_is_the_commands() {
    let mut world = World::start();
    let (alice, ops) = (world.user("alice"), world.user("ops"));
    let script = "cat; printf '\\377\\0bin\\n'; echo worse >&2; exit 3";
    let out = alice.pipe(&["run", "--to", "ops", "--tail", "3", "--", "sh", "-c", script], b"input\n").exits(3);
    assert_eq!(out.stderr, "worse\n");
    assert!(out.stdout.starts_with("input\n"), "{}", out.stdout);
    let message = told(&ops, 3);
    let (headline, rest) = text(&message).split_once('\n').expect("lines below");
    assert!(headline.starts_with("sh failed (exit 3) after "), "{headline}");
    let mut rest: Vec<&str> = rest.lines().collect();
    rest.sort_unstable();
    // Two pipes: which line of the one comes before which of the other is open.
    assert_eq!(rest, ["input", "worse", "\u{fffd}\\x00bin"]);
    assert!(message["run"]["duration_ms"].is_u64(), "{message}");

    alice.run(&["run", "--to", "ops", "--tail", "1", "--", "sh", "-c", "echo one; echo two"]).exits(0);
    let message = told(&ops, 0);
    let (headline, rest) = text(&message).split_once('\n').expect("a line below");
    assert!(headline.starts_with("sh done after "), "{headline}");
    assert_eq!(rest, "two");
}

#[test]
fn only_a_failure_is_told_where_that_was_asked() {
    let mut world = World::start();
    let (alice, ops) = (world.user("alice"), world.user("ops"));
    alice.run(&["run", "--to", "ops", "--on", "failure", "--", "true"]).exits(0);
    alice.run(&["run", "--to", "ops", "--on", "failure", "--", "false"]).exits(1);
    told(&ops, 1);
    assert_eq!(ops.received().len(), 1);
}

#[test]
fn commands_that_are_killed_or_not_there_have_the_codes_of_a_shell() {
    let mut world = World::start();
    let (alice, ops) = (world.user("alice"), world.user("ops"));
    alice.run(&["run", "--to", "ops", "--", "sh", "-c", "kill -9 $$"]).exits(137);
    assert!(text(&told(&ops, 137)).starts_with("sh failed (killed by signal 9) after "));
    alice.run(&["run", "--to", "ops", "--", "/no/such/program"]).exits(127).says("could not be started");
    assert!(text(&told(&ops, 127)).starts_with("program could not be started: No such file"));
    let file = world.file("plain", b"no program");
    alice.run(&["run", "--to", "ops", "--", &file]).exits(126);
    told(&ops, 126);
    alice.run(&["run", "--to", "ops"]).exits(2);
}

#[test]
fn trouble_with_the_message_changes_no_exit_code() {
    let mut world = World::start();
    let alice = world.user("alice");
    alice.run(&["run", "--to", "nobody", "--", "sh", "-c", "exit 4"]).exits(4).says("there is no user nobody");
    alice.run(&["run", "--to", "nobody", "--", "true"]).exits(0).says("there is no user nobody");
    alice.json(&["run", "--to", "nobody", "--", "true"]).exits(0).says("\"unknown_user\"");
    alice.kill();
    alice.run(&["run", "--to", "nobody", "--", "sh", "-c", "exit 4"]).exits(4).says("chatd is not running");
}

#[test]
fn what_cannot_go_out_now_goes_out_later_and_once() {
    let mut world = World::start();
    let (alice, ops) = (world.user("alice"), world.user("ops"));
    world.server.stop();
    let out = alice.run(&["run", "--to", "ops", "--", "sh", "-c", "echo out; exit 5"]).exits(5);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("out\n", ""), "a kept message is no trouble");
    // chatd is away too: it is started for the message.
    alice.kill();
    let mut run = alice.autostarting(&["run", "--to", "ops", "--", "sh", "-c", "exit 6"]);
    assert_eq!(run.output().expect("chatctl can be run").status.code(), Some(6));
    world.server.up();
    told(&ops, 5);
    told(&ops, 6);
    assert_eq!(ops.received().len(), 2);
}

#[test]
fn signals_are_the_commands() {
    let mut world = World::start();
    let (alice, ops) = (world.user("alice"), world.user("ops"));
    for (name, number, exit) in [("TERM", Signal::TERM, 7), ("INT", Signal::INT, 8), ("USR1", Signal::USR1, 9)] {
        let script = format!("trap 'exit {exit}' {name}; echo ready; while :; do sleep 0.01; done");
        let mut run = alice.command(&["run", "--to", "ops", "--", "sh", "-c", &script]);
        let mut child = run.stdout(Stdio::piped()).spawn().expect("chatctl can be started");
        let mut ready = [0; 6];
        child.stdout.as_mut().expect("stdout is piped").read_exact(&mut ready).expect("its first line");
        signal(child.id(), number);
        let status = child.wait().expect("our child");
        assert_eq!(status.code(), Some(exit), "{name}");
        told(&ops, exit);
    }
}

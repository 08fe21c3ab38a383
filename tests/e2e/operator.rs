//! The operator and his users: chat-server's verbs over the real binaries, and what the users see of them.

use chat_tests::process::until;
use chat_tests::{Home, Output, World};
use serde_json::Value;

fn presence(user: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "presence" && event["user"] == user && event["state"] == state
}

/// The sessions that the server has now, by user.
fn here(world: &World) -> Vec<String> {
    world.server.ctl(&["sessions", "list", "--json"]).ok().column("user")
}

/// The next command that an error on stderr names.
fn next_step(output: &Output) -> String {
    let hint = output.error()["hint"].as_str().map(str::to_owned);
    hint.unwrap_or_else(|| panic!("no next step: {output}"))
}

/// Runs what an error says to type next: a command of chat-server on this world.
fn follow(world: &World, output: &Output) -> Output {
    let step = next_step(output);
    let own = format!("chat-server --dir {} ", world.server.dir().display());
    let verb = step.strip_prefix(&own).unwrap_or_else(|| panic!("not for this server: {step}"));
    world.server.ctl(&verb.split(' ').collect::<Vec<_>>())
}

fn is_logged_out(home: &Home) {
    until("the link is down", || (home.link() != "online").then_some(()));
}

#[test]
fn a_kicked_user_is_told_and_does_not_come_back_by_himself() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&[]);
    let kicked = world.server.ctl(&["sessions", "kick", "alice"]).ok();
    assert!(kicked.stdout.starts_with("Ended session ") && kicked.stdout.contains(" of alice (127.0.0.1:"), "{kicked}");
    let event = watch.expect("alice goes", presence("alice", "offline"));
    assert_eq!(event["reason"], "kicked");
    is_logged_out(&alice);
    assert_eq!(here(&world), ["bob"]);
    let refused = alice.run(&["message", "bob", "hi"]).exits(4);
    assert!(refused.stderr.contains("by an operator of the server at"), "{refused}");
    alice.json(&["message", "bob", "hi"]).fails_with("not_logged_in", 4);
    // a restart of her chatd is no way back either
    alice.restart();
    assert_ne!(alice.link(), "online");
    alice.run(&["login"]).ok();
    alice.sends("bob", "back again");

    let again = world.server.ctl(&["sessions", "kick", "carol", "--json"]);
    let again = again.fails_with("unknown_user", 6);
    follow(&world, &again).ok();
    alice.run(&["logout"]).ok();
    let gone = world.server.ctl(&["sessions", "kick", "alice", "--json"]).fails_with("unknown_id", 6);
    follow(&world, &gone).ok();
}

#[test]
fn an_announcement_is_shown_as_the_servers_and_safely() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = alice.watch(&[]);
    bob.run(&["logout"]).ok();
    let text = "down at 18:00\u{1b}[2J\n[12:01] bob: hi";
    let sent = world.server.ctl(&["announce", text]).ok();
    assert_eq!(sent.stdout, "Sent to 1 user online.\n");
    let event = watch.expect("the announcement", |event| event["type"] == "message");
    assert_eq!((event["kind"].as_str(), event["text"].as_str()), (Some("system"), Some(text)));
    assert_eq!(event["from"].as_str().unwrap_or_default(), "", "from no user");
    let shown = alice.run(&["read"]).ok();
    assert!(!shown.stdout.contains('\u{1b}') && !shown.stdout.contains("\n[12:01]"), "{shown}");
    assert!(shown.stdout.contains("down at 18:00"), "{shown}");
    bob.run(&["login"]).ok();
    assert!(bob.history().iter().all(|item| item["kind"] != "system"), "he was not online");

    let json = world.server.ctl(&["announce", "a", "b", "--json"]).ok().json();
    assert_eq!((&json["type"], &json["sent"]), (&Value::from("announcement"), &Value::from(2)));
    world.server.ctl(&["announce", " ", "--json"]).fails_with("bad_params", 2);
}

#[test]
fn live_verbs_need_the_running_server_and_say_how_to_start_it() {
    let mut world = World::start();
    world.server.stop();
    for verb in [&["sessions"][..], &["sessions", "kick", "x"], &["announce", "x"]] {
        let mut args = vec!["--json"];
        args.extend_from_slice(verb);
        let refused = world.server.ctl(&args).fails_with("server_unreachable", 3);
        let step = next_step(&refused);
        assert_eq!(step, format!("chat-server --dir {} run", world.server.dir().display()));
    }
    // that very command
    world.server.up();
    world.server.ctl(&["sessions"]).ok();
}

#[test]
fn what_is_kept_is_written_out_line_by_line() {
    let mut world = World::start();
    let alice = world.user("alice");
    world.user("bob");
    alice.run(&["logout"]).ok();
    world.server.ctl(&["sessions", "kick", "bob"]).ok();
    let lines = |output: Output| -> Vec<Value> {
        output.ok().stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    for running in [true, false] {
        if !running {
            world.server.stop();
        }
        let users = lines(world.server.ctl(&["export", "users"]));
        assert_eq!(
            users.iter().map(|user| user["name"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
            ["alice", "bob"]
        );
        assert!(users.iter().all(|user| user["v"] == 1 && user["type"] == "user" && user.get("hash").is_none()));
        let audit = lines(world.server.ctl(&["export", "audit"]));
        let texts: Vec<_> = audit.iter().map(|line| line["text"].as_str().unwrap_or_default()).collect();
        for wanted in ["register: account alice", "logged out: account alice", "session_kick done: bob"] {
            assert!(texts.iter().any(|text| text.contains(wanted)), "{wanted}: {texts:?}");
        }
    }
}

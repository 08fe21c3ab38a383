//! Devices, passwords, invitations and sessions: who may log in, beside whom, and what the others hear of it.

use std::sync::{Arc, Barrier};

use chat_tests::process::{self, until};
use chat_tests::{Home, Output, World};
use rustix::process::Signal;
use serde_json::Value;

type Setting = (&'static str, &'static str, &'static str);

const BY_INVITATION: Setting = ("registration", "mode", "\"invite\"");
const CLOSED: Setting = ("registration", "mode", "\"closed\"");
const REPLACE: Setting = ("sessions", "policy", "\"replace\"");
const REFUSE: Setting = ("sessions", "policy", "\"refuse\"");

/// The notices of the server itself in a home's history.
fn notices(home: &Home) -> Vec<String> {
    let items = home.history();
    let system = items.iter().filter(|item| item["kind"] == "system");
    system.map(|item| item["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn is_told(home: &Home, notice: &str) {
    until(&format!("the notice {notice:?}"), || notices(home).iter().any(|text| text == notice).then_some(()));
}

/// Waits until the daemon knows that its login ended, and why.
#[track_caller]
fn is_logged_out(home: &Home, code: &str) {
    until("the login ended", || (home.link() == "logged_out").then_some(()));
    let status = home.json(&["status"]).json();
    assert_eq!(status["ended"]["code"], code, "{status}");
}

/// `login` by this home's key.
fn by_key(home: &Home, more: &[&str]) -> Output {
    home.json(&[&["login", "--no-input"], more].concat())
}

/// `login` or `register` by a password out of a file.
fn enter(world: &World, home: &Home, verb: &str, file: &str, more: &[&str]) -> Output {
    let server = world.server.address().to_string();
    let args = ["--json", verb, home.user(), "--server", &server, "--trust", world.server.fingerprint()];
    home.run(&[&args[..], &["--no-input", "--password-file", file], more].concat())
}

/// Makes an invitation; its code in a file.
fn invitation(world: &World, name: &str, more: &[&str]) -> String {
    let made = world.server.ctl(&[&["invite", "create"], more].concat()).ok();
    assert_eq!(made.stdout.lines().count(), 1, "the code stands alone on stdout: {made}");
    world.file(name, made.stdout.as_bytes())
}

#[test]
fn invitations_let_in_exactly_whom_they_should() {
    let mut world = World::with(&[BY_INVITATION]);
    let password = world.password_file();
    let [alice, bob] = ["alice", "bob"].map(|name| world.home(name, name));
    enter(&world, &alice, "register", &password, &[]).fails_with("bad_invite", 7);
    let code = invitation(&world, "code", &["--uses", "1", "--expires", "1h"]);
    let wrong = world.file("wrong", b"abcde-abcde-abcde-abcde-abcde\n");
    let refused = enter(&world, &alice, "register", &password, &["--invite-file", &wrong]).fails_with("bad_invite", 7);
    enter(&world, &alice, "register", &password, &["--invite-file", &code]).ok();
    let used = enter(&world, &bob, "register", &password, &["--invite-file", &code]).fails_with("bad_invite", 7);
    assert_eq!(refused.stderr, used.stderr, "wrong and used up are one answer");
    let listed = world.server.ctl(&["--json", "invite", "list"]).ok();
    assert!(listed.items().is_empty(), "{listed}");
    // withdrawn, and expired
    let code = invitation(&world, "withdrawn", &[]);
    world.server.ctl(&["invite", "revoke", "2"]).ok().says("withdrawn");
    world.server.ctl(&["invite", "revoke", "2"]).exits(6).says("invite list");
    enter(&world, &bob, "register", &password, &["--invite-file", &code]).fails_with("bad_invite", 7);
    let code = invitation(&world, "short", &["--expires", "1s"]);
    until("it expires", || world.server.ctl(&["--json", "invite", "list"]).items().is_empty().then_some(()));
    let expired = enter(&world, &bob, "register", &password, &["--invite-file", &code]).fails_with("bad_invite", 7);
    assert_eq!(refused.stderr, expired.stderr);
    // made while the server is down, redeemed after a kill
    world.server.stop();
    let code = invitation(&world, "offline", &["--uses", "2"]);
    world.server.up();
    world.server.kill();
    world.server.up();
    enter(&world, &bob, "register", &password, &["--invite-file", &code]).ok();
    let items = world.server.ctl(&["--json", "invite", "list"]).ok().items();
    assert_eq!((&items[0]["used"], &items[0]["uses"]), (&1.into(), &2.into()), "{items:?}");
    let secret = std::fs::read_to_string(&code).expect("the code's file");
    world.server.ctl(&["invite", "list"]).ok().says("1 of 2").never_says(secret.trim());
    assert!(!std::fs::read_to_string(world.server.log()).expect("a log").contains(secret.trim()), "never logged");
}

#[test]
fn a_closed_server_takes_those_whom_its_operator_named() {
    let mut world = World::with(&[CLOSED]);
    let password = world.password_file();
    let [alice, bob] = ["alice", "bob"].map(|name| world.home(name, name));
    enter(&world, &alice, "register", &password, &[]).fails_with("registration_closed", 7);
    let anybodys = invitation(&world, "anybody", &[]);
    enter(&world, &alice, "register", &password, &["--invite-file", &anybodys]).fails_with("registration_closed", 7);
    let alices = invitation(&world, "alice-only", &["alice"]);
    world.server.ctl(&["invite", "create", "alice"]).exits(7);
    enter(&world, &bob, "register", &password, &["--invite-file", &alices]).fails_with("bad_invite", 7);
    enter(&world, &alice, "register", &password, &["--invite-file", &alices]).ok();
    assert_eq!(alice.link(), "online");
    // where everybody may register, a name that was promised is kept
    world.server.stop();
    world.server.set(&[("registration", "mode", "\"open\"")]);
    world.server.up();
    let bobs = invitation(&world, "bob-only", &["bob"]);
    enter(&world, &bob, "register", &password, &[]).fails_with("name_taken", 7);
    enter(&world, &bob, "register", &password, &["--invite-file", &bobs]).ok();
}

#[test]
fn a_use_is_neither_lost_nor_doubled() {
    let mut world = World::with(&[BY_INVITATION]);
    let code = invitation(&world, "code", &["--uses", "3"]);
    let homes: Vec<_> = (0..6).map(|n| world.home(&format!("user{n}"), &format!("h{n}"))).collect();
    let (password, start) = (world.password_file(), Barrier::new(homes.len()));
    std::thread::scope(|scope| {
        for home in &homes {
            scope.spawn(|| {
                start.wait();
                enter(&world, home, "register", &password, &["--invite-file", &code])
            });
        }
        // A kill in the middle: whoever got no answer finds out by asking again.
        let somebody = || !world.server.ctl(&["--json", "user", "list"]).ok().items().is_empty();
        until("somebody was let in", || somebody().then_some(()));
        process::kill_hard(world.server.pid().expect("the server runs"));
    });
    world.server.kill();
    world.server.up();
    for home in &homes {
        until("a clear answer", || {
            let again = enter(&world, home, "register", &password, &["--invite-file", &code]);
            [0, 7].contains(&again.code).then_some(())
        });
    }
    assert_eq!(world.server.ctl(&["--json", "user", "list"]).ok().items().len(), 3);
    assert!(world.server.ctl(&["--json", "invite", "list"]).ok().items().is_empty());
}

#[test]
fn a_password_is_changed_by_who_knows_it() {
    let mut world = World::start();
    let (first, bob) = (world.user("alice"), world.user("bob"));
    let second = world.device("alice", 2);
    let (old, new) = (world.password_file(), world.file("new", b"another  one\n"));
    let files = |old: &str, new: &str| {
        ["--json", "passwd", "--old-password-file", old, "--new-password-file", new].map(str::to_owned)
    };
    let passwd = |home: &Home, old: &str, new: &str, more: &str| {
        let args = files(old, new);
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.push(more);
        home.run(&args)
    };
    passwd(&first, &new, &old, "--keep-others").fails_with("wrong_credentials", 7);
    passwd(&first, &old, &world.file("empty", b""), "--keep-others").exits(15);
    let kept = passwd(&first, &old, &new, "--keep-others").ok().json();
    assert_eq!((&kept["type"], &kept["revoked"]), (&"passwd".into(), &0.into()));
    is_told(&second, "the password was changed");
    assert_eq!(second.link(), "online");
    let third = world.home("alice", "third");
    enter(&world, &third, "login", &old, &[]).fails_with("wrong_credentials", 7);
    enter(&world, &third, "login", &new, &[]).ok();
    // and with the others' keys
    let revoked = passwd(&first, &new, &old, "--revoke-others").ok().json();
    assert_eq!(revoked["revoked"], 2);
    is_logged_out(&second, "revoked");
    is_logged_out(&third, "revoked");
    by_key(&second, &[]).exits(12);
    second.json(&["message", "bob", "x"]).fails_with("not_logged_in", 4);
    enter(&world, &second, "login", &new, &[]).fails_with("wrong_credentials", 7);
    enter(&world, &second, "login", &old, &[]).ok();
    bob.sends("alice", "welcome back");
    second.gets(&["welcome back"]);
    second.sends("bob", "thanks");
    bob.gets(&["thanks"]);
    assert_eq!(first.link(), "online");
}

#[test]
fn devices_are_listed_and_revoked() {
    let mut world = World::start();
    let (first, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&["--only", "presence,message"]);
    let password = world.password_file();
    let second = world.home("alice", "second");
    enter(&world, &second, "login", &password, &["--device", "phone"]).ok();
    is_told(&first, "device phone was enrolled");
    let devices = first.json(&["device", "list"]).ok().items();
    assert_eq!(devices.iter().map(|device| &device["own"]).collect::<Vec<_>>(), [true, false]);
    assert!(devices.iter().all(|device| device["online"] == true && device["since"].is_string()), "{devices:?}");
    let id = devices[1]["id"].as_str().expect("an id").to_owned();
    first.json(&["device", "revoke", "nonsense"]).fails_with("unknown_device", 6);
    first.run(&["device", "revoke", "phone"]).ok().says("is revoked; it needs the password");
    is_logged_out(&second, "revoked");
    assert_eq!(first.json(&["device", "list"]).ok().items().len(), 1);
    first.json(&["device", "revoke", &id[..8]]).fails_with("unknown_device", 6);
    // it comes back by password, under another id; the others hear of both
    enter(&world, &second, "login", &password, &["--device", "phone"]).ok();
    let devices = first.json(&["device", "list"]).ok().items();
    let again = devices[1]["id"].as_str().expect("an id").to_owned();
    assert_ne!(again, id, "a new device with a new key");
    let third = world.home("alice", "third");
    enter(&world, &third, "login", &password, &["--device", "tablet"]).ok();
    // revoked while it is away: it learns so when it comes
    second.kill();
    bob.sends("alice", "while it was away");
    first.gets(&["while it was away"]);
    first.run(&["device", "revoke", &again[..8]]).ok();
    is_told(&third, "device phone was revoked");
    second.up();
    is_logged_out(&second, "wrong_credentials");
    enter(&world, &second, "login", &password, &["--device", "phone"]).ok();
    assert_eq!(second.link(), "online");
    // a device revokes itself
    second.run(&["device", "revoke", "phone"]).ok().says("you are logged out");
    is_logged_out(&second, "revoked");
    // nobody else heard of any of it: alice was there all the time
    first.sends("bob", "barrier");
    watch.expect("the barrier", |event| event["text"] == "barrier");
    assert!(watch.comings_and_goings().is_empty(), "{:?}", watch.seen());
}

#[test]
fn a_new_device_replaces_the_old_one() {
    let mut world = World::with(&[REPLACE]);
    let (first, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&["--only", "presence,message"]);
    let second = world.device("alice", 2);
    is_logged_out(&first, "replaced");
    first.json(&["whoelse"]).fails_with("not_logged_in", 4);
    // it does not come back by itself, only when its user says so
    second.sends("bob", "from the second");
    by_key(&first, &[]).ok();
    is_logged_out(&second, "replaced");
    first.sends("bob", "from the first");
    watch.expect("the message", |event| event["text"] == "from the first");
    assert!(watch.comings_and_goings().is_empty(), "replacing is no news: {:?}", watch.seen());
}

#[test]
fn a_living_session_refuses_another_one() {
    let mut world = World::with(&[REFUSE]);
    let (first, bob) = (world.user("alice"), world.user("bob"));
    let (password, second) = (world.password_file(), world.home("alice", "second"));
    let refused = enter(&world, &second, "login", &password, &[]).fails_with("already_logged_in", 7);
    assert!(refused.error()["hint"].as_str().is_some_and(|hint| hint.contains("--take-over")), "{refused}");
    first.sends("bob", "untouched");
    bob.gets(&["untouched"]);
    let devices = first.json(&["device", "list"]).ok().items();
    assert_eq!(devices.len(), 1, "who was refused left no device behind: {devices:?}");
    // the user insists
    enter(&world, &second, "login", &password, &["--take-over"]).ok();
    is_logged_out(&first, "replaced");
    by_key(&first, &[]).fails_with("already_logged_in", 7);
    by_key(&first, &["--take-over"]).ok();
    is_logged_out(&second, "replaced");
    // who left makes room; many at once: exactly one gets it
    first.run(&["logout"]).ok();
    let start = Barrier::new(2);
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let login = |home: &Arc<Home>| {
            let (home, start) = (Arc::clone(home), &start);
            scope.spawn(move || {
                start.wait();
                by_key(&home, &[]).code
            })
        };
        [&first, &second].map(login).map(|thread| thread.join().expect("a login")).to_vec()
    });
    assert!(codes == [0, 7] || codes == [7, 0], "{codes:?}");
}

#[test]
fn a_half_dead_session_never_locks_its_owner_out() {
    let mut world = World::with(&[REFUSE]);
    let (first, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&["--only", "presence,message"]);
    let (password, second) = (world.password_file(), world.home("alice", "second"));
    let stopped = first.daemon_pid().expect("a daemon");
    process::signal(stopped, Signal::STOP);
    enter(&world, &second, "login", &password, &["--timeout", "30s"]).ok();
    second.sends("bob", "here I am");
    process::signal(stopped, Signal::CONT);
    is_logged_out(&first, "replaced");
    watch.expect("the message", |event| event["text"] == "here I am");
    assert!(watch.comings_and_goings().is_empty(), "{:?}", watch.seen());
}

#[test]
fn a_place_in_grace_is_taken_without_a_question() {
    let mut world = World::with(&[REFUSE, ("sessions", "grace", "\"1h\"")]);
    let (first, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&["--only", "presence,message"]);
    let (password, second) = (world.password_file(), world.home("alice", "second"));
    first.kill();
    until("the server saw the link go", || {
        let devices = enter(&world, &second, "login", &password, &[]);
        (devices.code == 0).then_some(())
    });
    second.sends("bob", "from here now");
    first.up();
    is_logged_out(&first, "already_logged_in");
    watch.expect("the message", |event| event["text"] == "from here now");
    assert!(watch.comings_and_goings().is_empty(), "{:?}", watch.seen());
}

#[test]
fn a_lost_link_is_announced_after_the_grace_only() {
    let mut world = World::with(&[("sessions", "grace", "\"1h\"")]);
    let (bob, alice) = (world.user("bob"), world.user("alice"));
    let mut watch = alice.watch(&["--only", "presence,message"]);
    bob.restart();
    bob.online();
    bob.sends("alice", "back");
    watch.expect("the message", |event| event["text"] == "back");
    assert!(watch.comings_and_goings().is_empty(), "{:?}", watch.seen());
    drop(watch);
    world.server.stop();
    world.server.set(&[("sessions", "grace", "\"1s\"")]);
    world.server.up();
    alice.online();
    bob.online();
    let mut watch = alice.watch(&["--only", "presence"]);
    bob.kill();
    let event = watch.expect("bob's going", |event| event["user"] == "bob");
    assert_eq!((&event["state"], &event["reason"]), (&"offline".into(), &"link".into()));
}

#[test]
fn a_restart_announces_nobody_who_comes_back() {
    let mut world = World::with(&[("sessions", "grace", "\"0s\"")]);
    let (bob, alice) = (world.user("bob"), world.user("alice"));
    let mut watch = alice.watch(&["--only", "presence,message"]);
    for kill in [true, false] {
        if kill {
            world.server.kill();
        } else {
            world.server.stop();
        }
        world.server.up();
        alice.online();
        bob.online();
        bob.sends("alice", "back");
        watch.expect("the message", |event| event["text"] == "back");
    }
    assert!(watch.comings_and_goings().is_empty(), "{:?}", watch.seen());
}

fn unread(home: &Home) -> Value {
    home.json(&["unread"]).ok().json()["total"].clone()
}

#[test]
fn what_is_read_here_is_read_there() {
    let mut world = World::start();
    let (alice, first) = (world.user("alice"), world.user("bob"));
    let second = world.device("bob", 2);
    alice.sends("bob", "one");
    first.gets(&["one"]);
    second.gets(&["one"]);
    // one message that the second device has and one that it has not, both read while it is away
    second.kill();
    let sent = alice.json(&["message", "bob", "two"]).ok().json();
    first.gets(&["one", "two"]);
    first.run(&["read"]).ok();
    assert_eq!(unread(&first), 0);
    // the mark is at the server once the sender hears of it
    alice.run(&["show", sent["id"].as_str().expect("an id"), "--wait", "read"]).ok();
    second.up();
    second.gets(&["one", "two"]);
    until("it is read there too", || (unread(&second) == 0).then_some(()));
    // what comes now is unread
    alice.sends("bob", "three");
    second.gets(&["one", "two", "three"]);
    assert_eq!(unread(&second), 1);
    first.gets(&["one", "two", "three"]);
    first.run(&["read"]).ok();
    until("told at once", || (unread(&second) == 0).then_some(()));
}

#[test]
fn who_does_nothing_is_away_and_comes_back() {
    let mut world = World::with(&[("sessions", "idle_after", "\"10s\"")]);
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let away = || alice.json(&["whoelse"]).ok().items()[0]["away"].clone();
    assert_eq!(away(), false);
    until("bob is away", || (away() == true).then_some(()));
    assert_eq!(bob.link(), "online");
    alice.run(&["whoelse", "-v"]).ok().says("away");
    // receiving and reading are no activity
    alice.sends("bob", "are you there?");
    bob.gets(&["are you there?"]);
    bob.run(&["read"]).ok();
    assert_eq!(away(), true);
    bob.sends("alice", "yes");
    assert_eq!(away(), false);
}

#[test]
fn a_lock_outlives_the_server() {
    let mut world = World::with(&[("auth", "lockout_duration", "\"1h\""), ("auth", "lockout_by", "\"account\"")]);
    let alice = world.user("alice");
    let (right, wrong) = (world.password_file(), world.file("wrong", b"not this\n"));
    let second = world.home("alice", "second");
    for code in ["wrong_credentials", "wrong_credentials", "locked_out"] {
        enter(&world, &second, "login", &wrong, &[]).fails_with(code, if code == "locked_out" { 13 } else { 7 });
    }
    for kill in [true, false] {
        if kill {
            world.server.kill();
        } else {
            world.server.stop();
        }
        world.server.up();
        let locked = enter(&world, &second, "login", &right, &[]).fails_with("locked_out", 13);
        let wait = locked.error()["retry_after_ms"].as_u64().expect("a lock says how long");
        assert!((3_000_000..=3_600_000).contains(&wait), "{locked}");
    }
    // the session that is there, and its key, are not touched
    alice.online();
    // a changed password is checked under the same lock
    let passwd = ["--json", "passwd", "--keep-others", "--old-password-file", &right, "--new-password-file", &right];
    alice.run(&passwd).fails_with("locked_out", 13);
    alice.restart();
    alice.online();
}

#[test]
fn one_source_is_let_in_only_so_often() {
    let mut world = World::with(&[
        ("limits", "password_logins_per_minute_per_source", "2"),
        ("limits", "new_accounts_per_hour_per_source", "2"),
    ]);
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let carol = world.home("carol", "carol");
    let password = world.password_file();
    let slow = enter(&world, &carol, "register", &password, &[]).fails_with("slow_down", 13);
    assert!(slow.error()["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{slow}");
    let homes: Vec<_> = (2..5).map(|n| world.home("alice", &format!("alice{n}"))).collect();
    enter(&world, &homes[0], "login", &password, &[]).ok();
    enter(&world, &homes[1], "login", &password, &[]).ok();
    let slow = enter(&world, &homes[2], "login", &password, &[]).fails_with("slow_down", 13);
    assert!(slow.error()["retry_after_ms"].as_u64().is_some_and(|wait| (1..=60_000).contains(&wait)), "{slow}");
    // reconnects by key never count
    for _ in 0..3 {
        alice.restart();
        alice.online();
    }
    alice.sends("bob", "still here");
    bob.gets(&["still here"]);
}

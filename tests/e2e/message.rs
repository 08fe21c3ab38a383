//! Messages: online, offline, refused, retried, across restarts of everything (mission A8; contract P1-P6 from outside).

use chat_tests::World;
use chat_tests::process::until;
use serde_json::json;

#[test]
fn a8_a_message_reaches_someone_online() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.run(&["message", "bob", "lunch?", "--wait", "delivered"]).ok().says("bob");
    bob.gets(&["lunch?"]);
    let shown = bob.run(&["read", "--unread"]).ok().says("alice: lunch?");
    assert_eq!(shown.stdout.lines().count(), 1, "{shown}");
    // read marked it
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], 0);
}

#[test]
fn a8_unknown_and_self_are_refused() {
    let mut world = World::start();
    let alice = world.user("alice");
    alice.run(&["message", "nobody", "hi"]).exits(6).says("nobody");
    alice.json(&["message", "nobody", "hi"]).fails_with("unknown_user", 6);
    alice.run(&["message", "alice", "hi"]).exits(2);
    alice.json(&["message", "alice", "hi"]).fails_with("yourself", 2);
}

#[test]
fn a8_offline_then_login() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    bob.run(&["logout"]).ok();
    alice.run(&["message", "bob", "one"]).ok().says("offline");
    let second = alice.json(&["message", "bob", "two"]).ok().json();
    assert_eq!((&second["state"], &second["recipient_online"]), (&json!("accepted"), &json!(false)));
    alice.sends("bob", "three");
    bob.run(&["login"]).ok();
    bob.gets(&["one", "two", "three"]);
    // once: another login brings nothing again
    bob.run(&["logout"]).ok();
    bob.run(&["login"]).ok();
    alice.run(&["message", "bob", "four", "--wait", "delivered"]).ok();
    bob.gets(&["one", "two", "three", "four"]);
}

#[test]
fn a8_in_json() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let sent = alice.json(&["message", "bob", "lunch?", "--id", "k1"]).ok().json();
    assert_eq!((&sent["type"], &sent["to"], &sent["state"]), (&json!("message"), &json!("bob"), &json!("accepted")));
    assert_eq!((&sent["recipient_online"], &sent["duplicate"]), (&json!(true), &json!(false)));
    assert!(sent["at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24), "{sent}");
    bob.gets(&["lunch?"]);
    let got = &bob.history()[0];
    assert_eq!((&got["id"], &got["from"], &got["kind"]), (&sent["id"], &json!("alice"), &json!("direct")));
    let people = bob.json(&["inbox"]).ok();
    assert_eq!(people.json()["type"], "conversations");
    let shown = alice.json(&["show", sent["id"].as_str().expect("an id"), "--wait", "delivered"]).ok().json();
    assert_eq!(shown["id"], sent["id"]);
}

#[test]
fn a_retry_with_the_same_id_sends_once() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let first = alice.json(&["message", "--id", "build-7", "bob", "done"]).ok().json();
    let again = alice.json(&["message", "--id", "build-7", "bob", "done"]).ok().json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    alice.json(&["message", "--id", "build-7", "bob", "other"]).fails_with("conflict", 7);
    alice.sends("bob", "end");
    bob.gets(&["done", "end"]);
}

#[test]
fn text_comes_by_words_stdin_and_file() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.run(&["message", "bob", "several", "words", "as typed"]).ok();
    alice.pipe(&["message", "bob", "-"], b"from a pipe\nsecond line\n").ok();
    alice.pipe(&["message", "bob"], b"without a dash").ok();
    let file = world.file("note", "from a file \u{fe0f}".as_bytes());
    alice.run(&["message", "bob", "-f", &file]).ok();
    until("all four are there", || (bob.received().len() == 4).then_some(()));
    let got = bob.received();
    assert_eq!(got[0], "several words as typed");
    assert_eq!(got[1].trim_end(), "from a pipe\nsecond line");
    assert_eq!(got[2], "without a dash");
    assert_eq!(got[3], "from a file \u{fe0f}");
}

#[test]
fn bad_texts_are_refused() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.pipe(&["message", "bob", "-"], &vec![b'x'; 65_537]).exits(15);
    alice.pipe(&["--json", "message", "bob", "-"], &vec![b'x'; 65_537]).fails_with("too_large", 15);
    alice.pipe(&["message", "bob", "-"], b"\xff\xfe").exits(15);
    alice.pipe(&["message", "bob", "-"], &vec![b'x'; 65_536]).ok();
    until("only the good one is there", || (bob.received().len() == 1).then_some(()));
}

#[test]
fn a_message_waits_for_the_server() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    world.server.kill();
    alice.run(&["message", "bob", "kept"]).exits(5);
    alice.json(&["message", "bob", "kept too"]).exits(5);
    alice.json(&["message", "bob", "not kept", "--no-queue"]).exits(5);
    let queued = alice.json(&["outbox"]).ok().items();
    assert_eq!(queued.iter().map(|item| &item["state"]).collect::<Vec<_>>(), [&json!("queued"), &json!("queued")]);
    world.server.up();
    bob.gets(&["kept", "kept too"]);
    until("the outbox is empty", || alice.json(&["outbox"]).ok().items().is_empty().then_some(()));
}

#[test]
fn a_message_survives_the_death_of_all() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    world.server.kill();
    alice.run(&["message", "bob", "queued before the crash"]).exits(5);
    alice.kill();
    bob.kill();
    world.server.up();
    alice.up();
    bob.up();
    bob.gets(&["queued before the crash"]);
    alice.online();
    // accepted, then the server dies before the recipient is there
    bob.kill();
    alice.sends("bob", "accepted before the crash");
    world.server.kill();
    world.server.up();
    bob.up();
    bob.gets(&["queued before the crash", "accepted before the crash"]);
}

#[test]
fn reading_marks_and_peeking_does_not() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    for text in ["one", "two"] {
        alice.run(&["message", "bob", text, "--wait", "delivered"]).ok();
    }
    bob.run(&["read", "--peek"]).ok();
    bob.run(&["inbox"]).ok().says("alice").says("2");
    assert_eq!(bob.run(&["unread"]).ok().stdout.trim(), "2");
    let unread = bob.json(&["unread"]).ok().json();
    assert_eq!((&unread["type"], &unread["total"]), (&json!("unread"), &json!(2)));
    assert_eq!(unread["people"][0], json!({"user": "alice", "count": 2}));
    bob.run(&["read", "alice"]).ok();
    assert_eq!(bob.run(&["unread"]).ok().stdout.trim(), "0");
    assert!(bob.json(&["read", "--unread"]).ok().items().is_empty());
    // unread works logged out and without the network
    world.server.kill();
    bob.run(&["unread"]).ok();
}

#[test]
fn a_retry_gets_its_answer_though_nothing_may_be_sent_now() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let first = alice.json(&["message", "bob", "once", "--id", "k1"]).ok().json();
    alice.run(&["logout"]).ok();
    let again = alice.json(&["message", "bob", "once", "--id", "k1"]).ok().json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    alice.run(&["message", "bob", "other", "--id", "k1"]).exits(7);
    alice.run(&["message", "bob", "new", "--id", "k2"]).exits(4);
}

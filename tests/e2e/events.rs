//! Events: `watch` in its forms, its counts, ends and resumption (part of A4, A8, A9).

use chat_tests::World;
use serde_json::{Value, json};

fn message(text: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "message" && event["text"] == text
}

#[test]
fn watch_shows_messages_receipts_and_the_link() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut alices = alice.watch(&[]);
    let mut bobs = bob.watch(&[]);
    let sent = alice.json(&["message", "bob", "hi"]).ok().json();
    let got = bobs.expect("the message", message("hi"));
    assert_eq!((&got["v"], &got["id"], &got["from"]), (&json!(1), &sent["id"], &json!("alice")));
    let receipt = alices.expect("the receipt", |event| event["type"] == "receipt" && event["state"] == "delivered");
    assert_eq!(receipt["id"], sent["id"]);
    world.server.kill();
    alices.expect("the lost link", |event| event["type"] == "link" && event["state"] != "online");
    world.server.up();
    alices.expect("the link", |event| event["type"] == "link" && event["state"] == "online");
    // watching marks nothing
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], 1);
}

#[test]
fn watch_ends_by_count_or_by_time() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    for text in ["one", "two", "three"] {
        alice.run(&["message", "bob", text, "--wait", "delivered"]).ok();
    }
    let first = bob.history()[0]["id"].as_str().expect("an id").to_owned();
    let both = bob.json(&["watch", "--only", "message", "--since", &first, "--count", "2", "--for", "30s"]).ok();
    let texts: Vec<Value> = both
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an object a line")["text"].clone())
        .collect();
    assert_eq!(texts, ["two", "three"]);
    bob.run(&["watch", "--only", "message", "--since", &first, "--count", "3", "--for", "200ms"])
        .exits(9)
        .says("three");
    bob.run(&["watch", "--only", "message", "--for", "50ms"]).ok();
    bob.run(&["watch", "--only", "nonsense"]).exits(2);
}

#[test]
fn watch_outlives_the_daemon_and_misses_nothing() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&["--only", "message"]);
    alice.sends("bob", "before");
    watch.expect("the first", message("before"));
    bob.kill();
    alice.sends("bob", "meanwhile");
    bob.up();
    watch.expect("the one in between", message("meanwhile"));
    alice.sends("bob", "after");
    watch.expect("the last", message("after"));
    let texts: Vec<&Value> =
        watch.seen().iter().filter(|event| event["type"] == "message").map(|event| &event["text"]).collect();
    assert_eq!(texts, ["before", "meanwhile", "after"]);
    // told not to wait for it
    let strict = bob.watch(&["--no-reconnect"]);
    bob.kill();
    assert_eq!(strict.end(), 3);
}

#[test]
fn watch_from_one_person() {
    let mut world = World::start();
    let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
    let mut watch = carol.watch(&["--only", "message", "--from", "bob"]);
    alice.run(&["message", "carol", "from alice", "--wait", "delivered"]).ok();
    bob.sends("carol", "from bob");
    watch.expect("bob's", message("from bob"));
    assert_eq!(watch.seen().len(), 1, "{:?}", watch.seen());
}

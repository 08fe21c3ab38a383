//! People: presence, whoelse, whoelsesince, broadcast, blocks (mission A4, A5, A6, A9, A10).

use std::sync::Arc;

use chat_tests::process::until;
use chat_tests::{Home, World};
use serde_json::{Value, json};

fn presence(user: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "presence" && event["user"] == user && event["state"] == state
}

fn message(text: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "message" && event["text"] == text
}

fn mentions(events: &[Value], user: &str) -> bool {
    events.iter().any(|event| event["type"] == "presence" && event["user"] == user)
}

#[test]
fn a4_presence_goes_to_all_but_the_subject() {
    let mut world = World::start();
    let names = ["alice", "bob", "carol", "dave", "erin"];
    let homes: Vec<Arc<Home>> = names.iter().map(|name| world.user(name)).collect();
    let mut watches: Vec<_> = homes.iter().map(|home| home.watch(&[])).collect();
    homes[0].run(&["logout"]).ok();
    for watch in &mut watches[1..] {
        let event = watch.expect("logout of alice", presence("alice", "offline"));
        assert_eq!(event["reason"], "logout");
    }
    homes[0].run(&["login"]).ok();
    for watch in &mut watches[1..] {
        watch.expect("login of alice", presence("alice", "online"));
    }
    // a sign-up is announced like a login
    let frank = world.user("frank");
    for watch in &mut watches {
        watch.expect("sign-up of frank", presence("frank", "online"));
    }
    frank.sends("alice", "barrier");
    watches[0].expect("the barrier", message("barrier"));
    assert!(!mentions(watches[0].seen(), "alice"), "{:?}", watches[0].seen());
}

#[test]
fn a5_whoelse_and_unsupported_commands() {
    let mut world = World::start();
    let alice = world.user("alice");
    assert_eq!(alice.run(&["whoelse"]).ok().stdout, "");
    assert!(alice.json(&["whoelse"]).ok().items().is_empty());
    let (bob, _carol) = (world.user("bob"), world.user("carol"));
    assert_eq!(alice.run(&["whoelse"]).ok().stdout, "bob\ncarol\n");
    assert_eq!(alice.json(&["whoelse"]).ok().column("user"), ["bob", "carol"]);
    assert_eq!(alice.json(&["whoelse", "bob"]).ok().column("user"), ["bob"]);
    bob.run(&["logout"]).ok();
    assert_eq!(alice.run(&["whoelse"]).ok().stdout, "carol\n");
    // no word is taken for another that begins alike
    alice.run(&["whoels"]).exits(2);
    alice.run(&["whoelses"]).exits(2).says("whoelse");
    alice.run(&["nonsense"]).exits(2);
    alice.run(&["whoelsesince"]).exits(2);
    alice.run(&["whoelsesince", "-5"]).exits(2);
    alice.run(&["whoelsesince", "soon"]).exits(2);
    alice.run(&["message"]).exits(2);
}

#[test]
fn a6_whoelsesince_sees_leavers_inside_the_window_only() {
    let mut world = World::start();
    let (alice, bob, _carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
    bob.run(&["logout"]).ok();
    assert_eq!(alice.run(&["whoelsesince", "200"]).ok().stdout, "bob\ncarol\n");
    let items = alice.json(&["whoelsesince", "200"]).ok().items();
    let online: Vec<_> = items.iter().map(|item| (&item["user"], &item["online"])).collect();
    assert_eq!(online, [(&json!("bob"), &json!(false)), (&json!("carol"), &json!(true))]);
    // he leaves the window, who is online stays
    until("bob is out of a window of one second", || {
        (alice.run(&["whoelsesince", "1"]).ok().stdout == "carol\n").then_some(())
    });
    assert_eq!(alice.run(&["whoelsesince", "15m"]).ok().stdout, "bob\ncarol\n");
    // further back than the server is up, and across its restart
    assert_eq!(alice.run(&["whoelsesince", "3d"]).ok().stdout, "bob\ncarol\n");
    world.server.kill();
    world.server.up();
    alice.online();
    until("carol is back", || (alice.run(&["whoelse"]).ok().stdout == "carol\n").then_some(()));
    assert_eq!(alice.run(&["whoelsesince", "1h"]).ok().stdout, "bob\ncarol\n");
}

#[test]
fn a9_a_broadcast_reaches_those_online() {
    let mut world = World::start();
    let (alice, bob, carol, dave) = (world.user("alice"), world.user("bob"), world.user("carol"), world.user("dave"));
    dave.run(&["logout"]).ok();
    alice.run(&["broadcast", "to all"]).ok().says("2");
    bob.gets(&["to all"]);
    carol.gets(&["to all"]);
    assert_eq!(bob.history()[0]["kind"], "broadcast");
    // never kept for those who are offline
    dave.run(&["login"]).ok();
    alice.run(&["message", "dave", "barrier", "--wait", "delivered"]).ok();
    dave.gets(&["barrier"]);
    let sent = alice.json(&["broadcast", "again", "--id", "b1"]).ok().json();
    assert_eq!((&sent["type"], &sent["sent"], &sent["complete"]), (&json!("broadcast"), &json!(3), &json!(true)));
    dave.gets(&["barrier", "again"]);
}

#[test]
fn a9_a_blocker_is_left_out_and_not_betrayed() {
    let mut world = World::start();
    let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
    bob.run(&["block", "alice"]).ok();
    // by default no notice: it would tell that a blocker is online; an offline blocker causes none either
    let online = alice.run(&["broadcast", "first"]).ok();
    bob.run(&["logout"]).ok();
    let offline = alice.run(&["broadcast", "first"]).ok();
    assert_eq!(online.stdout, offline.stdout);
    assert_eq!(online.stderr, offline.stderr);
    carol.gets(&["first", "first"]);
    bob.run(&["login"]).ok();
    carol.run(&["message", "bob", "barrier", "--wait", "delivered"]).ok();
    bob.gets(&["barrier"]);
}

#[test]
fn a10_all_effects_of_a_block_and_their_end() {
    let mut world = World::start();
    let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
    alice.sends("bob", "before");
    bob.gets(&["before"]);
    let mut bobs = bob.watch(&[]);
    let mut carols = carol.watch(&[]);
    alice.run(&["block", "bob"]).ok().says("bob");
    // refused with the same answer whether the blocker is online or not; nothing is stored
    let online = bob.run(&["message", "alice", "hm?"]).exits(7).says("alice has blocked you");
    bob.json(&["message", "alice", "hm?"]).fails_with("recipient_blocked", 7);
    assert_eq!(bob.run(&["whoelse"]).ok().stdout, "carol\n");
    assert_eq!(bob.run(&["whoelsesince", "1h"]).ok().stdout, "carol\n");
    bob.run(&["broadcast", "from bob"]).ok();
    carol.gets(&["from bob"]);
    alice.run(&["logout"]).ok();
    carols.expect("logout of alice", presence("alice", "offline"));
    let offline = bob.run(&["message", "alice", "hm?"]).exits(7);
    assert_eq!(
        online.stderr.replace(|c: char| c.is_ascii_digit(), ""),
        offline.stderr.replace(|c: char| c.is_ascii_digit(), "")
    );
    alice.run(&["login"]).ok();
    carols.expect("login of alice", presence("alice", "online"));
    // the other direction is open, and those whom alice blocked stay listed for her
    assert_eq!(alice.run(&["whoelse"]).ok().stdout, "bob\ncarol\n");
    alice.run(&["message", "bob", "you may hear me", "--wait", "delivered"]).ok();
    bobs.expect("the message", message("you may hear me"));
    assert!(!mentions(bobs.seen(), "alice"), "{:?}", bobs.seen());
    assert_eq!(alice.received(), Vec::<String>::new());
    // and all again after unblock
    alice.run(&["unblock", "bob"]).ok();
    bob.run(&["message", "alice", "back", "--wait", "delivered"]).ok();
    alice.gets(&["back"]);
    assert_eq!(bob.run(&["whoelse"]).ok().stdout, "alice\ncarol\n");
    assert_eq!(bob.run(&["whoelsesince", "1h"]).ok().stdout, "alice\ncarol\n");
    bob.run(&["broadcast", "to both"]).ok();
    alice.gets(&["back", "to both"]);
    alice.run(&["logout"]).ok();
    bobs.expect("logout of alice", presence("alice", "offline"));
}

#[test]
fn a10_in_json() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let blocked = alice.json(&["block", "bob"]).ok().json();
    assert_eq!((&blocked["type"], &blocked["user"]), (&json!("block"), &json!("bob")));
    assert_eq!((&blocked["blocked"], &blocked["changed"]), (&json!(true), &json!(true)));
    // again: harmless, says so
    assert_eq!(alice.json(&["block", "bob"]).ok().json()["changed"], false);
    alice.run(&["blocked"]).ok().says("bob");
    assert_eq!(alice.json(&["blocked"]).ok().items().len(), 1);
    assert_eq!(alice.json(&["unblock", "bob"]).ok().json()["blocked"], false);
    alice.json(&["unblock", "bob"]).fails_with("not_blocked", 6);
    alice.json(&["block", "alice"]).fails_with("yourself", 2);
    alice.json(&["unblock", "alice"]).fails_with("yourself", 2);
    alice.json(&["block", "nobody"]).fails_with("unknown_user", 6);
    alice.json(&["unblock", "nobody"]).fails_with("unknown_user", 6);
}

#[test]
fn what_was_accepted_before_a_block_is_still_delivered() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.kill();
    bob.sends("alice", "sent before the block");
    alice.up();
    alice.online();
    alice.gets(&["sent before the block"]);
    alice.run(&["block", "bob"]).ok();
    assert_eq!(alice.received(), ["sent before the block"]);
    // a block is decided before anything is stored for someone offline
    alice.run(&["logout"]).ok();
    bob.run(&["message", "alice", "after"]).exits(7);
    alice.run(&["login"]).ok();
    alice.run(&["unblock", "bob"]).ok();
    bob.run(&["message", "alice", "now", "--wait", "delivered"]).ok();
    alice.gets(&["sent before the block", "now"]);
}

#[test]
fn blocks_survive_a_restart_of_the_server() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.run(&["block", "bob"]).ok();
    world.server.kill();
    world.server.up();
    bob.online();
    bob.run(&["message", "alice", "hm?"]).exits(7);
    alice.online();
    assert_eq!(alice.json(&["blocked"]).ok().items().len(), 1);
}

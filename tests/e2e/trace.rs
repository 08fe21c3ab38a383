//! `trace`: one timeline of a message over every hop, also of one that never arrived.

use chat_tests::process::until;
use chat_tests::{Home, World};
use serde_json::Value;

fn trace(home: &Home, id: &str) -> Value {
    home.json(&["trace", id]).ok().json()
}

/// The steps of a trace, in order.
fn steps(trace: &Value) -> Vec<&str> {
    let hops = trace["hops"].as_array().expect("hops");
    hops.iter().filter_map(|hop| hop["step"].as_str()).collect()
}

fn hop<'a>(trace: &'a Value, step: &str) -> &'a Value {
    let hops = trace["hops"].as_array().expect("hops");
    hops.iter().find(|hop| hop["step"] == step).unwrap_or_else(|| panic!("no {step} in {trace}"))
}

fn sent(home: &Home, to: &str, more: &[&str]) -> String {
    let mut args = vec!["message", to, "x"];
    args.extend_from_slice(more);
    let reply: Value = serde_json::from_str(&home.json(&args).stdout).expect("an object");
    reply["id"].as_str().expect("an id").to_owned()
}

#[test]
fn the_whole_way_of_a_message_on_both_sides() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let id = sent(&alice, "bob", &["--wait", "delivered"]);
    let delivered = trace(&alice, &id);
    assert_eq!(steps(&delivered), ["queued", "sent", "accepted", "delivered"]);
    assert_eq!((&delivered["waits_for"], &delivered["state"]), (&"reader".into(), &"delivered".into()));
    assert_eq!((&delivered["server"]["says"], &delivered["server"]["code"]), (&"verdict".into(), &"accepted".into()));
    assert_eq!(delivered["server"]["place"], hop(&delivered, "accepted")["place"]);
    let times: Vec<&str> =
        delivered["hops"].as_array().expect("hops").iter().filter_map(|hop| hop["at"].as_str()).collect();
    assert!(times.len() == 4 && times.is_sorted(), "{delivered}");
    assert_eq!(hop(&delivered, "sent")["times"], 1);

    assert_eq!(steps(&trace(&bob, &id)), ["accepted", "arrived"]);
    bob.run(&["read"]).ok();
    until("bob's mark is known to the server", || {
        (steps(&trace(&bob, &id)).last() == Some(&"read_told")).then_some(())
    });
    let there = trace(&bob, &id);
    assert_eq!(steps(&there), ["accepted", "arrived", "read_here", "read_told"]);
    assert!(there["server"].is_null() && there["waits_for"].is_null(), "{there}");
    let read = until("alice is told", || Some(trace(&alice, &id)).filter(|trace| trace["state"] == "read"));
    assert_eq!(steps(&read), ["queued", "sent", "accepted", "delivered", "read"]);
    assert!(hop(&read, "read")["at"].is_string() && read["waits_for"].is_null(), "{read}");

    let short = &id[id.len() - 4..];
    let words = alice.run(&["trace", short]).ok();
    for text in
        [" to bob: read ", "queued on this host", "sent to the server", "accepted by the server (place ", "read by bob"]
    {
        assert!(words.stdout.contains(text), "{text} in {}", words.stdout);
    }
    bob.run(&["trace", short]).ok().says("by its clock").says("in the history of this host").says("read by you");
    alice.restart();
    assert_eq!(steps(&trace(&alice, &id)), steps(&read), "it is kept");
}

#[test]
fn one_that_did_not_go_out_says_what_it_waits_for() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    world.server.stop();
    let id = sent(&alice, "bob", &[]);
    let waiting = trace(&alice, &id);
    assert_eq!((steps(&waiting), &waiting["waits_for"]), (vec!["queued"], &"link".into()));
    assert_eq!(
        (&waiting["server"]["says"], &waiting["server"]["code"]),
        (&"nothing".into(), &"server_unreachable".into())
    );
    alice.run(&["trace", &id]).ok().says("waits for the link to the server").says("could not be asked");
    world.server.up();
    let went = until("it went out", || Some(trace(&alice, &id)).filter(|trace| trace["state"] != "queued"));
    assert_eq!(steps(&went)[..3], ["queued", "sent", "accepted"]);
}

#[test]
fn one_without_a_verdict_was_sent_and_how_often() {
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let pid = world.server.pid().expect("it runs");
    // The server is there and decides nothing.
    chat_tests::process::signal(pid, rustix::process::Signal::STOP);
    let id = sent(&alice, "bob", &["--timeout", "300ms"]);
    world.server.kill();
    let lost = until("the link is known to be lost", || {
        Some(trace(&alice, &id)).filter(|trace| trace["waits_for"] == "link" && steps(trace).contains(&"sent"))
    });
    assert_eq!(hop(&lost, "sent")["times"], 1);
    world.server.up();
    let came =
        until("it is accepted at last", || Some(trace(&alice, &id)).filter(|trace| trace["state"] == "accepted"));
    let again = hop(&came, "sent");
    assert_eq!(again["times"], 2, "{came}");
    assert!(again["last_at"].as_str() > again["at"].as_str(), "{came}");
}

#[test]
fn a_refusal_and_someone_away_are_told_apart() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    bob.run(&["block", "alice"]).ok();
    alice.run(&["message", "bob", "no", "--id", "refused"]).exits(7);
    let refused = trace(&alice, "refused");
    assert_eq!(steps(&refused), ["queued", "sent", "failed"]);
    assert_eq!(hop(&refused, "failed")["code"], "recipient_blocked");
    assert_eq!(refused["server"]["code"], "recipient_blocked");
    alice.run(&["trace", "refused"]).ok().says("failed: the recipient has blocked you");
    bob.run(&["unblock", "alice"]).ok();
    bob.run(&["logout"]).ok();
    let id = sent(&alice, "bob", &[]);
    let away = trace(&alice, &id);
    assert_eq!((steps(&away), &away["waits_for"]), (vec!["queued", "sent", "accepted"], &"recipient".into()));
    alice.run(&["trace", &id]).ok().says("waits for a device of bob");
    alice.json(&["trace", "nonsense"]).fails_with("unknown_id", 6);
}

/// A block placed after the message was accepted shows nothing, whatever the blocker does with it (no oracle).
#[test]
fn who_is_blocked_learns_nothing_more() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    bob.kill();
    let id = sent(&alice, "bob", &[]);
    let bob2 = world.device("bob", 2);
    bob2.gets(&["x"]);
    until("alice is told", || (trace(&alice, &id)["state"] == "delivered").then_some(()));
    bob2.run(&["block", "alice"]).ok();
    let before = trace(&alice, &id);
    bob2.run(&["read"]).ok();
    bob2.run(&["status", "--wait", "online"]).ok();
    // bob's mark has reached the server when a later call of his was answered
    bob2.run(&["whoelse"]).ok();
    assert_eq!(trace(&alice, &id), before);
}

#[test]
fn only_ones_own_messages_are_known() {
    let mut world = World::start();
    let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
    let id = sent(&alice, "bob", &["--wait", "delivered"]);
    bob.run(&["trace", &id]).ok();
    carol.json(&["trace", &id]).fails_with("unknown_id", 6);
}

//! What an earlier build left is carried on: each test has a stopped town and ends in [`carried_on`].

use std::fs;

use chat_tests::checker::{History, Item, Sent, Verdict, check};
use chat_tests::process::until;
use chat_tests::traffic::settle;
use chat_tests::{Build, Home};
use serde_json::Value;

use crate::dump::Content;
use crate::town::{HISTORY, Town, facts, hand_over};
use crate::{case, earlier};

/// Tables of a history that a start without a server changes by itself, or that are the business of the library for migrations and of
/// the search index.
const OWN_BUSINESS: &[&str] = &["refinery_schema_history", "search", "sqlite_", "meta"];

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn an_earlier_town_is_carried_on() {
    let mut town = case("a town is made by the earlier build", || Town::made(&earlier()));
    eprintln!("   history {}, store {}", town.forms.history, town.forms.store);
    town.of(&Build::Tested);
    carried_on(&mut town);
}

/// Everything that was there is there once and in order, everything that waited goes out once, and life goes on.
pub fn carried_on(town: &mut Town) {
    case("without the server every home shows what it showed", || shows_the_same(town));
    case("what waited arrives once, in order, at devices that log in by key", || arrives(town));
    case("life goes on where it was", || goes_on(town));
    case("a second start changes nothing", || again(town));
}

/// Every home, started while the server is away.
pub fn shows_the_same(town: &Town) {
    for (name, home) in town.homes() {
        let file = home.dir().join(HISTORY);
        let before = Content::of(&file, None, OWN_BUSINESS);
        home.up();
        shows(town, name, home);
        Content::of(&file, Some(&before), OWN_BUSINESS).is(&before, name);
    }
}

/// A home that runs, without its server.
#[track_caller]
pub fn shows(town: &Town, name: &str, home: &Home) {
    let now = facts(home, town.forms);
    if let Err(difference) = includes(&now, &town.told[name], name) {
        panic!("{difference}\nbefore: {}\nnow: {now}", town.told[name]);
    }
}

/// All that `old` says, `new` says too; it may say more of the same things.
pub fn includes(new: &Value, old: &Value, at: &str) -> Result<(), String> {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => old.iter().try_for_each(|(key, old)| {
            let at = format!("{at}.{key}");
            includes(new.get(key).ok_or_else(|| format!("{at} is gone"))?, old, &at)
        }),
        (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
            let mut pairs = new.iter().zip(old).enumerate();
            pairs.try_for_each(|(index, (new, old))| includes(new, old, &format!("{at}[{index}]")))
        }
        (Value::Array(new), Value::Array(old)) => Err(format!("{at}: {} where {} were", new.len(), old.len())),
        _ if new == old => Ok(()),
        _ => Err(format!("{at}: {new} where it was {old}")),
    }
}

/// What waited arrives, at devices that log in by key.
pub fn arrives(town: &mut Town) {
    if town.invitation.is_some() {
        town.world.server.set(&[("registration", "mode", "\"invite\"")]);
    }
    town.world.server.up();
    for (_, home) in town.homes().filter(|(name, _)| !["carol", "eve"].contains(name)) {
        home.online();
    }
    // by the device's key: no password is given
    town.home("carol").run(&["login", "--no-input"]).ok();
    for one in town.sent.iter_mut().filter(|one| one.verdict == Verdict::Pending) {
        one.verdict = Verdict::Accepted;
    }
    everything_once(town);
    until("nothing waits at its sender", || {
        let queued = |home: &Home| home.json(&["status"]).ok().json()["queued"].clone();
        town.homes().all(|(_, home)| queued(home) == 0).then_some(())
    });
}

/// Every device shows what was sent to its account: once, in order, nothing else.
#[track_caller]
pub fn everything_once(town: &Town) {
    let homes: Vec<(&str, &Home)> = town.homes().collect();
    settle(&town.sent, &homes);
    let direct = |item: &&Value| item["kind"] == "direct";
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let item = |item: &Value| Item { id: text(&item["id"]), from: text(&item["from"]), text: text(&item["text"]) };
    let history = |(name, home): &(&str, &Home)| History {
        account: home.user().to_owned(),
        device: (*name).to_owned(),
        items: home.history().iter().filter(direct).map(item).collect(),
    };
    let histories: Vec<History> = homes.iter().map(history).collect();
    let broken = check(&town.sent, &histories);
    assert!(broken.is_empty(), "{broken:#?}");
}

fn goes_on(town: &mut Town) {
    let (alice, bob, dave) = (town.home("alice"), town.home("bob"), town.home("dave"));
    let unread = bob.json(&["unread"]).ok().json()["total"].as_u64().expect("a count");
    for (from, to) in [("alice", "bob"), ("bob", "alice"), ("alice2", "carol"), ("carol", "dave"), ("dave", "alice")] {
        town.say(from, to, &format!("after the upgrade, {from} to {to}")).ok();
    }
    town.say("dave", "bob", "still refused").exits(7);
    assert_eq!(bob.json(&["blocked"]).ok().column("user"), ["dave"]);
    everything_once(town);
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], unread + 1);
    until("both devices are known", || (alice.json(&["device", "list"]).ok().items().len() == 2).then_some(()));
    // what was written before the index is found by it
    assert_eq!(bob.json(&["search", "blanks line"]).ok().column("text"), ["two  blanks\nand a line"]);
    bob.run(&["read", "alice", "--unread"]).ok();
    until("alice learns that it was read", || {
        let items = alice.json(&["read", "bob", "--peek"]).ok().items();
        let read = |item: &Value| item["text"] == "after the upgrade, alice to bob" && item["state"] == "read";
        items.iter().any(read).then_some(())
    });
    if town.forms.cursors() {
        let args = [
            "--json",
            "watch",
            "--only",
            "message",
            "--cursor",
            "triage",
            "--auto-ack",
            "--for",
            "30s",
            "--count",
            "2",
        ];
        let lines = bob.run(&args).ok().stdout;
        let texts: Vec<String> = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|event| event["text"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(texts, ["for the cursor 2", "for the cursor 3"]);
    }
    if town.forms.hooks() {
        let come = received_since_hooks(&bob, &town.sent);
        until("the hook ran for what came since", || (town.paged().len() >= come).then_some(()));
        let mut ids = town.paged();
        assert_eq!(ids.len(), come, "a run for each message");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), come, "none twice");
    }
    dave.joins(&alice);
    dave.run(&["private", "alice", "a new secret"]).ok();
    alice.run(&["stopprivate", "dave"]).ok();
    if town.forms.sessions() {
        // known to each other by their keys
        bob.joins(&alice);
        bob.run(&["private", "alice", "the same key as before"]).ok();
        hand_over(&town.world, &bob, &alice, "second.txt");
        bob.run(&["stopprivate", "alice"]).ok();
    }
    accounts(town);
}

/// Messages to bob behind the first for which he had a hook.
fn received_since_hooks(bob: &Home, sent: &[Sent]) -> usize {
    let first = sent.iter().position(|one| one.text == "for the hook 1").expect("it was sent");
    let direct = sent[first..].iter().filter(|one| one.to == "bob" && one.verdict == Verdict::Accepted).count();
    let private = bob.history().iter().filter(|item| item["kind"] == "private" && item["own"] == false).count();
    direct + private
}

/// What the server alone knows.
fn accounts(town: &mut Town) {
    let names = town.world.server.ctl(&["--json", "user", "list"]).ok().column("name");
    assert_eq!(names, ["alice", "bob", "carol", "dave", "eve"]);
    if town.forms.locks() {
        let eve = town.home("eve");
        eve.run(&["logout"]);
        let refused = town.world.login(&eve);
        assert_ne!(refused.code, 0, "eve is locked: {refused}");
        town.world.server.ctl(&["user", "unlock", "eve"]).ok();
        town.world.login(&eve).ok();
    }
    if let Some(code) = &town.invitation {
        let file = town.world.file("invitation", code.as_bytes());
        let [frank, greta] = ["frank", "greta"].map(|name| (name, town.world.home(name, name)));
        town.world.register(&frank.1, &["--invite-file", &file]).ok();
        town.world.register(&greta.1, &["--invite-file", &file]).exits(7);
    }
    town.world.server.ctl(&["db", "check"]).ok();
}

fn again(town: &mut Town) {
    town.world.server.kill();
    for (_, home) in town.homes() {
        home.restart();
    }
    town.world.server.up();
    for (_, home) in town.homes() {
        home.online();
    }
    town.say("alice", "bob", "after another start").ok();
    everything_once(town);
    let log = fs::read_to_string(town.world.server.log()).unwrap_or_default();
    assert!(!log.contains("panicked"), "{log}");
}

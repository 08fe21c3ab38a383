//! What scripts build on: named cursors across kills of everything (contract, P8), and programs run by `watch`.
//!
//! `CHAT_KILLS` sets the number of kills, `CHAT_SEED` repeats a run.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_tests::process::{kill_child, pause, signal, until};
use chat_tests::traffic::Traffic;
use chat_tests::{Home, World};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Kills in one run.
const KILLS: u64 = 60;

/// A reader with a named cursor: it handles a message, then acknowledges it, and begins again whenever its watch ends.
#[derive(Default)]
struct Reader {
    stop: AtomicBool,
    handled: Mutex<Vec<String>>,
    // its chatctl processes that run now: victims
    running: Mutex<Vec<u32>>,
}

impl Reader {
    fn read(&self, home: &Home) {
        while !self.stop.load(Ordering::SeqCst) {
            let mut watch = home.command(&["--json", "watch", "--only", "message", "--cursor", "triage"]);
            let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("chatctl can be started");
            self.runs(watch.id());
            let lines = BufReader::new(watch.stdout.take().expect("stdout is piped")).lines();
            // what a killed watch wrote is still in the pipe; a line without its end is no message
            for message in lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok()) {
                let text = message["text"].as_str().expect("a text").to_owned();
                self.handled.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                self.ack(home, message["id"].as_str().expect("an id"));
            }
            kill_child(&mut watch);
            self.ended(watch.id());
        }
    }

    /// Until it is sure.
    fn ack(&self, home: &Home, id: &str) {
        until("the message is acknowledged", || {
            let mut ack = home.command(&["ack", "triage", id]);
            let mut ack = ack.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("chatctl can be started");
            self.runs(ack.id());
            let status = ack.wait().expect("our child");
            self.ended(ack.id());
            status.success().then_some(())
        });
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn victims(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn runs(&self, pid: u32) {
        self.victims().push(pid);
    }

    fn ended(&self, pid: u32) {
        self.victims().retain(|one| *one != pid);
    }

    fn kill(&self) {
        // held, so that none of them is reaped and its number given away meanwhile
        for pid in self.victims().iter() {
            signal(*pid, Signal::KILL);
        }
    }
}

#[test]
fn p8_a_named_cursor_gets_each_message_once_whatever_is_killed() {
    let kills = std::env::var("CHAT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut world = World::start();
    eprintln!("CHAT_SEED={}", world.rng.seed());
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    // the cursor begins before the first message
    drop(bob.watch(&["--cursor", "triage"]));
    let (traffic, reader) = (Arc::new(Traffic::default()), Arc::new(Reader::default()));
    let sender = {
        let (traffic, alice) = (Arc::clone(&traffic), Arc::clone(&alice));
        std::thread::spawn(move || traffic.send(&alice, "alice", "bob"))
    };
    let consumer = {
        let (reader, bob) = (Arc::clone(&reader), Arc::clone(&bob));
        std::thread::spawn(move || reader.read(&bob))
    };
    for _ in 0..kills {
        let before = reader.handled().len();
        until("the reader goes on", || (reader.handled().len() > before).then_some(()));
        pause(Duration::from_micros(world.rng.below(30_000)));
        let which = world.rng.below(3);
        if which != 1 {
            reader.kill();
        }
        if which != 0 {
            bob.restart();
        }
    }
    traffic.stop();
    let sent: Vec<String> = sender.join().expect("a sender").into_iter().map(|sent| sent.text).collect();
    until("the reader has them all", || (reader.handled().len() >= sent.len()).then_some(()));
    // nothing comes twice later on either: whatever is not acknowledged would come first
    until("nothing waits", || (waiting(&bob) == json!(0)).then_some(()));
    reader.stop.store(true, Ordering::SeqCst);
    reader.kill();
    consumer.join().expect("the reader");
    assert_eq!(reader.handled(), sent);
    assert!(sent.len() as u64 >= kills, "only {} messages: the test tested little", sent.len());
    eprintln!("{kills} kills, {} messages, each handled once", sent.len());
}

fn waiting(home: &Home) -> Value {
    home.json(&["cursor", "list"]).ok().items()[0]["waiting"].clone()
}

#[test]
fn a_cursor_comes_back_to_what_was_not_acknowledged() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    bob.json(&["ack", "triage", "x"]).exits(6);
    drop(bob.watch(&["--cursor", "triage"]));
    for text in ["one", "two", "three"] {
        alice.run(&["message", "bob", text, "--wait", "delivered"]).ok();
    }
    let args = ["--json", "watch", "--only", "message", "--cursor", "triage", "--for", "30s", "--count"];
    let texts = |count: &str, more: &[&str]| {
        let seen = bob.run(&[&args[..], &[count], more].concat()).ok();
        let events = seen.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object a line"));
        events.map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("2", &[]), ["one", "two"]);
    assert_eq!(texts("2", &[]), ["one", "two"], "nothing was acknowledged");
    assert_eq!(texts("2", &["--auto-ack"]), ["one", "two"]);
    assert_eq!(texts("1", &[]), ["three"]);
    // forwards only, and only what is known
    let ids: Vec<String> = bob.json(&["read", "--peek"]).ok().column("id");
    let back = bob.json(&["ack", "triage", &ids[0]]).ok().json();
    assert_eq!((&back["changed"], &back["id"], &back["waiting"]), (&json!(false), &json!(ids[1]), &json!(1)));
    bob.json(&["ack", "triage", "zzzzzzzz"]).fails_with("unknown_id", 6);
    bob.json(&["ack", "other", &ids[2]]).fails_with("unknown_cursor", 6);
    bob.restart();
    assert_eq!(bob.json(&["ack", "triage", &ids[2]]).ok().json()["changed"], true);
    // watching and acknowledging mark nothing
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], 3);
    bob.run(&["cursor", "remove", "triage"]).ok();
    bob.run(&["cursor", "remove", "triage"]).exits(6);
    // a new one may begin where it is told to
    assert_eq!(texts("1", &["--since", &ids[1]]), ["three"]);
}

#[test]
fn a_program_that_fails_gets_its_message_again() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    drop(bob.watch(&["--cursor", "triage"]));
    for text in ["good", "bad", "last"] {
        alice.run(&["message", "bob", text, "--wait", "delivered"]).ok();
    }
    let flag = world.path("mended").display().to_string();
    let script = r#"read -r line; case $line in *'"text":"bad"'*) test -e "$0" || exit 4;; esac; echo "$line""#;
    let watch = |count: &str| {
        let args = ["watch", "--only", "message", "--cursor", "triage", "--count", count, "--for", "30s"];
        bob.run(&[&args[..], &["--exec", "sh", "-c", script, &flag]].concat())
    };
    let first = watch("3").exits(1).says("exit 4");
    assert_eq!(first.stdout.lines().count(), 1, "{first}");
    watch("3").exits(1);
    std::fs::write(&flag, "").expect("a file in the world's directory");
    let second = watch("2").ok();
    assert_eq!(second.stdout.lines().count(), 2, "{second}");
    assert!(second.stdout.contains(r#""text":"bad""#) && second.stdout.contains(r#""text":"last""#), "{second}");
    assert_eq!(waiting(&bob), json!(0));
}

#[test]
fn searches_find_what_was_sent_and_received_and_mark_nothing() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    for text in ["the nightly Backup failed", "second try", "backup done: 91% :-)"] {
        alice.run(&["message", "bob", text, "--wait", "delivered"]).ok();
    }
    for home in [&alice, &bob] {
        let found = home.json(&["search", "backup"]).ok();
        assert_eq!(found.column("text"), ["the nightly Backup failed", "backup done: 91% :-)"]);
        assert_eq!(home.json(&["search", "91% :-)", "--from", "alice"]).ok().items().len(), 1);
        assert_eq!(home.json(&["search", "--regex", "^second|done"]).ok().items().len(), 2);
    }
    let around = bob.run(&["search", "second", "--with", "alice", "-C", "1"]).ok().stdout;
    let marks: Vec<&str> = around.lines().map(|line| &line[..1]).collect();
    assert_eq!(marks, [" ", "*", " "], "{around}");
    bob.json(&["search", "--regex", "("]).fails_with("bad_pattern", 15);
    bob.json(&["search", " "]).fails_with("bad_pattern", 15);
    assert!(bob.json(&["search", "\" OR NEAR("]).ok().items().is_empty());
    bob.run(&["search", "nowhere", "--exit-code"]).exits(1);
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], 3);
}

#[test]
fn an_export_is_the_whole_history_and_goes_on_where_it_ended() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let lines = |home: &Home, args: &[&str]| {
        let out = home.run(&[&["export"], args].concat()).ok().stdout;
        out.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object a line")).collect::<Vec<_>>()
    };
    alice.run(&["message", "bob", "one", "--wait", "delivered"]).ok();
    bob.run(&["message", "alice", "two", "--wait", "delivered"]).ok();
    let first = lines(&bob, &[]);
    assert_eq!(first.iter().map(|one| &one["text"]).collect::<Vec<_>>(), ["one", "two"]);
    alice.run(&["message", "bob", "three", "--wait", "delivered"]).ok();
    // logged out and without a server
    bob.run(&["logout"]).ok();
    world.server.kill();
    let more = lines(&bob, &["--since", first[1]["id"].as_str().expect("an id")]);
    assert_eq!(more.iter().map(|one| &one["text"]).collect::<Vec<_>>(), ["three"]);
    assert_eq!(lines(&bob, &["alice"]).len(), 3);
    assert!(lines(&bob, &["carol"]).is_empty());
    bob.run(&["export", "--format", "text"]).ok().says("alice: three");
    bob.json(&["export", "--since", "zzzzzzzz"]).fails_with("unknown_id", 6);
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], 2);
}

#[test]
fn a_cancelled_message_is_never_delivered_and_a_late_cancel_says_so() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    world.server.kill();
    let id = |home: &Home, text: &str| {
        let sent = home.json(&["message", "bob", text]).exits(5).json();
        sent["id"].as_str().expect("an id").to_owned()
    };
    let (first, second, _third) = (id(&alice, "first"), id(&alice, "second"), id(&alice, "third"));
    // never sent: sure at once, and for ever
    let cancelled = alice.json(&["outbox", "cancel", &first]).ok().json();
    assert_eq!((&cancelled["state"], &cancelled["code"]), (&json!("failed"), &json!("cancelled")));
    alice.restart();
    alice.run(&["outbox", "cancel", &first]).ok();
    // an earlier start may have sent it: only the server knows
    alice.json(&["outbox", "cancel", &second, "--timeout", "5s"]).fails_with("server_unreachable", 5);
    alice.run(&["outbox"]).ok().says("being cancelled");
    assert_eq!(alice.json(&["status"]).ok().json()["queued"], 2);
    world.server.up();
    bob.gets(&["third"]);
    until("the server has recorded it", || {
        let shown = alice.json(&["show", &second]).ok().json();
        (shown["state"] == "failed" && shown["code"] == "cancelled").then_some(())
    });
    // delivered is delivered
    let sent = alice.json(&["message", "bob", "last", "--wait", "delivered"]).ok().json();
    alice.json(&["outbox", "cancel", sent["id"].as_str().expect("an id")]).fails_with("too_late", 1);
    alice.run(&["outbox", "cancel", sent["id"].as_str().expect("an id")]).exits(1).says("delivered already");
    bob.gets(&["third", "last"]);
    let received = bob.json(&["read", "--peek"]).ok().column("id");
    bob.json(&["outbox", "cancel", &received[0]]).fails_with("unknown_id", 6);
    // what was cancelled keeps nobody from leaving
    alice.run(&["logout"]).ok();
}

#[test]
fn a_retry_never_doubles() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    bob.run(&["block", "alice"]).ok();
    let refused = alice.json(&["message", "bob", "please", "--id", "k1"]).exits(7);
    let failed = refused.error()["id"].as_str().expect("an id").to_owned();
    alice.json(&["outbox", "retry", &failed]).fails_with("recipient_blocked", 7);
    bob.run(&["unblock", "alice"]).ok();
    let again = alice.json(&["outbox", "retry", &failed]).ok().json();
    assert!(again["replaces"].is_string() && again["id"] != json!(failed), "{again}");
    // once, however often it is asked: that message got there
    alice.json(&["outbox", "retry", &failed]).fails_with("too_late", 1);
    bob.gets(&["please"]);
    // what waits is tried under its own id
    world.server.kill();
    let waits = alice.json(&["message", "bob", "kept"]).exits(5).json();
    alice.json(&["outbox", "retry"]).fails_with("server_unreachable", 5);
    alice.run(&["outbox", "retry"]).exits(5).says("1 message waits");
    world.server.up();
    let sent = alice.json(&["outbox", "retry", waits["id"].as_str().expect("an id")]).ok().json();
    assert_eq!((&sent["id"], &sent["replaces"]), (&waits["id"], &json!(null)));
    bob.gets(&["please", "kept"]);
    alice.run(&["outbox", "retry"]).ok().says("Nothing waits");
    alice.run(&["logout"]).ok();
    alice.run(&["outbox", "retry"]).exits(4);
}

/// A chatctl that goes on printing; its lines as they come.
struct Lines {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Lines {
    fn of(home: &Home, args: &[&str]) -> Lines {
        let mut child =
            home.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("chatctl starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Lines { child, lines }
    }

    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(chat_tests::process::PATIENCE).expect("a line")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        kill_child(&mut self.child);
    }
}

#[test]
fn a_status_bar_follows_the_count_across_a_dead_daemon() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let bar = Lines::of(&bob, &["unread", "--follow", "--format", "waybar"]);
    let number = Lines::of(&bob, &["unread", "--follow"]);
    assert_eq!(bar.next(), r#"{"text":"","alt":"none","tooltip":"","class":["none"]}"#);
    assert_eq!(number.next(), "0");
    alice.run(&["message", "bob", "one", "--wait", "delivered"]).ok();
    assert_eq!(bar.next(), r#"{"text":"1","alt":"unread","tooltip":"alice 1","class":["unread"]}"#);
    assert_eq!(number.next(), "1");
    bob.kill();
    alice.sends("bob", "two");
    bob.up();
    assert_eq!(number.next(), "2");
    bob.run(&["read"]).ok();
    assert_eq!(number.next(), "0");
}

#[test]
fn a_program_may_speak_the_protocol_itself() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let asked = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"message","params":{"to":"bob","text":"hi"}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"block","params":{"user":"carol"}}"#,
        "\n",
    );
    let said = alice.pipe(&["rpc"], asked.as_bytes()).ok().stdout;
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&said[0]["id"], &said[0]["result"]["state"]), (&json!(1), &json!("accepted")));
    assert_eq!((&said[1]["id"], &said[1]["error"]["data"]["code"]), (&json!(2), &json!("unknown_user")));
    bob.gets(&["hi"]);
    let page = bob.run(&["call", "read"]).ok();
    let page: Value = serde_json::from_str(&page.stdout).expect("JSON");
    assert_eq!(page["items"][0]["text"], "hi");
    bob.run(&["call", "block", r#"{"user": "carol"}"#]).fails_with("unknown_user", 6);
}

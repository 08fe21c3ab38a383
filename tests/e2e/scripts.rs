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

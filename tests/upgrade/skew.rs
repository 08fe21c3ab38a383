//! Programs of two ages that run beside each other: messages pass both ways, what one side does not know is refused with the side to
//! upgrade, nothing hangs and nothing is a bug.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_tests::checker::{Verdict, check};
use chat_tests::process::until;
use chat_tests::traffic::{Traffic, history, settle};
use chat_tests::{Build, Home, Output, World};

use crate::town::{Forms, forms_of, hand_over};
use crate::{case, earlier};

/// No verb takes longer, whatever the other side does not know.
const WITHIN: Duration = Duration::from_secs(30);

/// What every two builds have in common.
const COMMON: &[&[&str]] = &[
    &["status"],
    &["unread"],
    &["inbox"],
    &["read", "bob", "--peek"],
    &["read", "-n", "5"],
    &["message", "bob", "from one build to another"],
    &["message", "bob", "--wait", "delivered", "waited for"],
    &["broadcast", "all builds"],
    &["outbox"],
    &["whoelse"],
    &["whoelsesince", "60"],
    &["block", "bob"],
    &["blocked"],
    &["unblock", "bob"],
    &["watch", "--for", "200ms"],
    &["trust", "list"],
    &["profile", "list"],
    &["daemon", "status"],
    &["config", "path"],
    &["logout"],
    &["login", "--no-input"],
];

/// Verbs that came later: some build does not know them.
const LATER: &[&[&str]] = &[
    &["device", "list"],
    &["search", "build"],
    &["export"],
    &["cursor", "list"],
    &["watch", "--cursor", "skew", "--for", "200ms"],
    &["ack", "skew", "nothing"],
    &["cursor", "remove", "skew"],
    &["hooks", "list"],
    &["hooks", "letters"],
    &["hooks", "test", "message"],
    &["outbox", "retry"],
    &["outbox", "cancel", "nothing"],
    &["show", "nothing"],
    &["trace", "nothing"],
    &["call", "status"],
    &["config", "list"],
    &["config", "check"],
    &["run", "--to", "bob", "--on", "always", "--", "true"],
    &["passwd", "--no-input"],
    &["device", "revoke", "nothing", "--yes"],
    &["startprivate", "bob"],
    &["requests"],
    &["sessions"],
    &["sessions", "verify", "bob"],
    &["private", "bob", "a secret"],
    &["accept", "bob"],
    &["decline", "bob"],
    &["stopprivate", "bob"],
    &["stopprivate", "--all"],
    &["file", "list"],
    &["file", "accept", "nothing"],
    &["file", "cancel", "nothing"],
    &["unread", "--format", "waybar"],
];

/// Alice with these builds, and bob with the tested ones.
fn pair(world: &mut World, chatd: &Build, chatctl: &Build) -> (Arc<Home>, Arc<Home>) {
    let bob = world.user("bob");
    let alice = world.bare("alice", "alice");
    alice.of(chatd, chatctl);
    alice.up();
    world.register(&alice, &[]).ok();
    (alice, bob)
}

/// Everything that all builds know works.
fn common(home: &Home) {
    for args in COMMON {
        in_time(home, args).ok();
    }
    home.online();
}

/// What the other side does not know has exit 10 and names the side; everything else ends in one of the usual ways. The verbs that were
/// refused so.
fn later(home: &Home, side: &str) -> Vec<&'static str> {
    let mut unknown = Vec::new();
    for args in LATER {
        let output = in_time(home, args);
        assert!((0..70).contains(&output.code), "{output}");
        assert!(!output.stderr.contains("panicked"), "{output}");
        assert!(!output.stderr.contains("only a newer"), "{output}");
        if output.code == 10 {
            assert!(output.stderr.contains(side) && output.stderr.contains("next: chatctl daemon "), "{output}");
            unknown.push(args[0]);
        }
    }
    unknown.dedup();
    unknown
}

fn in_time(home: &Home, args: &[&str]) -> Output {
    let began = Instant::now();
    let output = home.run(&[&["--timeout", "10s"], args].concat());
    assert!(began.elapsed() < WITHIN, "{:?}: {output}", began.elapsed());
    output
}

fn forms(build: &Build) -> Forms {
    let mut world = World::of(build);
    let home = world.bare("alice", "alice");
    home.of(build, build);
    home.up();
    world.register(&home, &[]).ok();
    forms_of(world.server.dir(), home.dir())
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn earlier_and_tested_programs_understand_each_other() {
    let (old, new) = (earlier(), Build::Tested);
    case("an earlier chatctl with the tested chatd", || {
        let mut world = World::start();
        let (alice, bob) = pair(&mut world, &new, &old);
        bob.sends("alice", "hello");
        common(&alice);
    });
    case("the tested chatctl with an earlier chatd", || {
        let mut world = World::start();
        let (alice, bob) = pair(&mut world, &old, &new);
        bob.sends("alice", "hello");
        common(&alice);
        eprintln!("   unknown to the earlier chatd: {:?}", later(&alice, "chatd"));
    });
    case("an earlier server with the tested chatd", || {
        let mut world = World::of(&old);
        let (alice, bob) = pair(&mut world, &new, &new);
        bob.sends("alice", "hello");
        common(&alice);
        eprintln!("   unknown to the earlier server: {:?}", later(&alice, "server"));
    });
    case("the tested server with an earlier chatd", || {
        let mut world = World::start();
        let (alice, bob) = pair(&mut world, &old, &old);
        bob.sends("alice", "hello");
        common(&alice);
    });
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn people_of_two_builds_talk() {
    let old = earlier();
    let forms = forms(&old);
    for (name, server) in [("the tested server", &Build::Tested), ("an earlier server", &old)] {
        case(&format!("an earlier alice and a tested bob on {name}"), || {
            let mut world = World::of(server);
            let (alice, bob) = pair(&mut world, &old, &old);
            for number in 0..5 {
                alice.sends("bob", &format!("a{number}"));
                bob.sends("alice", &format!("b{number}"));
            }
            bob.gets(&["a0", "a1", "a2", "a3", "a4"]);
            alice.gets(&["b0", "b1", "b2", "b3", "b4"]);
            for (reader, writer) in [(&alice, &bob), (&bob, &alice)] {
                reader.run(&["read"]).ok();
                until("the writer learns that it was read", || {
                    let items = writer.json(&["read", "--peek"]).ok().items();
                    items.iter().any(|item| item["to"] == reader.user() && item["state"] == "read").then_some(())
                });
                reader.run(&["block", writer.user()]).ok();
                writer.run(&["message", reader.user(), "no"]).exits(7);
                reader.run(&["unblock", writer.user()]).ok();
            }
            if forms.sessions() {
                for (asker, asked) in [(&alice, &bob), (&bob, &alice)] {
                    asker.joins(asked);
                    asker.run(&["private", asked.user(), "to"]).ok();
                    asked.run(&["private", asker.user(), "and fro"]).ok();
                    if forms.files() {
                        hand_over(&world, asker, asked, &format!("from-{}", asker.user()));
                    }
                    asked.run(&["stopprivate", asker.user()]).ok();
                    until("both ended", || asker.json(&["sessions"]).ok().items().is_empty().then_some(()));
                }
            }
        });
    }
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn a_restart_hands_over() {
    let (old, new) = (earlier(), Build::Tested);
    let forms = forms(&old);
    let mut world = World::start();
    let bob = world.user("bob");
    let alice = world.bare("alice", "alice");
    alice.of(&old, &old);
    // the one that runs was started by its own chatctl
    let (server, file) = (world.server.address().to_string(), world.password_file());
    let trust = world.server.fingerprint().to_owned();
    let args = ["register", "alice", "--server", &server, "--trust", &trust, "--password-file", &file, "--no-input"];
    alice.finish(alice.autostarting(&args), &args).ok();
    alice.sends("bob", "before");
    let before = alice.daemon_pid();
    world.server.kill();
    until("the link is down", || (alice.link() != "online").then_some(()));
    for number in 1..=3 {
        alice.run(&["message", "--timeout", "5s", "bob", &format!("queued {number}")]).exits(5);
    }
    alice.of(&new, &new);
    case("daemon restart hands over to the tested chatd", || {
        alice.run(&["daemon", "restart"]).ok();
        assert_ne!(alice.daemon_pid(), before);
        assert_eq!(alice.json(&["status"]).ok().json()["queued"], 3);
        world.server.up();
        bob.gets(&["before", "queued 1", "queued 2", "queued 3"]);
        until("nothing waits", || (alice.json(&["status"]).ok().json()["queued"] == 0).then_some(()));
    });
    if forms.sessions() {
        case("a private session goes on over the restart", || {
            alice.run(&["daemon", "stop"]).ok();
            let mut world = World::start();
            let carol = world.user("carol");
            let dave = world.bare("dave", "dave");
            dave.of(&old, &old);
            dave.up();
            world.register(&dave, &[]).ok();
            dave.joins(&carol);
            dave.run(&["private", "carol", "one"]).ok();
            dave.of(&new, &new);
            dave.run(&["daemon", "restart"]).ok();
            until("the session is back", || (dave.run(&["private", "carol", "two"]).code == 0).then_some(()));
            carol.run(&["private", "dave", "three"]).ok();
        });
    }
}

#[test]
#[ignore = "needs an earlier build: tests/upgrade/run"]
fn a_server_is_upgraded_under_traffic() {
    let old = earlier();
    let mut world = World::of(&old);
    let (alice, bob) = pair(&mut world, &old, &old);
    let traffic = Arc::new(Traffic::default());
    let senders = [(&alice, "bob"), (&bob, "alice")].map(|(home, to)| {
        let (traffic, home) = (Arc::clone(&traffic), Arc::clone(home));
        std::thread::spawn(move || traffic.send(&home, home.user(), to))
    });
    let more = |count: u64| {
        let before = traffic.accepted();
        until("messages pass", || (traffic.accepted() >= before + count).then_some(()));
    };
    more(10);
    case("the server is upgraded under traffic", || {
        world.server.stop();
        world.server.of(&Build::Tested);
        world.server.up();
        more(10);
    });
    case("chatd is upgraded under traffic, and killed for it", || {
        alice.of(&Build::Tested, &Build::Tested);
        alice.restart();
        more(10);
    });
    traffic.stop();
    let log: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().expect("a sender")).collect();
    let homes = [("alice", &*alice), ("bob", &*bob)];
    settle(&log, &homes);
    let broken = check(&log, &homes.map(|(device, home)| history(home, device)));
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(log.iter().filter(|one| one.verdict == Verdict::Accepted).count() >= 30, "{} messages", log.len());
}

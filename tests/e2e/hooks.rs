//! Hooks: what they get, that none is lost or holds anything up, what happens to those that fail.
//!
//! `CHAT_HOOK_KILLS` sets the number of kills in the test of kill -9.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chat_tests::process::{pause, until};
use chat_tests::{Home, World};
use serde_json::Value;

/// Kills of chatd in one run.
const KILLS: u64 = 12;

/// A program in the world's directory.
fn script(world: &World, name: &str, body: &str) -> String {
    let path = world.path(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a file in the world's directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
    path.display().to_string()
}

/// Gives a home this configuration and has chatd read it.
fn configure(home: &Home, text: &str) {
    write_config(home, text);
    home.restart();
    home.online();
}

fn write_config(home: &Home, text: &str) {
    let file = home.dir().join("config/config.toml");
    fs::create_dir_all(file.parent().expect("a folder")).expect("our folder");
    fs::write(file, text).expect("our file");
}

/// What a hook wrote, once it is there.
fn lines(path: &PathBuf, count: usize) -> Vec<String> {
    until("the hook wrote", || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
}

/// The one hook of a home, as `hooks list` has it, once this holds.
fn hook(home: &Home, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        let one = home.json(&["hooks", "list"]).ok().items().into_iter().next().expect("a hook");
        holds(&one).then_some(one)
    })
}

#[test]
fn it_gets_the_object_of_watch_and_little_else() {
    let mut world = World::start();
    let (alice, bob, ci) = (world.user("alice"), world.user("bob"), world.user("ci"));
    let out = world.path("out");
    let run = script(&world, "page", &format!("{{ cat; env | sort; }} > {0}.new; mv {0}.new {0}", out.display()));
    configure(&bob, &format!("hook = [ {{ on = \"message\", from = [\"CI\"], run = [{run:?}], timeout = \"10s\" }} ]"));
    let mut watch = bob.watch(&["--only", "message"]);
    alice.sends("bob", "not for the hook");
    let text = "disk 91%\n$(reboot) \u{1b}[31m \"quoted\"";
    ci.sends("bob", text);
    let event = watch.expect("the message", |event| event["from"] == "ci");
    let written = lines(&out, 8);
    let got: Value = serde_json::from_str(&written[0]).expect("one line of JSON");
    assert_eq!(got, event, "the hook's object is that of watch");
    assert!(!written[0].contains('\u{1b}'), "{}", written[0]);
    let environment: BTreeSet<&str> =
        written[1..].iter().map(|line| line.split('=').next().unwrap_or_default()).collect();
    let allowed: BTreeSet<&str> =
        "CHAT_EVENT CHAT_FROM CHAT_HOME CHAT_ID CHAT_PROFILE CHAT_SOCKET HOME LANG PATH PWD SHLVL TZ _ OLDPWD"
            .split(' ')
            .collect();
    assert!(environment.is_subset(&allowed), "{environment:?}");
    for line in [
        "CHAT_EVENT=message".to_owned(),
        "CHAT_FROM=ci".to_owned(),
        format!("CHAT_ID={}", event["id"].as_str().expect("an id")),
        "CHAT_PROFILE=default".to_owned(),
        "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
    ] {
        assert!(written.contains(&line), "{line} in {written:?}");
    }
    let one = hook(&bob, "the run is counted", |one| one["runs"] == 1);
    assert_eq!((&one["failures"], &one["dead"], &one["name"]), (&0.into(), &0.into(), &"message:page".into()));
    assert_eq!(bob.json(&["unread"]).ok().json()["total"], 2, "a hook reads nothing");
}

#[test]
fn wrong_hooks_are_refused_with_what_to_write() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let wrong = [
        ("on = \"message\", run = [\"page\"]", "/full/path/of/page"),
        ("on = \"mesage\", run = [\"/bin/true\"]", "use one of message, presence"),
        ("on = \"message\", run = [\"/bin/true\"], form = [\"ci\"]", "did you mean \"from\"?"),
        ("on = \"link\", from = [\"ci\"], run = [\"/bin/true\"]", "leave from out"),
    ];
    for (text, says) in wrong {
        write_config(&home, &format!("hook = [ {{ {text} }} ]"));
        home.run(&["config", "check"]).exits(14).says(says).says("config.toml");
        assert!(home.launch(&[]).is_err_and(|status| status.code() == Some(78)), "{text}");
    }
    write_config(&home, "hook = [ { on = \"message\", run = [\"/bin/true\"] } ]");
    home.run(&["config", "check"]).ok();
}

#[test]
fn one_that_hangs_is_ended_and_holds_up_nothing() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let (pid, good) = (world.path("pid"), world.path("good"));
    let hang = script(&world, "hang", &format!("sleep 600 & echo $! > {}; wait", pid.display()));
    let write = script(&world, "write", &format!("echo $CHAT_ID >> {}", good.display()));
    // one that nothing ends while the others work
    let stays = world.path("stays");
    let stay = script(&world, "stay", &format!("echo $$ >> {}; exec sleep 600", stays.display()));
    configure(
        &bob,
        &format!(
            "[[hook]]\non = \"message\"\nrun = [{hang:?}]\ntimeout = \"300ms\"\nretries = 1\nretry_after = \"100ms\"\n\
             [[hook]]\non = \"message\"\nrun = [{stay:?}]\ntimeout = \"10m\"\n\
             [[hook]]\non = \"message\"\nrun = [{write:?}]\n"
        ),
    );
    for number in 0..5 {
        let begun = Instant::now();
        alice.run(&["message", "bob", &number.to_string(), "--wait", "delivered"]).ok();
        assert!(begun.elapsed() < Duration::from_secs(30), "a hanging hook holds up the link");
    }
    assert_eq!(lines(&good, 5).len(), 5);
    let stayed: Vec<u32> = lines(&stays, 1).iter().map(|line| line.parse().expect("a number")).collect();
    assert!(stayed.iter().all(|pid| chat_tests::process::alive(*pid)), "it did not stay: {stayed:?}");
    let one = hook(&bob, "all were tried twice and given up", |one| one["dead"] == 5);
    assert_eq!((&one["runs"], &one["failures"], &one["retrying"]), (&10.into(), &10.into(), &0.into()));
    assert_eq!(one["last_error"]["result"], "timed_out");
    let child: u32 = lines(&pid, 1)[0].parse().expect("a number");
    until("what it started is gone", || (!chat_tests::process::alive(child)).then_some(()));
    bob.run(&["hooks", "list"]).ok().says("10 runs, 10 failed").says("ran too long").says("5 given up");
    bob.run(&["daemon", "stop"]).ok();
    until("those that stayed end with chatd", || {
        lines(&stays, 1).iter().all(|line| !chat_tests::process::alive(line.parse().expect("a number"))).then_some(())
    });
}

#[test]
fn dead_letters_are_kept_replayed_and_dropped() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let (good, out) = (world.path("good"), world.path("out"));
    let body =
        format!("test -e {} || {{ echo no pager >&2; exit 3; }}; echo $CHAT_ID >> {}", good.display(), out.display());
    let run = script(&world, "page", &body);
    configure(&bob, &format!("hook = [ {{ on = \"message\", name = \"pager\", run = [{run:?}], retries = 0 }} ]"));
    ["a", "b", "c"].iter().for_each(|text| drop(alice.sends("bob", text)));
    hook(&bob, "all three failed", |one| one["dead"] == 3);
    bob.restart();
    let letters = bob.json(&["hooks", "letters"]).ok().items();
    let ids: Vec<&str> = letters.iter().filter_map(|letter| letter["id"].as_str()).collect();
    let messages: Vec<&str> = letters.iter().filter_map(|letter| letter["message"].as_str()).collect();
    assert_eq!((ids.len(), messages.len()), (3, 3), "{letters:?}");
    assert_eq!((&letters[0]["outcome"]["exit"], &letters[0]["from"]), (&3.into(), &"alice".into()));

    bob.json(&["hooks", "replay", ids[0]]).ok();
    hook(&bob, "one that still fails is given up again", |one| one["runs"] == 4 && one["dead"] == 3);
    fs::write(&good, "").expect("our file");
    bob.json(&["hooks", "drop", ids[2]]).ok();
    bob.run(&["hooks", "replay", "--all"]).ok().says("2 dead letters tried again");
    let mut done = lines(&out, 2);
    done.sort_unstable();
    let mut expected = messages[..2].to_vec();
    expected.sort_unstable();
    assert_eq!(done, expected);
    hook(&bob, "nothing is left", |one| one["dead"] == 0 && one["retrying"] == 0 && one["last_error"].is_null());

    bob.run(&["hooks", "letters"]).ok().says("no dead letters");
    bob.json(&["hooks", "letters", "--exit-code"]).exits(1);
    bob.json(&["hooks", "replay", ids[0]]).fails_with("unknown_letter", 6);
    bob.run(&["hooks", "replay"]).exits(2);
    bob.json(&["hooks", "drop", "--all"]).fails_with("prompt_needed", 12);
}

#[test]
fn a_test_runs_it_once_and_shows_what_it_did() {
    let mut world = World::start();
    let bob = world.user("bob");
    let run =
        script(&world, "page", "read line; echo \"$CHAT_TEST $CHAT_EVENT $CHAT_FROM\"; echo \"$line\" >&2; exit $1");
    configure(
        &bob,
        &format!(
            "[[hook]]\non = \"message\"\nfrom = [\"ci\"]\nname = \"good\"\nrun = [{run:?}, \"0\"]\n\
             [[hook]]\non = \"message\"\nname = \"bad\"\nrun = [{run:?}, \"5\"]\n\
             [[hook]]\non = \"file_offer\"\nname = \"later\"\nrun = [\"/no/such/program\"]\n"
        ),
    );
    let ran = bob.json(&["hooks", "test", "message", "--name", "good"]).ok().items();
    assert_eq!((&ran[0]["outcome"]["exit"], &ran[0]["cut"]), (&0.into(), &false.into()));
    let output = ran[0]["output"].as_str().expect("its output");
    assert!(
        output.starts_with("1 message ci\n{\"v\":1,\"type\":\"message\",\"id\":\"sample\",\"from\":\"ci\""),
        "{output}"
    );
    bob.run(&["hooks", "test", "message"]).exits(1).says("good: done in").says("bad: failed after").says("(exit 5)");
    bob.run(&["hooks", "test", "file_offer"]).exits(1).says("could not be started: No such file");
    bob.json(&["hooks", "test", "link"]).fails_with("unknown_hook", 6);
    bob.run(&["hooks", "test", "lunch"]).exits(2).says("use one of message");
    let runs: u64 = bob.json(&["hooks", "list"]).ok().items().iter().filter_map(|one| one["runs"].as_u64()).sum();
    assert_eq!(runs, 0, "a test is not counted");

    write_config(&bob, "");
    bob.run(&["hooks", "list"]).ok().says("changed since chatd read it");
    bob.restart();
    bob.run(&["hooks", "list"]).ok().says("no hooks").never_says("changed since");
}

#[test]
fn presence_login_and_link_are_told() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let out = world.path("out");
    let run = script(&world, "tell", &format!("cat >> {}", out.display()));
    let one = |on: &str, more: &str| format!("[[hook]]\non = {on:?}\nrun = [{run:?}]\n{more}");
    configure(&bob, &[one("presence", "from = [\"alice\"]\n"), one("login", ""), one("link", "")].concat());
    let seen = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        until(what, || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|value| holds(value))
        })
    };
    alice.run(&["logout"]).ok();
    seen("alice left", &|value| value["type"] == "presence" && value["user"] == "alice" && value["state"] == "offline");
    bob.run(&["logout"]).ok();
    seen("bob logged out", &|value| value["type"] == "login" && value["state"] == "logged_out");
    seen("his link is down", &|value| value["type"] == "link" && value["state"] == "logged_out");
    bob.run(&["login"]).ok();
    let login = seen("bob logged in", &|value| value["type"] == "login" && value["state"] == "logged_in");
    assert_eq!((&login["user"], &login["v"]), (&"bob".into(), &1.into()));
    alice.run(&["login"]).ok();
    seen("alice came", &|value| value["type"] == "presence" && value["state"] == "online");
}

#[test]
fn a_new_hook_begins_with_what_comes_and_an_old_one_goes_on() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let out = world.path("out");
    alice.sends("bob", "before there was a hook");
    bob.gets(&["before there was a hook"]);
    let run = script(&world, "note", &format!("echo $CHAT_ID >> {}", out.display()));
    configure(&bob, &format!("hook = [ {{ on = \"message\", run = [{run:?}] }} ]"));
    let first = alice.json(&["message", "bob", "one"]).ok().json()["id"].clone();
    assert_eq!(lines(&out, 1), [first.as_str().expect("an id")]);
    // Killed before that, chatd would run it again.
    hook(&bob, "the run is written down", |one| one["runs"] == 1);
    bob.kill();
    let second = alice.json(&["message", "bob", "two"]).ok().json()["id"].clone();
    bob.up();
    assert_eq!(lines(&out, 2)[1..], [second.as_str().expect("an id")]);
}

#[test]
fn kill_9_between_arrival_and_run_loses_none() {
    let kills = std::env::var("CHAT_HOOK_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut world = World::start();
    eprintln!("CHAT_SEED={}", world.rng.seed());
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let out = world.path("out");
    // Slow enough that messages wait whenever chatd is killed.
    let run = script(&world, "note", &format!("sleep 0.01; echo $CHAT_ID >> {}", out.display()));
    configure(&bob, &format!("hook = [ {{ on = \"message\", run = [{run:?}] }} ]"));
    let mut sent: Vec<String> = Vec::new();
    for _ in 0..kills {
        for _ in 0..4 {
            let reply = alice.json(&["message", "bob", "x"]).ok().json();
            sent.push(reply["id"].as_str().expect("an id").to_owned());
        }
        pause(Duration::from_micros(world.rng.below(40_000)));
        bob.restart();
    }
    let ran = until("every message had its run", || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        let ran: Vec<String> = text.lines().map(str::to_owned).collect();
        sent.iter().all(|id| ran.contains(id)).then_some(ran)
    });
    let first: Vec<&String> = sent.iter().filter(|id| ran.contains(id)).collect();
    let mut seen = BTreeSet::new();
    let order: Vec<&String> = ran.iter().filter(|id| seen.insert(id.as_str())).collect();
    assert_eq!(order, first, "the order of first runs is that of the messages");
    eprintln!("{kills} kills, {} messages, {} runs", sent.len(), ran.len());
    assert!(ran.len() < sent.len() + 2 * usize::try_from(kills).expect("few"), "far more runs than kills explain");
}

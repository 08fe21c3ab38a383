//! The sandbox of the real daemons: that it holds, that it is spoken of, and that what it forbids them is done by somebody else or
//! refused with the next step. What exactly is forbidden is tried in the daemons' own tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chat_tests::process::{alive, kill_hard, until};
use chat_tests::{Home, World};
use serde_json::json;

/// The line of /proc/PID/status with this name.
fn status(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the kernel says so").trim().to_owned()
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

fn pid(home: &Home) -> u32 {
    home.daemon_pid().expect("chatd runs")
}

fn configure(home: &Home, text: &str) {
    let file = home.dir().join("config/config.toml");
    fs::create_dir_all(file.parent().expect("a folder")).expect("our folder");
    fs::write(file, text).expect("our file");
    home.restart();
    home.online();
}

/// A program in the world's directory.
fn script(world: &World, name: &str, body: &str) -> String {
    let path = world.path(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a file in the world's directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
    path.display().to_string()
}

fn written(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn both_daemons_confine_themselves_and_say_so() {
    let mut world = World::start();
    let alice = world.user("alice");
    for pid in [pid(&alice), world.server.pid().expect("it runs")] {
        assert_eq!((status(pid, "Seccomp"), status(pid, "NoNewPrivs")), ("2".into(), "1".into()));
    }
    let [runner] = children(pid(&alice))[..] else { panic!("chatd has one child, its runner") };
    assert_eq!(status(runner, "NoNewPrivs"), "0", "hooks have the rights of their user");
    alice.run(&["daemon", "status", "-v"]).ok().says("\nsandbox: landlock ABI ").says(" + seccomp");
    alice.run(&["daemon", "status"]).ok().never_says("sandbox");
    let said = alice.json(&["daemon", "status"]).ok().json()["sandbox"].clone();
    assert_eq!((&said["wanted"], &said["seccomp"]), (&true.into(), &true.into()));
    assert!(said["landlock"].as_u64().is_some_and(|abi| abi >= 2), "{said}");
    world.server.ctl(&["check", "config"]).ok().says("ok config: sandbox: landlock + seccomp");
    assert_eq!(world.server.ctl(&["status", "--json"]).ok().json()["sandbox"], said);
    until("the log says so", || {
        let log = fs::read_to_string(alice.log()).ok()?;
        (log.contains("chatd is confined") && log.contains("landlock ABI")).then_some(())
    });
}

#[test]
fn switched_off_it_is_off_and_that_is_said() {
    let mut world = World::start();
    let alice = world.user("alice");
    configure(&alice, "sandbox = \"off\"\n");
    assert_eq!((status(pid(&alice), "Seccomp"), status(pid(&alice), "NoNewPrivs")), ("0".into(), "0".into()));
    assert!(children(pid(&alice)).is_empty(), "nobody needs a runner");
    alice.run(&["daemon", "status"]).ok().says("sandbox: off by configuration.  next: chatctl config set sandbox on");
    alice.run(&["config", "set", "sandbox", "on"]).ok();
    alice.restart();
    assert_eq!(status(pid(&alice), "Seccomp"), "2", "the next step helps");
    let file = world.server.dir().join("chat-server.toml");
    let text = fs::read_to_string(&file).expect("its configuration");
    fs::write(&file, text.replace("sandbox = \"on\"", "sandbox = \"off\"")).expect("our file");
    world.server.ctl(&["reload"]).ok().says("these need a restart: sandbox");
    world.server.ctl(&["check", "config"]).exits(1).says("WARN config: sandbox: is off");
    world.server.kill();
    world.server.up();
    assert_eq!(status(world.server.pid().expect("it runs"), "Seccomp"), "0");
    fs::write(alice.dir().join("config/config.toml"), "sandbox = \"maybe\"\n").expect("our file");
    alice.run(&["config", "check"]).exits(14).says("sandbox: \"maybe\" is none of on, off");
}

#[test]
fn the_runner_ends_with_chatd_and_takes_along_what_runs() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let number = world.path("number");
    let run = script(&world, "hang", &format!("trap '' TERM\nsleep 600 & echo $! > {}\nwait", number.display()));
    configure(&bob, &format!("hook = [ {{ on = \"message\", run = [{run:?}], timeout = \"10m\" }} ]"));
    let [runner] = children(pid(&bob))[..] else { panic!("chatd has one child, its runner") };
    alice.sends("bob", "one");
    let started: u32 = until("the hook runs", || written(&number).first()?.parse().ok());
    bob.kill();
    until("the runner is gone", || (!alive(runner)).then_some(()));
    until("what it ran is gone", || (!alive(started)).then_some(()));
}

#[test]
fn without_its_runner_no_hook_is_lost() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let out = world.path("out");
    let run = script(&world, "note", &format!("echo \"$CHAT_ID\" >> {}", out.display()));
    configure(&bob, &format!("hook = [ {{ on = \"message\", run = [{run:?}] }} ]"));
    alice.sends("bob", "one");
    // Written down: a run whose end the runner did not live to report is done once more.
    until("the first one ran", || (bob.json(&["hooks", "list"]).ok().items()[0]["runs"] == 1).then_some(()));
    let first = written(&out);
    assert_eq!(first.len(), 1);
    let [runner] = children(pid(&bob))[..] else { panic!("chatd has one child, its runner") };
    kill_hard(runner);
    until("chatd says that its runner is gone", || {
        let problems = bob.json(&["status"]).ok().json()["problems"].clone();
        (problems[0]["code"] == "runner_gone" && problems[0]["hint"] == "chatctl daemon restart").then_some(())
    });
    bob.run(&["status"]).ok().says("hooks wait").says("chatctl daemon restart");
    bob.run(&["hooks", "test", "message"]).says("chatctl daemon restart");
    alice.sends("bob", "two");
    bob.gets(&["one", "two"]);
    assert_eq!(written(&out), first, "nobody can start it now");
    bob.run(&["daemon", "restart"]).ok();
    until("the second one runs", || (bob.json(&["hooks", "list"]).ok().items()[0]["runs"] == 2).then_some(()));
    let both = written(&out);
    assert!(both.len() == 2 && both.starts_with(&first), "{both:?}");
    assert_eq!(bob.json(&["hooks", "list"]).ok().items()[0]["failures"], 0, "a try that is none does not count");
    assert_eq!(bob.json(&["status"]).ok().json()["problems"], json!([]));
}

#[test]
fn what_its_user_hides_is_not_sent() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    // A chatd whose home directory is this one.
    let home = world.path("home");
    fs::create_dir_all(home.join(".ssh")).expect("our folder");
    fs::write(home.join(".ssh/id"), "a key").expect("our file");
    fs::write(home.join("open.txt"), "no key").expect("our file");
    alice.run(&["daemon", "stop"]).ok();
    let mut start = alice.command(&["daemon", "start"]);
    start.env("HOME", &home);
    alice.finish(start, &["daemon", "start"]).ok();
    alice.online();
    alice.joins(&bob);
    let path = |name: &str| home.join(name).display().to_string();
    let next = "copy it to another place and send the copy";
    alice.run(&["file", "send", "bob", &path(".ssh/id")]).exits(15).says("hidden").says(next);
    alice.run(&["file", "send", "bob", &path("open.txt")]).ok();
}

#[test]
fn a_backup_goes_where_the_server_cannot_write() {
    let world = World::start();
    let elsewhere: PathBuf = world.path("elsewhere");
    let dir = elsewhere.display().to_string();
    for _ in 0..3 {
        world.server.ctl(&["backup", "create", &dir, "--keep", "2"]).ok().says(&dir);
    }
    let made: Vec<_> = fs::read_dir(&elsewhere).expect("made").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(made.len(), 2, "{made:?}");
    for file in &made {
        assert_eq!(fs::metadata(file).expect("there").permissions().mode() & 0o777, 0o600);
        world.server.ctl(&["backup", "verify", &file.display().to_string()]).ok().says("db ok");
    }
    let own = fs::read_dir(world.server.dir().join("backups")).expect("made before").count();
    assert_eq!(own, 0, "none stays where nobody asked for one");
    world.server.ctl(&["backup", "create", "/proc/nowhere"]).exits(14).says("/proc/nowhere");
}

#[test]
fn a_reload_reaches_no_farther_than_the_start() {
    let world = World::start();
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).expect("our folder");
    let tls = world.server.dir().join("tls");
    for name in ["fullchain.pem", "privkey.pem"] {
        fs::copy(tls.join(name), elsewhere.join(name)).expect("copied");
    }
    let config = world.server.dir().join("chat-server.toml");
    let before = fs::read_to_string(&config).expect("its configuration");
    let moved = |key: &str, name: &str| {
        let text = before.lines().map(|line| match line.starts_with(&format!("{key} = ")) {
            true => format!("{key} = \"{}\"\n", elsewhere.join(name).display()),
            false => format!("{line}\n"),
        });
        fs::write(&config, text.collect::<String>()).expect("our file");
    };
    moved("cert", "fullchain.pem");
    world.server.ctl(&["reload"]).says("tls.cert").says("elsewhere").says("needs a restart").exits(14);
    fs::write(&config, &before).expect("our file");
    world.server.ctl(&["reload"]).ok();
    // One that is put in the place of the old one is read.
    fs::rename(elsewhere.join("fullchain.pem"), tls.join("fullchain.pem")).expect("moved");
    world.server.ctl(&["reload"]).ok();
}

//! The server's own verbs: init, check, user list, and how `run` refuses and ends.

use std::fs;

use chat_tests::Output;
use chat_tests::World;
use chat_tests::process::{alive, command, until};

fn server(dir: &std::path::Path, args: &[&str]) -> Output {
    let output = command("chat-server").arg("--dir").arg(dir).args(args).output().expect("chat-server can be run");
    Output::new(format!("chat-server --dir {} {}", dir.display(), args.join(" ")), &output)
}

#[test]
fn init_refuses_to_overwrite() {
    let world = World::start();
    let before = fs::read(world.server.dir().join("chat-server.toml")).expect("it is there");
    world.server.ctl(&["init", "--self-signed"]).exits(73).says("already");
    assert_eq!(fs::read(world.server.dir().join("chat-server.toml")).expect("it is there"), before);
    let again = world.server.ctl(&["cert", "fingerprint"]).ok();
    assert_eq!(again.stdout.trim(), world.server.fingerprint());
}

#[test]
fn a_wrong_configuration_is_named_and_not_run() {
    let world = World::start();
    let dir = world.path("other");
    server(&dir, &["init"]).ok();
    server(&dir, &["check", "config"]).ok();
    let path = dir.join("chat-server.toml");
    let good = fs::read_to_string(&path).expect("init wrote it");
    let wrong = [
        (good.replace("lockout_after", "lockout_afer"), "lockout_after"),
        (good.replace("lockout_duration = \"60s\"", "lockout_duration = \"60 sec\""), "lockout_duration"),
        (good.replace("mode = \"open\"", "mode = \"ajar\""), "mode"),
        (format!("{good}\n[unclosed\n"), "unclosed"),
    ];
    for (text, named) in wrong {
        assert_ne!(text, good, "the sample of a wrong line changes nothing");
        fs::write(&path, text).expect("our file");
        server(&dir, &["check", "config"]).exits(14).says(named);
        server(&dir, &["run"]).exits(78).says(named);
    }
}

#[test]
fn a_server_that_is_not_set_up_says_how() {
    let dir = tempfile::tempdir().expect("a directory");
    let tried: [&[&str]; 6] = [
        &["run"],
        &["user", "list"],
        &["cert", "fingerprint"],
        &["config", "show"],
        &["backup", "list"],
        &["db", "check"],
    ];
    for args in tried {
        let refused = server(dir.path(), args).exits(78).says("there is no such file yet");
        let init = format!("chat-server --dir {} init --self-signed", dir.path().display());
        assert!(refused.stderr.ends_with(&format!("next: {init}\n")), "{refused}");
    }
    server(dir.path(), &["init", "--self-signed"]).ok();
    server(dir.path(), &["user", "list"]).ok();
}

#[test]
fn one_server_to_a_directory_and_to_a_port() {
    let world = World::start();
    let port = world.server.address().to_string();
    server(world.server.dir(), &["run", "--listen", "127.0.0.1:0"]).exits(69);
    let other = world.path("other");
    server(&other, &["init", "--self-signed"]).ok();
    world_settings(&other);
    server(&other, &["run", "--listen", &port]).exits(69).says(&port);
}

/// The test machine's disk is nobody's business here.
fn world_settings(dir: &std::path::Path) {
    let path = dir.join("chat-server.toml");
    let text = fs::read_to_string(&path).expect("init wrote it");
    fs::write(&path, text.replace("reserve = \"256MiB\"", "reserve = \"0\"")).expect("our file");
}

#[test]
fn term_drains_and_ends_with_0() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.sends("bob", "before");
    let pid = world.server.pid().expect("it runs");
    assert_eq!(world.server.stop(), Some(0));
    until("the server is gone", || (!alive(pid)).then_some(()));
    world.server.up();
    bob.online();
    alice.online();
    alice.sends("bob", "after");
    bob.gets(&["before", "after"]);
}

#[test]
fn user_list_works_beside_the_server_and_without_it() {
    let mut world = World::start();
    let _people = (world.user("alice"), world.user("bob"));
    let live = world.server.ctl(&["user", "list", "--json"]).ok().column("name");
    assert_eq!(live, ["alice", "bob"]);
    world.server.stop();
    assert_eq!(world.server.ctl(&["user", "list", "--json"]).ok().column("name"), live);
}

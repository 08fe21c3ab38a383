//! `config get`, `set`, `list`, `edit`: the file of chatd and chatctl, changed without losing a comment or taking what chatd refuses.

use std::fs;
use std::path::PathBuf;

use chat_tests::{Home, World};

fn file(home: &Home) -> PathBuf {
    home.dir().join("config/config.toml")
}

fn written(home: &Home) -> String {
    fs::read_to_string(file(home)).expect("it is there")
}

#[test]
fn settings_have_defaults_and_are_set_in_place() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let keys = home.json(&["config", "list"]).ok().column("key");
    assert!(keys.contains(&"receipts.send_read".to_owned()) && keys.contains(&"log.level".to_owned()), "{keys:?}");
    assert_eq!(home.run(&["config", "get", "receipts.send_read"]).ok().stdout, "true\n");
    assert_eq!(home.json(&["config", "get", "log.level"]).ok().json()["default"], true);
    assert!(!file(&home).exists(), "looking changes nothing");

    home.run(&["config", "set", "log.level", "debug"]).ok().says("log.level = \"debug\"");
    fs::write(file(&home), "# mine\nlog.level = \"debug\" # loud\n\n# why\n[receipts]\nsend_read = true\n")
        .expect("our file");
    home.run(&["config", "set", "receipts.send_read", "false"]).ok();
    let text = written(&home);
    assert_eq!(text, "# mine\nlog.level = \"debug\" # loud\n\n# why\n[receipts]\nsend_read = false\n");
    home.run(&["config", "set", "profile.work", "{ server = \"chat.example.org\", user = \"alice\" }"]).ok();
    assert_eq!(home.run(&["config", "get", "profile.work.server"]).ok().stdout, "chat.example.org\n");
    let value = home.json(&["config", "get", "receipts.send_read"]).ok().json();
    assert_eq!((&value["value"], &value["default"]), (&"false".into(), &false.into()));
    home.run(&["config", "check"]).ok();
}

#[test]
fn what_chatd_refuses_never_takes_the_files_place() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    home.run(&["config", "set", "log.level", "warn"]).ok();
    let before = written(&home);
    home.run(&["config", "set", "log.level", "loud"]).exits(14).says("none of off, error");
    home.run(&["config", "set", "receipts.send_raed", "false"]).exits(14).says("did you mean \"send_read\"?");
    home.run(&["config", "set", "history.keep", "1y"]).exits(14).says("has no effect in this version");
    home.run(&["config", "set", "log.level.deep", "x"]).exits(2).says("config list");
    home.run(&["config", "set", "..", "x"]).exits(2);
    home.run(&["config", "get", "nonsense"]).exits(6).says("there is no key nonsense");
    home.run(&["config", "edit", "--no-input"]).exits(12).says("config set KEY VALUE");
    assert_eq!(written(&home), before);
    let left: Vec<_> = fs::read_dir(home.dir().join("config")).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "no draft stays behind: {left:?}");
    fs::write(file(&home), "log = [").expect("our file");
    home.run(&["config", "list"]).exits(14).says("config.toml:1:");
}

#[test]
fn a_running_chatd_is_told_of() {
    let mut world = World::start();
    let home = world.user("alice");
    home.run(&["config", "set", "receipts.send_read", "false"]).ok().says("chatctl daemon restart");
    home.restart();
    home.run(&["config", "get", "receipts.send_read"]).ok().says("false");
}

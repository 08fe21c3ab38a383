//! chatctl about itself: help and its topics, the manual, the schema, completion with live names.

use std::process::Command;
use std::time::Instant;

use chat_tests::process::{binary, command};
use chat_tests::{Home, Output, World};
use serde_json::Value;

fn program(name: &str, args: &[&str]) -> Output {
    let output = command(name).args(args).output().expect("the program can be run");
    Output::new(format!("{name} {}", args.join(" ")), &output)
}

fn chatctl(args: &[&str]) -> Output {
    program("chatctl", args)
}

/// What a shell's stub is told for an unfinished line; the last word is the one under the cursor.
fn offered(home: &Home, words: &[&str]) -> Vec<String> {
    let mut asked = home.command(&[]);
    asked.env("CHAT_COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", (words.len()).to_string());
    asked.args(["--", "chatctl"]).args(words);
    let output = asked.output().expect("chatctl can be run");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn help_explains_commands_and_topics() {
    chatctl(&["help"]).ok().says("chatctl message bob").says("exit-codes");
    for topic in ["exit-codes", "environment", "json", "files", "privacy", "scripting"] {
        let text = chatctl(&["help", topic]).ok();
        assert!(text.stdout.lines().count() > 5 && text.stderr.is_empty(), "{text}");
    }
    let long = chatctl(&["help", "daemon", "logs"]).ok().stdout;
    assert_eq!(long, chatctl(&["daemon", "logs", "--help"]).ok().stdout);
    assert_eq!(long, chatctl(&["daemon", "logs", "-h"]).ok().stdout);
    chatctl(&["help", "nonsense"]).exits(2).says("next: chatctl help");
    chatctl(&["help", "daemon", "nonsense"]).exits(2);
}

#[test]
fn every_command_is_in_the_help_of_the_first_page_and_has_a_page_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("UTF-8");
    chatctl(&["man", "--dir", path]).ok().says("pages of the manual");
    let help = chatctl(&["help"]).ok().stdout;
    let commands = help.split("Commands:").nth(1).expect("a list").lines().skip(1).take_while(|line| !line.is_empty());
    let mut count = 0;
    let named = |line: &str| line.starts_with("  ") && !line.starts_with("   ");
    for command in commands.filter(|line| named(line)).filter_map(|line| line.split_whitespace().next()) {
        let page = dir.path().join(format!("man1/chatctl-{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|_| panic!("no page for {command}"));
        assert!(text.contains(".SH SYNOPSIS"), "{command}");
        count += 1;
    }
    assert!(count > 20, "{help}");
    chatctl(&["man", "nonsense"]).exits(2);
    chatctl(&["man", "--dir", "/proc/no/such"]).exits(14).says("next: ");
}

#[test]
fn the_server_explains_itself_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("UTF-8");
    program("chat-server", &["man", "--into", path]).ok();
    for page in
        ["man8/chat-server.8", "man8/chat-server-user-list.8", "man5/chat-server.toml.5", "man7/chat-server-json.7"]
    {
        assert!(dir.path().join(page).is_file(), "{page}");
    }
    program("chat-server", &["man", "run"]).ok().says("SYNOPSIS");
    program("chat-server", &["man", "nonsense"]).exits(2).says("no page nonsense");
    program("chat-server", &["schema", "nonsense"]).exits(2);
    program("chat-server", &["completions", "bash"]).ok().says("CHAT_SERVER_COMPLETE");
}

#[test]
fn the_schema_is_one_document_and_its_parts() {
    let all: Value = serde_json::from_str(&chatctl(&["schema"]).ok().stdout).expect("JSON");
    let message: Value = serde_json::from_str(&chatctl(&["schema", "message"]).ok().stdout).expect("JSON");
    assert_eq!(all["$defs"]["message"], message);
    chatctl(&["schema", "nonsense"]).exits(2).says("next: chatctl help json");
}

#[test]
fn the_daemon_has_its_pages() {
    let dir = tempfile::tempdir().expect("a directory");
    program("chatd", &["--man", dir.path().to_str().expect("UTF-8")]).ok();
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a page");
    assert!(page("man1/chatd.1").contains("\\-\\-foreground"));
    for key in program("chatd", &["--keys"]).ok().stdout.lines().filter_map(|line| line.split('\t').next()) {
        assert!(page("man5/chat-config.5").contains(&key.replace('-', "\\-")), "{key}");
    }
    program("chatd", &["--man", "/proc/no/such"]).exits(73);
}

/// Fields are only added: who renames or drops one sees it here, and the last release's readers would see it too.
#[test]
fn the_schemas_are_those_of_record() {
    for name in ["chatctl", "chat-server"] {
        let record = format!("{}/../proto/spec/format-1-{name}.json", env!("CARGO_MANIFEST_DIR"));
        let now = program(name, &["schema"]).ok().stdout;
        if std::env::var_os("CHAT_RECORD").is_some() {
            std::fs::write(&record, &now).expect("the record can be written");
        }
        let recorded = std::fs::read_to_string(&record).unwrap_or_default();
        assert!(recorded == now, "{name} schema differs from {record}; with CHAT_RECORD=1 this test writes it anew");
    }
}

#[test]
fn shells_take_the_completion_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = chatctl(&["completions", shell]).ok().stdout;
        assert!(script.contains("CHAT_COMPLETE"), "{script}");
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("script");
        std::fs::write(&file, script).expect("a file");
        // bash is everywhere, the others where they are installed
        let checked = Command::new(shell).arg("-n").arg(&file).output();
        assert!(shell != "bash" || checked.is_ok());
        if let Ok(checked) = checked {
            assert!(checked.status.success(), "{shell}: {checked:?}");
        }
    }
    chatctl(&["completions", "tcsh"]).exits(2).says("bash");
}

#[test]
fn completion_offers_commands_flags_and_people() {
    let mut world = World::start();
    let (alice, bob, _carol) = (world.user("alice"), world.user("bob"), world.user("bobby"));
    alice.sends("bob", "hi");
    bob.gets(&["hi"]);
    alice.run(&["whoelse"]).ok();
    assert!(offered(&alice, &["mes"]).iter().any(|word| word == "message"));
    assert!(offered(&alice, &["message", "bob", "--wa"]).iter().any(|word| word == "--wait"));
    assert_eq!(offered(&alice, &["message", "bo"]), ["bob", "bobby"], "one from the history, one seen by whoelse");
    assert_eq!(offered(&alice, &["block", "x"]), [""; 0]);
    // people who were only heard of in a presence notice
    let mut watch = alice.watch(&[]);
    world.user("dave");
    watch.expect("dave", |event| event["type"] == "presence" && event["user"] == "dave");
    assert_eq!(offered(&alice, &["message", "d"]), ["dave"]);
    // logged out, the history still has names; profiles are offered too
    alice.run(&["logout"]).ok();
    assert!(offered(&alice, &["message", "bob"]).contains(&"bob".to_owned()));
    assert_eq!(offered(&alice, &["--profile", "def"]), ["default"]);
}

#[test]
fn completion_starts_nothing_and_hangs_on_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut asked = command("chatctl");
    asked.env("CHAT_HOME", dir.path()).env("CHAT_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
    asked.args(["--", "chatctl", "message", "b"]);
    let output = asked.output().expect("chatctl can be run");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert!(std::fs::read_dir(dir.path()).expect("a directory").next().is_none(), "a home was made");
    // a chatd that is stopped answers nothing: the budget is 50 ms, the rest is the start of the process
    let mut world = World::start();
    let alice = world.user("alice");
    let pid = alice.json(&["daemon", "status"]).ok().json()["pid"].as_i64().expect("a pid");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("our daemon");
    let began = Instant::now();
    let names = offered(&alice, &["message", "b"]);
    let took = began.elapsed();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("our daemon");
    assert_eq!(names, [""; 0]);
    assert!(took.as_millis() < 2000, "{took:?} with {}", binary("chatctl").display());
}

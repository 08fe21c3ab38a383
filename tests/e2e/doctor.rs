//! doctor: finds what is wrong, and what it says to type mends it. Works with chatd down, logged out and without a server.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use chat_tests::process::{binary, until};
use chat_tests::{Home, Output, World, needs};
use serde_json::Value;

/// What must never be in a report.
const CANARY: &str = "the-canary-sings-at-dawn";

/// The finding about this; the worst, where there are several.
#[track_caller]
fn finding(home: &Home, check: &str) -> Value {
    finding_of(home, &[], check)
}

/// The same, asked with flags.
#[track_caller]
fn finding_of(home: &Home, flags: &[&str], check: &str) -> Value {
    let output = home.json(&[flags, &["doctor"]].concat());
    let rank = |item: &Value| ["ok", "WARN", "FAIL"].iter().position(|word| item["result"] == *word);
    let found = output.items().into_iter().filter(|item| item["check"] == check).max_by_key(rank);
    found.unwrap_or_else(|| panic!("nothing about {check} in: {output}"))
}

#[track_caller]
fn is_ok(home: &Home, check: &str) {
    let found = finding(home, check);
    assert_eq!(found["result"], "ok", "{found}");
    assert!(found["hint"].is_null(), "{found}");
}

/// Types the hint of a finding into a shell, as its reader would.
#[track_caller]
fn mend(home: &Home, check: &str, result: &str) -> Output {
    let found = finding(home, check);
    assert_eq!(found["result"], result, "{found}");
    let hint = found["hint"].as_str().unwrap_or_else(|| panic!("no hint: {found}"));
    typed(home, hint)
}

fn typed(home: &Home, line: &str) -> Output {
    let programs = binary("chatctl").parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).env_clear().env("PATH", format!("{programs}:{path}")).env("EDITOR", "true");
    shell.env("CHAT_HOME", home.dir()).env("HOME", home.dir()).stdin(Stdio::null());
    Output::new(line.to_owned(), &shell.output().expect("a shell"))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
}

#[test]
fn all_is_well_where_it_is() {
    let mut world = World::start();
    let home = world.user("alice");
    home.run(&["doctor"]).ok().says("chatd").says("127.0.0.1");
    for check in
        ["directories", "credentials", "disk", "config", "daemon", "socket", "versions", "login", "dns", "server"]
    {
        is_ok(&home, check);
    }
    is_ok(&home, "tls");
    is_ok(&home, "clock");
    assert!(finding(&home, "nat")["detail"].as_str().is_some_and(|text| text.contains("no router")));
    // a quiet call is told what needs it, and nothing does
    let quiet = home.run(&["doctor", "-q"]).ok();
    assert!(!quiet.stdout.contains("ok "), "{quiet}");
    home.run(&["doctor", "--plain"]).ok().says("ok\tdaemon\t");
}

#[test]
fn it_works_without_a_daemon_an_account_and_a_server() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    // nothing is made or started by looking
    let output = home.json(&["doctor"]).ok();
    assert_eq!(home.daemon_pid(), None);
    assert!(!home.dir().join("state").exists(), "{output}");
    assert_eq!(finding(&home, "server")["result"], "WARN");
    // every hint can be typed
    for item in output.items() {
        let Some(hint) = item["hint"].as_str() else { continue };
        let ran = typed(&home, hint);
        assert!(![2, 70, 126, 127].contains(&ran.code), "{item}: {ran}");
    }
    // among them the one that starts chatd
    is_ok(&home, "daemon");
    mend(&home, "login", "WARN").ok().says("register");
    home.run(&["daemon", "stop"]).ok();
    mend(&home, "daemon", "WARN").ok();
    is_ok(&home, "daemon");
}

#[test]
fn logged_out_and_server_down_are_said() {
    let mut world = World::start();
    let home = world.user("alice");
    home.run(&["logout"]).ok();
    mend(&home, "login", "WARN").ok();
    is_ok(&home, "login");
    world.server.kill();
    let found = finding(&home, "server");
    assert_eq!(found["result"], "FAIL", "{found}");
    assert!(found["detail"].as_str().is_some_and(|text| text.contains("refuses the connection")), "{found}");
    let hint = found["hint"].as_str().expect("a hint").to_owned();
    home.run(&["doctor"]).exits(1).says("FAIL server").never_says("tls:");
    // status sends to doctor, which does not send back
    let login =
        until("the link is known to be lost", || Some(finding(&home, "login")).filter(|it| it["result"] == "WARN"));
    assert!(login["hint"].as_str().is_some_and(|hint| hint.ends_with(" status --wait online")), "{login}");
    world.server.up();
    // what is to be typed then waits for it
    typed(&home, &hint).ok().says("online");
    is_ok(&home, "server");
    is_ok(&home, "tls");
}

#[test]
fn what_is_no_chat_server_is_told_from_one_that_is_silent() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let (plain, silent) = (listener(), listener());
    let profile = |name: &str, at: &TcpListener| {
        let at = at.local_addr().expect("an address");
        format!("profile.{name} = {{ server = \"{at}\", user = \"alice\", autologin = false }}\n")
    };
    fs::create_dir_all(home.dir().join("config")).expect("a fresh directory");
    let text = profile("plain", &plain) + &profile("silent", &silent);
    fs::write(home.dir().join("config/config.toml"), text).expect("a fresh file");
    home.up();
    let answering = std::thread::spawn(move || {
        let (mut caller, _) = plain.accept().expect("doctor calls");
        caller.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it listens");
    });
    let found = finding_of(&home, &["--profile", "plain"], "tls");
    answering.join().expect("it was called");
    assert_eq!(found["result"], "FAIL", "{found}");
    assert!(found["detail"].as_str().is_some_and(|text| text.contains("not in TLS 1.3")), "{found}");
    assert!(found["hint"].as_str().is_some_and(|hint| hint.starts_with("openssl s_client -connect 127.")), "{found}");
    let found = finding_of(&home, &["--profile", "silent", "--timeout", "3s"], "server");
    assert_eq!((found["result"].as_str(), found["hint"].as_str()), (Some("FAIL"), Some("ping -c 3 127.0.0.1")));
    drop(silent);
    // nobody is logged in: chatd does not try by itself, and the address may be the wrong one
    let found = finding_of(&home, &["--profile", "silent"], "server");
    assert_eq!(found["hint"], "chatctl --profile silent profile list", "{found}");
    typed(&home, found["hint"].as_str().expect("a hint")).ok();
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

#[test]
fn every_check_is_in_the_schema() {
    let mut world = World::start();
    let home = world.user("alice");
    let schema: Value = serde_json::from_str(&home.run(&["schema", "doctor"]).ok().stdout).expect("JSON");
    let named = &schema["properties"]["items"]["items"]["properties"]["check"]["examples"];
    let named = named.as_array().unwrap_or_else(|| panic!("no names of checks in {schema}")).clone();
    for up in [true, false] {
        for item in home.json(&["doctor"]).items() {
            assert!(named.contains(&item["check"]), "{item} is none of {named:?}");
        }
        if up {
            world.server.kill();
        }
    }
}

#[test]
fn a_name_without_an_address_is_said() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    fs::create_dir_all(home.dir().join("config")).expect("a fresh directory");
    let text = "profile.work = { server = \"nowhere.invalid\", user = \"alice\", autologin = false }\n";
    fs::write(home.dir().join("config/config.toml"), text).expect("a fresh file");
    home.up();
    let found = finding(&home, "dns");
    assert_eq!(found["result"], "FAIL", "{found}");
    assert!(found["detail"].as_str().is_some_and(|text| text.contains("nowhere.invalid")), "{found}");
}

#[test]
fn what_others_could_use_is_closed_again() {
    let mut world = World::start();
    let home = world.user("alice");
    for dir in ["state", "data"] {
        set_mode(&home.dir().join(dir), 0o755);
        home.run(&["doctor"]).exits(1).says("0755");
        mend(&home, "directories", "FAIL").ok();
        is_ok(&home, "directories");
    }
    let key = home.dir().join("state/profiles.json");
    set_mode(&key, 0o640);
    home.run(&["doctor"]).exits(1).says("profiles.json");
    mend(&home, "credentials", "FAIL").ok();
    is_ok(&home, "credentials");
    // a file of somebody else: chmod would be refused, and would change nothing
    if needs::root("giving a file away") {
        std::os::unix::fs::chown(&key, Some(54_321), None).expect("root may give away");
        set_mode(&key, 0o640);
        home.run(&["doctor"]).exits(1).says("belongs to somebody else");
        mend(&home, "credentials", "FAIL").ok();
        home.run(&["doctor"]).exits(1).says("can be used by others");
        mend(&home, "credentials", "FAIL").ok();
        is_ok(&home, "credentials");
    }
    // the way to chatd itself: nobody is talked to, and it is mended all the same
    set_mode(&home.dir().join("run"), 0o755);
    assert_eq!(finding(&home, "daemon")["result"], "FAIL");
    mend(&home, "directories", "FAIL").ok();
    is_ok(&home, "daemon");
}

#[test]
fn a_wrong_configuration_is_said_with_its_place() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    fs::create_dir_all(home.dir().join("config")).expect("a fresh directory");
    let file = home.dir().join("config/config.toml");
    fs::write(&file, "histroy = 3\n").expect("a fresh file");
    home.run(&["doctor"]).exits(1).says("FAIL config").says("histroy");
    fs::write(&file, "").expect("our file");
    is_ok(&home, "config");
    // a path that no socket can have
    let long = Home::new("alice", world.path(&"x".repeat(100)));
    let found = finding(&long, "socket");
    assert_eq!(found["result"], "FAIL", "{found}");
}

#[test]
fn completion_is_one_line_away() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let look = || {
        let mut run = home.command(&["doctor", "--json"]);
        let output = home.finish(
            {
                run.env("SHELL", "/bin/fish-that-is-no-shell");
                run
            },
            &["doctor", "--json"],
        );
        assert!(output.items().iter().all(|item| item["check"] != "completions"), "{output}");
        let mut run = home.command(&["doctor", "--json"]);
        run.env("SHELL", "/usr/bin/bash");
        let output = home.finish(run, &["doctor", "--json"]);
        let found = output.items().into_iter().find(|item| item["check"] == "completions");
        found.unwrap_or_else(|| panic!("nothing about completions in: {output}"))
    };
    let found = look();
    if found["result"] == "ok" {
        // a package of ours is installed on this host
        return;
    }
    typed(&home, found["hint"].as_str().expect("a hint")).ok();
    assert_eq!(look()["result"], "ok");
    let line = fs::read_to_string(home.dir().join(".bashrc")).expect("the hint wrote it");
    assert_eq!(line, "source <(chatctl completions bash)\n");
}

#[test]
fn a_report_names_nobody_and_no_place() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bobette"));
    alice.run(&["message", "bobette", CANARY, "--wait", "delivered"]).ok();
    bob.run(&["message", "alice", CANARY, "--wait", "delivered"]).ok();
    // the log knows addresses
    world.server.kill();
    world.server.up();
    alice.online();
    let file = world.path("report.txt");
    let path = file.display().to_string();
    // a home that is not the user's own is replaced too
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).expect("a fresh directory");
    let mut run = alice.command(&["doctor", "--bundle", &format!("{path}0")]);
    run.env("HOME", &elsewhere);
    Output::new("chatctl doctor --bundle".into(), &run.output().expect("chatctl")).ok();
    let other = fs::read_to_string(format!("{path}0")).expect("the report");
    assert!(!other.contains(&alice.dir().display().to_string()), "{other}");
    alice.run(&["doctor", "--bundle", &path]).ok().says("Read it before");
    let text = fs::read_to_string(&file).expect("the report");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let home = alice.dir().display().to_string();
    let address = world.server.address().to_string();
    let secret = fs::read_to_string(world.path("password")).expect("the password");
    for never in [CANARY, "alice", "bobette", "127.0.0.1", &address, &home, secret.trim(), world.server.fingerprint()] {
        assert!(!text.contains(never), "the report names {never:?}:\n{text}");
    }
    for always in ["== Findings", "== Programs", "== Settings", "== Status", "person-1", "server-1", "chatctl 0."] {
        assert!(text.contains(always), "the report has no {always:?}:\n{text}");
    }
    // what is there is not overwritten
    alice.run(&["doctor", "--bundle", &path]).exits(14);
    assert_eq!(fs::read_to_string(&file).expect("the report"), text);
    let json = alice.json(&["doctor", "--bundle", &format!("{path}2")]).ok().json();
    assert_eq!(json["bundle"], format!("{path}2"));
    // without chatd there is one too, and it says what was not known
    alice.kill();
    alice.run(&["doctor", "--bundle", &format!("{path}3")]).ok().says("read it with care");
    let alone = fs::read_to_string(format!("{path}3")).expect("the report");
    assert!(alone.contains("chatd did not answer") && !text.contains("chatd did not answer"), "{alone}");
}

/// A chatd that will not start is what a report is made for: whom it knows is not told by its log either.
#[test]
fn a_report_without_chatd_names_nobody_of_whom_its_log_tells() {
    let mut world = World::start();
    let home = world.bare("alice", "alice");
    let server = world.server.address().to_string();
    let args = ["--profile", "workplace", "register", "alice", "--server", &server];
    let flags = ["--trust", world.server.fingerprint(), "--password-file", &world.password_file(), "--no-input"];
    let args = [&args[..], &flags].concat();
    home.finish(home.autostarting(&args), &args).ok();
    world.server.kill();
    until("the log tells of it", || log_of(&home).contains("link lost profile=\"workplace\"").then_some(()));
    home.kill();
    // as chatd would tell of what it cannot use
    let more = "2026-11-27T19:14:20.1Z ERROR chatd::daemon: cannot be opened profile=\"garden\" detail=\"/srv/of bob/plan.pdf: no\"\n\
                2026-11-27T19:14:20.2Z  INFO chatd::x: not connected profile=\"garden\" detail=\"\\\"chatbox\\\" is not chat.example.org\"\n";
    let mut log = fs::File::options().append(true).open(home.dir().join("state/chatd.log")).expect("chatd has a log");
    log.write_all(more.as_bytes()).expect("our file");
    // and a configuration that nobody understands
    let text = "profile.meadow = { server = \"chat.meadow.example\", usr = \"alice\" }\n";
    fs::create_dir_all(home.dir().join("config")).expect("a directory");
    fs::write(home.dir().join("config/config.toml"), text).expect("a file");
    let file = world.path("alone.txt");
    home.run(&["doctor", "--bundle", &file.display().to_string()]).exits(1);
    let report = fs::read_to_string(&file).expect("the report");
    for never in ["workplace", "garden", "bob", "plan.pdf", "chatbox", "example", "meadow", "127.0.0.1"] {
        assert!(!report.contains(never), "the report names {never:?}:\n{report}");
    }
    for always in ["link lost profile=\"profile-", "detail=\"path-1: no\"", "is not server-"] {
        assert!(report.contains(always), "the report has no {always:?}:\n{report}");
    }
}

/// The log that is read is that of the chatd that runs, wherever it keeps it.
#[test]
fn a_report_has_the_log_of_the_chatd_that_runs() {
    let mut world = World::start();
    let (home, elsewhere) = (world.bare("alice", "alice"), world.bare("alice", "elsewhere"));
    home.finish(home.autostarting(&["daemon", "start"]), &["daemon", "start"]).ok();
    until("the log is written", || log_of(&home).contains("INFO chatd: ready").then_some(()));
    let file = world.path("report.txt");
    let mut run = elsewhere.command(&["doctor", "--bundle", &file.display().to_string()]);
    run.env("CHAT_SOCKET", home.socket());
    Output::new("chatctl doctor --bundle".into(), &run.output().expect("chatctl"));
    let report = fs::read_to_string(&file).expect("the report");
    assert!(report.contains("INFO chatd: ready"), "{report}");
}

fn log_of(home: &Home) -> String {
    fs::read_to_string(home.dir().join("state/chatd.log")).unwrap_or_default()
}

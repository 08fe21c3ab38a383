//! Accounts: sign-up, logout, login, lockout, trust (mission A1, A2, A3 in the default profile).

use std::time::Duration;

use chat_tests::process::{until, within};
use chat_tests::{Home, World};

/// A lock that a test can wait out, and that a slow machine's hashing fits into.
const SHORT_LOCK: &[(&str, &str, &str)] = &[("auth", "lockout_duration", "\"10s\"")];

#[test]
fn a1_sign_up_logout_login() {
    let mut world = World::start();
    let home = world.home("alice", "alice");
    world.register(&home, &["--device", "laptop"]).ok().says("Registered alice").says("laptop");
    assert_eq!(home.link(), "online");
    home.run(&["logout"]).ok().says("Logged out alice");
    assert_eq!(home.link(), "logged_out");
    home.run(&["message", "alice2", "x"]).exits(4);
    home.run(&["login", "--password-file", &world.password_file()]).ok().says("Logged in as alice");
    assert_eq!(home.link(), "online");
    world.server.ctl(&["user", "list"]).ok().says("alice");
}

#[test]
fn a1_in_json() {
    let mut world = World::start();
    let home = world.home("alice", "alice");
    let registered = world.register(&home, &["--json", "--device", "laptop"]).ok().json();
    assert_eq!(registered["type"], "account");
    assert_eq!((&registered["user"], &registered["device"]), (&"alice".into(), &"laptop".into()));
    assert_eq!(registered["state"], "online");
    let out = home.json(&["logout"]).ok().json();
    assert_eq!((&out["type"], &out["state"]), (&"account".into(), &"logged_out".into()));
    assert_eq!(out["unsent"], 0);
    home.json(&["message", "bob", "x"]).fails_with("not_logged_in", 4);
    // an enrolled device needs no password
    let back = home.json(&["login"]).ok().json();
    assert_eq!((&back["type"], &back["user"], &back["unread"]), (&"account".into(), &"alice".into(), &0.into()));
}

/// Whoever has no account yet is told how to get one, whatever he types first.
#[test]
fn without_an_account_each_command_says_how_to_get_one() {
    let mut world = World::start();
    let home = world.home("alice", "alice");
    let tried: &[&[&str]] = &[
        &["message", "bob", "hi"],
        &["broadcast", "hi"],
        &["inbox"],
        &["read"],
        &["watch"],
        &["whoelse"],
        &["block", "bob"],
        &["startprivate", "bob"],
        &["sessions"],
        &["file", "list"],
        &["outbox"],
        &["search", "x"],
        &["passwd"],
        &["logout"],
    ];
    for args in tried {
        home.run(args).exits(4).says("there is no account here yet").says("next: chatctl help register");
    }
    home.run(&["status"]).ok().says("there is no account here yet");
    let enough = "say who and where: chatctl login NAME --server HOST";
    for args in
        [&["login"][..], &["login", "alice"], &["login", "--server", "localhost"], &["login", "alice", "--server", ""]]
    {
        home.run(args).exits(4).says(enough).says("chatctl help login");
        home.json(args).fails_with("not_logged_in", 4);
    }
    home.run(&["--profile", "work", "login"]).exits(4).says(enough);
    home.run(&["--profile", "work", "message", "bob", "hi"]).exits(6).says("there is no profile work");
    // with an account nobody is sent to register
    world.register(&home, &[]).ok();
    home.run(&["logout"]).ok();
    home.run(&["message", "bob", "hi"]).exits(4).never_says("no account").says("chatctl login");
}

#[test]
fn what_is_no_server_is_said_as_such() {
    let mut world = World::start();
    let home = world.home("alice", "alice");
    for server in ["two words", "a:b:c", "localhost:99999"] {
        for verb in ["login", "register"] {
            let words = [verb, "alice", "--server", server, "--password-file", &world.password_file()];
            home.run(&words)
                .exits(2)
                .says("is not a server's address; give HOST, HOST:PORT")
                .says(&format!("help {verb}"));
            home.json(&words).fails_with("bad_params", 2);
        }
    }
}

#[test]
fn a_name_is_given_once() {
    let mut world = World::start();
    let _alice = world.user("alice");
    let other = world.home("alice", "other");
    world.register(&other, &[]).exits(7).says("alice");
    world.register(&other, &["--json"]).fails_with("name_taken", 7);
}

#[test]
fn bad_names_and_passwords_are_refused() {
    let mut world = World::start();
    for (index, name) in ["two words", "", "a\tb", "waytoolong-waytoolong-waytoolong-waytoolong"].iter().enumerate() {
        let home = world.home(name, &format!("h{index}"));
        world.register(&home, &["--json"]).fails_with("bad_name", 15);
    }
    let empty = world.file("empty", b"\n");
    let huge = world.file("huge", &[b'x'; 5000]);
    let home = world.home("carol", "carol");
    for file in [&empty, &huge] {
        world.register(&home, &["--json", "--password-file", file]).exits(15);
    }
    // blanks and everything else printable belong to a password
    let odd = world.file("odd", " wise@!man  überlang \n".as_bytes());
    world.register(&home, &["--password-file", &odd]).ok();
    let second = world.home("carol", "carol2");
    let trimmed = world.file("trimmed", "wise@!man  überlang\n".as_bytes());
    enter(&world, &second, &["--json", "--password-file", &trimmed]).fails_with("wrong_credentials", 7);
    enter(&world, &second, &["--password-file", &odd]).ok();
}

/// `chatctl login` as the home's person, for a device that has no account yet.
fn enter(world: &World, home: &Home, more: &[&str]) -> chat_tests::Output {
    let server = world.server.address().to_string();
    let mut args = vec!["login", home.user(), "--server", &server, "--trust", world.server.fingerprint(), "--no-input"];
    args.extend_from_slice(more);
    home.run(&args)
}

#[test]
fn a2_the_third_wrong_password_locks() {
    let mut world = World::with(SHORT_LOCK);
    let first = world.user("alice");
    let bob = world.user("bob");
    let wrong = world.file("wrong", b"not this\n");
    let right = world.password_file();
    let second = world.home("alice", "second");
    let third = world.home("alice", "third");
    for _ in 0..2 {
        enter(&world, &second, &["--json", "--password-file", &wrong]).fails_with("wrong_credentials", 7);
    }
    let locked = enter(&world, &second, &["--json", "--password-file", &wrong]);
    assert!(matches!(locked.code, 7 | 13), "{locked}");
    // the right one during the lock, also from another client at the same address
    let during = enter(&world, &second, &["--json", "--password-file", &right]).fails_with("locked_out", 13);
    let wait = during.error()["retry_after_ms"].as_u64().expect("a lock says how long");
    assert!((1..=10_000).contains(&wait), "{during}");
    enter(&world, &third, &["--password-file", &right]).exits(13);
    // it never disturbs a session that is online, nor anyone else
    first.sends("bob", "still here");
    bob.gets(&["still here"]);
    // tries during the lock do not extend it
    let opened = within(Duration::from_secs(60), || {
        (enter(&world, &third, &["--password-file", &right]).code == 0).then_some(())
    });
    assert!(opened.is_some(), "the lock never ended");
    // success resets the count: two wrong ones and a right one, twice
    for _ in 0..2 {
        let home = &third;
        home.run(&["logout", "--wipe", "--yes"]).ok();
        for _ in 0..2 {
            enter(&world, home, &["--json", "--password-file", &wrong]).fails_with("wrong_credentials", 7);
        }
        enter(&world, home, &["--password-file", &right]).ok();
    }
}

#[test]
fn a_login_does_not_tell_whether_a_name_exists() {
    let mut world = World::start();
    let _alice = world.user("alice");
    let wrong = world.file("wrong", b"not this\n");
    let one = world.home("alice", "one");
    let two = world.home("nobody", "two");
    let known = enter(&world, &one, &["--json", "--password-file", &wrong]).fails_with("wrong_credentials", 7);
    let unknown = enter(&world, &two, &["--json", "--password-file", &wrong]).fails_with("wrong_credentials", 7);
    let text = |output: &chat_tests::Output| output.stderr.replace("alice", "NAME").replace("nobody", "NAME");
    assert_eq!(text(&known), text(&unknown));
}

#[test]
fn an_account_has_several_devices() {
    let mut world = World::start();
    let alice = world.user("alice");
    let bob = world.user("bob");
    let bob2 = world.device("bob", 2);
    alice.sends("bob", "to both of you");
    bob.gets(&["to both of you"]);
    bob2.gets(&["to both of you"]);
    // the sender's other device sees what the first one sent
    bob.sends("alice", "from the first");
    until("bob's second device shows the own message", || {
        bob2.history().iter().any(|item| item["text"] == "from the first").then_some(())
    });
}

#[test]
fn an_unknown_server_key_is_not_trusted_blindly() {
    let mut world = World::start();
    let home = world.home("alice", "alice");
    let server = world.server.address().to_string();
    let file = world.password_file();
    let asked = home.json(&["register", "alice", "--server", &server, "--password-file", &file, "--no-input"]);
    asked.clone().fails_with("trust_unknown", 11).says(world.server.fingerprint());
    let wrong = format!("sha256:{}", "0".repeat(64));
    home.json(&["register", "alice", "--server", &server, "--password-file", &file, "--trust", &wrong, "--no-input"])
        .exits(11);
    // --yes answers no key question
    home.run(&["--yes", "register", "alice", "--server", &server, "--password-file", &file, "--no-input"]).exits(11);
    world.register(&home, &[]).ok();
    let trusted = home.json(&["trust", "list"]).ok().items();
    assert_eq!(trusted[0]["fingerprint"], world.server.fingerprint());
}

#[test]
fn a_changed_server_key_stops_everything() {
    let mut world = World::start();
    let home = world.user("alice");
    let bob = world.user("bob");
    world.server.kill();
    // another server under the same address: new long-term key
    let moved = world.path("moved");
    std::fs::rename(world.server.dir(), &moved).expect("the old server moves away");
    world.server.ctl(&["init", "--self-signed"]).ok();
    world.server.up();
    until("the daemon says that the key changed", || {
        let status = home.json(&["status"]).json();
        status.to_string().contains("trust_changed").then_some(())
    });
    let refused = home.json(&["message", "bob", "hi", "--no-queue"]);
    assert!(matches!(refused.code, 5 | 11), "{refused}");
    assert_eq!(bob.received(), Vec::<String>::new());
    let elsewhere = world.home("alice", "elsewhere");
    // that server never heard of alice: it writes down who tries to log in
    let audit = || world.server.ctl(&["export", "audit"]).ok().stdout;
    assert!(!audit().contains("alice"), "{}", audit());
    let (address, key) = (world.server.address().to_string(), world.server.ctl(&["cert", "fingerprint"]).ok().stdout);
    let file = world.password_file();
    let tries = ["login", "alice", "--server", &address, "--trust", key.trim(), "--password-file", &file, "--no-input"];
    elsewhere.run(&tries).exits(7);
    until("it wrote that down", || audit().contains("alice").then_some(()));
}

#[test]
fn logout_keeps_or_leaves_what_waits() {
    let mut world = World::start();
    let alice = world.user("alice");
    let _bob = world.user("bob");
    world.server.kill();
    alice.run(&["message", "bob", "waits"]).exits(5);
    alice.json(&["logout"]).fails_with("unsent", 1);
    assert_ne!(alice.link(), "logged_out");
    let out = alice.json(&["logout", "--force"]).ok().json();
    assert_eq!(out["unsent"], 1);
}

#[test]
fn a_password_comes_by_stdin_too() {
    let mut world = World::start();
    let home = world.home("alice", "alice");
    let server = world.server.address().to_string();
    let args = [
        "register",
        "alice",
        "--server",
        &server,
        "--trust",
        world.server.fingerprint(),
        "--password-stdin",
        "--no-input",
    ];
    home.pipe(&args, b"by a pipe\n").ok();
    // without any source of a password, and without a terminal, nothing is asked
    let second = world.home("alice", "second");
    enter(&world, &second, &["--json"]).exits(12);
}

/// Every file below a directory, with its content.
fn files(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push((path.clone(), std::fs::read(&path).unwrap_or_default())),
            _ => {}
        }
    }
    found
}

#[test]
fn secrets_and_texts_stay_where_they_belong() {
    const TEXT: &str = "the cat sat on the mat at noon";
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    alice.run(&["message", "bob", TEXT, "--wait", "delivered"]).ok();
    alice.run(&["message", "nobody", TEXT]).exits(6);
    world.server.stop();
    alice.run(&["daemon", "stop"]).ok();
    let holds = |content: &[u8], text: &str| content.windows(text.len()).any(|part| part == text.as_bytes());
    for (path, content) in files(world.path("").as_path()) {
        let password_file = path.ends_with("password");
        assert!(password_file || !holds(&content, chat_tests::world::PASSWORD), "{} holds a password", path.display());
        let log = path.extension().is_some_and(|extension| extension == "log");
        assert!(!(log && holds(&content, TEXT)), "{} holds a message text", path.display());
    }
    drop(bob);
}

//! The operator and his users: chat-server's verbs over the real binaries, and what the users see of them.

use chat_tests::process::until;
use chat_tests::world::PASSWORD;
use chat_tests::{Home, Output, World};
use serde_json::Value;

fn presence(user: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "presence" && event["user"] == user && event["state"] == state
}

/// The sessions that the server has now, by user.
fn here(world: &World) -> Vec<String> {
    world.server.ctl(&["sessions", "list", "--json"]).ok().column("user")
}

/// The next command that an error on stderr names.
fn next_step(output: &Output) -> String {
    let hint = output.error()["hint"].as_str().map(str::to_owned);
    hint.unwrap_or_else(|| panic!("no next step: {output}"))
}

/// Runs what an error says to type next: a command of chat-server on this world.
fn follow(world: &World, output: &Output) -> Output {
    let step = next_step(output);
    let own = format!("chat-server --dir {} ", world.server.dir().display());
    let verb = step.strip_prefix(&own).unwrap_or_else(|| panic!("not for this server: {step}"));
    world.server.ctl(&verb.split(' ').collect::<Vec<_>>())
}

fn is_logged_out(home: &Home) {
    until("the link is down", || (home.link() != "online").then_some(()));
}

#[test]
fn a_kicked_user_is_told_and_does_not_come_back_by_himself() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = bob.watch(&[]);
    let kicked = world.server.ctl(&["sessions", "kick", "alice"]).ok();
    assert!(kicked.stdout.starts_with("Ended session ") && kicked.stdout.contains(" of alice (127.0.0.1:"), "{kicked}");
    let event = watch.expect("alice goes", presence("alice", "offline"));
    assert_eq!(event["reason"], "kicked");
    is_logged_out(&alice);
    assert_eq!(here(&world), ["bob"]);
    let refused = alice.run(&["message", "bob", "hi"]).exits(4);
    assert!(refused.stderr.contains("by an operator of the server at"), "{refused}");
    alice.json(&["message", "bob", "hi"]).fails_with("not_logged_in", 4);
    // a restart of her chatd is no way back either
    alice.restart();
    assert_ne!(alice.link(), "online");
    alice.run(&["login"]).ok();
    alice.sends("bob", "back again");

    let again = world.server.ctl(&["sessions", "kick", "carol", "--json"]);
    let again = again.fails_with("unknown_user", 6);
    follow(&world, &again).ok();
    alice.run(&["logout"]).ok();
    let gone = world.server.ctl(&["sessions", "kick", "alice", "--json"]).fails_with("unknown_id", 6);
    follow(&world, &gone).ok();
}

#[test]
fn an_announcement_is_shown_as_the_servers_and_safely() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = alice.watch(&[]);
    bob.run(&["logout"]).ok();
    let text = "down at 18:00\u{1b}[2J\n[12:01] bob: hi";
    let sent = world.server.ctl(&["announce", text]).ok();
    assert_eq!(sent.stdout, "Sent to 1 user online.\n");
    let event = watch.expect("the announcement", |event| event["type"] == "message");
    assert_eq!((event["kind"].as_str(), event["text"].as_str()), (Some("system"), Some(text)));
    assert_eq!(event["from"].as_str().unwrap_or_default(), "", "from no user");
    let shown = alice.run(&["read"]).ok();
    assert!(!shown.stdout.contains('\u{1b}') && !shown.stdout.contains("\n[12:01]"), "{shown}");
    assert!(shown.stdout.contains("down at 18:00"), "{shown}");
    bob.run(&["login"]).ok();
    assert!(bob.history().iter().all(|item| item["kind"] != "system"), "he was not online");

    let json = world.server.ctl(&["announce", "a", "b", "--json"]).ok().json();
    assert_eq!((&json["type"], &json["sent"]), (&Value::from("announcement"), &Value::from(2)));
    world.server.ctl(&["announce", " ", "--json"]).fails_with("bad_params", 2);
}

#[test]
fn live_verbs_need_the_running_server_and_say_how_to_start_it() {
    let mut world = World::start();
    world.server.stop();
    for verb in [&["sessions"][..], &["sessions", "kick", "x"], &["announce", "x"]] {
        let mut args = vec!["--json"];
        args.extend_from_slice(verb);
        let refused = world.server.ctl(&args).fails_with("server_unreachable", 3);
        let step = next_step(&refused);
        assert_eq!(step, format!("chat-server --dir {} run", world.server.dir().display()));
    }
    // that very command
    world.server.up();
    world.server.ctl(&["sessions"]).ok();
}

#[test]
fn what_is_kept_is_written_out_line_by_line() {
    let mut world = World::start();
    let alice = world.user("alice");
    world.user("bob");
    alice.run(&["logout"]).ok();
    world.server.ctl(&["sessions", "kick", "bob"]).ok();
    let lines = |output: Output| -> Vec<Value> {
        output.ok().stdout.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    for running in [true, false] {
        if !running {
            world.server.stop();
        }
        let users = lines(world.server.ctl(&["export", "users"]));
        assert_eq!(
            users.iter().map(|user| user["name"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
            ["alice", "bob"]
        );
        assert!(users.iter().all(|user| user["v"] == 1 && user["type"] == "user" && user.get("hash").is_none()));
        let audit = lines(world.server.ctl(&["export", "audit"]));
        let texts: Vec<_> = audit.iter().map(|line| line["text"].as_str().unwrap_or_default()).collect();
        for wanted in ["register: account alice", "logged out: account alice", "session_kick done: bob"] {
            assert!(texts.iter().any(|text| text.contains(wanted)), "{wanted}: {texts:?}");
        }
    }
}

/// Runs a verb with a line on stdin.
fn with_stdin(world: &World, args: &[&str], input: &str) -> Output {
    world.server.pipe(args, input.as_bytes())
}

const SECRET: &str = "correct horse battery staple";

fn log_in(world: &World, home: &Home, password: &str) -> Output {
    let file = world.file(&format!("secret-{}", home.user()), password.as_bytes());
    let address = world.server.address().to_string();
    let fingerprint = world.server.fingerprint();
    home.run(&[
        "login",
        home.user(),
        "--server",
        &address,
        "--trust",
        fingerprint,
        "--password-file",
        &file,
        "--no-input",
    ])
}

#[test]
fn an_added_user_logs_in_and_finds_what_waited_for_him() {
    let mut world = World::start();
    let alice = world.user("alice");
    let added = with_stdin(&world, &["user", "add", "Carol", "--password-stdin"], &format!("{SECRET}\n")).ok();
    assert!(added.stdout.starts_with("Added carol; "), "{added}");
    alice.sends("carol", "welcome");
    let carol = world.home("carol", "carol");
    log_in(&world, &carol, SECRET).ok();
    carol.gets(&["welcome"]);

    for (name, code, exit) in [
        ("carol", "name_taken", 7),
        ("root", "bad_name", 15),
        ("a b", "bad_name", 15),
        ("\u{1b}[2J", "bad_name", 15),
        ("../../etc/passwd", "bad_name", 15),
        ("x'; DROP TABLE account; --", "bad_name", 15),
    ] {
        let refused = with_stdin(&world, &["user", "add", name, "--password-stdin", "--json"], "pw");
        let refused = refused.fails_with(code, exit);
        assert!(!refused.stderr.contains('\u{1b}'), "{refused}");
    }
    with_stdin(&world, &["user", "add", "dave", "--password-stdin", "--json"], "").fails_with("bad_password", 15);
    with_stdin(&world, &["user", "add", "dave", "--password-stdin", "--json"], &"x".repeat(1025))
        .fails_with("bad_password", 15);
    assert_eq!(world.server.ctl(&["user", "list", "--json"]).ok().column("name"), ["alice", "carol"]);

    // without a password an invitation is printed, which makes the account
    let code = world.server.ctl(&["user", "add", "erin"]).ok();
    let file = world.file("invite", code.stdout.as_bytes());
    let erin = world.home("erin", "erin");
    world.register(&erin, &["--invite-file", &file]).ok();
}

#[test]
fn a_deleted_user_is_gone_for_good_and_senders_are_told() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    // acknowledged, so that it waits no more
    alice.run(&["message", "bob", "seen by bob", "--wait", "delivered"]).ok();
    bob.run(&["block", "alice"]).ok();
    bob.run(&["unblock", "alice"]).ok();
    bob.kill();
    until("bob is away", || (here(&world) == ["alice"]).then_some(()));
    let waits = alice.json(&["message", "bob", "never seen"]).ok().json();
    let id = waits["id"].as_str().unwrap_or_default().to_owned();

    // nobody there to type the name again
    world.server.ctl(&["user", "del", "bob", "--json"]).fails_with("no_prompt", 12).says("--yes-delete bob");
    world.server.ctl(&["user", "del", "bob", "--yes-delete", "bobby", "--json"]).fails_with("names_differ", 1);
    let mut watch = alice.watch(&[]);
    let deleted = world.server.ctl(&["user", "del", "bob", "--yes-delete", "bob", "--json"]).ok().json();
    assert_eq!((deleted["devices"].as_u64(), deleted["expired"].as_u64()), (Some(1), Some(1)), "{deleted}");
    watch.expect("bob is gone", presence("bob", "offline"));
    let shown = until("the sender is told", || {
        let shown = alice.json(&["show", &id]).ok().json();
        (shown["state"] == "expired").then_some(shown)
    });
    assert_eq!(shown["code"], "account_gone", "{shown}");

    let refused = world.server.ctl(&["user", "show", "bob", "--json"]).fails_with("unknown_user", 6);
    follow(&world, &refused).ok();
    world.server.ctl(&["user", "del", "bob", "--yes-delete", "bob", "--json"]).fails_with("unknown_user", 6);
    alice.json(&["message", "bob", "hello?"]).fails_with("unknown_user", 6);
    bob.up();
    until("bob's chatd learns it", || (bob.link() == "logged_out").then_some(()));
    // the name is nobody's any more: not by sign-up, not by the operator, not after a restart
    let mallory = world.home("bob", "mallory");
    world.register(&mallory, &["--json"]).fails_with("name_taken", 7);
    world.server.stop();
    with_stdin(&world, &["user", "add", "bob", "--password-stdin", "--json"], SECRET).fails_with("name_taken", 7);
    world.server.ctl(&["user", "add", "bob", "--json"]).fails_with("name_taken", 7);
    world.server.up();
    world.register(&mallory, &["--json"]).fails_with("name_taken", 7);
    alice.online();
    let carol = world.user("carol");
    alice.sends("carol", "for carol alone");
    carol.gets(&["for carol alone"]);
}

#[test]
fn a_locked_user_is_out_until_he_is_unlocked() {
    let mut world = World::start();
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let mut watch = alice.watch(&[]);
    world.server.ctl(&["user", "lock", "bob"]).ok().says("bob is locked");
    watch.expect("bob goes", presence("bob", "offline"));
    until("bob is out", || (bob.link() != "online").then_some(()));
    bob.run(&["message", "alice", "hi"]).exits(4).says("locked");
    bob.run(&["login", "--json"]).fails_with("account_locked", 7);
    log_in(&world, &bob, PASSWORD).exits(7).says("locked");
    // who does not know the password does not learn it
    let stranger = world.home("bob", "stranger");
    log_in(&world, &stranger, "wrong").exits(7).never_says("locked by");
    alice.sends("bob", "kept");
    let again = world.server.ctl(&["user", "lock", "bob", "--json"]).ok().json();
    assert_eq!(again["changed"], false);
    assert_eq!(world.server.ctl(&["user", "show", "bob", "--json"]).ok().json()["user"]["locked"], true);
    world.server.stop();
    world.server.up();
    bob.run(&["login", "--json"]).fails_with("account_locked", 7);
    world.server.ctl(&["user", "unlock", "bob"]).ok().says("bob is unlocked");
    bob.run(&["login"]).ok();
    bob.gets(&["kept"]);
}

#[test]
fn unlock_lifts_what_wrong_passwords_locked() {
    let mut world = World::start();
    world.user("alice");
    let guesser = world.home("alice", "guesser");
    for _ in 0..3 {
        log_in(&world, &guesser, "wrong");
    }
    log_in(&world, &guesser, PASSWORD).exits(13);
    let shown = world.server.ctl(&["user", "show", "alice", "--json"]).ok().json();
    assert_eq!(shown["password_locks"], 1, "{shown}");
    let other = world.server.ctl(&["user", "unlock", "alice", "--source", "10.0.0.1", "--json"]).ok().json();
    assert_eq!((&other["changed"], &other["lifted"]), (&Value::from(false), &Value::from(0)));
    log_in(&world, &guesser, PASSWORD).exits(13);
    let lifted = world.server.ctl(&["user", "unlock", "alice", "--source", "127.0.0.1", "--json"]).ok().json();
    assert_eq!(lifted["lifted"], 1);
    log_in(&world, &guesser, PASSWORD).ok();
    guesser.run(&["logout"]).ok();
    for _ in 0..3 {
        log_in(&world, &guesser, "wrong");
    }
    let lifted = world.server.ctl(&["user", "unlock", "alice", "--json"]).ok().json();
    assert_eq!((&lifted["changed"], &lifted["lifted"]), (&Value::from(false), &Value::from(1)));
    log_in(&world, &guesser, PASSWORD).ok();
    world.server.ctl(&["user", "unlock", "nobody", "--json"]).fails_with("unknown_user", 6);
}

#[test]
fn another_password_and_who_stays_logged_in() {
    let mut world = World::start();
    let alice = world.user("alice");
    let changed = with_stdin(&world, &["user", "passwd", "alice", "--password-stdin", "--json"], SECRET).ok().json();
    assert_eq!(changed["revoked"], 0);
    assert_eq!(alice.link(), "online", "her device has its key");
    until("she is told", || alice.history().iter().any(|item| item["kind"] == "system").then_some(()));
    let second = world.home("alice", "alice2");
    log_in(&world, &second, PASSWORD).exits(7);
    log_in(&world, &second, SECRET).ok();
    let changed = ["user", "passwd", "alice", "--password-stdin", "--revoke-devices"];
    with_stdin(&world, &changed, "another").ok().says("2 devices logged out");
    for home in [&alice, &second] {
        until("the key is gone", || (home.link() != "online").then_some(()));
    }
    log_in(&world, &second, "another").ok();
    world.server.ctl(&["user", "passwd", "alice", "--json"]).fails_with("no_prompt", 12).says("--password-stdin");
    with_stdin(&world, &["user", "passwd", "nobody", "--password-stdin", "--json"], "x").fails_with("unknown_user", 6);
}

fn import(world: &World, file: &str, more: &[&str]) -> Output {
    let mut args = vec!["import", "credentials", file];
    args.extend_from_slice(more);
    world.server.ctl(&args)
}

#[test]
fn a_credentials_file_is_imported_and_its_mistakes_are_named() {
    let mut world = World::start();
    world.user("alice");
    let text = "\u{feff}yoda wise@!man\r\n\r\nluke light==saber\nHan  two  blanks \nr2d2\nalice other\nluke again\nb\u{fc}d x\n\
                chewie raaah";
    let file = world.file("credentials.txt", text.as_bytes());
    let dry = import(&world, &file, &["--dry-run"]).exits(8);
    assert_eq!(
        dry.stdout,
        "4 would be added, 4 skipped:\n  line 5: no password after the name \"r2d2\"\n  line 6: the account \"alice\" is there \
         already\n  line 7: \"luke\" stands in line 3 already\n  line 8: a name has only a-z, 0-9, '.', '_' and '-', and starts \
         with a letter or digit\n"
    );
    assert_eq!(world.server.ctl(&["user", "list", "--json"]).ok().column("name"), ["alice"], "nothing was changed");
    import(&world, &file, &["--on-conflict", "fail", "--json"]).fails_with("conflict", 7);
    assert_eq!(world.server.ctl(&["user", "list", "--json"]).ok().column("name"), ["alice"], "all or nothing");

    let done = import(&world, &file, &["--json"]).exits(8).json();
    assert_eq!((&done["added"], done["skipped"].as_array().map(Vec::len)), (&Value::from(4), Some(4)), "{done}");
    assert_eq!(done["skipped"][0]["line"], 5);
    assert_eq!(std::fs::read(&file).unwrap(), text.as_bytes(), "the file stays as it was");
    for (name, password) in [("yoda", "wise@!man"), ("luke", "light==saber"), ("han", " two  blanks ")] {
        let home = world.home(name, name);
        let address = world.server.address().to_string();
        let args = ["login", name, "--server", &address, "--trust", world.server.fingerprint(), "--password-stdin"];
        home.pipe(&args, format!("{password}\n").as_bytes()).ok();
    }
    let update = import(&world, &file, &["--on-conflict", "update", "--json"]).exits(8).json();
    assert_eq!((&update["updated"], &update["unchanged"]), (&Value::from(1), &Value::from(4)), "{update}");
    let reminder = import(&world, &file, &[]).exits(8);
    assert!(reminder.stderr.contains(&format!("shred -u {file}")), "{reminder}");

    let log = std::fs::read_to_string(world.server.log()).unwrap();
    let audit = world.server.ctl(&["export", "audit"]).ok().stdout;
    for secret in ["wise@!man", "light==saber", "two  blanks", "raaah"] {
        for (place, text) in
            [("log", &log), ("audit", &audit), ("output", &reminder.to_string()), ("dry", &dry.to_string())]
        {
            assert!(!text.contains(secret), "{secret} in {place}");
        }
    }
    // a stopped server's store takes them too; all that is good ends with 0
    world.server.stop();
    let file = world.file("more.txt", b"lando cloud\n");
    world.server.ctl(&["import", "credentials", &file]).ok().says("1 added");
    world
        .server
        .ctl(&["import", "credentials", &world.path("nowhere").display().to_string(), "--json"])
        .fails_with("unknown_file", 6);
}

#[test]
fn hashes_leave_only_when_they_are_asked_for() {
    let mut world = World::start();
    world.user("alice");
    let plain = world.server.ctl(&["export", "users"]).ok();
    assert!(!plain.stdout.contains("argon2"), "{plain}");
    let hashes = world.server.ctl(&["export", "users", "--hashes"]).ok();
    assert!(hashes.stdout.contains("\"hash\":\"$argon2id$"), "{hashes}");
    let audit = world.server.ctl(&["export", "audit"]).ok().stdout;
    assert!(audit.contains("user_list done: with hashes"), "{audit}");
}

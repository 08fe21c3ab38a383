//! Prompts on a terminal of their own: keys, passwords, yes and no.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::fake::{Answer, Home, account};

const FP: &str = "sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c";

/// Questions whose answers are not echoed.
const SECRETS: &[&str] = &["Password:", "Again:"];

/// Runs chatctl on a terminal; types each answer once its question has been seen. What the terminal showed, and the exit.
fn talk(home: &Home, args: &[&str], dialogue: &[(&str, &str)]) -> (i32, String) {
    let (mut child, mut terminal) = seated(home, args);
    let mut shown = String::new();
    for (question, answer) in dialogue {
        until_shown(&mut terminal, &mut shown, question);
        if SECRETS.contains(question) {
            until_silent(&terminal);
        }
        writeln!(terminal, "{answer}").expect("typed");
    }
    ended(&mut child, &mut terminal, shown)
}

/// Runs chatctl on a terminal; once it shows `part`, something happens elsewhere.
fn talk_until(home: &Home, args: &[&str], part: &str, happens: impl FnOnce()) -> (i32, String) {
    let (mut child, mut terminal) = seated(home, args);
    let mut shown = String::new();
    until_shown(&mut terminal, &mut shown, part);
    happens();
    ended(&mut child, &mut terminal, shown)
}

/// chatctl on a terminal of its own.
fn seated(home: &Home, args: &[&str]) -> (Child, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("our terminal");
    let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("ASCII");
    let slave = File::options().read(true).write(true).open(name).expect("the other end");
    let handle = || Stdio::from(slave.try_clone().expect("one more handle"));
    // setsid gives chatctl the terminal as its own, so that /dev/tty is it.
    let mut command = Command::new("/usr/bin/setsid");
    command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_chatctl"), "--no-autostart"]).args(args);
    command.env_clear().env("CHAT_HOME", home.path()).env("TZ", "UTC").env("TERM", "xterm");
    let child = command.stdin(handle()).stdout(handle()).stderr(handle()).spawn().expect("chatctl runs");
    (child, File::from(master))
}

/// Waits for its end; the exit, and all that was shown.
fn ended(child: &mut Child, terminal: &mut File, mut shown: String) -> (i32, String) {
    // What it shows is read while it runs: a terminal that is full would hold it.
    // The end of a terminal without another side reads as an error.
    while let Some(more) = some(terminal) {
        shown.push_str(&more);
    }
    (child.wait().expect("it ends").code().unwrap_or(-1), shown)
}

fn until_shown(terminal: &mut File, shown: &mut String, question: &str) {
    let from = shown.len();
    while !shown[from..].contains(question) {
        let more = some(terminal).unwrap_or_else(|| panic!("{question:?} was not asked: {shown}"));
        shown.push_str(&more);
    }
}

/// The question is printed just before the echo is off; nobody types that fast, save this test.
fn until_silent(terminal: &File) {
    let echoes = || {
        let modes = rustix::termios::tcgetattr(terminal).expect("a terminal").local_modes;
        modes.contains(rustix::termios::LocalModes::ECHO)
    };
    while echoes() {
        std::thread::yield_now();
    }
}

fn some(terminal: &mut File) -> Option<String> {
    let mut bytes = [0; 4096];
    let count = terminal.read(&mut bytes).ok().filter(|count| *count > 0)?;
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

fn strange_server(answer: serde_json::Value) -> Home {
    Home::with(move |method, params| {
        let trusted = params["trust"] == FP;
        match (method, trusted, params["password"].as_str()) {
            ("login" | "register", false, _) => Answer::Refuse(json!({"code": "trust_unknown",
                "trust": {"server": "localhost:7443", "fingerprint": FP, "certificate": "self-signed"}})),
            ("login" | "register", true, Some("wise@!man")) => Answer::Ok(answer.clone()),
            _ => Answer::Refuse(json!({"code": "wrong_credentials"})),
        }
    })
}

#[test]
fn login_asks_for_the_key_and_then_for_the_password() {
    let home = strange_server(account());
    let (code, shown) = talk(&home, &["login"], &[("Trust it? [y/N]", "y"), ("Password:", "wise@!man")]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("localhost:7443 is not known yet.") && shown.contains("Logged in as alice"), "{shown}");
    assert!(!shown.contains("wise@!man"), "a password was echoed: {shown}");
}

#[test]
fn register_asks_twice() {
    let home = strange_server(account());
    let secret = "wise@!man";
    let args = ["register", "alice", "--server", "localhost"];
    let (code, shown) = talk(&home, &args, &[("Password:", secret), ("Again:", secret), ("Trust it? [y/N]", "yes")]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Registered alice"), "{shown}");
    let (code, shown) = talk(&home, &args, &[("Password:", secret), ("Again:", "other")]);
    assert_eq!(code, 15, "{shown}");
}

#[test]
fn no_is_no_and_yes_answers_no_question_about_keys() {
    let home = strange_server(account());
    let (code, _) = talk(&home, &["--yes", "login"], &[("Trust it? [y/N]", "")]);
    assert_eq!(code, 11);
    let home = Home::answering("profile_remove", json!({}));
    let (code, shown) = talk(&home, &["profile", "remove", "old"], &[("[y/N]", "n")]);
    assert_eq!((code, home.calls().len()), (1, 0), "{shown}");
}

#[test]
fn a_text_is_asked_for_in_one_line() {
    let home = Home::answering("message", crate::fake::sent("accepted"));
    let (code, shown) = talk(&home, &["message", "bob"], &[("Message to bob:", "hi there")]);
    assert_eq!((code, &home.call("message")["text"]), (0, &json!("hi there")), "{shown}");
}

#[test]
fn a_key_is_verified_by_who_compared_the_code() {
    let home = Home::answering(
        "sessions_verify",
        json!({"peer": "bob", "code": "12345 67890", "key": FP, "own_key": FP, "known": "known"}),
    );
    let question = "Is it the same on bob's side? [y/N]";
    let (code, shown) = talk(&home, &["sessions", "verify", "bob"], &[(question, "n")]);
    assert_eq!((code, home.call_count("sessions_verify")), (1, 1), "{shown}");
    assert!(shown.contains("12345 67890") && shown.contains("next: chatctl stopprivate bob"), "{shown}");
    let (code, shown) = talk(&home, &["sessions", "verify", "bob"], &[(question, "y")]);
    assert_eq!((code, home.call_count("sessions_verify")), (0, 3), "{shown}");
    assert!(shown.contains("The key of bob is verified."), "{shown}");
    assert_eq!(home.calls()[2].1["confirm"], true);
}

#[test]
fn a_transfer_is_a_bar_on_a_terminal_and_a_line_at_its_end() {
    let file = |state: &str, done: u64| {
        json!({"type": "file", "id": "00112233445566778899aabbccdd9f3c", "peer": "bob", "dir": "out", "name": "report.pdf",
            "size": 4_200_000, "done": done, "rate": 3_100_000, "state": state, "at_ms": 0})
    };
    let (news, coming) = std::sync::mpsc::channel();
    let coming = std::sync::Mutex::new(Some(coming));
    let home = Home::with(move |method, _| match method {
        "watch" => {
            let coming = coming.lock().expect("no test panics with it").take().expect("one watch");
            Answer::Live(json!({"index": 0}), coming)
        }
        "file_send" => Answer::Ok(file("offered", 0)),
        other => Answer::Refuse(json!({"code": "internal", "detail": other})),
    });
    news.send(file("running", 1_764_000)).expect("the daemon follows");
    let path = home.file("report.pdf", b"hi");
    let path = path.to_str().expect("UTF-8").to_owned();
    let seen = std::thread::spawn({
        move || {
            // Once the bar was there: the end.
            std::thread::park();
            news.send(file("done", 4_200_000)).expect("the daemon follows");
        }
    });
    let unpark = seen.thread().clone();
    let (code, shown) = talk_until(&home, &["file", "send", "bob", &path, "--wait"], "42%", move || unpark.unpark());
    seen.join().expect("sent");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("[=====") && shown.contains("report.pdf to bob: 42% 3.1 MB/s 1s left"), "{shown:?}");
    assert!(shown.contains("report.pdf (4.2 MB) is with bob, whole."), "{shown:?}");
}

#[test]
fn ctrl_c_at_a_prompt_is_130() {
    let home = strange_server(account());
    let (code, shown) = talk(&home, &["register", "alice", "--server", "localhost"], &[("Password:", "\u{3}")]);
    assert_eq!(code, 130, "{shown}");
}

/// Said once, to a person alone: scripts do not hear it.
#[test]
fn an_older_daemon_is_noted_on_a_terminal_alone() {
    let home = Home::with(|method, _| match method {
        "hello" => Answer::Ok(json!({"version": 1, "build": "0.0.9", "pid": 42})),
        _ => Answer::Ok(json!({"items": []})),
    });
    let note = "note: chatd 0.0.9 is older than chatctl";
    let (code, shown) = talk(&home, &["blocked"], &[]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(shown.matches(note).count(), 1, "{shown}");
    assert!(shown.contains("next: chatctl daemon restart"), "{shown}");
    let ran = home.run(&["blocked"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

/// A unit of systemd has nobody to ask: its password is a credential (LoadCredential=chat.password:FILE).
#[test]
fn a_unit_is_handed_its_password() {
    let home = strange_server(account());
    let credentials = home.path().join("credentials");
    std::fs::create_dir(&credentials).expect("a directory");
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("CREDENTIALS_DIRECTORY", &credentials);
        crate::fake::Ran::of(command.output().expect("chatctl runs"))
    };
    let login = ["--no-input", "login", "--trust", FP];
    assert_eq!(run(&login).code, 12, "no credential of that name");
    std::fs::write(credentials.join("chat.password"), "wise@!man\n").expect("a file");
    assert_eq!(run(&login).code, 0);
    assert_eq!(run(&["--no-input", "register", "alice", "--server", "localhost", "--trust", FP]).code, 0);
    // what is typed wins
    let other = home.file("other", b"wrong\n");
    assert_eq!(run(&["--no-input", "login", "--trust", FP, "--password-file", &other.to_string_lossy()]).code, 7);
}

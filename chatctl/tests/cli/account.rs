//! register, login, logout, status, profile, trust.

use serde_json::{Value, json};

use crate::fake::{Answer, Home, account, profile};

const FP: &str = "sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c";
const OTHER: &str = "sha256:41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa41aa";

#[test]
fn register_sends_what_was_given() {
    let home = Home::answering("register", account());
    let file = home.file("pw", b" wise@!man \n");
    let file = file.to_str().expect("a path");
    let args = ["register", "alice", "--server", "h:7", "--password-file", file, "--device", "laptop", "--trust", FP];
    home.run(&args).is(0, "Registered alice on chat.example.org; logged in (device laptop).\n");
    let call = home.call("register");
    assert_eq!(
        (&call["user"], &call["server"], &call["password"]),
        (&json!("alice"), &json!("h:7"), &json!(" wise@!man "))
    );
    assert_eq!((&call["trust"], &call["device"], &call["profile"]), (&json!(FP), &json!("laptop"), &json!("work")));
    assert!(call["timeout_ms"].as_u64().is_some_and(|ms| ms > 1000 && ms <= 10_000));
}

#[test]
fn login_says_what_waits_and_json_has_it() {
    let home = Home::answering("login", account());
    home.run(&["login"])
        .is(0, "Logged in as alice on chat.example.org (device laptop). 3 unread from 2 people: chatctl inbox\n");
    let ran = home.run(&["--json", "login"]);
    assert!(
        ran.out.starts_with(r#"{"v":1,"type":"account","user":"alice","server":"chat.example.org","device":"laptop","state":"online","unread":3"#)
    );
    assert_eq!(home.run(&["-q", "login"]).is(0, "").err, "");
}

#[test]
fn a_prompt_is_refused_where_nobody_answers() {
    let home = Home::refusing(json!({"code": "wrong_credentials"}));
    home.run(&["login", "--no-input"]).complains(
        12,
        "chatctl: a password is needed, and asking is not possible here; give it by --password-file F, --password-stdin, or LoadCredential=chat.password:F in a unit.\n",
    );
    let error = home.run(&["--json", "login"]).error();
    assert_eq!(error["code"], "prompt_needed");
    assert_eq!(home.run(&["register", "alice", "--server", "h"]).code, 12);
    let empty = home.file("empty", b"");
    let empty = empty.to_str().expect("UTF-8");
    assert_eq!(home.run(&["register", "--server", "h", "--password-file", empty]).code, 12);
    // erasing asks, and only --yes answers where nobody is there
    let home = Home::answering("profile_remove", json!({}));
    assert_eq!(home.run(&["profile", "remove", "old"]).code, 12);
    home.run(&["profile", "remove", "old", "--yes"]).is(0, "Profile old is erased.\n");
}

#[test]
fn passwords_come_by_stdin_and_are_bounded() {
    let home = Home::answering("login", account());
    assert_eq!(home.pipe(&["login", "--password-stdin"], b"by a pipe\n").code, 0);
    assert_eq!(home.call("login")["password"], "by a pipe");
    for wrong in [&b"\n"[..], &[b'x'; 5000], b"\xff"] {
        assert_eq!(home.pipe(&["login", "--password-stdin"], wrong).code, 15);
    }
    assert_eq!(home.run(&["login", "--password", "x"]).code, 2);
}

#[test]
fn a_wrong_password_that_was_given_is_not_asked_again() {
    let home = Home::refusing(json!({"code": "wrong_credentials"}));
    home.pipe(&["login", "--password-stdin"], b"no\n")
        .complains(7, "chatctl: wrong name or password.\n  next: chatctl login\n");
    let locked = Home::refusing(json!({"code": "locked_out", "retry_after_ms": 59_000}));
    let error = locked.pipe(&["--json", "login", "--password-stdin"], b"no\n").error();
    assert_eq!((&error["exit"], &error["retry_after_ms"]), (&json!(13), &json!(59_000)));
}

#[test]
fn a_taken_name_hints_at_login() {
    let home = Home::refusing(json!({"code": "name_taken", "subject": "alice"}));
    let file = home.file("pw", b"secret");
    let file = file.to_str().expect("a path");
    home.run(&["--profile", "al", "register", "alice", "--server", "h", "--password-file", file])
        .complains(7, "chatctl: the name alice is taken.\n  next: chatctl --profile al login alice --server h\n");
}

fn question(known: Option<&str>) -> Value {
    let code = if known.is_some() { "trust_changed" } else { "trust_unknown" };
    json!({"code": code, "trust": {"server": "chat.lan:7443", "fingerprint": if known.is_some() { OTHER } else { FP },
        "known": known, "known_since_ms": known.map(|_| 0), "certificate": "self-signed"}})
}

#[test]
fn keys_are_never_trusted_by_yes() {
    let home = Home::refusing(question(None));
    let ran = home.run(&["login", "--yes"]);
    assert_eq!(ran.code, 11);
    assert!(ran.err.contains(&format!("--trust {FP}")), "{}", ran.err);
    let error = home.run(&["--json", "--yes", "login"]).error();
    assert_eq!((&error["code"], &error["fingerprint"]), (&json!("trust_unknown"), &json!(FP)));
}

#[test]
fn a_changed_key_stops_and_says_how_to_go_on() {
    let home = Home::refusing(question(Some(FP)));
    let ran = home.run(&["login"]);
    assert_eq!(ran.code, 11);
    for part in [
        "different key than on Jan 1 1970 00:00",
        &format!("was {FP}"),
        &format!("now {OTHER}"),
        &format!("next: chatctl trust accept {OTHER}"),
    ] {
        assert!(ran.err.contains(part), "{part} is not in {}", ran.err);
    }
}

#[test]
fn logout_says_what_ended_and_what_stays() {
    let home = Home::answering(
        "logout",
        json!({"user": "alice", "state": "logged_out", "ended": ["bob"], "unsent": 0, "confirmed": true}),
    );
    home.run(&["logout"]).is(0, "Logged out alice. Private session with bob ended.\n");
    home.run(&["--json", "logout", "--force"]).is(
        0,
        "{\"v\":1,\"type\":\"account\",\"user\":\"alice\",\"state\":\"logged_out\",\"ended\":[\"bob\"],\"unsent\":0,\"confirmed\":true}\n",
    );
    let home = Home::refusing(json!({"code": "unsent"}));
    assert_eq!(home.run(&["logout"]).code, 1);
    assert_eq!(home.run(&["logout", "--wipe"]).code, 12);
}

fn status(link: &str) -> Value {
    json!({"profile": "work", "user": "alice", "server": "chat.example.org", "device": "laptop", "link": link,
        "since_ms": 0, "unread": 3, "queued": 0, "failed": 0, "requests": 1, "server_version": "0.4.1", "problems": []})
}

#[test]
fn status_is_one_line_and_one_object() {
    let home = Home::answering("status", status("online"));
    let ran = home.run(&["status", "--check"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("alice@chat.example.org online ") && ran.out.lines().count() == 1, "{}", ran.out);
    assert!(
        ran.out.ends_with(
            " (laptop); 3 unread, 0 queued; 1 private request: chatctl requests; chatd 0.1.0, server 0.4.1\n"
        )
    );
    let object = home.run(&["--json", "status"]).json();
    assert_eq!((&object["account"]["user"], &object["link"]["state"]), (&json!("alice"), &json!("online")));
    assert_eq!((&object["daemon"]["pid"], &object["server"]["version"]), (&json!(42), &json!("0.4.1")));
    assert_eq!(Home::answering("status", status("logged_out")).run(&["status", "--check"]).code, 4);
    assert_eq!(Home::answering("status", status("waiting")).run(&["status", "--check"]).code, 5);
    assert_eq!(Home::answering("status", status("waiting")).run(&["status"]).code, 0);
    assert_eq!(Home::answering("status", status("waiting")).run(&["status", "--wait", "online"]).code, 9);
}

#[test]
fn status_sends_nobody_to_itself() {
    let mut waiting = status("waiting");
    waiting["cause"] = json!({"code": "server_unreachable", "subject": "connection refused"});
    waiting["problems"] = json!([{"code": "disk_full"}]);
    let ran = Home::answering("status", waiting).run(&["status"]);
    let said = "chatctl: the server cannot be reached. (connection refused)\n  next: chatctl doctor\n\
                chatctl: cannot write to disk: no space or no permission.\n  next: chatctl doctor\n";
    assert_eq!((ran.code, &*ran.err), (0, said));
}

#[test]
fn nobody_is_a_state_and_not_a_fault() {
    let home = Home::with(|method, _| match method {
        "profile_list" => Answer::Ok(json!({"items": []})),
        _ => Answer::Refuse(json!({"code": "unknown_profile", "subject": "default"})),
    });
    home.run(&["status"]).is(0, "not logged in; chatd 0.1.0\n");
    assert_eq!(home.run(&["status", "--check"]).code, 4);
    home.run(&["unread"]).is(0, "0\n");
    let ran = home.run(&["message", "bob", "hi"]);
    assert_eq!(ran.code, 4);
    assert_eq!(home.run(&["--profile", "nope", "whoelse"]).code, 6);
    // bare chatctl: the status and the everyday commands
    let bare = home.run(&[]);
    assert_eq!(bare.code, 0);
    assert!(bare.err.contains("chatctl message USER TEXT"));
}

#[test]
fn profiles_and_keys_are_listed() {
    let home = Home::with(|method, _| match method {
        "profile_list" => Answer::Ok(json!({"items": [profile("work", true), profile("ci", false)]})),
        "trust_list" => Answer::Ok(json!({"items": [
            {"kind": "server", "name": "chat.lan:7443", "fingerprint": FP, "since_ms": 0, "by": "pin"}]})),
        _ => Answer::HangUp,
    });
    home.run(&["profile", "list"])
        .is(0, "* work  alice@chat.example.org  online\n  ci  alice@chat.example.org  online\n");
    home.run(&["--plain", "profile", "list"])
        .is(0, "work\talice\tchat.example.org\tonline\tyes\nci\talice\tchat.example.org\tonline\tno\n");
    home.run(&["trust", "show", "chat.lan"])
        .is(0, &format!("chat.lan:7443  {FP}  by fingerprint, since Jan 1 1970 00:00\n"));
    assert_eq!(home.run(&["--json", "trust", "list"]).json()["items"][0]["by"], "pin");
    assert_eq!(home.run(&["trust", "show", "elsewhere"]).code, 6);
    assert_eq!(home.run(&["trust", "accept", "sha256:zz"]).code, 2);
}

#[test]
fn the_profile_is_the_one_named_or_the_default_or_the_only_one() {
    let home = |profiles: Value| {
        Home::with(move |method, _| match method {
            "profile_list" => Answer::Ok(json!({"items": profiles.clone()})),
            "unread" => Answer::Ok(json!({"total": 0, "people": [], "requests": 0})),
            _ => Answer::Ok(account()),
        })
    };
    let used = |profiles: Value, args: &[&str]| {
        let home = home(profiles);
        let code = home.run(args).code;
        (code, home.calls().first().map(|(_, params)| params["profile"].clone()).unwrap_or_default())
    };
    let two = || json!([profile("alice", false), profile("bob", true)]);
    assert_eq!(used(two(), &["unread"]), (0, json!("bob")));
    assert_eq!(used(two(), &["--profile", "alice", "unread"]), (0, json!("alice")));
    assert_eq!(used(json!([profile("alice", false)]), &["unread"]), (0, json!("alice")));
    assert_eq!(used(json!([profile("alice", false), profile("bob", false)]), &["unread"]), (6, Value::Null));
    // a new account never takes a profile that was not meant
    assert_eq!(used(json!([profile("alice", false)]), &["login", "bob", "--server", "h"]), (0, json!("default")));
    assert_eq!(used(json!([profile("alice", false)]), &["login"]), (0, json!("alice")));
}

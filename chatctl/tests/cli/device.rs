//! device list, device revoke, passwd.

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home};

fn device(id: &str, name: &str, online: bool, own: bool) -> Value {
    let seen = if own { Value::Null } else { json!(AT) };
    json!({"id": format!("{id:0<32}"), "name": name, "since_ms": AT, "seen_ms": seen, "online": online, "own": own})
}

fn two() -> Value {
    json!({"items": [device("ab12cd34", "laptop", true, true), device("cd56", "old\u{1b}phone", false, false)]})
}

#[test]
fn devices_are_listed_in_three_forms() {
    let home = Home::answering("device_list", two());
    home.run(&["device", "list", "--time", "%H:%M"]).is(
        0,
        "ab12cd34  laptop        since 14:02  online  (this device)\n\
         cd560000  old\\x1bphone  since 14:02  last seen 14:02\n",
    );
    let object = home.run(&["--json", "device", "list"]).json();
    assert_eq!((&object["type"], object["items"].as_array().map(Vec::len)), (&json!("devices"), Some(2)));
    assert_eq!((&object["items"][0]["last_seen"], &object["items"][0]["own"]), (&Value::Null, &json!(true)));
    assert_eq!(object["items"][1]["last_seen"], "2026-11-22T14:02:11.120Z");
    let plain = home.run(&["--plain", "device", "list"]);
    assert!(plain.out.starts_with(&format!("{:0<32}\tlaptop\t", "ab12cd34")), "{}", plain.out);
}

#[test]
fn revoking_says_what_follows() {
    let home = Home::answering("device_revoke", device("cd56", "phone", false, false));
    home.run(&["device", "revoke", "cd5"])
        .is(0, "Device phone (cd560000) is revoked; it needs the password to come back.\n");
    assert_eq!(home.calls()[0].1["device"], "cd5");
    let object = home.run(&["--json", "device", "revoke", "cd5"]).json();
    assert_eq!((&object["type"], &object["revoked"]), (&json!("device"), &json!(true)));
    let own = Home::answering("device_revoke", device("ab12", "", true, true)).run(&["device", "revoke", "ab"]);
    assert!(own.out.starts_with("Device (no name) (ab120000) is revoked. It is this one, so you are logged out:"));
    Home::refusing(json!({"code": "unknown_device", "subject": "x\u{1b}"}))
        .run(&["device", "revoke", "x\u{1b}"])
        .complains(6, "chatctl: no device has the id or name x\\x1b, or several do.\n  next: chatctl device list\n");
}

/// Answers `passwd` and says who else there is.
fn account(others: usize) -> Home {
    Home::with(move |method, params| match method {
        "device_list" if others == 0 => Answer::Ok(json!({"items": [device("ab", "laptop", true, true)]})),
        "device_list" => Answer::Ok(two()),
        _ if params["old"] != "old one" => Answer::Refuse(json!({"code": "wrong_credentials"})),
        _ => {
            let revoked = if params["revoke_others"] == true { others } else { 0 };
            Answer::Ok(json!({"user": "alice", "revoked": revoked}))
        }
    })
}

#[test]
fn passwords_come_from_stdin_or_files() {
    let home = account(1);
    home.pipe(&["passwd", "--password-stdin", "--keep-others"], b"old one\n new one \n")
        .is(0, "Password of alice changed. 1 other device stays logged in: chatctl device list\n");
    let asked = home.calls().into_iter().find(|(method, _)| method == "passwd").map(|(_, params)| params);
    let asked = asked.expect("passwd was called");
    assert_eq!((&asked["new"], &asked["revoke_others"]), (&json!(" new one "), &json!(false)));
    let path = |name: &str, content: &[u8]| home.file(name, content).display().to_string();
    let (old, new) = (path("old", b"old one\n"), path("new", b"new\n"));
    let files = ["--old-password-file", &old, "--new-password-file", &new];
    home.run(&[&["passwd", "--revoke-others"], &files[..]].concat())
        .is(0, "Password of alice changed. 1 other device logged out.\n");
    home.run(&[&["--json", "passwd", "--yes"], &files[..]].concat())
        .is(0, "{\"v\":1,\"type\":\"passwd\",\"user\":\"alice\",\"revoked\":1}\n");
    let wrong = ["passwd", "--keep-others", "--old-password-file", &new, "--new-password-file", &new];
    home.run(&wrong).complains(7, "chatctl: the old password is wrong; nothing was changed.\n  next: chatctl passwd\n");
    home.pipe(&["passwd", "--password-stdin"], b"only one line").complains(
        2,
        "chatctl: stdin must hold two lines: the old password and the new one.\n  next: chatctl help passwd\n",
    );
    for half in [&["passwd", "--old-password-file", &old][..], &["passwd", "--keep-others", "--revoke-others"]] {
        assert_eq!(home.run(half).code, 2, "{half:?}");
    }
}

#[test]
fn nobody_is_asked_where_nobody_can_answer() {
    let home = account(1);
    let asked = home.run(&["passwd"]);
    assert_eq!(asked.code, 12, "{asked:?}");
    assert!(asked.err.contains("--old-password-file F --new-password-file F or --password-stdin"), "{}", asked.err);
    let asked = home.pipe(&["passwd", "--password-stdin"], b"old one\nnew\n");
    assert_eq!(asked.code, 12, "{asked:?}");
    assert!(asked.err.contains("--revoke-others or --keep-others"), "{}", asked.err);
    // Where there is no other device there is nothing to ask.
    account(0).pipe(&["passwd", "--password-stdin"], b"old one\nnew\n").is(0, "Password of alice changed.\n");
}

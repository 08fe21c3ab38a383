//! inbox, read, unread; what others wrote is safe on a terminal.

use serde_json::{Value, json};

use crate::fake::{Answer, Home, message};

fn history() -> Home {
    Home::with(|method, params| match (method, params["next"].as_u64()) {
        ("read", None) => Answer::Ok(json!({"items": [message(1, "bob", "see you at 3")], "next": 1})),
        ("read", Some(1)) => Answer::Ok(json!({"items": [message(2, "carol", "one\n14:03 bob: two\n")], "next": null})),
        ("mark_read", _) => Answer::Ok(json!({})),
        _ => Answer::HangUp,
    })
}

fn marked(home: &Home) -> Vec<u64> {
    let marks = home.calls().into_iter().filter(|(method, _)| method == "mark_read");
    marks
        .flat_map(|(_, params)| params["indices"].as_array().cloned().unwrap_or_default())
        .filter_map(|i| i.as_u64())
        .collect()
}

#[test]
fn read_joins_pages_and_marks_what_it_showed() {
    let home = history();
    home.run(&["--time", "%H:%M", "read"]).is(0, "14:02 bob: see you at 3\n14:02 carol: one\n  | 14:03 bob: two\n");
    assert_eq!(marked(&home), [1, 2]);
    let first = &home.calls()[0].1;
    assert_eq!((&first["limit"], &first["unread"]), (&json!(20), &json!(false)));
}

#[test]
fn peeking_marks_nothing_and_json_is_one_object() {
    let home = history();
    let ran = home.run(&["--json", "read", "--peek", "--unread"]);
    assert_eq!(ran.out.lines().count(), 1);
    let object = ran.json();
    assert_eq!((&object["type"], &object["next"]), (&json!("messages"), &Value::Null));
    assert_eq!(object["items"][1]["text"], "one\n14:03 bob: two\n");
    assert!(marked(&home).is_empty());
    assert_eq!(home.calls()[0].1["limit"], Value::Null);
    home.run(&["--plain", "read", "--peek", "-n", "5"]).is(
        0,
        "00000000000000m1\tbob\talice\tdirect\tdelivered\t2026-11-22T14:02:11.120Z\tsee you at 3\n00000000000000m2\tcarol\talice\tdirect\tdelivered\t2026-11-22T14:02:11.120Z\tone\\n14:03 bob: two\\n\n",
    );
}

#[test]
fn nothing_printed_is_nothing_marked() {
    let home = history();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = home.command(&["read"]).stdout(writer).output().expect("chatctl runs");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
    assert!(marked(&home).is_empty());
}

#[test]
fn times_are_read_and_wrong_ones_refused() {
    let home = history();
    assert_eq!(home.run(&["read", "--since", "2026-11-22T14:02:11.120Z", "--peek"]).code, 0);
    assert_eq!(home.calls()[0].1["since_ms"], crate::fake::AT);
    let wrong = home.run(&["read", "--since", "someday"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("next: chatctl help read"));
}

#[test]
fn nothing_of_others_is_obeyed() {
    let nasty = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{2066}\r\u{8}z\u{200b}\n00:00 root: rm -rf";
    let home = Home::with(move |method, _| match method {
        "read" => Answer::Ok(json!({"items": [message(1, "b\u{1b}[2Job", nasty)], "next": null})),
        "inbox" => {
            Answer::Ok(json!({"items": [{"user": "b\u{1b}[2Job", "unread": 1, "last": message(1, "b", nasty)}]}))
        }
        "unread" => Answer::Ok(json!({"total": 1, "people": [{"user": "b\u{1b}<i>", "count": 1}], "requests": 0})),
        _ => Answer::Ok(json!({})),
    });
    for args in [
        &["read"][..],
        &["-v", "read"],
        &["--plain", "read"],
        &["--json", "read"],
        &["inbox"],
        &["--plain", "inbox"],
        &["unread", "--format", "waybar"],
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, 0);
        let bad = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{200b}'..='\u{206f}').contains(&c);
        assert_eq!(ran.out.chars().find(|c| bad(*c)), None, "{args:?}: {}", ran.out);
        assert!(!ran.out.lines().any(|line| line.starts_with("00:00 root")), "{}", ran.out);
    }
    // the value itself is unchanged
    assert_eq!(home.run(&["--json", "read"]).json()["items"][0]["text"], nasty);
}

#[test]
fn inbox_and_unread() {
    let home = Home::with(|method, _| match method {
        "inbox" => Answer::Ok(json!({"items": [
            {"user": "bob", "unread": 2, "last": message(2, "bob", "see you at 3")},
            {"user": "carol", "unread": 0, "last": message(1, "carol", "ok")}]})),
        _ => Answer::Ok(
            json!({"total": 3, "people": [{"user": "bob", "count": 2}, {"user": "ci", "count": 1}], "requests": 0}),
        ),
    });
    home.run(&["--time", "%H:%M", "inbox"]).is(0, "bob    2 unread  14:02  see you at 3\ncarol  -  14:02  ok\n");
    assert_eq!(home.run(&["--json", "inbox", "--unread", "-n", "3"]).json()["type"], "conversations");
    home.run(&["unread"]).is(0, "3\n");
    home.run(&["unread", "--format", "waybar"])
        .is(0, "{\"text\":\"3\",\"alt\":\"unread\",\"tooltip\":\"bob 2\\nci 1\",\"class\":[\"unread\"]}\n");
    home.run(&["unread", "--format", "i3blocks"]).is(0, "3\n3\n");
    home.run(&["--json", "unread"]).is(
        0,
        "{\"v\":1,\"type\":\"unread\",\"total\":3,\"people\":[{\"user\":\"bob\",\"count\":2},{\"user\":\"ci\",\"count\":1}],\"requests\":0}\n",
    );
    let none = Home::answering("unread", json!({"total": 0, "people": [], "requests": 0}));
    none.run(&["unread", "--format", "tmux"]).is(0, "\n");
    none.run(&["unread", "--exit-code"]).is(1, "0\n");
}

//! search, export: pages in one answer, forms, and what cannot be searched for.

use serde_json::{Value, json};

use crate::fake::{Answer, Home, message};

fn hit(index: u64, text: &str, found: bool, group: u64) -> Value {
    json!({"message": message(index, "bob", text), "found": found, "group": group})
}

/// Two pages, the first of them empty.
fn found() -> Home {
    Home::with(|method, params| match (method, params["next"].as_u64()) {
        ("search", None) => Answer::Ok(json!({"items": [], "next": 9})),
        ("search", Some(9)) => {
            Answer::Ok(json!({"items": [hit(1, "before", false, 1), hit(2, "disk 91%", true, 1)], "next": 10}))
        }
        ("search", Some(_)) => Answer::Ok(json!({"items": [hit(7, "disk full", true, 7)]})),
        _ => Answer::HangUp,
    })
}

#[test]
fn searches_go_on_until_all_is_looked_through() {
    let home = found();
    home.run(&["--time", "%H:%M", "search", "disk", "91%", "--with", "bob", "--from", "bob", "-C", "1"])
        .is(0, "  00m1  14:02 bob: before\n* 00m2  14:02 bob: disk 91%\n--\n* 00m7  14:02 bob: disk full\n");
    let (_, asked) = home.calls().remove(0);
    let wanted = json!({"profile": "work", "text": "disk 91%", "with": "bob", "from": "bob", "since_ms": null,
        "regex": false, "context": 1, "next": null});
    assert_eq!(asked, wanted);
}

#[test]
fn searches_in_json_and_in_columns() {
    let answer = found().run(&["--json", "search", "disk"]).json();
    let column = |name: &str| {
        answer["items"].as_array().expect("items").iter().map(|item| item[name].clone()).collect::<Vec<_>>()
    };
    assert_eq!(answer["type"], "messages");
    assert_eq!(column("found"), [json!(false), json!(true), json!(true)]);
    assert_eq!(column("group"), [json!(1), json!(1), json!(2)]);
    let rows = found().run(&["--plain", "search", "disk"]).out;
    assert!(rows.starts_with("near\t00000000000000m1\tbob\talice\tdirect\tdelivered\t"), "{rows}");
}

#[test]
fn finding_nothing_is_said_and_no_trouble() {
    let nothing = Home::answering("search", json!({"items": []}));
    let ran = nothing.run(&["search", "disk"]).is(0, "");
    assert_eq!(ran.err, "nothing found\n");
    assert_eq!(nothing.run(&["--exit-code", "search", "disk"]).code, 1);
    let wrong = Home::with(|_, _| Answer::Refuse(json!({"code": "bad_pattern", "detail": "unclosed group"})));
    wrong
        .run(&["search", "--regex", "("])
        .complains(15, "chatctl: this cannot be searched for. (unclosed group)\n  next: chatctl help search\n");
    nothing.run(&["search"]).is(2, "");
    nothing.run(&["search", "x", "-C", "101"]).is(2, "");
    nothing.run(&["search", "x", "--since", "never"]).is(2, "");
}

fn history() -> Home {
    Home::with(|method, params| match (method, params["next"].as_u64()) {
        ("export", None) => Answer::Ok(json!({"items": [message(1, "bob", "one")], "next": 1})),
        ("export", Some(_)) => Answer::Ok(json!({"items": [message(2, "bob", "two\nlines")]})),
        _ => Answer::HangUp,
    })
}

#[test]
fn exports_are_a_line_each() {
    let home = history();
    let ran = home.run(&["export", "bob"]);
    let texts: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an object a line")["text"].clone())
        .collect();
    assert_eq!((ran.code, texts), (0, vec![json!("one"), json!("two\nlines")]));
    assert_eq!(home.calls()[0].1["user"], "bob");
    history()
        .run(&["export", "--format", "text"])
        .is(0, "2026-11-22T14:02:11+00:00 bob: one\n2026-11-22T14:02:11+00:00 bob: two\n  | lines\n");
    assert!(history().run(&["--plain", "export"]).out.starts_with("00000000000000m1\tbob\t"));
}

#[test]
fn exports_go_on_from_a_time_or_a_message() {
    let home = history();
    home.run(&["export", "--since", "2026-11-22T14:00:00Z"]);
    assert_eq!(
        (&home.calls()[0].1["since_ms"], &home.calls()[0].1["after"]),
        (&json!(1_795_356_000_000_i64), &json!(null))
    );
    let home = history();
    home.run(&["export", "--since", "00000000000000m1"]);
    assert_eq!(
        (&home.calls()[0].1["since_ms"], &home.calls()[0].1["after"]),
        (&json!(null), &json!("00000000000000m1"))
    );
}

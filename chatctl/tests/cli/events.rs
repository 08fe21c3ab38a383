//! watch: forms, ends, and resumption where it stopped.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home, message};

fn event(index: u64, text: &str) -> Value {
    let mut event = message(index, "bob", text);
    event["type"] = json!("message");
    event
}

fn events() -> Vec<Value> {
    vec![
        json!({"type": "presence", "user": "bob", "state": "online", "reason": "login", "at_ms": AT}),
        event(5, "hi"),
        json!({"type": "a_kind_of_next_year", "at_ms": AT}),
        json!({"type": "receipt", "id": "00000000000000m9", "to": "bob", "state": "delivered", "at_ms": AT}),
        json!({"type": "presence", "user": "bob", "state": "offline", "reason": "logout", "at_ms": AT}),
    ]
}

#[test]
fn events_in_words() {
    let home = Home::with(|_, _| Answer::Events(json!({"index": 4}), events()));
    home.run(&["--time", "%H:%M", "watch", "--count", "4"])
        .is(0, "14:02 * bob logged in\n14:02 bob: hi\n14:02 * 00m9 to bob: delivered\n14:02 * bob logged out\n");
}

#[test]
fn events_in_json_are_one_a_line() {
    let home = Home::with(|_, _| Answer::Events(json!({"index": 4}), events()));
    let ran = home.run(&["--json", "watch", "--only", "message,presence", "--from", "bob", "--count", "2"]);
    let first =
        r#"{"v":1,"type":"presence","user":"bob","state":"online","reason":"login","at":"2026-11-22T14:02:11.120Z"}"#;
    assert_eq!((ran.code, ran.out.lines().count(), ran.out.lines().next()), (0, 2, Some(first)));
    let call = home.call("watch");
    assert_eq!((&call["only"], &call["from"]), (&json!(["message", "presence"]), &json!("bob")));
}

#[test]
fn a_follower_goes_on_where_it_stopped() {
    let round = AtomicUsize::new(0);
    let home = Home::with(move |method, params| match method {
        "watch" if round.fetch_add(1, Ordering::Relaxed) == 0 => {
            Answer::Events(json!({"index": 4}), vec![event(5, "one")])
        }
        "watch" => {
            assert_eq!(params["after_index"], 5);
            Answer::Events(json!({"index": 6}), vec![event(6, "two")])
        }
        _ => Answer::HangUp,
    });
    home.run(&["-q", "--time", "%H:%M", "watch", "--count", "2"]).is(0, "14:02 bob: one\n14:02 bob: two\n");
}

#[test]
fn ends_have_their_exits() {
    let home = Home::with(|_, _| Answer::Events(json!({"index": 4}), vec![event(5, "one")]));
    assert_eq!(home.run(&["watch", "--no-reconnect"]).code, 3);
    let quiet = Home::answering("watch", json!({"index": 4}));
    quiet.run(&["watch", "--for", "20ms"]).is(0, "");
    assert_eq!(quiet.run(&["watch", "--for", "20ms", "--count", "1"]).code, 9);
    let beats = quiet.run(&["--json", "watch", "--for", "100ms", "--heartbeat", "20ms"]);
    assert!(beats.code == 0 && beats.out.starts_with(r#"{"v":1,"type":"heartbeat","at":""#), "{}", beats.out);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let home = Home::with(|_, _| Answer::Events(json!({"index": 4}), events()));
    let ended = home.command(&["watch"]).stdout(writer).output().expect("chatctl runs");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

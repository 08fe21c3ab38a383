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
    let beats = quiet.run(&["--json", "watch", "--for", "2s", "--heartbeat", "100ms"]);
    assert!(beats.code == 0 && beats.out.starts_with(r#"{"v":1,"type":"heartbeat","at":""#), "{}", beats.out);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let home = Home::with(|_, _| Answer::Events(json!({"index": 4}), events()));
    let ended = home.command(&["watch"]).stdout(writer).output().expect("chatctl runs");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

fn cursor(id: u64, waiting: u64) -> Value {
    json!({"name": "triage", "index": id, "id": format!("00000000000000m{id}"), "at_ms": AT, "waiting": waiting})
}

fn acked(params: &Value) -> Answer {
    let id = params["id"].as_str().and_then(|id| id.rsplit('m').next()?.parse().ok()).expect("an id of this test");
    let mut cursor = cursor(id, 0);
    cursor["changed"] = json!(true);
    Answer::Ok(cursor)
}

#[test]
fn a_cursor_goes_on_behind_what_was_got_and_not_behind_what_was_acknowledged() {
    let round = AtomicUsize::new(0);
    let home = Home::with(move |method, params| match method {
        "watch" if round.fetch_add(1, Ordering::Relaxed) == 0 => {
            assert_eq!((&params["cursor"], &params["after_index"]), (&json!("triage"), &json!(null)));
            Answer::Events(json!({"index": 9, "after": 4}), vec![])
        }
        "watch" => {
            // nothing came yet: from the cursor's place, not from the newest
            assert_eq!((&params["cursor"], &params["after_index"]), (&json!("triage"), &json!(4)));
            Answer::Events(json!({"index": 9, "after": 4}), vec![event(5, "one")])
        }
        _ => Answer::HangUp,
    });
    home.run(&["-q", "--time", "%H:%M", "watch", "--cursor", "triage", "--count", "1"]).is(0, "14:02 bob: one\n");
}

#[test]
fn auto_ack_follows_what_was_written() {
    let home = Home::with(|method, params| match method {
        "watch" => Answer::Stream(json!({"index": 9, "after": 4}), vec![event(5, "one"), event(6, "two")]),
        "ack" => acked(params),
        _ => Answer::HangUp,
    });
    home.run(&["-q", "--time", "%H:%M", "watch", "--cursor", "triage", "--auto-ack", "--count", "2"])
        .is(0, "14:02 bob: one\n14:02 bob: two\n");
    // Both at once, or one after the other when the second came late.
    let acks: Vec<_> = home.calls().into_iter().filter(|(method, _)| method == "ack").map(|(_, ack)| ack).collect();
    let last = acks.last().expect("acknowledged");
    assert_eq!((&last["cursor"], &last["id"]), (&json!("triage"), &json!("00000000000000m6")));
    home.run(&["watch", "--auto-ack"]).is(2, "");
    home.run(&["watch", "--cursor", "a b"]).is(2, "");
}

/// The programs are lines for sh.
#[cfg(unix)]
#[test]
fn a_program_handles_events_and_its_exit_acknowledges() {
    let home = Home::with(|method, params| match method {
        "watch" => Answer::Stream(json!({"index": 9, "after": 4}), vec![event(5, "one"), event(6, "two")]),
        "ack" => acked(params),
        _ => Answer::HangUp,
    });
    let script = r#"read l; echo "$CHAT_EVENT $CHAT_FROM $CHAT_ID $CHAT_PROFILE"; test "$CHAT_ID" = 00000000000000m5"#;
    let ran = home.run(&["watch", "--cursor", "triage", "--exec", "sh", "-c", script]);
    assert_eq!((ran.code, ran.out.lines().count()), (1, 2), "{ran:?}");
    assert!(ran.out.starts_with("message bob 00000000000000m5 work\n"), "{}", ran.out);
    let said = "chatctl: sh failed (exit 1) on 00m6; it is not acknowledged and comes first when cursor triage is watched again. \
                To pass it over: chatctl ack triage 00m6\n  next: chatctl show 00m6\n";
    assert!(ran.err.ends_with(said), "{}", ran.err);
    assert_eq!(home.call("ack")["id"], "00000000000000m5");
    // one that is not there is no failure of the message
    let ran = home.run(&["watch", "--cursor", "triage", "--exec", "/no/such/program"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

/// The programs are lines for sh.
#[cfg(unix)]
#[test]
fn without_a_cursor_a_failed_program_ends_nothing() {
    let home = Home::with(|_, _| Answer::Events(json!({"index": 4}), vec![event(5, "one"), event(6, "two")]));
    let ran = home.run(&["watch", "--count", "2", "--exec", "sh", "-c", "cat; exit 7"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{ran:?}");
    assert!(ran.out.starts_with(r#"{"v":1,"type":"message","id":"00000000000000m5""#), "{}", ran.out);
    assert!(ran.err.contains("chatctl: sh failed (exit 7); going on"), "{}", ran.err);
}

#[test]
fn gaps_are_named_by_their_ends() {
    let gap = json!({"type": "gap", "index": 6, "from": "00000000000000m5", "to": "00000000000000m6", "count": 3, "at_ms": AT});
    let home = Home::with(move |_, _| Answer::Events(json!({"index": 4}), vec![gap.clone()]));
    home.run(&["--json", "watch", "--count", "1"]).is(
        0,
        "{\"v\":1,\"type\":\"gap\",\"id\":\"00000000000000m6\",\"from\":\"00000000000000m5\",\"to\":\"00000000000000m6\",\"count\":3,\"at\":\"2026-11-22T14:02:11.120Z\"}\n",
    );
}

#[test]
fn cursors_are_acknowledged_listed_and_forgotten() {
    let home = Home::with(|method, params| match method {
        "ack" if params["id"] == "old" => {
            let mut cursor = cursor(5, 1);
            cursor["changed"] = json!(false);
            Answer::Ok(cursor)
        }
        "ack" if params["cursor"] == "other" => Answer::Refuse(json!({"code": "unknown_cursor", "subject": "other"})),
        "ack" => acked(params),
        "cursor_list" => Answer::Ok(json!({"items": [cursor(5, 2)]})),
        "cursor_remove" => Answer::Ok(json!({})),
        _ => Answer::HangUp,
    });
    home.run(&["ack", "triage", "m6"]).is(0, "Cursor triage is at 00m6; nothing waits.\n");
    home.run(&["ack", "triage", "old"]).is(0, "Cursor triage was at 00m5 already and stays there; 1 message waits.\n");
    assert_eq!(home.run(&["--exit-code", "ack", "triage", "old"]).code, 1);
    home.run(&["ack", "other", "m6"])
        .complains(6, "chatctl: there is no cursor other; watch --cursor makes one.\n  next: chatctl cursor list\n");
    home.run(&["--time", "%H:%M", "cursor", "list"]).is(0, "triage  at 00m5 since 14:02  2 messages wait\n");
    home.run(&["--plain", "cursor", "list"]).is(0, "triage\t00000000000000m5\t2026-11-22T14:02:11.120Z\t2\n");
    let listed = home.run(&["--json", "cursor", "list"]).json();
    assert_eq!((&listed["type"], &listed["items"][0]["waiting"]), (&json!("cursors"), &json!(2)));
    home.run(&["cursor", "remove", "triage"]).is(0, "Cursor triage is forgotten.\n");
    home.run(&["-q", "cursor", "remove", "triage"]).is(0, "");
}

//! rpc, call: the control protocol through chatctl.

use serde_json::{Value, json};

use crate::fake::{Answer, Home, sent};

#[test]
fn requests_and_answers_pass() {
    let home = Home::with(|method, _| match method {
        "unread" => Answer::Ok(json!({"total": 3, "people": [], "requests": 0})),
        "watch" => Answer::Stream(json!({"index": 4}), vec![json!({"type": "unread", "at_ms": 5})]),
        _ => Answer::Refuse(json!({"code": "unknown_user"})),
    });
    let asked = concat!(
        r#"{"jsonrpc":"2.0","id":3,"method":"watch"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":"a","method":"unread"}"#,
        "\n\n",
        r#"{"jsonrpc":"2.0","id":2,"method":"block","params":{"user":"bob","profile":"other"}}"#,
        "\n",
        "no json\n",
    );
    let ran = home.pipe(&["rpc"], asked.as_bytes());
    let mut said: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((ran.code, said.len()), (0, 5), "{ran:?}");
    // what is no JSON is answered here, whenever that is
    let at = said.iter().position(|line| line["error"]["code"] == -32700).expect("a parse error");
    said.remove(at);
    assert_eq!((&said[2]["id"], &said[2]["result"]["total"]), (&json!("a"), &json!(3)));
    assert_eq!((&said[3]["id"], &said[3]["error"]["data"]["code"]), (&json!(2), &json!("unknown_user")));
    assert_eq!((&said[0]["id"], &said[1]["params"]["type"]), (&json!(3), &json!("unread")));
    let call = home.call("unread");
    assert_eq!((&call["profile"], &call["timeout_ms"]), (&json!("work"), &json!(10_000)));
    assert_eq!(home.call("block")["profile"], "other");
}

#[test]
fn a_chatd_that_goes_is_3() {
    let home = Home::with(|_, _| Answer::HangUp);
    let (reader, _kept) = std::io::pipe().expect("a pipe");
    let mut command = home.command(&["rpc"]);
    use std::io::Write;
    (&_kept).write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"unread\"}\n").expect("written");
    let ended = command.stdin(reader).output().expect("chatctl runs");
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
}

#[test]
fn a_call_is_named_as_the_command_and_its_flags() {
    let home = Home::with(|method, _| match method {
        "message" => Answer::Ok(sent("accepted")),
        "export" | "search" => Answer::Ok(json!({"items": []})),
        _ => Answer::HangUp,
    });
    let ran = home.run(&["call", "message", r#"{"user": "bob", "text": "hi", "id": "k1"}"#]);
    assert_eq!((ran.code, &ran.json()["state"]), (0, &json!("accepted")));
    let call = home.call("message");
    assert_eq!(
        (&call["to"], &call["key"], &call["wait"], &call["profile"]),
        (&json!("bob"), &json!("k1"), &json!("accepted"), &json!("work"))
    );
    home.run(&["call", "export", r#"{"since": "2026-11-22T14:00:00Z"}"#]);
    assert_eq!(home.call("export")["since_ms"], 1_795_356_000_000_i64);
    assert_eq!(home.pipe(&["call", "search", "-"], br#"{"text": "x"}"#).code, 0);
    assert_eq!(home.call("search")["text"], "x");
    home.run(&["--timeout", "3s", "call", "status", r#"{"wait": "online"}"#]);
    let waits = home.call("status")["wait_online_ms"].as_u64().expect("a wait");
    assert!((1..=3000).contains(&waits), "{waits}");
}

#[test]
fn a_call_ends_as_the_command_does() {
    let refused = Home::with(|_, _| Answer::Refuse(json!({"code": "unknown_user", "subject": "bob"})));
    let ran = refused.run(&["call", "block", r#"{"user": "bob"}"#]).is(6, "");
    assert_eq!(ran.error()["code"], "unknown_user");
    let mut waits = sent("queued");
    waits["pending"] = json!("unreachable");
    assert_eq!(Home::answering("message", waits).run(&["call", "message", r#"{"user": "bob", "text": "hi"}"#]).code, 5);
    let home = Home::empty();
    assert_eq!(home.run(&["call", "no_such_method"]).error()["code"], "unknown_method");
    assert_eq!(home.run(&["call", "unread"]).code, 3);
    let home = Home::answering("unread", json!({}));
    assert_eq!(home.run(&["call", "unread", "[1]"]).error()["code"], "bad_params");
}

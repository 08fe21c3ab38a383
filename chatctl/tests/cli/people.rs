//! whoelse, whoelsesince, block, unblock, blocked.

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home};

fn person(user: &str, online: bool) -> Value {
    json!({"user": user, "online": online, "since_ms": AT, "last_seen_ms": if online { Value::Null } else { json!(AT) }, "away": false})
}

#[test]
fn names_one_a_line_over_pages() {
    let home = Home::with(|_, params| match params["after"].as_str() {
        None => Answer::Ok(json!({"items": [person("bob", true)], "more": true})),
        Some("bob") => Answer::Ok(json!({"items": [person("carol", true)], "more": false})),
        Some(_) => Answer::HangUp,
    });
    home.run(&["whoelse"]).is(0, "bob\ncarol\n");
    home.run(&["whoelse", "-v", "--time", "%H:%M"]).is(0, "bob  online since 14:02\ncarol  online since 14:02\n");
    let object = home.run(&["--json", "whoelse"]).json();
    assert_eq!((&object["type"], &object["items"][1]["user"]), (&json!("people"), &json!("carol")));
    home.run(&["--plain", "whoelse"])
        .is(0, "bob\tyes\t2026-11-22T14:02:11.120Z\t\tno\ncarol\tyes\t2026-11-22T14:02:11.120Z\t\tno\n");
}

#[test]
fn whoelsesince_takes_seconds_and_lengths() {
    let home = Home::answering("whoelsesince", json!({"items": [person("bob", false)], "more": false}));
    home.run(&["whoelsesince", "200"]).is(0, "bob\n");
    home.run(&["whoelsesince", "15m"]).is(0, "bob\n");
    let seconds: Vec<_> = home.calls().into_iter().map(|(_, params)| params["seconds"].clone()).collect();
    assert_eq!(seconds, [json!(200), json!(900)]);
    for wrong in ["-5", "soon", "", "1.5"] {
        assert_eq!(home.run(&["whoelsesince", wrong]).code, 2, "{wrong}");
    }
}

#[test]
fn an_empty_list_is_a_no_where_asked() {
    let home = Home::answering("whoelse", json!({"items": [], "more": false}));
    home.run(&["whoelse"]).is(0, "");
    home.run(&["whoelse", "bob", "--exit-code"]).is(1, "");
}

#[test]
fn blocks() {
    let reply =
        |blocked, changed| json!({"user": "bob", "blocked": blocked, "changed": changed, "private_session": blocked});
    let home = Home::answering("block", reply(true, true));
    home.run(&["block", "bob"]).is(0, "bob is blocked and is not told now; a message from bob will be refused. Your private session with bob stays open: chatctl stopprivate bob\n");
    home.run(&["--json", "block", "bob"]).is(
        0,
        "{\"v\":1,\"type\":\"block\",\"user\":\"bob\",\"blocked\":true,\"changed\":true,\"private_session\":true}\n",
    );
    Home::answering("unblock", reply(false, true)).run(&["unblock", "bob"]).is(0, "bob is no longer blocked.\n");
    let home = Home::answering("blocked", json!({"items": ["bob", "eve"]}));
    home.run(&["blocked"]).is(0, "bob\neve\n");
    assert_eq!(home.run(&["--json", "blocked"]).json()["items"][1]["user"], "eve");
    let home = Home::refusing(json!({"code": "not_blocked", "subject": "bob"}));
    home.run(&["unblock", "bob"]).complains(6, "chatctl: bob was not blocked.\n  next: chatctl blocked\n");
}

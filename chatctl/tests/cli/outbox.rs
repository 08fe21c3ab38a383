//! outbox: cancel and retry in their outcomes.

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home, sent};

fn own(state: &str, code: Option<&str>) -> Value {
    json!({"index": 3, "id": "01k9zt000000m7k2", "from": "alice", "to": "bob", "kind": "direct", "text": "hi", "code": code,
        "content_type": "text/plain", "at_ms": AT, "state": state, "own": true})
}

#[test]
fn cancelling_says_what_became_of_it() {
    let done = Home::answering("outbox_cancel", json!({"message": own("failed", Some("cancelled"))}));
    done.run(&["outbox", "cancel", "m7k2"]).is(0, "Cancelled m7k2 to bob; it was not sent and will not be.\n");
    let object = done.run(&["--json", "outbox", "cancel", "m7k2"]).json();
    assert_eq!((&object["state"], &object["code"]), (&json!("failed"), &json!("cancelled")));
    let open = Home::answering(
        "outbox_cancel",
        json!({"message": own("queued", Some("cancelled")), "pending": "unreachable"}),
    );
    open.run(&["outbox", "cancel", "m7k2"]).complains(
        5,
        "chatctl: m7k2 to bob is given up, but the server may have had it before: the server cannot be reached. It tells when it can.\n  next: chatctl show m7k2\n",
    );
    let late = Home::with(|_, _| Answer::Refuse(json!({"code": "too_late", "message": sent("delivered")})));
    late.run(&["outbox", "cancel", "m7k2"]).complains(
        1,
        "chatctl: it is too late: m7k2 is delivered already; nothing was changed.\n  next: chatctl outbox\n",
    );
}

#[test]
fn retrying_all_says_what_went() {
    let went = Home::answering("outbox_retry", json!({"went": 2, "waiting": 0}));
    went.run(&["outbox", "retry"]).is(0, "2 messages that waited have their answers from the server.\n");
    assert_eq!(went.run(&["--json", "outbox", "retry"]).json()["went"], 2);
    Home::answering("outbox_retry", json!({"went": 0, "waiting": 0}))
        .run(&["outbox", "retry"])
        .is(0, "Nothing waits to be sent.\n");
    Home::answering("outbox_retry", json!({"went": 0, "waiting": 2, "pending": "unreachable"}))
        .run(&["outbox", "retry"])
        .complains(
            5,
            "chatctl: 2 messages wait: the server cannot be reached; they go out as soon as that changes.\n  next: chatctl status\n",
        );
}

#[test]
fn retrying_one_says_whether_it_is_a_new_message() {
    let same = Home::answering("outbox_retry", json!({"went": 0, "waiting": 0, "sent": sent("delivered")}));
    same.run(&["outbox", "retry", "m7k2"]).is(0, "Sent to bob (m7k2, delivered).\n");
    let answer = json!({"went": 0, "waiting": 0, "sent": sent("delivered"), "replaces": "01k9zt000000aaaa"});
    let new = Home::answering("outbox_retry", answer);
    new.run(&["outbox", "retry", "aaaa"])
        .is(0, "Sent to bob (m7k2, delivered). It is a new message in the place of aaaa.\n");
    assert_eq!(new.run(&["--json", "outbox", "retry", "aaaa"]).json()["replaces"], "01k9zt000000aaaa");
    assert_eq!(new.call_count("outbox_retry"), 2);
}

//! startprivate, requests, accept, decline, private, stopprivate, sessions: words, objects, columns, exits.

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home, sent};

/// 41 07 88 and so on.
const KEY: &str = "sha256:4107880000000000000000000000000000000000000000000000000000000000";
const OWN: &str = "sha256:9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c";

fn request(dir: &str, state: &str) -> Value {
    json!({"id": "00112233445566778899aabbccddeeff", "peer": "bob", "dir": dir, "state": state, "note": "re: keys",
        "at_ms": AT, "expires_at_ms": AT + 120_000})
}

fn session() -> Value {
    json!({"id": "00112233445566778899aabbccddeeff", "peer": "bob", "state": "open", "path": "direct", "why": "found",
        "address": "192.0.2.7:40000", "rtt_us": 420, "since_ms": AT, "changed_ms": AT, "key": KEY, "known": "first_seen",
        "relay_only": false, "direct_only": false, "queued": 0})
}

const OPENED: &str = "Private session with bob open (direct, key 41 07 88, first seen). bob can now see your address; use --relay-only to hide it. Compare keys: chatctl sessions verify bob\n";

#[test]
fn asking_returns_once_the_server_took_it() {
    let open = || {
        let now = jiff_now();
        let mut asked = request("out", "asked");
        asked["expires_at_ms"] = json!(now + 120_000);
        asked
    };
    let home = Home::with(move |_, _| Answer::Ok(open()));
    home.run(&["startprivate", "bob", "--note", "re: keys", "--direct-only"])
        .is(0, "Asked bob (open for 2m). You get a notice; or run: chatctl requests\n");
    let call = home.call("startprivate");
    assert_eq!((&call["user"], &call["note"], &call["wait_ms"]), (&json!("bob"), &json!("re: keys"), &json!(null)));
    assert_eq!((&call["direct_only"], &call["relay_only"]), (&json!(true), &json!(false)));
    assert_eq!(home.run(&["startprivate", "bob", "--direct-only", "--relay-only"]).code, 2);
    let long = "x".repeat(257);
    home.run(&["startprivate", "bob", "--note", &long]).complains(
        15,
        "chatctl: the note has 257 bytes; a request holds 256. Nobody was asked.\n  next: chatctl help startprivate\n",
    );
    assert_eq!(home.call_count("startprivate"), 1);
}

fn jiff_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("not so late")
}

#[test]
fn the_request_is_the_sample_of_the_manual() {
    let home = Home::answering("startprivate", request("in", "asked"));
    let ran = home.run(&["--json", "startprivate", "bob"]);
    assert!(
        ran.out.starts_with(r#"{"v":1,"type":"private_request","id":"00112233445566778899aabbccddeeff","peer":"bob","dir":"in","state":"asked","note":"re: keys","at":"2026-11-22T14:02:11.120Z","expires_at":"2026-11-22T14:04:11.120Z"}"#),
        "{}", ran.out
    );
    home.run(&["--plain", "startprivate", "bob"]).is(
        0,
        "00112233445566778899aabbccddeeff\tin\tbob\tasked\t2026-11-22T14:02:11.120Z\t2026-11-22T14:04:11.120Z\tre: keys\n",
    );
}

#[test]
fn a_wait_ends_with_the_session_or_says_why_there_is_none() {
    let mut open = request("out", "accepted");
    open["session"] = session();
    let home = Home::answering("startprivate", open);
    home.run(&["startprivate", "bob", "--wait"]).is(0, OPENED);
    home.run(&["startprivate", "bob", "--wait=5s"]).is(0, OPENED);
    let waits: Vec<_> = home.calls().into_iter().map(|(_, params)| params["wait_ms"].clone()).collect();
    assert_eq!(waits, [json!(60_000), json!(5_000)]);
    assert_eq!(home.run(&["--json", "startprivate", "bob", "--wait"]).json()["session"]["path"], "direct");
    let ends = [
        (
            "asked",
            9,
            "timed_out",
            "bob has not answered yet; the request stays open.\n  next: chatctl requests --outgoing\n",
        ),
        ("declined", 7, "declined", "bob has declined the request.\n  next: chatctl message bob ...\n"),
        (
            "expired",
            9,
            "request_expired",
            "bob did not answer in time; the request is over.\n  next: chatctl startprivate bob\n",
        ),
        ("cancelled", 5, "offline", "bob has left; the request is over.\n  next: chatctl whoelse\n"),
        ("withdrawn", 7, "withdrawn", "the request was withdrawn.\n  next: chatctl startprivate bob\n"),
        (
            "accepted",
            9,
            "timed_out",
            "both sides agreed, but bob is not reached yet; tries go on for 1m.\n  next: chatctl sessions\n",
        ),
    ];
    for (state, exit, code, words) in ends {
        let home = Home::answering("startprivate", request("out", state));
        home.run(&["startprivate", "bob", "--wait"]).is(exit, "").complains(exit, &format!("chatctl: {words}"));
        let told = home.run(&["--json", "startprivate", "bob", "--wait"]);
        assert_eq!((&told.json()["state"], &told.error()["code"]), (&json!(state), &json!(code)));
    }
}

#[test]
fn a_request_that_met_the_others_is_no_trouble() {
    Home::answering("startprivate", request("out", "accepted")).run(&["startprivate", "bob"]).is(
        0,
        "bob had asked you, too: the private session is being opened. You get a notice; or run: chatctl sessions\n",
    );
}

#[test]
fn each_refusal_of_a_request_has_its_own_text() {
    let refused = |code: &str| {
        let home = Home::refusing(json!({"code": code, "subject": "bob"}));
        home.run(&["startprivate", "bob"])
    };
    refused("yourself").complains(2, "chatctl: that is yourself.\n  next: chatctl whoelse\n");
    refused("unknown_user").complains(6, "chatctl: there is no user bob.\n  next: chatctl whoelse\n");
    refused("offline").complains(5, "chatctl: bob is not online.\n  next: chatctl whoelse\n");
    refused("recipient_blocked").complains(7, "chatctl: bob has blocked you, so nobody was asked.\n");
    refused("blocked_by_you").complains(7, "chatctl: you block bob.\n  next: chatctl unblock bob\n");
    refused("request_pending")
        .complains(7, "chatctl: a private request to bob is open already.\n  next: chatctl requests --outgoing\n");
    refused("session_exists")
        .complains(7, "chatctl: there is a private session with bob already.\n  next: chatctl sessions\n");
    refused("no_direct_path").complains(
        5,
        "chatctl: there is no direct path to bob; only the relay would do.\n  next: chatctl help startprivate\n",
    );
    refused("private_off")
        .complains(7, "chatctl: the server's operator allows no private sessions.\n  next: chatctl help message\n");
    assert_eq!((refused("declined").code, refused("request_expired").code, refused("no_relay").code), (7, 9, 5));
}

/// Windows sends keys to all of a console, not to one program.
#[cfg(unix)]
#[test]
fn ctrl_c_in_a_wait_leaves_the_request_open() {
    let home = Home::with(|_, _| Answer::Silence);
    let mut command = home.command(&["startprivate", "bob", "--wait=10m"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("chatctl runs");
    home.until_asked("startprivate");
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our child");
    crate::fake::Ran::of(child.wait_with_output().expect("it ends"))
        .complains(130, "chatctl: interrupted; the request to bob stays open.\n  next: chatctl requests --outgoing\n");
}

#[test]
fn requests_in_every_form() {
    let mut out = request("out", "asked");
    (out["peer"], out["note"]) = (json!("caroline"), json!(null));
    let home = Home::answering("requests", json!({"items": [request("in", "asked"), out]}));
    home.run(&["--time", "%H:%M", "requests"]).is(
        0,
        "in   bob       14:02  expires 14:04  \"re: keys\"  accept: chatctl accept bob\n\
         out  caroline  14:02  expires 14:04  withdraw: chatctl stopprivate caroline\n",
    );
    let object = home.run(&["--json", "requests", "--incoming"]).json();
    assert_eq!((&object["type"], &object["items"][1]["peer"]), (&json!("requests"), &json!("caroline")));
    assert_eq!(home.calls()[1].1["dir"], "in");
    let none = Home::answering("requests", json!({"items": []}));
    assert_eq!(none.run(&["requests"]).is(0, "").err, "no open private requests\n");
    none.run(&["requests", "--outgoing", "--exit-code"]).is(1, "");
    assert_eq!(none.run(&["requests", "--incoming", "--outgoing"]).code, 2);
}

#[test]
fn accepting_says_how_the_two_are_connected() {
    let home = Home::answering("accept", session());
    home.run(&["accept", "bob"]).is(0, OPENED);
    home.run(&["accept", "bob", "--relay-only", "--for", "1h"]);
    let call = &home.calls()[1].1;
    assert_eq!((&call["relay_only"], &call["for_ms"]), (&json!(true), &json!(3_600_000)));
    let object = home.run(&["--json", "accept", "bob"]).json();
    assert_eq!(
        (&object["type"], &object["verified"], &object["rtt_ms"]),
        (&json!("private_session"), &json!(false), &json!(0.42))
    );
    assert_eq!(home.run(&["accept"]).code, 2, "a name is always needed");
    let mut relayed = session();
    (relayed["path"], relayed["why"], relayed["known"]) = (json!("relay"), json!("no_direct_path"), json!("verified"));
    Home::answering("accept", relayed)
        .run(&["accept", "bob"])
        .is(0, "Private session with bob open (relay, as no direct path was found, verified key 41 07 88).\n");
    let mut late = session();
    late["state"] = json!("connecting");
    let ran = Home::answering("accept", late).run(&["--json", "accept", "bob"]);
    assert_eq!((ran.code, &ran.json()["state"], &ran.error()["code"]), (9, &json!("connecting"), &json!("timed_out")));
    Home::refusing(json!({"code": "timed_out", "subject": "bob"})).run(&["accept", "bob"]).complains(
        9,
        "chatctl: both sides agreed, but bob is not reached yet; tries go on for 1m.\n  next: chatctl sessions\n",
    );
}

#[test]
fn an_answer_to_what_is_over_is_refused() {
    let refused = |args: &[&str], code: &str| Home::refusing(json!({"code": code, "subject": "bob"})).run(args);
    refused(&["accept", "bob"], "unknown_request")
        .complains(6, "chatctl: no private request of bob is open.\n  next: chatctl requests\n");
    refused(&["accept", "bob"], "withdrawn").complains(
        7,
        "chatctl: the private request of bob is over: withdrawn, or its sender left.\n  next: chatctl requests\n",
    );
    assert_eq!(refused(&["accept", "bob"], "request_expired").code, 9);
    assert_eq!(refused(&["decline", "bob"], "unknown_request").code, 6);
}

#[test]
fn declining() {
    let home = Home::answering("decline", request("in", "declined"));
    home.run(&["decline", "bob"]).is(0, "Declined the private request of bob.\n");
    home.run(&["decline", "bob", "--block"])
        .is(0, "Declined the private request of bob. bob is blocked, and is not told that.\n");
    let blocks: Vec<_> = home.calls().into_iter().map(|(_, params)| params["block"].clone()).collect();
    assert_eq!(blocks, [json!(false), json!(true)]);
    assert_eq!(home.run(&["--json", "decline", "bob"]).json()["state"], "declined");
    assert_eq!(home.run(&["-q", "decline", "bob"]).out, "");
}

#[test]
fn a_private_text_has_the_rules_of_a_message() {
    let home = Home::answering("private", sent("delivered"));
    home.run(&["private", "bob", "the", "code  is 7", "--id", "k1"]).is(0, "bob (private, delivered)\n");
    let call = home.call("private");
    assert_eq!(
        (&call["user"], &call["text"], &call["wait"], &call["key"]),
        (&json!("bob"), &json!("the code  is 7"), &json!("delivered"), &json!("k1"))
    );
    for args in [&["private", "bob"][..], &["private", "bob", "-"], &["private", "bob", "-f", "-"]] {
        let home = Home::answering("private", sent("delivered"));
        assert_eq!(home.pipe(args, "two\nlines \u{1f600}\n".as_bytes()).code, 0);
        assert_eq!(home.call("private")["text"], "two\nlines \u{1f600}\n");
    }
    let object = home.run(&["--json", "private", "bob", "hi"]).json();
    assert_eq!(
        (&object["kind"], &object["state"], &object["to"]),
        (&json!("private"), &json!("delivered"), &json!("bob"))
    );
    home.run(&["--plain", "private", "bob", "hi"]).is(0, "01k9zt000000m7k2\tbob\tdelivered\n");
    assert_eq!(home.run(&["private", "bob", "hi", "--wait", "accepted"]).code, 2, "no server accepts it");
    let home = Home::with(|_, _| Answer::HangUp);
    assert_eq!(home.pipe(&["private", "bob"], b"ab\xff").code, 15);
    let ran = home.run(&["private", "bob", "hi", "--id", "k7"]);
    assert!(ran.code == 3 && ran.err.contains("next: chatctl private bob --id k7"), "{ran:?}");
}

#[test]
fn what_a_peer_did_not_take_is_said_with_its_exit() {
    let mut kept = sent("queued");
    kept["pending"] = json!("unreachable");
    Home::answering("private", kept.clone())
        .run(&["private", "bob", "hi"])
        .is(5, "bob (private, queued)\n")
        .complains(5, "chatctl: bob cannot be reached now; the text is kept and goes out while the session lasts.\n  next: chatctl show m7k2\n");
    kept["pending"] = json!("timed_out");
    let ran = Home::answering("private", kept).run(&["--json", "private", "bob", "hi"]);
    assert_eq!((ran.code, &ran.json()["state"], &ran.error()["id"]), (9, &json!("queued"), &json!("01k9zt000000m7k2")));
    let refused = |code: &str| Home::refusing(json!({"code": code, "subject": "luke"})).run(&["private", "luke", "hi"]);
    refused("no_session").complains(6, "chatctl: no private session with luke.\n  next: chatctl startprivate luke\n");
    refused("session_ended").complains(
        5,
        "chatctl: the private session with luke ended before the text was sent.\n  next: chatctl startprivate luke\n",
    );
    assert_eq!((refused("peer_unreachable").code, refused("too_large").code, refused("unknown_user").code), (5, 15, 6));
}

fn ended(reason: &str, failed: &[&str]) -> Value {
    json!({"peer": "bob", "reason": reason, "by_peer": false, "failed": failed, "unsettled": 0, "at_ms": AT})
}

#[test]
fn stopping() {
    let home = Home::answering("stopprivate", json!({"items": [ended("you", &[])], "withdrawn": []}));
    home.run(&["stopprivate", "bob"]).is(0, "Private session with bob closed.\n");
    assert_eq!(home.call("stopprivate")["user"], "bob");
    home.run(&["--json", "stopprivate", "bob"]).is(
        0,
        "{\"v\":1,\"type\":\"private_ended\",\"peer\":\"bob\",\"reason\":\"you\",\"by_peer\":false,\"failed\":[],\"unsettled\":0,\"at\":\"2026-11-22T14:02:11.120Z\"}\n",
    );
    home.run(&["--plain", "stopprivate", "bob"]).is(0, "bob\tyou\t0\n");
    let all = json!({"items": [ended("you", &["01k9zt000000m7k2"])], "withdrawn": ["carol"]});
    let home = Home::answering("stopprivate", all);
    home.run(&["stopprivate", "--all"]).is(
        0,
        "Private session with bob closed. 1 text was never sent and failed: m7k2.\nRequest to carol withdrawn.\n",
    );
    assert_eq!(home.call("stopprivate")["user"], json!(null));
    let object = home.run(&["--json", "stopprivate", "--all"]).json();
    assert_eq!((&object["type"], &object["withdrawn"]), (&json!("stopped"), &json!(["carol"])));
    for wrong in [&["stopprivate"][..], &["stopprivate", "bob", "--all"]] {
        assert_eq!(home.run(wrong).code, 2, "{wrong:?}");
    }
    let home = Home::refusing(json!({"code": "no_session", "subject": "bob"}));
    home.run(&["stopprivate", "bob"])
        .complains(6, "chatctl: no private session with bob.\n  next: chatctl startprivate bob\n");
}

#[test]
fn sessions_in_every_form() {
    let home = Home::answering("sessions", json!({"items": [session()]}));
    home.run(&["--time", "%H:%M", "sessions"]).is(0, "bob  direct  0.4 ms  since 14:02  key 41 07 88, first seen\n");
    home.run(&["--plain", "sessions"])
        .is(0, &format!("bob\topen\tdirect\tfound\t0.420\t2026-11-22T14:02:11.120Z\t{KEY}\tfirst_seen\t0\n"));
    let object = home.run(&["--json", "sessions"]).json();
    assert_eq!((&object["items"][0]["key"], &object["items"][0]["known"]), (&json!(KEY), &json!("first_seen")));
    let none = Home::answering("sessions", json!({"items": []}));
    none.run(&["sessions", "--exit-code"]).is(1, "");
}

fn code(known: &str) -> Value {
    json!({"peer": "bob", "code": "12345 67890 11111 22222 33333 44444", "key": KEY, "own_key": OWN, "known": known})
}

#[test]
fn verifying_shows_the_code_and_marks_only_what_was_confirmed() {
    let home = Home::answering("sessions_verify", code("first_seen"));
    let shown = format!(
        "Code with bob: 12345 67890 11111 22222 33333 44444\n  key of bob  {KEY} (first seen, not verified)\n  your key    {OWN}\n"
    );
    let ran = home.run(&["sessions", "verify", "bob"]).is(0, &shown);
    assert!(
        ran.err.ends_with("If it is the same on bob's side: chatctl sessions verify bob --confirm\n"),
        "{}",
        ran.err
    );
    let confirmed = format!("{shown}The key of bob is verified.\n");
    home.run(&["sessions", "verify", "bob", "--confirm"]).is(0, &confirmed);
    home.run(&["--yes", "sessions", "verify", "bob"]).is(0, &confirmed);
    let confirms: Vec<_> = home.calls().into_iter().map(|(_, params)| params["confirm"].clone()).collect();
    assert_eq!(confirms, [json!(false), json!(true), json!(true)]);
    let object = home.run(&["--json", "sessions", "verify", "bob"]).json();
    assert_eq!((&object["type"], &object["verified"]), (&json!("verification"), &json!(false)));
    home.run(&["--plain", "sessions", "verify", "bob"])
        .is(0, &format!("bob\t12345 67890 11111 22222 33333 44444\t{KEY}\t{OWN}\tfirst_seen\n"));
    let verified = Home::answering("sessions_verify", code("verified")).run(&["sessions", "verify", "bob"]);
    assert_eq!((verified.code, verified.err.as_str()), (0, ""));
}

#[test]
fn a_changed_key_is_a_hard_stop() {
    let data = json!({"code": "identity_changed", "subject": "bob", "trust": {"server": "bob", "fingerprint": OWN,
        "known": KEY, "known_since_ms": AT, "certificate": ""}});
    let home = Home::refusing(data);
    home.run(&["--time", "%H:%M", "accept", "bob"]).complains(
        11,
        &format!(
            "chatctl: bob shows a different key than on 14:02. Someone may be in between, or bob has a new device.\n  was {KEY}\n  now {OWN}\n  Ask bob by another way and compare first.\n  next: chatctl trust accept {OWN}\n"
        ),
    );
    let error = home.run(&["--json", "accept", "bob"]).error();
    assert_eq!((&error["fingerprint"], &error["user"], &error["server"]), (&json!(OWN), &json!("bob"), &json!(null)));
}

#[test]
fn keys_of_people_are_listed_as_such() {
    let items =
        json!({"items": [{"kind": "user", "name": "bob", "fingerprint": KEY, "since_ms": AT, "by": "first_seen"}]});
    let home = Home::answering("trust_list", items);
    home.run(&["--time", "%H:%M", "trust", "list"]).is(0, &format!("bob (person)  {KEY}  first seen, since 14:02\n"));
    assert_eq!(home.run(&["--json", "trust", "list"]).json()["items"][0]["kind"], "user");
}

#[test]
fn what_happens_is_told_by_watch() {
    let tagged = |kind: &str, mut value: Value| {
        value["type"] = json!(kind);
        value
    };
    let offer = json!({"id": "00112233445566778899aabbccdd9f3c", "peer": "bob", "dir": "in", "name": "a.pdf", "size": 1200,
        "done": 0, "state": "offered", "at_ms": AT});
    let events = vec![
        tagged("private_request", request("in", "asked")),
        tagged("private_session", session()),
        tagged("private_ended", ended("peer", &[])),
        tagged("file_offer", offer),
    ];
    let home = Home::with(move |_, _| Answer::Events(json!({"index": 0}), events.clone()));
    home.run(&["--time", "%H:%M", "watch", "--only", "private,file", "--from", "bob", "--count", "4"]).is(
        0,
        "14:02 * bob asks for a private session (\"re: keys\"): chatctl accept bob\n\
         14:02 * private session with bob open (direct, key 41 07 88, first seen)\n\
         14:02 * private session with bob ended (by bob)\n\
         14:02 * bob offers a.pdf (1.2 kB): chatctl file accept 9f3c\n",
    );
    let call = home.call("watch");
    assert_eq!((&call["only"], &call["from"]), (&json!(["private", "file"]), &json!("bob")));
}

#[test]
fn status_counts_what_is_open() {
    let status = json!({"profile": "work", "user": "alice", "server": "chat.example.org", "device": "laptop",
        "link": "online", "since_ms": AT, "unread": 0, "queued": 0, "failed": 0, "requests": 1, "sessions": 2, "problems": []});
    let home = Home::answering("status", status);
    let told = home.run(&["status"]).out;
    assert!(
        told.contains("; 1 private request: chatctl requests; 2 private sessions: chatctl sessions; chatd"),
        "{told}"
    );
    assert_eq!(home.run(&["--json", "status"]).json()["sessions"], 2);
    let bare = home.run(&[]).out;
    assert!(bare.contains("1 private request: chatctl requests"), "{bare}");
}

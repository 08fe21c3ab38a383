//! message, broadcast, show, outbox.

use serde_json::json;

use crate::fake::{AT, Answer, Home, message, sent};

#[test]
fn a_message_is_sent_with_a_key() {
    let home = Home::answering("message", sent("accepted"));
    home.run(&["message", "bob", "see", "you  at 3"])
        .is(0, "Sent to bob (m7k2, accepted; bob is offline, will get it at next login).\n");
    let call = home.call("message");
    assert_eq!(
        (&call["to"], &call["text"], &call["wait"]),
        (&json!("bob"), &json!("see you  at 3"), &json!("accepted"))
    );
    assert_eq!(call["key"].as_str().map(str::len), Some(16));
}

#[test]
fn the_object_is_the_sample_of_the_manual() {
    let home = Home::answering("message", sent("accepted"));
    let ran = home.run(&["message", "--json", "bob", "hi", "--id", "k1"]);
    assert!(
        ran.out.starts_with(r#"{"v":1,"type":"message","id":"01k9zt000000m7k2","to":"bob","kind":"direct","state":"accepted","at":"2026-11-22T14:02:11.120Z","recipient_online":false,"duplicate":false"#),
        "{}", ran.out
    );
    assert_eq!(home.call("message")["key"], "k1");
    home.run(&["message", "--plain", "bob", "hi"]).is(0, "01k9zt000000m7k2\tbob\taccepted\n");
}

#[test]
fn text_comes_from_stdin_and_files_byte_for_byte() {
    for args in [&["message", "bob"][..], &["message", "bob", "-"], &["message", "bob", "-f", "-"]] {
        let home = Home::answering("message", sent("accepted"));
        assert_eq!(home.pipe(args, "two\nlines \u{1f600}\n".as_bytes()).code, 0);
        assert_eq!(home.call("message")["text"], "two\nlines \u{1f600}\n");
    }
    let home = Home::answering("message", sent("accepted"));
    let file = home.file("text", b"from a file");
    assert_eq!(home.run(&["message", "bob", "-f", file.to_str().expect("a path")]).code, 0);
    assert_eq!(home.call("message")["text"], "from a file");
}

#[test]
fn bad_texts_are_not_sent() {
    let home = Home::with(|_, _| Answer::HangUp);
    home.pipe(&["message", "bob"], b"ab\xff")
        .complains(15, "chatctl: the text is not UTF-8 (byte 2); nothing was sent.\n  next: chatctl help\n");
    assert_eq!(home.pipe(&["message", "bob"], b"").code, 15);
    let error = home.pipe(&["--json", "message", "bob", "-"], &[b'x'; 65_537]).error();
    assert_eq!((&error["code"], &error["exit"]), (&json!("too_large"), &json!(15)));
    assert_eq!(home.run(&["message", "bob", "-f", "/does/not/exist"]).code, 15);
    assert_eq!(home.run(&["message", "bob", "hi", "--id", ""]).code, 15);
    assert!(home.calls().is_empty());
    let mut odd = home.command(&["message", "bob"]);
    #[cfg(unix)]
    odd.arg(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff"));
    #[cfg(windows)]
    odd.arg(<std::ffi::OsString as std::os::windows::ffi::OsStringExt>::from_wide(&[0xd800]));
    assert_eq!(odd.output().expect("chatctl runs").status.code(), Some(15));
}

#[test]
fn what_is_kept_is_said_with_its_exit() {
    let mut kept = sent("queued");
    kept["pending"] = json!("unreachable");
    kept["retry_after_ms"] = json!(4000);
    let home = Home::answering("message", kept.clone());
    home.run(&["message", "bob", "hi"])
        .is(5, "Queued for bob (m7k2).\n")
        .complains(5, "chatctl: the server cannot be reached; the message is kept, and will go out. Next try in 4s.\n  next: chatctl show m7k2\n");
    let ran = home.run(&["--json", "message", "bob", "hi"]);
    assert_eq!(ran.json()["state"], "queued");
    let error = ran.error();
    assert_eq!((&error["code"], &error["retry_after_ms"]), (&json!("server_unreachable"), &json!(4000)));
    kept["pending"] = json!("timed_out");
    let ran = Home::answering("message", kept).run(&["message", "bob", "hi"]);
    assert_eq!(ran.code, 9);
    assert!(ran.err.contains("no verdict from the server in time; the message is kept"));
}

#[test]
fn refusals_have_their_exit_and_words() {
    for (code, exit) in [
        ("recipient_blocked", 7),
        ("unknown_user", 6),
        ("yourself", 2),
        ("inbox_full", 7),
        ("limit", 13),
        ("conflict", 7),
        ("not_logged_in", 4),
        ("server_unreachable", 5),
        ("timed_out", 9),
        ("too_large", 15),
        ("unsupported", 10),
    ] {
        let home = Home::refusing(json!({"code": code, "subject": "bob"}));
        let error = home.run(&["--json", "message", "bob", "hi"]).error();
        assert_eq!((&error["code"], &error["exit"]), (&json!(code), &json!(exit)));
    }
    Home::refusing(json!({"code": "recipient_blocked", "subject": "bob"}))
        .run(&["message", "bob", "hi"])
        .complains(7, "chatctl: bob has blocked you, so the message was not delivered.\n");
    Home::refusing(json!({"code": "not_logged_in", "ended": {"code": "idle", "at_ms": AT}}))
        .run(&["--time", "%H:%M", "message", "bob", "hi"])
        .complains(
            4,
            "chatctl: logged out by the server at 14:02 after a time without activity.\n  next: chatctl login\n",
        );
}

#[test]
fn a_broken_connection_leaves_the_outcome_open() {
    let home = Home::with(|_, _| Answer::HangUp);
    let ran = home.run(&["message", "bob", "hi", "--id", "build-7"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("next: chatctl message bob --id build-7"), "{}", ran.err);
    assert_eq!(home.run(&["--json", "message", "bob", "hi", "--id", "b8"]).error()["code"], "outcome_unknown");
}

#[test]
fn broadcast_counts() {
    let mut reply = sent("accepted");
    reply["to"] = json!(null);
    reply["audience"] = json!(11);
    Home::answering("broadcast", reply.clone()).run(&["broadcast", "hi"]).is(0, "Sent to 11 people online.\n");
    reply["missed"] = json!(true);
    let home = Home::answering("broadcast", reply);
    assert_eq!(home.run(&["broadcast", "hi"]).code, 8);
    let object = home.run(&["--json", "broadcast", "hi", "there"]);
    assert_eq!((object.code, &object.json()["complete"], &object.json()["sent"]), (8, &json!(false), &json!(11)));
    assert_eq!(object.err, "");
}

#[test]
fn show_and_outbox() {
    let mut own = message(7, "alice", "hi\nthere");
    own["own"] = json!(true);
    own["to"] = json!("bob");
    let home = Home::answering("show", own.clone());
    home.run(&["--time", "%H:%M", "show", "m7"]).is(0, "00m7 to bob: delivered 14:02\n  | hi\n  | there\n");
    assert_eq!(home.run(&["show", "m7", "--wait", "read"]).code, 9);
    own["state"] = json!("failed");
    own["code"] = json!("recipient_blocked");
    let home = Home::answering("show", own.clone());
    assert_eq!((home.run(&["show", "m7"]).code, home.run(&["show", "m7", "--wait", "read"]).code), (0, 7));
    let home = Home::answering("outbox", json!({"items": [own]}));
    let ran = home.run(&["outbox"]);
    assert!(ran.out.contains("00m7 to bob: failed ") && ran.out.contains("hi..."), "{}", ran.out);
    assert_eq!(home.run(&["--json", "outbox"]).json()["items"][0]["code"], "recipient_blocked");
}

/// Windows sends keys to all of a console, not to one program.
#[cfg(unix)]
#[test]
fn ctrl_c_in_a_wait_names_the_message_and_leaves_it() {
    let home = Home::with(|_, _| Answer::Silence);
    let mut command = home.command(&["message", "bob", "hi", "--id", "build-7", "--wait", "read", "--timeout", "10m"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("chatctl runs");
    home.until_asked("message");
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our child");
    crate::fake::Ran::of(child.wait_with_output().expect("it ends")).complains(
        130,
        "chatctl: interrupted; the message with id build-7 stays as it is.\n  next: chatctl show build-7\n",
    );
}

#[test]
fn a_silent_daemon_is_9() {
    let home = Home::with(|_, _| Answer::Silence);
    let ran = home.run(&["--timeout", "2s", "message", "bob", "hi", "--id", "k"]);
    assert_eq!(ran.code, 9);
    assert!(ran.err.contains("whether the message was kept is not known") && ran.err.contains("--id k"), "{}", ran.err);
}

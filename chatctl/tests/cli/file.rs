//! file send, list, accept, decline, cancel: words, objects, columns, exits, and where a received file is put.

use std::fs;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home};

const ID: &str = "00112233445566778899aabbccdd9f3c";

fn file(dir: &str, state: &str) -> Value {
    json!({"id": ID, "peer": "bob", "dir": dir, "name": "report.pdf", "size": 4_200_000, "done": 1_764_000, "state": state,
        "rate": 3_100_000, "at_ms": AT})
}

fn event(mut file: Value) -> Value {
    file["type"] = json!("file");
    file
}

/// A daemon whose transfers are told of by these events once it was asked.
fn telling(method: &'static str, first: Value, news: Vec<Value>) -> Home {
    Home::with(move |asked, _| match asked {
        "watch" => Answer::Stream(json!({"index": 0}), news.clone().into_iter().map(event).collect()),
        "file_list" => Answer::Ok(json!({"items": [first.clone()]})),
        "file_take" => Answer::Ok(first.clone()),
        other => {
            assert_eq!(other, method);
            Answer::Ok(first.clone())
        }
    })
}

#[test]
fn files_are_offered_by_their_full_paths() {
    let home = Home::answering("file_send", file("out", "offered"));
    home.file("report.pdf", b"hi");
    let mut command = home.command(&["file", "send", "bob", "report.pdf"]);
    command.current_dir(home.path());
    let ran = crate::fake::Ran::of(command.output().expect("chatctl runs"));
    ran.is(0, "Offered report.pdf (4.2 MB) to bob (9f3c); it is sent when bob accepts.\n");
    let call = home.call("file_send");
    assert_eq!((&call["user"], call["path"].as_str()), (&json!("bob"), home.path().join("report.pdf").to_str()));
}

#[test]
fn what_is_no_file_is_offered_to_nobody() {
    let home = Home::with(|_, _| Answer::HangUp);
    let path = home.path().to_str().expect("UTF-8").to_owned();
    let missing = std::fs::metadata("/does/not/exist").expect_err("not there").to_string();
    let missing = chat_proto::display::cause(&missing);
    home.run(&["file", "send", "bob", "/does/not/exist"]).complains(
        15,
        &format!("chatctl: /does/not/exist cannot be sent: {missing}.\n  next: chatctl help file send\n"),
    );
    let ran = home.run(&["--json", "file", "send", "bob", &path]);
    assert_eq!((ran.code, &ran.error()["code"]), (15, &json!("bad_file")));
    assert!(home.calls().is_empty());
}

#[test]
fn of_several_files_those_that_can_be_are_offered() {
    let home = Home::answering("file_send", file("out", "offered"));
    let (one, two) = (home.file("one", b"1"), home.file("two", b"2"));
    let (one, two) = (one.to_str().expect("UTF-8"), two.to_str().expect("UTF-8"));
    let ran = home.run(&["--json", "file", "send", "bob", one, "/does/not/exist", two]);
    assert_eq!((ran.code, ran.json()["items"].as_array().map(Vec::len)), (8, Some(2)), "{ran:?}");
    assert_eq!(ran.json()["type"], "files");
    assert_eq!(home.run(&["file", "send", "bob", "/does/not", "/exist"]).code, 15);
    let refusing = Home::refusing(json!({"code": "no_session", "subject": "bob"}));
    let here = refusing.file("a", b"1");
    refusing
        .run(&["file", "send", "bob", here.to_str().expect("UTF-8")])
        .complains(6, "chatctl: no private session with bob.\n  next: chatctl startprivate bob\n");
}

#[test]
fn a_wait_follows_to_the_end() {
    let home = telling("file_send", file("out", "offered"), vec![file("out", "running"), file("out", "done")]);
    let path = home.file("report.pdf", b"hi");
    let path = path.to_str().expect("UTF-8");
    home.run(&["file", "send", "bob", path, "--wait"]).is(
        0,
        "Offered report.pdf (4.2 MB) to bob (9f3c); it is sent when bob accepts.\nreport.pdf (4.2 MB) is with bob, whole.\n",
    );
    assert_eq!(home.run(&["--json", "file", "send", "bob", path, "--wait"]).json()["state"], "done");
    let mut failed = file("out", "failed");
    (failed["code"], failed["by_peer"]) = (json!("file_damaged"), json!(true));
    let home = telling("file_send", file("out", "offered"), vec![failed]);
    let ran = home.run(&["file", "send", "bob", path, "--wait"]);
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(ran.err.contains("report.pdf to bob failed: what arrived is not what was offered"), "{ran:?}");
    let mut no = file("out", "declined");
    no["by_peer"] = json!(true);
    let ran = telling("file_send", file("out", "offered"), vec![no]).run(&["file", "send", "bob", path, "--wait"]);
    ran.complains(7, "chatctl: bob has declined report.pdf.\n  next: chatctl file list\n");
}

#[test]
fn a_wait_that_runs_out_leaves_it_going() {
    let home = telling("file_send", file("out", "offered"), vec![file("out", "running")]);
    let path = home.file("report.pdf", b"hi");
    let ran = home.run(&["file", "send", "bob", path.to_str().expect("UTF-8"), "--wait=300ms"]);
    assert_eq!(ran.code, 9, "{ran:?}");
    assert!(ran.err.contains("so far; it goes on.\n  next: chatctl file list"), "{ran:?}");
}

#[test]
fn the_list_in_every_form() {
    let mut got = file("in", "done");
    (got["id"], got["path"]) = (json!("00000000000000000000000000001111"), json!("/home/a/Downloads/report.pdf"));
    let items = json!({"items": [file("out", "running"), file("in", "offered"), got]});
    let home = Home::answering("file_list", items);
    home.run(&["file", "list"]).is(
        0,
        "9f3c  to bob    report.pdf  4.2 MB  42% 3.1 MB/s 1s left\n\
         9f3c  from bob  report.pdf  4.2 MB  accept: chatctl file accept 9f3c\n\
         1111  from bob  report.pdf  4.2 MB  done  /home/a/Downloads/report.pdf\n",
    );
    assert_eq!(
        home.run(&["--plain", "file", "list"]).out.lines().next(),
        Some(
            "00112233445566778899aabbccdd9f3c\tout\tbob\trunning\t4200000\t1764000\t2026-11-22T14:02:11.120Z\treport.pdf\t"
        )
    );
    assert_eq!(home.run(&["--json", "file", "list"]).json()["items"][2]["path"], "/home/a/Downloads/report.pdf");
    Home::answering("file_list", json!({"items": []})).run(&["file", "list", "--exit-code"]).is(1, "");
}

#[test]
fn without_a_place_it_goes_where_chatd_keeps_files() {
    let home = Home::answering("file_accept", file("in", "waiting"));
    home.run(&["file", "accept", "9f3c", "--conflict", "rename"])
        .is(0, "Receiving report.pdf (4.2 MB) from bob; how it goes: chatctl file list\n");
    let call = home.call("file_accept");
    assert_eq!((&call["id"], &call["hold"], &call["conflict"]), (&json!("9f3c"), &json!(false), &json!("rename")));
    assert_eq!(home.run(&["file", "accept", "9f3c", "--conflict", "maybe"]).code, 2);
    let there = Home::with(|asked, _| match asked {
        "file_list" => Answer::Ok(json!({"items": [file("in", "offered")]})),
        _ => Answer::Refuse(json!({"code": "file_exists", "subject": "/d/report.pdf"})),
    });
    assert_eq!(there.run(&["file", "accept", "9f3c"]).code, 7);
    there
        .run(&["file", "accept", "9f3c", "--conflict", "skip"])
        .is(0, "/d/report.pdf is there already; nothing was taken.\n");
    let unknown = Home::refusing(json!({"code": "unknown_file", "subject": "9f3c"}));
    unknown
        .run(&["file", "accept", "9f3c"])
        .complains(6, "chatctl: no file has the id 9f3c, or several end with it.\n  next: chatctl file list\n");
}

/// A daemon that has received `content` for its taker.
fn holding(content: &'static [u8]) -> Home {
    let kept: &'static Mutex<Option<String>> = Box::leak(Box::default());
    let home = Home::with(move |asked, _| {
        let mut done = file("in", "done");
        done["path"] = json!(*kept.lock().expect("no test panics with it"));
        match asked {
            "watch" => Answer::Stream(json!({"index": 0}), vec![event(file("in", "running")), event(done)]),
            "file_list" => Answer::Ok(json!({"items": [file("in", "offered")]})),
            "file_accept" => Answer::Ok(file("in", "waiting")),
            _ => Answer::Ok(done),
        }
    });
    let path = home.file("kept", content);
    *kept.lock().expect("no test panics with it") = path.to_str().map(str::to_owned);
    home
}

#[test]
fn with_a_place_it_is_put_there_by_its_user() {
    let home = holding(b"the file");
    let target = home.path().join("out.pdf");
    let target = target.to_str().expect("UTF-8");
    home.run(&["file", "accept", "9f3c", "-o", target])
        .is(0, &format!("Received report.pdf (4.2 MB) from bob: {target}\n"));
    assert_eq!(fs::read(target).expect("put"), b"the file");
    assert_eq!((&home.call("file_accept")["hold"], &home.call("file_take")["path"]), (&json!(true), &json!(target)));
    assert_eq!(home.call("file_accept")["id"], ID);
    // there already: nothing is taken
    let ran = home.run(&["file", "accept", "9f3c", "-o", target]);
    assert_eq!((ran.code, home.call_count("file_accept")), (7, 1), "{ran:?}");
    home.run(&["file", "accept", "9f3c", "-o", target, "--conflict", "skip"])
        .is(0, &format!("{target} is there already; nothing was taken.\n"));
    assert_eq!(home.call_count("file_accept"), 1);
    let ran = home.run(&["--json", "file", "accept", "9f3c", "-o", target, "--conflict", "rename"]);
    assert_eq!(ran.json()["path"], home.path().join("out (2).pdf").to_str().expect("UTF-8"));
    // a directory takes it under its own name
    fs::create_dir(home.path().join("d")).expect("a directory");
    let dir = home.path().join("d");
    assert_eq!(home.run(&["file", "accept", "9f3c", "-o", dir.to_str().expect("UTF-8")]).code, 0);
    assert_eq!(fs::read(dir.join("report.pdf")).expect("put"), b"the file");
}

#[test]
fn stdout_is_the_files_alone() {
    let home = holding(b"a\x00\xfe\n");
    let output = home.command(&["file", "accept", "9f3c", "-o", "-"]).output().expect("chatctl runs");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"a\x00\xfe\n"[..]));
    assert_eq!(home.call("file_take")["path"], json!(null));
    let ran = home.run(&["--json", "file", "accept", "9f3c", "-o", "-"]);
    assert_eq!((ran.code, home.call_count("file_accept")), (2, 1), "{ran:?}");
}

#[test]
fn what_cannot_be_put_is_kept_and_said() {
    let home = holding(b"the file");
    let ran = home.run(&["file", "accept", "9f3c", "-o", "/does/not/exist/a.pdf"]);
    assert_eq!((ran.code, home.call_count("file_take")), (14, 0), "{ran:?}");
    let kept = home.path().join("kept");
    assert!(ran.err.contains(&format!("It is kept at {}.", kept.display())), "{ran:?}");
}

#[test]
fn an_unknown_or_empty_id_takes_nothing() {
    let home = holding(b"the file");
    for id in ["0000", ""] {
        assert_eq!(home.run(&["file", "accept", id, "-o", "/tmp/x"]).code, 6, "{id:?}");
    }
    assert_eq!(home.call_count("file_accept"), 0);
}

#[test]
fn saying_no() {
    let home = Home::answering("file_decline", file("in", "declined"));
    home.run(&["file", "decline", "9f3c"]).is(0, "Declined report.pdf from bob.\n");
    let home = Home::answering("file_cancel", file("out", "cancelled"));
    home.run(&["file", "cancel", "9f3c"]).is(0, "Given up report.pdf to bob.\n");
    assert_eq!(home.run(&["--json", "file", "cancel", "9f3c"]).json()["type"], "file");
    let home = Home::answering("file_cancel", file("in", "declined"));
    home.run(&["file", "cancel", "9f3c"]).is(0, "report.pdf from bob was over before: declined by you.\n");
    assert_eq!(home.run(&["file"]).code, 2);
}

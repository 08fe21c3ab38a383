//! Files within private sessions over real daemons: offered, taken, declined and given up; where they come to lie and under which name;
//! cut, killed and gone on with.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use chat_tests::process::until;
use chat_tests::watch::Watch;
use chat_tests::{Home, World, needs};
use serde_json::{Value, json};

/// Two people with an open session.
fn pair(world: &mut World) -> [Arc<Home>; 2] {
    let people = ["hans", "yoda"].map(|name| world.user(name));
    people[0].joins(&people[1]);
    people
}

fn files(home: &Home) -> Vec<Value> {
    home.json(&["file", "list"]).ok().items()
}

/// The newest transfer, once it fits.
#[track_caller]
fn newest(home: &Home, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    until(what, || files(home).pop().filter(|file| fits(file)))
}

#[track_caller]
fn offered(home: &Home) -> String {
    let file = newest(home, "an offer", |file| file["state"] == "offered");
    file["id"].as_str().expect("an id").to_owned()
}

fn downloads(home: &Home) -> PathBuf {
    home.dir().join("Downloads")
}

fn names(home: &Home) -> Vec<String> {
    let Ok(listed) = fs::read_dir(downloads(home)) else { return Vec::new() };
    let mut names: Vec<String> =
        listed.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Bytes that are nowhere alike.
fn content(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "file" && event["state"] == state
}

fn configured(home: &Home, lines: &str) {
    let file = home.run(&["--plain", "config", "path"]).ok().stdout;
    let file = PathBuf::from(file.lines().find_map(|line| line.strip_prefix("config\t")).expect("its path"));
    fs::create_dir_all(file.parent().expect("a directory")).expect("made");
    let before = fs::read_to_string(&file).unwrap_or_default();
    fs::write(&file, format!("{lines}\n{before}")).expect("written");
    home.restart();
    home.online();
}

#[test]
fn a_file_is_offered_taken_and_there() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let bytes = content(3_000_001);
    let path = world.file("report 1.pdf", &bytes);
    let mut yodas = yoda.watch(&["--only", "file"]);
    let sent = hans.json(&["file", "send", "yoda", &path]).ok().json();
    assert_eq!(
        (&sent["name"], &sent["size"], &sent["state"]),
        (&json!("report 1.pdf"), &json!(3_000_001), &json!("offered"))
    );
    let offer = yodas.expect("the offer", |event| event["type"] == "file_offer");
    assert_eq!((&offer["id"], &offer["peer"], &offer["sha256"]), (&sent["id"], &json!("hans"), &sent["sha256"]));
    let id = offer["id"].as_str().expect("an id");
    yoda.run(&["file", "list"]).ok().says("from hans").says("accept: chatctl file accept");
    yoda.run(&["file", "accept", &id[12..]]).ok().says("Receiving");
    let done = yodas.expect("that it is there", is("done"));
    let there = downloads(&yoda).join("report 1.pdf");
    assert_eq!(done["path"], there.display().to_string());
    assert_eq!(fs::read(&there).expect("there"), bytes);
    newest(&hans, "that hans knows", |file| file["state"] == "done");
    assert_eq!(names(&yoda), ["report 1.pdf"]);
    yoda.json(&["file", "accept", id]).fails_with("too_late", 1);
    yoda.json(&["file", "cancel", id]).fails_with("too_late", 1);
    // what was is still known after a restart of both
    for home in [&hans, &yoda] {
        home.restart();
        home.online();
        assert_eq!(files(home).last().map(|file| file["state"].clone()), Some(json!("done")));
    }
}

/// A confined chatd knows the folder of its start. One that was made anew is told with what helps, before anything is lost.
#[test]
fn a_folder_made_anew_is_told_with_what_helps() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let confined = !yoda.json(&["daemon", "status"]).ok().json()["sandbox"]["landlock"].is_null();
    if !needs::met(confined, "this kernel confines no files") {
        return;
    }
    let finding = |result: &str| {
        let output = yoda.json(&["doctor"]);
        let found = output.items().into_iter().find(|item| item["check"] == "files");
        let found = found.unwrap_or_else(|| panic!("nothing about files in: {output}"));
        assert_eq!(found["result"], result, "{found}");
        found["hint"].as_str().map(str::to_owned)
    };
    finding("ok");
    fs::remove_dir_all(downloads(&yoda)).expect("chatd made it at its start");
    // gone altogether is as bad: chatd may not make it
    assert_eq!(finding("FAIL").as_deref(), Some("chatctl daemon restart"));
    fs::create_dir(downloads(&yoda)).expect("made anew");
    assert_eq!(finding("FAIL").as_deref(), Some("chatctl daemon restart"));
    hans.run(&["file", "send", "yoda", &world.file("x", b"x")]).ok();
    let id = offered(&yoda);
    let refused = yoda.json(&["file", "accept", &id]).fails_with("folder_replaced", 14);
    assert_eq!(refused.error()["hint"], "chatctl daemon restart", "{refused}");
    yoda.run(&["daemon", "restart"]).ok();
    yoda.online();
    finding("ok");
    until("it goes on", || (yoda.run(&["file", "accept", &id]).code == 0).then_some(()));
    newest(&yoda, "that it is there", |file| file["state"] == "done");
    assert_eq!(names(&yoda), ["x"]);
    // what modes forbid is another matter
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(downloads(&yoda), fs::Permissions::from_mode(0o500)).expect("ours");
        assert!(finding("FAIL").is_some_and(|hint| hint.starts_with("ls -ld ")));
    }
}

#[test]
fn what_cannot_be_sent_is_said_at_once() {
    let mut world = World::start();
    let [hans, yoda] = ["hans", "yoda"].map(|name| world.user(name));
    let path = world.file("x", b"x");
    hans.json(&["file", "send", "yoda", &path]).fails_with("no_session", 6);
    hans.joins(&yoda);
    hans.json(&["file", "send", "yoda", &format!("{path}.none")]).fails_with("bad_file", 15);
    hans.json(&["file", "send", "yoda", "/tmp"]).fails_with("bad_file", 15);
    hans.json(&["file", "send", "yoda", "/dev/null"]).fails_with("bad_file", 15);
    for verb in ["accept", "decline", "cancel"] {
        hans.json(&["file", verb, "abcd"]).fails_with("unknown_file", 6);
    }
    hans.run(&["file", "send", "yoda", &path]).ok();
    let id = offered(&yoda);
    for verb in ["accept", "decline"] {
        hans.json(&["file", verb, &id]).fails_with("unknown_file", 6);
    }
    hans.run(&["stopprivate", "yoda"]).ok();
    newest(&yoda, "the end", |file| file["state"] == "failed" && file["code"] == "session_ended");
    yoda.json(&["file", "accept", &id]).fails_with("no_session", 6);
}

#[test]
fn a_no_and_a_change_of_mind_reach_the_other_side() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let path = world.file("x", b"x");
    let ended = |home: &Home, state: &str, by_peer: bool| {
        newest(home, state, |file| file["state"] == state && file["by_peer"] == by_peer);
    };
    hans.run(&["file", "send", "yoda", &path]).ok();
    yoda.run(&["file", "decline", &offered(&yoda)]).ok();
    ended(&hans, "declined", true);
    ended(&yoda, "declined", false);
    for (one, other) in [(&hans, &yoda), (&yoda, &hans)] {
        hans.run(&["file", "send", "yoda", &path]).ok();
        let id = offered(&yoda);
        one.run(&["file", "cancel", &id]).ok();
        ended(one, "cancelled", false);
        ended(other, "cancelled", true);
    }
    assert_eq!(names(&yoda), Vec::<String>::new());
}

#[test]
fn what_lies_there_is_treated_as_was_said() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    fs::create_dir_all(downloads(&yoda)).expect("made");
    let there = downloads(&yoda).join("x.txt");
    fs::write(&there, "mine").expect("written");
    let path = world.file("x.txt", b"hers");
    // while it is not over for hans, sending it again is the same transfer
    let over = || newest(&hans, "that it is there", |file| file["state"] == "done");
    let take = |conflict: &str| {
        hans.run(&["file", "send", "yoda", &path]).ok();
        let taken = yoda.json(&["file", "accept", &offered(&yoda), "--conflict", conflict, "--wait"]);
        if taken.code == 0 {
            over();
        }
        taken
    };
    take("fail").fails_with("file_exists", 7);
    let id = offered(&yoda);
    let skipped = yoda.json(&["file", "accept", &id, "--conflict", "skip"]).ok().json();
    assert_eq!((&skipped["id"], &skipped["state"]), (&id.as_str().into(), &"declined".into()));
    newest(&hans, "that it is not wanted", |file| file["state"] == "declined");
    assert_eq!(fs::read_to_string(&there).expect("there"), "mine");
    take("rename").ok();
    assert_eq!(names(&yoda), ["x (2).txt", "x.txt"]);
    assert_eq!(fs::read_to_string(&there).expect("there"), "mine");
    take("overwrite").ok();
    assert_eq!(fs::read_to_string(&there).expect("there"), "hers");
    let elsewhere = world.path("elsewhere");
    hans.run(&["file", "send", "yoda", &path]).ok();
    yoda.run(&["file", "accept", &offered(&yoda), "-o", &elsewhere.display().to_string()]).ok();
    assert_eq!(fs::read_to_string(&elsewhere).expect("there"), "hers");
    over();
    hans.run(&["file", "send", "yoda", &path]).ok();
    let at = ["file", "accept", &offered(&yoda), "-o", &elsewhere.display().to_string(), "--conflict", "skip"];
    assert_eq!(yoda.json(&at).ok().json()["state"], "declined");
    yoda.run(&at).ok().says("is there already; nothing was taken.");
    assert_eq!(names(&yoda), ["x (2).txt", "x.txt"]);
}

#[test]
fn no_name_of_a_peer_leads_anywhere() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let odd = [
        ("..\\..\\up", "up"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("con.txt", "_con.txt"),
        ("a\u{1b}[2Jb", "a_[2Jb"),
        ("a\nb", "a_b"),
        ("p\u{202e}gpj.exe", "p_gpj.exe"),
        ("C:x", "C_x"),
    ];
    for (number, (name, safe)) in odd.iter().enumerate() {
        let folder = world.path(&format!("from{number}"));
        fs::create_dir(&folder).expect("made");
        let path = folder.join(name);
        fs::write(&path, name).expect("written");
        hans.run(&["file", "send", "yoda", "--", &path.display().to_string()]).ok();
        let id = offered(&yoda);
        yoda.run(&["file", "list"]).ok().never_says("\u{1b}").never_says("\u{202e}");
        yoda.run(&["file", "accept", &id, "--wait"]).ok();
        assert_eq!(fs::read_to_string(downloads(&yoda).join(safe)).expect("there"), *name);
    }
    let mut expected: Vec<String> = odd.iter().map(|(_, safe)| (*safe).to_owned()).collect();
    expected.sort_unstable();
    assert_eq!(names(&yoda), expected);
}

#[test]
fn several_go_at_once_and_texts_go_on() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let bytes = content(30_000_000);
    let paths = [1, 2, 3].map(|number| world.file(&format!("f{number}"), &bytes));
    let mut yodas = yoda.watch(&["--only", "file"]);
    hans.run(&["file", "send", "yoda", &paths[0], &paths[1], &paths[2]]).ok();
    let offers = until("all offers", || Some(files(&yoda)).filter(|files| files.len() == 3));
    for file in offers {
        yoda.run(&["file", "accept", file["id"].as_str().expect("an id")]).ok();
    }
    hans.run(&["private", "yoda", "meanwhile"]).ok().says("yoda (private, delivered)");
    hans.run(&["message", "yoda", "through the server", "--wait", "delivered"]).ok();
    for _ in 0..3 {
        yodas.expect("that one is there", is("done"));
    }
    for name in ["f1", "f2", "f3"] {
        assert_eq!(fs::read(downloads(&yoda).join(name)).expect("there"), bytes);
    }
}

#[test]
fn the_configuration_says_from_whom_and_how_much() {
    let mut world = World::start();
    let [hans, yoda] = ["hans", "yoda"].map(|name| world.user(name));
    let folder = world.path("in");
    let lines = format!("files = {{ dir = {folder:?}, auto_accept = [\"hans\"], max_size = \"1KiB\" }}");
    configured(&yoda, &lines);
    hans.joins(&yoda);
    let small = world.file("small", b"x");
    hans.run(&["file", "send", "yoda", &small, "--wait"]).ok();
    assert_eq!(fs::read_to_string(folder.join("small")).expect("there"), "x");
    let large = world.file("large", &content(1025));
    let refused = hans.json(&["file", "send", "yoda", &large, "--wait"]);
    assert_eq!(refused.code, 7);
    newest(&hans, "why", |file| file["state"] == "declined" && file["code"] == "too_large");
}

#[test]
fn a_transfer_that_a_stop_cut_goes_on_when_asked() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let bytes = content(200_000_000);
    let path = world.file("big", &bytes);
    hans.run(&["file", "send", "yoda", &path]).ok();
    let id = offered(&yoda);
    yoda.run(&["file", "accept", &id]).ok();
    newest(&yoda, "some bytes", |file| file["done"].as_u64() > Some(1_000_000));
    hans.run(&["stopprivate", "yoda"]).ok();
    let cut = newest(&yoda, "the end", |file| file["state"] == "failed");
    assert_eq!((&cut["code"], &cut["by_peer"]), (&json!("session_ended"), &json!(true)));
    hans.joins(&yoda);
    let mut hanss = hans.watch(&["--only", "file"]);
    yoda.run(&["file", "accept", &id, "--conflict", "resume"]).ok();
    let first = hanss.expect("that it goes on", is("running"));
    assert!(first["done"].as_u64() > Some(0), "not from the beginning: {first}");
    hanss.expect("that it is there", is("done"));
    assert!(fs::read(downloads(&yoda).join("big")).expect("there") == bytes);
    assert_eq!(names(&yoda), ["big"]);
}

#[test]
fn a_transfer_survives_ten_kills_of_either_side() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let bytes = content(200_000_000);
    let path = world.file("big", &bytes);
    hans.run(&["file", "send", "yoda", &path]).ok();
    yoda.run(&["file", "accept", &offered(&yoda)]).ok();
    let part = || {
        let name = names(&yoda).into_iter().find(|name| name.ends_with(".part"))?;
        fs::metadata(downloads(&yoda).join(name)).ok().map(|data| data.len())
    };
    let mut kills = 0;
    let mut before = 0;
    while kills < 10 {
        // a few bytes more than at the last kill, or all of them
        let Some(length) = until("more bytes", || match part() {
            None if downloads(&yoda).join("big").exists() => Some(None),
            length => length.filter(|length| *length > before).map(Some),
        }) else {
            break;
        };
        assert!(length >= before, "what was there is kept");
        before = length;
        let victim = if kills % 2 == 0 { &hans } else { &yoda };
        victim.restart();
        victim.online();
        kills += 1;
    }
    assert!(kills >= 4, "it was over after {kills} kills: the file is too small for this machine");
    newest(&yoda, "that it is there", |file| file["state"] == "done");
    newest(&hans, "that hans knows", |file| file["state"] == "done");
    assert!(fs::read(downloads(&yoda).join("big")).expect("there") == bytes);
    assert_eq!(names(&yoda), ["big"]);
}

#[test]
fn a_file_that_changed_since_it_was_offered_is_not_sent() {
    let mut world = World::start();
    let [hans, yoda] = pair(&mut world);
    let path = world.file("x", b"as offered");
    hans.run(&["file", "send", "yoda", &path]).ok();
    let id = offered(&yoda);
    world.file("x", b"another");
    let mut hanss: Watch = hans.watch(&["--only", "file"]);
    yoda.run(&["file", "accept", &id, "--wait"]).exits(8).says("failed");
    let failed = hanss.expect("that it failed", is("failed"));
    assert_eq!((&failed["code"], &failed["by_peer"]), (&json!("file_damaged"), &json!(false)));
    // what came of it goes once its last byte is written
    until("nothing is left of it", || names(&yoda).is_empty().then_some(()));
}

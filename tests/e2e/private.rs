//! Private sessions over real daemons: consent by commands and through the shell (mission A11 to A15), in the default profile and in
//! the classic one; how a session is shown, used, verified and ended; who keeps it and who ends it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chat_tests::process::{until, within};
use chat_tests::server::free_port;
use chat_tests::shell::Piped;
use chat_tests::watch::Watch;
use chat_tests::{Home, World};
use serde_json::{Value, json};

/// Both profiles, with the same people.
fn worlds() -> [World; 2] {
    [World::start(), World::classic(&[])]
}

fn people<const N: usize>(world: &mut World, names: [&str; N]) -> [Arc<Home>; N] {
    names.map(|name| world.user(name))
}

/// The one open request of or to this user.
fn request(home: &Home, peer: &str) -> Value {
    until("the request is there", || {
        home.json(&["requests"]).ok().items().into_iter().find(|request| request["peer"] == peer)
    })
}

fn requests(home: &Home) -> Vec<Value> {
    home.json(&["requests"]).ok().items()
}

fn sessions(home: &Home) -> Vec<String> {
    let items = home.json(&["sessions"]).ok().items();
    items.iter().map(|session| session["peer"].as_str().unwrap_or_default().to_owned()).collect()
}

fn is_open(home: &Home, peer: &str) -> Option<Value> {
    let items = home.json(&["sessions"]).ok().items();
    items.into_iter().find(|session| session["peer"] == peer && session["state"] == "open")
}

/// What others sent privately.
fn private_texts(home: &Home) -> Vec<(String, String)> {
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let items = home.history();
    let others = items.iter().filter(|item| item["kind"] == "private" && item["own"] == false);
    others.map(|item| (text(item, "from"), text(item, "text"))).collect()
}

#[track_caller]
fn says_privately(from: &Home, to: &Home, text: &str) {
    from.run(&["private", to.user(), text]).ok().says(&format!("{} (private, delivered)", to.user()));
    let got = private_texts(to);
    assert_eq!(got.last(), Some(&(from.user().to_owned(), text.to_owned())), "{got:?}");
}

fn ended(peer: &str, reason: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "private_ended" && event["peer"] == peer && event["reason"] == reason
}

fn became(peer: &str, state: &str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == "private_request" && event["peer"] == peer && event["state"] == state
}

#[test]
fn a11_refusals_consent_and_both_directions() {
    for mut world in worlds() {
        let [hans, yoda, luke] = people(&mut world, ["hans", "yoda", "luke"]);
        hans.run(&["private", "yoda", "hi"]).exits(6).says("no private session with yoda").says("startprivate yoda");
        hans.json(&["private", "nobody", "hi"]).fails_with("unknown_user", 6);
        hans.json(&["private", "hans", "hi"]).fails_with("yourself", 2);
        hans.json(&["startprivate", "hans"]).fails_with("yourself", 2);
        hans.json(&["startprivate", "nobody"]).fails_with("unknown_user", 6);
        luke.run(&["logout"]).ok();
        hans.json(&["startprivate", "luke"]).fails_with("offline", 5);
        hans.json(&["private", "luke", "hi"]).fails_with("offline", 5);
        // blocked: the same whether the blocker is there or not
        world.login(&luke).ok();
        luke.run(&["block", "hans"]).ok();
        hans.json(&["startprivate", "luke"]).fails_with("recipient_blocked", 7);
        luke.run(&["logout"]).ok();
        hans.json(&["startprivate", "luke"]).fails_with("recipient_blocked", 7);
        hans.run(&["block", "yoda"]).ok();
        hans.run(&["startprivate", "yoda"]).exits(7).says("you block yoda").says("next: chatctl unblock yoda");
        hans.run(&["unblock", "yoda"]).ok();
        // declined
        hans.run(&["startprivate", "yoda", "--note", "re: keys"]).ok().says("Asked yoda (open for 2m)");
        let came = request(&yoda, "hans");
        assert_eq!((&came["dir"], &came["note"]), (&json!("in"), &json!("re: keys")));
        hans.json(&["startprivate", "yoda"]).fails_with("request_pending", 7);
        let mut hanss = hans.watch(&["--only", "private"]);
        yoda.run(&["decline", "hans"]).ok().says("Declined the private request of hans.");
        hanss.expect("that yoda declined", became("yoda", "declined"));
        assert!(requests(&hans).is_empty() && requests(&yoda).is_empty());
        yoda.json(&["accept", "hans"]).fails_with("unknown_request", 6);
        // accepted
        hans.joins(&yoda).says("open (direct, ");
        says_privately(&hans, &yoda, "two  blanks\nand lines");
        says_privately(&yoda, &hans, "back");
        hans.json(&["startprivate", "yoda"]).fails_with("session_exists", 7);
        let read = yoda.run(&["read"]).ok();
        read.says("hans(private): two  blanks").says("yoda(private) to hans: back");
    }
}

#[test]
fn a12_a_block_during_a_session_does_not_stop_it() {
    for mut world in worlds() {
        let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
        hans.joins(&yoda);
        yoda.run(&["block", "hans"]).ok().says("Your private session with hans stays open: chatctl stopprivate hans");
        hans.json(&["message", "yoda", "no"]).fails_with("recipient_blocked", 7);
        says_privately(&hans, &yoda, "still here");
        says_privately(&yoda, &hans, "yes");
        yoda.run(&["stopprivate", "hans"]).ok();
        until("hans knows that it is over", || sessions(&hans).is_empty().then_some(()));
        hans.json(&["startprivate", "yoda"]).fails_with("recipient_blocked", 7);
    }
}

#[test]
fn a13_a_session_is_mixed_with_messages_to_everybody() {
    for mut world in worlds() {
        let [hans, yoda, luke] = people(&mut world, ["hans", "yoda", "luke"]);
        hans.joins(&yoda);
        luke.joins(&hans);
        hans.sends("luke", "through the server");
        hans.sends("yoda", "to the peer through the server");
        says_privately(&hans, &yoda, "one");
        says_privately(&hans, &luke, "two");
        says_privately(&luke, &hans, "three");
        hans.run(&["broadcast", "all"]).ok();
        luke.gets(&["through the server", "two", "all"]);
        yoda.gets(&["to the peer through the server", "one", "all"]);
        assert_eq!(sessions(&hans), ["yoda", "luke"]);
    }
}

#[test]
fn a14_the_asked_side_stops_and_another_session_begins() {
    for mut world in worlds() {
        let [hans, yoda, luke] = people(&mut world, ["hans", "yoda", "luke"]);
        hans.joins(&yoda);
        let mut hanss = hans.watch(&["--only", "private", "--from", "yoda"]);
        yoda.run(&["stopprivate", "hans"]).ok().says("Private session with hans closed.");
        let end = hanss.expect("that yoda stopped", ended("yoda", "peer"));
        assert_eq!(end["by_peer"], true);
        hans.json(&["private", "yoda", "hi"]).fails_with("no_session", 6);
        yoda.json(&["private", "hans", "hi"]).fails_with("no_session", 6);
        hans.json(&["stopprivate", "yoda"]).fails_with("no_session", 6);
        yoda.json(&["stopprivate", "hans"]).fails_with("no_session", 6);
        hans.json(&["stopprivate", "hans"]).fails_with("yourself", 2);
        hans.joins(&luke);
        says_privately(&luke, &hans, "hello");
        yoda.joins(&hans);
        hans.run(&["stopprivate", "--all"]).ok().says("session with luke closed").says("session with yoda closed");
        until("luke knows", || sessions(&luke).is_empty().then_some(()));
        until("yoda knows", || sessions(&yoda).is_empty().then_some(()));
    }
}

#[test]
fn a15_a_logout_ends_it_and_the_other_side_is_told_why() {
    for mut world in worlds() {
        let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
        hans.joins(&yoda);
        let mut yodas = yoda.watch(&["--only", "private"]);
        hans.run(&["logout"]).ok().says("Private session with yoda ended.");
        yodas.expect("that hans logged out", ended("hans", "logout"));
        yoda.json(&["private", "hans", "hi"]).fails_with("offline", 5);
    }
}

#[test]
fn a15_who_is_silent_in_a_session_is_logged_out_and_its_peer_told() {
    let idle = ("sessions", "idle_after", "\"12s\"");
    for mut world in [World::with(&[("sessions", "idle", "\"logout\""), idle]), World::classic(&[idle])] {
        let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
        hans.joins(&yoda);
        let mut yodas = yoda.watch(&["--only", "private"]);
        // what hans receives does not keep him
        let told = within(Duration::from_secs(60), || {
            yoda.run(&["message", "hans", "are you there?"]);
            yodas.next_within(Duration::from_millis(200), ended("hans", "idle"))
        });
        assert_eq!(told.expect("yoda is told")["by_peer"], true);
        until("hans is logged out", || (hans.link() == "logged_out").then_some(()));
    }
}

#[test]
fn a7_private_traffic_keeps_its_user_there() {
    let mut world = World::classic(&[("sessions", "idle_after", "\"12s\"")]);
    let [hans, yoda, luke] = people(&mut world, ["hans", "yoda", "luke"]);
    hans.joins(&yoda);
    let mut yodas = yoda.watch(&["--only", "presence"]);
    // luke goes; hans does nothing but write privately, and stays
    let gone = within(Duration::from_secs(60), || {
        hans.run(&["private", "yoda", "here"]).ok();
        yoda.run(&["whoelse"]).ok();
        yodas.next_within(Duration::from_millis(200), |event| event["user"] == "luke" && event["state"] == "offline")
    });
    assert_eq!(gone.expect("luke is logged out")["reason"], "idle");
    assert_eq!(luke.link(), "logged_out");
    assert_eq!(hans.link(), "online");
}

/// A shell that follows what happens from here on.
fn shell(home: &Home) -> Piped {
    let mut shell = Piped::start(home, &[]);
    assert_eq!(shell.answers(""), Vec::<String>::new());
    shell
}

const ASKS: &str = "hans would like to private message, enter y or n:";

fn started(shell: &mut Piped, peer: &str) {
    shell.shows(&format!("Start private messaging with {peer}."));
    shell.says("(direct, key ");
}

#[test]
fn a11_to_a15_through_the_shell() {
    for mut world in worlds() {
        let [hans, yoda, luke] = people(&mut world, ["hans", "yoda", "luke"]);
        let mut hanss = shell(&hans);
        let mut yodas = shell(&yoda);
        // A11
        assert_eq!(hanss.answers("private yoda hi"), ["Error. Private messaging to yoda not enabled"]);
        assert_eq!(hanss.answers("stopprivate yoda"), ["Error. Private messaging to yoda not enabled"]);
        assert_eq!(hanss.answers("private nobody hi"), ["Error. Invalid user"]);
        assert_eq!(hanss.answers("private hans hi"), ["Error. Cannot private message self"]);
        assert_eq!(hanss.answers("startprivate hans"), ["Error. Cannot start a private session with self"]);
        assert_eq!(hanss.answers("startprivate nobody"), ["Error. Invalid user"]);
        luke.run(&["logout"]).ok();
        hanss.shows("luke logged out");
        assert_eq!(hanss.answers("startprivate luke"), ["Error. luke is offline"]);
        yodas.answers("block hans");
        let blocked = "Private messaging could not be started as the recipient has blocked you";
        assert_eq!(hanss.answers("startprivate yoda"), [blocked]);
        yodas.answers("unblock hans");
        hanss.answers("block yoda");
        assert_eq!(hanss.answers("startprivate yoda"), ["Error. You block yoda", "  next: unblock yoda"]);
        hanss.answers("unblock yoda");
        hanss.types("startprivate yoda");
        yodas.shows(ASKS);
        assert_eq!(
            hanss.answers("startprivate yoda"),
            ["yoda is asked; the answer is shown here.", "Error. Your request to yoda is still open"]
        );
        yodas.types("n");
        yodas.shows("You have declined the request of hans");
        hanss.shows("yoda has declined your request");
        // any other line is a command, and one y accepts
        hanss.types("startprivate yoda");
        yodas.shows(ASKS);
        assert_eq!(yodas.answers("whoelse"), ["hans"]);
        assert_eq!(yodas.answers("yes"), ["Error. Invalid command"]);
        yodas.types("y");
        started(&mut yodas, "hans");
        started(&mut hanss, "yoda");
        hanss.types("private yoda  two  blanks");
        yodas.shows("hans(private):  two  blanks");
        yodas.types("private hans back");
        hanss.shows("yoda(private): back");
        assert_eq!(hanss.answers("startprivate yoda"), ["Error. Private messaging with yoda is enabled already"]);
        // A12, A13
        yodas.answers("block hans");
        assert_eq!(
            hanss.answers("message yoda hi"),
            ["Your message could not be delivered as the recipient has blocked you"]
        );
        hanss.types("private yoda still here");
        yodas.shows("hans(private): still here");
        yodas.answers("unblock hans");
        hanss.types("message yoda through the server");
        yodas.shows("hans: through the server");
        // A14: the asked side stops
        yodas.types("stopprivate hans");
        yodas.shows("Private messaging with hans has ended.");
        hanss.shows("Private messaging with yoda has ended. yoda has stopped it.");
        assert_eq!(hanss.answers("private yoda hi"), ["Error. Private messaging to yoda not enabled"]);
        assert_eq!(yodas.answers("stopprivate hans"), ["Error. Private messaging to hans not enabled"]);
        // accepted by name, from another terminal: the question is gone
        hanss.types("startprivate yoda");
        yodas.shows(ASKS);
        yoda.run(&["accept", "hans"]).ok();
        started(&mut yodas, "hans");
        started(&mut hanss, "yoda");
        assert_eq!(yodas.answers("y"), ["Error. Invalid command"]);
        // A15
        hanss.types("logout");
        hanss.says("Private session with yoda ended.");
        yodas.shows("Private messaging with hans has ended. hans has logged out.");
        assert_eq!(yodas.answers("private hans hi"), ["Error. hans is offline"]);
    }
}

#[test]
fn a_request_that_is_over_is_no_question_any_more() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    let mut yodas = shell(&yoda);
    hans.run(&["startprivate", "yoda"]).ok();
    yodas.shows(ASKS);
    hans.run(&["stopprivate", "yoda"]).ok().says("Request to yoda withdrawn.");
    yodas.shows("The request of hans was withdrawn, or answered elsewhere");
    assert_eq!(yodas.answers("y"), ["Error. Invalid command"]);
    // one that was there before the shell is asked when it starts
    hans.run(&["startprivate", "yoda"]).ok();
    request(&yoda, "hans");
    let mut late = Piped::start(&yoda, &[]);
    late.shows(ASKS);
    late.types("y");
    started(&mut late, "hans");
    assert!(is_open(&yoda, "hans").is_some());
}

#[test]
fn a_request_is_shown_wherever_people_and_programs_look() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    let mark = world.path("hooked");
    let script = format!("cat > {0}.part && mv {0}.part {0}", mark.display());
    let hook = format!("hook = [ {{ on = \"private_request\", run = [\"/bin/sh\", \"-c\", \"{script}\"] }} ]\n");
    let config = yoda.dir().join("config");
    fs::create_dir_all(&config).expect("a directory");
    let file = yoda.run(&["--plain", "config", "path"]).ok().stdout;
    let file = file.lines().find_map(|line| line.strip_prefix("config\t")).expect("its path").to_owned();
    let before = fs::read_to_string(&file).unwrap_or_default();
    fs::write(&file, format!("{hook}{before}")).expect("written");
    yoda.restart();
    yoda.online();
    let mut yodas = yoda.watch(&["--only", "private"]);
    hans.run(&["startprivate", "yoda", "--note", "re: \u{1b}[2Jkeys"]).ok();
    let event = yodas.expect("the request", became("hans", "asked"));
    assert_eq!((&event["dir"], &event["note"]), (&json!("in"), &json!("re: \u{1b}[2Jkeys")));
    yoda.run(&["requests"]).ok().says("in   hans  ").says(r"re: \x1b[2Jkeys").says("accept: chatctl accept hans");
    hans.run(&["requests", "--outgoing"]).ok().says("out  yoda  ").says("withdraw: chatctl stopprivate yoda");
    assert_eq!(hans.run(&["requests", "--incoming", "--exit-code"]).code, 1);
    yoda.run(&["status"]).ok().says("1 private request: chatctl requests");
    yoda.run(&[]).ok().says("1 private request: chatctl requests");
    assert_eq!(yoda.json(&["unread"]).ok().json()["requests"], 1);
    let hooked = until("the hook ran", || fs::read_to_string(&mark).ok());
    let hooked: Value = serde_json::from_str(&hooked).expect("JSON");
    assert_eq!(
        (&hooked["type"], &hooked["peer"], &hooked["state"]),
        (&json!("private_request"), &json!("hans"), &json!("asked"))
    );
    yoda.run(&["accept", "hans"]).ok();
    yoda.run(&["status"]).ok().says("1 private session: chatctl sessions");
}

#[test]
fn nobody_answers_and_both_sides_are_told() {
    let mut world = World::with(&[("private", "request_ttl", "\"2s\"")]);
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    let (mut hanss, mut yodas) = (hans.watch(&["--only", "private"]), yoda.watch(&["--only", "private"]));
    hans.run(&["startprivate", "yoda", "--wait"]).exits(9).says("yoda");
    hanss.expect("that it ran out", became("yoda", "expired"));
    yodas.expect("that it ran out", became("hans", "expired"));
    assert!(requests(&hans).is_empty() && requests(&yoda).is_empty());
    let late = yoda.json(&["accept", "hans"]);
    assert!([6, 7, 9].contains(&late.code), "{late}");
    // asking again is no repetition
    hans.run(&["startprivate", "yoda"]).ok();
}

#[test]
fn a_wait_for_an_answer_ends_with_it() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    let mut yodas = yoda.watch(&["--only", "private"]);
    let waiting = waits(&hans, "yoda");
    yodas.expect("the request", became("hans", "asked"));
    yoda.run(&["decline", "hans"]).ok();
    let (code, told) = waiting.join().expect("it ended");
    assert!(code == 7 && told.contains("yoda has declined"), "{code} {told}");
    let waiting = waits(&hans, "yoda");
    yodas.expect("the request", became("hans", "asked"));
    yoda.run(&["accept", "hans"]).ok();
    let (code, told) = waiting.join().expect("it ended");
    assert!(code == 0 && told.contains("Private session with yoda open (direct, key "), "{code} {told}");
}

/// `startprivate --wait`, meanwhile.
fn waits(home: &Home, peer: &str) -> std::thread::JoinHandle<(i32, String)> {
    let mut run = home.command(&["startprivate", peer, "--wait=60s"]);
    std::thread::spawn(move || {
        let output = run.output().expect("chatctl runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    })
}

#[test]
fn who_leaves_cancels_the_question() {
    let mut world = World::start();
    let [hans, yoda, luke] = people(&mut world, ["hans", "yoda", "luke"]);
    let (mut yodas, mut hanss) = (yoda.watch(&["--only", "private"]), hans.watch(&["--only", "private"]));
    hans.run(&["startprivate", "yoda"]).ok();
    yodas.expect("the request", became("hans", "asked"));
    luke.run(&["startprivate", "hans"]).ok();
    hanss.expect("luke's request", became("luke", "asked"));
    luke.run(&["logout"]).ok();
    hanss.expect("that luke left", became("luke", "cancelled"));
    hans.run(&["logout"]).ok();
    yodas.expect("that hans left", became("hans", "cancelled"));
    assert!(requests(&yoda).is_empty());
}

#[test]
fn crossing_requests_join_into_one_session() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.run(&["startprivate", "yoda"]).ok();
    request(&yoda, "hans");
    let joined = yoda.json(&["startprivate", "hans", "--wait"]).ok();
    assert_eq!((&joined.json()["state"], &joined.json()["session"]["state"]), (&json!("accepted"), &json!("open")));
    until("hans has it too", || is_open(&hans, "yoda"));
    says_privately(&hans, &yoda, "we both asked");
    assert!(requests(&hans).is_empty() && requests(&yoda).is_empty());
    assert_eq!((sessions(&hans).len(), sessions(&yoda).len()), (1, 1));
}

#[test]
fn declining_may_block_too() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    let mut hanss = hans.watch(&["--only", "private"]);
    hans.run(&["startprivate", "yoda"]).ok();
    request(&yoda, "hans");
    yoda.run(&["decline", "hans", "--block"]).ok().says("hans is blocked, and is not told that.");
    hanss.expect("that yoda declined", became("yoda", "declined"));
    assert_eq!(yoda.run(&["blocked"]).ok().stdout, "hans\n");
    hans.json(&["startprivate", "yoda"]).fails_with("recipient_blocked", 7);
    yoda.json(&["decline", "hans", "--block"]).fails_with("unknown_request", 6);
}

#[test]
fn a_session_says_how_it_goes_and_both_sides_see_the_same_code() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    let session = is_open(&hans, "yoda").expect("open");
    assert_eq!(
        (&session["path"], &session["why"], &session["known"]),
        (&json!("direct"), &json!("found"), &json!("first_seen"))
    );
    assert!(session["rtt_ms"].is_number() && session["address"].is_string(), "{session}");
    let verify = |home: &Home, peer: &str, more: &[&str]| {
        let mut args = vec!["sessions", "verify", peer];
        args.extend_from_slice(more);
        home.json(&args).ok().json()
    };
    let (ours, theirs) = (verify(&hans, "yoda", &[]), verify(&yoda, "hans", &[]));
    assert_eq!(ours["code"], theirs["code"]);
    assert_eq!((&ours["key"], &ours["own_key"]), (&theirs["own_key"], &theirs["key"]));
    assert_eq!((&ours["verified"], &ours["key"]), (&json!(false), &session["key"]));
    hans.run(&["sessions", "verify", "yoda"]).ok().says("not verified").says("sessions verify yoda --confirm");
    assert_eq!(verify(&hans, "yoda", &["--confirm"])["verified"], true);
    hans.run(&["sessions"]).ok().says("yoda  direct  ").says("verified key ");
    // remembered, and only on the side that compared
    hans.run(&["stopprivate", "yoda"]).ok();
    until("yoda knows", || sessions(&yoda).is_empty().then_some(()));
    yoda.joins(&hans);
    assert_eq!(is_open(&hans, "yoda").expect("open")["known"], "verified");
    assert_eq!(is_open(&yoda, "hans").expect("open")["known"], "known");
    let trusted = hans.json(&["trust", "list"]).ok().items();
    let key = trusted.iter().find(|key| key["kind"] == "user").expect("a person's key");
    assert_eq!((&key["name"], &key["fingerprint"]), (&json!("yoda"), &session["key"]));
    yoda.json(&["sessions", "verify", "luke"]).fails_with("no_session", 6);
}

#[test]
fn another_key_of_a_known_peer_is_a_hard_stop() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    hans.run(&["stopprivate", "yoda"]).ok();
    until("yoda knows", || sessions(&yoda).is_empty().then_some(()));
    // yoda's key is another one now
    yoda.kill();
    let key = find(yoda.dir(), "peer.key");
    fs::remove_file(&key).expect("the key is gone");
    yoda.up();
    yoda.online();
    yoda.run(&["startprivate", "hans"]).ok();
    request(&hans, "yoda");
    let refused = hans.json(&["accept", "yoda"]).fails_with("identity_changed", 11);
    let shown = refused.error()["fingerprint"].as_str().expect("a key").to_owned();
    assert_eq!(refused.error()["user"], "yoda");
    assert_eq!(refused.error()["hint"], format!("chatctl trust accept {shown}"));
    assert!(sessions(&hans).is_empty());
    // nothing was told to whoever that is, who still waits for an answer
    assert_eq!(yoda.json(&["requests"]).ok().column("state"), ["asked"]);
    assert!(sessions(&yoda).is_empty());
    hans.json(&["private", "yoda", "no"]).fails_with("no_session", 6);
    // asking back would be a yes
    hans.json(&["startprivate", "yoda"]).fails_with("identity_changed", 11);
    // compared, and taken
    hans.run(&["trust", "accept", &shown]).ok();
    hans.run(&["accept", "yoda"]).ok();
    until("yoda has it too", || is_open(&yoda, "hans"));
    says_privately(&hans, &yoda, "so it is you");
    hans.run(&["trust", "show", "yoda"]).ok().says(&shown).says("(person)");
    hans.run(&["trust", "remove", "yoda"]).ok();
    hans.json(&["trust", "show", "yoda"]).fails_with("unknown_trust", 6);
}

#[test]
fn texts_to_a_peer_that_died_are_kept_and_arrive_when_it_is_back() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    says_privately(&hans, &yoda, "before");
    let mut hanss = hans.watch(&["--only", "private,receipt"]);
    yoda.kill();
    let away = |event: &Value| event["type"] == "private_session" && event["state"] == "away";
    // it is noticed by silence at the latest
    hanss.next_within(Duration::from_secs(60), away).expect("that yoda is away");
    let kept = hans.run(&["private", "yoda", "meanwhile"]).exits(5).says("yoda (private, queued)");
    kept.says("yoda cannot be reached now; the text is kept and goes out while the session lasts");
    hans.run(&["sessions"]).ok().says("yoda  out of reach for ").says("1 queued");
    yoda.up();
    yoda.online();
    hanss.expect("that it arrived", |event| event["type"] == "receipt" && event["state"] == "delivered");
    let texts: Vec<_> = private_texts(&yoda).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["before", "meanwhile"]);
    until("it is open again", || is_open(&hans, "yoda"));
    assert_eq!(sessions(&yoda), ["hans"]);
}

fn find(dir: &std::path::Path, name: &str) -> std::path::PathBuf {
    let found = walk(dir).into_iter().find(|path| path.file_name().is_some_and(|last| last == name));
    found.unwrap_or_else(|| panic!("no {name} under {}", dir.display()))
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    let mut all = Vec::new();
    for path in entries.unwrap_or_default() {
        if path.is_dir() {
            all.extend(walk(&path));
        } else {
            all.push(path);
        }
    }
    all
}

#[test]
fn a_lost_server_link_ends_no_session_and_a_lost_peer_keeps_its_texts() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    world.server.stop();
    until("hans knows that the server is away", || (hans.link() != "online").then_some(()));
    says_privately(&hans, &yoda, "without the server");
    says_privately(&yoda, &hans, "so it is");
    // nor is it needed when one of them dies and comes back
    yoda.kill();
    hans.run(&["private", "yoda", "meanwhile", "--wait", "queued"]).ok();
    yoda.up();
    until("the session is back", || is_open(&yoda, "hans"));
    let both = ["without the server", "meanwhile"];
    until("what yoda missed arrived", || (texts_of(&yoda, "hans") == both).then_some(()));
    assert_ne!(hans.link(), "online");
    world.server.up();
    hans.online();
    yoda.online();
    says_privately(&hans, &yoda, "and with it");
    assert_eq!(texts_of(&yoda, "hans"), ["without the server", "meanwhile", "and with it"]);
    assert_eq!((sessions(&hans), sessions(&yoda)), (vec!["yoda".to_owned()], vec!["hans".to_owned()]));
}

#[test]
fn the_same_key_never_sends_twice() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    let first = hans.json(&["private", "yoda", "once", "--id", "k7"]).ok();
    let again = hans.json(&["private", "yoda", "once", "--id", "k7"]).ok();
    assert_eq!((&again.json()["id"], &again.json()["duplicate"]), (&first.json()["id"], &json!(true)));
    assert_eq!((&first.json()["kind"], &first.json()["state"]), (&json!("private"), &json!("delivered")));
    hans.json(&["private", "yoda", "other", "--id", "k7"]).fails_with("conflict", 7);
    assert_eq!(private_texts(&yoda).len(), 1);
    hans.pipe(&["private", "yoda"], b"from stdin\n").ok();
    assert_eq!(private_texts(&yoda).last().map(|(_, text)| text.clone()), Some("from stdin\n".to_owned()));
    hans.pipe(&["private", "yoda"], &vec![b'x'; 65_537]).exits(15);
    let mut reader = yoda.watch(&["--only", "message"]);
    let waiting = {
        let mut run = hans.command(&["private", "yoda", "read me", "--wait", "read", "--timeout", "30s"]);
        std::thread::spawn(move || run.output().expect("chatctl runs").status.code())
    };
    reader.expect("the text", |event| event["text"] == "read me");
    yoda.run(&["read"]).ok();
    assert_eq!(waiting.join().expect("it ended"), Some(0));
}

#[test]
fn what_expires_by_itself_ends_on_both_sides() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    let mut hanss = hans.watch(&["--only", "private"]);
    hans.run(&["startprivate", "yoda"]).ok();
    request(&yoda, "hans");
    let mut yodas: Watch = yoda.watch(&["--only", "private"]);
    yoda.run(&["accept", "hans", "--for", "2s"]).ok();
    yodas.expect("the end of its time", ended("hans", "time"));
    hanss.expect("its end", |event| event["type"] == "private_ended" && event["peer"] == "yoda");
}

#[test]
fn without_a_relay_nothing_is_hidden_by_chance() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.json(&["startprivate", "yoda", "--relay-only"]).fails_with("no_relay", 5);
    assert!(requests(&yoda).is_empty(), "nobody was asked");
    hans.run(&["startprivate", "yoda"]).ok();
    request(&yoda, "hans");
    yoda.json(&["accept", "hans", "--relay-only"]).fails_with("no_relay", 5);
    assert!(sessions(&hans).is_empty() && sessions(&yoda).is_empty());
    // it was not accepted like this, and is open still
    yoda.run(&["accept", "hans"]).ok();
}

/// A world whose server has a relay.
fn relayed() -> World {
    let relay = format!("\"127.0.0.1:{}\"", free_port());
    World::with(&[("private", "relay_listen", &relay)])
}

#[test]
fn who_hides_is_reached_through_the_relay_and_both_see_why() {
    let mut world = relayed();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.run(&["startprivate", "yoda", "--relay-only"]).ok();
    request(&yoda, "hans");
    let accepted = yoda.json(&["accept", "hans", "--timeout", "30s"]).ok().json();
    assert_eq!((&accepted["path"], &accepted["why"]), (&json!("relay"), &json!("peer_relay_only")));
    assert_eq!(accepted["address"], Value::Null);
    let own = until("the asker's side is open", || is_open(&hans, "yoda"));
    assert_eq!((&own["path"], &own["why"], &own["relay_only"]), (&json!("relay"), &json!("relay_only"), &json!(true)));
    says_privately(&hans, &yoda, "through the relay");
    says_privately(&yoda, &hans, "and back");
    hans.run(&["sessions"]).ok().says("yoda  relay, as you asked  ");
    yoda.run(&["sessions"]).ok().says("hans  relay, as hans asked  ");
}

#[test]
fn who_wants_it_direct_gets_that_or_nothing() {
    let mut world = relayed();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.run(&["startprivate", "yoda", "--direct-only"]).ok();
    request(&yoda, "hans");
    yoda.run(&["accept", "hans", "--relay-only"])
        .exits(5)
        .says("there is no direct path to hans; only the relay would do");
    assert!(sessions(&hans).is_empty() && sessions(&yoda).is_empty());
    let accepted = yoda.json(&["accept", "hans", "--timeout", "30s"]).ok().json();
    assert_eq!((&accepted["path"], &accepted["direct_only"]), (&json!("direct"), &json!(true)));
    says_privately(&hans, &yoda, "directly");
}

/// Texts that a history holds of one sender, in its order.
fn texts_of(home: &Home, from: &str) -> Vec<String> {
    private_texts(home).into_iter().filter(|(sender, _)| sender == from).map(|(_, text)| text).collect()
}

#[test]
fn a_killed_daemon_comes_back_to_its_sessions_and_no_text_is_lost_doubled_or_turned() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    // Each round: some on their way while one side dies, some while it is dead.
    let mut sent = Vec::new();
    let mut say = |count: usize, wait: &str| {
        for _ in 0..count {
            let text = format!("text {}", sent.len() + 1);
            if hans.run(&["private", "yoda", &text, "--wait", wait]).code == 0 {
                sent.push(text);
            }
        }
        sent.clone()
    };
    for killed in [&yoda, &hans, &yoda] {
        say(3, "queued");
        killed.kill();
        say(3, "queued");
        killed.up();
        until("the session is back", || is_open(&hans, "yoda").and_then(|_| is_open(&yoda, "hans")));
    }
    let all = say(1, "delivered");
    until("all of them arrived", || (texts_of(&yoda, "hans").len() >= all.len()).then_some(()));
    assert_eq!(texts_of(&yoda, "hans"), all);
}

#[test]
fn a_text_that_is_given_up_while_the_peer_is_away_never_arrives() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    says_privately(&hans, &yoda, "one");
    yoda.run(&["daemon", "stop"]).ok();
    until("hans knows", || is_open(&hans, "yoda").is_none().then_some(()));
    hans.run(&["private", "yoda", "two"]).exits(5).says("kept");
    let two = hans.json(&["private", "yoda", "two, really", "--wait", "queued"]).ok().json()["id"].clone();
    hans.json(&["private", "yoda", "three", "--wait", "queued"]).ok();
    hans.run(&["outbox", "cancel", two.as_str().expect("an id")]).ok();
    yoda.up();
    yoda.online();
    until("the session is back", || is_open(&yoda, "hans"));
    until("what was not given up arrived", || (texts_of(&yoda, "hans").len() >= 3).then_some(()));
    assert_eq!(texts_of(&yoda, "hans"), ["one", "two", "three"]);
    let given_up = hans.json(&["show", two.as_str().expect("an id")]).ok().json();
    assert_eq!((&given_up["state"], &given_up["code"]), (&json!("failed"), &json!("cancelled")));
}

#[test]
fn what_was_never_handed_over_fails_with_the_session_and_is_named() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    yoda.run(&["daemon", "stop"]).ok();
    until("hans knows", || is_open(&hans, "yoda").is_none().then_some(()));
    let id = hans.json(&["private", "yoda", "too late", "--wait", "queued"]).ok().json()["id"].clone();
    let mut seen = hans.watch(&["--only", "private,receipt"]);
    hans.run(&["stopprivate", "yoda"]).ok();
    let over = seen.expect("the end of the session", ended("yoda", "you"));
    assert_eq!(over["failed"], json!([id]), "{over}");
    let shown = hans.json(&["show", id.as_str().expect("an id")]).ok().json();
    assert_eq!((&shown["state"], &shown["code"]), (&json!("failed"), &json!("session_ended")));
    // It stays so when the two meet again, and what follows arrives in its place.
    yoda.up();
    yoda.online();
    until("yoda's side is over or away", || is_open(&yoda, "hans").is_none().then_some(()));
    yoda.run(&["stopprivate", "hans"]);
    hans.joins(&yoda);
    says_privately(&hans, &yoda, "in time");
    assert_eq!(texts_of(&yoda, "hans"), ["in time"]);
}

#[test]
fn a_private_text_is_traced_without_a_word_of_the_server() {
    let mut world = World::start();
    let [hans, yoda] = people(&mut world, ["hans", "yoda"]);
    hans.joins(&yoda);
    let id = hans.json(&["private", "yoda", "hi"]).ok().json()["id"].clone();
    let id = id.as_str().expect("an id");
    yoda.run(&["read"]).ok().says("hans(private): hi");
    hans.run(&["show", id, "--wait", "read"]).ok();
    let trace = hans.json(&["trace", id]).ok().json();
    let steps: Vec<&str> =
        trace["hops"].as_array().expect("hops").iter().filter_map(|hop| hop["step"].as_str()).collect();
    assert_eq!(steps, ["queued", "sent", "delivered", "read"], "{trace}");
    assert_eq!(trace["server"], Value::Null, "{trace}");
    let trace = yoda.json(&["trace", id]).ok().json();
    assert_eq!(trace["hops"][0]["step"], "arrived", "{trace}");
}

//! The shell and private sessions: questions that wait for y or n, the words, and what is shown of what happens.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::fake::{AT, Answer, Home, sent};

const KEY: &str = "sha256:4107880000000000000000000000000000000000000000000000000000000000";

fn status() -> Value {
    json!({"profile": "work", "user": "alice", "server": "chat.example.org", "device": "laptop", "link": "online",
        "since_ms": AT, "unread": 0, "queued": 0, "failed": 0, "requests": 0, "sessions": 0, "problems": []})
}

fn request(peer: &str, dir: &str, state: &str) -> Value {
    json!({"type": "private_request", "id": format!("of {peer}"), "peer": peer, "dir": dir, "state": state,
        "at_ms": AT, "expires_at_ms": AT + 120_000})
}

fn session(peer: &str, state: &str, path: &str) -> Value {
    json!({"type": "private_session", "id": format!("with {peer}"), "peer": peer, "state": state, "path": path,
        "why": "no_direct_path", "since_ms": AT, "changed_ms": AT, "key": KEY, "known": "known", "relay_only": false,
        "direct_only": false, "queued": 0})
}

fn ended(peer: &str, reason: &str, by_peer: bool) -> Value {
    json!({"type": "private_ended", "peer": peer, "reason": reason, "by_peer": by_peer, "at_ms": AT})
}

/// A shell on a pipe, its daemon, and what the daemon tells next.
struct Talk {
    home: Home,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    news: Sender<Value>,
}

impl Talk {
    /// `asking` have asked before the shell began. Calls are answered as `script` says.
    fn start(asking: &[&str], script: impl Fn(&str, &Value) -> Option<Answer> + Send + Sync + 'static) -> Talk {
        let requests: Vec<_> = asking.iter().map(|peer| request(peer, "in", "asked")).collect();
        let (news, coming): (Sender<Value>, Receiver<Value>) = channel();
        let coming = Arc::new(Mutex::new(Some(coming)));
        let home = Home::with(move |method, params| {
            if let Some(answer) = script(method, params) {
                return answer;
            }
            match method {
                "status" => Answer::Ok(status()),
                "read" => Answer::Ok(json!({"items": [], "next": null})),
                "requests" => Answer::Ok(json!({"items": requests})),
                "sessions" => Answer::Ok(json!({"items": []})),
                "watch" => {
                    let coming = coming.lock().expect("no test panics with it").take().expect("one watch");
                    Answer::Live(json!({"index": 0}), coming)
                }
                other => Answer::Refuse(json!({"code": "internal", "detail": other})),
            }
        });
        let mut command = home.command(&["shell"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("chatctl runs");
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Talk { home, child, input, output, news }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the shell reads");
    }

    fn happens(&mut self, event: Value) {
        self.news.send(event).expect("the daemon follows");
    }

    /// The next line must be this.
    #[track_caller]
    fn shows(&mut self, line: &str) {
        let mut shown = String::new();
        self.output.read_line(&mut shown).expect("UTF-8");
        assert_eq!(shown.trim_end(), line);
    }

    /// Ends the input; everything that was shown and not looked at, and the exit.
    fn ends(self) -> (String, Option<i32>) {
        let Talk { input, mut output, mut child, .. } = self;
        drop(input);
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut output, &mut rest).expect("UTF-8");
        (rest, child.wait().expect("it ends").code())
    }
}

const ASKS_BOB: &str = "bob would like to private message, enter y or n:";

#[test]
fn one_y_accepts_and_any_other_line_is_a_command() {
    let mut talk = Talk::start(&["bob"], |method, params| match method {
        "accept" => Some(Answer::Ok(session(params["user"].as_str()?, "open", "direct"))),
        "whoelse" => Some(Answer::Ok(json!({"items": [], "more": false}))),
        "message" => Some(Answer::Ok(sent("accepted"))),
        _ => None,
    });
    talk.shows(ASKS_BOB);
    talk.types("maybe");
    talk.shows("Error. Invalid command");
    talk.types("message carol y");
    talk.shows("bob is offline and gets it at the next login.");
    assert_eq!(talk.home.call_count("accept"), 0);
    talk.types("y");
    talk.shows("Start private messaging with bob.");
    talk.shows("  (direct, key 41 07 88, known)");
    assert_eq!(talk.home.call("accept")["user"], "bob");
    // the event of the same session says nothing more
    talk.happens(session("bob", "open", "direct"));
    talk.types("y");
    talk.shows("Error. Invalid command");
    assert_eq!(talk.ends(), (String::new(), Some(0)));
}

#[test]
fn one_n_declines() {
    let mut talk =
        Talk::start(&["bob"], |method, _| (method == "decline").then(|| Answer::Ok(request("bob", "in", "declined"))));
    talk.shows(ASKS_BOB);
    talk.types("n");
    talk.shows("You have declined the request of bob");
    talk.happens(request("bob", "in", "declined"));
    assert_eq!(talk.ends(), (String::new(), Some(0)));
}

#[test]
fn a_question_ends_with_its_request() {
    let ends = [
        ("expired", "The request of bob has run out"),
        ("cancelled", "bob has left; the request is over"),
        ("withdrawn", "The request of bob was withdrawn, or answered elsewhere"),
        ("accepted", "The request of bob was answered elsewhere"),
    ];
    for (state, words) in ends {
        let mut talk = Talk::start(&["bob"], |_, _| None);
        talk.shows(ASKS_BOB);
        talk.happens(request("bob", "in", state));
        talk.shows(words);
        talk.types("y");
        talk.shows("Error. Invalid command");
        assert_eq!(talk.home.call_count("accept"), 0, "{state}");
    }
}

#[test]
fn a_y_is_meant_for_the_question_that_was_read() {
    let accepts = |method: &str, params: &Value| match method {
        "accept" => Some(Answer::Ok(session(params["user"].as_str()?, "open", "relay"))),
        _ => None,
    };
    let mut talk = Talk::start(&["bob"], accepts);
    talk.shows(ASKS_BOB);
    talk.happens(request("eve", "in", "asked"));
    talk.shows("eve would like to private message, too: accept eve, decline eve");
    talk.happens(request("bob", "in", "withdrawn"));
    talk.shows("The request of bob was withdrawn, or answered elsewhere");
    // meant for bob, who is not to be answered any more
    talk.types("y");
    talk.types("quit");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut talk.output, &mut rest).expect("UTF-8");
    assert!(!rest.contains("Start private messaging with eve."), "{rest}");
    assert!(talk.home.calls().iter().all(|(_, params)| params["user"] != "eve"), "{rest}");
}

#[test]
fn a_name_settles_the_question_of_that_name() {
    let mut talk = Talk::start(&["bob"], |method, params| match method {
        "accept" => Some(Answer::Ok(session(params["user"].as_str()?, "open", "relay"))),
        _ => None,
    });
    talk.shows(ASKS_BOB);
    talk.happens(request("eve", "in", "asked"));
    talk.shows("eve would like to private message, too: accept eve, decline eve");
    talk.types("accept eve");
    talk.shows("Start private messaging with eve.");
    talk.shows("  (relay, as no direct path was found, key 41 07 88, known)");
    talk.types("y");
    talk.shows("Start private messaging with bob.");
    talk.shows("  (relay, as no direct path was found, key 41 07 88, known)");
    talk.types("y");
    talk.shows("Error. Invalid command");
    assert_eq!(talk.home.call_count("accept"), 2);
}

#[test]
fn a_request_and_its_answers() {
    let answers = [
        ("declined", "bob has declined your request"),
        ("expired", "bob has not answered your request; it is over"),
        ("cancelled", "bob has left; your request is over"),
    ];
    for (state, words) in answers {
        let mut talk = Talk::start(&[], |method, _| {
            (method == "startprivate").then(|| Answer::Ok(request("bob", "out", "asked")))
        });
        talk.types("startprivate bob");
        talk.shows("bob is asked; the answer is shown here.");
        talk.happens(request("bob", "out", state));
        talk.shows(words);
    }
    let mut talk =
        Talk::start(&[], |method, _| (method == "startprivate").then(|| Answer::Ok(request("bob", "out", "asked"))));
    talk.types("startprivate bob");
    talk.shows("bob is asked; the answer is shown here.");
    talk.happens(request("bob", "out", "accepted"));
    talk.happens(session("bob", "open", "direct"));
    talk.shows("Start private messaging with bob.");
}

#[test]
fn every_refusal_has_its_own_text() {
    let refused = |line: &str, code: &'static str| {
        let word = line.split(' ').next().expect("a word").to_owned();
        let mut talk = Talk::start(&[], move |method, _| {
            (method == word).then(|| Answer::Refuse(json!({"code": code, "subject": "bob"})))
        });
        talk.types(line);
        drop(talk.news);
        let mut shown = String::new();
        talk.output.read_line(&mut shown).expect("UTF-8");
        shown.trim_end().to_owned()
    };
    let table = [
        ("startprivate bob", "unknown_user", "Error. Invalid user"),
        ("startprivate bob", "yourself", "Error. Cannot start a private session with self"),
        ("startprivate bob", "offline", "Error. bob is offline"),
        (
            "startprivate bob",
            "recipient_blocked",
            "Private messaging could not be started as the recipient has blocked you",
        ),
        ("startprivate bob", "blocked_by_you", "Error. You block bob"),
        ("startprivate bob", "request_pending", "Error. Your request to bob is still open"),
        ("startprivate bob", "session_exists", "Error. Private messaging with bob is enabled already"),
        ("private bob hi", "no_session", "Error. Private messaging to bob not enabled"),
        ("private bob hi", "yourself", "Error. Cannot private message self"),
        ("private bob hi", "unknown_user", "Error. Invalid user"),
        ("private bob hi", "offline", "Error. bob is offline"),
        ("stopprivate bob", "no_session", "Error. Private messaging to bob not enabled"),
        ("stopprivate bob", "yourself", "Error. Cannot stop private messaging with self"),
        ("accept bob", "unknown_request", "Error. There is no request of bob"),
        ("accept bob", "withdrawn", "Error. The request of bob is over"),
        ("decline bob", "unknown_request", "Error. There is no request of bob"),
    ];
    for (line, code, words) in table {
        assert_eq!(refused(line, code), words, "{line}: {code}");
    }
}

#[test]
fn a_session_from_its_start_to_its_end() {
    let mut talk = Talk::start(&[], |method, _| match method {
        "private" => Some(Answer::Ok(sent("delivered"))),
        "stopprivate" => Some(Answer::Ok(json!({"items": [ended("bob", "you", false)], "withdrawn": []}))),
        _ => None,
    });
    talk.happens(session("bob", "open", "direct"));
    talk.shows("Start private messaging with bob.");
    talk.shows("  (direct, key 41 07 88, known)");
    talk.happens(json!({"type": "message", "index": 1, "id": "00000000000000m1", "from": "bob", "to": "alice",
        "kind": "private", "text": "hi\nthere", "content_type": "text/plain", "at_ms": AT, "state": "delivered", "own": false}));
    talk.shows("bob(private): hi");
    talk.shows("  | there");
    talk.types("private bob  two  blanks");
    talk.home.until_asked("private");
    talk.happens(session("bob", "away", "direct"));
    talk.shows("bob cannot be reached; private messages are kept for 1m.");
    assert_eq!(talk.home.call("private")["text"], " two  blanks");
    talk.happens(session("bob", "open", "relay"));
    talk.shows("bob is back.");
    talk.happens(session("bob", "open", "direct"));
    talk.shows("Private messaging with bob goes another way now (direct, key 41 07 88, known).");
    talk.types("stopprivate bob");
    talk.shows("Private messaging with bob has ended.");
    talk.happens(ended("bob", "you", false));
    for (reason, by_peer, words) in [
        ("peer", true, "bob has stopped it."),
        ("logout", true, "bob has logged out."),
        ("idle", true, "bob was logged out without activity."),
        ("link", false, "bob could not be reached."),
        ("you", false, "You have stopped it."),
    ] {
        talk.happens(session("bob", "open", "direct"));
        talk.shows("Start private messaging with bob.");
        talk.shows("  (direct, key 41 07 88, known)");
        talk.happens(ended("bob", reason, by_peer));
        talk.shows(&format!("Private messaging with bob has ended. {words}"));
    }
    talk.happens(ended("carol", "no_direct_path", false));
    talk.shows("Private messaging with carol was not started. No direct path was found.");
}

#[test]
fn logging_out_asks_about_unsent_messages_before_an_open_request() {
    let mut talk = Talk::start(&["bob"], |method, params| {
        (method == "logout").then(|| match params["force"].as_bool() {
            Some(true) => Answer::Ok(
                json!({"user": "alice", "state": "logged_out", "ended": ["bob"], "unsent": 2, "confirmed": true}),
            ),
            _ => Answer::Refuse(json!({"code": "unsent", "subject": "2 messages"})),
        })
    });
    talk.shows(ASKS_BOB);
    talk.types("logout");
    talk.shows("2 messages unsent; they go out at the next login. Log out, enter y or n:");
    talk.types("n");
    talk.shows(ASKS_BOB);
    talk.types("logout");
    talk.shows("2 messages unsent; they go out at the next login. Log out, enter y or n:");
    talk.types("y");
    talk.shows("Logged out alice. Private session with bob ended. 2 unsent messages kept for the next login.");
    assert_eq!(talk.home.call_count("accept"), 0);
}

#[test]
fn files_are_offered_with_what_to_type() {
    let mut talk = Talk::start(&[], |_, _| None);
    let mut file = json!({"type": "file_offer", "id": "00112233445566778899aabbccdd9f3c", "peer": "bob", "dir": "in",
        "name": "a.pdf", "size": 1200, "done": 0, "state": "offered", "at_ms": AT});
    talk.happens(file.clone());
    talk.shows("bob offers a.pdf (1.2 kB): file accept 9f3c, file decline 9f3c");
    (file["type"], file["state"]) = (json!("file"), json!("running"));
    talk.happens(file.clone());
    file["state"] = json!("done");
    talk.happens(file);
    talk.shows("a.pdf from bob: done");
}

//! Every command that a text of ours tells people to run is taken from the sources and run: none may be a mistake in usage. A text
//! whose placeholders this test does not know fails it too, so that no hint stays untried.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use chat_tests::process::{PATIENCE, command, signal};
use chat_tests::server::Server;
use chat_tests::{Home, Output, World};
use rustix::process::Signal;

/// One that goes on for ever, and rightly, is let go when it has not failed by then.
const LET_GO: Duration = Duration::from_secs(3);

/// Whether it serves or follows; every other one must come to its end.
fn goes_on(hint: &Hint) -> bool {
    let words = hint.words.as_str();
    match hint.program {
        "chatctl" => words.split(' ').next() == Some("watch") || words.ends_with("--follow"),
        _ => words.split(' ').next() == Some("run"),
    }
}

/// A command found in a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Hint {
    program: &'static str,
    words: String,
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of sources").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|end| end == "rs") {
            found.push(entry);
        }
    }
}

/// The text literals of a source, its tests and comments left out, each with the code before it on its line.
fn literals(source: &str) -> Vec<(String, String)> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut before = String::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|c| *c != '\n').is_some() {},
            '\'' if chars.peek() == Some(&'"') => {
                chars.next();
            }
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match (c, chars.peek()) {
                        ('"', _) => break,
                        ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                        ('\\', Some('n')) => {
                            chars.next();
                            text.push('\n');
                        }
                        ('\\', Some(_)) => text.extend(chars.next()),
                        _ => text.push(c),
                    }
                }
                found.push((std::mem::take(&mut before), text));
            }
            '\n' if !before.trim_end().ends_with('(') => before.clear(),
            c => before.push(c),
        }
    }
    found
}

/// The command that begins here, up to where the sentence goes on.
fn command_in(text: &str) -> String {
    const ENDS: &[char] = &[',', ';', ')', '"', '?', '\'', '`', '|', '>', '&', '#'];
    let mut words = Vec::new();
    // a line break ends it, and so does the gap before a column of explanations
    let text = text.lines().next().unwrap_or_default().split("  ").next().unwrap_or_default();
    let mut all = text.split_whitespace();
    while let Some(word) = all.next() {
        if word.starts_with('(') {
            break;
        }
        // several words in quotes are one text
        if word.starts_with('"') && !word.starts_with("\"$") && word.matches('"').count() == 1 {
            words.push("TEXT");
            match all.find(|word| word.contains('"')) {
                Some(last) if last.ends_with('"') => continue,
                _ => break,
            }
        }
        // what a script puts in there is an id
        if word.starts_with("\"$") {
            words.push("ID");
            break;
        }
        // quoted as a whole
        if let Some(inner) = ['\'', '"'].iter().find_map(|q| word.strip_prefix(*q)?.strip_suffix(*q)) {
            words.push(inner);
            continue;
        }
        let end = word.find(ENDS).unwrap_or(word.len());
        let (kept, ended) = (word[..end].trim_end_matches(['.', ':']), end < word.len() || word.ends_with(['.', ':']));
        words.extend(Some(kept).filter(|word| !word.is_empty()));
        if ended {
            break;
        }
    }
    words.join(" ")
}

fn commands_of(program: &str) -> Vec<String> {
    let help = command(program).arg("--help").output().expect("the program can be run");
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    let list = text.split("Commands:").nth(1).expect("a list of commands").lines().skip(1);
    let named = list.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    named.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// Every hint of the sources, with a place where it stands.
fn hints() -> BTreeMap<Hint, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf();
    let (ctl, server) = (commands_of("chatctl"), commands_of("chat-server"));
    let mut found = BTreeMap::new();
    let mut files = Vec::new();
    for folder in ["chatctl/src", "chatd/client/src", "chatd/server/src", "chatd/process/src", "proto/local/src"] {
        sources(&root.join(folder), &mut files);
    }
    for file in files {
        let place = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let source = fs::read_to_string(&file).expect("a source");
        for (before, text) in literals(&source) {
            let mut add = |program, words: String| {
                found.entry(Hint { program, words }).or_insert_with(|| place.clone());
            };
            said_in(&text, &ctl, &server).into_iter().for_each(|(program, words)| add(program, words));
            // what stands behind chat-server's name in the next steps of its verbs and checks
            let in_server = place.ends_with("admin/words.rs") || place.contains("server/src/check/");
            if in_server
                && (text.contains(' ') || text == "check")
                && is_command(&server, &text)
                && text.chars().all(|c| c.is_ascii_lowercase() || " -{}".contains(c))
            {
                add("chat-server", text.clone());
            }
            // what stands behind the program's name in `next`, and in the table of refusals
            let in_chatctl = place.starts_with("chatctl/");
            let before = before.trim_end();
            let is_next = [".next(", ".next(format!("].iter().any(|call| before.ends_with(call))
                || (place.ends_with("words/refusals.rs") && before.ends_with(','));
            if in_chatctl && is_next && !text.is_empty() && !text.contains('.') {
                assert!(is_command(&ctl, &text), "{place}: the hint {text:?} begins with no command");
                add("chatctl", text);
            }
        }
    }
    let readme = fs::read_to_string(root.join("README.md")).expect("a README");
    for (program, words) in readme.lines().flat_map(|line| said_in(line, &ctl, &server)) {
        found.entry(Hint { program, words }).or_insert_with(|| "README.md".to_owned());
    }
    found
}

fn is_command(verbs: &[String], words: &str) -> bool {
    let first = words.split_whitespace().next().unwrap_or_default();
    verbs.iter().any(|verb| verb == first)
}

/// The commands of both programs in the middle of a text; `{program}` stands for chat-server.
fn said_in(text: &str, ctl: &[String], server: &[String]) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let programs =
        [("chatctl ", "chatctl", ctl), ("chat-server ", "chat-server", server), ("{program} ", "chat-server", server)];
    for (marker, program, verbs) in programs {
        for (at, _) in text.match_indices(marker) {
            let words = command_in(&text[at + marker.len()..]);
            // where it is, the test says itself
            let words =
                words.strip_prefix("--dir ").and_then(|rest| rest.split_once(' ')).map_or(&*words, |(_, words)| words);
            if is_command(verbs, words) && !text[..at].ends_with("than ") {
                found.push((program, words.to_owned()));
            }
        }
    }
    found
}

/// The hint as it would be printed in the world of this test.
fn filled(hint: &Hint, place: &str, id: &str, server: &Server, password_file: &str) -> Vec<String> {
    let fill = |word: &str| -> String {
        match word {
            "{id}" | "{key}" | "ID" | "KEY" => id.to_owned(),
            "{}" if hint.words.starts_with("show") => id.to_owned(),
            // the README speaks for both; this test is alice
            "alice" if hint.words.starts_with("message") => "bob".to_owned(),
            "report.txt" => server.dir().join("report.txt").display().to_string(),
            "{server}" | "HOST" | "HOST[:PORT]" => server.address().to_string(),
            word if word.starts_with("sha256:") => server.fingerprint().to_owned(),
            "{user}" | "{name}" | "{who}" | "{to}" | "{peer}" | "{}" | "NAME" | "USER" => "bob".to_owned(),
            "TEXT" => "hi".to_owned(),
            "P" => "0".to_owned(),
            "S" => "60".to_owned(),
            "{cursor}" => "triage".to_owned(),
            "{verb}" => "login".to_owned(),
            "FILE" | "F" => password_file.to_owned(),
            "TOPIC" => "files".to_owned(),
            "TYPE" => "message".to_owned(),
            word => {
                let left = word.contains('{') || word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
                assert!(!left, "{place}: this test does not know the placeholder {word} of the hint {hint:?}");
                word.to_owned()
            }
        }
    };
    // the verb itself is spoken of
    let words = if hint.words == "message" { "help message" } else { &hint.words };
    words.split_whitespace().map(fill).collect()
}

/// Runs it to its end; nothing where it goes on, as it should.
fn tried(mut run: Command, typed: String, goes_on: bool) -> Option<Output> {
    let child = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program can be run");
    let pid = child.id();
    // what it prints is read meanwhile: some print more than a pipe holds
    let (ends, ended) = mpsc::channel();
    std::thread::spawn(move || ends.send(child.wait_with_output()));
    let output = ended.recv_timeout(if goes_on { LET_GO } else { PATIENCE });
    let Ok(output) = output else {
        signal(pid, Signal::KILL);
        assert!(goes_on, "{typed} does not come to its end");
        return None;
    };
    Some(Output::new(typed, &output.expect("our child")))
}

fn chatctl(home: &Home, words: &[String]) -> Command {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut run = home.command(&words);
    run.env("EDITOR", "true");
    run
}

#[test]
fn every_hint_runs() {
    let hints = hints();
    assert!(hints.len() > 30, "too few were found to be all: {hints:?}");
    let mut world = World::start();
    let (alice, _bob) = (world.user("alice"), world.user("bob"));
    let id = alice.json(&["message", "bob", "hi"]).ok().json()["id"].as_str().expect("an id").to_owned();
    let mut wrong = Vec::new();
    // chatctl's first: among the server's is one that stops it
    for (hint, place) in hints.iter().rev() {
        let words = filled(hint, place, &id, &world.server, &world.password_file());
        let run = if hint.program == "chatctl" {
            chatctl(&alice, &words)
        } else {
            let mut run = command("chat-server");
            run.arg("--dir").arg(world.server.dir()).args(&words);
            run
        };
        let Some(output) = tried(run, format!("{} {}", hint.program, words.join(" ")), goes_on(hint)) else { continue };
        if [2, 70, -1].contains(&output.code) {
            wrong.push(format!("{place}: {output}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

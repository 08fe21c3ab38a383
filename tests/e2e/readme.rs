//! The transcripts of README.md, typed again: every block of it that is marked `console` runs, from the first to the last, in one
//! world, and prints what the page shows. With `CHAT_README=write` in the environment the page gets what the programs print now.
//!
//! A line `$ COMMAND` is typed by whoever runs the server, `alice$ COMMAND` by alice. What differs from run to run (ids, keys, times,
//! the server's address) may differ from the page, as long as it is of the same kind; a later command that names one means the real one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chat_tests::process::{binary, command, kill_child, tail, until};
use regex::Regex;

/// How the page calls the server.
const SERVER: &str = "chat.example.org";
/// Where the page lets it listen.
const LISTEN: &str = "'[::]:7443'";
/// Who types, beside the one who runs the server.
const PEOPLE: [&str; 2] = ["alice", "bob"];

/// One command of the page and what the page says that it prints.
struct Step {
    /// Empty: who runs the server.
    who: String,
    typed: String,
    /// Lines of the page that show the output.
    shown: std::ops::Range<usize>,
}

/// The steps of all transcripts in a page.
fn steps(page: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut open = false;
    for (number, line) in page.iter().enumerate() {
        match line.strip_prefix("```") {
            Some(mark) => open = !open && mark == "console",
            None if !open => {}
            None => match line.split_once("$ ").filter(|(who, _)| who.is_empty() || PEOPLE.contains(who)) {
                Some((who, typed)) => {
                    steps.push(Step { who: who.to_owned(), typed: typed.to_owned(), shown: number + 1..number + 1 })
                }
                None => {
                    let step = steps.last_mut().expect("a transcript begins with a command");
                    assert_eq!(step.shown.end, number, "README.md:{}: output without a command", number + 1);
                    step.shown.end = number + 1;
                }
            },
        }
    }
    steps
}

/// What may differ from run to run: named by the group `it`.
fn kinds() -> Vec<Regex> {
    let kinds = [
        r"(?P<it>sha256:[0-9a-f]{4,64}(?:\.\.)?)",
        r"\((?:for )?(?P<it>[0-9a-z]{4})[,)]",
        r"(?m)^(?P<it>[0-9a-z]{4})  (?:to|from) ",
        r"(?:file accept|key) (?P<it>[0-9a-z]{4})\b",
        r"\(device (?P<it>[^)]*)\)",
        r"\b(?P<it>[0-9]{2}:[0-9]{2})\b",
        r"\b(?P<it>[0-9]+(?:\.[0-9]+)? ?(?:ms|s|m))\b",
        r"key (?P<it>[0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2})\b",
    ];
    kinds.iter().map(|kind| Regex::new(kind).expect("a pattern")).collect()
}

/// The world in which the page is typed.
struct Typist {
    dir: tempfile::TempDir,
    kinds: Vec<Regex>,
    /// What the page names and what it is here.
    meant: BTreeMap<String, String>,
    server: Option<Child>,
}

impl Typist {
    fn new() -> Typist {
        let dir = tempfile::tempdir().expect("a directory to play in");
        fs::write(dir.path().join("password"), "correct horse battery").expect("written");
        fs::write(dir.path().join("report.pdf"), vec![b'x'; 1_300_000]).expect("written");
        let meant = BTreeMap::from([(LISTEN.to_owned(), "127.0.0.1:0".to_owned())]);
        Typist { dir, kinds: kinds(), meant, server: None }
    }

    /// A shell as `who` has it.
    fn shell(&self, who: &str) -> Command {
        let ours = command("chatctl");
        let mut shell = Command::new("bash");
        shell.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let bin = binary("chatctl").parent().expect("a file has a folder").to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", bin.display())).env("HOME", self.home(who)).current_dir(&self.dir);
        if !who.is_empty() {
            shell.env("CHAT_HOME", self.home(who));
        }
        shell.stdin(Stdio::null());
        shell
    }

    fn home(&self, who: &str) -> PathBuf {
        self.dir.path().join(if who.is_empty() { "server" } else { who })
    }

    /// The command as it works here. Where the page leaves out how a password is asked for, it comes from a file.
    fn here(&self, typed: &str) -> String {
        let mut typed = typed.to_owned();
        for (page, real) in &self.meant {
            typed = typed.replace(page, real);
        }
        if typed.starts_with("chatctl register") {
            let end = typed.find("  #").unwrap_or(typed.len());
            typed.insert_str(end, " --password-file password");
        }
        typed
    }

    /// Types one step and returns what it prints, in the words of the page.
    fn types(&mut self, step: &Step) -> String {
        let typed = self.here(&step.typed);
        if let Some(served) = typed.strip_suffix(" &") {
            return self.serves(served);
        }
        self.waits_for(&step.who, &typed);
        let output = self.shell(&step.who).args(["-c", &format!("{{ {typed}\n}} 2>&1")]).output();
        let output = output.expect("a shell runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}$ {typed}\n{said}", step.who);
        said
    }

    fn serves(&mut self, typed: &str) -> String {
        let log = fs::File::create(self.dir.path().join("server.log")).expect("a log");
        let child = self.shell("").args(["-c", &format!("exec {typed}")]).stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(child.expect("a shell runs"));
        let listen = self.dir.path().join("server/run/listen");
        let address =
            until("the server serves", || fs::read_to_string(&listen).ok().filter(|text| text.ends_with('\n')));
        self.meant.insert(SERVER.to_owned(), address.trim().to_owned());
        String::new()
    }

    /// What others did reaches somebody some moments later: a command that shows it is typed by a person who has seen it come.
    fn waits_for(&self, who: &str, typed: &str) {
        let verb = typed.strip_prefix("chatctl ").unwrap_or_default();
        if verb.starts_with("show ") {
            until("it was read", || {
                let seen = self.shell(who).args(["-c", typed]).output().expect("a shell runs");
                String::from_utf8_lossy(&seen.stdout).contains(": read ").then_some(())
            });
        }
        let facts = [
            (["read", "inbox", "unread"].as_slice(), "unread --json", r#""total":0"#),
            (["requests", "accept"].as_slice(), "requests --incoming --json", r#""items":[]"#),
            (["file list", "file accept"].as_slice(), "file list --json", r#""items":[]"#),
        ];
        for (verbs, asks, nothing) in facts {
            if verbs.iter().any(|word| verb.starts_with(word)) {
                until(&format!("{who} sees something by {asks}"), || {
                    let seen = self.shell(who).args(["-c", &format!("chatctl {asks}")]).output().expect("a shell runs");
                    (!String::from_utf8_lossy(&seen.stdout).contains(nothing)).then_some(())
                });
            }
        }
    }

    /// The same with what may differ taken out, and that itself.
    fn shape(&self, text: &str) -> (String, Vec<String>) {
        let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
        for kind in &self.kinds {
            for found in kind.captures_iter(text).filter_map(|found| found.name("it").map(|it| it.range())) {
                if spans.iter().all(|span| span.end <= found.start || found.end <= span.start) {
                    spans.push(found);
                }
            }
        }
        spans.sort_by_key(|span| span.start);
        let (mut shape, mut at) = (String::new(), 0);
        for span in &spans {
            shape.push_str(&text[at..span.start]);
            shape.push('\u{fffc}');
            at = span.end;
        }
        shape.push_str(&text[at..]);
        (shape, spans.into_iter().map(|span| text[span].to_owned()).collect())
    }

    /// Whether both say the same; then what the page names is known.
    fn agrees(&mut self, shown: &str, said: &str) -> bool {
        let ((page, named), (real, found)) = (self.shape(shown), self.shape(said));
        if page != real {
            return false;
        }
        let long = |name: &String| name.len() > 3 && !name.contains(':') || name.starts_with("sha256:");
        self.meant.extend(named.into_iter().zip(found).filter(|(name, real)| long(name) && name != real));
        true
    }

    /// What the programs print, in the words of the page.
    fn as_shown(&self, who: &str, said: &str) -> String {
        let mut said = said.replace(&self.home(who).display().to_string(), "~");
        for (page, real) in &self.meant {
            if page != LISTEN {
                said = said.replace(real, page);
            }
        }
        said
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        for who in PEOPLE {
            // one that never started is as good
            let _ = self.shell(who).args(["-c", "chatctl --no-autostart -q daemon stop"]).output();
        }
        if let Some(server) = &mut self.server {
            kill_child(server);
        }
        if std::thread::panicking() {
            eprintln!("--- chat-server\n{}", tail(&self.dir.path().join("server.log"), 30));
        }
    }
}

#[test]
fn its_transcripts_are_what_the_programs_print() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("README.md");
    let text = fs::read_to_string(&path).expect("a README");
    let page: Vec<&str> = text.lines().collect();
    let steps = steps(&page);
    assert!(steps.len() > 20, "too few commands were found to be all: {}", steps.len());
    let mut typist = Typist::new();
    let (mut written, mut at, mut wrong) = (Vec::new(), 0, Vec::new());
    for step in &steps {
        let shown: String = page[step.shown.clone()].iter().map(|line| format!("{line}\n")).collect();
        let said = typist.types(step);
        let said = typist.as_shown(&step.who, &said);
        written.extend(page[at..step.shown.start].iter().map(|line| (*line).to_owned()));
        at = step.shown.end;
        if typist.agrees(&shown, &said) {
            written.extend(shown.lines().map(str::to_owned));
        } else {
            written.extend(said.lines().map(str::to_owned));
            wrong.push(format!("{}$ {}\nthe page:\n{shown}now:\n{said}", step.who, step.typed));
        }
    }
    written.extend(page[at..].iter().map(|line| (*line).to_owned()));
    if std::env::var_os("CHAT_README").is_some_and(|wish| wish == "write") {
        fs::write(&path, written.join("\n") + "\n").expect("written");
    } else {
        assert!(wrong.is_empty(), "README.md shows what is not printed:\n{}", wrong.join("\n"));
    }
}

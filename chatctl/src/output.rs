//! What leaves chatctl: results on stdout in one of three forms, everything else on stderr. Every command prints through here, and
//! text of others becomes printable here and nowhere else ([`Shown`], S17, S18).

use std::fmt;
use std::io::{self, IsTerminal, Write};

use chat_local::json::object;
use chat_proto::display;

use crate::exit::Exit;
use crate::json::{Json, members};
use crate::time::Clock;

/// What stands before each further line of a message, so that one message can never look like two (S18).
pub const GUTTER: &str = "  | ";

/// Text that is safe to print: the only way from a name or a text of others to the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// A name chosen by someone else, isolated when it is not ASCII.
    pub fn name(text: &str) -> Shown {
        Shown(display::name(text).into_owned())
    }

    /// One line: host names, paths, previews, columns.
    pub fn line(text: &str) -> Shown {
        Shown(display::line(text).into_owned())
    }

    /// A message text; its last newline is not shown, further lines carry the gutter.
    pub fn message(text: &str) -> Shown {
        let text = text.strip_suffix('\n').unwrap_or(text);
        Shown(display::message(text, GUTTER))
    }

    /// The start of a message in one line of at most `columns`.
    pub fn preview(text: &str, columns: usize) -> Shown {
        let text = text.trim();
        let first = text.lines().next().unwrap_or_default();
        let start: String = first.chars().take(columns).collect();
        let mut shown = display::line(&start).into_owned();
        let cut = start.len() < text.len();
        while display::width(&shown) > columns.saturating_sub(if cut { 3 } else { 0 }) {
            shown.pop();
        }
        if cut {
            shown.push_str("...");
        }
        Shown(shown)
    }

    /// Columns it takes.
    pub fn width(&self) -> usize {
        display::width(&self.0)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something went wrong, in words: what happened, how chatctl ends, what to run next.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The code in JSON.
    pub code: &'static str,
    /// How chatctl ends.
    pub exit: Exit,
    /// What happened and why, safe to print.
    pub what: String,
    /// Arguments of the chatctl to run next.
    pub next: Option<String>,
    /// `next` is a whole command, of another program.
    pub whole: bool,
    /// When trying again may help.
    pub retry_after_ms: Option<u64>,
    /// Further members of the JSON object.
    pub more: Vec<(&'static str, String)>,
}

impl Trouble {
    /// A trouble without a next step.
    pub fn new(code: &'static str, exit: Exit, what: impl Into<String>) -> Trouble {
        let what = display::cause(&what.into()).into_owned();
        Trouble { code, exit, what, next: None, whole: false, retry_after_ms: None, more: Vec::new() }
    }

    /// With the chatctl command to run next.
    pub fn next(mut self, arguments: impl Into<String>) -> Trouble {
        (self.next, self.whole) = (Some(arguments.into()), false);
        self
    }

    /// With a command of another program to run next.
    pub fn run(mut self, command: impl Into<String>) -> Trouble {
        (self.next, self.whole) = (Some(command.into()), true);
        self
    }

    /// The command to run next, as it is typed; `chatctl` is how this one was called.
    pub fn hint(&self, chatctl: &str) -> Option<String> {
        let next = self.next.as_ref()?;
        Some(if self.whole { next.clone() } else { format!("{chatctl} {next}") })
    }

    /// Adds a member to the JSON object.
    pub fn add(&mut self, name: &'static str, value: String) {
        self.more.push((name, value));
    }
}

/// Why a command ends other than by success.
#[derive(Debug)]
pub enum End {
    /// With this exit code; everything was said.
    Quiet(Exit),
    /// With a trouble to be said.
    Said(Box<Trouble>),
    /// With the exit code of a program that was run.
    Program(u8),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> End {
        End::Said(Box::new(trouble))
    }
}

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Human,
    /// Objects of format 1.
    Json,
    /// Columns between tabs.
    Plain,
}

/// Where a command's words go, and how.
#[derive(Clone, Debug)]
pub struct Output {
    /// The form of results.
    pub form: Form,
    /// `-q`: no success lines, no notes.
    pub quiet: bool,
    /// `-v`.
    pub verbose: bool,
    /// Colours are wanted and the terminal takes them.
    pub color: bool,
    /// How times are printed.
    pub clock: Clock,
    /// The beginning of every hint: `chatctl` and the global flags that were given.
    pub chatctl: String,
}

impl Output {
    /// Prints an object of format 1: `v` and `type` come first.
    pub fn object(&self, kind: &str, members: Json) -> Result<(), End> {
        self.write(&format!("{}\n", object(kind, members)))
    }

    /// The one line of a state change; nothing for `-q`.
    pub fn success(&self, text: &str) -> Result<(), End> {
        if self.quiet { Ok(()) } else { self.line(text) }
    }

    /// A line of a result for people. `text` is made of our words and [`Shown`].
    pub fn line(&self, text: &str) -> Result<(), End> {
        self.write(&format!("{text}\n"))
    }

    /// A line of columns for programs: tab-separated, no column holds a tab or newline.
    pub fn row(&self, columns: &[&str]) -> Result<(), End> {
        let shown: Vec<_> = columns.iter().map(|text| display::line(text)).collect();
        self.write(&format!("{}\n", shown.join("\t")))
    }

    /// Words to people that are no result: on stderr, not with `-q`, not in JSON.
    pub fn note(&self, text: &str) {
        if !self.quiet && self.form != Form::Json {
            // stderr may be closed; there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says a trouble on stderr: a sentence and a hint, or one JSON object.
    pub fn trouble(&self, trouble: &Trouble) {
        let hint = trouble.hint(&self.chatctl);
        let text = match self.form {
            Form::Json => error_object(trouble, hint),
            _ if trouble.what.is_empty() => return,
            _ => self.sentence(&trouble.what, hint),
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn sentence(&self, what: &str, hint: Option<String>) -> String {
        let name = if self.color && io::stderr().is_terminal() { "\x1b[31mchatctl:\x1b[0m" } else { "chatctl:" };
        match hint {
            Some(hint) => format!("{name} {what}\n  next: {hint}"),
            None => format!("{name} {what}"),
        }
    }

    /// Advice beside a result: as a trouble, but not in JSON, where the result itself has it, and not with `-q`.
    pub fn advice(&self, trouble: &Trouble) {
        if self.form == Form::Human && !self.quiet {
            self.trouble(trouble);
        }
    }

    /// Emphasis on a terminal; the meaning is in the words alone.
    pub fn bold(&self, text: &str) -> String {
        if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Less emphasis on a terminal.
    pub fn dim(&self, text: &str) -> String {
        if self.color { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Writes and flushes: what was printed is out before anything follows from it. A closed pipe ends quietly.
    pub fn write(&self, text: &str) -> Result<(), End> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(End::Quiet(Exit::Done)),
            Err(error) => {
                Err(Trouble::new("output", Exit::BadState, format!("cannot write the result: {error}.")).into())
            }
        }
    }
}

fn error_object(trouble: &Trouble, hint: Option<String>) -> String {
    let members = members!({
        "code": trouble.code,
        "message": trouble.what,
        "hint": hint,
        "exit": trouble.exit.number(),
        "retry_after_ms": trouble.retry_after_ms,
    });
    let members = trouble.more.iter().fold(members, |members, (name, value)| members.with(name, value));
    object("error", members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_the_manual() {
        let trouble =
            Trouble::new("recipient_blocked", Exit::Refused, "bob has blocked you, so the message was not delivered.");
        assert_eq!(
            error_object(&trouble, None),
            r#"{"v":1,"type":"error","code":"recipient_blocked","message":"bob has blocked you, so the message was not delivered.","hint":null,"exit":7,"retry_after_ms":null}"#
        );
    }

    #[test]
    fn json_keeps_the_value_and_shows_nothing_to_obey() {
        for text in
            ["plain", "\u{9b}31m", "\u{202e}abc", "a\u{200b}b", "\x7f\x1b[2J", "\u{e0041}", "caf\u{e9} \u{1f600}"]
        {
            let line = object("x", members!({ "text": text }));
            let back: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(back["text"], text);
            assert_eq!(display::line(&line), line, "{line:?}");
        }
    }

    #[test]
    fn previews_are_one_line_and_fit() {
        assert_eq!(Shown::preview("see you at 3\n", 60).to_string(), "see you at 3");
        assert_eq!(Shown::preview("one\ntwo", 60).to_string(), "one...");
        let long = Shown::preview(&"\u{6f22}".repeat(100), 20);
        assert!(long.width() <= 20 && long.to_string().ends_with("..."));
    }

    #[test]
    fn a_message_never_looks_like_two() {
        assert_eq!(Shown::message("hi\n14:01 alice: no\n").to_string(), "hi\n  | 14:01 alice: no");
    }
}

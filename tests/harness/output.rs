//! What one run of a program printed and how it ended, with the assertions that tests make on it.

use serde_json::Value;

use crate::tidy::tidy;
use crate::{Build, format};

/// Result of a finished process.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command as typed, for reports.
    pub typed: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    /// Which build printed it.
    pub build: Build,
}

impl Output {
    /// From the standard library's form. Whatever the program did, it must have said it in words for people.
    #[track_caller]
    pub fn new(typed: String, output: &std::process::Output) -> Output {
        Output::by(&Build::Tested, typed, output)
    }

    /// What this build printed: an earlier one's objects may lack what the schema of the tested one has, and its words are its own.
    #[track_caller]
    pub fn by(build: &Build, typed: String, output: &std::process::Output) -> Output {
        let output = Output {
            typed,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            build: build.clone(),
        };
        if matches!(build, Build::Tested) {
            tidy(&output.typed, &output.stdout);
            tidy(&output.typed, &output.stderr);
        }
        output
    }

    /// Must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Output {
        assert_eq!(self.code, code, "exit code of: {self}");
        self
    }

    /// Must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Output {
        self.exits(0)
    }

    /// Stdout or stderr must hold this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Output {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "{text:?} is not said by: {self}");
        self
    }

    /// Neither stream holds this text.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Output {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "{text:?} is said by: {self}");
        self
    }

    /// Stdout is exactly one JSON object of format 1.
    #[track_caller]
    pub fn json(&self) -> Value {
        let value: Value = match serde_json::from_str(self.stdout.trim_end()) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not one JSON object ({error}): {self}"),
        };
        assert_eq!(value["v"], 1, "no format number: {self}");
        assert!(value["type"].is_string(), "no type: {self}");
        self.described(&value);
        value
    }

    /// Stderr ends with one JSON error object; its code and exit must be these.
    #[track_caller]
    pub fn fails_with(self, code: &str, exit: i32) -> Output {
        let value = self.error();
        assert_eq!(value["code"], code, "error code of: {self}");
        assert_eq!(value["exit"], exit, "exit in the error object of: {self}");
        self.exits(exit)
    }

    /// The JSON error object on stderr.
    #[track_caller]
    pub fn error(&self) -> Value {
        let found = self
            .stderr
            .lines()
            .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|v| v["type"] == "error"));
        let value = found.unwrap_or_else(|| panic!("no JSON error on stderr: {self}"));
        assert_eq!(value["v"], 1, "no format number: {self}");
        assert!(value["message"].as_str().is_some_and(|text| !text.is_empty()), "no message: {self}");
        self.described(&value);
        value
    }

    /// What the program printed must be as its schema says.
    #[track_caller]
    fn described(&self, object: &Value) {
        if self.build != Build::Tested {
            return;
        }
        format::check(if self.typed.starts_with("chat-server") { "chat-server" } else { "chatctl" }, object);
    }

    /// The `items` of a list object.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        match self.json()["items"].as_array() {
            Some(items) => items.clone(),
            None => panic!("no items in: {self}"),
        }
    }

    /// One field of every item, as text, in order.
    #[track_caller]
    pub fn column(&self, field: &str) -> Vec<String> {
        self.items().iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |text: &str| text.chars().take(4000).collect::<String>();
        write!(
            f,
            "$ {}\n(exit {})\nstdout: {}\nstderr: {}",
            self.typed,
            self.code,
            short(&self.stdout),
            short(&self.stderr)
        )
    }
}

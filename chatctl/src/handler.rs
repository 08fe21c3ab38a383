//! The program of `watch --exec`: started as it was typed, without a shell, one event as JSON on its stdin, its exit code the answer.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

/// What is run for every event.
#[derive(Clone, Debug)]
pub struct Handler {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Variables that every run gets.
    pub variables: Vec<(&'static str, OsString)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With exit 0.
    Done,
    /// Otherwise; in words.
    Failed(String),
    /// It could not be started; in words.
    Missing(String),
}

impl Handler {
    /// The program's name, for words.
    pub fn name(&self) -> String {
        self.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Runs it with this line on its stdin. Blocks until it ends.
    pub fn run(&self, line: &str, variables: &[(&str, String)]) -> Outcome {
        let Some((program, arguments)) = self.command.split_first() else {
            return Outcome::Missing("no program was named".to_owned());
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Outcome::Missing(error.to_string()),
        };
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read it all has its reasons; its exit code counts.
            let _ = stdin.write_all(line.as_bytes());
        }
        match child.wait() {
            Ok(status) if status.success() => Outcome::Done,
            Ok(status) => Outcome::Failed(match status.code() {
                Some(code) => format!("exit {code}"),
                None => status.to_string(),
            }),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str], line: &str) -> Outcome {
        let command = words.iter().map(OsString::from).collect();
        let handler = Handler { command, variables: vec![("CHAT_PROFILE", "work".into())] };
        handler.run(line, &[("CHAT_EVENT", "message".into())])
    }

    #[test]
    fn the_exit_code_is_the_answer() {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/c") } else { ("sh", "-c") };
        assert_eq!(run(&[shell, flag, "exit 0"], "a line that is not read\n"), Outcome::Done);
        assert_eq!(run(&[shell, flag, "exit 3"], ""), Outcome::Failed("exit 3".into()));
        assert!(matches!(run(&["/no/such/program"], ""), Outcome::Missing(_)));
    }

    /// In the language of sh.
    #[cfg(unix)]
    #[test]
    fn it_gets_the_line_and_the_variables() {
        let test = r#"read l && test "$l/$CHAT_EVENT/$CHAT_PROFILE" = "a  \$b/message/work""#;
        assert_eq!(run(&["sh", "-c", test], "a  $b\n"), Outcome::Done);
    }
}

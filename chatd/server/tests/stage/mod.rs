//! The program on a directory of its own, for tests that see it from outside.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    command.arg("--dir").arg(dir).args(args);
    command
}

pub fn done(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(dir, args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

pub fn initialised() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = done(dir.path(), &["init", "--self-signed"]);
    assert_eq!(code, 0, "{err}");
    dir
}

/// A server, and the address that it printed.
pub fn running(dir: &Path) -> (Child, String) {
    let mut child =
        program(dir, &["run", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().strip_prefix("listening on ").unwrap().to_owned())
}

/// Runs what an error says to type next, and answers how that ended.
pub fn follow(err: &str) -> i32 {
    let next =
        err.lines().find_map(|line| line.strip_prefix("  next: ")).unwrap_or_else(|| panic!("no next step: {err}"));
    let mut words = next.split(' ');
    let name = words.next().unwrap();
    let mut command = match name {
        "chat-server" => Command::new(env!("CARGO_BIN_EXE_chat-server")),
        other => Command::new(other),
    };
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().unwrap()
}

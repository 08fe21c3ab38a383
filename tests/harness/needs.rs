//! What a test needs of the machine and may not find: asked for here, so that nothing is passed over in silence.
//!
//! A test without what it needs passes and says so. `tests/run` names those of a run, by the file that `CHAT_PASSED_OVER` names; with
//! `CHAT_NO_PASSING_OVER` set they fail.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

/// Whether it is here. When it is not, says in words what is missing.
#[track_caller]
pub fn met(is_here: bool, missing: &str) -> bool {
    if is_here {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("CHAT_NO_PASSING_OVER").is_none(), "passed over: {missing}");
    eprintln!("passed over: {missing}");
    if let Some(path) = std::env::var_os("CHAT_PASSED_OVER") {
        // One write: the tests of a run append at the same time.
        let line = format!("{test}: {missing}\n");
        let appended =
            File::options().append(true).create(true).open(path).and_then(|mut file| file.write_all(line.as_bytes()));
        appended.expect("the list of what was passed over can be written");
    }
    false
}

/// Whether we are root.
#[track_caller]
pub fn root(for_what: &str) -> bool {
    met(rustix::process::geteuid().is_root(), &format!("only root can do it: {for_what}"))
}

/// Whether processes can be traced.
#[track_caller]
pub fn strace() -> bool {
    met(works(Command::new("strace").args(["-o", "/dev/null", "true"])), "strace is missing or may not trace here")
}

/// Whether a command can be run and succeeds.
pub fn works(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

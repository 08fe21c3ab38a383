//! Which build's programs a process of a world runs: those under test, or an earlier one's (the upgrade tests mix them).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process;

/// A set of the three programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// The ones under test.
    #[default]
    Tested,
    /// Those in this directory.
    Earlier(PathBuf),
}

impl Build {
    /// One of its programs.
    pub fn binary(&self, name: &str) -> PathBuf {
        match self {
            Build::Tested => process::binary(name),
            Build::Earlier(dir) => dir.join(name),
        }
    }

    /// A command of it with nothing inherited from the tester's environment except the search path.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binary(name));
        command.env_clear().env("TZ", "UTC").env("LANG", "C.UTF-8").env("RUST_BACKTRACE", "1");
        // CHAT_PLANT: which defect a build with planted ones is to have (tests/faults)
        for name in ["PATH", "CHAT_PLANT"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null());
        command
    }
}

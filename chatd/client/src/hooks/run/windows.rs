//! A program alone: Windows has no process groups, and what it started outlives it.

use std::io;
use std::os::windows::io::OwnedHandle;
use std::process::ExitStatus;

use chat_proto::control::hooks::Outcome;
use tokio::fs::File;
use tokio::process::Child;

use super::Run;

/// The user's own is inherited: no place of programs is known beforehand.
pub const SEARCH_PATH: Option<&str> = None;

/// No window of its own appears.
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// Where what it prints comes from.
pub type Output = File;

/// Starts it.
pub fn begin(run: &Run) -> io::Result<(Group, Output)> {
    let (mut command, printed) = run.command()?;
    let child = command.creation_flags(CREATE_NO_WINDOW).kill_on_drop(true).spawn()?;
    let printed = std::fs::File::from(OwnedHandle::from(printed));
    Ok((Group { child }, File::from_std(printed)))
}

/// How it ended.
pub fn outcome(status: ExitStatus) -> Outcome {
    Outcome::Exited { code: status.code().unwrap_or_default() }
}

/// A program.
pub struct Group {
    /// It.
    pub child: Child,
}

impl Group {
    /// The program has ended: what it left running is its own.
    pub fn leave(&mut self) {}

    /// Makes it end. There is no way to ask it before.
    pub async fn end(&mut self) {
        let _ = self.child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Program, Report, run};
    use super::*;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(60);

    async fn program(argv: &[&str], limit: Duration) -> Report {
        let root = std::env::var("SystemRoot").expect("a system");
        let argv = argv.iter().map(|word| word.replace("%SystemRoot%", &root)).collect();
        let environment = vec![("SystemRoot".into(), root), ("ONLY".into(), "this".into())];
        let (event, from, id, profile) = ("message".into(), "bob".into(), "7".into(), "default".into());
        let input = Input { event, from, id, profile, object: "hi".into(), is_test: true };
        run(Program { argv, environment, directory: std::env::temp_dir(), limit }.run(input)).await
    }

    async fn shell(script: &str, limit: Duration) -> Report {
        program(&[r"%SystemRoot%\system32\cmd.exe", "/d", "/c", script], limit).await
    }

    #[tokio::test]
    async fn it_gets_its_event_and_nothing_of_our_environment() {
        let report = shell("echo %ONLY% %CHAT_FROM% %CHAT_TEST% %APPDATA%& exit 3", LONG).await;
        let told = (Outcome::Exited { code: 3 }, "this bob 1 %APPDATA%");
        assert_eq!((report.outcome, report.output.trim_end()), told);
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended() {
        let begun = Instant::now();
        let report = shell("for /l %i in (0,0,1) do @rem", Duration::from_millis(200)).await;
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let missing = program(&[r"C:\no\such\program.exe"], LONG).await;
        assert!(matches!(missing.outcome, Outcome::NotStarted { .. }));
    }
}

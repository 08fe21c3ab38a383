//! One run of a hook: a program of the user without a shell, its event on stdin, its time limited, its output bounded.

#[cfg(unix)]
#[path = "run/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "run/windows.rs"]
mod system;

use std::io::{self, PipeReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chat_proto::control::hooks::Outcome;
use chat_proto::limits::HOOK_OUTPUT;
use serde::{Deserialize, Serialize};
pub use system::SEARCH_PATH;
use system::{Group, Output, begin, outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Output that still comes when the program has ended is waited for so long: what it left running may hold the pipe for ever.
const OUTPUT_AFTER: Duration = Duration::from_millis(100);

/// The program of a hook, as it is configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// A full path, and the arguments; never empty.
    pub argv: Vec<String>,
    /// Its environment, beside what tells of the event.
    pub environment: Vec<(String, String)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// It may take so long.
    pub limit: Duration,
}

/// What an event gives to a program. Only values: the names that they have in the environment are fixed here, so that nothing else
/// gets in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// CHAT_EVENT.
    pub event: String,
    /// CHAT_FROM; empty where nobody caused it.
    pub from: String,
    /// CHAT_ID; empty where it is no message.
    pub id: String,
    /// CHAT_PROFILE.
    pub profile: String,
    /// Its stdin.
    pub object: String,
    /// It is a sample: CHAT_TEST.
    pub is_test: bool,
}

impl Program {
    /// Its run for an event.
    pub fn run(&self, input: Input) -> Run {
        Run { program: self.clone(), input }
    }
}

impl Input {
    fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let told = [
            ("CHAT_EVENT", &self.event),
            ("CHAT_FROM", &self.from),
            ("CHAT_ID", &self.id),
            ("CHAT_PROFILE", &self.profile),
        ];
        told.map(|(name, value)| (name, value.as_str())).into_iter().chain(self.is_test.then_some(("CHAT_TEST", "1")))
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    program: Program,
    input: Input,
}

impl Run {
    /// The command, not started yet, and what it will print.
    fn command(&self) -> io::Result<(Command, PipeReader)> {
        let Run { program, input } = self;
        let (first, arguments) = program.argv.split_first().ok_or_else(|| io::Error::other("no program is named"))?;
        // One pipe for both, so that lines keep their order.
        let (printed, prints) = io::pipe()?;
        let mut command = Command::new(first);
        command
            .args(arguments)
            .env_clear()
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .envs(input.environment())
            .current_dir(&program.directory)
            .stdin(Stdio::piped())
            .stdout(prints.try_clone()?)
            .stderr(prints);
        Ok((command, printed))
    }
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The beginning of what it printed, stdout and stderr as they came.
    pub output: String,
    /// It printed more.
    pub cut: bool,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Of a run that was none.
    pub fn of(outcome: Outcome) -> Report {
        Report { outcome, output: String::new(), cut: false, took: Duration::ZERO }
    }
}

/// Runs to the end. Dropped, it ends the program with all that it started.
pub async fn run(run: Run) -> Report {
    let start = Instant::now();
    let (outcome, printed) = match begin(&run) {
        Ok((group, printed)) => watch(group, printed, run).await,
        Err(error) => (Outcome::not_started(&error), Printed::default()),
    };
    Report {
        outcome,
        output: String::from_utf8_lossy(&printed.kept).into_owned(),
        cut: printed.cut,
        took: start.elapsed(),
    }
}

async fn watch(mut group: Group, mut source: Output, run: Run) -> (Outcome, Printed) {
    let (stdin, object) = (group.child.stdin.take(), format!("{}\n", run.input.object));
    let feeding = tokio::spawn(async move {
        if let Some(mut stdin) = stdin {
            // A program that does not read its event needs none.
            let _ = stdin.write_all(object.as_bytes()).await;
        }
    });
    let mut printed = Printed::default();
    let limit = sleep(run.program.limit);
    tokio::pin!(limit);
    let ended = loop {
        tokio::select! {
            status = group.child.wait() => break Some(status),
            () = printed.read(&mut source), if !printed.closed => {}
            () = &mut limit => break None,
        }
    };
    feeding.abort();
    let outcome = match ended {
        Some(Ok(status)) => {
            // What it left running is its own: a hook may start a service.
            group.leave();
            let rest = async {
                while !printed.closed {
                    printed.read(&mut source).await
                }
            };
            let _ = timeout(OUTPUT_AFTER, rest).await;
            outcome(status)
        }
        Some(Err(error)) => Outcome::not_started(&error),
        None => {
            group.end().await;
            Outcome::TimedOut
        }
    };
    (outcome, printed)
}

/// What was printed so far.
#[derive(Default)]
struct Printed {
    kept: Vec<u8>,
    cut: bool,
    closed: bool,
}

impl Printed {
    /// Reads what comes next and keeps what there is room for. Safe to cancel.
    async fn read(&mut self, source: &mut Output) {
        let mut buffer = [0; 1024];
        match source.read(&mut buffer).await {
            Ok(0) | Err(_) => self.closed = true,
            Ok(count) => {
                let room = HOOK_OUTPUT - self.kept.len();
                self.kept.extend_from_slice(&buffer[..count.min(room)]);
                self.cut |= count > room;
            }
        }
    }
}

// They are told in the language of a shell of Unix.
#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn program(argv: &[&str], limit: Duration) -> Program {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        Program { argv, environment: vec![("ONLY".into(), "this".into())], directory: "/".into(), limit }
    }

    fn event(object: &str) -> Input {
        let (event, from, id, profile) = ("message".into(), "bob".into(), "7".into(), "default".into());
        Input { event, from, id, profile, object: object.to_owned(), is_test: true }
    }

    fn shell(script: &str, object: &str, limit: Duration) -> Run {
        program(&["/bin/sh", "-c", script], limit).run(event(object))
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn it_gets_its_event_and_nothing_of_our_environment() {
        let report = run(shell("cat; echo \"$ONLY $HOME\" >&2; exit 3", "hi", LONG)).await;
        assert_eq!(report.outcome, Outcome::Exited { code: 3 });
        assert_eq!((report.output.as_str(), report.cut), ("hi\nthis \n", false));
    }

    #[tokio::test]
    async fn it_is_told_of_its_event() {
        let script = "echo $CHAT_EVENT $CHAT_FROM $CHAT_ID $CHAT_PROFILE $CHAT_TEST";
        assert_eq!(run(shell(script, "", LONG)).await.output, "message bob 7 default 1\n");
        let real = Input { is_test: false, ..event("") };
        let report = run(program(&["/bin/sh", "-c", "echo ${CHAT_TEST-none}"], LONG).run(real)).await;
        assert_eq!(report.output, "none\n");
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_all_that_it_started() {
        let begun = Instant::now();
        // Time enough for a shell to begin on a busy machine.
        let report = run(shell("trap '' TERM; sleep 600 & echo $!; wait", "", Duration::from_secs(3))).await;
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
        let child: i32 = report.output.trim().parse().expect("the number of what it started");
        let gone = async {
            while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, gone).await.expect("what it started is gone too");
    }

    #[tokio::test]
    async fn output_is_bounded_and_never_blocks_it() {
        let report = run(shell("head -c 1000000 /dev/zero | tr '\\0' x", "", LONG)).await;
        assert_eq!(report.outcome, Outcome::Exited { code: 0 });
        assert_eq!((report.output.len(), report.cut), (HOOK_OUTPUT, true));
    }

    #[tokio::test]
    async fn large_events_need_not_be_read_and_what_it_leaves_running_is_not_waited_for() {
        let report = run(shell("sleep 600 & echo $!", &"x".repeat(400_000), LONG)).await;
        // It is not ours to wait for, but to end.
        let ended = std::process::Command::new("kill").arg(report.output.trim()).status();
        assert_eq!(report.outcome, Outcome::Exited { code: 0 });
        assert!(report.took < LONG, "{:?}", report.took);
        assert!(ended.is_ok_and(|status| status.success()), "it ran on: {}", report.output);
    }

    #[tokio::test]
    async fn signals_and_missing_programs_are_named() {
        assert_eq!(run(shell("kill -9 $$", "", LONG)).await.outcome, Outcome::Killed { signal: 9 });
        let missing = program(&["/no/such/program"], LONG).run(event(""));
        assert!(
            matches!(run(missing).await.outcome, Outcome::NotStarted { detail } if detail.contains("No such file"))
        );
    }
}

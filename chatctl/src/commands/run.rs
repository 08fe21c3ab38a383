//! run: a command of the user with its own stdio, and a message about how it ended. The exit code is the command's; trouble with
//! the message is said on stderr and changes nothing.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read as _, Write};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_proto::control::hooks::Outcome;
use chat_proto::control::message::{RunEnded, SendMessage, State};
use chat_proto::display;
use chat_proto::limits::TEXT_MAX;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Context;
use crate::args;
use crate::daemon::CallError;
use crate::key;
use crate::output::{End, Trouble};
use crate::signals::Signals;
use crate::time::milliseconds;
use crate::words::{refusals, run as words, troubles};

/// Output that still comes when the command has ended is waited for so long: what it left running may hold it open for ever.
const OUTPUT_AFTER: Duration = Duration::from_secs(1);
/// Bytes of one line that are kept for the message.
const LINE_MAX: usize = 2048;
/// Bytes of the message that lines may take: the headline needs the rest.
const LINES_MAX: usize = TEXT_MAX - 4096;
/// Exit code of a command that is not there, as shells have it.
const NOT_FOUND: u8 = 127;
/// Exit code of one that cannot be run.
const NOT_RUNNABLE: u8 = 126;

/// `run`.
pub async fn run(ctx: &mut Context, args: args::Run) -> Result<(), End> {
    let begun = Instant::now();
    let tail = Tail::new(args.tail);
    let (outcome, exit) = execute(&args.command, &tail).await;
    let took = begun.elapsed();
    if let Outcome::NotStarted { .. } = outcome {
        ctx.out.trouble(&troubles::command_not_started(&args.command[0].to_string_lossy(), &outcome));
    }
    if args.on == args::Told::Always || !outcome.is_success() {
        let text = tail.under(words::headline(&name(&args), &outcome, took));
        let ended = RunEnded { exit: exit.into(), duration_ms: milliseconds(took) };
        if let Err(End::Said(trouble)) = tell(ctx, &args.to, text, ended).await {
            ctx.out.trouble(&trouble);
        }
    }
    match exit {
        0 => Ok(()),
        exit => Err(End::Program(exit)),
    }
}

/// The command's name without its folder.
fn name(args: &args::Run) -> String {
    let program = Path::new(&args.command[0]);
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}

/// Runs the command to its end; its output goes out as it comes and leaves its last lines in `tail`.
async fn execute(command: &[std::ffi::OsString], tail: &Tail) -> (Outcome, u8) {
    // Before the command is there, or a signal that is meant for it would end us.
    let signals = Signals::listen();
    match signals.and_then(|signals| Ok((signals, begin(command, tail)?))) {
        Ok((signals, (child, copied))) => match attend(child, signals).await {
            Ok(status) => {
                let copied = async {
                    for copy in copied {
                        let _ = copy.await;
                    }
                };
                let _ = timeout(OUTPUT_AFTER, copied).await;
                ended(status)
            }
            Err(error) => (Outcome::not_started(&error), NOT_RUNNABLE),
        },
        Err(error) => {
            let exit = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
            (Outcome::not_started(&error), exit)
        }
    }
}

fn ended(status: ExitStatus) -> (Outcome, u8) {
    match status.code() {
        Some(code) => (Outcome::Exited { code }, u8::try_from(code).unwrap_or(u8::MAX)),
        None => {
            let signal = signal(status).unwrap_or_default();
            (Outcome::Killed { signal }, u8::try_from(128 + signal).unwrap_or(u8::MAX))
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// Windows ends every process with a code.
#[cfg(windows)]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

fn begin(command: &[std::ffi::OsString], tail: &Tail) -> io::Result<(Child, Vec<oneshot::Receiver<()>>)> {
    let ((printed, prints), (complained, complains)) = (io::pipe()?, io::pipe()?);
    let mut prepared = Command::new(&command[0]);
    let child = prepared.args(&command[1..]).stdout(prints).stderr(complains).spawn();
    // Its ends of the pipes are the command's alone from here on, or they would never be at their end.
    drop(prepared);
    let child = child?;
    Ok((child, vec![copy(printed, io::stdout(), tail.clone()), copy(complained, io::stderr(), tail.clone())]))
}

/// Copies on a thread of its own: whoever reads our output may stop to, and signals are heard all the same.
fn copy(mut from: PipeReader, mut to: impl Write + Send + 'static, tail: Tail) -> oneshot::Receiver<()> {
    let (done, copied) = oneshot::channel();
    std::thread::spawn(move || {
        let (mut buffer, mut lines) = ([0; 8192], Lines::default());
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            lines.take(&buffer[..count], &tail);
            if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
                // Nobody reads on: the command finds that out as it would without us.
                break;
            }
        }
        lines.end(&tail);
        // The command may be over, and nobody waits.
        let _ = done.send(());
    });
    copied
}

/// Waits for the command's end and passes signals on to it.
async fn attend(mut child: Child, mut signals: Signals) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            Some(signal) = signals.next() => Signals::pass_on(signal, &child),
        }
    }
}

/// Sends the message. One lost conversation is made again: the key keeps it from being sent twice.
async fn tell(ctx: &mut Context, to: &str, text: String, run: RunEnded) -> Result<(), End> {
    let key = key::given_or_fresh(None)?;
    ctx.restart_clock();
    let request = SendMessage {
        profile: ctx.profile().await?,
        to: to.to_owned(),
        text,
        key,
        wait: State::Accepted,
        timeout_ms: ctx.timeout_ms(),
        no_queue: false,
        reply: None,
        urgent: false,
        run: Some(run),
    };
    let sent = match ctx.try_call(&request).await? {
        Err(CallError::Broken(_) | CallError::Silent) => {
            drop(ctx.take_daemon());
            ctx.restart_clock();
            ctx.try_call(&request).await?
        }
        outcome => outcome,
    };
    let sent = sent.map_err(|error| ctx.refused(error))?;
    if let (Some(pending), true) = (sent.pending, ctx.global.verbose) {
        // Kept, and it will go out: that is no trouble.
        let kept: Trouble = refusals::kept(&sent, pending);
        ctx.out.note(&format!("chatctl: {}", kept.what));
    }
    Ok(())
}

/// The last lines that were printed; cheap to clone.
#[derive(Clone)]
struct Tail {
    // Two threads add lines, each a few bytes at a time.
    lines: Arc<Mutex<VecDeque<String>>>,
    count: usize,
}

impl Tail {
    fn new(count: usize) -> Tail {
        Tail { lines: Arc::default(), count }
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.len() > self.count {
            lines.pop_front();
        }
    }

    /// The lines below a headline; the oldest are left out where there is no room.
    fn under(&self, headline: String) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        let fits = |line: &&String| {
            bytes += line.len() + 1;
            bytes <= LINES_MAX
        };
        let mut kept: Vec<&str> = lines.iter().rev().take_while(fits).map(String::as_str).collect();
        kept.push(&headline);
        kept.reverse();
        kept.join("\n")
    }
}

/// Cuts what is printed into lines.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// Of the line that began, more than is kept.
    cut: bool,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], tail: &Tail) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = LINE_MAX - self.begun.len();
            self.begun.extend_from_slice(&text[..text.len().min(room)]);
            self.cut |= text.len() > room;
            if ends {
                self.finish(tail);
            }
        }
    }

    /// A last line without its end is a line too.
    fn end(&mut self, tail: &Tail) {
        if !self.begun.is_empty() {
            self.finish(tail);
        }
    }

    /// What a terminal would show of the line last: progress is written over with carriage returns. Everything else that is no
    /// text is made visible.
    fn finish(&mut self, tail: &Tail) {
        let line = std::mem::take(&mut self.begun);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let shown = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
        let mut text = display::message(&String::from_utf8_lossy(shown), "");
        if std::mem::take(&mut self.cut) {
            text.push_str("...");
        }
        tail.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail_of(count: usize, parts: &[&[u8]]) -> String {
        let (tail, mut lines) = (Tail::new(count), Lines::default());
        parts.iter().for_each(|part| lines.take(part, &tail));
        lines.end(&tail);
        tail.under("headline".into())
    }

    #[test]
    fn the_last_lines_stand_below_the_headline() {
        assert_eq!(tail_of(2, &[b"one\ntwo\nth", b"ree\n"]), "headline\ntwo\nthree");
        assert_eq!(tail_of(2, &[b"no end"]), "headline\nno end");
        assert_eq!(tail_of(0, &[b"one\n"]), "headline");
        assert_eq!(tail_of(5, &[]), "headline");
    }

    #[test]
    fn progress_colours_and_bytes_are_made_text() {
        assert_eq!(tail_of(5, &[b"10%\r50%\r100%\r\n"]), "headline\n100%");
        assert_eq!(tail_of(5, &[b"\x1b[31mred\x1b[0m\n"]), "headline\n\\x1b[31mred\\x1b[0m");
        assert_eq!(tail_of(5, &[b"\xff\xfe\n"]), "headline\n\u{fffd}\u{fffd}");
        assert_eq!(tail_of(5, &["caf\u{e9}\n".as_bytes()]), "headline\ncaf\u{e9}");
    }

    #[test]
    fn it_fits_into_a_message_whatever_is_printed() {
        let long = vec![b'x'; 10_000];
        let text = tail_of(1000, &[&long, b"\nshort\n"]);
        assert!(text.ends_with("...\nshort") && text.len() < 2 * LINE_MAX, "{}", text.len());
        let many: Vec<u8> = [vec![b'y'; 2000], vec![b'\n']].concat().repeat(1000);
        let text = tail_of(1000, &[&many]);
        assert!(text.len() <= TEXT_MAX - 4000 && text.len() > LINES_MAX / 2, "{}", text.len());
    }

    #[cfg(unix)]
    #[test]
    fn codes_are_those_of_a_shell() {
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(ended(ExitStatus::from_raw(3 << 8)), (Outcome::Exited { code: 3 }, 3));
        assert_eq!(ended(ExitStatus::from_raw(9)), (Outcome::Killed { signal: 9 }, 137));
    }

    #[cfg(windows)]
    #[test]
    fn codes_beyond_a_byte_are_failures() {
        use std::os::windows::process::ExitStatusExt as _;
        assert_eq!(ended(ExitStatus::from_raw(3)), (Outcome::Exited { code: 3 }, 3));
        assert_eq!(ended(ExitStatus::from_raw(0xC000_0005)).1, u8::MAX);
    }
}

//! T2 and T5: the server and a chatd killed at every system call that changes something, and told of errors at every one that
//! stores something; `strace` does both. Afterwards the program runs as usual, and the checker judges.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

use chat_tests::needs;
use chat_tests::process::until;
use rustix::process::Signal;

use crate::number;
use crate::stage::{Stage, Victim};

/// Calls that change the disk or tell somebody something.
const CHANGES: &[&str] =
    &["write", "writev", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "sendto", "sendmsg"];
/// Calls on storage alone: an error in another, say the wake-up of a thread, is no disk's.
const STORAGE: &[&str] = &["pwrite64", "fsync", "fdatasync", "ftruncate"];
/// Messages of one scripted run.
const MESSAGES: usize = 4;
/// The exit codes of a storage error (sysexits); the second where a small file beside the database could not be made at start.
const IO: [i32; 2] = [74, 73];

#[test]
fn killed_at_every_10th_call() {
    kills(10);
}

#[test]
fn an_error_at_every_10th_call() {
    errors(10);
}

#[test]
#[ignore = "long: tests/faults/run inject"]
fn killed_at_every_call() {
    kills(number(1));
}

#[test]
#[ignore = "long: tests/faults/run errors"]
fn an_error_at_every_call() {
    errors(number(1));
}

/// A chatd that finds at its start that the disk of a history cannot be read or flushed ends as one that finds it later.
#[test]
fn an_error_at_the_opening_of_a_history() {
    if !needs::strace() {
        return;
    }
    for call in ["pread64", "fdatasync"] {
        let mut stage = Stage::new(&[]);
        stage.talk(1, |_| {});
        stage.kill(Victim::Chatd);
        let files = ["chat.db", "chat.db-wal"].map(|name| stage.alice.dir().join("data/default").join(name));
        assert!(files[0].is_file(), "{}", files[0].display());
        let mut wrap = strace(call, "error=EIO");
        for file in files {
            wrap.extend(["-P".to_owned(), file.display().to_string()]);
        }
        let ended = match stage.alice.launch(&wrap) {
            Err(status) => status,
            Ok(()) => until("chatd ends", || stage.alice.ended()),
        };
        assert_eq!(ended.code(), Some(IO[0]), "EIO from {call}: {ended}");
        stage.up(Victim::Chatd);
        stage.check(&format!("EIO from {call} at the start"));
        stage.no_panic();
    }
}

/// SQLite does not tell a quota from a broken disk; a chatd does, refuses what does not fit, and goes on.
#[test]
fn a_quota_that_is_used_up_is_a_full_disk() {
    if !needs::strace() {
        return;
    }
    let mut stage = Stage::new(&[]);
    stage.talk(1, |_| {});
    stage.kill(Victim::Chatd);
    let mut wrap = strace("pwrite64,write", "error=EDQUOT");
    for name in ["chat.db-wal", "chat.probe"] {
        let file = stage.alice.dir().join("data/default").join(name);
        wrap.extend(["-P".to_owned(), file.display().to_string()]);
    }
    stage.alice.launch(&wrap).expect("chatd starts");
    let refused = stage.alice.json(&["message", "--timeout", "5s", "bob", "does not fit"]);
    assert_eq!(refused.code, 14, "{refused}");
    assert_eq!(stage.alice.ended(), None, "chatd goes on");
    stage.kill(Victim::Chatd);
    stage.up(Victim::Chatd);
    stage.talk(2, |_| {});
    stage.check("a quota");
    stage.no_panic();
}

fn kills(step: u64) {
    if !needs::strace() {
        return;
    }
    for victim in [Victim::Server, Victim::Chatd] {
        let mut stage = Stage::new(&[]);
        let mut met = Met::default();
        let counted = count(&mut stage, victim, CHANGES);
        for (call, times) in counted {
            for at in (1..=times).step_by(step as usize) {
                let what = format!("{victim:?} killed at {call} {at} of {times}");
                let end = stage.under(victim, &strace(&call, &format!("signal=SIGKILL:when={at}")), MESSAGES);
                stage.check(&what);
                met.tried(by_kill(end));
            }
        }
        stage.no_panic();
        met.enough(&format!("{victim:?} killed"));
    }
}

fn errors(step: u64) {
    if !needs::strace() {
        return;
    }
    for victim in [Victim::Server, Victim::Chatd] {
        let mut stage = Stage::new(&[]);
        let (mut met, mut ends) = (Met::default(), 0);
        let seen = stage.world.path("seen");
        for (call, times) in count(&mut stage, victim, STORAGE) {
            for (at, error) in (1..=times).step_by(step as usize).flat_map(|at| [(at, "EIO"), (at, "ENOSPC")]) {
                let what = format!("{victim:?}: {error} from {call} {at} of {times}");
                let wrap = strace_to(&seen, &call, &format!("error={error}:when={at}"));
                let end = stage.under(victim, &wrap, MESSAGES);
                if let Some(end) = end {
                    assert!(end.code().is_some_and(|code| IO.contains(&code)), "{what}: {end}");
                    ends += 1;
                }
                stage.check(&what);
                stage.no_panic();
                let seen = std::fs::read_to_string(&seen).expect("strace wrote what it saw");
                met.tried(seen.contains("(INJECTED)"));
            }
        }
        met.enough(&format!("{victim:?} told of an error"));
        eprintln!("{ends} ends with one of {IO:?}");
        assert!(ends > 0, "no error was noticed: the test tested nothing");
    }
}

/// How often the busiest thread makes each call in a scripted run.
pub fn count(stage: &mut Stage, victim: Victim, calls: &[&str]) -> BTreeMap<String, u64> {
    let file = stage.world.path("calls");
    stage.under(victim, &strace_to(&file, &calls.join(","), ""), MESSAGES);
    stage.check("the run that counts");
    let counted = busiest(&file, calls);
    eprintln!("{victim:?}: the busiest threads make {counted:?}");
    counted
}

/// How often the busiest thread made each call, by what strace saw. It counts the calls of each thread for itself, so a fault at a
/// later one would never come.
pub fn busiest(file: &Path, calls: &[&str]) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(file).expect("strace wrote what it saw");
    let mut by_thread = BTreeMap::<(&str, &str), u64>::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else { continue };
        let name = rest.split('(').next().unwrap_or_default();
        if calls.contains(&name) {
            *by_thread.entry((name, thread)).or_default() += 1;
        }
    }
    let mut counted = BTreeMap::new();
    for ((name, _), times) in by_thread {
        let most = counted.entry(name.to_owned()).or_default();
        *most = times.max(*most);
    }
    counted
}

/// How many faults were set up, and how many came.
#[derive(Default)]
pub struct Met {
    tried: u64,
    came: u64,
}

impl Met {
    pub fn tried(&mut self, came: bool) {
        self.tried += 1;
        self.came += u64::from(came);
    }

    /// Most of them must have come: no two runs make quite the same calls.
    #[track_caller]
    pub fn enough(&self, what: &str) {
        eprintln!("{what}: {} of {} times, nothing broken", self.came, self.tried);
        assert!(self.came * 2 > self.tried, "{what}: {} of {} times", self.came, self.tried);
    }
}

/// Whether it ended by a fault that kills.
pub fn by_kill(end: Option<ExitStatus>) -> bool {
    end.is_some_and(|end| end.signal() == Some(Signal::KILL.as_raw()))
}

/// strace beside the program (`-D`: the program stays our child), with a fault in `call`.
pub fn strace(call: &str, fault: &str) -> Vec<String> {
    strace_to(Path::new("/dev/null"), call, fault)
}

/// The same; what it sees goes to a file.
pub fn strace_to(file: &Path, call: &str, fault: &str) -> Vec<String> {
    let mut all: Vec<String> = ["strace", "-D", "-fqq", "-o"].map(str::to_owned).into();
    all.extend([file.display().to_string(), "-e".to_owned(), format!("trace={call}")]);
    if !fault.is_empty() {
        all.extend(["-e".to_owned(), format!("inject={call}:{fault}")]);
    }
    all
}

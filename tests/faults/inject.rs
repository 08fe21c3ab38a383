//! T2 and T5: the server and a chatd killed at every system call that changes something, and told of errors at every one that
//! stores something; `strace` does both. Afterwards the program runs as usual, and the checker judges.

use std::collections::BTreeMap;
use std::process::Command;

use chat_tests::process::until;

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
fn killed_at_every_20th_call() {
    kills(20);
}

#[test]
fn an_error_at_every_20th_call() {
    errors(20);
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
    if !traceable() {
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
    if !traceable() {
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
    if !traceable() {
        return;
    }
    for victim in [Victim::Server, Victim::Chatd] {
        let mut stage = Stage::new(&[]);
        let mut ends = 0;
        let counted = count(&mut stage, victim, CHANGES);
        for (call, times) in counted {
            for at in (1..=times).step_by(step as usize) {
                let what = format!("{victim:?} killed at {call} {at} of {times}");
                let end = stage.under(victim, &strace(&call, &format!("signal=SIGKILL:when={at}")), MESSAGES);
                stage.check(&what);
                ends += u64::from(end.is_some());
            }
        }
        stage.no_panic();
        eprintln!("{victim:?}: {ends} kills, nothing broken");
        assert!(ends > 0, "nothing was killed: the test tested nothing");
    }
}

fn errors(step: u64) {
    if !traceable() {
        return;
    }
    for victim in [Victim::Server, Victim::Chatd] {
        let mut stage = Stage::new(&[]);
        let (mut hit, mut ends) = (0, 0);
        for (call, times) in count(&mut stage, victim, STORAGE) {
            for (at, error) in (1..=times).step_by(step as usize).flat_map(|at| [(at, "EIO"), (at, "ENOSPC")]) {
                let what = format!("{victim:?}: {error} from {call} {at} of {times}");
                let end = stage.under(victim, &strace(&call, &format!("error={error}:when={at}")), MESSAGES);
                if let Some(end) = end {
                    assert!(end.code().is_some_and(|code| IO.contains(&code)), "{what}: {end}");
                    ends += 1;
                }
                stage.check(&what);
                stage.no_panic();
                hit += 1;
            }
        }
        eprintln!("{victim:?}: {hit} errors, {ends} ends with one of {IO:?}, nothing broken");
        assert!(ends > 0, "no error was noticed: the test tested nothing");
    }
}

/// How often a scripted run makes each call.
fn count(stage: &mut Stage, victim: Victim, calls: &[&str]) -> BTreeMap<String, u64> {
    let file = stage.world.path("calls");
    let mut wrap = strace(&calls.join(","), "");
    wrap[4] = file.display().to_string();
    stage.under(victim, &wrap, MESSAGES);
    stage.check("the run that counts");
    let text = std::fs::read_to_string(&file).expect("strace wrote what it saw");
    let mut counted = BTreeMap::new();
    for line in text.lines() {
        let name = line.split_whitespace().nth(1).and_then(|rest| rest.split('(').next()).unwrap_or_default();
        if calls.contains(&name) {
            *counted.entry(name.to_owned()).or_default() += 1;
        }
    }
    eprintln!("{victim:?} makes {counted:?}");
    counted
}

/// strace beside the program (`-D`: the program stays our child), with a fault in `call`.
pub fn strace(call: &str, fault: &str) -> Vec<String> {
    let mut all: Vec<String> = ["strace", "-D", "-fqq", "-o", "/dev/null", "-e"].map(str::to_owned).into();
    all.push(format!("trace={call}"));
    if !fault.is_empty() {
        all.extend(["-e".to_owned(), format!("inject={call}:{fault}")]);
    }
    all
}

/// Whether processes may be traced here.
pub fn traceable() -> bool {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("skipped: strace is missing or may not trace here");
    }
    works
}

//! R6 and T4: the power cut under the server, and under a client; once more right behind a kill inside a commit. With
//! `CHAT_PLANT` (binaries of the feature `planted-bugs`) the same programme must find what was planted.

use std::sync::Arc;
use std::time::Duration;

use chat_tests::needs;
use chat_tests::process::{pause, until};

use crate::inject::{Met, busiest, by_kill, count, strace, strace_to};
use crate::mounted::{Kind, Mounted, mountable};
use crate::number;
use crate::stage::{Stage, Victim};

const SIZE_MIB: u64 = 64;
/// The call by which SQLite flushes a commit.
const FLUSH: &str = "fdatasync";

#[test]
fn power_cut_under_the_server() {
    cuts(Victim::Server, 5);
}

#[test]
fn power_cut_under_a_client() {
    cuts(Victim::Chatd, 5);
}

#[test]
fn power_cut_behind_a_kill_inside_a_commit() {
    double_faults(3);
}

#[test]
#[ignore = "long: tests/faults/run power"]
fn power_cuts() {
    cuts(Victim::Server, number(500));
    cuts(Victim::Chatd, number(500));
}

#[test]
#[ignore = "long: tests/faults/run double"]
fn power_cuts_behind_kills_inside_commits() {
    double_faults(number(1000));
}

#[test]
#[ignore = "long: tests/faults/run planted"]
fn power_cuts_under_the_server() {
    cuts(Victim::Server, number(200));
}

#[test]
#[ignore = "long: tests/faults/run planted"]
fn power_cuts_under_a_client() {
    cuts(Victim::Chatd, number(200));
}

#[test]
#[ignore = "long: tests/faults/run planted"]
fn double_faults_of_a_client() {
    client_double_faults(number(200));
}

/// While they talk, the power goes at a random moment.
fn cuts(victim: Victim, times: u64) {
    if !mountable(Kind::Ext4) {
        return;
    }
    let (mut stage, disk) = powered(victim);
    for time in 0..times {
        let wait = Duration::from_micros(stage.world.rng.below(150_000));
        let mut cut = false;
        stage.talk(6, |stage| {
            if !std::mem::replace(&mut cut, true) {
                pause(wait);
                power_cut(stage, victim, &disk);
            }
        });
        if victim == Victim::Server {
            without_its_sender(&mut stage, &disk);
        }
        stage.check(&format!("{victim:?}, cut {time}"));
    }
    stage.no_panic();
    eprintln!("{victim:?}: {times} power cuts, nothing broken");
    stage.kill(victim);
}

/// The power goes right behind the verdict, and the sender's host is gone with it: nobody is there who could offer the message again,
/// as a sender does to a server that lost something. It must be on the server's disk.
fn without_its_sender(stage: &mut Stage, disk: &Mounted) {
    let (alice, bob) = (Arc::clone(&stage.alice), Arc::clone(&stage.bob));
    bob.kill();
    let text = stage.one_from_alice();
    disk.cut();
    stage.kill(Victim::Server);
    alice.kill();
    disk.restore();
    stage.up(Victim::Server);
    bob.up();
    until("what was accepted arrives without its sender", || bob.received().contains(&text).then_some(()));
    alice.up();
}

/// The stage with the victim's data on a disk of its own.
fn powered(victim: Victim) -> (Stage, Mounted) {
    let mut stage = Stage::new(&[]);
    stage.kill(victim);
    let dir = match victim {
        Victim::Server => stage.world.server.dir().join("data"),
        Victim::Chatd => stage.alice.dir().to_owned(),
    };
    let disk = Mounted::over(&dir, Kind::Ext4, SIZE_MIB);
    stage.up(victim);
    (stage, disk)
}

fn power_cut(stage: &mut Stage, victim: Victim, disk: &Mounted) {
    disk.cut();
    stage.kill(victim);
    disk.restore();
    stage.up(victim);
}

/// E1: killed in the flush of a commit, so that the row is visible and not durable; restart; the retry is answered from it;
/// then the power goes. What the retry was told must be true.
fn double_faults(times: u64) {
    if !mountable(Kind::Ext4) || !needs::strace() {
        return;
    }
    server_double_faults(times);
    client_double_faults(times);
}

/// strace with a kill at one flush of a commit.
fn kill_at_flush(at: u64) -> Vec<String> {
    strace(FLUSH, &format!("signal=SIGKILL:when={at}"))
}

fn server_double_faults(times: u64) {
    let (mut stage, disk) = powered(Victim::Server);
    // the first flushes are those of the start
    let flushes = count(&mut stage, Victim::Server, &[FLUSH])[FLUSH];
    let mut met = Met::default();
    for time in 0..times {
        let at = flushes - stage.world.rng.below(flushes / 2);
        met.tried(by_kill(stage.under(Victim::Server, &kill_at_flush(at), 4)));
        power_cut(&mut stage, Victim::Server, &disk);
        stage.check(&format!("server, double fault {time}, flush {at}"));
    }
    met.enough("server killed in a flush");
    stage.no_panic();
    stage.kill(Victim::Server);
}

/// As on the server, for `queued`: the server is away, so the outbox is the only place where the message is.
fn client_double_faults(times: u64) {
    let (mut stage, disk) = powered(Victim::Chatd);
    let alice = Arc::clone(&stage.alice);
    let seen = stage.world.path("seen");
    // the first flushes are those of the start, the last one is the message's
    let mut flushes = 0;
    let mut met = Met::default();
    for time in 0..=times {
        stage.world.server.kill();
        stage.kill(Victim::Chatd);
        let counts = time == 0;
        let at = flushes - stage.world.rng.below(2).min(flushes);
        let wrap = if counts { strace_to(&seen, FLUSH, "") } else { kill_at_flush(at) };
        let started = stage.launch(Victim::Chatd, &wrap);
        let key = format!("double-{time}");
        let send = ["message", "--id", &key, "--wait", "queued", "--timeout", "5s", "bob", &key];
        let first = started.is_ok().then(|| alice.json(&send).code);
        stage.kill(Victim::Chatd);
        if counts {
            flushes = busiest(&seen, &[FLUSH])[FLUSH];
        } else {
            met.tried(first.is_none_or(|code| code != 0));
        }
        stage.up(Victim::Chatd);
        let told = alice.json(&send);
        power_cut(&mut stage, Victim::Chatd, &disk);
        stage.world.server.up();
        assert_eq!(told.code, 0, "queued without a server (first try: {first:?}): {told}");
        until("what was queued arrives", || stage.bob.received().contains(&key).then_some(()));
        assert_eq!(stage.bob.received().iter().filter(|text| **text == key).count(), 1);
    }
    met.enough("chatd killed in a flush");
    stage.no_panic();
    stage.kill(Victim::Chatd);
}

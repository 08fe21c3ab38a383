//! The operator's verbs while people chat: reload, a new certificate, backup, restore and kill -9 lose and double nothing; a server
//! set back to a backup reconciles (contract rule 3).
//!
//! `CHAT_ROUNDS` sets how often everything happens, `CHAT_SEED` repeats a run.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chat_tests::checker::{Sent, check};
use chat_tests::process::{pause, until};
use chat_tests::traffic::{Traffic, history, settle};
use chat_tests::{Home, World};

/// Times that each of them happens in one run.
const ROUNDS: u64 = 3;

#[test]
fn nothing_is_lost_or_doubled_whatever_the_operator_does() {
    let rounds = std::env::var("CHAT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut world = World::start();
    eprintln!("CHAT_SEED={}", world.rng.seed());
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    // One device each: what a server forgot reaches two devices of an account in an order of its own.
    let devices = [("alice", &alice), ("bob", &bob)];
    let traffic = Arc::new(Traffic::default());
    let senders: Vec<_> = devices.map(|(device, home)| sender(&traffic, device, home)).into_iter().collect();
    for round in 0..rounds {
        for act in [reload, bad_reload, certificate, backup, kill, restore] {
            let before = traffic.accepted();
            until("traffic goes on", || (traffic.accepted() > before + 2).then_some(()));
            act(&mut world, round);
            pause(Duration::from_micros(world.rng.below(40_000)));
        }
    }
    let before = traffic.accepted();
    until("traffic goes on", || (traffic.accepted() > before + 2).then_some(()));
    traffic.stop();
    let mut log: Vec<Sent> = Vec::new();
    for sender in senders {
        log.extend(sender.join().expect("a sender saw nothing that a fault does not explain"));
    }
    let homes = devices.map(|(device, home)| (device, home.as_ref()));
    settle(&log, &homes);
    let histories: Vec<_> = homes.iter().map(|(device, home)| history(home, device)).collect();
    let broken = check(&log, &histories);
    assert!(broken.is_empty(), "after {rounds} rounds and {} messages: {broken:#?}", log.len());
    assert!(log.len() as u64 > rounds * 10, "only {} messages were sent: the test tested little", log.len());
    eprintln!("{rounds} rounds, {} messages, nothing broken", log.len());
}

/// A thread that sends from this device to the other person.
fn sender(traffic: &Arc<Traffic>, device: &str, home: &Arc<Home>) -> std::thread::JoinHandle<Vec<Sent>> {
    let (traffic, home, device) = (Arc::clone(traffic), Arc::clone(home), device.to_owned());
    let to = if home.user() == "alice" { "bob" } else { "alice" };
    std::thread::spawn(move || traffic.send(&home, &device, to))
}

fn reload(world: &mut World, round: u64) {
    world.server.set(&[("limits", "connections", &(5_000 + round).to_string())]);
    world.server.ctl(&["reload"]).ok().says("limits.connections");
}

/// The old settings stay in force, and the next reload is as good as ever.
fn bad_reload(world: &mut World, _round: u64) {
    world.server.set(&[("sessions", "idle_after", "\"30 min\"")]);
    world.server.ctl(&["reload"]).exits(14).says("idle_after \"30 min\": write 30m. Old settings stay in force.");
    world.server.set(&[("sessions", "idle_after", "\"30m\"")]);
    world.server.ctl(&["reload"]).ok();
}

fn certificate(world: &mut World, _round: u64) {
    for file in ["fullchain.pem", "privkey.pem"] {
        fs::remove_file(world.server.dir().join("tls").join(file)).expect("a certificate to replace");
    }
    world.server.ctl(&["cert", "self-signed"]).ok();
    world.server.ctl(&["reload"]).ok();
}

fn backup(world: &mut World, _round: u64) {
    world.server.ctl(&["backup", "create"]).ok();
    world.server.ctl(&["backup", "verify", "latest"]).ok().says("db ok");
}

fn kill(world: &mut World, _round: u64) {
    world.server.kill();
    world.server.up();
}

/// Back to the last backup: what was accepted since then is offered again by those who sent it.
fn restore(world: &mut World, _round: u64) {
    world.server.stop();
    world.server.ctl(&["restore", "latest"]).ok();
    world.server.up();
}

//! kill -9 under traffic: the server, either chatd, any chatctl, in random order, and the checker afterwards (T1 of the proof).
//!
//! `CHAT_KILLS` sets the number, `CHAT_SEED` repeats a run.

use std::sync::Arc;
use std::time::Duration;

use chat_tests::checker::{Sent, check};
use chat_tests::process::{pause, signal, until};
use chat_tests::traffic::{Traffic, history, settle};
use chat_tests::{Home, World};
use rustix::process::Signal;

/// Kills in one run.
const KILLS: u64 = 200;

#[test]
fn nothing_is_lost_doubled_or_reordered() {
    let kills = std::env::var("CHAT_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut world = World::start();
    eprintln!("CHAT_SEED={}", world.rng.seed());
    let (alice, bob) = (world.user("alice"), world.user("bob"));
    let (alice2, bob2) = (world.device("alice", 2), world.device("bob", 2));
    let devices = [("alice", &alice), ("alice2", &alice2), ("bob", &bob), ("bob2", &bob2)];

    let traffic = Arc::new(Traffic::default());
    let senders: Vec<_> = devices.map(|(device, home)| sender(&traffic, device, home)).into_iter().collect();
    for number in 0..kills {
        kill_one(&mut world, &devices, &traffic, number);
        // some traffic between two kills, and a random moment in it
        let before = traffic.accepted();
        until("traffic goes on", || (traffic.accepted() > before).then_some(()));
        pause(Duration::from_micros(world.rng.below(40_000)));
    }
    traffic.stop();
    let mut log: Vec<Sent> = Vec::new();
    for sender in senders {
        log.extend(sender.join().expect("a sender saw nothing that a fault does not explain"));
    }

    let homes = devices.map(|(device, home)| (device, home.as_ref()));
    settle(&log, &homes);
    let histories: Vec<_> = homes.iter().map(|(device, home)| history(home, device)).collect();
    let broken = check(&log, &histories);
    assert!(broken.is_empty(), "after {kills} kills and {} messages: {broken:#?}", log.len());
    assert!(log.len() as u64 > kills / 2, "only {} messages were sent: the test tested little", log.len());
    eprintln!("{kills} kills, {} messages, nothing broken", log.len());
}

/// A thread that sends from this device to the other person.
fn sender(traffic: &Arc<Traffic>, device: &str, home: &Arc<Home>) -> std::thread::JoinHandle<Vec<Sent>> {
    let (traffic, home, device) = (Arc::clone(traffic), Arc::clone(home), device.to_owned());
    let to = if home.user() == "alice" { "bob" } else { "alice" };
    std::thread::spawn(move || traffic.send(&home, &device, to))
}

/// kill -9 one of them; daemons are started again at once.
fn kill_one(world: &mut World, devices: &[(&str, &Arc<Home>)], traffic: &Traffic, number: u64) {
    match world.rng.below(4) {
        0 => {
            world.server.kill();
            world.server.up();
        }
        1 | 2 => {
            let (_, home) = *world.rng.pick(devices);
            home.restart();
        }
        _ => {
            let running = traffic.chatctls();
            if running.is_empty() {
                return;
            }
            signal(*world.rng.pick(&running), Signal::KILL);
        }
    }
    // now and then both ends at once
    if number % 10 == 9 {
        world.server.kill();
        let (_, home) = *world.rng.pick(devices);
        home.restart();
        world.server.up();
    }
}

//! T7: the link cut at every byte that a session sends, both ways, through the in-process proxy: login by key, messages, marks, lists, blocks.
//!
//! Several pairs of people do this side by side, each behind a proxy of its own: nearly all of the time is waiting for the next
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_tests::checker::{Sent, check};
use chat_tests::process::until;
use chat_tests::proxy::{Break, Passed, Plan, Proxy, Way};
use chat_tests::traffic::{history, settle};
use chat_tests::{Home, World};

use crate::number;
use crate::stage::say;

/// Pairs at once.
const LANES: usize = 6;

#[test]
fn the_link_cut_at_every_20th_byte() {
    cuts(20, &[Break::Cut]);
}

#[test]
#[ignore = "long: tests/faults/run cut"]
fn the_link_cut_at_every_byte() {
    cuts(number(1), &[Break::Cut, Break::Reset, Break::Repeat]);
}

#[test]
fn a_link_in_crumbs() {
    let mut world = World::start();
    world.user("nobody1");
    let mut lane = Lane::new(&mut world, 0);
    for (segment, delay_ms) in [(1, 0), (7, 0), (200, 5)] {
        lane.proxy.set(Plan { segment, delay: Duration::from_millis(delay_ms), ..Plan::default() });
        lane.proxy.cut_all();
        lane.session();
        lane.check(&format!("segments of {segment}"));
    }
}

#[test]
#[ignore = "long: tests/faults/run cut"]
fn a_link_that_falls_silent_is_noticed() {
    let mut world = World::start();
    world.user("nobody1");
    let mut lane = Lane::new(&mut world, 0);
    for way in [Way::Up, Way::Down] {
        lane.proxy.set(Plan { fault: Some((way, 2500, Break::Silence)), ..Plan::default() });
        lane.proxy.cut_all();
        lane.near.online();
        lane.proxy.set(Plan::default());
        // more than what still passes: the rest falls into silence, and must get its verdict on a later connection
        (0..3).for_each(|_| lane.session());
        lane.check(&format!("silence {way:?}"));
    }
}

/// One who sits behind a proxy, one who does not, and what they said.
struct Lane {
    proxy: Proxy,
    near: Arc<Home>,
    far: Arc<Home>,
    log: Vec<Sent>,
}

impl Lane {
    fn new(world: &mut World, number: usize) -> Lane {
        let proxy = Proxy::start(world.server.address());
        let (near, far) = (format!("near{number}"), format!("far{number}"));
        let home = world.home(&near, &near);
        let (server, password) = (proxy.address().to_string(), world.password_file());
        let trust = world.server.fingerprint();
        home.run(&[
            "register",
            &near,
            "--server",
            &server,
            "--trust",
            trust,
            "--no-input",
            "--password-file",
            &password,
        ])
        .ok();
        Lane { proxy, near: home, far: world.user(&far), log: Vec::new() }
    }

    /// The verbs of a session that is online, with a message each way. Only the messages must succeed.
    fn session(&mut self) {
        let (near, far) = (self.near.user().to_owned(), self.far.user().to_owned());
        let first = self.log.len();
        self.log.push(say(&self.near, &far, first));
        self.log.push(say(&self.far, &near, first + 1));
        let verbs: [&[&str]; 7] = [
            &["read", &far],
            &["whoelse"],
            &["whoelsesince", "60"],
            &["block", "nobody1"],
            &["unblock", "nobody1"],
            &["blocked"],
            &["status"],
        ];
        for verb in verbs {
            let mut typed = vec!["--json", "--timeout", "3s"];
            typed.extend_from_slice(verb);
            let output = self.near.run(&typed);
            assert!(output.code != 70 && output.code != 101, "{output}");
        }
    }

    /// What one undisturbed connection carries.
    fn measure(&mut self) -> Passed {
        let before = self.proxy.passed().len();
        self.proxy.cut_all();
        self.session();
        let passed = self.proxy.passed();
        assert!(passed.len() > before, "the client came back on a new connection");
        passed[passed.len() - 1]
    }

    /// The next connection breaks at this byte, the ones behind it do not.
    fn broken_at(&mut self, way: Way, byte: u64, what: Break) {
        let before = self.proxy.passed().len();
        self.proxy.set(Plan { fault: Some((way, byte, what)), ..Plan::default() });
        self.proxy.cut_all();
        let proxy = &self.proxy;
        until("the client comes back", || (proxy.passed().len() > before).then(|| proxy.set(Plan::default())));
        self.session();
        self.check(&format!("{what:?} {way:?} at byte {byte}"));
    }

    fn check(&self, when: &str) {
        let homes = [(self.near.user(), &*self.near), (self.far.user(), &*self.far)];
        settle(&self.log, &homes);
        let broken = check(&self.log, &homes.map(|(device, home)| history(home, device)));
        assert!(broken.is_empty(), "{when}: {broken:#?}");
    }
}

fn cuts(step: u64, kinds: &[Break]) {
    let mut world = World::start();
    world.user("nobody1");
    let mut lanes: Vec<Lane> = (0..LANES).map(|number| Lane::new(&mut world, number)).collect();
    let size = lanes[0].measure();
    eprintln!("a session is {} bytes up and {} down", size.up, size.down);
    let offsets = |way, bytes: u64| (1..=bytes).step_by(step as usize).map(move |byte| (way, byte));
    let points: Vec<(Way, u64)> = offsets(Way::Up, size.up).chain(offsets(Way::Down, size.down)).collect();
    let (next, points) = (AtomicU64::new(0), &points);
    std::thread::scope(|scope| {
        for lane in &mut lanes {
            let next = &next;
            scope.spawn(move || {
                while let Some(index) =
                    usize::try_from(next.fetch_add(1, Ordering::SeqCst)).ok().filter(|n| *n < points.len())
                {
                    let (way, byte) = points[index];
                    lane.broken_at(way, byte, kinds[index % kinds.len()]);
                }
            });
        }
    });
    eprintln!("{} points, nothing broken", points.len());
}

//! The stateful model test: random sequences of everything that people and machines do, run against the real accounts and the
//! real store, and against a [`reference`] that says what must come of it. Every answer, notice and inbox is compared.
//!
//! `CHAT_MODEL` says how many sequences (10,000), `CHAT_MODEL_SEED` with which seed they begin (1); `tests/safety/run` runs more.

mod driver;
mod reference;

use std::env;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use driver::Driver;
use reference::{DEVICES, Dev, NAMES, Others, PEOPLE, Rules};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    Register(Dev),
    Login {
        dev: Dev,
        right: bool,
        source: usize,
    },
    /// Wrong passwords in a row.
    Guess {
        dev: Dev,
        source: usize,
        times: usize,
    },
    /// Wrong passwords until a lock comes, again whenever the first lock would be over.
    Siege {
        dev: Dev,
        source: usize,
    },
    Key(Dev),
    Logout {
        dev: Dev,
        everywhere: bool,
    },
    LinkLost(Dev),
    Message {
        dev: Dev,
        to: usize,
    },
    Broadcast(Dev),
    /// A place that was decided is sent again, with the same content or another.
    Again {
        dev: Dev,
        place: usize,
        same: bool,
    },
    /// A place beyond the next.
    Early(Dev),
    GiveUp(Dev),
    /// Reads everything, acknowledges some.
    Read {
        dev: Dev,
        acks: usize,
    },
    Block {
        dev: Dev,
        whom: usize,
        on: bool,
    },
    Whoelse(Dev),
    Whoelsesince {
        dev: Dev,
        seconds: u64,
    },
    Blocked(Dev),
    Pass {
        ms: u64,
    },
    Restart {
        orderly: bool,
    },
}

/// Mostly the first two: what happens between few happens often.
fn few(all: usize) -> impl Strategy<Value = usize> {
    prop_oneof![2 => 0..2_usize, 1 => 0..all]
}

fn step() -> impl Strategy<Value = Step> {
    let device = || prop_oneof![3 => Just(0), 1 => 1..DEVICES];
    let dev = || (few(PEOPLE), device());
    let anybody = || (few(NAMES.len()), device());
    let whom = || few(NAMES.len());
    let again = || (dev(), 0..64_usize, prop::bool::weighted(0.8));
    let waits = prop_oneof![
        Just(0),
        Just(1),
        1_000..9_000_u64,
        Just(9_999),
        Just(10_000),
        10_001..20_000_u64,
        20_000..70_000_u64,
        Just(120_000)
    ];
    prop_oneof![
        6 => dev().prop_map(Step::Register),
        8 => (anybody(), any::<bool>(), 0..2_usize).prop_map(|(dev, right, source)| Step::Login { dev, right, source }),
        5 => (anybody(), 0..2_usize, 2..5_usize).prop_map(|(dev, source, times)| Step::Guess { dev, source, times }),
        1 => (anybody(), 0..2_usize).prop_map(|(dev, source)| Step::Siege { dev, source }),
        8 => anybody().prop_map(Step::Key),
        5 => (dev(), prop::bool::weighted(0.3)).prop_map(|(dev, everywhere)| Step::Logout { dev, everywhere }),
        4 => dev().prop_map(Step::LinkLost),
        22 => (dev(), whom()).prop_map(|(dev, to)| Step::Message { dev, to }),
        6 => dev().prop_map(Step::Broadcast),
        5 => again().prop_map(|(dev, place, same)| Step::Again { dev, place, same }),
        1 => dev().prop_map(Step::Early),
        2 => dev().prop_map(Step::GiveUp),
        12 => (dev(), 0..6_usize).prop_map(|(dev, acks)| Step::Read { dev, acks }),
        7 => (dev(), whom(), prop::bool::weighted(0.7)).prop_map(|(dev, whom, on)| Step::Block { dev, whom, on }),
        4 => dev().prop_map(Step::Whoelse),
        4 => (dev(), 0..200_u64).prop_map(|(dev, seconds)| Step::Whoelsesince { dev, seconds }),
        1 => dev().prop_map(Step::Blocked),
        9 => waits.prop_map(|ms| Step::Pass { ms }),
        2 => any::<bool>().prop_map(|orderly| Step::Restart { orderly }),
    ]
}

/// The default profile, the exercise's, and what lies between.
fn rules() -> impl Strategy<Value = Rules> {
    let default = Rules {
        lock_by_name: false,
        lock: (3, 10_000),
        others: Others::Stay,
        tell_missed: false,
        quota: 10_000,
        grace_ms: 10_000,
    };
    let classic = Rules {
        lock_by_name: true,
        others: Others::Refuse,
        tell_missed: true,
        grace_ms: 0,
        lock: (2, 5_000),
        ..default
    };
    prop_oneof![
        2 => Just(default),
        2 => Just(classic),
        1 => Just(Rules { others: Others::Go, quota: 4, ..default }),
        1 => Just(Rules { quota: 4, grace_ms: 10_000, ..classic }),
    ]
}

/// How many people are there from the start, the rules, and what happens.
fn story() -> impl Strategy<Value = (usize, Rules, Vec<Step>)> {
    (0..=PEOPLE, rules(), prop::collection::vec(step(), 1..60))
}

/// Runs so many sequences; the shortest failing one, if any fails.
fn run(sequences: u32, seed: u64) -> Result<(), String> {
    let shrink = setting("CHAT_MODEL_SHRINK", 2_000) as u32;
    let config = Config { cases: sequences, failure_persistence: None, max_shrink_iters: shrink, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&story(), |(people, rules, steps)| Driver::run(people, rules, &steps).map_err(TestCaseError::fail));
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, (people, rules, steps))) => {
            Err(format!("{why}\nseed {seed}, {people} people, {rules:?}\n{steps:#?}"))
        }
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn random_sequences() {
    let (all, seed) = (setting("CHAT_MODEL", 10_000), setting("CHAT_MODEL_SEED", 1));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(all.max(1));
    let share = u32::try_from(all / threads).unwrap();
    let works: Vec<_> = (0..threads).map(|n| std::thread::spawn(move || run(share, seed + (n << 32)))).collect();
    for work in works {
        if let Err(why) = work.join().unwrap() {
            panic!("{why}");
        }
    }
}

/// Defects of the server that the sequences must find: else it is not the server that is proven.
const PLANTED: &[&str] = &[
    "block-only-online",
    "broadcast-to-blocker",
    "grace-is-announced",
    "lock-forgotten-by-restart",
    "lock-lets-right-in",
    "locks-do-not-double",
    "logout-leaves-others",
    "message-to-oneself",
    "missed-always-told",
    "new-device-reads-old-mail",
    "one-device-acks-for-all",
    "own-copies-for-new-devices",
    "presence-to-blocked",
    "quota-of-one-more",
    "replay-forgets-places",
    "restart-announces",
    "retry-sends-again",
    "success-keeps-count",
    "unblock-needs-no-block",
    "whoelse-shows-blocker",
];

#[test]
fn planted_bugs_are_found() {
    let me = env::current_exe().unwrap();
    let found = |defect: &str, sequences: &str| {
        let mut child = Command::new(&me);
        child.args(["--exact", "model::random_sequences"]).env("CHAT_PLANT", defect);
        child.env("CHAT_MODEL", sequences).env("CHAT_MODEL_SHRINK", "0");
        !child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    let missed: Vec<_> = PLANTED.iter().filter(|defect| !found(defect, "2000")).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(!found("none", "50"), "without a defect it fails too");
}

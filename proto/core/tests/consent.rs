//! Consent in any order: ask, accept, decline, withdraw, run out, leave, come back, block, cross; links lost with what was on its way,
//! daemons killed, the server restarted. The broker and the requests of six devices, and a checker that knows neither.

#[path = "consent/world.rs"]
mod world;

use world::{Bug, Outcome, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn must_hold(seed: u64) -> Outcome {
    let outcome = run(seed, Bug::None);
    assert!(outcome.wrong.is_empty(), "CHAT_CONSENT_SEED={seed}: {:#?}", outcome.wrong);
    outcome
}

/// CHAT_CONSENT_SEED runs one order, CHAT_CONSENT_SEEDS so many.
#[test]
fn consent_holds_in_any_order() {
    if let Some(seed) = number("CHAT_CONSENT_SEED") {
        println!("seed {seed}: {:?}", must_hold(seed));
        return;
    }
    let mut all = Outcome::default();
    for seed in 0..number("CHAT_CONSENT_SEEDS").unwrap_or(10_000) {
        let outcome = must_hold(seed);
        all.steps += outcome.steps;
        all.requests += outcome.requests;
        all.sessions += outcome.sessions;
        all.crossed += outcome.crossed;
    }
    println!("{all:?}");
    // The orders are no good when nothing comes of them.
    assert!(all.sessions * 10 > all.requests && all.crossed * 1000 > all.requests, "{all:?}");
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::PLANTED {
        let found = (0..2_000).find(|seed| !run(*seed, bug).wrong.is_empty());
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in 2,000 orders");
    }
}

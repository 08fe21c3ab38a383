//! A thousand seeds of the simulator, and a proof that its checker sees: every planted bug is found.

mod simulator;

use simulator::Bug;
use simulator::world::{Outcome, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn must_hold(seed: u64) -> Outcome {
    let outcome = run(seed, Bug::None);
    assert!(outcome.wrong.is_empty(), "CHAT_SIM_SEED={seed}: {:#?}", outcome.wrong);
    outcome
}

#[test]
fn the_contract_holds() {
    if let Some(seed) = number("CHAT_SIM_SEED") {
        let outcome = must_hold(seed);
        println!("seed {seed}: {} events, hash {:016x}", outcome.events, outcome.hash);
        return;
    }
    let mut events = 0;
    for seed in 0..number("CHAT_SIM_SEEDS").unwrap_or(1_000) {
        let outcome = must_hold(seed);
        events += outcome.events;
        if seed % 100 == 0 {
            assert_eq!(run(seed, Bug::None).hash, outcome.hash, "seed {seed} is not deterministic");
        }
    }
    println!("{events} events");
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::PLANTED {
        let found = (0..1_000).find(|seed| !run(*seed, bug).wrong.is_empty());
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in 1,000 seeds");
    }
}

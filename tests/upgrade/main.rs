//! Upgrades (T25 of the proof, S51): what an earlier build's programs wrote is carried on by the tested ones, whatever moment of a
//! migration they are killed in; a form that is newer is refused and left as it is; builds of two ages talk with each other.
//!
//! `tests/run` runs the plain tests, over worlds that earlier builds made and that are kept here as text (`kept/`).
//! `tests/upgrade/run` builds earlier programs and runs the ignored tests with them; its head says what it needs.

mod back;
mod carry;
mod dump;
mod keep;
mod kept;
mod kill;
mod skew;
mod town;

use std::path::PathBuf;
use std::time::Instant;

use chat_tests::Build;

/// The earlier programs that `tests/upgrade/run` names.
fn earlier() -> Build {
    let dir = std::env::var_os("CHAT_OLD_BIN_DIR").expect("tests/upgrade/run sets CHAT_OLD_BIN_DIR");
    Build::Earlier(PathBuf::from(dir))
}

/// How many kills, cases or copies a programme was told to do, else its usual number.
fn number(usual: u64) -> u64 {
    std::env::var("CHAT_UPGRADES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// One case of a programme, with a line that says how long it took.
fn case<T>(name: &str, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = run();
    eprintln!("ok {name}: {:.1} s", began.elapsed().as_secs_f64());
    done
}

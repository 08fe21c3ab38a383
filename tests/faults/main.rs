//! Faults on purpose, against the real binaries, judged by the one checker (T2 and T4 to T7 of the proof, and R6).
//!
//! `tests/run` runs the slices (plain tests, every 10th or 20th point); `tests/faults/run` runs the programmes (ignored tests), with a
//! number. README.md beside this file says what each does. The kill programme (T1) is `e2e/kill.rs`, with a larger number.

mod cut;
mod full;
mod inject;
mod mounted;
mod power;
mod sandbox;
mod stage;

/// The number that a programme was given, else its usual one.
fn number(usual: u64) -> u64 {
    std::env::var("CHAT_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

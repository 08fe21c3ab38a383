//! The body of every fuzz target as a plain function of bytes: it panics when a parser breaks a promise.
//!
//! `tests/fuzz` feeds them with what libFuzzer invents, `tests/replay.rs` with the corpus that was kept. They live apart from the
//! fuzz package so that the replay needs neither nightly nor a sanitizer.

mod config;
mod control;
mod machines;
mod names;
mod sanitizer;
mod wire;

pub use config::config;
pub use control::control_line;
pub use machines::stream_blob;
pub use names::names;
pub use sanitizer::sanitizer;
pub use wire::{body, frame};

/// A target: it takes any bytes and panics only on a defect.
pub type Target = fn(&[u8]);

/// Every target under the name of its corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame),
    ("body", body),
    ("control_line", control_line),
    ("config", config),
    ("names", names),
    ("sanitizer", sanitizer),
    ("stream_blob", stream_blob),
];

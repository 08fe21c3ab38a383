//! The order of birth of a daemon, for any daemon: of our other crates this one knows only how text is made fit to print.
//!
//! ```text
//! arguments -> config -> harden -> background (readiness pipe) -> sandbox -> logging -> runtime -> ready -> shutdown
//! ```
//! Everything before logging happens in one thread, because a fork keeps only the thread that called it. What Windows lacks (fork, modes, a
//! supervisor) is said in each module.

pub mod background;
pub mod config;
pub mod descriptors;
pub mod exit;
pub mod harden;
pub mod inherit;
#[cfg(unix)]
mod journal;
pub mod logging;
#[cfg_attr(unix, path = "notify/unix.rs")]
#[cfg_attr(windows, path = "notify/windows.rs")]
pub mod notify;
pub mod runtime;
pub mod sandbox;
pub mod shutdown;
pub mod watchdog;

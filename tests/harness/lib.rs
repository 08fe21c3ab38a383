//! Worlds of real processes for black-box tests: a server, any number of homes with a chatd each, and chatctl as people type it.
//!
//! Owned here: starting, killing and clearing up processes, waiting for facts, the delivery checker and a faulty network.
//! Used by `e2e/`, and by the fault and load programs. No daemon's code is linked: only what they print and answer counts.

pub mod build;
pub mod checker;
pub mod format;
pub mod home;
pub mod needs;
pub mod output;
pub mod process;
pub mod proxy;
pub mod rng;
pub mod server;
pub mod shell;
pub mod tidy;
pub mod traffic;
pub mod watch;
pub mod world;

pub use build::Build;
pub use home::Home;
pub use output::Output;
pub use rng::Rng;
pub use world::World;

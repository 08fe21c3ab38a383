//! Machines: they decide without doing. Time and randomness come as arguments, effects go out as values.
//!
//! The daemons carry what these decide; the simulator (`proto/core/tests`) runs the same code with its own clock, links
//! and disks.

pub mod hello;
pub mod inbox;
pub mod outbox;
pub mod presence;
pub mod private;
pub mod stream;

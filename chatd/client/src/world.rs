//! What the daemon takes from the world beside sockets and files: clocks and randomness, handed in by the assembly.

use std::time::Instant;

use jiff::Timestamp;

/// Clocks and randomness.
#[derive(Clone, Copy, Debug)]
pub struct World {
    start: Instant,
}

impl World {
    /// The real world, from now on.
    pub fn real() -> World {
        World { start: Instant::now() }
    }

    /// Milliseconds since 1970; for display only.
    pub fn now_ms(&self) -> i64 {
        Timestamp::now().as_millisecond()
    }

    /// Milliseconds of a clock that never jumps.
    pub fn mono_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// 64 random bits; an error means that the system has none to give.
    pub fn random(&self) -> Result<u64, getrandom::Error> {
        getrandom::u64()
    }
}

//! The server's clocks: made once by the assembly and handed to whoever needs the time.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Wall clock for display, monotonic clock for everything that decides: the runtime's, which tests can stop.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic side begins now.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Milliseconds since [`Clock::start`]; never goes back.
    pub fn mono_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds since 1970 by the host's clock; may jump.
    pub fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

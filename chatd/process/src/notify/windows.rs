//! There is no systemd on Windows: nobody is told, and nothing is due.

use std::time::Duration;

/// The way to the supervisor, of which there is none.
#[derive(Clone, Copy, Debug)]
pub struct Supervisor;

impl Supervisor {
    /// Nobody listens, whatever the environment says.
    pub fn new(_listens: bool) -> Supervisor {
        Supervisor
    }

    /// The daemon serves, for the first time or again after a reload.
    pub fn ready(&self) {}

    /// The daemon reads its configuration anew.
    pub fn reloading(&self) {}

    /// The daemon is on its way out.
    pub fn stopping(&self) {}

    /// One line of state.
    pub fn status(&self, _line: &str) {}

    /// The daemon is alive.
    pub fn alive(&self) {}

    /// Never due.
    pub fn watchdog(&self) -> Option<Duration> {
        None
    }
}

//! What systemd is told: ready, reloading, stopping, still alive. Silent when no supervisor listens.
//!
//! `main` makes it from what it found in the environment; the assembly tells it about each step.

use std::time::Duration;

use sd_notify::NotifyState;

/// The way to the supervisor.
#[derive(Clone, Copy, Debug)]
pub struct Supervisor {
    listens: bool,
}

impl Supervisor {
    /// `listens`: whether NOTIFY_SOCKET is set.
    pub fn new(listens: bool) -> Supervisor {
        Supervisor { listens }
    }

    /// The daemon serves, for the first time or again after a reload.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The daemon reads its configuration anew; [`Supervisor::ready`] must follow, whatever comes of it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// The daemon is on its way out.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.tell(&[NotifyState::Status(&line.replace('\n', " "))]);
    }

    /// The daemon is alive; due every [`Supervisor::watchdog`].
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// How often [`Supervisor::alive`] is due: half of what the supervisor allows, or never.
    pub fn watchdog(&self) -> Option<Duration> {
        if self.listens { sd_notify::watchdog_enabled().map(|allowed| allowed / 2) } else { None }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.listens
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::debug!(%error, "the supervisor could not be told");
        }
    }
}

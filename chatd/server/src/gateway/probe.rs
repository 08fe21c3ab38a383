//! Whether the sessions of an account's other devices live: each is asked, and one word is enough. Used by the handshake under
//! the policy `refuse`, for the name and again at HELLO.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Mailbox;
use crate::store::SessionNo;

/// A live old session answers a PING within this, or may be taken over (contract, "Another device of the account").
const PROBE: Duration = Duration::from_secs(5);

/// Sessions that were asked.
pub(super) struct Probe {
    asked: Vec<SessionNo>,
    heard: mpsc::Receiver<()>,
    until: Instant,
}

impl Probe {
    /// Asks these sessions whether their clients live.
    pub(super) fn of(sessions: Vec<(SessionNo, Arc<Mailbox>)>) -> Probe {
        let (told, heard) = mpsc::channel(1);
        sessions.iter().for_each(|(_, mailbox)| mailbox.probe(told.clone()));
        let asked = sessions.into_iter().map(|(session, _)| session).collect();
        Probe { asked, heard, until: Instant::now() + PROBE }
    }

    /// Whether one of them answers in time. When all of them ended there is nothing to wait for.
    pub(super) async fn lives(&mut self) -> bool {
        matches!(timeout_at(self.until, self.heard.recv()).await, Ok(Some(())))
    }

    /// Whether all of these were asked: then nobody needs to be asked again.
    pub(super) fn asked(&self, sessions: &[(SessionNo, Arc<Mailbox>)]) -> bool {
        sessions.iter().all(|(session, _)| self.asked.contains(session))
    }

    /// Those that were asked, once they did not answer; nobody when one did after all.
    pub(super) fn silent(mut self) -> Vec<SessionNo> {
        if self.heard.try_recv().is_ok() { Vec::new() } else { self.asked }
    }
}

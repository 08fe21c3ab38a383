//! One sender and one receiver who is there: keeps so many messages in flight until told to stop. Called by the relay rows.

use std::cell::Cell;

use anyhow::Result;
use bytes::Bytes;

use crate::client::{BODY, Event, Session};

/// What all pairs of a run share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Messages delivered.
    pub delivered: Cell<u64>,
    /// No more messages.
    pub stop: Cell<bool>,
}

/// A pair at work.
pub struct Pair {
    /// Who sends.
    pub sender: Session,
    /// Who receives.
    pub receiver: Session,
    /// The receiver's name.
    pub to: String,
}

impl Pair {
    /// Keeps `window` messages in flight: sent, and not yet both acknowledged and delivered. Gives the pair back when it was
    /// told to stop and everything has arrived.
    pub async fn run(mut self, window: u64, shared: &Shared) -> Result<Pair> {
        let body = Bytes::from(vec![b'x'; BODY]);
        let mut undelivered = 0;
        loop {
            while !shared.stop.get() && self.sender.open().max(undelivered) < window {
                self.sender.send(&self.to, body.clone());
                undelivered += 1;
            }
            if self.sender.open() == 0 && undelivered == 0 {
                self.receiver.acknowledge();
                self.receiver.link.flush().await?;
                return Ok(self);
            }
            let event = tokio::select! {
                event = self.sender.next() => event?,
                event = self.receiver.next() => event?,
            };
            let mut arrived = count(&event);
            while let Some(event) = self.sender.ready()? {
                arrived += count(&event);
            }
            while let Some(event) = self.receiver.ready()? {
                arrived += count(&event);
            }
            undelivered -= arrived;
            shared.delivered.set(shared.delivered.get() + arrived);
        }
    }
}

/// A sender gets no entries here, so every entry is the receiver's.
fn count(event: &Event) -> u64 {
    u64::from(matches!(event, Event::Delivered(_)))
}

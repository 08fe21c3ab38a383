//! The bus of a server with one node: within the process.

use chat_proto::bus::Hint;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Bus, Heard, Subscription};

/// Hints that wait for a slow subscriber; beyond it he looks everywhere.
const WAITING: usize = 1024;

/// Hints within the process.
pub struct LocalBus(broadcast::Sender<Hint>);

impl Default for LocalBus {
    fn default() -> Self {
        LocalBus(broadcast::channel(WAITING).0)
    }
}

impl Bus for LocalBus {
    type Subscription = LocalSubscription;

    fn publish(&self, hint: Hint) {
        // Fails only when nobody listens.
        let _ = self.0.send(hint);
    }

    fn subscribe(&self) -> LocalSubscription {
        LocalSubscription(self.0.subscribe())
    }
}

/// A subscriber within the process.
pub struct LocalSubscription(broadcast::Receiver<Hint>);

impl Subscription for LocalSubscription {
    async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(hint) => Some(Heard::Hint(hint)),
            Err(RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::contract;

    #[tokio::test]
    async fn keeps_the_contract() {
        contract::check(LocalBus::default()).await;
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told() {
        let bus = LocalBus::default();
        let mut slow = bus.subscribe();
        for _ in 0..=WAITING {
            bus.publish(Hint::Inbox("a".to_owned().try_into().unwrap()));
        }
        assert_eq!(slow.next().await, Some(Heard::Missed));
        assert!(matches!(slow.next().await, Some(Heard::Hint(_))));
    }
}

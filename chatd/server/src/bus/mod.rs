//! The bus seam: hints between server nodes that there may be something new (contract, "Many server nodes").
//!
//! The gateway subscribes. A hint has no authority and no content: one that is lost, doubled or forged costs a look.

pub mod contract;
pub mod local;

use chat_proto::bus::Hint;

/// Carries hints to all who subscribed.
pub trait Bus: Send + Sync + 'static {
    /// Its way to hear them.
    type Subscription: Subscription;

    /// Tells all subscribers, this node's own included. Never waits; may lose it.
    fn publish(&self, hint: Hint);

    /// Hears what is published from now on.
    fn subscribe(&self) -> Self::Subscription;
}

/// A subscriber's end.
pub trait Subscription: Send + 'static {
    /// The next word; `None` when the bus is gone. Safe to cancel.
    fn next(&mut self) -> impl Future<Output = Option<Heard>> + Send;
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A hint.
    Hint(Hint),
    /// Some were lost: look everywhere.
    Missed,
}

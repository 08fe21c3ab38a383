//! What the server does for private sessions beside brokering them: it issues tickets, and runs the relay that admits by them.
//!
//! Owned by the gateway, whose sessions ask it when a request was accepted. The broker itself belongs to the store's writer.

pub mod ticket;

use chat_proto::wire::PrivateRelay;

use ticket::Tickets;

/// Tickets and relay.
pub struct Private {
    /// Issues and checks tickets.
    pub tickets: Tickets,
}

impl Private {
    /// `secret` seals tickets.
    pub fn new(secret: &[u8; 32]) -> Private {
        Private { tickets: Tickets::new(secret) }
    }

    /// The relay as clients are told of it, where there is one.
    pub fn relay(&self) -> Option<PrivateRelay> {
        None
    }
}

//! Connections between two chatd: a seam in our words, QUIC by iroh behind it ([`iroh`]).
//!
//! [`Peers`] belongs to a profile: one endpoint, started with its first private session, and a second one that has no addresses, for
//! sessions that hide theirs. (Not one for the whole process: profiles of one host may talk to each other, and nobody should be able
//! to tell by an endpoint that two accounts are on one host.) Each session has a task ([`task`]) that dials, takes what comes in, proves both sides ([`hello`]) and
//! carries frames between the connection and the profile's owner. Nothing here decides about messages.

mod hello;
mod iroh;
mod task;
mod verify;

use std::net::SocketAddr;

pub use self::iroh::{Connection, Peers, Place};
pub use hello::{Known, Own};
pub use task::{Command, PeerEvent, Session, Spec, start};
pub use verify::verification_code;

/// The server's relay as this host reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Where.
    pub address: SocketAddr,
    /// SHA-256 of its certificate.
    pub certificate: [u8; 32],
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The key of its endpoint.
    pub endpoint: [u8; 32],
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
    /// The relay, where it may be used.
    pub relay: Option<Relay>,
}

/// How a connection goes just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The peer's address; nothing: through the relay.
    pub direct: Option<SocketAddr>,
    /// Round trip in microseconds.
    pub rtt_us: u64,
}

/// Why there is no endpoint or no connection.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The system gives no socket.
    #[error("no endpoint: {0}")]
    Endpoint(String),
    /// The peer was not reached.
    #[error("{0}")]
    NotReached(String),
    /// The peer closed the connection, and why: a reason of [`chat_proto::peer::Bye`].
    #[error("the peer closed the connection ({0})")]
    Closed(u32),
    /// The peer speaks of another session than this one.
    #[error("the peer speaks of another session")]
    OtherSession,
    /// The peer did not prove to be who it must be.
    #[error("the peer did not prove its key: {0}")]
    Unproven(&'static str),
    /// It took too long.
    #[error("the peer took too long")]
    TimedOut,
}

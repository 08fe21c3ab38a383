//! What the broker is told of a request and of the two who are to meet, and what it answers.

use crate::machine::private::requests::RequestId;
use crate::wire::PeerEndpoint;

/// A device that asks or says yes.
#[derive(Clone, Debug, PartialEq)]
pub struct Party<A, D> {
    /// Its account.
    pub account: A,
    /// The device.
    pub device: D,
    /// This start of its chatd: another one knows nothing of the request.
    pub run: u64,
    /// Where it can be reached.
    pub endpoint: PeerEndpoint,
}

/// Somebody asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask<A, D> {
    /// The request's id.
    pub id: RequestId,
    /// Who asks.
    pub from: Party<A, D>,
    /// Whom.
    pub to: A,
    /// A word about why.
    pub note: String,
    /// Open for so long, as far as the operator lets it; 0: as he says.
    pub ttl_ms: u64,
}

/// How asker and asked stand, as of the deciding transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The asked one blocks the asker.
    pub blocked: bool,
    /// The asker blocks the asked one.
    pub blocking: bool,
    /// The asked one is announced online.
    pub online: bool,
}

/// What the operator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Private sessions are allowed.
    pub allowed: bool,
    /// The server has a relay.
    pub relay: bool,
    /// The longest time that a request is open.
    pub ttl_ms: u64,
}

/// An accepted request: what one side needs to reach the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Open<A, D> {
    /// The session.
    pub id: RequestId,
    /// The other side.
    pub account: A,
    /// Its device.
    pub device: D,
    /// Where that can be reached.
    pub endpoint: PeerEndpoint,
    /// The endpoint by which this side takes part.
    pub own: Vec<u8>,
    /// This side asked.
    pub asker: bool,
}

/// How a request stands for who asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<A, D> {
    /// Its id; another one than was asked with where it joined a request of the other side.
    pub id: RequestId,
    /// Open for so many milliseconds more.
    pub expires_in_ms: u64,
    /// It is accepted.
    pub open: Option<Open<A, D>>,
}

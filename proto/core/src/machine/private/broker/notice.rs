//! What the broker has others told, and whom.

use super::Open;
use crate::machine::private::requests::RequestId;
use crate::wire::PrivateNotice;

/// To whom something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<A, D> {
    /// To one device of an account.
    Device(A, D),
    /// To all devices of an account, save one.
    Account(A, Option<D>),
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice<A, D> {
    /// To whom.
    pub to: Whom<A, D>,
    /// The request.
    pub id: RequestId,
    /// The other side.
    pub peer: A,
    /// What.
    pub what: What<A, D>,
}

/// What is told of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum What<A, D> {
    /// Somebody asks.
    Request {
        /// The word about why.
        note: String,
        /// Open for so many milliseconds.
        expires_in_ms: u64,
        /// The asker's key for peers.
        peer_key: Vec<u8>,
    },
    /// The own request was accepted.
    Accepted(Open<A, D>),
    /// The own request was declined.
    Declined,
    /// It ran out.
    Expired,
    /// The other side is no longer online; of an accepted request: its device is not, and there is no session.
    Left,
    /// It was withdrawn; an accepted one too, when its other side did not wait for the answer.
    Withdrawn,
    /// Another device of this account answered it.
    Answered,
}

impl<A, D> What<A, D> {
    /// Its number on the wire.
    pub fn number(&self) -> u32 {
        match self {
            What::Request { .. } => PrivateNotice::REQUEST,
            What::Accepted(_) => PrivateNotice::ACCEPTED,
            What::Declined => PrivateNotice::DECLINED,
            What::Expired => PrivateNotice::EXPIRED,
            What::Left => PrivateNotice::LEFT,
            What::Withdrawn => PrivateNotice::WITHDRAWN,
            What::Answered => PrivateNotice::ANSWERED,
        }
    }
}

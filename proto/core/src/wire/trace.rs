//! What the server knows of one place of a stream.

use prost::Message;

use super::Position;

/// TRCE request: one place of a stream of this device.
#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    /// Stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// Place.
    #[prost(uint64, tag = "2")]
    pub cseq: u64,
}

/// TRCE answer: what the verdict said or would say, and nothing about the recipient.
#[derive(Clone, PartialEq, Message)]
pub struct Traced {
    /// The place was decided.
    #[prost(bool, tag = "1")]
    pub decided: bool,
    /// The decision is one of the last that are kept.
    #[prost(bool, tag = "2")]
    pub kept: bool,
    /// Kept: the decision, 0 = accepted.
    #[prost(uint32, tag = "3")]
    pub code: u32,
    /// Kept and accepted: where it stands.
    #[prost(message, optional, tag = "4")]
    pub position: Option<Position>,
}

//! Bodies of the conversation between chatd and chat-server, in protobuf; the schema in prose is `proto/spec/wire.md`,
//! in protobuf's own language `proto/spec/wire.proto` (a test compares the two).
//!
//! Messages are flat, fields are numbered for ever and only added. What comes from the other side is checked where it
//! becomes a type of [`crate::id`]. One file a noun; what several have is here.

mod account;
mod device;
mod message;
mod people;
mod private;
mod session;
mod trace;

use prost::Message;

pub use account::*;
pub use device::*;
pub use message::*;
pub use people::*;
pub use private::*;
pub use session::*;
pub use trace::*;

use crate::fault::{Code, Fault};
use crate::id;

/// A place in the server's log; see [`id::Position`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Position {
    /// Server epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Random number of the server start.
    #[prost(fixed64, tag = "2")]
    pub nonce: u64,
    /// The place itself.
    #[prost(uint64, tag = "3")]
    pub n: u64,
}

impl From<id::Position> for Position {
    fn from(p: id::Position) -> Self {
        Position { epoch: p.epoch, nonce: p.nonce, n: p.n }
    }
}

impl From<Position> for id::Position {
    fn from(p: Position) -> Self {
        id::Position { epoch: p.epoch, nonce: p.nonce, n: p.n }
    }
}

/// An empty body.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// Body of an ERROR status.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Refusal {
    /// [`Code`].
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// When trying again may help, in milliseconds.
    #[prost(uint64, optional, tag = "2")]
    pub retry_after_ms: Option<u64>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal { code: fault.code.0, retry_after_ms: fault.retry_after_ms }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault { code: Code(refusal.code), retry_after_ms: refusal.retry_after_ms }
    }
}

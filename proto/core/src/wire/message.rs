//! Messages: handed over, decided, delivered, and how far they got.

use prost::Message;
use sha2::{Digest, Sha256};

use super::Position;
use crate::id;

/// SEND: a message handed over. Answered by VRDT, GAPS or LATR pushes.
#[derive(Clone, PartialEq, Message)]
pub struct Send {
    /// The stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The place in it.
    #[prost(uint64, tag = "2")]
    pub cseq: u64,
    /// Verdicts of this stream up to here are on the client's disk.
    #[prost(uint64, tag = "3")]
    pub settled: u64,
    /// The recipient's account; empty for a broadcast.
    #[prost(string, tag = "4")]
    pub to: String,
    /// See [`kind`].
    #[prost(uint32, tag = "5")]
    pub kind: u32,
    /// 32 bytes: [`content_hash`]; opaque to the server.
    #[prost(bytes = "vec", tag = "6")]
    pub h: Vec<u8>,
    /// What the body is, e.g. [`TEXT_PLAIN`]; opaque to the server.
    #[prost(string, tag = "7")]
    pub content_type: String,
    /// The body; opaque to the server.
    #[prost(bytes = "bytes", tag = "8")]
    pub body: bytes::Bytes,
}

/// Kinds of entries; an open set: unknown ones are stored raw and acknowledged.
pub mod kind {
    /// For one account.
    pub const DIRECT: u32 = 1;
    /// For everyone who was announced online at the moment of acceptance.
    pub const BROADCAST: u32 = 2;
    /// Peer to peer; never on this wire.
    pub const PRIVATE: u32 = 3;
    /// From the server itself: a message of the receiver's expired; the body is its [`super::Expired`].
    pub const EXPIRED: u32 = 16;
    /// From the server itself: a device was enrolled, revoked or copied, or the password changed; the body is a [`crate::wire::DeviceNotice`].
    pub const DEVICE: u32 = 17;
    /// From the server itself: its operator says something; the body is text.
    pub const ANNOUNCEMENT: u32 = 18;
}

/// The content type of plain text.
pub const TEXT_PLAIN: &str = "text/plain";

/// The hash that ties a place in a stream to its content: SHA-256 over length-prefixed (to, kind, content type, body).
pub fn content_hash(to: &str, kind: u32, content_type: &str, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [to.as_bytes(), &kind.to_be_bytes(), content_type.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The first 8 bytes of a content hash, as the server keeps them.
pub fn h8(h: &[u8]) -> Option<u64> {
    h.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// VOID: the client gives up places; answered by verdicts.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Void {
    /// The stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The first place.
    #[prost(uint64, tag = "2")]
    pub first: u64,
    /// The last place.
    #[prost(uint64, tag = "3")]
    pub last: u64,
}

/// VRDT: decisions, all durable on the server.
#[derive(Clone, PartialEq, Message)]
pub struct Verdict {
    /// Runs of places with the same outcome.
    #[prost(message, repeated, tag = "1")]
    pub runs: Vec<Run>,
}

/// A run of consecutive places with the same outcome.
#[derive(Clone, PartialEq, Message)]
pub struct Run {
    /// The stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The first place.
    #[prost(uint64, tag = "2")]
    pub first: u64,
    /// How many places.
    #[prost(uint32, tag = "3")]
    pub count: u32,
    /// 0 = accepted; else [`Code`](crate::fault::Code).
    #[prost(uint32, tag = "4")]
    pub code: u32,
    /// Accepted: where each stands (same epoch and nonce for all).
    #[prost(uint64, repeated, tag = "5")]
    pub n: Vec<u64>,
    /// Epoch of the positions.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    /// Nonce of the positions.
    #[prost(fixed64, tag = "7")]
    pub nonce: u64,
    /// The recipient was announced online when it was accepted.
    #[prost(bool, tag = "8")]
    pub online: bool,
    /// Broadcast: how many accounts it went to.
    #[prost(uint32, tag = "9")]
    pub audience: u32,
    /// Broadcast in the classic profile: some online user was left out.
    #[prost(bool, tag = "10")]
    pub missed: bool,
    /// With LIMIT or INBOX_FULL: when a new message may be taken, in milliseconds.
    #[prost(uint64, tag = "11")]
    pub retry_after_ms: u64,
    /// The places had been decided before, this is the stored verdict.
    #[prost(bool, tag = "12")]
    pub stored: bool,
}

/// GAPS: nothing beyond `last` was decided; send again from `last + 1`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Gap {
    /// The stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The last decided place.
    #[prost(uint64, tag = "2")]
    pub last: u64,
}

/// LATR: nothing can be decided now, for the whole sender.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct TryLater {
    /// Wait this long, at most 60 s, then send again from the last decided place.
    #[prost(uint64, tag = "1")]
    pub after_ms: u64,
    /// Why: [`Code`](crate::fault::Code).
    #[prost(uint32, tag = "2")]
    pub code: u32,
}

/// DLVR: an inbox entry. The first two fields differ per device, the rest is encoded once for all receivers.
#[derive(Clone, PartialEq, Message)]
pub struct Deliver {
    /// The position that this device was last given (contract rule 4); own messages passed over do not count.
    #[prost(message, optional, tag = "1")]
    pub prev: Option<Position>,
    /// Acknowledge at once.
    #[prost(bool, tag = "2")]
    pub ack_now: bool,
    /// Where the entry stands.
    #[prost(message, optional, tag = "3")]
    pub position: Option<Position>,
    /// See [`kind`].
    #[prost(uint32, tag = "4")]
    pub kind: u32,
    /// The sending account, stamped by the server; empty for the server itself.
    #[prost(string, tag = "5")]
    pub from: String,
    /// 16 bytes: the sending device.
    #[prost(bytes = "vec", tag = "6")]
    pub device: Vec<u8>,
    /// The sending stream.
    #[prost(fixed64, tag = "7")]
    pub incarnation: u64,
    /// The place in it.
    #[prost(uint64, tag = "8")]
    pub cseq: u64,
    /// Server's wall clock at acceptance, milliseconds since 1970; for display only.
    #[prost(int64, tag = "9")]
    pub at_ms: i64,
    /// What the body is.
    #[prost(string, tag = "10")]
    pub content_type: String,
    /// The body.
    #[prost(bytes = "bytes", tag = "11")]
    pub body: bytes::Bytes,
    /// The recipient's account (the sender's other devices need it); empty for a broadcast.
    #[prost(string, tag = "12")]
    pub to: String,
}

/// Encoded head of a [`Deliver`] (the two fields that differ per device); the shared rest follows it.
pub fn deliver_head(prev: id::Position, ack_now: bool) -> Vec<u8> {
    Deliver { prev: Some(prev.into()), ack_now, ..Deliver::default() }.encode_to_vec()
}

/// Body of an EXPIRED entry.
#[derive(Clone, PartialEq, Message)]
pub struct Expired {
    /// The sending device of the message that expired: 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device: Vec<u8>,
    /// Its stream.
    #[prost(fixed64, tag = "2")]
    pub incarnation: u64,
    /// Its place.
    #[prost(uint64, tag = "3")]
    pub cseq: u64,
    /// EXPIRED or ACCOUNT_GONE.
    #[prost(uint32, tag = "4")]
    pub code: u32,
}

/// FTCH: deliver again from behind this position.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Fetch {
    /// The client's cursor.
    #[prost(message, optional, tag = "1")]
    pub from: Option<Position>,
}

/// GONE: entries up to here were taken by retention.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Gone {
    /// The cursor to go on from.
    #[prost(message, optional, tag = "1")]
    pub to: Option<Position>,
    /// How many entries are gone.
    #[prost(uint64, tag = "2")]
    pub count: u64,
}

/// ACKN: everything up to here is in the client's history.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Ack {
    /// The cursor.
    #[prost(message, optional, tag = "1")]
    pub position: Option<Position>,
}

/// MARK, both ways: messages of a sender were read up to a position. Monotone; confirmed, and repeated until it is.
#[derive(Clone, PartialEq, Message)]
pub struct Mark {
    /// The sender whose messages were read.
    #[prost(string, tag = "1")]
    pub account: String,
    /// Up to here.
    #[prost(message, optional, tag = "2")]
    pub position: Option<Position>,
    /// Tell the sender; false keeps it among the reader's own devices.
    #[prost(bool, tag = "3")]
    pub share: bool,
}

/// RCPT request: follow how far these recipients got.
#[derive(Clone, PartialEq, Message)]
pub struct Follow {
    /// Their accounts.
    #[prost(string, repeated, tag = "1")]
    pub accounts: Vec<String>,
}

/// RCPT answer and push.
#[derive(Clone, PartialEq, Message)]
pub struct Receipts {
    /// One for each recipient.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Receipt>,
}

/// How far one recipient got with the messages of this account. `n` may be compared within receipts only.
#[derive(Clone, PartialEq, Message)]
pub struct Receipt {
    /// The recipient.
    #[prost(string, tag = "1")]
    pub account: String,
    /// A device of the recipient has everything up to this place.
    #[prost(uint64, tag = "2")]
    pub delivered: u64,
    /// The recipient read everything up to this place, where it shares that.
    #[prost(uint64, tag = "3")]
    pub read: u64,
}

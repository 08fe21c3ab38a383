//! Who the two are, and what a session begins and ends with.

use prost::Message;

use super::Position;

/// IDNT: who are you?
#[derive(Clone, PartialEq, Message)]
pub struct Identify {
    /// Lowest wire version spoken.
    #[prost(uint32, tag = "1")]
    pub version_min: u32,
    /// Highest wire version spoken.
    #[prost(uint32, tag = "2")]
    pub version_max: u32,
    /// Program and version, for the server's log.
    #[prost(string, tag = "3")]
    pub agent: String,
}

/// Answer to IDNT: the server's long-term key and its proof over the TLS exporter.
#[derive(Clone, PartialEq, Message)]
pub struct Identity {
    /// 32 bytes: Ed25519 public key.
    #[prost(bytes = "vec", tag = "1")]
    pub server_id: Vec<u8>,
    /// 64 bytes: Ed25519 over `"chat-server-v1"`, the exporter and the settled version.
    #[prost(bytes = "vec", tag = "2")]
    pub proof: Vec<u8>,
    /// The settled wire version.
    #[prost(uint32, tag = "3")]
    pub version: u32,
    /// The server program's version.
    #[prost(string, tag = "4")]
    pub server_version: String,
    /// The name that the server's operator gave it.
    #[prost(string, tag = "5")]
    pub name: String,
    /// The server's clock, milliseconds since 1970 (UTC); 0: it does not say.
    #[prost(int64, tag = "6")]
    pub now_ms: i64,
    /// The client's IP address as the server sees it; empty: it does not say.
    #[prost(string, tag = "7")]
    pub seen: String,
}

/// HELO: opens the session.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// Random per chatd start.
    #[prost(fixed64, tag = "1")]
    pub run: u64,
    /// All streams with open places, oldest first; the newest stream always.
    #[prost(message, repeated, tag = "2")]
    pub streams: Vec<OpenStream>,
    /// The last position in the client's history; absent on a new device.
    #[prost(message, optional, tag = "3")]
    pub cursor: Option<Position>,
    /// The newest streams that this device ever used, in no order: a server that was set back knows an older one as the newest.
    #[prost(fixed64, repeated, tag = "4")]
    pub known: Vec<u64>,
}

/// A stream that the client may go on sending in.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct OpenStream {
    /// Which start of this device's chatd.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// Verdicts up to here are on the client's disk.
    #[prost(uint64, tag = "2")]
    pub settled: u64,
}

/// Answer to HELO.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    /// The fence: writes of this connection are refused once it is raised.
    #[prost(uint64, tag = "1")]
    pub session_epoch: u64,
    /// One for each stream named in HELO, in that order.
    #[prost(message, repeated, tag = "2")]
    pub streams: Vec<StreamState>,
    /// The cursor from which deliveries go on; the first DELIVER has it as `prev`.
    #[prost(message, optional, tag = "3")]
    pub cursor: Option<Position>,
    /// The newest position of the account's inbox.
    #[prost(message, optional, tag = "4")]
    pub head: Option<Position>,
    /// An old copy of this device's data is running (contract rule 3).
    #[prost(bool, tag = "5")]
    pub copy: bool,
    /// Entries that this device missed because it was away too long.
    #[prost(uint64, tag = "6")]
    pub resync: u64,
    /// The client's cursor was not known: the server was restored; offer again what was accepted at unknown positions.
    #[prost(bool, tag = "7")]
    pub restored: bool,
    /// The server's epochs, oldest first, so that the client can tell which of its positions are known.
    #[prost(message, repeated, tag = "8")]
    pub epochs: Vec<Epoch>,
    /// Bytes of the largest text taken.
    #[prost(uint64, tag = "9")]
    pub text_max: u64,
    /// The server's wall clock in milliseconds since 1970.
    #[prost(int64, tag = "10")]
    pub now_ms: i64,
}

/// One server start: positions from `first` on belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Epoch {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Its random number.
    #[prost(fixed64, tag = "2")]
    pub nonce: u64,
    /// The first position that it may give.
    #[prost(uint64, tag = "3")]
    pub first: u64,
}

/// What the server knows of a stream.
#[derive(Clone, PartialEq, Message)]
pub struct StreamState {
    /// Which.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The last decided place.
    #[prost(uint64, tag = "2")]
    pub last: u64,
    /// The last decisions, up to 64, the newest at place `last`.
    #[prost(message, repeated, tag = "3")]
    pub decisions: Vec<Decision>,
}

/// A recorded decision.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Decision {
    /// The first 8 bytes of the message's hash.
    #[prost(fixed64, tag = "1")]
    pub h8: u64,
    /// 0 = accepted; else [`Code`](crate::fault::Code).
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// Where an accepted message stands.
    #[prost(message, optional, tag = "3")]
    pub position: Option<Position>,
}

/// Body of an END status.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Bye {
    /// Why: [`Code`](crate::fault::Code).
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// The client may come back by itself.
    #[prost(bool, tag = "2")]
    pub may_reconnect: bool,
    /// Not before this many milliseconds.
    #[prost(uint64, tag = "3")]
    pub after_ms: u64,
}

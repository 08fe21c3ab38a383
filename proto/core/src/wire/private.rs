//! Private sessions, as far as the server helps two to meet.

use prost::Message;

/// Where a chatd can be reached for one private session, and the key by which its user is known to peers.
#[derive(Clone, PartialEq, Message)]
pub struct PeerEndpoint {
    /// 32 bytes: the key of its QUIC endpoint; made anew at every start.
    #[prost(bytes = "vec", tag = "1")]
    pub endpoint_id: Vec<u8>,
    /// `ADDRESS:PORT`, none where it is to be reached through the relay alone.
    #[prost(string, repeated, tag = "2")]
    pub addresses: Vec<String>,
    /// 32 bytes: the long-term Ed25519 key of the account on this device, for peers.
    #[prost(bytes = "vec", tag = "3")]
    pub peer_key: Vec<u8>,
    /// It is to be reached through the relay alone.
    #[prost(bool, tag = "4")]
    pub relay_only: bool,
    /// It is to be reached directly, or not at all.
    #[prost(bool, tag = "5")]
    pub direct_only: bool,
}

/// PASK: ask a user for a private session. Asked again with the same id, for instance after a reconnect, it is the same request.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateAsk {
    /// 16 random bytes: the request, and the session that becomes of it.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Whom.
    #[prost(string, tag = "2")]
    pub to: String,
    /// A word about why; may be empty.
    #[prost(string, tag = "3")]
    pub note: String,
    /// Open for so long, in milliseconds; the server's own bound holds. 0: as the server says.
    #[prost(uint64, tag = "4")]
    pub ttl_ms: u64,
    /// Where this side can be reached; told to the other once it accepted.
    #[prost(message, optional, tag = "5")]
    pub endpoint: Option<PeerEndpoint>,
    /// Ask nobody: say only whether the request would be refused. Counts as a request where they are limited.
    #[prost(bool, tag = "6")]
    pub check: bool,
}

/// Answer to PASK.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateAsked {
    /// 16 bytes: the request as it stands; another one than was asked where it joined one of the other side.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Open for so many milliseconds more.
    #[prost(uint64, tag = "2")]
    pub expires_in_ms: u64,
    /// It is accepted: the other side had asked too, or accepted before.
    #[prost(message, optional, tag = "3")]
    pub open: Option<PrivateOpen>,
}

/// PANS: accept or decline a private request.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateAnswer {
    /// 16 bytes: the request.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Yes, or no.
    #[prost(bool, tag = "2")]
    pub accept: bool,
    /// With yes: where this side can be reached.
    #[prost(message, optional, tag = "3")]
    pub endpoint: Option<PeerEndpoint>,
}

/// Answer to PANS.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateAnswered {
    /// With yes.
    #[prost(message, optional, tag = "1")]
    pub open: Option<PrivateOpen>,
}

/// PCAN: withdraw a private request of one's own.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateCancel {
    /// 16 bytes: the request.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

/// An accepted request: what each side needs to reach the other.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateOpen {
    /// 16 bytes: the session.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The other side's account.
    #[prost(string, tag = "2")]
    pub account: String,
    /// 16 bytes: the other side's device.
    #[prost(bytes = "vec", tag = "3")]
    pub device_id: Vec<u8>,
    /// Where it can be reached.
    #[prost(message, optional, tag = "4")]
    pub endpoint: Option<PeerEndpoint>,
    /// This side asked: it connects first.
    #[prost(bool, tag = "5")]
    pub asker: bool,
    /// The server's relay, where it has one.
    #[prost(message, optional, tag = "6")]
    pub relay: Option<PrivateRelay>,
    /// What the server said of this session to this side's account; opaque. The relay admits who shows it, PMOV names the session by it.
    /// Empty in a MOVED: the one that this side has is still good.
    #[prost(string, tag = "7")]
    pub ticket: String,
}

/// The server's relay, at the address by which the client reached the server.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateRelay {
    /// TCP port of the relay and UDP port of its address discovery.
    #[prost(uint32, tag = "1")]
    pub port: u32,
    /// 32 bytes: SHA-256 of its certificate in DER. This link vouches for it, whatever else the certificate says.
    #[prost(bytes = "vec", tag = "2")]
    pub certificate: Vec<u8>,
}

/// PMOV: renew a ticket; where an endpoint is given, tell the peer's device that this side is there now.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateMove {
    /// The ticket.
    #[prost(string, tag = "1")]
    pub ticket: String,
    /// Where this side can be reached now.
    #[prost(message, optional, tag = "2")]
    pub endpoint: Option<PeerEndpoint>,
}

/// Answer to PMOV.
#[derive(Clone, PartialEq, Message)]
pub struct PrivateMoved {
    /// The new ticket.
    #[prost(string, tag = "1")]
    pub ticket: String,
    /// The relay as it is now.
    #[prost(message, optional, tag = "2")]
    pub relay: Option<PrivateRelay>,
    /// The peer's device was online and was told.
    #[prost(bool, tag = "3")]
    pub told: bool,
}

/// PRIV: what became of a private request, or of a peer's endpoint (push).
#[derive(Clone, PartialEq, Message)]
pub struct PrivateNotice {
    /// One of the constants of this type.
    #[prost(uint32, tag = "1")]
    pub what: u32,
    /// 16 bytes: the request or session.
    #[prost(bytes = "vec", tag = "2")]
    pub id: Vec<u8>,
    /// The other side's account.
    #[prost(string, tag = "3")]
    pub account: String,
    /// REQUEST: the note.
    #[prost(string, tag = "4")]
    pub note: String,
    /// REQUEST: open for so many milliseconds.
    #[prost(uint64, tag = "5")]
    pub expires_in_ms: u64,
    /// ACCEPTED and MOVED.
    #[prost(message, optional, tag = "6")]
    pub open: Option<PrivateOpen>,
    /// REQUEST: 32 bytes: the key by which the asker says to be known to peers, so that one with another key than the known one is
    /// told nothing.
    #[prost(bytes = "vec", tag = "7")]
    pub peer_key: Vec<u8>,
}

impl PrivateNotice {
    /// Somebody asks this account.
    pub const REQUEST: u32 = 1;
    /// The own request was accepted.
    pub const ACCEPTED: u32 = 2;
    /// The own request was declined.
    pub const DECLINED: u32 = 3;
    /// The request ran out; both sides are told.
    pub const EXPIRED: u32 = 4;
    /// The other side is no longer online; of an accepted request: its device logged out, there is no session.
    pub const LEFT: u32 = 5;
    /// The other side withdrew its request, or took back what was accepted; or the own request is over by a block of one's own.
    pub const WITHDRAWN: u32 = 6;
    /// Another device of this account answered it.
    pub const ANSWERED: u32 = 7;
    /// The peer of a session is elsewhere now.
    pub const MOVED: u32 = 8;
}

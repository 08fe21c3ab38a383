//! Bodies of the conversation between two chatd in a private session, in protobuf; the methods are [`crate::method::peer`], the
//! prose is `proto/spec/peer.md`, the schema `proto/spec/peer.proto` (a test compares the two).
//!
//! One QUIC connection, one stream for all of this, framed as on the server's wire ([`crate::frame`]); a file's bytes travel on a
//! stream of their own. Nothing is taken before [`Hello`] was verified (S28, S29).

use prost::Message;

use crate::id::{DeviceId, ServerId};
use crate::wire;

/// The protocol's name in the handshake (RFC 7301).
pub const ALPN: &[u8] = b"chat-peer/1";
/// The label of the exporter that proofs are made over (RFC 8446 section 7.5; no context, 32 bytes).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-chat-peer-v1";
/// What a proof begins with.
pub const PROOF_DOMAIN: &[u8] = b"chat-peer-v1";

/// PHEL: who this is. The side that connected says it first.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// Lowest version of this conversation that is spoken.
    #[prost(uint32, tag = "1")]
    pub version_min: u32,
    /// Highest version.
    #[prost(uint32, tag = "2")]
    pub version_max: u32,
    /// 16 bytes: the session that both sides consented to.
    #[prost(bytes = "vec", tag = "3")]
    pub session: Vec<u8>,
    /// The account that says this.
    #[prost(string, tag = "4")]
    pub from: String,
    /// The account that it is said to.
    #[prost(string, tag = "5")]
    pub to: String,
    /// 16 bytes: the device that says this.
    #[prost(bytes = "vec", tag = "6")]
    pub device_id: Vec<u8>,
    /// 32 bytes: its long-term key for peers.
    #[prost(bytes = "vec", tag = "7")]
    pub peer_key: Vec<u8>,
    /// 64 bytes: Ed25519 by that key over [`proof_bytes`].
    #[prost(bytes = "vec", tag = "8")]
    pub proof: Vec<u8>,
    /// Program and version.
    #[prost(string, tag = "9")]
    pub agent: String,
}

/// What a peer's proof is made of.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// 32 bytes that only the two ends of this connection know.
    pub exporter: &'a [u8; 32],
    /// The server that brokered the session.
    pub server: ServerId,
    /// The session.
    pub session: &'a [u8; 16],
    /// Who claims.
    pub from: &'a str,
    /// To whom.
    pub to: &'a str,
    /// The claiming device.
    pub device: DeviceId,
    /// It is the side that connected: a proof cannot be sent back to who made it (S31).
    pub connected: bool,
}

/// The bytes that a proof signs: the domain, then each field behind its length as a big-endian `u32`.
pub fn proof_bytes(claim: &Claim<'_>) -> Vec<u8> {
    let side: &[u8] = if claim.connected { b"connected" } else { b"accepted" };
    let fields: [&[u8]; 7] = [
        claim.exporter,
        &claim.server.0,
        claim.session,
        claim.from.as_bytes(),
        claim.to.as_bytes(),
        &claim.device.0,
        side,
    ];
    let mut out = PROOF_DOMAIN.to_vec();
    for field in fields {
        out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

/// PSTR: this side's streams to the other device, oldest first: those with open places, and the newest one. Answered by PWEL.
#[derive(Clone, PartialEq, Message)]
pub struct Streams {
    /// The streams.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<wire::OpenStream>,
}

/// PWEL: what this side has of the other's streams, one for each that was named, in that order.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    /// The streams. Decisions tell accepted places from void ones; they have no position.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<wire::StreamState>,
}

/// PSND: a message.
#[derive(Clone, PartialEq, Message)]
pub struct Send {
    /// The stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The place in it.
    #[prost(uint64, tag = "2")]
    pub cseq: u64,
    /// Verdicts of this stream up to here are on the sender's disk.
    #[prost(uint64, tag = "3")]
    pub settled: u64,
    /// 32 bytes: [`wire::content_hash`] over the receiving account, [`wire::kind::PRIVATE`], content type and body; checked.
    #[prost(bytes = "vec", tag = "4")]
    pub h: Vec<u8>,
    /// What the body is.
    #[prost(string, tag = "5")]
    pub content_type: String,
    /// The body.
    #[prost(bytes = "bytes", tag = "6")]
    pub body: bytes::Bytes,
    /// Sender's wall clock when it was queued, milliseconds since 1970; for display only.
    #[prost(int64, tag = "7")]
    pub at_ms: i64,
}

/// PVOI: places that were given up.
pub type Void = wire::Void;

/// PVRD: up to this place of a stream everything is decided, and on the receiver's disk: in its history, but for places that it knows as
/// given up. Which those are is said once, when they are decided; of places that were decided before, [`Welcome`] tells.
#[derive(Clone, PartialEq, Message)]
pub struct Verdict {
    /// The stream.
    #[prost(fixed64, tag = "1")]
    pub incarnation: u64,
    /// The last decided place.
    #[prost(uint64, tag = "2")]
    pub last: u64,
    /// Places that were given up, of those that this decides.
    #[prost(uint64, repeated, tag = "3")]
    pub voids: Vec<u64>,
}

/// PGAP and PRED: up to this place of a stream everything was taken, or was read.
pub type Upto = wire::Gap;

/// PLTR: nothing is taken now; send again from the last verdict on after this time.
pub type TryLater = wire::TryLater;

/// PFOF: a file is offered.
#[derive(Clone, PartialEq, Message)]
pub struct FileOffer {
    /// 16 random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Its name, without any directory. The receiver makes it safe once more (S24).
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its size in bytes.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// 32 bytes: SHA-256 of its content.
    #[prost(bytes = "vec", tag = "4")]
    pub sha256: Vec<u8>,
}

/// PFAC: the bytes may come.
#[derive(Clone, PartialEq, Message)]
pub struct FileAccept {
    /// 16 bytes: the offer.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// From this byte on: what lies before it is on the receiver's disk.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
}

/// PFCN and PFDN: an offer or transfer is over.
#[derive(Clone, PartialEq, Message)]
pub struct FileEnd {
    /// 16 bytes: the offer.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Why: [`crate::fault::Code`]; 0 with PFDN.
    #[prost(uint32, tag = "2")]
    pub code: u32,
}

/// What a stream with a file's bytes begins with, behind its length as a big-endian `u32`; the bytes follow to the stream's end.
#[derive(Clone, PartialEq, Message)]
pub struct FileBytes {
    /// 16 bytes: the offer.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The first byte's place in the file.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
}

/// PBYE: the session is over.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Bye {
    /// Why: one of the constants of this type.
    #[prost(uint32, tag = "1")]
    pub reason: u32,
}

impl Bye {
    /// The user ended it.
    pub const STOPPED: u32 = 1;
    /// The user logged out.
    pub const LOGOUT: u32 = 2;
    /// The user was logged out after a time without activity.
    pub const IDLE: u32 = 3;
    /// The login ended for another reason.
    pub const GONE: u32 = 4;
    /// The peer was out of reach for too long.
    pub const LINK: u32 = 5;
    /// There is no such session here, or not with this endpoint.
    pub const UNKNOWN: u32 = 6;
    /// The key is not the one that is known for the peer.
    pub const IDENTITY: u32 = 7;
    /// A direct path was asked for and there is none.
    pub const NO_DIRECT_PATH: u32 = 8;
    /// The peer broke the protocol.
    pub const PROTOCOL: u32 = 9;
    /// Another connection of the same session lives on; the session goes on.
    pub const DOUBLE: u32 = 10;
    /// The daemon restarts; the session goes on.
    pub const RESTART: u32 = 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_claims_share_their_bytes() {
        let claim = Claim {
            exporter: &[1; 32],
            server: ServerId([2; 32]),
            session: &[3; 16],
            from: "alice",
            to: "bob",
            device: DeviceId([4; 16]),
            connected: true,
        };
        let turned = Claim { from: "bob", to: "alice", ..claim };
        let shifted = Claim { from: "aliceb", to: "ob", ..claim };
        let accepted = Claim { connected: false, ..claim };
        let all = [claim, turned, shifted, accepted].map(|claim| proof_bytes(&claim));
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| one != other));
        }
    }
}

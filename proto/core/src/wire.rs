//! Bodies of the conversation between chatd and chat-server, in protobuf; the schema in prose is `proto/spec/wire.md`,
//! in protobuf's own language `proto/spec/wire.proto` (a test compares the two).
//!
//! Messages are flat, fields are numbered for ever and only added. What comes from the other side is checked where it
//! becomes a type of [`crate::id`].

use prost::Message;
use sha2::{Digest, Sha256};

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

/// NAME: the account that the client wants to be (mission rule 1).
#[derive(Clone, PartialEq, Message)]
pub struct Name {
    /// The account's name as typed.
    #[prost(string, tag = "1")]
    pub account: String,
    /// The device that will prove itself, where there is one: its own session is not elsewhere.
    #[prost(bytes = "vec", tag = "2")]
    pub device_id: Vec<u8>,
}

/// Answer to NAME: the state of the name, and how this server treats names and devices, whatever the name.
#[derive(Clone, PartialEq, Message)]
pub struct NameState {
    /// 0: go on, nothing is said (default profile); 1 known, 2 unknown, 3 active elsewhere (classic profile).
    #[prost(uint32, tag = "1")]
    pub state: u32,
    /// A login with a name that nobody has may sign up by REGI, once the user said so.
    #[prost(bool, tag = "2")]
    pub sign_up: bool,
    /// Names keep their case.
    #[prost(bool, tag = "3")]
    pub keeps_case: bool,
    /// A logout forgets the device's key: the next login needs the password.
    #[prost(bool, tag = "4")]
    pub forgets_device: bool,
}

/// A device to be enrolled with a password.
#[derive(Clone, PartialEq, Message)]
pub struct Enrol {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
    /// 32 bytes: Ed25519 public key.
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
    /// The device's name for its owner.
    #[prost(string, tag = "3")]
    pub name: String,
    /// 64 bytes: the device's proof (contract, "Sessions and devices").
    #[prost(bytes = "vec", tag = "4")]
    pub proof: Vec<u8>,
}

/// REGI and LOGI: a password and the device to enrol.
#[derive(Clone, PartialEq, Message)]
pub struct Password {
    /// The account's name.
    #[prost(string, tag = "1")]
    pub account: String,
    /// The password: opaque UTF-8.
    #[prost(string, tag = "2")]
    pub password: String,
    /// The device.
    #[prost(message, optional, tag = "3")]
    pub enrol: Option<Enrol>,
    /// REGI: an invitation code, or empty.
    #[prost(string, tag = "4")]
    pub invite: String,
    /// LOGI: end the session of another device where the policy would refuse.
    #[prost(bool, tag = "5")]
    pub take_over: bool,
}

/// DEVI: login by the key of an enrolled device.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceLogin {
    /// The account's name.
    #[prost(string, tag = "1")]
    pub account: String,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub device_id: Vec<u8>,
    /// 64 bytes: the device's proof.
    #[prost(bytes = "vec", tag = "3")]
    pub proof: Vec<u8>,
    /// A login that the user typed, not a reconnect (counts as activity).
    #[prost(bool, tag = "4")]
    pub by_user: bool,
    /// End the session of another device where the policy would refuse.
    #[prost(bool, tag = "5")]
    pub take_over: bool,
}

/// Answer to REGI, LOGI and DEVI.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedIn {
    /// The account's name as the server keeps it.
    #[prost(string, tag = "1")]
    pub account: String,
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
    /// 0 = accepted; else [`Code`].
    #[prost(uint32, tag = "2")]
    pub code: u32,
    /// Where an accepted message stands.
    #[prost(message, optional, tag = "3")]
    pub position: Option<Position>,
}

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
    /// From the server itself: a device was enrolled, revoked or copied, or the password changed; the body is a [`super::DeviceNotice`].
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
    /// 0 = accepted; else [`Code`].
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
    /// Why: [`Code`].
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

/// Body of a DEVICE entry.
#[derive(Clone, PartialEq, Message)]
pub struct DeviceNotice {
    /// The device: 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device: Vec<u8>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// 1 enrolled, 2 revoked, 3 an old copy of it is running; 4 password changed by the user, 5 by the operator (no device then).
    #[prost(uint32, tag = "3")]
    pub what: u32,
}

impl DeviceNotice {
    /// A device was enrolled.
    pub const ENROLLED: u32 = 1;
    /// A device's key was taken.
    pub const REVOKED: u32 = 2;
    /// An old copy of a device is running.
    pub const COPY: u32 = 3;
    /// The account's user changed the password.
    pub const PASSWORD_CHANGED: u32 = 4;
    /// The server's operator changed it.
    pub const PASSWORD_RESET: u32 = 5;
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

/// PRES: who came and went; above 32 names only the count.
#[derive(Clone, PartialEq, Message)]
pub struct Presence {
    /// Who, in no order against messages.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PresenceItem>,
    /// How many came or went in all; more than `items` when there were too many to name.
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

/// One who came or went.
#[derive(Clone, PartialEq, Message)]
pub struct PresenceItem {
    /// Who.
    #[prost(string, tag = "1")]
    pub account: String,
    /// Came, or went.
    #[prost(bool, tag = "2")]
    pub online: bool,
    /// 1 login, 2 logout, 3 idle, 4 link lost, 5 kicked.
    #[prost(uint32, tag = "3")]
    pub reason: u32,
    /// Server's wall clock, milliseconds since 1970.
    #[prost(int64, tag = "4")]
    pub at_ms: i64,
}

/// WHOE and WHOS: a page of people.
#[derive(Clone, PartialEq, Message)]
pub struct PeopleQuery {
    /// Names behind this one; empty for the first page.
    #[prost(string, tag = "1")]
    pub after: String,
    /// WHOS: seconds back, inclusive.
    #[prost(uint64, tag = "2")]
    pub seconds: u64,
}

/// Answer to WHOE and WHOS, in the order of names.
#[derive(Clone, PartialEq, Message)]
pub struct People {
    /// The page.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Person>,
    /// Ask again with the last name.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Somebody else.
#[derive(Clone, PartialEq, Message)]
pub struct Person {
    /// Who.
    #[prost(string, tag = "1")]
    pub account: String,
    /// Announced online now.
    #[prost(bool, tag = "2")]
    pub online: bool,
    /// Online: since when. Offline: start of the last session. Milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub since_ms: i64,
    /// Offline: when the last session ended. Milliseconds since 1970.
    #[prost(int64, tag = "4")]
    pub last_seen_ms: i64,
    /// Online but without activity for a while.
    #[prost(bool, tag = "5")]
    pub away: bool,
}

/// BLOC and UNBL: the account meant.
#[derive(Clone, PartialEq, Message)]
pub struct Account {
    /// Its name.
    #[prost(string, tag = "1")]
    pub account: String,
}

/// Answer to BLOC and UNBL.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct BlockChanged {
    /// False: it was so already.
    #[prost(bool, tag = "1")]
    pub changed: bool,
}

/// Answer to BLKD.
#[derive(Clone, PartialEq, Message)]
pub struct Blocked {
    /// Whom the caller blocks.
    #[prost(string, repeated, tag = "1")]
    pub accounts: Vec<String>,
}

/// PASS: another password for the account.
#[derive(Clone, PartialEq, Message)]
pub struct NewPassword {
    /// The password as it is.
    #[prost(string, tag = "1")]
    pub old: String,
    /// The password as it is to be.
    #[prost(string, tag = "2")]
    pub new: String,
    /// The account's other devices lose their keys.
    #[prost(bool, tag = "3")]
    pub revoke_others: bool,
}

/// Answer to PASS.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct PasswordChanged {
    /// How many devices lost their keys.
    #[prost(uint32, tag = "1")]
    pub revoked: u32,
}

/// Answer to DEVS, oldest first.
#[derive(Clone, PartialEq, Message)]
pub struct Devices {
    /// The account's devices.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Device>,
}

/// A device of the account.
#[derive(Clone, PartialEq, Message)]
pub struct Device {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
    /// Its name for its owner.
    #[prost(string, tag = "2")]
    pub name: String,
    /// When it was enrolled, milliseconds since 1970; 0: not known.
    #[prost(int64, tag = "3")]
    pub since_ms: i64,
    /// When its last session opened or ended, milliseconds since 1970; 0: it never had one.
    #[prost(int64, tag = "4")]
    pub seen_ms: i64,
    /// It has a session now.
    #[prost(bool, tag = "5")]
    pub online: bool,
    /// It is the one that asks.
    #[prost(bool, tag = "6")]
    pub own: bool,
}

/// RVOK: the device that loses its key.
#[derive(Clone, PartialEq, Message)]
pub struct Revoke {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub device_id: Vec<u8>,
}

/// LOGO: end the session on purpose.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Logout {
    /// End the sessions of the account's other devices too.
    #[prost(bool, tag = "1")]
    pub all_devices: bool,
}

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

/// Body of an END status.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Bye {
    /// Why: [`Code`].
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// The client may come back by itself.
    #[prost(bool, tag = "2")]
    pub may_reconnect: bool,
    /// Not before this many milliseconds.
    #[prost(uint64, tag = "3")]
    pub after_ms: u64,
}

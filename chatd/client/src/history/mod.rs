//! What a profile keeps on disk: outbox, history, cursors, marks, receipts. A seam: [`History`] in our words, SQLite behind it.
//!
//! The profile's owner writes through [`thread::Writer`] (one commit for all that waits), everyone reads through
//! [`thread::Reader`]. Whatever was answered is on stable storage.

mod convert;
mod cursor;
pub mod file;
pub mod hooks;
mod private;
mod read;
mod schema;
mod search;
pub mod sqlite;
pub mod thread;
pub mod trace;
mod write;

pub use write::gap;

use bytes::Bytes;
use chat_proto::control::message::State;
use chat_proto::fault::Code;
use chat_proto::id::{CursorName, DeviceId, Incarnation, MessageId, Position, ServerId};
use chat_proto::machine::hello::{Epoch, Epochs};
use chat_proto::machine::outbox::{Entry, Settle};

/// Kind of a row that stands for entries that the server no longer had; its body is the count in decimal. Never on the wire.
pub const KIND_GAP: u32 = 0x4000_0001;

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Somebody else's.
    No,
    /// Sent by this device.
    Here,
    /// Sent by another device of this account.
    Elsewhere,
}

/// A place in one of this device's sending streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The stream.
    pub incarnation: Incarnation,
    /// The place in it.
    pub cseq: u64,
}

/// One message as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Place in the history.
    pub index: u64,
    /// Public id.
    pub id: MessageId,
    /// The sender's key.
    pub key: Option<String>,
    /// Kind on the wire.
    pub kind: u32,
    /// Whose.
    pub own: Own,
    /// Sending account; empty for the server.
    pub from: String,
    /// Receiving account; empty for a broadcast.
    pub to: String,
    /// Content type with its parameters.
    pub content_type: String,
    /// Body; empty in rows that only tell a change of state.
    pub body: Bytes,
    /// When.
    pub at_ms: i64,
    /// How far.
    pub state: State,
    /// Why it failed.
    pub code: Option<Code>,
    /// Own: its place in the stream. Others': the sender's.
    pub place: Place,
    /// Where it stands on the server.
    pub n: Option<u64>,
    /// Recipient was online at acceptance.
    pub online: bool,
    /// Broadcast: to how many.
    pub audience: u32,
    /// Broadcast: somebody was left out.
    pub missed: bool,
}

impl Row {
    /// With whom the conversation is that it belongs to; nobody for own broadcasts.
    pub fn peer(&self) -> &str {
        if self.own == Own::No { &self.from } else { &self.to }
    }
}

/// A message to be queued.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Makes a retry safe.
    pub key: String,
    /// Kind on the wire.
    pub kind: u32,
    /// Own account.
    pub from: String,
    /// Recipient; empty for a broadcast.
    pub to: String,
    /// Content type.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// Content hash.
    pub h: [u8; 32],
    /// Own clock.
    pub at_ms: i64,
    /// The sending device.
    pub device: DeviceId,
    /// The stream of this start.
    pub incarnation: Incarnation,
    /// A private text: the peer's device that the stream leads to.
    pub peer: Option<PeerDevice>,
}

/// A device of a peer, under the key that it proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerDevice {
    /// The device.
    pub device: DeviceId,
    /// Its key for peers.
    pub key: [u8; 32],
}

/// A stream to a peer's device.
#[derive(Clone, Debug)]
pub struct PeerStream {
    /// Where it leads.
    pub peer: PeerDevice,
    /// The stream.
    pub incarnation: Incarnation,
    /// Everything up to here is settled.
    pub settled: u64,
    /// Open places.
    pub open: Vec<Entry>,
}

/// What is here of a peer's stream.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The stream.
    pub incarnation: Incarnation,
    /// The highest place that was taken.
    pub last: u64,
    /// Hash and outcome of the last places, oldest first.
    pub decisions: Vec<(u64, Code)>,
    /// The highest place of them that was read here.
    pub read: u64,
}

/// Something that came from a peer.
#[derive(Clone, Debug)]
pub struct PrivateIncoming {
    /// The peer's account.
    pub from: String,
    /// Own account.
    pub to: String,
    /// The peer's device.
    pub device: DeviceId,
    /// Its place.
    pub place: Place,
    /// The text; nothing: the place was given up.
    pub text: Option<PrivateText>,
}

/// A text that came from a peer.
#[derive(Clone, Debug)]
pub struct PrivateText {
    /// Content type.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// The sender's clock.
    pub at_ms: i64,
}

/// A private text of somebody that was read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadHere {
    /// The peer's device.
    pub device: DeviceId,
    /// Its place.
    pub place: Place,
}

/// How often and when a message was put on the link since this was last written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The first time.
    pub first_ms: i64,
    /// The last time.
    pub last_ms: i64,
    /// How often.
    pub count: u64,
}

/// What goes with an accepted message beside its position.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How often and when it was sent for this.
    pub sending: Option<Sending>,
    /// What was decided.
    pub settle: Settle,
    /// Recipient was online.
    pub online: bool,
    /// Broadcast: to how many.
    pub audience: u32,
    /// Broadcast: somebody was left out.
    pub missed: bool,
}

/// An entry that came from the server.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it stands.
    pub position: Position,
    /// Kind on the wire.
    pub kind: u32,
    /// Sending account; empty for the server.
    pub from: String,
    /// Receiving account; empty for a broadcast.
    pub to: String,
    /// Sending device; nothing for the server's own entries.
    pub device: Option<DeviceId>,
    /// Place in the sender's stream.
    pub place: Place,
    /// Server's clock.
    pub at_ms: i64,
    /// Content type.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// Another device of this account read it before it came here.
    pub read: bool,
}

impl Incoming {
    /// Bytes that its sender and the server chose.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.content_type.len() + self.from.len() + self.to.len()
    }
}

/// How far a recipient got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The recipient.
    pub peer: String,
    /// One of its devices has everything up to here.
    pub delivered: u64,
    /// It read everything up to here.
    pub read: u64,
}

/// How far this account read a sender's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The sender.
    pub peer: String,
    /// Up to here.
    pub position: Position,
}

/// A named cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its name.
    pub name: String,
    /// Everything up to this place was acknowledged.
    pub index: u64,
    /// When it was made or moved last.
    pub at_ms: i64,
    /// The message at its place.
    pub id: Option<MessageId>,
    /// Others' messages behind it, counted to a bound.
    pub waiting: u64,
}

/// What happens to a named cursor.
#[derive(Clone, Copy, Debug)]
pub enum CursorChange {
    /// It is made at `begin` unless it is there; nothing is answered when there are too many.
    Open {
        /// Where a new one begins.
        begin: u64,
        /// Own clock.
        at_ms: i64,
    },
    /// Everything up to `index` was handled; it never moves backwards. Nothing is answered when it is not there.
    Ack {
        /// The place.
        index: u64,
        /// Own clock.
        at_ms: i64,
    },
    /// It is forgotten; what it was is answered.
    Remove,
}

/// One change; everything in it becomes durable at once or not at all.
#[derive(Clone, Debug)]
pub enum Write {
    /// Queue a message: [`Done::Queued`] or [`Done::Conflict`].
    Queue(NewMessage),
    /// Was a message with this key queued, with this content? [`Done::Queued`], [`Done::Conflict`], or [`Done::Plain`]: no.
    Recall {
        /// The key.
        key: String,
        /// Content hash.
        h: [u8; 32],
    },
    /// Verdicts came: [`Done::Changed`] with the rows that moved.
    Settle(Vec<Verdict>),
    /// These were put on the link, and nothing is decided yet: [`Done::Plain`].
    Sent(Vec<(Place, Sending)>),
    /// This message is given up: [`Done::Changed`] with its row if it had no verdict.
    Cancel {
        /// Its place.
        place: Place,
        /// It was never sent: it has failed. Else its verdict tells.
        unsent: bool,
    },
    /// Open these places again because the server lost them: [`Done::Plain`].
    Reopen(Vec<Place>),
    /// Entries came and the cursor moves: [`Done::Received`].
    Receive {
        /// Own account.
        account: String,
        /// This device.
        device: DeviceId,
        /// The entries, in order.
        entries: Vec<Incoming>,
        /// The cursor behind them.
        cursor: Position,
    },
    /// These rows were shown: [`Done::Marks`] with what moved.
    MarkRead(Vec<u64>),
    /// Another device of this account read up to here: [`Done::Plain`].
    ReadElsewhere(Mark),
    /// The server knows this mark: [`Done::Plain`].
    MarkConfirmed(Mark),
    /// How far recipients got: [`Done::Changed`] with the rows that moved.
    Reached(Vec<Reach>),
    /// These messages were never sent and are given up for this reason: [`Done::Changed`] with their rows.
    GiveUp(Vec<Place>, Code),
    /// This came from a peer of a private session, in order: [`Done::Received`].
    ReceivePrivate(Vec<PrivateIncoming>),
    /// The peer's user read everything up to here: [`Done::Changed`] with the rows that moved.
    ReadThere {
        /// The stream.
        incarnation: Incarnation,
        /// The place.
        cseq: u64,
    },
    /// The device has another key now: what is open to it has failed: [`Done::Changed`].
    ForgetPeer(PeerDevice),
    /// The user saw these failures: [`Done::Plain`].
    Looked(Vec<u64>),
    /// Everything that the server of this start may have lost is offered again: [`Done::Plain`].
    Seen(Epoch),
    /// A named cursor: [`Done::Cursor`].
    Cursor(CursorName, CursorChange),
    /// Something about hooks.
    Hooks(hooks::HookWrite),
    /// Files sent within private sessions: [`Done::Plain`].
    Files(Vec<file::FileWrite>),
    /// From now on this server and device: open places of another are given up: [`Done::Belongs`].
    Belong {
        /// The server.
        server: ServerId,
        /// This device.
        device: DeviceId,
    },
}

/// What a [`Write`] did.
#[derive(Clone, Debug)]
pub enum Done {
    /// The message is queued; or it was already, with the same content.
    Queued {
        /// The row.
        row: Box<Row>,
        /// The machine's entry; nothing when it had been queued before.
        entry: Option<Entry>,
    },
    /// The key was used for other content.
    Conflict,
    /// Rows whose state changed; bodies left out.
    Changed(Vec<Row>),
    /// New rows, and own messages that expired.
    Received {
        /// New rows in order.
        new: Vec<Row>,
        /// Own rows that expired; bodies left out.
        expired: Vec<Row>,
    },
    /// Rows were read.
    Marks {
        /// Marks that moved and the server does not know.
        marks: Vec<Mark>,
        /// Private texts.
        private: Vec<ReadHere>,
    },
    /// These letters.
    Letters(Vec<hooks::Letter>),
    /// Server and device are written down.
    Belongs {
        /// They were others before: streams and cursor are gone.
        moved: bool,
        /// Own rows whose outcome is lost; bodies left out.
        lost: Vec<Row>,
    },
    /// A named cursor, where it is there, and whether the change changed anything.
    Cursor {
        /// The cursor.
        cursor: Option<Cursor>,
        /// It was made, moved or forgotten.
        changed: bool,
    },
    /// Done.
    Plain,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The disk is full: nothing of the batch was written.
    #[error("the disk is full")]
    Full,
    /// What holds on the disk is unknown until the next start: the process must end (contract E2).
    #[error("the history's storage failed: {0}")]
    Broken(String),
}

/// What a start finds on the disk.
#[derive(Debug, Default)]
pub struct Restored {
    /// Streams with open places, oldest first, and always the newest one: (stream, settled, open).
    pub streams: Vec<(Incarnation, u64, Vec<Entry>)>,
    /// The newest streams that this device ever used.
    pub known: Vec<Incarnation>,
    /// The inbox cursor.
    pub cursor: Option<Position>,
    /// Marks that the server does not know yet.
    pub marks: Vec<Mark>,
    /// The server start that was last reconciled with.
    pub seen: Option<(u64, u64)>,
    /// Streams to peers, oldest first: with open places, and the newest one to each.
    pub private: Vec<PeerStream>,
    /// Files sent within private sessions, oldest first.
    pub files: Vec<file::Transfer>,
}

/// A stream of which not everything is sure to be on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsure {
    /// The stream.
    pub incarnation: Incarnation,
    /// Its highest place.
    pub top: u64,
    /// The server lost something that it had accepted; else places are merely open.
    pub lost: bool,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its place.
    pub place: Place,
    /// Recipient.
    pub to: String,
    /// Kind.
    pub kind: u32,
    /// Content type.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// Content hash.
    pub h: Vec<u8>,
}

/// Which messages.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only the conversation with this person.
    pub peer: Option<String>,
    /// Only unread ones.
    pub unread: bool,
    /// Only from this time on.
    pub since_ms: Option<i64>,
    /// Only behind this place.
    pub after: u64,
    /// Only before this place.
    pub before: Option<u64>,
    /// The newest so many; else all.
    pub newest: Option<u32>,
    /// Leave out what this device sent.
    pub followed: bool,
    /// Bytes after which a page ends.
    pub page_bytes: usize,
}

/// What is searched for.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Words that all must be there, whole or as beginnings; signs as they are.
    Words(String),
    /// A regular expression.
    Regex(regex::Regex),
}

/// Which messages a search finds.
#[derive(Clone, Debug)]
pub struct Search {
    /// What must be in their text.
    pub pattern: Pattern,
    /// Only the conversation with this person.
    pub peer: Option<String>,
    /// Only from this account.
    pub from: Option<String>,
    /// Only from this time on.
    pub since_ms: Option<i64>,
    /// Only behind this place.
    pub after: u64,
    /// So many messages around each.
    pub context: u32,
    /// Bytes after which a page ends.
    pub page_bytes: usize,
}

/// A message that was found, or one around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The message.
    pub row: Row,
    /// It was found.
    pub found: bool,
    /// Equal for those that stand together.
    pub group: u64,
}

/// Counts for status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Unread messages.
    pub unread: u64,
    /// From how many people.
    pub people: u64,
    /// Without a verdict.
    pub queued: u64,
    /// Failed and not looked at.
    pub failed: u64,
}

/// What a search by id found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One.
    One(Box<Row>),
    /// None.
    None,
    /// Several end with it.
    Several,
}

/// The seam: one connection to the store. One contract test holds for every implementation (`tests/history.rs`).
pub trait History: Send + 'static {
    /// Writes all of `batch` in one durable commit, or nothing of it.
    fn commit(&mut self, batch: &[Write]) -> Result<Vec<Done>, Trouble>;
    /// What a start needs.
    fn restore(&mut self) -> Result<Restored, Trouble>;
    /// Bodies to send, for those of `places` that exist.
    fn load(&mut self, places: &[Place]) -> Result<Vec<Outgoing>, Trouble>;
    /// Places `first..=last` of a stream as the machine takes them back: accepted direct messages, everything else void.
    fn forgotten(&mut self, incarnation: Incarnation, first: u64, last: u64) -> Result<Vec<Entry>, Trouble>;
    /// Streams, oldest first, with open places, or with accepted direct messages at positions that these server starts do not
    /// know.
    fn lost(&mut self, epochs: &Epochs) -> Result<Vec<Unsure>, Trouble>;
    /// What is here of these streams of a peer's device, in their order; `account` is the own one.
    fn taken(&mut self, device: DeviceId, named: &[Incarnation], account: &str) -> Result<Vec<Taken>, Trouble>;
    /// A page of messages, oldest first, and the place to go on behind if there are more.
    fn page(&mut self, wanted: &Wanted) -> Result<(Vec<Row>, Option<u64>), Trouble>;
    /// A page of what a search finds, oldest first, and the place to go on behind if there may be more: also an empty page may have
    /// one, as each looks at a bounded part.
    fn search(&mut self, search: &Search) -> Result<(Vec<Hit>, Option<u64>), Trouble>;
    /// Newest message and unread count per person, newest first.
    fn conversations(&mut self, unread: bool, limit: u32) -> Result<Vec<(String, u64, Row)>, Trouble>;
    /// People with whom messages were exchanged whose names begin so, in the order of names.
    fn peers(&mut self, prefix: &str, limit: u32) -> Result<Vec<String>, Trouble>;
    /// Unread messages per person, most first.
    fn unread(&mut self, peer: Option<&str>) -> Result<Vec<(String, u64)>, Trouble>;
    /// One message by key, id or an unambiguous end of it.
    fn find(&mut self, text: &str) -> Result<Found, Trouble>;
    /// One message by its place.
    fn row(&mut self, index: u64) -> Result<Option<Row>, Trouble>;
    /// Messages without a verdict, and those that failed and were not looked at.
    fn outbox(&mut self, limit: u32) -> Result<Vec<Row>, Trouble>;
    /// All named cursors.
    fn cursors(&mut self) -> Result<Vec<Cursor>, Trouble>;
    /// The id of the newest message before this place; gaps are none.
    fn before(&mut self, index: u64) -> Result<Option<MessageId>, Trouble>;
    /// The newest place.
    fn head(&mut self) -> Result<u64, Trouble>;
    /// Counts.
    fn counts(&mut self) -> Result<Counts, Trouble>;
    /// People whose receipts matter, most recent first.
    fn awaited(&mut self, limit: usize) -> Result<Vec<String>, Trouble>;
    /// The times of one message by its place.
    fn times(&mut self, index: u64) -> Result<Option<trace::Times>, Trouble>;
    /// What is kept of all hooks.
    fn hooks(&mut self) -> Result<Vec<hooks::HookState>, Trouble>;
    /// All letters, oldest first, and the highest number ever given to one.
    fn letters(&mut self) -> Result<(Vec<hooks::Letter>, u64), Trouble>;
    /// Messages of others behind a place, oldest first, and the place up to which that was all.
    fn arrivals(&mut self, after: u64, limit: usize) -> Result<(Vec<hooks::Arrival>, u64), Trouble>;
}

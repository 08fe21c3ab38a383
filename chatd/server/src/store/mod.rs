//! The store seam: what the server keeps, in our own words. Called by the gateway, by accounts and by admin verbs.
//!
//! A [`Store`] decides and commits in one place, in order: everything that must hold together (verdict, place in the
//! stream, inbox entry; session and presence) is one [`Op`], applied in one transaction with whatever else arrived
//! meanwhile. Nothing is answered, pushed or woken before that transaction is durable; then answers go to the waiting
//! caller and effects to the [`Outlet`]. Reads that need no decision are [`Query`]s.

#[cfg(test)]
pub(crate) mod contract;
pub mod private;
pub mod sqlite;
mod waiting;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, DeviceId, Incarnation, NameRule, Position};
use chat_proto::machine::hello::Epochs;
use chat_proto::machine::presence::{Change, Reason};
use chat_proto::machine::private::broker::Terms;
use chat_proto::machine::private::requests::RequestId;
use chat_proto::wire;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::rate::Rate;

/// An account's number; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AcctId(pub u32);

/// A device's number; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DevId(pub u32);

/// A connection of this server process; never given twice in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNo(pub u64);

/// An inbox entry as it is given to devices: encoded once, shared by all receivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log.
    pub n: u64,
    /// The sending device, which is not given its own message.
    pub device: DevId,
    /// The fields of [`wire::Deliver`] that are equal for all receivers, encoded: the body of a DLVR frame is
    /// [`wire::deliver_head`] and this.
    pub tail: Bytes,
}

/// A device to be enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its id.
    pub id: DeviceId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// Its name for its owner.
    pub name: String,
}

/// Who is logged in on a connection, before its session is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub acct: AcctId,
    /// Its name as kept.
    pub name: AccountName,
    /// The device.
    pub dev: DevId,
    /// Its id.
    pub id: DeviceId,
}

/// The fingerprint of an invitation's code: the code itself is nowhere.
pub type InviteHash = [u8; 32];

/// An invitation, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Its number; never given twice.
    pub id: u32,
    /// The one account that may be made with it; nothing: any.
    pub name: Option<AccountName>,
    /// When it was made, wall clock.
    pub since_ms: i64,
    /// How many accounts may be made with it.
    pub uses: u32,
    /// How many were.
    pub used: u32,
    /// Milliseconds of running that it still holds.
    pub left_ms: u64,
}

/// An enrolled device, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its number here.
    pub dev: DevId,
    /// Its id.
    pub id: DeviceId,
    /// Its name for its owner.
    pub name: String,
    /// When it was enrolled, wall clock; 0: not known.
    pub since_ms: i64,
    /// When its last session opened or ended, wall clock; 0: it never had one.
    pub seen_ms: i64,
}

/// Which devices of an account lose their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke {
    /// All.
    All,
    /// All but this one.
    Others(DevId),
    /// None.
    None,
}

/// The user who changes his own password; nobody: the operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// His session.
    pub fence: Fence,
    /// The stored hash that his old password fits: where it is another by now, the change is refused.
    pub old: String,
}

/// What happens to another device's session when an account logs in (contract, "Another device of the account").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Devices live beside each other.
    #[default]
    Many,
    /// The new one ends the old ones.
    Replace,
    /// A live old one refuses the new one.
    Refuse,
}

/// A session to be opened.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// Who.
    pub login: Login,
    /// The connection.
    pub session: SessionNo,
    /// HELLO's run.
    pub run: u64,
    /// HELLO's streams: incarnation and settled mark.
    pub streams: Vec<(Incarnation, u64)>,
    /// Further streams that the device knows.
    pub known: Vec<Incarnation>,
    /// HELLO's cursor.
    pub cursor: Option<Position>,
    /// What to do about other devices.
    pub policy: Policy,
    /// Under `refuse`: sessions of other devices that were asked and did not answer. These may be ended, and no others: whoever
    /// came meanwhile is asked anew.
    pub silent: Vec<SessionNo>,
    /// Wall clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The fence of this session: its writes carry it.
    pub epoch: u64,
    /// The answer for the client.
    pub welcome: wire::Welcome,
    /// The log place behind which deliveries go on.
    pub cursor: u64,
    /// How far the account's other devices read, which this one may have missed.
    pub marks: Vec<wire::Mark>,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// On purpose: announced at once.
    Left(Reason),
    /// The link was lost: announced when nobody is back by this time of the server's monotonic clock, in milliseconds.
    Lost {
        /// That time.
        grace_until: u64,
    },
}

/// The session that an operation belongs to, with its fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The account.
    pub acct: AcctId,
    /// The device.
    pub dev: DevId,
    /// The connection.
    pub session: SessionNo,
    /// [`Opened::epoch`]; an operation with an old one is refused in the transaction.
    pub epoch: u64,
}

/// A failure counter of logins (mission rule 3), kept over restarts. Keys are keyed hashes, so that names that do not exist
/// take as much room as others and none can be read from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Keyed hash of (name, source) or of the name.
    pub key: [u8; 16],
    /// Wrong passwords in a row.
    pub count: u32,
    /// Locks in a row: each doubles the next.
    pub locks: u32,
    /// Milliseconds of lock that are left when this is written.
    pub left_ms: u64,
}

/// The receiver of one answer.
pub type Answer<T> = oneshot::Sender<Result<T, Fault>>;

/// Something to decide and commit.
#[derive(Debug)]
pub enum Op {
    /// Make an account with its first device; an invitation is used up by the same commit. NAME_TAKEN, BAD_INVITE.
    CreateAccount {
        /// Its name.
        name: AccountName,
        /// Argon2id hash in PHC form.
        phc: String,
        /// Its first device.
        device: NewDevice,
        /// The invitation that it is made with.
        invite: Option<InviteHash>,
        /// Answered when durable.
        answer: Answer<Login>,
    },
    /// Make an account that has no device yet. NAME_TAKEN.
    AddAccount {
        /// Its name.
        name: AccountName,
        /// Argon2id hash in PHC form.
        phc: String,
        /// Answered when durable.
        answer: Answer<AcctId>,
    },
    /// Enrol a device (or the same key again, which is a success). TOO_MANY_DEVICES; WRONG_CREDENTIALS when the password was
    /// changed since it was checked, REVOKED for a device whose key was taken.
    Enrol {
        /// The account, its password checked.
        acct: AcctId,
        /// The stored hash that the password fits.
        phc: String,
        /// The device.
        device: NewDevice,
        /// Answered when durable.
        answer: Answer<Login>,
    },
    /// Replace the stored hash by one with today's parameters, unless the password was changed meanwhile.
    Rehash {
        /// The account.
        acct: AcctId,
        /// The hash that is replaced.
        old: String,
        /// The new hash.
        phc: String,
    },
    /// Replace the stored hash by that of another password; a notice tells the account. WRONG_CREDENTIALS.
    SetPassword {
        /// The account.
        acct: AcctId,
        /// The new hash.
        phc: String,
        /// Which devices lose their keys with it.
        revoke: Revoke,
        /// Who asks.
        asker: Option<Asker>,
        /// How many devices lost their keys; answered when durable.
        answer: Answer<u32>,
    },
    /// Take a device's key away: its session ends, its streams close, it holds nothing back. UNKNOWN_DEVICE.
    Revoke {
        /// Who asks.
        fence: Fence,
        /// Which of the account's devices.
        device: DeviceId,
        /// Answered when durable.
        answer: Answer<()>,
    },
    /// Keep an invitation. NAME_TAKEN, LIMIT.
    CreateInvite {
        /// Of its code.
        hash: InviteHash,
        /// The one account that may be made with it.
        name: Option<AccountName>,
        /// How many accounts may be made with it.
        uses: u32,
        /// It holds for so many milliseconds of running.
        lasts_ms: u64,
        /// Its number; answered when durable.
        answer: Answer<u32>,
    },
    /// Withdraw an invitation. UNKNOWN_INVITE.
    RevokeInvite {
        /// Its number.
        id: u32,
        /// Answered when durable.
        answer: Answer<()>,
    },
    /// All invitations that hold.
    Invites(Answer<Vec<Invite>>),
    /// Open a session: raises the device's session epoch, ends what the policy ends, computes WELCOME. ALREADY_LOGGED_IN,
    /// DUPLICATE_DEVICE.
    Open(Box<OpenSession>, Answer<Opened>),
    /// End a session; a late one of a replaced session changes nothing. Stands behind the sends of its connection.
    Close {
        /// Which.
        fence: Fence,
        /// How.
        how: Ending,
        /// End the sessions of the account's other devices too.
        all_devices: bool,
        /// Wall clock.
        now_ms: i64,
        /// Answered when durable; dropped when nobody waits.
        answer: Option<Answer<()>>,
    },
    /// Messages of one session in the order they came. Verdicts come by [`Outlet::verdict`].
    Send {
        /// Who sends.
        fence: Fence,
        /// What.
        items: Vec<wire::Send>,
        /// Wall clock.
        now_ms: i64,
    },
    /// Places given up. Verdicts come by [`Outlet::verdict`].
    Void {
        /// Who.
        fence: Fence,
        /// Which.
        item: wire::Void,
    },
    /// The device holds everything up to here. Not flushed on its own.
    Ack {
        /// Who.
        fence: Fence,
        /// [`chat_proto::machine::inbox::Feed::acked`].
        acked: u64,
        /// [`chat_proto::machine::inbox::Feed::cursor`].
        cursor: u64,
    },
    /// Messages of `sender` were read up to a place.
    Mark {
        /// Who read.
        fence: Fence,
        /// Whose messages.
        sender: AccountName,
        /// Up to here.
        n: u64,
        /// Tell the sender.
        share: bool,
        /// Answered when durable. UNKNOWN_USER.
        answer: Answer<()>,
    },
    /// What was decided about one place of a stream of this device.
    Trace {
        /// Who asks.
        fence: Fence,
        /// Stream.
        incarnation: Incarnation,
        /// Place.
        cseq: u64,
        /// Answered once everything that it speaks of is durable.
        answer: Answer<wire::Traced>,
    },
    /// How far these accounts got with this account's messages; from now on changes come by [`Outlet::receipt`].
    Follow {
        /// Who asks.
        fence: Fence,
        /// Whom.
        accounts: Vec<AccountName>,
        /// Answered at once.
        answer: Answer<wire::Receipts>,
    },
    /// Block or unblock. UNKNOWN_USER, YOURSELF, NOT_BLOCKED, TOO_MANY_BLOCKS; answers whether it changed anything.
    Block {
        /// Who.
        fence: Fence,
        /// Whom.
        who: AccountName,
        /// On, or off.
        on: bool,
        /// Answered when durable.
        answer: Answer<bool>,
    },
    /// Ask an account for a private session, or ask again. UNKNOWN_USER, and what
    /// [`chat_proto::machine::private::broker::Broker::handle_ask`] refuses; LIMIT, also instead of a ruling.
    PrivateAsk(Box<private::Ask>, Answer<private::Ruling<private::Asked>>),
    /// Say yes or no to a private request. UNKNOWN_REQUEST, WITHDRAWN, REQUEST_EXPIRED, NO_RELAY, NO_DIRECT_PATH, PRIVATE_OFF.
    PrivateAnswer {
        /// Who.
        fence: Fence,
        /// The request.
        id: RequestId,
        /// Yes, with the endpoint; or no.
        accept: Option<Box<wire::PeerEndpoint>>,
        /// With yes: what is needed to meet.
        answer: Answer<private::Ruling<Option<private::Open>>>,
    },
    /// Withdraw a private request of one's own. UNKNOWN_REQUEST.
    PrivateCancel {
        /// Who.
        fence: Fence,
        /// The request.
        id: RequestId,
        /// Answered at once.
        answer: Answer<()>,
    },
    /// Lock an account, or unlock it: nobody logs in to a locked one, and its sessions end. UNKNOWN_USER.
    Lock {
        /// Which.
        acct: AcctId,
        /// On, or off.
        on: bool,
        /// Wall clock.
        now_ms: i64,
        /// Whether it was otherwise before; answered when durable.
        answer: Answer<bool>,
    },
    /// Delete an account for ever: its sessions end, what waits for it expires for its senders, its name and its number are never
    /// given again. UNKNOWN_USER.
    DeleteAccount {
        /// Which.
        acct: AcctId,
        /// Wall clock.
        now_ms: i64,
        /// What went with it; answered when durable.
        answer: Answer<Deleted>,
    },
    /// A word of the operator, from the server itself, to everybody who is announced online. STORAGE when the disk is full.
    Announce {
        /// What he says.
        text: String,
        /// Wall clock.
        now_ms: i64,
        /// How many accounts it goes to; answered when durable.
        answer: Answer<u32>,
    },
    /// Keep a failure counter, or forget it (`count` 0).
    Failure(Failure),
    /// From now on these settings; what was decided by the old ones stands.
    Configure(Box<Settings>),
    /// Time passes: grace periods end, hours of running are counted, retention works. Sent about once a second.
    Tick {
        /// The server's monotonic clock in milliseconds.
        mono_ms: u64,
        /// Wall clock.
        now_ms: i64,
    },
    /// Commit what came, fold, checkpoint, and end the writer. Later operations are refused.
    Shutdown(oneshot::Sender<()>),
}

/// Something to look up.
#[derive(Debug)]
pub enum Query {
    /// An account's number and hash.
    Credentials(AccountName, oneshot::Sender<Option<(AcctId, String)>>),
    /// A device's login data: its account's id and name, and its key.
    Device(AccountName, DeviceId, oneshot::Sender<Option<(Login, [u8; 32])>>),
    /// Whether a device may use what the server does for those who are not connected to it: its account is there and not locked, and
    /// its key was not taken.
    Admissible(AccountName, DeviceId, oneshot::Sender<bool>),
    /// The account that an invitation is for, where it holds: of late, the decision is [`Op::CreateAccount`]'s.
    Invite(InviteHash, oneshot::Sender<Option<Option<AccountName>>>),
    /// The enrolled devices of an account, oldest first.
    Devices(AcctId, oneshot::Sender<Vec<Enrolled>>),
    /// Entries of an inbox behind a place, oldest first, up to a number and about a number of bytes (at least one entry).
    Inbox {
        /// Whose.
        acct: AcctId,
        /// Behind this place.
        after: u64,
        /// At most so many.
        count: usize,
        /// Stop behind so many bytes.
        bytes: usize,
        /// The entries; fewer than `count` and `bytes` say means: that was all.
        answer: oneshot::Sender<Inboxed>,
    },
    /// Whom an account blocks, in the order of names.
    Blocked(AcctId, oneshot::Sender<Vec<AccountName>>),
    /// Everyone announced online as `caller` may see them, behind a name, in the order of names (mission rule 10).
    Whoelse {
        /// Who asks.
        caller: AcctId,
        /// Behind this name.
        after: String,
        /// At most so many; one more is looked for.
        limit: usize,
        /// The page.
        answer: oneshot::Sender<wire::People>,
    },
    /// Everyone with a session that overlaps the time since `since_ms` (mission rule 11).
    Whoelsesince {
        /// Who asks.
        caller: AcctId,
        /// Inclusive bound, wall clock.
        since_ms: i64,
        /// Behind this name.
        after: String,
        /// At most so many.
        limit: usize,
        /// The page.
        answer: oneshot::Sender<wire::People>,
    },
    /// Accounts behind a name, in the order of names, for the operator.
    Users {
        /// Behind this name; empty for the first ones.
        after: String,
        /// At most so many.
        limit: usize,
        /// The accounts.
        answer: oneshot::Sender<Vec<User>>,
    },
    /// One account, for the operator.
    User(AccountName, oneshot::Sender<Option<User>>),
    /// Whether a name can be given to nobody: it is, or was, an account's, or is kept for an invitation.
    Taken(AccountName, oneshot::Sender<bool>),
    /// All failure counters, at start.
    Failures(oneshot::Sender<Vec<Failure>>),
}

/// A round of the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Operations that were decided together.
    pub operations: usize,
    /// How long the commit with its flush took; nothing when nothing was written.
    pub commit: Option<Duration>,
}

/// How a store goes just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Operations that wait for the writer.
    pub waiting: u64,
    /// Accounts announced online.
    pub online: u64,
    /// Log rows that wait for the folder.
    pub unfolded: u64,
    /// Bytes that are free on its disk.
    pub free: u64,
    /// Bytes below which no message is accepted; 0: none.
    pub floor: u64,
    /// Messages are refused for want of room.
    pub full: bool,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The version of its form.
    pub schema: i64,
    /// That is the newest one that this build knows.
    pub current: bool,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Accounts.
    pub accounts: u64,
    /// Devices of them.
    pub devices: u64,
    /// Messages that wait for accounts.
    pub queued: u64,
    /// Rows of the log, kept messages and verdicts.
    pub log: u64,
    /// Starts so far.
    pub starts: u64,
}

/// A page of an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inboxed {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Nothing more was there behind the last one.
    pub end: bool,
}

/// An account as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: AccountName,
    /// When it was made, wall clock.
    pub since_ms: i64,
    /// Enrolled devices.
    pub devices: u32,
    /// Entries that wait for it.
    pub waiting: u64,
    /// Announced online now.
    pub online: bool,
    /// When its last session ended, wall clock; 0: never had one, or online.
    pub last_seen_ms: i64,
    /// Locked by the operator.
    pub locked: bool,
    /// The stored hash of its password.
    pub phc: String,
}

/// What went with an account that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Enrolled devices.
    pub devices: u32,
    /// Messages of others that no device of it had; their senders are told.
    pub expired: u32,
}

/// A verdict for one place of a session's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Decided (now or before).
    Decided {
        /// Stream.
        incarnation: Incarnation,
        /// Place.
        cseq: u64,
        /// Outcome.
        code: Code,
        /// Accepted: where it stands.
        position: Option<Position>,
        /// The recipient was announced online.
        online: bool,
        /// Broadcast: how many it went to.
        audience: u32,
        /// Broadcast: some online user was left out.
        missed: bool,
        /// LIMIT, INBOX_FULL: when to try again.
        retry_after_ms: u64,
        /// It had been decided before.
        stored: bool,
    },
    /// Not the next place.
    Gap {
        /// Stream.
        incarnation: Incarnation,
        /// Last decided place.
        last: u64,
    },
    /// Nothing can be decided now for this sender.
    TryLater {
        /// Why.
        code: Code,
        /// Wait this long.
        after_ms: u64,
    },
}

/// Where effects go once they are durable. Called on the writer's thread: it must not block.
pub trait Outlet: Send + Sync + 'static {
    /// Verdicts for a session, in order.
    fn verdict(&self, session: SessionNo, verdicts: Vec<Verdict>);
    /// A new entry for the sessions of an account, in order of places.
    fn entry(&self, acct: AcctId, entry: &Arc<Entry>);
    /// Accounts came or went; with names, and the accounts that must not be told (those whom each subject blocks).
    fn presence(&self, changes: Vec<PresenceChange>);
    /// `reader` got further with the messages of `sender`: tell the sender's sessions that follow it, and the reader's
    /// own sessions when it was a MARK.
    fn receipt(&self, sender: AcctId, receipt: wire::Receipt);
    /// An account blocks another now, or does no more: what is not announced yet must heed it.
    fn block(&self, by: AcctId, who: AcctId, on: bool);
    /// A read mark of the account's own, for its other sessions.
    fn mark(&self, acct: AcctId, except: SessionNo, mark: wire::Mark);
    /// What became of a private request, for devices that are here; who is not asks again, or is told when he comes.
    fn private(&self, notice: private::Notice);
    /// A device's key was taken, or an account was locked: what was admitted by [`Query::Admissible`] may be so no longer.
    fn barred(&self) {}
    /// The writer committed.
    fn committed(&self, _round: &Round) {}
    /// End a session: replaced, fenced, duplicate.
    fn end(&self, session: SessionNo, code: Code, may_reconnect: bool);
}

/// A presence change to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    /// Who, whether, why.
    pub change: Change<AcctId>,
    /// The name.
    pub name: AccountName,
    /// When, wall clock.
    pub at_ms: i64,
    /// Accounts that are not told: the subject itself and those whom it blocks.
    pub hidden_from: Vec<AcctId>,
}

/// Why the store cannot be opened, or cannot go on: the process must end, its next start looks at what is on the disk (E2).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused; no commit of the present round may be believed or disbelieved.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file beside the database failed.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// How.
        error: std::io::Error,
    },
    /// Another process holds the store.
    #[error("another chat-server uses {0}")]
    Locked(std::path::PathBuf),
    /// The first checkpoint did not finish.
    #[error("the write-ahead log is held by another process")]
    CheckpointBusy,
    /// The database is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A newer chat-server wrote this database.
    #[error("the database has schema {found}, this chat-server knows {known}: use the newer chat-server")]
    Newer {
        /// In the file.
        found: i64,
        /// In this build.
        known: i64,
    },
}

/// What the operator decides about keeping; see the keys of the same names in the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `storage.reserve`: admission stops when less than this, or 5 %, is free; 0 = never. Bytes.
    pub reserve: u64,
    /// `messages.max_size`, in bytes.
    pub text_max: u64,
    /// `messages.offline_keep`, in hours of running.
    pub offline_keep_hours: u64,
    /// `messages.offline_max_per_user`.
    pub offline_max_per_user: u32,
    /// `sessions.devices_per_user`.
    pub devices_per_user: usize,
    /// `presence.seen_keep`, in milliseconds.
    pub seen_keep_ms: i64,
    /// `names`: whether upper case is folded where a name is looked up.
    pub names: NameRule,
    /// `sessions.forget_device_at_logout`: the device stays, its key goes.
    pub forget_device: bool,
    /// `messages.tell_missed`: a sender learns that some online user was missed by a broadcast.
    pub tell_missed: bool,
    /// `limits.broadcasts_per_minute`, of one account.
    pub broadcasts: Rate,
    /// `limits.unknown_recipients_per_hour`, of one account.
    pub unknown_recipients: Rate,
    /// `limits.private_requests_per_minute`, of one account.
    pub private_requests: Rate,
    /// `[private]`, and whether the relay runs.
    pub private: Terms,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            reserve: 256 << 20,
            text_max: chat_proto::limits::TEXT_MAX as u64,
            offline_keep_hours: 90 * 24,
            offline_max_per_user: 10_000,
            devices_per_user: chat_proto::limits::DEVICES_MAX,
            seen_keep_ms: 30 * 24 * 3_600_000,
            names: NameRule::Standard,
            forget_device: false,
            tell_missed: false,
            broadcasts: Rate::per(0, 60),
            unknown_recipients: Rate::per(0, 3600),
            private_requests: Rate::per(0, 60),
            private: Terms { allowed: true, relay: false, ttl_ms: chat_proto::limits::REQUEST_TTL.as_millis() as u64 },
        }
    }
}

/// The store.
pub trait Store: Send + Sync + 'static {
    /// Puts an operation into the writer's order; waits while its queue is full ([`chat_proto::limits::WRITER_QUEUE`]).
    fn submit(&self, op: Op) -> impl Future<Output = ()> + Send;
    /// Looks something up; the answer is dropped when the store is closing.
    fn query(&self, query: Query);
    /// The server's starts: full positions of places in the log.
    fn epochs(&self) -> Arc<Epochs>;
    /// Rises with everything that the writer has done; a watchdog reads it.
    fn progress(&self) -> u64;
    /// How it goes just now.
    fn gauges(&self) -> Gauges;
    /// Copies everything that is kept, as it is at one moment, into a new file. Blocks.
    fn copy(&self, to: &Path) -> Result<(), StoreError>;
    /// What is kept. Blocks.
    fn contents(&self) -> Result<Contents, StoreError>;
    /// What is wrong with what is kept; nothing when it is sound. Reads all of it, and blocks.
    fn faults(&self) -> Result<Vec<String>, StoreError>;
}

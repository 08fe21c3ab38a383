//! What the store is asked without anything to decide.

use chat_proto::id::{AccountName, DeviceId};
use chat_proto::wire;
use tokio::sync::oneshot;

use super::{AcctId, DevId, Entry, Failure, InviteHash, Login};

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
    /// The account that an invitation is for, where it holds: of late, the decision is [`super::Op::CreateAccount`]'s.
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

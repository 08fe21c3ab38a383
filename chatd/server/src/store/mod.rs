//! The store seam: what the server keeps, in our own words. Called by the gateway, by accounts and by admin verbs.
//!
//! A [`Store`] decides and commits in one place, in order: everything that must hold together (verdict, place in the
//! stream, inbox entry; session and presence) is one [`Op`], applied in one transaction with whatever else arrived
//! meanwhile. Nothing is answered, pushed or woken before that transaction is durable; then answers go to the waiting
//! caller and effects to the [`Outlet`]. Reads that need no decision are [`Query`]s.

#[cfg(test)]
pub(crate) mod contract;
mod op;
mod outlet;
pub mod private;
mod query;
pub mod sqlite;
mod waiting;
mod world;

pub use op::{Answer, Asker, Deleted, Ending, Invite, InviteHash, Op, OpenSession, Opened, Policy, Revoke};
pub use outlet::{Outlet, PresenceChange, Round, Verdict};
pub use query::{Enrolled, Inboxed, Query, User};

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chat_proto::id::{AccountName, DeviceId, NameRule};
use chat_proto::machine::hello::Epochs;
use chat_proto::machine::private::broker::Terms;
use serde::{Deserialize, Serialize};

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
    /// The fields of [`chat_proto::wire::Deliver`] that are equal for all receivers, encoded: the body of a DLVR frame is
    /// [`chat_proto::wire::deliver_head`] and this.
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

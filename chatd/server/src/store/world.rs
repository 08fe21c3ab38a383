//! What the writer holds in memory of accounts, devices and streams: a cache of the tables, filled when asked, and what
//! is true only while this process runs (who is live on which connection).
//!
//! Owned by the writer's thread alone. A commit that fails ends the process, so memory never runs ahead of the disk for longer
//! than one transaction.

use std::collections::{HashMap, HashSet, VecDeque};

use chat_proto::id::{AccountName, DeviceId, Incarnation};
use chat_proto::machine::presence::Presence;
use chat_proto::machine::private::broker::Broker;
use chat_proto::machine::stream::Stream;

use super::waiting::Waiting;
use super::{AcctId, DevId, SessionNo};
use crate::planted::planted;
use crate::rate::Bucket;

/// An account.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// Its enrolled devices.
    pub devices: Vec<DevId>,
    /// The highest cursor that any of its devices ever had.
    pub seen_max: u64,
    /// Locked by the operator: nobody logs in.
    pub locked: bool,
    /// Whom it blocks.
    pub blocks: HashSet<AcctId>,
    /// What waits for it.
    pub waiting: Waiting,
    /// Accounts to which it wrote, as far as this process remembers.
    pub wrote_to: HashSet<AcctId>,
    /// The row of its open session, while it is announced online.
    pub session_row: Option<i64>,
    /// Accounts whose sessions follow how far it gets with their messages: places of those that it has not yet.
    pub followers: HashMap<AcctId, VecDeque<u64>>,
    /// Its broadcasts, once it sent one.
    pub broadcasts: Option<Bucket>,
    /// Its messages to names that do not exist, once it sent one.
    pub unknown_recipients: Option<Bucket>,
    /// Its private requests, once it asked.
    pub private_requests: Option<Bucket>,
}

/// A device.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its account.
    pub acct: AcctId,
    /// Its public key; nothing when a logout forgot it.
    pub key: Option<[u8; 32]>,
    /// The fence: raised by each session.
    pub session_epoch: u64,
    /// Nothing up to here need be kept for it.
    pub cursor: u64,
    /// It acknowledged this itself.
    pub acked: u64,
    /// The server's running hour in which it was last live.
    pub live_hour: u64,
    /// Entries deleted before it had them.
    pub missed: u64,
    /// The cursor at which it was told so, in this process.
    pub missed_told: Option<u64>,
    /// Its newest stream.
    pub newest: Option<Incarnation>,
    /// The connection it is live on.
    pub live: Option<SessionNo>,
    /// When its last session opened or ended, wall clock.
    pub seen_ms: i64,
    /// The last two runs that opened a session, with the time by the server's monotonic clock: newest first.
    pub runs: Vec<(u64, u64)>,
    /// Two living copies of it were seen.
    pub duplicate: bool,
    /// Streams begun in the present session.
    pub streams_begun: usize,
    /// The folder must write it.
    pub dirty: bool,
}

/// A stream and whether the folder must write it.
#[derive(Debug, Default)]
pub struct Held {
    /// The stream.
    pub stream: Stream,
    /// It was begun by this process and is not in its table yet, or has newer decisions.
    pub dirty: bool,
}

/// Everything in memory.
#[derive(Debug, Default)]
pub struct World {
    /// By number.
    pub accounts: HashMap<AcctId, Account>,
    /// By name.
    pub names: HashMap<AccountName, AcctId>,
    /// By number.
    pub devices: HashMap<DevId, Device>,
    /// By device and incarnation.
    pub streams: HashMap<(DevId, Incarnation), Held>,
    /// Who is announced online.
    pub presence: Presence<AcctId>,
    /// Who asks whom for a private session.
    pub broker: Broker<AcctId, DevId>,
}

/// Accounts held in memory before those that nobody uses are forgotten: about 50 MiB.
const ACCOUNTS_HELD: usize = 100_000;

impl World {
    /// Whether `by` blocks `who`; both must be loaded.
    pub fn blocks(&self, by: AcctId, who: AcctId) -> bool {
        self.accounts.get(&by).is_some_and(|a| a.blocks.contains(&who))
    }

    /// The lowest cursor of the account's devices that hold something back: those live within `keep_hours`; where there are
    /// none, the furthest that any device ever got.
    pub fn low_cursor(&self, acct: AcctId, hour: u64, keep_hours: u64) -> u64 {
        let Some(account) = self.accounts.get(&acct) else { return 0 };
        if planted("one-device-acks-for-all") {
            return account.seen_max;
        }
        let devices = account.devices.iter().filter_map(|d| self.devices.get(d));
        let holding = devices.filter(|d| hour.saturating_sub(d.live_hour) < keep_hours);
        holding.map(|d| d.cursor).min().unwrap_or(account.seen_max)
    }

    /// Forgets clean streams and accounts that are not in use, when there are too many.
    pub fn shrink(&mut self) {
        let devices = &self.devices;
        if self.streams.len() > ACCOUNTS_HELD / 4 {
            let used = |dev: &DevId| devices.get(dev).is_some_and(|d: &Device| d.live.is_some());
            self.streams.retain(|(dev, _), held| held.dirty || (held.stream.last() > 0 && used(dev)));
        }
        if self.accounts.len() > ACCOUNTS_HELD {
            let used: HashSet<AcctId> =
                devices.values().filter(|d| d.dirty || d.live.is_some()).map(|d| d.acct).collect();
            let presence = &self.presence;
            self.accounts.retain(|id, a| used.contains(id) || presence.is_online(*id) || !a.followers.is_empty());
            let accounts = &self.accounts;
            self.names.retain(|_, id| accounts.contains_key(id));
            self.devices.retain(|_, d| accounts.contains_key(&d.acct));
        }
    }
}

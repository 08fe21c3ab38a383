//! What waits for one session: put in by the store's writer, people and the assembly, taken out by the session's task.
//!
//! Everything in it is bounded. Entries that do not fit are not lost, they are in the store: `lost` says so and the session
//! reads them there (contract P9). For a reader who is too far behind none are kept at all (S21).

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chat_proto::fault::Code;
use chat_proto::id::AccountName;
use chat_proto::limits;
use chat_proto::wire;
use tokio::sync::{Notify, mpsc};

use crate::store::{Entry, Login, Verdict, private};
use crate::sync::lock;

/// Where a session comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub peer: SocketAddr,
    /// Since when, wall clock.
    pub since_ms: i64,
}

/// One session's mailbox.
pub struct Mailbox {
    login: Login,
    origin: Origin,
    /// Rung when something was put in.
    bell: Notify,
    /// When its user was last active: monotonic milliseconds, for others to read.
    active_ms: AtomicU64,
    /// Messages that it sent, and that it was given: counted by its task, read by others.
    sent: AtomicU64,
    given: AtomicU64,
    /// Kept outside the lock: presence passes it by where nobody follows.
    follows: AtomicBool,
    // A lock instead of a channel: a session takes all kinds at once, and a channel could neither bound entries by bytes nor
    // fall back to the store. Held for a few pushes, never across an await.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Arc<Entry>>,
    entry_bytes: usize,
    lost: bool,
    verdicts: Vec<Verdict>,
    presence: Vec<Bytes>,
    /// Changes that are told as a count, because too many notices wait.
    uncounted: u32,
    followed: HashSet<String>,
    receipts: HashMap<String, wire::Receipt>,
    marks: Vec<wire::Mark>,
    private: Vec<private::Notice>,
    moved: Vec<wire::PrivateNotice>,
    probes: Vec<mpsc::Sender<()>>,
    ended: Option<(Code, bool)>,
}

/// What a session took out of its mailbox.
#[derive(Default)]
pub struct Taken {
    /// Entries were left out: read the store from the feed's position on. Those in `entries` came after.
    pub lost: bool,
    /// New entries in order.
    pub entries: VecDeque<Arc<Entry>>,
    /// Verdicts in order.
    pub verdicts: Vec<Verdict>,
    /// Encoded bodies of PRES frames.
    pub presence: Vec<Bytes>,
    /// How many came or went without a notice.
    pub uncounted: u32,
    /// Changed receipts.
    pub receipts: Vec<wire::Receipt>,
    /// Read marks of the account's other devices.
    pub marks: Vec<wire::Mark>,
    /// What became of private requests, the last word of each.
    pub private: Vec<private::Notice>,
    /// Peers of private sessions that are elsewhere now.
    pub moved: Vec<wire::PrivateNotice>,
    /// Somebody asks whether the client lives; each is told when it is heard.
    pub probes: Vec<mpsc::Sender<()>>,
    /// The session is to end.
    pub ended: Option<(Code, bool)>,
}

impl Mailbox {
    /// An empty one, whose first entries are in the store.
    pub fn new(login: Login, origin: Origin, active_ms: u64) -> Mailbox {
        Mailbox {
            login,
            origin,
            bell: Notify::new(),
            active_ms: AtomicU64::new(active_ms),
            sent: AtomicU64::new(0),
            given: AtomicU64::new(0),
            follows: AtomicBool::new(false),
            inner: Mutex::new(Inner { lost: true, ..Inner::default() }),
        }
    }

    /// Whose it is.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Waits until something is there. Only the session's task waits.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Takes everything out. Entries stay while `hold_entries`: the window is full or the store is being read.
    pub fn take(&self, hold_entries: bool) -> Taken {
        let mut inner = lock(&self.inner);
        let lost = std::mem::take(&mut inner.lost);
        if lost {
            inner.drop_entries();
        }
        let entries = if hold_entries { VecDeque::new() } else { inner.take_entries() };
        Taken {
            lost,
            entries,
            verdicts: std::mem::take(&mut inner.verdicts),
            presence: std::mem::take(&mut inner.presence),
            uncounted: std::mem::take(&mut inner.uncounted),
            receipts: std::mem::take(&mut inner.receipts).into_values().collect(),
            marks: std::mem::take(&mut inner.marks),
            private: std::mem::take(&mut inner.private),
            moved: std::mem::take(&mut inner.moved),
            probes: std::mem::take(&mut inner.probes),
            ended: inner.ended,
        }
    }

    /// The reader is too far behind: everything waits here, and entries in the store alone. Answers whether the session is to end.
    pub fn stall(&self) -> Option<(Code, bool)> {
        let mut inner = lock(&self.inner);
        inner.drop_entries();
        inner.lost = true;
        inner.ended
    }

    /// Bytes of entries that wait here.
    pub fn held(&self) -> usize {
        lock(&self.inner).entry_bytes
    }

    /// Puts entries back that the window has no room for.
    pub fn put_back(&self, entries: VecDeque<Arc<Entry>>) {
        let mut inner = lock(&self.inner);
        for entry in entries.into_iter().rev() {
            inner.entry_bytes += entry.tail.len();
            inner.entries.push_front(entry);
        }
    }

    /// A new entry of the account's inbox.
    pub fn entry(&self, entry: &Arc<Entry>) {
        let mut inner = lock(&self.inner);
        if inner.lost {
            return;
        }
        let full =
            inner.entries.len() >= limits::DELIVER_WINDOW || inner.entry_bytes + entry.tail.len() > limits::OUTPUT_MAX;
        if full {
            inner.drop_entries();
            inner.lost = true;
        } else {
            inner.entry_bytes += entry.tail.len();
            inner.entries.push_back(Arc::clone(entry));
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// There may be something in the store that nobody brought.
    pub fn reread(&self) {
        let mut inner = lock(&self.inner);
        inner.drop_entries();
        inner.lost = true;
        drop(inner);
        self.bell.notify_one();
    }

    /// Verdicts for this session's sends. As many as sends were read, and those stop while output waits.
    pub fn verdicts(&self, verdicts: Vec<Verdict>) {
        let mut inner = lock(&self.inner);
        if inner.verdicts.is_empty() {
            inner.verdicts = verdicts;
        } else {
            inner.verdicts.extend(verdicts);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// A notice of who came and went: the encoded body, and how many it tells of.
    pub fn presence(&self, body: &Bytes, count: u32) {
        let mut inner = lock(&self.inner);
        if inner.presence.len() < limits::PRESENCE_WAITING {
            inner.presence.push(body.clone());
        } else {
            inner.uncounted = inner.uncounted.saturating_add(count);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// From now on receipts of these accounts are wanted. Answers those of which they were not before: asked again, a session
    /// would learn of more than its own messages. Nothing when that would be too many.
    pub fn follow(&self, accounts: Vec<AccountName>) -> Option<Vec<AccountName>> {
        let mut inner = lock(&self.inner);
        let mut fresh = Vec::with_capacity(accounts.len());
        for account in accounts {
            if inner.followed.insert(account.to_string()) {
                fresh.push(account);
            }
            if inner.followed.len() > limits::RECEIPTS_FOLLOWED {
                return None;
            }
        }
        self.follows.store(true, Ordering::Release);
        Some(fresh)
    }

    /// How far a recipient got.
    pub fn receipt(&self, receipt: &wire::Receipt) {
        if !self.follows.load(Ordering::Acquire) {
            return;
        }
        let mut inner = lock(&self.inner);
        if inner.followed.contains(&receipt.account) {
            inner.receipts.insert(receipt.account.clone(), receipt.clone());
            drop(inner);
            self.bell.notify_one();
        }
    }

    /// Another device of the account read something.
    pub fn mark(&self, mark: &wire::Mark) {
        let mut inner = lock(&self.inner);
        inner.marks.retain(|kept| kept.account != mark.account);
        if inner.marks.len() >= limits::MARKS_WAITING {
            inner.marks.remove(0);
        }
        inner.marks.push(mark.clone());
        drop(inner);
        self.bell.notify_one();
    }

    /// What became of a private request.
    pub fn private(&self, notice: private::Notice) {
        self.last_word(|inner| &mut inner.private, |kept, new| kept.id == new.id, notice);
    }

    /// The peer of a private session is elsewhere.
    pub fn moved(&self, notice: wire::PrivateNotice) {
        self.last_word(|inner| &mut inner.moved, |kept, new| kept.id == new.id, notice);
    }

    /// Of each request and each private session the last word counts. A session with too many of them is ended: when it comes back it
    /// is told what is open.
    fn last_word<T>(&self, of: fn(&mut Inner) -> &mut Vec<T>, same: fn(&T, &T) -> bool, word: T) {
        let mut inner = lock(&self.inner);
        let waiting = of(&mut inner);
        waiting.retain(|kept| !same(kept, &word));
        waiting.push(word);
        if waiting.len() > limits::PRIVATE_WAITING {
            *waiting = Vec::new();
            inner.ended.get_or_insert((Code::SLOW_READER, true));
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// The session is to end; the first reason stands.
    pub fn end(&self, code: Code, may_reconnect: bool) {
        lock(&self.inner).ended.get_or_insert((code, may_reconnect));
        self.bell.notify_one();
    }

    /// Asks whether the client lives: `told` gets a word when it is heard, and is dropped when the session ends.
    pub fn probe(&self, told: mpsc::Sender<()>) {
        let mut inner = lock(&self.inner);
        if inner.ended.is_none() {
            inner.probes.push(told);
        }
        drop(inner);
        self.bell.notify_one();
    }

    /// It sent a message.
    pub fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// It was given a message.
    pub fn count_given(&self) {
        self.given.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages it sent, and was given.
    pub fn carried(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.given.load(Ordering::Relaxed))
    }

    /// The user did something (mission rule 7).
    pub fn active(&self, now_ms: u64) {
        self.active_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When the user last did something.
    pub fn active_ms(&self) -> u64 {
        self.active_ms.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn drop_entries(&mut self) {
        self.entries = VecDeque::new();
        self.entry_bytes = 0;
    }

    fn take_entries(&mut self) -> VecDeque<Arc<Entry>> {
        self.entry_bytes = 0;
        std::mem::take(&mut self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AcctId, DevId};

    fn mailbox() -> Mailbox {
        let name = "a".to_owned().try_into().unwrap();
        let origin = Origin { peer: ([127, 0, 0, 1], 1).into(), since_ms: 0 };
        let id = chat_proto::id::DeviceId([1; 16]);
        Mailbox::new(Login { acct: AcctId(1), name, dev: DevId(1), id }, origin, 0)
    }

    fn entry(n: u64, size: usize) -> Arc<Entry> {
        Arc::new(Entry { n, device: DevId(2), tail: Bytes::from(vec![0; size]) })
    }

    #[test]
    fn what_does_not_fit_is_read_from_the_store() {
        let mailbox = mailbox();
        assert!(mailbox.take(false).lost, "at first everything is in the store");
        for n in 0..limits::DELIVER_WINDOW as u64 {
            mailbox.entry(&entry(n, 10));
        }
        let taken = mailbox.take(false);
        assert!(!taken.lost);
        assert_eq!(taken.entries.len(), limits::DELIVER_WINDOW);
        mailbox.put_back(taken.entries);
        mailbox.entry(&entry(1000, 10));
        mailbox.entry(&entry(1001, 10));
        let taken = mailbox.take(false);
        assert!(taken.lost && taken.entries.is_empty());
        mailbox.entry(&entry(1002, 10));
        mailbox.entry(&entry(1003, limits::OUTPUT_MAX));
        assert!(mailbox.take(false).lost);
        mailbox.entry(&entry(1004, 10));
        assert!(mailbox.take(true).entries.is_empty(), "held");
        assert_eq!(mailbox.take(false).entries.len(), 1);
    }

    #[test]
    fn nothing_piles_up_for_a_reader_who_is_too_far_behind() {
        let mailbox = mailbox();
        mailbox.take(false);
        mailbox.entry(&entry(1, 10));
        assert_eq!((mailbox.stall(), mailbox.held()), (None, 0));
        mailbox.entry(&entry(2, 10));
        assert_eq!(mailbox.held(), 0, "it is in the store");
        mailbox.presence(&Bytes::from_static(b"x"), 1);
        mailbox.end(Code::KICKED, false);
        assert_eq!(mailbox.stall(), Some((Code::KICKED, false)));
        let taken = mailbox.take(false);
        assert!(taken.lost && taken.entries.is_empty());
        assert_eq!(taken.presence.len(), 1, "the rest is here still");
    }

    #[test]
    fn presence_turns_into_a_count_and_the_last_receipt_wins() {
        let mailbox = mailbox();
        let body = Bytes::from_static(b"x");
        for _ in 0..limits::PRESENCE_WAITING + 3 {
            mailbox.presence(&body, 2);
        }
        let receipt = |delivered| wire::Receipt { account: "b".into(), delivered, read: 0 };
        mailbox.receipt(&receipt(1));
        let b = || vec!["b".to_owned().try_into().unwrap()];
        assert_eq!(mailbox.follow(b()), Some(b()));
        assert_eq!(mailbox.follow(b()), Some(vec![]), "asked before");
        mailbox.receipt(&receipt(2));
        mailbox.receipt(&receipt(3));
        mailbox.end(Code::REPLACED, false);
        mailbox.end(Code::IDLE, false);
        let taken = mailbox.take(false);
        assert_eq!((taken.presence.len(), taken.uncounted), (limits::PRESENCE_WAITING, 6));
        assert_eq!(taken.receipts, [receipt(3)]);
        assert_eq!(taken.ended, Some((Code::REPLACED, false)));
    }
}

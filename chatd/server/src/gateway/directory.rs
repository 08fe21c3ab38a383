//! Which sessions are here: from connection and account to mailboxes. Effects of the store come in here, on its writer's
//! thread, so nothing waits: short locks and pushes into mailboxes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use chat_proto::fault::Code;
use chat_proto::id::{AccountName, DeviceId};
use chat_proto::limits;
use chat_proto::machine::private::broker::Whom;
use chat_proto::wire;
use tokio::sync::Notify;

use super::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::people::People;
use crate::rate::{Bucket, PerKey, Rate};
use crate::running::Busy;
use crate::store::{AcctId, DevId, Entry, Outlet, PresenceChange, Round, SessionNo, Verdict, private};
use crate::sync::{lock, read, write};

/// All sessions of this process.
pub struct Directory {
    // Read by the writer's thread for every effect, written when a session comes or goes.
    sessions: RwLock<Sessions>,
    people: Arc<People>,
    metrics: Arc<Metrics>,
    /// When users whose session ended were last active, so that a reconnect is no activity (mission rule 7).
    left: Mutex<HashMap<DevId, u64>>,
    /// What accounts without a session may send: who reconnects gets no new burst (S20).
    rested: Mutex<PerKey<AcctId>>,
    /// Some device or account may do less than before.
    barred: Notify,
}

#[derive(Default)]
struct Sessions {
    all: HashMap<SessionNo, Arc<Mailbox>>,
    accounts: HashMap<AcctId, Present>,
    names: HashMap<AccountName, AcctId>,
}

/// An account with sessions.
struct Present {
    mailboxes: Vec<(SessionNo, Arc<Mailbox>)>,
    sending: Arc<Mutex<Bucket>>,
}

impl Directory {
    /// Nobody is here yet; who comes and goes is passed on to `people`.
    pub fn new(people: Arc<People>, metrics: Arc<Metrics>) -> Directory {
        Directory {
            sessions: RwLock::default(),
            people,
            metrics,
            left: Mutex::default(),
            // Whoever takes a bucket out says its rate.
            rested: Mutex::new(PerKey::new(Rate::burst(1, 0))),
            barred: Notify::new(),
        }
    }

    /// Adds a session. Answers the bucket of sends that all sessions of the account share.
    pub fn add(&self, session: SessionNo, mailbox: &Arc<Mailbox>, rate: Rate, now_ms: u64) -> Arc<Mutex<Bucket>> {
        let login = mailbox.login();
        let mut sessions = write(&self.sessions);
        sessions.all.insert(session, Arc::clone(mailbox));
        sessions.names.insert(login.name.clone(), login.acct);
        let present = sessions.accounts.entry(login.acct).or_insert_with(|| {
            let mut rested = lock(&self.rested);
            rested.set_rate(rate);
            Present { mailboxes: Vec::new(), sending: Arc::new(Mutex::new(rested.take_out(&login.acct, now_ms))) }
        });
        present.mailboxes.push((session, Arc::clone(mailbox)));
        Arc::clone(&present.sending)
    }

    /// Removes a session. With an account's last one its bucket of sends is put aside, until it would be full again.
    pub fn remove(&self, session: SessionNo, now_ms: u64) {
        let mut guard = write(&self.sessions);
        let sessions = &mut *guard;
        let Some(mailbox) = sessions.all.remove(&session) else { return };
        let login = mailbox.login();
        if let Some(present) = sessions.accounts.get_mut(&login.acct) {
            present.mailboxes.retain(|(number, _)| *number != session);
            if present.mailboxes.is_empty() {
                lock(&self.rested).put_back(login.acct, *lock(&present.sending), now_ms);
                sessions.accounts.remove(&login.acct);
                sessions.names.remove(&login.name);
            }
        }
        drop(guard);
        let mut left = lock(&self.left);
        if left.len() >= limits::SOURCES_MAX {
            left.clear();
        }
        left.insert(login.dev, mailbox.active_ms());
    }

    /// When the user of a device that reconnects was last active.
    pub fn last_active(&self, dev: DevId) -> Option<u64> {
        lock(&self.left).remove(&dev)
    }

    /// Resolves once a device's key was taken or an account was locked, also when that was before; for one task.
    pub async fn barred(&self) {
        self.barred.notified().await;
    }

    /// How many sessions are here.
    pub fn count(&self) -> usize {
        read(&self.sessions).all.len()
    }

    /// What the sessions that are here sent and got so far, by account.
    pub fn busy(&self) -> HashMap<String, Busy> {
        let mut all: HashMap<String, Busy> = HashMap::new();
        for mailbox in self.all() {
            let user = mailbox.login().name.to_string();
            let busy = all.entry(user.clone()).or_insert(Busy { user, sessions: 0, sent: 0, received: 0 });
            let (sent, given) = mailbox.carried();
            busy.sessions += 1;
            busy.sent += sent;
            busy.received += given;
        }
        all
    }

    /// The mailboxes of an account.
    pub fn of(&self, acct: AcctId) -> Vec<Arc<Mailbox>> {
        let sessions = read(&self.sessions);
        sessions.accounts.get(&acct).map_or_else(Vec::new, |p| p.mailboxes.iter().map(|(_, m)| Arc::clone(m)).collect())
    }

    /// The mailbox of one device of an account.
    pub fn device(&self, name: &AccountName, device: DeviceId) -> Option<Arc<Mailbox>> {
        let acct = read(&self.sessions).names.get(name).copied()?;
        self.of(acct).into_iter().find(|mailbox| mailbox.login().id == device)
    }

    /// The sessions of an account's other devices.
    pub fn others(&self, acct: AcctId, save: Option<DevId>) -> Vec<(SessionNo, Arc<Mailbox>)> {
        let sessions = read(&self.sessions);
        let Some(present) = sessions.accounts.get(&acct) else { return Vec::new() };
        let others = present.mailboxes.iter().filter(|(_, mailbox)| Some(mailbox.login().dev) != save);
        others.cloned().collect()
    }

    /// All mailboxes; for what is rare.
    pub fn all(&self) -> Vec<Arc<Mailbox>> {
        read(&self.sessions).all.values().cloned().collect()
    }

    /// All sessions with their numbers, oldest first; for what is rare.
    pub fn sessions(&self) -> Vec<(SessionNo, Arc<Mailbox>)> {
        let sessions = read(&self.sessions);
        let mut all: Vec<_> = sessions.all.iter().map(|(number, mailbox)| (*number, Arc::clone(mailbox))).collect();
        drop(sessions);
        all.sort_by_key(|(number, _)| *number);
        all
    }

    /// Ends every session.
    pub fn end_all(&self, code: Code, may_reconnect: bool) {
        for mailbox in self.all() {
            mailbox.end(code, may_reconnect);
        }
    }

    /// A hint: there may be something new for an account.
    pub fn reread(&self, name: &AccountName) {
        let acct = read(&self.sessions).names.get(name).copied();
        for mailbox in acct.map_or_else(Vec::new, |acct| self.of(acct)) {
            mailbox.reread();
        }
    }

    /// Marks those whose user did nothing on any device since `since_ms`.
    pub fn mark_away(&self, people: &mut wire::People, since_ms: u64) {
        let sessions = read(&self.sessions);
        for person in people.items.iter_mut().filter(|person| person.online) {
            let present = AccountName::try_from(person.account.clone())
                .ok()
                .and_then(|name| sessions.names.get(&name))
                .and_then(|acct| sessions.accounts.get(acct));
            person.away = present.is_some_and(|p| p.mailboxes.iter().all(|(_, m)| m.active_ms() < since_ms));
        }
    }

    /// Sends a notice to every session; those of accounts in `own` get theirs instead, or nothing.
    pub fn announce(&self, body: &Bytes, count: u32, own: &HashMap<AcctId, Option<(Bytes, u32)>>) {
        for mailbox in self.all() {
            match own.get(&mailbox.login().acct) {
                None => mailbox.presence(body, count),
                Some(Some((body, count))) => mailbox.presence(body, *count),
                Some(None) => {}
            }
        }
    }

    fn with(&self, acct: AcctId, mut act: impl FnMut(SessionNo, &Mailbox)) {
        if let Some(present) = read(&self.sessions).accounts.get(&acct) {
            present.mailboxes.iter().for_each(|(session, mailbox)| act(*session, mailbox));
        }
    }
}

impl Outlet for Directory {
    fn verdict(&self, session: SessionNo, verdicts: Vec<Verdict>) {
        for verdict in &verdicts {
            if let Verdict::Decided { code, stored: false, .. } = verdict {
                self.metrics.message(*code);
            }
        }
        if let Some(mailbox) = read(&self.sessions).all.get(&session) {
            mailbox.verdicts(verdicts);
        }
    }

    fn entry(&self, acct: AcctId, entry: &Arc<Entry>) {
        self.with(acct, |_, mailbox| mailbox.entry(entry));
    }

    fn presence(&self, changes: Vec<PresenceChange>) {
        self.metrics.presence.inc_by(changes.len() as u64);
        self.people.changed(changes);
    }

    fn receipt(&self, sender: AcctId, receipt: wire::Receipt) {
        self.with(sender, |_, mailbox| mailbox.receipt(&receipt));
    }

    fn block(&self, by: AcctId, who: AcctId, on: bool) {
        self.people.blocked(by, who, on);
    }

    fn mark(&self, acct: AcctId, except: SessionNo, mark: wire::Mark) {
        self.with(acct, |session, mailbox| {
            if session != except {
                mailbox.mark(&mark);
            }
        });
    }

    fn private(&self, notice: private::Notice) {
        let (acct, only, save) = match notice.to {
            Whom::Device(acct, device) => (acct, Some(device), None),
            Whom::Account(acct, save) => (acct, None, save),
        };
        self.with(acct, |_, mailbox| {
            let dev = mailbox.login().dev;
            if only.is_none_or(|only| only == dev) && save != Some(dev) {
                mailbox.private(notice.clone());
            }
        });
    }

    fn barred(&self) {
        self.barred.notify_one();
    }

    fn committed(&self, round: &Round) {
        self.metrics.committed(round);
    }

    fn end(&self, session: SessionNo, code: Code, may_reconnect: bool) {
        if let Some(mailbox) = read(&self.sessions).all.get(&session) {
            mailbox.end(code, may_reconnect);
        }
    }
}

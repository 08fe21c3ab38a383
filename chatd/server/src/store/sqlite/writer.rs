//! The writer's thread: takes what has queued, decides it in one transaction, commits, and only then answers and wakes.
//!
//! Group commit is by load, not by timer: while one commit is on its way to the disk the next round gathers (contract rule 5).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chat_proto::fault::{Code, Fault};
use chat_proto::id::AccountName;
use chat_proto::limits::{UNFOLDED_MAX, WRITER_BATCH};
use chat_proto::wire;
use tokio::sync::{mpsc, oneshot};

use super::space::Space;
use super::start::{self, Begun};
use super::{Shared, fold, schema};
use crate::planted::planted;
use crate::store::{
    AcctId, Answer, DevId, Entry, Fence, Op, Outlet, PresenceChange, Round, SessionNo, Settings, StoreError, Verdict,
    private,
};

/// Something to be told once the round is durable, in this order.
pub enum Effect {
    Verdicts(SessionNo, Vec<Verdict>),
    Entry(Vec<AcctId>, Arc<Entry>),
    Online(AccountName, AcctId, i64),
    Offline(AccountName),
    Presence(PresenceChange),
    Block(AcctId, AcctId, bool),
    Receipt(AcctId, wire::Receipt),
    Mark(AcctId, SessionNo, wire::Mark),
    End(SessionNo, Code, bool),
    Private(private::Notice),
    /// A device, or a whole account, may do less than before.
    Barred,
    /// Everything up to the mark is folded: these accounts' places leave memory.
    Folded(u64, BTreeSet<AcctId>),
    Answer(Box<dyn FnOnce() + Send>),
}

/// The writer.
pub struct Writer {
    pub begun: Begun,
    pub settings: Settings,
    pub effects: Vec<Effect>,
    /// Devices that the folder must write.
    pub dirty: BTreeSet<DevId>,
    /// The server's monotonic clock as last told.
    pub mono_ms: u64,
    /// The wall clock as last told.
    pub now_ms: i64,
    /// When the present running hour began, by that clock.
    pub hour_began: Option<u64>,
    /// Retention has more to do.
    pub expiring: bool,
    /// Up to this time of the monotonic clock invitations have aged.
    pub invites_aged: u64,
    /// What the readers see too.
    pub shared: Arc<Shared>,
    outlet: Arc<dyn Outlet>,
    in_tx: bool,
    ending: Option<oneshot::Sender<()>>,
}

/// Starts the writer's thread. `failing` is told when the store cannot go on.
pub fn spawn(
    begun: Begun,
    settings: Settings,
    outlet: Arc<dyn Outlet>,
    shared: Arc<Shared>,
    ops: mpsc::Receiver<Op>,
    failing: oneshot::Sender<StoreError>,
    (mono_ms, now_ms): (u64, i64),
) -> std::io::Result<()> {
    let writer = Writer {
        begun,
        settings,
        effects: Vec::new(),
        dirty: BTreeSet::new(),
        mono_ms,
        now_ms,
        hour_began: None,
        expiring: false,
        invites_aged: mono_ms,
        outlet,
        shared,
        in_tx: false,
        ending: None,
    };
    std::thread::Builder::new().name("store-writer".into()).spawn(move || {
        let dir = writer.begun.dir.clone();
        if let Err(error) = writer.run(ops) {
            start::mark_failed(&dir);
            let _ = failing.send(error);
        }
    })?;
    Ok(())
}

impl Writer {
    fn run(mut self, mut ops: mpsc::Receiver<Op>) -> Result<(), StoreError> {
        let mut batch = Vec::with_capacity(WRITER_BATCH);
        while let Some(first) = ops.blocking_recv() {
            batch.push(first);
            while batch.len() < WRITER_BATCH
                && let Ok(op) = ops.try_recv()
            {
                batch.push(op);
            }
            self.round(&mut batch)?;
            if let Some(done) = self.ending.take() {
                return self.end(done);
            }
        }
        Ok(())
    }

    /// One transaction: what came is decided, something is folded, all is committed, then told.
    fn round(&mut self, batch: &mut Vec<Op>) -> Result<(), StoreError> {
        self.begun.space.look();
        let operations = batch.len();
        for op in batch.drain(..) {
            self.apply(op)?;
            self.got_on();
        }
        // The more waits, the more is folded: the log never runs away from its folder.
        for _ in 0..self.unfolded() / fold::AFTER {
            fold::some(self)?;
            self.got_on();
        }
        // What a start would have to replay into memory is bounded, however fast it came.
        while self.unfolded() > UNFOLDED_MAX as u64 {
            fold::some(self)?;
            self.got_on();
        }
        if planted("ack-before-commit") {
            self.tell();
        }
        let commit = self.commit()?;
        self.tell();
        self.outlet.committed(&Round { operations, commit });
        self.shared.behind.store(self.unfolded(), Ordering::Relaxed);
        *self.shared.space.lock().unwrap_or_else(PoisonError::into_inner) = self.begun.space.room();
        self.got_on();
        Ok(())
    }

    /// For whoever watches whether the writer is stuck: a long round gets on too.
    fn got_on(&self) {
        self.shared.progress.fetch_add(1, Ordering::Relaxed);
    }

    fn end(mut self, done: oneshot::Sender<()>) -> Result<(), StoreError> {
        self.fold_all()?;
        schema::checkpoint(&self.begun.conn)?;
        let _ = done.send(());
        Ok(())
    }

    /// Folds everything, a transaction at a time.
    pub fn fold_all(&mut self) -> Result<(), StoreError> {
        while self.unfolded() > 0 || !self.dirty.is_empty() {
            fold::some(self)?;
            self.commit()?;
            self.tell();
        }
        Ok(())
    }

    fn apply(&mut self, op: Op) -> Result<(), StoreError> {
        match op {
            Op::Send { fence, items, now_ms } => self.send(fence, items, now_ms),
            Op::Void { fence, item } => self.void(fence, item),
            Op::Ack { fence, acked, cursor } => self.ack(fence, acked, cursor),
            Op::CreateAccount { name, phc, device, invite, answer } => {
                let done = self.create_account(name, &phc, device, invite)?;
                self.answer(answer, done)
            }
            Op::AddAccount { name, phc, answer } => {
                let done = self.add_account(&name, &phc)?;
                self.answer(answer, done)
            }
            Op::Enrol { acct, phc, device, answer } => {
                let done = self.enrol(acct, &phc, device)?;
                self.answer(answer, done)
            }
            Op::Rehash { acct, old, phc } => self.rehash(acct, &old, &phc),
            Op::SetPassword { acct, phc, revoke, asker, answer } => {
                let done = self.set_password(acct, &phc, revoke, asker)?;
                self.answer(answer, done)
            }
            Op::Revoke { fence, device, answer } => {
                let done = self.revoke(fence, device)?;
                self.answer(answer, done)
            }
            Op::CreateInvite { hash, name, uses, lasts_ms, answer } => {
                let done = self.create_invite(&hash, name, uses, lasts_ms)?;
                self.answer(answer, done)
            }
            Op::RevokeInvite { id, answer } => {
                let done = self.revoke_invite(id)?;
                self.answer(answer, done)
            }
            Op::Invites(answer) => {
                let done = self.invites()?;
                self.answer(answer, Ok(done))
            }
            Op::Open(open, answer) => {
                let done = self.open(*open)?;
                self.answer(answer, done)
            }
            Op::Close { fence, how, all_devices, now_ms, answer } => {
                self.close(fence, how, all_devices, now_ms)?;
                answer.map_or(Ok(()), |answer| self.answer(answer, Ok(())))
            }
            Op::Mark { fence, sender, n, share, answer } => {
                let done = self.mark(fence, &sender, n, share)?;
                self.answer(answer, done)
            }
            Op::Trace { fence, incarnation, cseq, answer } => {
                let done = self.trace(fence, incarnation, cseq)?;
                self.answer(answer, done)
            }
            Op::Follow { fence, accounts, answer } => {
                let done = self.follow(fence, &accounts)?;
                self.answer(answer, Ok(done))
            }
            Op::Block { fence, who, on, answer } => {
                let done = self.block(fence, &who, on)?;
                self.answer(answer, done)
            }
            Op::PrivateAsk(ask, answer) => {
                let done = self.private_ask(*ask)?;
                self.answer(answer, done)
            }
            Op::PrivateAnswer { fence, id, accept, answer } => {
                let done = self.private_answer(fence, id, accept.map(|endpoint| *endpoint))?;
                self.answer(answer, done)
            }
            Op::PrivateCancel { fence, id, answer } => {
                let done = self.private_cancel(fence, id)?;
                self.answer(answer, done)
            }
            Op::Lock { acct, on, now_ms, answer } => {
                let done = self.lock_account(acct, on, now_ms)?;
                self.answer(answer, done)
            }
            Op::DeleteAccount { acct, now_ms, answer } => {
                let done = self.delete_account(acct, now_ms)?;
                self.answer(answer, done)
            }
            Op::Announce { text, now_ms, answer } => {
                let done = self.announcement(text, now_ms)?;
                self.answer(answer, done)
            }
            Op::Failure(failure) => self.failure(failure),
            Op::Configure(settings) => {
                self.configure(*settings);
                Ok(())
            }
            Op::Tick { mono_ms, now_ms } => self.tick(mono_ms, now_ms),
            Op::Shutdown(done) => {
                self.ending = Some(done);
                self.age_invites(0)
            }
        }
    }

    fn configure(&mut self, settings: Settings) {
        if settings.reserve != self.settings.reserve {
            self.begun.space = Space::new(&self.begun.dir, settings.reserve);
        }
        self.settings = settings;
    }

    /// The answer is given after the commit, like every other effect.
    #[expect(clippy::unnecessary_wraps, reason = "a match arm of `apply` is one call")]
    fn answer<T: Send + 'static>(&mut self, answer: Answer<T>, value: Result<T, Fault>) -> Result<(), StoreError> {
        self.effects.push(Effect::Answer(Box::new(move || drop(answer.send(value)))));
        Ok(())
    }

    /// Opens the round's transaction, when something is to be written.
    pub fn write(&mut self) -> Result<(), StoreError> {
        if !self.in_tx {
            self.begun.conn.execute_batch("BEGIN IMMEDIATE")?;
            self.in_tx = true;
        }
        Ok(())
    }

    /// Answers how long it took, when there was something to commit.
    fn commit(&mut self) -> Result<Option<Duration>, StoreError> {
        let mut took = None;
        if std::mem::take(&mut self.in_tx) {
            let began = Instant::now();
            self.begun.conn.execute_batch("COMMIT")?;
            took = Some(began.elapsed());
        }
        self.begun.committed = self.begun.next - 1;
        Ok(took)
    }

    /// Log rows that wait for the folder.
    pub fn unfolded(&self) -> u64 {
        self.begun.next - 1 - self.begun.folded
    }

    /// Whether the session still owns its device: an operation with an old epoch is not decided.
    pub fn owns(&mut self, fence: Fence) -> bool {
        let device = self.begun.world.devices.get(&fence.dev);
        let owns = device.is_some_and(|d| d.session_epoch == fence.epoch && d.live == Some(fence.session));
        if !owns {
            self.effects.push(Effect::End(fence.session, Code::REPLACED, false));
        }
        owns
    }

    /// Tells what the committed round did, in its order.
    fn tell(&mut self) {
        let outlet = Arc::clone(&self.outlet);
        let shared = Arc::clone(&self.shared);
        // Answers come last: whoever has one may rely on all the rest being told.
        let (mut presence, mut blocks, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Verdicts(session, verdicts) => outlet.verdict(session, verdicts),
                Effect::Entry(parties, entry) => tell_entry(&shared, &*outlet, &parties, &entry),
                Effect::Online(name, acct, since) => {
                    shared.online.write().unwrap_or_else(PoisonError::into_inner).insert(name, (acct, since));
                }
                Effect::Offline(name) => {
                    shared.online.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
                }
                Effect::Presence(change) => presence.push(change),
                Effect::Block(by, who, on) => blocks.push((by, who, on)),
                Effect::Receipt(sender, receipt) => outlet.receipt(sender, receipt),
                Effect::Mark(acct, except, mark) => outlet.mark(acct, except, mark),
                Effect::End(session, code, may_reconnect) => outlet.end(session, code, may_reconnect),
                Effect::Private(notice) => outlet.private(notice),
                Effect::Barred => outlet.barred(),
                Effect::Folded(mark, accounts) => forget(&shared, mark, &accounts),
                Effect::Answer(answer) => answers.push(answer),
            }
        }
        if !presence.is_empty() {
            outlet.presence(presence);
        }
        // Behind the changes: one of the same round must heed them too.
        blocks.into_iter().for_each(|(by, who, on)| outlet.block(by, who, on));
        answers.into_iter().for_each(|answer| answer());
    }
}

/// A new entry: readers must find it before any session is woken for it.
fn tell_entry(shared: &Shared, outlet: &dyn Outlet, parties: &[AcctId], entry: &Arc<Entry>) {
    {
        let mut unfolded = shared.unfolded.lock().unwrap_or_else(PoisonError::into_inner);
        parties.iter().for_each(|party| unfolded.entry(*party).or_default().push(entry.n));
    }
    parties.iter().for_each(|party| outlet.entry(*party, entry));
}

fn forget(shared: &Shared, mark: u64, accounts: &BTreeSet<AcctId>) {
    let mut unfolded = shared.unfolded.lock().unwrap_or_else(PoisonError::into_inner);
    for account in accounts {
        if let Some(places) = unfolded.get_mut(account) {
            places.drain(..places.partition_point(|g| *g <= mark));
            if places.is_empty() {
                unfolded.remove(account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_proto::id::{DeviceId, Incarnation};

    use super::*;
    use crate::store::contract::Recorder;
    use crate::store::{NewDevice, OpenSession, Policy};

    /// A writer without its thread, and the session of an account in it.
    fn writer(dir: &std::path::Path) -> (Writer, Fence) {
        let (settings, shared) = (Settings::default(), Arc::new(Shared::default()));
        std::fs::create_dir_all(dir).unwrap();
        let begun = start::begin(dir, &shared, &settings, 0, 0).unwrap();
        let outlet = Arc::new(Recorder::default());
        let (effects, dirty) = (Vec::new(), BTreeSet::new());
        let mut writer = Writer {
            begun,
            settings,
            effects,
            dirty,
            mono_ms: 0,
            now_ms: 0,
            hour_began: None,
            expiring: false,
            invites_aged: 0,
            outlet,
            shared,
            in_tx: false,
            ending: None,
        };
        let device = NewDevice { id: DeviceId([1; 16]), key: [1; 32], name: String::new() };
        let name = AccountName::try_from("alice".to_owned()).unwrap();
        let login = writer.create_account(name, "phc", device, None).unwrap().unwrap();
        let (acct, dev, session) = (login.acct, login.dev, SessionNo(1));
        let streams = vec![(Incarnation(1), 0)];
        let open = OpenSession {
            login,
            session,
            run: 1,
            streams,
            known: vec![],
            cursor: None,
            policy: Policy::Many,
            silent: vec![],
            now_ms: 0,
        };
        let epoch = writer.open(open).unwrap().unwrap().epoch;
        (writer, Fence { acct, dev, session, epoch })
    }

    #[test]
    fn streams_that_a_client_only_names_take_no_memory() {
        let dir = tempfile::TempDir::new().unwrap();
        let (mut writer, fence) = writer(dir.path());
        let before = writer.begun.world.streams.len();
        for incarnation in 100..200 {
            writer.void(fence, wire::Void { incarnation, first: 5, last: 5 }).unwrap();
            let item = wire::Send { incarnation: incarnation + 1000, cseq: 2, h: vec![0; 32], ..Default::default() };
            writer.send(fence, vec![item], 0).unwrap();
        }
        assert_eq!(writer.begun.world.streams.len(), before);
    }
}

//! A store under test with a recording outlet, and the few words that the contract tests are written in.

use std::sync::{Arc, Mutex, PoisonError};

use chat_proto::fault::{Code, Fault};
use chat_proto::id::{AccountName, DeviceId, Incarnation, Position};
use chat_proto::machine::presence::Reason;
use chat_proto::wire::{self, kind};
use prost::Message;
use tokio::sync::oneshot;

use crate::store::{
    AcctId, Answer, DevId, Ending, Entry, Fence, Inboxed, Login, NewDevice, Op, OpenSession, Opened, Outlet, Policy,
    PresenceChange, Query, SessionNo, Settings, Store, User, Verdict, private,
};

/// The wall clock that tests begin with.
pub const NOW: i64 = 1_700_000_000_000;

/// Where a store under test lives: it can be opened again, saved and set back.
pub trait Place {
    /// The store kept here.
    type Kept: Store;
    /// Opens the store; waits until the one before let go.
    fn open(
        &self,
        outlet: Arc<dyn Outlet>,
        settings: Settings,
        mono_ms: u64,
        now_ms: i64,
    ) -> impl Future<Output = Self::Kept>;
    /// How many rows are kept for messages; none once everybody acknowledged everything and it was folded.
    fn kept(&self) -> u64;
    /// Remembers what is kept, while the store is closed.
    fn save(&self);
    /// Puts back what [`Place::save`] remembered, while the store is closed.
    fn set_back(&self);
}

/// Everything that an outlet is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Verdict(SessionNo, Verdict),
    Entry(AcctId, Arc<Entry>),
    Presence(PresenceChange),
    Receipt(AcctId, String, u64, u64),
    Block(AcctId, AcctId, bool),
    Mark(AcctId, SessionNo, u64),
    End(SessionNo, Code),
    Private(private::Notice),
    Barred,
}

/// An outlet that writes down what it is told.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Told>>);

impl Recorder {
    fn push(&self, told: Told) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    /// What was told since the last call.
    pub fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Outlet for Recorder {
    fn verdict(&self, session: SessionNo, verdicts: Vec<Verdict>) {
        verdicts.into_iter().for_each(|verdict| self.push(Told::Verdict(session, verdict)));
    }
    fn entry(&self, acct: AcctId, entry: &Arc<Entry>) {
        self.push(Told::Entry(acct, Arc::clone(entry)));
    }
    fn presence(&self, changes: Vec<PresenceChange>) {
        changes.into_iter().for_each(|change| self.push(Told::Presence(change)));
    }
    fn receipt(&self, sender: AcctId, r: wire::Receipt) {
        self.push(Told::Receipt(sender, r.account, r.delivered, r.read));
    }
    fn block(&self, by: AcctId, who: AcctId, on: bool) {
        self.push(Told::Block(by, who, on));
    }
    fn mark(&self, acct: AcctId, except: SessionNo, mark: wire::Mark) {
        self.push(Told::Mark(acct, except, mark.position.map_or(0, |p| p.n)));
    }
    fn private(&self, notice: private::Notice) {
        self.push(Told::Private(notice));
    }
    fn barred(&self) {
        self.push(Told::Barred);
    }
    fn end(&self, session: SessionNo, code: Code, _may_reconnect: bool) {
        self.push(Told::End(session, code));
    }
}

/// An enrolled device, and its session when it has one.
#[derive(Clone, Debug)]
pub struct Device {
    pub login: Login,
    pub session: SessionNo,
    pub epoch: u64,
    pub inc: Incarnation,
    pub run: u64,
}

impl Device {
    pub fn fence(&self) -> Fence {
        Fence { acct: self.login.acct, dev: self.login.dev, session: self.session, epoch: self.epoch }
    }
    pub fn acct(&self) -> AcctId {
        self.login.acct
    }
    pub fn dev(&self) -> DevId {
        self.login.dev
    }
}

/// The store and its clocks.
pub struct Town<P: Place> {
    pub place: P,
    pub store: Option<P::Kept>,
    pub out: Arc<Recorder>,
    pub settings: Settings,
    pub mono: u64,
    pub now: i64,
    /// Streams that the next device to open knows beside its own.
    pub known: Vec<Incarnation>,
    sessions: u64,
}

pub fn name(text: &str) -> AccountName {
    AccountName::try_from(text.to_owned()).unwrap()
}

/// A device's name in tests is its number; its key is made of it.
pub fn new_device(n: u8) -> NewDevice {
    NewDevice { id: DeviceId([n; 16]), key: [n; 32], name: format!("device {n}") }
}

/// A direct message, or a broadcast when `to` is empty.
pub fn message(inc: Incarnation, cseq: u64, to: &str, text: &str) -> wire::Send {
    let kind = if to.is_empty() { kind::BROADCAST } else { kind::DIRECT };
    wire::Send {
        incarnation: inc.0,
        cseq,
        settled: 0,
        to: to.into(),
        kind,
        h: wire::content_hash(to, kind, wire::TEXT_PLAIN, text.as_bytes()).to_vec(),
        content_type: wire::TEXT_PLAIN.into(),
        body: text.to_owned().into(),
    }
}

pub fn text(entry: &Entry) -> String {
    let deliver = wire::Deliver::decode(entry.tail.clone()).unwrap();
    String::from_utf8(deliver.body.to_vec()).unwrap()
}

impl<P: Place> Town<P> {
    pub async fn new(place: P, settings: Settings) -> Town<P> {
        let (mono, now) = (1_000, NOW);
        let mut town = Town {
            place,
            store: None,
            out: Arc::new(Recorder::default()),
            settings,
            mono,
            now,
            known: vec![],
            sessions: 0,
        };
        town.start().await;
        town
    }

    pub async fn start(&mut self) {
        assert!(self.store.is_none(), "one at a time");
        let outlet: Arc<dyn Outlet> = Arc::<Recorder>::clone(&self.out);
        self.store = Some(self.place.open(outlet, self.settings.clone(), self.mono, self.now).await);
        // Hours of running are counted from the first tick.
        self.tick(0).await;
    }

    /// Ends the store without a word, as a crash does.
    pub fn crash(&mut self) {
        self.store = None;
    }

    /// Ends the store in good order.
    pub async fn shut_down(&mut self) {
        let (done, wait) = oneshot::channel();
        self.submit(Op::Shutdown(done)).await;
        wait.await.unwrap();
        self.store = None;
    }

    pub async fn submit(&self, op: Op) {
        self.store.as_ref().unwrap().submit(op).await;
    }

    pub async fn ask<T>(&self, op: impl FnOnce(Answer<T>) -> Op) -> Result<T, Code> {
        let (answer, wait) = oneshot::channel();
        self.submit(op(answer)).await;
        wait.await.unwrap().map_err(|fault: Fault| fault.code)
    }

    pub async fn query<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> T {
        let (answer, wait) = oneshot::channel();
        self.store.as_ref().unwrap().query(query(answer));
        wait.await.unwrap()
    }

    /// Waits until everything submitted before is committed and told; answers what was told.
    pub async fn told(&self) -> Vec<Told> {
        let nobody = AcctId(u32::MAX);
        // Twice: what a round tells may follow its answers, but not those of the next round.
        for _ in 0..2 {
            let refused = self
                .ask(|answer| Op::Enrol { acct: nobody, phc: String::new(), device: new_device(255), answer })
                .await;
            assert_eq!(refused, Err(Code::WRONG_CREDENTIALS));
        }
        self.out.take()
    }

    pub async fn tick(&mut self, ms: u64) {
        self.mono += ms;
        self.now += ms as i64;
        self.submit(Op::Tick { mono_ms: self.mono, now_ms: self.now }).await;
    }

    /// Ticks until nothing is left to fold.
    pub async fn fold(&mut self) {
        for _ in 0..8 {
            self.tick(1).await;
        }
        self.settle().await;
    }

    /// Waits like [`Town::told`], and keeps what was told for the next call.
    pub async fn settle(&self) {
        let told = self.told().await;
        told.into_iter().for_each(|t| self.out.push(t));
    }

    /// Hours of running pass.
    pub async fn hours(&mut self, hours: u64) {
        for _ in 0..hours {
            self.tick(3_600_000).await;
        }
        self.fold().await;
    }

    pub async fn sign_up(&mut self, who: &str, n: u8) -> Device {
        let login = self.create(who, n).await.unwrap();
        Device { login, session: SessionNo(0), epoch: 0, inc: Incarnation(u64::from(n)), run: u64::from(n) }
    }

    pub async fn users(&self) -> Vec<User> {
        self.query(|answer| Query::Users { after: String::new(), limit: usize::MAX, answer }).await
    }

    pub async fn create(&self, who: &str, n: u8) -> Result<Login, Code> {
        let device = new_device(n);
        self.ask(|answer| Op::CreateAccount { name: name(who), phc: "phc".into(), device, invite: None, answer }).await
    }

    pub async fn enrol(&self, acct: AcctId, n: u8) -> Result<Device, Code> {
        let login = self.enrol_by(acct, "phc", n).await?;
        let session = SessionNo(0);
        Ok(Device { login, session, epoch: 0, inc: Incarnation(u64::from(n)), run: u64::from(n) })
    }

    pub async fn enrol_by(&self, acct: AcctId, phc: &str, n: u8) -> Result<Login, Code> {
        let phc = phc.to_owned();
        self.ask(|answer| Op::Enrol { acct, phc, device: new_device(n), answer }).await
    }

    pub async fn open_as(
        &mut self,
        device: &mut Device,
        cursor: Option<Position>,
        policy: Policy,
    ) -> Result<Opened, Code> {
        self.open_over(device, cursor, policy, &[]).await
    }

    pub async fn open_over(
        &mut self,
        device: &mut Device,
        cursor: Option<Position>,
        policy: Policy,
        silent: &[SessionNo],
    ) -> Result<Opened, Code> {
        self.sessions += 1;
        let open = OpenSession {
            login: device.login.clone(),
            session: SessionNo(self.sessions),
            run: device.run,
            streams: vec![(device.inc, 0)],
            known: self.known.clone(),
            cursor,
            policy,
            silent: silent.to_vec(),
            now_ms: self.now,
        };
        let opened = self.ask(|answer| Op::Open(Box::new(open), answer)).await?;
        device.session = SessionNo(self.sessions);
        device.epoch = opened.epoch;
        Ok(opened)
    }

    pub async fn open(&mut self, device: &mut Device, cursor: Option<Position>) -> Opened {
        self.open_as(device, cursor, Policy::Many).await.unwrap()
    }

    /// A new account with its first device, which is live.
    pub async fn arrive(&mut self, who: &str, n: u8) -> Device {
        let mut device = self.sign_up(who, n).await;
        self.open(&mut device, None).await;
        device
    }

    pub async fn leave(&self, device: &Device, how: Ending) {
        self.close(device, how, false).await;
    }

    pub async fn close(&self, device: &Device, how: Ending, all_devices: bool) {
        let (fence, now_ms) = (device.fence(), self.now);
        let closed = self.ask(|answer| Op::Close { fence, how, all_devices, now_ms, answer: Some(answer) }).await;
        assert_eq!(closed, Ok(()));
    }

    pub async fn log_out(&self, device: &Device) {
        self.leave(device, Ending::Left(Reason::Logout)).await;
    }

    pub async fn send(&self, device: &Device, items: Vec<wire::Send>) -> Vec<Verdict> {
        self.settle().await;
        let (fence, now_ms) = (device.fence(), self.now);
        self.submit(Op::Send { fence, items, now_ms }).await;
        self.verdicts(device).await
    }

    pub async fn void(&self, device: &Device, first: u64, last: u64) -> Vec<Verdict> {
        let item = wire::Void { incarnation: device.inc.0, first, last };
        self.submit(Op::Void { fence: device.fence(), item }).await;
        self.verdicts(device).await
    }

    /// Takes the verdicts of a device's session out of what was told, and leaves the rest.
    async fn verdicts(&self, device: &Device) -> Vec<Verdict> {
        let (mut verdicts, mut rest) = (Vec::new(), Vec::new());
        for told in self.told().await {
            match told {
                Told::Verdict(session, verdict) if session == device.session => verdicts.push(verdict),
                other => rest.push(other),
            }
        }
        rest.into_iter().for_each(|told| self.out.push(told));
        verdicts
    }

    /// Sends one message and answers where it stands.
    pub async fn accepted(&self, device: &Device, cseq: u64, to: &str, text: &str) -> Position {
        let verdicts = self.send(device, vec![message(device.inc, cseq, to, text)]).await;
        match verdicts.as_slice() {
            [Verdict::Decided { code: Code::ACCEPTED, position: Some(position), .. }] => *position,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub async fn ack(&self, device: &Device, n: u64) {
        self.submit(Op::Ack { fence: device.fence(), acked: n, cursor: n }).await;
    }

    pub async fn page(&self, acct: AcctId, after: u64, count: usize, bytes: usize) -> Inboxed {
        self.query(|answer| Query::Inbox { acct, after, count, bytes, answer }).await
    }

    /// The texts that a device would be given behind a place.
    pub async fn inbox(&self, device: &Device, after: u64) -> Vec<String> {
        let page = self.page(device.acct(), after, 10_000, usize::MAX).await;
        assert!(page.end);
        let mine = page.entries.iter().filter(|e| e.device != device.dev());
        mine.map(text).collect()
    }
}

/// The codes of decided verdicts.
pub fn codes(verdicts: &[Verdict]) -> Vec<Code> {
    verdicts
        .iter()
        .filter_map(|v| match v {
            Verdict::Decided { code, .. } => Some(*code),
            _ => None,
        })
        .collect()
}

//! Does on the real accounts and the real store what a story says, and compares everything that comes back with the reference.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_proto::fault::{Code, Fault};
use chat_proto::id::{NameRule, Position};
use chat_proto::limits;
use chat_proto::wire;
use tempfile::TempDir;
use tokio::time::Duration;
use zeroize::Zeroizing;

use super::Step;
use super::reference::{Answer, DEVICES, Dev, NAMES, Notice, Others, PEOPLE, Reference, Rules};
use crate::account::{self, Accounts, Hasher};
use crate::clock::Clock;
use crate::config::{Addresses, Idle, LockoutBy, Registration};
use crate::gateway;
use crate::rate::Rate;
use crate::settings::{self as live, Live};
use crate::source::Source;
use crate::store::contract::{self, Device, Place, Told, Town, message, name, text};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    Contents, Ending, Gauges, Login, NewDevice, Op, Outlet, Policy, Query, Settings, Store, StoreError, Verdict,
};

/// A store in a directory of its own, in memory where that can be had.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Shelf {
        let dir = env::var_os("CHAT_MODEL_DIR").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
        let dir = if dir.is_dir() { dir } else { env::temp_dir() };
        Shelf(TempDir::new_in(dir).unwrap())
    }
}

/// One store for the accounts and for the town.
#[derive(Clone)]
struct Shared(Arc<SqliteStore>);

impl Store for Shared {
    async fn submit(&self, op: Op) {
        self.0.submit(op).await;
    }
    fn query(&self, query: Query) {
        self.0.query(query);
    }
    fn epochs(&self) -> Arc<chat_proto::machine::hello::Epochs> {
        self.0.epochs()
    }
    fn progress(&self) -> u64 {
        self.0.progress()
    }
    fn gauges(&self) -> Gauges {
        self.0.gauges()
    }
    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        self.0.copy(to)
    }
    fn contents(&self) -> Result<Contents, StoreError> {
        self.0.contents()
    }
    fn faults(&self) -> Result<Vec<String>, StoreError> {
        self.0.faults()
    }
}

impl Place for Shelf {
    type Kept = Shared;

    async fn open(&self, outlet: Arc<dyn Outlet>, settings: Settings, mono_ms: u64, now_ms: i64) -> Shared {
        loop {
            match SqliteStore::open(self.0.path(), Arc::clone(&outlet), settings.clone(), mono_ms, now_ms) {
                Ok(store) => return Shared(Arc::new(store)),
                // The threads of the store before are still ending.
                Err(StoreError::Locked(_)) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn kept(&self) -> u64 {
        0
    }

    fn save(&self) {}

    fn set_back(&self) {}
}

/// What the driver knows of a device: its session in the town, its durable cursor.
#[derive(Clone)]
struct Handset {
    town: Device,
    committed: Option<Position>,
    /// What was sent at each place.
    sent: Vec<wire::Send>,
}

/// The real thing beside the reference.
pub struct Driver {
    town: Town<Shelf>,
    accounts: Option<Accounts<Shared>>,
    clock: Clock,
    rules: Rules,
    reference: Reference,
    handsets: BTreeMap<Dev, Handset>,
    /// Sessions of those that were open, by number.
    sessions: BTreeMap<u64, Dev>,
    texts: u64,
    runs: u64,
    /// Something was acknowledged since cursors were last written: a crash would forget it until the next HELLO.
    unwritten: bool,
}

/// Fails the story when what came is not what the reference says.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, came: T, expected: T) -> Result<(), String> {
    if came == expected { Ok(()) } else { Err(format!("{what}: came {came:?}, expected {expected:?}")) }
}

impl Driver {
    /// Runs a story on a clock of its own.
    pub fn run(people: usize, rules: Rules, steps: &[Step]) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let mut driver = Driver::new(rules).await;
            for who in 0..people {
                driver.step(Step::Register((who, 0))).await?;
            }
            for (number, step) in steps.iter().enumerate() {
                driver.step(*step).await.map_err(|why| format!("step {number}, {step:?}: {why}"))?;
            }
            driver.finish().await
        })
    }

    async fn new(rules: Rules) -> Driver {
        let settings = Settings {
            reserve: 0,
            offline_max_per_user: u32::try_from(rules.quota).unwrap(),
            tell_missed: rules.tell_missed,
            ..Settings::default()
        };
        let town = Town::new(Shelf::new(), settings).await;
        let reference = Reference::new(rules, town.mono);
        let mut driver = Driver {
            town,
            accounts: None,
            clock: Clock::start(),
            rules,
            reference,
            handsets: BTreeMap::new(),
            sessions: BTreeMap::new(),
            texts: 0,
            runs: 0,
            unwritten: false,
        };
        driver.open_accounts().await;
        driver
    }

    async fn open_accounts(&mut self) {
        let accounts = account::Settings {
            registration: Registration::Open,
            sign_up_at_login: false,
            names: NameRule::Standard,
            tell_names: false,
            forget_device: false,
            lock_devices: self.rules.lock_by_name,
            lockout_by: if self.rules.lock_by_name { LockoutBy::Account } else { LockoutBy::Source },
            lockout: account::Rules {
                after: self.rules.lock.0,
                duration_ms: self.rules.lock.1,
                doubles: !self.rules.lock_by_name,
            },
            logins: Rate::per(0, 60),
            tries: Rate::per(limits::HASHES_PER_NAME_AND_MINUTE, 60),
            newcomers: Rate::per(0, 60),
        };
        let live = Live::new(live::Settings {
            sessions: gateway::Settings {
                name: String::new(),
                policy: policy(self.rules),
                idle: Idle::Away,
                idle_after: Duration::from_secs(3600),
                grace_ms: self.rules.grace_ms,
                sending: Rate::per(0, 1),
                connections: 100,
                seen_since_start: false,
                private: true,
            },
            accounts,
            announce: true,
            addresses: Addresses::Full,
        });
        let store = Arc::new(self.town.store.clone().unwrap());
        let hasher = Hasher::cheap(Zeroizing::new([7; 32])).unwrap();
        self.accounts = Some(Accounts::open(store, self.clock, live, hasher, Zeroizing::new([9; 32])).await);
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Register(dev) => self.register(dev).await?,
            Step::Login { dev, right, source } => self.login(dev, right, source).await?,
            Step::Guess { dev, source, times } => {
                for _ in 0..times {
                    self.login(dev, false, source).await?;
                }
            }
            Step::Siege { dev, source } => {
                for _ in 0..3 {
                    for _ in 0..self.rules.lock.0 {
                        self.login(dev, false, source).await?;
                    }
                    self.pass(self.rules.lock.1).await;
                    // What the time brings is told too.
                    self.told().await?;
                }
                self.login(dev, true, source).await?;
            }
            Step::Key(dev) => self.key(dev).await?,
            Step::Pass { ms } => self.pass(ms).await,
            Step::Restart { orderly } => self.restart(orderly).await,
            Step::Logout { dev, .. }
            | Step::LinkLost(dev)
            | Step::Message { dev, .. }
            | Step::Broadcast(dev)
            | Step::Again { dev, .. }
            | Step::Early(dev)
            | Step::GiveUp(dev)
            | Step::Read { dev, .. }
            | Step::Block { dev, .. }
            | Step::Whoelse(dev)
            | Step::Whoelsesince { dev, .. }
            | Step::Blocked(dev) => {
                if self.reference.is_live(dev) {
                    self.live(dev, step).await?;
                } else if self.handsets.contains_key(&dev) {
                    self.stale(dev).await?;
                }
            }
        }
        self.told().await
    }

    /// What a device with a session does.
    async fn live(&mut self, dev: Dev, step: Step) -> Result<(), String> {
        match step {
            Step::Logout { everywhere, .. } => {
                self.town
                    .close(
                        &self.handsets[&dev].town,
                        Ending::Left(chat_proto::machine::presence::Reason::Logout),
                        everywhere,
                    )
                    .await;
                self.reference.logout(dev, everywhere);
                Ok(())
            }
            Step::LinkLost(_) => {
                let grace_until = self.town.mono + self.rules.grace_ms;
                self.town.leave(&self.handsets[&dev].town, Ending::Lost { grace_until }).await;
                self.reference.lose(dev);
                Ok(())
            }
            Step::Message { to, .. } => {
                let text = self.text();
                let expected = self.reference.message(dev, to, &text);
                self.send(dev, NAMES[to], &text, expected).await
            }
            Step::Broadcast(_) => {
                let text = self.text();
                let expected = self.reference.broadcast(dev, &text);
                self.send(dev, "", &text, expected).await
            }
            Step::Again { place, same, .. } => self.again(dev, place, same).await,
            Step::Early(_) => {
                let cseq = self.reference.decided_places(dev) as u64;
                let item = message(self.handsets[&dev].town.inc, cseq + 2, "bob", "early");
                let came = self.town.send(&self.handsets[&dev].town, vec![item]).await;
                same("a place beyond the next", answers(&came), vec![Answer::Gap(cseq)])
            }
            Step::GiveUp(_) => {
                let cseq = self.reference.decided_places(dev) as u64 + 1;
                let expected = self.reference.give_up(dev);
                let handset = self.handsets.get_mut(&dev).unwrap();
                handset.sent.push(message(handset.town.inc, cseq, "bob", "given up"));
                let came = self.town.void(&self.handsets[&dev].town, cseq, cseq).await;
                same("a place given up", answers(&came), vec![expected])
            }
            Step::Read { acks, .. } => self.read(dev, acks).await,
            Step::Block { whom, on, .. } => {
                let (fence, who) = (self.handsets[&dev].town.fence(), name(NAMES[whom]));
                let came = self.town.ask(|answer| Op::Block { fence, who, on, answer }).await;
                same("block", came, self.reference.block(dev.0, whom, on))
            }
            Step::Whoelse(_) => {
                let caller = self.handsets[&dev].town.acct();
                let query = |answer| Query::Whoelse { caller, after: String::new(), limit: 100, answer };
                let came = self.town.query(query).await.items;
                let expected = self.reference.whoelse(dev.0);
                same("whoelse", came.iter().map(|p| p.account.as_str()).collect(), expected)
            }
            Step::Whoelsesince { seconds, .. } => {
                let (caller, since_ms) = (self.handsets[&dev].town.acct(), self.town.now - seconds as i64 * 1000);
                let query = |answer| Query::Whoelsesince { caller, since_ms, after: String::new(), limit: 100, answer };
                let came = self.town.query(query).await.items;
                let expected = self.reference.whoelsesince(dev.0, seconds * 1000);
                same("whoelsesince", came.iter().map(|p| p.account.as_str()).collect(), expected)
            }
            Step::Blocked(_) => {
                let acct = self.handsets[&dev].town.acct();
                let came = self.town.query(|answer| Query::Blocked(acct, answer)).await;
                same("blocked", came.iter().map(|name| name.as_str()).collect(), self.reference.blocked(dev.0))
            }
            _ => Ok(()),
        }
    }

    /// A session that is over does nothing any more, and is told so.
    async fn stale(&mut self, dev: Dev) -> Result<(), String> {
        let handset = &self.handsets[&dev].town;
        if handset.session.0 == 0 {
            return Ok(());
        }
        let item = message(handset.inc, self.reference.decided_places(dev) as u64 + 1, "bob", "stale");
        let came = self.town.send(handset, vec![item]).await;
        same("a session that is over", answers(&came), Vec::new())?;
        self.reference.ended.push((dev, Code::REPLACED));
        Ok(())
    }

    async fn register(&mut self, dev: Dev) -> Result<(), String> {
        let accounts = self.accounts.as_ref().unwrap();
        let came = accounts.register(source(0), NAMES[dev.0], password(dev.0), "", new_device(dev)).await;
        same("register", code(&came), self.reference.register(dev))?;
        self.enter(dev, came).await
    }

    async fn login(&mut self, dev: Dev, right: bool, from: usize) -> Result<(), String> {
        let guess = if right { password(dev.0) } else { Zeroizing::new("wrong".to_owned()) };
        let before = self.clock.mono_ms();
        let accounts = self.accounts.as_ref().unwrap();
        let came = async {
            let attempt = accounts.attempt(source(from), NAMES[dev.0], guess).await?;
            accounts.enrol(accounts.prove(attempt).await?, new_device(dev)).await
        };
        let came = came.await;
        same("login", code(&came), self.reference.login(dev, right, from))?;
        // Many guesses at one name wait for each other: that time passed for everybody.
        let waited = self.clock.mono_ms() - before;
        if waited > 0 {
            self.tick(waited).await;
        }
        self.enter(dev, came).await
    }

    async fn key(&mut self, dev: Dev) -> Result<(), String> {
        let device = new_device(dev);
        let accounts = self.accounts.as_ref().unwrap();
        let came = accounts.device(source(0), NAMES[dev.0], device.id, |key| *key == device.key).await;
        same("login by key", code(&came), self.reference.key(dev))?;
        self.enter(dev, came).await
    }

    /// Who is logged in opens a session, as every client does.
    async fn enter(&mut self, dev: Dev, login: Result<Login, Fault>) -> Result<(), String> {
        let Ok(login) = login else { return Ok(()) };
        self.runs += 1;
        let number = number(dev);
        let handset = self.handsets.entry(dev).or_insert_with(|| Handset {
            town: Device {
                login: login.clone(),
                session: crate::store::SessionNo(0),
                epoch: 0,
                inc: chat_proto::id::Incarnation(u64::from(number)),
                run: 0,
            },
            committed: None,
            sent: Vec::new(),
        });
        same("the login", &login, &handset.town.login)?;
        handset.town.run = self.runs;
        let expected = self.reference.open(dev);
        let came = self.town.open_as(&mut handset.town, handset.committed, policy(self.rules)).await;
        same("open", came.as_ref().map(|_| ()).map_err(|code| *code), expected)?;
        if let Ok(opened) = came {
            let welcome = opened.welcome;
            same(
                "a copy, a restored server, missed mail",
                (welcome.copy, welcome.restored, welcome.resync),
                (false, false, 0),
            )?;
            same("places of the stream", welcome.streams[0].last, self.reference.decided_places(dev) as u64)?;
            let cursor = welcome.cursor.map(Position::from);
            if handset.committed.is_some() {
                same("where the inbox goes on", cursor, handset.committed)?;
            }
            handset.committed = cursor;
            self.sessions.insert(handset.town.session.0, dev);
        }
        Ok(())
    }

    async fn send(&mut self, dev: Dev, to: &str, text: &str, expected: Answer) -> Result<(), String> {
        let handset = self.handsets.get_mut(&dev).unwrap();
        let item = message(handset.town.inc, handset.sent.len() as u64 + 1, to, text);
        handset.sent.push(item.clone());
        let came = self.town.send(&self.handsets[&dev].town, vec![item]).await;
        same("a message", answers(&came), vec![expected])
    }

    async fn again(&mut self, dev: Dev, place: usize, same_content: bool) -> Result<(), String> {
        let handset = &self.handsets[&dev];
        let Some(place) = place.checked_rem(handset.sent.len()) else { return Ok(()) };
        let sent = &handset.sent[place];
        let item =
            if same_content { sent.clone() } else { message(handset.town.inc, sent.cseq, "carol", "something else") };
        let came = self.town.send(&handset.town, vec![item]).await;
        same("a place again", answers(&came), vec![self.reference.again(dev, place, same_content)])
    }

    async fn read(&mut self, dev: Dev, acks: usize) -> Result<(), String> {
        let handset = self.handsets.get_mut(&dev).unwrap();
        let (acct, own) = (handset.town.acct(), handset.town.dev());
        let page = self.town.page(acct, handset.committed.map_or(0, |p| p.n), 10_000, usize::MAX).await;
        let entries: Vec<_> = page.entries.iter().filter(|entry| entry.device != own).collect();
        let texts: Vec<String> = entries.iter().map(|entry| told_text(entry)).collect();
        same("the inbox", texts, self.reference.unread(dev))?;
        let acks = acks.min(entries.len());
        if let Some(last) = acks.checked_sub(1).map(|last| entries[last].n) {
            handset.committed = Some(self.town.store.as_ref().unwrap().epochs().position(last));
            self.town.ack(&handset.town, last).await;
            self.reference.ack(dev, acks);
            self.unwritten = true;
        }
        Ok(())
    }

    async fn pass(&mut self, ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
        self.tick(ms).await;
    }

    async fn tick(&mut self, ms: u64) {
        self.accounts.as_ref().unwrap().tick().await;
        self.town.tick(ms).await;
        self.reference.tick(self.town.mono);
        self.unwritten = false;
    }

    async fn restart(&mut self, orderly: bool) {
        if self.unwritten && !orderly {
            self.tick(0).await;
        }
        if orderly {
            self.accounts.as_ref().unwrap().shutdown().await;
            self.accounts = None;
            self.town.shut_down().await;
        } else {
            self.town.settle().await;
            self.accounts = None;
            self.town.crash();
        }
        self.town.start().await;
        self.open_accounts().await;
        self.reference.restart(orderly);
        self.reference.tick(self.town.mono);
        self.unwritten = false;
        // Sessions of the process before are nobody's: their numbers mean nothing to this one.
        self.sessions.clear();
        self.handsets.values_mut().for_each(|handset| handset.town.session = crate::store::SessionNo(0));
    }

    /// Notices and ends are those that the reference expects, no more and no less.
    async fn told(&mut self) -> Result<(), String> {
        let (mut notices, mut ended): (Vec<Notice>, Vec<_>) = (Vec::new(), Vec::new());
        for told in self.town.told().await {
            match told {
                Told::Presence(change) => {
                    let who = NAMES.iter().position(|name| *name == change.name.as_str()).unwrap();
                    let hidden = change.hidden_from.iter().map(|acct| self.person(acct.0)).collect();
                    notices.push((who, change.change.online, change.change.reason, hidden));
                }
                Told::End(session, code) => ended.push((self.sessions.get(&session.0).copied(), code)),
                Told::Entry(..) | Told::Block(..) => {}
                other => return Err(format!("nobody asked for {other:?}")),
            }
        }
        let mut expected = std::mem::take(&mut self.reference.notices);
        notices.sort_by_key(|notice| (notice.0, notice.1));
        expected.sort_by_key(|notice| (notice.0, notice.1));
        same("notices of presence", notices, expected)?;
        let mut expected: Vec<_> =
            std::mem::take(&mut self.reference.ended).into_iter().map(|(dev, code)| (Some(dev), code)).collect();
        ended.sort_by_key(|end| end.0);
        expected.sort_by_key(|end| end.0);
        same("sessions that were ended", ended, expected)
    }

    fn person(&self, acct: u32) -> usize {
        let of = |(dev, handset): (&Dev, &Handset)| (handset.town.acct().0 == acct).then_some(dev.0);
        self.handsets.iter().find_map(of).unwrap_or(usize::MAX)
    }

    /// In the end every device that there is reads everything that it should.
    async fn finish(&mut self) -> Result<(), String> {
        for dev in (0..PEOPLE).flat_map(|who| (0..DEVICES).map(move |dev| (who, dev))) {
            if self.handsets.get(&dev).is_some_and(|handset| handset.committed.is_some()) {
                self.read(dev, 0).await.map_err(|why| format!("in the end, {dev:?}: {why}"))?;
            }
        }
        Ok(())
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("text {}", self.texts)
    }
}

/// A notice about a device has no text of its own here.
fn told_text(entry: &crate::store::Entry) -> String {
    let deliver = <wire::Deliver as prost::Message>::decode(entry.tail.clone()).unwrap();
    if deliver.kind == wire::kind::DEVICE { String::new() } else { text(entry) }
}

fn code<T>(came: &Result<T, Fault>) -> Result<(), Code> {
    came.as_ref().map(|_| ()).map_err(|fault| fault.code)
}

fn answers(verdicts: &[Verdict]) -> Vec<Answer> {
    let answer = |verdict: &Verdict| match verdict {
        Verdict::Decided { code, online, audience, missed, stored, .. } => Answer::Decided {
            code: *code,
            online: *online,
            audience: *audience as usize,
            missed: *missed,
            stored: *stored,
        },
        Verdict::Gap { last, .. } => Answer::Gap(*last),
        Verdict::TryLater { code, .. } => panic!("{code:?}"),
    };
    verdicts.iter().map(answer).collect()
}

fn policy(rules: Rules) -> Policy {
    match rules.others {
        Others::Stay => Policy::Many,
        Others::Go => Policy::Replace,
        Others::Refuse => Policy::Refuse,
    }
}

fn number((who, dev): Dev) -> u8 {
    (who * DEVICES + dev + 1) as u8
}

fn new_device(dev: Dev) -> NewDevice {
    contract::new_device(number(dev))
}

fn password(who: usize) -> Zeroizing<String> {
    Zeroizing::new(format!("of {}", NAMES[who]))
}

fn source(n: usize) -> Source {
    Source::of(std::net::Ipv4Addr::from(0x0a00_0001 + n as u32).into())
}

//! Three users with two devices each, their links, the server around its broker, and what must hold.
//!
//! Odd seeds are quiet: no link is lost and nobody restarts, so that both sides must agree at once. In even ones everything happens.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use chat_proto::control::private::{Direction, RequestState};
use chat_proto::fault::{Code, Fault};
use chat_proto::machine::private::broker::{Ask, Asked, Broker, Notice, Open, Party, Standing, Terms, What, Whom};
use chat_proto::machine::private::requests::{Effect, RequestId, Requests};
use chat_proto::wire::{PeerEndpoint, PrivateNotice};

const ACCOUNTS: usize = 3;
const DEVICES: usize = 2 * ACCOUNTS;
const STEPS: u64 = 120;
const TERMS: Terms = Terms { allowed: true, relay: true, ttl_ms: 120_000 };
/// A lost link is announced after this.
const GRACE: u64 = 10_000;
/// A server that restarted waits so long for those who were there.
const RESTART_GRACE: u64 = 60_000;
/// A session whose other side cannot be reached ends after this.
const AWAY: u64 = 60_000;
/// No session is on one side alone for longer: a heartbeat.
const HEARTBEAT: u64 = 75_000;

/// What is planted around the broker, to see the checker find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// A second device that says yes gets the session too.
    SecondYesWins,
    /// A withdrawal is confirmed and forgotten.
    CancelForgotten,
    /// Whoever is asked has accepted.
    NobodyIsAsked,
    /// An account that leaves stays asked and asking.
    DepartureForgotten,
    /// A block leaves open what is open.
    BlockForgotten,
    /// The other devices do not learn that one answered.
    AnsweredUntold,
    /// The asker does not learn that it was accepted.
    AcceptedUntold,
    /// Who asks again is told that nobody answered yet.
    YesForgotten,
    /// Every notice is sent twice.
    ToldTwice,
    /// Requests never run out.
    NoTime,
    /// Who comes back is told of requests no more.
    NewcomerUntold,
    /// A no is taken for a yes.
    NoIsYes,
}

impl Bug {
    pub const PLANTED: [Bug; 12] = [
        Bug::SecondYesWins,
        Bug::CancelForgotten,
        Bug::NobodyIsAsked,
        Bug::DepartureForgotten,
        Bug::BlockForgotten,
        Bug::AnsweredUntold,
        Bug::AcceptedUntold,
        Bug::YesForgotten,
        Bug::ToldTwice,
        Bug::NoTime,
        Bug::NewcomerUntold,
        Bug::NoIsYes,
    ];
}

/// How an order went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub steps: u64,
    pub requests: u64,
    pub sessions: u64,
    pub crossed: u64,
    pub wrong: Vec<String>,
}

#[derive(Debug)]
enum Up {
    Hello(u64),
    Ask(RequestId, usize),
    Answer(RequestId, bool),
    Cancel(RequestId),
    Block(usize, bool),
    Logout,
}

#[derive(Debug)]
enum Down {
    Welcome,
    Asked(RequestId, Result<Asked<usize, usize>, Code>),
    Answered(RequestId, bool, Result<Option<Open<usize, usize>>, Code>),
    Notice(Notice<usize, usize>),
}

/// A private session as one device has it.
#[derive(Debug)]
struct Session {
    device: usize,
    /// The other side does not have it, since then.
    alone: Option<u64>,
}

#[derive(Default)]
struct Device {
    run: u64,
    /// Logins so far: each begins with nothing.
    logins: u64,
    logged_in: bool,
    linked: bool,
    /// WELCOME came.
    greeted: bool,
    requests: Requests,
    sessions: BTreeMap<RequestId, Session>,
    withdrawn: Vec<RequestId>,
    /// Sessions that it ended: whoever connects for one of them is told so.
    ended: HashSet<RequestId>,
    up: VecDeque<Up>,
    down: VecDeque<Down>,
}

/// The server's view of a device.
#[derive(Clone, Copy, Default)]
struct Seen {
    live: bool,
    /// Its link is lost, which the server notices then.
    dead_at: Option<u64>,
}

/// What the checker knows, from what the server was told and in which order.
#[derive(Default)]
struct Truth {
    /// Consents that hold: device, towards account, by request; until when.
    consents: Vec<(usize, usize, RequestId, u64)>,
    /// When both sides had consented, and the device of the one asked.
    met: HashMap<RequestId, (u64, usize)>,
    /// Requests that were withdrawn or declined.
    void: HashSet<RequestId>,
    told: HashSet<(usize, u64, u64, RequestId, u32)>,
    came: HashSet<(usize, u64, u64, RequestId)>,
    over: HashSet<(usize, u64, u64, RequestId)>,
}

struct World {
    now: u64,
    dice: Dice,
    bug: Bug,
    quiet: bool,
    broker: Broker<usize, usize>,
    /// Server starts.
    epoch: u64,
    seen: [Seen; DEVICES],
    grace: [Option<u64>; ACCOUNTS],
    blocks: HashSet<(usize, usize)>,
    devices: Vec<Device>,
    truth: Truth,
    ids: u64,
    outcome: Outcome,
}

/// A small generator of numbers (splitmix64): the same ones from the same seed everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn account(device: usize) -> usize {
    device / 2
}

fn name(account: usize) -> &'static str {
    ["alice", "bob", "carol"][account]
}

fn number(name: &str) -> usize {
    (0..ACCOUNTS).find(|n| self::name(*n) == name).unwrap()
}

fn address(device: usize) -> String {
    format!("192.0.2.{device}:1")
}

/// One order of things from one seed.
pub fn run(seed: u64, bug: Bug) -> Outcome {
    let mut world = World {
        now: 1_000,
        dice: Dice(seed),
        bug,
        quiet: seed % 2 == 1,
        broker: Broker::default(),
        epoch: 0,
        seen: [Seen::default(); DEVICES],
        grace: [None; ACCOUNTS],
        blocks: HashSet::new(),
        devices: (0..DEVICES).map(|_| Device::default()).collect(),
        truth: Truth::default(),
        ids: 0,
        outcome: Outcome::default(),
    };
    for device in 0..DEVICES {
        world.log_in(device);
    }
    world.drain();
    for _ in 0..STEPS {
        world.step();
        world.outcome.steps += 1;
        if !world.outcome.wrong.is_empty() {
            return world.outcome;
        }
    }
    world.end();
    world.outcome
}

impl World {
    fn wrong(&mut self, what: String) {
        self.outcome.wrong.push(format!("at {} ms: {what}", self.now));
    }

    fn step(&mut self) {
        let device = self.dice.below(DEVICES);
        match self.dice.below(if self.quiet { 38 } else { 44 }) {
            0..=3 => self.user_asks(device),
            4..=7 => self.user_answers(device),
            8 => self.user_withdraws(device),
            9 => self.user_blocks(device),
            10 => self.user_leaves_or_comes(device),
            11 => self.user_stops(device),
            12..=15 => {
                let seconds = 1 + self.dice.below(20) as u64;
                self.pass(seconds);
            }
            16 => {
                let seconds = 1 + self.dice.below(130) as u64;
                self.pass(seconds);
            }
            17..=37 => {
                for _ in 0..4 {
                    let device = self.dice.below(DEVICES);
                    self.carry(device);
                }
            }
            38 | 39 => self.cut(device),
            40 | 41 => self.link(device),
            42 => self.kill(device),
            _ => self.restart_server(),
        }
    }

    /// Everybody comes back, everything is delivered: both sides agree, and in the end nothing is open.
    fn end(&mut self) {
        for device in 0..DEVICES {
            if self.devices[device].logged_in {
                self.link(device);
            }
        }
        self.pass(10);
        self.drain();
        self.agree();
        for _ in 0..25 {
            self.pass(10);
        }
        self.drain();
        for device in 0..DEVICES {
            let open = self.devices[device].requests.open().count();
            if open > 0 {
                self.wrong(format!("{open} requests of device {device} never end"));
            }
        }
        if self.broker.open() > 0 {
            self.wrong(format!("{} requests are open at the server for ever", self.broker.open()));
        }
        self.agree_on_sessions();
    }

    /// Where nothing was lost, what is open at the server is what its devices know.
    fn agree(&mut self) {
        let mut out: HashSet<RequestId> = HashSet::new();
        for device in &self.devices {
            out.extend(device.requests.open().filter(|r| r.dir == Direction::Out).map(|r| r.id));
        }
        if self.quiet && out.len() != self.broker.open() {
            self.wrong(format!("{} are open at the server, {} at their askers", self.broker.open(), out.len()));
        }
        for device in 0..DEVICES {
            if !self.devices[device].logged_in {
                continue;
            }
            let seen: HashSet<RequestId> = self.devices[device].requests.open().map(|r| r.id).collect();
            for id in &seen {
                if !out.contains(id) && self.quiet {
                    self.wrong(format!("device {device} shows a request that its asker does not have"));
                }
            }
            // What is asked of the account and not answered is on all of its devices.
            let asked = |r: &&chat_proto::machine::private::requests::Request| {
                r.dir == Direction::Out && number(&r.peer) == account(device)
            };
            // To who has a session with the asker it has come to the same.
            let met = |asker: usize| {
                let sessions = self.devices[device].sessions.values();
                sessions.into_iter().any(|session| account(session.device) == account(asker))
            };
            let askers = (0..DEVICES).filter(|asker| self.devices[*asker].greeted && !met(*asker));
            let asks = askers.flat_map(|asker| self.devices[asker].requests.open().filter(asked));
            let unseen = asks.filter(|r| !seen.contains(&r.id)).count();
            if unseen > 0 {
                self.wrong(format!("{unseen} open requests are not shown by device {device}"));
            }
        }
        if self.quiet {
            self.agree_on_sessions();
        }
    }

    fn agree_on_sessions(&mut self) {
        for device in 0..DEVICES {
            let alone: Vec<_> = self.alone(device).collect();
            for (id, other) in alone {
                self.wrong(format!("device {device} has session {id:?} alone, {other} does not"));
            }
        }
    }

    /// Sessions of a device that their other side does not have.
    fn alone(&self, device: usize) -> impl Iterator<Item = (RequestId, usize)> {
        let sessions = self.devices[device].sessions.iter();
        let alone = sessions.filter(|(id, session)| !self.devices[session.device].sessions.contains_key(*id));
        alone.map(|(id, session)| (*id, session.device))
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += 1000;
            if self.dice.below(3) > 0 || self.quiet {
                (0..DEVICES).for_each(|device| self.carry(device));
            }
            self.server_ticks();
            (0..DEVICES).for_each(|device| self.client_ticks(device));
        }
    }

    fn drain(&mut self) {
        while self.devices.iter().any(|d| d.linked && !(d.up.is_empty() && d.down.is_empty())) {
            (0..DEVICES).for_each(|device| self.carry(device));
        }
    }

    /// A message each way.
    fn carry(&mut self, device: usize) {
        if !self.devices[device].linked {
            return;
        }
        if let Some(up) = self.devices[device].up.pop_front() {
            self.server_hears(device, up);
        }
        if let Some(down) = self.devices[device].down.pop_front() {
            // What comes right behind WELCOME comes with it.
            let welcome = matches!(down, Down::Welcome);
            self.client_hears(device, down);
            while welcome && let Some(down) = self.devices[device].down.pop_front() {
                self.client_hears(device, down);
            }
        }
    }

    // What users do.

    fn user_asks(&mut self, device: usize) {
        let to = (account(device) + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS;
        let mine = &mut self.devices[device];
        if !mine.logged_in || mine.sessions.values().any(|s| account(s.device) == to) {
            return;
        }
        self.ids += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.ids.to_be_bytes());
        if let Ok(effect) = mine.requests.handle_ask(self.now, id, name(to), "", TERMS.ttl_ms) {
            self.outcome.requests += 1;
            self.carry_out(device, effect, None);
        }
    }

    fn user_answers(&mut self, device: usize) {
        let mine = &mut self.devices[device];
        let asked: Vec<String> =
            mine.requests.open().filter(|r| r.dir == Direction::In).map(|r| r.peer.clone()).collect();
        if asked.is_empty() {
            return;
        }
        let (who, accept) = (self.dice.below(asked.len()), self.dice.below(4) > 0);
        if let Ok(effect) = self.devices[device].requests.handle_answer(&asked[who], accept) {
            self.carry_out(device, effect, None);
        }
    }

    fn user_withdraws(&mut self, device: usize) {
        let mine = &mut self.devices[device];
        let asked: Vec<String> =
            mine.requests.open().filter(|r| r.dir == Direction::Out).map(|r| r.peer.clone()).collect();
        let Some(who) = asked.first() else { return };
        if let Some(effect) = mine.requests.handle_withdraw(who) {
            if let Effect::Over(request, _) = &effect {
                mine.withdrawn.push(request.id);
            }
            self.carry_out(device, effect, None);
            self.say_withdrawn(device);
        }
    }

    fn user_blocks(&mut self, device: usize) {
        let who = (account(device) + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS;
        if self.devices[device].greeted {
            let on = !self.blocks.contains(&(account(device), who));
            self.devices[device].up.push_back(Up::Block(who, on));
        }
    }

    fn user_leaves_or_comes(&mut self, device: usize) {
        if !self.devices[device].logged_in {
            return self.log_in(device);
        }
        if !self.devices[device].greeted {
            return;
        }
        // The sessions end with the login, and their peers are told so by the daemon itself.
        for id in self.devices[device].sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(device, id);
        }
        for effect in self.devices[device].requests.handle_logged_out() {
            self.carry_out(device, effect, None);
        }
        self.devices[device].up.push_back(Up::Logout);
        self.devices[device].logged_in = false;
        // The link stays until the logout is done.
        while self.devices[device].linked {
            self.carry(device);
        }
    }

    fn user_stops(&mut self, device: usize) {
        if let Some(id) = self.devices[device].sessions.keys().next().copied() {
            self.end_session(device, id);
        }
    }

    /// Ended here, and by a word from daemon to daemon there.
    fn end_session(&mut self, device: usize, id: RequestId) {
        if let Some(session) = self.devices[device].sessions.remove(&id) {
            self.devices[session.device].sessions.remove(&id);
            self.devices[device].ended.insert(id);
        }
    }

    fn log_in(&mut self, device: usize) {
        self.devices[device].logged_in = true;
        self.devices[device].logins += 1;
        self.link(device);
    }

    // Links and daemons.

    fn link(&mut self, device: usize) {
        let mine = &mut self.devices[device];
        if !mine.linked && mine.logged_in {
            mine.linked = true;
            mine.up.push_back(Up::Hello(mine.run));
        }
    }

    /// What is on its way is lost, and the server may not notice for a while.
    fn cut(&mut self, device: usize) {
        let mine = &mut self.devices[device];
        (mine.linked, mine.greeted) = (false, false);
        mine.up.clear();
        mine.down.clear();
        if self.seen[device].live {
            self.seen[device].dead_at = Some(self.now + self.dice.below(HEARTBEAT as usize) as u64);
        }
    }

    fn kill(&mut self, device: usize) {
        self.cut(device);
        let mine = &mut self.devices[device];
        mine.run += 1;
        mine.logins += 1;
        mine.requests = Requests::default();
        mine.sessions.clear();
        mine.withdrawn.clear();
        self.link(device);
    }

    fn restart_server(&mut self) {
        for device in 0..DEVICES {
            if self.seen[device].live {
                self.grace[account(device)] = Some(self.now + RESTART_GRACE);
            }
            self.cut(device);
            self.seen[device] = Seen::default();
        }
        self.epoch += 1;
        self.broker = Broker::default();
        // It knows nothing of before: who still wants to asks anew, and is answered anew.
        self.truth.consents.clear();
        self.truth.met.clear();
        self.truth.void.clear();
    }

    // The daemon around its requests.

    fn client_ticks(&mut self, device: usize) {
        for effect in self.devices[device].requests.poll(self.now) {
            self.carry_out(device, effect, None);
        }
        let alone: HashSet<RequestId> = self.alone(device).map(|(id, _)| id).collect();
        let now = self.now;
        let mut over = Vec::new();
        for (id, session) in &mut self.devices[device].sessions {
            if !alone.contains(id) {
                session.alone = None;
            } else if now - *session.alone.get_or_insert(now) >= AWAY {
                over.push(*id);
            }
        }
        for id in over {
            self.devices[device].sessions.remove(&id);
        }
        if self.devices[device].sessions.values().any(|s| s.alone.is_some_and(|since| now - since > HEARTBEAT)) {
            self.wrong(format!("device {device} has a session alone for too long"));
        }
    }

    fn client_hears(&mut self, device: usize, down: Down) {
        let now = self.now;
        let mine = &mut self.devices[device];
        match down {
            Down::Welcome => {
                mine.greeted = true;
                let effects = mine.requests.handle_welcome(now);
                self.say_withdrawn(device);
                for effect in effects {
                    self.carry_out(device, effect, None);
                }
            }
            Down::Asked(id, Ok(asked)) => {
                if asked.id != id {
                    self.outcome.crossed += 1;
                    let theirs = self.devices[device].requests.handle_answered(&asked.id, true);
                    self.carry_all(device, theirs, None);
                }
                let accepted = asked.open.is_some();
                let effect = self.devices[device].requests.handle_asked(now, &id, asked.expires_in_ms, accepted);
                self.carry_all(device, effect, asked.open);
            }
            Down::Asked(id, Err(code)) => {
                let effect = mine.requests.handle_refused(&id, code);
                self.carry_all(device, effect, None);
            }
            Down::Answered(id, accept, Ok(open)) => {
                let effect = mine.requests.handle_answered(&id, accept);
                self.carry_all(device, effect, open);
            }
            Down::Answered(id, _, Err(code)) => {
                let effect = mine.requests.handle_answer_refused(&id, code);
                self.carry_all(device, effect, None);
            }
            Down::Notice(notice) => self.client_is_told(device, notice),
        }
    }

    fn client_is_told(&mut self, device: usize, notice: Notice<usize, usize>) {
        let Notice { id, peer, what, .. } = notice;
        let number = what.number();
        let (ttl, open) = match what {
            What::Request { expires_in_ms, .. } => (expires_in_ms, None),
            What::Accepted(open) => (0, Some(open)),
            _ => (0, None),
        };
        let effect = self.devices[device].requests.handle_notice(self.now, number, id, name(peer), "", ttl);
        let taken_back = [PrivateNotice::WITHDRAWN, PrivateNotice::LEFT].contains(&number);
        if taken_back && self.devices[device].sessions.contains_key(&id) {
            // Taken back before it began.
            self.end_session(device, id);
        }
        self.carry_all(device, effect, open);
    }

    fn carry_all(&mut self, device: usize, effect: Option<Effect>, open: Option<Open<usize, usize>>) {
        if let Some(effect) = effect {
            self.carry_out(device, effect, open);
        }
    }

    fn carry_out(&mut self, device: usize, effect: Effect, open: Option<Open<usize, usize>>) {
        let key = {
            let (logins, epoch) = (self.devices[device].logins, self.epoch);
            move |id| (device, logins, epoch, id)
        };
        match effect {
            Effect::Ask(request) if self.devices[device].greeted => {
                self.devices[device].up.push_back(Up::Ask(request.id, number(&request.peer)));
            }
            Effect::Answer { id, accept } if self.devices[device].greeted => {
                self.devices[device].up.push_back(Up::Answer(id, accept));
            }
            // Said with the next WELCOME.
            Effect::Ask(_) | Effect::Answer { .. } => {}
            Effect::Came(request) => {
                let again = !self.truth.came.insert(key(request.id));
                // A server that restarted knows not what is over: who was given up may be heard of again, then ends again.
                if again && self.epoch == 0 {
                    self.wrong(format!("device {device} is asked twice"));
                }
                self.truth.over.remove(&key(request.id));
            }
            Effect::Over(request, state) => {
                if !self.truth.over.insert(key(request.id)) {
                    self.wrong(format!("device {device} is told twice of an end"));
                }
                if let (RequestState::Accepted, Some(open)) = (state, open) {
                    self.begin_session(device, open);
                }
            }
        }
    }

    fn begin_session(&mut self, device: usize, open: Open<usize, usize>) {
        let peer = open.account;
        for effect in self.devices[device].requests.handle_joined(name(peer)) {
            if let Effect::Over(request, _) = &effect
                && request.dir == Direction::Out
            {
                self.devices[device].withdrawn.push(request.id);
            }
            self.carry_out(device, effect, None);
        }
        self.say_withdrawn(device);
        let old: Vec<RequestId> = self.devices[device]
            .sessions
            .iter()
            .filter(|(_, session)| account(session.device) == peer)
            .map(|(id, _)| *id)
            .collect();
        old.into_iter().for_each(|id| self.end_session(device, id));
        self.outcome.sessions += u64::from(open.asker);
        if self.devices[open.device].ended.contains(&open.id) {
            return;
        }
        self.devices[device].sessions.insert(open.id, Session { device: open.device, alone: None });
    }

    fn say_withdrawn(&mut self, device: usize) {
        let mine = &mut self.devices[device];
        if mine.greeted {
            mine.up.extend(mine.withdrawn.drain(..).map(Up::Cancel));
        }
    }

    // The server around its broker.

    fn server_ticks(&mut self) {
        for device in 0..DEVICES {
            if self.seen[device].dead_at.is_some_and(|at| at <= self.now) {
                self.seen[device] = Seen::default();
                if !self.is_live(account(device)) {
                    self.grace[account(device)] = Some(self.now + GRACE);
                }
            }
        }
        for who in 0..ACCOUNTS {
            if self.grace[who].is_some_and(|until| until <= self.now) {
                self.grace[who] = None;
                self.gone(who);
            }
        }
        if self.bug != Bug::NoTime {
            self.broker.handle_time(self.time());
        }
        self.tell();
    }

    /// The time that the broker is told.
    fn time(&self) -> u64 {
        if self.bug == Bug::NoTime { 1_000 } else { self.now }
    }

    fn is_live(&self, who: usize) -> bool {
        (0..DEVICES).any(|device| account(device) == who && self.seen[device].live)
    }

    fn gone(&mut self, who: usize) {
        if self.bug != Bug::DepartureForgotten {
            self.broker.handle_gone(who, self.time());
        }
        let met = &self.truth.met;
        self.truth
            .consents
            .retain(|(device, to, id, _)| met.contains_key(id) || (account(*device) != who && *to != who));
    }

    fn server_hears(&mut self, device: usize, up: Up) {
        let (who, now) = (account(device), self.time());
        match up {
            Up::Hello(run) => {
                self.seen[device] = Seen { live: true, dead_at: None };
                self.grace[who] = None;
                self.devices[device].down.push_back(Down::Welcome);
                if self.bug != Bug::NewcomerUntold {
                    self.broker.handle_opened_session(who, device, run, now);
                }
            }
            Up::Ask(id, to) => self.server_is_asked(device, id, to),
            Up::Answer(id, accept) => self.server_is_answered(device, id, accept),
            Up::Cancel(id) => {
                if self.bug != Bug::CancelForgotten {
                    // Of one that is long over nothing is known.
                    let _ = self.broker.handle_cancel(id, who, now);
                }
                self.truth.void.insert(id);
            }
            Up::Block(other, on) => {
                if on {
                    self.blocks.insert((who, other));
                    if self.bug != Bug::BlockForgotten {
                        self.broker.handle_blocked(who, other, now);
                    }
                    let (met, pair) = (&self.truth.met, [who, other]);
                    self.truth.consents.retain(|(device, to, id, _)| {
                        met.contains_key(id) || !(pair.contains(&account(*device)) && pair.contains(to))
                    });
                } else {
                    self.blocks.remove(&(who, other));
                }
            }
            Up::Logout => {
                self.seen[device] = Seen::default();
                let own = self.truth.consents.iter().filter(|(by, ..)| *by == device).map(|(_, _, id, _)| *id);
                self.truth.void.extend(own);
                if !self.is_live(who) {
                    self.grace[who] = None;
                    self.gone(who);
                }
                if self.bug != Bug::DepartureForgotten {
                    self.broker.handle_device_gone(who, device, now);
                }
                let mine = &mut self.devices[device];
                (mine.linked, mine.greeted) = (false, false);
                mine.up.clear();
                mine.down.clear();
            }
        }
        self.tell();
    }

    fn server_is_asked(&mut self, device: usize, id: RequestId, to: usize) {
        let (who, now) = (account(device), self.time());
        let standing = Standing {
            blocked: self.blocks.contains(&(to, who)),
            blocking: self.blocks.contains(&(who, to)),
            online: self.is_live(to) || self.grace[to].is_some(),
        };
        let ask = Ask { id, from: self.party(device), to, note: String::new(), ttl_ms: 0 };
        let known = self.broker.knows(&id, who, device);
        let done = self.broker.handle_ask(ask, standing, TERMS, now);
        if let Ok(asked) = &done
            && !known
            && !self.truth.met.contains_key(&id)
        {
            if standing != (Standing { online: true, ..Standing::default() }) {
                self.wrong(format!("asked though {standing:?}"));
            }
            self.truth.consents.push((device, to, id, self.now + TERMS.ttl_ms));
            if let Some(open) = &asked.open {
                // Both asked: each had consented.
                self.truth.consents.push((device, to, open.id, self.now + TERMS.ttl_ms));
            } else if self.bug == Bug::NobodyIsAsked {
                let other = self.party((to * 2 + 1) % DEVICES);
                let _ = self.broker.handle_accept(id, other, TERMS, now);
            }
        }
        if let Some((at, _)) = self.truth.met.get(&id).copied()
            && self.now - at < AWAY
            && !self.truth.void.contains(&id)
            && self.broker.knows(&id, who, device)
        {
            let told = self.bug != Bug::YesForgotten && matches!(&done, Ok(Asked { open: Some(_), .. }));
            if !told {
                self.wrong(format!("device {device} asks again and is not told that it was accepted: {done:?}"));
            }
        }
        let done = done.map_err(|fault: Fault| fault.code);
        if let Ok(Asked { open: Some(open), .. }) = &done {
            self.hand_out(device, &open.clone());
        }
        self.devices[device].down.push_back(Down::Asked(id, done));
    }

    fn server_is_answered(&mut self, device: usize, id: RequestId, accept: bool) {
        let (who, now) = (account(device), self.time());
        let asker = self.truth.consents.iter().find(|(_, to, of, _)| *of == id && *to == who).map(|c| account(c.0));
        if accept && let Some(asker) = asker {
            self.truth.consents.push((device, asker, id, u64::MAX));
        }
        let taken = accept || self.bug == Bug::NoIsYes;
        let mut done = if taken {
            self.broker.handle_accept(id, self.party(device), TERMS, now).map(Some)
        } else {
            self.broker.handle_decline(id, who, device, now).map(|()| None)
        };
        if self.bug == Bug::SecondYesWins
            && done.is_err()
            && let (Some((_, first)), Some(asker)) = (self.truth.met.get(&id).copied(), asker)
            && account(first) == who
        {
            let asking = self.truth.consents.iter().find(|c| c.2 == id && account(c.0) == asker).map(|c| c.0);
            let open = asking.map(|asking| Open {
                id,
                account: asker,
                device: asking,
                endpoint: self.party(asking).endpoint,
                own: Vec::new(),
                asker: false,
            });
            done = Ok(open);
        }
        if !accept && done.is_ok() && self.bug != Bug::NoIsYes {
            self.truth.void.insert(id);
        }
        if let Ok(Some(open)) = &done {
            self.hand_out(device, &open.clone());
        }
        let done = done.map_err(|fault| fault.code);
        self.devices[device].down.push_back(Down::Answered(id, accept, done));
    }

    fn party(&self, device: usize) -> Party<usize, usize> {
        let endpoint = PeerEndpoint { addresses: vec![address(device)], ..PeerEndpoint::default() };
        Party { account: account(device), device, run: self.devices[device].run, endpoint }
    }

    /// An address leaves the server: both sides must have consented, and not thought better of it.
    fn hand_out(&mut self, to: usize, open: &Open<usize, usize>) {
        if open.endpoint.addresses != [address(open.device)] || account(open.device) != open.account {
            self.wrong(format!("device {to} is given the address of somebody else"));
        }
        let asked_side = if open.asker { open.device } else { to };
        let first = self.truth.met.get(&open.id).copied();
        if let Some((_, first)) = first {
            if first != asked_side {
                self.wrong(format!("devices {first} and {asked_side} both have the session"));
            }
            return;
        }
        let now = self.now;
        let consents = &self.truth.consents;
        let consented = |device: usize, towards: usize| {
            consents.iter().any(|(d, t, id, until)| (*d, *t, *id) == (device, towards, open.id) && now < *until)
        };
        if !consented(to, open.account) || !consented(open.device, account(to)) {
            self.wrong(format!("device {to} is given the address of {} without consent", open.device));
        }
        if self.truth.void.contains(&open.id) {
            self.wrong(format!("device {to} is given an address of a request that was over"));
        }
        self.truth.met.insert(open.id, (now, asked_side));
    }

    /// Passes on what the broker has to tell, to those who are here.
    fn tell(&mut self) {
        while let Some(notice) = self.broker.poll_notice() {
            let whom: Vec<usize> = (0..DEVICES)
                .filter(|device| match notice.to {
                    Whom::Device(_, only) => *device == only,
                    Whom::Account(who, save) => account(*device) == who && Some(*device) != save,
                })
                .filter(|device| self.seen[*device].live)
                .collect();
            let untold = match notice.what {
                What::Answered => self.bug == Bug::AnsweredUntold,
                What::Accepted(_) => self.bug == Bug::AcceptedUntold,
                _ => false,
            };
            for device in whom {
                if let What::Accepted(open) = &notice.what {
                    self.hand_out(device, &open.clone());
                }
                // A dead link swallows it.
                if untold || self.seen[device].dead_at.is_some() || !self.devices[device].linked {
                    continue;
                }
                for _ in 0..if self.bug == Bug::ToldTwice { 2 } else { 1 } {
                    self.once(device, &notice);
                    self.devices[device].down.push_back(Down::Notice(notice.clone()));
                }
            }
        }
    }

    /// Nobody is told the same twice, save of open requests when he comes.
    fn once(&mut self, device: usize, notice: &Notice<usize, usize>) {
        let key = (device, self.devices[device].logins, self.epoch, notice.id, notice.what.number());
        if !matches!(notice.what, What::Request { .. }) && !self.truth.told.insert(key) {
            self.wrong(format!("device {device} is told twice: {notice:?}"));
        }
    }
}

//! The deterministic simulator: a server and five accounts of two devices, their disks, links and crashes, in virtual time
//! from one seed. Hosts are thin shells around the machines of `chat_proto::machine`; [`truth`] is the checker.

pub mod client;
pub mod disk;
pub mod link;
pub mod server;
pub mod truth;
pub mod world;

use std::collections::BTreeMap;

use link::{ConnId, Down, Links, Side, Up};
use truth::Truth;

pub const ACCOUNTS: usize = 5;
pub const DEVICES: usize = 10;

/// Whose device it is.
pub fn account(dev: usize) -> usize {
    dev / 2
}

/// To whom a message goes; an account that does not exist is one from [`ACCOUNTS`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Account(usize),
    All,
}

pub fn h8(to: To, body: u64) -> u64 {
    let to = match to {
        To::Account(a) => a as u64,
        To::All => u64::MAX,
    };
    Rng(body ^ to.rotate_left(32)).next()
}

/// What is planted into the shells, to see the checker find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// The server answers before its commit is durable.
    AckBeforeCommit,
    /// A repeated entry is taken again.
    NoDedupe,
    /// The server serves before what a crash left visible is durable.
    NoServerCheckpoint,
    /// The same on a client.
    NoClientCheckpoint,
    /// A client acknowledges what is not in its history yet.
    AckBeforeHistory,
    /// The cursor is committed before the entry.
    CursorBeforeHistory,
    /// A session that is woken while it reads does not read again.
    LostWakeUp,
    /// A restarted client goes on in its old stream.
    StreamReused,
    /// A duplicate is answered from a batch that is not durable.
    DuplicateFromOpenBatch,
    /// The window moves before the verdict is on the client's disk.
    SettledBeforeCommit,
    /// A refusal is answered but not recorded.
    RefusalForgotten,
    /// A restarted client sends its newest stream first.
    NewestStreamFirst,
    /// A full window makes the server skip entries.
    SkipsWhenFull,
    /// A client takes deliveries that do not continue its chain.
    NoPrevCheck,
    /// A server start goes on with the positions of the one before.
    NoNewEpoch,
    /// A client does not offer again what a restored server lost.
    NoReoffer,
    /// A client that is told to wait never tries again.
    TryLaterForgotten,
    /// A client that is told of a gap goes on as if nothing were missing.
    GapForgotten,
    /// A client greets while a commit is on its way.
    HelloWhileWriting,
}

impl Bug {
    pub const PLANTED: [Bug; 19] = [
        Bug::AckBeforeCommit,
        Bug::NoDedupe,
        Bug::NoServerCheckpoint,
        Bug::NoClientCheckpoint,
        Bug::AckBeforeHistory,
        Bug::CursorBeforeHistory,
        Bug::LostWakeUp,
        Bug::StreamReused,
        Bug::DuplicateFromOpenBatch,
        Bug::SettledBeforeCommit,
        Bug::RefusalForgotten,
        Bug::NewestStreamFirst,
        Bug::SkipsWhenFull,
        Bug::NoPrevCheck,
        Bug::NoNewEpoch,
        Bug::NoReoffer,
        Bug::TryLaterForgotten,
        Bug::GapForgotten,
        Bug::HelloWhileWriting,
    ];
}

/// The only source of chance: splitmix64.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A host with a disk and a power switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    Server,
    Client(usize),
}

/// How a host stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// kill -9: what is visible survives.
    Kill,
    /// Only what is durable survives, and some of the rest.
    PowerCut,
    /// Like a power cut, and an old copy is put back.
    Restore,
}

/// Something happens at its time.
#[derive(Clone, Debug)]
pub enum Event {
    Up(ConnId, Up),
    Down(ConnId, Down),
    HangUp(ConnId, Side),
    Synced(Host, u64),
    Boot(Host),
    Connect(usize, u64),
    Wake(usize, u64),
    Read(ConnId, u64, u64),
    Queue(usize, To, u64),
    Cancel(usize),
    Cut(usize),
    Stop(Host, Stop),
    /// The host's next commit is interrupted.
    StopInCommit(Host, Stop),
    Copy(Host),
    Full(Host, bool),
    /// No more faults from here on.
    Calm,
}

/// What all hosts share: time, chance, links, and the checker.
pub struct Ctx {
    pub now: u64,
    pub rng: Rng,
    pub bug: Bug,
    pub links: Links,
    pub truth: Truth,
    pub calm: bool,
    events: BTreeMap<(u64, u64), Event>,
    counter: u64,
    armed: Vec<(Host, Stop)>,
}

impl Ctx {
    pub fn at(&mut self, at: u64, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    pub fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    /// A host's commit is visible; its sync ends later, unless the host ends before.
    pub fn commit_begun(&mut self, host: Host, boot: u64) {
        let slow = if self.rng.chance(8) { 250 } else { 8 };
        let delay = 1 + self.rng.below(slow);
        self.after(delay, Event::Synced(host, boot));
        if let Some(index) = self.armed.iter().position(|(h, _)| *h == host) {
            let (_, stop) = self.armed.remove(index);
            let within = self.rng.below(delay);
            self.after(within, Event::Stop(host, stop));
        }
    }
}

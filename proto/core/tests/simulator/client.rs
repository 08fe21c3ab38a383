//! A client host: outbox and history on one disk, one commit at a time, the machines `outbox` and `inbox` in memory.

use std::collections::{BTreeMap, VecDeque};

use chat_proto::fault::Code;
use chat_proto::id::{Incarnation, Position};
use chat_proto::machine::hello::{Epoch, Epochs};
use chat_proto::machine::inbox::{Follower, Taken};
use chat_proto::machine::outbox::{Entry, Outbox, Remembered, Reoffer, Settle, Transmit};
use chat_proto::machine::stream::is_new;

use super::disk::Disk;
use super::link::{ConnId, Deliver, Down, Side, Up};
use super::{Bug, Ctx, Event, Host, To, h8};

/// A message of this device's own.
#[derive(Clone, Debug)]
pub struct Out {
    pub inc: Incarnation,
    pub cseq: u64,
    pub to: To,
    pub body: u64,
    pub void: bool,
    pub verdict: Option<Code>,
    pub position: Option<Position>,
}

/// What a client keeps.
#[derive(Clone, Debug, Default)]
pub struct ClientDb {
    /// Streams in the order of their creation.
    pub streams: Vec<Incarnation>,
    pub out: Vec<Out>,
    pub history: Vec<Deliver>,
    pub cursor: Option<Position>,
    pub highest: BTreeMap<(usize, u64), u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Queue(To, u64),
    Cancel(Incarnation, u64),
    Settle(Settle),
    Deliver(ConnId, Deliver),
    /// Only with a planted bug: history behind its cursor.
    Late(Deliver),
}

/// What follows a commit.
#[derive(Clone, Debug)]
enum Done {
    Queued(Out),
    Cancelled(Incarnation, u64),
    Settled(Settle, Option<u64>),
    Delivered(ConnId, Position, bool),
}

/// A client host.
#[derive(Debug, Default)]
pub struct Client {
    pub dev: usize,
    pub disk: Disk<ClientDb>,
    pub copy: Option<ClientDb>,
    pub up: bool,
    pub boot: u64,
    pub full: bool,
    outbox: Outbox,
    follower: Option<Follower>,
    pub conn: Option<ConnId>,
    inc: u64,
    cseq: u64,
    pending: VecDeque<Change>,
    committing: Option<Vec<Done>>,
    /// Deliveries were dropped because the disk is full.
    ignored: bool,
    reopen: Option<usize>,
    wake_at: Option<u64>,
}

fn entry(out: &Out) -> Entry {
    Entry { cseq: out.cseq, size: 100, h8: h8(out.to, out.body), void: out.void }
}

impl Client {
    pub fn new(dev: usize) -> Client {
        Client { dev, ..Client::default() }
    }

    fn host(&self) -> Host {
        Host::Client(self.dev)
    }

    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.committing.is_none()
    }

    /// The process is gone; the disk is the caller's matter.
    pub fn die(&mut self, ctx: &mut Ctx) {
        if let Some(conn) = self.conn.take() {
            ctx.drop_end(conn, Side::Client);
        }
        let Client { dev, disk, copy, full, boot, .. } = std::mem::take(self);
        *self = Client { dev, disk, copy, full, boot: boot + 1, ..Client::default() };
    }

    pub fn boot(&mut self, ctx: &mut Ctx) {
        if self.up {
            return;
        }
        self.up = true;
        if ctx.bug != Bug::NoClientCheckpoint {
            self.disk.sync();
        }
        self.inc = ctx.rng.next();
        self.cseq = 0;
        if ctx.bug == Bug::StreamReused
            && let Some(inc) = self.disk.read().streams.last()
        {
            self.inc = inc.0;
            self.cseq = self.disk.read().out.iter().filter(|o| o.inc == *inc).map(|o| o.cseq).max().unwrap_or(0);
        }
        self.load(ctx);
        let delay = ctx.rng.below(40);
        ctx.after(delay, Event::Connect(self.dev, self.boot));
    }

    /// Fills the outbox from the disk: from the newest finished stream on, which the server may know as the newest.
    fn load(&mut self, ctx: &Ctx) {
        let db = self.disk.read();
        let is_open = |inc: &Incarnation| db.out.iter().any(|o| o.inc == *inc && o.verdict.is_none());
        let first_open = db.streams.iter().position(is_open).unwrap_or(db.streams.len());
        let from = first_open.saturating_sub(1).min(self.reopen.take().unwrap_or(usize::MAX));
        let mut streams: Vec<Incarnation> = db.streams[from..].to_vec();
        if ctx.bug == Bug::NewestStreamFirst {
            streams.reverse();
        }
        self.outbox = Outbox::default();
        for inc in streams {
            let mine = || db.out.iter().filter(|o| o.inc == inc);
            let open: Vec<Entry> = mine().filter(|o| o.verdict.is_none()).map(entry).collect();
            let top = mine().map(|o| o.cseq).max().unwrap_or(0);
            let settled = open.first().map_or(top, |e| e.cseq - 1);
            self.outbox.restore(inc, settled, open);
        }
    }

    pub fn connect(&mut self, ctx: &mut Ctx, server_up: bool) {
        if !self.up || self.conn.is_some() {
            return;
        }
        // HELLO tells what is on the disk: nothing may be on its way there.
        let idle = self.is_idle() || ctx.bug == Bug::HelloWhileWriting;
        if !server_up || !idle || (self.full && self.ignored) {
            return self.reconnect(ctx);
        }
        if self.reopen.is_some() {
            self.load(ctx);
        }
        self.ignored = false;
        let conn = ctx.connect(self.dev);
        self.conn = Some(conn);
        let streams = self.outbox.streams().map(|s| s.0).collect();
        ctx.send_up(conn, Up::Hello { streams, cursor: self.disk.read().cursor });
    }

    fn reconnect(&mut self, ctx: &mut Ctx) {
        let delay = 5 + ctx.rng.below(60);
        ctx.after(delay, Event::Connect(self.dev, self.boot));
    }

    pub fn hang_up(&mut self, ctx: &mut Ctx) {
        if let Some(conn) = self.conn.take() {
            ctx.drop_end(conn, Side::Client);
            self.outbox.handle_disconnected();
            self.follower = None;
            self.reconnect(ctx);
        }
    }

    /// The user's wishes.
    pub fn queue(&mut self, ctx: &mut Ctx, to: To, body: u64) {
        if self.up {
            self.pending.push_back(Change::Queue(to, body));
            self.poke(ctx);
        }
    }

    pub fn cancel(&mut self, ctx: &mut Ctx) {
        let open: Vec<_> = self.disk.read().out.iter().filter(|o| o.verdict.is_none() && !o.void).collect();
        if self.up && !open.is_empty() {
            let out = open[ctx.rng.below(open.len() as u64) as usize];
            self.pending.push_back(Change::Cancel(out.inc, out.cseq));
            self.poke(ctx);
        }
    }

    pub fn room_again(&mut self, ctx: &mut Ctx) {
        let was = std::mem::take(&mut self.full);
        if was && self.ignored {
            // The next delivery shows the hole in the chain; when none comes, a new session does.
            let delay = 20 + ctx.rng.below(100);
            ctx.after(delay, Event::Full(self.host(), false));
        } else if self.ignored {
            self.hang_up(ctx);
        }
    }

    pub fn receive(&mut self, ctx: &mut Ctx, conn: ConnId, frame: Down) {
        if self.conn != Some(conn) {
            return;
        }
        match frame {
            Down::Welcome { streams, cursor, copy, epochs, .. } => {
                if copy && !ctx.truth.set_back(self.dev) {
                    ctx.truth.wrong(format!("device {}: false alarm of an old copy", self.dev));
                }
                self.welcome(ctx, &streams, cursor, epochs);
            }
            Down::Verdict { inc, cseq, code, position, stored } => {
                if let Some(settle) = self.outbox.handle_verdict(inc, cseq, code, position, stored) {
                    self.settle(ctx, settle);
                }
            }
            Down::Gap { inc, .. } => {
                if ctx.bug != Bug::GapForgotten {
                    self.outbox.handle_gap(ctx.now, inc);
                }
            }
            Down::TryLater { after_ms } => {
                if ctx.bug != Bug::TryLaterForgotten {
                    self.outbox.handle_try_later(ctx.now, after_ms);
                }
            }
            Down::Deliver(deliver) => self.deliver(ctx, conn, deliver),
            Down::Bye => self.hang_up(ctx),
        }
        self.poke(ctx);
    }

    fn settle(&mut self, ctx: &Ctx, settle: Settle) {
        if ctx.bug == Bug::SettledBeforeCommit {
            self.outbox.handle_settled(settle.incarnation, settle.cseq);
        }
        self.pending.push_back(Change::Settle(settle));
    }

    fn welcome(&mut self, ctx: &mut Ctx, remembered: &[Remembered], cursor: Position, epochs: Vec<Epoch>) {
        let epochs = Epochs(epochs);
        let db = self.disk.read();
        let named = |inc: &Incarnation| remembered.iter().any(|r| r.incarnation == *inc);
        let lost = |o: &&Out| o.position.is_some_and(|p| !epochs.knows(p)) && o.to != To::All && !named(&o.inc);
        if ctx.bug != Bug::NoReoffer
            && let Some(out) = db.out.iter().find(lost)
        {
            // The server was set back behind a finished stream: name that one too.
            self.reopen = db.streams.iter().position(|inc| *inc == out.inc);
            return self.hang_up(ctx);
        }
        let (settles, forgotten) = self.outbox.handle_welcome(remembered);
        for reoffer in forgotten {
            let entries = self.offer_again(ctx, reoffer);
            self.outbox.handle_reoffer(reoffer, entries);
        }
        for settle in settles {
            self.settle(ctx, settle);
        }
        self.follower = Some(Follower::start(cursor));
    }

    fn offer_again(&self, ctx: &Ctx, reoffer: Reoffer) -> Vec<Entry> {
        let db = self.disk.read();
        let lost =
            db.out.iter().filter(|o| o.inc == reoffer.incarnation && (reoffer.first..=reoffer.last).contains(&o.cseq));
        lost.map(|o| {
            let again = o.verdict == Some(Code::ACCEPTED) && o.to != To::All && ctx.bug != Bug::NoReoffer;
            Entry { void: !again, ..entry(o) }
        })
        .collect()
    }

    fn deliver(&mut self, ctx: &mut Ctx, conn: ConnId, deliver: Deliver) {
        if self.full {
            // No room: it stays on the server, unacknowledged; the chain shows what is missing.
            self.ignored = true;
            return;
        }
        let Some(follower) = &mut self.follower else { return };
        let taken = match ctx.bug {
            Bug::NoPrevCheck => Taken::Keep,
            _ => follower.handle_deliver(deliver.prev, deliver.position),
        };
        match taken {
            Taken::Keep => {
                if ctx.bug == Bug::AckBeforeHistory {
                    follower.handle_committed(ctx.now, deliver.position, 1, true);
                }
                self.pending.push_back(Change::Deliver(conn, deliver));
            }
            Taken::Fetch(from) => ctx.send_up(conn, Up::Fetch(from)),
            Taken::Ignore => {}
        }
    }

    fn begin_commit(&mut self, ctx: &mut Ctx) {
        if !self.up || self.committing.is_some() || self.pending.is_empty() {
            return;
        }
        if self.full {
            // `message` fails, nothing is queued; what came stays on the server.
            self.pending.clear();
            self.ignored = true;
            // A verdict that could not be kept is not known: the outbox comes from the disk again.
            self.reopen = Some(usize::MAX);
            return self.hang_up(ctx);
        }
        let mut db = self.disk.read().clone();
        let changes: Vec<Change> = self.pending.drain(..).collect();
        let done = changes.into_iter().filter_map(|change| self.apply(ctx, &mut db, change)).collect();
        self.committing = Some(done);
        self.disk.commit(db);
        ctx.commit_begun(self.host(), self.boot);
    }

    fn apply(&mut self, ctx: &mut Ctx, db: &mut ClientDb, change: Change) -> Option<Done> {
        match change {
            Change::Queue(to, body) => {
                self.cseq += 1;
                let inc = Incarnation(self.inc);
                if db.streams.last() != Some(&inc) {
                    db.streams.push(inc);
                }
                let out = Out { inc, cseq: self.cseq, to, body, void: false, verdict: None, position: None };
                ctx.truth.attempted(self.dev, &out);
                db.out.push(out.clone());
                Some(Done::Queued(out))
            }
            Change::Cancel(inc, cseq) => {
                let out = db.out.iter_mut().find(|o| (o.inc, o.cseq) == (inc, cseq) && o.verdict.is_none())?;
                out.void = true;
                Some(Done::Cancelled(inc, cseq))
            }
            Change::Settle(settle) => {
                let out = db.out.iter_mut().find(|o| (o.inc, o.cseq) == (settle.incarnation, settle.cseq))?;
                let fresh = out.verdict.is_none();
                out.verdict.get_or_insert(settle.code);
                out.position = settle.position.filter(|_| settle.code == Code::ACCEPTED);
                Some(Done::Settled(settle, fresh.then_some(out.body)))
            }
            Change::Deliver(conn, deliver) => {
                db.cursor = Some(deliver.position);
                if ctx.bug == Bug::CursorBeforeHistory {
                    self.pending.push_back(Change::Late(deliver));
                } else {
                    remember(ctx, db, deliver);
                }
                Some(Done::Delivered(conn, deliver.position, deliver.ack_now))
            }
            Change::Late(deliver) => {
                remember(ctx, db, deliver);
                None
            }
        }
    }

    /// The commit is durable: now it is told.
    pub fn synced(&mut self, ctx: &mut Ctx) {
        self.disk.sync();
        for done in self.committing.take().unwrap_or_default() {
            match done {
                Done::Queued(out) => {
                    ctx.truth.queued(self.dev, &out);
                    self.outbox.handle_queued(out.inc, entry(&out));
                }
                Done::Cancelled(inc, cseq) => {
                    self.outbox.handle_cancel(inc, cseq);
                }
                Done::Settled(settle, told) => {
                    if let Some(body) = told {
                        ctx.truth.told(self.dev, body, settle);
                    }
                    self.outbox.handle_settled(settle.incarnation, settle.cseq);
                }
                Done::Delivered(conn, position, ack_now) => {
                    if let Some(follower) = self.follower.as_mut().filter(|_| self.conn == Some(conn))
                        && ctx.bug != Bug::AckBeforeHistory
                    {
                        follower.handle_committed(ctx.now, position, 1, ack_now);
                    }
                }
            }
        }
        self.poke(ctx);
    }

    pub fn woken(&mut self, ctx: &mut Ctx) {
        self.wake_at = None;
        self.poke(ctx);
    }

    /// Does what the machines want done.
    fn poke(&mut self, ctx: &mut Ctx) {
        self.begin_commit(ctx);
        let Some(conn) = self.conn else { return };
        while let Some(transmit) = self.outbox.poll_transmit(ctx.now) {
            self.transmit(ctx, conn, transmit);
        }
        let ack = self.follower.as_mut().and_then(|f| f.poll_ack(ctx.now));
        if let Some(position) = ack {
            ctx.send_up(conn, Up::Ack(position));
        }
        let ack_at = self.follower.as_ref().and_then(Follower::poll_timeout);
        if let Some(at) = self.outbox.poll_timeout().into_iter().chain(ack_at).min()
            && self.wake_at.is_none_or(|w| at < w)
        {
            self.wake_at = Some(at);
            ctx.at(at.max(ctx.now), Event::Wake(self.dev, self.boot));
        }
    }

    fn transmit(&self, ctx: &mut Ctx, conn: ConnId, transmit: Transmit) {
        let frame = match transmit {
            Transmit::Send { incarnation: inc, cseq, .. } => {
                let Some(out) = self.disk.read().out.iter().find(|o| (o.inc, o.cseq) == (inc, cseq)) else {
                    return ctx.truth.wrong(format!("device {}: {inc:?} {cseq} has no body", self.dev));
                };
                Up::Send { inc, cseq, to: out.to, body: out.body, h8: h8(out.to, out.body) }
            }
            Transmit::Void { incarnation: inc, cseq } => Up::Void { inc, cseq },
        };
        ctx.send_up(conn, frame);
    }

    /// What is left to do, when all should be done.
    pub fn open_count(&self) -> usize {
        self.disk.read().out.iter().filter(|o| o.verdict.is_none()).count() + self.outbox.open_count()
    }
}

/// Entry, cursor and highest place in one transaction.
fn remember(ctx: &Ctx, db: &mut ClientDb, deliver: Deliver) {
    let highest = db.highest.entry((deliver.dev, deliver.inc.0)).or_default();
    if is_new(*highest, deliver.cseq) || ctx.bug == Bug::NoDedupe {
        *highest = deliver.cseq;
        db.history.push(deliver);
    }
}

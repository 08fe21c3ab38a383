//! The server host: one writer with group commit, the log, and sessions that read it; machines `stream`, `hello`, `Feed`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chat_proto::fault::Code;
use chat_proto::id::{Incarnation, Position};
use chat_proto::machine::hello::{Epoch, Epochs, resume};
use chat_proto::machine::inbox::Feed;
use chat_proto::machine::outbox::Remembered;
use chat_proto::machine::stream::{Decision, Offer, Stream};

use super::disk::Disk;
use super::link::{ConnId, Deliver, Down, Side, Up};
use super::{ACCOUNTS, Bug, Ctx, DEVICES, Event, Host, To, account};

/// An accepted message that some device still lacks.
#[derive(Clone, Debug)]
pub struct Row {
    pub dev: usize,
    pub inc: Incarnation,
    pub cseq: u64,
    pub to: To,
    pub body: u64,
    /// Accounts in whose inbox it stands.
    pub parties: u8,
    /// Devices that have not acknowledged it.
    waits: u16,
}

#[derive(Clone, Debug, Default)]
struct DeviceRow {
    acked: u64,
    cursor: u64,
    session_epoch: u64,
    newest: Option<Incarnation>,
}

/// What the server keeps.
#[derive(Clone, Debug, Default)]
pub struct ServerDb {
    next: u64,
    epochs: Epochs,
    pub streams: BTreeMap<(usize, u64), Stream>,
    pub log: BTreeMap<u64, Row>,
    devices: Vec<DeviceRow>,
    /// Account `.0` blocks account `.1`.
    pub blocks: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Session {
    dev: usize,
    epoch: u64,
    feed: Feed,
    reported: u64,
    reading: bool,
    again: bool,
    starved: bool,
}

#[derive(Debug)]
enum Op {
    Frame(ConnId, Up),
    Ack(ConnId, u64, u64),
}

#[derive(Debug)]
enum Effect {
    Down(ConnId, Down),
    Opened(ConnId, usize, u64, u64, Down),
    End(ConnId),
    /// New entries up to here.
    Entries(u64),
}

/// The server host.
#[derive(Debug, Default)]
pub struct Server {
    pub disk: Disk<ServerDb>,
    pub copy: Option<ServerDb>,
    pub up: bool,
    pub boot: u64,
    pub full: bool,
    db: ServerDb,
    queue: VecDeque<Op>,
    committing: Option<Vec<Effect>>,
    /// Entries up to here are committed: sessions may read them.
    top: u64,
    sessions: BTreeMap<ConnId, Session>,
    live: BTreeMap<usize, (ConnId, u64)>,
    gapped: BTreeSet<(ConnId, u64)>,
}

impl Server {
    pub fn new(blocks: Vec<(usize, usize)>) -> Server {
        let mut server = Server::default();
        let devices = vec![DeviceRow::default(); DEVICES];
        server.disk.restore(ServerDb { next: 1, devices, blocks, ..ServerDb::default() });
        server
    }

    pub fn die(&mut self, ctx: &mut Ctx) {
        let conns: Vec<ConnId> = ctx.links.conns.iter().filter(|(_, c)| c.server_open).map(|(id, _)| *id).collect();
        conns.into_iter().for_each(|id| ctx.drop_end(id, Side::Server));
        let Server { disk, copy, full, boot, .. } = std::mem::take(self);
        *self = Server { disk, copy, full, boot: boot + 1, ..Server::default() };
    }

    /// What is visible is made durable, a new epoch is begun, then anyone is served.
    pub fn boot(&mut self, ctx: &mut Ctx) {
        if self.up {
            return;
        }
        self.up = true;
        let checkpoint = ctx.bug != Bug::NoServerCheckpoint;
        if checkpoint {
            self.disk.sync();
        }
        self.db = self.disk.read().clone();
        let (next, epochs) = (self.db.next, &mut self.db.epochs.0);
        if ctx.bug != Bug::NoNewEpoch || epochs.is_empty() {
            let epoch = epochs.last().map_or(1, |e| e.epoch + 1);
            epochs.retain(|e| e.first != next);
            epochs.push(Epoch { epoch, nonce: ctx.rng.next(), first: next });
        }
        self.disk.commit(self.db.clone());
        if checkpoint {
            self.disk.sync();
            ctx.truth.durable(&self.db, ctx.now);
        }
        self.top = next - 1;
    }

    pub fn receive(&mut self, ctx: &mut Ctx, conn: ConnId, frame: Up) {
        if !self.up {
            return;
        }
        match frame {
            Up::Ack(position) => return self.acked(ctx, conn, position),
            Up::Fetch(from) => return self.fetch(ctx, conn, from),
            _ => {}
        }
        if let (Bug::DuplicateFromOpenBatch, Up::Send { inc, cseq, h8, .. }) = (ctx.bug, &frame)
            && self.committing.is_some()
            && let Some(session) = self.sessions.get(&conn)
            && let Some(stream) = self.db.streams.get(&(session.dev, inc.0))
            && let offer @ Offer::Stored(_) = stream.offer(*cseq, *h8)
        {
            let down = self.known(*inc, *cseq, offer);
            return ctx.send_down(conn, down);
        }
        self.queue.push_back(Op::Frame(conn, frame));
        self.round(ctx);
    }

    pub fn lost(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.remove(&conn)
            && self.live.get(&session.dev).is_some_and(|l| l.0 == conn)
        {
            self.live.remove(&session.dev);
        }
    }

    fn acked(&mut self, ctx: &mut Ctx, conn: ConnId, position: Position) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        match session.feed.ack(position.n) {
            Err(code) => ctx.truth.wrong(format!("device {}: ack {position:?}: {code:?}", session.dev)),
            Ok(false) => {}
            Ok(true) => {
                session.reported = session.feed.cursor();
                self.queue.push_back(Op::Ack(conn, session.feed.acked(), session.feed.cursor()));
                if std::mem::take(&mut session.starved) {
                    self.wake(ctx, conn);
                }
                self.round(ctx);
            }
        }
    }

    fn fetch(&mut self, ctx: &mut Ctx, conn: ConnId, from: Position) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        match session.feed.rewind(from.n) {
            Err(code) => ctx.truth.wrong(format!("device {}: fetch {from:?}: {code:?}", session.dev)),
            Ok(()) => self.wake(ctx, conn),
        }
    }

    /// One transaction with all that came meanwhile; nothing is told before it is durable.
    fn round(&mut self, ctx: &mut Ctx) {
        if self.committing.is_some() || self.queue.is_empty() {
            return;
        }
        let (mut effects, mut flush) = (Vec::new(), false);
        for op in std::mem::take(&mut self.queue) {
            match op {
                Op::Ack(conn, acked, cursor) => self.ack(conn, acked, cursor),
                Op::Frame(conn, Up::Hello { streams, cursor }) => {
                    flush |= ctx.bug != Bug::NoServerCheckpoint;
                    self.open(ctx, conn, &streams, cursor, &mut effects);
                }
                Op::Frame(conn, frame) => flush |= self.stream_frame(ctx, conn, frame, &mut effects),
            }
        }
        if !flush {
            return self.tell(ctx, effects);
        }
        effects.push(Effect::Entries(self.db.next - 1));
        self.disk.commit(self.db.clone());
        ctx.commit_begun(Host::Server, self.boot);
        if ctx.bug == Bug::AckBeforeCommit {
            self.tell(ctx, std::mem::take(&mut effects));
        }
        self.committing = Some(effects);
    }

    pub fn synced(&mut self, ctx: &mut Ctx) {
        self.disk.sync();
        ctx.truth.durable(self.disk.durable(), ctx.now);
        let effects = self.committing.take().unwrap_or_default();
        self.tell(ctx, effects);
        self.round(ctx);
    }

    fn tell(&mut self, ctx: &mut Ctx, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Down(conn, down) => ctx.send_down(conn, down),
                Effect::End(conn) => {
                    ctx.send_down(conn, Down::Bye);
                    self.sessions.remove(&conn);
                }
                Effect::Opened(conn, dev, epoch, cursor, welcome) => {
                    ctx.send_down(conn, welcome);
                    let feed = Feed::new(cursor);
                    let session =
                        Session { dev, epoch, feed, reported: cursor, reading: false, again: false, starved: false };
                    self.sessions.insert(conn, session);
                    self.wake(ctx, conn);
                }
                Effect::Entries(top) => {
                    self.top = top;
                    let conns: Vec<ConnId> = self.sessions.keys().copied().collect();
                    conns.into_iter().for_each(|conn| self.wake(ctx, conn));
                }
            }
        }
    }

    fn open(
        &mut self,
        ctx: &mut Ctx,
        conn: ConnId,
        named: &[Incarnation],
        claimed: Option<Position>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(dev) = ctx.links.conns.get(&conn).filter(|c| c.server_open).map(|c| c.dev) else { return };
        let row = &mut self.db.devices[dev];
        row.session_epoch += 1;
        let epoch = row.session_epoch;
        let resume = resume(&self.db.epochs, claimed, row.acked, row.newest, named);
        if let Some((old, _)) = self.live.insert(dev, (conn, epoch)) {
            effects.push(Effect::End(old));
        }
        let cursor = match (resume.restored, claimed) {
            (false, Some(claimed)) => {
                self.seen(dev, claimed.n, claimed.n);
                claimed
            }
            _ => self.db.epochs.position(resume.cursor),
        };
        let streams = named.iter().map(|inc| self.remembered(dev, *inc)).collect();
        let (copy, restored, epochs) = (resume.copy, resume.restored, self.db.epochs.0.clone());
        let welcome = Down::Welcome { streams, cursor, copy, restored, epochs };
        effects.push(Effect::Opened(conn, dev, epoch, resume.cursor, welcome));
    }

    fn remembered(&self, dev: usize, incarnation: Incarnation) -> Remembered {
        let stream = self.db.streams.get(&(dev, incarnation.0)).cloned().unwrap_or_default();
        let position = |d: &Decision| (d.n > 0).then(|| self.db.epochs.position(d.n));
        let decisions = stream.recent().map(|d| (d.h8, Code(d.code), position(d))).collect();
        Remembered { incarnation, last: stream.last(), decisions }
    }

    /// SEND and VOID; answers whether something was written.
    fn stream_frame(&mut self, ctx: &mut Ctx, conn: ConnId, frame: Up, effects: &mut Vec<Effect>) -> bool {
        let Some(session) = self.sessions.get(&conn) else { return false };
        let dev = session.dev;
        if self.live.get(&dev) != Some(&(conn, session.epoch)) {
            effects.push(Effect::End(conn));
            return false;
        }
        let (inc, cseq) = match frame {
            Up::Send { inc, cseq, .. } | Up::Void { inc, cseq } => (inc, cseq),
            _ => return false,
        };
        let stream = self.db.streams.get(&(dev, inc.0)).cloned().unwrap_or_default();
        let offer = match frame {
            Up::Send { h8, .. } => stream.offer(cseq, h8),
            _ => stream.offer_void(cseq),
        };
        if matches!(offer, Offer::Gap { .. }) {
            if self.gapped.insert((conn, inc.0)) {
                effects.push(Effect::Down(conn, self.known(inc, cseq, offer)));
            }
            return false;
        }
        self.gapped.remove(&(conn, inc.0));
        if offer != Offer::Decide {
            effects.push(Effect::Down(conn, self.known(inc, cseq, offer)));
            return false;
        }
        if self.full {
            // Both say that this one and all behind it must come again.
            let again = match ctx.rng.chance(30) {
                true => self.known(inc, cseq, Offer::Gap { last: cseq - 1 }),
                false => Down::TryLater { after_ms: 20 + ctx.rng.below(600) },
            };
            effects.push(Effect::Down(conn, again));
            return false;
        }
        let (code, h8) = match frame {
            Up::Send { to, body, h8, .. } => (self.decide(dev, inc, cseq, to, body), h8),
            _ => (Code::VOID, 0),
        };
        let n = self.db.next;
        self.db.next += 1;
        self.db.devices[dev].newest = Some(inc);
        let n = if code == Code::ACCEPTED { n } else { 0 };
        if code == Code::ACCEPTED || ctx.bug != Bug::RefusalForgotten {
            let stream = self.db.streams.entry((dev, inc.0)).or_default();
            stream.record(Decision { h8, code: code.0, n });
        }
        let position = (n > 0).then(|| self.db.epochs.position(n));
        effects.push(Effect::Down(conn, Down::Verdict { inc, cseq, code, position, stored: false }));
        true
    }

    /// Decides, and appends what is accepted to the log.
    fn decide(&mut self, dev: usize, inc: Incarnation, cseq: u64, to: To, body: u64) -> Code {
        let from = account(dev);
        let blocks = |by: usize| self.db.blocks.contains(&(by, from));
        let mut parties = 1u8 << from;
        match to {
            To::Account(to) if to >= ACCOUNTS => return Code::UNKNOWN_USER,
            To::Account(to) if to == from => return Code::YOURSELF,
            To::Account(to) if blocks(to) => return Code::RECIPIENT_BLOCKED,
            To::Account(to) => parties |= 1 << to,
            To::All => {
                let online = self.live.keys().map(|dev| account(*dev)).filter(|a| !blocks(*a));
                online.for_each(|a| parties |= 1 << a);
            }
        }
        let waits = (0..DEVICES).filter(|d| *d != dev && parties & (1 << account(*d)) != 0);
        let waits = waits.fold(0u16, |set, d| set | 1 << d);
        self.db.log.insert(self.db.next, Row { dev, inc, cseq, to, body, parties, waits });
        Code::ACCEPTED
    }

    fn known(&self, inc: Incarnation, cseq: u64, offer: Offer) -> Down {
        let (code, n) = match offer {
            Offer::Stored(d) => (Code(d.code), d.n),
            Offer::Conflict(d) if Code(d.code) == Code::VOID => (Code::VOID, 0),
            Offer::Conflict(_) => (Code::CONFLICT, 0),
            Offer::Lost => (Code::OUTCOME_LOST, 0),
            Offer::Gap { last } => return Down::Gap { inc, last },
            Offer::Decide => return Down::Gap { inc, last: cseq - 1 },
        };
        let position = (n > 0).then(|| self.db.epochs.position(n));
        Down::Verdict { inc, cseq, code, position, stored: true }
    }

    fn ack(&mut self, conn: ConnId, acked: u64, cursor: u64) {
        if let Some(session) = self.sessions.get(&conn)
            && self.live.get(&session.dev) == Some(&(conn, session.epoch))
        {
            self.seen(session.dev, acked, cursor);
        }
    }

    /// Cursors rise; rows go that nobody lacks.
    fn seen(&mut self, dev: usize, acked: u64, cursor: u64) {
        let row = &mut self.db.devices[dev];
        row.acked = row.acked.max(acked);
        row.cursor = row.cursor.max(cursor);
        let cursor = row.cursor;
        self.db.log.range_mut(..=cursor).for_each(|(_, row)| row.waits &= !(1 << dev));
        self.db.log.retain(|_, row| row.waits != 0);
    }

    /// There may be something new for a session.
    fn wake(&mut self, ctx: &mut Ctx, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.reading {
            session.again = ctx.bug != Bug::LostWakeUp;
            return;
        }
        session.reading = true;
        let delay = ctx.rng.below(6);
        ctx.after(delay, Event::Read(conn, self.boot, self.top));
    }

    /// A page was read as of `top`: it is given, as far as there is room.
    pub fn read(&mut self, ctx: &mut Ctx, conn: ConnId, top: u64) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let (dev, bit) = (session.dev, 1u8 << account(session.dev));
        for (n, row) in self.db.log.range(session.feed.position() + 1..) {
            if *n > top {
                break;
            }
            if row.parties & bit == 0 {
                continue;
            }
            if row.dev == dev {
                session.feed.pass_over(*n);
                continue;
            }
            if !session.feed.has_room() {
                session.starved = true;
                if ctx.bug == Bug::SkipsWhenFull {
                    session.feed.pass_over(*n);
                    continue;
                }
                break;
            }
            let prev = self.db.epochs.position(session.feed.give(*n, 100));
            let deliver = Deliver {
                prev,
                position: self.db.epochs.position(*n),
                ack_now: session.feed.presses(),
                from: account(row.dev),
                dev: row.dev,
                inc: row.inc,
                cseq: row.cseq,
                to: row.to,
                body: row.body,
            };
            ctx.send_down(conn, Down::Deliver(deliver));
        }
        session.reading = false;
        let (acked, cursor) = (session.feed.acked(), session.feed.cursor());
        if cursor > session.reported {
            session.reported = cursor;
            self.queue.push_back(Op::Ack(conn, acked, cursor));
        }
        if std::mem::take(&mut session.again) {
            self.wake(ctx, conn);
        }
        self.round(ctx);
    }
}

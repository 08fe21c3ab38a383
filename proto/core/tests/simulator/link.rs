//! Connections: frames in order, cut anywhere, noticed late or early by either side; what is on the way may still arrive.

use std::collections::BTreeMap;

use chat_proto::fault::Code;
use chat_proto::id::{Incarnation, Position};
use chat_proto::machine::hello::Epoch;
use chat_proto::machine::outbox::Remembered;

use super::{Ctx, Event, To};

/// Never given twice.
pub type ConnId = u64;

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq)]
pub enum Up {
    Hello { streams: Vec<Incarnation>, cursor: Option<Position> },
    Send { inc: Incarnation, cseq: u64, to: To, body: u64, h8: u64 },
    Void { inc: Incarnation, cseq: u64 },
    Ack(Position),
    Fetch(Position),
}

/// An inbox entry on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deliver {
    pub prev: Position,
    pub position: Position,
    pub ack_now: bool,
    pub from: usize,
    pub dev: usize,
    pub inc: Incarnation,
    pub cseq: u64,
    pub to: To,
    pub body: u64,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub enum Down {
    Welcome { streams: Vec<Remembered>, cursor: Position, copy: bool, restored: bool, epochs: Vec<Epoch> },
    Verdict { inc: Incarnation, cseq: u64, code: Code, position: Option<Position>, stored: bool },
    Gap { inc: Incarnation, last: u64 },
    TryLater { after_ms: u64 },
    Deliver(Deliver),
    Bye,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    pub dev: usize,
    pub client_open: bool,
    pub server_open: bool,
    last: [u64; 2],
    /// What would arrive later than this is lost.
    cut: [u64; 2],
}

/// All connections.
#[derive(Clone, Debug, Default)]
pub struct Links {
    pub conns: BTreeMap<ConnId, Conn>,
    next: ConnId,
}

impl Ctx {
    /// A client's connection is open on both sides.
    pub fn connect(&mut self, dev: usize) -> ConnId {
        self.links.next += 1;
        let conn = Conn { dev, client_open: true, server_open: true, last: [0; 2], cut: [u64::MAX; 2] };
        self.links.conns.insert(self.links.next, conn);
        self.links.next
    }

    fn arrival(&mut self, id: ConnId, way: usize) -> Option<u64> {
        let slowest = if self.rng.chance(10) { 60 } else { 8 };
        let delay = 1 + self.rng.below(slowest);
        let now = self.now;
        let conn = self.links.conns.get_mut(&id)?;
        let at = conn.last[way].max(now + delay);
        conn.last[way] = at;
        (at <= conn.cut[way]).then_some(at)
    }

    pub fn send_up(&mut self, id: ConnId, frame: Up) {
        if let Some(at) = self.arrival(id, 0) {
            self.at(at, Event::Up(id, frame));
        }
    }

    pub fn send_down(&mut self, id: ConnId, frame: Down) {
        if !self.links.conns.get(&id).is_some_and(|c| c.server_open) {
            return;
        }
        if let Some(at) = self.arrival(id, 1) {
            self.at(at, Event::Down(id, frame));
        }
    }

    /// Whether a frame that was on its way arrives after all.
    pub fn arrives(&self, id: ConnId, side: Side) -> bool {
        self.links.conns.get(&id).is_some_and(|c| match side {
            Side::Server => c.server_open && self.now <= c.cut[0],
            Side::Client => c.client_open && self.now <= c.cut[1],
        })
    }

    /// The network cuts a connection: each way somewhere, each side notices at its own time.
    pub fn cut(&mut self, id: ConnId) {
        let patience = if self.rng.chance(30) { 800 } else { 30 };
        let (up, down) = (self.now + self.rng.below(20), self.now + self.rng.below(20));
        let (client, server) = (self.now + 1 + self.rng.below(patience), self.now + 1 + self.rng.below(patience));
        if let Some(conn) = self.links.conns.get_mut(&id) {
            conn.cut = [conn.cut[0].min(up), conn.cut[1].min(down)];
            self.at(client, Event::HangUp(id, Side::Client));
            self.at(server, Event::HangUp(id, Side::Server));
        }
    }

    /// One end is gone; what it had sent may still arrive, the other end notices later.
    pub fn drop_end(&mut self, id: ConnId, side: Side) {
        let patience = if self.rng.chance(30) { 800 } else { 30 };
        let sent = self.now + self.rng.below(30);
        let noticed = self.now + 1 + self.rng.below(patience);
        let Some(conn) = self.links.conns.get_mut(&id) else { return };
        let other = match side {
            Side::Client => {
                conn.client_open = false;
                conn.cut[0] = conn.cut[0].min(sent);
                Side::Server
            }
            Side::Server => {
                conn.server_open = false;
                conn.cut[1] = conn.cut[1].min(sent);
                Side::Client
            }
        };
        self.at(noticed, Event::HangUp(id, other));
    }
}

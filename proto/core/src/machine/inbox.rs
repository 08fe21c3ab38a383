//! Receiving: the server's [`Feed`] of one device and the client's [`Follower`] of its inbox (contract rules 3, 4, 12).
//!
//! The feed gives entries within a window and remembers the chain; the follower takes what continues its chain, asks for
//! the rest, and says when to acknowledge.

use std::collections::VecDeque;

use crate::fault::Code;
use crate::id::Position;
use crate::limits::{ACK_DELAY, DELIVER_WINDOW, DELIVER_WINDOW_BYTES};

/// What a device was given of its inbox. Places are those of the server's log.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// The place last given: `prev` of the next entry.
    given: u64,
    /// The place last given or passed over: the next entry is looked for behind it.
    passed: u64,
    acked: u64,
    bytes: usize,
    open: VecDeque<(u64, usize)>,
}

impl Feed {
    /// A feed that goes on behind `cursor`.
    pub fn new(cursor: u64) -> Feed {
        Feed { given: cursor, passed: cursor, acked: cursor, ..Feed::default() }
    }

    /// The place last given or passed over: what comes next stands behind it.
    pub fn position(&self) -> u64 {
        self.passed
    }

    /// The place up to which the device itself acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// The place up to which the store need keep nothing for this device: acknowledged, or its own with nothing open before.
    pub fn cursor(&self) -> u64 {
        if self.open.is_empty() { self.passed } else { self.acked }
    }

    /// Whether another entry of any size may be given now. One always may: an entry is never larger than the window.
    pub fn has_room(&self) -> bool {
        self.open.len() < DELIVER_WINDOW && (self.bytes < DELIVER_WINDOW_BYTES || self.open.is_empty())
    }

    /// How many more entries may be given now.
    pub fn room(&self) -> usize {
        if self.has_room() { DELIVER_WINDOW - self.open.len() } else { 0 }
    }

    /// Whether the device should acknowledge at once because the window is a quarter used (contract rule 12).
    pub fn presses(&self) -> bool {
        self.open.len() >= DELIVER_WINDOW / 4 || self.bytes >= DELIVER_WINDOW_BYTES / 4
    }

    /// Gives the entry at `n`; answers its `prev`.
    pub fn give(&mut self, n: u64, size: usize) -> u64 {
        self.open.push_back((n, size));
        self.bytes += size;
        self.passed = n;
        std::mem::replace(&mut self.given, n)
    }

    /// Moves over an entry that this device needs not be given: its own message, which it knows by the verdict.
    pub fn pass_over(&mut self, n: u64) {
        self.passed = self.passed.max(n);
    }

    /// Takes an acknowledgement; answers whether the cursor moved. A place never given is a protocol error (S26).
    pub fn ack(&mut self, n: u64) -> Result<bool, Code> {
        if n <= self.acked {
            return Ok(false);
        }
        if n > self.given {
            return Err(Code::PROTOCOL);
        }
        while let Some(&(place, size)) = self.open.front() {
            if place > n {
                break;
            }
            self.open.pop_front();
            self.bytes -= size;
        }
        self.acked = n;
        Ok(true)
    }

    /// Gives again from behind `n`, up to which the device was given everything (FETCH). That acknowledges nothing: the device
    /// may hold it in memory alone.
    pub fn rewind(&mut self, n: u64) -> Result<(), Code> {
        if n > self.given {
            return Err(Code::PROTOCOL);
        }
        while let Some((_, size)) = self.open.pop_back_if(|(place, _)| *place > n) {
            self.bytes -= size;
        }
        self.given = n;
        self.passed = n;
        self.acked = self.acked.min(n);
        Ok(())
    }
}

/// What to do with a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It continues the chain: commit it.
    Keep,
    /// The chain is broken: ask for everything behind the cursor.
    Fetch(Position),
    /// Drop it; a fetch is on its way and brings it again.
    Ignore,
}

/// The client's side: what continues the chain, and when to acknowledge. Times in milliseconds of a monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// Last position taken, committed or not.
    taken: Position,
    /// Last position committed to the history.
    committed: Position,
    acked: Position,
    fetching: bool,
    waiting: usize,
    due: Option<u64>,
}

impl Follower {
    /// Starts a session at the cursor that WELCOME gave.
    pub fn start(cursor: Position) -> Follower {
        Follower { taken: cursor, committed: cursor, acked: cursor, ..Follower::default() }
    }

    /// A delivery came.
    pub fn handle_deliver(&mut self, prev: Position, position: Position) -> Taken {
        if prev == self.taken {
            self.fetching = false;
            self.taken = position;
            return Taken::Keep;
        }
        if std::mem::replace(&mut self.fetching, true) {
            return Taken::Ignore;
        }
        Taken::Fetch(self.taken)
    }

    /// Entries are gone on the server; the chain goes on from `to`.
    pub fn handle_gone(&mut self, to: Position) {
        self.taken = to;
        self.fetching = false;
    }

    /// `count` entries up to `position` are durable in the history.
    pub fn handle_committed(&mut self, now_ms: u64, position: Position, count: usize, ack_now: bool) {
        self.committed = position;
        self.waiting += count;
        let soon =
            if ack_now || self.waiting >= DELIVER_WINDOW / 4 { now_ms } else { now_ms + ACK_DELAY.as_millis() as u64 };
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// The position to acknowledge now, if it is time.
    pub fn poll_ack(&mut self, now_ms: u64) -> Option<Position> {
        if self.due? > now_ms {
            return None;
        }
        self.due = None;
        self.waiting = 0;
        (self.acked != self.committed).then(|| {
            self.acked = self.committed;
            self.acked
        })
    }

    /// When [`Follower::poll_ack`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Position {
        Position { epoch: 1, nonce: 2, n }
    }

    #[test]
    fn the_window_bounds_what_is_open() {
        let mut feed = Feed::new(10);
        for n in 0..DELIVER_WINDOW as u64 {
            assert!(feed.has_room());
            assert_eq!(feed.give(11 + n, 100), 10 + n);
        }
        assert!(!feed.has_room());
        assert_eq!(feed.ack(10_000), Err(Code::PROTOCOL));
        assert_eq!(feed.ack(11), Ok(true));
        assert_eq!(feed.ack(11), Ok(false));
        assert_eq!(feed.room(), 1);
        feed.rewind(11).unwrap();
        assert_eq!(feed.give(12, 1), 11);
        feed.give(13, DELIVER_WINDOW_BYTES);
        assert!(!feed.has_room());
    }

    #[test]
    fn giving_again_acknowledges_nothing() {
        let mut feed = Feed::new(10);
        (11..=14).for_each(|n| {
            feed.give(n, 100);
        });
        feed.ack(11).unwrap();
        feed.rewind(13).unwrap();
        assert_eq!((feed.acked(), feed.cursor(), feed.position()), (11, 11, 13));
        assert_eq!(feed.give(14, 100), 13);
        assert_eq!(feed.rewind(15), Err(Code::PROTOCOL));
        feed.ack(14).unwrap();
        assert_eq!((feed.cursor(), feed.room()), (14, DELIVER_WINDOW));
        feed.rewind(10).unwrap();
        assert_eq!(feed.give(11, 100), 10);
        assert_eq!(feed.ack(11), Ok(true));
        assert_eq!(feed.room(), DELIVER_WINDOW, "what is given again is acknowledged again");
    }

    #[test]
    fn own_entries_are_passed_over() {
        let mut feed = Feed::new(0);
        feed.pass_over(5);
        assert_eq!((feed.position(), feed.cursor(), feed.acked()), (5, 5, 0));
        assert_eq!(feed.give(6, 1), 0);
        feed.pass_over(7);
        assert_eq!((feed.position(), feed.cursor()), (7, 0));
        feed.ack(6).unwrap();
        assert_eq!((feed.cursor(), feed.acked()), (7, 6));
    }

    #[test]
    fn a_broken_chain_is_fetched_once() {
        let mut follower = Follower::start(at(3));
        assert_eq!(follower.handle_deliver(at(3), at(5)), Taken::Keep);
        assert_eq!(follower.handle_deliver(at(6), at(7)), Taken::Fetch(at(5)));
        assert_eq!(follower.handle_deliver(at(7), at(8)), Taken::Ignore);
        assert_eq!(follower.handle_deliver(at(5), at(6)), Taken::Keep);
        assert_eq!(follower.handle_deliver(at(6), at(7)), Taken::Keep);
    }

    #[test]
    fn acks_coalesce() {
        let mut follower = Follower::start(at(0));
        follower.handle_committed(1000, at(1), 1, false);
        assert_eq!(follower.poll_ack(1100), None);
        follower.handle_committed(1100, at(2), 1, false);
        assert_eq!(follower.poll_ack(1200), Some(at(2)));
        assert_eq!(follower.poll_ack(1400), None);
        follower.handle_committed(1500, at(3), 1, true);
        assert_eq!(follower.poll_ack(1500), Some(at(3)));
    }
}

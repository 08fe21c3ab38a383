//! The client's sending side: what may be on the way, what was decided, what must be sent again (contract rules 1 to 3).
//!
//! Owned by a profile's owner in chatd. It holds no bodies: entries are places with a size and a hash; the shell reads a body
//! from the store when [`Outbox::poll_transmit`] names its place. A place is given by the store in the outbox commit, then
//! told here with [`Outbox::handle_queued`]. Times in milliseconds of a monotonic clock.

use std::collections::VecDeque;

use crate::fault::Code;
use crate::id::{Incarnation, Position};
use crate::limits::{SEND_AGAIN_AFTER, SEND_WINDOW, SEND_WINDOW_BYTES, TRY_LATER_MAX};

/// Something for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Send the message at this place.
    Send {
        /// Stream.
        incarnation: Incarnation,
        /// Place.
        cseq: u64,
        /// Verdicts up to here are on this host's disk.
        settled: u64,
    },
    /// Give this place up.
    Void {
        /// Stream.
        incarnation: Incarnation,
        /// Place.
        cseq: u64,
    },
}

/// What became of a place: to be committed, then told with [`Outbox::handle_settled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Stream.
    pub incarnation: Incarnation,
    /// Place.
    pub cseq: u64,
    /// [`Code::ACCEPTED`], or why not.
    pub code: Code,
    /// Accepted: where it stands on the server; absent when that is not known any more.
    pub position: Option<Position>,
    /// Known from what the server remembers, not from a fresh decision.
    pub stored: bool,
}

/// What the server remembers of a stream (WELCOME): the newest decision stands at place `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Stream.
    pub incarnation: Incarnation,
    /// Last decided place.
    pub last: u64,
    /// Hash, code and position of the last decisions, oldest first.
    pub decisions: Vec<(u64, Code, Option<Position>)>,
}

/// The server lost decisions that were on this host's disk (it was restored): offer these places again before anything new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reoffer {
    /// Stream.
    pub incarnation: Incarnation,
    /// First lost place.
    pub first: u64,
    /// Last lost place.
    pub last: u64,
}

/// One place that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place.
    pub cseq: u64,
    /// Bytes of the body.
    pub size: usize,
    /// First 8 bytes of the content hash.
    pub h8: u64,
    /// Given up: VOID is sent in its place.
    pub void: bool,
}

/// What cancelling a place means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The place has a verdict.
    TooLate,
    /// It was never handed to a link, and will not be.
    Unsent,
    /// The server may have it: the place's verdict tells which came first.
    Unsure,
}

#[derive(Clone, Debug)]
struct OutStream {
    incarnation: Incarnation,
    /// The highest place given in this stream.
    top: u64,
    /// Places without a verdict, ascending.
    open: VecDeque<Entry>,
    /// Places with a verdict that is not committed yet, ascending.
    deciding: VecDeque<u64>,
    /// Places up to here are on the way (or decided).
    sent: u64,
    /// Places up to here may have been on the way some time, in this start or an earlier one.
    handed: u64,
    /// Bytes on the way.
    in_flight: usize,
}

impl OutStream {
    fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    fn rewind(&mut self) {
        self.sent = self.open.front().map_or(self.sent, |e| e.cseq - 1);
        self.in_flight = 0;
    }

    /// Verdicts are durable up to the place before the first one that is not.
    fn settled(&self) -> u64 {
        let open = self.open.front().map(|e| e.cseq - 1);
        let deciding = self.deciding.front().map(|c| c - 1);
        open.into_iter().chain(deciding).min().unwrap_or(self.top)
    }
}

/// The sending side of one device.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Streams in the order of their creation; the last one takes new messages.
    streams: VecDeque<OutStream>,
    connected: bool,
    not_before: Option<u64>,
}

impl Outbox {
    /// Adds a stream known from the disk, in order of creation: its settled mark and its open places, ascending.
    pub fn restore(&mut self, incarnation: Incarnation, settled: u64, open: impl IntoIterator<Item = Entry>) {
        let open: VecDeque<Entry> = open.into_iter().collect();
        let sent = open.front().map_or(settled, |e| e.cseq - 1);
        let top = open.back().map_or(settled, |e| e.cseq);
        let deciding = VecDeque::new();
        self.streams.push_back(OutStream { incarnation, top, open, deciding, sent, handed: top, in_flight: 0 });
    }

    /// The streams that HELLO names, oldest first, with their settled marks.
    pub fn streams(&self) -> impl Iterator<Item = (Incarnation, u64)> {
        self.streams.iter().map(|s| (s.incarnation, s.settled()))
    }

    /// How many places have no verdict.
    pub fn open_count(&self) -> usize {
        self.streams.iter().map(|s| s.open.len()).sum()
    }

    /// How many messages are to be sent: open places that were not given up.
    pub fn waiting_count(&self) -> usize {
        self.streams.iter().flat_map(|s| &s.open).filter(|entry| !entry.void).count()
    }

    /// Gives up what was never handed to a link, and answers these places.
    pub fn handle_give_up(&mut self) -> Vec<(Incarnation, u64)> {
        let mut given_up = Vec::new();
        for stream in &mut self.streams {
            let (incarnation, handed) = (stream.incarnation, stream.handed);
            for entry in stream.open.iter_mut().filter(|entry| entry.cseq > handed && !entry.void) {
                entry.void = true;
                given_up.push((incarnation, entry.cseq));
            }
        }
        given_up
    }

    /// The open places of a stream up to this one, as far as they were handed over.
    pub fn open_upto(&self, incarnation: Incarnation, last: u64) -> Vec<u64> {
        let Some(stream) = self.streams.iter().find(|s| s.incarnation == incarnation) else { return Vec::new() };
        let upto = last.min(stream.sent.max(stream.handed));
        stream.open.iter().map(|e| e.cseq).take_while(|cseq| *cseq <= upto).collect()
    }

    /// A message was committed to the outbox at this place; a new incarnation opens a new stream.
    pub fn handle_queued(&mut self, incarnation: Incarnation, entry: Entry) {
        if self.streams.back().is_none_or(|s| s.incarnation != incarnation) {
            self.restore(incarnation, entry.cseq - 1, []);
        }
        if let Some(stream) = self.streams.back_mut() {
            stream.top = entry.cseq;
            stream.open.push_back(entry);
        }
    }

    /// The user cancels a place: from here on VOID is sent in its stead.
    pub fn handle_cancel(&mut self, incarnation: Incarnation, cseq: u64) -> Cancel {
        let Some(stream) = self.stream(incarnation) else {
            return Cancel::TooLate;
        };
        let Some(entry) = stream.open.iter_mut().find(|e| e.cseq == cseq) else {
            return Cancel::TooLate;
        };
        entry.void = true;
        if cseq <= stream.sent {
            stream.rewind();
        }
        if cseq > stream.handed { Cancel::Unsent } else { Cancel::Unsure }
    }

    /// The session is open. Settles what the server remembers, and says what it forgot.
    pub fn handle_welcome(&mut self, remembered: &[Remembered]) -> (Vec<Settle>, Vec<Reoffer>) {
        self.connected = true;
        self.not_before = None;
        let mut settles = Vec::new();
        let mut forgotten = Vec::new();
        for stream in &mut self.streams {
            let known = remembered.iter().find(|r| r.incarnation == stream.incarnation);
            let last = known.map_or(0, |r| r.last);
            if last < stream.settled() {
                forgotten.push(Reoffer { incarnation: stream.incarnation, first: last + 1, last: stream.settled() });
            }
            if let Some(known) = known {
                recall(stream, known, &mut settles);
            }
            stream.rewind();
        }
        (settles, forgotten)
    }

    /// The forgotten places of a stream, as the history has them: accepted direct messages again, everything else void.
    pub fn handle_reoffer(&mut self, reoffer: Reoffer, entries: impl IntoIterator<Item = Entry>) {
        let Some(stream) = self.stream(reoffer.incarnation) else {
            return;
        };
        for entry in entries.into_iter().collect::<Vec<_>>().into_iter().rev() {
            stream.open.push_front(entry);
        }
        stream.sent = reoffer.first - 1;
        stream.in_flight = 0;
    }

    /// Streams in the order of their creation, with their highest place, of which the server no longer knows all acceptances:
    /// the next HELLO names them, so that it says what it forgot. Finished ones take their place between those held here.
    pub fn handle_remembered(&mut self, streams: impl IntoIterator<Item = (Incarnation, u64)>) {
        let mut at = 0;
        for (incarnation, top) in streams {
            match self.streams.iter().position(|s| s.incarnation == incarnation) {
                Some(held) => at = held,
                None => {
                    let (open, deciding) = (VecDeque::new(), VecDeque::new());
                    self.streams.insert(
                        at,
                        OutStream { incarnation, top, open, deciding, sent: top, handed: top, in_flight: 0 },
                    );
                }
            }
            at += 1;
        }
    }

    /// The link is gone: everything without a verdict will be sent again.
    pub fn handle_disconnected(&mut self) {
        self.connected = false;
        self.streams.iter_mut().for_each(OutStream::rewind);
    }

    /// A verdict for one place came. Nothing when the place is not open: it was said before.
    pub fn handle_verdict(
        &mut self,
        incarnation: Incarnation,
        cseq: u64,
        code: Code,
        position: Option<Position>,
        stored: bool,
    ) -> Option<Settle> {
        let stream = self.stream(incarnation)?;
        let index = stream.open.iter().position(|e| e.cseq == cseq)?;
        decide(stream, index);
        Some(Settle { incarnation, cseq, code, position, stored })
    }

    /// The server decided nothing behind a place of a stream: what is open goes again, a little later or when it said before. Nothing
    /// when the stream is not known here.
    pub fn handle_gap(&mut self, now_ms: u64, incarnation: Incarnation) {
        if self.stream(incarnation).is_some() {
            let later = self.not_before.map_or(0, |t| t.saturating_sub(now_ms));
            self.handle_try_later(now_ms, later);
        }
    }

    /// The server cannot decide now: wait, then send again from the last decided place. Answers for how long, in milliseconds: whatever
    /// the other side asks for, neither at once nor ever so late.
    pub fn handle_try_later(&mut self, now_ms: u64, after_ms: u64) -> u64 {
        let [least, most] = [SEND_AGAIN_AFTER, TRY_LATER_MAX].map(|t| t.as_millis() as u64);
        let after_ms = after_ms.clamp(least, most);
        self.not_before = Some(now_ms + after_ms);
        self.streams.iter_mut().for_each(OutStream::rewind);
        after_ms
    }

    /// The verdict of this place is durable on this host.
    pub fn handle_settled(&mut self, incarnation: Incarnation, cseq: u64) {
        if let Some(stream) = self.stream(incarnation) {
            stream.deciding.retain(|c| *c != cseq);
        }
        // A finished stream is named until a newer one is known to be known: else the server, whose newest it may be, would
        // take this host for an old copy.
        while let [first, next, ..] = self.streams.make_contiguous()
            && first.is_done()
            && first.deciding.is_empty()
            && next.settled() > 0
        {
            self.streams.pop_front();
        }
    }

    /// The next thing to send, if anything may be sent now.
    pub fn poll_transmit(&mut self, now_ms: u64) -> Option<Transmit> {
        if !self.connected || self.not_before.is_some_and(|t| t > now_ms) {
            return None;
        }
        self.not_before = None;
        // Streams are finished in the order of their creation, or the order between them would be lost.
        let stream = self.streams.iter_mut().find(|s| !s.is_done())?;
        let settled = stream.settled();
        let index = stream.open.partition_point(|e| e.cseq <= stream.sent);
        let entry = *stream.open.get(index)?;
        let fits = stream.in_flight == 0 || stream.in_flight + entry.size <= SEND_WINDOW_BYTES;
        if entry.cseq > settled + SEND_WINDOW || !fits {
            return None;
        }
        stream.sent = entry.cseq;
        stream.in_flight += entry.size;
        if !entry.void {
            stream.handed = stream.handed.max(entry.cseq);
        }
        let (incarnation, cseq) = (stream.incarnation, entry.cseq);
        Some(match entry.void {
            true => Transmit::Void { incarnation, cseq },
            false => Transmit::Send { incarnation, cseq, settled },
        })
    }

    /// When to call [`Outbox::poll_transmit`] again though nothing happens.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.not_before.filter(|_| self.connected && self.open_count() > 0)
    }

    fn stream(&mut self, incarnation: Incarnation) -> Option<&mut OutStream> {
        self.streams.iter_mut().find(|s| s.incarnation == incarnation)
    }
}

/// Moves an open place to those whose verdict waits for its commit.
fn decide(stream: &mut OutStream, index: usize) {
    if let Some(entry) = stream.open.remove(index) {
        if entry.cseq <= stream.sent {
            stream.in_flight = stream.in_flight.saturating_sub(entry.size);
        }
        let at = stream.deciding.partition_point(|c| *c < entry.cseq);
        stream.deciding.insert(at, entry.cseq);
    }
}

/// Settles the open places that the server has decided: from what it keeps, else the outcome is lost.
fn recall(stream: &mut OutStream, known: &Remembered, settles: &mut Vec<Settle>) {
    while let Some(entry) = stream.open.front().copied().filter(|e| e.cseq <= known.last) {
        let age = (known.last - entry.cseq) as usize;
        let decision = known.decisions.len().checked_sub(age + 1).and_then(|i| known.decisions.get(i));
        let (code, position) = match decision {
            Some((h8, code, position)) if *h8 == entry.h8 || entry.void => (*code, *position),
            // Given up is recorded without content.
            Some((_, Code::VOID, _)) => (Code::VOID, None),
            Some(_) => (Code::CONFLICT, None),
            None => (Code::OUTCOME_LOST, None),
        };
        decide(stream, 0);
        settles.push(Settle { incarnation: stream.incarnation, cseq: entry.cseq, code, position, stored: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INC: Incarnation = Incarnation(7);

    fn entry(cseq: u64) -> Entry {
        Entry { cseq, size: 100, h8: cseq, void: false }
    }

    fn filled(n: u64) -> Outbox {
        let mut outbox = Outbox::default();
        (1..=n).for_each(|c| outbox.handle_queued(INC, entry(c)));
        outbox
    }

    fn sends(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.poll_transmit(0))
            .map(|t| match t {
                Transmit::Send { cseq, .. } | Transmit::Void { cseq, .. } => cseq,
            })
            .collect()
    }

    #[test]
    fn what_was_never_handed_over_is_given_up_as_one() {
        let mut outbox = filled(100);
        outbox.handle_welcome(&[]);
        assert_eq!(sends(&mut outbox).len(), 64);
        outbox.handle_disconnected();
        let given_up: Vec<u64> = outbox.handle_give_up().into_iter().map(|(_, cseq)| cseq).collect();
        assert_eq!(given_up, (65..=100).collect::<Vec<_>>());
        assert_eq!(outbox.handle_give_up(), [], "once");
        assert_eq!(outbox.waiting_count(), 64);
        outbox.handle_welcome(&[]);
        assert_eq!(sends(&mut outbox).len(), 64);
        assert_eq!(outbox.open_upto(INC, 3), [1, 2, 3]);
        assert_eq!(outbox.open_upto(INC, 500).len(), 64, "nothing is taken that was not sent");
    }

    #[test]
    fn a_window_is_on_the_way_and_moves_only_when_settled() {
        let mut outbox = filled(100);
        assert!(sends(&mut outbox).is_empty(), "not connected");
        outbox.handle_welcome(&[]);
        assert_eq!(sends(&mut outbox).len() as u64, SEND_WINDOW);
        assert!(outbox.handle_verdict(INC, 1, Code::ACCEPTED, None, false).is_some());
        assert!(outbox.handle_verdict(INC, 1, Code::ACCEPTED, None, false).is_none());
        assert!(sends(&mut outbox).is_empty(), "verdict is not committed");
        outbox.handle_settled(INC, 1);
        assert_eq!(sends(&mut outbox), [65]);
        outbox.handle_disconnected();
        outbox.handle_welcome(&[Remembered { incarnation: INC, last: 1, decisions: vec![(1, Code::ACCEPTED, None)] }]);
        assert_eq!(sends(&mut outbox).first(), Some(&2));
    }

    #[test]
    fn welcome_settles_what_the_server_remembers() {
        let mut outbox = filled(3);
        let known = Remembered {
            incarnation: INC,
            last: 2,
            decisions: vec![(1, Code::ACCEPTED, None), (99, Code::ACCEPTED, None)],
        };
        let (settles, forgotten) = outbox.handle_welcome(&[known]);
        assert_eq!(settles.iter().map(|s| s.code).collect::<Vec<_>>(), [Code::ACCEPTED, Code::CONFLICT]);
        assert!(forgotten.is_empty());
        assert_eq!(sends(&mut outbox), [3]);
        outbox.handle_disconnected();
        let void = Remembered { incarnation: INC, last: 3, decisions: vec![(0, Code::VOID, None)] };
        assert_eq!(outbox.handle_welcome(&[void]).0[0].code, Code::VOID);
    }

    #[test]
    fn a_cancelled_place_is_void_and_says_whether_it_was_ever_sent() {
        let mut outbox = Outbox::default();
        outbox.restore(INC, 0, [entry(1)]);
        outbox.handle_queued(INC, entry(2));
        outbox.handle_queued(INC, entry(3));
        assert_eq!(outbox.handle_cancel(INC, 1), Cancel::Unsure, "an earlier start may have sent it");
        assert_eq!(outbox.handle_cancel(INC, 2), Cancel::Unsent);
        assert_eq!((outbox.open_count(), outbox.waiting_count()), (3, 1));
        outbox.handle_welcome(&[]);
        assert_eq!(outbox.poll_transmit(0), Some(Transmit::Void { incarnation: INC, cseq: 1 }));
        assert_eq!(outbox.poll_transmit(0), Some(Transmit::Void { incarnation: INC, cseq: 2 }));
        assert_eq!(outbox.handle_cancel(INC, 2), Cancel::Unsent, "a VOID is no message");
        assert_eq!(sends(&mut outbox), [1, 2, 3]);
        outbox.handle_disconnected();
        assert_eq!(outbox.handle_cancel(INC, 3), Cancel::Unsure);
        outbox.handle_verdict(INC, 3, Code::ACCEPTED, None, false);
        assert_eq!(outbox.handle_cancel(INC, 3), Cancel::TooLate);
    }

    #[test]
    fn a_restored_server_is_offered_again_what_it_lost() {
        let mut outbox = Outbox::default();
        outbox.restore(INC, 5, [entry(6)]);
        let (_, forgotten) = outbox.handle_welcome(&[Remembered { incarnation: INC, last: 3, decisions: vec![] }]);
        assert_eq!(forgotten, [Reoffer { incarnation: INC, first: 4, last: 5 }]);
        outbox.handle_reoffer(forgotten[0], [entry(4), Entry { void: true, ..entry(5) }]);
        assert_eq!(outbox.poll_transmit(0), Some(Transmit::Send { incarnation: INC, cseq: 4, settled: 3 }));
        assert_eq!(outbox.poll_transmit(0), Some(Transmit::Void { incarnation: INC, cseq: 5 }));
        assert_eq!(sends(&mut outbox), [6]);
    }

    #[test]
    fn a_finished_stream_is_named_again_when_the_server_lost_it() {
        let mut outbox = filled(1);
        outbox.handle_remembered([(Incarnation(1), 4), (Incarnation(2), 2), (INC, 1)]);
        let named: Vec<_> = outbox.streams().collect();
        assert_eq!(named, [(Incarnation(1), 4), (Incarnation(2), 2), (INC, 0)]);
        let (_, forgotten) =
            outbox.handle_welcome(&[Remembered { incarnation: Incarnation(1), last: 4, decisions: vec![] }]);
        assert_eq!(forgotten, [Reoffer { incarnation: Incarnation(2), first: 1, last: 2 }]);
        outbox.handle_reoffer(forgotten[0], [entry(1), entry(2)]);
        let next = outbox.poll_transmit(0);
        assert_eq!(
            next,
            Some(Transmit::Send { incarnation: Incarnation(2), cseq: 1, settled: 0 }),
            "before anything new"
        );
    }

    #[test]
    fn try_later_waits_and_sends_again() {
        let mut outbox = filled(2);
        outbox.handle_welcome(&[]);
        assert_eq!(sends(&mut outbox), [1, 2]);
        assert_eq!(outbox.handle_try_later(10, 500), 500);
        assert_eq!(outbox.poll_transmit(509), None);
        assert_eq!(outbox.poll_timeout(), Some(510));
        assert!(matches!(outbox.poll_transmit(510), Some(Transmit::Send { cseq: 1, .. })));
        assert_eq!([0, 249, u64::MAX].map(|after_ms| outbox.handle_try_later(0, after_ms)), [250, 250, 60_000]);
    }

    #[test]
    fn a_gap_goes_again_a_little_later_and_not_before_the_server_said() {
        let mut outbox = filled(2);
        outbox.handle_welcome(&[]);
        assert_eq!(sends(&mut outbox), [1, 2]);
        outbox.handle_gap(10, Incarnation(8));
        assert_eq!(outbox.poll_timeout(), None, "not a stream of this host");
        outbox.handle_gap(10, INC);
        assert_eq!(outbox.poll_timeout(), Some(260));
        outbox.handle_try_later(10, 500);
        outbox.handle_gap(20, INC);
        assert_eq!((outbox.poll_transmit(509), outbox.poll_timeout()), (None, Some(510)));
        assert!(matches!(outbox.poll_transmit(510), Some(Transmit::Send { cseq: 1, .. })));
    }

    #[test]
    fn older_streams_are_finished_first() {
        let mut outbox = Outbox::default();
        outbox.restore(Incarnation(1), 0, [entry(1)]);
        outbox.handle_queued(Incarnation(2), entry(1));
        outbox.handle_welcome(&[]);
        assert_eq!(sends(&mut outbox), [1]);
        outbox.handle_verdict(Incarnation(1), 1, Code::ACCEPTED, None, false);
        assert!(matches!(outbox.poll_transmit(0), Some(Transmit::Send { incarnation: Incarnation(2), cseq: 1, .. })));
        outbox.handle_settled(Incarnation(1), 1);
        let named = |outbox: &Outbox| outbox.streams().map(|s| s.0.0).collect::<Vec<_>>();
        assert_eq!(named(&outbox), [1, 2], "the server may not know the second one yet");
        outbox.handle_verdict(Incarnation(2), 1, Code::ACCEPTED, None, false);
        assert_eq!(named(&outbox), [1, 2]);
        outbox.handle_settled(Incarnation(2), 1);
        assert_eq!(named(&outbox), [2]);
    }
}

//! The machines of the delivery contract under a peer that says anything: stored blobs, verdicts, welcomes, positions.
//!
//! What the host itself gives a machine (places in rising order, its own clock) is well formed here; what the other side or the
//! disk gives is not.

use chat_proto::fault::Code;
use chat_proto::id::{Incarnation, Position};
use chat_proto::limits::{DECISIONS_KEPT, DELIVER_WINDOW};
use chat_proto::machine::hello::{Epoch, Epochs, resume};
use chat_proto::machine::inbox::{Feed, Follower};
use chat_proto::machine::outbox::{Entry, Outbox, Remembered};
use chat_proto::machine::stream::{Decision, Offer, Stream};

/// The bytes read as numbers, one after the other; zeros behind their end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Small numbers, numbers near the ends of the range, and any: a machine errs at neighbours.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => u64::from(small),
            0xff => u64::MAX - u64::from(self.byte()),
            0xfe => i64::MAX as u64 - u64::from(self.byte()),
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    fn position(&mut self) -> Position {
        Position { epoch: self.number(), nonce: self.number(), n: self.number() }
    }

    fn incarnation(&mut self) -> Incarnation {
        Incarnation(u64::from(self.byte() % 3))
    }
}

/// The first byte picks the machine, the rest is its story.
pub fn stream_blob(data: &[u8]) {
    let mut data = Bytes(data);
    match data.byte() % 4 {
        0 => stream(&mut data),
        1 => outbox(&mut data),
        2 => inbox(&mut data),
        _ => hello(&mut data),
    }
}

/// A stored blob, then offers.
fn stream(data: &mut Bytes) {
    let last = data.number();
    let blob = data.0;
    let Some(mut stream) = Stream::decode(last, blob) else {
        return;
    };
    assert_eq!(stream.encode_recent(), blob);
    let mut story = Bytes(blob);
    while !story.0.is_empty() {
        let (cseq, h8) = (story.number(), story.number());
        let offer = stream.offer(cseq, h8);
        let void = stream.offer_void(cseq);
        assert_eq!(matches!(offer, Offer::Decide), matches!(void, Offer::Decide));
        if offer == Offer::Decide {
            let decision = Decision { h8, code: u32::from(story.byte()), n: story.number() };
            stream.record(decision);
            assert_eq!((stream.last(), stream.offer(cseq, h8)), (cseq, Offer::Stored(decision)));
        }
        assert!(stream.recent().len() <= DECISIONS_KEPT);
    }
}

/// A client's sending side: its own places rise, the server says anything.
fn outbox(data: &mut Bytes) {
    let mut outbox = Outbox::default();
    let (mut stream, mut top, mut now) = (0, 0, 0u64);
    while !data.0.is_empty() {
        now += u64::from(data.byte());
        match data.byte() % 9 {
            0..=1 => {
                if data.byte() == 9 {
                    (stream, top) = (stream + 1, 0);
                }
                top += 1;
                let entry = Entry { cseq: top, size: usize::from(data.byte()) << 9, h8: data.number(), void: false };
                outbox.handle_queued(Incarnation(stream), entry);
            }
            2 => welcome(&mut outbox, data),
            3 => {
                let position = Some(data.position());
                let said =
                    outbox.handle_verdict(data.incarnation(), data.number(), Code(data.byte().into()), position, false);
                if let Some(settle) = said.filter(|_| data.byte() & 1 == 0) {
                    outbox.handle_settled(settle.incarnation, settle.cseq);
                }
            }
            4 => outbox.handle_gap(now, data.incarnation()),
            5 => drop(outbox.handle_try_later(now, data.number())),
            6 => outbox.handle_disconnected(),
            7 => drop(outbox.handle_cancel(data.incarnation(), data.number())),
            _ => outbox.handle_settled(data.incarnation(), data.number()),
        }
        let open = outbox.open_count();
        let sent = std::iter::from_fn(|| outbox.poll_transmit(now)).take(open + 1).count();
        assert!(sent <= open, "each open place goes out at most once in a row");
        let _ = (outbox.poll_timeout(), outbox.streams().count());
    }
}

fn welcome(outbox: &mut Outbox, data: &mut Bytes) {
    let decisions =
        (0..data.byte() % 70).map(|_| (data.number(), Code(data.byte().into()), Some(data.position()))).collect();
    let known = Remembered { incarnation: data.incarnation(), last: data.number(), decisions };
    let (settles, forgotten) = outbox.handle_welcome(&[known]);
    settles.iter().for_each(|settle| outbox.handle_settled(settle.incarnation, settle.cseq));
    for lost in forgotten {
        let entry = |cseq| Entry { cseq, size: 1, h8: cseq, void: cseq % 2 == 0 };
        outbox.handle_reoffer(lost, (lost.first..=lost.last).map(entry));
    }
}

/// The server's feed under a client that acknowledges anything, the client's follower under a server that delivers anything.
fn inbox(data: &mut Bytes) {
    let cursor = u64::from(data.byte());
    let (mut feed, mut next) = (Feed::new(cursor), cursor);
    let mut follower = Follower::start(data.position());
    let mut now = 0u64;
    while !data.0.is_empty() {
        now += u64::from(data.byte());
        match data.byte() % 7 {
            0..=1 if feed.has_room() => {
                next += 1 + u64::from(data.byte() % 4);
                feed.give(next, usize::from(data.byte()) << 8);
            }
            2 => drop(feed.ack(data.number())),
            3 => {
                if let Ok(()) = feed.rewind(data.number()) {
                    next = feed.position();
                }
            }
            4 => drop(follower.handle_deliver(data.position(), data.position())),
            5 => follower.handle_gone(data.position()),
            _ => follower.handle_committed(now, data.position(), data.byte().into(), data.byte() & 1 == 0),
        }
        assert!(feed.acked() <= feed.cursor() && feed.cursor() <= feed.position() && feed.room() <= DELIVER_WINDOW);
        let _ = (feed.presses(), follower.poll_timeout(), follower.poll_ack(now));
    }
}

/// A claimed cursor against stored epochs.
fn hello(data: &mut Bytes) {
    let epochs =
        (0..data.byte() % 5).map(|_| Epoch { epoch: data.number(), nonce: data.number(), first: data.number() });
    let mut epochs = Epochs(epochs.collect());
    epochs.0.sort_by_key(|epoch| epoch.first);
    let (claimed, stored) = (data.position(), data.number());
    let named = [data.incarnation(), data.incarnation()];
    let there = resume(&epochs, Some(claimed), stored, Some(data.incarnation()), &named);
    assert_eq!(there.restored, !epochs.knows(claimed));
    assert_eq!(there.cursor, if there.restored { stored } else { claimed.n });
    assert_eq!(resume(&epochs, None, stored, None, &[]).cursor, stored);
}

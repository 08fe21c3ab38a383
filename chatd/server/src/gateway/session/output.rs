//! What a session sends: everything that waits in its mailbox, and its inbox within the window.

use std::collections::VecDeque;
use std::sync::Arc;

use chat_proto::fault::Code;
use chat_proto::frame::{Frame, HEADER};
use chat_proto::id::{Incarnation, Position};
use chat_proto::{limits, method, wire};
use tokio::sync::oneshot;

use super::{End, HowEnded, Session};
use crate::gateway::mailbox::Taken;
use crate::store::{Entry, Inboxed, Op, Query, Store, Verdict};

/// Places of one VRDT frame: its list of positions stays far below a frame's limit.
const PLACES_PER_FRAME: usize = 1024;
/// Own entries that may be passed over before the store hears of it: a lost word costs a longer look after a restart.
const PASSED_MAX: u64 = 1024;

impl<S: Store> Session<S> {
    /// Turns what waits into output, until nothing does or the reader is too far behind: then it waits where it is bounded (S21).
    pub(super) async fn collect(&mut self) -> Result<(), End> {
        loop {
            if self.is_stalled() {
                return self
                    .mailbox
                    .stall()
                    .map_or(Ok(()), |(code, may_reconnect)| Err(told_to_end(code, may_reconnect)));
            }
            let taken = self.mailbox.take(self.catching || !self.has_room());
            let (lost, ended) = (taken.lost, taken.ended);
            self.catching |= lost;
            let entries = self.tell(taken);
            if let Some((code, may_reconnect)) = ended {
                return Err(told_to_end(code, may_reconnect));
            }
            self.give_new(entries);
            if !self.catching || !self.has_room() {
                return Ok(());
            }
            self.catch_up().await?;
        }
    }

    /// Queues everything but entries, which it answers.
    fn tell(&mut self, taken: Taken) -> VecDeque<Arc<Entry>> {
        self.queue_verdicts(taken.verdicts);
        for body in taken.presence {
            self.link.queue(&Frame { name: method::PRESENCE, tag: 0, body });
        }
        if taken.uncounted > 0 {
            let notice = wire::Presence { items: Vec::new(), count: taken.uncounted };
            self.link.queue(&Frame::new(method::PRESENCE, 0, &notice));
        }
        if !taken.receipts.is_empty() {
            self.link.queue(&Frame::new(method::RECEIPT, 0, &wire::Receipts { items: taken.receipts }));
        }
        for mark in taken.marks {
            self.link.queue(&Frame::new(method::MARK, 0, &mark));
        }
        self.tell_private(taken.private, taken.moved);
        if !taken.probes.is_empty() {
            self.timing_probe(taken.probes);
        }
        taken.entries
    }

    /// The verdicts that came since, and nothing else.
    pub(super) fn tell_verdicts(&mut self) {
        let taken = self.mailbox.take(true);
        self.catching |= taken.lost;
        self.queue_verdicts(taken.verdicts);
    }

    /// More output waits than a reader may have.
    pub(super) fn is_stalled(&self) -> bool {
        self.link.queued() > limits::OUTPUT_MAX
    }

    fn has_room(&self) -> bool {
        self.feed.has_room() && !self.is_stalled()
    }

    fn give_new(&mut self, mut entries: VecDeque<Arc<Entry>>) {
        while self.has_room() {
            let Some(entry) = entries.pop_front() else { return };
            self.give(&entry);
        }
        if !entries.is_empty() {
            self.mailbox.put_back(entries);
        }
    }

    /// Reads the store behind the feed's position.
    async fn catch_up(&mut self) -> Result<(), End> {
        let (answer, page) = oneshot::channel();
        let (acct, after) = (self.login.acct, self.feed.position());
        let (count, bytes) = (self.feed.room(), limits::OUTPUT_MAX);
        self.gateway.store.query(Query::Inbox { acct, after, count, bytes, answer });
        let Inboxed { entries, end } = page.await.map_err(|_| End::storage())?;
        for entry in &entries {
            if !self.has_room() {
                return Ok(());
            }
            self.give(entry);
        }
        self.catching = !end;
        Ok(())
    }

    /// Gives one entry, unless it was given or is the device's own.
    fn give(&mut self, entry: &Entry) {
        if entry.n <= self.feed.position() {
            return;
        }
        if entry.device == self.login.dev {
            self.feed.pass_over(entry.n);
            return;
        }
        let prev = self.feed.give(entry.n, HEADER + entry.tail.len());
        let head = wire::deliver_head(self.place(prev), self.feed.presses());
        self.link.queue_parts(method::DELIVER, 0, &head, &entry.tail);
        self.mailbox.count_given();
        self.gateway.metrics.delivered.inc();
    }

    /// The full position of a place; the first one exactly as the client knows it.
    fn place(&self, n: u64) -> Position {
        if n == self.start.0 { self.start.1 } else { self.epochs.position(n) }
    }

    /// Tells the store how far the device is, when that moved without an acknowledgement.
    pub(super) async fn tell_cursor(&mut self) {
        if self.feed.cursor() > self.cursor_told {
            self.submit_ack().await;
        }
    }

    /// As [`Session::tell_cursor`], once it is worth an operation.
    pub(super) async fn tell_far_cursor(&mut self) {
        if self.feed.cursor() > self.cursor_told + PASSED_MAX {
            self.submit_ack().await;
        }
    }

    pub(super) async fn submit_ack(&mut self) {
        self.cursor_told = self.feed.cursor();
        let op = Op::Ack { fence: self.fence, acked: self.feed.acked(), cursor: self.cursor_told };
        self.gateway.store.submit(op).await;
    }

    fn queue_verdicts(&mut self, verdicts: Vec<Verdict>) {
        let mut frame = wire::Verdict::default();
        let mut places = 0;
        for verdict in verdicts {
            match verdict {
                Verdict::Decided { incarnation, .. } => {
                    self.undecided = self.undecided.saturating_sub(1);
                    self.gaps.retain(|(stream, _)| *stream != incarnation);
                    add_run(&mut frame.runs, &verdict);
                    places += 1;
                    if places == PLACES_PER_FRAME {
                        self.queue_runs(&mut frame);
                        places = 0;
                    }
                }
                Verdict::Gap { incarnation, last } => {
                    self.queue_runs(&mut frame);
                    self.tell_gap(incarnation, last);
                }
                Verdict::TryLater { code, after_ms } => {
                    self.queue_runs(&mut frame);
                    self.tell_later(code, after_ms);
                }
            }
        }
        self.queue_runs(&mut frame);
    }

    fn queue_runs(&mut self, frame: &mut wire::Verdict) {
        if !frame.runs.is_empty() {
            self.link.queue(&Frame::new(method::VERDICT, 0, &std::mem::take(frame)));
        }
    }

    /// Told once: everything that was on the way behind a gap falls into the same one.
    fn tell_gap(&mut self, incarnation: Incarnation, last: u64) {
        self.undecided = self.undecided.saturating_sub(1);
        if self.gaps.contains(&(incarnation, last)) {
            return;
        }
        self.gaps.retain(|(stream, _)| *stream != incarnation);
        if self.gaps.len() < limits::OPEN_STREAMS_MAX {
            self.gaps.push((incarnation, last));
        }
        self.link.queue(&Frame::new(method::GAP, 0, &wire::Gap { incarnation: incarnation.0, last }));
    }

    pub(super) fn tell_later(&mut self, code: Code, after_ms: u64) {
        self.gateway.metrics.later(code);
        self.undecided = 0;
        self.gaps.clear();
        if code == Code::SLOW_DOWN {
            self.quiet_until = self.gateway.clock.mono_ms().saturating_add(after_ms);
        }
        self.link.queue(&Frame::new(method::TRY_LATER, 0, &wire::TryLater { after_ms, code: code.0 }));
    }
}

/// The end that somebody else wants. A shutdown leaves the session open in the store: whoever comes back in time was never away.
/// Otherwise a late word about a session that the store ended itself changes nothing there.
fn told_to_end(code: Code, may_reconnect: bool) -> End {
    let how = match code {
        Code::SHUTTING_DOWN => None,
        Code::KICKED => Some(HowEnded::Kicked),
        _ => Some(HowEnded::Lost),
    };
    End::Over { code, may_reconnect, how }
}

/// Adds a decision to the last run where it continues it.
fn add_run(runs: &mut Vec<wire::Run>, verdict: &Verdict) {
    let Verdict::Decided { incarnation, cseq, code, position, online, audience, missed, retry_after_ms, stored } =
        *verdict
    else {
        return;
    };
    let place = position.unwrap_or_default();
    if let Some(run) = runs.last_mut() {
        let continues = run.incarnation == incarnation.0
            && run.first + u64::from(run.count) == cseq
            && run.code == code.0
            && run.n.is_empty() == position.is_none()
            && (run.epoch, run.nonce) == (place.epoch, place.nonce)
            && (run.online, run.audience, run.missed) == (online, audience, missed)
            && (run.retry_after_ms, run.stored) == (retry_after_ms, stored);
        if continues {
            run.count += 1;
            run.n.extend(position.map(|p| p.n));
            return;
        }
    }
    runs.push(wire::Run {
        incarnation: incarnation.0,
        first: cseq,
        count: 1,
        code: code.0,
        n: position.map(|p| p.n).into_iter().collect(),
        epoch: place.epoch,
        nonce: place.nonce,
        online,
        audience,
        missed,
        retry_after_ms,
        stored,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(cseq: u64, code: Code) -> Verdict {
        let position = (code == Code::ACCEPTED).then_some(Position { epoch: 1, nonce: 2, n: 100 + cseq });
        Verdict::Decided {
            incarnation: Incarnation(9),
            cseq,
            code,
            position,
            online: false,
            audience: 0,
            missed: false,
            retry_after_ms: 0,
            stored: false,
        }
    }

    #[test]
    fn equal_neighbours_are_one_run() {
        let mut runs = Vec::new();
        for (cseq, code) in [
            (1, Code::ACCEPTED),
            (2, Code::ACCEPTED),
            (3, Code::UNKNOWN_USER),
            (4, Code::UNKNOWN_USER),
            (5, Code::ACCEPTED),
            (7, Code::ACCEPTED),
        ] {
            add_run(&mut runs, &decided(cseq, code));
        }
        let shape: Vec<_> = runs.iter().map(|r| (r.first, r.count, r.n.clone())).collect();
        assert_eq!(shape, [(1, 2, vec![101, 102]), (3, 2, vec![]), (5, 1, vec![105]), (7, 1, vec![107])]);
    }
}

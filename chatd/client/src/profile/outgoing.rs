//! Own messages: queued, sent, decided; and everyone who waits to hear how far they got.

use std::collections::HashMap;

use chat_proto::control::ErrorData;
use chat_proto::control::account::Problem;
use chat_proto::control::message::{Pending, State};
use chat_proto::control::private::EndReason;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::{Incarnation, Position};
use chat_proto::limits::{
    BACKOFF_MIN, KNOWN_STREAMS, OPEN_STREAMS_MAX, OUTBOX_MAX, SEND_WINDOW, SEND_WINDOW_BYTES, TEXT_MAX,
};
use chat_proto::machine::outbox::{Cancel, Entry, Outbox, Reoffer, Transmit};
use chat_proto::peer::Bye;
use chat_proto::{method, wire};
use tokio::sync::oneshot;

use super::login::problem;
use super::owner::{Loaded, Owner, Then};
use super::session::Session;
use super::{Answer, Progress, Queued, SendAsk};
use crate::history::thread::Committed;
use crate::history::{Done, NewMessage, Outgoing, Place, Row, Sending, Trouble, Verdict, Write};
use crate::shown;

/// Bodies of what was just queued: most are sent at once and need not be read back.
#[derive(Default)]
pub(super) struct Fresh {
    bodies: HashMap<Place, Outgoing>,
    bytes: usize,
}

impl Fresh {
    fn keep(&mut self, body: Outgoing) {
        if self.bytes + body.body.len() <= SEND_WINDOW_BYTES {
            self.bytes += body.body.len();
            self.bodies.insert(body.place, body);
        }
    }

    /// The body of what was just queued.
    pub fn get(&self, place: &Place) -> Option<&Outgoing> {
        self.bodies.get(place)
    }

    pub fn forget(&mut self, place: Place) {
        if let Some(body) = self.bodies.remove(&place) {
            self.bytes -= body.body.len();
        }
    }
}

/// Somebody who waits until a message got so far.
pub(super) struct Waiter {
    goal: State,
    progress: Progress,
    /// A lost link does not end the wait.
    patient: bool,
    /// For a peer, not for the server.
    private: bool,
    reply: oneshot::Sender<Progress>,
}

impl Waiter {
    /// One who waits whatever happens to the link.
    pub fn patient(goal: State, progress: Progress, reply: oneshot::Sender<Progress>) -> Waiter {
        Waiter { goal, progress, patient: true, private: false, reply }
    }
}

impl Owner {
    pub fn send(&mut self, ask: SendAsk, reply: oneshot::Sender<Answer<Queued>>) {
        let h = wire::content_hash(&ask.to, ask.kind, &ask.content_type, &ask.body);
        if let Err(refusal) = self.may_send(&ask) {
            // The same key and content get the same answer whatever holds now (contract rule 7).
            let then = Then::Recalled { reply, wait: ask.wait, key: ask.key.clone(), refusal };
            self.submit(Write::Recall { key: ask.key, h }, then);
            return;
        }
        let Some(incarnation) = self.stream() else {
            let _ = reply.send(Err(Box::new(ErrorData { key: Some(ask.key), ..Code::INTERNAL.into() })));
            return;
        };
        let Some(device) = self.device.as_ref().map(|device| device.id) else {
            let _ = reply.send(Err(Box::new(self.not_logged_in())));
            return;
        };
        let then = Then::Queued { reply, wait: ask.wait, h, key: ask.key.clone() };
        let message = NewMessage {
            key: ask.key,
            kind: ask.kind,
            from: self.entry.user.clone(),
            to: ask.to,
            content_type: ask.content_type,
            body: ask.body,
            h,
            at_ms: self.around.world.now_ms(),
            device,
            incarnation,
            peer: None,
        };
        self.queueing += 1;
        self.submit(Write::Queue(message), then);
    }

    fn may_send(&self, ask: &SendAsk) -> Answer<()> {
        let refuse = |code: Code, subject: Option<String>| Err(Box::new(ErrorData { subject, ..code.into() }));
        if !self.entry.logged_in || self.leaving.is_some() {
            return Err(Box::new(self.not_logged_in()));
        }
        if ask.to == self.entry.user {
            return refuse(Code::YOURSELF, Some(ask.to.clone()));
        }
        if ask.body.len() > self.online().map_or(TEXT_MAX, |session| session.text_max) {
            return refuse(Code::TOO_LARGE, None);
        }
        if self.outbox.open_count() + self.queueing >= OUTBOX_MAX
            || (self.incarnation.is_none() && self.outbox.streams().count() >= OPEN_STREAMS_MAX)
        {
            return refuse(Code::OUTBOX_FULL, None);
        }
        if ask.no_queue && self.online().is_none() {
            return Err(Box::new(self.unreachable()));
        }
        Ok(())
    }

    /// The stream of this start; made with the first message.
    fn stream(&mut self) -> Option<Incarnation> {
        if self.incarnation.is_none() {
            match self.around.world.random() {
                Ok(random) => {
                    let incarnation = Incarnation(random);
                    self.incarnation = Some(incarnation);
                    self.known.insert(0, incarnation);
                    self.known.truncate(KNOWN_STREAMS);
                }
                Err(error) => tracing::error!(%error, "no randomness for a stream"),
            }
        }
        self.incarnation
    }

    /// A write came back.
    pub fn committed(&mut self, done: Committed<Then>) {
        self.writing -= 1;
        self.unwritten -= done.then.bytes();
        self.unfinished -= usize::from(done.then.holds_hello());
        match (done.outcome, done.then) {
            (outcome, Then::Queued { reply, wait, h, key }) => self.queued(outcome, reply, wait, h, &key),
            (outcome, Then::Recalled { reply, wait, key, refusal }) => {
                let _ = reply.send(self.recalled(outcome, wait, key, refusal));
            }
            (outcome, Then::Marked(reply)) => self.marked(outcome, reply),
            (outcome, Then::Cancelled(reply)) => {
                let _ = reply.send(self.cancelled(outcome));
            }
            (outcome, Then::Kept(reply)) => {
                // Who asked may have gone; it is written down all the same.
                let _ = reply.send(outcome.map_err(|_| Box::new(Code::DISK_FULL.into())));
            }
            (Err(_), then) => self.no_room(then),
            (Ok(_), Then::Files(ids)) => self.file_kept(&ids, true),
            (Ok(Done::Changed(rows)), Then::Settled { verdicts, retry }) => self.settled(&verdicts, &rows, &retry),
            (Ok(Done::Received { new, expired }), Then::Received { session, position, count, ack_now }) => {
                self.received(new, &expired, session, position, count, ack_now);
            }
            (Ok(Done::Belongs { moved, lost }), Then::Belongs) => self.belong(moved, &lost),
            (Ok(_), Then::Reopened { session, reoffer, entries }) => self.reopened(session, reoffer, entries),
            (Ok(Done::Changed(rows)), Then::Reached(_)) => rows.iter().for_each(|row| self.moved(row, None)),
            (Ok(Done::Received { new, .. }), Then::PeerReceived(receiving)) => self.peer_received(Some(new), receiving),
            (Ok(done), Then::PeerRead(id)) => {
                self.marked_read_there(&id);
                if let Done::Changed(rows) = done {
                    rows.iter().for_each(|row| self.moved(row, None));
                }
            }
            (Ok(Done::Changed(rows)), Then::Ended(endings)) => self.concluded(&rows, *endings),
            (Ok(_), Then::PeerReopened(reopening)) => self.peer_reopened(reopening),
            (Ok(_), Then::ReadElsewhere(_)) => self.tell_unread(),
            (Ok(_), _) => {}
        }
        if !self.belonging {
            self.hello();
        }
    }

    /// The disk is full: what came stays with the server, the link is made again later.
    fn no_room(&mut self, then: Then) {
        tracing::error!(profile = self.name, "the disk is full");
        let harmless = matches!(
            then,
            Then::Nothing
                | Then::Files(_)
                | Then::Reached(_)
                | Then::ReadElsewhere(_)
                | Then::PeerReceived(_)
                | Then::PeerRead(_)
                | Then::PeerReopened(_)
                | Then::Ended(_)
        );
        match then {
            Then::Received { .. } => self.inbox.receiving = false,
            Then::Settled { verdicts, retry } => self.unsettled.push((verdicts, retry)),
            Then::Belongs => (self.belongs, self.belonging) = (None, false),
            Then::PeerReceived(receiving) => self.peer_received(None, receiving),
            Then::PeerRead(id) => self.marked_read_there(&id),
            Then::PeerReopened(reopening) => self.not_reopened(&reopening),
            Then::Ended(endings) => self.not_concluded(*endings),
            Then::Files(ids) => self.file_kept(&ids, false),
            _ => {}
        }
        if !self.problems.iter().any(|problem| problem.code == Code::DISK_FULL) {
            self.problems.push(Problem { code: Code::DISK_FULL, subject: None });
        }
        if !harmless {
            self.lost("the disk is full");
        }
    }

    fn belong(&mut self, moved: bool, lost: &[Row]) {
        self.belonging = false;
        if moved {
            tracing::warn!(profile = self.name, lost = lost.len(), "another server or device: streams begin anew");
            self.outbox = Outbox::default();
            self.end_sessions(EndReason::Other, Bye::GONE);
            self.private.outboxes.clear();
            self.private.streams.clear();
            self.private.current.clear();
            self.fresh = Fresh::default();
            self.inbox.cursor = None;
            self.marks.clear();
        }
        lost.iter().for_each(|row| self.moved(row, None));
        self.hello();
    }

    fn queued(
        &mut self,
        outcome: Result<Done, Trouble>,
        reply: oneshot::Sender<Answer<Queued>>,
        wait: State,
        h: [u8; 32],
        key: &str,
    ) {
        self.queueing -= 1;
        let refuse = |code: Code| Err(Box::new(ErrorData { key: Some(key.to_owned()), ..code.into() }));
        let answer = match outcome {
            Ok(Done::Queued { row, entry }) => {
                if let Some(entry) = entry {
                    self.taken(&row, entry, h);
                }
                Ok(self.follow_up(&row, entry.is_none(), wait))
            }
            Ok(Done::Conflict) => refuse(Code::CONFLICT),
            _ => refuse(Code::DISK_FULL),
        };
        // A chatctl that went away finds the message in the outbox.
        let _ = reply.send(answer);
    }

    fn recalled(
        &mut self,
        outcome: Result<Done, Trouble>,
        wait: State,
        key: String,
        refusal: Box<ErrorData>,
    ) -> Answer<Queued> {
        match outcome {
            Ok(Done::Queued { row, .. }) => Ok(self.follow_up(&row, true, wait)),
            Ok(Done::Conflict) => Err(Box::new(ErrorData { key: Some(key), ..Code::CONFLICT.into() })),
            _ => Err(refusal),
        }
    }

    /// The message is on the disk: from here on it will be sent whatever happens.
    fn taken(&mut self, row: &Row, entry: Entry, h: [u8; 32]) {
        self.problems.retain(|problem| problem.code != Code::DISK_FULL);
        match row.kind {
            wire::kind::PRIVATE => self.private_taken(row.place.incarnation, entry),
            _ => self.outbox.handle_queued(row.place.incarnation, entry),
        }
        self.fresh.keep(Outgoing {
            place: row.place,
            to: row.to.clone(),
            kind: row.kind,
            content_type: row.content_type.clone(),
            body: row.body.clone(),
            h: h.to_vec(),
        });
    }

    /// What the sender is told now, and how he hears more.
    fn follow_up(&mut self, row: &Row, duplicate: bool, goal: State) -> Queued {
        let mut progress = Progress { sent: shown::sent(row, duplicate), code: row.code, retry_after_ms: None };
        let index = row.index;
        if row.state.reached(goal) {
            return Queued { progress, index, more: None };
        }
        let private = row.kind == wire::kind::PRIVATE;
        // One whose session ended while it was written down is failing just now: that is waited for.
        let failing = private && !duplicate && self.private.with(&row.to).is_none();
        let cause = match private {
            true if failing => None,
            true => self.peer_away(&row.to),
            false => self.cannot_decide_now(),
        };
        if let Some(cause) = cause {
            progress.sent = pending(progress.sent, &cause);
            return Queued { progress, index, more: None };
        }
        if row.state >= State::Accepted && !private {
            self.follow(row.to.clone());
        }
        let (reply, more) = oneshot::channel();
        self.wait(index, Waiter { goal, progress: progress.clone(), patient: false, private, reply });
        Queued { progress, index, more: Some(more) }
    }

    /// Why no verdict can come now. A link that waits for its next try is tried at once.
    fn cannot_decide_now(&mut self) -> Option<ErrorData> {
        if let Some((code, until)) = self.later {
            let left = until.saturating_sub(self.around.world.mono_ms());
            return Some(ErrorData { retry_after_ms: Some(left), ..code.into() });
        }
        if self.hurry(BACKOFF_MIN) { None } else { Some(self.unreachable()) }
    }

    /// Somebody waits for a message.
    pub fn wait(&mut self, index: u64, waiter: Waiter) {
        let list = self.waiters.entry(index).or_default();
        // Those whose chatctl went away make room.
        list.retain(|waiter| !waiter.reply.is_closed());
        list.push(waiter);
    }

    /// No verdict will come soon: who waits for one is told so; the messages stay queued.
    pub fn give_up_waiting(&mut self, why: Option<&ErrorData>) {
        let unreachable = self.unreachable();
        let why = why.map_or(&unreachable, |why| why);
        let after = self.retry_after_ms();
        let cause = ErrorData { retry_after_ms: why.retry_after_ms.or(after), ..why.clone() };
        self.waiters.retain(|_, list| {
            let hopeless = |w: &mut Waiter| !w.patient && !w.private && w.progress.sent.state == State::Queued;
            for waiter in list.extract_if(.., hopeless) {
                let sent = pending(waiter.progress.sent, &cause);
                let _ = waiter.reply.send(Progress { sent, ..waiter.progress });
            }
            list.retain(|waiter| !waiter.reply.is_closed());
            !list.is_empty()
        });
        if self.online().is_none() {
            for (_, _, parked) in std::mem::take(&mut self.parked) {
                super::session::refuse(parked, &cause);
            }
        }
    }

    /// The peer is away: who waits for it to take a text is told so.
    pub fn give_up_private(&mut self, peer: &str) {
        let cause = ErrorData { subject: Some(peer.to_owned()), ..Code::PEER_UNREACHABLE.into() };
        self.waiters.retain(|_, list| {
            let hopeless = |w: &mut Waiter| {
                w.private && w.progress.sent.state == State::Queued && w.progress.sent.to.as_deref() == Some(peer)
            };
            for waiter in list.extract_if(.., hopeless) {
                let sent = pending(waiter.progress.sent, &cause);
                let _ = waiter.reply.send(Progress { sent, ..waiter.progress });
            }
            !list.is_empty()
        });
    }

    /// Gives a message up. It is void at once and on the disk soon: a kill in between loses the wish, and no more.
    pub fn cancel(&mut self, place: Place, reply: oneshot::Sender<Answer<()>>) {
        let unsent = match self.outbox_of(place.incarnation).handle_cancel(place.incarnation, place.cseq) {
            Cancel::TooLate => {
                let _ = reply.send(Ok(()));
                return;
            }
            Cancel::Unsent => true,
            Cancel::Unsure => false,
        };
        self.submit(Write::Cancel { place, unsent }, Then::Cancelled(reply));
    }

    fn cancelled(&mut self, outcome: Result<Done, Trouble>) -> Answer<()> {
        match outcome {
            Ok(Done::Changed(rows)) => {
                rows.iter().filter(|row| row.state == State::Failed).for_each(|row| self.moved(row, None));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Box::new(Code::DISK_FULL.into())),
        }
    }

    /// Decisions came.
    pub fn verdicts(&mut self, verdict: wire::Verdict) {
        let (mut verdicts, mut retry) = (Vec::new(), HashMap::new());
        for run in verdict.runs {
            let incarnation = Incarnation(run.incarnation);
            for step in 0..u64::from(run.count).min(SEND_WINDOW) {
                let cseq = run.first.saturating_add(step);
                let n = usize::try_from(step).ok().and_then(|step| run.n.get(step)).copied();
                let position = n.map(|n| Position { epoch: run.epoch, nonce: run.nonce, n });
                let settle = self.outbox.handle_verdict(incarnation, cseq, Code(run.code), position, run.stored);
                let Some(settle) = settle else { continue };
                if run.retry_after_ms > 0 {
                    retry.insert(Place { incarnation, cseq }, run.retry_after_ms);
                }
                let sending = self.sent.remove(&Place { incarnation, cseq });
                verdicts.push(Verdict {
                    sending,
                    settle,
                    online: run.online,
                    audience: run.audience,
                    missed: run.missed,
                });
            }
        }
        self.settle(verdicts, retry);
    }

    /// Writes decisions down; only then are they told to anybody, the server included.
    pub fn settle(&mut self, verdicts: Vec<Verdict>, retry: HashMap<Place, u64>) {
        if verdicts.is_empty() {
            return;
        }
        self.submit(Write::Settle(verdicts.clone()), Then::Settled { verdicts, retry });
    }

    fn settled(&mut self, verdicts: &[Verdict], rows: &[Row], retry: &HashMap<Place, u64>) {
        for verdict in verdicts {
            let place = Place { incarnation: verdict.settle.incarnation, cseq: verdict.settle.cseq };
            self.outbox_of(place.incarnation).handle_settled(place.incarnation, place.cseq);
            self.fresh.forget(place);
            self.tries = 0;
            if verdict.settle.code == Code::CONFLICT && self.incarnation == Some(place.incarnation) {
                tracing::error!(
                    profile = self.name,
                    "another copy of this device sends in its stream: a new one begins"
                );
                self.incarnation = None;
            }
        }
        for row in rows {
            self.moved(row, retry.get(&row.place).copied());
            if row.state == State::Accepted && row.kind == wire::kind::DIRECT {
                self.follow(row.to.clone());
            }
        }
    }

    /// An own message got further: its waiters and the followers are told.
    pub fn moved(&mut self, row: &Row, retry_after_ms: Option<u64>) {
        self.tell(0, shown::moved(row, self.around.world.now_ms()));
        let Some(list) = self.waiters.get_mut(&row.index) else { return };
        for waiter in list.iter_mut() {
            let sent = shown::sent(row, waiter.progress.sent.duplicate);
            waiter.progress = Progress { sent, code: row.code, retry_after_ms };
        }
        for waiter in list.extract_if(.., |waiter| row.state.reached(waiter.goal)) {
            let _ = waiter.reply.send(waiter.progress);
        }
        if list.is_empty() {
            self.waiters.remove(&row.index);
        }
    }

    pub fn try_later(&mut self, later: wire::TryLater) {
        let now = self.around.world.mono_ms();
        let after = self.outbox.handle_try_later(now, later.after_ms);
        // One that asks all the time must not fill the log.
        if self.later.is_none() {
            tracing::info!(profile = self.name, code = Code(later.code).name(), after, "the server asks to wait");
        }
        self.later = Some((Code(later.code), now + after));
        self.give_up_waiting(Some(&ErrorData { retry_after_ms: Some(after), ..Code(later.code).into() }));
    }

    /// The server decided nothing behind a place.
    pub fn gap(&mut self, gap: &wire::Gap) {
        self.outbox.handle_gap(self.around.world.mono_ms(), Incarnation(gap.incarnation));
    }

    /// Lost places are open again on the disk; they go first.
    fn reopened(&mut self, session: u64, reoffer: Reoffer, entries: Vec<Entry>) {
        if session == self.sessions {
            self.outbox.handle_reoffer(reoffer, entries);
            self.reoffering = self.reoffering.saturating_sub(1);
        }
    }

    /// Sends what the machine lets out now.
    pub fn transmit(&mut self) {
        let now = self.around.world.mono_ms();
        self.later.take_if(|(_, until)| *until <= now);
        let mut unread = Vec::new();
        while self.may_transmit()
            && let Some(transmit) = self.outbox.poll_transmit(now)
        {
            // Behind one that must be read first, all must wait: the order is the promise.
            if !unread.is_empty() || !self.put(&transmit, None) {
                unread.push(transmit);
            }
        }
        if !unread.is_empty() {
            self.load(unread);
        }
    }

    /// Whether the machine may let something out.
    pub fn may_transmit(&self) -> bool {
        let held = self.loading || self.reoffering > 0 || self.leaving.is_some();
        !held && self.online().is_some_and(Session::has_room)
    }

    /// Puts one on the link; false when its body is not at hand.
    fn put(&mut self, transmit: &Transmit, read: Option<&Outgoing>) -> bool {
        match *transmit {
            Transmit::Void { incarnation, cseq } => {
                self.push(method::VOID, &wire::Void { incarnation: incarnation.0, first: cseq, last: cseq });
                true
            }
            Transmit::Send { incarnation, cseq, settled } => {
                let Some(body) = read.or_else(|| self.fresh.bodies.get(&Place { incarnation, cseq })) else {
                    return false;
                };
                let send = wire::Send {
                    incarnation: incarnation.0,
                    cseq,
                    settled,
                    to: body.to.clone(),
                    kind: body.kind,
                    h: body.h.clone(),
                    content_type: body.content_type.clone(),
                    body: body.body.clone(),
                };
                if let Some(session) = &mut self.session {
                    session.link.queue(&Frame::new(method::SEND, 0, &send));
                }
                self.was_sent(Place { incarnation, cseq });
                true
            }
        }
    }

    /// Remembered until the verdict is written down, or the link is lost.
    pub fn was_sent(&mut self, place: Place) {
        let at_ms = self.around.world.now_ms();
        let sending = self.sent.entry(place).or_insert(Sending { first_ms: at_ms, last_ms: at_ms, count: 0 });
        (sending.last_ms, sending.count) = (at_ms, sending.count + 1);
    }

    /// What was sent and not decided is written down, so that it can be traced though it never arrives.
    pub fn keep_sent(&mut self) {
        if !self.sent.is_empty() {
            let sent = self.sent.drain().collect();
            self.submit(Write::Sent(sent), Then::Nothing);
        }
    }

    fn load(&mut self, transmits: Vec<Transmit>) {
        self.loading = true;
        let (reader, loads, session) = (self.reader.clone(), self.loads.clone(), self.sessions);
        tokio::spawn(async move {
            let places: Vec<Place> = transmits.iter().map(place_of).collect();
            let bodies = reader.ask(move |history| history.load(&places)).await;
            let _ = loads.send(Loaded::Bodies { session, transmits, bodies });
        });
    }

    pub fn bodies(&mut self, session: u64, transmits: &[Transmit], bodies: Result<Vec<Outgoing>, Trouble>) {
        if session != self.sessions {
            return;
        }
        self.loading = false;
        let bodies: HashMap<Place, Outgoing> = match bodies {
            Ok(bodies) => bodies.into_iter().map(|body| (body.place, body)).collect(),
            Err(error) => return self.lost(&error.to_string()),
        };
        for transmit in transmits {
            if !self.put(transmit, bodies.get(&place_of(transmit))) {
                // Only a damaged history has places without a message; the rest must not overtake it.
                return self.lost("a queued message cannot be read");
            }
        }
    }
}

/// Where a transmit stands.
pub(super) fn place_of(transmit: &Transmit) -> Place {
    match *transmit {
        Transmit::Send { incarnation, cseq, .. } | Transmit::Void { incarnation, cseq } => Place { incarnation, cseq },
    }
}

/// The answer while no verdict can come: it stays queued.
fn pending(sent: chat_proto::control::message::Sent, why: &ErrorData) -> chat_proto::control::message::Sent {
    chat_proto::control::message::Sent {
        pending: Some(Pending::Unreachable),
        retry_after_ms: why.retry_after_ms,
        cause: Some(problem(why)),
        ..sent
    }
}

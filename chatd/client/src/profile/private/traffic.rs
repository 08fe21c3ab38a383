//! Texts of private sessions, both ways (contract rule 13). The same machine as towards the server says what may be on the way; the
//! peer's history commit is the verdict.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use chat_proto::control::ErrorData;
use chat_proto::control::private::{EndReason, SessionState};
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::Incarnation;
use chat_proto::limits::{CONTENT_TYPE_MAX, OPEN_STREAMS_MAX, OUTBOX_MAX, SEND_WINDOW, TEXT_MAX};
use chat_proto::machine::outbox::{self, Outbox, Remembered, Reoffer, Settle, Transmit};
use chat_proto::method::peer as method;
use chat_proto::peer::{self, Bye};
use chat_proto::wire::{self, content_hash, kind};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::request::about;
use crate::history::{
    NewMessage, Outgoing, PeerDevice, Place, PrivateIncoming, PrivateText, ReadHere, Row, Taken, Trouble, Verdict,
    Write,
};
use crate::profile::outgoing::place_of;
use crate::profile::owner::{Loaded, Owner, Then};
use crate::profile::{Answer, Queued, SendAsk};
use chat_proto::machine::private::requests::RequestId;

/// A peer whose texts have no room here tries again after this.
const NO_ROOM: Duration = Duration::from_secs(10);

/// What goes through a session just now; all of it begins anew with each connection.
#[derive(Default)]
pub(in crate::profile) struct Traffic {
    /// The number of the connection that is up, so that what belongs to an old one is known; 0: there is none.
    connection: u64,
    /// The peer said what it has: texts may go.
    ready: bool,
    /// The peer named its streams.
    greeted: bool,
    /// Bodies are being read; nothing may overtake them.
    loading: bool,
    /// Streams whose lost places are not offered again yet.
    reoffering: usize,
    /// The highest place of the peer's streams that was taken, or is being committed.
    taken: HashMap<Incarnation, u64>,
    /// The same, committed.
    committed: HashMap<Incarnation, u64>,
    /// What waits for a commit, with its share of the peer's window.
    waiting: Vec<(PrivateIncoming, Option<OwnedSemaphorePermit>)>,
    /// A commit is on its way; what comes meanwhile waits for the next.
    committing: bool,
    /// The peer's streams were named before a commit was back.
    named: Option<Vec<Incarnation>>,
    /// How far the peer read the own streams, where that is not written down yet.
    read: HashMap<Incarnation, u64>,
    /// That is being written down; what comes meanwhile waits for the next.
    marking: bool,
}

impl Traffic {
    /// The number of the connection that is up; 0: there is none.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// A connection is up.
    fn connected(&mut self, connection: u64) {
        self.disconnected();
        self.connection = connection;
    }

    /// The connection is lost.
    pub fn disconnected(&mut self) {
        *self = Traffic {
            committing: self.committing,
            read: std::mem::take(&mut self.read),
            marking: self.marking,
            ..Traffic::default()
        };
    }
}

/// What a commit of a peer's texts was for.
pub(in crate::profile) struct Receiving {
    pub id: RequestId,
    connection: u64,
    decided: HashMap<Incarnation, Decided>,
    // Comes back to the peer with the commit.
    _shares: Vec<Option<OwnedSemaphorePermit>>,
}

/// What a commit decides of a stream.
#[derive(Default)]
struct Decided {
    last: u64,
    voids: Vec<u64>,
}

/// Lost places of a peer's stream, for a session's connection.
pub(in crate::profile) struct Reopening {
    pub id: RequestId,
    connection: u64,
    reoffer: Reoffer,
    entries: Vec<outbox::Entry>,
}

impl Owner {
    /// `private`.
    pub fn send_private(&mut self, ask: SendAsk, reply: oneshot::Sender<Answer<Queued>>) {
        let h = content_hash(&ask.to, kind::PRIVATE, &ask.content_type, &ask.body);
        let (device, own) = match self.may_send_private(&ask) {
            Ok(both) => both,
            Err(refusal) => {
                let then = Then::Recalled { reply, wait: ask.wait, key: ask.key.clone(), refusal };
                return self.submit(Write::Recall { key: ask.key, h }, then);
            }
        };
        let Some(incarnation) = self.stream_to(&device) else {
            let _ = reply.send(Err(Box::new(ErrorData { key: Some(ask.key), ..Code::INTERNAL.into() })));
            return;
        };
        let then = Then::Queued { reply, wait: ask.wait, h, key: ask.key.clone() };
        let message = NewMessage {
            key: ask.key,
            kind: kind::PRIVATE,
            from: self.entry.user.clone(),
            to: ask.to,
            content_type: ask.content_type,
            body: ask.body,
            h,
            at_ms: self.around.world.now_ms(),
            device: own,
            incarnation,
            peer: Some(device),
        };
        self.queueing += 1;
        self.submit(Write::Queue(message), then);
    }

    fn may_send_private(&self, ask: &SendAsk) -> Answer<(PeerDevice, chat_proto::id::DeviceId)> {
        let own = self.device.as_ref().filter(|_| self.entry.logged_in && self.leaving.is_none());
        let Some(own) = own.map(|device| device.id) else { return Err(Box::new(self.not_logged_in())) };
        if ask.to == self.entry.user {
            return Err(about(Code::YOURSELF, &ask.to));
        }
        let Some(talk) = self.private.with(&ask.to) else { return Err(about(Code::NO_SESSION, &ask.to)) };
        if ask.body.len() > TEXT_MAX {
            return Err(Box::new(Code::TOO_LARGE.into()));
        }
        let outbox = self.private.outboxes.get(&talk.device);
        let (waiting, streams) = outbox.map_or((0, 0), |outbox| (outbox.open_count(), outbox.streams().count()));
        // The peer takes no greeting that names more; a text of this start would begin one.
        let begins = !self.private.current.contains_key(&talk.device);
        if waiting + self.queueing >= OUTBOX_MAX || (begins && streams >= OPEN_STREAMS_MAX) {
            return Err(Box::new(Code::OUTBOX_FULL.into()));
        }
        Ok((talk.device, own))
    }

    /// The stream of this start to a peer's device; made with the first text.
    fn stream_to(&mut self, device: &PeerDevice) -> Option<Incarnation> {
        if let Some(known) = self.private.current.get(device) {
            return Some(*known);
        }
        match self.around.world.random() {
            Ok(random) => {
                let incarnation = Incarnation(random);
                self.private.current.insert(*device, incarnation);
                self.private.streams.insert(incarnation, *device);
                Some(incarnation)
            }
            Err(error) => {
                tracing::error!(%error, "no randomness for a stream");
                None
            }
        }
    }

    /// Why a private text cannot be delivered now; nothing when it can.
    pub(in crate::profile) fn peer_away(&self, user: &str) -> Option<ErrorData> {
        let open = self.private.with(user).is_some_and(|talk| talk.state == SessionState::Open);
        (!open).then(|| *about(Code::PEER_UNREACHABLE, user))
    }

    fn say(&self, id: &RequestId, name: chat_proto::method::Tag4, body: &impl prost::Message) {
        if let Some(talk) = self.private.sessions.iter().find(|talk| talk.id == *id) {
            talk.say(Frame::new(name, 0, body));
        }
    }

    /// The connection is there: the own streams are named.
    pub(super) fn name_streams(&mut self, id: &RequestId, connection: u64) {
        let Some(talk) = self.private.talk(id) else { return };
        talk.traffic.connected(connection);
        let device = talk.device;
        let outbox = self.private.outboxes.entry(device).or_default();
        outbox.handle_disconnected();
        let streams =
            outbox.streams().map(|(incarnation, settled)| wire::OpenStream { incarnation: incarnation.0, settled });
        let streams = peer::Streams { streams: streams.collect() };
        self.say(id, method::STREAMS, &streams);
    }

    /// One frame of a peer. What makes no sense ends the session.
    pub(super) fn peer_frame(&mut self, id: &RequestId, frame: Frame, share: OwnedSemaphorePermit) {
        if self.private.talk(id).is_none() {
            return;
        }
        if self.understood(id, frame, share).is_err() {
            tracing::warn!(profile = self.name, "a peer broke the protocol");
            self.end_session(id, EndReason::Other, true, Some(Bye::PROTOCOL));
        }
    }

    fn understood(&mut self, id: &RequestId, frame: Frame, share: OwnedSemaphorePermit) -> Result<(), Broken> {
        let body = frame.body.clone();
        match frame.name {
            method::STREAMS => self.peer_streams(id, &peer::Streams::decode(body)?),
            method::WELCOME => self.peer_welcome(id, peer::Welcome::decode(body)?),
            method::SEND => self.peer_send(id, peer::Send::decode(body)?, share),
            method::VOID => self.peer_void(id, &peer::Void::decode(body)?, share),
            method::VERDICT => {
                let verdict = peer::Verdict::decode(body)?;
                self.peer_verdict(id, &verdict);
                Ok(())
            }
            method::GAP => {
                let (gap, now) = (peer::Upto::decode(body)?, self.around.world.mono_ms());
                if let Some(outbox) = self.outbox_to(id) {
                    outbox.handle_gap(now, Incarnation(gap.incarnation));
                }
                Ok(())
            }
            method::TRY_LATER => {
                let (later, now) = (peer::TryLater::decode(body)?, self.around.world.mono_ms());
                if let Some(outbox) = self.outbox_to(id) {
                    outbox.handle_try_later(now, later.after_ms);
                }
                Ok(())
            }
            method::READ => {
                let read = peer::Upto::decode(body)?;
                let incarnation = Incarnation(read.incarnation);
                if self.leads_to(id, incarnation)
                    && let Some(talk) = self.private.talk(id)
                {
                    let last = talk.traffic.read.entry(incarnation).or_default();
                    *last = read.last.max(*last);
                }
                Ok(())
            }
            method::BYE => {
                let reason = peer::Bye::decode(body)?.reason;
                self.peer_bye(id, reason);
                Ok(())
            }
            method::FILE_OFFER | method::FILE_ACCEPT | method::FILE_CANCEL | method::FILE_DONE => {
                Ok(self.file_frame(id, &frame)?)
            }
            // A newer peer may say what this build does not know.
            _ => Ok(()),
        }
    }

    fn outbox_to(&mut self, id: &RequestId) -> Option<&mut Outbox> {
        let device = self.private.talk(id)?.device;
        self.private.outboxes.get_mut(&device)
    }

    /// A peer may speak of streams to itself alone.
    fn leads_to(&mut self, id: &RequestId, incarnation: Incarnation) -> bool {
        let device = self.private.talk(id).map(|talk| talk.device);
        device.is_some() && self.private.streams.get(&incarnation) == device.as_ref()
    }

    fn peer_streams(&mut self, id: &RequestId, streams: &peer::Streams) -> Result<(), Broken> {
        if streams.streams.len() > OPEN_STREAMS_MAX {
            return Err(Broken);
        }
        let named = streams.streams.iter().map(|stream| Incarnation(stream.incarnation)).collect();
        if let Some(talk) = self.private.talk(id) {
            // Once a connection: each costs a look at the history.
            if std::mem::replace(&mut talk.traffic.greeted, true) {
                return Err(Broken);
            }
            talk.traffic.named = Some(named);
        }
        self.look_up_taken(id);
        Ok(())
    }

    /// What is here of the peer's streams is read, once nothing of it is about to change.
    fn look_up_taken(&mut self, id: &RequestId) {
        let (reader, loads, account) = (self.reader.clone(), self.loads.clone(), self.entry.user.clone());
        let Some(talk) = self.private.talk(id).filter(|talk| !talk.traffic.committing) else { return };
        let Some(named) = talk.traffic.named.take() else { return };
        let (id, device, connection) = (*id, talk.device.device, talk.traffic.connection);
        tokio::spawn(async move {
            let taken = reader.ask(move |history| history.taken(device, &named, &account)).await;
            let _ = loads.send(Loaded::Taken { id, connection, taken });
        });
    }

    /// It is known what is here of the peer's streams: it is told.
    pub fn peer_taken(&mut self, id: &RequestId, connection: u64, taken: Result<Vec<Taken>, Trouble>) {
        let shares = self.around.send_read;
        let Some(talk) = self.private.talk(id).filter(|talk| talk.traffic.connection == connection) else { return };
        let Ok(taken) = taken else {
            return self.end_session(id, EndReason::Other, false, Some(Bye::GONE));
        };
        talk.traffic.taken = taken.iter().map(|one| (one.incarnation, one.last)).collect();
        talk.traffic.committed = talk.traffic.taken.clone();
        let streams = taken.iter().map(|one| wire::StreamState {
            incarnation: one.incarnation.0,
            last: one.last,
            decisions: one
                .decisions
                .iter()
                .map(|(h8, code)| wire::Decision { h8: *h8, code: code.0, position: None })
                .collect(),
        });
        let welcome = peer::Welcome { streams: streams.collect() };
        self.say(id, method::WELCOME, &welcome);
        for one in taken.iter().filter(|one| shares && one.read > 0) {
            self.say(id, method::READ, &peer::Upto { incarnation: one.incarnation.0, last: one.read });
        }
    }

    /// The peer said what it has of the own streams.
    fn peer_welcome(&mut self, id: &RequestId, welcome: peer::Welcome) -> Result<(), Broken> {
        if welcome.streams.len() > OPEN_STREAMS_MAX || self.private.talk(id).is_some_and(|talk| talk.traffic.ready) {
            return Err(Broken);
        }
        let remembered: Vec<Remembered> = welcome
            .streams
            .iter()
            .map(|state| Remembered {
                incarnation: Incarnation(state.incarnation),
                last: state.last,
                decisions: state.decisions.iter().map(|d| (d.h8, Code(d.code), None)).collect(),
            })
            .collect();
        let Some(outbox) = self.outbox_to(id) else { return Ok(()) };
        let (settles, forgotten) = outbox.handle_welcome(&remembered);
        self.settle_private(settles);
        let (reader, loads, id) = (self.reader.clone(), self.loads.clone(), *id);
        let Some(talk) = self.private.talk(&id) else { return Ok(()) };
        talk.traffic.ready = true;
        talk.traffic.reoffering = forgotten.len();
        let connection = talk.traffic.connection;
        for reoffer in forgotten {
            let (reader, loads) = (reader.clone(), loads.clone());
            tokio::spawn(async move {
                let Reoffer { incarnation, first, last } = reoffer;
                let entries = reader.ask(move |history| history.forgotten(incarnation, first, last)).await;
                let _ = loads.send(Loaded::PeerForgot { id, connection, reoffer, entries });
            });
        }
        Ok(())
    }

    /// The peer lost what it had taken (it was set back to an old copy): the places are open again, on the disk first.
    pub fn peer_forgot(
        &mut self,
        id: RequestId,
        connection: u64,
        reoffer: Reoffer,
        entries: Result<Vec<outbox::Entry>, Trouble>,
    ) {
        if self.private.talk(&id).is_none_or(|talk| talk.traffic.connection != connection) {
            return;
        }
        let Ok(entries) = entries else {
            return self.end_session(&id, EndReason::Other, false, Some(Bye::GONE));
        };
        let again =
            entries.iter().filter(|e| !e.void).map(|e| Place { incarnation: reoffer.incarnation, cseq: e.cseq });
        let again = again.collect();
        self.submit(Write::Reopen(again), Then::PeerReopened(Reopening { id, connection, reoffer, entries }));
    }

    /// There is no room for that: it is tried again with the next session.
    pub fn not_reopened(&mut self, reopening: &Reopening) {
        self.end_session(&reopening.id, EndReason::Other, false, Some(Bye::GONE));
    }

    /// They are: they go first.
    pub fn peer_reopened(&mut self, reopening: Reopening) {
        let Reopening { id, connection, reoffer, entries } = reopening;
        let Some(talk) = self.private.talk(&id).filter(|talk| talk.traffic.connection == connection) else { return };
        talk.traffic.reoffering = talk.traffic.reoffering.saturating_sub(1);
        if let Some(outbox) = self.outbox_to(&id) {
            outbox.handle_reoffer(reoffer, entries);
        }
    }

    fn peer_send(&mut self, id: &RequestId, send: peer::Send, share: OwnedSemaphorePermit) -> Result<(), Broken> {
        let own = self.entry.user.clone();
        let h = content_hash(&own, kind::PRIVATE, &send.content_type, &send.body);
        if send.body.len() > TEXT_MAX || send.content_type.len() > CONTENT_TYPE_MAX || send.h != h {
            return Err(Broken);
        }
        let text = PrivateText {
            content_type: send.content_type,
            // A copy: the frame's body shares the memory of a whole read.
            body: bytes::Bytes::copy_from_slice(&send.body),
            at_ms: send.at_ms,
        };
        let incarnation = Incarnation(send.incarnation);
        let placed = self.take(id, Place { incarnation, cseq: send.cseq }, Some(text), Some(share))?;
        self.say_placed(id, incarnation, &placed);
        Ok(())
    }

    fn peer_void(&mut self, id: &RequestId, void: &peer::Void, share: OwnedSemaphorePermit) -> Result<(), Broken> {
        if void.first == 0 || void.last < void.first || void.last - void.first >= SEND_WINDOW {
            return Err(Broken);
        }
        let (mut share, incarnation) = (Some(share), Incarnation(void.incarnation));
        let mut placed = Placed::Next;
        for cseq in void.first..=void.last {
            match self.take(id, Place { incarnation, cseq }, None, share.take())? {
                Placed::Next => {}
                known => placed = known,
            }
        }
        // Once for all its places: a small frame makes no more than one.
        self.say_placed(id, incarnation, &placed);
        Ok(())
    }

    /// A place of a peer's stream: the next one is kept for the commit.
    fn take(
        &mut self,
        id: &RequestId,
        place: Place,
        text: Option<PrivateText>,
        share: Option<OwnedSemaphorePermit>,
    ) -> Result<Placed, Broken> {
        let own = self.entry.user.clone();
        let Some(talk) = self.private.talk(id) else { return Ok(Placed::Next) };
        let streams = talk.traffic.taken.len();
        let taken = match talk.traffic.taken.entry(place.incarnation) {
            Entry::Occupied(taken) => taken.into_mut(),
            // A stream that begins now; all others were named.
            Entry::Vacant(begins) if place.cseq == 1 && streams < 2 * OPEN_STREAMS_MAX => begins.insert(0),
            Entry::Vacant(_) => return Err(Broken),
        };
        let committed = talk.traffic.committed.get(&place.incarnation).copied().unwrap_or_default();
        // No peer that keeps its window has more on the way; so what waits here is bounded too, voids among it.
        if place.cseq > committed.saturating_add(SEND_WINDOW) {
            return Err(Broken);
        }
        if place.cseq <= *taken {
            return Ok(Placed::Here { committed });
        }
        if place.cseq > *taken + 1 {
            return Ok(Placed::Beyond { last: *taken });
        }
        *taken = place.cseq;
        let (from, device) = (talk.peer.clone(), talk.device.device);
        talk.traffic.waiting.push((PrivateIncoming { from, to: own, device, place, text }, share));
        Ok(Placed::Next)
    }

    /// One that is here is confirmed again, one beyond the next is refused.
    fn say_placed(&mut self, id: &RequestId, incarnation: Incarnation, placed: &Placed) {
        let incarnation = incarnation.0;
        match *placed {
            Placed::Next => {}
            Placed::Here { committed: last } => {
                self.say(id, method::VERDICT, &peer::Verdict { incarnation, last, voids: Vec::new() });
            }
            Placed::Beyond { last } => self.say(id, method::GAP, &peer::Upto { incarnation, last }),
        }
    }

    /// Commits what came; one commit a session at a time, with all that waits.
    pub fn peer_receive(&mut self) {
        self.mark_read_there();
        let due = |talk: &&mut super::Talk| !talk.traffic.committing && !talk.traffic.waiting.is_empty();
        let mut writes = Vec::new();
        for talk in self.private.sessions.iter_mut().filter(due) {
            talk.traffic.committing = true;
            writes.push(receive(talk));
        }
        for (write, then) in writes {
            self.submit(write, then);
        }
    }

    /// A session ends: what came of it and waits is committed all the same.
    pub(super) fn receive_last(&mut self, id: &RequestId) {
        let Some(talk) = self.private.talk(id).filter(|talk| !talk.traffic.waiting.is_empty()) else { return };
        let (write, then) = receive(talk);
        self.submit(write, then);
    }

    /// Writes down how far peers read; one stream of a session at a time.
    fn mark_read_there(&mut self) {
        let mut writes = Vec::new();
        for talk in self.private.sessions.iter_mut().filter(|talk| !talk.traffic.marking) {
            let Some(incarnation) = talk.traffic.read.keys().next().copied() else { continue };
            let Some(cseq) = talk.traffic.read.remove(&incarnation) else { continue };
            talk.traffic.marking = true;
            writes.push((Write::ReadThere { incarnation, cseq }, Then::PeerRead(talk.id)));
        }
        for (write, then) in writes {
            self.submit(write, then);
        }
    }

    /// It is written down.
    pub fn marked_read_there(&mut self, id: &RequestId) {
        if let Some(talk) = self.private.talk(id) {
            talk.traffic.marking = false;
        }
    }

    /// They are in the history: the peer is told, and whoever follows.
    pub fn peer_received(&mut self, new: Option<Vec<Row>>, receiving: Receiving) {
        let id = &receiving.id.clone();
        if let Some(new) = &new {
            let unread = !new.is_empty();
            for row in new.iter().cloned() {
                let index = row.index;
                if let Some(event) = crate::shown::arrived(row) {
                    self.tell(index, event);
                }
            }
            if unread {
                self.tell_unread();
            }
        }
        let Some(talk) = self.private.talk(id) else { return };
        talk.traffic.committing = false;
        if talk.traffic.connection != receiving.connection {
            return self.look_up_taken(id);
        }
        if new.is_none() {
            // No room: what came is forgotten, the peer sends it again later.
            talk.traffic.taken = talk.traffic.committed.clone();
            talk.traffic.waiting.clear();
            let after_ms = u64::try_from(NO_ROOM.as_millis()).unwrap_or(u64::MAX);
            return self.say(id, method::TRY_LATER, &peer::TryLater { after_ms, code: Code::DISK_FULL.0 });
        }
        talk.traffic
            .committed
            .extend(receiving.decided.iter().map(|(incarnation, decided)| (*incarnation, decided.last)));
        for (incarnation, Decided { last, voids }) in receiving.decided {
            self.say(id, method::VERDICT, &peer::Verdict { incarnation: incarnation.0, last, voids });
        }
    }

    /// The peer has decided everything up to here.
    fn peer_verdict(&mut self, id: &RequestId, decided: &peer::Verdict) {
        let incarnation = Incarnation(decided.incarnation);
        if !self.leads_to(id, incarnation) {
            return;
        }
        let Some(outbox) = self.outbox_to(id) else { return };
        let mut settles = Vec::new();
        for cseq in outbox.open_upto(incarnation, decided.last) {
            let code = if decided.voids.contains(&cseq) { Code::VOID } else { Code::ACCEPTED };
            settles.extend(outbox.handle_verdict(incarnation, cseq, code, None, false));
        }
        self.settle_private(settles);
    }

    /// What a peer decided is written down, with how often it was sent.
    fn settle_private(&mut self, settles: Vec<Settle>) {
        let verdict = |settle: Settle| {
            let sending = self.sent.remove(&Place { incarnation: settle.incarnation, cseq: settle.cseq });
            Verdict { sending, settle, online: true, audience: 0, missed: false }
        };
        let verdicts = settles.into_iter().map(verdict).collect();
        self.settle(verdicts, HashMap::new());
    }

    fn peer_bye(&mut self, id: &RequestId, reason: u32) {
        if !matches!(reason, Bye::RESTART | Bye::DOUBLE) {
            self.end_session(id, super::session::reason_of(reason), true, None);
        }
    }

    /// Sends what the machines let out now.
    pub fn peer_transmit(&mut self) {
        let now = self.around.world.mono_ms();
        let mut loads = Vec::new();
        let can = |talk: &&mut super::Talk| {
            talk.state == SessionState::Open
                && talk.traffic.ready
                && !talk.traffic.loading
                && talk.traffic.reoffering == 0
        };
        let mut sent = Vec::new();
        for talk in self.private.sessions.iter_mut().filter(can) {
            let Some(outbox) = self.private.outboxes.get_mut(&talk.device) else { continue };
            let mut unread: Vec<Transmit> = Vec::new();
            while let Some(transmit) = outbox.poll_transmit(now) {
                let body = self.fresh.get(&place_of(&transmit));
                // Behind one that must be read first, all must wait: the order is the promise.
                match frame(&transmit, body, self.around.world.now_ms()).filter(|_| unread.is_empty()) {
                    Some(frame) => {
                        talk.say(frame);
                        sent.push(transmit);
                    }
                    None => unread.push(transmit),
                }
            }
            if !unread.is_empty() {
                talk.traffic.loading = true;
                loads.push((talk.id, talk.traffic.connection, unread));
            }
        }
        sent.iter().for_each(|transmit| self.was_handed(transmit));
        for (id, connection, transmits) in loads {
            let (reader, loads) = (self.reader.clone(), self.loads.clone());
            tokio::spawn(async move {
                let places: Vec<Place> = transmits.iter().map(place_of).collect();
                let bodies = reader.ask(move |history| history.load(&places)).await;
                let _ = loads.send(Loaded::PeerBodies { id, connection, transmits, bodies });
            });
        }
    }

    /// Bodies were read from the history.
    pub fn peer_bodies(
        &mut self,
        id: &RequestId,
        connection: u64,
        transmits: &[Transmit],
        bodies: Result<Vec<Outgoing>, Trouble>,
    ) {
        let now_ms = self.around.world.now_ms();
        let Some(talk) = self.private.talk(id).filter(|talk| talk.traffic.connection == connection) else { return };
        talk.traffic.loading = false;
        let bodies: HashMap<Place, Outgoing> =
            bodies.unwrap_or_default().into_iter().map(|body| (body.place, body)).collect();
        for transmit in transmits {
            let Some(frame) = frame(transmit, bodies.get(&place_of(transmit)), now_ms) else {
                // Only a damaged history has places without a message; the rest must not overtake it.
                self.end_session(id, EndReason::Other, false, Some(Bye::GONE));
                return;
            };
            let Some(talk) = self.private.talk(id) else { return };
            talk.say(frame);
            self.was_handed(transmit);
        }
    }

    fn was_handed(&mut self, transmit: &Transmit) {
        if let Transmit::Send { incarnation, cseq, .. } = *transmit {
            self.was_sent(Place { incarnation, cseq });
        }
    }

    /// Private texts were read here: their senders hear of it, if they are there.
    pub fn tell_read(&mut self, read: &[ReadHere]) {
        if !self.around.send_read {
            return;
        }
        let mut upto: HashMap<(chat_proto::id::DeviceId, Incarnation), u64> = HashMap::new();
        for one in read {
            let last = upto.entry((one.device, one.place.incarnation)).or_default();
            *last = one.place.cseq.max(*last);
        }
        for ((device, incarnation), last) in upto {
            let id = self
                .private
                .sessions
                .iter()
                .find(|t| t.device.device == device && t.state == SessionState::Open)
                .map(|t| t.id);
            if let Some(id) = id {
                self.say(&id, method::READ, &peer::Upto { incarnation: incarnation.0, last });
            }
        }
    }

    /// The machine of the stream that a place stands in.
    pub(in crate::profile) fn outbox_of(&mut self, incarnation: Incarnation) -> &mut Outbox {
        match self.private.streams.get(&incarnation).and_then(|peer| self.private.outboxes.get_mut(peer)) {
            Some(outbox) => outbox,
            None => &mut self.outbox,
        }
    }

    /// A private text is on the disk.
    pub(in crate::profile) fn private_taken(&mut self, incarnation: Incarnation, entry: outbox::Entry) {
        let Some(device) = self.private.streams.get(&incarnation).copied() else { return };
        self.private.outboxes.entry(device).or_default().handle_queued(incarnation, entry);
        // The session may have ended while it was written down: it was never handed to anybody.
        if !self.private.sessions.iter().any(|talk| talk.device == device) {
            self.came_too_late(&device);
        }
    }
}

/// Where a place stands in a peer's stream.
enum Placed {
    /// It is the next one, and kept.
    Next,
    /// It is here; up to this one all is committed.
    Here { committed: u64 },
    /// Something before it is missing, behind this one.
    Beyond { last: u64 },
}

/// The peer's bytes make no sense.
struct Broken;

impl From<prost::DecodeError> for Broken {
    fn from(_: prost::DecodeError) -> Broken {
        Broken
    }
}

/// The commit of what came and waits.
fn receive(talk: &mut super::Talk) -> (Write, Then) {
    let (entries, shares): (Vec<_>, Vec<_>) = std::mem::take(&mut talk.traffic.waiting).into_iter().unzip();
    let decided = decided(&entries);
    let receiving = Receiving { id: talk.id, connection: talk.traffic.connection, decided, _shares: shares };
    (Write::ReceivePrivate(entries), Then::PeerReceived(receiving))
}

/// What these places decide once they are committed.
fn decided(entries: &[PrivateIncoming]) -> HashMap<Incarnation, Decided> {
    let mut all: HashMap<Incarnation, Decided> = HashMap::new();
    for entry in entries {
        let decided = all.entry(entry.place.incarnation).or_default();
        decided.last = entry.place.cseq;
        if entry.text.is_none() {
            decided.voids.push(entry.place.cseq);
        }
    }
    all
}

/// The frame for what is to be sent; nothing while its body is not at hand.
fn frame(transmit: &Transmit, body: Option<&Outgoing>, at_ms: i64) -> Option<Frame> {
    match *transmit {
        Transmit::Void { incarnation, cseq } => {
            Some(Frame::new(method::VOID, 0, &peer::Void { incarnation: incarnation.0, first: cseq, last: cseq }))
        }
        Transmit::Send { incarnation, cseq, settled } => {
            let body = body?;
            let send = peer::Send {
                incarnation: incarnation.0,
                cseq,
                settled,
                h: body.h.clone(),
                content_type: body.content_type.clone(),
                body: body.body.clone(),
                at_ms,
            };
            Some(Frame::new(method::SEND, 0, &send))
        }
    }
}

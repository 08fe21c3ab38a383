//! How private sessions end: the peer is told, what came is kept, what was never handed over has failed; and only when that is on the
//! disk, followers and those who wait hear of it (mission rules 26 to 28).

use chat_proto::control::ErrorData;
use chat_proto::control::events::Event;
use chat_proto::control::private::{Direction, EndReason, PrivateEnded, Stopped};
use chat_proto::fault::Code;
use chat_proto::id::{DeviceId, MessageId, Mid, StreamId};
use chat_proto::machine::private::requests::RequestId;
use chat_proto::peer::Bye;
use tokio::sync::oneshot;

use super::request::about;
use super::session::refuse;
use super::{RequestWaiter, SessionWaiter, Talk};
use crate::history::{PeerDevice, Place, Row, Write};
use crate::peer::Command;
use crate::profile::Answer;
use crate::profile::owner::{Owner, Then};

/// Sessions that are over, until what failed with them is on the disk.
#[derive(Default)]
pub(in crate::profile) struct Endings {
    over: Vec<PrivateEnded>,
    /// Who waited for one of them to open: the refusal is told with the rest.
    refused: Vec<(Vec<RequestWaiter>, Vec<SessionWaiter>, ErrorData)>,
    /// Who ended them, and the requests that were withdrawn besides.
    stopped: Option<(oneshot::Sender<Answer<Stopped>>, Vec<String>)>,
    /// What has failed.
    places: Vec<Place>,
}

impl Owner {
    /// Ends a session; `bye` is what the peer is told, nothing where it told us. Texts that were never handed to its connection have
    /// failed; the rest is settled when the two next meet.
    pub(super) fn end_session(&mut self, id: &RequestId, reason: EndReason, by_peer: bool, bye: Option<u32>) {
        let mut endings = Endings::default();
        self.close_session(id, (reason, by_peer), bye, &mut endings);
        self.conclude(endings);
    }

    fn close_session(
        &mut self,
        id: &RequestId,
        (reason, by_peer): (EndReason, bool),
        bye: Option<u32>,
        endings: &mut Endings,
    ) {
        let Some(index) = self.private.sessions.iter().position(|talk| talk.id == *id) else { return };
        self.file_session_ended(id, reason, by_peer);
        // What came before the end is here.
        self.receive_last(id);
        let talk = self.private.sessions.remove(index);
        if let Some(bye) = bye {
            talk.net.tell(Command::End(bye));
        }
        let (places, failed, unsettled) = self.give_up_unsent(&talk.device);
        let Talk { peer, requesters, waiters, relay, place, terms, .. } = talk;
        if let Some(relay) = relay.filter(|relay| !self.needs_relay(relay, &place)) {
            tokio::spawn(async move { place.leave_relay(&relay).await });
        }
        self.keep_sessions();
        tracing::info!(profile = self.name, reason = ?reason, "a private session is over");
        let code = match reason {
            EndReason::NoDirectPath => Code::NO_DIRECT_PATH,
            EndReason::Identity => Code::IDENTITY_CHANGED,
            EndReason::Link if terms.direct_only => Code::NO_DIRECT_PATH,
            _ => Code::PEER_UNREACHABLE,
        };
        endings.refused.push((requesters, waiters, *about(code, &peer)));
        endings.places.extend(places);
        let at_ms = self.around.world.now_ms();
        endings.over.push(PrivateEnded { peer, reason, by_peer, failed, unsettled, at_ms });
    }

    /// Places to this device that were never handed to a connection are given up: they, their ids, and how many others are unsettled.
    fn give_up_unsent(&mut self, device: &PeerDevice) -> (Vec<Place>, Vec<MessageId>, u64) {
        let Some(outbox) = self.private.outboxes.get_mut(device) else { return (Vec::new(), Vec::new(), 0) };
        outbox.handle_disconnected();
        let places = outbox.handle_give_up().into_iter().map(|(incarnation, cseq)| Place { incarnation, cseq });
        let (places, unsettled): (Vec<Place>, _) = (places.collect(), outbox.waiting_count() as u64);
        places.iter().for_each(|place| self.fresh.forget(*place));
        let own = self.device.as_ref().map_or(DeviceId([0; 16]), |device| device.id);
        let id = |place: &Place| {
            Mid { stream: StreamId { device: own, incarnation: place.incarnation }, cseq: place.cseq }.public()
        };
        let ids = places.iter().map(id).collect();
        (places, ids, unsettled)
    }

    /// A text was written down behind the end of its session.
    pub(super) fn came_too_late(&mut self, device: &PeerDevice) {
        let (places, ..) = self.give_up_unsent(device);
        self.conclude(Endings { places, ..Endings::default() });
    }

    /// What failed is written down first, all of it in one commit.
    fn conclude(&mut self, mut endings: Endings) {
        match std::mem::take(&mut endings.places) {
            places if places.is_empty() => self.concluded(&[], endings),
            places => self.submit(Write::GiveUp(places, Code::SESSION_ENDED), Then::Ended(Box::new(endings))),
        }
    }

    /// It is: everybody is told.
    pub fn concluded(&mut self, failed: &[Row], endings: Endings) {
        failed.iter().for_each(|row| self.moved(row, None));
        for ended in &endings.over {
            self.tell(0, Event::PrivateEnded(ended.clone()));
            self.give_up_private(&ended.peer);
        }
        for (requesters, waiters, error) in endings.refused {
            refuse(requesters, waiters, &error);
        }
        if let Some((reply, withdrawn)) = endings.stopped {
            let _ = reply.send(Ok(Stopped { items: endings.over, withdrawn }));
        }
    }

    /// The disk has no room for it: nothing has failed as far as anybody can say, it is unsettled.
    pub fn not_concluded(&mut self, mut endings: Endings) {
        for ended in &mut endings.over {
            ended.unsettled += std::mem::take(&mut ended.failed).len() as u64;
        }
        self.concluded(&[], endings);
    }

    /// The owner ends: peers are told that this side comes back. The disk keeps what is open.
    pub fn leave_sessions(&mut self) {
        let ids: Vec<_> = self.private.sessions.iter().map(|talk| talk.id).collect();
        ids.iter().for_each(|id| self.receive_last(id));
        for talk in self.private.sessions.drain(..) {
            talk.net.tell(Command::End(Bye::RESTART));
        }
    }

    /// Ends all sessions; answers with whom they were.
    pub fn end_sessions(&mut self, reason: EndReason, bye: u32) -> Vec<String> {
        self.forget_requests();
        let (ids, names): (Vec<_>, Vec<_>) =
            self.private.sessions.iter().map(|talk| (talk.id, talk.peer.clone())).unzip();
        let mut endings = Endings::default();
        for id in ids {
            self.close_session(&id, (reason, false), Some(bye), &mut endings);
        }
        self.conclude(endings);
        names
    }

    /// `stopprivate`.
    pub fn stop_private(&mut self, user: Option<String>, reply: oneshot::Sender<Answer<Stopped>>) {
        let wanted = |peer: &str| user.as_deref().is_none_or(|user| user == peer);
        let sessions = self.private.sessions.iter().filter(|talk| wanted(&talk.peer));
        let ids: Vec<_> = sessions.map(|talk| talk.id).collect();
        let asked = self.private.requests.open().filter(|r| r.dir == Direction::Out && wanted(&r.peer));
        let asked: Vec<String> = asked.map(|r| r.peer.clone()).collect();
        let mut endings = Endings::default();
        for id in ids {
            self.close_session(&id, (EndReason::You, false), Some(Bye::STOPPED), &mut endings);
        }
        let withdrawn: Vec<String> = asked.into_iter().filter(|peer| self.withdraw(peer)).collect();
        if let Some(user) = user.filter(|_| endings.over.is_empty() && withdrawn.is_empty()) {
            let code = if user == self.entry.user { Code::YOURSELF } else { Code::NO_SESSION };
            let _ = reply.send(Err(about(code, &user)));
            return;
        }
        endings.stopped = Some((reply, withdrawn));
        self.conclude(endings);
    }
}

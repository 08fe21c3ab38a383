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

use super::kept::Saved;
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
        let Talk { peer, device, requesters, waiters, relay, place, terms, .. } = talk;
        if let Some(relay) = relay.filter(|relay| !self.needs_relay(relay, &place)) {
            tokio::spawn(async move { place.leave_relay(&relay).await });
        }
        let code = match reason {
            EndReason::NoDirectPath => Code::NO_DIRECT_PATH,
            EndReason::Identity => Code::IDENTITY_CHANGED,
            EndReason::Link if terms.direct_only => Code::NO_DIRECT_PATH,
            _ => Code::PEER_UNREACHABLE,
        };
        endings.refused.push((requesters, waiters, *about(code, &peer)));
        self.ended(peer, Some(device), (reason, by_peer), endings);
    }

    /// Sessions of an earlier start that wait for their endpoint end like all others, those that are wanted; nobody is connected yet
    /// who could be told.
    fn close_resuming(
        &mut self,
        wanted: impl Fn(&RequestId, &str) -> bool,
        why: (EndReason, bool),
        endings: &mut Endings,
    ) {
        let saved: Vec<Saved> =
            self.private.resuming.extract_if(|id, saved| wanted(id, &saved.peer)).map(|(_, saved)| saved).collect();
        for saved in saved {
            let device = saved.device();
            self.ended(saved.peer, device, why, endings);
        }
    }

    /// One that waits for its endpoint makes room for another with the same peer, who would not ask if it had the old one still.
    pub(super) fn replace_resuming(&mut self, peer: &str) {
        let mut endings = Endings::default();
        self.close_resuming(|_, whose| whose == peer, (EndReason::Link, true), &mut endings);
        self.conclude(endings);
    }

    /// One that cannot go on.
    pub(super) fn end_resuming(&mut self, id: &RequestId, reason: EndReason) {
        let mut endings = Endings::default();
        self.close_resuming(|other, _| other == id, (reason, false), &mut endings);
        self.conclude(endings);
    }

    fn ended(
        &mut self,
        peer: String,
        device: Option<PeerDevice>,
        (reason, by_peer): (EndReason, bool),
        endings: &mut Endings,
    ) {
        tracing::info!(profile = self.name, reason = ?reason, "a private session is over");
        let (places, failed, unsettled) = device.map(|device| self.give_up_unsent(&device)).unwrap_or_default();
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

    /// What failed is written down first, all of it in one commit; and that none of them goes on after a restart.
    fn conclude(&mut self, mut endings: Endings) {
        if !endings.over.is_empty() {
            self.keep_sessions();
        }
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
        let ids: Vec<_> = self.private.sessions.iter().map(|talk| talk.id).collect();
        let mut endings = Endings::default();
        for id in ids {
            self.close_session(&id, (reason, false), Some(bye), &mut endings);
        }
        self.close_resuming(|_, _| true, (reason, false), &mut endings);
        let names = endings.over.iter().map(|ended| ended.peer.clone()).collect();
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
        self.close_resuming(|_, peer| wanted(peer), (EndReason::You, false), &mut endings);
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use chat_proto::id::{ServerId, hex, unhex};
    use tokio::sync::broadcast;

    use super::super::kept::{self, Kept};
    use super::*;
    use crate::book::{Book, Entry};
    use crate::config::Config;
    use crate::profile::{Ask, Profile, Published, Surroundings};
    use crate::world::World;
    use crate::{hooks, keys, pins, trust};

    const NAME: &str = "default";

    fn server() -> ServerId {
        ServerId([9; 32])
    }

    /// A profile of alice's whose last start ended while she had sessions with these, whose keys are known or are not any more; its
    /// owner has not begun yet.
    fn restarted(home: &Path, peers: &[&str], are_known: bool) -> Profile {
        let state = home.join("state");
        let (book, directory) = (Book::load(&state).expect("empty"), keys::directory(&state, NAME));
        let entry = Entry { user: "alice".into(), server: "127.0.0.1:9".into(), logged_in: true, ..Entry::default() };
        book.put(NAME, entry).expect("written");
        keys::store(&directory, &keys::generate().expect("a device")).expect("written");
        let saved = |(n, peer): (u8, &&str)| Saved {
            id: format!("{n:032x}"),
            peer: (*peer).to_owned(),
            device: format!("{n:032x}"),
            key: format!("{n:064x}"),
            target: format!("{n:064x}"),
            addresses: Vec::new(),
            relay: None,
            ticket: String::new(),
            since_ms: 5,
            until_ms: None,
            relay_only: false,
            direct_only: false,
            peer_hidden: false,
            asker: true,
        };
        let sessions = (1..).zip(peers).map(saved).collect();
        let all = Kept { server: hex(&server().0), endpoint: None, hidden: None, sessions };
        kept::store(&directory, &all).expect("written");
        let pins = pins::PeerPins::load(&state).expect("empty");
        for (peer, n) in peers.iter().zip(1..).filter(|_| are_known) {
            pins.remember(server(), peer, unhex(&format!("{n:064x}")).expect("a key"), 5).expect("written");
        }
        let config = Config::load(&home.join("config.toml"), false).expect("defaults");
        let world = World::real();
        let around = Surroundings {
            book: Arc::new(book),
            trust: Arc::new(trust::TrustStore::load(&state).expect("empty")),
            pins: Arc::new(pins),
            private: config.private.clone(),
            world,
            state,
            host: "laptop".into(),
            send_read: true,
            opener: Default::default(),
            hooks: Arc::new(hooks::Setup::new(config.hooks.clone(), Default::default(), None)),
            files: Arc::new(config.files.clone()),
            home: home.to_owned(),
            broken: Arc::new(|text| panic!("{text}")),
            workers: chat_process::watchdog::Workers::default(),
            run: 1,
        };
        Profile::start(NAME, &home.join("data/chat.db"), around, false).expect("started").0
    }

    /// The end of a session, once it is told.
    async fn end_told(events: &mut broadcast::Receiver<Arc<Published>>) -> (String, EndReason, bool) {
        let told = async {
            loop {
                if let Event::PrivateEnded(ended) = &events.recv().await.expect("an event").event {
                    return (ended.peer.clone(), ended.reason, ended.by_peer);
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), told).await.expect("told")
    }

    fn kept_of(home: &Path) -> Vec<String> {
        let kept = kept::load(&keys::directory(&home.join("state"), NAME)).expect("read");
        kept.sessions.into_iter().map(|saved| saved.peer).collect()
    }

    // On one thread the owner most often has the question before any endpoint can be there; what comes of it is the same behind that.

    #[tokio::test]
    async fn a_session_that_was_not_taken_up_again_yet_is_stopped_like_any_other() {
        let home = tempfile::tempdir().expect("a directory");
        let profile = restarted(home.path(), &["bob", "carol"], true);
        let mut events = profile.follow().expect("an owner");
        let stopped = profile.ask(|reply| Ask::Stopprivate(Some("bob".into()), reply)).await.expect("stopped");
        let over: Vec<_> = stopped.items.into_iter().map(|ended| (ended.peer, ended.reason, ended.by_peer)).collect();
        assert_eq!(over, [("bob".to_owned(), EndReason::You, false)]);
        assert_eq!(end_told(&mut events).await, ("bob".to_owned(), EndReason::You, false));
        assert_eq!(kept_of(home.path()), ["carol"]);
        let again = profile.ask(|reply| Ask::Stopprivate(Some("bob".into()), reply)).await;
        assert_eq!(again.map_err(|error| error.code), Err(Code::NO_SESSION));
    }

    #[tokio::test]
    async fn a_session_that_cannot_be_taken_up_again_is_over_and_that_is_told() {
        let home = tempfile::tempdir().expect("a directory");
        // no key of bob's is known any more
        let profile = restarted(home.path(), &["bob"], false);
        let over = end_told(&mut profile.follow().expect("an owner")).await;
        assert_eq!(over, ("bob".to_owned(), EndReason::Identity, false));
        assert!(kept_of(home.path()).is_empty());
    }

    #[tokio::test]
    async fn a_session_that_was_not_taken_up_again_yet_does_not_survive_the_login() {
        let home = tempfile::tempdir().expect("a directory");
        let profile = restarted(home.path(), &["bob"], true);
        let within = std::time::Duration::from_secs(5);
        let out = profile.ask(|reply| Ask::Logout { all_devices: false, force: false, within, reply }).await;
        assert_eq!(out.expect("logged out").ended, ["bob"]);
        assert!(kept_of(home.path()).is_empty());
        let shown = profile.ask(|reply| Ask::Stopprivate(None, reply)).await.expect("nothing to stop");
        assert!(shown.items.is_empty());
    }
}

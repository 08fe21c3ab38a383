//! The owner's loop: what it has, what wakes it, what it does after every wake-up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chat_link::LinkError;
use chat_proto::control::ErrorData;
use chat_proto::control::account::{LinkState, Problem};
use chat_proto::control::events::Event;
use chat_proto::control::message::State;
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::{DeviceId, Incarnation, Position, ServerId};
use chat_proto::limits::{NAMES_SEEN, UNWRITTEN_MAX};
use chat_proto::machine::hello::Epoch;
use chat_proto::machine::inbox::Follower;
use chat_proto::machine::outbox::{Entry, Outbox, Reoffer, Transmit};
use chat_proto::machine::private::requests::RequestId;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::file::Files;
use super::incoming::{Inbox, ReadThere};
use super::login::{Login, Trying};
use super::outgoing::{Fresh, Waiter};
use super::private::{Endings, For, Kept, Located, Private, Receiving, Reopening, Secret};
use super::session::{Next, Pending, Session};
use super::{Answer, Ask, OpenProfileError, Published, Queued, Surroundings, View};
use crate::book;
use crate::file;
use crate::file::desk::Job;
use crate::file::job::Outcome;
use crate::history;
use crate::history::thread::{Committed, Reader, Writer};
use crate::history::{Mark, Outgoing, Place, Restored, Sending, Taken, Trouble, Unsure, Verdict, Write};
use crate::keys::{self, Device};
use crate::peer::{PeerError, PeerEvent, Peers};

/// Writes that one profile may have on the way: a full batch and one that waits.
const WRITES_ON_THE_WAY: usize = 2 * chat_proto::limits::WRITER_BATCH;
/// Frames handled before anything else gets its turn.
const FRAMES_AT_ONCE: usize = 256;
/// The loop wakes at least so often, for nothing; a day.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// What a write was for; comes back with its result.
pub(super) enum Then {
    /// A message that may not be sent now: perhaps it was sent before.
    Recalled { reply: oneshot::Sender<Answer<Queued>>, wait: State, key: String, refusal: Box<ErrorData> },
    /// A message of the user.
    Queued { reply: oneshot::Sender<Answer<Queued>>, wait: State, h: [u8; 32], key: String },
    /// Verdicts; for some, when a new message may be taken.
    Settled { verdicts: Vec<Verdict>, retry: HashMap<Place, u64> },
    /// Entries of the inbox.
    Received { session: u64, position: Position, count: usize, ack_now: bool },
    /// The user saw rows.
    Marked(oneshot::Sender<Answer<()>>),
    /// Server and device are written down: the session may open.
    Belongs,
    /// Places are open again: offer them.
    Reopened { session: u64, reoffer: Reoffer, entries: Vec<Entry> },
    /// Another device of this account read; of so many bytes.
    ReadElsewhere(usize),
    /// Receipts; of so many bytes.
    Reached(usize),
    /// A message that was given up.
    Cancelled(oneshot::Sender<Answer<()>>),
    /// Something that only who asked has a part in.
    Kept(oneshot::Sender<Answer<history::Done>>),
    /// Texts of a peer.
    PeerReceived(Receiving),
    /// How far a peer read.
    PeerRead(RequestId),
    /// Places that a peer lost are open again.
    PeerReopened(Reopening),
    /// Texts that failed with their sessions.
    Ended(Box<Endings>),
    /// How transfers of files stand.
    Files(Vec<[u8; 16]>),
    /// Nothing to do.
    Nothing,
}

impl Then {
    /// A HELLO that overtook this would name places or a cursor that are about to change.
    pub fn holds_hello(&self) -> bool {
        matches!(self, Then::Settled { .. } | Then::Received { .. } | Then::Reopened { .. })
    }

    /// Bytes that the server makes this host write without a window of its own that bounds them.
    pub fn bytes(&self) -> usize {
        match self {
            Then::ReadElsewhere(bytes) | Then::Reached(bytes) => *bytes,
            _ => 0,
        }
    }
}

/// What was read from the history for the owner.
pub(super) enum Loaded {
    /// Bodies to send.
    Bodies { session: u64, transmits: Vec<Transmit>, bodies: Result<Vec<Outgoing>, Trouble> },
    /// Places that the server lost.
    Forgotten { session: u64, reoffer: Reoffer, entries: Result<Vec<Entry>, Trouble> },
    /// What this start of the server may have lost.
    Lost { session: u64, epoch: Epoch, streams: Result<Vec<Unsure>, Trouble> },
    /// People whose receipts matter.
    Awaited { session: u64, people: Result<Vec<String>, Trouble> },
    /// An endpoint for a private request or its answer.
    Located { id: RequestId, what: For, located: Result<Located, PeerError> },
    /// The server's word on an own private request.
    PrivateAsked { id: RequestId, answer: Answer<bytes::Bytes> },
    /// The server's word on the answer to one.
    PrivateAnswered { id: RequestId, accept: bool, answer: Answer<bytes::Bytes> },
    /// The own addresses, for the peer of a resumed session.
    Moving { id: RequestId, ticket: String, endpoint: chat_proto::wire::PeerEndpoint },
    /// The server renewed a session's ticket.
    Renewed { id: RequestId, answer: Answer<bytes::Bytes> },
    /// What is here of a peer's streams.
    Taken { id: RequestId, connection: u64, taken: Result<Vec<Taken>, Trouble> },
    /// Places that a peer lost.
    PeerForgot { id: RequestId, connection: u64, reoffer: Reoffer, entries: Result<Vec<Entry>, Trouble> },
    /// Bodies for a peer.
    PeerBodies { id: RequestId, connection: u64, transmits: Vec<Transmit>, bodies: Result<Vec<Outgoing>, Trouble> },
}

/// Everything of a profile that changes.
pub(super) struct Owner {
    pub name: String,
    pub around: Surroundings,
    pub entry: book::Entry,
    pub device: Option<Device>,
    pub writer: Writer<Then>,
    pub reader: Reader,
    /// Writes submitted and not back.
    pub writing: usize,
    /// Their [`Then::bytes`].
    pub unwritten: usize,
    pub loads: mpsc::UnboundedSender<Loaded>,
    loaded: mpsc::UnboundedReceiver<Loaded>,

    pub outbox: Outbox,
    /// The newest streams that this device ever used.
    pub known: Vec<Incarnation>,
    /// The stream of this start, once something was queued.
    pub incarnation: Option<Incarnation>,
    /// Messages whose queueing is being committed.
    pub queueing: usize,
    pub fresh: Fresh,
    /// Bodies are being read; nothing may overtake them.
    pub loading: bool,
    /// Streams whose lost places are not offered again yet.
    pub reoffering: usize,
    /// Verdicts, entries and reopened places whose commit is on its way: a HELLO must not speak of them yet.
    pub unfinished: usize,
    /// The server start that was last reconciled with: epoch and nonce.
    pub seen: Option<(u64, u64)>,
    /// It is not known yet what this start of the server lost; nothing new is sent before.
    pub reconciling: bool,
    /// Verdicts for which the disk had no room; written down before the next session opens.
    pub unsettled: Vec<(Vec<Verdict>, HashMap<Place, u64>)>,
    /// What was put on the link and is not decided.
    pub sent: HashMap<Place, Sending>,
    pub waiters: HashMap<u64, Vec<Waiter>>,
    /// The server asked to wait: why, until when.
    pub later: Option<(Code, u64)>,

    pub follower: Follower,
    pub inbox: Inbox,
    pub marks: HashMap<String, Mark>,
    pub read_there: ReadThere,
    pub followed: HashSet<String>,
    pub to_follow: Vec<String>,

    pub trying: Option<Trying>,
    pub session: Option<Session>,
    /// Counts sessions, so that what belongs to an old one is known.
    pub sessions: u64,
    pub login: Option<Login>,
    pub leaving: Option<super::login::Leaving>,
    pub retry_at: Option<Instant>,
    pub tries: u32,
    pub tried_at: Option<Instant>,
    pub cause: Option<Problem>,
    pub rtt_ms: Option<u64>,
    pub server_version: Option<String>,
    pub problems: Vec<Problem>,
    /// People seen lately, at most [`NAMES_SEEN`].
    seen_people: BTreeSet<String>,
    /// Calls that wait for the link.
    pub parked: Vec<(chat_proto::method::Tag4, bytes::Bytes, Pending)>,
    pub private: Private,
    /// Endpoints for private sessions.
    pub peers: Arc<Peers>,
    peer_events: mpsc::UnboundedReceiver<(RequestId, PeerEvent)>,
    /// Private sessions of an earlier start.
    kept: Option<Kept>,
    /// The server and device that the history is known to belong to.
    pub belongs: Option<(ServerId, DeviceId)>,
    /// That is being written down; the session opens afterwards.
    pub belonging: bool,

    /// Files within private sessions.
    pub files: Files,

    view: watch::Sender<View>,
    pub events: broadcast::Sender<Arc<Published>>,
}

/// What woke the owner.
enum Woken {
    Asked(Option<Ask>),
    Committed(Box<Committed<Then>>),
    Loaded(Loaded),
    Tried(Answer<crate::upstream::Opened>),
    Link(Result<Next, LinkError>),
    Peer(RequestId, PeerEvent),
    File((Job, Outcome)),
    Time,
}

impl Owner {
    pub fn new(
        name: &str,
        around: Surroundings,
        writer: Writer<Then>,
        reader: Reader,
        restored: Restored,
        files: file::Setup,
        events: broadcast::Sender<Arc<Published>>,
    ) -> Result<(Owner, watch::Receiver<View>), OpenProfileError> {
        let entry = around.book.get(name).unwrap_or_default();
        let device = keys::load(&keys::directory(&around.state, name))?;
        let kept = super::private::load(&keys::directory(&around.state, name)).map_err(keys::KeyFileError::File)?;
        let secrets = [&kept.endpoint, &kept.hidden].map(|secret| secret.as_ref().and_then(Secret::key));
        let mut outbox = Outbox::default();
        for (incarnation, settled, open) in restored.streams {
            outbox.restore(incarnation, settled, open);
        }
        let (loads, loaded) = mpsc::unbounded_channel();
        // Not bounded itself: what a peer says holds its share of a bounded window until it is handled.
        let (peer_tell, peer_events) = mpsc::unbounded_channel();
        let link = if entry.logged_in { LinkState::Waiting } else { LinkState::LoggedOut };
        let (view, viewed) = watch::channel(first_view(&entry, link, around.world.now_ms(), outbox.waiting_count()));
        let owner = Owner {
            name: name.to_owned(),
            entry,
            device,
            writer,
            reader,
            writing: 0,
            unwritten: 0,
            loads,
            loaded,
            outbox,
            known: restored.known,
            incarnation: None,
            queueing: 0,
            fresh: Fresh::default(),
            loading: false,
            reoffering: 0,
            unfinished: 0,
            seen: restored.seen,
            reconciling: false,
            unsettled: Vec::new(),
            sent: HashMap::new(),
            waiters: HashMap::new(),
            later: None,
            follower: Follower::default(),
            inbox: Inbox::at(restored.cursor),
            marks: restored.marks.into_iter().map(|mark| (mark.peer.clone(), mark)).collect(),
            read_there: ReadThere::default(),
            followed: HashSet::new(),
            to_follow: Vec::new(),
            trying: None,
            session: None,
            sessions: 0,
            login: None,
            leaving: None,
            retry_at: None,
            tries: 0,
            tried_at: None,
            cause: None,
            rtt_ms: None,
            server_version: None,
            problems: Vec::new(),
            seen_people: BTreeSet::new(),
            parked: Vec::new(),
            private: Private::new(restored.private, peer_tell),
            peers: Arc::new(Peers::new(around.private.port, secrets)),
            kept: Some(kept),
            peer_events,
            belongs: None,
            belonging: false,
            files: Files::new(files, restored.files),
            view,
            events,
            around,
        };
        Ok((owner, viewed))
    }

    /// Runs until asked to close, or until nobody holds a handle.
    pub async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut results: mpsc::UnboundedReceiver<Committed<Then>>,
        connect: bool,
    ) {
        if connect && self.entry.logged_in {
            self.connect_by_key();
        }
        if let Some(kept) = self.kept.take().filter(|kept| !kept.sessions.is_empty()) {
            self.resume_sessions(kept);
        }
        self.publish();
        loop {
            let room = self.has_room();
            let deadline = self.deadline();
            let woken = tokio::select! {
                Some(done) = results.recv() => Woken::Committed(Box::new(done)),
                Some(loaded) = self.loaded.recv() => Woken::Loaded(loaded),
                opened = tried(&mut self.trying) => Woken::Tried(opened),
                next = next(&mut self.session), if room => Woken::Link(next),
                Some((id, event)) = self.peer_events.recv(), if room => Woken::Peer(id, event),
                ended = self.files.ended() => Woken::File(ended),
                ask = asks.recv(), if room => Woken::Asked(ask),
                () = tokio::time::sleep_until(deadline) => Woken::Time,
            };
            match woken {
                Woken::Asked(None | Some(Ask::Close)) => break,
                Woken::Asked(Some(ask)) => self.asked(ask),
                Woken::Committed(done) => self.committed(*done),
                Woken::Loaded(loaded) => self.loaded(loaded),
                Woken::Tried(opened) => self.tried(opened),
                Woken::Link(next) => self.link(next),
                Woken::Peer(id, event) => self.peer_event(id, event),
                Woken::File(ended) => self.file_job_ended(ended),
                Woken::Time => self.time(),
            }
            self.pump();
            self.publish();
        }
        self.finish(&mut results).await;
    }

    /// Everything that was taken is committed and answered before the owner ends.
    async fn finish(mut self, results: &mut mpsc::UnboundedReceiver<Committed<Then>>) {
        self.leave_sessions();
        self.keep_sent();
        while self.writing > 0 {
            let Some(done) = results.recv().await else { break };
            self.committed(done);
        }
        self.give_up_waiting(None);
        if let Some(session) = self.session.take() {
            session.link.close().await;
        }
        self.peers.close().await;
    }

    fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Login(ask, reply) => self.log_in(*ask, reply),
            Ask::Logout { all_devices, force, within, reply } => self.log_out(all_devices, force, within, reply),
            Ask::Send(ask, reply) => self.send(*ask, reply),
            Ask::Private(ask, reply) => self.send_private(*ask, reply),
            Ask::Startprivate(ask, reply) => self.start_private(*ask, reply),
            Ask::AwaitRequest(id, reply) => self.await_request(&id, reply),
            Ask::Requests(reply) => {
                let _ = reply.send(Ok(self.list_requests()));
            }
            Ask::Accept(ask, reply) => self.accept_private(*ask, reply),
            Ask::Decline(user, reply) => self.decline_private(&user, reply),
            Ask::Stopprivate(user, reply) => self.stop_private(user, reply),
            Ask::Sessions(reply) => {
                let _ = reply.send(Ok(self.list_sessions()));
            }
            Ask::Verify(user, confirm, reply) => {
                let _ = reply.send(self.verify_session(&user, confirm));
            }
            Ask::Active => self.active(),
            Ask::Wait { index, goal, now, reply } => self.wait(index, Waiter::patient(goal, now, reply)),
            Ask::Server { method, body, reply } => self.call(method, body, Pending::Call(reply)),
            Ask::MarkRead(indices, reply) => self.submit(Write::MarkRead(indices), Then::Marked(reply)),
            Ask::Looked(indices) => self.submit(Write::Looked(indices), Then::Nothing),
            Ask::Saw(names) => self.saw(names),
            Ask::Seen(reply) => {
                let _ = reply.send(Ok(self.seen_people.iter().cloned().collect()));
            }
            Ask::Cancel(place, reply) => self.cancel(place, reply),
            Ask::Try(reply) => {
                let _ = reply.send(Ok(self.hurry(Duration::ZERO)));
            }
            Ask::File(ask) => self.file_asked(ask),
            Ask::Keep(write, reply) => self.submit(write, Then::Kept(reply)),
            Ask::Hurry => {
                self.hurry(Duration::ZERO);
            }
            Ask::Close => {}
        }
    }

    /// Remembers names for completion; when there are too many it begins anew.
    pub fn saw(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if self.seen_people.len() >= NAMES_SEEN && !self.seen_people.contains(&name) {
                self.seen_people.clear();
            }
            self.seen_people.insert(name);
        }
    }

    fn loaded(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Bodies { session, transmits, bodies } => self.bodies(session, &transmits, bodies),
            Loaded::Forgotten { session, reoffer, entries } => self.forgotten(session, reoffer, entries),
            Loaded::Lost { session, epoch, streams } if session == self.sessions => self.reconciled(epoch, streams),
            Loaded::Lost { .. } => {}
            Loaded::Awaited { session, people } if session == self.sessions => match people {
                Ok(people) => people.into_iter().for_each(|person| self.follow(person)),
                Err(error) => tracing::error!(%error, "the history cannot be read"),
            },
            Loaded::Awaited { .. } => {}
            Loaded::Located { id, what, located } => self.located(id, what, located),
            Loaded::PrivateAsked { id, answer } => self.asked_private(id, answer),
            Loaded::PrivateAnswered { id, accept, answer } => self.answered_private(id, accept, answer),
            Loaded::Moving { id, ticket, endpoint } => self.moving(id, ticket, endpoint),
            Loaded::Renewed { id, answer } => self.renewed(&id, answer),
            Loaded::Taken { id, connection, taken } => self.peer_taken(&id, connection, taken),
            Loaded::PeerForgot { id, connection, reoffer, entries } => {
                self.peer_forgot(id, connection, reoffer, entries)
            }
            Loaded::PeerBodies { id, connection, transmits, bodies } => {
                self.peer_bodies(&id, connection, &transmits, bodies);
            }
        }
    }

    /// The link to the server woke the owner.
    fn link(&mut self, next: Result<Next, LinkError>) {
        match next {
            Ok(Next::Frame(frame)) => self.frames(Ok(frame)),
            // What waits for it goes in the same turn, as always.
            Ok(Next::Room) => {}
            Err(error) => self.frames(Err(error)),
        }
    }

    /// One frame woke the owner; those that came with it are handled in the same turn.
    fn frames(&mut self, first: Result<Option<Frame>, LinkError>) {
        let mut next = first;
        for left in (0..FRAMES_AT_ONCE).rev() {
            match next {
                Ok(Some(frame)) => self.frame(frame),
                Ok(None) => return self.lost("the server closed the connection"),
                Err(error) => return self.lost(&error.to_string()),
            }
            let more = left > 0 && self.has_room();
            let Some(session) = self.session.as_mut().filter(|session| more && session.listens()) else { return };
            next = match session.link.try_recv() {
                Ok(None) => return,
                other => other,
            };
        }
    }

    /// Whether more may be taken in: what was is not written down yet.
    fn has_room(&self) -> bool {
        self.writing < WRITES_ON_THE_WAY && self.unwritten < UNWRITTEN_MAX
    }

    /// Hands a change to the writer.
    pub fn submit(&mut self, write: Write, then: Then) {
        let (bytes, holds_hello) = (then.bytes(), then.holds_hello());
        self.writing += 1;
        self.unwritten += bytes;
        self.unfinished += usize::from(holds_hello);
        if self.writer.submit(write, then).is_err() {
            // The bound on writes under way is below the queue's: the thread has ended, and the process is about to.
            self.writing -= 1;
            self.unwritten -= bytes;
            self.unfinished -= usize::from(holds_hello);
        }
    }

    /// What may be said to the server now.
    fn pump(&mut self) {
        self.receive();
        self.transmit();
        self.peer_receive();
        self.peer_transmit();
        self.acknowledge();
        self.ask_receipts();
        if let Some(session) = &mut self.session {
            session.takes(Instant::now());
        }
    }

    fn time(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) && self.trying.is_none() && self.session.is_none() {
            self.connect_by_key();
        }
        self.leave_in_time(now);
        self.greet(now);
        self.keep_alive(now);
        self.private_time(now);
        self.file_time();
    }

    fn deadline(&self) -> Instant {
        let mono = self.around.world.mono_ms();
        let now = Instant::now();
        let at = |ms: u64| now + Duration::from_millis(ms.saturating_sub(mono));
        let online = self.online().is_some();
        [
            self.retry_at.filter(|_| self.trying.is_none() && self.session.is_none()),
            self.outbox.poll_timeout().filter(|_| self.may_transmit()).map(at),
            self.follower.poll_timeout().filter(|_| online).map(at),
            self.files.poll_timeout().map(at),
            self.session.as_ref().map(Session::deadline),
            self.leaving.as_ref().map(|leaving| leaving.until),
            self.login.as_ref().and_then(|login| login.catching_up).map(|(_, until)| until),
            self.private_deadline(now),
            self.private.outboxes.values().filter_map(Outbox::poll_timeout).min().map(at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(now + IDLE)
    }

    /// The open session, once the server welcomed it and it is known what that lost.
    pub fn online(&self) -> Option<&Session> {
        self.session.as_ref().filter(|session| session.welcomed && !self.reconciling)
    }

    /// The state of the link in one word.
    pub fn link_state(&self) -> LinkState {
        match (&self.session, &self.trying) {
            _ if !self.entry.logged_in => LinkState::LoggedOut,
            (Some(_), _) if self.online().is_some() => LinkState::Online,
            (Some(_), _) | (None, Some(_)) => LinkState::Connecting,
            (None, None) => LinkState::Waiting,
        }
    }

    /// Brings the view up to date and tells followers of a changed link.
    pub fn publish(&mut self) {
        let link = self.link_state();
        let now_ms = self.around.world.now_ms();
        let waiting = link == LinkState::Waiting;
        let mut link_changed = false;
        self.view.send_if_modified(|view| {
            link_changed = view.link != link;
            let new = View {
                user: self.entry.user.clone(),
                server: self.entry.server.clone(),
                device: self.entry.device.clone(),
                classic: self.entry.classic,
                link,
                since_ms: if link_changed { now_ms } else { view.since_ms },
                rtt_ms: self.rtt_ms,
                cause: self.cause.clone(),
                retry_at: self.retry_at.filter(|_| waiting),
                ended: self.entry.ended.clone(),
                server_version: self.server_version.clone(),
                problems: self.problems.clone(),
                queued: self.outbox.waiting_count(),
                requests: self.private.requests.open().filter(|request| request.dir == Direction::In).count(),
                sessions: self.private.sessions.len(),
            };
            let changed = *view != new;
            *view = new;
            changed
        });
        if link_changed {
            self.tell(0, Event::Link { state: link, cause: self.cause.clone(), at_ms: now_ms });
        }
    }

    /// Tells followers. Nobody may be there.
    pub fn tell(&self, index: u64, event: Event) {
        let _ = self.events.send(Arc::new(Published { index, event }));
    }
}

fn first_view(entry: &book::Entry, link: LinkState, since_ms: i64, queued: usize) -> View {
    View {
        user: entry.user.clone(),
        server: entry.server.clone(),
        device: entry.device.clone(),
        classic: entry.classic,
        link,
        since_ms,
        rtt_ms: None,
        cause: None,
        retry_at: None,
        ended: entry.ended.clone(),
        server_version: None,
        problems: Vec::new(),
        queued,
        requests: 0,
        sessions: 0,
    }
}

async fn tried(trying: &mut Option<Trying>) -> Answer<crate::upstream::Opened> {
    match trying {
        Some(trying) => trying.outcome().await,
        None => std::future::pending().await,
    }
}

async fn next(session: &mut Option<Session>) -> Result<Next, LinkError> {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

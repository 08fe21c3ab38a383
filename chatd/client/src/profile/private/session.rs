//! Private sessions: begun with both sides' consent, shown, verified, ended with a reason (mission rules 25 to 29).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_link::PeerKey;
use chat_proto::control::ErrorData;
use chat_proto::control::events::Event;
use chat_proto::control::private::{
    EndReason, KeyState, Path, PathReason, PrivateEnded, PrivateSession, RequestState, SessionState, Verification,
};
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::{DeviceId, ServerId, hex};
use chat_proto::limits::{PEER_ADDRESSES_MAX, PEER_AWAY, PEER_NOTICES_EVERY, TICKET_TTL};
use chat_proto::machine::private::requests::{Request, RequestId};
use chat_proto::peer::Bye;
use chat_proto::{method, wire};
use tokio::time::Instant;

use super::request::about;
use super::traffic::Traffic;
use super::{RequestWaiter, SessionWaiter};
use crate::history::{PeerDevice, Write};
use crate::peer::{self, Command, Connection, Known, Own, PathInfo, PeerEvent, Place, Relay, Spec, Target};
use crate::pins::Judged;
use crate::profile::Answer;
use crate::profile::owner::{Loaded, Owner, Then};

/// What this side's user asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Through the relay alone.
    pub relay_only: bool,
    /// Directly or not at all.
    pub direct_only: bool,
    /// It ends by itself then.
    pub until: Option<Instant>,
}

/// A session, as the owner holds it.
pub(in crate::profile) struct Talk {
    pub id: RequestId,
    pub peer: String,
    pub device: PeerDevice,
    pub state: SessionState,
    pub(super) terms: Terms,
    /// The peer is reached through the relay alone.
    pub(super) peer_hidden: bool,
    pub(super) target: Target,
    pub(super) asker: bool,
    pub(super) since_ms: i64,
    pub(super) changed_ms: i64,
    pub(super) known: KeyState,
    /// The peer proved here once that it has its key.
    pub(super) proven: bool,
    pub(super) path: Option<PathInfo>,
    pub(super) ticket: String,
    pub(super) renew: Instant,
    pub(super) relay: Option<Relay>,
    pub(super) place: Arc<Place>,
    pub net: peer::Session,
    pub traffic: Traffic,
    /// The own request that it came of, and who waits for that to be open.
    pub(super) request: Option<Request>,
    pub(super) requesters: Vec<RequestWaiter>,
    pub(super) waiters: Vec<SessionWaiter>,
    /// When followers were told of it last, and when they are to be told next.
    pub(super) told: Told,
}

/// When something was said last, and when it is to be said next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Talk {
    /// When it is to be looked at though nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.terms.until.into_iter().chain([self.renew]).chain(self.told.due).min()
    }

    /// Says something on the connection that is up. Where that is over though nobody told it yet, this is lost with it.
    pub fn say(&self, frame: Frame) {
        self.net.tell(Command::Frame(self.traffic.connection(), frame));
    }

    /// The connection that is up.
    pub fn connection(&self) -> Option<Connection> {
        self.net.connection(self.traffic.connection())
    }

    fn shown(&self, queued: usize) -> PrivateSession {
        let path = self.connection().and_then(|connection| connection.path()).or_else(|| self.path.clone());
        let path = path.filter(|_| self.state == SessionState::Open);
        let open = self.state == SessionState::Open;
        PrivateSession {
            id: hex(&self.id[..]),
            peer: self.peer.clone(),
            state: self.state,
            path: path.as_ref().map(|path| if path.direct.is_some() { Path::Direct } else { Path::Relay }),
            why: path.as_ref().map(|path| self.why(path)),
            address: path.as_ref().and_then(|path| path.direct).map(|address| address.to_string()),
            rtt_us: path.as_ref().map(|path| path.rtt_us),
            since_ms: self.since_ms,
            changed_ms: self.changed_ms,
            until_ms: None,
            key: (open || self.known != KeyState::FirstSeen).then(|| ServerId(self.device.key).fingerprint()),
            known: (open || self.known != KeyState::FirstSeen).then_some(self.known),
            relay_only: self.terms.relay_only,
            direct_only: self.terms.direct_only,
            queued: queued as u64,
        }
    }

    fn why(&self, path: &PathInfo) -> PathReason {
        match path.direct {
            Some(_) => PathReason::Found,
            None if self.terms.relay_only => PathReason::RelayOnly,
            None if self.peer_hidden => PathReason::PeerRelayOnly,
            None => PathReason::NoDirectPath,
        }
    }
}

impl Owner {
    /// Both sides consented: connects, unless the peer's key is another than the one that is known.
    pub(super) fn begin_session(
        &mut self,
        open: wire::PrivateOpen,
        place: Arc<Place>,
        terms: Terms,
        (request, requesters): (Request, Vec<RequestWaiter>),
        waiters: Vec<SessionWaiter>,
    ) {
        for effect in self.private.requests.handle_joined(&open.account) {
            self.joined(effect);
        }
        // The peer would not ask if it had the old one still.
        if let Some(old) = self.private.with(&open.account).map(|talk| talk.id) {
            self.end_session(&old, EndReason::Link, true, Some(Bye::LINK));
        }
        self.replace_resuming(&open.account);
        // A server may tell where the peer is, not who it is, nor that it is one with somebody else.
        let read = self.read_open(&open, &terms).filter(|read| {
            let proven = |talk: &Talk| talk.proven && talk.target.endpoint == read.target.endpoint;
            let taken = |talk: &Talk| talk.id == read.id || proven(talk);
            let known = self.private.sessions.iter().any(taken) || self.private.resuming.contains_key(&read.id);
            open.account == request.peer && !known
        });
        let (Some(read), Ok(key), Some((server, own_device))) = (read, self.peer_key(), self.belongs) else {
            return refuse(requesters, waiters, &ErrorData::from(Code::PROTOCOL));
        };
        let known = match self.judged(server, &open.account, read.peer.key) {
            Ok(known) => known,
            Err(error) => {
                self.turn_away(&read.target, place);
                let ended = PrivateEnded {
                    peer: open.account,
                    reason: EndReason::Identity,
                    by_peer: false,
                    failed: Vec::new(),
                    unsettled: 0,
                    at_ms: self.around.world.now_ms(),
                };
                self.tell(0, Event::PrivateEnded(ended));
                return refuse(requesters, waiters, &error);
            }
        };
        // Who claims an endpoint and has proven nothing does not keep its owner out.
        let at_same = |talk: &&Talk| talk.target.endpoint == read.target.endpoint;
        let claims: Vec<RequestId> = self.private.sessions.iter().filter(at_same).map(|talk| talk.id).collect();
        for claim in claims {
            self.end_session(&claim, EndReason::Link, false, Some(Bye::LINK));
        }
        self.forget_other_keys(&read.peer);
        let terms = Terms { direct_only: read.direct_only, ..terms };
        let (asker, ticket) = (open.asker, open.ticket);
        let beginning = Beginning { own: (server, own_device, key), known, asker, ticket, first: asker };
        let talk = self.begin(open.account, read, terms, place, beginning);
        self.private.sessions.push(Talk { request: Some(request), requesters, waiters, ..talk });
        self.keep_sessions();
    }

    /// A session, from now on.
    pub(super) fn begin(
        &self,
        peer: String,
        read: Read,
        terms: Terms,
        place: Arc<Place>,
        beginning: Beginning,
    ) -> Talk {
        let Read { id, peer: device, target, relay, hidden, .. } = read;
        let Beginning { own: (server, own_device, key), known, asker, ticket, first } = beginning;
        let spec = Spec {
            own: Own { server, session: id, name: self.entry.user.clone(), device: own_device, key },
            known: Known { name: peer.clone(), device: device.device, key: device.key },
            place: Arc::clone(&place),
            expecting: self.peers.expect(&target),
            target: target.clone(),
            relay: relay.clone().map(|relay| (relay, ticket.clone())),
            first,
            direct_only: terms.direct_only,
        };
        let net = peer::start(spec, id, self.private.tell.clone());
        let now_ms = self.around.world.now_ms();
        Talk {
            id,
            peer,
            device,
            state: SessionState::Connecting,
            terms,
            peer_hidden: hidden,
            target,
            asker,
            since_ms: now_ms,
            changed_ms: now_ms,
            known,
            proven: false,
            path: None,
            ticket,
            renew: Instant::now() + TICKET_TTL / 2,
            relay,
            place,
            net,
            traffic: Traffic::default(),
            request: None,
            requesters: Vec::new(),
            waiters: Vec::new(),
            told: Told::default(),
        }
    }

    /// What is known of a peer's key; the refusal of another than the known one, which is remembered, so that its user may believe it.
    pub(super) fn judged(&self, server: ServerId, user: &str, key: [u8; 32]) -> Answer<KeyState> {
        let question = match self.around.pins.judge(server, user, key) {
            Judged::Unknown => return Ok(KeyState::FirstSeen),
            Judged::Known(known) => return Ok(known),
            Judged::Changed(question) => question,
        };
        if let Err(error) = self.around.pins.show(server, user, key, self.around.world.now_ms()) {
            tracing::error!(%error, "a changed key could not be written down");
        }
        Err(Box::new(ErrorData { trust: Some(question), ..*about(Code::IDENTITY_CHANGED, user) }))
    }

    /// What the server told of the peer, as far as it makes sense.
    fn read_open(&self, open: &wire::PrivateOpen, terms: &Terms) -> Option<Read> {
        let endpoint = open.endpoint.as_ref()?;
        let peer = PeerDevice {
            device: DeviceId::try_from(&open.device_id[..]).ok()?,
            key: endpoint.peer_key[..].try_into().ok()?,
        };
        let direct_only = terms.direct_only || endpoint.direct_only;
        let relay = open.relay.as_ref().filter(|_| !direct_only).and_then(|relay| self.read_relay(relay));
        let target = self.read_target(endpoint, relay.clone())?;
        Some(Read {
            id: RequestId::try_from(&open.id[..]).ok()?,
            peer,
            target,
            relay,
            hidden: endpoint.relay_only,
            direct_only,
        })
    }

    fn read_target(&self, endpoint: &wire::PeerEndpoint, relay: Option<Relay>) -> Option<Target> {
        let addresses = endpoint.addresses.iter().take(PEER_ADDRESSES_MAX);
        Some(Target {
            endpoint: endpoint.endpoint_id[..].try_into().ok()?,
            addresses: addresses.filter_map(|address| address.parse().ok()).filter(is_reachable).collect(),
            relay,
        })
    }

    /// The relay is where the server is.
    fn read_relay(&self, relay: &wire::PrivateRelay) -> Option<Relay> {
        let server = self.session.as_ref()?.link.peer_addr();
        let address = SocketAddr::new(server.ip(), u16::try_from(relay.port).ok().filter(|port| *port > 0)?);
        Some(Relay { address, certificate: relay.certificate[..].try_into().ok()? })
    }

    /// Texts to this device under another key are never sent again (contract rule 13).
    fn forget_other_keys(&mut self, peer: &PeerDevice) {
        let others = self.private.outboxes.keys().filter(|known| known.device == peer.device && known.key != peer.key);
        for other in others.copied().collect::<Vec<_>>() {
            self.private.outboxes.remove(&other);
            self.private.streams.retain(|_, leads_to| *leads_to != other);
            self.private.current.remove(&other);
            self.submit(Write::ForgetPeer(other), Then::Reached(0));
        }
    }

    /// A peer with a key that is not believed is told so when it comes.
    fn turn_away(&self, target: &Target, place: Arc<Place>) {
        let mut expecting = self.peers.expect(target);
        tokio::spawn(async move {
            let came = async {
                while let Some(connection) = expecting.next().await {
                    connection.close(Bye::IDENTITY);
                }
            };
            let _ = tokio::time::timeout(PEER_AWAY, came).await;
            drop(place);
        });
    }

    /// Something happened to a session's connection. What comes late of one that is over was lost with it.
    pub fn peer_event(&mut self, id: RequestId, event: PeerEvent) {
        let up = self.private.talk(&id).map(|talk| talk.traffic.connection());
        match event {
            PeerEvent::Frame(of, ..) | PeerEvent::Bytes(of, ..) | PeerEvent::Broken(of) if up != Some(of) => {}
            PeerEvent::Up(connection) => self.peer_up(&id, connection),
            PeerEvent::Frame(_, frame, share) => self.peer_frame(&id, frame, share),
            PeerEvent::Bytes(_, head, stream) => self.file_bytes(&id, &head, stream),
            PeerEvent::Path(path) => self.peer_path(&id, path),
            PeerEvent::Down => self.peer_down(&id),
            PeerEvent::Over(reason) => self.end_session(&id, reason_of(reason), true, None),
            PeerEvent::Lost => self.end_session(&id, EndReason::Link, true, None),
            PeerEvent::Broken(_) => self.end_session(&id, EndReason::Other, true, Some(Bye::PROTOCOL)),
            PeerEvent::NoDirectPath => self.end_session(&id, EndReason::NoDirectPath, false, None),
        }
    }

    fn peer_up(&mut self, id: &RequestId, connection: u64) {
        let Some(server) = self.belongs.map(|(server, _)| server) else { return };
        let now_ms = self.around.world.now_ms();
        let Some(talk) = self.private.talk(id) else { return };
        (talk.state, talk.changed_ms) = (SessionState::Open, now_ms);
        let (peer, key, known) = (talk.peer.clone(), talk.device.key, talk.known);
        // Once: a peer that comes and goes must not cost a flush each time.
        let proven = std::mem::replace(&mut talk.proven, true);
        if known == KeyState::FirstSeen
            && !proven
            && let Err(error) = self.around.pins.remember(server, &peer, key, now_ms)
        {
            tracing::error!(%error, "a peer's key could not be written down");
        }
        let replaced = talk.traffic.connection() > 0;
        tracing::info!(profile = self.name, "a private session is open");
        if replaced {
            self.file_down(id);
        }
        self.name_streams(id, connection);
        self.file_up(id);
    }

    fn peer_path(&mut self, id: &RequestId, path: PathInfo) {
        let Some(talk) = self.private.talk(id) else { return };
        let other = talk.path.as_ref().map(|old| old.direct.is_some()) != Some(path.direct.is_some());
        // Where it is reached is where it is looked for after a restart.
        let found = path.direct.filter(|address| talk.target.addresses.first() != Some(address));
        if let Some(address) = found {
            talk.target.addresses.retain(|known| *known != address);
            talk.target.addresses.insert(0, address);
            talk.target.addresses.truncate(PEER_ADDRESSES_MAX);
        }
        talk.path = Some(path);
        if found.is_some() {
            self.keep_soon();
        }
        if other {
            self.tell_session(id);
        }
    }

    /// The session is open, or goes another way: followers and those who wait are told.
    fn tell_session(&mut self, id: &RequestId) {
        let Some(shown) = self.shown_session(id) else { return };
        self.announce(id, Instant::now());
        let Some(talk) = self.private.talk(id) else { return };
        for waiter in std::mem::take(&mut talk.waiters) {
            let _ = waiter.send(Ok(shown.clone()));
        }
        let (requesters, request) = (std::mem::take(&mut talk.requesters), talk.request.clone());
        let Some(request) = request else { return };
        for requester in requesters {
            let mut answer = self.shown_request(&request, RequestState::Accepted);
            answer.session = Some(shown.clone());
            let _ = requester.send(Ok(answer));
        }
    }

    /// Followers are told how a session goes, at most so often: a peer that comes and goes all the time is not to fill a screen (S32).
    fn announce(&mut self, id: &RequestId, now: Instant) {
        let Some(shown) = self.shown_session(id) else { return };
        let Some(talk) = self.private.talk(id) else { return };
        match talk.told.last.map(|last| last + PEER_NOTICES_EVERY).filter(|next| *next > now) {
            Some(next) => talk.told.due = Some(next),
            None => {
                talk.told = Told { last: Some(now), due: None };
                self.tell(0, Event::PrivateSession(shown));
            }
        }
    }

    /// Tells once the session that came of this own request is open.
    pub(super) fn await_session(&mut self, id: &str, requester: RequestWaiter) {
        let Some(talk) = self
            .private
            .sessions
            .iter_mut()
            .find(|talk| talk.request.as_ref().is_some_and(|request| hex(&request.id[..]) == id))
        else {
            let _ = requester.send(Err(Box::new(Code::UNKNOWN_REQUEST.into())));
            return;
        };
        talk.requesters.push(requester);
        // Without a path it is told in a moment.
        if talk.state == SessionState::Open && talk.path.is_some() {
            let id = talk.id;
            self.tell_session(&id);
        }
    }

    fn peer_down(&mut self, id: &RequestId) {
        let now_ms = self.around.world.now_ms();
        let Some(talk) = self.private.talk(id) else { return };
        (talk.state, talk.changed_ms, talk.path) = (SessionState::Away, now_ms, None);
        let device = talk.device;
        talk.traffic.disconnected();
        if let Some(outbox) = self.private.outboxes.get_mut(&device) {
            outbox.handle_disconnected();
        }
        self.file_down(id);
        if let Some(shown) = self.shown_session(id) {
            self.announce(id, Instant::now());
            self.give_up_private(&shown.peer);
        }
    }

    /// The peer is at another place now.
    pub(super) fn peer_moved(&mut self, id: &RequestId, open: Option<wire::PrivateOpen>) {
        let Some(endpoint) = open.and_then(|open| open.endpoint) else { return };
        let Some(talk) = self.private.talk(id) else { return };
        let (relay, key) = (talk.relay.clone(), talk.device.key);
        if endpoint.peer_key != key {
            return;
        }
        let Some(target) = self.read_target(&endpoint, relay) else { return };
        if self.private.sessions.iter().any(|talk| talk.id != *id && talk.target.endpoint == target.endpoint) {
            return;
        }
        let expecting = self.peers.expect(&target);
        if let Some(talk) = self.private.talk(id) {
            talk.target = target.clone();
            talk.net.tell(Command::Moved(target, expecting));
        }
        self.keep_soon();
    }

    /// Sessions whose time is over end; tickets are renewed before theirs is.
    pub(super) fn sessions_time(&mut self, now: Instant) {
        let over = |talk: &super::Talk| talk.terms.until.is_some_and(|until| until <= now);
        for id in self.private.sessions.iter().filter(|talk| over(talk)).map(|talk| talk.id).collect::<Vec<_>>() {
            self.end_session(&id, EndReason::Time, false, Some(Bye::STOPPED));
        }
        let late = |talk: &&super::Talk| talk.told.due.is_some_and(|due| due <= now);
        for id in self.private.sessions.iter().filter(late).map(|talk| talk.id).collect::<Vec<_>>() {
            self.announce(&id, now);
        }
        let online = self.online().is_some();
        let mut due = Vec::new();
        for talk in self.private.sessions.iter_mut().filter(|talk| talk.renew <= now) {
            // Soon again where it cannot be asked for now.
            talk.renew = now + if online { TICKET_TTL / 2 } else { PEER_AWAY };
            due.push((talk.id, talk.ticket.clone()));
        }
        for (id, ticket) in due.into_iter().filter(|_| online) {
            let renew = wire::PrivateMove { ticket, endpoint: None };
            self.ask_server(method::PRIVATE_MOVE, &renew, move |answer| Loaded::Renewed { id, answer });
        }
    }

    /// The server renewed a ticket.
    pub fn renewed(&mut self, id: &RequestId, answer: Answer<bytes::Bytes>) {
        use prost::Message as _;
        let Some(moved) = answer.ok().and_then(|body| wire::PrivateMoved::decode(body).ok()) else { return };
        let relay = moved.relay.as_ref().and_then(|relay| self.read_relay(relay));
        let Some(talk) = self.private.talk(id) else { return };
        talk.ticket = moved.ticket;
        if let Some(relay) = relay.filter(|_| !talk.terms.direct_only) {
            talk.relay = Some(relay.clone());
            let (place, ticket) = (Arc::clone(&talk.place), talk.ticket.clone());
            tokio::spawn(async move { place.use_relay(&relay, &ticket).await });
        }
        self.keep_sessions();
    }

    pub(super) fn needs_relay(&self, relay: &Relay, place: &Arc<Place>) -> bool {
        self.private.sessions.iter().any(|t| t.relay.as_ref() == Some(relay) && Arc::ptr_eq(&t.place, place))
    }

    /// `sessions`.
    pub fn list_sessions(&self) -> Vec<PrivateSession> {
        let ids: Vec<_> = self.private.sessions.iter().map(|talk| talk.id).collect();
        ids.iter().filter_map(|id| self.shown_session(id)).collect()
    }

    fn shown_session(&self, id: &RequestId) -> Option<PrivateSession> {
        let talk = self.private.sessions.iter().find(|talk| talk.id == *id)?;
        let queued = self.private.outboxes.get(&talk.device).map_or(0, |outbox| outbox.waiting_count());
        let mut shown = talk.shown(queued);
        let wall = self.around.world.now_ms();
        shown.until_ms =
            talk.terms.until.map(|until| wall.saturating_add(millis(until.saturating_duration_since(Instant::now()))));
        Some(shown)
    }

    /// `sessions verify`.
    pub fn verify_session(&mut self, user: &str, confirm: bool) -> Answer<Verification> {
        let Some((server, _)) = self.belongs else { return Err(Box::new(self.not_logged_in())) };
        let own = self.peer_key().map_err(|error| internal(&error))?.public();
        let name = self.entry.user.clone();
        let talk =
            self.private.sessions.iter_mut().find(|talk| talk.peer == user && talk.state != SessionState::Connecting);
        let Some(talk) = talk else { return Err(about(Code::NO_SESSION, user)) };
        if confirm {
            self.around.pins.verify(server, user, talk.device.key).map_err(|error| internal(&error))?;
            talk.known = KeyState::Verified;
        }
        Ok(Verification {
            peer: user.to_owned(),
            code: peer::verification_code((&name, &own), (user, &talk.device.key)),
            key: ServerId(talk.device.key).fingerprint(),
            own_key: ServerId(own).fingerprint(),
            known: talk.known,
        })
    }
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What [`wire::PrivateOpen`] says, understood.
pub(super) struct Read {
    pub id: RequestId,
    pub peer: PeerDevice,
    pub target: Target,
    pub relay: Option<Relay>,
    pub hidden: bool,
    pub direct_only: bool,
}

/// With whom and how a session is begun.
pub(super) struct Beginning {
    /// The server, and this side's device and key.
    pub own: (ServerId, DeviceId, Arc<PeerKey>),
    /// What is known of the peer's key.
    pub known: KeyState,
    /// This side asked.
    pub asker: bool,
    /// For the relay.
    pub ticket: String,
    /// Connects at once; the other side a little later.
    pub first: bool,
}

/// Addresses that could be a peer's: nothing that a hostile one may aim a host at for no use.
fn is_reachable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    address.port() > 0 && !ip.is_unspecified() && !ip.is_multicast()
}

pub(super) fn refuse(requesters: Vec<RequestWaiter>, waiters: Vec<SessionWaiter>, error: &ErrorData) {
    for requester in requesters {
        let _ = requester.send(Err(Box::new(error.clone())));
    }
    for waiter in waiters {
        let _ = waiter.send(Err(Box::new(error.clone())));
    }
}

fn internal(error: &dyn std::fmt::Display) -> Box<ErrorData> {
    Box::new(ErrorData { detail: Some(error.to_string()), ..Code::INTERNAL.into() })
}

/// Why the peer says that it is over.
pub(super) fn reason_of(bye: u32) -> EndReason {
    match bye {
        Bye::STOPPED => EndReason::Peer,
        Bye::LOGOUT => EndReason::Logout,
        Bye::IDLE => EndReason::Idle,
        Bye::LINK => EndReason::Link,
        Bye::IDENTITY => EndReason::Identity,
        Bye::NO_DIRECT_PATH => EndReason::NoDirectPath,
        _ => EndReason::Other,
    }
}

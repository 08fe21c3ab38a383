//! Private requests: asked, answered, over (mission rules 22 to 24). The machine decides, this carries it out and tells who waits.

use std::sync::Arc;

use bytes::Bytes;
use chat_proto::control::ErrorData;
use chat_proto::control::events::Event;
use chat_proto::control::private::{Direction, EndReason, PrivateRequest, RequestState, SessionState};
use chat_proto::fault::Code;
use chat_proto::id::hex;
use chat_proto::limits::{NOTE_MAX, PRIVATE_SESSIONS_MAX, REQUESTS_OUT};
use chat_proto::machine::private::requests::{Effect, Request, RequestId};
use chat_proto::{method, wire};
use prost::Message as _;
use tokio::time::Instant;

use super::session::{Talk, Terms};
use super::{AcceptAsk, For, Located, Private, RequestWaiter, SessionWaiter, StartAsk};
use crate::config::PrivatePolicy;
use crate::peer::{PeerError, Place};
use crate::profile::Answer;
use crate::profile::owner::{Loaded, Owner};
use crate::upstream::is_among;

/// How an own request was made.
pub(in crate::profile) struct Asked {
    relay_only: bool,
    direct_only: bool,
    place: Option<Arc<Place>>,
    /// Until the server took it.
    reply: Option<RequestWaiter>,
    /// Until it is over.
    waiters: Vec<RequestWaiter>,
}

/// How a request of somebody is being answered.
pub(in crate::profile) struct Answering {
    relay_only: bool,
    lasts: Option<std::time::Duration>,
    place: Option<Arc<Place>>,
    /// Nobody typed it: the configuration says so.
    by_policy: bool,
    waiters: Vec<SessionWaiter>,
}

impl Owner {
    /// `startprivate`.
    pub fn start_private(&mut self, ask: StartAsk, reply: RequestWaiter) {
        if let Err(refusal) = self.may_start(&ask) {
            let _ = reply.send(Err(refusal));
            return;
        }
        let id = match random_id() {
            Ok(id) => id,
            Err(error) => {
                let _ =
                    reply.send(Err(Box::new(ErrorData { detail: Some(error.to_string()), ..Code::INTERNAL.into() })));
                return;
            }
        };
        let (now, ttl) = (self.around.world.mono_ms(), self.around.private.request_ttl);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        match self.private.requests.handle_ask(now, id, &ask.user, &ask.note, ttl) {
            Ok(effect) => {
                let relay_only = ask.relay_only || self.around.private.relay_only;
                let asked = Asked {
                    relay_only,
                    direct_only: ask.direct_only,
                    place: None,
                    reply: Some(reply),
                    waiters: Vec::new(),
                };
                self.private.asks.insert(id, asked);
                self.carry_out(effect);
            }
            Err(code) => {
                let _ = reply.send(Err(about(code, &ask.user)));
            }
        }
    }

    fn may_start(&self, ask: &StartAsk) -> Answer<()> {
        if !self.entry.logged_in || self.leaving.is_some() {
            return Err(Box::new(self.not_logged_in()));
        }
        if ask.user == self.entry.user {
            return Err(about(Code::YOURSELF, &ask.user));
        }
        if (ask.relay_only || self.around.private.relay_only) && ask.direct_only {
            let detail =
                Some("through the relay alone and directly alone are no way at all; see private.relay_only".into());
            return Err(Box::new(ErrorData { subject: Some("direct_only".into()), detail, ..Code::BAD_PARAMS.into() }));
        }
        if self.private.sessions.len() >= PRIVATE_SESSIONS_MAX {
            return Err(about(Code::LIMIT, &ask.user));
        }
        if ask.note.len() > NOTE_MAX {
            return Err(Box::new(ErrorData { subject: Some("note".into()), ..Code::TOO_LARGE.into() }));
        }
        if self.private.with(&ask.user).is_some() {
            return Err(about(Code::SESSION_EXISTS, &ask.user));
        }
        // To ask somebody who asks is to accept.
        self.changed_asker(&ask.user).map_or(Ok(()), Err)
    }

    /// Tells once the own request to this user is over.
    pub fn await_request(&mut self, id: &str, reply: RequestWaiter) {
        let found = self.private.asks.iter_mut().find(|(known, _)| hex(&known[..]) == id);
        match found {
            Some((_, asked)) => asked.waiters.push(reply),
            None => match self.private.ended.iter().find(|request| request.id == id) {
                Some(over) => {
                    let _ = reply.send(outcome(over));
                }
                // It met the other side's request, and was accepted by that.
                None => self.await_session(id, reply),
            },
        }
    }

    /// `requests`.
    pub fn list_requests(&self) -> Vec<PrivateRequest> {
        self.private.requests.open().map(|request| self.shown_request(request, RequestState::Asked)).collect()
    }

    /// `accept`.
    pub fn accept_private(&mut self, ask: AcceptAsk, reply: SessionWaiter) {
        if let Some(error) = self.changed_asker(&ask.user) {
            let _ = reply.send(Err(error));
            return;
        }
        if self.private.sessions.len() >= PRIVATE_SESSIONS_MAX {
            let _ = reply.send(Err(about(Code::LIMIT, &ask.user)));
            return;
        }
        // Said from another terminal already: both wait for the same.
        let request = self.private.requests.find(&ask.user, Direction::In).filter(|request| request.is_accepted());
        if let Some(answering) = request.map(|r| r.id).and_then(|id| self.private.answers.get_mut(&id)) {
            return answering.waiters.push(reply);
        }
        let relay_only = ask.relay_only || self.around.private.relay_only;
        match self.private.requests.handle_answer(&ask.user, true) {
            Ok(Effect::Answer { id, accept }) => {
                let (lasts, waiters) = (ask.lasts, vec![reply]);
                let answering = Answering { relay_only, lasts, place: None, by_policy: false, waiters };
                self.private.answers.insert(id, answering);
                self.carry_out(Effect::Answer { id, accept });
            }
            _ => {
                let _ = reply.send(Err(about(Code::UNKNOWN_REQUEST, &ask.user)));
            }
        }
    }

    /// The refusal of who asks with another key than the known one: such a one is not told where this host is (S29). The request stays
    /// open, for a user who then believes the key.
    fn changed_asker(&self, user: &str) -> Option<Box<ErrorData>> {
        let request = self.private.requests.find(user, Direction::In)?;
        let (key, (server, _)) = (*self.private.askers.get(&request.id)?, self.belongs?);
        self.judged(server, user, key).err()
    }

    /// `decline`.
    pub fn decline_private(&mut self, user: &str, reply: RequestWaiter) {
        let Some(request) = self.private.requests.find(user, Direction::In).cloned() else {
            let _ = reply.send(Err(about(Code::UNKNOWN_REQUEST, user)));
            return;
        };
        let declined = self.shown_request(&request, RequestState::Declined);
        if let Ok(effect) = self.private.requests.handle_answer(user, false) {
            self.carry_out(effect);
        }
        // The server hears of it as soon as it can; here it is said.
        let _ = reply.send(Ok(declined));
    }

    /// Withdraws the own request to this user; false when there is none.
    pub fn withdraw(&mut self, user: &str) -> bool {
        let Some(effect) = self.private.requests.handle_withdraw(user) else { return false };
        if let Effect::Over(request, _) = &effect {
            self.private.withdrawn.push(request.id);
        }
        self.tell_withdrawn();
        self.carry_out(effect);
        true
    }

    /// The server learns what was withdrawn, as soon as it can.
    fn tell_withdrawn(&mut self) {
        if self.online().is_some() {
            for id in std::mem::take(&mut self.private.withdrawn) {
                self.notify(method::PRIVATE_CANCEL, &wire::PrivateCancel { id: id.to_vec() });
            }
        }
    }

    /// A request has come to the same as the session that begins. An own one that the server took besides must not stay open there:
    /// the peer would be asked for what it has.
    pub(super) fn joined(&mut self, effect: Effect) {
        if let Effect::Over(request, _) = &effect
            && request.dir == Direction::Out
        {
            self.private.withdrawn.push(request.id);
        }
        self.carry_out(effect);
        self.tell_withdrawn();
    }

    /// Does what the machine decided.
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(request) => {
                let Some(asked) = self.private.asks.get(&request.id) else { return };
                let (relay_only, direct_only) = (asked.relay_only, asked.direct_only);
                self.locate(request.id, For::Ask, relay_only, direct_only);
            }
            Effect::Answer { id, accept: true } => {
                let relay_only = self.private.answers.get(&id).is_some_and(|answer| answer.relay_only);
                self.locate(id, For::Answer, relay_only, false);
            }
            Effect::Answer { id, accept: false } => self.say_answer(id, None),
            Effect::Came(request) => self.came(&request),
            Effect::Over(request, state) => self.over(&request, state, None),
        }
    }

    /// Somebody asks: the policy answers, or the user is told.
    fn came(&mut self, request: &Request) {
        let private = &self.around.private;
        // Another key than the known one is never accepted without its user (S29).
        let changed = self.changed_asker(&request.peer).is_some();
        let listed = is_among(&private.auto_accept, &request.peer, self.entry.classic)
            && self.private.sessions.len() < PRIVATE_SESSIONS_MAX;
        let refused = match private.policy {
            PrivatePolicy::Ask => false,
            PrivatePolicy::Listed => !listed,
            PrivatePolicy::Deny => true,
        };
        let relay_only = private.relay_only;
        if refused || (listed && !changed) {
            if let Ok(effect) = self.private.requests.handle_answer(&request.peer, !refused) {
                if !refused {
                    let waiters = Vec::new();
                    let answering = Answering { relay_only, lasts: None, place: None, by_policy: true, waiters };
                    self.private.answers.insert(request.id, answering);
                }
                self.carry_out(effect);
            }
            return;
        }
        self.tell_request(request, RequestState::Asked, false);
    }

    /// Followers are told of a request: of one's own and of what the own user did at once, of what others do not all the time (S32).
    fn tell_request(&mut self, request: &Request, state: RequestState, by_user: bool) {
        let shown = self.shown_request(request, state);
        let told = match request.dir {
            Direction::Out => Some(shown),
            Direction::In => self.private.notices.put(Instant::now(), shown, by_user),
        };
        if let Some(told) = told {
            self.tell(0, Event::PrivateRequest(told));
        }
    }

    /// The endpoint is there: what waited for it is said.
    pub fn located(&mut self, id: RequestId, what: For, located: Result<Located, PeerError>) {
        let answers = match what {
            For::Resume => return self.resume(&id, located),
            For::Answer => true,
            For::Ask => false,
        };
        // A no that was said meanwhile holds: no address leaves this host then.
        if !self.private.requests.get(&id).is_some_and(|request| !answers || request.is_accepted()) {
            return;
        }
        match located {
            Ok(Located { place, endpoint }) if answers => {
                if let Some(answer) = self.private.answers.get_mut(&id) {
                    answer.place = Some(place);
                }
                self.say_answer(id, Some(endpoint));
            }
            Ok(Located { place, endpoint }) => self.say_ask(id, place, endpoint),
            Err(error) => {
                let error = ErrorData { detail: Some(error.to_string()), ..Code::PEER_UNREACHABLE.into() };
                if answers { self.answer_refused(&id, &error) } else { self.ask_refused(&id, &error) }
            }
        }
    }

    fn say_ask(&mut self, id: RequestId, place: Arc<Place>, endpoint: wire::PeerEndpoint) {
        let now = self.around.world.mono_ms();
        let Some(request) = self.private.requests.get(&id) else { return };
        let ask = wire::PrivateAsk {
            id: id.to_vec(),
            to: request.peer.clone(),
            note: request.note.clone(),
            ttl_ms: request.expires.saturating_sub(now).max(1),
            endpoint: Some(endpoint),
            check: false,
        };
        if let Some(asked) = self.private.asks.get_mut(&id) {
            asked.place = Some(place);
        }
        self.ask_server(method::PRIVATE_ASK, &ask, move |answer| Loaded::PrivateAsked { id, answer });
    }

    /// The server's word on an own request.
    pub fn asked_private(&mut self, id: RequestId, answer: Answer<Bytes>) {
        let asked = match answer {
            Ok(body) => wire::PrivateAsked::decode(body).map_err(|_| Box::new(ErrorData::from(Code::PROTOCOL))),
            Err(error) => Err(error),
        };
        match asked {
            Ok(asked) => self.taken_ask(id, asked),
            // It may have been taken: asked again when the link is back, while its user still waits.
            Err(error) if error.code == Code::SERVER_UNREACHABLE && self.entry.logged_in => {
                let reply = self.private.asks.get_mut(&id).and_then(|asked| asked.reply.take());
                if let Some(reply) = reply {
                    self.withdraw_silently(&id);
                    let _ = reply.send(Err(error));
                }
            }
            Err(error) => self.ask_refused(&id, &error),
        }
    }

    /// The user is told that nothing came of it: so it must be.
    fn withdraw_silently(&mut self, id: &RequestId) {
        let Some(peer) = self.private.requests.get(id).map(|request| request.peer.clone()) else { return };
        let _ = self.private.requests.handle_withdraw(&peer);
        self.private.asks.remove(id);
        self.private.withdrawn.push(*id);
    }

    fn taken_ask(&mut self, id: RequestId, asked: wire::PrivateAsked) {
        let now = self.around.world.mono_ms();
        let effect = self.private.requests.handle_asked(now, &id, asked.expires_in_ms, asked.open.is_some());
        let taken = self.private.requests.get(&id).map(|request| self.shown_request(request, RequestState::Asked));
        if let (Some(taken), Some(asks)) = (taken, self.private.asks.get_mut(&id))
            && let Some(reply) = asks.reply.take()
        {
            let _ = reply.send(Ok(taken));
        }
        if let Some(Effect::Over(request, state)) = effect {
            self.over(&request, state, asked.open);
        }
    }

    fn ask_refused(&mut self, id: &RequestId, error: &ErrorData) {
        let Some(Effect::Over(request, state)) = self.private.requests.handle_refused(id, error.code) else { return };
        let Some(mut asked) = self.private.asks.remove(id) else { return };
        let error = ErrorData { subject: Some(request.peer.clone()), ..error.clone() };
        match asked.reply.take() {
            Some(reply) => {
                let _ = reply.send(Err(Box::new(error.clone())));
            }
            // It had been taken before, and was not when it was asked again.
            None => self.tell(0, Event::PrivateRequest(self.shown_request(&request, state))),
        }
        for waiter in asked.waiters {
            let _ = waiter.send(Err(Box::new(error.clone())));
        }
    }

    fn say_answer(&mut self, id: RequestId, endpoint: Option<wire::PeerEndpoint>) {
        let accept = endpoint.is_some();
        let answer = wire::PrivateAnswer { id: id.to_vec(), accept, endpoint };
        self.ask_server(method::PRIVATE_ANSWER, &answer, move |answer| Loaded::PrivateAnswered { id, accept, answer });
    }

    /// The server's word on an answer.
    pub fn answered_private(&mut self, id: RequestId, accept: bool, answer: Answer<Bytes>) {
        let answered = match answer {
            Ok(body) => wire::PrivateAnswered::decode(body).map_err(|_| Box::new(ErrorData::from(Code::PROTOCOL))),
            // Said again when the link is back: the request knows what was answered.
            Err(error) if error.code == Code::SERVER_UNREACHABLE && self.entry.logged_in => return,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answered) => {
                if let Some(Effect::Over(request, state)) = self.private.requests.handle_answered(&id, accept) {
                    self.over(&request, state, answered.open);
                }
            }
            Err(error) => self.answer_refused(&id, &error),
        }
    }

    fn answer_refused(&mut self, id: &RequestId, error: &ErrorData) {
        let Some(peer) = self.private.requests.get(id).map(|request| request.peer.clone()) else { return };
        let answering = self.private.answers.remove(id);
        let by_policy = answering.as_ref().is_some_and(|answering| answering.by_policy);
        for waiter in answering.into_iter().flat_map(|answering| answering.waiters) {
            let _ = waiter.send(Err(Box::new(ErrorData { subject: Some(peer.clone()), ..error.clone() })));
        }
        match self.private.requests.handle_answer_refused(id, error.code) {
            Some(Effect::Over(request, state)) => self.tell_request(&request, state, !by_policy),
            // The configuration said yes on terms that cannot be had: its user may say another yes.
            _ if by_policy => {
                if let Some(request) = self.private.requests.get(id).cloned() {
                    self.tell_request(&request, RequestState::Asked, false);
                }
            }
            _ => {}
        }
    }

    /// The server told something.
    pub fn private_notice(&mut self, notice: wire::PrivateNotice) {
        let Ok(id) = RequestId::try_from(&notice.id[..]) else { return };
        if notice.what == wire::PrivateNotice::MOVED {
            return self.peer_moved(&id, notice.open);
        }
        let now = self.around.world.mono_ms();
        let wire::PrivateNotice { what, account, note, expires_in_ms, open, peer_key, .. } = notice;
        if let (wire::PrivateNotice::REQUEST, Ok(key)) = (what, peer_key[..].try_into()) {
            let Private { askers, requests, .. } = &mut self.private;
            askers.retain(|id, _| requests.get(id).is_some());
            askers.insert(id, key);
        }
        let effect = self.private.requests.handle_notice(now, what, id, &account, &note, expires_in_ms);
        match effect {
            Some(Effect::Over(request, state)) => self.over(&request, state, open),
            Some(effect) => self.carry_out(effect),
            None if what == wire::PrivateNotice::WITHDRAWN => self.taken_back(&id, EndReason::Peer),
            None if what == wire::PrivateNotice::LEFT => self.taken_back(&id, EndReason::Logout),
            None => {}
        }
    }

    /// The other side took its yes back, or left. Once the two are connected, the peer says itself why it ends.
    fn taken_back(&mut self, id: &RequestId, reason: EndReason) {
        let waits = |talk: &Talk| talk.id == *id && talk.state == SessionState::Connecting;
        if self.private.sessions.iter().any(waits) {
            self.end_session(id, reason, true, None);
        }
    }

    /// A request is over: it became a session, or its user is told.
    fn over(&mut self, request: &Request, state: RequestState, open: Option<wire::PrivateOpen>) {
        let (asked, answering) = (self.private.asks.remove(&request.id), self.private.answers.remove(&request.id));
        let by_user = answering.as_ref().is_some_and(|answering| !answering.by_policy);
        self.tell_request(request, state, by_user && state == RequestState::Accepted);
        let (place, terms, reply, waiters, session_waiters) = match (asked, answering) {
            (Some(asked), _) => {
                let terms = Terms { relay_only: asked.relay_only, direct_only: asked.direct_only, until: None };
                (asked.place, terms, asked.reply, asked.waiters, Vec::new())
            }
            (None, Some(answer)) => {
                let until = answer.lasts.map(|lasts| Instant::now() + lasts);
                let terms = Terms { relay_only: answer.relay_only, direct_only: false, until };
                (answer.place, terms, None, Vec::new(), answer.waiters)
            }
            (None, None) => return,
        };
        if let (RequestState::Accepted, Some(open), Some(place)) = (state, open, place) {
            if let Some(reply) = reply {
                let _ = reply.send(Ok(self.shown_request(request, state)));
            }
            return self.begin_session(open, place, terms, (request.clone(), waiters), session_waiters);
        }
        let shown = self.shown_request(request, state);
        // At the end of the own login nobody else is to blame.
        let over = |error: Box<ErrorData>| if self.entry.logged_in { error } else { Box::new(self.not_logged_in()) };
        for waiter in reply.into_iter().chain(waiters) {
            let _ = waiter.send(outcome(&shown).map_err(over));
        }
        let code = if state == RequestState::Expired { Code::REQUEST_EXPIRED } else { Code::WITHDRAWN };
        for waiter in session_waiters {
            let _ = waiter.send(Err(over(about(code, &request.peer))));
        }
        if request.dir == Direction::Out {
            self.private.ended.push_back(shown);
            if self.private.ended.len() > REQUESTS_OUT {
                self.private.ended.pop_front();
            }
        }
    }

    /// The session is open: what is open is said again.
    pub fn private_welcome(&mut self) {
        self.tell_withdrawn();
        self.tell_moved();
        for effect in self.private.requests.handle_welcome(self.around.world.mono_ms()) {
            self.carry_out(effect);
        }
    }

    /// The login is over: nothing stays open.
    pub(super) fn forget_requests(&mut self) {
        for effect in self.private.requests.handle_logged_out() {
            self.carry_out(effect);
        }
    }

    /// A request for people and scripts: times by this host's clock.
    pub(super) fn shown_request(&self, request: &Request, state: RequestState) -> PrivateRequest {
        let (mono, wall) = (self.around.world.mono_ms(), self.around.world.now_ms());
        let at = |ms: u64| wall.saturating_add(i64::try_from(i128::from(ms) - i128::from(mono)).unwrap_or_default());
        PrivateRequest {
            id: hex(&request.id[..]),
            peer: request.peer.clone(),
            dir: request.dir,
            state,
            note: (!request.note.is_empty()).then(|| request.note.clone()),
            at_ms: at(request.at),
            expires_at_ms: at(request.expires),
            session: None,
        }
    }
}

/// What `startprivate --wait` is told of a request that became nothing.
fn outcome(request: &PrivateRequest) -> Answer<PrivateRequest> {
    let code = match request.state {
        RequestState::Accepted | RequestState::Asked => return Ok(request.clone()),
        RequestState::Declined => Code::DECLINED,
        RequestState::Expired => Code::REQUEST_EXPIRED,
        RequestState::Cancelled => Code::OFFLINE,
        RequestState::Withdrawn => Code::WITHDRAWN,
    };
    Err(about(code, &request.peer))
}

/// A refusal that speaks of somebody.
pub(super) fn about(code: Code, user: &str) -> Box<ErrorData> {
    Box::new(ErrorData { subject: Some(user.to_owned()), ..code.into() })
}

fn random_id() -> Result<RequestId, getrandom::Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map(|()| id)
}

/// The refusal of a text to somebody with whom there is no session: what the server says of him, where that says more.
pub fn no_session(user: &str, checked: Answer<Bytes>) -> Box<ErrorData> {
    match checked {
        Err(error) if [Code::UNKNOWN_USER, Code::OFFLINE, Code::YOURSELF].contains(&error.code) => {
            about(error.code, user)
        }
        _ => about(Code::NO_SESSION, user),
    }
}

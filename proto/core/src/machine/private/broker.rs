//! The server's side of consent: takes requests for private sessions and their answers, in one order for all, and says who is to
//! be told what (mission rules 22 to 24; contract, "the first accept wins").
//!
//! Owned by the server's writer, which reads blocks and presence in the same transaction; accounts and devices are any key, times
//! milliseconds of a monotonic clock. Nothing of it is on a disk: after a restart whoever asks does so again, under the same id.
//! Where a device can be reached comes in with its request or its yes, and leaves in an [`Open`] alone, to the one device of the
//! other side.

mod notice;
mod terms;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use super::requests::RequestId;
use crate::fault::{Code, Fault};
use crate::limits::{REQUEST_REMEMBERED, REQUESTS_IN, REQUESTS_OUT};
use crate::wire::PeerEndpoint;

pub use notice::{Notice, What, Whom};
pub use terms::{Ask, Asked, Open, Party, Standing, Terms};

/// A request, also one that is over and still remembered: who asks again is told what became of it.
#[derive(Clone, Debug)]
struct Request<A, D> {
    from: Party<A, D>,
    to: A,
    note: String,
    expires: u64,
    state: State<A, D>,
    /// When something happens to it by itself.
    due: u64,
}

#[derive(Clone, Debug)]
enum State<A, D> {
    Open,
    /// By this device.
    Accepted(Party<A, D>),
    /// There was one of the other side, which this one accepted.
    Joined(RequestId),
    /// Over, and what its asker is told when it asks again.
    Over(Code),
}

/// All requests that are open, and those of late.
#[derive(Clone, Debug)]
pub struct Broker<A, D> {
    requests: HashMap<RequestId, Request<A, D>>,
    /// By asker, those that are over among them: what was asked or decided last stands last.
    asked: HashMap<A, Vec<RequestId>>,
    /// By the one asked, oldest first; open ones alone.
    waiting: HashMap<A, Vec<RequestId>>,
    /// The same, of those that were accepted.
    accepted: HashMap<A, Vec<RequestId>>,
    due: BTreeSet<(u64, RequestId)>,
    notices: VecDeque<Notice<A, D>>,
}

impl<A, D> Default for Broker<A, D> {
    fn default() -> Self {
        Broker {
            requests: HashMap::new(),
            asked: HashMap::new(),
            waiting: HashMap::new(),
            accepted: HashMap::new(),
            due: BTreeSet::new(),
            notices: VecDeque::new(),
        }
    }
}

impl<A: Copy + Eq + Hash, D: Copy + Eq> Broker<A, D> {
    /// Somebody asks, or asks again. The order of the refusals is the rule (mission rule 22): that the asked one blocks the asker
    /// comes before everything that would tell more of him.
    pub fn handle_ask(
        &mut self,
        ask: Ask<A, D>,
        standing: Standing,
        terms: Terms,
        now: u64,
    ) -> Result<Asked<A, D>, Fault> {
        self.handle_time(now);
        if let Some(known) = self.requests.get_mut(&ask.id) {
            if (known.from.account, known.from.device, known.to) != (ask.from.account, ask.from.device, ask.to) {
                return Err(Code::CONFLICT.into());
            }
            if matches!(known.state, State::Open) {
                // It may be elsewhere by now.
                known.from = ask.from;
            }
            return self.stands(ask.id, now);
        }
        self.refuse(&ask, standing, terms, now)?;
        let own = if ask.ttl_ms == 0 { terms.ttl_ms } else { ask.ttl_ms.min(terms.ttl_ms) };
        let (id, to, expires) = (ask.id, ask.to, now.saturating_add(own));
        match self.crossing(&ask) {
            Some(theirs) => {
                // The own one never was open; who asks again under its id is told of theirs.
                let yes = ask.from.clone();
                self.keep(id, Request::new(ask, expires, State::Joined(theirs), remembered(expires)));
                self.accept(theirs, yes, now);
            }
            None => {
                self.waiting.entry(to).or_default().push(id);
                self.keep(id, Request::new(ask, expires, State::Open, expires));
                self.tell_request(id, Whom::Account(to, None), now);
            }
        }
        self.stands(id, now)
    }

    /// As [`Broker::handle_ask`], but nobody is asked: says only whether the request would be refused.
    pub fn handle_check(&mut self, ask: &Ask<A, D>, standing: Standing, terms: Terms, now: u64) -> Result<(), Fault> {
        self.handle_time(now);
        self.refuse(ask, standing, terms, now)
    }

    /// Whether this device asked this before: then it is no new request.
    pub fn knows(&self, id: &RequestId, account: A, device: D) -> bool {
        self.requests.get(id).is_some_and(|known| (known.from.account, known.from.device) == (account, device))
    }

    /// A device of the one asked says yes. The first one that does has the session; said again, it gets the same answer.
    pub fn handle_accept(
        &mut self,
        id: RequestId,
        by: Party<A, D>,
        terms: Terms,
        now: u64,
    ) -> Result<Open<A, D>, Fault> {
        self.handle_time(now);
        let request = self.asked_of(&id, by.account)?;
        match &request.state {
            State::Open => {
                if !terms.allowed {
                    return Err(Code::PRIVATE_OFF.into());
                }
                can_meet(&request.from.endpoint, &by.endpoint, terms)?;
            }
            State::Accepted(other) if other.device == by.device => return Ok(request.open_for(id, other)),
            state => return Err(state.too_late().into()),
        }
        let open = request.open_for(id, &by);
        self.accept(id, by, now);
        Ok(open)
    }

    /// A device of the one asked says no. Said again it is no error; said by the device that had said yes, it takes that back.
    pub fn handle_decline(&mut self, id: RequestId, account: A, device: D, now: u64) -> Result<(), Fault> {
        self.handle_time(now);
        let request = self.asked_of(&id, account)?;
        match &request.state {
            State::Open => {
                self.decline(id, Some(device), now);
                Ok(())
            }
            State::Accepted(other) if other.device == device => {
                self.part(id, account, What::Withdrawn, now);
                Ok(())
            }
            State::Over(Code::DECLINED) => Ok(()),
            state => Err(state.too_late().into()),
        }
    }

    /// The asker's account withdraws a request. One that was accepted meanwhile ends before it began: the other side is told.
    /// Said of one that is over, it is no error.
    pub fn handle_cancel(&mut self, id: RequestId, account: A, now: u64) -> Result<(), Fault> {
        self.handle_time(now);
        let Some(request) = self.requests.get(&id).filter(|request| request.from.account == account) else {
            return Err(Code::UNKNOWN_REQUEST.into());
        };
        match request.state {
            State::Open => self.withdraw(id, now),
            State::Accepted(_) => self.part(id, account, What::Withdrawn, now),
            State::Joined(theirs) => self.part(theirs, account, What::Withdrawn, now),
            State::Over(_) => {}
        }
        Ok(())
    }

    /// `by` blocks `who` now: what is open between the two is over, and looks to `who` like any other no, or like any other
    /// request that was withdrawn (mission rule 21).
    pub fn handle_blocked(&mut self, by: A, who: A, now: u64) {
        self.handle_time(now);
        if let Some(id) = self.open_between(who, by) {
            self.decline(id, None, now);
        }
        if let Some(id) = self.open_between(by, who) {
            let asker = self.requests.get(&id).map(|request| request.from.device);
            self.withdraw(id, now);
            if let Some(device) = asker {
                self.tell(Whom::Device(by, device), id, who, What::Withdrawn);
            }
        }
    }

    /// An account is announced online no longer: what it asked and what it was asked is over.
    pub fn handle_gone(&mut self, account: A, now: u64) {
        self.handle_time(now);
        for id in self.open_of(account) {
            if let Some(request) = self.finish(id, State::Over(Code::WITHDRAWN), now) {
                let (from, to) = (request.from.account, request.to);
                self.tell(Whom::Account(to, None), id, from, What::Left);
            }
        }
        for id in self.waiting.get(&account).cloned().unwrap_or_default() {
            if let Some(request) = self.finish(id, State::Over(Code::OFFLINE), now) {
                let whom = Whom::Device(request.from.account, request.from.device);
                self.tell(whom, id, account, What::Left);
            }
        }
    }

    /// A device logged out or lost its key: nobody waits there for what it asked. What was just accepted, by either side, ends
    /// before it began: the device that leaves may not have heard of it, so that it could not say so itself.
    pub fn handle_device_gone(&mut self, account: A, device: D, now: u64) {
        self.handle_time(now);
        self.forsaken(account, now, |from| from.device == device);
        let own = |lists: &HashMap<A, Vec<RequestId>>| lists.get(&account).cloned().unwrap_or_default();
        for id in own(&self.asked).into_iter().chain(own(&self.accepted)) {
            let Some(Request { from, state: State::Accepted(by), .. }) = self.requests.get(&id) else { continue };
            if [(from.account, from.device), (by.account, by.device)].contains(&(account, device)) {
                self.part(id, account, What::Left, now);
            }
        }
    }

    /// A device opened a session: it is told what its account is asked. Where its chatd was started anew, what it asked before is
    /// over, for it knows nothing of it.
    pub fn handle_opened_session(&mut self, account: A, device: D, run: u64, now: u64) {
        self.handle_time(now);
        self.forsaken(account, now, |from| from.device == device && from.run != run);
        for id in self.waiting.get(&account).cloned().unwrap_or_default() {
            self.tell_request(id, Whom::Device(account, device), now);
        }
    }

    /// Time passes: requests run out, and what is over is forgotten after a while.
    pub fn handle_time(&mut self, now: u64) {
        while let Some((due, id)) = self.due.first().copied()
            && due <= now
        {
            let Some(request) = self.requests.get(&id) else {
                self.due.remove(&(due, id));
                continue;
            };
            match request.state {
                State::Open => self.expire(id, now),
                // Whoever did not hear of it by now is out of reach for longer than a session waits.
                State::Accepted(_) => {
                    self.finish(id, State::Over(Code::REQUEST_EXPIRED), now);
                }
                State::Joined(_) | State::Over(_) => self.forget(id),
            }
        }
    }

    /// The next thing to be told, in order.
    pub fn poll_notice(&mut self) -> Option<Notice<A, D>> {
        self.notices.pop_front()
    }

    /// How many requests are open.
    pub fn open(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }

    fn refuse(&self, ask: &Ask<A, D>, standing: Standing, terms: Terms, now: u64) -> Result<(), Fault> {
        let refused = [
            (ask.to == ask.from.account, Code::YOURSELF),
            (standing.blocked, Code::RECIPIENT_BLOCKED),
            (standing.blocking, Code::BLOCKED_BY_YOU),
            (!terms.allowed, Code::PRIVATE_OFF),
            (!standing.online, Code::OFFLINE),
            (self.open_between(ask.from.account, ask.to).is_some(), Code::REQUEST_PENDING),
        ];
        if let Some((_, code)) = refused.into_iter().find(|(refused, _)| *refused) {
            return Err(code.into());
        }
        let theirs = self.crossing(ask).and_then(|id| self.requests.get(&id));
        if let Some(theirs) = theirs {
            return can_meet(&theirs.from.endpoint, &ask.from.endpoint, terms);
        }
        self.has_room(&self.open_of(ask.from.account), REQUESTS_OUT, now)?;
        self.has_room(self.waiting.get(&ask.to).map_or(&[], Vec::as_slice), REQUESTS_IN, now)?;
        if ask.from.endpoint.relay_only && !terms.relay {
            return Err(Code::NO_RELAY.into());
        }
        Ok(())
    }

    /// LIMIT, until the first of those that are open runs out.
    fn has_room(&self, open: &[RequestId], most: usize, now: u64) -> Result<(), Fault> {
        if open.len() < most {
            return Ok(());
        }
        let first = open.iter().filter_map(|id| self.requests.get(id)).map(|request| request.expires).min();
        Err(Fault::retry(Code::LIMIT, Duration::from_millis(first.unwrap_or(now).saturating_sub(now))))
    }

    /// What the one asked has asked the asker.
    fn crossing(&self, ask: &Ask<A, D>) -> Option<RequestId> {
        self.open_between(ask.to, ask.from.account)
    }

    fn open_between(&self, from: A, to: A) -> Option<RequestId> {
        let waiting = self.waiting.get(&to)?;
        waiting.iter().copied().find(|id| self.requests.get(id).is_some_and(|r| r.from.account == from))
    }

    /// What an account asked and nobody answered yet.
    fn open_of(&self, account: A) -> Vec<RequestId> {
        let open = |id: &&RequestId| self.requests.get(*id).is_some_and(|r| matches!(r.state, State::Open));
        self.asked.get(&account).into_iter().flatten().filter(open).copied().collect()
    }

    /// The request, for somebody whom it asks; to everybody else it does not exist (S27).
    fn asked_of(&self, id: &RequestId, account: A) -> Result<&Request<A, D>, Fault> {
        let asked = self.requests.get(id).filter(|r| r.to == account && !matches!(r.state, State::Joined(_)));
        asked.ok_or_else(|| Code::UNKNOWN_REQUEST.into())
    }

    /// How a request stands for who asked.
    fn stands(&self, id: RequestId, now: u64) -> Result<Asked<A, D>, Fault> {
        let request = self.requests.get(&id).ok_or(Code::UNKNOWN_REQUEST)?;
        let expires_in_ms = request.expires.saturating_sub(now);
        match &request.state {
            State::Open => Ok(Asked { id, expires_in_ms, open: None }),
            State::Accepted(by) => Ok(Asked { id, expires_in_ms, open: Some(request.open_for_asker(id, by)) }),
            State::Joined(theirs) => {
                let joined = self.requests.get(theirs).ok_or(Code::REQUEST_EXPIRED)?;
                match &joined.state {
                    State::Accepted(by) => {
                        Ok(Asked { id: *theirs, expires_in_ms, open: Some(joined.open_for(*theirs, by)) })
                    }
                    State::Over(code) => Err((*code).into()),
                    State::Open | State::Joined(_) => Err(Code::UNKNOWN_REQUEST.into()),
                }
            }
            State::Over(code) => Err((*code).into()),
        }
    }

    fn keep(&mut self, id: RequestId, request: Request<A, D>) {
        self.due.insert((request.due, id));
        let account = request.from.account;
        self.requests.insert(id, request);
        self.asked.entry(account).or_default().push(id);
        self.forget_oldest(account);
    }

    /// Of those of an account that are over, no more are remembered than may be open; the longest over go first.
    fn forget_oldest(&mut self, account: A) {
        let over = |id: &RequestId| self.requests.get(id).is_some_and(|r| !matches!(r.state, State::Open));
        let over: Vec<RequestId> =
            self.asked.get(&account).into_iter().flatten().copied().filter(|id| over(id)).collect();
        for id in over.iter().take(over.len().saturating_sub(REQUESTS_OUT)) {
            self.forget(*id);
        }
    }

    fn forget(&mut self, id: RequestId) {
        let Some(request) = self.requests.remove(&id) else { return };
        self.due.remove(&(request.due, id));
        drop_from(&mut self.asked, request.from.account, &id);
        drop_from(&mut self.waiting, request.to, &id);
        drop_from(&mut self.accepted, request.to, &id);
    }

    /// An open or accepted request gets its next state, in which it is remembered; answers it as it was. Nothing when it is over.
    fn finish(&mut self, id: RequestId, state: State<A, D>, now: u64) -> Option<Request<A, D>> {
        let request = self.requests.get_mut(&id)?;
        if matches!(request.state, State::Over(_) | State::Joined(_)) {
            return None;
        }
        let before = request.clone();
        self.due.remove(&(request.due, id));
        request.due = match &state {
            State::Accepted(_) => remembered(now),
            // Nobody asks again under this id later than this.
            _ => remembered(now.max(request.expires)),
        };
        let accepted = matches!(state, State::Accepted(_));
        request.state = state;
        self.due.insert((request.due, id));
        drop_from(&mut self.waiting, before.to, &id);
        if let Some(asked) = self.asked.get_mut(&before.from.account) {
            asked.retain(|other| *other != id);
            asked.push(id);
        }
        match accepted {
            true => self.accepted.entry(before.to).or_default().push(id),
            false => drop_from(&mut self.accepted, before.to, &id),
        }
        self.forget_oldest(before.from.account);
        Some(before)
    }

    fn accept(&mut self, id: RequestId, by: Party<A, D>, now: u64) {
        let (account, device) = (by.account, by.device);
        let Some(request) = self.finish(id, State::Accepted(by.clone()), now) else { return };
        let from = &request.from;
        let open = request.open_for_asker(id, &by);
        self.tell(Whom::Device(from.account, from.device), id, account, What::Accepted(open));
        self.tell(Whom::Account(account, Some(device)), id, from.account, What::Answered);
    }

    fn decline(&mut self, id: RequestId, by: Option<D>, now: u64) {
        let Some(request) = self.finish(id, State::Over(Code::DECLINED), now) else { return };
        let (from, to) = (request.from.account, request.to);
        self.tell(Whom::Device(from, request.from.device), id, to, What::Declined);
        self.tell(Whom::Account(to, by), id, from, What::Answered);
    }

    fn withdraw(&mut self, id: RequestId, now: u64) {
        let Some(request) = self.finish(id, State::Over(Code::WITHDRAWN), now) else { return };
        self.tell(Whom::Account(request.to, None), id, request.from.account, What::Withdrawn);
    }

    /// One side takes back an accepted request: the device of the other side is told, which may be connecting already.
    fn part(&mut self, id: RequestId, account: A, what: What<A, D>, now: u64) {
        let Some(request) = self.finish(id, State::Over(Code::WITHDRAWN), now) else { return };
        let State::Accepted(by) = request.state else { return };
        let other = if account == request.from.account { by } else { request.from };
        self.tell(Whom::Device(other.account, other.device), id, account, what);
    }

    fn expire(&mut self, id: RequestId, now: u64) {
        let Some(request) = self.finish(id, State::Over(Code::REQUEST_EXPIRED), now) else { return };
        let (from, to) = (request.from.account, request.to);
        self.tell(Whom::Device(from, request.from.device), id, to, What::Expired);
        self.tell(Whom::Account(to, None), id, from, What::Expired);
    }

    /// Withdraws what a device asked that does not wait for it any more.
    fn forsaken(&mut self, account: A, now: u64, by: impl Fn(&Party<A, D>) -> bool) {
        for id in self.open_of(account) {
            if self.requests.get(&id).is_some_and(|request| by(&request.from)) {
                self.withdraw(id, now);
            }
        }
    }

    fn tell_request(&mut self, id: RequestId, to: Whom<A, D>, now: u64) {
        let Some(request) = self.requests.get(&id) else { return };
        let what = What::Request {
            note: request.note.clone(),
            expires_in_ms: request.expires.saturating_sub(now),
            peer_key: request.from.endpoint.peer_key.clone(),
        };
        let peer = request.from.account;
        self.tell(to, id, peer, what);
    }

    fn tell(&mut self, to: Whom<A, D>, id: RequestId, peer: A, what: What<A, D>) {
        self.notices.push_back(Notice { to, id, peer, what });
    }
}

impl<A: Copy, D: Copy> Request<A, D> {
    fn new(ask: Ask<A, D>, expires: u64, state: State<A, D>, due: u64) -> Request<A, D> {
        Request { from: ask.from, to: ask.to, note: ask.note, expires, state, due }
    }

    /// What the device needs that said yes.
    fn open_for(&self, id: RequestId, by: &Party<A, D>) -> Open<A, D> {
        meeting(id, by, &self.from, false)
    }

    /// What the device needs that asked.
    fn open_for_asker(&self, id: RequestId, by: &Party<A, D>) -> Open<A, D> {
        meeting(id, &self.from, by, true)
    }
}

/// What one side needs to reach the other.
fn meeting<A: Copy, D: Copy>(id: RequestId, own: &Party<A, D>, other: &Party<A, D>, asker: bool) -> Open<A, D> {
    Open {
        id,
        account: other.account,
        device: other.device,
        endpoint: other.endpoint.clone(),
        own: own.endpoint.endpoint_id.clone(),
        asker,
    }
}

impl<A, D> State<A, D> {
    /// What somebody is told who answers what is open no longer.
    fn too_late(&self) -> Code {
        match self {
            State::Over(Code::WITHDRAWN) => Code::WITHDRAWN,
            State::Over(Code::REQUEST_EXPIRED) => Code::REQUEST_EXPIRED,
            // Answered already, by this account.
            _ => Code::UNKNOWN_REQUEST,
        }
    }
}

/// Whether there is any path that both sides allow.
fn can_meet(one: &PeerEndpoint, other: &PeerEndpoint, terms: Terms) -> Result<(), Fault> {
    let relay_only = one.relay_only || other.relay_only;
    if relay_only && (one.direct_only || other.direct_only) {
        return Err(Code::NO_DIRECT_PATH.into());
    }
    if relay_only && !terms.relay {
        return Err(Code::NO_RELAY.into());
    }
    Ok(())
}

/// Until when something is remembered from then on.
fn remembered(from: u64) -> u64 {
    from.saturating_add(u64::try_from(REQUEST_REMEMBERED.as_millis()).unwrap_or(u64::MAX))
}

fn drop_from<A: Eq + Hash>(lists: &mut HashMap<A, Vec<RequestId>>, of: A, id: &RequestId) {
    if let Some(list) = lists.get_mut(&of) {
        list.retain(|other| other != id);
        if list.is_empty() {
            lists.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests;

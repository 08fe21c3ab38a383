//! One profile's private requests, both directions, as its chatd knows them.
//!
//! Owned by a profile's owner in chatd. The server decides ([`super`]); this remembers what was asked and answered until the server
//! said so, asks and answers again after a link was lost, and knows when a request is over though nobody says it. It holds no
//! addresses: the shell adds them where an [`Effect`] is carried out. Times in milliseconds of a monotonic clock.

use crate::control::private::{Direction, RequestState};
use crate::fault::Code;
use crate::limits::{NOTE_MAX, REQUEST_TTL_MAX, REQUESTS_IN};
use crate::wire::PrivateNotice;

/// A request's id; the session's too.
pub type RequestId = [u8; 16];

/// Requests whose end the server should have told are over so long after their time.
const PATIENCE_MS: u64 = 5_000;

/// A request that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// The other side.
    pub peer: String,
    /// Who asks.
    pub dir: Direction,
    /// The asker's word about why.
    pub note: String,
    /// When it came or was asked.
    pub at: u64,
    /// Until when it is open.
    pub expires: u64,
    /// What this user said to it and the server has not confirmed.
    answer: Option<bool>,
    /// The server has not spoken of it in this session of ours.
    stale: bool,
}

impl Request {
    /// This user said yes, and the server has not confirmed it.
    pub fn is_accepted(&self) -> bool {
        self.answer == Some(true)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the server (again): PASK.
    Ask(Request),
    /// Answer (again): PANS.
    Answer {
        /// The request.
        id: RequestId,
        /// Yes, or no.
        accept: bool,
    },
    /// Somebody asks: tell the user.
    Came(Request),
    /// A request is over; accepted ones become a session.
    Over(Request, RequestState),
}

/// The requests of one profile.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    open: Vec<Request>,
    /// When stale ones are given up.
    settle_by: Option<u64>,
}

impl Requests {
    /// All open ones, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Request> {
        self.open.iter()
    }

    /// The one from or to this user.
    pub fn find(&self, peer: &str, dir: Direction) -> Option<&Request> {
        self.open.iter().find(|r| r.peer == peer && r.dir == dir)
    }

    /// The one with this id.
    pub fn get(&self, id: &RequestId) -> Option<&Request> {
        self.open.iter().find(|r| r.id == *id)
    }

    /// The user asks. REQUEST_PENDING when a request to this user is open.
    pub fn handle_ask(&mut self, now: u64, id: RequestId, peer: &str, note: &str, ttl: u64) -> Result<Effect, Code> {
        if self.find(peer, Direction::Out).is_some() {
            return Err(Code::REQUEST_PENDING);
        }
        let request = Request {
            id,
            peer: peer.to_owned(),
            dir: Direction::Out,
            note: note.to_owned(),
            at: now,
            expires: now.saturating_add(ttl),
            answer: None,
            stale: true,
        };
        self.open.push(request.clone());
        Ok(Effect::Ask(request))
    }

    /// The server took the request, and how long it is open. It is over when it was accepted by the same answer.
    pub fn handle_asked(&mut self, now: u64, id: &RequestId, expires_in: u64, accepted: bool) -> Option<Effect> {
        let index = self.open.iter().position(|r| r.id == *id)?;
        if accepted {
            return Some(Effect::Over(self.open.remove(index), RequestState::Accepted));
        }
        self.open[index].stale = false;
        self.open[index].expires = now.saturating_add(expires_in);
        None
    }

    /// The server refused to take it (any more).
    pub fn handle_refused(&mut self, id: &RequestId, code: Code) -> Option<Effect> {
        let state = match code {
            Code::DECLINED | Code::RECIPIENT_BLOCKED => RequestState::Declined,
            Code::REQUEST_EXPIRED | Code::UNKNOWN_REQUEST => RequestState::Expired,
            _ => RequestState::Cancelled,
        };
        self.over(id, state)
    }

    /// The user withdraws his own request; PCAN goes out with it.
    pub fn handle_withdraw(&mut self, peer: &str) -> Option<Effect> {
        let id = self.find(peer, Direction::Out)?.id;
        self.over(&id, RequestState::Withdrawn)
    }

    /// The user answers a request of somebody. UNKNOWN_REQUEST when there is none.
    pub fn handle_answer(&mut self, peer: &str, accept: bool) -> Result<Effect, Code> {
        let request = self.open.iter_mut().find(|r| r.peer == peer && r.dir == Direction::In);
        let request = request.ok_or(Code::UNKNOWN_REQUEST)?;
        request.answer = Some(accept);
        Ok(Effect::Answer { id: request.id, accept })
    }

    /// The server took the answer.
    pub fn handle_answered(&mut self, id: &RequestId, accept: bool) -> Option<Effect> {
        self.over(id, if accept { RequestState::Accepted } else { RequestState::Declined })
    }

    /// The server did not: the request was over before; or it cannot be accepted like this, and is open still.
    pub fn handle_answer_refused(&mut self, id: &RequestId, code: Code) -> Option<Effect> {
        match code {
            Code::REQUEST_EXPIRED => self.over(id, RequestState::Expired),
            Code::WITHDRAWN | Code::UNKNOWN_REQUEST => self.over(id, RequestState::Withdrawn),
            _ => {
                self.open.iter_mut().filter(|r| r.id == *id).for_each(|r| r.answer = None);
                None
            }
        }
    }

    /// The server told something. Nothing comes of what is not known here.
    pub fn handle_notice(
        &mut self,
        now: u64,
        what: u32,
        id: RequestId,
        peer: &str,
        note: &str,
        ttl: u64,
    ) -> Option<Effect> {
        match what {
            PrivateNotice::REQUEST => self.came(now, id, peer, note, ttl),
            PrivateNotice::ACCEPTED => self.over(&id, RequestState::Accepted),
            PrivateNotice::DECLINED => self.over(&id, RequestState::Declined),
            PrivateNotice::EXPIRED => self.over(&id, RequestState::Expired),
            PrivateNotice::LEFT => self.over(&id, RequestState::Cancelled),
            PrivateNotice::WITHDRAWN | PrivateNotice::ANSWERED => self.over(&id, RequestState::Withdrawn),
            _ => None,
        }
    }

    fn came(&mut self, now: u64, id: RequestId, peer: &str, note: &str, ttl: u64) -> Option<Effect> {
        // A server that keeps its own bounds says no more.
        let longest = u64::try_from(REQUEST_TTL_MAX.as_millis()).unwrap_or(u64::MAX);
        let expires = now.saturating_add(ttl.min(longest));
        if let Some(known) = self.open.iter_mut().find(|r| r.id == id) {
            (known.stale, known.expires) = (false, expires);
            return None;
        }
        if self.open.iter().filter(|r| r.dir == Direction::In).count() >= REQUESTS_IN || note.len() > NOTE_MAX {
            return None;
        }
        // The server lets one of each user be open: an older one is over though nobody told it.
        self.open.retain(|r| r.peer != peer || r.dir != Direction::In);
        let request = Request {
            id,
            peer: peer.to_owned(),
            dir: Direction::In,
            note: note.to_owned(),
            at: now,
            expires,
            answer: None,
            stale: false,
        };
        self.open.push(request.clone());
        Some(Effect::Came(request))
    }

    fn over(&mut self, id: &RequestId, state: RequestState) -> Option<Effect> {
        let index = self.open.iter().position(|r| r.id == *id)?;
        Some(Effect::Over(self.open.remove(index), state))
    }

    /// A session with this user begins: whatever else was open between the two has come to the same.
    pub fn handle_joined(&mut self, peer: &str) -> Vec<Effect> {
        let joined = self.open.extract_if(.., |r| r.peer == peer);
        joined.map(|r| Effect::Over(r, RequestState::Accepted)).collect()
    }

    /// The session is open: what was asked and answered is said again; what the server does not speak of soon is over.
    pub fn handle_welcome(&mut self, now: u64) -> Vec<Effect> {
        self.open.iter_mut().for_each(|r| r.stale = true);
        self.settle_by = (!self.open.is_empty()).then_some(now + PATIENCE_MS);
        let again = |r: &Request| match (r.dir, r.answer) {
            (Direction::Out, _) => Some(Effect::Ask(r.clone())),
            (Direction::In, Some(accept)) => Some(Effect::Answer { id: r.id, accept }),
            (Direction::In, None) => None,
        };
        self.open.iter().filter_map(again).collect()
    }

    /// The login is over: nothing is open any more.
    pub fn handle_logged_out(&mut self) -> Vec<Effect> {
        self.settle_by = None;
        std::mem::take(&mut self.open).into_iter().map(|r| Effect::Over(r, RequestState::Cancelled)).collect()
    }

    /// What time has decided.
    pub fn poll(&mut self, now: u64) -> Vec<Effect> {
        let settled = self.settle_by.is_some_and(|by| by <= now);
        if settled {
            self.settle_by = None;
        }
        let dead = |r: &mut Request| {
            let forgotten = settled && r.stale && r.dir == Direction::In && r.answer.is_none();
            forgotten || r.expires.saturating_add(PATIENCE_MS) <= now
        };
        self.open.extract_if(.., dead).map(|r| Effect::Over(r, RequestState::Expired)).collect()
    }

    /// When to call [`Requests::poll`].
    pub fn poll_timeout(&self) -> Option<u64> {
        let over = self.open.iter().map(|r| r.expires.saturating_add(PATIENCE_MS)).min();
        self.settle_by.into_iter().chain(over).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = [1; 16];

    fn asked() -> Requests {
        let mut requests = Requests::default();
        requests.handle_ask(0, ID, "bob", "re: keys", 1000).expect("asked");
        assert_eq!(requests.handle_asked(10, &ID, 990, false), None);
        requests
    }

    fn over(effect: Option<Effect>) -> Option<RequestState> {
        match effect {
            Some(Effect::Over(_, state)) => Some(state),
            _ => None,
        }
    }

    #[test]
    fn one_request_to_a_user_is_open() {
        let mut requests = asked();
        assert_eq!(requests.handle_ask(20, [2; 16], "bob", "", 10), Err(Code::REQUEST_PENDING));
        assert_eq!(
            over(requests.handle_notice(30, PrivateNotice::DECLINED, ID, "bob", "", 0)),
            Some(RequestState::Declined)
        );
        assert!(requests.handle_ask(40, [2; 16], "bob", "", 10).is_ok());
    }

    #[test]
    fn what_was_asked_and_answered_is_said_again_after_the_link_was_lost() {
        let mut requests = asked();
        requests.handle_notice(20, PrivateNotice::REQUEST, [3; 16], "carol", "", 500);
        requests.handle_notice(20, PrivateNotice::REQUEST, [4; 16], "dave", "", 60_000);
        requests.handle_answer("carol", true).expect("answered");
        let again = requests.handle_welcome(100);
        assert!(
            matches!(&again[..], [Effect::Ask(r), Effect::Answer { id: [3, ..], accept: true }] if r.id == ID),
            "{again:?}"
        );
        // dave's is over when the server does not speak of it.
        assert_eq!(requests.handle_notice(110, PrivateNotice::REQUEST, [4; 16], "dave", "", 60_000), None, "known");
        assert!(requests.poll(100 + PATIENCE_MS).iter().all(|e| !matches!(e, Effect::Over(r, _) if r.peer == "dave")));
        requests.handle_welcome(10_000);
        let late = requests.poll(10_000 + PATIENCE_MS);
        assert!(
            late.iter().any(|e| matches!(e, Effect::Over(r, RequestState::Expired) if r.peer == "dave")),
            "{late:?}"
        );
    }

    #[test]
    fn silence_ends_a_request_a_little_after_its_time() {
        let mut requests = asked();
        assert_eq!(requests.poll_timeout(), Some(1000 + PATIENCE_MS));
        assert!(requests.poll(1000).is_empty());
        assert_eq!(requests.poll(1000 + PATIENCE_MS).len(), 1);
        assert_eq!(requests.open().count(), 0);
    }

    #[test]
    fn crossing_requests_are_over_together() {
        let mut requests = asked();
        requests.handle_notice(20, PrivateNotice::REQUEST, [3; 16], "bob", "", 500);
        requests.handle_notice(20, PrivateNotice::REQUEST, [4; 16], "carol", "", 500);
        assert_eq!(over(requests.handle_asked(30, &ID, 0, true)), Some(RequestState::Accepted));
        let joined = requests.handle_joined("bob");
        assert!(matches!(&joined[..], [Effect::Over(r, RequestState::Accepted)] if r.id == [3; 16]), "{joined:?}");
        assert_eq!(requests.open().map(|r| r.peer.as_str()).collect::<Vec<_>>(), ["carol"]);
    }

    #[test]
    fn a_request_that_cannot_be_accepted_like_this_is_open_still() {
        let mut requests = Requests::default();
        requests.handle_notice(0, PrivateNotice::REQUEST, ID, "carol", "", 500);
        requests.handle_answer("carol", true).expect("answered");
        assert_eq!(requests.handle_answer_refused(&ID, Code::NO_RELAY), None);
        assert_eq!(requests.handle_welcome(10), [], "it is not answered again by itself");
        requests.handle_answer("carol", true).expect("answered otherwise");
        assert_eq!(over(requests.handle_answer_refused(&ID, Code::WITHDRAWN)), Some(RequestState::Withdrawn));
    }

    #[test]
    fn a_server_without_bounds_fills_nobodys_memory() {
        let mut requests = Requests::default();
        let mut came = |number: u8, note: &str, ttl| {
            requests.handle_notice(0, PrivateNotice::REQUEST, [number; 16], &format!("user{number}"), note, ttl)
        };
        assert_eq!(came(200, &"x".repeat(NOTE_MAX + 1), 10), None);
        let taken =
            (0..=u8::try_from(REQUESTS_IN).expect("few")).filter_map(|number| came(number, "", u64::MAX)).count();
        assert_eq!(taken, REQUESTS_IN);
        let longest = u64::try_from(REQUEST_TTL_MAX.as_millis()).expect("an hour");
        assert!(requests.open().all(|r| r.expires == longest));
    }

    #[test]
    fn an_answer_to_nothing_is_refused() {
        assert_eq!(Requests::default().handle_answer("bob", true), Err(Code::UNKNOWN_REQUEST));
        assert_eq!(asked().handle_answer("bob", true), Err(Code::UNKNOWN_REQUEST), "the own one");
    }
}

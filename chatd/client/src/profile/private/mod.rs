//! Private sessions of one profile: requests, sessions and the streams to peers, all owned by the profile's owner.
//!
//! `request` asks and answers through the server, `session` begins, shows and ends what was consented to, `traffic` carries texts,
//! `resume` goes on after a restart. The
//! connections themselves are tasks of [`crate::peer`]; what they tell comes in here, one event at a time.

mod ending;
mod kept;
mod notices;
mod request;
mod resume;
mod session;
mod traffic;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_link::PeerKey;
use chat_proto::control::events::Event;
use chat_proto::control::private::{PrivateRequest, PrivateSession};
use chat_proto::id::Incarnation;
use chat_proto::limits::ACTIVE_EVERY;
use chat_proto::machine::outbox::Outbox;
use chat_proto::machine::private::requests::{RequestId, Requests};
use chat_proto::method::{self, Tag4};
use chat_proto::wire;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Answer;
use super::owner::{Loaded, Owner};
use super::session::Pending;
use crate::history::{PeerDevice, PeerStream};
use crate::peer::{PeerError, PeerEvent, Place};

pub(super) use ending::Endings;
pub(super) use kept::{Kept, Secret, load};
pub use request::no_session;
pub(super) use session::Talk;
pub(super) use traffic::{Receiving, Reopening};

/// What an owner has of private sessions.
pub(in crate::profile) struct Private {
    pub requests: Requests,
    /// How own requests were made, and who waits for them.
    pub asks: HashMap<RequestId, request::Asked>,
    /// How requests of others are being answered, and who waits for that.
    pub answers: HashMap<RequestId, request::Answering>,
    /// Own requests that are over, the newest at the end: whoever waits for one may come a moment late.
    pub ended: VecDeque<PrivateRequest>,
    /// What is to be told of requests of others.
    notices: notices::Notices,
    /// By which key those who ask say to be known.
    pub askers: HashMap<RequestId, [u8; 32]>,
    /// Sessions, oldest first.
    pub sessions: Vec<Talk>,
    /// Texts to peers, by device; they outlive sessions.
    pub outboxes: HashMap<PeerDevice, Outbox>,
    /// Which peer a stream leads to.
    pub streams: HashMap<Incarnation, PeerDevice>,
    /// The stream of this start to each peer, once there was a text.
    pub current: HashMap<PeerDevice, Incarnation>,
    /// Requests of which the server may not know that they are withdrawn.
    pub withdrawn: Vec<RequestId>,
    /// The own key for peers, once it was needed.
    pub key: Option<Arc<PeerKey>>,
    pub tell: mpsc::UnboundedSender<(RequestId, PeerEvent)>,
    /// Sessions of an earlier start that wait for their endpoint.
    pub resuming: HashMap<RequestId, kept::Saved>,
    /// Sessions whose peers are to be told where this side is now, once the server can be asked to.
    pub to_move: Vec<RequestId>,
    /// When what is kept of sessions is to be written down, and when it was last.
    keep: Keep,
    activity: Activity,
}

/// See [`Private::keep`].
#[derive(Default)]
struct Keep {
    last: Option<Instant>,
    due: Option<Instant>,
}

/// When the server was told last that its user is active, and when it is to be told next.
#[derive(Default)]
struct Activity {
    told: Option<Instant>,
    due: Option<Instant>,
}

/// An endpoint that was waited for.
pub(in crate::profile) struct Located {
    pub place: Arc<Place>,
    pub endpoint: wire::PeerEndpoint,
}

/// What an endpoint was wanted for.
#[derive(Clone, Copy, Debug)]
pub(in crate::profile) enum For {
    /// A request of this user.
    Ask,
    /// An answer of this user.
    Answer,
    /// A session of an earlier start.
    Resume,
}

impl Private {
    pub fn new(streams: Vec<PeerStream>, tell: mpsc::UnboundedSender<(RequestId, PeerEvent)>) -> Private {
        let mut outboxes: HashMap<PeerDevice, Outbox> = HashMap::new();
        let mut by_incarnation = HashMap::new();
        for stream in streams {
            outboxes.entry(stream.peer).or_default().restore(stream.incarnation, stream.settled, stream.open);
            by_incarnation.insert(stream.incarnation, stream.peer);
        }
        Private {
            requests: Requests::default(),
            asks: HashMap::new(),
            answers: HashMap::new(),
            ended: VecDeque::new(),
            notices: notices::Notices::default(),
            askers: HashMap::new(),
            sessions: Vec::new(),
            outboxes,
            streams: by_incarnation,
            current: HashMap::new(),
            withdrawn: Vec::new(),
            key: None,
            tell,
            resuming: HashMap::new(),
            to_move: Vec::new(),
            keep: Keep::default(),
            activity: Activity::default(),
        }
    }

    /// The session with this user.
    pub fn with(&self, peer: &str) -> Option<&Talk> {
        self.sessions.iter().find(|talk| talk.peer == peer)
    }

    /// The session with this id.
    pub fn talk(&mut self, id: &RequestId) -> Option<&mut Talk> {
        self.sessions.iter_mut().find(|talk| talk.id == *id)
    }
}

/// A request to be made.
pub struct StartAsk {
    /// Whom.
    pub user: String,
    /// Why.
    pub note: String,
    /// Through the relay alone.
    pub relay_only: bool,
    /// Directly or not at all.
    pub direct_only: bool,
}

/// A request to be accepted.
pub struct AcceptAsk {
    /// Whose.
    pub user: String,
    /// Through the relay alone.
    pub relay_only: bool,
    /// The session ends by itself after this.
    pub lasts: Option<Duration>,
}

/// Who waits for a request to be over.
pub(in crate::profile) type RequestWaiter = oneshot::Sender<Answer<PrivateRequest>>;
/// Who waits for a session to be open.
pub(in crate::profile) type SessionWaiter = oneshot::Sender<Answer<PrivateSession>>;

impl Owner {
    /// Asks the server; the answer comes back as what `then` makes of it.
    pub(super) fn ask_server(
        &mut self,
        method: Tag4,
        body: &impl Message,
        then: impl FnOnce(Answer<Bytes>) -> Loaded + Send + 'static,
    ) {
        let (reply, answer) = oneshot::channel();
        self.call(method, body.encode_to_vec().into(), Pending::Call(reply));
        let loads = self.loads.clone();
        tokio::spawn(async move {
            if let Ok(answer) = answer.await {
                let _ = loads.send(then(answer));
            }
        });
    }

    /// The user did something that the server does not see (mission rule 7). It learns that, at most once in a while, and no more.
    pub fn active(&mut self) {
        let now = Instant::now();
        let next = self.private.activity.told.map_or(now, |told| told + ACTIVE_EVERY);
        self.private.activity.due.get_or_insert(next.max(now));
        self.private_time(now);
    }

    /// What time has decided.
    pub fn private_time(&mut self, now: Instant) {
        if self.private.activity.due.is_some_and(|due| due <= now) {
            self.private.activity.due = None;
            self.private.activity.told = Some(now);
            self.notify(method::ACTIVE, &wire::Empty {});
        }
        let mono = self.around.world.mono_ms();
        for effect in self.private.requests.poll(mono) {
            self.carry_out(effect);
        }
        if self.private.keep.due.is_some_and(|due| due <= now) {
            self.keep_sessions();
        }
        for word in self.private.notices.poll(now) {
            self.tell(0, Event::PrivateRequest(word));
        }
        self.sessions_time(now);
    }

    /// When [`Owner::private_time`] is to be called though nothing happens.
    pub fn private_deadline(&self, now: Instant) -> Option<Instant> {
        let mono = self.around.world.mono_ms();
        let requests =
            self.private.requests.poll_timeout().map(|ms| now + Duration::from_millis(ms.saturating_sub(mono)));
        let sessions = self.private.sessions.iter().filter_map(Talk::deadline);
        let notices = self.private.notices.poll_timeout();
        let due = self.private.activity.due.into_iter().chain(self.private.keep.due);
        due.chain(requests).chain(sessions).chain(notices).min()
    }

    /// The endpoint and where it is, for a request or an answer.
    fn locate(&mut self, id: RequestId, what: For, relay_only: bool, direct_only: bool) {
        let key = match self.peer_key() {
            Ok(key) => key.public(),
            Err(error) => return self.located(id, what, Err(PeerError::Endpoint(error.to_string()))),
        };
        let (peers, loads) = (Arc::clone(&self.peers), self.loads.clone());
        tokio::spawn(async move {
            let located = async {
                let place = peers.place(relay_only).await?;
                let endpoint = endpoint_of(&place, key, relay_only, direct_only).await;
                Ok(Located { place, endpoint })
            };
            let _ = loads.send(Loaded::Located { id, what, located: located.await });
        });
    }

    /// The own key for peers; made when it is needed first.
    pub(super) fn peer_key(&mut self) -> Result<Arc<PeerKey>, crate::keys::KeyFileError> {
        if let Some(key) = &self.private.key {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(crate::keys::peer_key(&self.key_directory())?);
        self.private.key = Some(Arc::clone(&key));
        Ok(key)
    }
}

/// What a peer is told of an endpoint.
async fn endpoint_of(place: &Place, key: [u8; 32], relay_only: bool, direct_only: bool) -> wire::PeerEndpoint {
    wire::PeerEndpoint {
        endpoint_id: place.id().to_vec(),
        addresses: place.addresses().await.iter().map(ToString::to_string).collect(),
        peer_key: key.to_vec(),
        relay_only,
        direct_only,
    }
}

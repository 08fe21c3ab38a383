//! Control calls about private requests and sessions: startprivate, requests, accept, decline, private, stopprivate, sessions.

use serde::{Deserialize, Serialize};

use super::message::State;
use crate::id::{Fingerprint, MessageId};

/// Ask a user for a private session; answered once the server took the request, or, with `wait_ms`, once it is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Startprivate {
    /// Profile.
    pub profile: String,
    /// Whom.
    pub user: String,
    /// A word about why, shown with the request.
    #[serde(default)]
    pub note: Option<String>,
    /// Through the server's relay alone: the peer does not see this host's addresses.
    #[serde(default)]
    pub relay_only: bool,
    /// Directly, or not at all.
    #[serde(default)]
    pub direct_only: bool,
    /// Wait so long for the answer and the connection.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// Give up on the server after this long.
    pub timeout_ms: u64,
}

/// Which way a request or file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody asks this account, or sends to it.
    In,
    /// This account asks, or sends.
    Out,
}

/// What became of a request. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Nobody answered yet.
    Asked,
    /// Yes.
    Accepted,
    /// No.
    Declined,
    /// Nobody answered in time.
    Expired,
    /// One of the two left.
    Cancelled,
    /// Its sender withdrew it.
    Withdrawn,
}

/// A private request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateRequest {
    /// Its id; the session's too, if one comes of it.
    pub id: String,
    /// The other side.
    pub peer: String,
    /// Who asks.
    pub dir: Direction,
    /// What became of it.
    pub state: RequestState,
    /// The asker's word about why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was asked, by this host's clock.
    pub at_ms: i64,
    /// Until when it is open, by this host's clock.
    pub expires_at_ms: i64,
    /// Once accepted and connected: the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<PrivateSession>,
}

/// Which private requests are open?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requests {
    /// Profile.
    pub profile: String,
    /// Only those of one direction.
    #[serde(default)]
    pub dir: Option<Direction>,
}

/// Say yes to a user's request; answered once the peer is connected and has proven its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accept {
    /// Profile.
    pub profile: String,
    /// Whose request.
    pub user: String,
    /// Through the server's relay alone: the peer does not see this host's addresses.
    #[serde(default)]
    pub relay_only: bool,
    /// End the session by itself after this long.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// Give up waiting after this long; the session goes on trying.
    pub timeout_ms: u64,
}

/// Say no.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decline {
    /// Profile.
    pub profile: String,
    /// Whose request.
    pub user: String,
    /// Block the user too, first.
    #[serde(default)]
    pub block: bool,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Send a text within a private session; answered as [`super::message::SendMessage`], with [`super::message::Sent`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Private {
    /// Profile.
    pub profile: String,
    /// To whom.
    pub user: String,
    /// The text.
    pub text: String,
    /// Makes a retry safe: same key and content, same answer.
    pub key: String,
    /// Answer when this far: `queued`, `delivered` or `read`.
    pub wait: State,
    /// Give up waiting after this long; the text stays queued while the session lasts.
    pub timeout_ms: u64,
}

/// End a private session, or withdraw a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stopprivate {
    /// Profile.
    pub profile: String,
    /// With whom; absent: all.
    #[serde(default)]
    pub user: Option<String>,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Answer to [`Stopprivate`]: what there was to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Sessions that are over now.
    pub items: Vec<PrivateEnded>,
    /// People whose answer is not waited for any more: requests to them that were withdrawn.
    #[serde(default)]
    pub withdrawn: Vec<String>,
}

/// Why a session ended. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// This user ended it.
    You,
    /// The peer ended it.
    Peer,
    /// A logout, of either side.
    Logout,
    /// One of the two was logged out for want of activity.
    Idle,
    /// The peer was out of reach for too long, or never reached.
    Link,
    /// The time of `accept --for` is over.
    Time,
    /// The peer's key is not the one that is known.
    Identity,
    /// Only a direct path was allowed, and there is none.
    NoDirectPath,
    /// Something else.
    Other,
}

/// A session that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateEnded {
    /// With whom it was.
    pub peer: String,
    /// Why.
    pub reason: EndReason,
    /// The peer's side caused it.
    pub by_peer: bool,
    /// Texts that were never handed to the connection: they failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<MessageId>,
    /// Texts that were, without a verdict: settled when the two next meet.
    #[serde(default)]
    pub unsettled: u64,
    /// When.
    pub at_ms: i64,
}

/// Which private sessions are there?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sessions {
    /// Profile.
    pub profile: String,
}

/// How a session goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// No connection yet.
    Connecting,
    /// Connected; the peer has proven its key.
    Open,
    /// The connection is lost and being made again.
    Away,
}

/// How the two are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// From host to host.
    Direct,
    /// Through the server's relay, which sees ciphertext alone.
    Relay,
}

/// Why a path is what it is. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathReason {
    /// A direct path was found.
    Found,
    /// This side asked for the relay alone.
    RelayOnly,
    /// The peer did.
    PeerRelayOnly,
    /// No direct path was found, or not yet.
    NoDirectPath,
}

/// How well the peer's key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Seen for the first time in this session.
    FirstSeen,
    /// The same as in an earlier session.
    Known,
    /// The two users compared it.
    Verified,
}

/// A private session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateSession {
    /// Its id.
    pub id: String,
    /// With whom.
    pub peer: String,
    /// How it goes.
    pub state: SessionState,
    /// How the two are connected; absent while they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// Why it is this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<PathReason>,
    /// The peer's address on a direct path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Last measured round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// Since when the two consented.
    pub since_ms: i64,
    /// Since when the state is what it is.
    pub changed_ms: i64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// The peer's key; absent before it was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
    /// How well it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KeyState>,
    /// This side's addresses are hidden from the peer.
    pub relay_only: bool,
    /// Only a direct path is allowed.
    pub direct_only: bool,
    /// Texts that the peer has not taken yet.
    pub queued: u64,
}

/// The short code of a peer's key and the own one, equal on both sides; with `confirm` the two users have compared it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionsVerify {
    /// Profile.
    pub profile: String,
    /// With whom.
    pub user: String,
    /// Remember the peer's key as verified.
    #[serde(default)]
    pub confirm: bool,
}

/// Answer to [`SessionsVerify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// With whom.
    pub peer: String,
    /// Six groups of five digits.
    pub code: String,
    /// The peer's key.
    pub key: Fingerprint,
    /// This account's own key on this device, as the peer sees it.
    pub own_key: Fingerprint,
    /// How well the peer's key is known.
    pub known: KeyState,
}

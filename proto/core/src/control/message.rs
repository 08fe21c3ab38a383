//! Control calls about messages: message, broadcast, inbox, read, search, export, unread, show, outbox.

use serde::{Deserialize, Serialize};

use crate::fault::Code;
use crate::id::MessageId;

/// How far a message got; user-visible words, always these. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On stable storage of the sender's host.
    Queued,
    /// On the server's stable storage, with every recipient's inbox entry.
    Accepted,
    /// In the history of one of the recipient's devices.
    Delivered,
    /// The reader's chatd marked it and shares that.
    Read,
    /// Rejected for good.
    Failed,
    /// Nobody fetched it in time.
    Expired,
}

impl State {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Accepted => "accepted",
            State::Delivered => "delivered",
            State::Read => "read",
            State::Failed => "failed",
            State::Expired => "expired",
        }
    }

    /// Nothing will change it any more, or it is at least as far as `goal`.
    pub fn reached(self, goal: State) -> bool {
        self >= goal || matches!(self, State::Failed | State::Expired)
    }
}

/// What a message is. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// For one account.
    Direct,
    /// For everyone online.
    Broadcast,
    /// Peer to peer.
    Private,
    /// From the system itself, or of a kind that this build does not know.
    System,
}

/// Send a message; answered when `wait` is reached, when it failed, or when `timeout_ms` ran out (then with what holds).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SendMessage {
    /// Profile.
    pub profile: String,
    /// Recipient.
    pub to: String,
    /// The text.
    pub text: String,
    /// Makes a retry safe: same key and content, same answer; chatctl makes one where none is given.
    pub key: String,
    /// Answer when this far.
    pub wait: State,
    /// Give up waiting after this long; the message stays queued.
    pub timeout_ms: u64,
    /// Refuse instead of queueing when the server is not reachable now.
    #[serde(default)]
    pub no_queue: bool,
    /// The message that this answers: an id or an unambiguous suffix.
    #[serde(default)]
    pub reply: Option<String>,
    /// Asks the recipient's side to be loud.
    #[serde(default)]
    pub urgent: bool,
    /// The text tells how a command ended.
    #[serde(default)]
    pub run: Option<RunEnded>,
}

/// How a command ended that a message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnded {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub exit: i32,
    /// How long it took.
    pub duration_ms: u64,
}

/// Send to everyone online.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Broadcast {
    /// Profile.
    pub profile: String,
    /// The text.
    pub text: String,
    /// As in [`SendMessage`].
    pub key: String,
    /// `queued` or `accepted`.
    pub wait: State,
    /// As in [`SendMessage`].
    pub timeout_ms: u64,
}

/// Why a wait ended before its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// The server is not reachable, or asked to try later: exit 5.
    Unreachable,
    /// No verdict within the time: exit 9.
    TimedOut,
}

/// Answer to [`SendMessage`] and [`Broadcast`]. A final refusal is an error whose data holds this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The message's id.
    pub id: MessageId,
    /// Its key.
    pub key: String,
    /// Recipient; absent for a broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How far it got.
    pub state: State,
    /// When it was queued.
    pub at_ms: i64,
    /// The recipient was announced online at acceptance.
    pub recipient_online: bool,
    /// The key had been used for the same content before.
    pub duplicate: bool,
    /// Broadcast: to how many.
    #[serde(default)]
    pub audience: u32,
    /// Broadcast, classic profile: some online user was left out.
    #[serde(default)]
    pub missed: bool,
    /// The wait ended before its goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// With `pending`: when chatd tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// With `pending`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<super::account::Problem>,
}

/// One message as `read`, `show`, `outbox` and `watch` give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Place in this profile's history: strictly increasing, for cursors of this host only. 0: still in the outbox alone.
    pub index: u64,
    /// Its id, equal on all hosts.
    pub id: MessageId,
    /// The sender's key, on the sender's own host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Sending account, stamped by the server.
    pub from: String,
    /// Receiving account; absent for a broadcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Its text; of a content type that this build does not know: a description.
    pub text: String,
    /// Content type of the body.
    pub content_type: String,
    /// When: server's clock at acceptance; own clock while queued.
    pub at_ms: i64,
    /// Own messages: how far it got. Others': `delivered` or `read` (by this account).
    pub state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// This account sent it, from this or another device.
    pub own: bool,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// The text tells how a command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunEnded>,
}

/// List conversations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inbox {
    /// Profile.
    pub profile: String,
    /// Only those with unread messages.
    #[serde(default)]
    pub unread: bool,
    /// At most so many, newest first.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// With whom.
    pub user: String,
    /// Unread messages from them.
    pub unread: u64,
    /// Its newest message.
    pub last: Message,
}

/// Messages, oldest first, a page at a time; marks nothing (see [`MarkRead`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Read {
    /// Profile.
    pub profile: String,
    /// Only the conversation with this user.
    #[serde(default)]
    pub user: Option<String>,
    /// The newest so many; absent with `unread` or `since`: all.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Only unread ones.
    #[serde(default)]
    pub unread: bool,
    /// Only from this time on.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// Only before this message: an id or an unambiguous suffix.
    #[serde(default)]
    pub before: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub next: Option<u64>,
}

/// A page of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Oldest first.
    pub items: Vec<Message>,
    /// Ask again with this for more.
    #[serde(default)]
    pub next: Option<u64>,
}

/// These messages were shown to the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MarkRead {
    /// Profile.
    pub profile: String,
    /// Their places in this profile's history.
    pub indices: Vec<u64>,
}

/// Messages with these words, oldest first, a page at a time; marks nothing. Text is data: no sign in it is an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Search {
    /// Profile.
    pub profile: String,
    /// Words that all must be in a message, whole or as beginnings, in any case; or a pattern.
    pub text: String,
    /// Only the conversation with this user.
    #[serde(default)]
    pub with: Option<String>,
    /// Only from this user.
    #[serde(default)]
    pub from: Option<String>,
    /// Only from this time on.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// The text is a regular expression.
    #[serde(default)]
    pub regex: bool,
    /// So many messages of the same conversation before and after each found one.
    #[serde(default)]
    pub context: u32,
    /// `next` of the page before.
    #[serde(default)]
    pub next: Option<u64>,
}

/// A page of what was found. It may be empty although more follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchPage {
    /// By groups, and oldest first in each.
    pub items: Vec<Hit>,
    /// Ask again with this for more.
    #[serde(default)]
    pub next: Option<u64>,
}

/// A message that was found, or one around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The message.
    pub message: Message,
    /// It was found; false: it stands near one that was.
    pub found: bool,
    /// Equal for messages that stand together.
    pub group: u64,
}

/// The history as it is, oldest first, a page at a time; marks nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Export {
    /// Profile.
    pub profile: String,
    /// Only the conversation with this user.
    #[serde(default)]
    pub user: Option<String>,
    /// Only from this time on.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// Only behind this message: an id or an unambiguous suffix.
    #[serde(default)]
    pub after: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub next: Option<u64>,
}

/// How many unread? Never touches the network, works logged out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unread {
    /// Profile.
    pub profile: String,
    /// Only from this user.
    #[serde(default)]
    pub user: Option<String>,
}

/// Answer to [`Unread`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadReply {
    /// In all.
    pub total: u64,
    /// By person, most first.
    pub people: Vec<UnreadPerson>,
    /// Open private requests.
    pub requests: u64,
}

/// Unread messages from one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadPerson {
    /// Who.
    pub user: String,
    /// How many.
    pub count: u64,
}

/// One message, by id, suffix or key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Show {
    /// Profile.
    pub profile: String,
    /// Id, unambiguous suffix, or key.
    pub id: String,
    /// Answer only when this far (own messages).
    #[serde(default)]
    pub wait: Option<State>,
    /// Give up waiting after this long: code `timed_out`.
    pub timeout_ms: u64,
}

/// Messages without a verdict, and those that failed and were not looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outbox {
    /// Profile.
    pub profile: String,
}

/// Give up a message that has no verdict; `too_late` with `data.message` when it has one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboxCancel {
    /// Profile.
    pub profile: String,
    /// Id, unambiguous suffix, or key.
    pub id: String,
    /// Wait so long for the server's word where it may have the message already.
    pub timeout_ms: u64,
}

/// Answer to [`OutboxCancel`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxCancelled {
    /// The message: `failed` with `cancelled`; still `queued` with `pending`.
    pub message: Message,
    /// Whether the server had it already is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// Try now what waits; or one message: what waits is tried under its id, what failed is sent again as a new message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboxRetry {
    /// Profile.
    pub profile: String,
    /// Id, unambiguous suffix, or key; absent: all that wait.
    #[serde(default)]
    pub id: Option<String>,
    /// Give up waiting after this long; what waits stays queued.
    pub timeout_ms: u64,
}

/// Answer to [`OutboxRetry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRetried {
    /// Messages that had waited and have a verdict now; nothing where one was named.
    pub went: u64,
    /// Messages that wait still.
    pub waiting: u64,
    /// Why they wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The message that was named, or the new one in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// `sent` is a new message in the place of this one, which failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MessageId>,
}

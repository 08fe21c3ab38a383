//! The event stream behind `watch`, and the named cursors that readers of it keep.

use serde::{Deserialize, Serialize};

use super::account::{LinkState, Problem};
use super::file::File;
use super::message::{Message, State};
use super::private::{PrivateEnded, PrivateRequest, PrivateSession};
use crate::fault::Code;
use crate::id::{CursorName, MessageId};

/// Topics of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Messages of others and of own other devices.
    Message,
    /// Who came and went.
    Presence,
    /// Private requests and sessions.
    Private,
    /// File offers and progress.
    File,
    /// How far own messages got, and failed ones.
    Receipt,
    /// The server link.
    Link,
    /// That counts of unread messages may have changed: told only to those who ask for it by name.
    Unread,
}

/// Follow events from now on, or from a place in the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Watch {
    /// Profile.
    pub profile: String,
    /// Only these topics; empty: all.
    #[serde(default)]
    pub only: Vec<Topic>,
    /// Only from this user.
    #[serde(default)]
    pub from: Option<String>,
    /// Messages behind this one first: an id or an unambiguous suffix. With `cursor`: where a new cursor begins.
    #[serde(default)]
    pub since: Option<String>,
    /// Messages behind the last one that was acknowledged under this name first; the cursor is made where it is not there.
    #[serde(default)]
    pub cursor: Option<CursorName>,
    /// Messages behind this place in the history first; a follower that reconnects names the last it got.
    #[serde(default)]
    pub after_index: Option<u64>,
}

/// Answer to [`Watch`]; events follow as notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// The newest place in the history when the watch began: messages at or below it are old.
    pub index: u64,
    /// Messages behind this place come first; equal to `index` when only new ones come.
    #[serde(default)]
    pub after: Option<u64>,
}

/// Everything up to this message was handled by the reader that keeps this cursor. A cursor never moves backwards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// Profile.
    pub profile: String,
    /// The cursor.
    #[serde(alias = "name")]
    pub cursor: CursorName,
    /// The message: an id or an unambiguous suffix.
    pub id: String,
}

/// Answer to [`Ack`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The cursor as it stands now.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// False: it stood there or beyond already.
    pub changed: bool,
}

/// A named place in a profile's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its name.
    pub name: CursorName,
    /// Everything up to this place in the history was acknowledged.
    pub index: u64,
    /// The message at this place; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// When it was made or moved last.
    pub at_ms: i64,
    /// Messages behind it, counted no further than `limits::CURSOR_WAITING`.
    pub waiting: u64,
}

/// List named cursors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CursorList {
    /// Profile.
    pub profile: String,
}

/// Forget a named cursor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CursorRemove {
    /// Profile.
    pub profile: String,
    /// Its name.
    pub name: CursorName,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A message is in the history.
    Message(Message),
    /// Somebody came or went.
    Presence {
        /// Who.
        user: String,
        /// `online` or `offline`.
        state: String,
        /// `login`, `logout`, `idle`, `link`, `kicked`.
        reason: String,
        /// When.
        at_ms: i64,
    },
    /// More people came or went than can be named.
    PresenceMany {
        /// How many.
        count: u32,
        /// When.
        at_ms: i64,
    },
    /// An own message got further, or failed.
    Receipt {
        /// Which.
        id: MessageId,
        /// Its key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// To whom.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// How far.
        state: State,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Code>,
        /// When.
        at_ms: i64,
    },
    /// The link changed.
    Link {
        /// To what.
        state: LinkState,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Problem>,
        /// When.
        at_ms: i64,
    },
    /// A private request came, or something became of one.
    PrivateRequest(PrivateRequest),
    /// A private session is open, lost its peer, or goes another way.
    PrivateSession(PrivateSession),
    /// A private session is over.
    PrivateEnded(PrivateEnded),
    /// A file is offered to this account.
    FileOffer(File),
    /// A transfer got further, or is over.
    File(File),
    /// Counts of unread messages may have changed: `unread` tells them.
    Unread {
        /// When.
        at_ms: i64,
    },
    /// Entries that the server no longer had: between `from` and `to` messages are missing.
    Gap {
        /// Place in this profile's history.
        #[serde(default)]
        index: u64,
        /// The message before; absent where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<MessageId>,
        /// The entry of the gap itself, acknowledged like a message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<MessageId>,
        /// How many.
        count: u64,
        /// When.
        at_ms: i64,
    },
}

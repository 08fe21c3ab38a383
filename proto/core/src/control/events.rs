//! The event stream behind `watch`.

use serde::{Deserialize, Serialize};

use super::account::{LinkState, Problem};
use super::message::{Message, State};
use crate::fault::Code;
use crate::id::MessageId;

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
    /// Messages behind this one first: an id or an unambiguous suffix.
    #[serde(default)]
    pub since: Option<String>,
    /// Messages behind this place in the history first; a follower that reconnects names the last it got.
    #[serde(default)]
    pub after_index: Option<u64>,
}

/// Answer to [`Watch`]; events follow as notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// The newest place in the history when the watch began: messages at or below it are old.
    pub index: u64,
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
    /// Entries that the server no longer had.
    Gap {
        /// How many.
        count: u64,
        /// When.
        at_ms: i64,
    },
}

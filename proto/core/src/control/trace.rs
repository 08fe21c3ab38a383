//! The control call behind `trace`: what happened to one message, over every hop that this host knows of.

use serde::{Deserialize, Serialize};

use super::message::Message;
use crate::fault::Code;

/// What happened to this message, and when?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TraceMessage {
    /// Profile.
    pub profile: String,
    /// Its id, an unambiguous end of it, or its key.
    pub id: String,
    /// Give up asking the server after this long; what this host knows is answered all the same.
    pub timeout_ms: u64,
}

/// Answer to [`TraceMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The message, its text left out.
    pub message: Message,
    /// What happened, oldest first. Times are those of this host's clock unless the step says otherwise.
    pub hops: Vec<Hop>,
    /// What it waits for.
    #[serde(default)]
    pub waits_for: Option<WaitsFor>,
    /// Own messages: what the server says of it now.
    #[serde(default)]
    pub server: Option<ServerSays>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// What.
    pub step: Step,
    /// When; absent where this host does not know.
    #[serde(default)]
    pub at_ms: Option<i64>,
    /// How often, where it can be more than once; `at_ms` is the first time.
    #[serde(default)]
    pub times: Option<u64>,
    /// The last time, where that was another.
    #[serde(default)]
    pub last_at_ms: Option<i64>,
    /// Why, where it was refused or given up.
    #[serde(default)]
    pub code: Option<Code>,
    /// Where it stands in the server's log.
    #[serde(default)]
    pub place: Option<u64>,
}

/// Steps of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Own: on this host's disk.
    Queued,
    /// Own: put on the link to the server.
    Sent,
    /// The server took it. Of somebody else's message: by the server's clock.
    Accepted,
    /// Own: refused or given up; final.
    Failed,
    /// Own: in the history of one of the recipient's devices.
    Delivered,
    /// Own: read by the recipient.
    Read,
    /// Own: nobody fetched it in time.
    Expired,
    /// In the history of this host.
    Arrived,
    /// Read by this account.
    ReadHere,
    /// The server knows that it was read.
    ReadTold,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// A login.
    Login,
    /// The link to the server.
    Link,
    /// The server's verdict.
    Verdict,
    /// A device of the recipient.
    Recipient,
    /// The recipient reads it, and shares that.
    Reader,
}

/// What the server says of a place of a stream of this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub enum ServerSays {
    /// It was not asked, or gave no answer.
    Nothing {
        /// Why.
        code: Code,
    },
    /// It has not decided it: it never came, or what it knew was set back.
    Undecided,
    /// It decided it so long ago that only this is known.
    Decided,
    /// Its decision.
    Verdict {
        /// `accepted`, or why it was refused.
        code: Code,
        /// Accepted: where it stands.
        #[serde(default)]
        place: Option<u64>,
    },
}

//! Control calls about other people: whoelse, whoelsesince, block, unblock, blocked.

use serde::{Deserialize, Serialize};

/// Who else is online?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whoelse {
    /// Profile.
    pub profile: String,
    /// Only this user.
    #[serde(default)]
    pub user: Option<String>,
    /// Names behind this one.
    #[serde(default)]
    pub after: Option<String>,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Who was online since so many seconds ago?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whoelsesince {
    /// Profile.
    pub profile: String,
    /// Seconds back, inclusive.
    pub seconds: u64,
    /// Names behind this one.
    #[serde(default)]
    pub after: Option<String>,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// A page of people in the order of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeoplePage {
    /// The page.
    pub items: Vec<Person>,
    /// Ask again with the last name.
    pub more: bool,
}

/// Somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub user: String,
    /// Online now.
    pub online: bool,
    /// Since when the present (or last) session.
    pub since_ms: i64,
    /// When the last session ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<i64>,
    /// Online without activity.
    pub away: bool,
}

/// Refuse messages and notices of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Block {
    /// Profile.
    pub profile: String,
    /// Whom.
    pub user: String,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Take them again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unblock {
    /// Profile.
    pub profile: String,
    /// Whom.
    pub user: String,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Answer to [`Block`] and [`Unblock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockReply {
    /// Whom.
    pub user: String,
    /// Blocked now.
    pub blocked: bool,
    /// False: it was so already.
    pub changed: bool,
    /// A private session with them stays open.
    pub private_session: bool,
}

/// Names that begin so, for completion: people with whom messages were exchanged, and those who were seen lately. Never touches the
/// network, works logged out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Names {
    /// Profile.
    pub profile: String,
    /// The beginning.
    #[serde(default)]
    pub prefix: String,
    /// At most so many.
    pub limit: u32,
}

/// Whom do I block?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// Profile.
    pub profile: String,
    /// Give up after this long.
    pub timeout_ms: u64,
}

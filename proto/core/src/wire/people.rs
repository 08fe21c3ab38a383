//! Other people: who there are, who is there, and who is blocked.

use prost::Message;

/// PRES: who came and went; above 32 names only the count.
#[derive(Clone, PartialEq, Message)]
pub struct Presence {
    /// Who, in no order against messages.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PresenceItem>,
    /// How many came or went in all; more than `items` when there were too many to name.
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

/// One who came or went.
#[derive(Clone, PartialEq, Message)]
pub struct PresenceItem {
    /// Who.
    #[prost(string, tag = "1")]
    pub account: String,
    /// Came, or went.
    #[prost(bool, tag = "2")]
    pub online: bool,
    /// 1 login, 2 logout, 3 idle, 4 link lost, 5 kicked.
    #[prost(uint32, tag = "3")]
    pub reason: u32,
    /// Server's wall clock, milliseconds since 1970.
    #[prost(int64, tag = "4")]
    pub at_ms: i64,
}

/// WHOE and WHOS: a page of people.
#[derive(Clone, PartialEq, Message)]
pub struct PeopleQuery {
    /// Names behind this one; empty for the first page.
    #[prost(string, tag = "1")]
    pub after: String,
    /// WHOS: seconds back, inclusive.
    #[prost(uint64, tag = "2")]
    pub seconds: u64,
}

/// Answer to WHOE and WHOS, in the order of names.
#[derive(Clone, PartialEq, Message)]
pub struct People {
    /// The page.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Person>,
    /// Ask again with the last name.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Somebody else.
#[derive(Clone, PartialEq, Message)]
pub struct Person {
    /// Who.
    #[prost(string, tag = "1")]
    pub account: String,
    /// Announced online now.
    #[prost(bool, tag = "2")]
    pub online: bool,
    /// Online: since when. Offline: start of the last session. Milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub since_ms: i64,
    /// Offline: when the last session ended. Milliseconds since 1970.
    #[prost(int64, tag = "4")]
    pub last_seen_ms: i64,
    /// Online but without activity for a while.
    #[prost(bool, tag = "5")]
    pub away: bool,
}

/// BLOC and UNBL: the account meant.
#[derive(Clone, PartialEq, Message)]
pub struct Account {
    /// Its name.
    #[prost(string, tag = "1")]
    pub account: String,
}

/// Answer to BLOC and UNBL.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct BlockChanged {
    /// False: it was so already.
    #[prost(bool, tag = "1")]
    pub changed: bool,
}

/// Answer to BLKD.
#[derive(Clone, PartialEq, Message)]
pub struct Blocked {
    /// Whom the caller blocks.
    #[prost(string, repeated, tag = "1")]
    pub accounts: Vec<String>,
}

//! Open sessions, and what the operator does to them: list, kick, announce.

use std::sync::Arc;

use chat_proto::fault::Code;
use chat_proto::id::AccountName;
use chat_proto::limits::TEXT_MAX;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Call, Desk, Refusal};
use crate::clock::Clock;
use crate::gateway::Mailbox;
use crate::store::{Op, SessionNo, Store};

/// An open session, for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its number; given once in the life of a server process.
    pub id: u64,
    /// Whose.
    pub user: String,
    /// The client's address and port.
    pub address: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Milliseconds since its user did something.
    pub idle_ms: u64,
}

impl Row {
    fn of(number: SessionNo, mailbox: &Mailbox, clock: Clock) -> Row {
        let origin = mailbox.origin();
        let peer = std::net::SocketAddr::new(origin.peer.ip().to_canonical(), origin.peer.port());
        Row {
            id: number.0,
            user: mailbox.login().name.to_string(),
            address: peer.to_string(),
            since_ms: origin.since_ms,
            idle_ms: clock.mono_ms().saturating_sub(mailbox.active_ms()),
        }
    }
}

/// All open sessions, oldest first.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SessionList {}

impl Call for SessionList {
    const METHOD: &'static str = "session_list";
    const LIVE: bool = true;
    type Reply = Vec<Row>;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Vec<Row>, Refusal> {
        let gateway = desk.live()?;
        let rows = gateway.directory.sessions();
        Ok(rows.iter().map(|(number, mailbox)| Row::of(*number, mailbox, gateway.clock)).collect())
    }
}

/// Whose sessions are to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// This one.
    Id(u64),
    /// All of this account.
    User(String),
    /// Either, as it was typed: a number may be a name too.
    Typed(String),
}

/// End sessions. Their clients do not come back by themselves and tell their users why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionKick {
    /// Which.
    pub whose: Whose,
}

impl Call for SessionKick {
    const METHOD: &'static str = "session_kick";
    const LIVE: bool = true;
    type Reply = Vec<Row>;

    fn about(&self) -> String {
        match &self.whose {
            Whose::Id(id) => id.to_string(),
            Whose::User(who) | Whose::Typed(who) => who.clone(),
        }
    }

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Vec<Row>, Refusal> {
        let gateway = desk.live()?;
        let about = self.about();
        let meant = pick(gateway.directory.sessions(), &self.whose, |name| desk.accounts().look_up(name))?;
        if meant.is_empty() {
            let known = match &self.whose {
                Whose::Id(_) => true,
                Whose::User(who) | Whose::Typed(who) => desk.accounts().find(who).await?.is_some(),
            };
            return Err(Refusal::new(if known { Code::UNKNOWN_ID } else { Code::UNKNOWN_USER }).about(about));
        }
        for (_, mailbox) in &meant {
            mailbox.end(Code::KICKED, false);
        }
        Ok(meant.iter().map(|(number, mailbox)| Row::of(*number, mailbox, gateway.clock)).collect())
    }
}

type Session = (SessionNo, Arc<Mailbox>);

fn pick(
    sessions: Vec<Session>,
    whose: &Whose,
    look_up: impl Fn(&str) -> Option<AccountName>,
) -> Result<Vec<Session>, Refusal> {
    let (id, user) = match whose {
        Whose::Id(id) => (Some(*id), None),
        Whose::User(user) => (None, look_up(user)),
        Whose::Typed(typed) => (typed.parse().ok(), look_up(typed)),
    };
    let by_id = |(number, _): &Session| Some(number.0) == id;
    let by_user = |(_, mailbox): &Session| Some(&mailbox.login().name) == user.as_ref();
    if sessions.iter().any(by_id) && sessions.iter().any(by_user) {
        return Err(Refusal::new(Code::CONFLICT).about(id.unwrap_or_default().to_string()));
    }
    Ok(sessions.into_iter().filter(|session| by_id(session) || by_user(session)).collect())
}

/// A word of the operator to everybody who is announced online.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Announce {
    /// What he says.
    pub text: String,
}

/// How many it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Accounts.
    pub sent: u32,
}

impl Call for Announce {
    const METHOD: &'static str = "announce";
    const LIVE: bool = true;
    type Reply = Announced;

    async fn answer<S: Store>(self, desk: &Desk<S>) -> Result<Announced, Refusal> {
        let gateway = desk.live()?;
        if self.text.trim().is_empty() {
            return Err(Refusal::new(Code::BAD_PARAMS).about("text"));
        }
        if self.text.len() > TEXT_MAX {
            return Err(Code::TOO_LARGE.into());
        }
        let (answer, done) = oneshot::channel();
        let now_ms = gateway.clock.wall_ms();
        gateway.store.submit(Op::Announce { text: self.text, now_ms, answer }).await;
        let sent = done.await.map_err(|_| Refusal::new(Code::STORAGE))??;
        Ok(Announced { sent })
    }
}

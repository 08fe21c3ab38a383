//! Where the store says what has happened.

use std::sync::Arc;
use std::time::Duration;

use chat_proto::fault::Code;
use chat_proto::id::{AccountName, Incarnation, Position};
use chat_proto::machine::presence::Change;
use chat_proto::wire;

use super::{AcctId, Entry, SessionNo, private};

/// Where effects go once they are durable. Called on the writer's thread: it must not block.
pub trait Outlet: Send + Sync + 'static {
    /// Verdicts for a session, in order.
    fn verdict(&self, session: SessionNo, verdicts: Vec<Verdict>);
    /// A new entry for the sessions of an account, in order of places.
    fn entry(&self, acct: AcctId, entry: &Arc<Entry>);
    /// Accounts came or went; with names, and the accounts that must not be told (those whom each subject blocks).
    fn presence(&self, changes: Vec<PresenceChange>);
    /// `reader` got further with the messages of `sender`: tell the sender's sessions that follow it, and the reader's
    /// own sessions when it was a MARK.
    fn receipt(&self, sender: AcctId, receipt: wire::Receipt);
    /// An account blocks another now, or does no more: what is not announced yet must heed it.
    fn block(&self, by: AcctId, who: AcctId, on: bool);
    /// A read mark of the account's own, for its other sessions.
    fn mark(&self, acct: AcctId, except: SessionNo, mark: wire::Mark);
    /// What became of a private request, for devices that are here; who is not asks again, or is told when he comes.
    fn private(&self, notice: private::Notice);
    /// A device's key was taken, or an account was locked: what was admitted by [`super::Query::Admissible`] may be so no longer.
    fn barred(&self) {}
    /// The writer committed.
    fn committed(&self, _round: &Round) {}
    /// End a session: replaced, fenced, duplicate.
    fn end(&self, session: SessionNo, code: Code, may_reconnect: bool);
}

/// A presence change to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    /// Who, whether, why.
    pub change: Change<AcctId>,
    /// The name.
    pub name: AccountName,
    /// When, wall clock.
    pub at_ms: i64,
    /// Accounts that are not told: the subject itself and those whom it blocks.
    pub hidden_from: Vec<AcctId>,
}

/// A verdict for one place of a session's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Decided (now or before).
    Decided {
        /// Stream.
        incarnation: Incarnation,
        /// Place.
        cseq: u64,
        /// Outcome.
        code: Code,
        /// Accepted: where it stands.
        position: Option<Position>,
        /// The recipient was announced online.
        online: bool,
        /// Broadcast: how many it went to.
        audience: u32,
        /// Broadcast: some online user was left out.
        missed: bool,
        /// LIMIT, INBOX_FULL: when to try again.
        retry_after_ms: u64,
        /// It had been decided before.
        stored: bool,
    },
    /// Not the next place.
    Gap {
        /// Stream.
        incarnation: Incarnation,
        /// Last decided place.
        last: u64,
    },
    /// Nothing can be decided now for this sender.
    TryLater {
        /// Why.
        code: Code,
        /// Wait this long.
        after_ms: u64,
    },
}

/// A round of the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Operations that were decided together.
    pub operations: usize,
    /// How long the commit with its flush took; nothing when nothing was written.
    pub commit: Option<Duration>,
}

//! Calls about messages: message, broadcast, inbox, read, mark_read, unread, show.

use std::time::Duration;

use chat_proto::control::account::LinkState;
use chat_proto::control::message::{
    Broadcast, Conversation, Inbox, MarkRead, Message, Page, Pending, Read, SendMessage, Sent, Show, State, Unread,
    UnreadPerson, UnreadReply,
};
use chat_proto::control::{Done, ErrorData, Items};
use chat_proto::fault::Code;
use chat_proto::id::{AccountName, MessageId, NameError, NameRule};
use chat_proto::limits::{CONTROL_PAGE_BYTES, KEY_MAX, TEXT_MAX};
use chat_proto::wire::kind;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::caller::Caller;
use super::unreadable;
use crate::daemon::Daemon;
use crate::history::{Found, Row, Wanted};
use crate::profile::{Answer, Ask, Profile, Progress, Queued, SendAsk};
use crate::shown;

/// Conversations in one answer when nothing is said.
const CONVERSATIONS: u32 = 200;
/// Bytes of the shown part of a conversation's newest message, so that a list fits into one answer.
const EXCERPT: usize = 512;

pub(super) async fn message(d: &Daemon, caller: &Caller, call: SendMessage) -> Answer<Sent> {
    let profile = d.profile(&call.profile).await?;
    let to = recipient(&call.to, profile.view().classic)?;
    let reply = match call.reply {
        Some(text) => Some(one(&profile, text).await?.id),
        None => None,
    };
    let ask = SendAsk {
        to,
        kind: kind::DIRECT,
        content_type: shown::content_type(reply.as_ref(), call.urgent, call.run),
        body: call.text.into_bytes().into(),
        key: call.key,
        wait: call.wait,
        no_queue: call.no_queue,
    };
    send(&profile, caller, ask, call.timeout_ms).await
}

pub(super) async fn broadcast(d: &Daemon, caller: &Caller, call: Broadcast) -> Answer<Sent> {
    let profile = d.profile(&call.profile).await?;
    let ask = SendAsk {
        to: String::new(),
        kind: kind::BROADCAST,
        content_type: shown::content_type(None, false, None),
        body: call.text.into_bytes().into(),
        key: call.key,
        // Nobody tells how far a broadcast got (contract rule 10).
        wait: call.wait.min(State::Accepted),
        no_queue: false,
    };
    send(&profile, caller, ask, call.timeout_ms).await
}

/// A name as the server keeps it.
pub(super) fn recipient(typed: &str, classic: bool) -> Answer<String> {
    let rule = if classic { NameRule::Classic } else { NameRule::Standard };
    AccountName::parse(typed, rule).map(String::from).map_err(|error| {
        // A reserved name can belong to nobody.
        let code = if error == NameError::Reserved { Code::UNKNOWN_USER } else { Code::BAD_NAME };
        Box::new(ErrorData { subject: Some(typed.to_owned()), detail: Some(error.to_string()), ..code.into() })
    })
}

pub(super) async fn send(profile: &Profile, caller: &Caller, ask: SendAsk, timeout_ms: u64) -> Answer<Sent> {
    if ask.body.len() > TEXT_MAX {
        return Err(Box::new(Code::TOO_LARGE.into()));
    }
    if ask.key.is_empty() || ask.key.len() > KEY_MAX {
        return Err(Box::new(ErrorData { subject: Some("key".into()), ..Code::BAD_PARAMS.into() }));
    }
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    if ask.no_queue {
        settled_link(profile, caller, deadline).await;
    }
    let key = ask.key.clone();
    let queued = match timeout_at(deadline, profile.ask(|reply| queue(ask, reply))).await {
        Ok(queued) => queued?,
        // It may be on the disk or not: a retry with the same key finds out.
        Err(_) => return Err(Box::new(ErrorData { key: Some(key), ..Code::TIMED_OUT.into() })),
    };
    outcome(how_far(profile, caller, queued, deadline).await)
}

/// Private texts go another way than all others.
fn queue(ask: SendAsk, reply: oneshot::Sender<Answer<Queued>>) -> Ask {
    let ask = Box::new(ask);
    if ask.kind == kind::PRIVATE { Ask::Private(ask, reply) } else { Ask::Send(ask, reply) }
}

/// A link that is being made gets its chance before "not reachable" is said.
async fn settled_link(profile: &Profile, caller: &Caller, deadline: Instant) {
    let mut views = profile.views();
    let _ = caller.waits(deadline, views.wait_for(|view| view.link != LinkState::Connecting)).await;
}

/// Waits until the goal is reached, or cannot be reached now, or time is up.
async fn how_far(profile: &Profile, caller: &Caller, queued: Queued, deadline: Instant) -> Progress {
    let Queued { progress, index, more } = queued;
    let Some(more) = more else { return progress };
    match caller.waits(deadline, more).await {
        Some(Ok(progress)) => progress,
        // The owner ended: what it had is on the disk.
        Some(Err(_)) => now(profile, index, progress, Pending::Unreachable).await,
        None => now(profile, index, progress, Pending::TimedOut).await,
    }
}

/// What holds now, for a wait that ended early.
async fn now(profile: &Profile, index: u64, last: Progress, pending: Pending) -> Progress {
    let row = profile.reader.ask(move |history| history.row(index)).await.ok().flatten();
    let (mut sent, code) = match row {
        Some(row) => (shown::sent(&row, last.sent.duplicate), row.code),
        None => (last.sent, last.code),
    };
    sent.pending = Some(pending);
    Progress { sent, code, retry_after_ms: None }
}

/// A message that failed is an error that holds what became of it.
fn outcome(progress: Progress) -> Answer<Sent> {
    let Some(code) = shown::failure(progress.sent.state, progress.code) else { return Ok(progress.sent) };
    Err(Box::new(ErrorData {
        retry_after_ms: progress.retry_after_ms,
        subject: progress.sent.to.clone(),
        key: Some(progress.sent.key.clone()),
        message: Some(Box::new(progress.sent)),
        ..code.into()
    }))
}

pub(super) async fn inbox(d: &Daemon, call: Inbox) -> Answer<Items<Conversation>> {
    let profile = d.profile(&call.profile).await?;
    let (unread, limit) = (call.unread, call.limit.unwrap_or(CONVERSATIONS).min(CONVERSATIONS));
    let found =
        profile.reader.ask(move |history| history.conversations(unread, limit)).await.map_err(|t| unreadable(&t))?;
    let conversation = |(user, unread, row): (String, u64, Row)| {
        let mut last = shown::message(row);
        shorten(&mut last.text);
        Conversation { user, unread, last }
    };
    Ok(Items { items: found.into_iter().map(conversation).collect() })
}

pub(super) fn shorten(text: &mut String) {
    if text.len() > EXCERPT {
        let mut end = EXCERPT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

pub(super) async fn read(d: &Daemon, call: Read) -> Answer<Page> {
    let profile = d.profile(&call.profile).await?;
    let before = match call.before {
        Some(text) => Some(one(&profile, text).await?.index),
        None => None,
    };
    let classic = profile.view().classic;
    let wanted = Wanted {
        peer: call.user.as_deref().map(|user| recipient(user, classic)).transpose()?,
        unread: call.unread,
        since_ms: call.since_ms,
        after: call.next.unwrap_or(0),
        before,
        newest: call.limit.filter(|_| call.next.is_none()),
        followed: false,
        page_bytes: CONTROL_PAGE_BYTES,
    };
    let (rows, next) = profile.reader.ask(move |history| history.page(&wanted)).await.map_err(|t| unreadable(&t))?;
    looked(&profile, &rows).await?;
    Ok(Page { items: rows.into_iter().map(shown::message).collect(), next })
}

/// Failures that were shown are not counted any more.
pub(super) async fn looked(profile: &Profile, rows: &[Row]) -> Answer<()> {
    let over = |row: &&Row| matches!(row.state, State::Failed | State::Expired);
    let failed: Vec<u64> = rows.iter().filter(over).map(|row| row.index).collect();
    if failed.is_empty() {
        return Ok(());
    }
    profile.tell(Ask::Looked(failed)).await
}

pub(super) async fn mark_read(d: &Daemon, call: MarkRead) -> Answer<Done> {
    let profile = d.profile(&call.profile).await?;
    if !call.indices.is_empty() {
        profile.ask(|reply| Ask::MarkRead(call.indices, reply)).await?;
    }
    Ok(Done {})
}

pub(super) async fn unread(d: &Daemon, call: Unread) -> Answer<UnreadReply> {
    let profile = match d.profile(&call.profile).await {
        // Nothing was ever received.
        Err(error) if error.code == Code::NOT_LOGGED_IN => {
            return Ok(UnreadReply { total: 0, people: Vec::new(), requests: 0 });
        }
        other => other?,
    };
    let classic = profile.view().classic;
    let user = call.user.as_deref().map(|user| recipient(user, classic)).transpose()?;
    let found = profile.reader.ask(move |history| history.unread(user.as_deref())).await.map_err(|t| unreadable(&t))?;
    let total = found.iter().map(|(_, count)| count).sum();
    let people = found.into_iter().map(|(user, count)| UnreadPerson { user, count }).collect();
    Ok(UnreadReply { total, people, requests: profile.view().requests as u64 })
}

/// One message by id, an unambiguous end of it, or key.
pub(super) async fn one(profile: &Profile, text: String) -> Answer<Row> {
    let searched = text.clone();
    let refuse = |detail: &str| {
        Err(Box::new(ErrorData { subject: Some(text), detail: Some(detail.into()), ..Code::UNKNOWN_ID.into() }))
    };
    match profile.reader.ask(move |history| history.find(&searched)).await.map_err(|t| unreadable(&t))? {
        Found::One(row) => Ok(*row),
        Found::None => refuse("no message has this id"),
        Found::Several => refuse("several messages end with this"),
    }
}

pub(super) async fn show(d: &Daemon, caller: &Caller, call: Show) -> Answer<Message> {
    let profile = d.profile(&call.profile).await?;
    let row = one(&profile, call.id).await?;
    let row = match call.wait {
        Some(goal) => {
            let deadline = Instant::now() + Duration::from_millis(call.timeout_ms);
            wait_for(&profile, caller, row, goal, deadline).await?
        }
        None => row,
    };
    looked(&profile, std::slice::from_ref(&row)).await?;
    Ok(shown::message(row))
}

async fn wait_for(profile: &Profile, caller: &Caller, row: Row, goal: State, deadline: Instant) -> Answer<Row> {
    let (index, id) = (row.index, row.id.clone());
    let (reply, reached) = oneshot::channel();
    let now = Progress { sent: shown::sent(&row, false), code: row.code, retry_after_ms: None };
    profile.tell(Ask::Wait { index, goal, now, reply }).await?;
    // What happened before the owner took the wait is seen here, what happens later is told.
    let row = again(profile, index, &id).await?;
    if row.state.reached(goal) {
        return Ok(row);
    }
    match caller.waits(deadline, reached).await {
        Some(_) => again(profile, index, &id).await,
        None => Err(Box::new(ErrorData { subject: Some(id.0), ..Code::TIMED_OUT.into() })),
    }
}

pub(super) async fn again(profile: &Profile, index: u64, id: &MessageId) -> Answer<Row> {
    let row = profile.reader.ask(move |history| history.row(index)).await.map_err(|t| unreadable(&t))?;
    row.ok_or_else(|| Box::new(ErrorData { subject: Some(id.0.clone()), ..Code::UNKNOWN_ID.into() }))
}

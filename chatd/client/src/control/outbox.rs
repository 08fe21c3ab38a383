//! Calls about own messages that have no verdict, or a bad one: outbox, outbox_cancel, outbox_retry.

use std::time::Duration;

use chat_proto::control::account::LinkState;
use chat_proto::control::message::{
    Message, Outbox, OutboxCancel, OutboxCancelled, OutboxRetried, OutboxRetry, Pending, Sent, State,
};
use chat_proto::control::{ErrorData, Items};
use chat_proto::fault::Code;
use chat_proto::wire::kind;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::caller::Caller;
use super::message::{again, looked, one, send, shorten};
use super::unreadable;
use crate::daemon::Daemon;
use crate::history::{Found, Own, Row};
use crate::profile::{Answer, Ask, Profile, Progress, SendAsk};
use crate::shown;

/// Messages in one answer of `outbox`.
const OUTBOX_SHOWN: u32 = 1000;
/// A try that is worth waiting for shows in the view within this.
const TRY_SHOWS: Duration = Duration::from_secs(1);

pub(super) async fn outbox(d: &Daemon, call: Outbox) -> Answer<Items<Message>> {
    let profile = d.profile(&call.profile).await?;
    let rows = profile.reader.ask(|history| history.outbox(OUTBOX_SHOWN)).await.map_err(|t| unreadable(&t))?;
    looked(&profile, &rows).await?;
    let mut items: Vec<Message> = rows.into_iter().map(shown::message).collect();
    items.iter_mut().for_each(|message| shorten(&mut message.text));
    Ok(Items { items })
}

pub(super) async fn cancel(d: &Daemon, caller: &Caller, call: OutboxCancel) -> Answer<OutboxCancelled> {
    let profile = d.profile(&call.profile).await?;
    let deadline = Instant::now() + Duration::from_millis(call.timeout_ms);
    let row = mine(&profile, call.id).await?;
    if row.state == State::Queued {
        profile.ask(|reply| Ask::Cancel(row.place, reply)).await?;
    }
    let (row, pending) = decided(&profile, caller, row, deadline).await?;
    match (row.state, row.code) {
        (State::Failed, Some(Code::CANCELLED | Code::VOID)) => {
            looked(&profile, std::slice::from_ref(&row)).await?;
            Ok(OutboxCancelled { message: shown::message(row), pending: None })
        }
        (State::Queued, _) => Ok(OutboxCancelled { message: shown::message(row), pending }),
        _ => Err(too_late(&row)),
    }
}

/// A message that this device sent.
async fn mine(profile: &Profile, id: String) -> Answer<Row> {
    let row = one(profile, id.clone()).await?;
    if row.own == Own::Here {
        return Ok(row);
    }
    let detail = Some("that message was not sent from here".into());
    Err(Box::new(ErrorData { subject: Some(id), detail, ..Code::UNKNOWN_ID.into() }))
}

fn too_late(row: &Row) -> Box<ErrorData> {
    let message = Some(Box::new(shown::sent(row, false)));
    Box::new(ErrorData { subject: Some(row.id.0.clone()), message, ..Code::TOO_LATE.into() })
}

/// The row once it has a verdict; or why none comes now.
async fn decided(profile: &Profile, caller: &Caller, row: Row, deadline: Instant) -> Answer<(Row, Option<Pending>)> {
    let (index, id) = (row.index, row.id.clone());
    let (reply, reached) = oneshot::channel();
    let now = Progress { sent: shown::sent(&row, false), code: row.code, retry_after_ms: None };
    profile.tell(Ask::Wait { index, goal: State::Accepted, now, reply }).await?;
    // What happened before the owner took the wait is seen here, what happens later is told.
    let row = again(profile, index, &id).await?;
    if row.state != State::Queued {
        return Ok((row, None));
    }
    let mut views = profile.views();
    let away = views.wait_for(|view| matches!(view.link, LinkState::Waiting | LinkState::LoggedOut));
    let pending = tokio::select! {
        waited = caller.waits(deadline, reached) => waited.is_none().then_some(Pending::TimedOut),
        _ = away => Some(Pending::Unreachable),
    };
    let row = again(profile, index, &id).await?;
    let pending = pending.filter(|_| row.state == State::Queued);
    Ok((row, pending))
}

pub(super) async fn retry(d: &Daemon, caller: &Caller, call: OutboxRetry) -> Answer<OutboxRetried> {
    let profile = d.profile(&call.profile).await?;
    let deadline = Instant::now() + Duration::from_millis(call.timeout_ms);
    match call.id {
        None => retry_all(&profile, caller, deadline).await,
        Some(id) => {
            let row = latest(&profile, mine(&profile, id).await?).await?;
            retry_one(&profile, caller, row, deadline, call.timeout_ms).await
        }
    }
}

async fn retry_all(profile: &Profile, caller: &Caller, deadline: Instant) -> Answer<OutboxRetried> {
    let before = profile.view();
    if before.link == LinkState::LoggedOut {
        return Err(Box::new(ErrorData { ended: before.ended, ..Code::NOT_LOGGED_IN.into() }));
    }
    hurry(profile).await?;
    let mut views = profile.views();
    let settled = views.wait_for(|view| view.queued == 0 || view.link == LinkState::Waiting);
    let timed_out = caller.waits(deadline, settled).await.is_none();
    let waiting = profile.view().queued as u64;
    let pending = if timed_out { Pending::TimedOut } else { Pending::Unreachable };
    Ok(OutboxRetried {
        went: (before.queued as u64).saturating_sub(waiting),
        waiting,
        pending: (waiting > 0).then_some(pending),
        sent: None,
        replaces: None,
    })
}

/// Has the link tried now, and waits until that shows.
async fn hurry(profile: &Profile) -> Answer<()> {
    if profile.ask(Ask::Try).await? {
        let mut views = profile.views();
        let shows = views.wait_for(|view| view.link != LinkState::Waiting);
        let _ = timeout_at(Instant::now() + TRY_SHOWS, shows).await;
    }
    Ok(())
}

/// The last of the messages that were sent in the place of this one.
async fn latest(profile: &Profile, mut row: Row) -> Answer<Row> {
    loop {
        let key = retry_key(&row);
        let searched = key.clone();
        let found = profile.reader.ask(move |history| history.find(&searched)).await.map_err(|t| unreadable(&t))?;
        match found {
            Found::One(next) if next.key.as_ref() == Some(&key) => row = *next,
            _ => return Ok(row),
        }
    }
}

/// The key of the message in the place of a failed one: however often it is asked for, there is one.
fn retry_key(row: &Row) -> String {
    format!("retry-{}", row.id)
}

async fn retry_one(
    profile: &Profile,
    caller: &Caller,
    row: Row,
    deadline: Instant,
    timeout_ms: u64,
) -> Answer<OutboxRetried> {
    let (sent, replaces) = match (row.state, row.code) {
        // It may have been delivered: a new message could be its double.
        (State::Failed, Some(code @ Code::OUTCOME_LOST)) => {
            return Err(Box::new(ErrorData { subject: Some(row.id.0.clone()), ..code.into() }));
        }
        (State::Failed | State::Expired, _) => {
            let replaces = row.id.clone();
            (send(profile, caller, anew(row)?, timeout_ms).await?, Some(replaces))
        }
        (State::Queued, Some(Code::CANCELLED)) => return Err(too_late(&row)),
        (State::Queued, _) => {
            hurry(profile).await?;
            let (row, pending) = decided(profile, caller, row, deadline).await?;
            if let Some(code) = shown::failure(row.state, row.code) {
                let message = Some(Box::new(shown::sent(&row, false)));
                let subject = (!row.to.is_empty()).then_some(row.to);
                return Err(Box::new(ErrorData { subject, message, ..code.into() }));
            }
            (Sent { pending, cause: profile.view().cause, ..shown::sent(&row, false) }, None)
        }
        _ => return Err(too_late(&row)),
    };
    Ok(OutboxRetried { went: 0, waiting: profile.view().queued as u64, pending: None, sent: Some(sent), replaces })
}

/// The same content as a message of its own.
fn anew(row: Row) -> Answer<SendAsk> {
    if row.kind != kind::DIRECT && row.kind != kind::BROADCAST {
        let detail = Some("only direct messages and broadcasts are sent again".into());
        return Err(Box::new(ErrorData { subject: Some(row.id.0), detail, ..Code::UNKNOWN_ID.into() }));
    }
    Ok(SendAsk {
        key: retry_key(&row),
        to: row.to,
        kind: row.kind,
        content_type: row.content_type,
        body: row.body,
        wait: State::Accepted,
        no_queue: false,
    })
}

//! Calls about private requests and sessions: startprivate, requests, accept, decline, private, stopprivate, sessions, sessions_verify.

use std::time::Duration;

use chat_proto::control::message::{Sent, State};
use chat_proto::control::people::Block;
use chat_proto::control::private::{
    Accept, Decline, Private, PrivateRequest, PrivateSession, Requests, Sessions, SessionsVerify, Startprivate,
    Stopped, Stopprivate, Verification,
};
use chat_proto::control::{ErrorData, Items};
use chat_proto::fault::Code;
use chat_proto::wire::kind;
use chat_proto::{method, wire};
use prost::Message as _;
use tokio::time::Instant;

use super::caller::Caller;
use super::message::{recipient, send};
use super::{people, within};
use crate::daemon::Daemon;
use crate::profile::{AcceptAsk, Answer, Ask, Profile, SendAsk, StartAsk, no_session};
use crate::shown;

pub(super) async fn startprivate(d: &Daemon, caller: &Caller, call: Startprivate) -> Answer<PrivateRequest> {
    let profile = d.profile(&call.profile).await?;
    let deadline = Instant::now() + Duration::from_millis(call.wait_ms.unwrap_or_default());
    let user = recipient(&call.user, profile.view().classic)?;
    if call.relay_only && call.direct_only {
        let detail = Some("through the relay alone and directly alone are no way at all".to_owned());
        return Err(Box::new(ErrorData { subject: Some("relay_only".into()), detail, ..Code::BAD_PARAMS.into() }));
    }
    let ask = StartAsk {
        user,
        note: call.note.unwrap_or_default(),
        relay_only: call.relay_only,
        direct_only: call.direct_only,
    };
    profile.tell(Ask::Active).await?;
    let asked = profile.ask(|reply| Ask::Startprivate(Box::new(ask), reply));
    let asked = within(call.timeout_ms, asked).await?;
    if call.wait_ms.is_none() {
        return Ok(asked);
    }
    let id = asked.id.clone();
    match caller.waits(deadline, profile.ask(|reply| Ask::AwaitRequest(id, reply))).await {
        Some(outcome) => outcome,
        None => Err(Box::new(ErrorData { subject: Some(asked.peer), ..Code::TIMED_OUT.into() })),
    }
}

pub(super) async fn requests(d: &Daemon, call: Requests) -> Answer<Items<PrivateRequest>> {
    let profile = d.profile(&call.profile).await?;
    let all = profile.ask(Ask::Requests).await?;
    Ok(Items { items: all.into_iter().filter(|request| call.dir.is_none_or(|dir| request.dir == dir)).collect() })
}

pub(super) async fn accept(d: &Daemon, call: Accept) -> Answer<PrivateSession> {
    let profile = d.profile(&call.profile).await?;
    let user = recipient(&call.user, profile.view().classic)?;
    let lasts = call.for_ms.map(Duration::from_millis);
    let ask = AcceptAsk { user: user.clone(), relay_only: call.relay_only, lasts };
    profile.tell(Ask::Active).await?;
    let accepted = within(call.timeout_ms, profile.ask(|reply| Ask::Accept(Box::new(ask), reply))).await;
    accepted.map_err(|error| Box::new(ErrorData { subject: error.subject.clone().or(Some(user)), ..*error }))
}

pub(super) async fn decline(d: &Daemon, call: Decline) -> Answer<PrivateRequest> {
    let profile = d.profile(&call.profile).await?;
    let user = recipient(&call.user, profile.view().classic)?;
    profile.tell(Ask::Active).await?;
    if call.block {
        let open = profile.ask(Ask::Requests).await?;
        if !open
            .iter()
            .any(|request| request.peer == user && request.dir == chat_proto::control::private::Direction::In)
        {
            return Err(Box::new(ErrorData { subject: Some(user), ..Code::UNKNOWN_REQUEST.into() }));
        }
        let declined = profile.ask(|reply| Ask::Decline(user.clone(), reply)).await?;
        let block = Block { profile: call.profile, user, timeout_ms: call.timeout_ms };
        people::block(d, block).await?;
        return Ok(declined);
    }
    within(call.timeout_ms, profile.ask(|reply| Ask::Decline(user, reply))).await
}

pub(super) async fn private(d: &Daemon, caller: &Caller, call: Private) -> Answer<Sent> {
    let profile = d.profile(&call.profile).await?;
    let user = recipient(&call.user, profile.view().classic)?;
    profile.tell(Ask::Active).await?;
    let ask = SendAsk {
        to: user.clone(),
        kind: kind::PRIVATE,
        content_type: shown::content_type(None, false, None),
        body: call.text.into_bytes().into(),
        key: call.key,
        // There is nothing between a host and its peer.
        wait: if call.wait == State::Accepted { State::Delivered } else { call.wait },
        no_queue: false,
    };
    match send(&profile, caller, ask, call.timeout_ms).await {
        Err(error) if error.code == Code::NO_SESSION => Err(why_none(&profile, &user, call.timeout_ms).await),
        outcome => outcome,
    }
}

/// There is no session: the server may know more of the user than that (mission rule 26).
async fn why_none(profile: &Profile, user: &str, timeout_ms: u64) -> Box<ErrorData> {
    let mut id = vec![0; 16];
    if getrandom::fill(&mut id).is_err() {
        return Box::new(ErrorData { subject: Some(user.to_owned()), ..Code::NO_SESSION.into() });
    }
    let check = wire::PrivateAsk { id, to: user.to_owned(), check: true, ..wire::PrivateAsk::default() };
    let body = check.encode_to_vec().into();
    let asked = profile.ask(|reply| Ask::Server { method: method::PRIVATE_ASK, body, reply });
    no_session(user, within(timeout_ms, asked).await)
}

pub(super) async fn stopprivate(d: &Daemon, call: Stopprivate) -> Answer<Stopped> {
    let profile = d.profile(&call.profile).await?;
    let classic = profile.view().classic;
    let user = call.user.map(|user| recipient(&user, classic)).transpose()?;
    profile.tell(Ask::Active).await?;
    within(call.timeout_ms, profile.ask(|reply| Ask::Stopprivate(user, reply))).await
}

pub(super) async fn sessions(d: &Daemon, call: Sessions) -> Answer<Items<PrivateSession>> {
    let profile = d.profile(&call.profile).await?;
    Ok(Items { items: profile.ask(Ask::Sessions).await? })
}

pub(super) async fn sessions_verify(d: &Daemon, call: SessionsVerify) -> Answer<Verification> {
    let profile = d.profile(&call.profile).await?;
    let user = recipient(&call.user, profile.view().classic)?;
    profile.ask(|reply| Ask::Verify(user, call.confirm, reply)).await
}

//! startprivate, requests, accept, decline, private, stopprivate, sessions: private sessions from daemon to daemon, by consent.

use chat_proto::control::message::{Kind, Sent};
use chat_proto::control::private::{
    self as control, Direction, PrivateRequest, PrivateSession, RequestState, SessionState, Stopped,
};
use chat_proto::display::quoted;
use chat_proto::fault::Code;
use chat_proto::limits::NOTE_MAX;

use super::message::send;
use super::{Context, Waited};
use crate::args::{self, SessionsVerb};
use crate::daemon::CallError;
use crate::json::{self, word};
use crate::key;
use crate::output::{End, Form, Shown};
use crate::text::Source;
use crate::time::{iso, milliseconds};
use crate::words::{ask, private as words};

/// `startprivate`: asks; with `--wait` until the session is open or will never be.
pub async fn startprivate(ctx: &mut Context, args: args::Startprivate) -> Result<(), End> {
    if let Some(bytes) = args.note.as_ref().map(String::len).filter(|bytes| *bytes > NOTE_MAX) {
        return Err(words::long_note(bytes).into());
    }
    let profile = ctx.profile().await?;
    let timeout_ms = ctx.timeout_ms();
    if let Some(wait) = args.wait {
        ctx.extend_clock(wait.saturating_add(ctx.global.timeout));
        ctx.underway.replace(Some(Waited::Request(args.user.clone())));
    }
    let request = control::Startprivate {
        profile,
        user: args.user,
        note: args.note,
        relay_only: args.relay_only,
        direct_only: args.direct_only,
        wait_ms: args.wait.map(milliseconds),
        timeout_ms,
    };
    let outcome = ctx.try_call(&request).await?;
    ctx.underway.replace(None);
    let waited = args.wait.is_some();
    let reply = outcome.map_err(|error| ask_refused(ctx, error, &request.user, waited))?;
    let on_its_way = !waited && matches!(reply.state, RequestState::Asked | RequestState::Accepted);
    let trouble = words::not_open(&reply).filter(|_| !on_its_way);
    match ctx.out.form {
        Form::Json => ctx.out.object("private_request", json::private_request(&reply))?,
        Form::Plain => request_row(ctx, &reply)?,
        Form::Human if trouble.is_some() => {}
        Form::Human => match (&reply.session, reply.state) {
            (Some(session), _) => ctx.out.success(&words::opened(session))?,
            (None, RequestState::Accepted) => ctx.out.success(&words::joined(&reply.peer))?,
            (None, _) => ctx.out.success(&words::asked(&reply, &ctx.out.clock))?,
        },
    }
    trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
}

/// A request that reaches nobody is not a message that was not delivered.
fn ask_refused(ctx: &Context, error: CallError, user: &str, waited: bool) -> End {
    match &error {
        CallError::Refused(data) if data.code == Code::TIMED_OUT && waited => words::unanswered(user).into(),
        CallError::Refused(data) if data.code == Code::RECIPIENT_BLOCKED => {
            words::request_blocked(data.subject.as_deref().unwrap_or(user)).into()
        }
        _ => ctx.refused(error),
    }
}

/// `requests`.
pub async fn requests(ctx: &mut Context, args: args::Requests) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let dir = match (args.incoming, args.outgoing) {
        (true, _) => Some(Direction::In),
        (_, true) => Some(Direction::Out),
        _ => None,
    };
    let requests = ctx.call(&control::Requests { profile, dir }).await?.items;
    match ctx.out.form {
        Form::Json => ctx.out.object("requests", json::items(requests.iter().map(json::private_request)))?,
        Form::Plain => requests.iter().try_for_each(|request| request_row(ctx, request))?,
        Form::Human => {
            let widest = widest(requests.iter().map(|request| &request.peer));
            requests.iter().try_for_each(|request| ctx.out.line(&words::request(request, widest, &ctx.out.clock)))?;
            if requests.is_empty() {
                ctx.out.note(words::NO_REQUESTS);
            }
        }
    }
    ctx.listed(requests.is_empty())
}

fn widest<'a>(names: impl Iterator<Item = &'a String>) -> usize {
    names.map(|name| Shown::name(name).width()).max().unwrap_or_default()
}

/// A request as columns: id, direction, peer, state, asked, expires, note.
fn request_row(ctx: &Context, request: &PrivateRequest) -> Result<(), End> {
    ctx.out.row(&[
        &request.id,
        &word(&request.dir),
        &request.peer,
        &word(&request.state),
        &iso(request.at_ms),
        &iso(request.expires_at_ms),
        request.note.as_deref().unwrap_or_default(),
    ])
}

/// `accept`: done once the peer is connected and has proven its key.
pub async fn accept(ctx: &mut Context, args: args::Accept) -> Result<(), End> {
    let profile = ctx.profile().await?;
    ctx.underway.replace(Some(Waited::Session(args.user.clone())));
    let request = control::Accept {
        profile,
        user: args.user,
        relay_only: args.relay_only,
        for_ms: args.for_.map(milliseconds),
        timeout_ms: ctx.timeout_ms(),
    };
    let outcome = ctx.try_call(&request).await?;
    ctx.underway.replace(None);
    let session = outcome.map_err(|error| match &error {
        CallError::Refused(data) if data.code == Code::TIMED_OUT => words::connecting(&request.user).into(),
        _ => ctx.refused(error),
    })?;
    let open = session.state == SessionState::Open;
    match ctx.out.form {
        Form::Json => ctx.out.object("private_session", json::private_session(&session))?,
        Form::Plain => session_row(ctx, &session)?,
        Form::Human if open => ctx.out.success(&words::opened(&session))?,
        Form::Human => {}
    }
    if open { Ok(()) } else { Err(words::connecting(&session.peer).into()) }
}

/// `decline`.
pub async fn decline(ctx: &mut Context, args: args::Decline) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let timeout_ms = ctx.timeout_ms();
    let request = ctx.call(&control::Decline { profile, user: args.user, block: args.block, timeout_ms }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("private_request", json::private_request(&request)),
        Form::Plain => request_row(ctx, &request),
        Form::Human => ctx.out.success(&words::declined(&request, args.block)),
    }
}

/// `private`.
pub async fn private(ctx: &mut Context, args: args::Private) -> Result<(), End> {
    let key = key::given_or_fresh(args.id.as_deref())?;
    let source = Source::of(&args.text, &args.user);
    let text = source.gather(ctx.prompt).await?;
    ctx.restart_clock();
    let profile = ctx.profile().await?;
    let timeout_ms = ctx.timeout_ms();
    let request = control::Private { profile, user: args.user, text, key: key.clone(), wait: args.wait, timeout_ms };
    let retry = format!("private {} --id {} ...", quoted(&request.user), quoted(&key));
    let sent = send(ctx, &request, &key, &retry).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("message", json::sent_as(&sent, Kind::Private))?,
        Form::Plain => ctx.out.row(&[&sent.id.0, sent.to.as_deref().unwrap_or_default(), sent.state.word()])?,
        Form::Human => ctx.out.success(&words::private_sent(&sent))?,
    }
    settled(&sent)
}

fn settled(sent: &Sent) -> Result<(), End> {
    match sent.pending {
        None => Ok(()),
        Some(pending) => Err(words::private_kept(sent, pending).into()),
    }
}

/// `stopprivate`.
pub async fn stopprivate(ctx: &mut Context, args: args::Stopprivate) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let timeout_ms = ctx.timeout_ms();
    let one = args.user.is_some();
    let stopped = ctx.call(&control::Stopprivate { profile, user: args.user, timeout_ms }).await?;
    match (ctx.out.form, &stopped.items[..]) {
        (Form::Json, [ended]) if one => ctx.out.object("private_ended", json::private_ended(ended))?,
        (Form::Json, _) => ctx.out.object("stopped", json::stopped(&stopped))?,
        (Form::Plain, _) => stopped_rows(ctx, &stopped)?,
        (Form::Human, _) => {
            words::stopped(&stopped).iter().try_for_each(|line| ctx.out.success(line))?;
            if stopped.items.is_empty() && stopped.withdrawn.is_empty() {
                ctx.out.note(words::NO_SESSIONS);
            }
        }
    }
    ctx.listed(stopped.items.is_empty() && stopped.withdrawn.is_empty())
}

/// What ended as columns: peer, reason or `withdrawn`, texts that failed.
fn stopped_rows(ctx: &Context, stopped: &Stopped) -> Result<(), End> {
    let ended = |ended: &control::PrivateEnded| {
        ctx.out.row(&[&ended.peer, &word(&ended.reason), &ended.failed.len().to_string()])
    };
    stopped.items.iter().try_for_each(ended)?;
    stopped.withdrawn.iter().try_for_each(|peer| ctx.out.row(&[peer, "withdrawn", "0"]))
}

/// `sessions`.
pub async fn sessions(ctx: &mut Context, args: args::Sessions) -> Result<(), End> {
    match args.verb {
        None => list(ctx).await,
        Some(SessionsVerb::Verify { user, confirm }) => verify(ctx, user, confirm).await,
    }
}

async fn list(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let sessions = ctx.call(&control::Sessions { profile }).await?.items;
    match ctx.out.form {
        Form::Json => ctx.out.object("sessions", json::items(sessions.iter().map(json::private_session)))?,
        Form::Plain => sessions.iter().try_for_each(|session| session_row(ctx, session))?,
        Form::Human => {
            let widest = widest(sessions.iter().map(|session| &session.peer));
            sessions.iter().try_for_each(|session| ctx.out.line(&words::session(session, widest, &ctx.out.clock)))?;
            if sessions.is_empty() {
                ctx.out.note(words::NO_SESSIONS);
            }
        }
    }
    ctx.listed(sessions.is_empty())
}

/// A session as columns: peer, state, path, why, round trip in ms, since, key, how well it is known, queued texts.
fn session_row(ctx: &Context, session: &PrivateSession) -> Result<(), End> {
    ctx.out.row(&[
        &session.peer,
        &word(&session.state),
        &session.path.map(|path| word(&path)).unwrap_or_default(),
        &session.why.map(|why| word(&why)).unwrap_or_default(),
        &session.rtt_us.map(|us| format!("{}.{:03}", us / 1000, us % 1000)).unwrap_or_default(),
        &iso(session.since_ms),
        &session.key.map(|key| key.to_string()).unwrap_or_default(),
        &session.known.map(|known| word(&known)).unwrap_or_default(),
        &session.queued.to_string(),
    ])
}

/// `sessions verify`: shows the code; marks only what somebody said yes to.
async fn verify(ctx: &mut Context, user: String, confirm: bool) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let confirm = confirm || ctx.global.yes;
    let mut request = control::SessionsVerify { profile, user, confirm };
    let with = ctx.call(&request).await?;
    match ctx.out.form {
        Form::Json => return ctx.out.object("verification", json::verification(&with)),
        Form::Plain => {
            let (key, own) = (with.key.to_string(), with.own_key.to_string());
            return ctx.out.row(&[&with.peer, &with.code, &key, &own, &word(&with.known)]);
        }
        Form::Human => ctx.out.line(&words::verification(&with))?,
    }
    if confirm {
        return ctx.out.success(&words::verified(&with.peer));
    }
    if with.known == control::KeyState::Verified {
        return Ok(());
    }
    if !ctx.prompt.possible {
        ctx.out.note(&words::compare(&with.peer));
        return Ok(());
    }
    if !ctx.prompt.confirm(&ask::same_code(&with.peer), "--confirm").await? {
        return Err(words::not_verified(&with.peer).into());
    }
    ctx.restart_clock();
    request.confirm = true;
    ctx.call(&request).await?;
    ctx.out.success(&words::verified(&with.peer))
}

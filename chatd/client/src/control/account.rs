//! Calls about the account: register, login, logout, status, passwd.

use std::time::Duration;

use chat_proto::control::ErrorData;
use chat_proto::control::account::{
    Account, LinkState, LoggedOut, Login, Logout, Passwd, PasswordChanged, Register, Status, StatusReply,
};
use chat_proto::fault::Code;
use chat_proto::limits::PASSWORD_MAX;
use chat_proto::{method, wire};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::caller::Caller;
use super::people::ask;
use super::{unreadable, within};
use crate::daemon::Daemon;
use crate::profile::{Answer, Ask, LoginAsk, Profile, View};
use crate::upstream::Credentials;

/// Messages on their way get so long to arrive before a logout calls them unsent.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn register(d: &Daemon, call: Register) -> Answer<Account> {
    let password = password(call.password)?;
    let ask = LoginAsk {
        user: call.user,
        server: call.server,
        credentials: Credentials::Register { password, invite: call.invite.unwrap_or_default() },
        device: call.device,
        trust: call.trust.trust,
        ca: call.trust.ca,
        empty: false,
        within: Duration::from_millis(call.timeout_ms),
    };
    enter(d, &call.profile, ask, call.timeout_ms).await
}

pub(super) async fn login(d: &Daemon, call: Login) -> Answer<Account> {
    let known = d.entry(&d.named(&call.profile)).unwrap_or_default();
    let user = call.user.unwrap_or(known.user);
    let server = call.server.unwrap_or(known.server);
    for (value, name) in [(&user, "user"), (&server, "server")] {
        if value.is_empty() {
            return Err(Box::new(ErrorData { subject: Some(name.into()), ..Code::BAD_PARAMS.into() }));
        }
    }
    let credentials = match call.password {
        None => Credentials::Device { by_user: true, take_over: call.take_over },
        Some(text) => {
            Credentials::Password { password: password(text)?, take_over: call.take_over, sign_up: call.sign_up }
        }
    };
    let ask = LoginAsk {
        user,
        server,
        credentials,
        device: call.device,
        trust: call.trust.trust,
        ca: call.trust.ca,
        empty: false,
        within: Duration::from_millis(call.timeout_ms),
    };
    enter(d, &call.profile, ask, call.timeout_ms).await
}

fn password(text: String) -> Answer<Zeroizing<String>> {
    let text = Zeroizing::new(text);
    match text.len() {
        1..=PASSWORD_MAX => Ok(text),
        _ => Err(Box::new(Code::BAD_PASSWORD.into())),
    }
}

/// Logs in, in a profile that is made where it is not there; a failed first login leaves none behind.
async fn enter(d: &Daemon, name: &str, ask: LoginAsk, timeout_ms: u64) -> Answer<Account> {
    let (profile, made) = d.profile_or_new(name).await?;
    let outcome = within(timeout_ms, log_in(&profile, ask)).await;
    if outcome.is_err() && made {
        let name = profile.name.clone();
        drop(profile);
        d.forget(&name).await?;
    }
    outcome
}

async fn log_in(profile: &Profile, ask: LoginAsk) -> Answer<Account> {
    let head = profile.reader.ask(|history| history.head()).await.map_err(|t| unreadable(&t))?;
    let ask = Box::new(LoginAsk { empty: head == 0, ..ask });
    profile.ask(|reply| Ask::Login(ask, reply)).await?;
    let counts = profile.reader.ask(|history| history.counts()).await.map_err(|t| unreadable(&t))?;
    let view = profile.view();
    Ok(Account {
        user: view.user,
        server: view.server,
        device: view.device,
        state: "online".into(),
        unread: counts.unread,
        unread_people: counts.people,
    })
}

pub(super) async fn logout(d: &Daemon, call: Logout) -> Answer<LoggedOut> {
    let profile = d.profile(&call.profile).await?;
    let (allowed, begun) = (Duration::from_millis(call.timeout_ms), Instant::now());
    // A link that is just being made gets its chance, so that the server hears of the logout.
    let mut views = profile.views();
    let _ = timeout(allowed / 4, views.wait_for(|view| view.link != LinkState::Connecting)).await;
    if !call.force {
        drained(&profile, DRAIN_WITHIN.min(allowed / 2)).await;
    }
    // The answer is due within the caller's time, so the server gets a little less.
    let left = allowed.saturating_sub(begun.elapsed()).mul_f32(0.8);
    let (all_devices, force) = (call.all_devices, call.force);
    let outcome = profile.ask(|reply| Ask::Logout { all_devices, force, within: left, reply }).await;
    if !call.wipe {
        return outcome;
    }
    wipe(d, profile, outcome, call.force).await
}

/// Waits until the outbox is empty, as long as that can happen.
async fn drained(profile: &Profile, at_most: Duration) {
    let mut views = profile.views();
    let done = |view: &View| view.queued == 0 || view.link != LinkState::Online;
    let _ = timeout(at_most, views.wait_for(done)).await;
}

async fn wipe(d: &Daemon, profile: Profile, outcome: Answer<LoggedOut>, force: bool) -> Answer<LoggedOut> {
    let logged_out = match outcome {
        Ok(done) => done,
        // Logged out before: the wipe alone is left to do.
        Err(error) if error.code == Code::NOT_LOGGED_IN => {
            let queued = profile.reader.ask(|history| history.counts()).await.map_err(|t| unreadable(&t))?.queued;
            if queued > 0 && !force {
                return Err(Box::new(ErrorData { subject: Some(queued.to_string()), ..Code::UNSENT.into() }));
            }
            let user = profile.view().user;
            LoggedOut { user, state: "logged_out".into(), ended: Vec::new(), unsent: 0, confirmed: false }
        }
        Err(error) => return Err(error),
    };
    let name = profile.name.clone();
    drop(profile);
    d.forget(&name).await?;
    Ok(LoggedOut { unsent: 0, ..logged_out })
}

pub(super) async fn passwd(d: &Daemon, call: Passwd) -> Answer<PasswordChanged> {
    let (old, new) = (password(call.old)?, password(call.new)?);
    let profile = d.profile(&call.profile).await?;
    let body = wire::NewPassword { old: old.to_string(), new: new.to_string(), revoke_others: call.revoke_others };
    let changed: wire::PasswordChanged = ask(&profile, method::PASSWORD, &body, call.timeout_ms).await?;
    Ok(PasswordChanged { user: profile.view().user, revoked: changed.revoked })
}

pub(super) async fn status(d: &Daemon, caller: &Caller, call: Status) -> Answer<StatusReply> {
    let profile = match d.profile(&call.profile).await {
        Ok(profile) => profile,
        Err(error) if error.code == Code::NOT_LOGGED_IN => {
            return Ok(StatusReply::nobody(d.named(&call.profile), d.since_ms));
        }
        Err(error) => return Err(error),
    };
    if let Some(ms) = call.wait_online_ms {
        let mut views = profile.views();
        let online = views.wait_for(|view| view.link == LinkState::Online);
        let _ = caller.waits(Instant::now() + Duration::from_millis(ms), online).await;
    }
    let counts = profile.reader.ask(|history| history.counts()).await.map_err(|t| unreadable(&t))?;
    let view = profile.view();
    let left =
        |at: Instant| u64::try_from(at.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(u64::MAX);
    Ok(StatusReply {
        profile: profile.name,
        user: view.user,
        server: view.server,
        device: view.device,
        link: view.link,
        since_ms: view.since_ms,
        rtt_ms: view.rtt_ms,
        cause: view.cause,
        retry_after_ms: view.retry_at.map(left),
        ended: view.ended,
        unread: counts.unread,
        queued: counts.queued,
        failed: counts.failed,
        requests: view.requests as u64,
        sessions: view.sessions as u64,
        server_version: view.server_version,
        problems: view.problems.into_iter().chain(d.outside.problem()).collect(),
        classic: view.classic,
    })
}

//! Calls about profiles and trusted servers.

use chat_proto::control::account::LinkState;
use chat_proto::control::config::{
    Profile, ProfileAdd, ProfileDefault, ProfileRemove, TrustAccept, TrustRemove, Trusted,
};
use chat_proto::control::{Done, ErrorData, Items};
use chat_proto::fault::Code;

use super::unreadable;
use crate::daemon::{Daemon, disk};
use crate::profile::Answer;

pub(super) async fn profile_list(d: &Daemon) -> Answer<Items<Profile>> {
    let mut items = Vec::new();
    for name in d.names() {
        items.push(describe(d, name).await);
    }
    Ok(Items { items })
}

async fn describe(d: &Daemon, name: String) -> Profile {
    let entry = d.entry(&name).unwrap_or_default();
    let link = d.profile(&name).await.map_or(LinkState::LoggedOut, |profile| profile.view().link);
    Profile { default: name == d.default_name(), user: entry.user, server: entry.server, name, link }
}

pub(super) async fn profile_add(d: &Daemon, call: ProfileAdd) -> Answer<Profile> {
    match d.profile_or_new(&call.name).await? {
        (profile, true) => Ok(describe(d, profile.name).await),
        (profile, false) => Err(about(Code::PROFILE_EXISTS, profile.name)),
    }
}

pub(super) async fn profile_remove(d: &Daemon, call: ProfileRemove) -> Answer<Done> {
    let known = d.entry(&call.name).is_some() && !call.name.is_empty();
    if !known {
        return Err(about(Code::UNKNOWN_PROFILE, call.name));
    }
    let profile = d.profile(&call.name).await?;
    let queued = profile.reader.ask(|history| history.counts()).await.map_err(|t| unreadable(&t))?.queued;
    if queued > 0 && !call.force {
        return Err(about(Code::UNSENT, queued.to_string()));
    }
    drop(profile);
    d.forget(&call.name).await?;
    Ok(Done {})
}

pub(super) async fn profile_default(d: &Daemon, call: ProfileDefault) -> Answer<Profile> {
    if d.entry(&call.name).is_none() {
        return Err(about(Code::UNKNOWN_PROFILE, call.name));
    }
    d.around.book.set_default(&call.name).map_err(|error| disk(&error))?;
    Ok(describe(d, call.name).await)
}

pub(super) fn trust_list(d: &Daemon) -> Items<Trusted> {
    Items { items: d.around.trust.list().into_iter().chain(d.around.pins.list()).collect() }
}

pub(super) async fn trust_accept(d: &Daemon, call: TrustAccept) -> Answer<Trusted> {
    let now_ms = d.around.world.now_ms();
    let accepted = match d.around.trust.accept(call.fingerprint, now_ms).map_err(|error| disk(&error))? {
        None => d.around.pins.accept(call.fingerprint, now_ms).map_err(|error| disk(&error))?,
        server => server,
    };
    let Some(accepted) = accepted else { return Err(about(Code::UNKNOWN_TRUST, call.fingerprint.to_string())) };
    d.hurry_all().await;
    Ok(accepted)
}

pub(super) fn trust_remove(d: &Daemon, call: &TrustRemove) -> Answer<Done> {
    let server = d.around.trust.remove(&call.name).map_err(|error| disk(&error))?;
    let peer = d.around.pins.remove(&call.name).map_err(|error| disk(&error))?;
    match server || peer {
        true => Ok(Done {}),
        false => Err(about(Code::UNKNOWN_TRUST, call.name.clone())),
    }
}

fn about(code: Code, subject: String) -> Box<ErrorData> {
    Box::new(ErrorData { subject: Some(subject), ..code.into() })
}

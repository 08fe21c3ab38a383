//! The call `doctor`: the way to a profile's server, gone once and told step by step.

use std::time::Duration;

use chat_link::Target;
use chat_proto::control::ErrorData;
use chat_proto::control::doctor::{Doctor, Examined, Proven, TrustState};
use chat_proto::display;
use chat_proto::fault::Code;
use tokio::time::{Instant, timeout};

use crate::daemon::Daemon;
use crate::file::target;
use crate::profile::Answer;
use crate::trust::Shown;
use crate::upstream::{self, DEFAULT_PORT, Greeted, TurnedBack};

pub(super) async fn doctor(d: &Daemon, call: Doctor) -> Answer<Examined> {
    let name = d.named(&call.profile);
    let entry =
        d.entry(&name).ok_or_else(|| Box::new(ErrorData { subject: Some(name), ..Code::UNKNOWN_PROFILE.into() }))?;
    let mut examined = Examined { private_port: d.config.private.port, ..Examined::default() };
    let Some(target) = Target::parse(&entry.server, DEFAULT_PORT) else { return Ok(examined) };
    examined.server = target.to_string();
    let end = Instant::now() + Duration::from_millis(call.timeout_ms);
    let left = || end.saturating_duration_since(Instant::now());
    let (folder, refusal) = received(d, left()).await;
    (examined.folder, examined.folder_refusal) = (Some(folder), refusal);
    match addresses(&target, left()).await {
        Ok(addresses) => examined.addresses = addresses,
        Err(why) => {
            examined.unresolved = Some(why);
            return Ok(examined);
        }
    }
    match upstream::greet(&target, entry.ca.as_deref(), d.around.world, left()).await {
        Ok(greeted) => examined.proven = Some(proven(d, &greeted)),
        Err(TurnedBack { at, mut why }) => {
            why.detail = why.detail.map(|detail| display::cause(&detail).into_owned());
            (examined.obstacle, examined.failure) = (at, Some(why));
        }
    }
    Ok(examined)
}

/// The folder for received files, and why nothing can come into it. It may lie on a share that hangs.
async fn received(d: &Daemon, within: Duration) -> (String, Option<Box<ErrorData>>) {
    let folder = d.config.files.folder_in(&d.around.home);
    let name = folder.display().to_string();
    let confined = d.outside.confined.is_some_and(|confined| confined.landlock.is_some());
    let looked = timeout(within, tokio::task::spawn_blocking(move || target::look_at(&folder, confined))).await;
    let refusal = match looked {
        Ok(Ok(looked)) => looked.err(),
        Ok(Err(_)) | Err(_) => Some(Code::TIMED_OUT.into()),
    };
    let refusal = refusal.map(|refusal| refusal.about(&name));
    (name, refusal)
}

async fn addresses(target: &Target, within: Duration) -> Result<Vec<String>, String> {
    let looked_up = timeout(within, tokio::net::lookup_host((target.host.as_str(), target.port))).await;
    let found = match looked_up {
        Err(_) => return Err("no answer in time".to_owned()),
        Ok(Err(error)) => return Err(display::cause(&error.to_string()).into_owned()),
        Ok(Ok(found)) => found,
    };
    let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
    addresses.dedup();
    if addresses.is_empty() { Err("the name is known, and has no address".to_owned()) } else { Ok(addresses) }
}

fn proven(d: &Daemon, greeted: &Greeted) -> Proven {
    let shown = Shown { name: &greeted.name, server: greeted.server, certificate: &greeted.certificate, asked: None };
    let trust = match d.around.trust.look(&shown) {
        Ok(()) if greeted.certificate.is_ok() => TrustState::Certificate,
        Ok(()) => TrustState::Known,
        Err(distrust) if distrust.code == Code::TRUST_CHANGED => TrustState::Changed,
        Err(_) => TrustState::Unknown,
    };
    let identity = &greeted.identity;
    // The server's word was on its way for half a round trip.
    let half = i64::try_from(greeted.rtt_ms / 2).unwrap_or(0);
    let theirs = (identity.now_ms != 0).then(|| identity.now_ms.saturating_add(half));
    Proven {
        fingerprint: greeted.server.fingerprint(),
        trust,
        certificate: greeted.certificate.as_ref().err().map(ToString::to_string),
        version: identity.server_version.clone(),
        rtt_ms: greeted.rtt_ms,
        ahead_ms: theirs.map(|theirs| d.around.world.now_ms().saturating_sub(theirs)),
        local: greeted.local.ip().to_canonical().to_string(),
        seen: Some(identity.seen.clone()).filter(|seen| !seen.is_empty()),
    }
}

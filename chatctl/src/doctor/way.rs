//! The way to the server, as chatd finds it: name, connection, key, clock, and whether a router stands in between.

use std::net::IpAddr;

use chat_proto::control::doctor::{Doctor, Examined, Proven, TrustState};

use super::Finding;
use super::daemon::{Known, soon};
use crate::commands::Context;
use crate::daemon::Daemon;
use crate::time::milliseconds;
use crate::words::doctor as words;

/// A clock that is off by more shows wrong times.
const CLOCK_WARN_MS: u64 = 5_000;
/// A clock that is off by more makes certificates fail sooner or later.
const CLOCK_FAIL_MS: u64 = 60_000;

/// Goes the way of each profile once.
pub async fn look(ctx: &Context, daemon: &mut Daemon, profiles: &[Known], found: &mut Vec<Finding>) {
    let mut servers = Vec::new();
    for profile in profiles.iter().filter(|profile| profile.has_server) {
        let ask = Doctor { profile: profile.name.clone(), timeout_ms: milliseconds(ctx.global.timeout) };
        match daemon.call(&ask, soon(ctx)).await {
            // Several profiles on one server go the same way.
            Ok(examined) if servers.contains(&examined.server) => {}
            Ok(examined) => {
                // All profiles have one folder.
                found.extend(folder(&examined, &profile.chatctl).filter(|_| servers.is_empty()));
                found.extend(findings(&examined, profile));
                servers.push(examined.server);
            }
            Err(error) => found.push(words::unusable(&error.trouble(&ctx.out.clock), &profile.chatctl)),
        }
    }
}

fn folder(examined: &Examined, chatctl: &str) -> Option<Finding> {
    let folder = examined.folder.as_ref()?;
    Some(match &examined.folder_refusal {
        None => words::folder(folder),
        Some(refusal) => words::folder_refused(folder, refusal, chatctl),
    })
}

fn findings(examined: &Examined, profile: &Known) -> Vec<Finding> {
    let (server, chatctl) = (&examined.server, &profile.chatctl);
    if let Some(why) = &examined.unresolved {
        return vec![words::unresolved(server, why)];
    }
    let mut found = vec![words::resolved(server, &examined.addresses)];
    match (&examined.proven, &examined.failure) {
        (Some(proven), _) => {
            found.push(words::reached(server, proven));
            found.push(tls(server, proven, chatctl));
            found.extend(clock(proven));
            found.extend(nat(proven, examined.private_port));
        }
        (None, Some(failure)) => found.push(words::not_reached(server, examined.obstacle, failure, profile)),
        (None, None) => {}
    }
    found
}

fn tls(server: &str, proven: &Proven, chatctl: &str) -> Finding {
    match proven.trust {
        TrustState::Certificate | TrustState::Known => words::trusted(proven),
        TrustState::Unknown => words::not_trusted(server, proven, chatctl),
        TrustState::Changed => words::another_key(server, proven, chatctl),
    }
}

fn clock(proven: &Proven) -> Option<Finding> {
    let ahead = proven.ahead_ms?;
    Some(match ahead.unsigned_abs() {
        0..=CLOCK_WARN_MS => words::clock(),
        off => words::clock_is_off(ahead, off > CLOCK_FAIL_MS),
    })
}

/// A router translates addresses where the server sees another one than this host has.
fn nat(proven: &Proven, port: u16) -> Option<Finding> {
    let (local, seen): (IpAddr, IpAddr) = (proven.local.parse().ok()?, proven.seen.as_ref()?.parse().ok()?);
    Some(match (local == seen, port) {
        (true, _) => words::no_router(&proven.local),
        (false, 0) => words::router(&proven.local),
        (false, port) => words::router_with_port(&proven.local, port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use chat_proto::id::ServerId;

    fn proven() -> Proven {
        Proven {
            fingerprint: ServerId([7; 32]).fingerprint(),
            trust: TrustState::Known,
            certificate: None,
            version: "0.1.0".into(),
            rtt_ms: 3,
            ahead_ms: Some(0),
            local: "192.168.1.7".into(),
            seen: Some("203.0.113.9".into()),
        }
    }

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let judged = |ahead_ms| clock(&Proven { ahead_ms, ..proven() }).map(|finding| finding.verdict);
        assert_eq!(judged(None), None, "a server that does not tell its time");
        assert_eq!(judged(Some(-4_000)), Some(Verdict::Ok));
        assert_eq!(judged(Some(9_000)), Some(Verdict::Warn));
        assert_eq!(judged(Some(-94_000)), Some(Verdict::Fail));
        assert_eq!(judged(Some(i64::MIN)), Some(Verdict::Fail));
        let finding = clock(&Proven { ahead_ms: Some(-94_000), ..proven() }).expect("a finding");
        assert_eq!(
            (finding.detail.as_str(), finding.hint.as_deref()),
            ("94 s behind the server's", Some("timedatectl set-ntp true"))
        );
    }

    #[test]
    fn a_router_is_found_by_the_address_that_the_server_sees() {
        let found = |local: &str, port| {
            nat(&Proven { local: local.into(), ..proven() }, port).map(|finding| finding.detail).unwrap_or_default()
        };
        assert!(found("203.0.113.9", 0).starts_with("no router in between"));
        assert!(found("192.168.1.7", 0).contains("private.port"));
        assert!(found("192.168.1.7", 7445).contains("7445"));
        assert_eq!(nat(&Proven { seen: None, ..proven() }, 0), None);
    }
}

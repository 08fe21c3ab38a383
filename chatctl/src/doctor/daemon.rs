//! Is chatd there, does it fit, and how are its accounts?

use chat_proto::control::account::{LinkState, Status, StatusReply};
use chat_proto::control::config::{Profile, ProfileList};
use chat_proto::control::daemon::DaemonStatus;
use chat_proto::display::quoted;
use tokio::time::Instant;

use super::Finding;
use crate::commands::Context;
use crate::daemon::{Daemon, NoDaemon, is_older};
use crate::paths::Places;
use crate::words::doctor as words;

/// Dials, starts nothing; the conversation where there is one.
pub async fn look(ctx: &Context, places: &Places, found: &mut Vec<Finding>) -> Option<Daemon> {
    let chatctl = &ctx.out.chatctl;
    let mut daemon = match Daemon::connect(&places.sockets(), ctx.deadline(), &ctx.out.clock).await {
        Ok(daemon) => daemon,
        Err(NoDaemon::Absent) => {
            found.push(match places.chatd() {
                Some(program) => words::not_running(&program, chatctl),
                None => words::no_program(),
            });
            return None;
        }
        Err(NoDaemon::Unusable(trouble)) => {
            found.push(words::unusable(&trouble, chatctl));
            return None;
        }
    };
    match daemon.call(&DaemonStatus {}, ctx.deadline()).await {
        Ok(info) => {
            let line = crate::words::daemon(&info, false, &ctx.out.clock);
            // What is below the line is a finding of its own.
            found.push(Finding::ok("daemon", line.lines().next().unwrap_or_default()));
            found.push(words::socket(&info.socket));
            found.extend(info.sandbox.map(|sandbox| words::sandbox(&sandbox, chatctl)));
        }
        Err(error) => {
            found.push(words::unusable(&error.trouble(&ctx.out.clock), chatctl));
            return None;
        }
    }
    let ours = env!("CARGO_PKG_VERSION");
    let build = daemon.hello.build.clone();
    found.push(if is_older(&build, ours) {
        words::older(&build, ours, chatctl)
    } else {
        words::versions(&build, ours)
    });
    Some(daemon)
}

/// A profile, and how it is to be named on the command line.
pub struct Known {
    /// Its name.
    pub name: String,
    /// chatctl with this profile.
    pub chatctl: String,
    /// It has a server.
    pub has_server: bool,
    /// chatd keeps trying to reach that server.
    pub logged_in: bool,
}

/// Every profile, or the one that was named.
pub async fn profiles(ctx: &Context, daemon: &mut Daemon, found: &mut Vec<Finding>) -> Vec<Known> {
    let named = ctx.named_profile();
    let listed = daemon.call(&ProfileList {}, ctx.deadline()).await.map(|list| list.items);
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            found.push(words::unusable(&error.trouble(&ctx.out.clock), &ctx.out.chatctl));
            return Vec::new();
        }
    };
    let meant: Vec<&Profile> = listed.iter().filter(|one| named.is_none_or(|name| one.name == name)).collect();
    if meant.is_empty() || meant.iter().all(|one| one.user.is_empty()) {
        found.push(words::no_account(&ctx.out.chatctl));
    }
    let mut known = Vec::new();
    for profile in meant.iter().filter(|profile| !profile.user.is_empty()) {
        let chatctl = match named {
            Some(_) => ctx.out.chatctl.clone(),
            None if listed.len() == 1 => ctx.out.chatctl.clone(),
            None => format!("{} --profile {}", ctx.out.chatctl, quoted(&profile.name)),
        };
        let status = Status { profile: profile.name.clone(), wait_online_ms: None };
        let reply = daemon.call(&status, ctx.deadline()).await;
        let logged_in = reply.as_ref().is_ok_and(|reply| reply.link != LinkState::LoggedOut);
        found.push(match reply {
            Ok(reply) => login(ctx, &reply, &daemon.hello.build, &chatctl),
            Err(error) => words::unusable(&error.trouble(&ctx.out.clock), &chatctl),
        });
        known.push(Known { name: profile.name.clone(), chatctl, has_server: !profile.server.is_empty(), logged_in });
    }
    known
}

fn login(ctx: &Context, reply: &StatusReply, build: &str, chatctl: &str) -> Finding {
    let line = crate::words::status(reply, build, &ctx.out.clock);
    match reply.link {
        LinkState::Online => Finding::ok("login", line),
        LinkState::LoggedOut => words::logged_out(reply, &ctx.out.clock, chatctl),
        LinkState::Connecting | LinkState::Waiting => words::not_online(reply, &ctx.out.clock, chatctl),
    }
}

/// A call's deadline that leaves each its time.
pub fn soon(ctx: &Context) -> Instant {
    Instant::now() + ctx.global.timeout
}

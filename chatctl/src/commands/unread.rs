//! unread: how many, for people, scripts and status bars; once, or whenever it changes.

use std::future::ready;
use std::time::Duration;

use chat_proto::control::events::{Topic, Watch};
use chat_proto::control::message::{Unread, UnreadReply};
use tokio::time::sleep;

use super::Context;
use crate::args::{self, Bar};
use crate::daemon::CallError;
use crate::follow::Follow;
use crate::json::{self, Json, members};
use crate::output::{End, Form, Shown};

/// Counts that change more often than this are printed once.
const CALM: Duration = Duration::from_millis(100);
/// How often it is looked whether there is an account by now.
const NOBODY: Duration = Duration::from_secs(5);

/// `unread`: a number, or what a status bar wants. Nobody being logged in is no trouble.
pub async fn unread(ctx: &mut Context, args: args::Unread) -> Result<(), End> {
    if args.follow {
        return follow(ctx, &args).await;
    }
    let reply = count(ctx, &args).await?.unwrap_or(NOTHING);
    match ctx.out.form {
        Form::Json => ctx.out.object("unread", json::unread(&reply))?,
        Form::Plain | Form::Human => bar(ctx, args.format, &reply)?,
    }
    ctx.listed(reply.total == 0)
}

const NOTHING: UnreadReply = UnreadReply { total: 0, people: Vec::new(), requests: 0 };

/// The counts; nothing where there is no account.
async fn count(ctx: &mut Context, args: &args::Unread) -> Result<Option<UnreadReply>, End> {
    let request = Unread { profile: ctx.profile().await?, user: args.user.clone() };
    match ctx.try_call(&request).await? {
        Ok(reply) => Ok(Some(reply)),
        Err(CallError::Refused(data)) if ctx.has_no_account(&data) => Ok(None),
        Err(error) => Err(ctx.refused(error)),
    }
}

/// A line whenever the counts change, for as long as somebody reads them.
async fn follow(ctx: &mut Context, args: &args::Unread) -> Result<(), End> {
    let mut printed = None;
    if count(ctx, args).await?.is_none() {
        print(ctx, args, &mut printed, NOTHING)?;
        somebody(ctx).await?;
    }
    let profile = ctx.profile().await?;
    let only = vec![Topic::Unread];
    let request = Watch { profile: profile.clone(), only, from: None, since: None, cursor: None, after_index: None };
    let mut follow = Follow::begin(ctx, request, true).await?;
    let counts = Unread { profile, user: args.user.clone() };
    loop {
        if let Some(reply) = follow.call(ctx, &counts).await? {
            print(ctx, args, &mut printed, reply)?;
            sleep(CALM).await;
        }
        follow.next(ctx).await?;
        // What came meanwhile says the same.
        loop {
            tokio::select! {
                biased;
                more = follow.next(ctx), if follow.is_connected() => { more?; }
                () = ready(()) => break,
            }
        }
    }
}

/// Waits until there is an account, by a conversation of its own each time: chatd may be another one by then.
async fn somebody(ctx: &mut Context) -> Result<(), End> {
    loop {
        drop(ctx.take_daemon());
        sleep(NOBODY).await;
        ctx.restart_clock();
        let profile = ctx.profile().await?;
        match ctx.try_call(&Unread { profile, user: None }).await? {
            Ok(_) => return Ok(()),
            Err(CallError::Refused(data)) if ctx.has_no_account(&data) => {}
            Err(error) => return Err(ctx.refused(error)),
        }
    }
}

fn print(ctx: &Context, args: &args::Unread, printed: &mut Option<UnreadReply>, reply: UnreadReply) -> Result<(), End> {
    if printed.as_ref() == Some(&reply) {
        return Ok(());
    }
    match (ctx.out.form, args.format) {
        (Form::Json, _) => ctx.out.object("unread", json::unread(&reply))?,
        // A block that persists takes every line for a new full text.
        (_, Bar::I3blocks) => ctx.out.line(&shown(&reply))?,
        (_, format) => bar(ctx, format, &reply)?,
    }
    *printed = Some(reply);
    Ok(())
}

/// A bar shows nothing rather than a zero.
fn shown(reply: &UnreadReply) -> String {
    if reply.total == 0 { String::new() } else { reply.total.to_string() }
}

fn bar(ctx: &Context, format: Bar, reply: &UnreadReply) -> Result<(), End> {
    let shown = shown(reply);
    match format {
        Bar::Plain => ctx.out.line(&reply.total.to_string()),
        Bar::Polybar | Bar::Tmux => ctx.out.line(&shown),
        // Full text, short text.
        Bar::I3blocks => ctx.out.line(&format!("{shown}\n{shown}")),
        Bar::Waybar => ctx.out.line(&waybar(&shown, reply).0),
    }
}

fn waybar(shown: &str, reply: &UnreadReply) -> Json {
    let class = if reply.total == 0 { "none" } else { "unread" };
    let people: Vec<_> = reply.people.iter().map(|one| format!("{} {}", markup(&one.user), one.count)).collect();
    members!({ "text": shown, "alt": class, "tooltip": people.join("\n"), "class": [class] })
}

/// The bar reads its tooltip as markup.
fn markup(name: &str) -> String {
    Shown::line(name).to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_proto::control::message::UnreadPerson;

    #[test]
    fn waybar_is_the_sample_of_the_manual() {
        let person = |user: &str, count| UnreadPerson { user: user.into(), count };
        let reply = UnreadReply { total: 3, people: vec![person("bob", 2), person("ci", 1)], requests: 0 };
        assert_eq!(waybar("3", &reply).0, r#"{"text":"3","alt":"unread","tooltip":"bob 2\nci 1","class":["unread"]}"#);
        assert_eq!(markup("<b>&"), "&lt;b&gt;&amp;");
    }
}

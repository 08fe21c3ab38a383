//! watch: the event stream, followed across restarts of chatd.

use std::time::Duration;

use chat_proto::control::events::{Event, Watch};
use chat_proto::fault::Code;

use tokio::time::{Instant, sleep_until};

use super::Context;
use super::message::row;
use super::read::line;
use crate::args;
use crate::daemon::{CallError, Daemon, NoDaemon, Received};
use crate::json::{self, members};
use crate::output::{End, Form, Shown, Trouble};
use crate::time::iso;
use crate::words::{self, troubles};

/// First wait before chatd is dialled again; doubles.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait before chatd is dialled again.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A stream that is being followed.
struct Follow {
    request: Watch,
    daemon: Option<Daemon>,
    reconnect: bool,
    retry_at: Instant,
    wait: Duration,
}

/// `watch`.
pub async fn watch(ctx: &mut Context, args: args::Watch) -> Result<(), End> {
    let request = Watch {
        profile: ctx.profile().await?,
        only: args.only.clone(),
        from: args.from.clone(),
        since: args.since.clone(),
        after_index: None,
    };
    let mut follow = begin(ctx, request, !args.no_reconnect).await?;
    let end = args.for_.map(|length| Instant::now() + length);
    let mut beat = args.heartbeat.map(|every| Instant::now() + every);
    let mut got = 0;
    while args.count.is_none_or(|count| got < count) {
        tokio::select! {
            event = follow.next(ctx) => {
                if let Some(event) = event? {
                    got += u64::from(print(ctx, &event)?);
                }
            }
            () = until(end) => return ran_out(&args, got),
            () = until(beat) => {
                heartbeat(ctx)?;
                beat = args.heartbeat.map(|every| Instant::now() + every);
            }
        }
    }
    Ok(())
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn ran_out(args: &args::Watch, got: u64) -> Result<(), End> {
    match args.count {
        Some(count) if got < count => Err(troubles::too_few(got, count).into()),
        _ => Ok(()),
    }
}

/// The first connection: chatd may be started for it, and a refusal ends the command.
async fn begin(ctx: &mut Context, mut request: Watch, reconnect: bool) -> Result<Follow, End> {
    let watching = ctx.call(&request).await?;
    // Messages asked for with `--since` come first; until one has come, a reconnect asks for them again.
    if request.since.is_none() {
        request.after_index = Some(watching.index);
    }
    let daemon = ctx.take_daemon();
    Ok(Follow { request, daemon, reconnect, retry_at: Instant::now(), wait: RETRY_MIN })
}

impl Follow {
    /// The next event; nothing when something else happened, e.g. chatd went or came back. Safe to cancel.
    async fn next(&mut self, ctx: &mut Context) -> Result<Option<Event>, End> {
        let Some(daemon) = &mut self.daemon else {
            return self.again(ctx).await.map(|()| None);
        };
        match daemon.event().await {
            Ok(Some(Received::Event(event))) => {
                self.remember(&event);
                Ok(Some(*event))
            }
            Ok(Some(Received::Missed)) => {
                self.lost(Duration::ZERO);
                Ok(None)
            }
            Ok(None) | Err(_) if self.reconnect => {
                self.lost(RETRY_MIN);
                ctx.out.note(words::WAITING_FOR_DAEMON);
                Ok(None)
            }
            Ok(None) => Err(troubles::broken("chatd went away").into()),
            Err(error) => Err(error.trouble(&ctx.out.clock).into()),
        }
    }

    fn remember(&mut self, event: &Event) {
        if let Event::Message(message) = event {
            self.request.since = None;
            let last = self.request.after_index.unwrap_or_default();
            self.request.after_index = Some(last.max(message.index));
        }
    }

    fn lost(&mut self, wait: Duration) {
        self.daemon = None;
        self.retry_at = Instant::now() + wait;
    }

    async fn again(&mut self, ctx: &mut Context) -> Result<(), End> {
        sleep_until(self.retry_at).await;
        ctx.restart_clock();
        match self.reach(ctx).await? {
            Some(daemon) => {
                self.daemon = Some(daemon);
                self.wait = RETRY_MIN;
            }
            None => {
                self.retry_at = Instant::now() + self.wait;
                self.wait = (self.wait * 2).min(RETRY_MAX);
            }
        }
        Ok(())
    }

    /// Dials and asks for what came since. A chatd that was stopped is left alone; one that died (its record is still there) is
    /// started again.
    async fn reach(&mut self, ctx: &mut Context) -> Result<Option<Daemon>, End> {
        let places = ctx.places()?;
        let daemon = match Daemon::connect(&places.sockets(), ctx.deadline(), &ctx.out.clock).await {
            Ok(daemon) => Some(daemon),
            Err(NoDaemon::Unusable(trouble)) if passes(&trouble) => None,
            Err(NoDaemon::Unusable(trouble)) => return Err(trouble.into()),
            Err(NoDaemon::Absent) if !ctx.global.no_autostart && places.recorded().is_some() => {
                crate::spawn::start(&places, &ctx.out.clock).await.ok()
            }
            Err(NoDaemon::Absent) => None,
        };
        let Some(mut daemon) = daemon else {
            return Ok(None);
        };
        match daemon.call(&self.request, ctx.deadline()).await {
            Ok(watching) => {
                if self.request.since.is_none() && self.request.after_index.is_none() {
                    self.request.after_index = Some(watching.index);
                }
                Ok(Some(daemon))
            }
            Err(CallError::Refused(data)) if data.code != Code::DAEMON_STOPPING => {
                Err(ctx.refused(CallError::Refused(data)))
            }
            Err(CallError::Misfit(detail)) => Err(troubles::versions(&detail).into()),
            Err(_) => Ok(None),
        }
    }
}

/// A chatd that is only slow now may answer later.
fn passes(trouble: &Trouble) -> bool {
    trouble.code == troubles::SILENT
}

/// Prints an event; did it count?
fn print(ctx: &mut Context, event: &Event) -> Result<bool, End> {
    ctx.out.clock.now = jiff::Timestamp::now();
    let (kind, members) = json::event(event);
    match (ctx.out.form, event) {
        (Form::Json, _) => ctx.out.object(kind, members)?,
        (Form::Human, Event::Message(message)) => ctx.out.line(&line(ctx, message))?,
        (Form::Human, event) => ctx.out.line(&notice(ctx, event))?,
        (Form::Plain, Event::Message(message)) => row(ctx, message)?,
        (Form::Plain, event) => ctx.out.row(&[kind, &iso(at(event)), &words_of(event)])?,
    }
    Ok(true)
}

fn notice(ctx: &Context, event: &Event) -> String {
    let at = ctx.out.clock.show(at(event));
    format!("{} * {}", ctx.out.dim(&at), words_of(event))
}

fn words_of(event: &Event) -> String {
    match event {
        Event::Message(message) => Shown::line(&message.text).to_string(),
        Event::Presence { user, state, reason, .. } => words::presence(user, state, reason),
        Event::PresenceMany { count, .. } => words::presence_many(*count),
        Event::Receipt { id, to, state, code, .. } => words::receipt(id, to.as_deref(), *state, *code),
        Event::Link { state, cause, .. } => words::link_changed(*state, cause.as_ref()),
        Event::Gap { count, .. } => words::gap(*count),
    }
}

fn at(event: &Event) -> i64 {
    match event {
        Event::Message(message) => message.at_ms,
        Event::Presence { at_ms, .. }
        | Event::PresenceMany { at_ms, .. }
        | Event::Receipt { at_ms, .. }
        | Event::Link { at_ms, .. }
        | Event::Gap { at_ms, .. } => *at_ms,
    }
}

fn heartbeat(ctx: &mut Context) -> Result<(), End> {
    let now = jiff::Timestamp::now();
    ctx.out.clock.now = now;
    let ms = now.as_millisecond();
    match ctx.out.form {
        Form::Json => ctx.out.object("heartbeat", members!({ "at": iso(ms) })),
        Form::Plain => ctx.out.row(&["heartbeat", &iso(ms), ""]),
        Form::Human => ctx.out.line(&format!("{} * {}", ctx.out.clock.show(ms), words::ALIVE)),
    }
}

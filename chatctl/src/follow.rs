//! The event stream of chatd, followed across its restarts: dialled again with growing waits, resumed behind the last message that was
//! got. `watch`, `unread --follow` and the shell read it.

use std::time::Duration;

use chat_proto::control::Call;
use chat_proto::control::events::{Event, Watch, Watching};
use chat_proto::fault::Code;
use tokio::time::{Instant, sleep_until};

use crate::commands::Context;
use crate::daemon::{CallError, Daemon, NoDaemon, Received};
use crate::output::{End, Trouble};
use crate::words::{self, troubles};

/// First wait before chatd is dialled again; doubles.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait before chatd is dialled again.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A stream that is being followed.
pub struct Follow {
    request: Watch,
    daemon: Option<Daemon>,
    reconnect: bool,
    /// Whoever follows says himself that chatd went away.
    silent: bool,
    retry_at: Instant,
    wait: Duration,
}

impl Follow {
    /// The first connection: chatd may be started for it, and a refusal ends the command.
    pub async fn begin(ctx: &mut Context, request: Watch, reconnect: bool) -> Result<Follow, End> {
        let watching = ctx.call(&request).await?;
        let daemon = ctx.take_daemon();
        let retry_at = Instant::now();
        let mut follow = Follow { request, daemon, reconnect, silent: false, retry_at, wait: RETRY_MIN };
        follow.placed(&watching);
        Ok(follow)
    }

    /// Leaves it to the caller to say that chatd went away.
    pub fn silent(mut self) -> Follow {
        self.silent = true;
        self
    }

    /// The newest place in the history that was there, or was given.
    pub fn index(&self) -> u64 {
        self.request.after_index.unwrap_or_default()
    }

    /// From here on a reconnect asks for what comes behind this place, whatever it was that named the first one. A chatd that does
    /// not say the place is asked for the same again until a message has come.
    fn placed(&mut self, watching: &Watching) {
        let new_only = self.request.since.is_none() && self.request.cursor.is_none();
        let place = watching.after.or(new_only.then_some(watching.index));
        self.request.after_index = self.request.after_index.or(place);
    }

    /// The next event; nothing when something else happened, e.g. chatd went or came back. Safe to cancel.
    pub async fn next(&mut self, ctx: &mut Context) -> Result<Option<Event>, End> {
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
                if !self.silent {
                    ctx.out.note(words::WAITING_FOR_DAEMON);
                }
                Ok(None)
            }
            Ok(None) => Err(troubles::broken("chatd went away").into()),
            Err(error) => Err(error.trouble(&ctx.out.clock).into()),
        }
    }

    /// Is there a chatd to talk to now?
    pub fn is_connected(&self) -> bool {
        self.daemon.is_some()
    }

    /// A call between events; nothing when chatd is not there, or went away meanwhile.
    pub async fn call<C: Call>(&mut self, ctx: &mut Context, params: &C) -> Result<Option<C::Reply>, End> {
        let Some(daemon) = &mut self.daemon else { return Ok(None) };
        ctx.restart_clock();
        match daemon.call(params, ctx.deadline()).await {
            Ok(reply) => Ok(Some(reply)),
            Err(CallError::Refused(data)) if data.code != Code::DAEMON_STOPPING => {
                Err(ctx.refused(CallError::Refused(data)))
            }
            Err(error) if !self.reconnect => Err(ctx.refused(error)),
            // The answer of a chatd that is only slow must not be taken for that of the next call.
            Err(_) => {
                self.lost(RETRY_MIN);
                Ok(None)
            }
        }
    }

    fn remember(&mut self, event: &Event) {
        let index = match event {
            Event::Message(message) => message.index,
            Event::Gap { index, .. } => *index,
            _ => return,
        };
        let last = self.request.after_index.unwrap_or_default();
        self.request.after_index = Some(last.max(index));
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
                self.placed(&watching);
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

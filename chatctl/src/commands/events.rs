//! watch: what happens, printed or handed to a program; ack, cursor: how far a reader got.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::future::ready;
use std::pin::pin;

use chat_local::json::object;
use chat_proto::control::events::{Ack, Acked, Cursor, CursorList, CursorRemove, Event, Watch};
use chat_proto::id::{CursorName, MessageId};

use tokio::time::Instant;

use super::message::row;
use super::read::line;
use super::{Context, until};
use crate::args;
use crate::exit::Exit;
use crate::follow::Follow;
use crate::handler::{Handler, Outcome};
use crate::json::{self, members};
use crate::output::{End, Form, Output, Shown};
use crate::time::{Clock, iso};
use crate::words::{self, troubles};

/// Lines that `--auto-ack` lets stand while more are coming.
const UNACKED: usize = 64;
/// Events that are kept while a program handles one; more wait in chatd.
const KEPT: usize = 1024;

/// `watch`.
pub async fn watch(ctx: &mut Context, args: args::Watch) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let handler = (!args.exec.is_empty()).then(|| handler(ctx, &profile, &args));
    let keeper = args.cursor.clone().map(|cursor| Keeper { cursor, profile: profile.clone(), written: None, count: 0 });
    let request = Watch {
        profile,
        only: args.only.clone(),
        from: args.from.clone(),
        since: args.since.clone(),
        cursor: args.cursor.clone(),
        after_index: None,
    };
    let follow = Follow::begin(ctx, request, !args.no_reconnect).await?;
    let mut watch = Watched { follow, kept: VecDeque::new(), keeper, handler, auto_ack: args.auto_ack };
    let ended = watch.run(ctx, &args).await;
    // What was written is acknowledged whether the events ended or the time did, but not for a reader that went away.
    if !matches!(ended, Err(End::Quiet(_))) {
        watch.settle(ctx).await?;
    }
    ended
}

fn handler(ctx: &Context, profile: &str, args: &args::Watch) -> Handler {
    let mut variables = vec![("CHAT_PROFILE", OsString::from(profile))];
    // A chatctl that the program runs means the same chatd.
    variables.extend(ctx.global.home.iter().map(|home| ("CHAT_HOME", home.into())));
    variables.extend(ctx.global.socket.iter().map(|socket| ("CHAT_SOCKET", socket.into())));
    Handler { command: args.exec.clone(), variables }
}

/// How far the reader got that keeps a cursor.
struct Keeper {
    profile: String,
    cursor: CursorName,
    /// The last one that was written or handled and is not acknowledged.
    written: Option<MessageId>,
    count: usize,
}

impl Keeper {
    fn ack(&self) -> Option<Ack> {
        let id = self.written.clone()?.0;
        Some(Ack { profile: self.profile.clone(), cursor: self.cursor.clone(), id })
    }
}

/// A watch under way.
struct Watched {
    follow: Follow,
    /// Events that came while a program handled one.
    kept: VecDeque<Event>,
    keeper: Option<Keeper>,
    handler: Option<Handler>,
    auto_ack: bool,
}

impl Watched {
    async fn run(&mut self, ctx: &mut Context, args: &args::Watch) -> Result<(), End> {
        let end = args.for_.map(|length| Instant::now() + length);
        let mut beat = args.heartbeat.map(|every| Instant::now() + every);
        let mut got = 0;
        while args.count.is_none_or(|count| got < count) {
            let idle = self.unacked() > 0 && self.follow.is_connected();
            // With --exec stdout is the program's.
            let out = self.handler.is_none().then(|| ctx.out.clone());
            let woken = {
                // Begun once: a heartbeat must not have chatd dialled anew each time.
                let mut event = pin!(next(&mut self.kept, &mut self.follow, ctx));
                loop {
                    tokio::select! {
                        biased;
                        () = until(end) => return ran_out(args, got),
                        () = until(beat) => {
                            out.as_ref().map_or(Ok(()), heartbeat)?;
                            beat = args.heartbeat.map(|every| Instant::now() + every);
                        }
                        event = &mut event => break Woken::Event(event?.map(Box::new)),
                        () = ready(()), if idle => break Woken::Idle,
                    }
                }
            };
            match woken {
                Woken::Event(Some(event)) => {
                    self.give(ctx, &event).await?;
                    got += 1;
                }
                Woken::Event(None) => {}
                Woken::Idle => self.ack(ctx).await?,
            }
        }
        Ok(())
    }

    fn unacked(&self) -> usize {
        self.keeper.as_ref().map_or(0, |keeper| keeper.count)
    }

    /// Prints an event, or has it handled.
    async fn give(&mut self, ctx: &mut Context, event: &Event) -> Result<(), End> {
        match self.handler.clone() {
            Some(handler) => self.handle(ctx, handler, event).await,
            None => {
                print(ctx, event)?;
                if self.auto_ack {
                    self.written(event);
                }
                if self.unacked() >= UNACKED { self.ack(ctx).await } else { Ok(()) }
            }
        }
    }

    /// This one is done with; presence and the like have no place in the history.
    fn written(&mut self, event: &Event) {
        if let (Some(keeper), Some(id)) = (&mut self.keeper, place(event)) {
            keeper.written = Some(id.clone());
            keeper.count += 1;
        }
    }

    /// Acknowledges what was written, where chatd is there to hear it.
    async fn ack(&mut self, ctx: &mut Context) -> Result<(), End> {
        let Some(ack) = self.keeper.as_ref().and_then(Keeper::ack) else { return Ok(()) };
        if let (Some(_), Some(keeper)) = (self.follow.call(ctx, &ack).await?, &mut self.keeper) {
            keeper.written = None;
            keeper.count = 0;
        }
        Ok(())
    }

    /// The same at the end, when nobody follows any more.
    async fn settle(&mut self, ctx: &mut Context) -> Result<(), End> {
        self.ack(ctx).await?;
        let Some(ack) = self.keeper.as_ref().and_then(Keeper::ack) else { return Ok(()) };
        ctx.restart_clock();
        ctx.call(&ack).await.map(|_| ())
    }

    /// Runs the program; events that come meanwhile are kept. Only what it handled is acknowledged, before the next one.
    async fn handle(&mut self, ctx: &mut Context, handler: Handler, event: &Event) -> Result<(), End> {
        let (kind, members) = json::event(event);
        let line = format!("{}\n", object(kind, members));
        let variables = variables(kind, event);
        let name = handler.name();
        let mut run = tokio::task::spawn_blocking(move || handler.run(&line, &variables));
        let outcome = loop {
            let room = self.kept.len() < KEPT;
            tokio::select! {
                outcome = &mut run => break outcome,
                event = self.follow.next(ctx), if room => self.kept.extend(event?),
            }
        };
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(error.to_string()));
        match (outcome, &self.keeper, place(event)) {
            (Outcome::Done, ..) => {
                self.written(event);
                while self.unacked() > 0 {
                    self.ack(ctx).await?;
                    if self.unacked() > 0 {
                        self.kept.extend(self.follow.next(ctx).await?);
                    }
                }
                Ok(())
            }
            (Outcome::Missing(why), ..) => Err(troubles::no_handler(&name, &why).into()),
            (Outcome::Failed(how), Some(keeper), Some(id)) => {
                Err(troubles::not_handled(&name, &how, id, &keeper.cursor).into())
            }
            (Outcome::Failed(how), ..) => {
                ctx.out.note(&words::handler_failed(&name, &how));
                Ok(())
            }
        }
    }
}

/// What happened first.
enum Woken {
    /// An event came; nothing: chatd went or came back.
    Event(Option<Box<Event>>),
    /// Nothing more is there to be written now.
    Idle,
}

async fn next(kept: &mut VecDeque<Event>, follow: &mut Follow, ctx: &mut Context) -> Result<Option<Event>, End> {
    match kept.pop_front() {
        Some(event) => Ok(Some(event)),
        None => follow.next(ctx).await,
    }
}

fn ran_out(args: &args::Watch, got: u64) -> Result<(), End> {
    match args.count {
        Some(count) if got < count => Err(troubles::too_few(got, count).into()),
        _ => Ok(()),
    }
}

/// The id by which a reader acknowledges an event.
fn place(event: &Event) -> Option<&MessageId> {
    match event {
        Event::Message(message) => Some(&message.id),
        Event::Gap { to, .. } => to.as_ref(),
        _ => None,
    }
}

/// What a program gets beside the line on its stdin.
fn variables(kind: &str, event: &Event) -> Vec<(&'static str, String)> {
    let from = match event {
        Event::Message(message) => message.from.clone(),
        Event::Presence { user, .. } => user.clone(),
        _ => String::new(),
    };
    let id = match event {
        Event::Receipt { id, .. } => id.0.clone(),
        event => place(event).map(|id| id.0.clone()).unwrap_or_default(),
    };
    vec![("CHAT_EVENT", kind.to_owned()), ("CHAT_FROM", from), ("CHAT_ID", id)]
}

/// Prints an event.
fn print(ctx: &mut Context, event: &Event) -> Result<(), End> {
    ctx.out.clock.now = jiff::Timestamp::now();
    let (kind, members) = json::event(event);
    match (ctx.out.form, event) {
        (Form::Json, _) => ctx.out.object(kind, members),
        (Form::Human, Event::Message(message)) => ctx.out.line(&line(ctx, message)),
        (Form::Human, event) => ctx.out.line(&notice(ctx, event)),
        (Form::Plain, Event::Message(message)) => row(ctx, message),
        (Form::Plain, event) => ctx.out.row(&[kind, &iso(at(event)), &words_of(event)]),
    }
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
        Event::PrivateRequest(request) => words::private_request(request),
        Event::PrivateSession(session) => words::private_session(session),
        Event::PrivateEnded(ended) => words::private_ended(ended),
        Event::FileOffer(file) | Event::File(file) => words::file::file(file),
        Event::Unread { .. } => words::UNREAD_CHANGED.to_owned(),
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
        | Event::Unread { at_ms }
        | Event::Gap { at_ms, .. } => *at_ms,
        Event::PrivateRequest(request) => request.at_ms,
        Event::PrivateSession(session) => session.changed_ms,
        Event::PrivateEnded(ended) => ended.at_ms,
        Event::FileOffer(file) | Event::File(file) => file.at_ms,
    }
}

fn heartbeat(out: &Output) -> Result<(), End> {
    let now = jiff::Timestamp::now();
    let ms = now.as_millisecond();
    match out.form {
        Form::Json => out.object("heartbeat", members!({ "at": iso(ms) })),
        Form::Plain => out.row(&["heartbeat", &iso(ms), ""]),
        Form::Human => out.line(&format!("{} * {}", Clock { now, ..out.clock.clone() }.show(ms), words::ALIVE)),
    }
}

/// `ack`: everything up to this message was handled.
pub async fn ack(ctx: &mut Context, args: args::Ack) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let Acked { cursor, changed } = ctx.call(&Ack { profile, cursor: args.name, id: args.id }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("cursor", json::cursor(&cursor).with("changed", &changed))?,
        Form::Plain => cursor_row(ctx, &cursor)?,
        Form::Human => ctx.out.success(&words::acked(&cursor, changed))?,
    }
    if !changed && ctx.global.exit_code { Err(End::Quiet(Exit::No)) } else { Ok(()) }
}

/// `cursor`.
pub async fn cursor(ctx: &mut Context, args: args::Cursor) -> Result<(), End> {
    match args {
        args::Cursor::List => cursors(ctx).await,
        args::Cursor::Remove { name } => cursor_remove(ctx, name).await,
    }
}

async fn cursors(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let cursors = ctx.call(&CursorList { profile }).await?.items;
    match ctx.out.form {
        Form::Json => ctx.out.object("cursors", json::items(cursors.iter().map(json::cursor)))?,
        Form::Plain => cursors.iter().try_for_each(|cursor| cursor_row(ctx, cursor))?,
        Form::Human => {
            cursors.iter().try_for_each(|cursor| ctx.out.line(&words::cursor(cursor, &ctx.out.clock)))?;
            if cursors.is_empty() {
                ctx.out.note(words::NO_CURSORS);
            }
        }
    }
    ctx.listed(cursors.is_empty())
}

/// A cursor as columns: name, id, time, messages that wait.
fn cursor_row(ctx: &Context, cursor: &Cursor) -> Result<(), End> {
    let id = cursor.id.as_ref().map(|id| id.0.as_str()).unwrap_or_default();
    ctx.out.row(&[cursor.name.as_str(), id, &iso(cursor.at_ms), &cursor.waiting.to_string()])
}

async fn cursor_remove(ctx: &mut Context, name: CursorName) -> Result<(), End> {
    let profile = ctx.profile().await?;
    ctx.call(&CursorRemove { profile, name: name.clone() }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("cursor", members!({ "name": name, "removed": true })),
        Form::Plain => ctx.out.row(&[name.as_str()]),
        Form::Human => ctx.out.success(&words::cursor_removed(&name)),
    }
}

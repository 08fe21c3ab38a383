//! message, broadcast, show: own messages and how far they got.

use std::borrow::Cow;

use chat_proto::control::Call;
use chat_proto::control::message::{self as control, Message, Sent, State};
use chat_proto::display::quoted;

use super::{Context, Waited};
use crate::args;
use crate::daemon::CallError;
use crate::exit::Exit;
use crate::output::{End, Form, Shown};
use crate::text::Source;
use crate::time::iso;
use crate::words::{self, refusals, troubles};
use crate::{json, key};

/// `message`.
pub async fn message(ctx: &mut Context, args: args::Message) -> Result<(), End> {
    let key = key::given_or_fresh(args.id.as_deref())?;
    let source = Source::of(&args.text, &args.user);
    let text = source.gather(ctx.prompt).await?;
    ctx.restart_clock();
    let profile = ctx.profile().await?;
    let request = control::SendMessage {
        profile,
        to: args.user,
        text,
        key: key.clone(),
        wait: args.wait,
        timeout_ms: ctx.timeout_ms(),
        no_queue: args.no_queue,
        reply: args.reply,
        urgent: args.urgent,
        run: None,
    };
    let retry = format!("message {} --id {} ...", quoted(&request.to), quoted(&key));
    let sent = send(ctx, &request, &key, &retry).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("message", json::sent(&sent))?,
        Form::Plain => ctx.out.row(&[&sent.id.0, sent.to.as_deref().unwrap_or_default(), sent.state.word()])?,
        Form::Human => ctx.out.success(&words::sent(&sent))?,
    }
    settled(&sent)
}

/// `broadcast`.
pub async fn broadcast(ctx: &mut Context, args: args::Broadcast) -> Result<(), End> {
    let key = key::given_or_fresh(args.id.as_deref())?;
    let source = Source { words: &args.text, file: None, edit: false, to: "everyone online" };
    let text = source.gather(ctx.prompt).await?;
    ctx.restart_clock();
    let profile = ctx.profile().await?;
    let request = control::Broadcast { profile, text, key: key.clone(), wait: args.wait, timeout_ms: ctx.timeout_ms() };
    let sent = send(ctx, &request, &key, &format!("broadcast --id {} ...", quoted(&key))).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("broadcast", json::broadcast(&sent))?,
        Form::Plain => ctx.out.row(&[&sent.id.0, &sent.audience.to_string(), sent.state.word()])?,
        Form::Human => ctx.out.success(&words::broadcast(&sent))?,
    }
    settled(&sent)?;
    if sent.missed { Err(End::Quiet(Exit::Partly)) } else { Ok(()) }
}

/// Hands a message to chatd. When the connection breaks meanwhile, only a retry with the same key is safe, and that is said.
pub async fn send<C: Call<Reply = Sent>>(ctx: &mut Context, request: &C, key: &str, retry: &str) -> Result<Sent, End> {
    ctx.daemon().await?;
    ctx.underway.replace(Some(Waited::Message(key.to_owned())));
    let outcome = ctx.try_call(request).await?;
    ctx.underway.replace(None);
    outcome.map_err(|error| match error {
        CallError::Broken(_) => troubles::outcome_unknown(Exit::NoDaemon, retry, key).into(),
        CallError::Silent => troubles::outcome_unknown(Exit::TimedOut, retry, key).into(),
        error => ctx.refused(error),
    })
}

/// The exit of a message that was handed over: a wait that ended early is a trouble, though the message is kept.
pub fn settled(sent: &Sent) -> Result<(), End> {
    match sent.pending {
        None => Ok(()),
        Some(pending) => Err(refusals::kept(sent, pending).into()),
    }
}

/// `show`: one message, at once or when it got as far as asked.
pub async fn show(ctx: &mut Context, args: args::Show) -> Result<(), End> {
    let profile = ctx.profile().await?;
    if args.wait.is_some() {
        ctx.underway.replace(Some(Waited::Message(args.id.clone())));
    }
    let timeout_ms = ctx.timeout_ms();
    let message = ctx.call(&control::Show { profile, id: args.id, wait: args.wait, timeout_ms }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("message", json::message(&message))?,
        Form::Plain => row(ctx, &message)?,
        Form::Human => {
            ctx.out.line(&words::progress(&message, &ctx.out.clock))?;
            ctx.out.line(&format!("{}{}", crate::output::GUTTER, Shown::message(&message.text)))?;
        }
    }
    reached(&message, args.wait)
}

/// With `--wait`, a message that will never get there ends with the exit of its reason.
fn reached(message: &Message, goal: Option<State>) -> Result<(), End> {
    let gone = matches!(message.state, State::Failed | State::Expired);
    match (goal, message.code) {
        (Some(_), Some(code)) if gone => Err(End::Quiet(Exit::of(code))),
        (Some(_), None) if gone => Err(End::Quiet(Exit::Refused)),
        (Some(goal), _) if message.state < goal => Err(End::Quiet(Exit::TimedOut)),
        _ => Ok(()),
    }
}

/// A message as columns.
pub fn row(ctx: &Context, message: &Message) -> Result<(), End> {
    ctx.out.row(&columns(message).each_ref().map(AsRef::as_ref))
}

/// Id, from, to, kind, state, time, text.
pub fn columns(message: &Message) -> [Cow<'_, str>; 7] {
    [
        message.id.0.as_str().into(),
        message.from.as_str().into(),
        message.to.as_deref().unwrap_or_default().into(),
        json::kind(message.kind).into(),
        message.state.word().into(),
        iso(message.at_ms).into(),
        message.text.as_str().into(),
    ]
}

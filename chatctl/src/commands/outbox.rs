//! outbox: own messages without a verdict, and those that failed; given up, or tried again.

use chat_proto::control::message::{Outbox, OutboxCancel, OutboxRetried, OutboxRetry, Sent};

use super::Context;
use super::message::{row, settled};
use crate::args::{self, OutboxVerb};
use crate::json::{self, members};
use crate::output::{End, Form, Shown};
use crate::words::{self, troubles};

/// Columns of a preview.
const PREVIEW: usize = 60;

/// `outbox`.
pub async fn outbox(ctx: &mut Context, args: args::Outbox) -> Result<(), End> {
    match args.verb {
        None => list(ctx).await,
        Some(OutboxVerb::Cancel { id }) => cancel(ctx, id).await,
        Some(OutboxVerb::Retry { id }) => retry(ctx, id).await,
    }
}

async fn list(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let messages = ctx.call(&Outbox { profile }).await?.items;
    match ctx.out.form {
        Form::Json => {
            ctx.out.object("messages", json::messages(messages.iter().map(json::message)))?;
        }
        Form::Plain => messages.iter().try_for_each(|message| row(ctx, message))?,
        Form::Human => {
            for message in &messages {
                let text = Shown::preview(&message.text, PREVIEW);
                ctx.out.line(&format!("{}  {text}", words::progress(message, &ctx.out.clock)))?;
            }
            if messages.is_empty() {
                ctx.out.note(words::NOTHING_WAITS);
            }
        }
    }
    ctx.listed(messages.is_empty())
}

async fn cancel(ctx: &mut Context, id: String) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let timeout_ms = ctx.timeout_ms();
    let cancelled = ctx.call(&OutboxCancel { profile, id, timeout_ms }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("message", json::message(&cancelled.message))?,
        Form::Plain => row(ctx, &cancelled.message)?,
        Form::Human if cancelled.pending.is_none() => ctx.out.success(&words::cancelled(&cancelled.message))?,
        Form::Human => {}
    }
    match cancelled.pending {
        None => Ok(()),
        Some(pending) => Err(troubles::not_cancelled_yet(&cancelled.message, pending).into()),
    }
}

async fn retry(ctx: &mut Context, id: Option<String>) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let timeout_ms = ctx.timeout_ms();
    let retried = ctx.call(&OutboxRetry { profile, id, timeout_ms }).await?;
    match retried.sent.clone() {
        Some(sent) => again(ctx, &retried, &sent),
        None => all(ctx, &retried),
    }
}

/// One message was named.
fn again(ctx: &Context, retried: &OutboxRetried, sent: &Sent) -> Result<(), End> {
    match ctx.out.form {
        Form::Json => ctx.out.object("message", json::sent(sent).with("replaces", &retried.replaces))?,
        Form::Plain => ctx.out.row(&[&sent.id.0, sent.to.as_deref().unwrap_or_default(), sent.state.word()])?,
        Form::Human => ctx.out.success(&words::sent_again(sent, retried.replaces.as_ref()))?,
    }
    settled(sent)
}

/// All that wait.
fn all(ctx: &Context, retried: &OutboxRetried) -> Result<(), End> {
    let OutboxRetried { went, waiting, .. } = *retried;
    match ctx.out.form {
        Form::Json => ctx.out.object("outbox", members!({ "went": went, "waiting": waiting }))?,
        Form::Plain => ctx.out.row(&[&went.to_string(), &waiting.to_string()])?,
        Form::Human if waiting == 0 || went > 0 => ctx.out.success(&words::went(went))?,
        Form::Human => {}
    }
    match retried.pending {
        None => Ok(()),
        Some(pending) => Err(troubles::still_waiting(waiting, pending).into()),
    }
}

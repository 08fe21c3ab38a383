//! trace: one message over every hop that is known.

use chat_proto::control::trace::{Hop, TraceMessage};

use super::Context;
use crate::args;
use crate::json::{self, word};
use crate::output::{End, Form};
use crate::time::iso;
use crate::words::trace as words;

/// `trace`.
pub async fn trace(ctx: &mut Context, args: args::Trace) -> Result<(), End> {
    let (profile, timeout_ms) = (ctx.profile().await?, ctx.timeout_ms());
    let trace = ctx.call(&TraceMessage { profile, id: args.id, timeout_ms }).await?;
    match ctx.out.form {
        Form::Json => ctx.out.object("trace", json::trace(&trace)),
        Form::Plain => trace.hops.iter().try_for_each(|hop| row(ctx, hop)),
        Form::Human => {
            let message = &trace.message;
            words::timeline(message, &trace.hops, &ctx.out.clock).iter().try_for_each(|line| ctx.out.line(line))?;
            if let Some(waits) = trace.waits_for {
                ctx.out.line(&format!("  {}", words::waits_for(message, waits)))?;
            }
            trace.server.as_ref().map_or(Ok(()), |says| ctx.out.line(&format!("  {}", words::server(says))))
        }
    }
}

/// Columns: step, time, times, last time, code, place.
fn row(ctx: &Context, hop: &Hop) -> Result<(), End> {
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    ctx.out.row(&[
        &word(&hop.step),
        &hop.at_ms.map(iso).unwrap_or_default(),
        &number(hop.times),
        &hop.last_at_ms.map(iso).unwrap_or_default(),
        hop.code.map_or("", |code| code.name()),
        &number(hop.place),
    ])
}

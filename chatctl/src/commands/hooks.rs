//! hooks: programs that chatd runs when something happens; how they do, a run with a sample, and what failed for good.

use std::time::Duration;

use chat_proto::control::hooks::{
    Hook, HooksDrop, HooksLetters, HooksList, HooksReplay, HooksTest, Letter, Occasion, Ran,
};

use super::Context;
use crate::args;
use crate::exit::Exit;
use crate::json::{self, members};
use crate::output::{End, Form, GUTTER, Shown};
use crate::time::iso;
use crate::words::hooks as words;
use crate::words::troubles;

/// A test run is waited for this much longer than the hook itself may take.
const TEST_GRACE: Duration = Duration::from_secs(5);

/// `hooks`.
pub async fn hooks(ctx: &mut Context, args: args::Hooks) -> Result<(), End> {
    match args {
        args::Hooks::List => list(ctx).await,
        args::Hooks::Test { event, name } => test(ctx, event, name).await,
        args::Hooks::Letters => letters(ctx).await,
        args::Hooks::Replay { id, .. } => replay(ctx, id).await,
        args::Hooks::Drop { id, .. } => drop(ctx, id).await,
    }
}

async fn list(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let hooks = ctx.call(&HooksList { profile }).await?;
    let empty = hooks.items.is_empty();
    match ctx.out.form {
        Form::Json => {
            let items = json::items(hooks.items.iter().map(json::hook));
            ctx.out.object("hooks", items.with("config_changed", &hooks.config_changed))?;
        }
        Form::Plain => hooks.items.iter().try_for_each(|hook| row(ctx, hook))?,
        Form::Human => hooks.items.iter().try_for_each(|hook| ctx.out.line(&words::hook(hook, &ctx.out.clock)))?,
    }
    if empty {
        ctx.out.note(words::NONE);
    }
    if hooks.config_changed {
        ctx.out.note(words::CONFIG_CHANGED);
    }
    ctx.listed(empty)
}

/// Columns: name, event, runs, failures, waiting, retrying, dead, last error.
fn row(ctx: &Context, hook: &Hook) -> Result<(), End> {
    let counts = [hook.runs, hook.failures, hook.waiting, hook.retrying, hook.dead].map(|count| count.to_string());
    let [runs, failures, waiting, retrying, dead] = &counts;
    let error = hook.last_error.as_ref().map(words::outcome).unwrap_or_default();
    ctx.out.row(&[&hook.name, hook.on.word(), runs, failures, waiting, retrying, dead, &error])
}

/// Runs hooks with a sample and shows what they did; chatd is given as long as they may take.
async fn test(ctx: &mut Context, on: Occasion, name: Option<String>) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let hooks = ctx.call(&HooksList { profile: profile.clone() }).await?;
    if hooks.config_changed {
        ctx.out.note(words::CONFIG_CHANGED);
    }
    let meant = |hook: &&Hook| hook.on == on && name.as_ref().is_none_or(|name| *name == hook.name);
    let limit: Duration = hooks.items.iter().filter(meant).map(|hook| Duration::from_millis(hook.timeout_ms)).sum();
    ctx.extend_clock(limit + TEST_GRACE);
    let ran = ctx.call(&HooksTest { profile, on, name }).await?.items;
    match ctx.out.form {
        Form::Json => ctx.out.object("hooks_test", json::items(ran.iter().map(json::ran)))?,
        Form::Plain => ran.iter().try_for_each(|ran| {
            ctx.out.row(&[&ran.name, &words::outcome(&ran.outcome), &ran.duration_ms.to_string(), &ran.output])
        })?,
        Form::Human => ran.iter().try_for_each(|ran| show(ctx, ran))?,
    }
    let failed = ran.iter().any(|ran| !ran.outcome.is_success());
    if failed { Err(End::Quiet(Exit::No)) } else { Ok(()) }
}

fn show(ctx: &Context, ran: &Ran) -> Result<(), End> {
    ctx.out.line(&words::ran(ran))?;
    for line in ran.output.lines() {
        ctx.out.line(&format!("{GUTTER}{}", Shown::line(line)))?;
    }
    if ran.cut { ctx.out.line(&format!("{GUTTER}...")) } else { Ok(()) }
}

async fn letters(ctx: &mut Context) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let letters = ctx.call(&HooksLetters { profile }).await?.items;
    match ctx.out.form {
        Form::Json => ctx.out.object("hook_letters", json::items(letters.iter().map(json::letter)))?,
        Form::Plain => letters.iter().try_for_each(|letter| letter_row(ctx, letter))?,
        Form::Human => {
            letters.iter().try_for_each(|letter| ctx.out.line(&words::letter(letter, &ctx.out.clock)))?;
        }
    }
    if letters.is_empty() {
        ctx.out.note(words::NO_LETTERS);
    }
    ctx.listed(letters.is_empty())
}

/// Columns: number, hook, message, from, time, tries, outcome.
fn letter_row(ctx: &Context, letter: &Letter) -> Result<(), End> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    ctx.out.row(&[
        &letter.id.to_string(),
        &letter.hook,
        &text(&letter.message),
        &text(&letter.from),
        &iso(letter.at_ms),
        &letter.tries.to_string(),
        &words::outcome(&letter.outcome),
    ])
}

async fn replay(ctx: &mut Context, id: Option<u64>) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let count = ctx.call(&HooksReplay { profile, id }).await?.count;
    match ctx.out.form {
        Form::Json => ctx.out.object("hook_letters", members!({ "replayed": count }))?,
        Form::Plain => ctx.out.row(&["replayed", &count.to_string()])?,
        Form::Human => ctx.out.success(&words::replayed(count))?,
    }
    ctx.listed(count == 0)
}

async fn drop(ctx: &mut Context, id: Option<u64>) -> Result<(), End> {
    if id.is_none() && !ctx.prompt.confirm(crate::words::ask::DROP_LETTERS, "--yes").await? {
        return Err(troubles::declined().into());
    }
    ctx.restart_clock();
    let profile = ctx.profile().await?;
    let count = ctx.call(&HooksDrop { profile, id }).await?.count;
    match ctx.out.form {
        Form::Json => ctx.out.object("hook_letters", members!({ "dropped": count }))?,
        Form::Plain => ctx.out.row(&["dropped", &count.to_string()])?,
        Form::Human => ctx.out.success(&words::dropped(count))?,
    }
    ctx.listed(count == 0)
}

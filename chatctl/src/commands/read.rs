//! inbox, read: what others wrote.

use chat_proto::control::message::{self as control, Conversation, Message, Page};

use super::Context;
use super::message::row;
use crate::args;
use crate::json;
use crate::output::{End, Form, Shown};
use crate::time::{iso, parse_moment};
use crate::words::{self, troubles};

/// Messages that `read` shows when nothing says how many.
const NEWEST: u32 = 20;
/// Indices in one `mark_read`: a line of the control socket holds many times as much.
const MARKED_AT_ONCE: usize = 4096;
/// Columns of a preview in `inbox`.
const PREVIEW: usize = 60;

/// `inbox`: conversations, newest first.
pub async fn inbox(ctx: &mut Context, args: args::Inbox) -> Result<(), End> {
    let profile = ctx.profile().await?;
    let request = control::Inbox { profile, unread: args.unread, limit: args.n };
    let conversations = ctx.call(&request).await?.items;
    match ctx.out.form {
        Form::Json => {
            ctx.out.object("conversations", json::items(conversations.iter().map(json::conversation)))?;
        }
        Form::Plain => {
            for one in &conversations {
                ctx.out.row(&[&one.user, &one.unread.to_string(), &iso(one.last.at_ms), &one.last.text])?;
            }
        }
        Form::Human => {
            table(ctx, &conversations)?;
            if conversations.is_empty() {
                ctx.out.note(words::NO_MESSAGES);
            }
        }
    }
    ctx.listed(conversations.is_empty())
}

fn table(ctx: &Context, conversations: &[Conversation]) -> Result<(), End> {
    let names: Vec<_> = conversations.iter().map(|one| Shown::name(&one.user)).collect();
    let width = names.iter().map(Shown::width).max().unwrap_or_default();
    for (one, name) in conversations.iter().zip(&names) {
        let pad = " ".repeat(width - name.width());
        let unread = words::unread_column(one.unread);
        let at = ctx.out.clock.show(one.last.at_ms);
        let text = Shown::preview(&one.last.text, PREVIEW);
        let line = format!("{name}{pad}  {unread}  {at}  {text}");
        ctx.out.line(&if one.unread > 0 { ctx.out.bold(&line) } else { line })?;
    }
    Ok(())
}

/// `read`: prints, and only then marks what was printed.
pub async fn read(ctx: &mut Context, args: args::Read) -> Result<(), End> {
    let since_ms = args.since.as_deref().map(|text| moment(ctx, text, "help read")).transpose()?;
    let limit = args.n.or((!args.unread && since_ms.is_none()).then_some(NEWEST));
    let profile = ctx.profile().await?;
    let mut request = control::Read {
        profile,
        user: args.user,
        limit,
        unread: args.unread,
        since_ms,
        before: args.before,
        next: None,
    };
    let mut collected = Vec::new();
    let mut shown = false;
    loop {
        let page: Page = ctx.call(&request).await?;
        shown |= !page.items.is_empty();
        request.next = page.next.filter(|_| !page.items.is_empty());
        if ctx.out.form == Form::Json {
            collected.extend(page.items);
        } else {
            print(ctx, &page.items)?;
            mark(ctx, &request.profile, &page.items, args.peek).await?;
        }
        if request.next.is_none() {
            break;
        }
    }
    if ctx.out.form == Form::Json {
        ctx.out.object("messages", json::messages(collected.iter().map(json::message)))?;
        mark(ctx, &request.profile, &collected, args.peek).await?;
    } else if !shown {
        ctx.out.note(words::NO_MESSAGES);
    }
    ctx.listed(!shown)
}

/// `--since` as typed; `help` says where it is explained.
pub fn moment(ctx: &Context, text: &str, help: &str) -> Result<i64, End> {
    let clock = &ctx.out.clock;
    parse_moment(text, clock.now, &clock.zone).map_err(|wrong| troubles::usage(wrong, help).into())
}

fn print(ctx: &Context, messages: &[Message]) -> Result<(), End> {
    match ctx.out.form {
        Form::Plain => messages.iter().try_for_each(|message| row(ctx, message)),
        _ => messages.iter().try_for_each(|message| ctx.out.line(&line(ctx, message))),
    }
}

/// A message as people read it; also what `watch` prints.
pub fn line(ctx: &Context, message: &Message) -> String {
    let at = ctx.out.clock.show(message.at_ms);
    let text = Shown::message(&message.text);
    let mut line = format!("{} {}: {text}", ctx.out.dim(&at), ctx.out.bold(&words::speaker(message)));
    if let Some(note) = words::state_note(message) {
        line += &format!("  [{note}]");
    }
    if ctx.out.verbose {
        line += &ctx.out.dim(&format!("  ({})", Shown::line(message.id.short())));
    }
    line
}

/// Marks others' messages as read; what is not in the history yet has no place to mark.
async fn mark(ctx: &mut Context, profile: &str, messages: &[Message], peek: bool) -> Result<(), End> {
    let others = messages.iter().filter(|message| !message.own && message.index > 0);
    let unread = others.filter(|message| message.state != control::State::Read);
    let indices: Vec<u64> = unread.map(|message| message.index).collect();
    if peek {
        return Ok(());
    }
    for some in indices.chunks(MARKED_AT_ONCE) {
        ctx.restart_clock();
        ctx.call(&control::MarkRead { profile: profile.to_owned(), indices: some.to_vec() }).await?;
    }
    Ok(())
}

//! search, export: the whole history, looked through or written out; nothing is marked.

use chat_proto::control::message::{self as control, Hit, Message};

use super::Context;
use super::message::{self, row};
use super::read::{line, moment};
use crate::args::{self, ExportFormat};
use crate::json::{self, Json};
use crate::output::{End, Form, Shown};
use crate::time::{Style, parse_moment};
use crate::words;

/// `search`: what has the words, each page as it comes.
pub async fn search(ctx: &mut Context, args: args::Search) -> Result<(), End> {
    let since_ms = args.since.as_deref().map(|text| moment(ctx, text, "help search")).transpose()?;
    let mut request = control::Search {
        profile: ctx.profile().await?,
        text: args.text.join(" "),
        with: args.with,
        from: args.from,
        since_ms,
        regex: args.regex,
        context: args.context,
        next: None,
    };
    let mut printer = Printer { context: args.context > 0, group: None, groups: 0, found: Vec::new() };
    loop {
        ctx.restart_clock();
        let page = ctx.call(&request).await?;
        page.items.iter().try_for_each(|hit| printer.print(ctx, hit))?;
        request.next = page.next;
        if request.next.is_none() {
            break;
        }
    }
    let empty = printer.group.is_none();
    match ctx.out.form {
        Form::Json => ctx.out.object("messages", json::messages(printer.found))?,
        _ if empty => ctx.out.note(words::NOTHING_FOUND),
        _ => {}
    }
    ctx.listed(empty)
}

/// Prints hits, groups apart.
struct Printer {
    context: bool,
    /// The group of the last one; none: nothing was found yet.
    group: Option<u64>,
    groups: u64,
    /// JSON is one object: collected.
    found: Vec<Json>,
}

impl Printer {
    fn print(&mut self, ctx: &Context, hit: &Hit) -> Result<(), End> {
        let before = self.group.replace(hit.group);
        let new = before != self.group;
        self.groups += u64::from(new);
        match ctx.out.form {
            Form::Json => {
                let found = json::message(&hit.message).with("found", &hit.found).with("group", &self.groups);
                self.found.push(found);
                Ok(())
            }
            Form::Plain => columns(ctx, hit),
            Form::Human => {
                if self.context && new && before.is_some() {
                    ctx.out.line("--")?;
                }
                let mark = if !self.context {
                    ""
                } else if hit.found {
                    "* "
                } else {
                    "  "
                };
                let id = Shown::line(hit.message.id.short());
                ctx.out.line(&format!("{mark}{id}  {}", line(ctx, &hit.message)))
            }
        }
    }
}

/// A hit as columns: `found` or `near`, then those of a message.
fn columns(ctx: &Context, hit: &Hit) -> Result<(), End> {
    let mark = if hit.found { "found" } else { "near" };
    let message = message::columns(&hit.message);
    ctx.out.row(&std::iter::once(mark).chain(message.iter().map(AsRef::as_ref)).collect::<Vec<_>>())
}

/// `export`: everything, a line as soon as it is there.
pub async fn export(ctx: &mut Context, args: args::Export) -> Result<(), End> {
    let clock = &ctx.out.clock;
    let since = args.since.as_deref().map(|text| (parse_moment(text, clock.now, &clock.zone), text));
    let (since_ms, after) = match since {
        None => (None, None),
        Some((Ok(moment), _)) => (Some(moment), None),
        // What is no time is an id; chatd says when it is none.
        Some((Err(_), text)) => (None, Some(text.to_owned())),
    };
    if ctx.out.clock.style == Style::Auto {
        // An export is read in another year too.
        ctx.out.clock.style = Style::Iso;
    }
    let form = match (ctx.out.form, args.format) {
        (Form::Plain, _) => Form::Plain,
        (Form::Human, ExportFormat::Text) => Form::Human,
        _ => Form::Json,
    };
    let mut request = control::Export { profile: ctx.profile().await?, user: args.user, since_ms, after, next: None };
    let mut empty = true;
    loop {
        ctx.restart_clock();
        let page = ctx.call(&request).await?;
        empty &= page.items.is_empty();
        page.items.iter().try_for_each(|message| write(ctx, form, message))?;
        request.next = page.next;
        if request.next.is_none() {
            break;
        }
    }
    ctx.listed(empty)
}

fn write(ctx: &Context, form: Form, message: &Message) -> Result<(), End> {
    match form {
        Form::Json => ctx.out.object("message", json::message(message)),
        Form::Plain => row(ctx, message),
        Form::Human => ctx.out.line(&line(ctx, message)),
    }
}

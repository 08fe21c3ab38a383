//! help, man, schema, completions: chatctl about itself. No chatd is needed.

use chat_manual::{pages, shells};

use super::Context;
use crate::args;
use crate::complete::VARIABLE;
use crate::output::End;
use crate::words::{self, topics, troubles};
use crate::{manual, schema};

/// `help`: of a command, of a topic, or of everything.
pub fn help(ctx: &Context, args: &args::Help) -> Result<(), End> {
    if let [topic] = args.of.as_slice()
        && let Some(text) = topics::topic(topic)
    {
        return ctx.out.line(&text);
    }
    let Some(mut text) = manual::commands().help(&args.of) else {
        return Err(troubles::no_help(&args.of.join(" ")).into());
    };
    if args.of.is_empty() {
        text += &format!("\n{}\n", topics::list());
    }
    ctx.out.write(&text)
}

/// `man`: shown by the system's reader on a terminal, else as it is for `man -l -`.
pub fn man(ctx: &Context, args: &args::Man) -> Result<(), End> {
    let all = manual::all().map_err(|error| troubles::cannot_make(&error))?;
    if let Some(dir) = &args.dir {
        for page in &all {
            page.write(dir).map_err(|error| troubles::cannot_write(dir, &error))?;
        }
        return ctx.out.success(&words::pages_written(all.len(), dir));
    }
    match pages::named(&all, &args.page) {
        None => Err(troubles::no_page(&args.page.join(" ")).into()),
        Some(page) if page.show() => Ok(()),
        Some(page) => ctx.out.write(&page.roff),
    }
}

/// `schema`.
pub fn schema(ctx: &Context, args: &args::Schema) -> Result<(), End> {
    match schema::document(args.name.as_deref()) {
        Some(document) => ctx.out.line(&document),
        None => Err(troubles::no_schema(args.name.as_deref().unwrap_or_default()).into()),
    }
}

/// `completions`.
pub fn completions(ctx: &Context, args: &args::Completions) -> Result<(), End> {
    let script = shells::script(args.shell, "chatctl", VARIABLE).map_err(|error| troubles::cannot_make(&error))?;
    ctx.out.write(&script)
}

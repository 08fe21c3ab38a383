//! help, man, schema, completions: chatctl about itself. No chatd is needed.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use clap_complete::env::Shells;

use super::Context;
use crate::args;
use crate::complete::VARIABLE;
use crate::output::{End, Shown};
use crate::words::{self, topics, troubles};
use crate::{manual, schema};

/// `help`: of a command, of a topic, or of everything.
pub fn help(ctx: &Context, args: &args::Help) -> Result<(), End> {
    if let [topic] = args.of.as_slice()
        && let Some(text) = topics::topic(topic)
    {
        return ctx.out.line(&text);
    }
    let mut root = args::command();
    root.build();
    let words: Vec<&str> = args.of.iter().map(String::as_str).collect();
    let Some(command) = manual::find(&root, &words) else {
        return Err(troubles::no_help(&args.of.join(" ")).into());
    };
    let mut text = command.clone().render_help().to_string();
    if words.is_empty() {
        text += &format!("\n{}\n", topics::list());
    }
    ctx.out.write(&text)
}

/// `man`: shown by the system's reader on a terminal, else as it is for `man -l -`.
pub fn man(ctx: &Context, args: &args::Man) -> Result<(), End> {
    if let Some(dir) = &args.dir {
        let count = manual::write(dir).map_err(|error| troubles::cannot_write(dir, &error))?;
        return ctx.out.success(&words::pages_written(count, dir));
    }
    let page = manual::page(&args.page).map_err(|error| troubles::cannot_make(&error))?;
    let Some(page) = page else {
        return Err(troubles::no_page(&args.page.join(" ")).into());
    };
    if std::io::stdout().is_terminal() && reader(&page.roff) {
        return Ok(());
    }
    ctx.out.write(&String::from_utf8_lossy(&page.roff))
}

/// Hands a page to `man`; false where there is none.
fn reader(roff: &[u8]) -> bool {
    let child = Command::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return false };
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(roff));
    // Who leaves the pager early closes the pipe: the page was shown all the same.
    drop(written);
    child.wait().is_ok_and(|status| status.success())
}

/// `schema`.
pub fn schema(ctx: &Context, args: &args::Schema) -> Result<(), End> {
    match schema::document(args.name.as_deref()) {
        Some(document) => ctx.out.line(&document),
        None => Err(troubles::no_schema(args.name.as_deref().unwrap_or_default()).into()),
    }
}

/// `completions`: a stub that calls back for every Tab, so that it knows names and is never older than the program.
pub fn completions(ctx: &Context, args: &args::Completions) -> Result<(), End> {
    let shell = match args.shell {
        args::Shell::Bash => "bash",
        args::Shell::Zsh => "zsh",
        args::Shell::Fish => "fish",
        args::Shell::Elvish => "elvish",
        args::Shell::Powershell => "powershell",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let made = shells
        .completer(shell)
        .map(|completer| completer.write_registration(VARIABLE, "chatctl", "chatctl", "chatctl", &mut script));
    match made {
        Some(Ok(())) => ctx.out.write(&String::from_utf8_lossy(&script)),
        Some(Err(error)) => Err(troubles::cannot_make(&error).into()),
        None => Err(troubles::no_page(&Shown::line(shell).to_string()).into()),
    }
}

//! man, schema, completions: chat-server about itself.

use std::process::ExitCode;

use anyhow::Context as _;
use chat_manual::format::json_schema;
use chat_manual::pages::{self, Manual, Page};
use chat_manual::shells;
use chat_proto::display;
use chat_server::config::{Layout, template};
use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::say;
use super::schema::OBJECTS;
use crate::args::{Args, Completions, Man, Schema};

/// The variable by which a shell's stub asks.
pub const VARIABLE: &str = "CHAT_SERVER_COMPLETE";
/// The schema document's name.
const ID: &str = "urn:chat:format:1:chat-server";

fn all() -> anyhow::Result<Vec<Page>> {
    let also = "chat-server.toml(5), chat-server-json(7), chat-exit-codes(7)";
    let mut all = Manual::new(Args::command(), "8", also).pages()?;
    let keys = template::text(&Layout::new(None, None), "", None);
    let about = "the configuration of chat-server";
    let description = "TOML. The command init writes this file; check config says what is wrong with one.";
    all.push(pages::file("chat-server.toml", about, description, &keys));
    all.push(pages::objects("chat-server-json", "the objects of chat-server --json, format 1", OBJECTS));
    Ok(all)
}

/// `man`: shown by the system's reader on a terminal, else as it is for `man -l -`.
pub fn man(wanted: &Man) -> anyhow::Result<ExitCode> {
    let all = all()?;
    if let Some(dir) = &wanted.into {
        for page in &all {
            page.write(dir).with_context(|| dir.display().to_string())?;
        }
        return say(&format!("{} pages of the manual written under {}", all.len(), dir.display()));
    }
    match pages::named(&all, &wanted.page) {
        None => unknown("the manual has no page", &wanted.page.join(" ")),
        Some(page) if page.show() => Ok(ExitCode::SUCCESS),
        Some(page) => say(page.roff.trim_end()),
    }
}

/// `schema`.
pub fn schema(wanted: &Schema) -> anyhow::Result<ExitCode> {
    let schema = match &wanted.name {
        None => json_schema(ID, OBJECTS),
        Some(name) => match OBJECTS.iter().find(|object| object.name == name) {
            Some(object) => object.schema(),
            None => unknown("--json prints no object of type", name),
        },
    };
    say(&serde_json::to_string_pretty(&schema)?)
}

/// Wrong usage, said as clap says it.
fn unknown(what: &str, name: &str) -> ! {
    Args::command().error(ErrorKind::InvalidValue, format!("{what} {}", display::line(name))).exit()
}

/// `completions`.
pub fn completions(wanted: &Completions) -> anyhow::Result<ExitCode> {
    say(shells::script(wanted.shell, "chat-server", VARIABLE)?.trim_end())
}

//! `sessions` and `announce`: those who are here now.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::process::ExitCode;

use anyhow::Context as _;
use chat_proto::display;
use chat_proto::limits::TEXT_MAX;
use chat_server::admin::session::{Announce, Row, SessionKick, SessionList, Whose};
use chat_server::config::Config;
use serde::Serialize;

use super::{List, ask, local, rfc3339, say, say_json, span};
use crate::args::{Args, SessionVerb};

/// Does one of them.
pub fn act(args: &Args, config: &Config, verb: Option<&SessionVerb>) -> anyhow::Result<ExitCode> {
    match verb {
        None | Some(SessionVerb::List) => list(args, config),
        Some(SessionVerb::Kick { who, user }) => kick(args, config, who, *user),
    }
}

fn list(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let rows = ask(config, SessionList {})?;
    if args.json {
        return say_json(&List::of("sessions", rows.iter().map(Item::from)));
    }
    let mut out = format!("{:>6}  {:<20} {:<24} {:<17} {:>7}", "ID", "USER", "ADDRESS", "SINCE", "IDLE");
    for row in &rows {
        let (user, since, idle) = (display::name(&row.user), local(row.since_ms), span(row.idle_ms));
        // Writing to a string does not fail.
        let _ = write!(out, "\n{:>6}  {user:<20} {:<24} {since:<17} {idle:>7}", row.id, row.address);
    }
    say(&out)
}

fn kick(args: &Args, config: &Config, who: &str, user: bool) -> anyhow::Result<ExitCode> {
    let whose = if user { Whose::User(who.to_owned()) } else { Whose::Typed(who.to_owned()) };
    let rows = ask(config, SessionKick { whose })?;
    if args.json {
        return say_json(&List::of("kicked", rows.iter().map(Item::from)));
    }
    let ended = |row: &Row| format!("Ended session {} of {} ({}).", row.id, display::name(&row.user), row.address);
    say(&rows.iter().map(ended).collect::<Vec<_>>().join("\n"))
}

/// A session as it is printed, in this order.
#[derive(Serialize)]
struct Item<'a> {
    id: String,
    user: &'a str,
    address: &'a str,
    since: String,
    idle_ms: u64,
}

impl<'a> From<&'a Row> for Item<'a> {
    fn from(row: &'a Row) -> Item<'a> {
        let (user, address) = (row.user.as_str(), row.address.as_str());
        Item { id: row.id.to_string(), user, address, since: rfc3339(row.since_ms), idle_ms: row.idle_ms }
    }
}

/// Says something to everybody.
pub fn announce(args: &Args, config: &Config, words: &[String]) -> anyhow::Result<ExitCode> {
    let text = if words.is_empty() { from_stdin()? } else { words.join(" ") };
    let announced = ask(config, Announce { text })?;
    if args.json {
        return say_json(&Sent { v: 1, r#type: "announcement", sent: announced.sent });
    }
    say(&match announced.sent {
        0 => "Nobody is online.".to_owned(),
        1 => "Sent to 1 user online.".to_owned(),
        sent => format!("Sent to {sent} users online."),
    })
}

#[derive(Serialize)]
struct Sent {
    v: u32,
    r#type: &'static str,
    sent: u32,
}

/// One byte more than there may be: the server says that it is too long.
fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().take(TEXT_MAX as u64 + 1).read_to_string(&mut text).context("cannot read the text from stdin")?;
    Ok(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
}

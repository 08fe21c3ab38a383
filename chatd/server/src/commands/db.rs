//! `db`: the database.

use std::process::ExitCode;

use anyhow::Context as _;
use chat_process::exit;
use chat_server::admin::db::{DbCheck, DbInfo};
use chat_server::backup;
use chat_server::clock::Clock;
use chat_server::config::Config;
use chat_server::database;
use serde::Serialize;

use super::{ask, json, number, say, size};
use crate::args::{Args, DbVerb};

/// Does one of them.
pub fn act(args: &Args, config: &Config, verb: &DbVerb, program: &str) -> anyhow::Result<ExitCode> {
    match verb {
        DbVerb::Info => info(args, config),
        DbVerb::Check => check(args, config, program),
        DbVerb::Upgrade => upgrade(args, config),
        DbVerb::Vacuum => vacuum(args, config),
    }
}

fn info(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let found = ask(config, DbInfo {})?;
    if args.json {
        return say(&json("database", &found)?);
    }
    let rows = [
        ("accounts", number(found.accounts)),
        ("devices", number(found.devices)),
        ("queued", number(found.queued)),
        ("log rows", number(found.log)),
        ("size", size(found.bytes)),
        ("schema", found.schema.to_string()),
        ("starts", number(found.starts)),
    ];
    say(&rows.map(|(name, value)| format!("{name:<9} {value}")).join("\n"))
}

/// Faults are the result, so they go to stdout; 14 says that there are some.
fn check(args: &Args, config: &Config, program: &str) -> anyhow::Result<ExitCode> {
    const FAULTS: u8 = 14;
    let faults = ask(config, DbCheck {})?;
    if args.json {
        say(&json("database_check", &Checked { ok: faults.is_empty(), faults: &faults })?)?;
    } else if faults.is_empty() {
        say("db ok")?;
    } else {
        let lines: Vec<String> = faults.iter().map(|fault| format!("ERROR db: {fault}")).collect();
        say(&format!("{}\nnext: {program} restore latest", lines.join("\n")))?;
    }
    Ok(ExitCode::from(if faults.is_empty() { exit::OK } else { FAULTS }))
}

fn upgrade(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let now_ms = Clock::start().wall_ms();
    let done = database::upgrade(config, |copy| backup::create(config, &config.backups, now_ms, copy))?;
    let saved = done.backup.as_ref().map(|made| made.path.display().to_string());
    if args.json {
        return say(&json("database_upgrade", &Upgraded { from: done.from, to: done.to, backup: saved })?);
    }
    match saved {
        None => say(&format!("schema {} is the newest that this chat-server knows; nothing to do", done.to)),
        Some(saved) => say(&format!("schema {} to {}; the database as it was is in {saved}", done.from, done.to)),
    }
}

fn vacuum(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let (before, after) = database::vacuum(config).context("the database was not rewritten")?;
    if args.json {
        return say(&json("database_vacuum", &Vacuumed { before, after })?);
    }
    say(&format!("{} before, {} now", size(before), size(after)))
}

#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    faults: &'a [String],
}

#[derive(Serialize)]
struct Upgraded {
    from: i64,
    to: i64,
    backup: Option<String>,
}

#[derive(Serialize)]
struct Vacuumed {
    before: u64,
    after: u64,
}

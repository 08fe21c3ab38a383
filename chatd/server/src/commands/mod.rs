//! The operator's verbs as they are typed: from arguments to calls, from replies to what is printed. One file a noun. Called by
//! `main`.

pub mod invite;
pub mod manual;
pub mod schema;
pub mod user;

use std::io::{self, Write as _};
use std::process::ExitCode;

use chat_process::runtime::{self, Threads};
use chat_server::admin::{self, Call};
use chat_server::config::Config;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Asks the running server, or the store of a stopped one.
pub fn ask<C: Call>(config: &Config, call: C) -> anyhow::Result<C::Reply> {
    Ok(runtime::build(Threads::One, "chat-server")?.block_on(admin::ask(config, call))?)
}

/// A result, on stdout. Nobody who listens any more is no error.
pub fn say(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A time that no clock shows becomes the first one.
fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A time for scripts: RFC 3339, UTC, milliseconds.
pub fn rfc3339(ms: i64) -> String {
    format!("{:.3}", time(ms))
}

/// A time for people, on this host's clock.
pub fn local(ms: i64) -> String {
    time(ms).to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

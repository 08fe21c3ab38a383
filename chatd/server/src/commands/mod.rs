//! The operator's verbs as they are typed: from arguments to calls, from replies to what is printed. One file a noun. Called by
//! `main`.

pub mod export;
pub mod invite;
pub mod manual;
pub mod schema;
pub mod session;
pub mod user;

use std::io::{self, Write as _};
use std::process::ExitCode;

use chat_process::runtime::{self, Threads};
use chat_server::admin::{self, Call};
use chat_server::config::Config;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// Asks the running server, or the store of a stopped one.
pub fn ask<C: Call>(config: &Config, call: C) -> anyhow::Result<C::Reply> {
    run(async { Ok(admin::ask(config, call).await?) })
}

/// Runs a verb that asks more than once.
pub fn run<T>(verb: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime::build(Threads::One, "chat-server")?.block_on(verb)
}

/// A result, on stdout. Nobody who listens any more is no error.
pub fn say(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A result for scripts: one object.
pub fn say_json(object: &impl Serialize) -> anyhow::Result<ExitCode> {
    say(&serde_json::to_string(object)?)
}

/// A list as it is printed.
#[derive(Serialize)]
pub struct List<T> {
    v: u32,
    r#type: &'static str,
    items: Vec<T>,
}

impl<T> List<T> {
    /// Of items of this type.
    pub fn of(r#type: &'static str, items: impl IntoIterator<Item = T>) -> List<T> {
        List { v: 1, r#type, items: items.into_iter().collect() }
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

/// A time span for people: the largest unit that fits.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time for people, on this host's clock.
pub fn local(ms: i64) -> String {
    time(ms).to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

//! The operator's verbs as they are typed: from arguments to calls, from replies to what is printed. One file a noun. Called by
//! `main`.

pub mod backup;
pub mod cert;
pub mod check;
pub mod config;
pub mod daemon;
pub mod db;
pub mod export;
pub mod import;
pub mod invite;
pub mod manual;
pub mod prompt;
pub mod schema;
pub mod session;
pub mod user;

use std::io::{self, Write as _};
use std::process::ExitCode;

use chat_process::runtime::{self, Threads};
use chat_server::admin::{self, Call};
use chat_server::advice::Trouble;
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
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Trouble::new(14, "output", format!("cannot write the result: {error}")).into())
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Words to people, on stderr; where it is closed there is nobody left to tell.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
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

/// An object for scripts.
pub fn json<T: Serialize>(kind: &'static str, rest: &T) -> serde_json::Result<String> {
    serde_json::to_string(&Object { v: 1, r#type: kind, rest })
}

/// Every object begins so.
#[derive(Serialize)]
struct Object<'a, T> {
    v: u32,
    r#type: &'static str,
    #[serde(flatten)]
    rest: &'a T,
}

/// A number in groups of three digits.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes in the unit that fits.
pub fn size(bytes: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let value = bytes as f64 / unit as f64;
            if value < 10.0 { format!("{value:.1} {name}") } else { format!("{value:.0} {name}") }
        }
        None => format!("{bytes} B"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1204, 1_234_567].map(number), ["0", "999", "1 204", "1 234 567"]);
        assert_eq!([17, 8_600_000, 44 << 30].map(size), ["17 B", "8.2 MiB", "44 GiB"]);
    }
}

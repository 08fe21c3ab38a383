//! The running server: status, top, reload, stop, log level.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use chat_proto::display;
use chat_server::admin::daemon::{GetStatus, GetTop, LogLevel, Reload, Stop};
use chat_server::admin::{AskError, Line};
use chat_server::config::Config;
use chat_server::listen::{self, Door};
use chat_server::running::{Status, Top};
use serde::Serialize;

use super::{ask, json, number, run, say, size, span};
use crate::args::{Args, LogVerb, StatusArgs, StopArgs};

/// How often a watched status is asked for.
const EVERY: Duration = Duration::from_secs(2);
/// How long `top` looks before it shows something.
const LOOK_MS: u64 = 1000;
/// Accounts that `top` shows.
const SHOWN: usize = 20;
/// A certificate that ends sooner is spoken of.
const CERTIFICATE_DAYS: i64 = 21;
/// Beyond the grace a server needs this long for its store.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// `status`.
#[expect(clippy::disallowed_methods, reason = "--watch is a look every so often")]
pub fn status(args: &Args, config: &Config, wanted: &StatusArgs, program: &str) -> anyhow::Result<ExitCode> {
    loop {
        let status = ask(config, GetStatus {})?;
        if args.json {
            say(&json("status", &status)?)?;
        } else {
            say(&text(&status, program))?;
        }
        if !wanted.watch {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(EVERY);
    }
}

fn text(status: &Status, program: &str) -> String {
    let backup = match status.backup_age_s {
        None => format!("none yet ({program} backup create)"),
        Some(age) => format!("{} ago", span(u64::try_from(age).unwrap_or(0) * 1000)),
    };
    let mut out = format!(
        "up {}, {} online, {} queued, certificate {} d, backup: {backup}",
        span(status.up_ms),
        number(status.online),
        number(status.queued),
        status.certificate_days
    );
    if let Some(relay) = &status.relay {
        let refused = if relay.refused > 0 { format!(", {} refused", number(relay.refused)) } else { String::new() };
        out.push_str(&format!(
            ", relay: {} connections, {} carried{refused}",
            number(relay.connections),
            size(relay.bytes)
        ));
    }
    for (problem, next) in problems(status) {
        out.push_str(&format!("\nWARN {problem}\n  next: {program} {next}"));
    }
    out
}

/// What needs the operator, and the verb that helps.
fn problems(status: &Status) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    if status.full {
        found.push((format!("{} free: no message is accepted", size(status.free)), "check storage"));
    }
    if let Some(trouble) = &status.certificate_trouble {
        found.push((format!("certificate or key changed and cannot be used: {}", display::line(trouble)), "check tls"));
    }
    if status.certificate_days < CERTIFICATE_DAYS {
        found.push((format!("the certificate ends in {} d", status.certificate_days), "cert show"));
    }
    if status.backup_due && status.backup_age_s.is_some() {
        found.push(("the last backup is too old".into(), "backup create"));
    }
    if let Some(lack) = status.sandbox.lacks() {
        found.push((lack.into(), "check config"));
    }
    if !status.restart.is_empty() {
        found.push((format!("these keys count from the next start: {}", status.restart.join(", ")), "config diff"));
    }
    if !status.unheeded.is_empty() {
        found.push((unheeded(&status.unheeded), "check net"));
    }
    found
}

fn unheeded(keys: &[String]) -> String {
    format!("these do not count, because the service manager listens elsewhere: {}", keys.join(", "))
}

/// `top`: on a terminal again and again, else once.
pub fn top(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let again = io::stdout().is_terminal() && !args.json;
    loop {
        let top = ask(config, GetTop { over_ms: LOOK_MS, count: SHOWN })?;
        if args.json {
            return say(&json("top", &top)?);
        }
        if again {
            // From the upper left corner, and nothing of the last look below.
            print!("\u{1b}[H\u{1b}[2J");
        }
        say(&table(&top))?;
        if !again {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn table(top: &Top) -> String {
    let rate = |count: u64| format!("{:.1}", count as f64 * 1000.0 / top.over_ms.max(1) as f64);
    let mut out = format!(
        "{} sessions, {} accepted/s, {} delivered/s\n{:<32} {:>8} {:>10} {:>10}",
        number(top.sessions),
        rate(top.accepted),
        rate(top.delivered),
        "NAME",
        "SESSIONS",
        "SENT/S",
        "RECEIVED/S"
    );
    for busy in &top.items {
        let name = display::name(&busy.user);
        out.push_str(&format!("\n{name:<32} {:>8} {:>10} {:>10}", busy.sessions, rate(busy.sent), rate(busy.received)));
    }
    out
}

/// `reload`: says what changed; fails, and with it the unit's reload, on any mistake.
pub fn reload(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let done = ask(config, Reload {})?;
    if args.json {
        return say(&json("reload", &done)?);
    }
    let mut out = if done.changed.is_empty() {
        "reloaded; no key changed".to_owned()
    } else {
        format!("reloaded: {}", done.changed.join(", "))
    };
    if !done.restart.is_empty() {
        out.push_str(&format!("\nthese need a restart: {}", done.restart.join(", ")));
    }
    if !done.unheeded.is_empty() {
        out.push_str(&format!("\n{} (chat-server check net)", unheeded(&done.unheeded)));
    }
    say(&out)
}

/// `stop`: returns when the server is gone.
pub fn stop(args: &Args, config: &Config, wanted: &StopArgs) -> anyhow::Result<ExitCode> {
    let grace = wanted.grace.0;
    // Asked before it goes: it takes what it wrote along.
    let is_held = listen::is_held(config);
    run(async {
        let Some(mut line) = Line::open(&config.admin_socket).await? else {
            return Err(AskError::NotRunning(config.admin_socket.clone()).into());
        };
        line.ask(&Stop { grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX) }).await?;
        line.ended(grace + LAST_WORDS).await?;
        Ok(())
    })?;
    match (args.json, is_held) {
        (true, _) => say(&json("stopped", &Done {})?),
        (false, false) => say("stopped"),
        (false, true) => say(&format!(
            "stopped; the next connection has it started again, unless: systemctl stop {}",
            Door::Listen.unit()
        )),
    }
}

/// `log level`.
pub fn log(args: &Args, config: &Config, verb: &LogVerb) -> anyhow::Result<ExitCode> {
    let LogVerb::Level { level, time } = verb;
    let time = time.map(|time| time.0);
    ask(config, LogLevel { level: *level, for_s: time.map(|time| time.as_secs()) })?;
    if args.json {
        return say(&json("log_level", &Level { level: *level, for_s: time.map(|time| time.as_secs()) })?);
    }
    let name = format!("{level:?}").to_lowercase();
    say(&match time {
        Some(time) => format!("log level {name} for {}", span(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
        None => format!("log level {name} until it is changed, or the configuration is read anew"),
    })
}

#[derive(Serialize)]
struct Done {}

#[derive(Serialize)]
struct Level {
    level: chat_server::config::Level,
    for_s: Option<u64>,
}

#[cfg(test)]
mod tests {
    use chat_server::private::relay::Carried;
    use chat_server::sandbox::Sandbox;

    use super::*;

    fn status() -> Status {
        Status {
            version: "1".into(),
            pid: 7,
            up_ms: 3_000,
            online: 0,
            sessions: 0,
            strangers: 0,
            accounts: 0,
            queued: 0,
            accepted: 0,
            delivered: 0,
            certificate_days: 89,
            certificate_trouble: None,
            backup_age_s: None,
            backup_due: true,
            free: 1 << 30,
            full: false,
            relay: None,
            log: chat_server::config::Level::Info,
            restart: vec![],
            unheeded: vec![],
            sandbox: Sandbox { wanted: true, landlock: Some(7), seccomp: true },
        }
    }

    #[test]
    fn a_fresh_server_is_one_line() {
        assert_eq!(
            text(&status(), "chat-server"),
            "up 3 s, 0 online, 0 queued, certificate 89 d, backup: none yet (chat-server backup create)"
        );
    }

    #[test]
    fn a_relay_is_spoken_of_where_there_is_one() {
        let relay = Some(Carried { connections: 2, bytes: 3 << 20, refused: 1 });
        let text = text(&Status { relay, ..status() }, "chat-server");
        assert!(text.ends_with(", relay: 2 connections, 3.0 MiB carried, 1 refused"), "{text}");
    }

    #[test]
    fn what_needs_the_operator_has_a_next_step() {
        let bad = Status {
            full: true,
            certificate_trouble: Some("bad\u{1b}".into()),
            certificate_days: 3,
            backup_age_s: Some(200_000),
            restart: vec!["storage.dir".into()],
            unheeded: vec!["listen".into()],
            sandbox: Sandbox { landlock: None, ..status().sandbox },
            ..status()
        };
        let text = text(&bad, "chat-server");
        assert_eq!((text.matches("WARN ").count(), text.matches("next: chat-server ").count()), (7, 7), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

//! `check`: findings in words, for scripts, and for monitoring that speaks Nagios.

use std::process::ExitCode;
use std::time::SystemTime;

use chat_server::check::{self, Finding, Level, Looked, Report, Section};
use chat_server::config::Layout;
use serde::Serialize;

use super::{json, say};
use crate::args::{Args, Check, What};

/// Exit codes: clean, warnings, errors.
const CODES: [u8; 3] = [0, 1, 14];
/// Nagios' words and codes for the same, and for not knowing.
const NAGIOS: [(&str, u8); 4] = [("OK", 0), ("WARNING", 1), ("CRITICAL", 2), ("UNKNOWN", 3)];

/// Findings are the result, so they go to stdout.
pub fn act(args: &Args, layout: &Layout, wanted: &Check, host_name: &str, program: &str) -> anyhow::Result<ExitCode> {
    let sections = sections(wanted.what);
    let report = check::check(&sections, &Looked { layout, host_name, program, now: SystemTime::now() });
    let level = report.level() as usize;
    if wanted.nagios {
        let (word, code) = if report.unknown { NAGIOS[3] } else { NAGIOS[level] };
        say(&format!("CHAT-SERVER {word} - {} | {}", nagios(&report), perfdata(&report)))?;
        return Ok(ExitCode::from(code));
    }
    if args.json {
        say(&json("check", &Object { level: report.level(), items: &report.findings })?)?;
    } else {
        say(&report.findings.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(ExitCode::from(CODES[level]))
}

fn sections(what: Option<What>) -> Vec<Section> {
    match what {
        None | Some(What::All) => Section::ALL.to_vec(),
        Some(What::Config) => vec![Section::Config],
        Some(What::Tls) => vec![Section::Tls],
        Some(What::Net) => vec![Section::Net],
        Some(What::Storage) => vec![Section::Storage],
        Some(What::Time) => vec![Section::Time],
    }
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let mut out = format!("{level} {}", finding.section.name());
    if !finding.text.is_empty() {
        out = format!("{out}: {}", said(finding));
    }
    match &finding.next {
        Some(next) => format!("{out}\n  next: {next}"),
        None => out,
    }
}

/// What there is to say, with the place it comes from.
fn said(finding: &Finding) -> String {
    let key = finding.key.as_deref().map(|key| format!("{key}: ")).unwrap_or_default();
    let place = match (&finding.file, finding.line) {
        (Some(file), Some(line)) => format!(" ({}:{line})", file.display()),
        (Some(file), None) => format!(" ({})", file.display()),
        _ => String::new(),
    };
    format!("{key}{}{place}", finding.text)
}

/// The worst first, on one line.
fn nagios(report: &Report) -> String {
    let mut bad: Vec<&Finding> = report.findings.iter().filter(|finding| finding.level > Level::Ok).collect();
    bad.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    if bad.is_empty() {
        return report.findings.iter().map(|finding| finding.section.name()).collect::<Vec<_>>().join(", ");
    }
    let texts: Vec<String> =
        bad.iter().map(|finding| format!("{}: {}", finding.section.name(), finding.text)).collect();
    // A bar would begin the numbers.
    texts.join("; ").replace(['|', '\n'], " ")
}

fn perfdata(report: &Report) -> String {
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    let mut out = vec![format!("errors={}", count(Level::Error)), format!("warnings={}", count(Level::Warn))];
    let numbers = &report.numbers;
    out.extend(numbers.free.map(|bytes| format!("free={bytes}B")));
    out.extend(numbers.certificate_days.map(|days| format!("certificate_days={days}")));
    out.extend(numbers.backup_age.map(|age| format!("backup_age={age}s")));
    out.join(" ")
}

#[derive(Serialize)]
struct Object<'a> {
    level: Level,
    items: &'a [Finding],
}

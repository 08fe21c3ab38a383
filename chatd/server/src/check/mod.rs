//! `check`: looks for what is wrong, or will be, before it hurts. Each finding says how bad it is, where it comes from and what to
//! type. Called by the operator's verb; changes nothing.

mod net;
mod storage;
mod time;
pub mod tls;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chat_process::config::{ConfigError, find};
use chat_process::sandbox::{Confined, Kernel};
use chat_proto::display;
use serde::Serialize;

use crate::account::credentials;
use crate::config::{self, Config, Layout};
use crate::sandbox;
use crate::start;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and will not for ever.
    Warn,
    /// It does not work.
    Error,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// The configuration.
    Config,
    /// Certificate and key.
    Tls,
    /// Addresses and descriptors.
    Net,
    /// Database, room, backups.
    Storage,
    /// The clock.
    Time,
}

impl Section {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Section; 5] = [Section::Config, Section::Tls, Section::Net, Section::Storage, Section::Time];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Section::Config => "config",
            Section::Tls => "tls",
            Section::Net => "net",
            Section::Storage => "storage",
            Section::Time => "time",
        }
    }
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub section: Section,
    /// The key of the configuration that it is about.
    pub key: Option<String>,
    /// The file that holds that key.
    pub file: Option<PathBuf>,
    /// The line there.
    pub line: Option<usize>,
    /// What there is to say; empty where all is well and nothing more is.
    pub text: String,
    /// What to type.
    pub next: Option<String>,
}

/// Numbers that monitoring wants along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Free bytes on the store's disk.
    pub free: Option<u64>,
    /// Days until the certificate ends.
    pub certificate_days: Option<i64>,
    /// Seconds since the last backup.
    pub backup_age: Option<i64>,
}

/// All that was looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
    /// For monitoring.
    pub numbers: Numbers,
    /// The configuration cannot be read by this user, so nothing is known.
    pub unknown: bool,
}

impl Report {
    /// The worst of it.
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

/// What a check is made with.
pub struct Looked<'a> {
    /// Where everything is.
    pub layout: &'a Layout,
    /// The host's name.
    pub host_name: &'a str,
    /// This program as it was called, for what to type.
    pub program: &'a str,
    /// The time.
    pub now: SystemTime,
}

/// Looks at these sections.
pub fn check(sections: &[Section], looked: &Looked<'_>) -> Report {
    let mut report = Report::default();
    let config = match config::load(looked.layout, looked.host_name) {
        Ok(config) => config,
        Err(error) => {
            report.unknown = std::fs::File::open(&looked.layout.config)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
            report.findings.push(unusable(&error, looked));
            return report;
        }
    };
    let mut found = Found { report, config: &config, looked };
    for section in sections {
        let before = found.report.findings.len();
        found.look(*section);
        // What is well is said too, once.
        let silent = found.report.findings[before..].is_empty();
        if silent {
            found.ok(*section, String::new());
        }
    }
    found.report
}

fn unusable(error: &ConfigError, looked: &Looked<'_>) -> Finding {
    let missing = !looked.layout.config.exists();
    let next = if missing { "init --self-signed" } else { "config default" };
    Finding {
        level: Level::Error,
        section: Section::Config,
        key: error.key.clone(),
        file: Some(error.file.clone()),
        line: error.place.map(|(line, _)| line),
        text: match &error.suggestion {
            Some(meant) => format!("{}; did you mean \"{meant}\"?", error.problem),
            None => display::cause(&error.problem).into_owned(),
        },
        next: Some(format!("{} {next}", looked.program)),
    }
}

/// What was found so far.
struct Found<'a> {
    report: Report,
    config: &'a Config,
    looked: &'a Looked<'a>,
}

impl Found<'_> {
    fn look(&mut self, section: Section) {
        match section {
            Section::Config => self.config(),
            Section::Tls => tls::look(self),
            Section::Net => net::look(self),
            Section::Storage => storage::look(self),
            Section::Time => time::look(self),
        }
    }

    /// Keys that are right and do not do what they seem to.
    fn config(&mut self) {
        if self.config.keys.auth.lockout_after == 0 {
            let text =
                "wrong passwords never lock, so that passwords can be guessed as fast as the server hashes".into();
            self.warn(Section::Config, "auth.lockout_after", text, "config default");
        }
        if let Some(file) = &self.config.credentials {
            self.credentials(file);
        }
        self.sandbox();
    }

    /// What the kernel here can hold of it; a running server says in its status what it was given.
    fn sandbox(&mut self) {
        const KEY: &str = "sandbox";
        let kernel = Kernel::look();
        let could = Confined { landlock: kernel.landlock.then_some(0), seccomp: kernel.seccomp };
        if !sandbox::is_wanted(self.config) {
            let text = "is off: who takes over the server has all that its user has".into();
            self.warn(Section::Config, KEY, text, "config default");
        } else if let Some(lack) = could.lacks() {
            self.add(Level::Warn, Section::Config, Some(KEY), lack.into(), Some("uname -r".into()));
        } else {
            self.ok(Section::Config, "sandbox: landlock + seccomp".into());
        }
    }

    /// The one place where passwords lie open; a line that says nothing is skipped at every start.
    fn credentials(&mut self, file: &Path) {
        const KEY: &str = "auth.credentials";
        let shown = display::line(&file.to_string_lossy()).into_owned();
        self.warn(Section::Config, KEY, format!("keeps passwords in plain text, in {shown}"), "config default");
        match std::fs::read(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.error(Section::Config, KEY, format!("{shown}: {error}"), "config show"),
            Ok(bytes) => {
                let wrong = credentials::lines(&bytes, start::names(self.config));
                let wrong: Vec<_> = wrong.filter_map(|(number, line)| Some((number, line.err()?))).collect();
                if let Some((number, why)) = wrong.first() {
                    let text =
                        format!("{shown}: {} lines are passed over, the first is line {number}: {why}", wrong.len());
                    self.warn(Section::Config, KEY, text, "config show");
                }
            }
        }
    }

    fn ok(&mut self, section: Section, text: String) {
        self.add(Level::Ok, section, None, text, None);
    }

    /// `next` is a verb of this program.
    fn warn(&mut self, section: Section, key: &str, text: String, next: &str) {
        let next = format!("{} {next}", self.looked.program);
        self.add(Level::Warn, section, Some(key), text, Some(next));
    }

    /// `next` is a verb of this program.
    fn error(&mut self, section: Section, key: &str, text: String, next: &str) {
        let next = format!("{} {next}", self.looked.program);
        self.add(Level::Error, section, Some(key), text, Some(next));
    }

    fn add(&mut self, level: Level, section: Section, key: Option<&str>, text: String, next: Option<String>) {
        let place = key.and_then(|key| find(&self.config.files, key));
        let (file, line) = place.map_or((None, None), |(file, (line, _))| (Some(file), Some(line)));
        let key = key.map(str::to_owned);
        let text = display::cause(&text).into_owned();
        self.report.findings.push(Finding { level, section, key, file, line, text, next });
    }
}

/// A command for a file, as a shell takes it.
fn on_file(command: &str, path: &Path) -> String {
    format!("{command} {}", display::quoted(&path.to_string_lossy()))
}

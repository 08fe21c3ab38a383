//! `import credentials`: accounts of a file of names and passwords. No password is ever printed; the file is only read.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use chat_proto::display::{self, quoted};
use chat_proto::limits::{IMPORT_AT_ONCE, IMPORT_FILE_MAX};
use chat_server::account::Imported;
use chat_server::account::credentials::{self, BadLine};
use chat_server::admin::user::{Credential, UserImport};
use chat_server::admin::{Secret, Talk};
use chat_server::advice::Trouble;
use chat_server::config::Config;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{complain, run, say, say_json};
use crate::args::{Args, ImportCredentials, OnConflict};

/// Some lines were left out.
const PARTLY: u8 = 8;

/// Imports a file.
pub fn act(args: &Args, config: &Config, wanted: &ImportCredentials) -> anyhow::Result<ExitCode> {
    let bytes = read(&wanted.file)?;
    let mut report = Report { dry_run: wanted.dry_run, ..Report::default() };
    let mut lines = Vec::new();
    for (number, line) in credentials::lines(&bytes, chat_server::names(config)) {
        match line {
            Ok(good) => lines.push(Line { number, name: good.name.into(), password: good.password.to_owned().into() }),
            Err(bad) => report.leave(number, &bad),
        }
    }
    run(import(config, wanted, lines, &mut report))?;
    report.skipped.sort_by_key(|skipped| skipped.line);
    if args.json {
        say_json(&report)?;
    } else {
        say(&report.words())?;
        if !wanted.dry_run && wanted.file != Path::new("-") {
            let file = quoted(&wanted.file.to_string_lossy());
            complain(&format!(
                "{file} was not changed and still holds the passwords; once it is needed no more: shred -u {file}"
            ));
        }
    }
    Ok(ExitCode::from(if report.skipped.is_empty() { 0 } else { PARTLY }))
}

/// A good line.
#[derive(Clone)]
struct Line {
    number: usize,
    name: String,
    password: Zeroizing<String>,
}

fn read(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let from: Box<dyn io::Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| unreadable(file, &error))?)
    };
    from.take(IMPORT_FILE_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(file, &error))?;
    if bytes.len() as u64 > IMPORT_FILE_MAX {
        let text = format!("{} has more than {} MiB: import it in parts", file.display(), IMPORT_FILE_MAX >> 20);
        return Err(Trouble::new(15, "too_large", text).into());
    }
    Ok(bytes)
}

fn unreadable(file: &Path, error: &io::Error) -> Trouble {
    let file = display::line(&file.to_string_lossy()).into_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::new(6, "unknown_file", format!("there is no file {file}")),
        io::ErrorKind::PermissionDenied => {
            Trouble::new(77, "forbidden", format!("{file} may not be read by this user"))
        }
        _ => Trouble::new(15, "unreadable", format!("{file} cannot be read: {error}")),
    }
}

async fn import(
    config: &Config,
    wanted: &ImportCredentials,
    lines: Vec<Line>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut talk = Talk::open(config, false).await?;
    let done = import_with(&mut talk, wanted, lines, report).await;
    talk.close().await;
    done
}

async fn import_with(
    talk: &mut Talk,
    wanted: &ImportCredentials,
    lines: Vec<Line>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let update = wanted.on_conflict == OnConflict::Update;
    if wanted.on_conflict == OnConflict::Fail {
        // Before anything is changed.
        let mut look = Report { dry_run: true, ..Report::default() };
        pass(talk, &lines, false, true, &mut look).await?;
        if let Some(first) = look.skipped.first() {
            let text = format!("line {}: {}; nothing was imported", first.line, first.reason);
            return Err(Trouble::new(7, "conflict", text).into());
        }
    }
    pass(talk, &lines, update, wanted.dry_run, report).await
}

async fn pass(talk: &mut Talk, lines: &[Line], update: bool, dry_run: bool, report: &mut Report) -> anyhow::Result<()> {
    let progress = Progress::of(lines.len(), dry_run);
    for (index, part) in lines.chunks(IMPORT_AT_ONCE).enumerate() {
        progress.show(index * IMPORT_AT_ONCE);
        let item = |line: &Line| Credential { name: line.name.clone(), password: Secret(line.password.clone()) };
        let items = part.iter().map(item).collect();
        let done = talk.ask(UserImport { items, update, dry_run }).await;
        let done = done.with_context(|| format!("{} accounts were done", report.done()))?;
        part.iter().zip(done).for_each(|(line, imported)| report.count(line, imported));
    }
    progress.end();
    Ok(())
}

/// How far it is, on a terminal alone.
struct Progress {
    total: usize,
    shown: bool,
}

impl Progress {
    fn of(total: usize, dry_run: bool) -> Progress {
        Progress { total, shown: !dry_run && total > IMPORT_AT_ONCE && io::stderr().is_terminal() }
    }

    fn show(&self, done: usize) {
        if self.shown {
            // A terminal that is gone needs no progress.
            let _ = write!(io::stderr(), "\r{done} of {}", self.total);
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{:width$}\r", "", width = 2 * self.total.to_string().len() + 4);
        }
    }
}

/// What became of the lines, as it is printed, in this order.
#[derive(Debug, Serialize)]
struct Report {
    v: u32,
    r#type: &'static str,
    dry_run: bool,
    added: usize,
    updated: usize,
    unchanged: usize,
    skipped: Vec<Skipped>,
}

/// A line that was left out.
#[derive(Debug, Serialize)]
struct Skipped {
    line: usize,
    reason: String,
}

impl Default for Report {
    fn default() -> Report {
        Report { v: 1, r#type: "import", dry_run: false, added: 0, updated: 0, unchanged: 0, skipped: Vec::new() }
    }
}

impl Report {
    fn leave(&mut self, line: usize, bad: &BadLine) {
        self.skipped.push(Skipped { line, reason: bad.to_string() });
    }

    fn count(&mut self, line: &Line, imported: Imported) {
        let reason = match imported {
            Imported::Added => return self.added += 1,
            Imported::Updated => return self.updated += 1,
            Imported::Unchanged => return self.unchanged += 1,
            Imported::Exists => "is there already",
            Imported::Taken => "was deleted, or is kept for an invitation: the name cannot be given",
        };
        let reason = format!("the account \"{}\" {reason}", display::name(&line.name));
        self.skipped.push(Skipped { line: line.number, reason });
    }

    fn done(&self) -> usize {
        self.added + self.updated + self.unchanged
    }

    /// `7 would be added, 1 skipped: line 5: no password after the name "r2d2"`.
    fn words(&self) -> String {
        let would = if self.dry_run { "would be " } else { "" };
        let mut parts = vec![format!("{} {would}added", self.added)];
        if self.updated > 0 {
            parts.push(format!("{} {would}updated", self.updated));
        }
        if self.unchanged > 0 {
            parts.push(format!("{} unchanged", self.unchanged));
        }
        let reason = |skipped: &Skipped| format!("line {}: {}", skipped.line, skipped.reason);
        match self.skipped.as_slice() {
            [] => parts.join(", "),
            [one] => format!("{}, 1 skipped: {}", parts.join(", "), reason(one)),
            many => {
                let reasons: Vec<String> = many.iter().map(reason).collect();
                format!("{}, {} skipped:\n  {}", parts.join(", "), many.len(), reasons.join("\n  "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_proto::id::NameRule;

    use super::*;

    #[test]
    fn the_report_names_lines_and_no_passwords() {
        let mut report = Report { dry_run: true, ..Report::default() };
        let line = Line { number: 1, name: "yoda".into(), password: "wise@!man".to_owned().into() };
        (0..7).for_each(|_| report.count(&line, Imported::Added));
        let (_, bad) = credentials::lines(b"r2d2", NameRule::Standard).next().unwrap();
        report.leave(5, &bad.unwrap_err());
        assert_eq!(report.words(), "7 would be added, 1 skipped: line 5: no password after the name \"r2d2\"");
        report.count(&line, Imported::Exists);
        report.count(&line, Imported::Unchanged);
        report.dry_run = false;
        assert_eq!(
            report.words(),
            "7 added, 1 unchanged, 2 skipped:\n  line 5: no password after the name \"r2d2\"\n  line 1: the account \"yoda\" is \
             there already"
        );
    }
}

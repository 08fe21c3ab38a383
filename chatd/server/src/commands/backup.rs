//! `backup` and `restore`.

use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use chat_proto::display;
use chat_server::admin::Line;
use chat_server::admin::backup::{BackupCreate, BackupMade};
use chat_server::backup::{self, Made, Manifest, restore};
use chat_server::clock::Clock;
use chat_server::config::{Config, Layout};
use serde::Serialize;

use super::{ask, json, local, number, rfc3339, run, say, size};
use crate::args::{Args, BackupVerb, Restore};

/// Stands for the newest backup.
const LATEST: &str = "latest";

/// Does one of them.
pub fn act(args: &Args, config: &Config, verb: &BackupVerb) -> anyhow::Result<ExitCode> {
    match verb {
        BackupVerb::Create { folder, keep } => create(args, config, folder.as_deref(), *keep),
        BackupVerb::Verify { file } => verify(args, &named(file, &config.backups)?),
        BackupVerb::List { folder } => list(args, folder.as_deref().unwrap_or(&config.backups)),
    }
}

fn create(args: &Args, config: &Config, dir: Option<&Path>, keep: Option<usize>) -> anyhow::Result<ExitCode> {
    // The server has another working directory.
    let dir = dir.map(absolute).transpose()?;
    let made = match dir {
        Some(dir) if is_running(config)? => elsewhere(config, &dir, keep)?,
        dir => ask(config, BackupCreate { dir, keep })?,
    };
    if args.json {
        let object = Object { removed: Some(made.removed), ..Object::of(&made.path, made.bytes, &made.manifest) };
        return say(&json("backup", &object)?);
    }
    let gone = match made.removed {
        0 => String::new(),
        count => format!("; {} older removed", number(count as u64)),
    };
    say(&format!("{}{gone}", line(&made.path.display().to_string(), made.bytes, &made.manifest)))
}

fn is_running(config: &Config) -> anyhow::Result<bool> {
    run(async { Ok(Line::open(&config.admin_socket).await?.is_some()) })
}

/// A server that runs writes into its own directories alone: it makes the backup there, and this process takes it from there.
fn elsewhere(config: &Config, dir: &Path, keep: Option<usize>) -> anyhow::Result<BackupMade> {
    backup::ready(dir)?;
    let made = ask(config, BackupCreate { dir: None, keep: None })?;
    let path = backup::take_away(&made.path, made.manifest.created_ms, dir)?;
    // The new one is not an older one.
    let removed = keep.map(|keep| backup::prune(dir, keep.max(1))).transpose()?.map_or(0, |gone| gone.len());
    Ok(BackupMade { path, removed, ..made })
}

fn verify(args: &Args, file: &Path) -> anyhow::Result<ExitCode> {
    let (made, _) = backup::verify(file)?;
    if args.json {
        let object = Object { db: Some("ok"), ..Object::of(file, made.bytes, &made.manifest) };
        return say(&json("backup", &object)?);
    }
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    say(&format!("{}, db ok", line(&name, made.bytes, &made.manifest)))
}

fn list(args: &Args, dir: &Path) -> anyhow::Result<ExitCode> {
    let found = backup::list(dir)?;
    if args.json {
        let items = found.iter().map(|(path, made)| match made {
            Ok(made) => Item {
                file: path.display().to_string(),
                backup: Some(Object::of(path, made.bytes, &made.manifest)),
                problem: None,
            },
            Err(error) => Item {
                file: path.display().to_string(),
                backup: None,
                problem: Some(display::cause(&error.to_string()).into_owned()),
            },
        });
        return say(&json("backups", &Items { items: items.collect() })?);
    }
    if found.is_empty() {
        return say(&format!("no backups in {}", dir.display()));
    }
    let lines = found.iter().map(|(path, made)| match made {
        Ok(Made { bytes, manifest, .. }) => {
            format!("{}  {}", local(manifest.created_ms), line(&file_name(path), *bytes, manifest))
        }
        Err(error) => format!("{}: {}", file_name(path), display::cause(&error.to_string())),
    });
    say(&lines.collect::<Vec<_>>().join("\n"))
}

/// `restore`.
pub fn put_back(
    args: &Args,
    layout: &Layout,
    config: Option<&Config>,
    wanted: &Restore,
    host_name: &str,
    program: &str,
) -> anyhow::Result<ExitCode> {
    let backups = config.map_or(&layout.backup, |config| &config.backups);
    let file = absolute(named(&wanted.file, backups)?)?;
    let to = wanted.to.as_deref().map(|dir| Layout::new(Some(dir), None));
    let elsewhere = to.is_some();
    let layout = to.as_ref().unwrap_or(layout);
    let done = restore::restore(&file, layout, elsewhere, host_name, Clock::start().wall_ms())?;
    let aside = done.aside.as_ref().map(|dir| dir.display().to_string());
    if args.json {
        let object = Restored {
            file: file.display().to_string(),
            config: done.config.display().to_string(),
            data: done.data.display().to_string(),
            before: aside,
            users: done.manifest.users,
            queued: done.manifest.queued,
        };
        return say(&json("restored", &object)?);
    }
    let mut text = format!(
        "{} is back in {}: {}, {} queued, as of {}",
        file_name(&file),
        done.data.display(),
        users(done.manifest.users),
        number(done.manifest.queued),
        local(done.manifest.created_ms)
    );
    if let Some(aside) = aside {
        text.push_str(&format!("\nwhat was there before is in {aside}"));
    }
    let start = match (&wanted.to, program) {
        (Some(dir), _) => {
            format!("chat-server --dir {} run", display::quoted(&dir.to_string_lossy()))
        }
        (None, "chat-server") => "systemctl start chat-server".to_owned(),
        (None, program) => format!("{program} run"),
    };
    say(&format!("{text}\nnext: {start}"))
}

fn users(count: u64) -> String {
    format!("{} user{}", number(count), if count == 1 { "" } else { "s" })
}

/// The file that is meant.
fn named(file: &Path, backups: &Path) -> anyhow::Result<PathBuf> {
    if file == Path::new(LATEST) { Ok(backup::latest(backups)?) } else { Ok(file.to_owned()) }
}

fn file_name(path: &Path) -> String {
    display::line(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()).into_owned()
}

fn line(name: &str, bytes: u64, manifest: &Manifest) -> String {
    format!("{name} {}: {}, {} queued", size(bytes), users(manifest.users), number(manifest.queued))
}

/// A backup as it is printed, in this order.
#[derive(Serialize)]
struct Object {
    file: String,
    bytes: u64,
    created: String,
    version: String,
    fingerprint: String,
    schema: i64,
    users: u64,
    queued: u64,
    db: Option<&'static str>,
    removed: Option<usize>,
}

impl Object {
    fn of(path: &Path, bytes: u64, manifest: &Manifest) -> Object {
        Object {
            file: path.display().to_string(),
            bytes,
            created: rfc3339(manifest.created_ms),
            version: manifest.version.clone(),
            fingerprint: manifest.fingerprint.clone(),
            schema: manifest.schema,
            users: manifest.users,
            queued: manifest.queued,
            db: None,
            removed: None,
        }
    }
}

#[derive(Serialize)]
struct Items {
    items: Vec<Item>,
}

/// A file in the list: a backup, or what is wrong with it.
#[derive(Serialize)]
struct Item {
    file: String,
    backup: Option<Object>,
    problem: Option<String>,
}

#[derive(Serialize)]
struct Restored {
    file: String,
    config: String,
    data: String,
    before: Option<String>,
    users: u64,
    queued: u64,
}

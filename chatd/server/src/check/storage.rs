//! The store's directory and key, the room on its disk, the database's form, and how old the last backup is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Found, Level, Section, on_file};
use crate::backup;
use crate::backup::restore;
use crate::certificate::now_ms;
use crate::files::FileError;
use crate::keys::{self, KeysError};
use crate::store::StoreError;
use crate::store::sqlite::{self, whole};

/// File systems of other hosts, on which SQLite's write-ahead log does not work: numbers of statfs(2).
const REMOTE: &[(u64, &str)] =
    &[(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x0102_1997, "9P"), (0x00c3_6400, "Ceph")];

pub(super) fn look(found: &mut Found<'_>) {
    let data = &found.config.data;
    match fs::metadata(data) {
        Err(_) => {
            let text = format!("{} is not there", data.display());
            return found.error(Section::Storage, "storage.dir", text, "init --self-signed");
        }
        Ok(dir) if dir.permissions().mode() & 0o022 != 0 => {
            let text = format!("{}: others may write it", data.display());
            let next = on_file("chmod go-w", data);
            found.add(Level::Error, Section::Storage, Some("storage.dir"), text, Some(next));
        }
        Ok(_) => {}
    }
    key(found);
    database(found);
    room(found);
    backups(found);
}

fn key(found: &mut Found<'_>) {
    let path = keys::path(&found.config.data);
    match keys::load(&found.config.data) {
        Ok(_) => {}
        Err(error @ KeysError::File(FileError::Exposed(_))) => {
            let next = on_file("chmod 600", &path);
            found.add(Level::Error, Section::Storage, Some("storage.dir"), error.to_string(), Some(next));
        }
        Err(error) => found.error(Section::Storage, "storage.dir", error.to_string(), "backup list"),
    }
}

fn database(found: &mut Found<'_>) {
    let data = &found.config.data;
    if data.join(restore::MARKER).exists() {
        let text = "a restore was cut short; the server does not start before it is done again".into();
        return found.error(Section::Storage, "storage.dir", text, "restore latest");
    }
    if data.join("storage-failed").exists() {
        let text = "the server ended by a storage error; its next start checks the database".into();
        found.warn(Section::Storage, "storage.dir", text, "db check");
    }
    match whole::contents(&sqlite::file(data)) {
        Ok(contents) if contents.current => {}
        Ok(contents) => {
            let text = format!("the database has schema {}; the next start brings it up to date", contents.schema);
            found.warn(Section::Storage, "storage.dir", text, "db upgrade");
        }
        Err(error @ StoreError::Newer { .. }) => {
            found.error(Section::Storage, "storage.dir", error.to_string(), "backup list");
        }
        Err(error) => found.error(Section::Storage, "storage.dir", format!("the database: {error}"), "backup list"),
    }
}

fn room(found: &mut Found<'_>) {
    let data = &found.config.data;
    let Ok(stat) = rustix::fs::statvfs(data) else { return };
    if let Ok(kind) = rustix::fs::statfs(data)
        && let Some((_, name)) = REMOTE.iter().find(|(number, _)| *number == (kind.f_type as u64 & 0xffff_ffff))
    {
        let text = format!("{} is on {name}: SQLite needs a disk of this host", data.display());
        found.error(Section::Storage, "storage.dir", text, "config show");
    }
    let (free, total) = (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize));
    found.report.numbers.free = Some(free);
    let reserve = found.config.keys.storage.reserve.0;
    let floor = if reserve == 0 { 0 } else { reserve.max(total / 20) };
    let shown = |bytes: u64| match bytes >> 20 {
        mib @ 0..1024 => format!("{mib} MiB"),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    };
    if free < floor {
        let text = format!("{} free, below the {} that are kept: no message is accepted", shown(free), shown(floor));
        found.error(Section::Storage, "storage.reserve", text, "db info");
    } else if free < floor.saturating_mul(2) {
        let text = format!("{} free; below {} no message is accepted", shown(free), shown(floor));
        found.warn(Section::Storage, "storage.reserve", text, "db info");
    } else {
        found.ok(Section::Storage, format!("{} free", shown(free)));
    }
}

fn backups(found: &mut Found<'_>) {
    let now = now_ms(found.looked.now);
    let oldest = found.config.keys.backup.warn_age.0;
    match backup::newest_ms(&found.config.backups) {
        None => found.warn(Section::Storage, "backup.dir", "there is no backup yet".into(), "backup create"),
        Some(made) => {
            let age = (now - made) / 1000;
            found.report.numbers.backup_age = Some(age);
            if age > i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX) {
                let text = format!("the last backup is {} h old", age / 3600);
                found.warn(Section::Storage, "backup.warn_age", text, "backup create");
            }
        }
    }
}

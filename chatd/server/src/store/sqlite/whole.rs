//! The database as a whole: a copy of it while it is in use, what is in it, whether it is sound. For backups and for the
//! operator's look at it; everything here blocks as long as the disk takes.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::store::{Contents, StoreError};

/// Pages that are copied before the next look whether the disk takes more.
const PAGES_AT_ONCE: i32 = 4096;
/// Faults that a check names; the rest would tell nothing new.
const FAULTS_NAMED: usize = 5;

/// Copies the database of the store in `dir` into a new file: its state at one moment, however long it takes and whatever is
/// committed meanwhile.
pub fn copy(dir: &Path, to: &Path) -> Result<(), StoreError> {
    let from = schema::open_reader(dir)?;
    // A read transaction that stays open pins the state; without it every commit would begin the copy anew.
    from.execute_batch("BEGIN")?;
    let _: i64 = from.query_row("SELECT count(*) FROM meta", [], |row| row.get(0))?;
    let mut target = Connection::open(to)?;
    let backup = Backup::new(&from, &mut target)?;
    while backup.step(PAGES_AT_ONCE)? != StepResult::Done {}
    drop(backup);
    // One file: what is restored must not need a second one.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// What the database in a file holds. Writes nothing into it.
pub fn contents(file: &Path) -> Result<Contents, StoreError> {
    let conn = open(file)?;
    let schema: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if schema > schema::VERSION {
        return Err(StoreError::Newer { found: schema, known: schema::VERSION });
    }
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|n| n as u64);
    Ok(Contents {
        schema,
        current: schema == schema::VERSION,
        bytes: std::fs::metadata(file).map_or(0, |file| file.len()),
        accounts: count("SELECT count(*) FROM account")?,
        devices: count("SELECT count(*) FROM device")?,
        queued: count(
            "SELECT (SELECT count(*) FROM pend) + (SELECT count(*) FROM log WHERE code = 0 AND
               g > coalesce((SELECT value FROM meta WHERE key = 'folded'), 0))",
        )?,
        log: count("SELECT count(*) FROM log")?,
        starts: count("SELECT coalesce((SELECT value FROM meta WHERE key = 'epoch'), 0)")?,
    })
}

/// What is wrong with the database in a file; nothing when it is sound. Reads all of it.
pub fn faults(file: &Path) -> Result<Vec<String>, StoreError> {
    let conn = open(file)?;
    let mut check = conn.prepare(&format!("PRAGMA integrity_check({FAULTS_NAMED})"))?;
    let lines: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Rewrites the database of a stopped server without the room that deleted rows left; the caller holds the store's lock.
pub fn vacuum(dir: &Path) -> Result<(), StoreError> {
    let conn = schema::open_writer(dir, false)?;
    // All of it, beside the old one: too much for memory.
    conn.pragma_update(None, "temp_store", "FILE")?;
    conn.execute_batch("VACUUM")?;
    schema::checkpoint(&conn)
}

fn open(file: &Path) -> Result<Connection, StoreError> {
    Ok(Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

//! The tables of the server's database, and how it is opened.
//!
//! Called at start by the writer, and by every reader. The first fact of contract.md's storage section is kept here: what
//! a crash left visible is made durable before anyone is served.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::planted::planted;
use crate::store::StoreError;

/// The schema version that this build reads and writes.
pub const VERSION: i64 = STEPS.len() as i64;

/// What brings a database from each version to the next, the first from an empty file; a step is never changed.
const STEPS: [&str; 5] = [TABLES, CONTACTS, DEVICES_AND_INVITES, OWN, GONE_AND_LOCKED];

/// To whom an account wrote: they are no strangers to it (S22).
const CONTACTS: &str = "
CREATE TABLE contact(acct INTEGER NOT NULL, who INTEGER NOT NULL, PRIMARY KEY(acct, who)) WITHOUT ROWID;
";

/// Whether a message stands in its sender's inbox too: it had other devices when the message was accepted. Rows from before may.
const OWN: &str = "
ALTER TABLE log ADD COLUMN own INTEGER NOT NULL DEFAULT 1;
";

const TABLES: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE epoch(epoch INTEGER PRIMARY KEY, nonce INTEGER NOT NULL, first INTEGER NOT NULL);
CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, phc TEXT NOT NULL, since_ms INTEGER NOT NULL,
  seen_max INTEGER NOT NULL DEFAULT 0);
CREATE TABLE device(dev INTEGER PRIMARY KEY, acct INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, key BLOB NOT NULL, name TEXT NOT NULL,
  session_epoch INTEGER NOT NULL DEFAULT 0, cursor INTEGER NOT NULL, acked INTEGER NOT NULL, live_hour INTEGER NOT NULL,
  missed INTEGER NOT NULL DEFAULT 0, newest INTEGER);
CREATE INDEX device_acct ON device(acct);
CREATE TABLE stream(dev INTEGER NOT NULL, inc INTEGER NOT NULL, last INTEGER NOT NULL, recent BLOB NOT NULL, PRIMARY KEY(dev, inc)) WITHOUT ROWID;
-- The append-only log: one row is verdict, place in the stream and inbox entry in one. code 0: an inbox entry.
CREATE TABLE log(g INTEGER PRIMARY KEY, code INTEGER NOT NULL, acct INTEGER, frm INTEGER, dev INTEGER NOT NULL, inc INTEGER NOT NULL,
  cseq INTEGER NOT NULL, h8 INTEGER NOT NULL, hour INTEGER NOT NULL, audience BLOB, tail BLOB);
-- What the folder made of it: which places wait for which account, and for how many where it is more than one.
CREATE TABLE pend(acct INTEGER NOT NULL, g INTEGER NOT NULL, PRIMARY KEY(acct, g)) WITHOUT ROWID;
CREATE TABLE refs(g INTEGER PRIMARY KEY, left INTEGER NOT NULL);
CREATE TABLE block(by INTEGER NOT NULL, who INTEGER NOT NULL, PRIMARY KEY(by, who)) WITHOUT ROWID;
CREATE INDEX block_who ON block(who);
CREATE TABLE mark(reader INTEGER NOT NULL, sender INTEGER NOT NULL, n INTEGER NOT NULL, shared INTEGER NOT NULL,
  PRIMARY KEY(reader, sender)) WITHOUT ROWID;
CREATE TABLE session(id INTEGER PRIMARY KEY, acct INTEGER NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER);
CREATE INDEX session_to ON session(to_ms);
CREATE TABLE failure(key BLOB PRIMARY KEY, count INTEGER NOT NULL, locks INTEGER NOT NULL, left_ms INTEGER NOT NULL) WITHOUT ROWID;
";

/// A revoked device keeps its row, so that neither its number nor its id is given again. An invitation ages by running time.
const DEVICES_AND_INVITES: &str = "
ALTER TABLE device ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device ADD COLUMN seen_ms INTEGER NOT NULL DEFAULT 0;
CREATE TABLE invite(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, name TEXT UNIQUE, since_ms INTEGER NOT NULL,
  uses INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0, left_ms INTEGER NOT NULL);
";

/// An account that is deleted leaves its name and its number behind, so that neither is given again.
const GONE_AND_LOCKED: &str = "
ALTER TABLE account ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
CREATE TABLE gone(name TEXT PRIMARY KEY, id INTEGER NOT NULL UNIQUE, at_ms INTEGER NOT NULL) WITHOUT ROWID;
";

/// The database file in the store's directory.
pub fn file(dir: &Path) -> PathBuf {
    dir.join("chat-server.db")
}

/// Opens the database for its one writer: creates or checks the schema, and makes durable what a crash left visible (E1).
///
/// `check` runs SQLite's quick check first, after a start that followed a storage error.
pub fn open_writer(dir: &Path, check: bool) -> Result<Connection, StoreError> {
    refuse_newer(dir)?;
    let mut conn = Connection::open(file(dir))?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 4096)?;
    conn.pragma_update(None, "cache_size", -4096)?;
    // The directories for files of such a kind are not the server's.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(64);
    if planted("no-flush") {
        conn.pragma_update(None, "synchronous", "OFF")?;
    }
    checkpoint(&conn)?;
    if check {
        let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(verdict));
        }
    }
    migrate(&mut conn)?;
    Ok(conn)
}

/// A database of a newer chat-server is not touched: opening it for writing alone would move its log into it (S51).
fn refuse_newer(dir: &Path) -> Result<(), StoreError> {
    if !file(dir).exists() {
        return Ok(());
    }
    let found: i64 = open_reader(dir)?.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > VERSION { Err(StoreError::Newer { found, known: VERSION }) } else { Ok(()) }
}

/// Opens the database for looking things up.
pub fn open_reader(dir: &Path) -> Result<Connection, StoreError> {
    let conn =
        Connection::open_with_flags(file(dir), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.pragma_update(None, "cache_size", -1024)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(conn)
}

/// Moves the write-ahead log into the database and syncs both; an unfinished checkpoint is an error, not a hint.
pub fn checkpoint(conn: &Connection) -> Result<(), StoreError> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(StoreError::CheckpointBusy) }
}

fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(due) = usize::try_from(found).ok().and_then(|found| STEPS.get(found..)) else {
        return Err(StoreError::Newer { found, known: VERSION });
    };
    if due.is_empty() {
        return Ok(());
    }
    let tx = conn.transaction()?;
    due.iter().try_for_each(|step| tx.execute_batch(step))?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_older_schema_is_brought_up_to_date() {
        for old in 0..STEPS.len() {
            let dir = tempfile::TempDir::new().unwrap();
            let conn = Connection::open(file(dir.path())).unwrap();
            STEPS[..old].iter().for_each(|step| conn.execute_batch(step).unwrap());
            conn.pragma_update(None, "user_version", old as i64).unwrap();
            drop(conn);
            let conn = open_writer(dir.path(), true).unwrap();
            let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
            assert_eq!(found, VERSION, "from {old}");
            conn.prepare("SELECT acct, who FROM contact").unwrap();
            conn.prepare("SELECT d.revoked, d.since_ms, d.seen_ms, i.left_ms FROM device d, invite i").unwrap();
        }
    }
}

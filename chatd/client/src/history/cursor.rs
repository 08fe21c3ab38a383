//! Named cursors: made by `watch --cursor`, moved by `ack` and never backwards, listed and forgotten by their owner.

use chat_proto::id::{CursorName, MessageId};
use chat_proto::limits::{CURSOR_WAITING, CURSORS_MAX};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::convert::{i, reversed, u};
use super::{Cursor, CursorChange, Done};

type Result<T> = rusqlite::Result<T>;

/// Where it stands, its message, and what waits behind it.
const COLUMNS: &str = "c.name, c.idx, c.at_ms, (SELECT rid FROM message m WHERE m.idx = c.idx), \
     (SELECT count(*) FROM (SELECT 1 FROM message m WHERE m.idx > c.idx AND m.own <> 1 LIMIT ?1))";

/// Applies one change.
pub(super) fn apply(t: &Transaction<'_>, name: &CursorName, change: CursorChange) -> Result<Done> {
    match change {
        CursorChange::Open { begin, at_ms } => open(t, name, begin, at_ms),
        CursorChange::Ack { index, at_ms } => ack(t, name, index, at_ms),
        CursorChange::Remove => remove(t, name),
    }
}

/// The cursor of this name, made where it is not there.
fn open(t: &Transaction<'_>, name: &CursorName, begin: u64, at_ms: i64) -> Result<Done> {
    if let Some(cursor) = one(t, name)? {
        return Ok(Done::Cursor { cursor: Some(cursor), changed: false });
    }
    let there: u32 = t.prepare_cached("SELECT count(*) FROM cursor")?.query_row([], |r| r.get(0))?;
    if there >= CURSORS_MAX {
        return Ok(Done::Cursor { cursor: None, changed: false });
    }
    t.prepare_cached("INSERT INTO cursor (name, idx, at_ms) VALUES (?1, ?2, ?3)")?.execute(params![
        name.as_str(),
        i(begin),
        at_ms
    ])?;
    Ok(Done::Cursor { cursor: one(t, name)?, changed: true })
}

fn ack(t: &Transaction<'_>, name: &CursorName, index: u64, at_ms: i64) -> Result<Done> {
    let moved = t
        .prepare_cached("UPDATE cursor SET idx = ?2, at_ms = ?3 WHERE name = ?1 AND idx < ?2")?
        .execute(params![name.as_str(), i(index), at_ms])?;
    Ok(Done::Cursor { cursor: one(t, name)?, changed: moved > 0 })
}

fn remove(t: &Transaction<'_>, name: &CursorName) -> Result<Done> {
    let cursor = one(t, name)?;
    t.prepare_cached("DELETE FROM cursor WHERE name = ?1")?.execute([name.as_str()])?;
    Ok(Done::Cursor { changed: cursor.is_some(), cursor })
}

fn one(c: &Connection, name: &CursorName) -> Result<Option<Cursor>> {
    let sql = format!("SELECT {COLUMNS} FROM cursor c WHERE c.name = ?2");
    c.prepare_cached(&sql)?.query_row(params![i(CURSOR_WAITING), name.as_str()], row).optional()
}

/// All, by name.
pub(super) fn list(c: &Connection) -> Result<Vec<Cursor>> {
    let sql = format!("SELECT {COLUMNS} FROM cursor c ORDER BY c.name");
    c.prepare_cached(&sql)?.query_map([i(CURSOR_WAITING)], row)?.collect()
}

fn row(r: &rusqlite::Row<'_>) -> Result<Cursor> {
    let rid: Option<String> = r.get(3)?;
    Ok(Cursor {
        name: r.get(0)?,
        index: u(r.get(1)?),
        at_ms: r.get(2)?,
        id: rid.map(|rid| MessageId(reversed(&rid))),
        waiting: u(r.get(4)?),
    })
}

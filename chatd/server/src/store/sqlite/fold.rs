//! The folder: makes tables of the log behind the commits, and deletes what nobody needs any more.
//!
//! One call is a part of one transaction: a run of log rows, the streams they touched, the cursors that moved, and the fold mark
//! together, so that a crash leaves either all of it or none. Nothing beyond the fold mark is deleted.

use std::collections::BTreeSet;

use chat_proto::fault::Code;
use chat_proto::id::Incarnation;
use chat_proto::limits::FOLD_CHANGES;
use chat_proto::wire;
use rusqlite::params;

use super::start::{self, Inboxes};
use super::writer::{Effect, Writer};
use crate::store::{AcctId, DevId, StoreError};

/// The folder works beside the commits once so many rows wait; when it is quiet, at every tick.
pub const AFTER: u64 = FOLD_CHANGES as u64;

/// A device that was not live for so many running hours holds nothing back that another acknowledged (P2).
pub const HOLDS_HOURS: u64 = 30 * 24;

/// Rows that retention looks at in one transaction.
const EXPIRE_ROWS: i64 = 256;

/// One log row on its way into the tables.
struct Folding {
    g: u64,
    code: u32,
    stream: (DevId, Incarnation),
    inboxes: Inboxes,
}

/// Folds the next rows and the cursors that moved.
pub fn some(writer: &mut Writer) -> Result<(), StoreError> {
    if writer.unfolded() == 0 && writer.dirty.is_empty() {
        return Ok(());
    }
    writer.write()?;
    let rows = next_rows(writer)?;
    let mut pend: Vec<(AcctId, u64)> = Vec::new();
    let mut done: Vec<u64> = Vec::new();
    let mut streams = BTreeSet::new();
    let mut touched = BTreeSet::new();
    let mut mark = writer.begun.next - 1;
    for row in &rows {
        if pend.len() >= FOLD_CHANGES {
            // Broadcasts wait for many: the rest of the rows comes with the next call.
            mark = row.g - 1;
            break;
        }
        mark = if rows.len() < FOLD_CHANGES { mark } else { row.g };
        streams.insert(row.stream);
        let waiting = fold_row(writer, row, &mut touched)?;
        match waiting.len() {
            0 => done.push(row.g),
            1 => {}
            many => {
                let mut refs = writer.begun.conn.prepare_cached("INSERT OR REPLACE INTO refs(g, left) VALUES(?, ?)")?;
                refs.execute(params![row.g as i64, many as i64])?;
            }
        }
        pend.extend(waiting.into_iter().map(|acct| (acct, row.g)));
    }
    insert_pend(writer, pend)?;
    write_streams(writer, &streams)?;
    writer
        .begun
        .conn
        .prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES('folded', ?)")?
        .execute([mark as i64])?;
    delete_runs(writer, &done)?;
    writer.begun.folded = mark;
    writer.effects.push(Effect::Folded(mark, touched));
    write_cursors(writer)
}

/// In the order of the table: neighbours share a page, whatever order the messages came in.
fn insert_pend(writer: &Writer, mut pend: Vec<(AcctId, u64)>) -> Result<(), StoreError> {
    pend.sort_unstable();
    let mut insert = writer.begun.conn.prepare_cached("INSERT OR IGNORE INTO pend(acct, g) VALUES(?, ?)")?;
    for (acct, g) in pend {
        insert.execute(params![acct.0, g as i64])?;
    }
    Ok(())
}

/// Deletes log rows, neighbours by one statement: where everybody is there, that is all of them.
fn delete_runs(writer: &Writer, places: &[u64]) -> Result<(), StoreError> {
    let mut delete = writer.begun.conn.prepare_cached("DELETE FROM log WHERE g BETWEEN ? AND ?")?;
    for run in places.chunk_by(|a, b| a + 1 == *b) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            delete.execute(params![*first as i64, *last as i64])?;
        }
    }
    Ok(())
}

fn next_rows(writer: &Writer) -> Result<Vec<Folding>, StoreError> {
    let mut rows = writer
        .begun
        .conn
        .prepare_cached("SELECT g, code, acct, frm, dev, inc, audience, own FROM log WHERE g > ? ORDER BY g LIMIT ?")?;
    let rows = rows.query_map(params![writer.begun.folded as i64, FOLD_CHANGES as i64], |row| {
        Ok(Folding {
            g: row.get::<_, i64>(0)? as u64,
            code: row.get(1)?,
            stream: (DevId(row.get(4)?), Incarnation(row.get::<_, i64>(5)? as u64)),
            inboxes: Inboxes::of(row.get(2)?, row.get(3)?, row.get(7)?, row.get(6)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// For which accounts a row still waits.
fn fold_row(writer: &mut Writer, row: &Folding, touched: &mut BTreeSet<AcctId>) -> Result<Vec<AcctId>, StoreError> {
    if row.code != 0 {
        return Ok(Vec::new());
    }
    let begun = &mut writer.begun;
    let parties = row.inboxes.parties();
    touched.extend(parties.iter().copied());
    for party in &parties {
        start::account(&begun.conn, &mut begun.world, *party)?;
    }
    let (waiting, free): (Vec<_>, Vec<_>) =
        parties.into_iter().partition(|party| begun.world.low_cursor(*party, begun.hour, HOLDS_HOURS) < row.g);
    free.into_iter().try_for_each(|party| count_missed(writer, party, &[row.g as i64]))?;
    Ok(waiting)
}

fn write_streams(writer: &mut Writer, touched: &BTreeSet<(DevId, Incarnation)>) -> Result<(), StoreError> {
    for key in touched {
        let Some(held) = writer.begun.world.streams.get_mut(key) else { continue };
        if std::mem::take(&mut held.dirty) {
            writer
                .begun
                .conn
                .prepare_cached("INSERT OR REPLACE INTO stream(dev, inc, last, recent) VALUES(?, ?, ?, ?)")?
                .execute(params![key.0.0, key.1.0 as i64, held.stream.last() as i64, held.stream.encode_recent()])?;
        }
    }
    Ok(())
}

/// Writes the cursors that moved, and deletes what no device needs any more.
fn write_cursors(writer: &mut Writer) -> Result<(), StoreError> {
    for _ in 0..FOLD_CHANGES {
        let Some(dev) = writer.dirty.pop_first() else { break };
        let Some(device) = writer.begun.world.devices.get_mut(&dev) else { continue };
        device.dirty = false;
        let acct = device.acct;
        let newest = device.newest.map(|n| n.0 as i64);
        writer
            .begun
            .conn
            .prepare_cached(
                "UPDATE device SET cursor = ?, acked = ?, live_hour = ?, missed = ?, newest = ?, seen_ms = ? WHERE dev = ?",
            )?
            .execute(params![
                device.cursor as i64,
                device.acked as i64,
                device.live_hour as i64,
                device.missed as i64,
                newest,
                device.seen_ms,
                dev.0
            ])?;
        let begun = &mut writer.begun;
        let Some(seen_max) = start::account(&begun.conn, &mut begun.world, acct)?.map(|a| a.seen_max) else { continue };
        begun
            .conn
            .prepare_cached("UPDATE account SET seen_max = ? WHERE id = ?")?
            .execute(params![seen_max as i64, acct.0])?;
        let low = begun.world.low_cursor(acct, begun.hour, HOLDS_HOURS).min(begun.folded);
        release(writer, acct, low)?;
    }
    Ok(())
}

/// Deletes what waits for an account up to a place, and the log rows that nobody else waits for.
pub fn release(writer: &mut Writer, acct: AcctId, low: u64) -> Result<(), StoreError> {
    let released: Vec<i64> = writer
        .begun
        .conn
        .prepare_cached("DELETE FROM pend WHERE acct = ? AND g <= ? RETURNING g")?
        .query_map(params![acct.0, low as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    count_missed(writer, acct, &released)?;
    released.into_iter().try_for_each(|g| unreference(writer, g))
}

/// Devices that were away too long learn how many entries went without them; their own do not count.
fn count_missed(writer: &mut Writer, acct: AcctId, released: &[i64]) -> Result<(), StoreError> {
    let begun = &mut writer.begun;
    let Some(account) = begun.world.accounts.get(&acct) else { return Ok(()) };
    for dev in &account.devices {
        let Some(device) = begun.world.devices.get_mut(dev) else { continue };
        for g in released.iter().filter(|g| **g as u64 > device.cursor) {
            let mut find = begun.conn.prepare_cached("SELECT 1 FROM log WHERE g = ? AND dev <> ?")?;
            if find.exists(params![g, dev.0])? {
                device.missed += 1;
            }
        }
        // In the transaction that deletes, however many cursors wait to be written (P2).
        let mut write = begun.conn.prepare_cached("UPDATE device SET missed = ?1 WHERE dev = ?2 AND missed <> ?1")?;
        write.execute(params![device.missed as i64, dev.0])?;
    }
    Ok(())
}

/// One account less waits for a row; the last one takes it along.
pub fn unreference(writer: &Writer, g: i64) -> Result<(), StoreError> {
    let conn = &writer.begun.conn;
    let left: Option<i64> = rusqlite::OptionalExtension::optional(
        conn.prepare_cached("UPDATE refs SET left = left - 1 WHERE g = ? RETURNING left")?
            .query_row([g], |row| row.get(0)),
    )?;
    if left.is_none_or(|left| left <= 0) {
        conn.prepare_cached("DELETE FROM log WHERE g = ?")?.execute([g])?;
    }
    if left.is_some_and(|left| left <= 0) {
        conn.prepare_cached("DELETE FROM refs WHERE g = ?")?.execute([g])?;
    }
    Ok(())
}

/// A log row that is too old: place, recipient, sender, device, incarnation, cseq, inboxes.
type Expiring = (i64, Option<u32>, Option<u32>, u32, i64, i64, Inboxes);

/// Retention: takes rows that nobody fetched in `offline_keep`, tells their senders, counts them for the devices that miss
/// them. Answers whether there is more to do.
pub fn expire(writer: &mut Writer, now_ms: i64) -> Result<bool, StoreError> {
    let Some(limit) = writer.begun.hour.checked_sub(writer.settings.offline_keep_hours) else { return Ok(false) };
    writer.write()?;
    let old: Vec<Expiring> = writer
        .begun
        .conn
        .prepare_cached(
            "SELECT g, acct, frm, dev, inc, cseq, audience, own FROM log WHERE g <= ? AND hour <= ? AND code = 0 ORDER BY g LIMIT ?",
        )?
        .query_map(params![writer.begun.folded as i64, limit as i64, EXPIRE_ROWS], |row| {
            let inboxes = Inboxes::of(row.get(1)?, row.get(2)?, row.get(7)?, row.get(6)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, inboxes))
        })?
        .collect::<Result<_, _>>()?;
    let more = old.len() as i64 == EXPIRE_ROWS;
    for (g, acct, from, dev, inc, cseq, inboxes) in old {
        for party in inboxes.parties() {
            let begun = &mut writer.begun;
            let waits =
                begun.conn.prepare_cached("DELETE FROM pend WHERE acct = ? AND g = ?")?.execute(params![party.0, g])?;
            if waits == 0 {
                continue;
            }
            let account = start::account(&begun.conn, &mut begun.world, party)?;
            let seen = account.map_or(0, |account| {
                account.waiting.forget();
                account.seen_max
            });
            count_missed(writer, party, &[g])?;
            if acct == Some(party.0) && seen < g as u64 && cseq > 0 {
                let device: Vec<u8> = writer
                    .begun
                    .conn
                    .prepare_cached("SELECT id FROM device WHERE dev = ?")?
                    .query_row([dev], |row| row.get(0))?;
                let mid = wire::Expired { device, incarnation: inc as u64, cseq: cseq as u64, code: Code::EXPIRED.0 };
                if let Some(sender) = from {
                    writer.tell_expired(AcctId(sender), mid, now_ms)?;
                }
            }
        }
        writer.begun.conn.prepare_cached("DELETE FROM refs WHERE g = ?")?.execute([g])?;
        writer.begun.conn.prepare_cached("DELETE FROM log WHERE g = ?")?.execute([g])?;
    }
    Ok(more)
}

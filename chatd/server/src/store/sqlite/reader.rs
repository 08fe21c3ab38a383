//! The readers' threads: look-ups that need no decision, each on a connection of its own.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chat_proto::id::{AccountName, DeviceId};
use chat_proto::wire;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Shared, schema};
use crate::planted::planted;
use crate::store::{AcctId, DevId, Enrolled, Entry, Failure, Inboxed, InviteHash, Login, Query, StoreError, User};

/// Starts `count` threads that answer what comes in.
pub fn spawn(dir: &Path, count: usize, queries: Receiver<Query>, shared: Arc<Shared>) -> Result<(), StoreError> {
    // std's receiver has one owner; the threads take turns at it.
    let queries = Arc::new(Mutex::new(queries));
    for n in 0..count {
        let conn = schema::open_reader(dir)?;
        let (queries, shared) = (Arc::clone(&queries), Arc::clone(&shared));
        std::thread::Builder::new()
            .name(format!("store-reader-{n}"))
            .spawn(move || run(&conn, &queries, &shared))
            .map_err(|error| StoreError::File { path: dir.to_owned(), error })?;
    }
    Ok(())
}

fn run(conn: &Connection, queries: &Mutex<Receiver<Query>>, shared: &Shared) {
    loop {
        let next = queries.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(query) = next else { return };
        // The caller sees a dropped answer and treats it like a lost connection.
        if let Err(error) = answer(conn, shared, query) {
            tracing::error!(%error, "a look-up failed");
        }
    }
}

fn answer(conn: &Connection, shared: &Shared, query: Query) -> Result<(), StoreError> {
    match query {
        Query::Credentials(name, answer) => drop(answer.send(credentials(conn, &name)?)),
        Query::Device(name, id, answer) => drop(answer.send(device(conn, &name, id.0)?)),
        Query::Admissible(name, id, answer) => drop(answer.send(admissible(conn, &name, id)?)),
        Query::Invite(hash, answer) => drop(answer.send(invite(conn, &hash)?)),
        Query::Devices(acct, answer) => drop(answer.send(devices(conn, acct)?)),
        Query::Inbox { acct, after, count, bytes, answer } => {
            drop(answer.send(inbox(conn, shared, acct, after, count, bytes)?));
        }
        Query::Blocked(acct, answer) => drop(answer.send(blocked(conn, acct)?)),
        Query::Whoelse { caller, after, limit, answer } => {
            drop(answer.send(whoelse(conn, shared, caller, &after, limit)?))
        }
        Query::Whoelsesince { caller, since_ms, after, limit, answer } => {
            drop(answer.send(whoelsesince(conn, shared, caller, since_ms, &after, limit)?));
        }
        Query::Users { after, limit, answer } => drop(answer.send(users(conn, shared, &after, limit)?)),
        Query::User(name, answer) => drop(answer.send(user(conn, shared, &name)?)),
        Query::Taken(name, answer) => drop(answer.send(taken(conn, &name)?)),
        Query::Failures(answer) => drop(answer.send(failures(conn)?)),
    }
    Ok(())
}

fn credentials(conn: &Connection, name: &AccountName) -> Result<Option<(AcctId, String)>, StoreError> {
    let mut find = conn.prepare_cached("SELECT id, phc FROM account WHERE name = ?")?;
    Ok(find.query_row([name.as_str()], |row| Ok((AcctId(row.get(0)?), row.get(1)?))).optional()?)
}

fn device(conn: &Connection, name: &AccountName, id: [u8; 16]) -> Result<Option<(Login, [u8; 32])>, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT a.id, d.dev, d.key FROM device d JOIN account a ON a.id = d.acct WHERE d.id = ? AND a.name = ? AND d.revoked = 0
           AND length(d.key) = 32",
    )?;
    let found = find.query_row(params![id, name.as_str()], |row| {
        let login = Login { acct: AcctId(row.get(0)?), name: name.clone(), dev: DevId(row.get(1)?), id: DeviceId(id) };
        Ok((login, row.get(2)?))
    });
    Ok(found.optional()?)
}

fn admissible(conn: &Connection, name: &AccountName, id: DeviceId) -> Result<bool, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT 1 FROM device d JOIN account a ON a.id = d.acct WHERE d.id = ? AND a.name = ? AND d.revoked = 0 AND a.locked = 0
           AND length(d.key) = 32",
    )?;
    Ok(find.exists(params![id.0, name.as_str()])?)
}

fn invite(conn: &Connection, hash: &InviteHash) -> Result<Option<Option<AccountName>>, StoreError> {
    let mut find = conn.prepare_cached("SELECT name FROM invite WHERE hash = ?")?;
    let name: Option<Option<String>> = find.query_row([hash], |row| row.get(0)).optional()?;
    let parse = |name: String| AccountName::try_from(name).map_err(|e| StoreError::Damaged(e.to_string()));
    name.map(|name| name.map(parse).transpose()).transpose()
}

fn devices(conn: &Connection, acct: AcctId) -> Result<Vec<Enrolled>, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT dev, id, name, since_ms, seen_ms FROM device WHERE acct = ? AND revoked = 0 ORDER BY dev",
    )?;
    let rows = find.query_map([acct.0], |row| {
        Ok(Enrolled {
            dev: DevId(row.get(0)?),
            id: DeviceId(row.get(1)?),
            name: row.get(2)?,
            since_ms: row.get(3)?,
            seen_ms: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Unfolded places are copied first, folded ones read after: what the folder moves in between is seen twice, never not at all.
fn inbox(
    conn: &Connection,
    shared: &Shared,
    acct: AcctId,
    after: u64,
    count: usize,
    bytes: usize,
) -> Result<Inboxed, StoreError> {
    let unfolded: Vec<u64> = {
        let unfolded = shared.unfolded.lock().unwrap_or_else(PoisonError::into_inner);
        let places = unfolded.get(&acct).map_or(&[][..], |p| p.as_slice());
        places[places.partition_point(|g| *g <= after)..].iter().take(count + 1).copied().collect()
    };
    let mut page = Page { inboxed: Inboxed { entries: Vec::new(), end: true }, size: 0, count, bytes };
    let entry = |row: &rusqlite::Row<'_>| {
        let tail: Vec<u8> = row.get(2)?;
        Ok(Entry { n: row.get::<_, i64>(0)? as u64, device: DevId(row.get(1)?), tail: Bytes::from(tail) })
    };
    let mut folded = conn.prepare_cached(
        "SELECT l.g, l.dev, l.tail FROM pend p JOIN log l ON l.g = p.g WHERE p.acct = ? AND p.g > ? ORDER BY p.g LIMIT ?",
    )?;
    for found in folded.query_map(params![acct.0, after as i64, count as i64 + 1], entry)? {
        if !page.take(found?) {
            return Ok(page.inboxed);
        }
    }
    let last = page.inboxed.entries.last().map_or(after, |e| e.n);
    let mut single = conn.prepare_cached("SELECT g, dev, tail FROM log WHERE g = ?")?;
    for g in unfolded.into_iter().filter(|g| *g > last) {
        // A row that is not there was acknowledged and folded away meanwhile.
        if let Some(found) = single.query_row([g as i64], entry).optional()?
            && !page.take(found)
        {
            break;
        }
    }
    Ok(page.inboxed)
}

/// A page being filled.
struct Page {
    inboxed: Inboxed,
    size: usize,
    count: usize,
    bytes: usize,
}

impl Page {
    /// Takes an entry; false when the page is full and there is more.
    fn take(&mut self, entry: Entry) -> bool {
        let full = self.inboxed.entries.len() >= self.count || (self.size >= self.bytes && self.size > 0);
        if full {
            self.inboxed.end = false;
            return false;
        }
        self.size += entry.tail.len();
        self.inboxed.entries.push(entry);
        true
    }
}

fn blocked(conn: &Connection, acct: AcctId) -> Result<Vec<AccountName>, StoreError> {
    let mut find = conn
        .prepare_cached("SELECT a.name FROM block b JOIN account a ON a.id = b.who WHERE b.by = ? ORDER BY a.name")?;
    let names = find.query_map([acct.0], |row| row.get::<_, String>(0))?;
    names.map(|name| AccountName::try_from(name?).map_err(|e| StoreError::Damaged(e.to_string()))).collect()
}

/// Accounts that block the caller: it must not see them.
fn blockers(conn: &Connection, caller: AcctId) -> Result<std::collections::HashSet<u32>, StoreError> {
    let mut find = conn.prepare_cached("SELECT by FROM block WHERE who = ?")?;
    Ok(find.query_map([caller.0], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn whoelse(
    conn: &Connection,
    shared: &Shared,
    caller: AcctId,
    after: &str,
    limit: usize,
) -> Result<wire::People, StoreError> {
    let hidden = if planted("whoelse-shows-blocker") { Default::default() } else { blockers(conn, caller)? };
    let online = shared.online.read().unwrap_or_else(PoisonError::into_inner);
    let mut items: Vec<wire::Person> = online
        .iter()
        .filter(|(name, (acct, _))| name.as_str() > after && *acct != caller && !hidden.contains(&acct.0))
        .take(limit + 1)
        .map(|(name, (_, since_ms))| wire::Person {
            account: name.to_string(),
            online: true,
            since_ms: *since_ms,
            ..Default::default()
        })
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(wire::People { items, more })
}

fn whoelsesince(
    conn: &Connection,
    shared: &Shared,
    caller: AcctId,
    since_ms: i64,
    after: &str,
    limit: usize,
) -> Result<wire::People, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT a.name, max(s.from_ms), max(coalesce(s.to_ms, 0)) FROM session s JOIN account a ON a.id = s.acct
         WHERE (s.to_ms IS NULL OR s.to_ms >= ?1) AND a.id <> ?2 AND a.name > ?3
           AND NOT EXISTS (SELECT 1 FROM block b WHERE b.who = ?2 AND b.by = a.id)
         GROUP BY a.id ORDER BY a.name LIMIT ?4",
    )?;
    let rows: Vec<(String, i64, i64)> = find
        .query_map(params![since_ms, caller.0, after, limit as i64 + 1], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let online = shared.online.read().unwrap_or_else(PoisonError::into_inner);
    let mut items: Vec<wire::Person> = rows
        .into_iter()
        .map(|(account, since_ms, last_seen_ms)| {
            let name = AccountName::try_from(account.clone()).ok();
            let online = name.is_some_and(|name| online.contains_key(&name));
            let last_seen_ms = if online { 0 } else { last_seen_ms };
            wire::Person { account, online, since_ms, last_seen_ms, away: false }
        })
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(wire::People { items, more })
}

const USER: &str = "SELECT a.id, a.name, a.since_ms, (SELECT count(*) FROM device d WHERE d.acct = a.id AND d.revoked = 0),
   (SELECT count(*) FROM pend p WHERE p.acct = a.id), coalesce((SELECT max(to_ms) FROM session s WHERE s.acct = a.id), 0),
   a.locked, a.phc FROM account a";

fn users(conn: &Connection, shared: &Shared, after: &str, limit: usize) -> Result<Vec<User>, StoreError> {
    let mut find = conn.prepare_cached(&format!("{USER} WHERE a.name > ? ORDER BY a.name LIMIT ?"))?;
    let mut rows = find.query(params![after, limit as i64])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        users.push(read_user(row, shared)?);
    }
    Ok(users)
}

fn user(conn: &Connection, shared: &Shared, name: &AccountName) -> Result<Option<User>, StoreError> {
    let mut find = conn.prepare_cached(&format!("{USER} WHERE a.name = ?"))?;
    let mut rows = find.query([name.as_str()])?;
    rows.next()?.map(|row| read_user(row, shared)).transpose()
}

fn read_user(row: &rusqlite::Row<'_>, shared: &Shared) -> Result<User, StoreError> {
    let (id, name, folded, last_seen_ms): (u32, String, i64, i64) =
        (row.get(0)?, row.get(1)?, row.get(4)?, row.get(5)?);
    let name = AccountName::try_from(name).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let online = shared.online.read().unwrap_or_else(PoisonError::into_inner).contains_key(&name);
    let unfolded = shared.unfolded.lock().unwrap_or_else(PoisonError::into_inner);
    let waiting = folded as u64 + unfolded.get(&AcctId(id)).map_or(0, |places| places.len() as u64);
    Ok(User {
        name,
        since_ms: row.get(2)?,
        devices: row.get(3)?,
        waiting,
        online,
        last_seen_ms: if online { 0 } else { last_seen_ms },
        locked: row.get(6)?,
        phc: row.get(7)?,
    })
}

fn taken(conn: &Connection, name: &AccountName) -> Result<bool, StoreError> {
    let mut find = conn.prepare_cached(
        "SELECT 1 FROM account WHERE name = ?1 UNION SELECT 1 FROM gone WHERE name = ?1 UNION SELECT 1 FROM invite WHERE name = ?1",
    )?;
    Ok(find.exists([name.as_str()])?)
}

fn failures(conn: &Connection) -> Result<Vec<Failure>, StoreError> {
    let mut find = conn.prepare_cached("SELECT key, count, locks, left_ms FROM failure")?;
    let rows = find.query_map([], |row| {
        Ok(Failure { key: row.get(0)?, count: row.get(1)?, locks: row.get(2)?, left_ms: row.get::<_, i64>(3)? as u64 })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

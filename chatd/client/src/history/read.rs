//! The questions: what a start needs, pages for people, bodies for the server.

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_proto::id::{Incarnation, MessageId, Position};
use chat_proto::limits::KNOWN_STREAMS;
use chat_proto::machine::hello::Epochs;
use chat_proto::machine::outbox::Entry;
use chat_proto::wire::{h8, kind};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Statement, params, params_from_iter};

use super::convert::{self, ACCEPTED, COLUMNS, FROM, QUEUED, i, reversed, u};
use super::{Counts, Found, KIND_GAP, Mark, Outgoing, Place, Restored, Row, Unsure, Wanted, file, private};

type Result<T> = rusqlite::Result<T>;

/// Rows of one page at most: what a terminal can use; bytes end it earlier.
const PAGE_ROWS: usize = 1000;
/// Bytes of a message's envelope in JSON, roughly.
const ENVELOPE: usize = 512;

pub(super) fn restore(c: &Connection) -> Result<Restored> {
    Ok(Restored {
        streams: streams(c)?,
        known: known(c)?,
        cursor: cursor(c)?,
        marks: marks(c)?,
        seen: seen(c)?,
        private: private::streams(c)?,
        files: file::all(c)?,
    })
}

fn known(c: &Connection) -> Result<Vec<Incarnation>> {
    c.prepare("SELECT inc FROM stream WHERE peer IS NULL ORDER BY ord DESC LIMIT ?")?
        .query_map([KNOWN_STREAMS as i64], |r| Ok(Incarnation(u(r.get(0)?))))?
        .collect()
}

/// Streams with open places, the newest, and the newest without open places: that one is the newest which the server is sure
/// to know, and it takes a device that does not name it for an old copy.
fn streams(c: &Connection) -> Result<Vec<(Incarnation, u64, Vec<Entry>)>> {
    const OPEN: &str = "(EXISTS (SELECT 1 FROM message m WHERE m.own = 1 AND m.state = 0 AND m.inc = s.inc) \
         OR EXISTS (SELECT 1 FROM message m WHERE m.void = 1 AND m.inc = s.inc))";
    let mut all = c.prepare(&format!(
        "SELECT inc, last FROM stream s WHERE peer IS NULL AND ({OPEN} OR ord = (SELECT max(ord) FROM stream WHERE peer IS NULL) \
         OR ord = (SELECT max(ord) FROM stream s WHERE peer IS NULL AND NOT {OPEN})) ORDER BY ord"
    ))?;
    let known = all.query_map([], |r| Ok((r.get::<_, i64>(0)?, u(r.get(1)?))))?.collect::<Result<Vec<_>>>()?;
    known
        .into_iter()
        .map(|(inc, last)| {
            let open = open(c, inc)?;
            let settled = open.first().map_or(last, |e| e.cseq - 1);
            Ok((Incarnation(u(inc)), settled, open))
        })
        .collect()
}

pub(super) fn open(c: &Connection, inc: i64) -> Result<Vec<Entry>> {
    // Two parts, each with an index of its own.
    let sql = "SELECT cseq, length(body), h, void FROM message WHERE own = 1 AND state = 0 AND void = 0 AND inc = ?1 \
         UNION ALL SELECT cseq, length(body), h, void FROM message WHERE void = 1 AND inc = ?1 ORDER BY cseq";
    c.prepare(sql)?
        .query_map([inc], |r| {
            Ok(Entry {
                cseq: u(r.get(0)?),
                size: size(r.get(1)?),
                h8: h8(&r.get::<_, Vec<u8>>(2)?).unwrap_or_default(),
                void: r.get(3)?,
            })
        })?
        .collect()
}

fn meta(c: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    c.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |r| r.get(0)).optional()
}

fn cursor(c: &Connection) -> Result<Option<Position>> {
    Ok(meta(c, "cursor")?.and_then(|bytes| {
        let part = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        Some(Position { epoch: part(0)?, nonce: part(8)?, n: part(16)? })
    }))
}

fn seen(c: &Connection) -> Result<Option<(u64, u64)>> {
    Ok(meta(c, "seen")?.and_then(|bytes| {
        let part = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        Some((part(0)?, part(8)?))
    }))
}

/// Only asked once per start of the server, so that it may look at every own message.
pub(super) fn lost(c: &Connection, epochs: &Epochs) -> Result<Vec<Unsure>> {
    let mut own = c.prepare(
        "SELECT s.ord, s.inc, s.last, m.state, m.epoch, m.nonce, m.n FROM message m JOIN stream s ON s.inc = m.inc AND s.peer IS NULL \
         WHERE m.own = 1 AND (m.state = ?1 OR m.void = 1 OR (m.state = ?2 AND m.kind = ?3 AND m.n IS NOT NULL))",
    )?;
    let mut rows = own.query(params![QUEUED, ACCEPTED, kind::DIRECT])?;
    // Only the newest starts are told: what stands before them is not lost, it is old.
    let told_from = epochs.0.first().map_or(0, |e| e.first);
    let mut streams = BTreeMap::new();
    while let Some(r) = rows.next()? {
        let lost = r.get::<_, i64>(3)? == ACCEPTED;
        if lost {
            let position = Position { epoch: u(r.get(4)?), nonce: u(r.get(5)?), n: u(r.get(6)?) };
            if position.n < told_from || epochs.knows(position) {
                continue;
            }
        }
        let fresh = Unsure { incarnation: Incarnation(u(r.get(1)?)), top: u(r.get(2)?), lost };
        streams.entry(r.get::<_, i64>(0)?).or_insert(fresh).lost |= lost;
    }
    Ok(streams.into_values().collect())
}

fn marks(c: &Connection) -> Result<Vec<Mark>> {
    c.prepare("SELECT peer, epoch, nonce, n FROM mark WHERE confirmed = 0")?
        .query_map([], |r| {
            let position = Position { epoch: u(r.get(1)?), nonce: u(r.get(2)?), n: u(r.get(3)?) };
            Ok(Mark { peer: r.get(0)?, position })
        })?
        .collect()
}

pub(super) fn load(c: &Connection, places: &[Place]) -> Result<Vec<Outgoing>> {
    let mut statement = c.prepare_cached(
        "SELECT recipient, kind, content_type, body, h FROM message WHERE own = 1 AND inc = ?1 AND cseq = ?2",
    )?;
    let mut found = Vec::with_capacity(places.len());
    for &place in places {
        let one = statement
            .query_row(params![i(place.incarnation.0), i(place.cseq)], |r| {
                Ok(Outgoing {
                    place,
                    to: r.get(0)?,
                    kind: r.get(1)?,
                    content_type: r.get(2)?,
                    body: Bytes::from(r.get::<_, Vec<u8>>(3)?),
                    h: r.get(4)?,
                })
            })
            .optional()?;
        found.extend(one);
    }
    Ok(found)
}

pub(super) fn forgotten(c: &Connection, incarnation: Incarnation, first: u64, last: u64) -> Result<Vec<Entry>> {
    let known = c
        .prepare_cached(
            "SELECT cseq, length(body), h, kind, state, void FROM message WHERE own = 1 AND inc = ?1 AND cseq BETWEEN ?2 AND ?3 \
             ORDER BY cseq",
        )?
        .query_map(params![i(incarnation.0), i(first), i(last)], |r| {
            // Queued: opened again before, in a session that broke before the server had it.
            let given_up: bool = r.get(5)?;
            let again = !given_up && [kind::DIRECT, kind::PRIVATE].contains(&r.get(3)?) && [QUEUED, ACCEPTED].contains(&r.get(4)?);
            Ok(Entry { cseq: u(r.get(0)?), size: size(r.get(1)?), h8: h8(&r.get::<_, Vec<u8>>(2)?).unwrap_or_default(), void: !again })
        })?
        .collect::<Result<Vec<Entry>>>()?;
    let mut known = known.into_iter().peekable();
    Ok((first..=last)
        .map(|cseq| known.next_if(|e| e.cseq == cseq).unwrap_or(Entry { cseq, size: 0, h8: 0, void: true }))
        .collect())
}

pub(super) fn page(c: &Connection, wanted: &Wanted) -> Result<(Vec<Row>, Option<u64>)> {
    let (conditions, mut values) = conditions(wanted);
    if let Some(count) = wanted.newest {
        let sql = format!(
            "SELECT min(idx) FROM (SELECT m.idx FROM message m WHERE {conditions} ORDER BY m.idx DESC LIMIT {count})"
        );
        let start: Option<i64> = c.prepare_cached(&sql)?.query_row(params_from_iter(&values), |r| r.get(0))?;
        let Some(start) = start else { return Ok((Vec::new(), None)) };
        values[0] = Value::Integer(start - 1);
    }
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE {conditions} ORDER BY m.idx LIMIT {}", PAGE_ROWS + 1);
    fill(&mut *c.prepare_cached(&sql)?, values, wanted.page_bytes)
}

/// The place to begin behind is always the first value.
fn conditions(wanted: &Wanted) -> (String, Vec<Value>) {
    let mut text = String::from("m.idx > ?1");
    let mut values = vec![Value::Integer(i(wanted.after))];
    let mut add = |condition: &str, value: Value| {
        values.push(value);
        text.push_str(&format!(" AND {condition} ?{}", values.len()));
    };
    if let Some(peer) = &wanted.peer {
        add("m.peer =", Value::Text(peer.clone()));
    }
    if let Some(before) = wanted.before {
        add("m.idx <", Value::Integer(i(before)));
    }
    if let Some(since) = wanted.since_ms {
        add("m.at_ms >=", Value::Integer(since));
    }
    if wanted.unread {
        text.push_str(" AND m.unread = 1");
    }
    if wanted.followed {
        text.push_str(" AND m.own <> 1");
    }
    (text, values)
}

fn fill(statement: &mut Statement<'_>, values: Vec<Value>, page_bytes: usize) -> Result<(Vec<Row>, Option<u64>)> {
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let row = convert::row(row)?;
        bytes += weight(&row);
        if !page.is_empty() && (bytes > page_bytes || page.len() == PAGE_ROWS) {
            let next = page.last().map(|row: &Row| row.index);
            return Ok((page, next));
        }
        page.push(row);
    }
    Ok((page, None))
}

fn size(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or_default()
}

/// Bytes of a message in JSON, roughly.
pub(super) fn weight(row: &Row) -> usize {
    ENVELOPE + as_json(&row.body)
}

/// Bytes of a body in JSON.
fn as_json(body: &[u8]) -> usize {
    body.iter().map(|b| if *b < 0x20 || *b == 0x7f { 6 } else { 1 + usize::from(matches!(b, b'"' | b'\\')) }).sum()
}

pub(super) fn conversations(c: &Connection, unread: bool, limit: u32) -> Result<Vec<(String, u64, Row)>> {
    let only = if unread { "WHERE c.unread > 0" } else { "" };
    let sql = format!(
        "SELECT {COLUMNS}, c.peer, c.unread FROM conversation c JOIN message m ON m.idx = c.last \
         LEFT JOIN receipt r ON r.peer = m.peer {only} ORDER BY c.last DESC LIMIT ?1"
    );
    c.prepare_cached(&sql)?.query_map([limit], |r| Ok((r.get(22)?, u(r.get(23)?), convert::row(r)?)))?.collect()
}

pub(super) fn unread(c: &Connection, peer: Option<&str>) -> Result<Vec<(String, u64)>> {
    c.prepare_cached(
        "SELECT peer, unread FROM conversation WHERE unread > 0 AND (?1 IS NULL OR peer = ?1) ORDER BY unread DESC, peer",
    )?
    .query_map([peer], |r| Ok((r.get(0)?, u(r.get(1)?))))?
    .collect()
}

/// The table is in the order of names: a look at the first one that begins so, and at its neighbours.
pub(super) fn peers(c: &Connection, prefix: &str, limit: u32) -> Result<Vec<String>> {
    c.prepare_cached(
        "SELECT peer FROM conversation WHERE peer >= ?1 AND substr(peer, 1, length(?1)) = ?1 ORDER BY peer LIMIT ?2",
    )?
    .query_map((prefix, limit), |r| r.get(0))?
    .collect()
}

pub(super) fn find(c: &Connection, text: &str) -> Result<Found> {
    if let Some(row) = by_key(c, text)? {
        return Ok(Found::One(Box::new(row)));
    }
    let end = reversed(&text.to_ascii_lowercase());
    if end.is_empty() || !end.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(Found::None);
    }
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE m.rid >= ?1 AND m.rid < ?1 || '~' ORDER BY m.rid LIMIT 2");
    let mut found = c.prepare_cached(&sql)?.query_map([&end], convert::row)?.collect::<Result<Vec<Row>>>()?;
    Ok(match (found.pop(), found.is_empty()) {
        (None, _) => Found::None,
        (Some(row), true) => Found::One(Box::new(row)),
        (Some(_), false) => Found::Several,
    })
}

fn by_key(c: &Connection, key: &str) -> Result<Option<Row>> {
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE m.key = ?1");
    c.prepare_cached(&sql)?.query_row([key], convert::row).optional()
}

pub(super) fn row(c: &Connection, index: u64) -> Result<Option<Row>> {
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE m.idx = ?1");
    c.prepare_cached(&sql)?.query_row([i(index)], convert::row).optional()
}

pub(super) fn outbox(c: &Connection, limit: u32) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT {COLUMNS} {FROM} WHERE m.idx IN (SELECT idx FROM message WHERE own = 1 AND state = 0 \
         UNION SELECT idx FROM message WHERE own = 1 AND state >= 2 AND looked = 0) ORDER BY m.idx LIMIT ?1"
    );
    c.prepare_cached(&sql)?.query_map([limit], convert::row)?.collect()
}

pub(super) fn before(c: &Connection, index: u64) -> Result<Option<MessageId>> {
    c.prepare_cached("SELECT rid FROM message WHERE idx < ?1 AND kind <> ?2 ORDER BY idx DESC LIMIT 1")?
        .query_row(params![i(index), KIND_GAP], |r| r.get::<_, String>(0))
        .optional()
        .map(|rid| rid.map(|rid| MessageId(reversed(&rid))))
}

pub(super) fn head(c: &Connection) -> Result<u64> {
    c.prepare_cached("SELECT coalesce(max(idx), 0) FROM message")?.query_row([], |r| r.get(0).map(u))
}

pub(super) fn counts(c: &Connection) -> Result<Counts> {
    let (unread, people) = c
        .prepare_cached("SELECT coalesce(sum(unread), 0), count(*) FROM conversation WHERE unread > 0")?
        .query_row([], |r| Ok((u(r.get(0)?), u(r.get(1)?))))?;
    let count = |sql: &str| c.prepare_cached(sql)?.query_row([], |r| r.get(0).map(u));
    let queued = count("SELECT count(*) FROM message WHERE own = 1 AND state = 0")?;
    let failed = count("SELECT count(*) FROM message WHERE own = 1 AND state >= 2 AND looked = 0")?;
    Ok(Counts { unread, people, queued, failed })
}

pub(super) fn awaited(c: &Connection, limit: usize) -> Result<Vec<String>> {
    c.prepare_cached(
        "SELECT c.peer FROM conversation c LEFT JOIN receipt r ON r.peer = c.peer \
         WHERE c.sent_n > coalesce(r.read, 0) ORDER BY c.last DESC LIMIT ?1",
    )?
    .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |r| r.get(0))?
    .collect()
}

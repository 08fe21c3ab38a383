//! The changes: each [`Write`] as statements inside the batch's transaction.

use chat_proto::fault::Code;
use chat_proto::id::{DeviceId, Incarnation, Position, ServerId, StreamId};
use chat_proto::limits::CONTROL_EVENTS;
use chat_proto::machine::hello::Epoch;
use chat_proto::machine::outbox::Entry;
use chat_proto::machine::stream::is_new;
use chat_proto::wire::{Expired, h8, kind};
use prost::Message as _;
use rusqlite::{OptionalExtension, Transaction, params};

use super::convert::{self, ACCEPTED, COLUMNS, COLUMNS_WITHOUT_BODY, EXPIRED, FAILED, FROM, QUEUED, i, rid, u};
use super::{
    Done, Incoming, KIND_GAP, Mark, NewMessage, Own, PeerDevice, Place, Reach, ReadHere, Row, Verdict, Write, cursor,
    file, hooks, private, trace,
};

type Result<T> = rusqlite::Result<T>;

/// Applies one change. The time is kept for `trace` alone; nothing is decided by it.
pub(super) fn apply(t: &Transaction<'_>, write: &Write, at_ms: i64) -> Result<Done> {
    match write {
        Write::Queue(message) => queue(t, message),
        Write::Recall { key, h } => Ok(recall(t, key, h)?.unwrap_or(Done::Plain)),
        Write::Settle(verdicts) => settle(t, verdicts, at_ms),
        Write::Cancel { place, unsent } => cancel(t, *place, *unsent, Code::CANCELLED, at_ms),
        Write::Sent(places) => {
            places.iter().try_for_each(|(place, sending)| trace::sent(t, *place, *sending))?;
            Ok(Done::Plain)
        }
        Write::Reopen(places) => reopen(t, places),
        Write::Receive { account, device, entries, cursor } => receive(t, account, *device, entries, *cursor, at_ms),
        Write::MarkRead(indices) => mark_read(t, indices, at_ms),
        Write::ReadElsewhere(mark) => read_elsewhere(t, mark, at_ms),
        Write::MarkConfirmed(mark) => mark_confirmed(t, mark),
        Write::Reached(items) => reached(t, items, at_ms),
        Write::GiveUp(places, code) => {
            let mut rows = Vec::new();
            for place in places {
                if let Done::Changed(moved) = cancel(t, *place, true, *code, at_ms)? {
                    rows.extend(moved);
                }
            }
            Ok(Done::Changed(rows))
        }
        Write::ReceivePrivate(entries) => private::receive(t, entries, at_ms),
        Write::ReadThere { incarnation, cseq } => private::read_there(t, *incarnation, *cseq),
        Write::ForgetPeer(peer) => private::forget(t, peer, at_ms),
        Write::Looked(indices) => looked(t, indices),
        Write::Seen(epoch) => seen(t, *epoch),
        Write::Cursor(name, change) => cursor::apply(t, name, *change),
        Write::Hooks(write) => hooks::apply(t, write),
        Write::Files(writes) => file::apply(t, writes),
        Write::Belong { server, device } => belong(t, *server, *device),
    }
}

/// What a message with this key is: the same, or another one.
fn recall(t: &Transaction<'_>, key: &str, h: &[u8; 32]) -> Result<Option<Done>> {
    let sql = format!("SELECT {COLUMNS}, m.h {FROM} WHERE m.key = ?1");
    let known = t
        .prepare_cached(&sql)?
        .query_row([key], |r| Ok((convert::row(r)?, r.get::<_, Option<Vec<u8>>>(22)?)))
        .optional()?;
    Ok(known.map(|(row, known)| match known.as_deref() == Some(&h[..]) {
        true => Done::Queued { row: Box::new(row), entry: None },
        false => Done::Conflict,
    }))
}

fn queue(t: &Transaction<'_>, m: &NewMessage) -> Result<Done> {
    if let Some(known) = recall(t, &m.key, &m.h)? {
        return Ok(known);
    }
    let cseq = next_place(t, m.incarnation.0, m.peer.as_ref())?;
    let rid = rid(StreamId { device: m.device, incarnation: m.incarnation }, cseq);
    t.prepare_cached(
        "INSERT INTO message (rid, kind, own, sender, recipient, peer, device, inc, cseq, content_type, body, at_ms, state, key, h) \
         VALUES (?1, ?2, 1, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12)",
    )?
    .execute(params![
        rid,
        m.kind,
        m.from,
        m.to,
        m.device.0,
        i(m.incarnation.0),
        i(cseq),
        m.content_type,
        &m.body[..],
        m.at_ms,
        m.key,
        m.h
    ])?;
    let index = t.last_insert_rowid();
    talk(t, &m.to, index, 0)?;
    let row = Box::new(one(t, index)?);
    let entry = Entry { cseq, size: m.body.len(), h8: h8(&m.h).unwrap_or_default(), void: false };
    Ok(Done::Queued { row, entry: Some(entry) })
}

/// The next place of the stream; a new incarnation opens a stream.
fn next_place(t: &Transaction<'_>, inc: u64, peer: Option<&PeerDevice>) -> Result<u64> {
    t.prepare_cached(
        "INSERT INTO stream (inc, last, peer) VALUES (?1, 1, ?2) ON CONFLICT (inc) DO UPDATE SET last = last + 1 RETURNING last",
    )?
    .query_row(params![i(inc), peer.map(PeerDevice::bytes)], |r| r.get(0).map(u))
}

/// The newest message with somebody is this one.
pub(super) fn talk(t: &Transaction<'_>, peer: &str, index: i64, unread: i64) -> Result<()> {
    if peer.is_empty() {
        return Ok(());
    }
    t.prepare_cached(
        "INSERT INTO conversation (peer, last, unread) VALUES (?1, ?2, ?3) \
         ON CONFLICT (peer) DO UPDATE SET last = ?2, unread = unread + ?3",
    )?
    .execute(params![peer, index, unread])?;
    Ok(())
}

pub(super) fn one(t: &Transaction<'_>, index: i64) -> Result<Row> {
    let sql = format!("SELECT {COLUMNS} {FROM} WHERE m.idx = ?1");
    t.prepare_cached(&sql)?.query_row([index], convert::row)
}

pub(super) fn without_body(t: &Transaction<'_>, index: i64) -> Result<Row> {
    let sql = format!("SELECT {COLUMNS_WITHOUT_BODY} {FROM} WHERE m.idx = ?1");
    t.prepare_cached(&sql)?.query_row([index], convert::row)
}

fn settle(t: &Transaction<'_>, verdicts: &[Verdict], at_ms: i64) -> Result<Done> {
    let mut changed = Vec::new();
    for verdict in verdicts {
        let place = Place { incarnation: verdict.settle.incarnation, cseq: verdict.settle.cseq };
        verdict.sending.map(|sending| trace::sent(t, place, sending)).transpose()?;
        if let Some(index) = settle_one(t, verdict, at_ms)? {
            changed.push(without_body(t, index)?);
        }
    }
    Ok(Done::Changed(changed))
}

/// Only a queued row moves: a place that was voided again on a restored server keeps what was true of it. One that was
/// accepted before (it has a place on the server) and is refused now may have been delivered: its outcome is lost.
fn settle_one(t: &Transaction<'_>, v: &Verdict, at_ms: i64) -> Result<Option<i64>> {
    let s = &v.settle;
    let (state, code) = match s.code {
        Code::ACCEPTED => (ACCEPTED, None),
        code => (FAILED, Some(code.0)),
    };
    let p = s.position;
    let moved: Option<(i64, String, u32)> = t
        .prepare_cached(
            "UPDATE message SET state = ?3, code = CASE WHEN ?3 = 2 AND n IS NOT NULL THEN ?11 WHEN void = 1 AND ?4 = ?12 THEN ?13 ELSE ?4 END, void = 0, epoch = ?5, nonce = ?6, n = ?7, online = ?8, audience = ?9, missed = ?10, here_ms = ?14 \
             WHERE own = 1 AND state = 0 AND inc = ?1 AND cseq = ?2 RETURNING idx, peer, kind",
        )?
        .query_row(
            params![
                i(s.incarnation.0),
                i(s.cseq),
                state,
                code,
                p.map(|p| i(p.epoch)),
                p.map(|p| i(p.nonce)),
                p.map(|p| i(p.n)),
                v.online,
                v.audience,
                v.missed,
                Code::OUTCOME_LOST.0,
                Code::VOID.0,
                Code::CANCELLED.0,
                at_ms
            ],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )
        .optional()?;
    let Some((index, peer, kind_)) = moved else {
        // Cancelled before it was ever sent: the server has recorded that now.
        t.prepare_cached("UPDATE message SET void = 0 WHERE void = 1 AND inc = ?1 AND cseq = ?2")?
            .execute(params![i(s.incarnation.0), i(s.cseq)])?;
        return Ok(None);
    };
    if let Some(p) = p.filter(|_| kind_ == kind::DIRECT) {
        sent(t, &peer, p.n)?;
    }
    Ok(Some(index))
}

/// A message to this person stands at `n`: its receipts matter.
fn sent(t: &Transaction<'_>, peer: &str, n: u64) -> Result<()> {
    t.prepare_cached("UPDATE conversation SET sent_n = max(sent_n, ?2) WHERE peer = ?1")?
        .execute(params![peer, i(n)])?;
    Ok(())
}

fn cancel(t: &Transaction<'_>, place: Place, unsent: bool, code: Code, at_ms: i64) -> Result<Done> {
    let index: Option<i64> = t
        .prepare_cached(
            "UPDATE message SET void = 1, state = ?3, code = ?4, here_ms = CASE WHEN ?3 = 2 THEN ?5 ELSE here_ms END WHERE own = 1 AND state = 0 AND inc = ?1 AND cseq = ?2 \
             RETURNING idx",
        )?
        .query_row(
            params![i(place.incarnation.0), i(place.cseq), if unsent { FAILED } else { QUEUED }, code.0, at_ms],
            |r| r.get(0),
        )
        .optional()?;
    let row = index.map(|index| without_body(t, index)).transpose()?;
    Ok(Done::Changed(row.into_iter().collect()))
}

fn reopen(t: &Transaction<'_>, places: &[Place]) -> Result<Done> {
    let mut statement =
        t.prepare_cached("UPDATE message SET state = ?3, code = NULL WHERE own = 1 AND inc = ?1 AND cseq = ?2")?;
    for place in places {
        statement.execute(params![i(place.incarnation.0), i(place.cseq), QUEUED])?;
    }
    Ok(Done::Plain)
}

fn receive(
    t: &Transaction<'_>,
    account: &str,
    device: DeviceId,
    entries: &[Incoming],
    cursor: Position,
    at_ms: i64,
) -> Result<Done> {
    let (mut new, mut expired) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry.kind == kind::EXPIRED && entry.from.is_empty() {
            expired.extend(expire(t, entry, at_ms)?);
        } else if let Some(index) = take(t, account, device, entry, at_ms)? {
            new.push(one(t, index)?);
        }
    }
    put_cursor(t, Some(cursor))?;
    Ok(Done::Received { new, expired })
}

/// Stores an entry unless this host has it; answers its place.
fn take(t: &Transaction<'_>, account: &str, device: DeviceId, e: &Incoming, at_ms: i64) -> Result<Option<i64>> {
    let own = match e.device {
        Some(_) if !account.is_empty() && e.from == account => Own::Elsewhere,
        _ => Own::No,
    };
    // The server's own entries have no stream: their place in the log names them.
    let (from_device, inc, cseq) = match e.device {
        Some(device) => (device, e.place.incarnation, e.place.cseq),
        None => (DeviceId([0; 16]), Incarnation(e.position.nonce), e.position.n),
    };
    let rid = rid(StreamId { device: from_device, incarnation: inc }, cseq);
    let fresh = if from_device == device || e.device.is_none() {
        !t.prepare_cached("SELECT 1 FROM message WHERE rid = ?1")?.exists([&rid])?
    } else {
        first_sight(t, from_device, inc.0, cseq)?
    };
    if !fresh {
        return Ok(None);
    }
    let system = e.from.is_empty();
    let peer = match own {
        Own::No => &e.from,
        _ => &e.to,
    };
    let unread = own == Own::No && !system && !e.read;
    t.prepare_cached(
        "INSERT INTO message (rid, kind, own, sender, recipient, peer, device, inc, cseq, content_type, body, at_ms, state, \
         unread, epoch, nonce, n, here_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        rid,
        e.kind,
        if own == Own::No { 0 } else { 2 },
        e.from,
        e.to,
        peer,
        from_device.0,
        i(inc.0),
        i(cseq),
        e.content_type,
        &e.body[..],
        e.at_ms,
        ACCEPTED,
        unread,
        i(e.position.epoch),
        i(e.position.nonce),
        i(e.position.n),
        at_ms
    ])?;
    let index = t.last_insert_rowid();
    talk(t, peer, index, i64::from(unread))?;
    if own == Own::Elsewhere && e.kind == kind::DIRECT {
        sent(t, peer, e.position.n)?;
    }
    Ok(Some(index))
}

/// Whether a place of a sender's stream is new here; from now on it is not (contract, P3).
pub(super) fn first_sight(t: &Transaction<'_>, device: DeviceId, inc: u64, cseq: u64) -> Result<bool> {
    let highest: Option<i64> = t
        .prepare_cached("SELECT highest FROM instream WHERE device = ?1 AND inc = ?2")?
        .query_row(params![device.0, i(inc)], |r| r.get(0))
        .optional()?;
    if !is_new(highest.map_or(0, u), cseq) {
        return Ok(false);
    }
    t.prepare_cached(
        "INSERT INTO instream (device, inc, highest) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET highest = ?3",
    )?
    .execute(params![device.0, i(inc), i(cseq)])?;
    Ok(true)
}

fn expire(t: &Transaction<'_>, e: &Incoming, at_ms: i64) -> Result<Option<Row>> {
    let Ok(body) = Expired::decode(e.body.clone()) else { return Ok(None) };
    let Ok(device) = DeviceId::try_from(&body.device[..]) else { return Ok(None) };
    let stream = StreamId { device, incarnation: Incarnation(body.incarnation) };
    let moved: Option<i64> = t
        .prepare_cached(
            "UPDATE message SET state = ?2, code = ?3, over_ms = ?4 WHERE rid = ?1 AND own > 0 AND state <> ?2 RETURNING idx",
        )?
        .query_row(params![rid(stream, body.cseq), EXPIRED, body.code, at_ms], |r| r.get(0))
        .optional()?;
    moved.map(|index| without_body(t, index)).transpose()
}

fn mark_read(t: &Transaction<'_>, indices: &[u64], at_ms: i64) -> Result<Done> {
    let (mut peers, mut private) = (Vec::new(), Vec::new());
    for index in indices {
        let read: Option<(String, ReadHere, u32)> = t
            .prepare_cached(
                "UPDATE message SET unread = 0, read_ms = ?2 WHERE idx = ?1 AND unread = 1 RETURNING peer, device, inc, cseq, kind",
            )?
            .query_row(params![i(*index), at_ms], |r| {
                let place = Place { incarnation: Incarnation(u(r.get(2)?)), cseq: u(r.get(3)?) };
                Ok((r.get(0)?, ReadHere { device: DeviceId(r.get(1)?), place }, r.get(4)?))
            })
            .optional()?;
        if let Some((peer, read, kind_)) = read {
            if kind_ == kind::PRIVATE {
                private.push((peer.clone(), read));
            }
            t.prepare_cached("UPDATE conversation SET unread = max(unread - 1, 0) WHERE peer = ?1")?
                .execute([&peer])?;
            peers.push(peer);
        }
    }
    peers.sort_unstable();
    peers.dedup();
    let mut marks = Vec::new();
    for peer in peers {
        marks.extend(raise_mark(t, peer)?);
    }
    let private = private.into_iter().map(|(peer, read)| private::read_upto(t, &peer, read)).collect::<Result<_>>()?;
    Ok(Done::Marks { marks, private })
}

/// The mark stands before the first unread message: "read" must be true of everything below it.
fn raise_mark(t: &Transaction<'_>, peer: String) -> Result<Option<Mark>> {
    let first_unread: Option<i64> = t
        .prepare_cached("SELECT min(idx) FROM message WHERE peer = ?1 AND unread = 1")?
        .query_row([&peer], |r| r.get(0))?;
    let below: Option<(i64, i64, i64, i64)> = t
        .prepare_cached(
            "SELECT idx, epoch, nonce, n FROM message WHERE peer = ?1 AND own = 0 AND n IS NOT NULL AND idx < ?2 \
             ORDER BY idx DESC LIMIT 1",
        )?
        .query_row(params![peer, first_unread.unwrap_or(i64::MAX)], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .optional()?;
    let Some((index, epoch, nonce, n)) = below else { return Ok(None) };
    let raised = t
        .prepare_cached(
            "INSERT INTO mark (peer, idx, epoch, nonce, n, confirmed) VALUES (?1, ?2, ?3, ?4, ?5, 0) \
             ON CONFLICT (peer) DO UPDATE SET idx = ?2, epoch = ?3, nonce = ?4, n = ?5, confirmed = 0 WHERE idx < ?2",
        )?
        .execute(params![peer, index, epoch, nonce, n])?;
    let position = Position { epoch: u(epoch), nonce: u(nonce), n: u(n) };
    Ok((raised > 0).then_some(Mark { peer, position }))
}

fn read_elsewhere(t: &Transaction<'_>, mark: &Mark, at_ms: i64) -> Result<Done> {
    let count = t
        .prepare_cached("UPDATE message SET unread = 0, read_ms = ?3 WHERE peer = ?1 AND unread = 1 AND n <= ?2")?
        .execute(params![mark.peer, i(mark.position.n), at_ms])?;
    t.prepare_cached("UPDATE conversation SET unread = max(unread - ?2, 0) WHERE peer = ?1")?
        .execute(params![mark.peer, i64::try_from(count).unwrap_or(i64::MAX)])?;
    Ok(Done::Plain)
}

fn mark_confirmed(t: &Transaction<'_>, mark: &Mark) -> Result<Done> {
    t.prepare_cached("UPDATE mark SET confirmed = 1 WHERE peer = ?1 AND n = ?2")?
        .execute(params![mark.peer, i(mark.position.n)])?;
    Ok(Done::Plain)
}

fn reached(t: &Transaction<'_>, items: &[Reach], at_ms: i64) -> Result<Done> {
    let mut changed = Vec::new();
    for item in items {
        let (delivered, read) = t
            .prepare_cached("SELECT delivered, read FROM receipt WHERE peer = ?1")?
            .query_row([&item.peer], |r| Ok((u(r.get(0)?), u(r.get(1)?))))
            .optional()?
            .unwrap_or_default();
        // Who read it has it.
        let new_read = item.read.max(read);
        let new_delivered = item.delivered.max(delivered).max(new_read);
        if (new_delivered, new_read) == (delivered, read) {
            continue;
        }
        let further = |new: u64, old: u64| (new > old).then_some(new);
        trace::reach(t, &item.peer, further(new_delivered, delivered), further(new_read, read), at_ms)?;
        t.prepare_cached(
            "INSERT INTO receipt (peer, delivered, read) VALUES (?1, ?2, ?3) \
             ON CONFLICT (peer) DO UPDATE SET delivered = ?2, read = ?3",
        )?
        .execute(params![item.peer, i(new_delivered), i(new_read)])?;
        let sql = format!(
            "SELECT {COLUMNS_WITHOUT_BODY} {FROM} WHERE m.own > 0 AND m.state = 1 AND m.kind = {} AND m.peer = ?1 \
             AND m.n > ?2 AND m.n <= ?3 ORDER BY m.n LIMIT {CONTROL_EVENTS}",
            kind::DIRECT
        );
        let mut between = t.prepare_cached(&sql)?;
        // Two ranges and not their union: somebody who never shares what was read would make it grow for ever.
        for row in between.query_map(params![item.peer, i(read), i(new_read)], convert::row)? {
            changed.push(row?);
        }
        for row in between.query_map(params![item.peer, i(delivered.max(new_read)), i(new_delivered)], convert::row)? {
            changed.push(row?);
        }
    }
    Ok(Done::Changed(changed))
}

fn looked(t: &Transaction<'_>, indices: &[u64]) -> Result<Done> {
    let mut statement = t.prepare_cached("UPDATE message SET looked = 1 WHERE idx = ?1 AND own = 1 AND state >= 2")?;
    for index in indices {
        statement.execute([i(*index)])?;
    }
    Ok(Done::Plain)
}

fn belong(t: &Transaction<'_>, server: ServerId, device: DeviceId) -> Result<Done> {
    let was_server = put_meta(t, "server", &server.0)?;
    let was_device = put_meta(t, "device", &device.0)?;
    let same = |was: &Option<Vec<u8>>, now: &[u8]| was.as_deref().is_none_or(|was| was == now);
    if same(&was_server, &server.0) && same(&was_device, &device.0) {
        return Ok(Done::Belongs { moved: false, lost: Vec::new() });
    }
    // Places of another server or device are decided nowhere any more: their outcome is lost, never sent again.
    let lost = t
        .prepare_cached("UPDATE message SET state = ?1, code = ?2 WHERE own = 1 AND state = 0 RETURNING idx")?
        .query_map(params![FAILED, Code::OUTCOME_LOST.0], |r| r.get(0))?
        .collect::<Result<Vec<i64>>>()?;
    t.execute("DELETE FROM stream", [])?;
    t.execute("UPDATE message SET void = 0 WHERE void = 1", [])?;
    put_cursor(t, None)?;
    if !same(&was_server, &server.0) {
        t.execute_batch(
            "DELETE FROM receipt; DELETE FROM reach; DELETE FROM mark; UPDATE conversation SET sent_n = 0",
        )?;
    }
    let lost = lost.into_iter().map(|index| without_body(t, index)).collect::<Result<_>>()?;
    Ok(Done::Belongs { moved: true, lost })
}

fn seen(t: &Transaction<'_>, epoch: Epoch) -> Result<Done> {
    put_meta(t, "seen", &[epoch.epoch.to_be_bytes(), epoch.nonce.to_be_bytes()].concat())?;
    Ok(Done::Plain)
}

fn put_meta(t: &Transaction<'_>, name: &str, value: &[u8]) -> Result<Option<Vec<u8>>> {
    let was = t.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |r| r.get(0)).optional()?;
    t.prepare_cached("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")?
        .execute(params![name, value])?;
    Ok(was)
}

fn put_cursor(t: &Transaction<'_>, cursor: Option<Position>) -> Result<()> {
    match cursor {
        None => t.execute("DELETE FROM meta WHERE name = 'cursor'", []).map(|_| ()),
        Some(p) => {
            let mut bytes = [0u8; 24];
            bytes[..8].copy_from_slice(&p.epoch.to_be_bytes());
            bytes[8..16].copy_from_slice(&p.nonce.to_be_bytes());
            bytes[16..].copy_from_slice(&p.n.to_be_bytes());
            put_meta(t, "cursor", &bytes).map(|_| ())
        }
    }
}

/// A row that stands for `count` entries which the server no longer had.
pub fn gap(position: Position, count: u64, at_ms: i64) -> Incoming {
    Incoming {
        position,
        kind: KIND_GAP,
        from: String::new(),
        to: String::new(),
        device: None,
        place: Place { incarnation: Incarnation(position.nonce), cseq: position.n },
        at_ms,
        content_type: "text/plain".into(),
        body: count.to_string().into_bytes().into(),
        read: false,
    }
}

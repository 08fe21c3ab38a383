//! Texts of private sessions: streams to a peer's device, what came from one, what it read. The peer's commit is the verdict, so a
//! text is queued, then delivered; the server never hears of these rows (contract rule 13).

use chat_proto::control::message::State;
use chat_proto::fault::Code;
use chat_proto::id::{DeviceId, Incarnation, StreamId};
use chat_proto::limits::DECISIONS_KEPT;
use chat_proto::wire::{content_hash, h8, kind};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::convert::{ACCEPTED, FAILED, QUEUED, i, rid, u};
use super::read::open;
use super::write::{first_sight, one, talk, without_body};
use super::{Done, PeerDevice, PeerStream, Place, PrivateIncoming, ReadHere, Taken};

type Result<T> = rusqlite::Result<T>;

impl PeerDevice {
    /// As it is stored.
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.device.0[..], &self.key[..]].concat()
    }

    fn read(bytes: &[u8]) -> Option<PeerDevice> {
        let (device, key) = bytes.split_first_chunk::<16>()?;
        Some(PeerDevice { device: DeviceId(*device), key: key.try_into().ok()? })
    }
}

/// Streams to peers with places that are open, and the newest one to each.
pub(super) fn streams(c: &Connection) -> Result<Vec<PeerStream>> {
    let known = c
        .prepare(
            "SELECT peer, inc, last FROM stream s WHERE peer IS NOT NULL AND ( \
             EXISTS (SELECT 1 FROM message m WHERE m.own = 1 AND m.state = 0 AND m.inc = s.inc) \
             OR EXISTS (SELECT 1 FROM message m WHERE m.void = 1 AND m.inc = s.inc) \
             OR ord = (SELECT max(ord) FROM stream n WHERE n.peer = s.peer)) ORDER BY ord",
        )?
        .query_map([], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, i64>(1)?, u(r.get(2)?))))?
        .collect::<Result<Vec<_>>>()?;
    let mut streams = Vec::with_capacity(known.len());
    for (peer, inc, last) in known {
        let Some(peer) = PeerDevice::read(&peer) else { continue };
        let open = open(c, inc)?;
        let settled = open.first().map_or(last, |e| e.cseq - 1);
        streams.push(PeerStream { peer, incarnation: Incarnation(u(inc)), settled, open });
    }
    Ok(streams)
}

/// What is here of a peer's streams: for its welcome.
pub(super) fn taken(c: &Connection, device: DeviceId, named: &[Incarnation], account: &str) -> Result<Vec<Taken>> {
    named.iter().map(|incarnation| taken_of(c, device, *incarnation, account)).collect()
}

fn taken_of(c: &Connection, device: DeviceId, incarnation: Incarnation, account: &str) -> Result<Taken> {
    let last: Option<i64> = c
        .prepare_cached("SELECT highest FROM instream WHERE device = ?1 AND inc = ?2")?
        .query_row(params![device.0, i(incarnation.0)], |r| r.get(0))
        .optional()?;
    let last = last.map_or(0, u);
    let first = last.saturating_sub(DECISIONS_KEPT as u64 - 1).max(1);
    let stream = StreamId { device, incarnation };
    let mut taken = Taken { incarnation, last, decisions: Vec::new(), read: 0 };
    let first_unread: Option<i64> = c
        .prepare_cached("SELECT min(cseq) FROM message WHERE unread = 1 AND device = ?1 AND inc = ?2")?
        .query_row(params![device.0, i(incarnation.0)], |r| r.get(0))?;
    // "Read" must be true of everything below it.
    taken.read = first_unread.map_or(last, |first| u(first).saturating_sub(1)).min(last);
    let mut row = c.prepare_cached("SELECT content_type, body FROM message WHERE rid = ?1 AND own = 0")?;
    for cseq in first..=last {
        let found: Option<(String, Vec<u8>)> =
            row.query_row([rid(stream, cseq)], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        taken.decisions.push(match found {
            Some((content_type, body)) => {
                let h = content_hash(account, kind::PRIVATE, &content_type, &body);
                (h8(&h).unwrap_or_default(), Code::ACCEPTED)
            }
            None => (0, Code::VOID),
        });
    }
    Ok(taken)
}

/// Takes what came from a peer; places that are here already are passed over.
pub(super) fn receive(t: &Transaction<'_>, entries: &[PrivateIncoming], at_ms: i64) -> Result<Done> {
    let mut new = Vec::new();
    for entry in entries {
        if !first_sight(t, entry.device, entry.place.incarnation.0, entry.place.cseq)? {
            continue;
        }
        let Some(text) = &entry.text else { continue };
        let stream = StreamId { device: entry.device, incarnation: entry.place.incarnation };
        t.prepare_cached(
            "INSERT INTO message (rid, kind, own, sender, recipient, peer, device, inc, cseq, content_type, body, at_ms, state, \
             unread, here_ms) VALUES (?1, ?2, 0, ?3, ?4, ?3, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 1, ?12)",
        )?
        .execute(params![
            rid(stream, entry.place.cseq),
            kind::PRIVATE,
            entry.from,
            entry.to,
            entry.device.0,
            i(entry.place.incarnation.0),
            i(entry.place.cseq),
            text.content_type,
            &text.body[..],
            text.at_ms,
            ACCEPTED,
            at_ms
        ])?;
        let index = t.last_insert_rowid();
        talk(t, &entry.from, index, 1)?;
        new.push(one(t, index)?);
    }
    Ok(Done::Received { new, expired: Vec::new() })
}

/// The peer's user read everything up to a place of this stream.
pub(super) fn read_there(t: &Transaction<'_>, incarnation: Incarnation, cseq: u64) -> Result<Done> {
    let moved = t
        .prepare_cached(
            "UPDATE message SET peer_read = 1 WHERE own = 1 AND kind = ?1 AND state = ?2 AND peer_read = 0 AND inc = ?3 \
             AND cseq <= ?4 RETURNING idx",
        )?
        .query_map(params![kind::PRIVATE, ACCEPTED, i(incarnation.0), i(cseq)], |r| r.get(0))?
        .collect::<Result<Vec<i64>>>()?;
    Ok(Done::Changed(moved.into_iter().map(|index| without_body(t, index)).collect::<Result<_>>()?))
}

/// How far a peer's stream is read with this place of it: "read" must be true of everything below.
pub(super) fn read_upto(t: &Transaction<'_>, peer: &str, read: ReadHere) -> Result<ReadHere> {
    let first_unread: Option<i64> = t
        .prepare_cached("SELECT min(cseq) FROM message WHERE peer = ?1 AND unread = 1 AND device = ?2 AND inc = ?3")?
        .query_row(params![peer, read.device.0, i(read.place.incarnation.0)], |r| r.get(0))?;
    let below = first_unread.map_or(read.place.cseq, |first| u(first).saturating_sub(1));
    Ok(ReadHere { place: Place { cseq: below.min(read.place.cseq), ..read.place }, ..read })
}

/// Places of streams to a peer's device whose key is another now: they are never sent again.
pub(super) fn forget(t: &Transaction<'_>, peer: &PeerDevice, at_ms: i64) -> Result<Done> {
    let streams = t
        .prepare_cached("SELECT inc FROM stream WHERE peer = ?1")?
        .query_map([peer.bytes()], |r| r.get(0))?
        .collect::<Result<Vec<i64>>>()?;
    let mut lost = Vec::new();
    for inc in streams {
        t.prepare_cached("UPDATE message SET void = 0 WHERE void = 1 AND inc = ?1")?.execute([inc])?;
        let mut failed = t.prepare_cached(
            "UPDATE message SET state = ?3, code = ?2, void = 0, here_ms = ?5 WHERE own = 1 AND state = ?4 AND inc = ?1 \
             RETURNING idx",
        )?;
        lost.extend(
            failed
                .query_map(params![inc, Code::IDENTITY_CHANGED.0, FAILED, QUEUED, at_ms], |r| r.get(0))?
                .collect::<Result<Vec<i64>>>()?,
        );
    }
    t.prepare_cached("DELETE FROM stream WHERE peer = ?1")?.execute([peer.bytes()])?;
    Ok(Done::Changed(lost.into_iter().map(|index| without_body(t, index)).collect::<Result<_>>()?))
}

/// How far an own private text got.
pub(super) fn own_state(peer_read: bool) -> State {
    if peer_read { State::Read } else { State::Delivered }
}

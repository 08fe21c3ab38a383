//! Rows of the database as the types of the seam.

use bytes::Bytes;
use chat_proto::control::message::State;
use chat_proto::fault::Code;
use chat_proto::id::{Incarnation, MessageId, Mid, StreamId};
use chat_proto::wire::kind;
use rusqlite::types::Type;

use super::{Own, Place, Row, private};

/// Columns of a [`Row`] with its body, from `message m LEFT JOIN receipt r`.
pub(super) const COLUMNS: &str = "m.idx, m.rid, m.key, m.kind, m.own, m.sender, m.recipient, m.content_type, m.at_ms, m.state, \
     m.unread, m.code, m.inc, m.cseq, m.n, m.online, m.audience, m.missed, \
     coalesce(r.delivered, 0), coalesce(r.read, 0), m.body, m.peer_read";
/// The same without the body.
pub(super) const COLUMNS_WITHOUT_BODY: &str = "m.idx, m.rid, m.key, m.kind, m.own, m.sender, m.recipient, m.content_type, \
     m.at_ms, m.state, m.unread, m.code, m.inc, m.cseq, m.n, m.online, m.audience, m.missed, \
     coalesce(r.delivered, 0), coalesce(r.read, 0), x'', m.peer_read";
/// Where they come from.
pub(super) const FROM: &str = "FROM message m LEFT JOIN receipt r ON r.peer = m.peer";

pub(super) const QUEUED: i64 = 0;
pub(super) const ACCEPTED: i64 = 1;
pub(super) const FAILED: i64 = 2;
pub(super) const EXPIRED: i64 = 3;

/// Reads the columns of [`COLUMNS`].
pub(super) fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let rid: String = r.get(1)?;
    let own = own(r.get(4)?)?;
    let kind: u32 = r.get(3)?;
    let n = r.get::<_, Option<i64>>(14)?.map(u);
    let reach = (u(r.get(18)?), u(r.get(19)?));
    let state = match own {
        Own::No if r.get::<_, bool>(10)? => State::Delivered,
        Own::No => State::Read,
        Own::Here if kind == kind::PRIVATE && r.get::<_, i64>(9)? == ACCEPTED => private::own_state(r.get(21)?),
        Own::Here | Own::Elsewhere => own_state(r.get(9)?, kind, n, reach),
    };
    Ok(Row {
        index: u(r.get(0)?),
        id: MessageId(reversed(&rid)),
        key: r.get(2)?,
        kind,
        own,
        from: r.get(5)?,
        to: r.get(6)?,
        content_type: r.get(7)?,
        at_ms: r.get(8)?,
        state,
        code: r.get::<_, Option<u32>>(11)?.map(Code),
        place: Place { incarnation: Incarnation(u(r.get(12)?)), cseq: u(r.get(13)?) },
        n,
        online: r.get(15)?,
        audience: r.get(16)?,
        missed: r.get(17)?,
        body: Bytes::from(r.get::<_, Vec<u8>>(20)?),
    })
}

/// `delivered` and `read` are not stored: they follow from how far the recipient got (contract rule 10).
fn own_state(stored: i64, kind_: u32, n: Option<u64>, (delivered, read): (u64, u64)) -> State {
    match stored {
        QUEUED => State::Queued,
        ACCEPTED if kind_ != kind::DIRECT => State::Accepted,
        ACCEPTED if n.is_some_and(|n| n <= read) => State::Read,
        ACCEPTED if n.is_some_and(|n| n <= delivered) => State::Delivered,
        ACCEPTED => State::Accepted,
        EXPIRED => State::Expired,
        _ => State::Failed,
    }
}

fn own(stored: i64) -> rusqlite::Result<Own> {
    match stored {
        0 => Ok(Own::No),
        1 => Ok(Own::Here),
        2 => Ok(Own::Elsewhere),
        other => Err(rusqlite::Error::FromSqlConversionFailure(4, Type::Integer, format!("own = {other}").into())),
    }
}

/// The public id as it is stored: reversed, so that an end of it is a range of the index.
pub(super) fn rid(stream: StreamId, cseq: u64) -> String {
    reversed(&Mid { stream, cseq }.public().0)
}

pub(super) fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// SQLite's integers are signed: the same 64 bits.
pub(super) fn i(value: u64) -> i64 {
    value.cast_signed()
}

pub(super) fn u(value: i64) -> u64 {
    value.cast_unsigned()
}

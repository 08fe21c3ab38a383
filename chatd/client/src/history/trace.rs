//! The times of a message that `trace` shows. They are kept in the commits that change the message anyway, by this host's clock.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::convert::{i, u};
use super::{Place, Sending};

type Result<T> = rusqlite::Result<T>;

/// Everybody has everything up to a place.
const DELIVERED: i64 = 1;
/// Everybody read everything up to a place.
const READ: i64 = 2;

/// When what happened to a message, as far as this host knows; milliseconds since 1970 by its own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Own: put on the link for the first time.
    pub sent_first_ms: Option<i64>,
    /// Own: for the last time.
    pub sent_last_ms: Option<i64>,
    /// Own: how often.
    pub sends: u64,
    /// Own: its verdict was written down. Others': it was.
    pub here_ms: Option<i64>,
    /// Own: it expired.
    pub over_ms: Option<i64>,
    /// Others': read by this account.
    pub read_ms: Option<i64>,
    /// Own: known to be on one of the recipient's devices.
    pub delivered_ms: Option<i64>,
    /// Own: known to be read by the recipient.
    pub read_there_ms: Option<i64>,
    /// Others': the server knows that it was read.
    pub read_told: bool,
}

/// The times of the message at a place.
pub(super) fn times(c: &Connection, index: u64) -> Result<Option<Times>> {
    let sql = "SELECT m.sent_first_ms, m.sent_last_ms, m.sends, m.here_ms, m.over_ms, m.read_ms, m.own, m.peer, m.n, \
         coalesce(k.confirmed AND k.idx >= m.idx, 0) \
         FROM message m LEFT JOIN mark k ON k.peer = m.peer WHERE m.idx = ?1";
    let found = c
        .prepare_cached(sql)?
        .query_row([i(index)], |r| {
            let times = Times {
                sent_first_ms: r.get(0)?,
                sent_last_ms: r.get(1)?,
                sends: u(r.get(2)?),
                here_ms: r.get(3)?,
                over_ms: r.get(4)?,
                read_ms: r.get(5)?,
                read_told: r.get(9)?,
                ..Times::default()
            };
            Ok((times, r.get::<_, i64>(6)? > 0, r.get::<_, String>(7)?, r.get::<_, Option<i64>>(8)?))
        })
        .optional()?;
    let Some((mut times, own, peer, n)) = found else { return Ok(None) };
    if let Some(n) = n.filter(|_| own && !peer.is_empty()) {
        times.delivered_ms = reached(c, &peer, DELIVERED, n)?;
        times.read_there_ms = reached(c, &peer, READ, n)?;
    }
    Ok(Some(times))
}

fn reached(c: &Connection, peer: &str, what: i64, n: i64) -> Result<Option<i64>> {
    c.prepare_cached("SELECT at_ms FROM reach WHERE peer = ?1 AND what = ?2 AND n >= ?3 ORDER BY n LIMIT 1")?
        .query_row(params![peer, what, n], |r| r.get(0))
        .optional()
}

/// Places were put on the link.
pub(super) fn sent(t: &Transaction<'_>, place: Place, sending: Sending) -> Result<()> {
    t.prepare_cached(
        "UPDATE message SET sends = sends + ?3, sent_first_ms = coalesce(sent_first_ms, ?4), sent_last_ms = ?5 \
         WHERE own = 1 AND inc = ?1 AND cseq = ?2",
    )?
    .execute(params![
        i(place.incarnation.0),
        i(place.cseq),
        i(sending.count),
        sending.first_ms,
        sending.last_ms
    ])?;
    Ok(())
}

/// Somebody got so far; what was known before is left out.
pub(super) fn reach(
    t: &Transaction<'_>,
    peer: &str,
    delivered: Option<u64>,
    read: Option<u64>,
    at_ms: i64,
) -> Result<()> {
    for (what, n) in [(DELIVERED, delivered), (READ, read)] {
        if let Some(n) = n {
            t.prepare_cached(
                "INSERT INTO reach (peer, what, n, at_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![peer, what, i(n), at_ms])?;
        }
    }
    Ok(())
}

//! Counting what waits in inboxes, for [`crate::store::waiting`]: the rows behind the account's furthest device, folded or
//! not, and to whom an account wrote. Inside the writer's transaction.

use std::collections::HashMap;
use std::sync::PoisonError;

use chat_proto::limits::CONTACTS_REMEMBERED;
use rusqlite::params;

use super::start::{self, Begun};
use super::writer::Writer;
use crate::planted::planted;
use crate::store::waiting::Quota;
use crate::store::{AcctId, StoreError};

/// Whether a message of `from` has room in an account's inbox.
pub fn has_room(begun: &mut Begun, quota: Quota, account: AcctId, from: AcctId) -> Result<bool, StoreError> {
    let Some(held) = start::account(&begun.conn, &mut begun.world, account)? else { return Ok(false) };
    if held.waiting.must_be_counted(quota) {
        let seen = held.seen_max;
        let rows = count(begun, account, seen)?;
        if let Some(held) = begun.world.accounts.get_mut(&account) {
            held.waiting.count(quota, rows);
        }
    }
    let (conn, world) = (&begun.conn, &mut begun.world);
    let Some(held) = world.accounts.get_mut(&account) else { return Ok(false) };
    held.waiting.has_room(quota, from, || is_contact(conn, account, from))
}

/// How many entries of whom wait behind `seen`, those of the present transaction included, and whether the account wrote to
/// him. Its own messages do not count.
fn count(begun: &Begun, account: AcctId, seen: u64) -> Result<Vec<(Option<AcctId>, u32, bool)>, StoreError> {
    let mut senders: HashMap<Option<AcctId>, u32> = HashMap::new();
    let mut folded = begun.conn.prepare_cached(
        "SELECT l.frm, count(*) FROM pend p JOIN log l ON l.g = p.g WHERE p.acct = ? AND p.g > ? GROUP BY l.frm",
    )?;
    let mut rows = folded.query(params![account.0, seen as i64])?;
    while let Some(row) = rows.next()? {
        *senders.entry(row.get::<_, Option<u32>>(0)?.map(AcctId)).or_default() += row.get::<_, u32>(1)?;
    }
    let mut unfolded = begun.conn.prepare_cached(
        "SELECT frm, audience FROM log WHERE g > ?1 AND code = 0 AND (acct = ?2 OR audience IS NOT NULL)",
    )?;
    let mut rows = unfolded.query(params![begun.folded.max(seen) as i64, account.0])?;
    while let Some(row) = rows.next()? {
        let audience: Option<Vec<u8>> = row.get(1)?;
        if audience.is_none_or(|a| start::decode_audience(&a).any(|party| party == account)) {
            *senders.entry(row.get::<_, Option<u32>>(0)?.map(AcctId)).or_default() += 1;
        }
    }
    senders.remove(&Some(account));
    let with_contact = |(from, waiting): (Option<AcctId>, u32)| {
        Ok((from, waiting, from.map_or(Ok(true), |from| is_contact(&begun.conn, account, from))?))
    };
    senders.into_iter().map(with_contact).collect()
}

fn is_contact(conn: &rusqlite::Connection, account: AcctId, who: AcctId) -> Result<bool, StoreError> {
    let mut find = conn.prepare_cached("SELECT 1 FROM contact WHERE acct = ? AND who = ?")?;
    Ok(find.exists(params![account.0, who.0])?)
}

impl Writer {
    /// An account's furthest device saw everything up to a place; `before` is where it was.
    pub fn waits_no_longer(&mut self, acct: AcctId, before: u64, seen: u64) -> Result<(), StoreError> {
        let counted = self.begun.world.accounts.get(&acct).is_some_and(|account| account.waiting.is_counted());
        if !counted {
            return Ok(());
        }
        // What the present transaction added cannot have been given to anybody: whoever claims so is counted anew.
        let froms = if seen <= self.begun.committed { Some(self.senders(acct, before, seen)?) } else { None };
        let quota = self.quota();
        let Some(account) = self.begun.world.accounts.get_mut(&acct) else { return Ok(()) };
        match froms {
            Some(froms) => account.waiting.seen(quota, froms),
            None => account.waiting.forget(),
        }
        Ok(())
    }

    /// Who sent the entries of an inbox behind one place, up to another.
    fn senders(&self, acct: AcctId, before: u64, seen: u64) -> Result<Vec<Option<AcctId>>, StoreError> {
        let folded = self.begun.folded;
        let mut find = self.begun.conn.prepare_cached(
            "SELECT l.frm FROM pend p JOIN log l ON l.g = p.g WHERE p.acct = ? AND p.g > ? AND p.g <= ?",
        )?;
        let sender = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Option<u32>>(0)?.map(AcctId));
        let mut senders: Vec<_> = find
            .query_map(params![acct.0, before as i64, seen.min(folded) as i64], sender)?
            .collect::<Result<_, _>>()?;
        let places: Vec<u64> = {
            let unfolded = self.shared.unfolded.lock().unwrap_or_else(PoisonError::into_inner);
            let places = unfolded.get(&acct).map_or(&[][..], |places| places.as_slice());
            places.iter().copied().filter(|g| *g > before.max(folded) && *g <= seen).collect()
        };
        let mut single = self.begun.conn.prepare_cached("SELECT frm FROM log WHERE g = ?")?;
        for g in places {
            senders.push(single.query_row([g as i64], sender)?);
        }
        senders.retain(|from| *from != Some(acct));
        Ok(senders)
    }

    /// A message of `acct` to `to` was accepted: from now on `to` is no stranger to it.
    pub fn wrote_to(&mut self, acct: AcctId, to: AcctId) -> Result<(), StoreError> {
        let Some(account) = self.begun.world.accounts.get_mut(&acct) else { return Ok(()) };
        if account.wrote_to.contains(&to) {
            return Ok(());
        }
        if account.wrote_to.len() >= CONTACTS_REMEMBERED {
            account.wrote_to.clear();
        }
        account.wrote_to.insert(to);
        account.waiting.wrote_to(to);
        let mut keep = self.begun.conn.prepare_cached("INSERT OR IGNORE INTO contact(acct, who) VALUES(?, ?)")?;
        keep.execute(params![acct.0, to.0])?;
        Ok(())
    }

    /// What may wait in one inbox.
    pub fn quota(&self) -> Quota {
        Quota::of(self.settings.offline_max_per_user + u32::from(planted("quota-of-one-more")))
    }
}

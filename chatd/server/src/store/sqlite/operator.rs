//! What the operator does to accounts, inside the writer's transaction.

use chat_proto::fault::Code;
use chat_proto::id::AccountName;
use chat_proto::machine::presence::Reason;
use chat_proto::wire::{self, kind};
use rusqlite::params;

use super::people::Decided;
use super::writer::{Effect, Writer};
use super::{fold, start};
use crate::store::{AcctId, Deleted, DevId, StoreError};

/// A row that waits for an account that is deleted: its place, and of a message somebody else sent to it, the sender, the device's
/// id, incarnation and place in the stream.
type Waiting = (i64, Option<(u32, Vec<u8>, i64, i64)>);

impl Writer {
    /// One row with its audience, as a broadcast is: kept for all of them, though they leave.
    pub fn announcement(&mut self, text: String, now_ms: i64) -> Decided<u32> {
        if !self.begun.space.admits() {
            return Ok(Err(Code::STORAGE.into()));
        }
        let mut audience: Vec<AcctId> = self.begun.world.presence.all().collect();
        audience.sort_unstable();
        let sent = u32::try_from(audience.len()).unwrap_or(u32::MAX);
        if sent > 0 {
            let deliver = wire::Deliver {
                kind: kind::ANNOUNCEMENT,
                at_ms: now_ms,
                content_type: wire::TEXT_PLAIN.into(),
                body: text.into(),
                ..wire::Deliver::default()
            };
            self.own_entry(None, audience, DevId(0), deliver)?;
        }
        Ok(Ok(sent))
    }

    /// Whether the name belongs to an account, or did to one that was deleted (P2: it is never given to a second one).
    pub fn is_taken(&mut self, name: &AccountName) -> Result<bool, StoreError> {
        if start::account_by_name(&self.begun.conn, &mut self.begun.world, name)?.is_some() {
            return Ok(true);
        }
        Ok(self.begun.conn.prepare_cached("SELECT 1 FROM gone WHERE name = ?")?.exists([name.as_str()])?)
    }

    pub fn lock_account(&mut self, acct: AcctId, on: bool, now_ms: i64) -> Decided<bool> {
        let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, acct)? else {
            return Ok(Err(Code::UNKNOWN_USER.into()));
        };
        if account.locked == on {
            return Ok(Ok(false));
        }
        account.locked = on;
        self.write()?;
        self.begun.conn.prepare_cached("UPDATE account SET locked = ? WHERE id = ?")?.execute(params![on, acct.0])?;
        if on {
            self.put_out(acct, Code::ACCOUNT_LOCKED, now_ms)?;
            self.effects.push(Effect::Barred);
        }
        Ok(Ok(true))
    }

    pub fn delete_account(&mut self, acct: AcctId, now_ms: i64) -> Decided<Deleted> {
        let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, acct)? else {
            return Ok(Err(Code::UNKNOWN_USER.into()));
        };
        let (name, devices) = (account.name.clone(), account.devices.clone());
        self.write()?;
        self.put_out(acct, Code::ACCOUNT_GONE, now_ms)?;
        let expired = self.expire_all(acct, now_ms)?;
        for dev in &devices {
            self.take_key(acct, *dev)?;
        }
        let conn = &self.begun.conn;
        for sql in [
            "DELETE FROM block WHERE by = ?1 OR who = ?1",
            "DELETE FROM mark WHERE reader = ?1 OR sender = ?1",
            "DELETE FROM contact WHERE acct = ?1 OR who = ?1",
            "DELETE FROM session WHERE acct = ?1",
            "DELETE FROM account WHERE id = ?1",
        ] {
            conn.prepare_cached(sql)?.execute([acct.0])?;
        }
        conn.prepare_cached("INSERT INTO gone(name, id, at_ms) VALUES(?, ?, ?)")?.execute(params![
            name.as_str(),
            acct.0,
            now_ms
        ])?;
        let world = &mut self.begun.world;
        world.accounts.remove(&acct);
        world.names.remove(&name);
        for other in world.accounts.values_mut() {
            other.blocks.remove(&acct);
            other.followers.remove(&acct);
        }
        Ok(Ok(Deleted { devices: u32::try_from(devices.len()).unwrap_or(u32::MAX), expired }))
    }

    /// Ends all sessions of an account, and its grace: it is offline when this returns.
    fn put_out(&mut self, acct: AcctId, code: Code, now_ms: i64) -> Result<(), StoreError> {
        let devices = self.begun.world.accounts.get(&acct).map(|a| a.devices.clone()).unwrap_or_default();
        for dev in devices.iter().copied() {
            let Some(device) = self.begun.world.devices.get_mut(&dev) else { continue };
            if let Some(session) = device.live.take() {
                device.session_epoch += 1;
                device.live_hour = self.begun.hour;
                device.dirty = true;
                self.dirty.insert(dev);
                self.effects.push(Effect::End(session, code, false));
            }
        }
        // Once for each session, and once for the grace.
        while self.begun.world.presence.is_online(acct) {
            if let Some(change) = self.begun.world.presence.left(acct, Reason::Kicked) {
                self.gone(change, now_ms)?;
            }
        }
        for dev in devices {
            self.begun.world.broker.handle_device_gone(acct, dev, self.mono_ms);
        }
        self.tell_private()
    }

    /// What waits for an account will never be fetched: it goes, and the senders of what no device of it had are told. Answers how
    /// many messages that were.
    fn expire_all(&mut self, acct: AcctId, now_ms: i64) -> Result<u32, StoreError> {
        while self.unfolded() > 0 {
            fold::some(self)?;
        }
        let seen = self.begun.world.accounts.get(&acct).map_or(0, |account| account.seen_max);
        let waiting: Vec<Waiting> = self
            .begun
            .conn
            .prepare_cached(
                "SELECT p.g, l.frm, d.id, l.inc, l.cseq FROM pend p LEFT JOIN log l ON l.g = p.g AND l.acct = p.acct AND l.frm <> p.acct
                   AND l.cseq > 0 AND l.g > ?2 LEFT JOIN device d ON d.dev = l.dev WHERE p.acct = ?1 ORDER BY p.g",
            )?
            .query_map(params![acct.0, seen as i64], |row| {
                let sent: (Option<u32>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
                let mid = match sent {
                    (Some(from), Some(device)) => Some((from, device, row.get(3)?, row.get(4)?)),
                    _ => None,
                };
                Ok((row.get(0)?, mid))
            })?
            .collect::<Result<_, _>>()?;
        self.begun.conn.prepare_cached("DELETE FROM pend WHERE acct = ?")?.execute([acct.0])?;
        let mut expired = 0;
        for (g, mid) in waiting {
            fold::unreference(self, g)?;
            if let Some((from, device, inc, cseq)) = mid {
                let code = Code::ACCOUNT_GONE.0;
                let mid = wire::Expired { device, incarnation: inc as u64, cseq: cseq as u64, code };
                self.tell_expired(AcctId(from), mid, now_ms)?;
                expired += 1;
            }
        }
        Ok(expired)
    }
}

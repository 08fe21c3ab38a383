//! Passwords, revoked devices and invitations: what changes who may log in, inside the writer's transaction.

use chat_proto::fault::Code;
use chat_proto::id::{AccountName, DeviceId};
use chat_proto::limits::INVITES_MAX;
use chat_proto::machine::presence::Reason;
use chat_proto::wire::{self, kind};
use prost::Message;
use rusqlite::{OptionalExtension, params};

use super::people::Decided;
use super::writer::{Effect, Writer};
use super::{fold, start};
use crate::store::{AcctId, Asker, DevId, Fence, Invite, InviteHash, NewDevice, Revoke, StoreError};

/// How often the age of invitations is written down: a killed server forgets no more than this. Milliseconds.
pub const INVITES_WRITTEN_MS: u64 = 60_000;

impl Writer {
    /// Whether this is the account's stored hash: a password that was checked against another one does not count any more.
    pub fn fits(&self, acct: AcctId, phc: &str) -> Result<bool, StoreError> {
        let mut find = self.begun.conn.prepare_cached("SELECT 1 FROM account WHERE id = ? AND phc = ?")?;
        Ok(find.exists(params![acct.0, phc])?)
    }

    pub fn rehash(&mut self, acct: AcctId, old: &str, phc: &str) -> Result<(), StoreError> {
        self.write()?;
        self.begun
            .conn
            .prepare_cached("UPDATE account SET phc = ? WHERE id = ? AND phc = ?")?
            .execute(params![phc, acct.0, old])?;
        Ok(())
    }

    pub fn set_password(&mut self, acct: AcctId, phc: &str, revoke: Revoke, asker: Option<Asker>) -> Decided<u32> {
        if let Some(asker) = &asker {
            if !self.owns(asker.fence) {
                return Ok(Err(Code::REPLACED.into()));
            }
            if !self.fits(acct, &asker.old)? {
                return Ok(Err(Code::WRONG_CREDENTIALS.into()));
            }
        }
        let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, acct)? else {
            return Ok(Err(Code::UNKNOWN_USER.into()));
        };
        let lose: Vec<DevId> = match revoke {
            Revoke::None => Vec::new(),
            Revoke::All => account.devices.clone(),
            Revoke::Others(kept) => account.devices.iter().copied().filter(|dev| *dev != kept).collect(),
        };
        self.write()?;
        self.begun.conn.prepare_cached("UPDATE account SET phc = ? WHERE id = ?")?.execute(params![phc, acct.0])?;
        for dev in &lose {
            self.take_key(acct, *dev)?;
        }
        // The one who asks knows; where the operator did it, everybody is told.
        let (except, what) = match &asker {
            Some(asker) => (asker.fence.dev, wire::DeviceNotice::PASSWORD_CHANGED),
            None => (DevId(0), wire::DeviceNotice::PASSWORD_RESET),
        };
        let notice = wire::DeviceNotice { device: vec![0; 16], name: String::new(), what };
        self.notice(acct, except, kind::DEVICE, notice.encode_to_vec(), self.now_ms)?;
        Ok(Ok(u32::try_from(lose.len()).unwrap_or(u32::MAX)))
    }

    pub fn revoke(&mut self, fence: Fence, device: DeviceId) -> Decided<()> {
        if !self.owns(fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let world = &self.begun.world;
        let devices = world.accounts.get(&fence.acct).map(|account| account.devices.as_slice()).unwrap_or_default();
        let named = |dev: &&DevId| world.devices.get(dev).is_some_and(|held| held.id == device);
        let Some(dev) = devices.iter().find(named).copied() else { return Ok(Err(Code::UNKNOWN_DEVICE.into())) };
        let name = self.take_key(fence.acct, dev)?;
        let notice = wire::DeviceNotice { device: device.0.to_vec(), name, what: wire::DeviceNotice::REVOKED };
        self.notice(fence.acct, fence.dev, kind::DEVICE, notice.encode_to_vec(), self.now_ms)?;
        Ok(Ok(()))
    }

    /// A device is no device any more: no key, no session, no streams, nothing kept for it. Answers its name.
    pub fn take_key(&mut self, acct: AcctId, dev: DevId) -> Result<String, StoreError> {
        self.write()?;
        // What is not folded yet still counts it among the account's devices, and speaks of its streams.
        while self.unfolded() > 0 {
            fold::some(self)?;
        }
        self.begun.conn.prepare_cached("DELETE FROM stream WHERE dev = ?")?.execute([dev.0])?;
        let name = self
            .begun
            .conn
            .prepare_cached(
                "UPDATE device SET revoked = 1, key = x'', newest = NULL, session_epoch = session_epoch + 1 WHERE dev = ?
                 RETURNING name",
            )?
            .query_row([dev.0], |row| row.get(0))?;
        let world = &mut self.begun.world;
        let held = world.devices.remove(&dev);
        world.streams.retain(|(of, _), _| *of != dev);
        if let Some(account) = world.accounts.get_mut(&acct) {
            account.devices.retain(|other| *other != dev);
        }
        self.dirty.remove(&dev);
        if let Some(session) = held.and_then(|held| held.live) {
            self.effects.push(Effect::End(session, Code::REVOKED, false));
            if let Some(change) = self.begun.world.presence.left(acct, Reason::Logout) {
                self.gone(change, self.now_ms)?;
            }
        }
        self.begun.world.broker.handle_device_gone(acct, dev, self.mono_ms);
        self.tell_private()?;
        self.effects.push(Effect::Barred);
        let low = self.begun.world.low_cursor(acct, self.begun.hour, fold::HOLDS_HOURS).min(self.begun.folded);
        fold::release(self, acct, low)?;
        Ok(name)
    }

    /// Whether this was a device of the account before its key was taken.
    pub fn was_revoked(&self, acct: AcctId, device: &NewDevice) -> Result<bool, StoreError> {
        let mut find =
            self.begun.conn.prepare_cached("SELECT 1 FROM device WHERE id = ? AND acct = ? AND revoked = 1")?;
        Ok(find.exists(params![device.id.0, acct.0])?)
    }

    /// Whether an account of this name may be made: with an invitation that holds and is for it, or without one where no
    /// invitation is for that very name.
    pub fn invited(&mut self, name: &AccountName, invite: Option<&InviteHash>) -> Result<Result<(), Code>, StoreError> {
        self.age_invites(0)?;
        let conn = &self.begun.conn;
        let Some(hash) = invite else {
            let reserved = conn.prepare_cached("SELECT 1 FROM invite WHERE name = ?")?.exists([name.as_str()])?;
            return Ok(if reserved { Err(Code::NAME_TAKEN) } else { Ok(()) });
        };
        let mut find = conn.prepare_cached("SELECT 1 FROM invite WHERE hash = ?1 AND (name IS NULL OR name = ?2)")?;
        Ok(if find.exists(params![hash, name.as_str()])? { Ok(()) } else { Err(Code::BAD_INVITE) })
    }

    /// Takes one use off an invitation; it goes with its last one.
    pub fn use_invite(&mut self, hash: &InviteHash) -> Result<(), StoreError> {
        self.write()?;
        let conn = &self.begun.conn;
        conn.prepare_cached("UPDATE invite SET used = used + 1 WHERE hash = ?")?.execute([hash])?;
        conn.prepare_cached("DELETE FROM invite WHERE hash = ? AND used >= uses")?.execute([hash])?;
        Ok(())
    }

    pub fn create_invite(
        &mut self,
        hash: &InviteHash,
        name: Option<AccountName>,
        uses: u32,
        lasts_ms: u64,
    ) -> Decided<u32> {
        self.age_invites(0)?;
        if let Some(name) = &name
            && (self.is_taken(name)? || self.invited(name, None)?.is_err())
        {
            return Ok(Err(Code::NAME_TAKEN.into()));
        }
        let open: u32 = self.begun.conn.query_row("SELECT count(*) FROM invite", [], |row| row.get(0))?;
        if open >= INVITES_MAX {
            return Ok(Err(Code::LIMIT.into()));
        }
        self.write()?;
        self.begun
            .conn
            .prepare_cached("INSERT INTO invite(hash, name, since_ms, uses, left_ms) VALUES(?, ?, ?, ?, ?)")?
            .execute(params![
                hash,
                name.as_ref().map(AccountName::as_str),
                self.now_ms,
                uses,
                i64::try_from(lasts_ms).unwrap_or(i64::MAX)
            ])?;
        Ok(Ok(self.begun.conn.last_insert_rowid() as u32))
    }

    pub fn revoke_invite(&mut self, id: u32) -> Decided<()> {
        self.write()?;
        let gone = self.begun.conn.prepare_cached("DELETE FROM invite WHERE id = ?")?.execute([id])?;
        Ok(if gone > 0 { Ok(()) } else { Err(Code::UNKNOWN_INVITE.into()) })
    }

    pub fn invites(&mut self) -> Result<Vec<Invite>, StoreError> {
        self.age_invites(0)?;
        let mut find =
            self.begun.conn.prepare_cached("SELECT id, name, since_ms, uses, used, left_ms FROM invite ORDER BY id")?;
        let mut rows = find.query([])?;
        let mut invites = Vec::new();
        while let Some(row) = rows.next()? {
            let name: Option<String> = row.get(1)?;
            let name = name.map(AccountName::try_from).transpose().map_err(|e| StoreError::Damaged(e.to_string()))?;
            invites.push(Invite {
                id: row.get(0)?,
                name,
                since_ms: row.get(2)?,
                uses: row.get(3)?,
                used: row.get(4)?,
                left_ms: row.get::<_, i64>(5)? as u64,
            });
        }
        Ok(invites)
    }

    /// Invitations age by the time that the server runs: a clock that jumps neither ends nor prolongs one. Nothing is written
    /// before so many milliseconds have passed.
    pub fn age_invites(&mut self, at_least_ms: u64) -> Result<(), StoreError> {
        let passed = self.mono_ms.saturating_sub(self.invites_aged);
        if passed == 0 || passed < at_least_ms {
            return Ok(());
        }
        self.invites_aged = self.mono_ms;
        let any: Option<u32> = self
            .begun
            .conn
            .prepare_cached("SELECT 1 FROM invite LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        if any.is_none() {
            return Ok(());
        }
        self.write()?;
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let conn = &self.begun.conn;
        conn.prepare_cached("DELETE FROM invite WHERE left_ms <= ?")?.execute([passed])?;
        conn.prepare_cached("UPDATE invite SET left_ms = left_ms - ?")?.execute([passed])?;
        Ok(())
    }
}

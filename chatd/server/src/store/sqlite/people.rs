//! Accounts, devices, sessions, blocks and marks: the operations about people, inside the writer's transaction.

use chat_proto::fault::{Code, Fault};
use chat_proto::id::AccountName;
use chat_proto::limits::{BLOCKS_MAX, MARKS_WAITING};
use chat_proto::machine::hello;
use chat_proto::machine::presence::{Change, Reason};
use chat_proto::wire::{self, kind};
use prost::Message;
use rusqlite::params;

use super::account::INVITES_WRITTEN_MS;
use super::fold;
use super::start;
use super::writer::{Effect, Writer};
use crate::planted::planted;
use crate::store::world::Device;
use crate::store::{
    AcctId, DevId, Ending, Failure, Fence, InviteHash, Login, NewDevice, OpenSession, Opened, Policy, PresenceChange,
    SessionNo, StoreError,
};

/// Two living copies of a device show as runs A, B, A within this time. Milliseconds.
const COPIES_WITHIN_MS: u64 = 60_000;
/// Milliseconds of an hour of running.
const HOUR_MS: u64 = 3_600_000;

/// What an operation decided, or why it was refused.
pub(super) type Decided<T> = Result<Result<T, Fault>, StoreError>;

impl Writer {
    pub fn create_account(
        &mut self,
        name: AccountName,
        phc: &str,
        device: NewDevice,
        invite: Option<InviteHash>,
    ) -> Decided<Login> {
        if let Err(code) = self.invited(&name, invite.as_ref())? {
            return Ok(Err(code.into()));
        }
        if self.device_exists(&device)? {
            return Ok(Err(Code::FORBIDDEN.into()));
        }
        let acct = match self.add_account(&name, phc)? {
            Ok(acct) => acct,
            Err(refused) => return Ok(Err(refused)),
        };
        let id = device.id;
        let dev = self.insert_device(acct, device, self.begun.next - 1)?;
        if let Some(invite) = &invite {
            self.use_invite(invite)?;
        }
        Ok(Ok(Login { acct, name, dev, id }))
    }

    pub fn add_account(&mut self, name: &AccountName, phc: &str) -> Decided<AcctId> {
        if self.is_taken(name)? {
            return Ok(Err(Code::NAME_TAKEN.into()));
        }
        self.write()?;
        let head = (self.begun.next - 1) as i64;
        // One above all numbers that were ever given, to accounts that were deleted since too.
        self.begun
            .conn
            .prepare_cached(
                "INSERT INTO account(id, name, phc, since_ms, seen_max) VALUES(1 + max(
                   coalesce((SELECT max(id) FROM account), 0), coalesce((SELECT max(id) FROM gone), 0)), ?, ?, ?, ?)",
            )?
            .execute(params![name.as_str(), phc, self.now_ms, head])?;
        let acct = AcctId(self.begun.conn.last_insert_rowid() as u32);
        start::account(&self.begun.conn, &mut self.begun.world, acct)?;
        Ok(Ok(acct))
    }

    fn device_exists(&self, device: &NewDevice) -> Result<bool, StoreError> {
        let mut found = self.begun.conn.prepare_cached("SELECT 1 FROM device WHERE id = ?")?;
        Ok(found.exists([device.id.0])?)
    }

    fn insert_device(&mut self, acct: AcctId, device: NewDevice, cursor: u64) -> Result<DevId, StoreError> {
        self.write()?;
        let hour = self.begun.hour;
        self.begun
            .conn
            .prepare_cached(
                "INSERT INTO device(acct, id, key, name, cursor, acked, live_hour, since_ms) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                acct.0,
                device.id.0,
                device.key,
                device.name,
                cursor as i64,
                cursor as i64,
                hour as i64,
                self.now_ms
            ])?;
        let dev = DevId(self.begun.conn.last_insert_rowid() as u32);
        let held = Device {
            id: device.id,
            acct,
            key: Some(device.key),
            session_epoch: 0,
            cursor,
            acked: cursor,
            live_hour: hour,
            missed: 0,
            missed_told: None,
            newest: None,
            live: None,
            seen_ms: 0,
            runs: Vec::new(),
            duplicate: false,
            streams_begun: 0,
            dirty: false,
        };
        self.begun.world.devices.insert(dev, held);
        if let Some(account) = self.begun.world.accounts.get_mut(&acct) {
            account.devices.push(dev);
        }
        Ok(dev)
    }

    pub fn enrol(&mut self, acct: AcctId, phc: &str, device: NewDevice) -> Decided<Login> {
        let fits = self.fits(acct, phc)?;
        let account = start::account(&self.begun.conn, &mut self.begun.world, acct)?;
        let Some(account) = account.filter(|_| fits) else {
            return Ok(Err(Code::WRONG_CREDENTIALS.into()));
        };
        if account.locked {
            return Ok(Err(Code::ACCOUNT_LOCKED.into()));
        }
        let (name, devices, seen_max) = (account.name.clone(), account.devices.clone(), account.seen_max);
        let same = |dev: &&DevId| self.begun.world.devices.get(dev).is_some_and(|held| held.id == device.id);
        if let Some(dev) = devices.iter().find(same).copied() {
            let Some(held) = self.begun.world.devices.get(&dev) else { return Ok(Err(Code::FORBIDDEN.into())) };
            if held.key != Some(device.key) {
                // Where logouts forget keys the password alone says whose device it is: a logout may not have come through.
                if held.key.is_some() && !self.settings.forget_device {
                    return Ok(Err(Code::FORBIDDEN.into()));
                }
                self.set_key(dev, Some(device.key))?;
            }
            let Some(held) = self.begun.world.devices.get_mut(&dev) else { return Ok(Err(Code::FORBIDDEN.into())) };
            held.duplicate = false;
            held.runs.clear();
            return Ok(Ok(Login { acct, name, dev, id: device.id }));
        }
        if self.was_revoked(acct, &device)? {
            return Ok(Err(Code::REVOKED.into()));
        }
        if self.device_exists(&device)? {
            return Ok(Err(Code::FORBIDDEN.into()));
        }
        if devices.len() >= self.settings.devices_per_user && !self.give_up_one(acct, &devices)? {
            return Ok(Err(Code::TOO_MANY_DEVICES.into()));
        }
        let notice = wire::DeviceNotice {
            device: device.id.0.to_vec(),
            name: device.name.clone(),
            what: wire::DeviceNotice::ENROLLED,
        };
        let id = device.id;
        let start = if planted("new-device-reads-old-mail") { 0 } else { seen_max };
        let dev = self.insert_device(acct, device, start)?;
        self.notice(acct, dev, kind::DEVICE, notice.encode_to_vec(), self.now_ms)?;
        Ok(Ok(Login { acct, name, dev, id }))
    }

    /// Makes room for a device where logouts forget keys: of those without one, that which was live the longest ago goes.
    fn give_up_one(&mut self, acct: AcctId, devices: &[DevId]) -> Result<bool, StoreError> {
        let held = |dev: &DevId| self.begun.world.devices.get(dev).filter(|d| d.key.is_none() && d.live.is_none());
        let oldest = devices.iter().filter_map(|dev| Some((held(dev)?.live_hour, *dev))).min_by_key(|(hour, _)| *hour);
        let Some((_, dev)) = oldest else { return Ok(false) };
        self.take_key(acct, dev)?;
        Ok(true)
    }

    /// Gives a device a key, or takes it: what it sent and what waits for it stays.
    fn set_key(&mut self, dev: DevId, key: Option<[u8; 32]>) -> Result<(), StoreError> {
        self.write()?;
        let bytes = key.as_ref().map_or(&[][..], |key| &key[..]);
        self.begun.conn.prepare_cached("UPDATE device SET key = ? WHERE dev = ?")?.execute(params![bytes, dev.0])?;
        if let Some(device) = self.begun.world.devices.get_mut(&dev) {
            device.key = key;
        }
        if key.is_none() {
            self.effects.push(Effect::Barred);
        }
        Ok(())
    }

    pub fn open(&mut self, open: OpenSession) -> Decided<Opened> {
        let Login { acct, name, dev, .. } = open.login.clone();
        start::account(&self.begun.conn, &mut self.begun.world, acct)?;
        if let Err(code) = self.admit(&open) {
            return Ok(Err(code.into()));
        }
        self.write()?;
        let hour = self.begun.hour;
        let Some(device) = self.begun.world.devices.get_mut(&dev) else {
            return Ok(Err(Code::WRONG_CREDENTIALS.into()));
        };
        device.session_epoch += 1;
        device.live_hour = hour;
        device.seen_ms = open.now_ms;
        device.streams_begun = 0;
        let replaced = device.live.replace(open.session);
        let named: Vec<_> = open.streams.iter().map(|(inc, _)| *inc).collect();
        let known: Vec<_> = named.iter().chain(&open.known).copied().collect();
        let mut resume = hello::resume(&self.begun.epochs, open.cursor, device.acked, device.newest, &known);
        if open.cursor.is_some_and(|claimed| claimed.n >= self.begun.next) {
            // Beyond what was ever given: not known, whatever its epoch.
            resume = hello::Resume { cursor: device.acked, copy: false, restored: true };
        }
        if device.missed_told.is_some_and(|told| resume.cursor > told) {
            device.missed = 0;
        }
        // Told until the device is known to have got further: this WELCOME may be lost.
        let resync = device.missed;
        device.missed_told = (resync > 0).then_some(resume.cursor);
        let (epoch, device_id) = (device.session_epoch, device.id);
        self.begun
            .conn
            .prepare_cached("UPDATE device SET session_epoch = ?, live_hour = ?, seen_ms = ? WHERE dev = ?")?
            .execute(params![epoch as i64, hour as i64, open.now_ms, dev.0])?;
        match replaced {
            Some(old) => self.effects.push(Effect::End(old, Code::REPLACED, false)),
            None => self.came(acct, &name, open.now_ms)?,
        }
        if resume.copy {
            let name = self.device_name(dev)?;
            let notice = wire::DeviceNotice { device: device_id.0.to_vec(), name, what: wire::DeviceNotice::COPY };
            self.notice(acct, DevId(0), kind::DEVICE, notice.encode_to_vec(), open.now_ms)?;
        }
        let cursor = match (resume.restored, open.cursor) {
            (false, Some(claimed)) => {
                // Acknowledgements are not flushed on their own: a lost one is in the HELLO (contract rule 12).
                self.seen(acct, dev, claimed.n, claimed.n)?;
                claimed
            }
            _ => self.begun.epochs.position(resume.cursor),
        };
        let welcome = wire::Welcome {
            session_epoch: epoch,
            streams: self.stream_states(dev, &named)?,
            cursor: Some(cursor.into()),
            head: Some(self.begun.epochs.position(self.begun.next - 1).into()),
            copy: resume.copy,
            resync,
            restored: resume.restored,
            epochs: self.begun.epochs_told(),
            text_max: self.settings.text_max,
            now_ms: open.now_ms,
        };
        let marks = self.marks(acct)?;
        self.begun.world.broker.handle_opened_session(acct, dev, open.run, self.mono_ms);
        self.tell_private()?;
        Ok(Ok(Opened { epoch, welcome, cursor: resume.cursor, marks }))
    }

    fn device_name(&self, dev: DevId) -> Result<String, StoreError> {
        let mut find = self.begun.conn.prepare_cached("SELECT name FROM device WHERE dev = ?")?;
        Ok(find.query_row([dev.0], |row| row.get(0))?)
    }

    /// How far an account with several devices read: one that was away hears it when it comes, newest first.
    fn marks(&self, acct: AcctId) -> Result<Vec<wire::Mark>, StoreError> {
        if self.begun.world.accounts.get(&acct).is_none_or(|account| account.devices.len() < 2) {
            return Ok(Vec::new());
        }
        let mut find = self.begun.conn.prepare_cached(
            "SELECT a.name, m.n FROM mark m JOIN account a ON a.id = m.sender WHERE m.reader = ? AND m.n < ? ORDER BY m.n DESC
             LIMIT ?",
        )?;
        let mark = |row: &rusqlite::Row<'_>| {
            let position = self.begun.epochs.position(row.get::<_, i64>(1)? as u64);
            Ok(wire::Mark { account: row.get(0)?, position: Some(position.into()), share: false })
        };
        let marks = find.query_map(params![acct.0, self.begun.next as i64, MARKS_WAITING as i64], mark)?;
        Ok(marks.collect::<Result<_, _>>()?)
    }

    /// Whether this session may open, beside or in place of others (contract, "Sessions and devices").
    fn admit(&mut self, open: &OpenSession) -> Result<(), Code> {
        let Login { acct, dev, .. } = open.login;
        let mono_ms = self.mono_ms;
        let world = &mut self.begun.world;
        if world.accounts.get(&acct).is_some_and(|account| account.locked) {
            return Err(Code::ACCOUNT_LOCKED);
        }
        let device = world.devices.get_mut(&dev).ok_or(Code::WRONG_CREDENTIALS)?;
        let back = device.runs.get(1).is_some_and(|(run, at)| *run == open.run && mono_ms - at < COPIES_WITHIN_MS);
        let current = device.runs.first().is_some_and(|(run, _)| *run == open.run);
        if back && !current && device.live.is_some() {
            device.duplicate = true;
            let other = device.live.take();
            if let Some(session) = other {
                self.effects.push(Effect::End(session, Code::DUPLICATE_DEVICE, false));
                self.begun.world.presence.lost(acct, self.mono_ms);
            }
            return Err(Code::DUPLICATE_DEVICE);
        }
        if device.duplicate {
            return Err(Code::DUPLICATE_DEVICE);
        }
        if !current {
            device.runs.insert(0, (open.run, mono_ms));
            device.runs.truncate(2);
        }
        self.make_way(acct, dev, open.policy, &open.silent)
    }

    /// Applies the policy to the account's other devices.
    fn make_way(&mut self, acct: AcctId, dev: DevId, policy: Policy, silent: &[SessionNo]) -> Result<(), Code> {
        let devices = self.begun.world.accounts.get(&acct).map(|a| a.devices.clone()).unwrap_or_default();
        let others: Vec<DevId> = devices.into_iter().filter(|other| *other != dev).collect();
        let live = |other: &DevId| self.begun.world.devices.get(other).and_then(|device| device.live);
        if policy == Policy::Refuse && others.iter().filter_map(live).any(|session| !silent.contains(&session)) {
            return Err(Code::ALREADY_LOGGED_IN);
        }
        if policy != Policy::Many {
            others.into_iter().for_each(|other| self.throw_out(acct, other, Code::REPLACED));
        }
        Ok(())
    }

    /// Ends a device's session; its account stays announced for as long as it takes the next one to open.
    fn throw_out(&mut self, acct: AcctId, dev: DevId, code: Code) {
        let Some(device) = self.begun.world.devices.get_mut(&dev) else { return };
        if let Some(session) = device.live.take() {
            device.session_epoch += 1;
            self.effects.push(Effect::End(session, code, false));
            self.begun.world.presence.lost(acct, self.mono_ms);
            self.begun.world.broker.handle_device_gone(acct, dev, self.mono_ms);
        }
    }

    fn stream_states(
        &mut self,
        dev: DevId,
        named: &[chat_proto::id::Incarnation],
    ) -> Result<Vec<wire::StreamState>, StoreError> {
        let mut states = Vec::with_capacity(named.len());
        for inc in named {
            let held = start::stream(&self.begun.conn, &mut self.begun.world, dev, *inc)?;
            let (last, recent): (u64, Vec<_>) = (held.stream.last(), held.stream.recent().copied().collect());
            let decisions = recent
                .iter()
                .map(|d| wire::Decision {
                    h8: d.h8,
                    code: d.code,
                    position: (d.n > 0).then(|| self.begun.epochs.position(d.n).into()),
                })
                .collect();
            states.push(wire::StreamState { incarnation: inc.0, last, decisions });
        }
        Ok(states)
    }

    /// A device of the account is live: announces it when it was not.
    fn came(&mut self, acct: AcctId, name: &AccountName, now_ms: i64) -> Result<(), StoreError> {
        let Some(change) = self.begun.world.presence.came(acct) else { return Ok(()) };
        self.begun
            .conn
            .prepare_cached("INSERT INTO session(acct, from_ms) VALUES(?, ?)")?
            .execute(params![acct.0, now_ms])?;
        let row = self.begun.conn.last_insert_rowid();
        if let Some(account) = self.begun.world.accounts.get_mut(&acct) {
            account.session_row = Some(row);
        }
        self.effects.push(Effect::Online(name.clone(), acct, now_ms));
        self.announce(change, now_ms);
        Ok(())
    }

    /// An account is offline now: its session row ends.
    pub fn gone(&mut self, change: Change<AcctId>, now_ms: i64) -> Result<(), StoreError> {
        self.write()?;
        let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, change.account)? else {
            return Ok(());
        };
        let (name, row) = (account.name.clone(), account.session_row.take());
        self.begun.conn.prepare_cached("UPDATE session SET to_ms = ? WHERE id = ?")?.execute(params![now_ms, row])?;
        self.effects.push(Effect::Offline(name));
        self.announce(change, now_ms);
        self.begun.world.broker.handle_gone(change.account, self.mono_ms);
        self.tell_private()
    }

    fn announce(&mut self, change: Change<AcctId>, at_ms: i64) {
        let Some(account) = self.begun.world.accounts.get(&change.account) else { return };
        let blocked = account.blocks.iter().filter(|_| !planted("presence-to-blocked"));
        let mut hidden_from: Vec<AcctId> = blocked.copied().collect();
        hidden_from.push(change.account);
        let name = account.name.clone();
        self.effects.push(Effect::Presence(PresenceChange { change, name, at_ms, hidden_from }));
    }

    pub fn close(&mut self, fence: Fence, how: Ending, all_devices: bool, now_ms: i64) -> Result<(), StoreError> {
        let Some(device) = self.begun.world.devices.get_mut(&fence.dev) else { return Ok(()) };
        if device.session_epoch != fence.epoch || device.live != Some(fence.session) {
            // A late goodbye on one's own old connection stops nothing.
            return Ok(());
        }
        device.live = None;
        device.live_hour = self.begun.hour;
        device.seen_ms = now_ms;
        device.dirty = true;
        self.dirty.insert(fence.dev);
        match how {
            Ending::Left(reason) => {
                if all_devices && !planted("logout-leaves-others") {
                    self.leave_everywhere(fence.acct, reason)?;
                }
                if self.settings.forget_device {
                    self.set_key(fence.dev, None)?;
                }
                if let Some(change) = self.begun.world.presence.left(fence.acct, reason) {
                    self.gone(change, now_ms)?;
                }
                self.begun.world.broker.handle_device_gone(fence.acct, fence.dev, self.mono_ms);
                self.tell_private()?;
            }
            Ending::Lost { grace_until } => {
                let grace_until = if planted("grace-is-announced") { 0 } else { grace_until };
                self.begun.world.presence.lost(fence.acct, grace_until);
            }
        }
        Ok(())
    }

    fn leave_everywhere(&mut self, acct: AcctId, reason: Reason) -> Result<(), StoreError> {
        let devices = self.begun.world.accounts.get(&acct).map(|a| a.devices.clone()).unwrap_or_default();
        for dev in devices {
            let Some(device) = self.begun.world.devices.get_mut(&dev) else { continue };
            if let Some(session) = device.live.take() {
                self.effects.push(Effect::End(session, Code::NOT_LOGGED_IN, false));
                self.begun.world.presence.left(acct, reason);
                self.begun.world.broker.handle_device_gone(acct, dev, self.mono_ms);
                // The one that asked is still counted, so nothing is announced here.
                if self.settings.forget_device {
                    self.set_key(dev, None)?;
                }
            }
        }
        Ok(())
    }

    pub fn mark(&mut self, fence: Fence, sender: &AccountName, n: u64, share: bool) -> Decided<()> {
        if !self.owns(fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let Some(from) = start::account_by_name(&self.begun.conn, &mut self.begun.world, sender)? else {
            return Ok(Err(Code::UNKNOWN_USER.into()));
        };
        let n = n.min(self.begun.next - 1);
        self.write()?;
        let raised = self
            .begun
            .conn
            .prepare_cached(
                "INSERT INTO mark(reader, sender, n, shared) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE
                 SET n = max(n, ?3), shared = max(shared, ?4) WHERE n < ?3 OR shared < ?4",
            )?
            .execute(params![fence.acct.0, from.0, n as i64, if share { n as i64 } else { 0 }])?;
        if raised > 0 {
            let mark =
                wire::Mark { account: sender.to_string(), position: Some(self.begun.epochs.position(n).into()), share };
            self.effects.push(Effect::Mark(fence.acct, fence.session, mark));
            self.tell_read(fence.acct, from, if share { n } else { 0 });
        }
        Ok(Ok(()))
    }

    /// Tells one sender that its messages were read.
    fn tell_read(&mut self, reader: AcctId, sender: AcctId, read: u64) {
        let Some(account) = self.begun.world.accounts.get(&reader) else { return };
        if read > 0 && account.followers.contains_key(&sender) && !account.blocks.contains(&sender) {
            // Who read it has it.
            let receipt = wire::Receipt { account: account.name.to_string(), delivered: read, read };
            self.effects.push(Effect::Receipt(sender, receipt));
        }
    }

    pub fn follow(&mut self, fence: Fence, accounts: &[AccountName]) -> Result<wire::Receipts, StoreError> {
        let mut items = Vec::new();
        if !self.owns(fence) {
            return Ok(wire::Receipts { items });
        }
        for name in accounts.iter().take(chat_proto::limits::RECEIPTS_FOLLOWED) {
            let Some(reader) = start::account_by_name(&self.begun.conn, &mut self.begun.world, name)? else { continue };
            let read: Option<i64> = rusqlite::OptionalExtension::optional(
                self.begun
                    .conn
                    .prepare_cached("SELECT shared FROM mark WHERE reader = ? AND sender = ?")?
                    .query_row(params![reader.0, fence.acct.0], |row| row.get(0)),
            )?;
            let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, reader)? else { continue };
            let seen = account.seen_max;
            let waiting = self.awaited(reader, fence.acct, seen)?;
            let Some(account) = self.begun.world.accounts.get_mut(&reader) else { continue };
            account.followers.insert(fence.acct, waiting);
            if !account.blocks.contains(&fence.acct) {
                let read = read.unwrap_or(0) as u64;
                items.push(wire::Receipt { account: name.to_string(), delivered: account.seen_max, read });
            }
        }
        Ok(wire::Receipts { items })
    }

    pub fn block(&mut self, fence: Fence, who: &AccountName, on: bool) -> Decided<bool> {
        if !self.owns(fence) {
            return Ok(Err(Code::REPLACED.into()));
        }
        let Some(other) = start::account_by_name(&self.begun.conn, &mut self.begun.world, who)? else {
            return Ok(Err(Code::UNKNOWN_USER.into()));
        };
        if other == fence.acct {
            return Ok(Err(Code::YOURSELF.into()));
        }
        let Some(account) = start::account(&self.begun.conn, &mut self.begun.world, fence.acct)? else {
            return Ok(Err(Code::WRONG_CREDENTIALS.into()));
        };
        if on && account.blocks.len() >= BLOCKS_MAX && !account.blocks.contains(&other) {
            return Ok(Err(Code::TOO_MANY_BLOCKS.into()));
        }
        let changed = if on { account.blocks.insert(other) } else { account.blocks.remove(&other) };
        if !changed && !planted("unblock-needs-no-block") {
            return Ok(if on { Ok(false) } else { Err(Code::NOT_BLOCKED.into()) });
        }
        self.write()?;
        let sql = if on {
            "INSERT OR IGNORE INTO block(by, who) VALUES(?, ?)"
        } else {
            "DELETE FROM block WHERE by = ? AND who = ?"
        };
        self.begun.conn.prepare_cached(sql)?.execute(params![fence.acct.0, other.0])?;
        self.effects.push(Effect::Block(fence.acct, other, on));
        if on {
            self.begun.world.broker.handle_blocked(fence.acct, other, self.mono_ms);
            self.tell_private()?;
        }
        Ok(Ok(true))
    }

    pub fn failure(&mut self, failure: Failure) -> Result<(), StoreError> {
        self.write()?;
        let Failure { key, count, locks, left_ms } = failure;
        if count == 0 && locks == 0 {
            self.begun.conn.prepare_cached("DELETE FROM failure WHERE key = ?")?.execute([key])?;
        } else {
            self.begun
                .conn
                .prepare_cached("INSERT OR REPLACE INTO failure(key, count, locks, left_ms) VALUES(?, ?, ?, ?)")?
                .execute(params![key, count, locks, left_ms as i64])?;
        }
        Ok(())
    }

    pub fn tick(&mut self, mono_ms: u64, now_ms: i64) -> Result<(), StoreError> {
        self.mono_ms = self.mono_ms.max(mono_ms);
        self.now_ms = now_ms;
        for change in self.begun.world.presence.tick(mono_ms) {
            self.gone(change, now_ms)?;
        }
        let began = *self.hour_began.get_or_insert(mono_ms);
        if mono_ms.saturating_sub(began) >= HOUR_MS {
            self.hour_began = Some(began + HOUR_MS);
            self.hour(now_ms)?;
        }
        self.begun.world.broker.handle_time(self.mono_ms);
        self.tell_private()?;
        self.age_invites(INVITES_WRITTEN_MS)?;
        if self.expiring {
            self.expiring = fold::expire(self, now_ms)?;
        }
        fold::some(self)?;
        self.begun.world.shrink();
        Ok(())
    }

    /// Devices that hold nothing back from now on: the folder looks at their accounts.
    fn release_idle(&mut self, hour: u64) -> Result<(), StoreError> {
        let Some(limit) = hour.checked_sub(fold::HOLDS_HOURS) else { return Ok(()) };
        let idle: Vec<(u32, u32)> = self
            .begun
            .conn
            .prepare_cached("SELECT dev, acct FROM device WHERE live_hour = ?")?
            .query_map([limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (dev, acct) in idle {
            start::account(&self.begun.conn, &mut self.begun.world, AcctId(acct))?;
            self.dirty.insert(DevId(dev));
        }
        Ok(())
    }

    /// An hour of running has passed: ages grow, old things go.
    fn hour(&mut self, now_ms: i64) -> Result<(), StoreError> {
        self.write()?;
        self.begun.hour += 1;
        let hour = self.begun.hour;
        self.begun.conn.execute("INSERT OR REPLACE INTO meta(key, value) VALUES('hours', ?)", [hour as i64])?;
        let seen_from = now_ms.saturating_sub(self.settings.seen_keep_ms);
        self.begun.conn.execute("DELETE FROM session WHERE to_ms < ?", [seen_from])?;
        for (dev, device) in self.begun.world.devices.iter_mut().filter(|(_, d)| d.live.is_some()) {
            device.live_hour = hour;
            device.seen_ms = now_ms;
            device.dirty = true;
            self.dirty.insert(*dev);
        }
        self.release_idle(hour)?;
        self.expiring = true;
        Ok(())
    }
}

//! What happens before the store serves: lock, checkpoint, new epoch, and the log behind the fold mark replayed into memory.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chat_proto::id::{AccountName, DeviceId, Incarnation};
use chat_proto::machine::hello::{Epoch, Epochs};
use chat_proto::machine::stream::{Decision, Stream};
use chat_proto::wire;
use rusqlite::{Connection, OptionalExtension, params};

use super::space::Space;
use super::{Shared, schema};
use crate::planted::planted;
use crate::store::waiting::Waiting;
use crate::store::world::{Account, Device, Held, World};
use crate::store::{AcctId, DevId, Settings, StoreError};

/// After a server start, sessions that were open are announced for this long, whatever `sessions.grace` says: a restart
/// announces nobody who comes back in that time. Milliseconds.
const RESTART_GRACE_MS: u64 = 60_000;

/// Starts of which WELCOME tells, the newest: all of them would not fit into a frame for ever.
const EPOCHS_TOLD: usize = 2048;

/// A marker that the process ended by a storage error: the next start checks the database.
const FAILED: &str = "storage-failed";

/// Everything that the writer starts with.
pub struct Begun {
    pub conn: Connection,
    pub world: World,
    pub epochs: Epochs,
    /// The next place of the log.
    pub next: u64,
    /// The last place that is durable.
    pub committed: u64,
    /// The fold mark: everything up to here is folded.
    pub folded: u64,
    /// Hours that the server has been running, over all starts.
    pub hour: u64,
    pub space: Space,
    pub dir: PathBuf,
}

impl Begun {
    /// The newest starts, as WELCOME tells them.
    pub fn epochs_told(&self) -> Vec<wire::Epoch> {
        let epochs = &self.epochs.0;
        let told = epochs.iter().skip(epochs.len().saturating_sub(EPOCHS_TOLD));
        told.map(|e| wire::Epoch { epoch: e.epoch, nonce: e.nonce, first: e.first }).collect()
    }
}

/// Takes the store's lock for as long as the file lives.
pub fn lock(dir: &Path) -> Result<File, StoreError> {
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::File { path, error }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file_error(dir))?;
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(file_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(StoreError::File { path, error }),
    }
}

/// Leaves a word for the next start that this one ended by a storage error. Best effort: the disk may be gone.
pub fn mark_failed(dir: &Path) {
    let _ = File::create(dir.join(FAILED));
}

/// Opens the database and fills memory from it.
pub fn begin(dir: &Path, shared: &Shared, settings: &Settings, mono_ms: u64, now_ms: i64) -> Result<Begun, StoreError> {
    let mut space = Space::new(dir, settings.reserve);
    space.make_room_for_start();
    let failed = dir.join(FAILED);
    let mut conn = schema::open_writer(dir, failed.exists())?;
    let _ = fs::remove_file(failed);
    let folded = meta(&conn, "folded")?;
    let top: Option<i64> = conn.query_row("SELECT max(g) FROM log", [], |row| row.get(0))?;
    let next = (top.unwrap_or(0) as u64).max(folded) + 1;
    let epochs = raise_epoch(&mut conn, next)?;
    let hour = meta(&conn, "hours")?;
    let mut world = World::default();
    replay(&conn, &mut world, shared, folded)?;
    restore_presence(&conn, &mut world, shared, mono_ms + RESTART_GRACE_MS, now_ms, settings)?;
    Ok(Begun { conn, world, epochs, next, committed: next - 1, folded, hour, space, dir: dir.to_owned() })
}

fn meta(conn: &Connection, key: &str) -> Result<u64, StoreError> {
    let value: Option<i64> =
        conn.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0)).optional()?;
    Ok(value.unwrap_or(0) as u64)
}

/// A new (epoch, nonce), durable before anything is served: positions of one epoch are never given by two histories.
fn raise_epoch(conn: &mut Connection, first: u64) -> Result<Epochs, StoreError> {
    let mut nonce = [0; 8];
    getrandom::fill(&mut nonce).map_err(|e| StoreError::Damaged(format!("no random numbers: {e}")))?;
    let tx = conn.transaction()?;
    // A start that accepted nothing leaves no positions behind: its epoch is not needed to know any.
    tx.execute("DELETE FROM epoch WHERE first = ?", [first as i64])?;
    tx.execute(
        "INSERT INTO epoch(epoch, nonce, first) VALUES((SELECT coalesce(max(epoch), 0) + 1 FROM
           (SELECT epoch FROM epoch UNION SELECT value FROM meta WHERE key = 'epoch')), ?, ?)",
        params![i64::from_be_bytes(nonce), first as i64],
    )?;
    tx.execute("INSERT OR REPLACE INTO meta(key, value) SELECT 'epoch', max(epoch) FROM epoch", [])?;
    let mut epochs = Epochs::default();
    {
        let mut rows = tx.prepare("SELECT epoch, nonce, first FROM epoch ORDER BY epoch")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (epoch, nonce, first): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            epochs.0.push(Epoch { epoch: epoch as u64, nonce: nonce as u64, first: first as u64 });
        }
    }
    tx.commit()?;
    Ok(epochs)
}

/// Brings streams and waiting places up to date with the log rows that were not folded.
fn replay(conn: &Connection, world: &mut World, shared: &Shared, folded: u64) -> Result<(), StoreError> {
    let mut rows =
        conn.prepare("SELECT g, code, acct, frm, dev, inc, cseq, h8, audience, own FROM log WHERE g > ? ORDER BY g")?;
    let mut rows = rows.query([folded as i64])?;
    while let Some(row) = rows.next()? {
        let g = row.get::<_, i64>(0)? as u64;
        let code = row.get::<_, u32>(1)?;
        let dev = DevId(row.get(4)?);
        let inc = Incarnation(row.get::<_, i64>(5)? as u64);
        let cseq = row.get::<_, i64>(6)? as u64;
        let h8 = row.get::<_, i64>(7)? as u64;
        if cseq > 0 && dev.0 > 0 {
            // cseq 0: an entry of the server's own, in no stream.
            let held = stream(conn, world, dev, inc)?;
            if cseq == held.stream.last() + 1 && !planted("replay-forgets-places") {
                held.stream.record(Decision { h8, code, n: if code == 0 { g } else { 0 } });
                held.dirty = true;
            }
        }
        if code == 0 {
            let parties = Inboxes::of(row.get(2)?, row.get(3)?, row.get(9)?, row.get(8)?).parties();
            let mut unfolded = shared.unfolded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            parties.into_iter().for_each(|party| unfolded.entry(party).or_default().push(g));
        }
    }
    Ok(())
}

/// In whose inboxes a log row stands.
#[derive(Debug, Default)]
pub struct Inboxes {
    /// The recipient.
    pub to: Option<AcctId>,
    /// The sender, when it had other devices at that moment: one that came later does not get what was sent before it.
    pub own: Option<AcctId>,
    /// Of a broadcast, as the log keeps it.
    pub audience: Option<Vec<u8>>,
}

impl Inboxes {
    /// Those of a row: recipient, sender, whether it stands in the sender's too, audience.
    pub fn of(to: Option<u32>, from: Option<u32>, own: bool, audience: Option<Vec<u8>>) -> Inboxes {
        Inboxes { to: to.map(AcctId), own: from.filter(|_| own).map(AcctId), audience }
    }

    /// The accounts, each once.
    pub fn parties(&self) -> Vec<AcctId> {
        let mut parties: Vec<AcctId> = match &self.audience {
            Some(audience) => decode_audience(audience).collect(),
            None => self.to.into_iter().collect(),
        };
        parties.extend(self.own.filter(|own| !parties.contains(own)));
        parties
    }
}

/// An audience as the log keeps it: four bytes an account.
pub fn encode_audience(audience: &[AcctId]) -> Vec<u8> {
    audience.iter().flat_map(|a| a.0.to_be_bytes()).collect()
}

/// See [`encode_audience`].
pub fn decode_audience(blob: &[u8]) -> impl Iterator<Item = AcctId> {
    blob.chunks_exact(4).filter_map(|c| c.first_chunk().map(|b| AcctId(u32::from_be_bytes(*b))))
}

/// Those whose sessions were open when the server went down are online in grace; nobody is told.
fn restore_presence(
    conn: &Connection,
    world: &mut World,
    shared: &Shared,
    grace_until: u64,
    now_ms: i64,
    settings: &Settings,
) -> Result<(), StoreError> {
    conn.execute("DELETE FROM session WHERE to_ms < ?", [now_ms.saturating_sub(settings.seen_keep_ms)])?;
    let mut rows = conn.prepare("SELECT id, acct, from_ms FROM session WHERE to_ms IS NULL")?;
    let open: Vec<(i64, u32, i64)> =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    let mut online = shared.online.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (row, acct, from_ms) in open {
        let acct = AcctId(acct);
        if let Some(account) = account(conn, world, acct)? {
            account.session_row = Some(row);
            online.insert(account.name.clone(), (acct, from_ms));
            if !planted("restart-announces") {
                world.presence.was_online(acct, grace_until);
            }
        }
    }
    Ok(())
}

/// The account with this name, loaded when it is not in memory.
pub fn account_by_name(conn: &Connection, world: &mut World, name: &AccountName) -> Result<Option<AcctId>, StoreError> {
    if let Some(id) = world.names.get(name) {
        return Ok(Some(*id));
    }
    let id: Option<u32> = conn
        .prepare_cached("SELECT id FROM account WHERE name = ?")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    let Some(id) = id.map(AcctId) else { return Ok(None) };
    account(conn, world, id)?;
    Ok(Some(id))
}

/// The account with this number and its devices, loaded when it is not in memory.
pub fn account<'w>(conn: &Connection, world: &'w mut World, id: AcctId) -> Result<Option<&'w mut Account>, StoreError> {
    if !world.accounts.contains_key(&id) {
        let found: Option<(String, i64, bool)> = conn
            .prepare_cached("SELECT name, seen_max, locked FROM account WHERE id = ?")?
            .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((name, seen_max, locked)) = found else { return Ok(None) };
        let name = AccountName::try_from(name).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let blocks = conn
            .prepare_cached("SELECT who FROM block WHERE by = ?")?
            .query_map([id.0], |row| row.get(0).map(AcctId))?
            .collect::<Result<_, _>>()?;
        let devices = load_devices(conn, world, id)?;
        world.names.insert(name.clone(), id);
        let waiting = Waiting::at_most(waiting_bound(conn, id)?);
        world.accounts.insert(
            id,
            Account {
                name,
                devices,
                seen_max: seen_max as u64,
                locked,
                blocks,
                waiting,
                wrote_to: Default::default(),
                session_row: None,
                followers: Default::default(),
                broadcasts: None,
                unknown_recipients: None,
                private_requests: None,
            },
        );
    }
    Ok(world.accounts.get_mut(&id))
}

/// At least as many entries as wait for an account: the folded ones, and everything that is not folded.
fn waiting_bound(conn: &Connection, acct: AcctId) -> Result<u32, StoreError> {
    let mut count = conn.prepare_cached(
        "SELECT (SELECT count(*) FROM pend WHERE acct = ?)
           + max(0, coalesce((SELECT max(g) FROM log), 0) - coalesce((SELECT value FROM meta WHERE key = 'folded'), 0))",
    )?;
    Ok(count.query_row([acct.0], |row| row.get(0))?)
}

fn load_devices(conn: &Connection, world: &mut World, acct: AcctId) -> Result<Vec<DevId>, StoreError> {
    let mut rows = conn.prepare_cached(
        "SELECT dev, id, key, session_epoch, cursor, acked, live_hour, missed, newest, seen_ms FROM device
         WHERE acct = ? AND revoked = 0 ORDER BY dev",
    )?;
    let mut rows = rows.query([acct.0])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        let dev = DevId(row.get(0)?);
        devices.push(dev);
        let device = Device {
            id: DeviceId(row.get(1)?),
            acct,
            key: row.get::<_, Vec<u8>>(2)?.try_into().ok(),
            session_epoch: row.get::<_, i64>(3)? as u64,
            cursor: row.get::<_, i64>(4)? as u64,
            acked: row.get::<_, i64>(5)? as u64,
            live_hour: row.get::<_, i64>(6)? as u64,
            missed: row.get::<_, i64>(7)? as u64,
            missed_told: None,
            newest: row.get::<_, Option<i64>>(8)?.map(|n| Incarnation(n as u64)),
            live: None,
            seen_ms: row.get(9)?,
            runs: Vec::new(),
            duplicate: false,
            streams_begun: 0,
            dirty: false,
        };
        world.devices.entry(dev).or_insert(device);
    }
    Ok(devices)
}

/// A stream, loaded when it is not in memory; a fresh one when there is none.
pub fn stream<'w>(
    conn: &Connection,
    world: &'w mut World,
    dev: DevId,
    inc: Incarnation,
) -> Result<&'w mut Held, StoreError> {
    use std::collections::hash_map::Entry;
    match world.streams.entry((dev, inc)) {
        Entry::Occupied(held) => Ok(held.into_mut()),
        Entry::Vacant(vacant) => {
            let found: Option<(i64, Vec<u8>)> = conn
                .prepare_cached("SELECT last, recent FROM stream WHERE dev = ? AND inc = ?")?
                .query_row(params![dev.0, inc.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let stream = match found {
                Some((last, recent)) => Stream::decode(last as u64, &recent)
                    .ok_or_else(|| StoreError::Damaged(format!("stream {} of device {}", inc.0, dev.0)))?,
                None => Stream::default(),
            };
            Ok(vacant.insert(Held { stream, dirty: false }))
        }
    }
}

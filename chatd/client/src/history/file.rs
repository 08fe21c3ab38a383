//! What is kept of files sent within private sessions: each offer and transfer, so that it goes on where it was after a restart of
//! either side. The bytes lie elsewhere (`file`).

use std::path::PathBuf;

use chat_proto::control::file::{Conflict, FileState};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::id::DeviceId;
use rusqlite::types::Type;
use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::convert::{i, u};
use super::{Done, PeerDevice};

type Result<T> = rusqlite::Result<T>;

/// A file that is offered, under way, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Random, equal on both sides.
    pub id: [u8; 16],
    /// The other side's account.
    pub peer: String,
    /// The other side's device, under the key that it proved.
    pub device: PeerDevice,
    /// Which way it goes.
    pub dir: Direction,
    /// Its name as it was offered; never used as one here.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// How it goes. What runs is kept as waiting.
    pub state: FileState,
    /// Why it ended.
    pub code: Option<Code>,
    /// The peer's side caused the end.
    pub by_peer: bool,
    /// The peer knows of the end.
    pub told: bool,
    /// Out: the source. In: where it lies, once it is done.
    pub path: Option<PathBuf>,
    /// Out: when the source was changed last, nanoseconds since 1970.
    pub changed_ns: i64,
    /// In: where it goes, once it was taken.
    pub spot: Option<Spot>,
    /// When it was offered, by this host's clock.
    pub at_ms: i64,
}

/// Where a file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The folder.
    pub folder: PathBuf,
    /// Its name there, made safe.
    pub file: String,
    /// What happens when that name is taken.
    pub conflict: Conflict,
    /// It is kept for its taker.
    pub hold: bool,
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileWrite {
    /// This holds of it now.
    Put(Box<Transfer>),
    /// It is forgotten.
    Forget([u8; 16]),
}

impl FileWrite {
    /// What it is about.
    pub fn id(&self) -> [u8; 16] {
        match self {
            FileWrite::Put(transfer) => transfer.id,
            FileWrite::Forget(id) => *id,
        }
    }
}

const COLUMNS: &str = "id, peer, device, out, name, size, sha256, state, code, by_peer, told, path, changed, folder, file, \
     conflict, hold, at_ms, key";

/// Applies changes.
pub(super) fn apply(t: &Transaction<'_>, writes: &[FileWrite]) -> Result<Done> {
    for write in writes {
        match write {
            FileWrite::Put(transfer) => put(t, transfer)?,
            FileWrite::Forget(id) => {
                t.prepare_cached("DELETE FROM transfer WHERE id = ?1")?.execute([id])?;
            }
        }
    }
    Ok(Done::Plain)
}

fn put(t: &Transaction<'_>, f: &Transfer) -> Result<()> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let spot = f.spot.as_ref();
    t.prepare_cached(&format!(
        "INSERT INTO transfer ({COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
         ON CONFLICT (id) DO UPDATE SET state = ?8, code = ?9, by_peer = ?10, told = ?11, path = ?12, changed = ?13, \
         folder = ?14, file = ?15, conflict = ?16, hold = ?17"
    ))?
    .execute(params![
        f.id,
        f.peer,
        f.device.device.0,
        f.dir == Direction::Out,
        f.name,
        i(f.size),
        f.sha256,
        word(&f.state),
        f.code.map(|code| code.0),
        f.by_peer,
        f.told,
        f.path.as_ref().map(text),
        f.changed_ns,
        spot.map(|spot| text(&spot.folder)),
        spot.map(|spot| &spot.file),
        spot.map(|spot| word(&spot.conflict)),
        spot.map(|spot| spot.hold),
        f.at_ms,
        f.device.key
    ])?;
    Ok(())
}

/// All of them, oldest first.
pub(super) fn all(c: &Connection) -> Result<Vec<Transfer>> {
    c.prepare(&format!("SELECT {COLUMNS} FROM transfer ORDER BY n"))?.query_map([], transfer)?.collect()
}

fn transfer(r: &rusqlite::Row<'_>) -> Result<Transfer> {
    let spot = match (r.get::<_, Option<String>>(13)?, r.get::<_, Option<String>>(14)?) {
        (Some(folder), Some(file)) => {
            Some(Spot { folder: folder.into(), file, conflict: of_word(r, 15)?, hold: r.get(16)? })
        }
        _ => None,
    };
    Ok(Transfer {
        id: r.get(0)?,
        peer: r.get(1)?,
        device: PeerDevice { device: DeviceId(r.get(2)?), key: r.get(18)? },
        dir: if r.get(3)? { Direction::Out } else { Direction::In },
        name: r.get(4)?,
        size: u(r.get(5)?),
        sha256: r.get(6)?,
        state: of_word(r, 7)?,
        code: r.get::<_, Option<u32>>(8)?.map(Code),
        by_peer: r.get(9)?,
        told: r.get(10)?,
        path: r.get::<_, Option<String>>(11)?.map(PathBuf::from),
        changed_ns: r.get::<_, Option<i64>>(12)?.unwrap_or_default(),
        spot,
        at_ms: r.get(17)?,
    })
}

/// A unit variant as its word in the control conversation.
fn word(value: &impl Serialize) -> String {
    // Only a map with keys that are no text could fail, and there is none.
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn of_word<T: DeserializeOwned>(r: &rusqlite::Row<'_>, column: usize) -> Result<T> {
    let text: String = r.get(column)?;
    serde_json::from_value(text.into())
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

//! The people of a run: one account registered through the protocol, the others copied from it in the server's database.
//!
//! A password hash takes 20 to 50 ms by design, so that 100,000 registrations would take an hour and measure nothing else.
//! Copies have the founder's device key under device ids of their own; they log in like everybody.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chat_link::DeviceKey;
use rusqlite::{Connection, params};

use crate::Args;
use crate::client::{Session, Site, device_id, name};
use crate::disk;
use crate::server::Server;

/// A server and its people.
pub struct World {
    /// The server.
    pub server: Server,
    /// How clients reach it; made anew when the server starts.
    pub site: Site,
    /// Where programs are.
    pub bin_dir: PathBuf,
    /// Accounts that there are.
    accounts: usize,
    dir: PathBuf,
    /// Removes the directory in the end, unless it is kept.
    _temporary: Option<tempfile::TempDir>,
}

impl World {
    /// A server with one account, or the one that an earlier run kept.
    pub async fn make(args: &Args) -> Result<World> {
        let bin_dir = match &args.bin_dir {
            Some(dir) => dir.clone(),
            None => std::env::current_exe()?.parent().context("this program has no folder")?.to_owned(),
        };
        let (dir, temporary) = place(args)?;
        let mut server = Server::new(bin_dir.join("chat-server"), dir.join("server"), args.server_core)?;
        server.up()?;
        let key_file = dir.join("device.key");
        let known = key_file.exists();
        let key = if known { DeviceKey::from_pkcs8(&fs::read(&key_file)?)? } else { DeviceKey::generate()? };
        let site = Site::new(server.target()?, key);
        if !known {
            site.register(0).await.context("registering the first account")?;
            fs::write(&key_file, &*site.key.to_pkcs8()?)?;
        }
        let mut world = World { server, site, bin_dir, accounts: 0, dir, _temporary: temporary };
        world.accounts = count(&world.database()?)?;
        Ok(world)
    }

    /// So many new accounts: nothing of earlier rows waits for them. The server is started anew, so that its memory is fresh too.
    pub fn fresh(&mut self, accounts: usize) -> Result<Range<usize>> {
        self.server.stop()?;
        let from = self.accounts;
        seed(&mut self.database()?, from, from + accounts)?;
        self.accounts = from + accounts;
        self.up()?;
        Ok(from..self.accounts)
    }

    /// Starts the server after it ended.
    pub fn up(&mut self) -> Result<()> {
        self.server.up()?;
        self.site.target = self.server.target()?;
        Ok(())
    }

    /// The disk's flush time now, in microseconds.
    pub fn flush_us(&self) -> Result<f64> {
        disk::flush_us(&self.dir)
    }

    /// A folder for other things of a row.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sessions of the first device of these accounts, opened eight at a time: the server allows 16 strangers a source.
    pub async fn sessions(&self, who: Range<usize>) -> Result<Vec<Session>> {
        let mut open = Vec::with_capacity(who.len());
        let everyone: Vec<usize> = who.collect();
        for some in everyone.chunks(8) {
            let tasks: Vec<_> = some.iter().map(|n| tokio::task::spawn_local(self.site.clone().open(*n))).collect();
            for task in tasks {
                open.push(task.await??);
            }
        }
        Ok(open)
    }

    /// Ends the server in order, so that a kept directory is whole.
    pub fn close(mut self) -> Result<()> {
        self.server.stop()
    }

    fn database(&self) -> Result<Connection> {
        let found = find(self.server.dir(), "chat-server.db").context("the server has no database")?;
        let db = Connection::open(found)?;
        db.busy_timeout(Duration::from_secs(10))?;
        Ok(db)
    }
}

/// The directory of the run, and the handle that removes it.
fn place(args: &Args) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    if args.keep_dir {
        let dir = args.dir.clone().unwrap_or_default();
        fs::create_dir_all(&dir)?;
        return Ok((dir.canonicalize()?, None));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix("chat-load-");
    let made = match &args.dir {
        Some(dir) => builder.tempdir_in(dir)?,
        None => builder.tempdir()?,
    };
    Ok((made.path().to_owned(), Some(made)))
}

/// The file of this name in `dir` or a folder of it.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let direct = dir.join(name);
    if direct.is_file() {
        return Some(direct);
    }
    let folders = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.filter_map(|folder| find(&folder, name)).next()
}

fn count(db: &Connection) -> Result<usize> {
    let n: i64 = db.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
    Ok(n as usize)
}

/// Copies the first account and its device until there are `to`.
fn seed(db: &mut Connection, from: usize, to: usize) -> Result<()> {
    let tx = db.transaction()?;
    for n in from..to {
        let made = tx
            .prepare_cached(
                "INSERT INTO account(name, phc, since_ms, seen_max)
                 SELECT ?1, phc, since_ms, seen_max FROM account WHERE name = ?2",
            )?
            .execute(params![name(n), name(0)])?;
        ensure!(made == 1, "the first account is missing");
        let account = tx.last_insert_rowid();
        tx.prepare_cached(
            "INSERT INTO device(acct, id, key, name, cursor, acked, live_hour)
             SELECT ?1, ?2, key, name, 0, 0, live_hour FROM device WHERE id = ?3",
        )?
        .execute(params![account, device_id(n), device_id(0)])?;
    }
    Ok(tx.commit()?)
}

//! The storage shape alone, without a server: a row keyed (account, place) and a stream row for each message, beside an
//! append-only log whose tables are made later, in sorted runs. Both commit 64 messages at a time, synced.
//!
//! The server keeps the second (`chatd/server/src/store/sqlite`); this row says what that is worth, at each of `--accounts`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::Args;
use crate::proc::cpu;
use crate::report::{Figure, Goal, Report};
use crate::world::World;

/// Messages of one commit: the unacknowledged ones of row 3.
const BATCH: u64 = 64;
/// Log rows that are folded at once, as the server does.
const FOLD: u64 = chat_proto::limits::FOLD_CHANGES as u64;
/// Bytes of a stored message with its envelope.
const ROW: usize = 150;
/// Bytes of a stream's last decisions: a few of the 64 that it may keep.
const RECENT: usize = 200;

/// Both shapes at each number of accounts.
pub fn run(args: &Args, world: &mut World, report: &mut Report) -> Result<()> {
    for &accounts in &args.accounts {
        for shape in [Shape::Rows, Shape::Log] {
            let before = world.flush_us()?;
            let mut values = Vec::new();
            for _ in 0..args.reps {
                let dir = tempfile::tempdir_in(world.dir())?;
                values.push(Writer::new(dir.path(), shape, accounts as u64)?.measure(args)?);
            }
            report.add(Figure {
                row: "3s",
                what: format!("SQL alone, {}, {accounts} accounts", shape.name()),
                unit: "us CPU each",
                values,
                goal: Goal { must: None, aim: None, more: false },
                flush_us: (before, world.flush_us()?),
                note: format!("batch {BATCH}"),
            });
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Rows,
    Log,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Rows => "keyed rows",
            Shape::Log => "log and folder",
        }
    }

    fn tables(self) -> &'static str {
        match self {
            Shape::Rows => {
                "CREATE TABLE inbox(acct INTEGER, seq INTEGER, tail BLOB, PRIMARY KEY(acct, seq)) WITHOUT ROWID;
                 CREATE TABLE stream(dev INTEGER PRIMARY KEY, last INTEGER, recent BLOB);"
            }
            Shape::Log => {
                "CREATE TABLE log(g INTEGER PRIMARY KEY, acct INTEGER, dev INTEGER, cseq INTEGER, h8 INTEGER, tail BLOB);
                 CREATE TABLE pend(acct INTEGER, g INTEGER, PRIMARY KEY(acct, g)) WITHOUT ROWID;
                 CREATE TABLE stream(dev INTEGER PRIMARY KEY, last INTEGER, recent BLOB);"
            }
        }
    }
}

/// A database that takes messages in one of the two shapes.
struct Writer {
    conn: Connection,
    shape: Shape,
    accounts: u64,
    next: u64,
    folded: u64,
    random: u64,
    tail: Vec<u8>,
    waiting: Vec<(u64, u64)>,
}

impl Writer {
    fn new(dir: &Path, shape: Shape, accounts: u64) -> Result<Writer> {
        let conn = Connection::open(dir.join("shape.db"))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", 4096)?;
        conn.pragma_update(None, "cache_size", -4096)?;
        conn.execute_batch(shape.tables())?;
        let tail = vec![b'x'; ROW];
        Ok(Writer {
            conn,
            shape,
            accounts,
            next: 1,
            folded: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            tail,
            waiting: Vec::new(),
        })
    }

    /// Microseconds of this process for one message, after a warm-up.
    fn measure(mut self, args: &Args) -> Result<f64> {
        self.work(Duration::from_secs_f64(args.warm))?;
        let (before, first) = (cpu(std::process::id())?, self.next);
        self.work(Duration::from_secs_f64(args.secs))?;
        Ok((cpu(std::process::id())? - before) * 1e6 / (self.next - first).max(1) as f64)
    }

    fn work(&mut self, time: Duration) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..BATCH {
                let (acct, dev) = (self.roll(), self.roll());
                self.store(acct, dev)?;
            }
            if self.shape == Shape::Log && self.next - 1 - self.folded >= FOLD {
                self.fold()?;
            }
            self.conn.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Some account (xorshift: Marsaglia, "Xorshift RNGs", 2003).
    fn roll(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % self.accounts
    }

    fn store(&mut self, acct: u64, dev: u64) -> Result<()> {
        let n = self.next;
        self.next += 1;
        match self.shape {
            Shape::Rows => {
                let mut inbox = self.conn.prepare_cached("INSERT INTO inbox(acct, seq, tail) VALUES(?, ?, ?)")?;
                inbox.execute(params![acct as i64, n as i64, self.tail])?;
                put_stream(&self.conn, dev, n)
            }
            Shape::Log => {
                let mut log = self
                    .conn
                    .prepare_cached("INSERT INTO log(g, acct, dev, cseq, h8, tail) VALUES(?, ?, ?, ?, ?, ?)")?;
                log.execute(params![n as i64, acct as i64, dev as i64, n as i64, n as i64, self.tail])?;
                self.waiting.push((acct, dev));
                Ok(())
            }
        }
    }

    /// The tables are brought up to date with the log: sorted, each stream once.
    fn fold(&mut self) -> Result<()> {
        let first = self.folded + 1;
        let mut pend: Vec<(u64, u64)> = self.waiting.iter().zip(first..).map(|((acct, _), g)| (*acct, g)).collect();
        pend.sort_unstable();
        for (acct, g) in pend {
            let mut insert = self.conn.prepare_cached("INSERT OR IGNORE INTO pend(acct, g) VALUES(?, ?)")?;
            insert.execute(params![acct as i64, g as i64])?;
        }
        let mut devices: Vec<u64> = self.waiting.drain(..).map(|(_, dev)| dev).collect();
        devices.sort_unstable();
        devices.dedup();
        devices.into_iter().try_for_each(|dev| put_stream(&self.conn, dev, self.next))?;
        self.folded = self.next - 1;
        Ok(())
    }
}

fn put_stream(conn: &Connection, dev: u64, last: u64) -> Result<()> {
    let mut put = conn.prepare_cached("INSERT OR REPLACE INTO stream(dev, last, recent) VALUES(?, ?, zeroblob(?))")?;
    put.execute(params![dev as i64, last as i64, RECENT as i64])?;
    Ok(())
}

//! How long this disk takes to make a write durable. Every figure carries it: on a shared disk it changes by the minute.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

/// One look lasts so many syncs.
const SYNCS: usize = 200;
/// The bytes of a page and its frame in a write-ahead log, which is what a small commit writes.
const PAGE: usize = 4096 + 24;
const ROOM: usize = 4 << 20;

/// A file with its room already, in which pages are made durable one by one: the least that a small commit costs.
pub struct Probe {
    file: File,
    pages: usize,
}

impl Probe {
    /// A probe of the disk that `dir` is on.
    pub fn new(dir: &Path) -> Result<Probe> {
        let mut file = tempfile::tempfile_in(dir).context("cannot measure the disk")?;
        file.write_all(&vec![0; ROOM])?;
        file.sync_all()?;
        Ok(Probe { file, pages: 0 })
    }

    /// The time of one `pwrite` and `fdatasync` of a page, in microseconds.
    pub fn one(&mut self) -> Result<f64> {
        self.pages += 1;
        let page = [self.pages as u8; PAGE];
        let began = Instant::now();
        self.file.write_all_at(&page, (self.pages * PAGE % (ROOM - PAGE)) as u64)?;
        self.file.sync_data()?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    }
}

/// The median of many flushes in a row, in microseconds.
pub fn flush_us(dir: &Path) -> Result<f64> {
    let mut probe = Probe::new(dir)?;
    let mut times = (0..SYNCS).map(|_| probe.one()).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

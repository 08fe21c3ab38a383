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

/// The median time of `pwrite` and `fdatasync` of a page in a file that has its room already, in microseconds: the least
/// that a small commit costs.
pub fn flush_us(dir: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(dir).context("cannot measure the disk")?;
    file.write_all(&vec![0; ROOM])?;
    file.sync_all()?;
    let mut times = (0..SYNCS).map(|n| one(&file, n)).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn one(file: &File, n: usize) -> Result<f64> {
    let page = [n as u8; PAGE];
    let began = Instant::now();
    file.write_all_at(&page, (n * PAGE % (ROOM - PAGE)) as u64)?;
    file.sync_data()?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

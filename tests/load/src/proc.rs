//! What the kernel tells of a process: processor time, memory; and which core it may use. Called by rows and by the server's
//! handle.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Linux gives times in hundredths of a second to every program, whatever its own tick is.
const TICKS: f64 = 100.0;

/// Keeps this thread, and those that it starts, on one core.
pub fn pin_self(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Seconds of processor time that a process used, user and system.
pub fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    let (_, rest) = stat.rsplit_once(')').context("unexpected /proc/PID/stat")?;
    let ticks = |at: usize| rest.split_ascii_whitespace().nth(at).and_then(|word| word.parse::<f64>().ok());
    Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS)
}

/// KiB resident of a process.
pub fn resident_kib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).context("unexpected VmRSS")
}

/// Seconds that all cores of the machine were busy.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let words = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    let ticks: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, then irq, softirq and steal; idle and iowait are not busy.
    ticks.iter().enumerate().filter(|(at, _)| matches!(at, 0..=2 | 5..=7)).map(|(_, t)| t).sum::<f64>() / TICKS
}

/// A stretch of time in which a server is watched.
pub struct Meter {
    pid: u32,
    began: Instant,
    cpu: f64,
    own: f64,
    busy: f64,
}

/// What a [`Meter`] saw.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Seconds.
    pub secs: f64,
    /// Seconds of the server's processor time.
    pub cpu: f64,
    /// The load's share of its core.
    pub load: f64,
    /// Cores that others used.
    pub others: f64,
}

impl Meter {
    /// Begins now.
    pub fn start(pid: u32) -> Result<Meter> {
        let own = cpu(std::process::id())?;
        Ok(Meter { pid, began: Instant::now(), cpu: cpu(pid)?, own, busy: busy() })
    }

    /// What happened since.
    pub fn read(&self) -> Result<Seen> {
        let secs = self.began.elapsed().as_secs_f64();
        let cpu_used = cpu(self.pid)? - self.cpu;
        let own = cpu(std::process::id())? - self.own;
        let others = (busy() - self.busy - cpu_used - own) / secs;
        Ok(Seen { secs, cpu: cpu_used, load: own / secs, others: others.max(0.0) })
    }
}

impl Seen {
    /// Whether others left the machine alone; a repetition beside other load is dropped where there are better ones.
    pub fn quiet(&self) -> bool {
        self.others < 0.25
    }
}

/// Waits until a process does next to nothing, at most `patience`.
pub async fn settle(pid: u32, patience: Duration) -> Result<()> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let before = cpu(pid)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if cpu(pid)? - before < 0.011 {
            break;
        }
    }
    Ok(())
}

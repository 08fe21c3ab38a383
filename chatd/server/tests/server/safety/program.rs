//! The program under attack: its log, its memory, its processor time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::world::World;

/// A running chat-server, ended when dropped.
pub struct Program {
    pub world: World,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// With these settings besides the usual ones.
    pub async fn start(settings: &str) -> Program {
        let (mut world, dir) = World::stopped(settings).await;
        let log = dir.join("log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_chat-server"))
            .arg("--dir")
            .arg(&dir)
            .args(["run", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ");
        world.address = address.unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap())).parse().unwrap();
        Program { world, child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log up to now.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until its log holds this.
    pub async fn logged(&self, what: &str) -> String {
        let seen = async {
            loop {
                let log = self.log();
                if log.contains(what) {
                    return log;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(crate::client::SOON, seen).await;
        waited.unwrap_or_else(|_| panic!("{what:?} is not in the log:\n{}", self.log()))
    }

    /// Waits until it has nothing left to do.
    pub async fn idles(&self) {
        let mut used = f64::NAN;
        while used != self.cpu() {
            used = self.cpu();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Resident bytes of its own, without those of files: code that runs for the first time is no growth.
    pub fn anonymous(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Seconds of processor time so far.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let rest = stat.rsplit_once(')').unwrap().1;
        let ticks: Vec<f64> =
            rest.split_ascii_whitespace().skip(11).take(2).map(|word| word.parse().unwrap()).collect();
        (ticks[0] + ticks[1]) / 100.0
    }

    /// The lowest descriptor that it has not open: what the next one would be.
    pub fn next_descriptor(&self) -> u64 {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let number =
            |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        let numbers: std::collections::BTreeSet<u64> = open.map(number).collect();
        (0..).find(|number| !numbers.contains(number)).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

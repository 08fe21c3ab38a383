//! Room on the disk: admission stops before it is gone, and a ballast file is given back so that acks, deletes and logins
//! go on (contract rule 6).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Asks the file system, at most once in so many milliseconds.
const ASK_EVERY_MS: u64 = 200;

/// The disk's room as the writer sees it.
#[derive(Debug)]
pub struct Space {
    dir: PathBuf,
    reserve: u64,
    asked_ms: Option<u64>,
    open: bool,
    ballast: bool,
}

impl Space {
    /// `reserve` in bytes; 0 switches admission and ballast off.
    pub fn new(dir: &Path, reserve: u64) -> Space {
        Space { dir: dir.to_owned(), reserve, asked_ms: None, open: true, ballast: dir.join("ballast").exists() }
    }

    /// Gives the ballast back when there is too little room to start at all.
    pub fn make_room_for_start(&mut self) {
        if self.reserve > 0 && self.free().is_some_and(|(free, _)| free < self.reserve / 4) {
            self.drop_ballast();
        }
    }

    /// Whether new messages may be accepted now.
    pub fn admits(&mut self, mono_ms: u64) -> bool {
        if self.reserve == 0 || self.asked_ms.is_some_and(|t| mono_ms < t + ASK_EVERY_MS) {
            return self.open;
        }
        self.asked_ms = Some(mono_ms);
        let Some((free, total)) = self.free() else { return self.open };
        let floor = self.reserve.max(total / 20);
        let was = self.open;
        self.open = free >= floor;
        match (was, self.open) {
            (true, false) => {
                tracing::error!(free, floor, "too little room on the disk: messages are refused for now");
                self.drop_ballast();
            }
            (false, true) => tracing::info!(free, "room on the disk again"),
            _ => {}
        }
        if self.open && !self.ballast && free > floor + self.reserve / 2 {
            self.lay_ballast();
        }
        self.open
    }

    /// Free and total bytes for an ordinary user.
    fn free(&self) -> Option<(u64, u64)> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
    }

    fn drop_ballast(&mut self) {
        self.ballast = false;
        let _ = fs::remove_file(self.dir.join("ballast"));
    }

    /// A quarter of the reserve, really allocated.
    fn lay_ballast(&mut self) {
        let laid = File::create(self.dir.join("ballast")).is_ok_and(|file| {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.reserve / 4).is_ok()
        });
        self.ballast = laid;
        if !laid {
            self.drop_ballast();
        }
    }
}

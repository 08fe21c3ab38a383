//! Room on the disk: admission stops before it is gone, and a ballast file is given back so that acks, deletes and logins
//! go on (contract rule 6).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The disk's room when it was last looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes below which nothing is admitted.
    pub floor: u64,
    /// Nothing is admitted.
    pub full: bool,
}

/// The disk's room as the writer sees it.
#[derive(Debug)]
pub struct Space {
    dir: PathBuf,
    reserve: u64,
    open: bool,
    /// Free bytes, and the floor, at the last look.
    seen: (u64, u64),
    /// Laid, or tried in vain.
    ballast: bool,
}

impl Space {
    /// `reserve` in bytes; 0 switches admission and ballast off.
    pub fn new(dir: &Path, reserve: u64) -> Space {
        let mut space =
            Space { dir: dir.to_owned(), reserve, open: true, seen: (0, 0), ballast: dir.join("ballast").exists() };
        // one of another size was laid for another reserve
        if fs::metadata(dir.join("ballast")).is_ok_and(|file| file.len() != reserve / 4) {
            space.drop_ballast();
        }
        space
    }

    /// Gives the ballast back when there is too little room to start at all.
    pub fn make_room_for_start(&mut self) {
        if self.reserve > 0 && self.free().is_some_and(|(free, _)| free < self.reserve / 4) {
            self.drop_ballast();
        }
    }

    /// Whether new messages may be accepted now.
    pub fn admits(&self) -> bool {
        self.open
    }

    /// What the last look saw.
    pub fn room(&self) -> Room {
        let (free, floor) = self.seen;
        Room { free, floor, full: !self.open }
    }

    /// Looks how much room there is. Called before every round, which it costs a microsecond: a disk that somebody else fills at
    /// once must be seen, and the ballast given back, before a commit meets it.
    pub fn look(&mut self) {
        let Some((free, total)) = self.free() else { return };
        if self.reserve == 0 {
            self.seen = (free, 0);
            return;
        }
        let floor = self.reserve.max(total / 20);
        self.seen = (free, floor);
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
        // Where it cannot be had it is not tried again with every round.
        self.ballast = true;
        if !laid {
            let _ = fs::remove_file(self.dir.join("ballast"));
        }
    }
}

//! Decides what becomes of each offer and transfer: calls of the user, frames of the peer, ends of jobs and of connections come in,
//! what is to be done comes out ([`Do`]). Nothing here waits, reads or writes. Owned by the profile's owner.
//!
//! The sender offers, the receiver asks for the bytes from where it has them, and says when all is there. After every new connection
//! the sender offers again what is not over, and each says what ended while the other was away: so both agree whatever was lost.

mod entry;
mod meeting;
mod peer;
#[cfg(test)]
mod tests;
mod user;
mod work;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chat_proto::control::file::{Conflict, File, FileState};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::limits::{FILES_MAX, FILES_OF_PEER};

use super::job::{Flag, Sending, Wanted};
use super::target::Part;
use super::{Refusal, Setup, name, shown_id};
use crate::history::file::{FileWrite, Spot, Transfer};
use entry::{Entry, Pace};
use meeting::Meeting;
pub use meeting::Stop;
pub use work::Job;
use work::Work;

/// A session's id.
pub type SessionId = [u8; 16];

/// Milliseconds before what a full disk did not take is written down again.
const KEEP_AGAIN_MS: u64 = 5000;
/// Milliseconds between two words about how far a transfer is.
const TELL_EVERY_MS: u64 = 1000;

/// What is to be done.
#[derive(Debug)]
pub enum Do {
    /// Say this to the peer of a session.
    Say(SessionId, Frame),
    /// Write this down.
    Keep(FileWrite),
    /// Tell followers of an offer.
    TellOffer(File),
    /// Tell followers how a transfer goes.
    Tell(File),
    /// Open an unfinished file, and read what is there.
    Open(Job, Wanted, Arc<Flag>),
    /// Send bytes on the session's connection.
    Send(SessionId, Job, Sending, Arc<Flag>),
    /// Remove an unfinished file: what is left at this place of the transfer with this id.
    RemovePart(Spot, [u8; 16]),
    /// Remove a file that waited for its taker.
    RemoveHeld(Spot),
}

/// A stream's bytes that were asked for.
pub struct Arriving {
    /// The job that takes them.
    pub job: Job,
    /// Where they go.
    pub part: Part,
    /// What all of them must be.
    pub sha256: [u8; 32],
    /// Shared with the job.
    pub flag: Arc<Flag>,
}

/// What the files of a profile are about.
pub struct Desk {
    setup: Setup,
    /// Oldest first.
    entries: Vec<Entry>,
    meetings: HashMap<SessionId, Meeting>,
    jobs: Job,
    todo: VecDeque<Do>,
    /// When followers are told next how far transfers are, on the clock that never jumps.
    tell_at: Option<u64>,
    /// When those that were broken off though the connection is there are tried again, and what could not be written down.
    again_at: Option<u64>,
    /// What is to be written down again.
    lost: Vec<[u8; 16]>,
}

impl Desk {
    /// With what the history holds, oldest first.
    pub fn new(setup: Setup, files: Vec<Transfer>) -> Desk {
        let entry = |kept: Transfer| {
            let taken_before = kept.dir == Direction::In && kept.spot.is_some();
            Entry { written: Some(kept.clone()), taken_before, ..Entry::new(kept) }
        };
        Desk {
            setup,
            entries: files.into_iter().map(entry).collect(),
            meetings: HashMap::new(),
            jobs: 0,
            todo: VecDeque::new(),
            tell_at: None,
            again_at: None,
            lost: Vec::new(),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Do> {
        self.todo.pop_front()
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<File> {
        self.entries.iter().map(Entry::shown).collect()
    }

    /// Where the peer of this name is reached now.
    pub fn meets(&self, peer: &str) -> bool {
        self.session_of(peer).is_some()
    }

    /// One transfer by its id or an unambiguous end of it.
    pub fn find(&self, id: &str) -> Result<&Transfer, Refusal> {
        self.place(id).map(|index| &self.entries[index].kept)
    }

    /// Where an offered file would go.
    pub fn spot(&self, transfer: &Transfer, hold: bool, conflict: Conflict) -> Spot {
        match hold {
            true => Spot { folder: self.setup.held.clone(), file: shown_id(&transfer.id), conflict, hold },
            false => Spot { folder: self.setup.folder.clone(), file: name::safe(&transfer.name), conflict, hold },
        }
    }

    /// What was to be written down of these is committed, or could not be: then it is tried again.
    pub fn kept(&mut self, ids: &[[u8; 16]], is_kept: bool, mono_ms: u64) {
        for id in ids {
            let index = self.entries.iter().position(|entry| entry.kept.id == *id);
            if let Some(index) = index {
                let entry = &mut self.entries[index];
                entry.writing = entry.writing.saturating_sub(1);
                if !is_kept {
                    entry.written = None;
                }
                let done = entry.kept.state == FileState::Done && entry.kept.dir == Direction::In;
                if is_kept
                    && done
                    && let Some(session) = self.session_with(&self.entries[index].kept)
                {
                    self.remind(session, index);
                }
            }
            if !is_kept && !self.lost.contains(id) {
                self.lost.push(*id);
            }
        }
        if !self.lost.is_empty() {
            self.again_by(mono_ms + KEEP_AGAIN_MS);
        }
    }

    /// When [`Desk::tick`] has something to do.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.tell_at.into_iter().chain(self.again_at).min()
    }

    /// Tells followers how far transfers are, and has those go on that were broken off.
    pub fn tick(&mut self, mono_ms: u64) {
        if self.again_at.is_some_and(|at| at <= mono_ms) {
            self.again_at = None;
            self.entries.iter_mut().for_each(|entry| entry.paused = false);
            for id in std::mem::take(&mut self.lost) {
                match self.entries.iter().position(|entry| entry.kept.id == id) {
                    Some(index) => self.write(index),
                    None => self.todo.push_back(Do::Keep(FileWrite::Forget(id))),
                }
            }
            self.turn();
        }
        if self.tell_at.is_none_or(|at| at > mono_ms) {
            return;
        }
        let mut moving = false;
        for entry in self.entries.iter_mut().filter(|entry| matches!(entry.work, Work::Moving(..))) {
            moving = true;
            if entry.pace.measure(entry.flag.done(), mono_ms) {
                self.todo.push_back(Do::Tell(entry.shown()));
            }
        }
        self.tell_at = moving.then_some(mono_ms + TELL_EVERY_MS);
    }

    /// It is over by this side's doing: the peer is told.
    fn end(&mut self, index: usize, state: FileState, code: Option<Code>) {
        let kept = &mut self.entries[index].kept;
        (kept.by_peer, kept.told) = (false, false);
        self.over(index, state, code);
        if let Some(session) = self.session_with(&self.entries[index].kept) {
            self.remind(session, index);
        }
    }

    fn over(&mut self, index: usize, state: FileState, code: Option<Code>) {
        let entry = &mut self.entries[index];
        (entry.kept.state, entry.kept.code, entry.pace, entry.paused) = (state, code, Pace::default(), false);
        if matches!(entry.work, Work::Opening(_)) {
            entry.flag.stop();
        }
        if !matches!(entry.work, Work::Leaving(..) | Work::Opening(_)) {
            entry.work = Work::Rest;
            if entry.kept.leaves_nothing() {
                let own = entry.kept.spot.clone().map(|spot| (entry.kept.id, spot));
                let parts = own.into_iter().chain(entry.left.take());
                self.todo.extend(parts.map(|(id, spot)| Do::RemovePart(spot, id)));
            }
        }
        self.changed(index);
    }

    fn announce(&mut self, index: usize) {
        self.write(index);
        self.todo.push_back(Do::TellOffer(self.entries[index].shown()));
    }

    fn changed(&mut self, index: usize) {
        self.write(index);
        self.todo.push_back(Do::Tell(self.entries[index].shown()));
        if matches!(self.entries[index].work, Work::Moving(..)) && self.tell_at.is_none() {
            self.tell_at = Some(0);
        }
    }

    /// Writes down what a restart must know; that bytes move is nothing of that.
    fn write(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        let mut kept = entry.kept.clone();
        if kept.state == FileState::Running {
            kept.state = FileState::Waiting;
        }
        if entry.written.as_ref() != Some(&kept) {
            entry.written = Some(kept.clone());
            entry.writing += 1;
            self.todo.push_back(Do::Keep(FileWrite::Put(Box::new(kept))));
        }
    }

    /// Adds a transfer, in the place of one that is over where there are too many.
    fn add(&mut self, kept: Transfer) -> Option<usize> {
        if self.entries.len() >= FILES_MAX {
            let over = |entry: &Entry| entry.kept.state.is_over() && matches!(entry.work, Work::Rest);
            let own = |entry: &Entry| over(entry) && entry.kept.peer == kept.peer;
            let many = self.entries.iter().filter(|entry| own(entry)).count() > FILES_OF_PEER;
            let oldest = self.entries.iter().position(|entry| if many { own(entry) } else { over(entry) })?;
            self.forget(oldest);
        }
        self.entries.push(Entry::new(kept));
        Some(self.entries.len() - 1)
    }

    fn forget(&mut self, index: usize) {
        let entry = self.entries.remove(index);
        self.todo.push_back(Do::Keep(FileWrite::Forget(entry.kept.id)));
        self.todo.extend(entry.left.map(|(id, spot)| Do::RemovePart(spot, id)));
        match entry.kept.spot {
            Some(spot) if entry.kept.state != FileState::Done => {
                self.todo.push_back(Do::RemovePart(spot, entry.kept.id));
            }
            Some(spot) if spot.hold => self.todo.push_back(Do::RemoveHeld(spot)),
            _ => {}
        }
    }

    fn place(&self, id: &str) -> Result<usize, Refusal> {
        let wanted = id.to_ascii_lowercase();
        let fits = |entry: &&(usize, String)| !wanted.is_empty() && entry.1.ends_with(&wanted);
        let ids: Vec<(usize, String)> = self.entries.iter().map(|entry| shown_id(&entry.kept.id)).enumerate().collect();
        let mut found = ids.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(*index),
            (Some(_), Some(_)) => Err(Refusal::new(Code::UNKNOWN_FILE, "several end with it")),
            (None, _) => Err(Code::UNKNOWN_FILE.into()),
        }
    }

    fn again_by(&mut self, at: u64) {
        self.again_at = Some(self.again_at.map_or(at, |other| other.min(at)));
    }
}

/// The time, on both clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Milliseconds since 1970.
    pub wall_ms: i64,
    /// Milliseconds of a clock that never jumps.
    pub mono_ms: u64,
}

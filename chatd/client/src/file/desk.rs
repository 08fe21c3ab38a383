//! Decides what becomes of each offer and transfer: calls of the user, frames of the peer, ends of jobs and of connections come in,
//! what is to be done comes out ([`Do`]). Nothing here waits, reads or writes. Owned by the profile's owner.
//!
//! The sender offers, the receiver asks for the bytes from where it has them, and says when all is there. After every new connection
//! the sender offers again what is not over, and each says what ended while the other was away: so both agree whatever was lost.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use chat_proto::control::file::{Conflict, File, FileState};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::hex;
use chat_proto::limits::{FILE_OFFERS_AT_ONCE, FILE_OFFERS_OF_PEER, FILES_AT_ONCE, FILES_MAX, FILES_OF_PEER};
use chat_proto::method::peer as method;
use chat_proto::peer::{FileAccept, FileBytes};

use super::job::{Flag, Outcome, Sending, Wanted};
use super::source::Offered;
use super::target::Part;
use super::{Refusal, Setup, name, shown_id};
use crate::history::PeerDevice;
use crate::history::file::{FileWrite, Spot, Transfer};
use crate::upstream::is_among;

mod peer;
#[cfg(test)]
mod tests;

/// A session's id.
pub type SessionId = [u8; 16];
/// Names a job, so that what an old one says is known.
pub type Job = u64;

/// Milliseconds before a transfer that the peer broke off is asked for again.
const AGAIN_AFTER_MS: u64 = 1000;
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

/// Why a session's transfers stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// One of the two ended it: they go on when one of the users asks for it.
    Ended {
        /// It was the peer's side.
        by_peer: bool,
    },
    /// The peer was lost: they go on when the two next meet.
    Lost,
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

/// A session with a proven connection now, or one before.
struct Meeting {
    peer: String,
    device: PeerDevice,
    up: bool,
    /// Its files are taken without asking.
    auto: bool,
    /// Words of the peer that begin something: so many are taken without a pause, and when that was counted.
    starts: (u32, u64),
}

struct Entry {
    kept: Transfer,
    /// As it was last written down.
    written: Option<Transfer>,
    /// Writes of it that are not committed.
    writing: u32,
    /// In: it was taken before the daemon started, and not opened since.
    taken_before: bool,
    /// In: what an earlier try left under another id or at another place.
    left: Option<([u8; 16], Spot)>,
    /// It is not asked for, and not sent, before [`Desk::again_at`], or the next connection.
    paused: bool,
    work: Work,
    flag: Arc<Flag>,
    pace: Pace,
}

/// What is being done for a transfer now.
enum Work {
    /// Nothing.
    Rest,
    /// Out: the peer asked for the bytes from here on, and they wait for their turn.
    Asked(u64),
    /// In: the unfinished file is being opened.
    Opening(Job),
    /// In: the bytes were asked for.
    Awaited(Part),
    /// The bytes are on their way. Out: the peer asked for them once more.
    Moving(Job, Option<u64>),
    /// The bytes were stopped; the job has not ended yet. Out: the peer asked for them since.
    Leaving(Job, Option<u64>),
    /// Out: all bytes were handed over; the peer's word is waited for.
    Handed,
}

/// How fast it goes.
#[derive(Default)]
struct Pace {
    /// When and at how many bytes it was measured.
    last: Option<(u64, u64)>,
    /// Bytes per second.
    rate: Option<u64>,
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

    /// Offers a file to the peer. The same one that is under way, or was cut off, goes on.
    pub fn offer(&mut self, peer: &str, path: PathBuf, file: Offered, id: [u8; 16], now: Now) -> Result<File, Refusal> {
        let session = self.session_of(peer).ok_or(Refusal::from(Code::PEER_UNREACHABLE))?;
        let device = self.meetings.get(&session).map(|meeting| meeting.device);
        let device = device.ok_or(Refusal::from(Code::PEER_UNREACHABLE))?;
        let same = |entry: &Entry| {
            let kept = &entry.kept;
            let file_is = kept.sha256 == file.sha256 && kept.size == file.size && kept.path.as_ref() == Some(&path);
            let goes_on = kept.goes_on();
            kept.is_with(Direction::Out, peer, device) && file_is && goes_on
        };
        if let Some(index) = self.entries.iter().rposition(same) {
            let entry = &mut self.entries[index];
            entry.kept.changed_ns = file.changed_ns;
            if entry.kept.state.is_over() {
                entry.revive(FileState::Offered);
                self.say_offer(session, index);
            }
            self.changed(index);
            return Ok(self.entries[index].shown());
        }
        let open =
            |entry: &&Entry| entry.kept.is_with(Direction::Out, peer, device) && entry.kept.state == FileState::Offered;
        if self.entries.iter().filter(open).count() >= FILE_OFFERS_OF_PEER {
            return Err(Code::TOO_MANY_FILES.into());
        }
        let kept = Transfer {
            id,
            peer: peer.to_owned(),
            device,
            dir: Direction::Out,
            name: file.name,
            size: file.size,
            sha256: file.sha256,
            state: FileState::Offered,
            code: None,
            by_peer: false,
            told: false,
            path: Some(path),
            changed_ns: file.changed_ns,
            spot: None,
            at_ms: now.wall_ms,
        };
        let index = self.add(kept).ok_or(Refusal::from(Code::TOO_MANY_FILES))?;
        self.changed(index);
        self.say_offer(session, index);
        Ok(self.entries[index].shown())
    }

    /// Takes an offered file, or one that was cut off.
    pub fn accept(&mut self, id: &str, hold: bool, conflict: Conflict) -> Result<File, Refusal> {
        let index = self.place(id)?;
        let kept = &self.entries[index].kept;
        match kept.state {
            _ if kept.dir == Direction::Out => return Err(Code::UNKNOWN_FILE.into()),
            FileState::Offered => {}
            // Taken twice is taken.
            FileState::Waiting | FileState::Running => return Ok(self.entries[index].shown()),
            _ if !kept.is_resumable() => return Err(Code::TOO_LATE.into()),
            _ if self.session_with(kept).is_none() => return Err(Code::PEER_UNREACHABLE.into()),
            _ => {}
        }
        self.take(index, hold, conflict);
        self.turn();
        Ok(self.entries[index].shown())
    }

    /// Says no to an offered file.
    pub fn decline(&mut self, id: &str) -> Result<File, Refusal> {
        let index = self.place(id)?;
        let kept = &self.entries[index].kept;
        match (kept.dir, kept.state) {
            (Direction::Out, _) => Err(Code::UNKNOWN_FILE.into()),
            (_, FileState::Declined) => Ok(self.entries[index].shown()),
            (_, FileState::Offered) => {
                self.end(index, FileState::Declined, None);
                Ok(self.entries[index].shown())
            }
            _ => Err(Code::TOO_LATE.into()),
        }
    }

    /// Gives an offer or a transfer up, and what a cut-off one left.
    pub fn cancel(&mut self, id: &str) -> Result<File, Refusal> {
        let index = self.place(id)?;
        let kept = &self.entries[index].kept;
        let goes_on = kept.goes_on();
        if kept.state == FileState::Done || (goes_on && !self.halt(index)) {
            return Err(Code::TOO_LATE.into());
        }
        if goes_on {
            self.end(index, FileState::Cancelled, None);
            self.turn();
        }
        Ok(self.entries[index].shown())
    }

    /// A file that was kept for its taker lies elsewhere now.
    pub fn taken(&mut self, id: &str, path: Option<PathBuf>) -> Result<File, Refusal> {
        let index = self.place(id)?;
        let kept = &mut self.entries[index].kept;
        match (kept.state, kept.spot.take()) {
            (FileState::Done, Some(spot)) if spot.hold => {
                kept.path = path;
                self.todo.push_back(Do::RemoveHeld(spot));
                self.changed(index);
                Ok(self.entries[index].shown())
            }
            (state, spot) => {
                kept.spot = spot;
                Err(if state.is_over() { Code::UNKNOWN_FILE } else { Code::TOO_LATE }.into())
            }
        }
    }

    /// A session has a connection again on which the peer proved who it is. What the same device was offered, or offered, under
    /// another key is over: whoever has this key was not meant.
    pub fn up(&mut self, session: SessionId, peer: &str, device: PeerDevice, classic: bool, now: Now) {
        let starts = (FILE_OFFERS_AT_ONCE, now.mono_ms);
        let auto = is_among(&self.setup.auto_accept, peer, classic);
        let new = Meeting { peer: peer.to_owned(), device, up: true, auto, starts };
        let meeting = self.meetings.entry(session).or_insert(new);
        (meeting.up, meeting.device) = (true, device);
        for index in 0..self.entries.len() {
            let kept = &self.entries[index].kept;
            if kept.peer != peer || kept.device.device != device.device {
                continue;
            }
            if kept.device != device {
                let goes_on = kept.goes_on();
                if goes_on && self.halt(index) {
                    let kept = &mut self.entries[index].kept;
                    (kept.by_peer, kept.told) = (true, true);
                    self.over(index, FileState::Failed, Some(Code::IDENTITY_CHANGED));
                }
                continue;
            }
            self.entries[index].paused = false;
            let kept = &self.entries[index].kept;
            if kept.state == FileState::Failed && kept.code == Some(Code::PEER_UNREACHABLE) {
                match (kept.dir, &kept.spot) {
                    (Direction::Out, _) => self.entries[index].revive(FileState::Offered),
                    (Direction::In, Some(_)) => self.entries[index].revive(FileState::Waiting),
                    (Direction::In, None) => continue,
                }
                self.changed(index);
            }
            self.remind(session, index);
        }
        self.turn();
    }

    /// The session's connection is lost.
    pub fn down(&mut self, session: SessionId) {
        let Some(meeting) = self.meetings.get_mut(&session) else { return };
        meeting.up = false;
        let (peer, device) = (meeting.peer.clone(), meeting.device);
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            if entry.kept.peer != peer || entry.kept.device != device || entry.kept.state.is_over() {
                continue;
            }
            entry.rest();
            if entry.kept.state == FileState::Running && !matches!(entry.work, Work::Moving(..)) {
                entry.kept.state = FileState::Waiting;
                self.changed(index);
            }
        }
        self.turn();
    }

    /// The session is over.
    pub fn ended(&mut self, session: SessionId, stop: Stop) {
        self.down(session);
        let Some(meeting) = self.meetings.remove(&session) else { return };
        let (code, by_peer) = match stop {
            Stop::Ended { by_peer } => (Code::SESSION_ENDED, by_peer),
            Stop::Lost => (Code::PEER_UNREACHABLE, true),
        };
        for index in 0..self.entries.len() {
            let kept = &self.entries[index].kept;
            if kept.peer == meeting.peer && kept.device == meeting.device && !kept.state.is_over() && self.halt(index) {
                let kept = &mut self.entries[index].kept;
                (kept.state, kept.code, kept.by_peer, kept.told) = (FileState::Failed, Some(code), by_peer, true);
                self.changed(index);
            }
        }
        self.turn();
    }

    /// A stream with bytes came; nothing when nobody asked for them.
    pub fn bytes(&mut self, session: SessionId, head: &FileBytes) -> Option<Arriving> {
        let index = self.known(session, &head.id, Direction::In)?;
        let job = self.next_job();
        let entry = &mut self.entries[index];
        let part = match std::mem::replace(&mut entry.work, Work::Rest) {
            Work::Awaited(part) if part.length() == head.offset => part,
            other => {
                entry.work = other;
                return None;
            }
        };
        entry.flag = Flag::at(head.offset);
        entry.work = Work::Moving(job, None);
        entry.kept.state = FileState::Running;
        entry.pace = Pace::default();
        let arriving = Arriving { job, part, sha256: entry.kept.sha256, flag: Arc::clone(&entry.flag) };
        self.changed(index);
        Some(arriving)
    }

    /// A job ended.
    pub fn job_ended(&mut self, job: Job, outcome: Outcome, mono_ms: u64) {
        let of_job = |entry: &Entry| match entry.work {
            Work::Opening(own) | Work::Moving(own, _) | Work::Leaving(own, _) => own == job,
            _ => false,
        };
        let Some(index) = self.entries.iter().position(of_job) else { return };
        match std::mem::replace(&mut self.entries[index].work, Work::Rest) {
            Work::Leaving(_, again) => self.left(index, again),
            Work::Moving(_, again) => {
                if matches!(outcome, Outcome::Broken | Outcome::Sent) {
                    self.entries[index].paused = true;
                    self.again_by(mono_ms + AGAIN_AFTER_MS);
                }
                self.moved(index, again, outcome);
            }
            _ => {
                // Its job went without an answer: not at once again.
                if matches!(outcome, Outcome::Broken) && !self.entries[index].flag.is_stopped() {
                    self.entries[index].paused = true;
                    self.again_by(mono_ms + AGAIN_AFTER_MS);
                }
                self.opened(index, outcome);
            }
        }
        self.turn();
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

    /// In: the unfinished file is open, or cannot be.
    fn opened(&mut self, index: usize, outcome: Outcome) {
        let entry = &mut self.entries[index];
        if entry.kept.state != FileState::Waiting {
            return self.left(index, None);
        }
        match outcome {
            Outcome::Ready(part) if entry.kept.spot.as_ref().is_some_and(|spot| part.is_at(spot)) => {
                entry.flag = Flag::at(part.length());
                let body = FileAccept { id: entry.kept.id.to_vec(), offset: part.length() };
                let session = self.session_with(&self.entries[index].kept);
                if let Some(session) = session {
                    self.entries[index].work = Work::Awaited(part);
                    self.say(session, method::FILE_ACCEPT, &body);
                }
            }
            Outcome::Placed(path) => self.placed(index, path),
            Outcome::Refused(refusal) => self.failed(index, refusal),
            // It is wanted elsewhere by now, or was stopped: its next turn opens it again.
            Outcome::Ready(_) | Outcome::Sent | Outcome::Broken => {}
        }
    }

    /// The bytes are not on their way any more.
    fn moved(&mut self, index: usize, again: Option<u64>, outcome: Outcome) {
        let entry = &mut self.entries[index];
        match outcome {
            Outcome::Placed(path) => self.placed(index, path),
            Outcome::Sent if again.is_none() => {
                entry.work = Work::Handed;
            }
            Outcome::Refused(refusal) => self.failed(index, refusal),
            Outcome::Ready(_) | Outcome::Sent | Outcome::Broken => {
                entry.kept.state = FileState::Waiting;
                entry.work = again.map_or(Work::Rest, Work::Asked);
                self.changed(index);
            }
        }
    }

    /// The job of a transfer that was stopped has ended.
    fn left(&mut self, index: usize, again: Option<u64>) {
        let entry = &mut self.entries[index];
        if entry.kept.leaves_nothing() {
            if let Some(spot) = entry.kept.spot.clone() {
                self.todo.push_back(Do::RemovePart(spot, entry.kept.id));
            }
        } else if let Some(offset) = again.filter(|_| entry.kept.goes_on()) {
            entry.work = Work::Asked(offset);
            entry.flag = Flag::at(offset);
            entry.revive(FileState::Waiting);
            self.changed(index);
        }
    }

    fn placed(&mut self, index: usize, path: PathBuf) {
        self.entries[index].kept.path = Some(path);
        self.end(index, FileState::Done, None);
    }

    fn failed(&mut self, index: usize, refusal: Refusal) {
        tracing::info!(code = refusal.code.name(), detail = refusal.detail, "a file's transfer failed");
        self.end(index, FileState::Failed, Some(refusal.code));
    }

    /// Gives each transfer that can go on its turn.
    fn turn(&mut self) {
        for index in 0..self.entries.len() {
            let kept = &self.entries[index].kept;
            let Some(session) = self.session_with(kept).filter(|_| kept.state == FileState::Waiting) else { continue };
            match (kept.dir, &self.entries[index].work) {
                (Direction::In, Work::Rest) if !self.entries[index].paused && self.busy(index) < FILES_AT_ONCE => {
                    self.open(index);
                }
                (Direction::Out, Work::Asked(offset))
                    if !self.entries[index].paused && self.busy(index) < FILES_AT_ONCE =>
                {
                    self.send(session, index, *offset);
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, index: usize) {
        let job = self.next_job();
        let entry = &mut self.entries[index];
        let Some(spot) = entry.kept.spot.clone() else { return };
        entry.work = Work::Opening(job);
        entry.flag = Flag::at(entry.flag.done());
        let taken_before = std::mem::take(&mut entry.taken_before).then_some(entry.kept.sha256);
        let (id, size, left) = (entry.kept.id, entry.kept.size, entry.left.take());
        let wanted = Wanted { id, size, spot, left, taken_before };
        self.todo.push_back(Do::Open(job, wanted, Arc::clone(&entry.flag)));
    }

    fn send(&mut self, session: SessionId, index: usize, offset: u64) {
        let job = self.next_job();
        let entry = &mut self.entries[index];
        let Some(path) = entry.kept.path.clone() else { return };
        entry.flag = Flag::at(offset);
        entry.work = Work::Moving(job, None);
        entry.pace = Pace::default();
        entry.kept.state = FileState::Running;
        let (size, changed_ns) = (entry.kept.size, entry.kept.changed_ns);
        let sending = Sending { id: entry.kept.id, path, size, changed_ns, offset };
        self.todo.push_back(Do::Send(session, job, sending, Arc::clone(&entry.flag)));
        self.changed(index);
    }

    /// Transfers of the same direction that have a place. A peer that lets its files be waited for takes places from itself alone.
    fn busy(&self, index: usize) -> usize {
        let wanting = &self.entries[index].kept;
        let busy = |entry: &&Entry| match entry.work {
            Work::Rest | Work::Asked(_) | Work::Handed => false,
            Work::Awaited(_) => entry.kept.peer == wanting.peer,
            Work::Opening(_) | Work::Moving(..) | Work::Leaving(..) => entry.kept.dir == wanting.dir,
        };
        self.entries.iter().filter(busy).count()
    }

    fn take(&mut self, index: usize, hold: bool, conflict: Conflict) {
        let spot = self.spot(&self.entries[index].kept, hold, conflict);
        let resumes = conflict == Conflict::Resume && self.entries[index].kept.spot.is_none();
        let earlier = if resumes { self.earlier(index) } else { None };
        let entry = &mut self.entries[index];
        let old = entry.kept.spot.replace(spot.clone()).map(|old| (entry.kept.id, old));
        // What was not opened yet has nothing at its place, and still what it was to take over.
        let old = entry.left.take().or(old);
        let moved = |(id, old): &([u8; 16], Spot)| {
            *id != entry.kept.id || (&old.folder, &old.file) != (&spot.folder, &spot.file)
        };
        entry.left = old.or(earlier).filter(moved);
        (entry.paused, entry.taken_before) = (false, false);
        entry.revive(FileState::Waiting);
        self.changed(index);
    }

    /// What is there of the same content from the same peer under another id; that transfer has it no more.
    fn earlier(&mut self, index: usize) -> Option<([u8; 16], Spot)> {
        let wanted = self.entries[index].kept.clone();
        let same = |kept: &Transfer| {
            let content = kept.sha256 == wanted.sha256 && kept.size == wanted.size;
            content && kept.id != wanted.id && kept.dir == Direction::In && kept.peer == wanted.peer
        };
        let is = |entry: &Entry| {
            same(&entry.kept)
                && entry.kept.is_resumable()
                && entry.kept.spot.is_some()
                && matches!(entry.work, Work::Rest)
        };
        let place = self.entries.iter().rposition(is)?;
        let kept = &mut self.entries[place].kept;
        let left = kept.spot.take().map(|spot| (kept.id, spot));
        self.write(place);
        left
    }

    /// Whether the job that has the bytes can be, and now is, stopped.
    fn halt(&mut self, index: usize) -> bool {
        let entry = &mut self.entries[index];
        entry.rest();
        !matches!(entry.work, Work::Moving(..))
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

    /// The transfer of the session's peer with this id.
    fn known(&self, session: SessionId, id: &[u8], dir: Direction) -> Option<usize> {
        let meeting = self.meetings.get(&session)?;
        let is = |kept: &Transfer| kept.id == id && kept.is_with(dir, &meeting.peer, meeting.device);
        self.entries.iter().position(|entry| is(&entry.kept))
    }

    fn session_of(&self, peer: &str) -> Option<SessionId> {
        self.meetings.iter().find(|(_, meeting)| meeting.up && meeting.peer == peer).map(|(session, _)| *session)
    }

    fn session_with(&self, kept: &Transfer) -> Option<SessionId> {
        let is = |meeting: &Meeting| meeting.up && meeting.peer == kept.peer && meeting.device == kept.device;
        self.meetings.iter().find(|(_, meeting)| is(meeting)).map(|(session, _)| *session)
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

    /// Counts a word of the peer that begins something; false when there are too many.
    fn may_start(&mut self, session: SessionId, now: Now) -> bool {
        self.meetings.get_mut(&session).is_some_and(|meeting| meeting.may_start(now.mono_ms))
    }

    fn again_by(&mut self, at: u64) {
        self.again_at = Some(self.again_at.map_or(at, |other| other.min(at)));
    }

    fn next_job(&mut self) -> Job {
        self.jobs += 1;
        self.jobs
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

impl Meeting {
    fn may_start(&mut self, mono_ms: u64) -> bool {
        let (left, since) = self.starts;
        let seconds = mono_ms.saturating_sub(since) / 1000;
        let left = left.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX)).min(FILE_OFFERS_AT_ONCE);
        self.starts = (left.saturating_sub(1), since + seconds * 1000);
        left > 0
    }
}

impl Entry {
    fn new(kept: Transfer) -> Entry {
        let done = if kept.state == FileState::Done { kept.size } else { 0 };
        Entry {
            kept,
            written: None,
            writing: 0,
            taken_before: false,
            left: None,
            paused: false,
            work: Work::Rest,
            flag: Flag::at(done),
            pace: Pace::default(),
        }
    }

    /// The history has how it is now.
    fn is_kept(&self) -> bool {
        self.writing == 0 && self.written.as_ref().is_some_and(|written| written.state == self.kept.state)
    }

    fn revive(&mut self, state: FileState) {
        (self.kept.state, self.kept.code, self.kept.by_peer, self.kept.told) = (state, None, false, false);
    }

    /// Nothing is done for it any more; what cannot be stopped goes on.
    fn rest(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::Rest) {
            Work::Moving(job, _) if self.flag.stop() => Work::Leaving(job, None),
            // An open file that nobody waits for any more is closed when it comes.
            work @ (Work::Moving(..) | Work::Opening(_)) => work,
            Work::Leaving(job, _) => Work::Leaving(job, None),
            Work::Rest | Work::Asked(_) | Work::Awaited(_) | Work::Handed => Work::Rest,
        };
    }

    fn shown(&self) -> File {
        let kept = &self.kept;
        File {
            id: shown_id(&kept.id),
            peer: kept.peer.clone(),
            dir: kept.dir,
            name: kept.name.clone(),
            size: kept.size,
            done: if kept.state == FileState::Done { kept.size } else { self.flag.done() },
            state: kept.state,
            sha256: Some(hex(&kept.sha256)),
            path: kept.path.as_ref().map(|path| path.to_string_lossy().into_owned()),
            code: kept.code,
            by_peer: kept.by_peer,
            rate: self.pace.rate.filter(|_| kept.state == FileState::Running),
            at_ms: kept.at_ms,
        }
    }
}

/// It ended for a reason that may be gone.
fn is_passing(state: FileState, code: Option<Code>) -> bool {
    let passing = [Code::SESSION_ENDED, Code::PEER_UNREACHABLE, Code::DISK_FULL, Code::FILE_EXISTS, Code::TIMED_OUT];
    state == FileState::Failed && code.is_some_and(|code| passing.contains(&code))
}

impl Transfer {
    fn is_with(&self, dir: Direction, peer: &str, device: PeerDevice) -> bool {
        self.dir == dir && self.peer == peer && self.device == device
    }

    /// Who asks for it again has it go on.
    fn is_resumable(&self) -> bool {
        is_passing(self.state, self.code)
    }

    /// It is not over, or not for good.
    fn goes_on(&self) -> bool {
        !self.state.is_over() || self.is_resumable()
    }

    /// Nothing will ask for the bytes that are there.
    fn leaves_nothing(&self) -> bool {
        self.dir == Direction::In && self.state != FileState::Done && !self.goes_on()
    }

    /// How the peer is told of its end.
    fn end_code(&self) -> Code {
        match self.state {
            FileState::Declined => self.code.unwrap_or(Code::DECLINED),
            FileState::Failed => self.code.unwrap_or(Code::INTERNAL),
            FileState::Done => Code::UNKNOWN_FILE,
            _ => Code::CANCELLED,
        }
    }
}

impl Pace {
    /// Whether it went on since the last time.
    fn measure(&mut self, done: u64, mono_ms: u64) -> bool {
        let Some((at, before)) = self.last.replace((mono_ms, done)) else { return false };
        let rate = done.saturating_sub(before).saturating_mul(1000) / mono_ms.saturating_sub(at).max(1);
        // Half of what was, so that one second does not make the number jump.
        self.rate = Some(self.rate.map_or(rate, |old| old.midpoint(rate)));
        done != before
    }
}

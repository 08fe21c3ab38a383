//! What is done for each transfer: which of them has its turn, the jobs that carry its bytes, and how they end.

use std::path::PathBuf;
use std::sync::Arc;

use chat_proto::control::file::FileState;
use chat_proto::control::private::Direction;
use chat_proto::limits::FILES_AT_ONCE;
use chat_proto::method::peer as method;
use chat_proto::peer::{FileAccept, FileBytes};

use super::super::Refusal;
use super::super::job::{Flag, Outcome, Sending, Wanted};
use super::super::target::Part;
use super::entry::{Entry, Pace};
use super::{Arriving, Desk, Do, SessionId};

/// Milliseconds before a transfer that the peer broke off is asked for again.
pub(super) const AGAIN_AFTER_MS: u64 = 1000;

/// Names a job, so that what an old one says is known.
pub type Job = u64;

/// What is being done for a transfer now.
pub(super) enum Work {
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

impl Desk {
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
    pub(super) fn turn(&mut self) {
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

    /// Whether the job that has the bytes can be, and now is, stopped.
    pub(super) fn halt(&mut self, index: usize) -> bool {
        let entry = &mut self.entries[index];
        entry.rest();
        !matches!(entry.work, Work::Moving(..))
    }

    fn next_job(&mut self) -> Job {
        self.jobs += 1;
        self.jobs
    }
}

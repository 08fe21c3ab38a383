//! What a desk hears of its user: offers, and what becomes of those of the peer.

use std::path::PathBuf;

use chat_proto::control::file::{Conflict, File, FileState};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::limits::FILE_OFFERS_OF_PEER;

use super::super::Refusal;
use super::super::source::Offered;
use super::entry::Entry;
use super::work::Work;
use super::{Desk, Do, Now};
use crate::history::file::{Spot, Transfer};

impl Desk {
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

    pub(super) fn take(&mut self, index: usize, hold: bool, conflict: Conflict) {
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
}

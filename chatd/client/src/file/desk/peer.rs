//! What a desk hears of the peer, and what it says to it: offers, wishes for bytes, and ends.

use chat_proto::control::file::{Conflict, FileState};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::limits::{FILE_NAME_MAX, FILE_OFFERS_OF_PEER};
use chat_proto::method::{Tag4, peer as method};
use chat_proto::peer::{FileAccept, FileEnd, FileOffer};
use prost::{DecodeError, Message};

use super::super::job::Flag;
use super::super::shown_id;
use super::entry::is_passing;
use super::work::Work;
use super::{Desk, Do, Now, SessionId};
use crate::history::file::Transfer;

/// Characters of an offered name that are kept to be shown.
const NAME_MAX: usize = 4 * FILE_NAME_MAX;
/// Why a peer may say that a transfer failed.
const ENDS: &[Code] = &[
    Code::UNKNOWN_FILE,
    Code::FILE_EXISTS,
    Code::FILE_DAMAGED,
    Code::BAD_FILE,
    Code::TOO_MANY_FILES,
    Code::DISK_FULL,
    Code::TIMED_OUT,
];

impl Desk {
    /// The peer said something about files.
    pub fn frame(&mut self, session: SessionId, frame: &Frame, now: Now) -> Result<(), DecodeError> {
        let body = frame.body.clone();
        match frame.name {
            method::FILE_OFFER => self.offered(session, FileOffer::decode(body)?, now),
            method::FILE_ACCEPT => self.asked(session, &FileAccept::decode(body)?, now),
            method::FILE_CANCEL => self.given_up(session, &FileEnd::decode(body)?),
            method::FILE_DONE => self.received(session, &FileEnd::decode(body)?),
            _ => {}
        }
        self.turn();
        Ok(())
    }

    fn offered(&mut self, session: SessionId, offer: FileOffer, now: Now) {
        let Some(meeting) = self.meetings.get(&session) else { return };
        let (Ok(id), Ok(sha256)) = (<[u8; 16]>::try_from(&offer.id[..]), <[u8; 32]>::try_from(&offer.sha256[..]))
        else {
            return;
        };
        let (peer, device, auto) = (meeting.peer.clone(), meeting.device, meeting.auto);
        let twin = self.entries.iter().position(|entry| shown_id(&entry.kept.id) == shown_id(&id));
        if let Some(index) = twin {
            let kept = &self.entries[index].kept;
            let same = kept.id == id && kept.is_with(Direction::In, &peer, device);
            return match same && kept.size == offer.size && kept.sha256 == sha256 {
                true => self.offered_again(session, index, now),
                // Two that cannot be told apart would be one to the user.
                false => self.say_end(session, &id, Code::UNKNOWN_FILE),
            };
        }
        let waiting = self
            .entries
            .iter()
            .filter(|entry| entry.kept.is_with(Direction::In, &peer, device) && entry.kept.state == FileState::Offered);
        if waiting.count() >= FILE_OFFERS_OF_PEER || !self.may_start(session, now) {
            return self.say_end(session, &id, Code::TOO_MANY_FILES);
        }
        let kept = Transfer {
            id,
            peer,
            device,
            dir: Direction::In,
            name: offer.name.chars().take(NAME_MAX).collect(),
            size: offer.size,
            sha256,
            state: FileState::Offered,
            code: None,
            by_peer: false,
            told: false,
            path: None,
            changed_ns: 0,
            spot: None,
            at_ms: now.wall_ms,
        };
        let Some(index) = self.add(kept) else { return self.say_end(session, &id, Code::TOO_MANY_FILES) };
        if offer.size > self.setup.max_size {
            return self.end(index, FileState::Declined, Some(Code::TOO_LARGE));
        }
        self.announce(index);
        if auto {
            self.take(index, false, Conflict::Rename);
        }
    }

    /// The peer does not know how far this side is.
    fn offered_again(&mut self, session: SessionId, index: usize, now: Now) {
        let kept = &self.entries[index].kept;
        if kept.is_resumable() && !self.may_start(session, now) {
            let id = self.entries[index].kept.id;
            return self.say_end(session, &id, Code::TOO_MANY_FILES);
        }
        let entry = &mut self.entries[index];
        match (entry.kept.state, entry.kept.code) {
            (FileState::Failed, Some(Code::PEER_UNREACHABLE)) if entry.kept.spot.is_some() => {
                entry.revive(FileState::Waiting);
                self.changed(index);
            }
            (FileState::Failed, _) if entry.kept.is_resumable() => {
                entry.revive(FileState::Offered);
                self.announce(index);
            }
            (state, _) if state.is_over() => {
                self.entries[index].kept.told = false;
                self.remind(session, index);
            }
            _ => {}
        }
    }

    /// The peer asks for the bytes of a file.
    fn asked(&mut self, session: SessionId, accept: &FileAccept, now: Now) {
        let Some(index) = self.known(session, &accept.id, Direction::Out) else {
            return self.say_end(session, &accept.id, Code::UNKNOWN_FILE);
        };
        let entry = &mut self.entries[index];
        let goes_on = entry.kept.goes_on();
        if !goes_on || accept.offset > entry.kept.size {
            let code = if goes_on { Code::FILE_DAMAGED } else { entry.kept.end_code() };
            return self.say_end(session, &accept.id, code);
        }
        if entry.kept.state.is_over() && !self.may_start(session, now) {
            return self.say_end(session, &accept.id, Code::TOO_MANY_FILES);
        }
        let entry = &mut self.entries[index];
        match &mut entry.work {
            Work::Moving(_, again) | Work::Leaving(_, again) => *again = Some(accept.offset),
            work => {
                *work = Work::Asked(accept.offset);
                entry.flag = Flag::at(accept.offset);
                // Who asks again and again is heard once.
                if entry.kept.state != FileState::Waiting {
                    entry.revive(FileState::Waiting);
                    self.changed(index);
                }
            }
        }
    }

    /// The peer gave an offer or a transfer up.
    fn given_up(&mut self, session: SessionId, end: &FileEnd) {
        let either = [Direction::In, Direction::Out].into_iter().find_map(|dir| self.known(session, &end.id, dir));
        let Some(index) = either else { return };
        let (state, code) = match Code(end.code) {
            Code::CANCELLED => (FileState::Cancelled, None),
            Code::DECLINED => (FileState::Declined, None),
            Code::TOO_LARGE => (FileState::Declined, Some(Code::TOO_LARGE)),
            // What else a peer may say is not about files, and would mislead.
            code => (FileState::Failed, Some(if ENDS.contains(&code) { code } else { Code::INTERNAL })),
        };
        let kept = &self.entries[index].kept;
        // One that was cut off can only be given up for good.
        let goes_on = !kept.state.is_over() || (kept.is_resumable() && !is_passing(state, code));
        if !goes_on || !self.halt(index) {
            return;
        }
        let kept = &mut self.entries[index].kept;
        (kept.by_peer, kept.told) = (true, true);
        self.over(index, state, code);
    }

    /// The peer has all of a file.
    fn received(&mut self, session: SessionId, end: &FileEnd) {
        let Some(index) = self.known(session, &end.id, Direction::Out) else { return };
        let kept = &self.entries[index].kept;
        if !kept.goes_on() {
            return;
        }
        self.halt(index);
        let entry = &mut self.entries[index];
        entry.flag = Flag::at(entry.kept.size);
        (entry.kept.by_peer, entry.kept.told) = (false, true);
        self.over(index, FileState::Done, None);
    }

    /// Says to the peer what it has to know of this transfer.
    pub(super) fn remind(&mut self, session: SessionId, index: usize) {
        let entry = &mut self.entries[index];
        let is_kept = entry.is_kept();
        let kept = &mut entry.kept;
        let id = kept.id;
        match kept.state {
            state if !state.is_over() => {
                if kept.dir == Direction::Out {
                    self.say_offer(session, index);
                }
            }
            _ if kept.told => {}
            // A kill could make it come once more until it is written down that all is there.
            FileState::Done if !is_kept => {}
            FileState::Done => {
                kept.told = true;
                self.say(session, method::FILE_DONE, &FileEnd { id: id.to_vec(), code: 0 });
                self.write(index);
            }
            _ => {
                kept.told = true;
                let code = kept.end_code();
                self.say_end(session, &id, code);
                self.write(index);
            }
        }
    }

    pub(super) fn say_offer(&mut self, session: SessionId, index: usize) {
        let kept = &self.entries[index].kept;
        let offer =
            FileOffer { id: kept.id.to_vec(), name: kept.name.clone(), size: kept.size, sha256: kept.sha256.to_vec() };
        self.say(session, method::FILE_OFFER, &offer);
    }

    fn say_end(&mut self, session: SessionId, id: &[u8], code: Code) {
        self.say(session, method::FILE_CANCEL, &FileEnd { id: id.to_vec(), code: code.0 });
    }

    pub(super) fn say(&mut self, session: SessionId, name: Tag4, body: &impl Message) {
        self.todo.push_back(Do::Say(session, Frame::new(name, 0, body)));
    }
}

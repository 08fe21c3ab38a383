//! Where a desk meets its peers: sessions with a connection, without one, and over.

use chat_proto::control::file::FileState;
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::limits::FILE_OFFERS_AT_ONCE;

use super::work::Work;
use super::{Desk, Now, SessionId};
use crate::history::PeerDevice;
use crate::history::file::Transfer;
use crate::upstream::is_among;

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

/// A session with a proven connection now, or one before.
pub(super) struct Meeting {
    pub(super) peer: String,
    pub(super) device: PeerDevice,
    pub(super) up: bool,
    /// Its files are taken without asking.
    pub(super) auto: bool,
    /// Words of the peer that begin something: so many are taken without a pause, and when that was counted.
    pub(super) starts: (u32, u64),
}

impl Desk {
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

    /// The transfer of the session's peer with this id.
    pub(super) fn known(&self, session: SessionId, id: &[u8], dir: Direction) -> Option<usize> {
        let meeting = self.meetings.get(&session)?;
        let is = |kept: &Transfer| kept.id == id && kept.is_with(dir, &meeting.peer, meeting.device);
        self.entries.iter().position(|entry| is(&entry.kept))
    }

    pub(super) fn session_of(&self, peer: &str) -> Option<SessionId> {
        self.meetings.iter().find(|(_, meeting)| meeting.up && meeting.peer == peer).map(|(session, _)| *session)
    }

    pub(super) fn session_with(&self, kept: &Transfer) -> Option<SessionId> {
        let is = |meeting: &Meeting| meeting.up && meeting.peer == kept.peer && meeting.device == kept.device;
        self.meetings.iter().find(|(_, meeting)| is(meeting)).map(|(session, _)| *session)
    }

    /// Counts a word of the peer that begins something; false when there are too many.
    pub(super) fn may_start(&mut self, session: SessionId, now: Now) -> bool {
        self.meetings.get_mut(&session).is_some_and(|meeting| meeting.may_start(now.mono_ms))
    }
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

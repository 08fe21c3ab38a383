//! One transfer as a desk has it: what the history keeps of it, what is being done for it, and how fast it goes.

use std::sync::Arc;

use chat_proto::control::file::{File, FileState};
use chat_proto::control::private::Direction;
use chat_proto::fault::Code;
use chat_proto::id::hex;

use super::super::job::Flag;
use super::super::shown_id;
use super::work::Work;
use crate::history::PeerDevice;
use crate::history::file::{Spot, Transfer};

/// A transfer, and what is being done for it.
pub(super) struct Entry {
    pub(super) kept: Transfer,
    /// As it was last written down.
    pub(super) written: Option<Transfer>,
    /// Writes of it that are not committed.
    pub(super) writing: u32,
    /// In: it was taken before the daemon started, and not opened since.
    pub(super) taken_before: bool,
    /// In: what an earlier try left under another id or at another place.
    pub(super) left: Option<([u8; 16], Spot)>,
    /// It is not asked for, and not sent, before [`super::Desk::again_at`], or the next connection.
    pub(super) paused: bool,
    pub(super) work: Work,
    pub(super) flag: Arc<Flag>,
    pub(super) pace: Pace,
}

/// How fast it goes.
#[derive(Default)]
pub(super) struct Pace {
    /// When and at how many bytes it was measured.
    last: Option<(u64, u64)>,
    /// Bytes per second.
    rate: Option<u64>,
}

impl Entry {
    pub(super) fn new(kept: Transfer) -> Entry {
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
    pub(super) fn is_kept(&self) -> bool {
        self.writing == 0 && self.written.as_ref().is_some_and(|written| written.state == self.kept.state)
    }

    pub(super) fn revive(&mut self, state: FileState) {
        (self.kept.state, self.kept.code, self.kept.by_peer, self.kept.told) = (state, None, false, false);
    }

    /// Nothing is done for it any more; what cannot be stopped goes on.
    pub(super) fn rest(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::Rest) {
            Work::Moving(job, _) if self.flag.stop() => Work::Leaving(job, None),
            // An open file that nobody waits for any more is closed when it comes.
            work @ (Work::Moving(..) | Work::Opening(_)) => work,
            Work::Leaving(job, _) => Work::Leaving(job, None),
            Work::Rest | Work::Asked(_) | Work::Awaited(_) | Work::Handed => Work::Rest,
        };
    }

    pub(super) fn shown(&self) -> File {
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
pub(super) fn is_passing(state: FileState, code: Option<Code>) -> bool {
    let passing = [
        Code::SESSION_ENDED,
        Code::PEER_UNREACHABLE,
        Code::DISK_FULL,
        Code::FOLDER_REPLACED,
        Code::FILE_EXISTS,
        Code::TIMED_OUT,
    ];
    state == FileState::Failed && code.is_some_and(|code| passing.contains(&code))
}

impl Transfer {
    pub(super) fn is_with(&self, dir: Direction, peer: &str, device: PeerDevice) -> bool {
        self.dir == dir && self.peer == peer && self.device == device
    }

    /// Who asks for it again has it go on.
    pub(super) fn is_resumable(&self) -> bool {
        is_passing(self.state, self.code)
    }

    /// It is not over, or not for good.
    pub(super) fn goes_on(&self) -> bool {
        !self.state.is_over() || self.is_resumable()
    }

    /// Nothing will ask for the bytes that are there.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.dir == Direction::In && self.state != FileState::Done && !self.goes_on()
    }

    /// How the peer is told of its end.
    pub(super) fn end_code(&self) -> Code {
        match self.state {
            FileState::Declined => self.code.unwrap_or(Code::DECLINED),
            // How this side is confined is nothing to the peer.
            FileState::Failed if self.code == Some(Code::FOLDER_REPLACED) => Code::DISK_FULL,
            FileState::Failed => self.code.unwrap_or(Code::INTERNAL),
            FileState::Done => Code::UNKNOWN_FILE,
            _ => Code::CANCELLED,
        }
    }
}

impl Pace {
    /// Whether it went on since the last time.
    pub(super) fn measure(&mut self, done: u64, mono_ms: u64) -> bool {
        let Some((at, before)) = self.last.replace((mono_ms, done)) else { return false };
        let rate = done.saturating_sub(before).saturating_mul(1000) / mono_ms.saturating_sub(at).max(1);
        // Half of what was, so that one second does not make the number jump.
        self.rate = Some(self.rate.map_or(rate, |old| old.midpoint(rate)));
        done != before
    }
}

//! Control calls about files sent within private sessions: `file send|list|accept|decline|cancel`.

use serde::{Deserialize, Serialize};

use super::private::Direction;
use crate::fault::Code;

/// Offer a file to the peer of a private session; answered once the peer's daemon has the offer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileSend {
    /// Profile.
    pub profile: String,
    /// To whom.
    pub user: String,
    /// The file, a full path on this host.
    pub path: String,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Which files are offered, under way, or were?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileList {
    /// Profile.
    pub profile: String,
}

/// What to do where a file of that name is already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// Refuse.
    #[default]
    Fail,
    /// Take nothing; that is no error.
    Skip,
    /// Replace it, once all of the new one is there.
    Overwrite,
    /// Take another name: `name (2).ext`.
    Rename,
    /// Go on with what an earlier try left behind, else as `fail`.
    Resume,
}

/// Take an offered file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileAccept {
    /// Profile.
    pub profile: String,
    /// The offer: an id or an unambiguous suffix.
    pub id: String,
    /// Keep it in the daemon's own folder until it is taken ([`FileTake`]), instead of in `files.dir`: the caller puts it where its user
    /// wants it, which the daemon may not be allowed to.
    #[serde(default)]
    pub hold: bool,
    /// What to do where a file of its name is already in `files.dir`. With `hold` only `resume` means something.
    #[serde(default)]
    pub conflict: Conflict,
}

/// A file that was kept for its taker now lies elsewhere: the daemon forgets its own copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileTake {
    /// Profile.
    pub profile: String,
    /// The transfer: an id or an unambiguous suffix.
    pub id: String,
    /// Where it lies now, a full path; absent: it is no file any more.
    #[serde(default)]
    pub path: Option<String>,
}

/// Say no to an offered file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileDecline {
    /// Profile.
    pub profile: String,
    /// The offer: an id or an unambiguous suffix.
    pub id: String,
}

/// Give an offer or a transfer up, on either side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileCancel {
    /// Profile.
    pub profile: String,
    /// An id or an unambiguous suffix.
    pub id: String,
}

/// How a transfer goes. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The receiver has not answered yet.
    Offered,
    /// Taken, and waiting for its turn or for the peer.
    Waiting,
    /// Bytes are on their way.
    Running,
    /// All of it is there, checked, on the receiver's disk.
    Done,
    /// The receiver said no.
    Declined,
    /// One of the two gave it up.
    Cancelled,
    /// It went wrong.
    Failed,
}

impl FileState {
    /// Nothing will change it any more.
    pub fn is_over(self) -> bool {
        matches!(self, FileState::Done | FileState::Declined | FileState::Cancelled | FileState::Failed)
    }
}

/// A file that is offered, under way, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its id, equal on both sides.
    pub id: String,
    /// The other side.
    pub peer: String,
    /// Which way it goes.
    pub dir: Direction,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes that are there.
    pub done: u64,
    /// How it goes.
    pub state: FileState,
    /// SHA-256 of its content, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where it lies on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// With `declined`, `cancelled` and `failed`: the peer's side caused it.
    #[serde(default)]
    pub by_peer: bool,
    /// Bytes per second of late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// When it was offered, by this host's clock.
    pub at_ms: i64,
}

//! Files within private sessions: which are offered, taken, under way and over ([`desk`]), the bytes on their way between disk and
//! connection ([`job`]), and what of a peer's word may become a file here ([`name`], [`target`]). Used by the profile's owner
//! (`profile/file.rs`) and by the control calls (`control/file.rs`).
//!
//! Both sides keep each transfer in their history, so that it goes on after a cut or a restart from the bytes that lie on the
//! receiver's disk. The receiver asks for bytes, the sender offers and waits: who asks decides from where and when.

pub mod desk;
mod folder;
pub mod job;
mod name;
pub mod source;
pub mod target;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::Context;
use chat_proto::control::ErrorData;
use chat_proto::display;
use chat_proto::fault::Code;
use chat_proto::id::hex;

use crate::config;
pub(crate) use folder::Folder;

/// Name of the folder in a profile's data directory for files that wait for their taker.
const HELD: &str = "files";

/// What the configuration says, for one profile.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Folder for received files.
    pub folder: PathBuf,
    /// Folder for those that wait for their taker.
    pub held: PathBuf,
    /// Users whose files are taken without asking.
    pub auto_accept: Vec<String>,
    /// Bytes of the largest file that is taken.
    pub max_size: u64,
}

impl Setup {
    /// What holds for the profile whose history is this file, where `home` is what `~` means.
    pub fn new(config: &config::Files, home: &Path, history: &Path) -> Setup {
        Setup {
            folder: config.folder_in(home),
            held: history.with_file_name(HELD),
            auto_accept: config.auto_accept.clone(),
            max_size: config.max_size,
        }
    }
}

/// Why a file is not sent or not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// Technical cause, for people; empty where the code says all.
    pub detail: String,
}

impl Refusal {
    /// With its cause.
    pub fn new(code: Code, detail: impl std::fmt::Display) -> Refusal {
        Refusal { code, detail: display::cause(&detail.to_string()).into_owned() }
    }

    /// As chatctl is told it.
    pub fn about(self, subject: &str) -> Box<ErrorData> {
        let detail = Some(self.detail).filter(|detail| !detail.is_empty());
        Box::new(ErrorData { subject: Some(subject.to_owned()), detail, ..self.code.into() })
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal { code, detail: String::new() }
    }
}

/// A transfer's id as people see it: equal on both sides.
pub fn shown_id(id: &[u8; 16]) -> String {
    hex(&id[..8])
}

fn digest(hash: Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

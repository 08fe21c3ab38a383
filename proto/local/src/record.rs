//! `endpoint.json` in the state directory: a running chatd writes where it listens, chatctl reads it before it guesses.
//!
//! The file is only a hint: the dialling side checks directory, socket and peer all the same.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::directory::{Directory, OpenError};

/// Name of the file in the state directory.
pub const FILE: &str = "endpoint.json";
/// Where a new one is written before it takes the name.
const DRAFT: &str = "endpoint.json.new";
/// Bytes that are read: a path, a version and a boot id fit many times.
const SIZE_MAX: u64 = 16 * 1024;

/// What chatd says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The control socket (the pipe's name on Windows).
    pub path: PathBuf,
    /// The version of the chatd that wrote it.
    pub version: String,
    /// The boot of the host in which it was written: a record of an earlier boot names no living chatd.
    pub boot_id: String,
}

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file or its directory is not private, or the system refused.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system refused.
    #[error("{FILE}: {0}")]
    Io(#[from] io::Error),
    /// It does not hold what chatd writes, or the path is not UTF-8.
    #[error("{FILE} is not a record of chatd: {0}")]
    Content(#[from] serde_json::Error),
}

/// Reads the record; `None` when there is none.
pub fn read(state_dir: &Path) -> Result<Option<Record>, RecordError> {
    let Some(file) = open(state_dir)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    file.take(SIZE_MAX).read_to_end(&mut content)?;
    Ok(Some(serde_json::from_slice(&content)?))
}

/// Writes the record for readers that may look at any moment: the name always holds a whole one. The caller holds the lock.
pub fn write(state_dir: &Path, record: &Record) -> Result<(), RecordError> {
    let content = serde_json::to_vec(record)?;
    replace(state_dir, &content)
}

/// Removes the record, if there is one. The caller holds the lock.
pub fn remove(state_dir: &Path) -> io::Result<()> {
    match fs::remove_file(state_dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open(state_dir: &Path) -> Result<Option<fs::File>, RecordError> {
    match Directory::open(state_dir).and_then(|dir| dir.open_file(FILE, false)) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn replace(state_dir: &Path, content: &[u8]) -> Result<(), RecordError> {
    let dir = Directory::create(state_dir)?;
    let mut file = dir.open_file(DRAFT, true)?;
    file.set_len(0)?;
    file.write_all(content)?;
    // Not every Windows renames what is open.
    drop(file);
    Ok(dir.rename(DRAFT, FILE)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use std::os::unix::fs::PermissionsExt;

    fn record(path: &str) -> Record {
        Record { path: path.into(), version: "0.1.0".into(), boot_id: "6f1c".into() }
    }

    #[test]
    fn written_is_read_and_private() {
        let home = tempfile::tempdir().expect("a directory to play in");
        let state = home.path().join("state");
        assert_eq!(read(&state).expect("absent"), None);
        for path in ["/run/user/1000/chat/sock", "/x"] {
            write(&state, &record(path)).expect("written");
            assert_eq!(read(&state).expect("there"), Some(record(path)));
        }
        #[cfg(unix)]
        assert_eq!(fs::metadata(state.join(FILE)).expect("there").permissions().mode() & 0o7777, 0o600);
        remove(&state).expect("removed");
        remove(&state).expect("nothing to remove");
        assert_eq!(read(&state).expect("absent"), None);
    }

    /// Modes are what makes a file open; Windows has none.
    #[cfg(unix)]
    #[test]
    fn an_open_or_odd_record_is_refused() {
        let home = tempfile::tempdir().expect("a directory to play in");
        let state = home.path().join("state");
        write(&state, &record("/x")).expect("written");
        fs::set_permissions(state.join(FILE), fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(read(&state), Err(RecordError::Open(_))));
        fs::set_permissions(state.join(FILE), fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(state.join(FILE), "{}").expect("overwritten");
        assert!(matches!(read(&state), Err(RecordError::Content(_))));
    }
}

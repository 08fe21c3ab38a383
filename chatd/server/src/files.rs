//! Files of the server that others must not read, or that must not be there yet: its key, its certificate, its configuration.
//! Used by `init` and by the assembly.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown, lchown,
};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::process::geteuid;
use zeroize::Zeroizing;

/// Bytes of a key or certificate file: a hundred times what any has.
const FILE_MAX: u64 = 1024 * 1024;

/// A file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("{}: {}", path.display(), said(error))]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A secret that others may read (S49).
    #[error("{}: others may read it", .0.display())]
    Exposed(PathBuf),
    /// What is to be made is there already.
    #[error("{} is there already; nothing was changed", .0.display())]
    Exists(PathBuf),
}

/// The system's refusal in words; the number of it helps nobody.
pub(crate) fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there".into(),
        io::ErrorKind::PermissionDenied => "may not be read or written by this user".into(),
        io::ErrorKind::StorageFull => "no space left on the disk".into(),
        _ => error.to_string(),
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Io { path: path.to_owned(), error },
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_open(File::open(path).map_err(io_error(path))?).map_err(io_error(path))
}

/// Reads a secret; one that others may read is none.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = File::open(path).map_err(io_error(path))?;
    let mode = file.metadata().map_err(io_error(path))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(FileError::Exposed(path.to_owned()));
    }
    read_open(file).map(Zeroizing::new).map_err(io_error(path))
}

fn read_open(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new file, on disk when this returns; `mode`, less what the umask takes, holds from its first moment. What root writes
/// belongs to whom its directory belongs to, and its group reads what `mode` says.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let write = || {
        let above = File::open(path.parent().filter(|above| *above != Path::new("")).unwrap_or(Path::new(".")))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        if geteuid().is_root() {
            let owner = above.metadata()?;
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            if owner.gid() != 0 {
                file.set_permissions(Permissions::from_mode(mode))?;
            }
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        above.sync_all()
    };
    write().map_err(io_error(path))
}

/// The mode of a private key in `dir`: where root keeps it for a group, that group reads it.
pub fn key_mode(dir: &Path) -> u32 {
    match std::fs::metadata(dir) {
        Ok(dir) if dir.uid() == 0 && dir.gid() != 0 => 0o640,
        _ => 0o600,
    }
}

/// From here on this process is the account that `dir` belongs to, when it was root: what it makes there has to be that account's, and
/// what that account wrote is not for root to trust. Nothing happens where `dir` is root's or is not there.
///
/// [`give`] hands over first what this process needs beside it.
pub fn become_owner(dir: &Path) -> Result<(), FileError> {
    let Ok(owner) = std::fs::metadata(dir) else { return Ok(()) };
    if !geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    setgroups(&[group])
        .and_then(|()| setgid(group))
        .and_then(|()| setuid(user))
        .map_err(|error| io_error(dir)(error.into()))
}

/// Makes a directory and those above it; `mode` is that of the last one.
pub fn make_dir(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io_error(path))
}

/// Makes a directory that root made belong to whom `like` belongs to.
pub fn give(dir: &Path, like: &Path) -> Result<(), FileError> {
    let Ok(owner) = std::fs::metadata(like) else { return Ok(()) };
    if !geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    lchown(dir, Some(owner.uid()), Some(owner.gid())).map_err(io_error(dir))
}

/// Whether something can be written into a directory now.
pub fn is_writable(dir: &Path) -> bool {
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    let written = std::fs::write(&probe, b"ok").is_ok();
    // Gone already is as good.
    let _ = std::fs::remove_file(&probe);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_new(&path, b"secret", 0o600).unwrap();
        assert_eq!(read_secret(&path).unwrap().as_slice(), b"secret");
        assert!(matches!(write_new(&path, b"other", 0o600), Err(FileError::Exists(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_secret(&path), Err(FileError::Exposed(_))));
        assert_eq!(read(&path).unwrap(), b"secret");
    }
}

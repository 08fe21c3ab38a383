//! Names behind the folder's path, while a handle keeps others from exchanging the folder. What is made in it has its rights.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::Found;

/// Needed to open a folder at all.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
/// A link is opened in place of what it leads to.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Others may read and write what we hold open, but neither remove nor rename it.
const FILE_SHARE_READ_WRITE: u32 = 0x3;
/// A handle that reads what a thing is, not what it holds: SYNCHRONIZE, FILE_READ_ATTRIBUTES.
const LOOK: u32 = 0x0010_0080;

/// A folder, held open.
#[derive(Debug)]
pub struct Folder {
    _handle: File,
    path: PathBuf,
}

impl Folder {
    /// Makes it, and its missing parents, with the rights of what is above.
    pub fn make(path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    /// What a list of rights lets its user do is found out by doing it.
    pub fn is_allowed(_path: &Path) -> bool {
        true
    }

    /// The folder, where there is one.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let mut options = OpenOptions::new();
        options.access_mode(LOOK).share_mode(FILE_SHARE_READ_WRITE).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        let handle = options.open(path)?;
        match handle.metadata()?.is_dir() {
            true => Ok(Folder { _handle: handle, path: path.to_owned() }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Not known beforehand: a disk that is full says so when it is written to.
    pub fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    /// What lies under a name; a link is looked at itself.
    pub fn look(&self, name: &str) -> io::Result<Option<Found>> {
        match std::fs::symlink_metadata(self.path.join(name)) {
            Ok(data) => Ok(Some(Found { size: data.len(), is_file: data.is_file() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    /// A regular file, for reading; nothing where it is none.
    pub fn read(&self, name: &str) -> io::Result<Option<File>> {
        regular(OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(self.path.join(name))?)
    }

    /// A file to write to, made where there is none. Nothing where a link or a folder has the name: that is not written to.
    pub fn write(&self, name: &str) -> io::Result<Option<File>> {
        if self.look(name)?.is_some_and(|found| !found.is_file) {
            return Ok(None);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        regular(options.open(self.path.join(name))?)
    }

    /// Gives a file another name here, whatever has it.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Gives a file a name in a folder, in one step that replaces nothing: unlike the one of the standard library.
    pub fn rename_to_free(&self, from: &str, folder: &Folder, to: &str) -> io::Result<()> {
        match TempPath::try_from_path(self.path.join(from))?.persist_noclobber(folder.path.join(to)) {
            Ok(()) => Ok(()),
            Err(failed) => {
                // It would be removed with its guard.
                failed.path.keep()?;
                Err(failed.error)
            }
        }
    }

    /// Names are durable when the system says that they are given: it keeps a journal of them, and has no call for more.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn regular(file: File) -> io::Result<Option<File>> {
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Writes all bytes at this place of a file.
pub fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn nothing_that_is_there_is_replaced_or_taken_for_a_file() {
        let home = tempfile::tempdir().expect("a directory");
        Folder::make(&home.path().join("a").join("in")).expect("made");
        let folder = Folder::open(&home.path().join("a").join("in")).expect("opened");
        let there = |name: &str| fs::read_to_string(home.path().join("a").join("in").join(name)).ok();
        let part = folder.write("part").expect("made").expect("a file");
        write_at(&part, b"bc", 1).expect("written");
        write_at(&part, b"a", 0).expect("written");
        assert_eq!(folder.look("part").expect("looked"), Some(Found { size: 3, is_file: true }));
        fs::write(home.path().join("a").join("in").join("taken"), "mine").expect("written");
        let refused = folder.rename_to_free("part", &folder, "taken").expect_err("taken");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((there("part"), there("taken")), (Some("abc".into()), Some("mine".into())));
        folder.rename_to_free("part", &folder, "free").expect("renamed while it is open");
        assert_eq!((there("part"), there("free")), (None, Some("abc".into())));
        folder.rename("free", "taken").expect("replaced");
        assert_eq!((there("free"), there("taken")), (None, Some("abc".into())));
        fs::create_dir(home.path().join("a").join("in").join("folder")).expect("made");
        assert!(folder.write("folder").expect("looked at").is_none());
        assert_eq!(folder.look("folder").expect("looked").map(|found| found.is_file), Some(false));
        // A name goes with the last handle.
        drop(part);
        folder.remove("taken").expect("removed");
        assert_eq!(folder.look("taken").expect("looked"), None);
        assert!(Folder::open(&home.path().join("none")).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
    }
}

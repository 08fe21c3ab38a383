//! Handles, owners and lists of rights. A directory that is made gets a list of its own, which what is made in it inherits: the user
//! and the system. Directories that are there must let in nobody but these and administrators, who can do all anyway.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{OpenError, Rule, Unsafe};
use crate::user;

/// Needed to open a directory at all.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
/// A link is opened in place of what it leads to.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Others may read and write what we hold open, but neither remove nor rename it.
const FILE_SHARE_READ_WRITE: u32 = 0x3;
/// A handle that reads what a thing is, not what it holds: READ_CONTROL, SYNCHRONIZE, FILE_READ_ATTRIBUTES.
const LOOK: u32 = 0x0012_0080;

/// A directory of ours, held open so that nobody exchanges it.
#[derive(Debug)]
pub struct Directory {
    _handle: File,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory that must exist, belong to us and be closed to everyone else.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut options = OpenOptions::new();
        options.access_mode(LOOK).share_mode(FILE_SHARE_READ_WRITE);
        options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
        let handle = options.open(path).map_err(|source| OpenError::io(path, source))?;
        judge(path, &handle, Rule::Directory)?;
        Ok(Self { _handle: handle, path: path.to_owned() })
    }

    /// Opens a private file in it; `create` makes it, with the directory's rights. A link, what is no file, a foreign owner or
    /// rights of others are refused.
    pub fn open_file(&self, name: &str, create: bool) -> Result<File, OpenError> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        let file = options.open(&path).map_err(|source| match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => broken(&path, Rule::RegularFile),
            _ => OpenError::io(&path, source),
        })?;
        judge(&path, &file, Rule::RegularFile)?;
        Ok(file)
    }

    /// Removes the file called `name`.
    pub fn remove(&self, name: &Path) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    /// Gives the file `from` the name `to`, replacing what had it.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Names are durable when the system says that they are given: it keeps a journal of them, and has no call for more.
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// The path under which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        make(parent)?;
    }
    match std::fs::create_dir(path) {
        Ok(()) => user::make_private(path),
        // Another call was quicker, and is judged as one that was there.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn judge(path: &Path, handle: &File, kind: Rule) -> Result<(), OpenError> {
    let io = |source| OpenError::io(path, source);
    let found = handle.metadata().map_err(io)?.file_type();
    let rights = user::rights(handle).map_err(io)?;
    let rules = [
        (Rule::NoLink, !found.is_symlink()),
        (kind, if kind == Rule::Directory { found.is_dir() } else { found.is_file() }),
        (Rule::Owner, rights.owned),
        (Rule::Private, rights.private),
    ];
    match rules.into_iter().find(|(_, kept)| !kept) {
        None => Ok(()),
        Some((rule, _)) => Err(broken(path, rule)),
    }
}

fn broken(path: &Path, rule: Rule) -> OpenError {
    Unsafe { path: path.to_owned(), rule }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn rule(opened: Result<impl Sized, OpenError>) -> Option<Rule> {
        match opened {
            Err(OpenError::Unsafe(broken)) => Some(broken.rule),
            _ => None,
        }
    }

    #[test]
    fn what_is_made_is_ours_alone_and_found_again() {
        let home = tempfile::tempdir().expect("a directory to play in");
        let path = home.path().join("a").join("b");
        let dir = Directory::create(&path).expect("made");
        Directory::create(&path).expect("found");
        dir.open_file("good", true).expect("a new file");
        dir.open_file("good", false).expect("found again");
        for made in [&path, &home.path().join("a")] {
            let found = user::rights(&Directory::open(made).expect("there")._handle).expect("readable");
            assert!(found.owned && found.private, "{}", made.display());
        }
    }

    #[test]
    fn rights_of_others_are_refused() {
        let home = tempfile::tempdir().expect("a directory to play in");
        let path = home.path().join("open");
        drop(Directory::create(&path).expect("made"));
        user::give_to_everybody(&path).expect("opened");
        assert_eq!(rule(Directory::open(&path)), Some(Rule::Private));
    }

    #[test]
    fn odd_files_are_refused() {
        let home = tempfile::tempdir().expect("a directory to play in");
        let path = home.path().join("d");
        let dir = Directory::create(&path).expect("made");
        fs::create_dir(path.join("folder")).expect("mkdir");
        assert_eq!(rule(dir.open_file("folder", true)), Some(Rule::RegularFile));
        fs::write(path.join("file"), "").expect("a file");
        assert_eq!(rule(Directory::open(&path.join("file"))), Some(Rule::Directory));
        assert!(matches!(dir.open_file("absent", false), Err(OpenError::Io { .. })));
    }
}

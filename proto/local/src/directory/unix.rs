//! Descriptors, modes and uids. What is opened is judged on the descriptor, so that nothing can be exchanged between the look and the
//! use.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::{OpenError, Rule, Unsafe};

/// A directory of ours with mode 0700, held open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory that must exist, belong to us and be closed to everyone else.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| not_opened(path, errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| OpenError::io(path, errno))?;
        judge(path, &stat, &[(Rule::Owner, is_ours(&stat)), (Rule::Private, is_private(&stat))])?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens a private file in it; `create` makes it with mode 0600. A link, a FIFO, a second hard link, a foreign owner or open
    /// rights are refused.
    pub fn open_file(&self, name: &str, create: bool) -> Result<File, OpenError> {
        let path = self.path.join(name);
        let create = if create { OFlags::CREATE } else { OFlags::empty() };
        // NONBLOCK: the open of a FIFO must not hang before it can be refused.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | create;
        let opened = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR);
        let fd = opened.map_err(|errno| self.file_not_opened(name, errno))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| OpenError::io(&path, errno))?;
        judge(&path, &stat, &file_rules(&stat))?;
        Ok(File::from(fd))
    }

    /// What lies under `name`, without following a link; `None` when nothing does.
    pub fn look(&self, name: &Path) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes the file or socket called `name`.
    pub fn remove(&self, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Gives the file `from` the name `to`, replacing what had it.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Makes durable which names it holds.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// The path under which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file_not_opened(&self, name: &str, errno: rustix::io::Errno) -> OpenError {
        let path = self.path.join(name);
        let rules = |stat: &Stat| judge(&path, stat, &file_rules(stat));
        match self.look(Path::new(name)).map(|found| found.as_ref().map(rules)) {
            Ok(Some(Err(broken))) => broken.into(),
            _ => OpenError::io(&path, errno),
        }
    }
}

/// Makes it, and its missing parents, for our user alone.
pub(super) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Is it owned by the user this process acts for?
pub(crate) fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_private(stat: &Stat) -> bool {
    stat.st_mode & 0o077 == 0
}

#[allow(clippy::unnecessary_cast, reason = "the field has another width on other Unix systems")]
fn mode(stat: &Stat) -> u32 {
    stat.st_mode as u32 & 0o7777
}

fn file_rules(stat: &Stat) -> [(Rule, bool); 5] {
    [
        (Rule::NoLink, kind(stat) != FileType::Symlink),
        (Rule::RegularFile, kind(stat) == FileType::RegularFile),
        (Rule::OneLink, stat.st_nlink == 1),
        (Rule::Owner, is_ours(stat)),
        (Rule::Private, is_private(stat)),
    ]
}

fn judge(path: &Path, stat: &Stat, rules: &[(Rule, bool)]) -> Result<(), Unsafe> {
    match rules.iter().find(|(_, kept)| !kept) {
        None => Ok(()),
        Some((rule, _)) => Err(Unsafe { path: path.to_owned(), owner: stat.st_uid, mode: mode(stat), rule: *rule }),
    }
}

/// The system gives the same error for a link and for a file in the way: a second look tells them apart for the text.
fn not_opened(path: &Path, errno: rustix::io::Errno) -> OpenError {
    let Ok(stat) = rustix::fs::lstat(path) else {
        return OpenError::io(path, errno);
    };
    let found = kind(&stat);
    let rules = [
        (Rule::NoLink, found != FileType::Symlink),
        (Rule::Directory, found == FileType::Directory),
        (Rule::Owner, is_ours(&stat)),
    ];
    judge(path, &stat, &rules).map_or_else(OpenError::from, |()| OpenError::io(path, errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn home() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory to play in")
    }

    fn rule(opened: Result<impl Sized, OpenError>) -> Option<Rule> {
        match opened {
            Err(OpenError::Unsafe(broken)) => Some(broken.rule),
            _ => None,
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn directories_are_made_private() {
        let home = home();
        let path = home.path().join("a").join("b");
        Directory::create(&path).expect("made");
        for made in [&path, &home.path().join("a")] {
            assert_eq!(fs::metadata(made).expect("there").permissions().mode() & 0o7777, 0o700);
        }
        Directory::create(&path).expect("found");
    }

    #[test]
    fn links_files_and_open_rights_are_refused() {
        let home = home();
        let (real, link, file) = (home.path().join("real"), home.path().join("link"), home.path().join("file"));
        fs::create_dir(&real).expect("mkdir");
        set_mode(&real, 0o700);
        symlink(&real, &link).expect("link");
        fs::write(&file, "").expect("file");
        assert_eq!(rule(Directory::create(&link)), Some(Rule::NoLink));
        assert_eq!(rule(Directory::create(&file)), Some(Rule::Directory));
        for mode in [0o701, 0o710, 0o770, 0o755, 0o1777] {
            set_mode(&real, mode);
            assert_eq!(rule(Directory::create(&real)), Some(Rule::Private), "{mode:o}");
        }
    }

    #[test]
    fn a_foreign_directory_is_refused_with_its_owner() {
        if !rustix::process::geteuid().is_root() {
            return; // only root may give a directory away
        }
        let home = home();
        let path = home.path().join("theirs");
        Directory::create(&path).expect("made");
        std::os::unix::fs::chown(&path, Some(65534), None).expect("given away");
        let error = Directory::create(&path).expect_err("foreign");
        assert!(
            error.to_string().contains("owner 65534") && error.to_string().contains("must belong to you"),
            "{error}"
        );
    }

    #[test]
    fn odd_files_are_refused() {
        let home = home();
        let path = home.path().join("d");
        let dir = Directory::create(&path).expect("made");
        dir.open_file("good", true).expect("a new file");
        dir.open_file("good", false).expect("found again");
        fs::hard_link(path.join("good"), path.join("twin")).expect("hard link");
        assert_eq!(rule(dir.open_file("good", true)), Some(Rule::OneLink));
        symlink(path.join("good"), path.join("link")).expect("link");
        assert_eq!(rule(dir.open_file("link", true)), Some(Rule::NoLink));
        rustix::fs::mkfifoat(&dir, "fifo", Mode::RUSR | Mode::WUSR).expect("fifo");
        assert_eq!(rule(dir.open_file("fifo", true)), Some(Rule::RegularFile));
        dir.open_file("open", true).expect("a new file");
        set_mode(&path.join("open"), 0o644);
        assert_eq!(rule(dir.open_file("open", true)), Some(Rule::Private));
    }
}

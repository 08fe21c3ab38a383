//! Names relative to a descriptor, so that nobody exchanges the folder meanwhile.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::Path;

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::Found;

/// A folder, held open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Makes it, and its missing parents, for its user alone.
    pub fn make(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Whether modes allow to write into it, or to make it.
    pub fn is_allowed(path: &Path) -> bool {
        let there = path.ancestors().find(|above| above.is_dir());
        there.is_some_and(|dir| rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok())
    }

    /// The folder, where there is one.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Bytes that there is room for.
    pub fn free(&self) -> io::Result<u64> {
        let free = rustix::fs::fstatvfs(&self.0)?;
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    }

    /// What lies under a name; a link is looked at itself.
    pub fn look(&self, name: &str) -> io::Result<Option<Found>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(found(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// A regular file of our user, for reading; nothing where it is none.
    pub fn read(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((found(&stat).is_file && is_ours(&stat)).then(|| File::from(fd)))
    }

    /// A file to write to, with no rights for others, made where there is none. Nothing where a link, a FIFO, or a file of another's
    /// making has the name: that is not written to.
    pub fn write(&self, name: &str) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let opened = match rustix::fs::openat(&self.0, name, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Err(Errno::EXIST) => rustix::fs::openat(&self.0, name, flags, mode).and_then(|fd| {
                let stat = rustix::fs::fstat(&fd)?;
                if found(&stat).is_file && stat.st_nlink == 1 && is_ours(&stat) { Ok(fd) } else { Err(Errno::LOOP) }
            }),
            other => other,
        };
        match opened {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives a file another name here, whatever has it.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Gives a file a name in a folder, in one step that replaces nothing.
    pub fn rename_to_free(&self, from: &str, folder: &Folder, to: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.0, from, &folder.0, to, RenameFlags::NOREPLACE) {
            // Not every file system can; a second name and the first one removed are as good.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(&self.0, from, &folder.0, to, AtFlags::empty())?;
                self.remove(from)
            }
            done => Ok(done?),
        }
    }

    /// Makes durable which names it holds.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

/// Writes all bytes at this place of a file.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

fn found(stat: &Stat) -> Found {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Found { size: u64::try_from(stat.st_size).unwrap_or(0), is_file }
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

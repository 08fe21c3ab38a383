//! The credentials file on the disk: read at start, changed one account at a time. Owned by [`crate::account::Accounts`], which
//! lets one change happen at a time.
//!
//! A change writes the whole file anew beside the old one, syncs it and renames it over: whatever kills the process or the
//! power, the file is the old one or the new one. It is read again before each change, so what an operator wrote into it
//! meanwhile stays.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chat_proto::id::{AccountName, NameRule};
use chat_proto::limits::CREDENTIALS_FILE_MAX;
use zeroize::Zeroizing;

use super::{Credential, lines};
use crate::files::{self, FileError};

/// Bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;

/// What happened to a line that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is the last one, on the disk.
    New,
    /// It stood there.
    Known,
    /// The name stood there with another password; nothing was changed.
    Taken,
}

/// A credentials file that is there and that this process may change.
#[derive(Clone, Debug)]
pub struct CredentialsFile {
    path: PathBuf,
    rule: NameRule,
}

impl CredentialsFile {
    /// Opens the file, or makes an empty one, and makes sure that a change will be possible. The second answer says whether others
    /// could read it until now: it holds passwords, so their right is taken away.
    pub fn open(path: &Path, rule: NameRule) -> Result<(CredentialsFile, bool), FileError> {
        if let Err(error) = files::write_new(path, b"", 0o600)
            && !matches!(error, FileError::Exists(_))
        {
            return Err(error);
        }
        // A rename must not replace a link by a file: it is the target that is read and changed.
        let path = fs::canonicalize(path).map_err(io_error(path))?;
        let metadata = fs::metadata(&path).map_err(io_error(&path))?;
        if !metadata.is_file() {
            return Err(io_error(&path)(io::Error::other("is not a regular file")));
        }
        let exposed = metadata.permissions().mode() & OTHERS != 0;
        if exposed {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(|_| FileError::Exposed(path.clone()))?;
        }
        let file = CredentialsFile { path, rule };
        file.fresh().and_then(|_| fs::remove_file(file.beside())).map_err(io_error(&file.beside()))?;
        Ok((file, exposed))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let read = || {
            let file = File::open(&self.path)?;
            let size = file.metadata()?.len();
            if size > CREDENTIALS_FILE_MAX {
                return Err(io::Error::other(format!("has more than {CREDENTIALS_FILE_MAX} bytes")));
            }
            // Room for all of it at once: a vector that grows leaves copies behind.
            let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
            file.take(CREDENTIALS_FILE_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(io_error(&self.path))
    }

    /// Adds a line as the last one.
    pub fn add(&self, name: &AccountName, password: &str) -> Result<Added, FileError> {
        let old = self.read()?;
        if let Some(there) = self.find(&old, name) {
            return Ok(if there.password == password { Added::Known } else { Added::Taken });
        }
        let end = line_end(&old);
        let between = if old.is_empty() || old.ends_with(b"\n") { "" } else { end };
        let line = Zeroizing::new(format!("{between}{name} {password}{end}"));
        self.replace(&[&old, line.as_bytes()])?;
        Ok(Added::New)
    }

    /// Takes a name's line away, if it has one.
    pub fn remove(&self, name: &AccountName) -> Result<(), FileError> {
        let old = self.read()?;
        if self.find(&old, name).is_none() {
            return Ok(());
        }
        let kept: Vec<&[u8]> =
            old.split_inclusive(|byte| *byte == b'\n').filter(|line| !self.names(line, name)).collect();
        self.replace(&kept)
    }

    /// Gives a name another password in the line that it has, or a line.
    pub fn set(&self, name: &AccountName, password: &str) -> Result<(), FileError> {
        let old = self.read()?;
        if self.find(&old, name).is_none() {
            return self.add(name, password).map(|_| ());
        }
        let line = Zeroizing::new(format!("{name} {password}{}", line_end(&old)));
        let kept = old.split_inclusive(|byte| *byte == b'\n');
        let kept: Vec<&[u8]> = kept.map(|kept| if self.names(kept, name) { line.as_bytes() } else { kept }).collect();
        self.replace(&kept)
    }

    fn find<'a>(&self, content: &'a [u8], name: &AccountName) -> Option<Credential<'a>> {
        lines(content, self.rule).filter_map(|(_, line)| line.ok()).find(|line| line.name == *name)
    }

    /// Whether a line of the file is a good one about this name.
    fn names(&self, line: &[u8], name: &AccountName) -> bool {
        lines(line, self.rule).any(|(_, line)| line.is_ok_and(|line| line.name == *name))
    }

    /// The place where the next content is written.
    fn beside(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".new");
        self.path.with_file_name(name)
    }

    /// An empty file there; one that a killed process left is gone.
    fn fresh(&self) -> io::Result<File> {
        let beside = self.beside();
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)
    }

    /// The new content, in the place of the old, on the disk when this returns.
    fn replace(&self, content: &[&[u8]]) -> Result<(), FileError> {
        let write = || {
            let mut file = self.fresh()?;
            content.iter().try_for_each(|part| file.write_all(part))?;
            file.sync_all()?;
            fs::rename(self.beside(), &self.path)?;
            File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        write().map_err(|error| {
            // Half a file is of no use; the old one is still there.
            let _ = fs::remove_file(self.beside());
            io_error(&self.path)(error)
        })
    }
}

/// How the lines of a file end: as its first one does.
fn line_end(content: &[u8]) -> &'static str {
    let first = content.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    if first.ends_with(b"\r\n") { "\r\n" } else { "\n" }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> FileError + '_ {
    move |error| FileError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AccountName {
        AccountName::parse(text, NameRule::Classic).unwrap()
    }

    fn with(content: &[u8]) -> (tempfile::TempDir, CredentialsFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.txt");
        fs::write(&path, content).unwrap();
        let (file, _) = CredentialsFile::open(&path, NameRule::Classic).unwrap();
        (dir, file)
    }

    fn content(file: &CredentialsFile) -> String {
        String::from_utf8(file.read().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_new_line_is_the_last_one_whatever_the_file_ends_with() {
        for (before, after) in [
            ("", "luke light==saber\n"),
            ("yoda wise@!man\n", "yoda wise@!man\nluke light==saber\n"),
            ("yoda wise@!man", "yoda wise@!man\nluke light==saber\n"),
            ("yoda wise@!man\r\n", "yoda wise@!man\r\nluke light==saber\r\n"),
            ("a b\r\nyoda wise@!man", "a b\r\nyoda wise@!man\r\nluke light==saber\r\n"),
            ("\u{feff}yoda wise@!man\n\n", "\u{feff}yoda wise@!man\n\nluke light==saber\n"),
            ("no-password\n", "no-password\nluke light==saber\n"),
        ] {
            let (_dir, file) = with(before.as_bytes());
            assert_eq!(file.add(&name("luke"), "light==saber").unwrap(), Added::New);
            assert_eq!(content(&file), after);
            assert_eq!(file.add(&name("luke"), "light==saber").unwrap(), Added::Known);
            assert_eq!(file.add(&name("luke"), "other").unwrap(), Added::Taken);
            assert_eq!(content(&file), after);
        }
    }

    #[test]
    fn lines_are_changed_and_removed_where_they_stand() {
        let (_dir, file) = with(b"yoda one\n\nluke two\nbad\nYoda three");
        file.set(&name("luke"), "new word").unwrap();
        assert_eq!(content(&file), "yoda one\n\nluke new word\nbad\nYoda three");
        file.remove(&name("yoda")).unwrap();
        file.remove(&name("nobody")).unwrap();
        assert_eq!(content(&file), "\nluke new word\nbad\nYoda three");
        file.set(&name("han"), "x").unwrap();
        assert_eq!(content(&file), "\nluke new word\nbad\nYoda three\nhan x\n");
    }

    #[test]
    fn it_is_for_its_owner_alone_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("real"), dir.path().join("credentials.txt"));
        fs::write(&path, b"yoda x\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let (file, exposed) = CredentialsFile::open(&link, NameRule::Classic).unwrap();
        assert!(exposed);
        let (_, exposed) = CredentialsFile::open(&link, NameRule::Classic).unwrap();
        assert!(!exposed, "the mode was mended");
        file.add(&name("luke"), "y").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"yoda x\nluke y\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing is left beside it");
        assert!(CredentialsFile::open(dir.path(), NameRule::Classic).is_err());
    }

    #[test]
    fn what_a_killed_change_left_is_in_nobodys_way() {
        let (_dir, file) = with(b"yoda x\n");
        fs::write(file.beside(), b"yoda x\nlu").unwrap();
        assert_eq!(file.add(&name("luke"), "y").unwrap(), Added::New);
        assert_eq!(content(&file), "yoda x\nluke y\n");
        assert!(!file.beside().exists());
    }
}

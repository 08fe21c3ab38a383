//! Files that are sent: opened so that nothing hangs and nothing else than a file is read, hashed before they are offered, and known
//! again by size and time of change when their bytes are asked for. All of it blocks on the disk.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use chat_proto::fault::Code;
use chat_proto::limits::FILE_CHUNK;

use super::job::Flag;
use super::{Refusal, digest};
use crate::runner::Opener;

/// A file as it was when it was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its own name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub changed_ns: i64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// An open file to send.
pub struct Source {
    file: File,
    size: u64,
    changed_ns: i64,
}

/// Reads the whole file once; ends early where `flag` says so.
pub fn offer(path: &Path, opener: &Opener, flag: &Arc<Flag>) -> Result<Offered, Refusal> {
    let mut source = Source::open(path, opener)?;
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; FILE_CHUNK];
    let mut read = 0;
    while let count @ 1.. = source.read(&mut piece)? {
        if flag.is_stopped() {
            return Err(Code::CANCELLED.into());
        }
        hash.update(&piece[..count]);
        read += count as u64;
    }
    if read != source.size || !source.is_unchanged()? {
        return Err(Refusal::new(Code::BAD_FILE, "it changes while it is read"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Offered { name, size: source.size, changed_ns: source.changed_ns, sha256: digest(hash) })
}

impl Source {
    /// Opens a regular file; a link to one is followed, as its user named it.
    pub fn open(path: &Path, opener: &Opener) -> Result<Source, Refusal> {
        let file = File::from(opener.open(path).map_err(|error| unreadable(&error))?);
        let data = file.metadata().map_err(|error| unreadable(&error))?;
        match data.file_type() {
            kind if kind.is_file() => {}
            kind if kind.is_dir() => return Err(Refusal::new(Code::BAD_FILE, "it is a directory")),
            _ => return Err(Refusal::new(Code::BAD_FILE, "it is not a regular file")),
        }
        let changed_ns = changed(&data);
        Ok(Source { file, size: data.len(), changed_ns })
    }

    /// Opens the file that was offered; refused where it is another one now.
    pub fn reopen(path: &Path, opener: &Opener, size: u64, changed_ns: i64) -> Result<Source, Refusal> {
        let source = Source::open(path, opener)?;
        match source.size == size && source.changed_ns == changed_ns {
            true => Ok(source),
            false => Err(Refusal::new(Code::FILE_DAMAGED, "the file was changed since it was offered")),
        }
    }

    /// Goes on from this byte.
    pub fn seek(&mut self, offset: u64) -> Result<(), Refusal> {
        self.file.seek(SeekFrom::Start(offset)).map(|_| ()).map_err(|error| unreadable(&error))
    }

    /// Fills the piece, or as much as there is.
    pub fn read(&mut self, piece: &mut [u8]) -> Result<usize, Refusal> {
        let mut count = 0;
        while count < piece.len() {
            match self.file.read(&mut piece[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        Ok(count)
    }

    /// Whether size and time of change are those of its opening.
    pub fn is_unchanged(&self) -> Result<bool, Refusal> {
        let data = self.file.metadata().map_err(|error| unreadable(&error))?;
        Ok(data.len() == self.size && changed(&data) == self.changed_ns)
    }
}

#[cfg(unix)]
fn changed(data: &std::fs::Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    data.mtime().saturating_mul(1_000_000_000).saturating_add(data.mtime_nsec())
}

/// Windows counts tenths of microseconds since 1601.
#[cfg(windows)]
fn changed(data: &std::fs::Metadata) -> i64 {
    use std::os::windows::fs::MetadataExt as _;
    let since_1970 = i128::from(data.last_write_time()) - 116_444_736_000_000_000;
    i64::try_from(since_1970 * 100).unwrap_or(i64::MAX)
}

fn unreadable(error: &io::Error) -> Refusal {
    match error.kind() {
        // Of the way to the runner.
        io::ErrorKind::BrokenPipe => Code::RUNNER_GONE.into(),
        _ => Refusal::new(Code::BAD_FILE, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn offered(path: &Path) -> Result<Offered, Refusal> {
        offer(path, &Opener::default(), &Arc::default())
    }

    #[cfg(unix)]
    fn refused(path: &Path) -> (Code, String) {
        let refusal = offered(path).expect_err("refused");
        (refusal.code, refusal.detail)
    }

    #[test]
    fn a_file_is_known_by_its_content() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("abc");
        fs::write(&path, "abc").expect("written");
        let offered = offered(&path).expect("offered");
        assert_eq!((offered.name.as_str(), offered.size), ("abc", 3));
        assert_eq!(super::super::hex(&offered.sha256[..4]), "ba7816bf", "SHA-256 of abc, FIPS 180-4");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_and_does_not_hang() {
        use rustix::fs::Mode;
        let home = tempfile::tempdir().expect("a directory");
        let fifo = home.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            rustix::fs::makedev(0, 0),
        )
        .expect("a FIFO");
        assert_eq!(refused(&fifo), (Code::BAD_FILE, "it is not a regular file".into()));
        assert_eq!(refused(home.path()), (Code::BAD_FILE, "it is a directory".into()));
        assert_eq!(refused(Path::new("/dev/zero")), (Code::BAD_FILE, "it is not a regular file".into()));
        assert!(refused(&home.path().join("none")).1.contains("No such file"));
    }

    #[test]
    fn a_changed_file_is_not_sent() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("x");
        fs::write(&path, "one").expect("written");
        let first = offered(&path).expect("offered");
        Source::reopen(&path, &Opener::default(), first.size, first.changed_ns).expect("the same");
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("touched");
        let other = Source::reopen(&path, &Opener::default(), first.size, first.changed_ns).err().expect("another");
        assert_eq!(other.code, Code::FILE_DAMAGED);
    }

    #[test]
    fn hashing_ends_when_nobody_waits_for_it() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("x");
        fs::write(&path, "x").expect("written");
        let flag: Arc<Flag> = Arc::default();
        assert!(flag.stop());
        assert_eq!(offer(&path, &Opener::default(), &flag).expect_err("stopped").code, Code::CANCELLED);
    }
}

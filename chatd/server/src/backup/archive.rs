//! The one file that a backup is: a tar archive, compressed by zstd, whose first entry is a manifest with the size and SHA-256 of
//! every other. `tar --zstd -tf` lists it anywhere.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::BackupError;

/// The entry with the manifest.
const MANIFEST: &str = "manifest.json";
/// Bytes of a manifest, and of every entry that is read into memory.
pub const SMALL_MAX: u64 = 1024 * 1024;
/// Bytes that are compressed together. In memory, since the library does not survive a disk that is full.
const CHUNK: usize = 1024 * 1024;
/// The version of the archive's form.
const FORM: u32 = 1;

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `FORM`.
    pub v: u32,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// The program that made it.
    pub version: String,
    /// The server's name for people.
    pub name: String,
    /// The fingerprint of the server's key.
    pub fingerprint: String,
    /// The database's schema.
    pub schema: i64,
    /// Accounts in it.
    pub users: u64,
    /// Messages that wait in it.
    pub queued: u64,
    /// Every other entry, in order.
    pub files: Vec<Item>,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its name in the archive.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
}

/// What goes into an entry.
pub enum Source {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes of this file, which nobody changes meanwhile.
    File(PathBuf),
}

impl Source {
    fn reader(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Source::Bytes(bytes) => Box::new(bytes.as_slice()),
            Source::File(path) => Box::new(File::open(path)?),
        })
    }

    /// The entry for the manifest.
    pub fn item(&self, name: &str) -> io::Result<Item> {
        Hashing::new(self.reader()?).item(name)
    }
}

/// The manifest's head for these contents.
pub fn manifest(created_ms: i64, name: &str, fingerprint: String, files: Vec<Item>) -> Manifest {
    let (schema, users, queued) = (0, 0, 0);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Manifest { v: FORM, created_ms, version, name: name.to_owned(), fingerprint, schema, users, queued, files }
}

/// Writes an archive; `sources` in the order of the manifest's files.
pub fn write(to: impl Write, manifest: &Manifest, sources: &[Source]) -> io::Result<()> {
    let mut tar = tar::Builder::new(Compress { to, waiting: Vec::with_capacity(CHUNK) });
    let seconds = u64::try_from(manifest.created_ms / 1000).unwrap_or(0);
    let head = |size: u64| {
        let mut head = tar::Header::new_gnu();
        head.set_mode(0o600);
        head.set_mtime(seconds);
        head.set_size(size);
        head
    };
    let text = serde_json::to_vec_pretty(manifest)?;
    tar.append_data(&mut head(text.len() as u64), MANIFEST, text.as_slice())?;
    for (item, source) in manifest.files.iter().zip(sources) {
        tar.append_data(&mut head(item.size), &item.name, source.reader()?.take(item.size))?;
    }
    tar.into_inner()?.finish()
}

/// Reads the manifest alone.
pub fn read_manifest(path: &Path) -> Result<Manifest, BackupError> {
    let file = File::open(path).map_err(|error| BackupError::io(path, error))?;
    let mut tar = tar::Archive::new(Decompress::new(BufReader::new(file)));
    let mut entries = tar.entries().map_err(|error| broken(path, error))?;
    first(path, &mut entries)
}

/// Reads an archive: `each` is handed entry after entry and says whether it wants more. Fails where size or hash of an entry that
/// was wanted, or the list of them, is not what the manifest says.
pub fn read(
    path: &Path,
    mut each: impl FnMut(&Item, &mut dyn Read) -> io::Result<bool>,
) -> Result<Manifest, BackupError> {
    let file = File::open(path).map_err(|error| BackupError::io(path, error))?;
    let mut tar = tar::Archive::new(Decompress::new(BufReader::new(file)));
    let mut entries = tar.entries().map_err(|error| broken(path, error))?;
    let manifest = first(path, &mut entries)?;
    for item in &manifest.files {
        let entry = entries.next().ok_or_else(|| cut(path))?.map_err(|error| broken(path, error))?;
        if entry.path_bytes().as_ref() != item.name.as_bytes() {
            return Err(BackupError::broken(path, format!("{} is not where it should be", item.name)));
        }
        let mut hashing = Hashing::new(entry.take(item.size + 1));
        if !each(item, &mut hashing).map_err(|error| broken(path, error))? {
            break;
        }
        if hashing.item(&item.name).map_err(|error| broken(path, error))? != *item {
            return Err(BackupError::broken(path, format!("{} has other bytes than when it was made", item.name)));
        }
    }
    Ok(manifest)
}

fn first<R: Read>(path: &Path, entries: &mut tar::Entries<'_, R>) -> Result<Manifest, BackupError> {
    let entry = entries.next().ok_or_else(|| cut(path))?.map_err(|error| broken(path, error))?;
    if entry.path_bytes().as_ref() != MANIFEST.as_bytes() {
        return Err(BackupError::broken(path, "it is no backup of a chat-server".into()));
    }
    let mut text = Vec::new();
    entry.take(SMALL_MAX).read_to_end(&mut text).map_err(|error| broken(path, error))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| BackupError::broken(path, format!("its manifest: {error}")))?;
    if manifest.v != FORM {
        return Err(BackupError::broken(path, format!("it has form {}, this chat-server reads {FORM}", manifest.v)));
    }
    Ok(manifest)
}

fn broken(path: &Path, error: io::Error) -> BackupError {
    BackupError::broken(path, error.to_string())
}

fn cut(path: &Path) -> BackupError {
    BackupError::broken(path, "it ends too early".into())
}

/// Counts and hashes what is read through it.
struct Hashing<R> {
    from: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Hashing<R> {
    fn new(from: R) -> Hashing<R> {
        Hashing { from, hash: Sha256::new(), size: 0 }
    }

    /// What the manifest says of all of it; reads what nobody read.
    fn item(mut self, name: &str) -> io::Result<Item> {
        io::copy(&mut self, &mut io::sink())?;
        let digest: [u8; 32] = self.hash.finalize().into();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Item { name: name.to_owned(), size: self.size, sha256 })
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hash.update(&into[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

/// Compresses what is written, a frame for each chunk.
struct Compress<W: Write> {
    to: W,
    waiting: Vec<u8>,
}

impl<W: Write> Compress<W> {
    fn pass_on(&mut self) -> io::Result<()> {
        let frame = compress_to_vec(self.waiting.as_slice(), CompressionLevel::Fastest);
        self.waiting.clear();
        self.to.write_all(&frame)
    }

    fn finish(mut self) -> io::Result<()> {
        self.pass_on()?;
        self.to.flush()
    }
}

impl<W: Write> Write for Compress<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        if self.waiting.len() == CHUNK {
            self.pass_on()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads frames one after the other. The library's streams end with a frame.
struct Decompress<R: io::BufRead> {
    state: State<R>,
}

enum State<R: io::BufRead> {
    Between(R),
    In(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Failed,
}

impl<R: io::BufRead> Decompress<R> {
    fn new(from: R) -> Decompress<R> {
        Decompress { state: State::Between(from) }
    }
}

impl<R: io::BufRead> Read for Decompress<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Failed) {
                State::Failed => return Err(io::ErrorKind::InvalidData.into()),
                State::Between(mut from) => {
                    if from.fill_buf()?.is_empty() {
                        self.state = State::Between(from);
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(from).map_err(io::Error::other)?;
                    self.state = State::In(Box::new(decoder));
                }
                State::In(mut decoder) => {
                    let read = decoder.read(into)?;
                    let ended = read == 0 && !into.is_empty();
                    self.state = if ended { State::Between(decoder.into_inner()) } else { State::In(decoder) };
                    if !ended {
                        return Ok(read);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(dir: &Path, big: &[u8]) -> PathBuf {
        let sources = [Source::Bytes(b"small".to_vec()), Source::Bytes(big.to_vec())];
        let files = vec![sources[0].item("a/small").unwrap(), sources[1].item("b/big").unwrap()];
        let path = dir.join("x.tar.zst");
        write(File::create(&path).unwrap(), &manifest(5000, "chat", "sha256:00".into(), files), &sources).unwrap();
        path
    }

    fn all(path: &Path) -> Result<Vec<Vec<u8>>, BackupError> {
        let mut files = Vec::new();
        read(path, |_, from| {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes)?;
            files.push(bytes);
            Ok(true)
        })?;
        Ok(files)
    }

    /// More than a chunk, partly compressible.
    fn big() -> Vec<u8> {
        (0..2 * CHUNK as u32 + 17)
            .flat_map(|n| [(n.wrapping_mul(2_654_435_761) >> 24) as u8, 7])
            .take(2 * CHUNK + 9)
            .collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for big in [Vec::new(), big()] {
            let path = made(dir.path(), &big);
            assert_eq!(all(&path).unwrap(), [b"small".to_vec(), big]);
            assert_eq!(read_manifest(&path).unwrap().files.len(), 2);
        }
    }

    #[test]
    fn no_flipped_and_no_missing_byte_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = made(dir.path(), &big()[..3000]);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            // A bit that only says how the archive looks may differ; what comes out may not.
            if let Ok(files) = all(&path) {
                assert_eq!(files, [b"small".to_vec(), big()[..3000].to_vec()], "byte {at}");
            }
        }
        for length in 0..good.len() - 600 {
            std::fs::write(&path, &good[..length]).unwrap();
            assert!(all(&path).is_err(), "cut at {length} of {}", good.len());
        }
    }

    #[test]
    fn other_files_are_no_backups() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"something else").unwrap();
        assert!(matches!(read_manifest(&path), Err(BackupError::Broken { .. })));
        assert!(matches!(read_manifest(&dir.path().join("y")), Err(BackupError::Io { .. })));
    }
}

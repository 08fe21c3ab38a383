//! The audit lines on the disk: numbered files of JSON lines in the data directory, the oldest deleted when there are too many.
//!
//! Written by one thread behind a bounded queue: who causes a line never waits for the disk. Lines that did not fit, or that a
//! full disk did not take, are counted, and the next line that is written is preceded by their number. Read by `export audit`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use chat_proto::limits::{AUDIT_FILE_BYTES, AUDIT_FILES, AUDIT_LINE_MAX, AUDIT_QUEUE, CONTROL_PAGE_BYTES};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::files::{self, FileError};

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, wall clock, milliseconds since 1970.
    pub at_ms: i64,
    /// Who: a client's address and port, or a user of this host.
    pub from: String,
    /// What.
    pub text: String,
}

/// A place between two lines: opaque to whoever asks for page after page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    file: u64,
    offset: u64,
}

/// Some lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; nothing when this was the last.
    pub next: Option<Place>,
}

/// The directory of the files, in the data directory.
pub fn directory(data: &Path) -> PathBuf {
    data.join("audit")
}

/// The way to the writing thread.
pub struct AuditFile {
    dir: PathBuf,
    words: SyncSender<Word>,
    lost: Arc<AtomicU64>,
}

enum Word {
    Line(Entry),
    Flush(oneshot::Sender<()>),
}

impl AuditFile {
    /// Opens the newest file, or the first one, and starts the thread; it ends when this is dropped.
    pub fn open(data: &Path) -> Result<AuditFile, FileError> {
        let dir = directory(data);
        files::make_dir(&dir, 0o700)?;
        let io = |error| FileError::Io { path: dir.clone(), error };
        let number = numbers(&dir).map_err(io)?.last().copied().unwrap_or(1);
        let log = Log::open(&dir, number).map_err(io)?;
        let lost = Arc::new(AtomicU64::new(0));
        let (words, heard) = sync_channel(AUDIT_QUEUE);
        let counted = Arc::clone(&lost);
        std::thread::Builder::new().name("audit".into()).spawn(move || write(log, &heard, &counted)).map_err(io)?;
        Ok(AuditFile { dir, words, lost })
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.dir
    }

    /// Queues a line.
    pub fn line(&self, entry: Entry) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.words.try_send(Word::Line(entry)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was queued is written. With a full queue there is nothing to wait for.
    pub async fn flushed(&self) {
        let (done, flushed) = oneshot::channel();
        if self.words.try_send(Word::Flush(done)).is_ok() {
            // A thread that ended has nothing left.
            let _ = flushed.await;
        }
    }
}

fn write(mut log: Log, heard: &Receiver<Word>, lost: &AtomicU64) {
    while let Ok(word) = heard.recv() {
        match word {
            Word::Line(entry) => {
                let missing = lost.swap(0, Ordering::Relaxed);
                if let Err(error) = log.write(&entry, missing) {
                    if missing == 0 {
                        tracing::error!(%error, "the audit file takes no more lines");
                    }
                    lost.fetch_add(missing + 1, Ordering::Relaxed);
                }
            }
            Word::Flush(done) => drop(done.send(())),
        }
    }
}

/// The newest file.
struct Log {
    dir: PathBuf,
    number: u64,
    file: File,
    size: u64,
}

impl Log {
    fn open(dir: &Path, number: u64) -> io::Result<Log> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path(dir, number))?;
        let mut size = file.metadata()?.len();
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // What a crash left of a line must not spoil the next.
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok(Log { dir: dir.to_owned(), number, file, size })
    }

    fn write(&mut self, entry: &Entry, missing: u64) -> io::Result<()> {
        if self.size >= AUDIT_FILE_BYTES {
            *self = Log::open(&self.dir, self.number + 1)?;
            remove_oldest(&self.dir)?;
        }
        if missing > 0 {
            let text = format!("{missing} lines are missing here");
            self.append(&Entry { at_ms: entry.at_ms, from: "-".into(), text })?;
        }
        self.append(entry)
    }

    /// In one write: a line is there as a whole, or what a crash left of it is no line and is passed over.
    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("audit.{number:06}.log"))
}

/// The files that are there, oldest first.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let number = |name: &str| name.strip_prefix("audit.")?.strip_suffix(".log")?.parse().ok();
    let mut numbers: Vec<u64> = match fs::read_dir(dir) {
        Ok(entries) => entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    numbers.sort_unstable();
    Ok(numbers)
}

fn remove_oldest(dir: &Path) -> io::Result<()> {
    let numbers = numbers(dir)?;
    let spare = numbers.len().saturating_sub(AUDIT_FILES);
    numbers.iter().take(spare).try_for_each(|number| fs::remove_file(path(dir, *number)))
}

/// The lines behind a place. Files that were deleted meanwhile are passed over.
pub fn page(dir: &Path, from: Place) -> io::Result<Page> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for number in numbers(dir)?.into_iter().filter(|number| *number >= from.file) {
        let mut offset = if number == from.file { from.offset } else { 0 };
        let mut file = match File::open(path(dir, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut lines).take(AUDIT_LINE_MAX).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            offset += line.len() as u64;
            bytes += line.len();
            entries.extend(serde_json::from_slice::<Entry>(&line));
            if bytes >= CONTROL_PAGE_BYTES {
                return Ok(Page { entries, next: Some(Place { file: number, offset }) });
            }
        }
    }
    Ok(Page { entries, next: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry { at_ms: 1, from: "uid 0 (root)".into(), text: text.to_owned() }
    }

    fn all(dir: &Path) -> Vec<Entry> {
        let (mut entries, mut from) = (Vec::new(), Place::default());
        loop {
            let page = page(dir, from).unwrap();
            entries.extend(page.entries);
            match page.next {
                Some(next) => from = next,
                None => return entries,
            }
        }
    }

    #[tokio::test]
    async fn lines_are_there_after_a_restart_and_half_a_line_is_none() {
        let data = tempfile::tempdir().unwrap();
        let dir = directory(data.path());
        assert_eq!(all(&dir), []);
        for round in ["one", "two\n{\"at_ms\":2}"] {
            let file = AuditFile::open(data.path()).unwrap();
            file.line(entry(round));
            file.flushed().await;
        }
        assert_eq!(all(&dir), [entry("one"), entry("two\n{\"at_ms\":2}")]);
        OpenOptions::new().append(true).open(path(&dir, 1)).unwrap().write_all(b"{\"at_ms\":3,\"fr").unwrap();
        assert_eq!(all(&dir).len(), 2);
        let file = AuditFile::open(data.path()).unwrap();
        file.line(entry("three"));
        file.flushed().await;
        assert_eq!(all(&dir).last(), Some(&entry("three")));
    }

    #[test]
    fn the_oldest_go_and_pages_find_what_is_left() {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path();
        let mut log = Log::open(dir, 1).unwrap();
        let long = "x".repeat(100_000);
        let each = serde_json::to_vec(&entry(&long)).unwrap().len() as u64 + 1;
        let count = (AUDIT_FILES as u64 + 2) * AUDIT_FILE_BYTES.div_ceil(each);
        (0..count).for_each(|_| log.write(&entry(&long), 0).unwrap());
        assert_eq!(numbers(dir).unwrap(), (3..AUDIT_FILES as u64 + 3).collect::<Vec<_>>());
        let size: u64 = numbers(dir).unwrap().iter().map(|n| fs::metadata(path(dir, *n)).unwrap().len()).sum();
        assert!(size <= AUDIT_FILES as u64 * (AUDIT_FILE_BYTES + each));
        assert_eq!(all(dir).len() as u64 * each, size);
    }

    #[test]
    fn what_was_lost_is_said() {
        let data = tempfile::tempdir().unwrap();
        let mut log = Log::open(data.path(), 1).unwrap();
        log.write(&entry("after"), 7).unwrap();
        let texts: Vec<_> = all(data.path()).into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["7 lines are missing here", "after"]);
    }
}

//! Bytes on their way between disk and connection. Reading, writing and hashing have a thread of their own for each job, with a short
//! queue to the task that has the connection, so that a slow disk holds up this transfer and nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use chat_proto::fault::Code;
use chat_proto::limits::{FILE_CHUNK, FILE_STALL};
use chat_proto::peer::FileBytes;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;

use super::source::Source;
use super::target::{self, Part};
use super::{Refusal, shown_id};
use crate::history::file::Spot;
use crate::runner::Opener;

/// Pieces between the thread and the task.
const PIECES: usize = 4;

/// How a job stands, shared between it and who watches it.
#[derive(Debug, Default)]
pub struct Flag {
    /// 0: it goes on; 1: it is to end; 2: the file gets its name, and nothing stops that.
    state: AtomicU8,
    done: AtomicU64,
    stopping: Notify,
}

impl Flag {
    /// So many bytes are there already.
    pub fn at(done: u64) -> Arc<Flag> {
        Arc::new(Flag { done: done.into(), ..Flag::default() })
    }

    /// Has the job end; false when it is too late for that.
    pub fn stop(&self) -> bool {
        let stopped = self.state.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        self.stopping.notify_one();
        stopped.is_ok() || stopped == Err(1)
    }

    /// From now on it cannot be stopped; false when it was.
    pub fn place(&self) -> bool {
        self.state.compare_exchange(0, 2, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// It is to end.
    pub fn is_stopped(&self) -> bool {
        self.state.load(Ordering::Acquire) == 1
    }

    /// Comes true once it is to end.
    pub async fn stopped(&self) {
        while !self.is_stopped() {
            self.stopping.notified().await;
        }
    }

    /// Bytes that are there.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// How a job ended.
#[derive(Debug)]
pub enum Outcome {
    /// In: the unfinished file is open.
    Ready(Part),
    /// In: all of it is there, and lies here.
    Placed(PathBuf),
    /// Out: all bytes were handed to the connection.
    Sent,
    /// It goes on no more, and why.
    Refused(Refusal),
    /// The bytes ended before their end: it goes on when they come again.
    Broken,
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Outcome {
        Outcome::Refused(refusal)
    }
}

/// A file to be received.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its id.
    pub id: [u8; 16],
    /// Its size.
    pub size: u64,
    /// Where it goes.
    pub spot: Spot,
    /// What an earlier try left elsewhere: under which id, where.
    pub left: Option<([u8; 16], Spot)>,
    /// SHA-256 of its content where it was taken before the daemon started: all of it may be there already.
    pub taken_before: Option<[u8; 32]>,
}

/// Opens the unfinished file, and reads what is there. One that has its name already is done.
pub async fn open(wanted: Wanted, flag: Arc<Flag>) -> Outcome {
    let opened = spawn_blocking(move || {
        let id = shown_id(&wanted.id);
        let placed = |sha256| target::placed(&wanted.spot, &id, wanted.size, &sha256, &flag);
        if let Some(path) = wanted.taken_before.and_then(placed) {
            return Ok(Outcome::Placed(path));
        }
        // A new unfinished file would hide one that is placed.
        if flag.is_stopped() {
            return Err(Code::CANCELLED.into());
        }
        if let Some((old, spot)) = &wanted.left {
            target::carry(spot, &shown_id(old), &wanted.spot, &id);
        }
        Part::open(&wanted.spot, &id, wanted.size, &flag).map(Outcome::Ready)
    });
    match opened.await {
        Ok(Ok(outcome)) => outcome,
        // It was stopped: it goes on when it is wanted again.
        Ok(Err(refusal)) if refusal.code == Code::CANCELLED => Outcome::Broken,
        Ok(Err(refusal)) => refusal.into(),
        Err(_) => Outcome::Broken,
    }
}

/// What the thread that writes gets.
enum Piece {
    Bytes(Vec<u8>),
    /// The stream was ended by its sender.
    End,
}

/// Takes the bytes of a stream to its end.
pub async fn receive(mut stream: impl AsyncRead + Unpin, part: Part, sha256: [u8; 32], flag: Arc<Flag>) -> Outcome {
    let (pieces, queue) = mpsc::channel(PIECES);
    let (spare, mut spares) = mpsc::channel(PIECES);
    let stopping = Arc::clone(&flag);
    let writing = spawn_blocking(move || write(part, queue, &spare, &sha256, &flag));
    let mut silent = false;
    loop {
        let mut piece: Vec<u8> = spares.try_recv().unwrap_or_else(|_| Vec::with_capacity(FILE_CHUNK));
        piece.clear();
        let read = tokio::select! {
            read = within(FILE_STALL, stream.read_buf(&mut piece)) => read,
            () = stopping.stopped() => break,
        };
        let next = match read {
            None => {
                silent = true;
                break;
            }
            Some(Ok(0)) => Piece::End,
            Some(Ok(_)) => Piece::Bytes(piece),
            Some(Err(_)) => break,
        };
        let last = matches!(next, Piece::End);
        // The thread ends first when it was refused something.
        if pieces.send(next).await.is_err() || last {
            break;
        }
    }
    drop(pieces);
    match writing.await {
        Ok(Outcome::Broken) if silent => Refusal::from(Code::TIMED_OUT).into(),
        Ok(outcome) => outcome,
        Err(_) => Outcome::Broken,
    }
}

fn write(
    mut part: Part,
    mut queue: mpsc::Receiver<Piece>,
    spare: &mpsc::Sender<Vec<u8>>,
    sha256: &[u8; 32],
    flag: &Flag,
) -> Outcome {
    let mut steps = || {
        while let Some(piece) = queue.blocking_recv() {
            let Piece::Bytes(bytes) = piece else { return Ok(true) };
            part.write(&bytes)?;
            flag.add(bytes.len());
            // A queue that is full has enough of them.
            let _ = spare.try_send(bytes);
        }
        Ok(false)
    };
    let end: Result<_, Refusal> = steps();
    match end {
        Ok(true) => part.finish(sha256, flag).map_or_else(Outcome::from, Outcome::Placed),
        Ok(false) => Outcome::Broken,
        Err(refusal) => refusal.into(),
    }
}

/// A file to be sent.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Its id.
    pub id: [u8; 16],
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub size: u64,
    /// When it was changed last.
    pub changed_ns: i64,
    /// The first byte that is asked for.
    pub offset: u64,
}

/// Puts the bytes on a stream; its end is the caller's to say.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), file: Sending, opener: Opener, flag: Arc<Flag>) -> Outcome {
    let head = FileBytes { id: file.id.to_vec(), offset: file.offset }.encode_to_vec();
    let mut first = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    first.extend_from_slice(&head);
    let (pieces, mut queue) = mpsc::channel(PIECES);
    let (spare, spares) = mpsc::channel(PIECES);
    let stopping = Arc::clone(&flag);
    let reading = spawn_blocking(move || read(&file, &opener, &pieces, spares, &stopping));
    let mut next = Some(first);
    while let Some(piece) = next {
        let written = tokio::select! {
            written = within(FILE_STALL, stream.write_all(&piece)) => written,
            () = flag.stopped() => return Outcome::Broken,
        };
        match written {
            None => return Refusal::from(Code::TIMED_OUT).into(),
            Some(Err(_)) => return Outcome::Broken,
            Some(Ok(())) => {}
        }
        if piece.capacity() >= FILE_CHUNK {
            flag.add(piece.len());
            let _ = spare.try_send(piece);
        }
        next = queue.recv().await;
    }
    match reading.await {
        Ok(Ok(())) => Outcome::Sent,
        Ok(Err(refusal)) => refusal.into(),
        Err(_) => Outcome::Broken,
    }
}

fn read(
    file: &Sending,
    opener: &Opener,
    pieces: &mpsc::Sender<Vec<u8>>,
    mut spares: mpsc::Receiver<Vec<u8>>,
    flag: &Flag,
) -> Result<(), Refusal> {
    let mut source = Source::reopen(&file.path, opener, file.size, file.changed_ns)?;
    source.seek(file.offset)?;
    let mut left = file.size - file.offset;
    while left > 0 {
        let mut piece = spares.try_recv().unwrap_or_else(|_| Vec::with_capacity(FILE_CHUNK));
        piece.resize(usize::try_from(left).unwrap_or(usize::MAX).min(FILE_CHUNK), 0);
        let count = source.read(&mut piece)?;
        if count < piece.len() {
            return Err(Refusal::new(Code::FILE_DAMAGED, "the file became shorter while it was sent"));
        }
        left -= count as u64;
        if flag.is_stopped() || pieces.blocking_send(piece).is_err() {
            return Err(Code::CANCELLED.into());
        }
    }
    match source.is_unchanged()? {
        true => Ok(()),
        false => Err(Refusal::new(Code::FILE_DAMAGED, "the file was changed while it was sent")),
    }
}

/// Nothing when it takes longer.
async fn within<T>(longest: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(longest, work).await.ok()
}

//! Opening files that are to be sent. A confined chatd sees few files; the runner opens the one that is meant and hands it over, for
//! reading alone. It opens none that its user hides: files and directories of the home directory whose names begin with a dot are
//! where keys and passwords lie. Nothing of the system's own (/proc, /sys, /dev) is a file to send.
//!
//! One datagram asks: the path, and with it a socket for the answer alone. One answers there: what came of it, with the file where it
//! was opened. Each question has a thread of its own, so that a share whose host is gone holds up nobody else.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::sockopt;

pub(super) use way::pair;
use way::{receive, send};

/// Bytes of a datagram: a path, or an error's text.
const DATAGRAM: usize = 8 * 1024;
/// Files that are being opened at once, those whose share hangs among them.
const OPENING_MAX: usize = 32;
/// An open that takes longer is given up: a share whose host is gone answers never. Shorter than chatctl waits by itself, so that its
/// user reads why.
const WITHIN: Duration = Duration::from_secs(8);

/// Directories in which nothing is a file of the user's.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Opens files for reading: by itself, or where chatd is confined by way of the runner. Blocks. Clones share the way.
#[derive(Clone, Default)]
pub struct Opener(Option<Arc<OwnedFd>>);

impl Opener {
    /// By way of the runner at the other end of this socket.
    pub(super) fn outside(socket: OwnedFd) -> Opener {
        Opener(Some(Arc::new(socket)))
    }

    /// The file of this path; what it is, is for the caller to look at.
    pub fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        match &self.0 {
            Some(socket) => ask(socket.as_fd(), path, WITHIN),
            None => open(path),
        }
    }
}

fn ask(socket: BorrowedFd<'_>, path: &Path, within: Duration) -> io::Result<OwnedFd> {
    let question = path.as_os_str().as_bytes();
    if question.len() > DATAGRAM {
        return Err(rustix::io::Errno::NAMETOOLONG.into());
    }
    let (ours, theirs) = pair()?;
    sockopt::set_socket_timeout(&ours, sockopt::Timeout::Recv, Some(within))?;
    send(socket, question, Some(theirs.as_fd())).map_err(|_| gone())?;
    // The runner has the only one now: when it ends, so does the wait.
    drop(theirs);
    let (answer, file) = receive(ours.as_fd()).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::other(format!("it does not open within {} s", within.as_secs())),
        _ => gone(),
    })?;
    match (file, answer.as_slice()) {
        (Some(file), [b'o']) => Ok(file),
        (None, [b'e', code @ ..]) if code.len() == 4 => {
            let code = <[u8; 4]>::try_from(code).map_or(0, i32::from_le_bytes);
            Err(io::Error::from_raw_os_error(code))
        }
        (None, [b't', text @ ..]) => Err(io::Error::other(String::from_utf8_lossy(text).into_owned())),
        _ => Err(gone()),
    }
}

/// The other end is away: no open of a file fails so.
fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Answers until the other end is closed.
pub(super) fn serve(socket: BorrowedFd<'_>, home: &Path) {
    let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    answer_all(socket, move |path| permitted(path, &home));
}

fn answer_all(socket: BorrowedFd<'_>, opener: impl Fn(&Path) -> io::Result<OwnedFd> + Send + Sync + 'static) {
    let opener = Arc::new(opener);
    let opening = Arc::new(AtomicUsize::new(0));
    while let Ok((question, Some(reply))) = receive(socket) {
        if opening.fetch_add(1, Ordering::Relaxed) >= OPENING_MAX {
            opening.fetch_sub(1, Ordering::Relaxed);
            answer(
                &reply,
                Err(io::Error::other("too many files are being opened at once, as when a network share hangs")),
            );
            continue;
        }
        let (opener, done, reply) = (Arc::clone(&opener), Opening(Arc::clone(&opening)), Arc::new(reply));
        let to = Arc::clone(&reply);
        let work = move || {
            let file = opener(Path::new(OsStr::from_bytes(&question)));
            drop(done);
            answer(&to, file);
        };
        if let Err(error) = std::thread::Builder::new().name("file".into()).spawn(work) {
            answer(&reply, Err(error));
        }
    }
}

/// A file that is being opened.
struct Opening(Arc<AtomicUsize>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever asked may have given up.
fn answer(reply: &OwnedFd, file: io::Result<OwnedFd>) {
    let _ = match file {
        Ok(file) => send(reply.as_fd(), b"o", Some(file.as_fd())),
        Err(error) => {
            let said = match error.raw_os_error() {
                Some(code) => [&b"e"[..], &code.to_le_bytes()].concat(),
                None => [&b"t"[..], error.to_string().as_bytes()].concat(),
            };
            send(reply.as_fd(), &said, None)
        }
    };
}

/// Opens a file, looks where it really lies, and keeps it only where it may go.
fn permitted(path: &Path, home: &Path) -> io::Result<OwnedFd> {
    // Before it is opened: to open a device or a FIFO can be a deed. Once more behind it, for the file that is meant now.
    judge(&path.canonicalize()?, home)?;
    let file = open(path)?;
    judge(&place(&file, path)?, home)?;
    // Of a directory even its list is nobody's business.
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(io::Error::other("it is a directory")),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}

/// NONBLOCK: the open of a FIFO must not hang before it can be refused.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Where an open file lies, whatever links led there.
fn place(file: &OwnedFd, path: &Path) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;
    if cfg!(target_os = "linux") {
        std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
    } else {
        path.canonicalize()
    }
}

fn judge(real: &Path, home: &Path) -> io::Result<()> {
    if SYSTEM.iter().any(|place| real.starts_with(place)) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let hidden = |part: std::path::Component<'_>| part.as_os_str().as_bytes().first() == Some(&b'.');
    match real.strip_prefix(home) {
        Ok(below) if below.components().any(hidden) => Err(io::Error::other(
            "it is hidden in your home directory, where chatd reads nothing: copy it to another place and send the copy",
        )),
        _ => Ok(()),
    }
}

/// Datagrams between two processes of one user, with an open file in one of them.
#[cfg(target_os = "linux")]
mod way {
    use std::io::{self, IoSlice, IoSliceMut};
    use std::mem::MaybeUninit;
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    };

    use super::DATAGRAM;

    pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
    }

    pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&files));
        }
        sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next datagram and the file that came with it; an error at the end.
    pub fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        let mut bytes = vec![0; DATAGRAM];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        })?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(got.bytes);
        let files = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        Ok((bytes, files.flatten().next()))
    }
}

/// Elsewhere nothing is confined, so that nobody needs the way.
#[cfg(not(target_os = "linux"))]
mod way {
    use std::io;
    use std::os::fd::{BorrowedFd, OwnedFd};

    pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn send(_: BorrowedFd<'_>, _: &[u8], _: Option<BorrowedFd<'_>>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn receive(_: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::Read as _;

    /// A home, and an opener whose other end is a thread.
    fn outside() -> (tempfile::TempDir, Opener) {
        let home = tempfile::tempdir().expect("a directory");
        let (ours, theirs) = pair().expect("sockets");
        let place = home.path().to_owned();
        std::thread::spawn(move || serve(theirs.as_fd(), &place));
        (home, Opener::outside(ours))
    }

    fn refused(opener: &Opener, path: &Path) -> String {
        opener.open(path).expect_err("refused").to_string()
    }

    #[test]
    fn files_come_over_and_hidden_ones_do_not() {
        let (home, opener) = outside();
        let path = |name: &str| home.path().join(name);
        fs::create_dir_all(path(".ssh/deep")).expect("made");
        for name in ["a", ".b", ".ssh/id", ".ssh/deep/x"] {
            fs::write(path(name), name).expect("written");
        }
        std::os::unix::fs::symlink(path(".ssh/id"), path("innocent")).expect("a link");
        let mut text = String::new();
        File::from(opener.open(&path("a")).expect("opened")).read_to_string(&mut text).expect("read");
        assert_eq!(text, "a");
        for name in [".b", ".ssh/id", ".ssh/deep/x", "innocent", "x/../.b"] {
            fs::create_dir_all(path("x")).expect("made");
            assert!(refused(&opener, &path(name)).contains("hidden"), "{name}");
        }
        assert!(refused(&opener, Path::new("/proc/self/environ")).contains("not a regular file"));
        assert!(refused(&opener, &path("none")).contains("No such file"));
        assert!(refused(&opener, home.path()).contains("it is a directory"));
        let elsewhere = tempfile::tempdir().expect("a directory");
        fs::write(elsewhere.path().join(".x"), "").expect("written");
        opener.open(&elsewhere.path().join(".x")).expect("only the home directory hides");
    }

    #[test]
    fn without_the_other_end_nothing_is_opened() {
        let (ours, theirs) = pair().expect("sockets");
        drop(theirs);
        let refused = Opener::outside(ours).open(Path::new("/etc/hostname")).expect_err("nobody opens it");
        assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_runner_that_does_not_answer_is_not_waited_for() {
        let (ours, _theirs) = pair().expect("sockets");
        let refused = ask(ours.as_fd(), Path::new("/etc/hostname"), Duration::from_millis(50)).expect_err("no answer");
        assert!(refused.to_string().contains("does not open within"), "{refused}");
    }

    #[test]
    fn files_that_hang_hold_up_no_other_and_have_a_bound() {
        let (ours, theirs) = pair().expect("sockets");
        let (hang, released) = (Arc::new(std::sync::Mutex::new(())), Arc::new(AtomicUsize::new(0)));
        let (hung, count) = (Arc::clone(&hang), Arc::clone(&released));
        let opener = move |path: &Path| {
            if path == Path::new("/share/x") {
                drop(hung.lock());
                count.fetch_add(1, Ordering::Relaxed);
            }
            open(Path::new("/etc/hostname"))
        };
        std::thread::spawn(move || answer_all(theirs.as_fd(), opener));
        let ask = |path: &str, within| ask(ours.as_fd(), Path::new(path), Duration::from_millis(within));
        let held = hang.lock().expect("held");
        for _ in 1..OPENING_MAX {
            assert!(ask("/share/x", 1).expect_err("it hangs").to_string().contains("does not open"));
        }
        ask("/home/y", 30_000).expect("no other waits for them");
        assert!(ask("/share/x", 1).expect_err("it hangs").to_string().contains("does not open"));
        assert!(ask("/home/y", 30_000).expect_err("one too many").to_string().contains("too many files"));
        // the share is back
        drop(held);
        while released.load(Ordering::Relaxed) < OPENING_MAX {
            std::thread::yield_now();
        }
        while let Err(error) = ask("/home/y", 30_000) {
            assert!(error.to_string().contains("too many files"), "{error}");
        }
    }

    #[test]
    fn without_a_runner_it_opens_itself() {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join(".b"), "").expect("written");
        Opener::default().open(&home.path().join(".b")).expect("opened");
    }
}

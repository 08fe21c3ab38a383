//! What the listener and the dialling side need from a Unix system: a checked place for the socket, a stale one told from a
//! living one, and the peer's uid. `windows.rs` has the same functions for named pipes.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::client::DialError;
use crate::directory::{Directory, OpenError, is_ours, kind};
use crate::listener::{BindError, Refusal};

/// The socket's name in its checked directory; dropping it removes the name, if it still leads to our socket.
#[derive(Debug)]
pub(crate) struct Place {
    dir: Directory,
    name: PathBuf,
    ours: (u64, u64),
}

/// Makes the socket at `path`. The caller holds the lock, so a dead socket in the way may be removed.
pub(crate) fn listen(path: &Path) -> Result<(Listener, Option<Place>), BindError> {
    let (parent, name) = split(path).map_err(|source| BindError::io("use", path, source))?;
    let dir = Directory::create(&parent)?;
    clear(&dir, &name, path)?;
    let listener = create(path).map_err(|source| BindError::io("bind", path, source))?;
    let place = confirm(dir, name, path)?;
    Ok((listener, Some(place)))
}

/// Makes way at `path`. The caller holds the lock.
pub(crate) fn sweep(path: &Path) -> Result<(), BindError> {
    let (parent, name) = split(path).map_err(|source| BindError::io("use", path, source))?;
    clear(&Directory::open(&parent)?, &name, path)
}

/// Takes a listening socket that the service manager made.
pub(crate) fn adopt(fd: OwnedFd) -> Result<Listener, BindError> {
    let local = rustix::net::getsockname(&fd).is_ok_and(|name| name.address_family() == AddressFamily::UNIX);
    if !(local && is_listening(&fd)) {
        return Err(BindError::NotListening);
    }
    let adopted = interprocess::os::unix::uds_local_socket::tokio::Listener::try_from(fd);
    adopted.map(Listener::from).map_err(|source| BindError::io("adopt", Path::new("(descriptor)"), source))
}

#[cfg(not(target_vendor = "apple"))]
fn is_listening(fd: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(fd).is_ok_and(|listening| listening)
}

/// macOS does not say; the first accept will.
#[cfg(target_vendor = "apple")]
fn is_listening(_fd: &OwnedFd) -> bool {
    true
}

/// What dialling gives.
pub(crate) type Dialled = Stream;

/// The uid of who dialled must be ours (S33); never his process id.
pub(crate) fn check_client(stream: &Stream) -> io::Result<Result<(), Refusal>> {
    check_peer(stream)
}

/// The uid of who listens must be ours (S35).
pub(crate) fn check_server(stream: &Dialled) -> io::Result<Result<(), Refusal>> {
    check_peer(stream)
}

fn check_peer(stream: &Stream) -> io::Result<Result<(), Refusal>> {
    let uid = stream.peer_creds()?.euid();
    let ours = rustix::process::geteuid().as_raw();
    Ok(if uid == Some(ours) { Ok(()) } else { Err(Refusal { uid }) })
}

/// Dials; nothing where the backlog is full: the transport takes that "again" for a connection on its way, which a Unix socket
/// never makes, and hands out a stream that leads nowhere.
pub(crate) async fn dial(path: &Path) -> Result<Option<Dialled>, DialError> {
    match Stream::connect(name(path)?).await {
        Ok(stream) => {
            let Stream::UdSocket(socket) = &stream;
            let connected = rustix::net::getpeername(socket).is_ok_and(|peer| peer.is_some());
            Ok(connected.then_some(stream))
        }
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => DialError::NotRunning,
            io::ErrorKind::TimedOut => DialError::TimedOut,
            _ => DialError::Io(error),
        }),
    }
}

/// Looks at the way to the socket before it is dialled: its directory and its owner must be ours.
pub(crate) fn check_before_dial(path: &Path) -> Result<(), DialError> {
    let (parent, name) = split(path)?;
    let dir = match Directory::open(&parent) {
        Ok(dir) => dir,
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(DialError::NotRunning);
        }
        Err(OpenError::Io { source, .. }) => return Err(source.into()),
        Err(OpenError::Unsafe(broken)) => return Err(DialError::BadDirectory(broken)),
    };
    let stat = dir.look(&name)?.ok_or(DialError::NotRunning)?;
    if !is_ours(&stat) {
        return Err(DialError::ForeignOwner { uid: Some(stat.st_uid) });
    }
    Ok(())
}

fn name(path: &Path) -> io::Result<Name<'_>> {
    path.to_fs_name::<GenericFilePath>()
}

fn split(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let name: OsString = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent.to_owned(), name.into()))
}

/// Mode 0600 is set before the name exists, so there is no moment in which others could connect (S33). Where the system cannot do
/// that (macOS), the 0700 directory and the peer's uid carry the rule. Reclaiming by the library would not ask for the lock.
fn create(path: &Path) -> io::Result<Listener> {
    let options = || io::Result::Ok(ListenerOptions::new().name(name(path)?).reclaim_name(false));
    match options()?.mode(0o600).create_tokio() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => options()?.create_tokio(),
        made => made,
    }
}

/// The name was bound by path: the checked directory must hold it now, else the directory was exchanged meanwhile.
fn confirm(dir: Directory, name: PathBuf, path: &Path) -> Result<Place, BindError> {
    let found = dir.look(&name).map_err(|source| BindError::io("look at", path, source))?;
    match found {
        Some(stat) if kind(&stat) == FileType::Socket && is_ours(&stat) => {
            Ok(Place { dir, name, ours: identity(&stat) })
        }
        _ => Err(BindError::Occupied { path: path.to_owned(), by: "another directory than the one checked" }),
    }
}

/// Removes a socket that nobody listens on; anything else in the way is an error.
fn clear(dir: &Directory, name: &Path, path: &Path) -> Result<(), BindError> {
    let Some(stat) = dir.look(name).map_err(|source| BindError::io("look at", path, source))? else {
        return Ok(());
    };
    if !is_ours(&stat) {
        return Err(BindError::ForeignSocket { path: path.to_owned(), owner: stat.st_uid });
    }
    if kind(&stat) != FileType::Socket {
        return Err(BindError::Occupied { path: path.to_owned(), by: describe(kind(&stat)) });
    }
    if answers(path).map_err(|source| BindError::io("probe", path, source))? {
        return Err(BindError::Occupied {
            path: path.to_owned(),
            by: "a listening process that does not hold our lock",
        });
    }
    dir.remove(name).map_err(|source| BindError::io("remove", path, source))
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        _ => "a device",
    }
}

/// Does anybody listen? Without blocking: a living one with a full backlog says "again".
fn answers(path: &Path) -> io::Result<bool> {
    let probe = probe()?;
    match rustix::net::connect(&probe, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn probe() -> io::Result<OwnedFd> {
    let flags = rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// macOS takes no flags with the call.
#[cfg(target_vendor = "apple")]
fn probe() -> io::Result<OwnedFd> {
    let probe = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&probe, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&probe, true)?;
    Ok(probe)
}

#[allow(clippy::unnecessary_cast, reason = "the fields have other widths on other Unix systems")]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

impl Drop for Place {
    fn drop(&mut self) {
        let found = self.dir.look(&self.name).ok().flatten();
        if found.is_some_and(|stat| identity(&stat) == self.ours)
            && let Err(error) = self.dir.remove(&self.name)
        {
            tracing::warn!(%error, "the control socket stays behind");
        }
    }
}

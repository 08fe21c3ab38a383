//! What the listener and the dialling side need from Windows: a named pipe that only its owner may open (S39). `unix.rs` has the same
//! functions for sockets.
//!
//! The descriptor on the pipe does the work of directory, mode and uid; process ids are never trusted. A server that somebody dials
//! could act as him, so ours dials as one that may be identified and no more, and looks who owns the pipe before a byte is sent.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, ToFsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};
use widestring::U16CString;

use crate::client::DialError;
use crate::listener::{BindError, Refusal};
use crate::user;

/// What dialling gives. The transport of the listening side would let the other side act as us.
pub(crate) type Dialled = NamedPipeClient;

/// A pipe's name ends with its last handle: there is nothing to remove.
#[derive(Debug)]
pub(crate) enum Place {}

/// A chatd that ended leaves its name until those who talked to it have noticed: they do so at once, but are other processes.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// How often the name is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the system says where every end that was made is taken.
const ERROR_PIPE_BUSY: i32 = 231;

/// Who has a pipe's name.
enum Holder {
    Nobody,
    /// Somebody who waits for callers.
    Listening,
    /// Somebody who waits for none: busy, or about to end.
    Busy,
    /// Somebody who does not let us in.
    Foreign,
}

/// Makes the pipe. The caller holds the lock, so whoever has the name is no chatd of this home, or is about to end. The flag for
/// the first instance, which the transport sets, refuses a name that is taken between look and make; it rejects callers of other
/// hosts, and makes the next end before it hands out the last one.
#[expect(clippy::disallowed_methods, reason = "the system tells nobody when a pipe's name is free")]
pub(crate) fn listen(path: &Path) -> Result<(Listener, Option<Place>), BindError> {
    let until = Instant::now() + GONE_WITHIN;
    loop {
        let by = match holder(path).map_err(|source| BindError::io("probe", path, source))? {
            Holder::Nobody => match create(path) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "another process",
                made => {
                    let listener = made.map_err(|source| BindError::io("bind", path, source))?;
                    return Ok((listener, None));
                }
            },
            Holder::Busy => "a process that does not answer",
            Holder::Listening => return Err(occupied(path, "a listening process that does not hold our lock")),
            Holder::Foreign => return Err(occupied(path, "a process of another user")),
        };
        if Instant::now() >= until {
            return Err(occupied(path, by));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A pipe ends with its last holder: nothing is left behind.
pub(crate) fn sweep(_path: &Path) -> Result<(), BindError> {
    Ok(())
}

/// The descriptor has decided already who may connect.
pub(crate) fn check_client(_pipe: &Stream) -> io::Result<Result<(), Refusal>> {
    Ok(Ok(()))
}

/// The pipe must be our user's: then whoever made it could have read all that we send anyway.
pub(crate) fn check_server(pipe: &Dialled) -> io::Result<Result<(), Refusal>> {
    Ok(if user::owns_pipe(pipe)? { Ok(()) } else { Err(Refusal { uid: None }) })
}

/// There is no directory to look at.
pub(crate) fn check_before_dial(_path: &Path) -> Result<(), DialError> {
    Ok(())
}

/// Opens the pipe; nothing where every end is taken: somebody lives there and may take us later.
pub(crate) async fn dial(path: &Path) -> Result<Option<Dialled>, DialError> {
    match open(path) {
        Ok(pipe) => Ok(Some(pipe)),
        Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Err(DialError::NotRunning),
            io::ErrorKind::PermissionDenied => Err(DialError::ForeignOwner { uid: None }),
            _ => Err(DialError::Io(error)),
        },
    }
}

fn holder(path: &Path) -> io::Result<Holder> {
    match open(path) {
        Ok(_) => Ok(Holder::Listening),
        Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => Ok(Holder::Busy),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(Holder::Nobody),
            io::ErrorKind::PermissionDenied => Ok(Holder::Foreign),
            _ => Err(error),
        },
    }
}

/// Identification is what these options ask for by themselves; that they do is said in their documentation and not in ours alone.
fn open(path: &Path) -> io::Result<NamedPipeClient> {
    ClientOptions::new().open(path)
}

fn create(path: &Path) -> io::Result<Listener> {
    ListenerOptions::new().name(name(path)?).security_descriptor(owner_only()?).create_tokio()
}

fn name(path: &Path) -> io::Result<Name<'_>> {
    path.to_fs_name::<GenericFilePath>()
}

/// Owned by our user, nothing inherited, all rights to him and to nobody else. The user is named, as "the owner" would be all
/// administrators where a process with raised rights makes the pipe. No group: the transport would make it the owner.
fn owner_only() -> io::Result<SecurityDescriptor> {
    let sid = user::sid()?;
    let text = U16CString::from_str(format!("O:{sid}D:P(A;;GA;;;{sid})"));
    SecurityDescriptor::deserialize(&text.map_err(|_| io::ErrorKind::InvalidInput)?)
}

fn occupied(path: &Path, by: &'static str) -> BindError {
    BindError::Occupied { path: path.to_owned(), by }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;

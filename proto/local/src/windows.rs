//! What the listener and the dialling side need from Windows: a named pipe that only its owner may open. Process ids are never
//! trusted; the descriptor on the pipe does the work of directory, mode and uid on Unix (S39).

use std::io;
use std::path::Path;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, ToFsName};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use widestring::U16CString;

use crate::client::DialError;
use crate::listener::{BindError, Refusal};

/// Protected (nothing inherited), all rights to the owner and to nobody else.
const OWNER_ONLY: &str = "D:P(A;;GA;;;OW)";

/// A pipe's name ends with its last handle: there is nothing to remove.
#[derive(Debug)]
pub(crate) struct Place;

/// Makes the pipe. The first-instance flag makes a squatted name an error; remote clients are rejected.
pub(crate) fn listen(path: &Path) -> Result<(Listener, Option<Place>), BindError> {
    let made = owner_only()
        .and_then(|descriptor| Ok(ListenerOptions::new().name(name(path)?).security_descriptor(descriptor)))
        .and_then(ListenerOptions::create_tokio);
    made.map(|listener| (listener, Some(Place))).map_err(|source| BindError::io("bind", path, source))
}

/// The descriptor has decided already who may connect.
pub(crate) fn check_peer(_stream: &Stream) -> io::Result<Result<(), Refusal>> {
    Ok(Ok(()))
}

/// A pipe is connected once it is open.
pub(crate) fn is_connected(_stream: &Stream) -> bool {
    true
}

/// There is no directory to look at.
pub(crate) fn check_before_dial(_path: &Path) -> Result<(), DialError> {
    Ok(())
}

pub(crate) fn name(path: &Path) -> io::Result<Name<'_>> {
    path.to_fs_name::<GenericFilePath>()
}

fn owner_only() -> io::Result<SecurityDescriptor> {
    let text = U16CString::from_str(OWNER_ONLY).map_err(|_| io::ErrorKind::InvalidInput)?;
    SecurityDescriptor::deserialize(&text)
}

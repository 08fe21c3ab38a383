//! The descriptors of sd_listen_fds(3), and what each of them is.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use super::Unfit;

/// The variable with the names, between colons.
const NAMES: &str = "LISTEN_FDNAMES";
/// The name of one that was given none.
const UNNAMED: &str = "";

/// A socket that was handed over.
#[derive(Debug)]
pub enum Socket {
    /// Listens for TCP.
    Tcp(TcpListener),
    /// UDP.
    Udp(UdpSocket),
    /// Listens at a path.
    Local(UnixListener),
}

/// What this process was handed, with the names, and out of the environment.
pub(super) fn taken() -> Result<Vec<(String, Socket)>, Unfit> {
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut descriptors = ListenFd::from_env();
    let mut names = names.split(':');
    let taken = (0..descriptors.len()).map(|index| {
        let name = names.next().unwrap_or(UNNAMED).to_owned();
        match socket(&mut descriptors, index) {
            Some(socket) => Ok((name, socket)),
            None => Err(Unfit { name: if name.is_empty() { index.to_string() } else { name } }),
        }
    });
    taken.collect()
}

/// Finds out what it is: each try leaves a socket of another kind where it was.
fn socket(descriptors: &mut ListenFd, index: usize) -> Option<Socket> {
    if let Ok(Some(tcp)) = descriptors.take_tcp_listener(index) {
        return listens(&tcp).then_some(Socket::Tcp(tcp));
    }
    if let Ok(Some(udp)) = descriptors.take_udp_socket(index) {
        return Some(Socket::Udp(udp));
    }
    let local = descriptors.take_unix_listener(index).ok().flatten()?;
    listens(&local).then_some(Socket::Local(local))
}

#[cfg(not(target_vendor = "apple"))]
fn listens(socket: &impl AsFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).is_ok_and(|listens| listens)
}

/// macOS does not say; the first accept will.
#[cfg(target_vendor = "apple")]
fn listens(_socket: &impl AsFd) -> bool {
    true
}

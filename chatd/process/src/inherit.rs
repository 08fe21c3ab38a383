//! Sockets that the service manager made and hands over (sd_listen_fds(3)), with the names that it gives them: they outlive the
//! daemon, so that nobody is refused while it is started again.
//!
//! `main` takes them before there is a second thread, because it takes their variables out of the environment too.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

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

/// A descriptor that is none of the sockets that a daemon can serve.
#[derive(Debug, thiserror::Error)]
#[error("the service manager handed over a descriptor (\"{name}\") that is no listening socket and no UDP socket")]
pub struct Unfit {
    /// Its name, or its number where it has none.
    pub name: String,
}

/// All that was handed over, in the manager's order.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(String, Socket)>);

impl Inherited {
    /// What this process was handed; nothing where nobody did, or where it was meant for another process. Once: a second call
    /// finds nothing.
    pub fn of_process() -> Result<Inherited, Unfit> {
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
        Ok(Inherited(taken.collect::<Result<_, _>>()?))
    }

    /// Whether nothing was handed over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Inherited {
    type Item = (String, Socket);
    type IntoIter = std::vec::IntoIter<(String, Socket)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(String, Socket)> for Inherited {
    fn from_iter<I: IntoIterator<Item = (String, Socket)>>(sockets: I) -> Inherited {
        Inherited(sockets.into_iter().collect())
    }
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

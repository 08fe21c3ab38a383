//! The server's side of a connection: listening, and the TLS handshake of one connection.
//!
//! chat-server's gateway calls both. How many strangers may be here at once is the gateway's business.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chat_proto::limits;
use rustls::{ServerConfig, ServerConnection};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::link::{HandshakeError, Link};
use crate::socket;

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Not done in time (S4).
    #[error("the TLS handshake was not done in time")]
    TimedOut,
    /// The bytes were no TLS 1.3, or the two sides had nothing in common.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// The client did not ask for our protocol.
    #[error("the client speaks another protocol")]
    WrongProtocol,
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(#[from] io::Error),
}

/// Listens on `address`; `[::]` means IPv4 too, and IPv4 alone on a host without IPv6.
///
/// Must be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let everywhere = address.is_ipv6() && address.ip().is_unspecified();
    match bind(address) {
        Err(error) if everywhere && no_ipv6(&error) => bind((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        done => done,
    }
}

/// Whether binding failed for want of IPv6 rather than because of the port.
fn no_ipv6(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Does the TLS handshake of an accepted connection, in at most `within` (usually [`limits::HANDSHAKE_WITHIN`]).
///
/// A client that names no protocol is refused: TLS libraries let that pass.
pub async fn handshake(stream: TcpStream, config: &Arc<ServerConfig>, within: Duration) -> Result<Link, AcceptError> {
    socket::tune(&stream);
    let tls = ServerConnection::new(Arc::clone(config)).map_err(|error| AcceptError::Tls(error.to_string()))?;
    match tokio::time::timeout(within, Link::handshake(stream, tls.into())).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(HandshakeError::WrongProtocol)) => Err(AcceptError::WrongProtocol),
        Ok(Err(HandshakeError::Tls(text))) => Err(AcceptError::Tls(text)),
        Ok(Err(HandshakeError::Io(error))) => Err(AcceptError::Io(error)),
        Err(_) => Err(AcceptError::TimedOut),
    }
}

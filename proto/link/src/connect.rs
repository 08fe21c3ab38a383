//! The client's side of a connection: from a name to a link, and what the certificate is worth.
//!
//! chatd's upstream calls this; so do tests. A [`Connected`] is no trusted server yet: the caller compares the pinned
//! server_id with the one that the server proves over the link's exporter (S2).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_proto::version::ALPN;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, version};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::cert::provider;
use crate::link::{HandshakeError, Link};
use crate::socket;
use crate::trust::{CertificateProblem, Recorder, Roots};

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A host name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Target {
    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    pub fn parse(text: &str, default_port: u16) -> Option<Target> {
        let (host, port) = split(text)?;
        let port = match port {
            None => default_port,
            Some(digits) => digits.parse().ok().filter(|port| *port != 0)?,
        };
        ServerName::try_from(host).ok()?;
        Some(Target { host: host.to_owned(), port })
    }
}

/// The host without brackets, and the port as written.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host, Some(port))),
        _ => Some((text, None)),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A link to a server that has yet to be trusted.
#[derive(Debug)]
pub struct Connected {
    /// The link.
    pub link: Link,
    /// What the certificate is worth; a problem is overcome only by a pinned and proven server_id.
    pub certificate: Result<(), CertificateProblem>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host is neither a name nor an address.
    #[error("{0:?} is neither a host name nor an address")]
    BadAddress(String),
    /// The name has no address, or the resolver failed.
    #[error("the name could not be resolved: {0}")]
    Dns(String),
    /// The host is there, and nothing listens on the port.
    #[error("connection refused")]
    Refused,
    /// No way there.
    #[error("the host cannot be reached: {0}")]
    Unreachable(String),
    /// Not done in time.
    #[error("no answer in time")]
    TimedOut,
    /// Something answered, and it speaks no TLS 1.3 that we can speak.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// Something answered in TLS, and it is no chat server.
    #[error("the server speaks another protocol")]
    WrongProtocol,
}

/// Connects within `within`, trying all addresses of the name in turn.
pub async fn connect(target: &Target, roots: &Roots, within: Duration) -> Result<Connected, ConnectError> {
    let deadline = Instant::now() + within;
    let bad = || ConnectError::BadAddress(target.host.clone());
    let name = ServerName::try_from(target.host.clone()).map_err(|_| bad())?;
    let stream = reach(target, deadline).await?;
    let recorder = Arc::new(Recorder::new(roots.clone(), provider()));
    let tls = ClientConnection::new(client_config(&recorder)?, name).map_err(|_| bad())?;
    let link = match timeout_at(deadline, Link::handshake(stream, tls.into())).await {
        Ok(done) => done?,
        Err(_) => return Err(ConnectError::TimedOut),
    };
    Ok(Connected { link, certificate: recorder.outcome() })
}

/// TLS 1.3 alone, our protocol, nothing kept between connections.
fn client_config(recorder: &Arc<Recorder>) -> Result<Arc<ClientConfig>, ConnectError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| ConnectError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(recorder) as _)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// A TCP connection to the first address that answers. Each gets an equal share of the time that is left, so that one
/// dead address does not eat all of it.
async fn reach(target: &Target, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let addresses = resolve(target, deadline).await?;
    let mut last = ConnectError::Dns("the name has no address".into());
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                socket::tune(&stream);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = ConnectError::TimedOut,
        }
    }
    Err(last)
}

async fn resolve(target: &Target, deadline: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
    match timeout_at(deadline, tokio::net::lookup_host((target.host.as_str(), target.port))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(ConnectError::Dns(error.to_string())),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> ConnectError {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused,
            io::ErrorKind::TimedOut => ConnectError::TimedOut,
            _ => ConnectError::Unreachable(error.to_string()),
        }
    }
}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> ConnectError {
        match error {
            HandshakeError::WrongProtocol => ConnectError::WrongProtocol,
            HandshakeError::Tls(text) => ConnectError::Tls(text),
            HandshakeError::Io(error) => ConnectError::Tls(format!("the connection broke: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let read = |text| Target::parse(text, 7443).map(|target| target.to_string());
        assert_eq!(read("chat.example.org").as_deref(), Some("chat.example.org:7443"));
        assert_eq!(read("chat.example.org:1").as_deref(), Some("chat.example.org:1"));
        assert_eq!(read("10.0.0.1:99").as_deref(), Some("10.0.0.1:99"));
        assert_eq!(read("[::1]:99").as_deref(), Some("[::1]:99"));
        assert_eq!(read("::1").as_deref(), Some("[::1]:7443"));
        for bad in ["", ":1", "a b", "host:0", "host:65536", "host:x", "[::1]x", "[::1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

//! Where the server listens: at sockets that the service manager hands over, else at the addresses of the configuration, which it
//! binds itself. `main` takes what was handed over, the assembly opens the doors, `check` and `status` say what counts.
//!
//! One rule: as soon as one socket is handed over the network is the manager's, and the server binds nothing. Under our unit it
//! could not: it has no network of its own there, and nobody would reach an address in it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use chat_process::config::find;
use chat_process::inherit::{Inherited, Socket, Unfit};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::{StartError, start};

/// A socket is named after the key of the configuration in whose place it counts (FileDescriptorName=).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// For clients.
    Listen,
    /// The relay for private sessions.
    Relay,
    /// Health and metrics.
    Http,
}

impl Door {
    /// All of them.
    pub const ALL: [Door; 3] = [Door::Listen, Door::Relay, Door::Http];

    /// The key, and the name of its sockets.
    pub fn key(self) -> &'static str {
        match self {
            Door::Listen => "listen",
            Door::Relay => "private.relay_listen",
            Door::Http => "admin.http",
        }
    }

    /// The unit of ours that has the socket.
    pub fn unit(self) -> &'static str {
        match self {
            Door::Listen => "chat-server.socket",
            Door::Relay => "chat-server-relay.socket",
            Door::Http => "chat-server-http.socket",
        }
    }

    fn named(name: &str) -> Option<Door> {
        // A manager that gives no names hands over the port for clients.
        if name.is_empty() { Some(Door::Listen) } else { Door::ALL.into_iter().find(|door| door.key() == name) }
    }

    /// What the configuration says.
    pub(crate) fn written(self, config: &Config) -> Vec<SocketAddr> {
        match self {
            Door::Listen => config.listen.clone(),
            Door::Relay => config.relay.into_iter().collect(),
            Door::Http => config.http.into_iter().collect(),
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// What was handed over cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// No socket, or not one that listens.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A socket by a name that means nothing here.
    #[error(
        "the service manager handed over a socket named \"{0}\": FileDescriptorName= must be listen, private.relay_listen or admin.http"
    )]
    Unknown(String),
    /// Too few, too many, or of another kind.
    #[error("the service manager handed over the wrong sockets for {door}: it takes {takes}")]
    Wrong {
        /// For what.
        door: Door,
        /// What it takes.
        takes: &'static str,
    },
}

/// What was handed over, sorted.
#[derive(Debug, Default)]
pub struct Handed {
    listen: Vec<std::net::TcpListener>,
    relay: Option<(std::net::TcpListener, UdpSocket)>,
    http: Option<std::net::TcpListener>,
}

impl Handed {
    /// Sorts by name.
    pub fn of(inherited: Inherited) -> Result<Handed, HandedError> {
        if inherited.is_empty() {
            return Ok(Handed::default());
        }
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        for (name, socket) in inherited {
            let door = Door::named(&name).ok_or(HandedError::Unknown(name))?;
            match socket {
                Socket::Tcp(socket) => tcp.push((door, socket)),
                Socket::Udp(socket) if door == Door::Relay => udp.push(socket),
                Socket::Udp(_) | Socket::Local(_) => return Err(wrong(door)),
            }
        }
        let mut of = |wanted: Door| -> Vec<std::net::TcpListener> {
            tcp.extract_if(.., |(door, _)| *door == wanted).map(|(_, socket)| socket).collect()
        };
        let (listen, relay, http) = (of(Door::Listen), of(Door::Relay), of(Door::Http));
        if listen.is_empty() {
            return Err(wrong(Door::Listen));
        }
        Ok(Handed { listen, relay: pair(relay, udp)?, http: one(http)? })
    }

    fn is_empty(&self) -> bool {
        self.listen.is_empty()
    }

    /// Whether the sockets of a relay are among them.
    pub fn has_relay(&self) -> bool {
        self.relay.is_some()
    }

    /// What counts in place of the configuration.
    fn given(&self) -> Vec<Given> {
        let relay = self.relay.iter().map(|(tcp, _)| tcp);
        let all: [(Door, Vec<&std::net::TcpListener>); 3] = [
            (Door::Listen, self.listen.iter().collect()),
            (Door::Relay, relay.collect()),
            (Door::Http, self.http.iter().collect()),
        ];
        let addresses = |sockets: Vec<&std::net::TcpListener>| -> Vec<SocketAddr> {
            sockets.into_iter().filter_map(|socket| socket.local_addr().ok()).collect()
        };
        let given = all.into_iter().map(|(door, sockets)| Given { door, addresses: addresses(sockets) });
        given.filter(|given| !given.addresses.is_empty()).collect()
    }
}

fn wrong(door: Door) -> HandedError {
    let takes = match door {
        Door::Listen => "one or more that listen for TCP",
        Door::Relay => "one that listens for TCP and one for UDP, of the same port",
        Door::Http => "one that listens for TCP, on loopback because nobody is asked who he is there",
    };
    HandedError::Wrong { door, takes }
}

/// TCP and UDP of the same port, or nothing.
fn pair(
    mut tcp: Vec<std::net::TcpListener>,
    mut udp: Vec<UdpSocket>,
) -> Result<Option<(std::net::TcpListener, UdpSocket)>, HandedError> {
    match (tcp.pop(), udp.pop()) {
        (None, None) => Ok(None),
        (Some(one), Some(two))
            if tcp.is_empty() && udp.is_empty() && port(one.local_addr()) == port(two.local_addr()) =>
        {
            Ok(Some((one, two)))
        }
        _ => Err(wrong(Door::Relay)),
    }
}

fn port(address: io::Result<SocketAddr>) -> Option<u16> {
    address.ok().map(|address| address.port())
}

fn one(mut sockets: Vec<std::net::TcpListener>) -> Result<Option<std::net::TcpListener>, HandedError> {
    let Some(socket) = sockets.pop() else { return Ok(None) };
    let alone = sockets.is_empty() && socket.local_addr().is_ok_and(|address| address.ip().is_loopback());
    if alone { Ok(Some(socket)) } else { Err(wrong(Door::Http)) }
}

/// A door whose sockets were handed over, and where they listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which.
    pub door: Door,
    /// Where.
    pub addresses: Vec<SocketAddr>,
}

impl Given {
    /// Whether the configuration says something else in words: it does not count.
    pub fn contradicts(&self, config: &Config) -> bool {
        find(&config.files, self.door.key()).is_some() && alike(&self.addresses) != alike(&self.door.written(config))
    }
}

/// Whether the service manager holds the port for clients of a server that runs: it starts it again for whoever connects.
pub fn is_held(config: &Config) -> bool {
    start::told_doors(config).iter().any(|given| given.door == Door::Listen)
}

/// Addresses as a set; all of IPv6 and all of IPv4 are one, because the former takes the latter along where there is both.
pub(crate) fn alike(addresses: &[SocketAddr]) -> std::collections::BTreeSet<SocketAddr> {
    let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let one = |address: &SocketAddr| {
        if address.ip().is_unspecified() { (everywhere, address.port()).into() } else { *address }
    };
    addresses.iter().map(one).collect()
}

/// The relay's two sockets.
pub enum RelayPlace {
    /// To be bound here.
    Bind(SocketAddr),
    /// Handed over.
    Handed(TcpListener, UdpSocket),
}

/// All that is served.
pub struct Doors {
    /// For clients.
    pub listen: Vec<TcpListener>,
    /// For the relay.
    pub relay: Option<RelayPlace>,
    /// For health and metrics.
    pub http: Option<TcpListener>,
    /// Which of them were handed over.
    pub given: Vec<Given>,
}

/// Takes what was handed over, or binds what is configured. Must be called within a runtime.
pub fn open(config: &Config, handed: Handed) -> Result<Doors, StartError> {
    if handed.is_empty() {
        let listen = config.listen.iter().map(|address| bind(*address)).collect::<Result<_, _>>()?;
        let (relay, http) = (config.relay.map(RelayPlace::Bind), config.http.map(bind).transpose()?);
        return Ok(Doors { listen, relay, http, given: Vec::new() });
    }
    let given = handed.given();
    let is_given = |door| given.iter().any(|given| given.door == door);
    if let Some(door) = Door::ALL.into_iter().find(|door| !is_given(*door) && !door.written(config).is_empty()) {
        return Err(StartError::NotHanded(door));
    }
    let Handed { listen, relay, http } = handed;
    let listen = listen.into_iter().map(adopt).collect::<Result<_, _>>()?;
    let relay = relay.map(|(tcp, udp)| Ok::<_, StartError>(RelayPlace::Handed(adopt(tcp)?, udp))).transpose()?;
    Ok(Doors { listen, relay, http: http.map(adopt).transpose()?, given })
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    chat_link::listen(address).map_err(|error| StartError::Listen { address, error })
}

fn adopt(socket: std::net::TcpListener) -> Result<TcpListener, StartError> {
    let address = socket.local_addr().unwrap_or((Ipv6Addr::UNSPECIFIED, 0).into());
    let adopted = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
    adopted.map_err(|error| StartError::Listen { address, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn tcp() -> std::net::TcpListener {
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
    }

    fn relay() -> [(String, Socket); 2] {
        let tcp = tcp();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
        [(Door::Relay.key().to_owned(), Socket::Tcp(tcp)), (Door::Relay.key().to_owned(), Socket::Udp(udp))]
    }

    fn named(name: &str, socket: Socket) -> (String, Socket) {
        (name.to_owned(), socket)
    }

    fn handed(sockets: impl IntoIterator<Item = (String, Socket)>) -> Result<Handed, String> {
        Handed::of(sockets.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn sockets_are_told_apart_by_name() {
        let http = tcp();
        let address = http.local_addr().unwrap();
        let all = [
            named("", Socket::Tcp(tcp())),
            named("admin.http", Socket::Tcp(http)),
            named("listen", Socket::Tcp(tcp())),
        ];
        let given = handed(all.into_iter().chain(relay())).unwrap().given();
        assert_eq!(given.iter().map(|given| given.door).collect::<Vec<_>>(), Door::ALL);
        assert_eq!((given[0].addresses.len(), &given[2].addresses), (2, &vec![address]));
        assert!(handed([]).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        let udp = || Socket::Udp(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let listen = || named("listen", Socket::Tcp(tcp()));
        let says = |sockets: Vec<(String, Socket)>| handed(sockets).unwrap_err();
        assert!(says(vec![named("chat.socket", Socket::Tcp(tcp()))]).contains("\"chat.socket\": FileDescriptorName="));
        assert!(says(vec![named("admin.http", Socket::Tcp(tcp()))]).contains("for listen: it takes one or more"));
        assert!(says(vec![listen(), named("listen", udp())]).contains("for listen"));
        assert!(says(vec![listen(), named("private.relay_listen", udp())]).contains("for private.relay_listen"));
        let [one, _] = relay();
        assert!(says(vec![listen(), one, named("private.relay_listen", udp())]).contains("of the same port"));
        let two = [named("admin.http", Socket::Tcp(tcp())), named("admin.http", Socket::Tcp(tcp()))];
        assert!(says([listen()].into_iter().chain(two).collect()).contains("for admin.http"));
        let open = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert!(says(vec![listen(), named("admin.http", Socket::Tcp(open))]).contains("on loopback"));
    }

    #[test]
    fn everywhere_is_everywhere() {
        let parsed = |text: &str| vec![text.parse::<SocketAddr>().unwrap()];
        assert_eq!(alike(&parsed("[::]:7443")), alike(&parsed("0.0.0.0:7443")));
        assert_ne!(alike(&parsed("[::]:7443")), alike(&parsed("[::]:7444")));
        assert_ne!(alike(&parsed("[::]:7443")), alike(&parsed("127.0.0.1:7443")));
    }
}

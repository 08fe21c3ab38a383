//! The seam over iroh's QUIC: endpoints, connections, the way of what comes in to the session that expects it.
//!
//! Nobody but the configured server is ever asked for anything: no lookup service, no relay but the server's, no port mapping, no
//! probes beside the relay's address discovery.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ::iroh::endpoint::{
    BindOpts, Connection as Quic, ConnectionError, IdleTimeout, Incoming, IncomingAddr, NetReportConfig,
    PathEventStream, PortmapperConfig, QuicTransportConfig, RecvStream, SendStream, VarInt,
};
use ::iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey, TransportAddr,
};
use chat_link::Pins;
use chat_proto::limits::{
    PEER_ADDRESSES_MAX, PEER_HANDSHAKES, PEER_HELLO_WITHIN, PEER_IDLE, PEER_KEEP_ALIVE, PEER_STREAMS, PEER_WINDOW,
};
use chat_proto::peer::{ALPN, Bye, EXPORTER_LABEL};
use iroh_relay::RelayQuicConfig;
use iroh_relay::tls::CaTlsConfig;
use tokio::sync::{Semaphore, mpsc};

use super::{PathInfo, PeerError, Relay, Target};

/// A session that has not been taken by its task yet waits here; more than a few are a fault.
const WAITING: usize = 4;
/// Addresses of the own host are waited for at most so long.
const ADDRESSES_WITHIN: Duration = Duration::from_millis(500);

/// The endpoints of a profile: each lives while a request or a session needs it.
pub struct Peers {
    /// UDP port; 0: any.
    port: u16,
    expected: Arc<Expected>,
    pins: Pins,
    /// The open endpoint and the hidden one. Held over the binding of one, so that there are never two.
    places: tokio::sync::Mutex<[Weak<Place>; 2]>,
    /// Their keys: of an earlier start, until they were used.
    secrets: Mutex<[Option<[u8; 32]>; 2]>,
}

/// Who may connect: by the key of the endpoint.
#[derive(Default)]
struct Expected {
    // Not an owner task: looked at once for each connection, changed when a session begins or ends.
    by_endpoint: Mutex<HashMap<[u8; 32], Door>>,
}

/// Where a peer comes in.
struct Door {
    to: mpsc::Sender<Connection>,
    /// The addresses that it told of: this host speaks to them anyway.
    addresses: Vec<SocketAddr>,
}

impl Expected {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Door>> {
        self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, address: SocketAddr) -> bool {
        self.lock().values().any(|door| door.addresses.contains(&address))
    }
}

/// A peer that is expected; forgotten when this is dropped.
pub struct Expecting {
    endpoint: [u8; 32],
    all: Arc<Expected>,
    connections: mpsc::Receiver<Connection>,
}

impl Expecting {
    /// The next connection of this peer.
    pub async fn next(&mut self) -> Option<Connection> {
        self.connections.recv().await
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.connections.close();
        let mut all = self.all.lock();
        if all.get(&self.endpoint).is_some_and(|door| door.to.is_closed()) {
            all.remove(&self.endpoint);
        }
    }
}

impl Peers {
    /// No endpoint yet. `secrets` are the keys of the open and of the hidden one where sessions of an earlier start are to go on; else
    /// each gets a new one.
    pub fn new(port: u16, secrets: [Option<[u8; 32]>; 2]) -> Peers {
        Peers {
            port,
            expected: Arc::default(),
            pins: Pins::default(),
            places: tokio::sync::Mutex::default(),
            secrets: Mutex::new(secrets),
        }
    }

    /// The endpoint; started when it is needed. A hidden one is reached through the relay alone and knows no addresses.
    pub async fn place(&self, hidden: bool) -> Result<Arc<Place>, PeerError> {
        let mut places = self.places.lock().await;
        let held = &mut places[usize::from(hidden)];
        if let Some(place) = held.upgrade() {
            return Ok(place);
        }
        let secret = match self.secrets.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(hidden)].take() {
            Some(known) => known,
            None => {
                let mut new = [0; 32];
                getrandom::fill(&mut new).map_err(|error| PeerError::Endpoint(error.to_string()))?;
                new
            }
        };
        let place =
            Arc::new(Place { endpoint: self.bind(hidden, &secret).await?, hidden, secret, pins: self.pins.clone() });
        tokio::spawn(accept(place.endpoint.clone(), Arc::clone(&self.expected)));
        *held = Arc::downgrade(&place);
        Ok(place)
    }

    /// From now on the endpoint of this target may connect.
    pub fn expect(&self, target: &Target) -> Expecting {
        let (to, connections) = mpsc::channel(WAITING);
        self.expected.lock().insert(target.endpoint, Door { to, addresses: target.addresses.clone() });
        Expecting { endpoint: target.endpoint, all: Arc::clone(&self.expected), connections }
    }

    /// Ends the endpoints; what was said before is flushed first.
    pub async fn close(&self) {
        for place in self.places.lock().await.iter().filter_map(Weak::upgrade) {
            place.endpoint.close().await;
        }
    }

    /// The configured port, unless another profile of this host has it.
    fn port(&self) -> Option<u16> {
        let wanted = Some(self.port).filter(|port| *port != 0)?;
        match std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, wanted)) {
            Ok(_) => Some(wanted),
            Err(error) => {
                tracing::warn!(%error, port = wanted, "private.port is in use; another one is taken");
                None
            }
        }
    }

    async fn bind(&self, hidden: bool, secret: &[u8; 32]) -> Result<Endpoint, PeerError> {
        let failed = |error: &dyn std::fmt::Display| PeerError::Endpoint(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pins = self.pins.clone();
        let tls = CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| Ok(pins.verifier(provider))));
        let mut probes = NetReportConfig::minimal();
        // Without addresses the relay itself is the only thing that can be asked how far it is.
        probes.https_probes = hidden;
        let mut builder = Endpoint::builder(::iroh::endpoint::presets::Empty)
            .secret_key(SecretKey::from_bytes(secret))
            .crypto_provider(provider)
            .alpns(vec![ALPN.to_vec()])
            .transport_config(transport()?)
            .max_tls_tickets(0)
            .ca_tls_config(tls)
            .portmapper_config(PortmapperConfig::Disabled)
            .net_report_config(probes)
            .relay_mode(RelayMode::Custom(RelayMap::empty()));
        if hidden {
            builder = builder.clear_ip_transports();
        }
        if let Some(port) = self.port().filter(|_| !hidden) {
            for address in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
                // A host may have no IPv6, or somebody else the port there.
                let options = BindOpts::default().set_is_required(address.is_ipv4());
                let bound = builder.bind_addr_with_opts(SocketAddr::new(address, port), options);
                builder = bound.map_err(|error| failed(&error))?;
            }
        }
        builder.bind().await.map_err(|error| failed(&error))
    }
}

/// Bounds of a connection (S30), and no more than that: the rest is iroh's, which its way through NAT depends on.
fn transport() -> Result<QuicTransportConfig, PeerError> {
    let window = VarInt::from_u32(u32::try_from(PEER_WINDOW).unwrap_or(u32::MAX));
    let half = VarInt::from_u32(u32::try_from(PEER_WINDOW / 2).unwrap_or(u32::MAX));
    let idle = IdleTimeout::try_from(PEER_IDLE).map_err(|error| PeerError::Endpoint(error.to_string()))?;
    Ok(QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(PEER_STREAMS - 1))
        // One stream that is not read must not stop the others.
        .stream_receive_window(half)
        .receive_window(window)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(PEER_KEEP_ALIVE)
        .datagram_receive_buffer_size(None)
        .build())
}

/// Takes connections; each goes to the session that expects its endpoint, all others are closed at once (S28).
async fn accept(endpoint: Endpoint, expected: Arc<Expected>) {
    let handshakes = Arc::new(Semaphore::new(PEER_HANDSHAKES));
    while let Some(incoming) = endpoint.accept().await {
        // An address that nobody told of is proven by QUIC Retry before more is said to it or kept for it (RFC 9000 section 8.1.2): noq, while
        // anything is left of three times what came, sends a whole datagram. The relay knows whom it lets in. Of many each is asked.
        let known = match incoming.remote_addr() {
            IncomingAddr::Ip(address) => expected.knows(address),
            _ => true,
        };
        let many = handshakes.available_permits() < PEER_HANDSHAKES / 2;
        if (many || !known) && !incoming.remote_addr_validated() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().ignore();
            }
            continue;
        }
        let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
            incoming.ignore();
            continue;
        };
        let expected = Arc::clone(&expected);
        tokio::spawn(async move {
            let met = tokio::time::timeout(PEER_HELLO_WITHIN, meet(incoming)).await;
            drop(permit);
            if let Ok(Some(connection)) = met {
                pass_on(connection, &expected);
            }
        });
    }
}

async fn meet(incoming: Incoming) -> Option<Connection> {
    match incoming.await {
        Ok(quic) => Some(Connection { quic, dialled: false }),
        Err(error) => {
            tracing::debug!(%error, "a peer's handshake failed");
            None
        }
    }
}

fn pass_on(connection: Connection, expected: &Expected) {
    let session = expected.lock().get(&connection.endpoint()).map(|door| door.to.clone());
    let refused = match session {
        Some(session) => session.try_send(connection).map_err(|error| error.into_inner()),
        None => Err(connection),
    };
    if let Err(stranger) = refused {
        tracing::debug!("a connection without a session was closed");
        stranger.close(Bye::UNKNOWN);
    }
}

/// An endpoint.
pub struct Place {
    endpoint: Endpoint,
    /// It has no addresses.
    pub hidden: bool,
    /// Its secret key, to be kept while a session needs it.
    pub secret: [u8; 32],
    pins: Pins,
}

impl Drop for Place {
    /// Nobody needs it: what came to it is told, and its socket is closed.
    fn drop(&mut self) {
        let endpoint = self.endpoint.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { endpoint.close().await });
        }
    }
}

impl Place {
    /// Its key.
    pub fn id(&self) -> [u8; 32] {
        *self.endpoint.id().as_bytes()
    }

    /// Where it is reached directly; none where it is hidden.
    pub async fn addresses(&self) -> Vec<SocketAddr> {
        if self.hidden {
            return Vec::new();
        }
        let mut watcher = self.endpoint.watch_addr();
        let found = async {
            use ::iroh::Watcher as _;
            loop {
                let known: BTreeSet<SocketAddr> = watcher.get().ip_addrs().copied().collect();
                if !known.is_empty() || watcher.updated().await.is_err() {
                    return known;
                }
            }
        };
        let known = tokio::time::timeout(ADDRESSES_WITHIN, found).await.unwrap_or_default();
        known.into_iter().filter(|address| !address.ip().is_unspecified()).take(PEER_ADDRESSES_MAX).collect()
    }

    /// From now on the relay may be used, by this ticket.
    pub async fn use_relay(&self, relay: &Relay, ticket: &str) {
        self.pins.add(relay.certificate);
        let Some(url) = url(relay) else { return };
        let quic = RelayQuicConfig::new(relay.address.port());
        let config = RelayConfig::new(url.clone(), Some(quic)).with_auth_token(ticket);
        self.endpoint.insert_relay(url, Arc::new(config)).await;
    }

    /// The relay is needed no more.
    pub async fn leave_relay(&self, relay: &Relay) {
        if let Some(url) = url(relay) {
            self.endpoint.remove_relay(&url).await;
        }
    }

    /// Connects to a peer.
    pub async fn connect(&self, target: &Target) -> Result<Connection, PeerError> {
        let id = EndpointId::from_bytes(&target.endpoint).map_err(|error| PeerError::NotReached(error.to_string()))?;
        let direct = target.addresses.iter().filter(|_| !self.hidden).map(|address| TransportAddr::Ip(*address));
        let relay = target.relay.as_ref().and_then(url).map(TransportAddr::Relay);
        let address = EndpointAddr::from_parts(id, direct.chain(relay));
        let connected = self.endpoint.connect(address, ALPN).await;
        match connected {
            Ok(quic) => Ok(Connection { quic, dialled: true }),
            Err(error) => Err(PeerError::NotReached(error.to_string())),
        }
    }
}

/// A relay's name is its address: nothing is looked up.
fn url(relay: &Relay) -> Option<RelayUrl> {
    format!("https://{}", relay.address).parse().ok()
}

/// One QUIC connection; cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    quic: Quic,
    /// This side made it.
    pub dialled: bool,
}

impl Connection {
    /// The key of the peer's endpoint.
    pub fn endpoint(&self) -> [u8; 32] {
        *self.quic.remote_id().as_bytes()
    }

    /// 32 bytes that only the two ends know.
    pub fn exporter(&self) -> Result<[u8; 32], PeerError> {
        let mut out = [0; 32];
        let made = self.quic.export_keying_material(&mut out, EXPORTER_LABEL, &[]);
        made.map(|()| out).map_err(|_| PeerError::Unproven("no exporter"))
    }

    /// The stream of the conversation: opened by who dialled.
    pub async fn conversation(&self) -> Result<(SendStream, RecvStream), PeerError> {
        let opened = if self.dialled { self.quic.open_bi().await } else { self.quic.accept_bi().await };
        opened.map_err(|error| closed(&error))
    }

    /// A stream for bytes of a file.
    pub async fn open_bytes(&self) -> Result<SendStream, PeerError> {
        self.quic.open_uni().await.map_err(|error| closed(&error))
    }

    /// The next stream with bytes of a file.
    pub async fn accept_bytes(&self) -> Result<RecvStream, PeerError> {
        self.quic.accept_uni().await.map_err(|error| closed(&error))
    }

    /// Ends it, with a reason of [`Bye`].
    pub fn close(&self, reason: u32) {
        self.quic.close(VarInt::from_u32(reason), b"");
    }

    /// Why it has ended, if the peer ended it.
    pub fn close_reason(&self) -> Option<PeerError> {
        self.quic.close_reason().map(|error| closed(&error)).filter(|error| matches!(error, PeerError::Closed(_)))
    }

    /// Comes true when it has ended.
    pub async fn ended(&self) -> PeerError {
        closed(&self.quic.closed().await)
    }

    /// How it goes now; nothing before a path is chosen.
    pub fn path(&self) -> Option<PathInfo> {
        let paths = self.quic.paths();
        // A connection that takes the place of a dead one has an open path some time before that is said to be selected.
        let path = paths.iter().find(::iroh::endpoint::Path::is_selected).or_else(|| paths.iter().next())?;
        let direct = match path.remote_addr() {
            TransportAddr::Ip(address) => Some(*address),
            _ => None,
        };
        Some(PathInfo { direct, rtt_us: u64::try_from(path.rtt().as_micros()).unwrap_or(u64::MAX) })
    }

    /// Comes true when the path may have changed; never when the connection is over.
    pub async fn path_changed(&self, events: &mut PathEventStream) {
        use n0_future::StreamExt as _;
        if events.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// For [`Connection::path_changed`].
    pub fn path_events(&self) -> PathEventStream {
        self.quic.path_events()
    }
}

/// What an ended connection says of its end.
fn closed(error: &ConnectionError) -> PeerError {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            PeerError::Closed(u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX))
        }
        ConnectionError::TimedOut => PeerError::TimedOut,
        other => PeerError::NotReached(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_configured_port_is_used_though_there_is_no_ipv6() {
        // Another program may take a port between two looks at it; not twenty times.
        let mut bound = Vec::new();
        for _ in 0..20 {
            // Taken there by somebody else, which is as good as none; where there is none, any port will do.
            let taken = std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0));
            let port = match &taken {
                Ok(taken) => taken.local_addr(),
                Err(_) => std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()),
            };
            let port = port.expect("bound").port();
            let place = Peers::new(port, [None; 2]).place(false).await.expect("an endpoint");
            bound = place.endpoint.bound_sockets();
            if bound.iter().any(|address| address.is_ipv4() && address.port() == port) {
                return;
            }
        }
        panic!("another port was taken: {bound:?}");
    }
}

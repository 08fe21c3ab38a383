//! The relay: carries what two endpoints say to each other when no direct path is found. It sees ciphertext alone, admits by
//! tickets of devices that may log in, and asks nobody outside for anything.
//!
//! The relay protocol is iroh's ([`RelayService`]). Ours is everything before it: listening, TLS with the server's own certificate,
//! and how many may knock at once, as for the chat port (S4, S5).

mod admission;
mod connection;
mod discovery;
mod expulsion;

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, RwLock};

use iroh_relay::KeyCache;
use iroh_relay::server::http_server::{Handlers, RelayService};
use iroh_relay::server::{ClientRateLimit, Metrics};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::ticket::Tickets;
use crate::StartError;
use crate::certificate::Served;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::listen::RelayPlace;
use crate::settings::Live;
use crate::store::Store;
use crate::sync::{lock, read};
use admission::{Admission, LookUp};

/// Parsed keys of endpoints that are kept: 56 bytes each, and a key is parsed with every frame that is not from the last one.
const KEYS_KEPT: usize = 16_384;

/// Ports that are tried where any may be taken.
const PORTS_TRIED: u32 = 16;

/// The relay of this server.
pub struct Relay {
    port: u16,
    admission: Arc<Admission>,
    service: RelayService,
    counted: Arc<Metrics>,
    tls: Arc<ServerConfig>,
    /// Taken once, by the tasks that serve.
    listening: Mutex<Option<(TcpListener, noq::Endpoint)>>,
}

/// What a relay did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Connections now.
    pub connections: u64,
    /// Bytes that it was given to pass on.
    pub bytes: u64,
    /// Connections that it did not admit.
    pub refused: u64,
}

impl Relay {
    /// Listens: TCP, and UDP on the same port for address discovery.
    pub fn listen(
        place: RelayPlace,
        config: &Config,
        served: &Arc<RwLock<Served>>,
        tickets: Arc<Tickets>,
        look_up: LookUp,
        clock: Clock,
        live: Arc<Live>,
    ) -> Result<Relay, StartError> {
        let tls = tls(served)?;
        let (port, listening) = match place {
            RelayPlace::Bind(address) => both(address, &tls)?,
            RelayPlace::Handed(tcp, udp) => handed(tcp, udp, &tls)?,
        };
        let admission = Arc::new(Admission::new(tickets, look_up, clock, live));
        let counted = Arc::new(Metrics::default());
        let service = RelayService::new(
            Handlers::default(),
            hyper::HeaderMap::new(),
            rate(config),
            KeyCache::new(KEYS_KEPT),
            Arc::clone(&admission) as _,
            Arc::clone(&counted),
        );
        let listening = Mutex::new(Some(listening));
        Ok(Relay { port, admission, service, counted, tls: Arc::new(tls), listening })
    }

    /// The port, of TCP and of UDP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that are admitted.
    pub fn connections(&self) -> usize {
        self.admission.count()
    }

    /// What it did so far.
    pub fn carried(&self) -> Carried {
        Carried {
            connections: self.connections() as u64,
            bytes: self.counted.bytes_recv.get(),
            refused: self.admission.refused(),
        }
    }

    /// The configuration was read anew; another address needs a restart.
    pub fn configured(&self, config: &Config) {
        self.service.set_client_rate_limit(rate(config));
    }

    /// Starts the tasks that serve, once.
    pub fn serve<S: Store>(&self, gateway: &Arc<Gateway<S>>) {
        let taken = lock(&self.listening).take();
        let Some((tcp, udp)) = taken else { return };
        tracing::info!(port = self.port, "the relay for private sessions listens, over TCP and UDP");
        let shutdown = &gateway.shutdown;
        shutdown.spawn(connection::serve(Arc::clone(gateway), tcp, self.door()));
        shutdown.spawn(discovery::serve(udp, shutdown.clone()));
        let (service, admission) = (self.service.clone(), Arc::clone(&self.admission));
        shutdown.spawn(expulsion::serve(Arc::clone(gateway), service, admission));
    }

    fn door(&self) -> connection::Door {
        connection::Door {
            service: self.service.clone(),
            admission: Arc::clone(&self.admission),
            tls: Arc::clone(&self.tls).into(),
        }
    }
}

/// The two that the service manager has bound.
fn handed(
    tcp: TcpListener,
    udp: UdpSocket,
    tls: &ServerConfig,
) -> Result<(u16, (TcpListener, noq::Endpoint)), StartError> {
    let address = tcp.local_addr().map_err(|error| StartError::Relay(error.to_string()))?;
    let udp = discovery::serve_at(udp, tls).map_err(|error| StartError::Listen { address, error })?;
    Ok((address.port(), (tcp, udp)))
}

/// TCP and UDP on the same port. Where any port may be taken, one that is free for both is tried for.
fn both(address: SocketAddr, tls: &ServerConfig) -> Result<(u16, (TcpListener, noq::Endpoint)), StartError> {
    let listen = || {
        let refused = |error| StartError::Listen { address, error };
        let tcp = chat_link::listen(address).map_err(refused)?;
        // The address as it is: any port was asked for, or the host has no IPv6.
        let bound = tcp.local_addr().map_err(refused)?;
        let udp = discovery::listen(bound, tls).map_err(refused)?;
        Ok((bound.port(), (tcp, udp)))
    };
    let mut tries = if address.port() == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries -= 1;
        match listen() {
            Err(StartError::Listen { .. }) if tries > 0 => {}
            done => return done,
        }
    }
}

/// Bytes a second that are taken from one connection.
fn rate(config: &Config) -> Option<ClientRateLimit> {
    let bytes = u32::try_from(config.keys.limits.relay_bytes_per_second.0).unwrap_or(u32::MAX);
    NonZeroU32::new(bytes).map(ClientRateLimit::new)
}

/// TLS as the relay and its address discovery serve it: the server's certificate as it is at each handshake.
fn tls(served: &Arc<RwLock<Served>>) -> Result<ServerConfig, StartError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = ServerConfig::builder_with_provider(provider.into()).with_protocol_versions(&[&version::TLS13]);
    let builder = builder.map_err(|error| StartError::Relay(error.to_string()))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(AsServed(Arc::clone(served))));
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The certificate that the chat port serves, also after it was read anew.
#[derive(Debug)]
struct AsServed(Arc<RwLock<Served>>);

impl ResolvesServerCert for AsServed {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let resolver = Arc::clone(&read(&self.0).tls.cert_resolver);
        resolver.resolve(hello)
    }
}

//! Address discovery: an endpoint connects by QUIC and is told from which address it comes, as others see it (the observed address
//! extension). That is all: no streams, nothing is remembered, nobody is asked who he is.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use chat_process::shutdown::Shutdown;
use chat_proto::limits::{DISCOVERIES, DISCOVERIES_PER_SOURCE, DISCOVERY_HANDSHAKES};
use iroh_relay::quic::{ALPN_QUIC_ADDR_DISC, QUIC_ADDR_DISC_CLOSE_CODE, QUIC_ADDR_DISC_CLOSE_REASON};
use noq::crypto::rustls::QuicServerConfig;
use noq::{Endpoint, EndpointConfig, Incoming, TokioRuntime, TransportConfig, VarInt};
use tokio::sync::Semaphore;

use crate::places::Places;
use crate::source::Source;

/// A handshake that takes longer is none.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// An endpoint that says nothing for so long is gone; iroh's own keep-alives are shorter.
const IDLE: Duration = Duration::from_secs(60);

/// Listens at an address.
pub fn listen(address: SocketAddr, tls: &rustls::ServerConfig) -> io::Result<Endpoint> {
    Endpoint::server(config(tls)?, address)
}

/// Takes a socket that is bound. Must be called within a runtime.
pub fn serve_at(socket: UdpSocket, tls: &rustls::ServerConfig) -> io::Result<Endpoint> {
    socket.set_nonblocking(true)?;
    Endpoint::new(EndpointConfig::default(), Some(config(tls)?), socket, Arc::new(TokioRuntime))
}

fn config(tls: &rustls::ServerConfig) -> io::Result<noq::ServerConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![ALPN_QUIC_ADDR_DISC.to_vec()];
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = noq::ServerConfig::with_crypto(Arc::new(crypto));
    config.max_incoming(DISCOVERY_HANDSHAKES);
    let mut transport = TransportConfig::default();
    let none = VarInt::from_u32(0);
    transport.max_concurrent_uni_streams(none).max_concurrent_bidi_streams(none).send_observed_address_reports(true);
    transport.datagram_receive_buffer_size(None);
    transport.max_idle_timeout(IDLE.try_into().ok());
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Answers until the shutdown begins.
pub async fn serve(endpoint: Endpoint, shutdown: Shutdown) {
    let handshakes = Arc::new(Semaphore::new(DISCOVERY_HANDSHAKES));
    let here = Places::new(DISCOVERIES, DISCOVERIES_PER_SOURCE);
    loop {
        let incoming = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        // An address is proven by QUIC Retry before more is said to it or kept for it (RFC 9000 section 8.1.2): noq, while anything is left
        // of three times what came, sends a whole datagram.
        if !incoming.remote_address_validated() {
            // One that cannot be asked is a nuisance; it tries again.
            let _ = incoming.retry();
            continue;
        }
        let place = here.admit(Source::of(incoming.remote_address().ip()));
        let (Some(place), Ok(handshake)) = (place, Arc::clone(&handshakes).try_acquire_owned()) else {
            incoming.refuse();
            continue;
        };
        tokio::spawn(async move {
            answer(incoming, handshake).await;
            drop(place);
        });
    }
    endpoint.close(QUIC_ADDR_DISC_CLOSE_CODE, QUIC_ADDR_DISC_CLOSE_REASON);
}

async fn answer(incoming: Incoming, handshake: tokio::sync::OwnedSemaphorePermit) {
    let connected = tokio::time::timeout(HANDSHAKE_WITHIN, incoming).await;
    drop(handshake);
    if let Ok(Ok(connection)) = connected {
        // It is told by the transport itself, now and when its address changes.
        connection.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_source_has_its_share_and_all_have_theirs() {
        let here = Places::new(DISCOVERIES, DISCOVERIES_PER_SOURCE);
        let source = |n: usize| Source::of(Ipv4Addr::from(u32::try_from(n).unwrap()).into());
        let mut places: Vec<_> = (0..DISCOVERIES_PER_SOURCE).map(|_| here.admit(source(0)).unwrap()).collect();
        assert!(here.admit(source(0)).is_none());
        for n in 1..DISCOVERIES / DISCOVERIES_PER_SOURCE {
            places.extend((0..DISCOVERIES_PER_SOURCE).map(|_| here.admit(source(n)).unwrap()));
        }
        assert!(here.admit(source(1_000_000)).is_none(), "all places are taken");
        places.pop();
        assert!(here.admit(source(1_000_000)).is_some());
        drop(places);
        assert_eq!(here.sources(), 0);
    }
}

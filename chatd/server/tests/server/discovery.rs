//! The relay's UDP port, where an endpoint learns from which address it comes: by a real client, and S13.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chat_proto::limits::DISCOVERIES_PER_SOURCE;
use iroh_relay::quic::QuicClient;
use n0_future::StreamExt as _;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::SOON;
use crate::relay::{Place, tls};

/// Who said something and is silent for so long has said all: longer than the first repetitions of a handshake are apart.
const QUIET: Duration = Duration::from_secs(2);

/// Somebody who asks, by the library that chatd uses, and his address.
fn client(place: &Place, provider: CryptoProvider) -> (QuicClient, SocketAddr) {
    let socket = noq::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let own = socket.local_addr().unwrap();
    (QuicClient::new(socket, tls(place.certificate()).client_config(Arc::new(provider)).unwrap()), own)
}

/// Asks, and is told the own address.
async fn is_told(place: &Place) {
    let (client, own) = client(place, default_provider());
    let connection = timeout(SOON, client.create_conn(place.address(), "localhost")).await.unwrap().unwrap();
    let mut observed = connection.observed_external_addr();
    // The first item is what was told by now, or the next that is.
    assert_eq!(timeout(SOON, observed.next()).await.unwrap(), Some(own));
}

/// First datagrams of so many handshakes, each a connection of its own with its whole hello; the server got none of them.
async fn first_flights(place: &Place, wanted: usize) -> Vec<Vec<u8>> {
    // A key share that fits into one datagram.
    let small = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let (client, nobody) = (Arc::new(client(place, small).0), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let at = nobody.local_addr().unwrap();
    let mut tries = JoinSet::new();
    for _ in 0..wanted {
        let client = Arc::clone(&client);
        tries.spawn(async move { client.create_conn(at, "localhost").await.is_ok() });
    }
    let (mut flights, mut known, mut buffer) = (Vec::new(), HashSet::new(), [0; 2048]);
    while flights.len() < wanted {
        let (size, _) = timeout(SOON, nobody.recv_from(&mut buffer)).await.unwrap().unwrap();
        let datagram = buffer[..size].to_vec();
        // A long header: form, version, then the length of the connection's id and the id.
        if datagram[0] & 0xf0 == 0xc0 && known.insert(datagram[6..6 + usize::from(datagram[5])].to_vec()) {
            flights.push(datagram);
        }
    }
    flights
}

/// What comes back to one that never answers, until nothing does.
async fn answers(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let (mut all, mut buffer, mut patience) = (Vec::new(), [0; 2048], SOON);
    while let Ok(Ok(size)) = timeout(patience, socket.recv(&mut buffer)).await {
        all.push(buffer[..size].to_vec());
        patience = QUIET;
    }
    all
}

#[tokio::test]
async fn an_endpoint_is_told_the_address_that_it_comes_from() {
    is_told(&Place::with("").await).await;
}

/// What an address is sent that did not prove to be its sender's is less than what came from it; RFC 9000, section 8.1, allows three
/// times as much.
#[tokio::test]
async fn s13_a_stranger_at_the_udp_port_gets_little() {
    let place = Place::with("").await;
    let flights = first_flights(&place, DISCOVERIES_PER_SOURCE + 16).await;
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for flight in &flights {
        stranger.send_to(flight, place.address()).await.unwrap();
    }
    // Others of the same source are served beside all these: they keep no place.
    is_told(&place).await;
    let answers = answers(&stranger).await;
    let retries = answers.iter().filter(|answer| answer[0] & 0xf0 == 0xf0).count();
    assert!(retries > 0 && retries == answers.len(), "{retries} of {} ask for a proof", answers.len());
    let [got, sent] = [&answers, &flights].map(|all| all.iter().map(Vec::len).sum::<usize>());
    assert!(got <= sent, "{got} bytes for {sent}");
}

//! S13: what comes to chatd's UDP port from anybody: noise, damaged handshakes, and more handshakes than anybody needs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chat_proto::limits::PEER_HANDSHAKES;
use chat_proto::peer::ALPN;
use chat_tests::Rng;
use iroh::{EndpointAddr, EndpointId, TransportAddr};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::peer::{Foe, Session, agreed, endpoint};
use crate::victim::{Pair, world};

/// Who said something and is silent for so long has said all.
pub const QUIET: Duration = Duration::from_secs(2);

/// Datagrams of each kind; 100,000 and more where asked for.
fn count() -> usize {
    std::env::var("CHAT_DATAGRAMS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket")
}

/// First datagrams of so many real handshakes with this endpoint, each by a connection of its own; none was sent to it.
async fn first_flights(wanted: usize, id: &[u8]) -> Vec<Vec<u8>> {
    let (from, nobody) = (endpoint().await, socket().await);
    let id = EndpointId::from_bytes(id.try_into().expect("32 bytes")).expect("a key");
    let at = EndpointAddr::from_parts(id, [TransportAddr::Ip(nobody.local_addr().expect("bound"))]);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..wanted {
        let (from, at) = (from.clone(), at.clone());
        tries.spawn(async move { from.connect(at, ALPN).await.is_ok() });
    }
    let (mut flights, mut known) = (Vec::new(), std::collections::HashSet::new());
    let mut buffer = [0; 2048];
    while flights.len() < wanted {
        let (size, _) = timeout(crate::account::SOON, nobody.recv_from(&mut buffer)).await.expect("soon").expect("one");
        let datagram = buffer[..size].to_vec();
        // a long header: form, version, then the length of the connection's id and the id
        let id = datagram.get(6..6 + usize::from(datagram[5])).map(<[u8]>::to_vec);
        if datagram[0] & 0xf0 == 0xc0 && known.insert(id) {
            flights.push(datagram);
        }
    }
    flights
}

/// The UDP port of the victim, on this machine.
pub fn target(session: &Session) -> SocketAddr {
    let addresses = session.at.addresses.iter().filter_map(|address| address.parse::<SocketAddr>().ok());
    let v4 = addresses.filter(SocketAddr::is_ipv4).collect::<Vec<_>>();
    SocketAddr::from((Ipv4Addr::LOCALHOST, v4.first().expect("an address").port()))
}

/// What comes back to a socket that never answers, until nothing does: datagrams. The first may take long on a busy machine.
async fn answers(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let (mut all, mut buffer, mut patience) = (Vec::new(), [0; 2048], crate::account::SOON);
    while let Ok(Ok(size)) = timeout(patience, socket.recv(&mut buffer)).await {
        all.push(buffer[..size].to_vec());
        patience = QUIET;
    }
    all
}

fn bytes(datagrams: &[Vec<u8>]) -> usize {
    datagrams.iter().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s13_noise_and_damaged_handshakes_change_nothing() {
    let (_world, pair, foe, session) = agreed().await;
    let (at, flights) = (target(&session), first_flights(8, &session.at.endpoint_id).await);
    let (socket, mut rng) = (socket().await, Rng::from_environment());
    let before = pair.bob.memory();
    for n in 0..count() {
        let mut noise: Vec<u8> =
            (0..1 + rng.below(1_400)).map(|_| u8::try_from(rng.below(256)).expect("a byte")).collect();
        if n % 2 == 0 {
            // looks like the start of something: a long header, of this version or another one
            noise[0] |= 0xc0;
            let version = if n % 4 == 0 { 1_u32 } else { 0x0a0a_0a0a };
            noise.iter_mut().skip(1).zip(version.to_be_bytes()).for_each(|(byte, own)| *byte = own);
        }
        let _ = socket.send_to(&noise, at).await;
    }
    for n in 0..count() {
        let mut damaged = flights[n % flights.len()].clone();
        for _ in 0..1 + rng.below(8) {
            let place = usize::try_from(rng.below(damaged.len() as u64)).expect("small");
            damaged[place] ^= 1 << rng.below(8);
        }
        if n % 5 == 0 {
            damaged.truncate(usize::try_from(rng.below(damaged.len() as u64)).expect("small"));
        }
        let _ = socket.send_to(&damaged, at).await;
    }
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < 32 * 1024, "chatd grew by {grown} KiB");
    foe.meets(&session, &pair.bob).await;
    pair.goes_on("after noise");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s13_an_address_that_is_not_proven_gets_little() {
    let (_world, pair, foe, session) = agreed().await;
    let (at, socket) = (target(&session), socket().await);
    let flights = first_flights(PEER_HANDSHAKES, &session.at.endpoint_id).await;
    let before = pair.bob.memory();
    for flight in &flights {
        socket.send_to(flight, at).await.expect("sent");
    }
    // others are served beside all these
    foe.meets(&session, &pair.bob).await;
    let answers = answers(&socket).await;
    let retries = answers.iter().filter(|answer| answer[0] & 0xf0 == 0xf0).count();
    assert!(
        retries > 0 && retries == answers.len(),
        "each must prove its address first: {retries} of {}",
        answers.len()
    );
    assert!(bytes(&answers) <= bytes(&flights), "{} bytes for {}", bytes(&answers), bytes(&flights));
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < 1024 * PEER_HANDSHAKES as u64 / 2, "chatd grew by {grown} KiB");
    pair.goes_on("beside handshakes");
}

/// The id that a long header speaks to, and the one that it speaks from.
fn ids(datagram: &[u8]) -> (&[u8], &[u8]) {
    let (to, rest) = datagram[6..].split_at(usize::from(datagram[5]));
    (to, &rest[1..1 + usize::from(rest[0])])
}

/// Whoever comes from an address that it told of is heard at once: chatd speaks to that address anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s13_an_address_that_was_told_of_need_not_be_proven() {
    let mut world = world();
    let (pair, socket) = (Pair::new(&mut world), socket().await);
    let mut foe = Foe::new(&world, "mallory").await;
    foe.also_at.push(socket.local_addr().expect("bound").to_string());
    let session = foe.consented(&pair.bob).await;
    let flights = first_flights(1, &session.at.endpoint_id).await;
    let own = ids(&flights[0]).1;
    socket.send_to(&flights[0], target(&session)).await.expect("sent");
    // beside what chatd says by itself to an address of its peer
    let answers: Vec<_> =
        answers(&socket).await.into_iter().filter(|answer| answer[0] & 0x80 != 0 && ids(answer).0 == own).collect();
    assert!(!answers.is_empty() && answers.iter().all(|answer| answer[0] & 0xf0 != 0xf0), "{answers:?}");
}

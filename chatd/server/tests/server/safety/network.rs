//! Attackers without an account (S1 to S8; S6 is in `memory.rs`).

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_proto::limits;
use chat_proto::version::ALPN;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::program::Program;
use crate::client::{Client, Device, SOON, try_link};
use crate::world::World;

/// A client of some TLS 1.3 library that trusts the server's certificate.
pub fn tls(world: &World, protocols: &[&[u8]]) -> ClientConnection {
    let chain = std::fs::read(&world.config().cert).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&chain).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(default_provider().into()).with_safe_default_protocol_versions();
    let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.enable_early_data = true;
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Drives a connection until the server hangs up; how long that took.
fn until_closed(world: &World, mut tls: ClientConnection) -> (ClientConnection, Duration) {
    let began = Instant::now();
    let mut socket = StdStream::connect(world.address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut sink = [0; 1024];
    loop {
        match rustls::Stream::new(&mut tls, &mut socket).read(&mut sink) {
            Ok(0) | Err(_) => return (tls, began.elapsed()),
            Ok(_) => {}
        }
    }
}

/// A TCP connection from this address of the loopback network.
pub async fn from(source: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, source), 0).into())?;
    socket.connect(to).await
}

/// The same server, reached from this address of the loopback network: for one connection after the other.
pub async fn world_from(source: u8, world: &World) -> World {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (between, server) = (listener.local_addr().unwrap(), world.address);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            // Dropped where the server does not take it.
            if let Ok(mut onward) = from(source, server).await {
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut onward).await });
            }
        }
    });
    world.at(between)
}

/// Whether the server hung up by now, or within some time.
pub async fn hangs_up(socket: &mut TcpStream, within: Duration) -> bool {
    let mut sink = [0; 1024];
    let gone = async { while matches!(socket.read(&mut sink).await, Ok(n) if n > 0) {} };
    tokio::time::timeout(within, gone).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_another_protocol_is_closed_at_once() {
    let world = World::start().await;
    for protocols in [&[][..], &[&b"h2"[..]], &[&b"chat/999"[..], &b"http/1.1"[..]]] {
        let (tls, took) = tokio::task::block_in_place(|| until_closed(&world, tls(&world, protocols)));
        assert!(took < limits::HANDSHAKE_WITHIN / 2, "{protocols:?}: {took:?}, at once and not when its time is over");
        assert_ne!(tls.alpn_protocol(), Some(ALPN));
    }
}

/// A flood of garbage from one source is at most a line a second.
#[tokio::test]
async fn s01_noise_does_not_flood_the_log() {
    let program = Program::start("").await;
    let began = Instant::now();
    for _ in 0..200 {
        let mut socket = from(2, program.world.address).await.unwrap();
        let _ = socket.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
        assert!(hangs_up(&mut socket, limits::HANDSHAKE_WITHIN / 2).await);
    }
    let lines = program.logged("127.0.0.2:").await.lines().filter(|line| line.contains(" 127.0.0.2:")).count() as u64;
    assert!(lines <= began.elapsed().as_secs() + 2, "{lines} lines in {:?}", began.elapsed());
}

/// No tickets, so nothing to resume and no early data; and what was recorded means nothing to another connection.
#[tokio::test(flavor = "multi_thread")]
async fn s03_nothing_can_be_replayed() {
    let world = World::start().await;
    let mut bob = world.user("bob").await;
    let alice = world.user("alice").await;
    // What alice's client sends, byte for byte, kept by somebody in between.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (between, server) = (listener.local_addr().unwrap(), world.address);
    let recorder = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut record = Vec::new();
        let recording = async {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
                record.extend_from_slice(&buffer[..n]);
                to_server.write_all(&buffer[..n]).await.unwrap();
            }
        };
        tokio::select! {
            () = recording => {}
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        }
        record
    });
    let mut through = world.at(between);
    let mut again = Client::connect_as(&through, alice.device.clone()).await;
    again.by_key("alice").await.unwrap();
    again.hello().await;
    again.text("bob", "once").await;
    drop(again);
    through.address = server;
    let record = recorder.await.unwrap();
    let mut replay = TcpStream::connect(server).await.unwrap();
    let _ = replay.write_all(&record).await;
    assert!(hangs_up(&mut replay, limits::HANDSHAKE_WITHIN).await);
    alice_says_more(&world, alice.device).await;
    assert_eq!(bob.read().await.1, "once");
    assert_eq!(bob.read().await.1, "more", "the recorded message came once");
    let (tls, _) = tokio::task::block_in_place(|| until_closed(&world, tls(&world, &[ALPN])));
    assert_eq!(tls.tls13_tickets_received(), 0);
    assert!(!tls.is_early_data_accepted());
}

async fn alice_says_more(world: &World, device: Device) {
    let mut alice = Client::connect_as(world, device).await;
    alice.by_key("alice").await.unwrap();
    alice.hello().await;
    alice.text("bob", "more").await;
}

/// Silence, a stalled handshake, a byte now and then: dropped after ten seconds, whatever drips.
#[tokio::test]
async fn s04_a_stalled_handshake_is_dropped() {
    let world = World::start().await;
    let mut tasks = JoinSet::new();
    for (bytes, drips) in [(&b""[..], false), (&[0x16, 3, 1], false), (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], true)]
    {
        let address = world.address;
        tasks.spawn(async move {
            let began = Instant::now();
            let mut socket = TcpStream::connect(address).await.unwrap();
            for byte in bytes {
                socket.write_all(&[*byte]).await.unwrap();
            }
            while !hangs_up(&mut socket, Duration::from_secs(1)).await && began.elapsed() < 2 * limits::AUTH_WITHIN {
                // One more of the hello that the first bytes claim.
                if drips {
                    let _ = socket.write_all(&[0]).await;
                }
            }
            (began.elapsed(), bytes)
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (took, bytes) = done.unwrap();
        // Nearer to the time for a handshake than to that for a login.
        let due = limits::HANDSHAKE_WITHIN..(limits::HANDSHAKE_WITHIN + limits::AUTH_WITHIN) / 2;
        assert!(due.contains(&took), "{took:?} after {bytes:?}");
    }
}

/// A flood from many sources takes the places that strangers have, and none of those who are logged in.
#[tokio::test]
async fn s05_a_flood_of_connections_leaves_sessions_alone() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let mut flood = Vec::new();
    for n in 0..40 * limits::STRANGERS_PER_SOURCE {
        if let Ok(socket) = from(10 + (n % 40) as u8, world.address).await {
            flood.push(socket);
        }
    }
    let mut held = 0;
    for socket in &mut flood {
        held += usize::from(!hangs_up(socket, Duration::from_millis(1)).await);
    }
    assert!(held <= limits::STRANGERS_MAX, "{held} strangers");
    assert!(held >= limits::STRANGERS_MAX / 2, "{held}: half of the places are free to all");
    assert_eq!(alice.text("bob", "meanwhile").await.code, 0);
    assert_eq!(bob.read().await.1, "meanwhile");
    drop(flood);
    let back = async { while try_link(&world).await.is_err() {} };
    tokio::time::timeout(SOON, back).await.expect("places are free again");
}

/// Without descriptors the server waits, does not spin, and goes on within a second of there being some.
#[tokio::test]
async fn s07_no_descriptors_is_no_busy_loop() {
    let program = Program::start("").await;
    let mut alice = program.world.user("alice").await;
    let pid = Pid::from_raw(program.pid().cast_signed());
    let limit = |soft| Rlimit { current: Some(soft), maximum: Some(20_000) };
    let given = prlimit(pid, Resource::Nofile, limit(program.next_descriptor())).unwrap();
    let waiting: Vec<_> = futures_of(program.world.address, 5).await;
    program.logged("cannot accept a connection").await;
    let (cpu, began) = (program.cpu(), Instant::now());
    // So long that waits which grew without end would be seen below.
    while began.elapsed() < Duration::from_secs(6) {
        alice.barrier().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let used = (program.cpu() - cpu) / began.elapsed().as_secs_f64();
    assert!(used < 0.05, "{:.1} % of a core", used * 100.0);
    let failures = program.log().matches("cannot accept a connection").count();
    assert!(failures < 20, "{failures} lines");
    prlimit(pid, Resource::Nofile, given).unwrap();
    let free = Instant::now();
    tokio::time::timeout(SOON, async { while try_link(&program.world).await.is_err() {} }).await.unwrap();
    // A wait is two thirds of a second at most; a slow machine has some more.
    assert!(free.elapsed() <= Duration::from_secs(3), "{:?}", free.elapsed());
    drop(waiting);
}

async fn futures_of(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        sockets.push(TcpStream::connect(address).await.unwrap());
    }
    sockets
}

/// 20,000 failed connections, or as many as `CHAT_CONNECTIONS` says, leave nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn s08_failed_connections_leave_no_memory() {
    let wanted = std::env::var("CHAT_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let program = Program::start("").await;
    fail(&program, 4_000).await;
    let before = program.anonymous();
    fail(&program, wanted).await;
    let grown = program.anonymous().saturating_sub(before);
    assert!(grown < 5 << 20, "{grown} bytes after {wanted} connections");
    program.world.user("alice").await;
}

/// Connections that fail in every way: silence, garbage, half a handshake, TLS without a login.
async fn fail(program: &Program, count: usize) {
    let mut tasks = JoinSet::new();
    for source in 2..10_u8 {
        let address = program.world.address;
        tasks.spawn(async move {
            for n in 0..count / 8 {
                let mut socket = from(source, address).await.unwrap();
                let bytes: &[u8] = match n % 3 {
                    0 => b"SSH-2.0-x\r\n",
                    1 => &[0x16, 3, 1, 2, 0, 1, 0],
                    _ => b"",
                };
                let _ = socket.write_all(bytes).await;
                if n % 3 == 0 {
                    hangs_up(&mut socket, SOON).await;
                }
            }
        });
    }
    for _ in 0..count / 200 {
        if let Ok(link) = try_link(&program.world).await {
            drop(link);
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

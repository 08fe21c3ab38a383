//! Connections that are not logged in (S1, S4, S5).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chat_proto::fault::Code;
use chat_proto::{limits, method, wire};

use crate::client::{Client, Device, SOON, try_link};
use crate::world::{PASSWORD, World};

/// Everything that a raw connection gets back after these bytes, and how long it took to be closed.
fn raw(world: &World, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    let mut socket = TcpStream::connect(world.address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is a close too.
    let _ = socket.read_to_end(&mut answer);
    (answer, began.elapsed())
}

/// A ClientHello that offers TLS 1.2 at most.
const TLS12: &[u8] = &[
    0x16, 3, 1, 0, 0x2f, 1, 0, 0, 0x2b, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
    21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 4, 0xc0, 0x2f, 0, 0x9c, 1, 0,
];

#[tokio::test(flavor = "multi_thread")]
async fn s01_what_is_no_tls_1_3_is_closed_without_a_banner() {
    let world = World::start().await;
    let noise: [&[u8]; 4] = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\0\0\x08SEND\0\0\0\x01", &[0xff; 64], TLS12];
    for bytes in noise {
        let (answer, took) = tokio::task::block_in_place(|| raw(&world, bytes));
        assert!(answer.len() <= 7, "at most a TLS alert: {answer:?}");
        assert!(took < limits::HANDSHAKE_WITHIN / 2, "{took:?}: at once, not when its time is over");
    }
}

#[tokio::test]
async fn s05_one_source_has_its_share_and_sessions_are_not_touched() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let mut silent = Vec::new();
    for _ in 0..limits::STRANGERS_PER_SOURCE {
        silent.push(Client::bare(&world, Device::new()).await);
    }
    assert!(try_link(&world).await.is_err(), "the seventeenth is turned away");
    alice.barrier().await;
    // A place is free again when its connection is gone.
    silent.pop();
    let free = async {
        while try_link(&world).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, free).await.unwrap();
}

#[tokio::test]
async fn s04_a_byte_now_and_then_does_not_keep_a_stranger() {
    let world = World::start().await;
    let mut stranger = Client::connect(&world).await;
    let began = tokio::time::Instant::now();
    let drip = async {
        loop {
            stranger.link.queue(&chat_proto::frame::Frame::new(
                chat_proto::method::PING,
                1,
                &chat_proto::wire::Empty {},
            ));
            match stranger.link.recv_while_flushing().await {
                Ok(Some(_)) => tokio::time::sleep(Duration::from_millis(500)).await,
                _ => return,
            }
        }
    };
    tokio::time::timeout(limits::AUTH_WITHIN + SOON, drip).await.unwrap();
    assert!(began.elapsed() >= limits::AUTH_WITHIN - Duration::from_secs(1));
}

/// As many connections as there may be: nobody comes in any more, and those who are in do not feel it.
#[tokio::test]
async fn s05_a_full_house_turns_away_and_goes_on() {
    let world = World::with("limits = { connections = 2 }").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    assert!(try_link(&world).await.is_err(), "the third is turned away");
    assert_eq!(world.counted("turned_away", "full"), 1);
    assert_eq!(alice.text("bob", "meanwhile").await.code, 0);
    assert_eq!(bob.read().await.1, "meanwhile");
    bob.ask::<wire::Empty>(method::LOGOUT, &wire::Logout::default()).await.unwrap();
    assert!(bob.end().await.is_some());
    let mut carol = Client::connect(&world).await;
    carol.register("carol", PASSWORD).await.unwrap();
    carol.hello().await;
    assert_eq!(alice.text("carol", "welcome").await.code, 0);
}

/// One who was let in and for whom there is no room as a session is told when to come back.
#[tokio::test]
async fn s05_a_login_too_many_is_told_to_come_back() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let mut carol = Client::connect(&world).await;
    carol.register("carol", PASSWORD).await.unwrap();
    world.set("limits = { connections = 2 }");
    world.server.as_ref().unwrap().running().reload().await.unwrap();
    let refused = carol.hello_from(None).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (Code::BUSY, Some(10_000)));
    assert_eq!(carol.end().await, Some(Code::BUSY));
    assert_eq!(alice.text("bob", "meanwhile").await.code, 0);
    assert_eq!(bob.read().await.1, "meanwhile");
}

#[tokio::test]
async fn s05_who_logs_in_and_says_no_more_keeps_his_place() {
    let world = World::start().await;
    let alice = world.user("alice").await;
    let mut silent = Vec::new();
    for _ in 0..limits::STRANGERS_PER_SOURCE {
        let mut client = Client::connect_as(&world, alice.device.clone()).await;
        client.by_key("alice").await.unwrap();
        silent.push(client);
    }
    assert!(try_link(&world).await.is_err(), "a login without a session is a stranger still");
    // A session is none.
    silent.pop().unwrap().hello().await;
    Client::connect(&world).await;
}

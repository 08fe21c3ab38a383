//! Health and metrics: one question a connection, a few connections, a short time for each.

use std::net::SocketAddr;
use std::time::Instant;

use chat_proto::limits::{AUTH_WITHIN, HTTP_CONNECTIONS, HTTP_WITHIN};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::SOON;
use crate::safety::network::hangs_up;
use crate::world::World;

async fn monitored() -> (World, SocketAddr) {
    let world = World::with("admin = { http = \"127.0.0.1:0\" }").await;
    let address = world.server.as_ref().unwrap().http().unwrap();
    (world, address)
}

/// Everything that comes back for a path, until the server hangs up.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_connection_is_one_question() {
    let (_world, address) = monitored().await;
    for (path, status, says) in [
        ("/healthz", "200 OK", "ok\n"),
        ("/readyz", "200 OK", "\"ready\":true"),
        ("/metrics", "200 OK", "# EOF"),
        ("/status", "200 OK", "\"type\":\"status\""),
        ("/", "404 Not Found", ""),
    ] {
        let answer = timeout(SOON, get(address, path)).await.expect("it hangs up behind the answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")) && answer.contains(says), "{path}: {answer}");
    }
}

/// Who says nothing or too little is sent away; whoever waits behind such ones is answered then.
#[tokio::test]
async fn a_slow_question_holds_its_place_for_a_short_time() {
    let (_world, address) = monitored().await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for n in 0..HTTP_CONNECTIONS {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let half: &[u8] = if n % 2 == 0 { b"" } else { b"GET /healthz HTTP/1.1\r\nHost:" };
        socket.write_all(half).await.unwrap();
        slow.push(socket);
    }
    let behind = timeout(2 * AUTH_WITHIN, get(address, "/healthz")).await.expect("there is a place again");
    assert!(behind.starts_with("HTTP/1.1 200"), "{behind}");
    let took = began.elapsed();
    assert!(took >= HTTP_WITHIN, "{took:?}: there was no place before");
    for mut socket in slow {
        assert!(hangs_up(&mut socket, AUTH_WITHIN).await);
    }
}

//! What an idle link keeps: TLS itself and nothing of ours (performance.md, row 7).
#![cfg(target_os = "linux")]

mod common;

use bytes::Bytes;
use chat_link::Link;
use chat_proto::frame::Frame;
use common::Server;

/// KiB that one end may keep; 14 is what a whole session of the server may, with everything around the link.
const KEPT: usize = 11;
const LINKS: usize = 400;

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn talk((server, client): &mut (Link, Link)) {
    let frame = Frame { name: *b"TEST", tag: 1, body: Bytes::from(vec![7; 3000]) };
    for _ in 0..3 {
        client.queue(&frame);
        client.flush().await.unwrap();
        assert_eq!(server.recv().await.unwrap().unwrap(), frame);
        server.queue(&frame);
        server.flush().await.unwrap();
        assert_eq!(client.recv().await.unwrap().unwrap(), frame);
    }
}

#[tokio::test]
async fn idle_links_hold_no_buffers() {
    let server = Server::new();
    let mut links = Vec::with_capacity(LINKS);
    // What comes once a process is there before counting begins.
    for _ in 0..20 {
        let mut pair = server.pair().await;
        talk(&mut pair).await;
        links.push(pair);
    }
    let (before, counted) = (resident_kib(), LINKS - links.len());
    for _ in 0..counted {
        let mut pair = server.pair().await;
        talk(&mut pair).await;
        links.push(pair);
    }
    let each = (resident_kib() - before) / (2 * counted);
    println!("{each} KiB an idle end");
    assert!(each <= KEPT, "{each} KiB an idle end");
}

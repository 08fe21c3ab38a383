//! Frames over a link: both ways, in any portion, without deadlock and without what was not said.

mod common;

use bytes::Bytes;
use chat_link::{Link, LinkError};
use chat_proto::frame::{Frame, FrameError};
use chat_proto::limits;
use common::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn frame(tag: u32, size: usize) -> Frame {
    Frame { name: *b"TEST", tag, body: Bytes::from(vec![tag as u8; size]) }
}

#[tokio::test]
async fn both_ways_and_a_goodbye() {
    let (mut server, mut client) = Server::new().pair().await;
    assert_eq!(server.exporter(), client.exporter());
    assert!(server.try_recv().unwrap().is_none());
    client.queue(&frame(1, 10));
    client.queue_parts(*b"TEST", 2, b"head", b"tail");
    assert_eq!(client.queued(), 2 * 12 + 10 + 8);
    client.flush().await.unwrap();
    assert_eq!(client.queued(), 0);
    assert_eq!(server.recv().await.unwrap(), Some(frame(1, 10)));
    assert_eq!(server.try_recv().unwrap().unwrap().body, "headtail");
    server.queue(&frame(3, 0));
    let (closed, got) = tokio::join!(server.close(), async {
        let got = client.recv().await.unwrap();
        assert_eq!(client.recv().await.unwrap(), None);
        drop(client);
        got
    });
    let () = closed;
    assert_eq!(got, Some(frame(3, 0)));
}

#[tokio::test]
async fn last_words_survive_unread_input() {
    let (mut server, mut client) = Server::new().pair().await;
    for tag in 0..100 {
        client.queue(&frame(tag, 4000));
    }
    client.flush().await.unwrap();
    server.queue(&frame(7, 5));
    let ((), got) = tokio::join!(server.close(), async {
        let got = client.recv().await;
        client.close().await;
        got
    });
    assert_eq!(got.unwrap(), Some(frame(7, 5)));
}

#[tokio::test]
async fn strangers_send_short_frames_only() {
    let (mut server, mut client) = Server::new().pair().await;
    client.queue(&frame(1, limits::FRAME_MAX_STRANGER));
    client.flush().await.unwrap();
    let claimed = limits::FRAME_MAX_STRANGER + 8;
    match server.recv().await {
        Err(LinkError::Frame(error)) => {
            assert_eq!(error, FrameError::TooLong { claimed, max: limits::FRAME_MAX_STRANGER })
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_frame_after_login() {
    let (mut server, mut client) = Server::new().pair().await;
    server.set_frame_max(limits::FRAME_MAX);
    client.queue(&frame(1, limits::TEXT_MAX));
    let (flushed, got) = tokio::join!(client.flush(), server.recv());
    flushed.unwrap();
    assert_eq!(got.unwrap(), Some(frame(1, limits::TEXT_MAX)));
}

/// Both sides queue far more than the sockets hold before either reads.
#[tokio::test]
async fn floods_in_both_directions_pass() {
    const COUNT: u32 = 5000;
    let (mut server, mut client) = Server::new().pair().await;
    async fn exchange(link: &mut Link) {
        for tag in 1..=COUNT {
            link.queue(&frame(tag, 3000));
        }
        for tag in 1..=COUNT {
            assert_eq!(link.recv_while_flushing().await.unwrap(), Some(frame(tag, 3000)));
        }
        link.flush().await.unwrap();
    }
    tokio::join!(exchange(&mut server), exchange(&mut client));
}

/// What waits may be dropped at any await, and nothing is lost or doubled.
#[tokio::test]
async fn waiting_may_be_dropped() {
    const COUNT: u32 = 2000;
    let (mut server, mut client) = Server::new().pair().await;
    let mut told = 0;
    let mut next = 1;
    while next <= COUNT {
        if told < COUNT {
            told += 1;
            client.queue(&frame(told, 1500));
        }
        tokio::select! {
            biased;
            got = server.recv() => {
                assert_eq!(got.unwrap(), Some(frame(next, 1500)));
                next += 1;
            }
            flushed = client.flush(), if client.queued() > 0 => flushed.unwrap(),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn progress_is_visible() {
    let (_server, mut client) = Server::new().pair().await;
    let before = client.written();
    while client.queued() < limits::OUTPUT_MAX {
        client.queue(&frame(1, 1000));
    }
    // Nobody reads; whatever the sockets hold is taken, the rest stays queued.
    tokio::select! {
        biased;
        _ = client.flush() => {}
        () = tokio::task::yield_now() => {}
    }
    assert!(client.written() > before);
}

/// A relay that lets `limit` bytes of the client through and then cuts both directions.
async fn cutting_relay(listener: TcpListener, to: std::net::SocketAddr, limit: usize) {
    let (mut near, _) = listener.accept().await.unwrap();
    let mut far = TcpStream::connect(to).await.unwrap();
    let (mut near_read, mut near_write) = near.split();
    let (mut far_read, mut far_write) = far.split();
    let up = async {
        let mut left = limit;
        let mut buffer = [0; 512];
        while left > 0 {
            let room = left.min(buffer.len());
            let n = near_read.read(&mut buffer[..room]).await.unwrap_or(0);
            if n == 0 || far_write.write_all(&buffer[..n]).await.is_err() {
                return;
            }
            left -= n;
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
    }
}

#[tokio::test]
async fn a_cut_anywhere_is_an_error_and_no_hang() {
    let server = Server::new();
    for limit in (1..6000).step_by(97) {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = chat_link::Target { host: "127.0.0.1".into(), port: relay.local_addr().unwrap().port() };
        let accept = async {
            let mut link = match server.accept().await {
                Ok(link) => link,
                Err(_) => return,
            };
            let error = loop {
                match link.recv().await {
                    Ok(Some(got)) => assert_eq!(got, frame(got.tag, 300)),
                    Ok(None) => panic!("a cut is no goodbye"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, LinkError::Cut | LinkError::Io(_)), "{error}");
        };
        let send = async {
            let Ok(mut connected) = chat_link::connect(&target, &server.roots, common::SOON).await else { return };
            for tag in 1..=20 {
                connected.link.queue(&frame(tag, 300));
            }
            let _ = connected.link.flush().await;
            while let Ok(Some(_)) = connected.link.recv().await {}
        };
        tokio::join!(accept, send, cutting_relay(relay, server.address(), limit));
    }
}

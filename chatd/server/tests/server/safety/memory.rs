//! What strangers make the server hold (S6): each kind of them against a program of its own, half as many as there may be.

use std::io::{self, Write as _};
use std::ops::RangeInclusive;

use bytes::BytesMut;
use chat_proto::frame::{self, Frame};
use chat_proto::{limits, method, wire};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use super::network::{from, hangs_up};
use super::program::Program;
use crate::raw::{Raw, STALLED};
use crate::world::World;

/// What one of them may cost: its sockets' memory is the system's, and the code that it makes run is a file's.
const EACH: u64 = 64 * 1024;

/// Asks and reads no answer, until the server reads no question.
fn asks_without_end(stranger: &mut Raw) {
    stranger.identify();
    let mut questions = BytesMut::new();
    while questions.len() < 16_000 {
        Frame::new(method::PING, 1, &wire::Empty {}).encode(&mut questions);
    }
    let ended = loop {
        if let Err(error) = stranger.say(&questions) {
            break error;
        }
    };
    assert_eq!(ended.kind(), io::ErrorKind::WouldBlock, "{ended}");
}

/// Half of the largest frame, behind a question that is answered.
fn says_half_a_frame(stranger: &mut Raw) {
    stranger.identify();
    let mut bytes = BytesMut::new();
    Frame::new(method::PING, 1, &wire::Empty {}).encode(&mut bytes);
    frame::put_header(&mut bytes, method::NAME, 1, limits::FRAME_MAX_STRANGER - frame::HEADER);
    bytes.resize(bytes.len() + limits::FRAME_MAX_STRANGER / 2, 0);
    stranger.say(&bytes).unwrap();
}

/// The longest record of TLS but for its last byte.
fn says_half_a_record(stranger: &mut Raw) {
    says_half_a_frame(stranger);
    stranger.tls.writer().write_all(&[0; 16 * 1024]).unwrap();
    let mut record = Vec::new();
    stranger.tls.write_tls(&mut record).unwrap();
    stranger.socket.write_all(&record[..record.len() - 1]).unwrap();
}

/// Most of as long a ClientHello as the server reads.
fn says_half_a_hello(stranger: &mut Raw) {
    stranger.socket.write_all(&hello(limits::HANDSHAKE_MAX - 1024)).unwrap();
}

/// So many bytes of a ClientHello that claims as many as TLS libraries take, in records (RFC 8446, sections 4 and 5.1).
fn hello(said: usize) -> Vec<u8> {
    let mut message = vec![1, 0, 0xff, 0xf0];
    message.resize(said, 0);
    let mut records = Vec::new();
    for part in message.chunks(16 * 1024) {
        records.extend_from_slice(&[22, 3, 1]);
        records.extend_from_slice(&(part.len() as u16).to_be_bytes());
        records.extend_from_slice(part);
    }
    records
}

/// Sources that fill half of the places for strangers.
const SOURCES: RangeInclusive<u8> = 1..=(limits::STRANGERS_MAX / 2 / limits::STRANGERS_PER_SOURCE) as u8;

/// As many strangers from these sources as each may have, all at once.
async fn strangers(program: &Program, sources: RangeInclusive<u8>, act: fn(&mut Raw)) -> Vec<Raw> {
    let mut acting = JoinSet::new();
    for source in sources {
        for _ in 0..limits::STRANGERS_PER_SOURCE {
            let mut stranger = Raw::connect(&program.world, source).await;
            acting.spawn_blocking(move || {
                act(&mut stranger);
                stranger
            });
        }
    }
    acting.join_all().await
}

/// Sees what each of half as many strangers as there may be costs.
async fn costs_little(act: fn(&mut Raw)) {
    // The first ones bring threads and tables along, which stay.
    const FIRST: RangeInclusive<u8> = 1..=2;
    let program = Program::start("").await;
    let first = strangers(&program, FIRST, act).await;
    program.idles().await;
    let before = program.anonymous();
    let others = strangers(&program, FIRST.end() + 1..=*SOURCES.end(), act).await;
    program.idles().await;
    let each = program.anonymous().saturating_sub(before) / others.len() as u64;
    // All of them are still there: no source of theirs has a place left, while others have.
    for source in SOURCES {
        let mut another = from(source, program.world.address).await.unwrap();
        // At once: later it would be sent away for its silence.
        let refused = hangs_up(&mut another, limits::HANDSHAKE_WITHIN / 4).await;
        assert!(refused, "a stranger from {source} is gone");
    }
    let mut other = from(100, program.world.address).await.unwrap();
    assert!(!hangs_up(&mut other, STALLED).await, "there is no place at all");
    drop((first, others));
    assert!(each <= EACH, "{each} bytes each");
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_who_reads_no_answer_costs_little() {
    costs_little(asks_without_end).await;
}

#[tokio::test]
async fn s06_half_a_frame_costs_little() {
    costs_little(says_half_a_frame).await;
}

#[tokio::test]
async fn s06_half_a_record_costs_little() {
    costs_little(says_half_a_record).await;
}

#[tokio::test]
async fn s06_half_a_hello_costs_little() {
    costs_little(says_half_a_hello).await;
}

#[tokio::test]
async fn s06_a_hello_without_end_is_refused() {
    let world = World::start().await;
    let mut socket = from(2, world.address).await.unwrap();
    socket.write_all(&hello(2 * limits::HANDSHAKE_MAX)).await.unwrap();
    assert!(hangs_up(&mut socket, limits::HANDSHAKE_WITHIN / 2).await);
}

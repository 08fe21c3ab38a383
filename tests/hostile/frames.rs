//! S30, S31: frames that make no sense, streams beyond the bound, halves, repetitions and gaps.

use std::time::Duration;

use bytes::BytesMut;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::limits::{FRAME_MAX, OPEN_STREAMS_MAX, PEER_STREAMS, SEND_WINDOW, TEXT_MAX};
use chat_proto::method::{Tag4, peer as method};
use chat_proto::peer::{self, Bye};
use chat_proto::wire;
use chat_tests::process::until;
use prost::Message;
use tokio::time::timeout;

use crate::peer::{A_WHILE, Foe, agreed, incarnation, met, text};
use crate::victim::{Pair, world};

fn framed(name: Tag4, body: &impl Message) -> Vec<u8> {
    let mut out = BytesMut::new();
    Frame::new(name, 0, body).encode(&mut out);
    out.to_vec()
}

/// What no honest peer says, each with its name.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let (stream, other) = (incarnation(), incarnation());
    let good = text("bob", stream, 1, "hello");
    let large = "x".repeat(TEXT_MAX + 1);
    let open = |n: usize| {
        let one = |n| wire::OpenStream { incarnation: n as u64, settled: 0 };
        peer::Streams { streams: (0..n).map(one).collect() }
    };
    let void = |first, last| framed(method::VOID, &peer::Void { incarnation: stream, first, last });
    let mut all = vec![
        ("a frame beyond the bound", u32::try_from(FRAME_MAX + 1).expect("small").to_be_bytes().to_vec()),
        ("a frame of 4 GiB", u32::MAX.to_be_bytes().to_vec()),
        ("a frame without a name", 3_u32.to_be_bytes().to_vec()),
        ("a hash that does not fit", framed(method::SEND, &peer::Send { h: vec![0; 32], ..good.clone() })),
        ("another one's hash", framed(method::SEND, &text("alice", stream, 1, "hello"))),
        ("a text that is too large", framed(method::SEND, &text("bob", stream, 1, &large))),
        ("a stream that begins in its middle", framed(method::SEND, &text("bob", other, 2, "hello"))),
        ("place 0", framed(method::SEND, &text("bob", other, 0, "hello"))),
        (
            "a place beyond the window",
            [framed(method::SEND, &good), framed(method::SEND, &text("bob", stream, 2 + SEND_WINDOW, "far"))].concat(),
        ),
        ("the last place of all", framed(method::SEND, &text("bob", stream, u64::MAX, "far"))),
        ("a void range without an end", void(1, u64::MAX)),
        ("a void range that goes back", void(2, 1)),
        ("a void range from 0", void(0, 1)),
        ("voids beyond the window", [void(1, 64), void(65, 128), void(129, 192)].concat()),
        ("streams named twice", [framed(method::STREAMS, &open(1)), framed(method::STREAMS, &open(1))].concat()),
        ("too many streams", framed(method::STREAMS, &open(OPEN_STREAMS_MAX + 1))),
        (
            "a second welcome",
            [framed(method::WELCOME, &peer::Welcome::default()), framed(method::WELCOME, &peer::Welcome::default())]
                .concat(),
        ),
    ];
    let bodies = [
        method::STREAMS,
        method::WELCOME,
        method::SEND,
        method::VOID,
        method::VERDICT,
        method::GAP,
        method::TRY_LATER,
        method::READ,
        method::BYE,
    ];
    for name in bodies {
        let mut bytes = 28_u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&[0xff; 24]);
        all.push(("a body that is none", bytes));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_what_makes_no_sense_ends_this_session_and_no_other() {
    let mut world = world();
    let pair = Pair::new(&mut world);
    let mut foe = Foe::new(&world, "mallory").await;
    for (what, bytes) in nonsense() {
        let session = foe.consented(&pair.bob).await;
        let mut wire = foe.meets(&session, &pair.bob).await;
        wire.raw(&bytes).await;
        assert_eq!(wire.end().await, Some(Bye::PROTOCOL), "{what}");
        pair.bob.has_none("mallory");
    }
    assert!(pair.bob.texts_of("mallory").iter().all(|text| text == "hello"), "what was right before it may be there");
    pair.goes_on("after nonsense");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_what_is_not_known_is_passed_over() {
    let (_world, pair, _foe, _session, mut wire) = met().await;
    let stream = wire.begins().await;
    // what a newer version may say, and words about streams that are nobody's
    wire.raw(&framed(*b"PXYZ", &peer::Bye { reason: 1 })).await;
    for name in [method::VERDICT, method::GAP, method::READ] {
        wire.say(name, &peer::Upto { incarnation: incarnation(), last: u64::MAX }).await;
    }
    wire.say(method::TRY_LATER, &peer::TryLater { after_ms: u64::MAX, code: u32::MAX }).await;
    wire.say(method::SEND, &text("bob", stream, 1, "still here")).await;
    wire.verdict(stream, 1).await;
    assert_eq!(pair.bob.texts_of("mallory"), ["still here"]);
    pair.goes_on("after the unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_places_are_taken_once_and_in_order() {
    let (_world, pair, foe, session, mut wire) = met().await;
    let stream = wire.begins().await;
    let send = |cseq: u64| text("bob", stream, cseq, &format!("text {cseq}"));
    wire.say(method::SEND, &send(1)).await;
    wire.say(method::SEND, &send(1)).await;
    // a hole: it is named, and nothing behind it is taken
    wire.say(method::SEND, &send(5)).await;
    let gap: peer::Upto = wire.hears(method::GAP).await;
    assert_eq!((gap.incarnation, gap.last), (stream, 1));
    for cseq in [2, 3, 2, 1, 4, 5] {
        wire.say(method::SEND, &send(cseq)).await;
    }
    wire.say(method::VOID, &peer::Void { incarnation: stream, first: 6, last: 9 }).await;
    wire.say(method::SEND, &send(10)).await;
    wire.verdict(stream, 10).await;
    // another text at a place that is taken changes nothing
    wire.say(method::SEND, &text("bob", stream, 3, "another")).await;
    wire.verdict(stream, 10).await;
    // the same stream on a new connection goes on where it was
    wire.connection.close(0_u32.into(), b"");
    pair.bob.shows("mallory", "away");
    let mut again = foe.meets(&session, &pair.bob).await;
    let welcome = again.names(&[stream]).await;
    assert_eq!(welcome.streams.iter().map(|state| state.last).collect::<Vec<_>>(), [10]);
    for cseq in [9, 10, 11] {
        again.say(method::SEND, &send(cseq)).await;
    }
    again.verdict(stream, 11).await;
    let texts: Vec<String> = [1, 2, 3, 4, 5, 10, 11].iter().map(|cseq| format!("text {cseq}")).collect();
    assert_eq!(pair.bob.texts_of("mallory"), texts);
    pair.goes_on("after repetitions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_half_a_frame_leaves_the_outbox_as_it_was() {
    let (_world, pair, foe, session, mut wire) = met().await;
    wire.welcomes().await;
    for n in 0..3 {
        pair.bob.home.run(&["private", "mallory", &format!("of bob {n}"), "--wait=queued"]).ok();
    }
    let first: peer::Send = wire.hears(method::SEND).await;
    let stream = first.incarnation;
    // it hears all of them, says half a text, and is gone without a verdict
    let half = framed(method::SEND, &text("bob", incarnation(), 1, "half"));
    wire.raw(&half[..half.len() / 2]).await;
    wire.connection.close(0_u32.into(), b"");
    pair.bob.shows("mallory", "away");
    let mut again = foe.meets(&session, &pair.bob).await;
    let named: peer::Streams = again.hears(method::STREAMS).await;
    assert_eq!(named.streams.iter().map(|open| (open.incarnation, open.settled)).collect::<Vec<_>>(), [(stream, 0)]);
    let none = wire::StreamState { incarnation: stream, last: 0, decisions: Vec::new() };
    again.say(method::WELCOME, &peer::Welcome { streams: vec![none] }).await;
    for n in 0..3 {
        let send: peer::Send = again.hears(method::SEND).await;
        assert_eq!((send.cseq, &send.body[..]), (n + 1, format!("of bob {n}").as_bytes()));
    }
    again.say(method::VERDICT, &peer::Upto { incarnation: stream, last: 3 }).await;
    until("bob knows that they arrived", || {
        let sessions = pair.bob.home.json(&["sessions"]).ok().items();
        sessions.iter().any(|session| session["peer"] == "mallory" && session["queued"] == 0).then_some(())
    });
    assert_eq!(pair.bob.texts_of("mallory"), [""; 0], "half a text is none");
    pair.goes_on("after halves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_what_a_welcome_settles_can_be_traced() {
    let (_world, pair, foe, session, mut wire) = met().await;
    wire.welcomes().await;
    let said = pair.bob.home.json(&["private", "mallory", "of bob", "--wait=queued"]).ok().json();
    let id = said["id"].as_str().expect("an id");
    let send: peer::Send = wire.hears(method::SEND).await;
    // it has it, and is gone before it says so
    wire.connection.close(0_u32.into(), b"");
    pair.bob.shows("mallory", "away");
    let mut again = foe.meets(&session, &pair.bob).await;
    let h8 = wire::h8(&send.h).expect("a hash");
    let decisions = vec![wire::Decision { h8, code: Code::ACCEPTED.0, position: None }];
    let state = wire::StreamState { incarnation: send.incarnation, last: 1, decisions };
    again.say(method::WELCOME, &peer::Welcome { streams: vec![state] }).await;
    pair.bob.home.run(&["show", id, "--wait", "delivered"]).ok();
    let trace = pair.bob.home.json(&["trace", id]).ok().json();
    let steps: Vec<_> = trace["hops"].as_array().expect("hops").iter().map(|hop| hop["step"].clone()).collect();
    assert_eq!(steps, ["queued", "sent", "delivered"], "{trace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_no_more_streams_than_agreed() {
    let (_world, pair, _foe, _session, wire) = met().await;
    let before = pair.bob.memory();
    // one conversation, fifteen for files
    let mut open = Vec::new();
    for n in 1..PEER_STREAMS {
        let mut stream = timeout(A_WHILE, wire.connection.open_uni()).await.expect("allowed").expect("a stream");
        stream.write_all(&[0]).await.unwrap_or_else(|error| panic!("stream {n}: {error}"));
        open.push(stream);
    }
    assert!(timeout(A_WHILE, wire.connection.open_uni()).await.is_err(), "a stream more than agreed");
    assert!(timeout(A_WHILE, wire.connection.open_bi()).await.is_err(), "a second conversation");
    drop(open);
    // streams without end: each is refused, none is kept
    for n in 0..2_000_u32 {
        let mut stream = timeout(crate::account::SOON, wire.connection.open_uni()).await.expect("room").expect("one");
        let _ = stream.write_all(&n.to_be_bytes().repeat(64)).await;
        let _ = stream.finish();
    }
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < 16 * 1024, "chatd grew by {grown} KiB");
    assert_eq!(pair.bob.state("mallory").as_deref(), Some("open"));
    pair.goes_on("after streams");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_connections_that_say_nothing_are_few() {
    let (_world, pair, foe, session) = agreed().await;
    let before = pair.bob.memory();
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(crate::peer::connect(&foe.endpoint, &session.at).await);
    }
    tokio::time::timeout(Duration::from_secs(5), async {
        for refused in silent.iter().skip(4) {
            assert_eq!(crate::peer::closed(refused).await, Some(Bye::DOUBLE));
        }
    })
    .await
    .expect("beyond a few they are closed at once");
    // the few are closed as well, when a hello may be waited for no longer
    for waited_for in silent.iter().take(4) {
        crate::peer::closed(waited_for).await;
    }
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < 40 * 1024, "chatd grew by {grown} KiB for 40 connections");
    foe.meets(&session, &pair.bob).await;
    pair.goes_on("beside silent connections");
}

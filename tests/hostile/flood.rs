//! S30, S32: a peer that sends without end, or never reads. Memory stays bounded, the server's link and the honest session go on.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use chat_proto::frame::Frame;
use chat_proto::id::hex;
use chat_proto::limits::SEND_WINDOW;
use chat_proto::method::peer as method;
use chat_proto::peer::{self, Bye};
use chat_proto::wire;
use prost::Message;

use crate::peer::{Foe, Wire, met, text};
use crate::victim::{Pair, world};

/// What a chatd may grow by under a flood, in KiB: windows, queues and the allocator's slack.
const GROWTH: u64 = 48 * 1024;
/// How long each flood goes on.
const FLOOD: Duration = Duration::from_secs(3);

/// Says this over and over for a while; true when the victim took all of it.
async fn floods(wire: &mut Wire, bytes: &[u8]) -> bool {
    let end = Instant::now() + FLOOD;
    while Instant::now() < end {
        if !wire.raw(bytes).await {
            return false;
        }
    }
    true
}

fn many(name: chat_proto::method::Tag4, body: &impl Message) -> Vec<u8> {
    let mut out = BytesMut::new();
    let frame = Frame::new(name, 0, body);
    for _ in 0..1_000 {
        frame.encode(&mut out);
    }
    out.to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s32_words_without_end_cost_no_memory() {
    let (_world, pair, _foe, _session, mut wire) = met().await;
    wire.welcomes().await;
    let stream = wire.begins().await;
    // bob has a text on the way that is never confirmed, so that words about his stream mean something
    pair.bob.home.run(&["private", "mallory", &"x".repeat(60_000), "--wait=queued"]).ok();
    let own: peer::Send = wire.hears(method::SEND).await;
    wire.say(method::SEND, &text("bob", stream, 1, "first")).await;
    wire.verdict(stream, 1).await;
    let before = pair.bob.memory();
    let upto = |last| peer::Upto { incarnation: own.incarnation, last };
    // as many as one frame may name, each of which is here
    wire.say(method::VOID, &peer::Void { incarnation: stream, first: 2, last: SEND_WINDOW }).await;
    wire.verdict(stream, SEND_WINDOW).await;
    let voids = peer::Void { incarnation: stream, first: 1, last: SEND_WINDOW };
    let floods_of = [
        ("the unknown", many(*b"PXYZ", &peer::Bye { reason: 1 })),
        ("read marks", many(method::READ, &upto(0))),
        ("verdicts", many(method::VERDICT, &upto(0))),
        ("gaps", many(method::GAP, &upto(0))),
        ("texts that are here", many(method::SEND, &text("bob", stream, 1, "first"))),
        ("places that are given up", many(method::VOID, &voids)),
    ];
    // what it says back is read, or the flood would end by that
    wire.drains();
    for (what, bytes) in floods_of {
        assert!(floods(&mut wire, &bytes).await, "{what} is no reason to end a session");
        let grown = pair.bob.memory().saturating_sub(before);
        assert!(grown < GROWTH, "{what}: chatd grew by {grown} KiB");
        pair.goes_on(what);
    }
    assert_eq!(pair.bob.texts_of("mallory"), ["first"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s32_one_word_makes_one_word() {
    let (_world, pair, _foe, _session, mut wire) = met().await;
    let stream = wire.begins().await;
    let void = |first, last| peer::Void { incarnation: stream, first, last };
    wire.say(method::VOID, &void(1, SEND_WINDOW)).await;
    wire.verdict(stream, SEND_WINDOW).await;
    // all of them again, and then one place more: its verdict comes behind all that these made
    for _ in 0..10 {
        wire.say(method::VOID, &void(1, SEND_WINDOW)).await;
    }
    wire.say(method::VOID, &void(SEND_WINDOW + 1, SEND_WINDOW + 1)).await;
    let mut again = 0;
    while wire.hears::<peer::Verdict>(method::VERDICT).await.last == SEND_WINDOW {
        again += 1;
    }
    assert_eq!(again, 10);
    pair.goes_on("after places that were given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_a_peer_that_never_reads_is_let_go() {
    let (_world, pair, foe, session, mut wire) = met().await;
    wire.welcomes().await;
    let stream = wire.begins().await;
    let before = pair.bob.memory();
    for n in 0..40 {
        let text = format!("{n} {}", "x".repeat(60_000));
        pair.bob.home.run(&["private", "mallory", &text, "--wait=queued"]).ok();
    }
    pair.goes_on("beside one that does not read");
    // each of these makes bob say all of it again, to somebody who does not listen
    let mut again = many(method::TRY_LATER, &peer::TryLater { after_ms: 0, code: 0 });
    again.extend_from_slice(&many(method::SEND, &text("bob", stream, 1, "again")));
    let taken = floods(&mut wire, &again).await;
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < GROWTH, "chatd grew by {grown} KiB");
    assert!(!taken && wire.end().await == Some(Bye::LINK), "its connection was closed");
    pair.goes_on("after one that did not read");
    // what bob wrote is not lost: it comes on the next connection
    let mut again = foe.meets(&session, &pair.bob).await;
    again.welcomes().await;
    let send: peer::Send = again.hears(method::SEND).await;
    assert!(send.cseq == 1 && send.body.starts_with(b"0 xxx"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s32_texts_as_fast_as_the_window_allows_leave_room_for_others() {
    let (_world, pair, _foe, _session, mut wire) = met().await;
    let stream = wire.begins().await;
    let before = pair.bob.memory();
    let (mut sent, mut confirmed) = (0, 0);
    let (end, mut looked) = (Instant::now() + FLOOD, Instant::now());
    while Instant::now() < end {
        while sent < confirmed + SEND_WINDOW {
            sent += 1;
            assert!(wire.say(method::SEND, &text("bob", stream, sent, &"y".repeat(1_000))).await);
        }
        let upto: peer::Verdict = wire.hears(method::VERDICT).await;
        confirmed = upto.last;
        if looked.elapsed() > FLOOD / 4 {
            looked = Instant::now();
            pair.goes_on(&format!("at {confirmed}"));
        }
    }
    wire.verdict(stream, sent).await;
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < GROWTH, "chatd grew by {grown} KiB for {sent} texts");
    assert_eq!(pair.bob.texts_of("mallory").len() as u64, sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s32_requests_without_end_are_one_at_a_time() {
    let mut world = world();
    let pair = Pair::new(&mut world);
    let mut foe = Foe::new(&world, "mallory").await;
    let own = foe.own();
    let (before, began) = (pair.bob.memory(), Instant::now());
    let mut watch = pair.bob.home.watch(&["--only", "private"]);
    let mut asked = 0;
    while began.elapsed() < FLOOD {
        let id = foe.account.request("bob", 0, &own).await.expect("one at a time");
        assert!(foe.account.request("bob", 0, &own).await.is_err(), "a second one while one is open is refused");
        let cancel = wire::PrivateCancel { id: id.to_vec() };
        let _: wire::Empty = foe.account.ask(chat_proto::method::PRIVATE_CANCEL, &cancel).await.expect("withdrawn");
        asked += 1;
    }
    let last = hex(&foe.account.request("bob", 0, &own).await.expect("the last one"));
    // followers see little of it, and what holds at the end
    watch.expect("request that stays", |event| event["id"] == last && event["state"] == "asked");
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("few");
    let shown = watch.seen().iter().filter(|event| event["type"] == "private_request").count();
    assert!(shown <= seconds + 2, "{shown} words about {asked} requests in {seconds} s");
    let requests = pair.bob.home.json(&["requests"]).ok().column("peer");
    assert!(requests.iter().filter(|peer| *peer == "mallory").count() <= 1, "{requests:?}");
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < GROWTH, "chatd grew by {grown} KiB");
    pair.goes_on("after requests");
}

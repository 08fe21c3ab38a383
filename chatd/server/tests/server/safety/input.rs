//! Forged senders, broken bodies, places out of order (S14 to S16, S26).

use bytes::Bytes;
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::method::{self, Tag4};
use chat_proto::wire::kind;
use chat_proto::{limits, status, wire};

use super::program::Program;
use crate::client::{Client, Device, at};
use crate::world::World;

#[tokio::test]
async fn s14_nobody_speaks_for_others_or_for_the_server() {
    let program = Program::start("").await;
    let (mut mallory, mut bob) = (program.world.user("mallory").await, program.world.user("bob").await);
    for forged in [method::DELIVER, method::VERDICT, method::PRESENCE, method::GAP, method::GONE, status::END] {
        let body = wire::Deliver { from: "alice".into(), to: "bob".into(), ..wire::Deliver::default() };
        let refused = mallory.ask::<wire::Empty>(forged, &body).await;
        assert_eq!(refused.unwrap_err().code, Code::FORBIDDEN, "{}", forged.escape_ascii());
    }
    let log = program.logged("forged frame").await;
    let line = log.lines().find(|line| line.contains("forged frame")).unwrap();
    assert!(line.contains("127.0.0.1:") && line.ends_with("forged frame: account mallory"), "{line}");
    for (cseq, of_server) in (1..).zip([kind::EXPIRED, kind::DEVICE, 18, u32::MAX]) {
        let mut item = mallory.item("bob", "your device was revoked", cseq);
        item.kind = of_server;
        mallory.link.queue(&Frame::new(method::SEND, 0, &item));
        mallory.link.flush().await.unwrap();
        let verdict: wire::Verdict = mallory.push(method::VERDICT).await;
        assert_eq!(verdict.runs[0].code, Code::FORBIDDEN.0, "kind {of_server}");
    }
    // Whatever a body says, the sender shown is who logged in.
    let mut again = Client::connect_as(&program.world, mallory.device.clone()).await;
    again.by_key("mallory").await.unwrap();
    again.hello().await;
    again.text("bob", "From: alice").await;
    assert_eq!(bob.delivery().await.from, "mallory");
}

/// What is no protobuf of any message: half a number, a number too long, lengths beyond the end and beyond all memory, a wire type
/// that there is not, field 0, groups without an end.
const BROKEN: [&[u8]; 8] = [
    &[0xff],
    &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x0a, 0x05, b'a'],
    &[0x0a, 0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xfa, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x0f, 0x00],
    &[0x00, 0x01],
    &[0x0b; 300],
];

/// What a session says to a broken body of this method.
fn to_broken(method: Tag4) -> Result<Code, Code> {
    match method {
        // The server's own: not read at all.
        method::VERDICT
        | method::GAP
        | method::TRY_LATER
        | method::DELIVER
        | method::GONE
        | method::PRESENCE
        | method::PRIVATE => Err(Code::FORBIDDEN),
        // Those of strangers: a session has none of them.
        method::IDENTIFY | method::NAME | method::REGISTER | method::LOGIN | method::DEVICE | method::HELLO => {
            Err(Code::UNSUPPORTED)
        }
        _ => Ok(Code::PROTOCOL),
    }
}

#[tokio::test]
async fn s15_a_broken_body_of_any_method_is_the_end() {
    let world = World::start().await;
    let alice = world.user("alice").await;
    for method in method::ALL.iter().copied() {
        for (number, body) in BROKEN.into_iter().enumerate() {
            let what = format!("{} {number}", method.escape_ascii());
            let frame = Frame { name: method, tag: 77, body: Bytes::from_static(body) };
            let mut client = Client::connect_as(&world, alice.device.clone()).await;
            client.by_key("alice").await.unwrap();
            client.hello().await;
            client.link.queue(&frame);
            match to_broken(method) {
                Ok(code) => assert_eq!(client.end().await, Some(code), "{what}"),
                Err(code) => {
                    assert_eq!(client.answer::<wire::Empty>(77).await.unwrap_err().code, code, "{what}");
                    client.barrier().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn s15_a_broken_body_of_a_stranger_is_the_end() {
    let world = World::start().await;
    let alice = world.user("alice").await;
    for method in method::ALL.iter().copied() {
        for body in BROKEN {
            // Each where it would be welcome: before anything was said, before the login, and behind it.
            let mut stranger = match method {
                method::IDENTIFY => Client::bare(&world, Device::new()).await,
                method::HELLO => logged_in(&world, &alice.device).await,
                _ => Client::connect(&world).await,
            };
            stranger.link.queue(&Frame { name: method, tag: 1, body: Bytes::from_static(body) });
            assert_eq!(stranger.end().await, Some(Code::PROTOCOL), "{}", method.escape_ascii());
        }
    }
}

/// One stream more than a HELLO may name is refused as a whole; as many as it may are fine.
#[tokio::test]
async fn s15_a_hello_names_no_more_streams_than_it_may() {
    let world = World::start().await;
    let alice = world.user("alice").await;
    let hello = |count: usize| {
        let streams = (1..).take(count).map(|incarnation| wire::OpenStream { incarnation, settled: 0 }).collect();
        wire::Hello { run: 1, streams, cursor: None, known: vec![] }
    };
    let mut client = logged_in(&world, &alice.device).await;
    client.link.queue(&Frame::new(method::HELLO, 1, &hello(limits::OPEN_STREAMS_MAX + 1)));
    assert_eq!(client.end().await, Some(Code::PROTOCOL));
    let mut client = logged_in(&world, &alice.device).await;
    client.ask::<wire::Welcome>(method::HELLO, &hello(limits::OPEN_STREAMS_MAX)).await.unwrap();
}

/// Somebody who proved to be alice and opened no session yet.
async fn logged_in(world: &World, device: &Device) -> Client {
    let mut client = Client::connect_as(world, device.clone()).await;
    client.by_key("alice").await.unwrap();
    client
}

/// Numbers at the end of their range are numbers: nothing overflows, nothing is cut to fit.
#[tokio::test]
async fn s15_the_largest_numbers_break_nothing() {
    let world = World::start().await;
    let alice = world.user("alice").await;
    let session = async || {
        let mut client = Client::connect_as(&world, alice.device.clone()).await;
        client.by_key("alice").await.unwrap();
        client.hello().await;
        client
    };
    let mut client = session().await;
    let far = wire::PeopleQuery { seconds: u64::MAX, after: String::new() };
    client.ask::<wire::People>(method::WHOELSESINCE, &far).await.unwrap();
    client.link.queue(&Frame::new(
        method::VOID,
        0,
        &wire::Void { incarnation: u64::MAX, first: u64::MAX, last: u64::MAX },
    ));
    client.barrier().await;
    client.link.queue(&Frame::new(method::VOID, 0, &wire::Void { incarnation: 1, first: 2, last: 1 }));
    client.barrier().await;
    let item = wire::Send { cseq: u64::MAX, settled: u64::MAX, kind: kind::DIRECT, ..client.item("bob", "x", 1) };
    client.link.queue(&Frame::new(method::SEND, 0, &item));
    client.barrier().await;
    let item = wire::Send { cseq: 0, ..item };
    client.link.queue(&Frame::new(method::SEND, 0, &item));
    client.barrier().await;
    for position in [
        wire::Position { epoch: u64::MAX, nonce: u64::MAX, n: u64::MAX },
        wire::Position { n: u64::MAX, ..Default::default() },
    ] {
        let mut client = session().await;
        client.ack(Some(position)).await;
        assert_eq!(client.end().await, Some(Code::PROTOCOL));
    }
}

/// Refused, and nothing is changed by it: the stream and the cursor are where they were.
#[tokio::test]
async fn s26_places_out_of_order_change_nothing() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    assert_eq!(alice.text("bob", "one").await.code, Code::ACCEPTED.0);
    let reused = wire::Send { settled: 0, ..alice.item("bob", "another", 1) };
    alice.link.queue(&Frame::new(method::SEND, 0, &reused));
    alice.link.flush().await.unwrap();
    let verdict: wire::Verdict = alice.push(method::VERDICT).await;
    assert_eq!(verdict.runs[0].code, Code::CONFLICT.0);
    let early = wire::Send { settled: 0, ..alice.item("bob", "three", 3) };
    alice.link.queue(&Frame::new(method::SEND, 0, &early));
    alice.link.flush().await.unwrap();
    assert_eq!(alice.push::<wire::Gap>(method::GAP).await.last, 1);
    let one = bob.delivery().await;
    let never = wire::Position { n: one.position.unwrap().n + 1, ..one.position.unwrap() };
    bob.ack(Some(never)).await;
    assert_eq!(bob.end().await, Some(Code::PROTOCOL));
    let mut bob = Client::connect_as(&world, bob.device.clone()).await;
    bob.by_key("bob").await.unwrap();
    bob.hello().await;
    assert!(at(bob.welcome.cursor).n < at(one.position).n, "his cursor did not move");
    assert_eq!(bob.read().await.1, "one");
    assert_eq!(alice.text("bob", "two").await.code, Code::ACCEPTED.0);
    assert_eq!(bob.read().await.1, "two");
}

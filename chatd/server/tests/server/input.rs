//! Bad input from those who are logged in and those who are not (S10, S14 to S16, S26, S27).

use bytes::BytesMut;
use chat_proto::fault::Code;
use chat_proto::frame::{self, Frame};
use chat_proto::{limits, method, status, wire};
use prost::Message as _;

use crate::client::{Client, Device};
use crate::raw::Raw;
use crate::world::World;

fn raw(name: &[u8; 4], tag: u32, body: &[u8]) -> Frame {
    Frame { name: *name, tag, body: body.to_vec().into() }
}

#[tokio::test]
async fn an_unknown_method_is_refused_and_the_session_goes_on() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let refused = alice.ask::<wire::Empty>(*b"WHAT", &wire::Empty {}).await;
    assert_eq!(refused.unwrap_err().code, Code::UNSUPPORTED);
    for forged in [method::DELIVER, method::VERDICT, method::PRESENCE, status::END] {
        let refused = alice.ask::<wire::Empty>(forged, &wire::Empty {}).await;
        assert_eq!(refused.unwrap_err().code, Code::FORBIDDEN);
    }
    alice.barrier().await;
}

#[tokio::test]
async fn before_login_any_other_method_is_the_end() {
    let world = World::start().await;
    for frame in
        [raw(b"SEND", 1, b""), raw(b"WHOE", 1, b""), raw(b"GET ", 1, b""), raw(b"HELO", 1, b""), raw(b"LOGI", 1, b"")]
    {
        for identified in [true, false] {
            let mut stranger =
                if identified { Client::connect(&world).await } else { Client::bare(&world, Device::new()).await };
            stranger.link.queue(&frame);
            let answer = stranger.frame().await.unwrap().unwrap();
            assert_eq!((answer.name, answer.tag), (status::ERROR, 1));
            assert_eq!(stranger.end().await, Some(Code::PROTOCOL));
        }
    }
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_the_end() {
    let world = World::start().await;
    // A field of a wrong type, a length beyond the end, a number of eleven bytes, a nesting without an end.
    let bodies: [&[u8]; 4] =
        [b"\x0a\x01a", b"\x12\xff\xff\xff\xff\x07", b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &[0x0b; 200]];
    for (number, body) in bodies.into_iter().enumerate() {
        let mut alice = world.user(&format!("alice{number}")).await;
        alice.link.queue(&raw(b"SEND", 0, body));
        assert_eq!(alice.end().await, Some(Code::PROTOCOL), "{body:?}");
    }
    let mut alice = world.user("alice").await;
    alice.link.queue(&raw(b"BLOC", 1, b"\x0a\x02\xff\xfe"));
    assert_eq!(alice.end().await, Some(Code::PROTOCOL), "not UTF-8");
}

/// The claim is enough: of a body that is one byte too long nothing is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn s06_s15_frames_beyond_the_limit_are_the_end() {
    let world = World::start().await;
    for (max, name) in [(limits::FRAME_MAX_STRANGER, method::NAME), (limits::FRAME_MAX, method::SEND)] {
        let mut client = Raw::connect(&world, 2).await;
        let server = world.id;
        let ended = tokio::task::spawn_blocking(move || {
            if name == method::SEND {
                client.enter("alice", server, &Device::new())
            } else {
                client.identify()
            }
            let mut bytes = BytesMut::new();
            // A length counts name and tag too.
            frame::put_header(&mut bytes, name, 1, max + 1 - 8);
            bytes.extend_from_slice(b"few");
            client.say(&bytes).unwrap();
            loop {
                let frame = client.hear();
                if frame.name == status::END {
                    return Code(wire::Bye::decode(frame.body).unwrap().code);
                }
            }
        });
        assert_eq!(ended.await.unwrap(), Code::PROTOCOL, "{max}");
    }
}

/// What a stranger may say at most is answered, and what somebody in a session may say is not for strangers.
#[tokio::test]
async fn s06_the_longest_frame_of_a_stranger_is_heard() {
    let world = World::start().await;
    for (size, heard) in [(limits::FRAME_MAX_STRANGER, true), (limits::FRAME_MAX_STRANGER + 1, false)] {
        let mut stranger = Client::connect(&world).await;
        // A name that is as long as it takes.
        let ask = |length: usize| wire::Name { account: "x".repeat(length), ..wire::Name::default() };
        let over = 8 + ask(limits::FRAME_MAX_STRANGER).encoded_len() - size;
        let ask = ask(limits::FRAME_MAX_STRANGER - over);
        assert_eq!(8 + ask.encoded_len(), size);
        if heard {
            stranger.ask::<wire::NameState>(method::NAME, &ask).await.unwrap();
        } else {
            stranger.link.queue(&Frame::new(method::NAME, 1, &ask));
            assert_eq!(stranger.end().await, Some(Code::PROTOCOL));
        }
    }
}

#[tokio::test]
async fn s16_a_text_beyond_the_limit_is_refused_and_never_cut() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let run = alice.text("bob", &"x".repeat(limits::TEXT_MAX + 1)).await;
    assert_eq!(run.code, Code::TOO_LARGE.0);
    assert_eq!(alice.text("bob", &"x".repeat(limits::TEXT_MAX)).await.code, Code::ACCEPTED.0);
    assert_eq!(bob.read().await.1.len(), limits::TEXT_MAX);
}

#[tokio::test]
async fn no_common_version() {
    let world = World::start().await;
    let mut stranger = Client::bare(&world, Device::new()).await;
    let ask = wire::Identify { version_min: 900, version_max: 901, agent: String::new() };
    let refused = stranger.ask::<wire::Identity>(method::IDENTIFY, &ask).await;
    assert_eq!(refused.unwrap_err().code, Code::VERSION);
    assert_eq!(stranger.end().await, Some(Code::VERSION));
}

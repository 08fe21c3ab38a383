//! S24, S30: offers without end, names that lead elsewhere, bytes that nobody asked for, that are others than was said, or more.

use std::fs;
use std::path::PathBuf;

use bytes::BytesMut;
use chat_proto::limits::FILE_OFFERS_OF_PEER;
use chat_proto::method::peer as method;
use chat_proto::peer::{FileAccept, FileBytes, FileEnd, FileOffer};
use chat_tests::process::until;
use iroh::endpoint::SendStream;
use prost::Message as _;
use serde_json::Value;

use crate::account::random;
use crate::peer::{Wire, met};
use crate::victim::Victim;

/// SHA-256 of "hello".
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn offer(name: &str, size: u64) -> FileOffer {
    let sha256 = (0..HELLO.len()).step_by(2).map(|at| u8::from_str_radix(&HELLO[at..at + 2], 16).expect("hex"));
    FileOffer { id: random::<16>().to_vec(), name: name.into(), size, sha256: sha256.collect() }
}

fn files(victim: &Victim) -> Vec<Value> {
    victim.home.json(&["file", "list"]).ok().items()
}

/// The victim's list, once it has this many offers that wait.
fn waiting(victim: &Victim, count: usize) -> Vec<Value> {
    until("the offers are there", || {
        let offered: Vec<Value> = files(victim).into_iter().filter(|file| file["state"] == "offered").collect();
        (offered.len() == count).then_some(offered)
    })
}

/// All that lies where files go, whatever it is called.
fn downloads(victim: &Victim) -> Vec<PathBuf> {
    let listed = fs::read_dir(victim.home.dir().join("Downloads")).into_iter().flatten();
    listed.map(|entry| entry.expect("an entry").path()).collect()
}

/// A stream with bytes of a file.
async fn bytes(wire: &Wire, id: &[u8], offset: u64, content: &[u8]) -> SendStream {
    let mut stream = wire.connection.open_uni().await.expect("a stream");
    let head = FileBytes { id: id.to_vec(), offset };
    let mut out = BytesMut::new();
    out.extend_from_slice(&u32::try_from(head.encoded_len()).expect("short").to_be_bytes());
    head.encode(&mut out).expect("room");
    out.extend_from_slice(content);
    // the other side may not want all of it
    let _ = stream.write_all(&out).await;
    let _ = stream.finish();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s30_offers_without_end_are_few() {
    let (_world, pair, _foe, _session, mut wire) = met().await;
    let before = pair.bob.memory();
    for n in 0..2_000 {
        wire.say(method::FILE_OFFER, &offer(&format!("{n} {}", "n".repeat(4_000)), 5)).await;
    }
    let mut refused = 0;
    while refused < 2_000 - FILE_OFFERS_OF_PEER {
        let end: FileEnd = wire.hears(method::FILE_CANCEL).await;
        assert_eq!(end.code, chat_proto::fault::Code::TOO_MANY_FILES.0);
        refused += 1;
    }
    let offered = waiting(&pair.bob, FILE_OFFERS_OF_PEER);
    assert!(offered.iter().all(|file| file["name"].as_str().is_some_and(|name| name.len() <= 1024)), "a name is cut");
    let grown = pair.bob.memory().saturating_sub(before);
    assert!(grown < 16 * 1024, "chatd grew by {grown} KiB");
    pair.goes_on("beside offers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s24_what_is_not_as_it_was_offered_is_not_kept() {
    let (_world, pair, _foe, _session, mut wire) = met().await;
    let bob = &pair.bob;
    let outside = bob.home.dir().join("outside");

    // nobody said yes
    let early = offer("early", 5);
    wire.say(method::FILE_OFFER, &early).await;
    waiting(bob, 1);
    for id in [early.id, random::<16>().to_vec()] {
        bytes(&wire, &id, 0, b"hello").await;
    }
    // it answers in order: a later offer is there, nothing of the bytes is
    wire.say(method::FILE_OFFER, &offer("later", 5)).await;
    let offered = waiting(bob, 2);
    assert!(offered.iter().all(|file| file["done"] == 0) && downloads(bob).is_empty(), "{offered:?}");
    for file in offered {
        bob.home.run(&["file", "decline", file["id"].as_str().expect("an id")]).ok();
    }

    // others than was said, fewer, more, from elsewhere
    let wrong: [(&str, u64, &[u8]); 4] =
        [("others", 0, b"HELLO"), ("fewer", 0, b"hell"), ("more", 0, b"hello, and more"), ("elsewhere", 2, b"llo")];
    for (what, offset, content) in wrong {
        let file = offer(what, 5);
        wire.say(method::FILE_OFFER, &file).await;
        waiting(bob, 1);
        bob.home.run(&["file", "accept", &waiting_id(bob)]).ok();
        let accept: FileAccept = wire.hears(method::FILE_ACCEPT).await;
        assert_eq!((accept.id, accept.offset), (file.id.clone(), 0));
        let _stream = bytes(&wire, &file.id, offset, content).await;
        if what == "elsewhere" || what == "fewer" {
            // such a stream is as one that broke: the rest may come later, or the peer gives it up
            wire.say(method::FILE_CANCEL, &FileEnd { id: file.id.clone(), code: 0 }).await;
        }
        until("it is over", || {
            files(bob).last().filter(|file| file["state"] != "running" && file["state"] != "waiting").map(drop)
        });
        let last = files(bob).pop().expect("a transfer");
        assert!(last["state"] == "failed" || last["state"] == "cancelled", "{what}: {last}");
        assert!(!downloads(bob).iter().any(|path| path.ends_with(what)), "{what}: {:?}", downloads(bob));
    }

    // names that lead elsewhere
    for name in ["../outside", "/tmp/../outside", "..", "", "a/../../outside", "\0", "Downloads/../outside"] {
        let file = offer(name, 5);
        wire.say(method::FILE_OFFER, &file).await;
        waiting(bob, 1);
        bob.home.run(&["file", "accept", &waiting_id(bob), "--conflict", "rename"]).ok();
        let accept: FileAccept = wire.hears(method::FILE_ACCEPT).await;
        let _stream = bytes(&wire, &accept.id, 0, b"hello").await;
        let done: FileEnd = wire.hears(method::FILE_DONE).await;
        assert_eq!(done.id, file.id, "{name:?}");
    }
    assert!(!outside.exists(), "a name led elsewhere");
    let whole = downloads(bob).iter().filter(|path| fs::read(path).is_ok_and(|content| content == b"hello")).count();
    assert_eq!(whole, 7, "{:?}", downloads(bob));
    pair.goes_on("after false files");
}

/// The id of the one offer that waits.
fn waiting_id(victim: &Victim) -> String {
    let offered = files(victim).into_iter().find(|file| file["state"] == "offered").expect("an offer");
    offered["id"].as_str().expect("an id").to_owned()
}

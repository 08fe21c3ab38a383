//! Sending, delivering, acknowledging, fetching.

use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::{limits, method, wire};

use crate::client::{Client, SOON, at};
use crate::raw::Raw;
use crate::world::{PASSWORD, World};

#[tokio::test]
async fn a_message_reaches_who_is_online_and_who_comes_later() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let run = alice.text("bob", "lunch?").await;
    assert_eq!((run.code, run.online), (Code::ACCEPTED.0, true));
    let delivery = bob.delivery().await;
    assert_eq!(delivery.prev, bob.welcome.cursor, "the first prev is WELCOME's cursor");
    assert_eq!((delivery.from.as_str(), delivery.to.as_str()), ("alice", "bob"));
    assert_eq!(delivery.incarnation, alice.incarnation);
    bob.ack(delivery.position).await;
    bob.barrier().await;
    let device = bob.device.clone();
    drop(bob);

    alice.text("bob", "one").await;
    alice.text("bob", "two").await;
    let mut bob = Client::connect_as(&world, device).await;
    bob.by_key("bob").await.unwrap();
    bob.hello_from(delivery.position).await.unwrap();
    assert_eq!(bob.read().await, ("alice".into(), "one".into()));
    assert_eq!(bob.read().await, ("alice".into(), "two".into()));
}

#[tokio::test]
async fn refusals_are_recorded_and_repeated() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    assert_eq!(alice.text("nobody", "x").await.code, Code::UNKNOWN_USER.0);
    assert_eq!(alice.text("alice", "x").await.code, Code::YOURSELF.0);
    let mut item = alice.item("nobody", "x", 1);
    item.settled = 0;
    alice.link.queue(&Frame::new(method::SEND, 0, &item));
    alice.link.flush().await.unwrap();
    let again: wire::Verdict = alice.push(method::VERDICT).await;
    assert_eq!((again.runs[0].code, again.runs[0].stored), (Code::UNKNOWN_USER.0, true));
}

#[tokio::test]
async fn a_gap_is_told_once() {
    let world = World::start().await;
    let (mut alice, _bob) = (world.user("alice").await, world.user("bob").await);
    for cseq in [3, 4, 5] {
        let item = alice.item("bob", "early", cseq);
        alice.link.queue(&Frame::new(method::SEND, 0, &wire::Send { settled: 0, ..item }));
        // Each by itself: the next one is decided when the one before was told of.
        let place = wire::Trace { incarnation: alice.incarnation, cseq };
        let _ = alice.ask::<wire::Traced>(method::TRACE, &place).await;
    }
    let gap: wire::Gap = alice.push(method::GAP).await;
    assert_eq!(gap, wire::Gap { incarnation: alice.incarnation, last: 0 });
    assert_eq!(alice.text("bob", "one").await.code, Code::ACCEPTED.0);
    alice.barrier().await;
    assert_eq!(alice.seen(method::GAP), 0, "told once for all three");
}

#[tokio::test]
async fn the_window_is_kept_and_the_rest_comes_with_acks() {
    const ALL: usize = limits::DELIVER_WINDOW + 40;
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    for n in 0..ALL {
        assert_eq!(alice.text("bob", &n.to_string()).await.code, Code::ACCEPTED.0);
    }
    let mut last = at(bob.welcome.cursor);
    for n in 0..ALL {
        if n == limits::DELIVER_WINDOW {
            bob.barrier().await;
            assert_eq!(bob.seen(method::DELIVER), 0, "no more than the window");
            bob.ack(Some(last.into())).await;
        }
        let delivery = bob.delivery().await;
        assert_eq!(delivery.body, n.to_string());
        assert_eq!(at(delivery.prev), last, "the chain");
        last = at(delivery.position);
    }
}

#[tokio::test]
async fn fetch_gives_again_from_a_place() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    for text in ["one", "two", "three"] {
        alice.text("bob", text).await;
    }
    let one = bob.delivery().await;
    bob.delivery().await;
    bob.delivery().await;
    bob.link.queue(&Frame::new(method::FETCH, 0, &wire::Fetch { from: one.position }));
    bob.link.flush().await.unwrap();
    let two = bob.delivery().await;
    assert_eq!((two.prev, &two.body[..]), (one.position, &b"two"[..]));
    assert_eq!(&bob.delivery().await.body[..], b"three");
}

#[tokio::test]
async fn s26_an_ack_of_what_was_never_given_is_the_end() {
    let world = World::start().await;
    for (nonce, n) in [(0, 1_000_000), (1, 0)] {
        let name = format!("bob{n}");
        let mut bob = world.user(&name).await;
        let cursor = bob.welcome.cursor.unwrap_or_default();
        bob.ack(Some(wire::Position { nonce: cursor.nonce ^ nonce, n: cursor.n + n, ..cursor })).await;
        assert_eq!(bob.end().await, Some(Code::PROTOCOL));
    }
}

#[tokio::test]
async fn other_devices_of_the_sender_get_a_copy() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let mut second = Client::connect(&world).await;
    second.login("alice", PASSWORD).await.unwrap();
    second.hello().await;
    alice.text("bob", "hello").await;
    let copy = loop {
        // The notice that a device was enrolled may come first.
        let delivery = second.delivery().await;
        if delivery.kind == wire::kind::DIRECT {
            break delivery;
        }
    };
    assert_eq!((copy.from.as_str(), copy.to.as_str(), copy.cseq), ("alice", "bob", 1));
    assert_eq!(bob.read().await.1, "hello");
    alice.barrier().await;
    bob.text("alice", "back").await;
    let mine = loop {
        let delivery = alice.delivery().await;
        if delivery.kind == wire::kind::DIRECT {
            break delivery;
        }
    };
    assert_eq!(mine.body, "back", "the sending device is not given its own");
}

#[tokio::test]
async fn who_sends_too_fast_waits_and_loses_nothing() {
    let world = World::with("limits = { messages_per_second = 100, message_burst = 5 }").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    for n in 1..=8 {
        alice.queue_text("bob", &n.to_string());
    }
    alice.link.flush().await.unwrap();
    let later: wire::TryLater = alice.push(method::TRY_LATER).await;
    assert_eq!(later.code, Code::SLOW_DOWN.0);
    assert!(later.after_ms > 0 && later.after_ms <= 60_000);
    tokio::time::sleep(std::time::Duration::from_millis(later.after_ms + 1)).await;
    for n in 1..=8 {
        // At or below the last decided place the stored verdict comes again.
        let item = alice.item("bob", &n.to_string(), n);
        if n > 5 {
            alice.link.queue(&Frame::new(method::SEND, 0, &item));
        }
    }
    alice.link.flush().await.unwrap();
    for n in 1..=8 {
        assert_eq!(bob.read().await.1, n.to_string());
    }
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_up_nobody() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let mut carol = world.user("carol").await;
    let text = "x".repeat(limits::TEXT_MAX);
    for _ in 0..64 {
        assert_eq!(alice.text("bob", &text).await.code, Code::ACCEPTED.0);
    }
    alice.text("carol", "meanwhile").await;
    assert_eq!(carol.read().await.1, "meanwhile");
    for n in 0..64 {
        assert_eq!(bob.read().await.1.len(), limits::TEXT_MAX, "{n}");
    }
}

#[tokio::test]
async fn a_place_that_is_given_up_is_decided() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let void = wire::Void { incarnation: alice.incarnation, first: 1, last: 2 };
    alice.link.queue(&Frame::new(method::VOID, 0, &void));
    alice.link.flush().await.unwrap();
    let verdict: wire::Verdict = alice.push(method::VERDICT).await;
    let run = &verdict.runs[0];
    assert_eq!((run.first, run.count, run.code), (1, 2, Code::VOID.0));
}

/// Told after 30 s without progress, and resumed with nothing lost; until then little waits for him in memory.
#[tokio::test(flavor = "multi_thread")]
async fn s21_a_reader_who_stops_reading_is_ended() {
    const TEXTS: usize = 16;
    let world = World::with("sessions = { grace = 0 }").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let device = bob.device.clone();
    bob.ask::<wire::Empty>(method::LOGOUT, &wire::Logout::default()).await.unwrap();
    sees(&mut alice, "bob", false).await;
    let text = "x".repeat(limits::TEXT_MAX);
    for _ in 0..TEXTS {
        assert_eq!(alice.text("bob", &text).await.code, Code::ACCEPTED.0);
    }
    // More than a reader may have waits for him at once; the system holds little of it, and he reads no more.
    let mut slow = Raw::connect(&world, 2).await;
    let (server, again) = (world.id, device.clone());
    let began = tokio::time::Instant::now();
    let coming = tokio::task::spawn_blocking(move || {
        slow.come_back("bob", server, &again);
        slow
    });
    let slow = coming.await.unwrap();
    let held = || {
        let sessions = world.server.as_ref().unwrap().running().gateway.directory.all();
        sessions.iter().map(|mailbox| mailbox.held()).max().unwrap_or_default()
    };
    for _ in 0..TEXTS {
        assert_eq!(alice.text("bob", &text).await.code, Code::ACCEPTED.0);
        assert!(held() <= limits::OUTPUT_MAX, "{} bytes", held());
    }
    sees(&mut alice, "bob", true).await;
    alice.patience = limits::SLOW_READER + SOON;
    sees(&mut alice, "bob", false).await;
    assert!(began.elapsed() >= limits::SLOW_READER);
    assert_eq!(world.counted("sessions_ended", Code::SLOW_READER.name()), 1, "the system's own limit comes later");
    drop(slow);
    let mut again = Client::connect_as(&world, device).await;
    again.by_key("bob").await.unwrap();
    again.hello().await;
    for n in 0..2 * TEXTS {
        assert_eq!(again.read().await.1.len(), limits::TEXT_MAX, "{n}");
    }
}

/// Waits until somebody is seen to come or to leave.
async fn sees(client: &mut Client, who: &str, online: bool) {
    loop {
        let notice: wire::Presence = client.push(method::PRESENCE).await;
        if notice.items.iter().any(|item| (item.account.as_str(), item.online) == (who, online)) {
            return;
        }
    }
}

#[tokio::test]
async fn no_message_is_too_large_for_its_receiver() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    // As large as a frame of its sender may be: what it becomes for its receiver would not fit.
    let mut item = alice.item("bob", &"x".repeat(limits::TEXT_MAX), 1);
    item.content_type = "y".repeat(7_000);
    let over = limits::FRAME_MAX - 8 - prost::Message::encoded_len(&item);
    item.content_type.push_str(&"y".repeat(over));
    alice.link.queue(&Frame::new(method::SEND, 0, &item));
    alice.link.flush().await.unwrap();
    let verdict: wire::Verdict = alice.push(method::VERDICT).await;
    assert_eq!(verdict.runs[0].code, Code::TOO_LARGE.0);
    let longest = wire::Send { content_type: "z".repeat(limits::CONTENT_TYPE_MAX), cseq: 2, ..item };
    alice.link.queue(&Frame::new(method::SEND, 0, &longest));
    alice.link.flush().await.unwrap();
    let delivery = bob.delivery().await;
    assert_eq!((delivery.cseq, delivery.body.len()), (2, limits::TEXT_MAX));
}

#[tokio::test]
async fn giving_up_places_is_no_way_around_the_rate() {
    let world = World::with("limits = { messages_per_second = 1, message_burst = 3 }").await;
    let mut alice = world.user("alice").await;
    for cseq in 1..=8 {
        let void = wire::Void { incarnation: alice.incarnation, first: cseq, last: cseq };
        alice.link.queue(&Frame::new(method::VOID, 0, &void));
    }
    alice.link.flush().await.unwrap();
    let later: wire::TryLater = alice.push(method::TRY_LATER).await;
    assert_eq!(later.code, Code::SLOW_DOWN.0);
}

#[tokio::test]
async fn broadcasts_have_a_rate_of_their_own() {
    let world = World::with("limits = { broadcasts_per_minute = 2 }").await;
    let (mut alice, _bob) = (world.user("alice").await, world.user("bob").await);
    for code in [Code::ACCEPTED, Code::ACCEPTED, Code::LIMIT] {
        let run = alice.text("", "all").await;
        assert_eq!((run.code, run.retry_after_ms > 0), (code.0, code == Code::LIMIT));
    }
    assert_eq!(alice.text("bob", "still").await.code, Code::ACCEPTED.0);
}

#[tokio::test]
async fn who_tries_out_names_waits() {
    let world = World::with("limits = { unknown_recipients_per_hour = 2 }").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    for _ in 0..2 {
        assert_eq!(alice.text("nobody", "x").await.code, Code::UNKNOWN_USER.0);
    }
    assert_eq!(alice.text("bob", "known").await.code, Code::ACCEPTED.0);
    alice.queue_text("nobody", "x");
    alice.link.flush().await.unwrap();
    let later: wire::TryLater = alice.push(method::TRY_LATER).await;
    assert_eq!((later.code, later.after_ms), (Code::SLOW_DOWN.0, 60_000));
    assert_eq!(bob.text("nobody", "x").await.code, Code::UNKNOWN_USER.0, "others are not touched");
}

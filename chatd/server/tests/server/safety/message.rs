//! Senders without measure, and what receipts tell (S20, S23).

use std::time::{Duration, Instant};

use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::{limits, method, wire};

use crate::client::{Client, SOON, at};
use crate::world::World;

/// Sends on and on whatever it is told, until the server ends it; what came from it, and why it ended.
async fn flood(mallory: &mut Client) -> (usize, Option<Code>) {
    let mut later = 0;
    let flooding = async {
        loop {
            for _ in 0..64 {
                mallory.queue_text("bob", "buy");
            }
            if mallory.link.flush().await.is_err() {
                return None;
            }
            while let Ok(read) =
                tokio::time::timeout(Duration::from_millis(1), mallory.link.recv_while_flushing()).await
            {
                match read {
                    Ok(Some(frame)) if frame.name == method::TRY_LATER => later += 1,
                    Ok(Some(frame)) if frame.name == chat_proto::status::END => {
                        return Some(Code(<wire::Bye as prost::Message>::decode(frame.body).unwrap().code));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return None,
                }
            }
        }
    };
    let end = tokio::time::timeout(3 * SOON, flooding).await.expect("a flood is ended");
    (later, end)
}

/// Told to wait, then not read from, then ended; others are served all the while.
#[tokio::test(flavor = "multi_thread")]
async fn s20_a_flood_is_slowed_paused_and_ended() {
    let world = World::with("limits = { messages_per_second = 10, message_burst = 20 }").await;
    let (mut mallory, mut alice) = (world.user("mallory").await, world.user("alice").await);
    let mut bob = world.user("bob").await;
    let flooding = tokio::spawn(async move {
        let outcome = flood(&mut mallory).await;
        (outcome, mallory.device.clone())
    });
    let mut seen = 0;
    while !flooding.is_finished() {
        assert_eq!(alice.text("bob", "hello").await.code, Code::ACCEPTED.0, "who keeps to the rate is not touched");
        let answer = async { while bob.read().await.1 != "hello" {} };
        tokio::time::timeout(SOON, answer).await.unwrap();
        seen += 1;
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    let ((later, end), device) = flooding.await.unwrap();
    assert!((1..=limits::FLOODS_IN_A_ROW as usize + 1).contains(&later), "told {later} times");
    assert!(end.is_none_or(|code| code == Code::SLOW_DOWN), "{end:?}");
    // Its own words may have drowned ours; why the server ended it is written down.
    assert_eq!(world.counted("sessions_ended", Code::SLOW_DOWN.name()), 1);
    assert!(seen > 3);
    let mut back = Client::connect_as(&world, device).await;
    back.by_key("mallory").await.expect("it may come back");
}

/// One that sends on as if it had not been told is not read from until it may send again.
#[tokio::test]
async fn s20_a_flood_is_not_read_while_it_should_be_quiet() {
    // What may have been on the way when it was told, with what it was told for; the next one shows that it did not listen.
    const TOO_MANY: u64 = 2 + 2 * limits::SEND_WINDOW + 1;
    let world = World::with("limits = { messages_per_second = 1, message_burst = 1 }").await;
    let mut mallory = world.user("mallory").await;
    let began = Instant::now();
    for _ in 0..TOO_MANY {
        mallory.queue_text("mallory", "buy");
    }
    mallory.barrier().await;
    let answered = began.elapsed();
    let later: wire::TryLater = mallory.push(method::TRY_LATER).await;
    assert_eq!(later.after_ms, 1000);
    // The server counts whole milliseconds.
    assert!(answered >= Duration::from_millis(later.after_ms - 2), "answered after {answered:?}");
    assert_eq!(mallory.seen(method::TRY_LATER), 0);
}

/// One that heeds what it is told is never ended, however often it runs into the limit.
#[tokio::test]
async fn s20_who_heeds_is_not_ended() {
    let world = World::with("limits = { messages_per_second = 50, message_burst = 5 }").await;
    let (mut alice, _bob) = (world.user("alice").await, world.user("bob").await);
    let mut next = 1;
    for _ in 0..8 {
        // A whole window on the way when it is told.
        for cseq in next..next + limits::SEND_WINDOW {
            let item = wire::Send { settled: next - 1, ..alice.item("bob", "x", cseq) };
            alice.link.queue(&Frame::new(method::SEND, 0, &item));
        }
        alice.link.flush().await.unwrap();
        let later: wire::TryLater = alice.push(method::TRY_LATER).await;
        tokio::time::sleep(Duration::from_millis(later.after_ms + 1)).await;
        alice.barrier().await;
        next += accepted(&mut alice);
    }
    alice.barrier().await;
}

/// How many places were accepted by what came so far.
fn accepted(client: &mut Client) -> u64 {
    let frames = client.take_seen(method::VERDICT);
    let runs = frames.into_iter().flat_map(|body| <wire::Verdict as prost::Message>::decode(body).unwrap().runs);
    runs.filter(|run| run.code == 0).map(|run| u64::from(run.count)).sum()
}

/// The rate is the account's: a new session begins where the last one left off.
#[tokio::test]
async fn s20_a_reconnect_is_no_new_burst() {
    // What comes back in a minute is one burst, so that a slow machine gives nobody another.
    const BURST: u64 = 60;
    let world = World::with(&format!("limits = {{ messages_per_second = 1, message_burst = {BURST} }}")).await;
    let (mut mallory, _bob) = (world.user("mallory").await, world.user("bob").await);
    for _ in 0..BURST {
        mallory.queue_text("bob", "buy");
    }
    mallory.barrier().await;
    assert_eq!(mallory.seen(method::TRY_LATER), 0, "a burst is allowed");
    let (device, place) = (mallory.device.clone(), (mallory.incarnation, mallory.cseq()));
    mallory.ask::<wire::Empty>(method::LOGOUT, &wire::Logout::default()).await.unwrap();
    assert_eq!(mallory.end().await, Some(Code::ACCEPTED), "no session of hers is left");
    let mut back = Client::connect_as(&world, device).await;
    back.by_key("mallory").await.unwrap();
    back.go_on(place.0, place.1);
    back.hello().await;
    for _ in 0..BURST {
        back.queue_text("bob", "buy");
    }
    back.barrier().await;
    assert_eq!(back.seen(method::TRY_LATER), 1, "not another one");
}

/// Kinds and recipients have limits of their own: refused for good, with the time when to try again.
#[tokio::test]
async fn s20_kinds_have_limits_of_their_own() {
    let world = World::with("limits = { broadcasts_per_minute = 4, unknown_recipients_per_hour = 20 }").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    for n in 0..6 {
        let run = alice.text("", "all").await;
        let expected = if n < 4 { (Code::ACCEPTED.0, false) } else { (Code::LIMIT.0, true) };
        assert_eq!((run.code, run.retry_after_ms > 0), expected, "{n}");
    }
    for _ in 0..20 {
        assert_eq!(bob.text("absent", "x").await.code, Code::UNKNOWN_USER.0);
    }
    bob.queue_text("absent", "x");
    bob.link.flush().await.unwrap();
    let later: wire::TryLater = bob.push(method::TRY_LATER).await;
    assert_eq!((later.code, later.after_ms), (Code::SLOW_DOWN.0, 60_000));
}

/// Receipts go to nobody whom the reader blocks, of nothing that he keeps to himself, and many become one.
#[tokio::test]
async fn s23_receipts_tell_only_whom_they_may() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let follow = wire::Follow { accounts: vec!["bob".into(), "absent".into(), "\u{202e}".into()] };
    let told: wire::Receipts = alice.ask(method::RECEIPT, &follow).await.unwrap();
    assert_eq!(told.items.iter().map(|item| item.account.as_str()).collect::<Vec<_>>(), ["bob"]);
    alice.text("bob", "one").await;
    let one = bob.delivery().await.position;
    bob.ack(one).await;
    let receipts: wire::Receipts = alice.push(method::RECEIPT).await;
    assert_eq!((receipts.items[0].delivered, receipts.items[0].read), (at(one).n, 0));
    let mark = |share| wire::Mark { account: "alice".into(), position: one, share };
    bob.ask::<wire::Empty>(method::MARK, &mark(false)).await.unwrap();
    alice.barrier().await;
    assert_eq!(alice.seen(method::RECEIPT), 0, "kept to himself");
    let nobody = wire::Mark { account: "absent".into(), ..mark(true) };
    assert_eq!(bob.ask::<wire::Empty>(method::MARK, &nobody).await.unwrap_err().code, Code::UNKNOWN_USER);
    // From the block on alice learns nothing, not even that she was blocked by how receipts stop for what is new.
    let who = wire::Account { account: "alice".into() };
    alice.text("bob", "two").await;
    let two = bob.delivery().await.position;
    bob.ask::<wire::BlockChanged>(method::BLOCK, &who).await.unwrap();
    bob.ack(two).await;
    bob.ask::<wire::Empty>(method::MARK, &wire::Mark { position: two, ..mark(true) }).await.unwrap();
    bob.barrier().await;
    alice.barrier().await;
    assert_eq!(alice.seen(method::RECEIPT), 0);
    let told: wire::Receipts = alice.ask(method::RECEIPT, &follow).await.unwrap();
    assert!(told.items.is_empty(), "{told:?}");
    let foreign = wire::Mark { position: Some(wire::Position { nonce: 1, n: 1, epoch: 1 }), ..mark(true) };
    bob.link.queue(&Frame::new(method::MARK, 5, &foreign));
    assert_eq!(bob.end().await, Some(Code::PROTOCOL), "a place that there is not");
}

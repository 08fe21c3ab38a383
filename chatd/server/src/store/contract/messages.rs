//! Sending and reading: verdicts, order, refusals, pages, the fence, the start after a crash.

use chat_proto::fault::Code;
use chat_proto::id::Incarnation;
use chat_proto::wire::{self, kind};

use super::town::{Place, Told, Town, codes, message, name};
use crate::store::{Op, Settings, Verdict};

fn gap(verdict: &Verdict) -> Option<u64> {
    match verdict {
        Verdict::Gap { last, .. } => Some(*last),
        _ => None,
    }
}

/// Accepted once, and the same answer for ever after: before and behind the fold, and after a start.
pub async fn a_verdict_stands<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let first = town.accepted(&alice, 1, "bob", "one").await;
    for round in 0..4 {
        let again = town.send(&alice, vec![message(alice.inc, 1, "bob", "one")]).await;
        assert!(
            matches!(again.as_slice(), [Verdict::Decided { code: Code::ACCEPTED, position: Some(p), stored: true, .. }] if *p == first),
            "{round}: {again:?}"
        );
        let other = town.send(&alice, vec![message(alice.inc, 1, "bob", "two")]).await;
        assert_eq!(codes(&other), [Code::CONFLICT]);
        match round {
            0 => town.fold().await,
            1 => town.crash(),
            2 => town.shut_down().await,
            _ => break,
        }
        if town.store.is_none() {
            town.start().await;
            let welcome = town.open(&mut alice, None).await.welcome;
            let known = &welcome.streams[0];
            assert_eq!((known.incarnation, known.last, known.decisions.len()), (alice.inc.0, 1, 1));
            assert_eq!(known.decisions[0].position, Some(first.into()));
        }
    }
    assert_eq!(town.inbox(&bob, 0).await, ["one"]);
}

/// Beyond the next place nothing is decided, and that is said once; VOID fills a place.
pub async fn places_are_decided_in_order<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let send = |cseq: u64| message(alice.inc, cseq, "bob", &cseq.to_string());
    let gaps = town.send(&alice, vec![send(3), send(4), send(1)]).await;
    assert_eq!(gaps.iter().map(gap).collect::<Vec<_>>(), [Some(0)], "the rest of the operation is dropped unanswered");
    assert_eq!(codes(&town.send(&alice, vec![send(1)]).await), [Code::ACCEPTED]);
    assert_eq!(town.void(&alice, 4, 5).await.iter().map(gap).collect::<Vec<_>>(), [Some(1)]);
    assert_eq!(codes(&town.void(&alice, 1, 3).await), [Code::ACCEPTED, Code::VOID, Code::VOID]);
    assert_eq!(codes(&town.send(&alice, vec![send(2)]).await), [Code::VOID], "given up is given up");
    assert_eq!(codes(&town.send(&alice, vec![send(4), send(5)]).await), [Code::ACCEPTED, Code::ACCEPTED]);
    town.fold().await;
    assert_eq!(codes(&town.void(&alice, 2, 4).await), [Code::VOID, Code::VOID, Code::ACCEPTED]);
    assert_eq!(town.inbox(&bob, 0).await, ["1", "4", "5"]);
    let other = Incarnation(77);
    let mixed = vec![message(other, 2, "bob", "x"), send(6), message(other, 1, "bob", "y"), send(7)];
    let mixed = town.send(&alice, mixed).await;
    assert_eq!((mixed.len(), codes(&mixed)), (3, vec![Code::ACCEPTED, Code::ACCEPTED]), "a gap stops its stream only");
}

/// Each refusal has its code, takes its place, and is remembered like an acceptance.
pub async fn refusals_are_recorded<P: Place>(place: P) {
    let settings = Settings { text_max: 100, offline_max_per_user: 3, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let mut alice = town.arrive("alice", 1).await;
    let carol = town.arrive("carol", 3).await;
    town.sign_up("bob", 2).await;
    let fence = carol.fence();
    let block = |on| move |answer| Op::Block { fence, who: name("alice"), on, answer };
    assert_eq!(town.ask(block(true)).await, Ok(true));
    let long = "x".repeat(101);
    let offers = [
        ("nobody", "1", Code::UNKNOWN_USER),
        ("alice", "2", Code::YOURSELF),
        ("carol", "3", Code::RECIPIENT_BLOCKED),
        ("bob", long.as_str(), Code::TOO_LARGE),
        ("bob", "5", Code::ACCEPTED),
        ("bob", "6", Code::ACCEPTED),
        ("BOB", "7", Code::ACCEPTED),
        ("bob", "8", Code::INBOX_FULL),
    ];
    let items = |alice: &super::town::Device| -> Vec<wire::Send> {
        (1..).zip(&offers).map(|(cseq, (to, text, _))| message(alice.inc, cseq, to, text)).collect()
    };
    let expected: Vec<Code> = offers.iter().map(|o| o.2).collect();
    assert_eq!(codes(&town.send(&alice, items(&alice)).await), expected);
    assert_eq!(town.ask(block(false)).await, Ok(true));
    town.fold().await;
    assert_eq!(codes(&town.send(&alice, items(&alice)).await), expected, "what changed since changes nothing");
    town.crash();
    town.start().await;
    let welcome = town.open(&mut alice, None).await.welcome;
    assert_eq!(welcome.streams[0].decisions.iter().map(|d| Code(d.code)).collect::<Vec<_>>(), expected);
    assert_eq!(codes(&town.send(&alice, items(&alice)).await), expected);
    let mut forged = message(alice.inc, 9, "carol", "forged");
    forged.kind = kind::EXPIRED;
    assert_eq!(codes(&town.send(&alice, vec![forged]).await), [Code::FORBIDDEN]);
}

/// The quota counts what waits behind the furthest device, broadcasts included, one's own messages not.
pub async fn the_quota_counts_what_waits<P: Place>(place: P) {
    let settings = Settings { offline_max_per_user: 3, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    town.enrol(bob.acct(), 22).await.unwrap();
    for cseq in 1..=3 {
        town.accepted(&alice, cseq, "", "to all").await;
    }
    let full = town.send(&alice, vec![message(alice.inc, 4, "bob", "x"), message(alice.inc, 5, "", "y")]).await;
    assert!(matches!(
        full.as_slice(),
        [Verdict::Decided { code: Code::INBOX_FULL, .. }, Verdict::Decided { code: Code::ACCEPTED, audience: 0, .. }]
    ));
    town.crash();
    town.start().await;
    let top = town.open(&mut bob, None).await.welcome.head.unwrap().n;
    town.ack(&bob, top).await;
    let mut alice = alice;
    town.open(&mut alice, None).await;
    assert_eq!(codes(&town.send(&alice, vec![message(alice.inc, 6, "bob", "x")]).await), [Code::ACCEPTED]);
    let mut top = 0;
    for cseq in 1..=5 {
        top = town.accepted(&bob, cseq, "alice", "own rows").await.n;
        town.ack(&alice, top).await;
    }
    town.submit(Op::Ack { fence: bob.fence(), acked: 0, cursor: top }).await;
    assert_eq!(codes(&town.send(&alice, vec![message(alice.inc, 7, "bob", "x")]).await), [Code::ACCEPTED]);
}

/// Pages are in order, within their bounds, and whole over the fold mark.
pub async fn pages_straddle_the_fold<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let mut sent = Vec::new();
    for cseq in 1..=30 {
        let text = format!("{cseq:04}");
        town.accepted(&alice, cseq, if cseq % 3 == 0 { "" } else { "bob" }, &text).await;
        sent.push(text);
        if cseq == 13 || cseq == 20 {
            town.fold().await;
        }
    }
    for (count, bytes) in [(1, 1 << 20), (7, 1 << 20), (29, 1), (100, 300), (30, 1 << 20), (31, 1 << 20)] {
        let (mut after, mut seen) = (0, Vec::new());
        loop {
            let page = town.page(bob.acct(), after, count, bytes).await;
            assert!(page.entries.len() <= count);
            let size: usize = page.entries.iter().map(|e| e.tail.len()).sum();
            let last = page.entries.last().map_or(0, |e| e.tail.len());
            assert!(size - last < bytes, "stops behind the bytes asked for");
            after = page.entries.last().map_or(after, |e| e.n);
            seen.extend(page.entries.iter().map(super::town::text));
            if page.end {
                break;
            }
            assert!(!page.entries.is_empty(), "a page that is not the last has an entry");
        }
        assert_eq!(seen, sent, "count {count} bytes {bytes}");
    }
}

/// Both devices of the sender: the other one reads the message, the sending one knows it by the verdict.
pub async fn own_messages_reach_the_other_devices<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let phone = town.arrive("alice", 1).await;
    let mut desk = town.enrol(phone.acct(), 11).await.unwrap();
    let notice = town.page(phone.acct(), 0, 10, 1000).await.entries;
    assert_eq!(notice.len(), 1, "the others are told of the new device");
    let start = town.open(&mut desk, None).await.cursor;
    let bob = town.arrive("bob", 2).await;
    town.told().await;
    let at = town.accepted(&phone, 1, "bob", "hi").await;
    let told = town.told().await;
    let entries: Vec<_> = told
        .iter()
        .filter_map(|t| if let Told::Entry(acct, e) = t { Some((*acct, e.n, e.device)) } else { None })
        .collect();
    assert_eq!(entries, [(bob.acct(), at.n, phone.dev()), (phone.acct(), at.n, phone.dev())]);
    assert_eq!(town.inbox(&desk, start.max(notice[0].n)).await, ["hi"]);
    assert_eq!(town.inbox(&phone, notice[0].n).await, Vec::<String>::new());
    town.fold().await;
    assert_eq!(town.inbox(&desk, notice[0].n).await, ["hi"]);
    for device in [&phone, &desk, &bob] {
        town.ack(device, at.n).await;
    }
    town.fold().await;
    assert_eq!(town.place.kept(), 0);
}

/// What a session does whose device lives elsewhere by now is refused, and it is ended.
pub async fn an_old_session_is_fenced<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let old = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let mut new = old.clone();
    town.told().await;
    town.open(&mut new, None).await;
    assert_eq!(town.told().await, [Told::End(old.session, Code::REPLACED)]);
    assert_eq!(town.send(&old, vec![message(old.inc, 1, "bob", "stale")]).await, []);
    assert_eq!(town.told().await, [Told::End(old.session, Code::REPLACED)]);
    assert_eq!(town.void(&old, 1, 1).await, []);
    town.ack(&old, 1).await;
    let fence = old.fence();
    let refused = town.ask(|answer| Op::Block { fence, who: name("bob"), on: true, answer }).await;
    assert_eq!(refused, Err(Code::REPLACED));
    assert_eq!(town.told().await.len(), 3, "void, ack and block were each refused");
    let made_up = super::town::Device { epoch: new.epoch + 1, ..new.clone() };
    assert_eq!(town.send(&made_up, vec![message(old.inc, 1, "bob", "no")]).await, []);
    town.accepted(&new, 1, "bob", "fresh").await;
    assert_eq!(town.inbox(&bob, 0).await, ["fresh"]);
}

/// A device may begin so many streams in a session; nonsense ends the session.
pub async fn nonsense_ends_the_session<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    town.arrive("bob", 2).await;
    town.told().await;
    for inc in 1..=chat_proto::limits::OPEN_STREAMS_MAX as u64 {
        let verdicts = town.send(&alice, vec![message(Incarnation(inc), 1, "bob", "x")]).await;
        assert_eq!(codes(&verdicts), [Code::ACCEPTED]);
    }
    town.told().await;
    assert_eq!(codes(&town.send(&alice, vec![message(Incarnation(999), 1, "bob", "x")]).await), []);
    assert_eq!(town.told().await, [Told::End(alice.session, Code::PROTOCOL)]);
    let short = wire::Send { h: vec![1, 2, 3], ..message(alice.inc, 2, "bob", "x") };
    assert_eq!(town.send(&alice, vec![short]).await, []);
    assert_eq!(town.told().await, [Told::End(alice.session, Code::PROTOCOL)]);
}

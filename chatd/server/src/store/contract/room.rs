//! Room in inboxes: nobody shuts one for others (S22).

use chat_proto::fault::Code;
use chat_proto::machine::presence::Reason;

use super::town::{Device, Place, Town, codes, message};
use crate::store::{Ending, Settings};

/// A quota of 1,000: a share of 100, 500 for all strangers.
fn settings() -> Settings {
    Settings { offline_max_per_user: 1000, reserve: 0, ..Settings::default() }
}

/// Sends `count` more messages, all in one operation; the codes of the verdicts.
async fn pour<P: Place>(town: &Town<P>, from: &Device, cseq: &mut u64, to: &str, count: u64) -> Vec<Code> {
    let items = (*cseq + 1..=*cseq + count).map(|cseq| message(from.inc, cseq, to, "x")).collect();
    *cseq += count;
    codes(&town.send(from, items).await)
}

/// How many of a pour were accepted; the rest found the inbox full.
async fn accepted<P: Place>(town: &Town<P>, from: &Device, cseq: &mut u64, to: &str, count: u64) -> usize {
    let codes = pour(town, from, cseq, to, count).await;
    assert!(codes.iter().all(|code| [Code::ACCEPTED, Code::INBOX_FULL].contains(code)), "{codes:?}");
    codes.iter().filter(|code| **code == Code::ACCEPTED).count()
}

/// The abuser is refused at a tenth of the quota, before and behind the fold and after a crash; others are not. Broadcasts count.
pub async fn s22_one_sender_fills_its_share_only<P: Place>(place: P) {
    let mut town = Town::new(place, settings()).await;
    let mut mallory = town.arrive("mallory", 1).await;
    let mut alice = town.arrive("alice", 2).await;
    let bob = town.arrive("bob", 3).await;
    let (mut of_mallory, mut of_alice) = (0, 0);
    let all = pour(&town, &mallory, &mut of_mallory, "", 10).await;
    assert_eq!(all, [Code::ACCEPTED; 10]);
    town.leave(&bob, Ending::Left(Reason::Logout)).await;
    assert_eq!(accepted(&town, &mallory, &mut of_mallory, "bob", 200).await, 90);
    assert_eq!(pour(&town, &mallory, &mut of_mallory, "alice", 1).await, [Code::ACCEPTED], "his share of bob's inbox");
    for _ in 0..2 {
        assert_eq!(accepted(&town, &mallory, &mut of_mallory, "bob", 3).await, 0);
        assert_eq!(accepted(&town, &alice, &mut of_alice, "bob", 3).await, 3);
        town.fold().await;
    }
    town.crash();
    town.start().await;
    town.open(&mut mallory, None).await;
    town.open(&mut alice, None).await;
    assert_eq!(accepted(&town, &mallory, &mut of_mallory, "bob", 3).await, 0);
    assert_eq!(accepted(&town, &alice, &mut of_alice, "bob", 200).await, 94);
}

/// However many strangers come, those to whom one wrote find room.
pub async fn s22_a_crowd_of_strangers_leaves_room_for_contacts<P: Place>(place: P) {
    let mut town = Town::new(place, settings()).await;
    let mut alice = town.arrive("alice", 100).await;
    let bob = town.arrive("bob", 101).await;
    let mut of_bob = 0;
    assert_eq!(accepted(&town, &bob, &mut of_bob, "alice", 1).await, 1);
    assert_eq!(pour(&town, &bob, &mut of_bob, "nobody", 1).await, [Code::UNKNOWN_USER]);
    town.leave(&bob, Ending::Left(Reason::Logout)).await;
    let mut filled = 0;
    for n in 1..=8 {
        let stranger = town.arrive(&format!("stranger{n}"), n).await;
        filled += accepted(&town, &stranger, &mut 0, "bob", 120).await;
    }
    assert_eq!(filled, 500);
    let mut of_alice = 0;
    assert_eq!(accepted(&town, &alice, &mut of_alice, "bob", 50).await, 50);
    // It is known after a start too, when nothing is in memory.
    town.shut_down().await;
    town.start().await;
    town.open(&mut alice, None).await;
    assert_eq!(accepted(&town, &alice, &mut of_alice, "bob", 60).await, 50);
    let late = town.arrive("late", 50).await;
    assert_eq!(accepted(&town, &late, &mut 0, "bob", 1).await, 0);
    let mut bob = bob;
    town.open(&mut bob, None).await;
    assert_eq!(accepted(&town, &bob, &mut of_bob, "late", 1).await, 1);
    let mut of_late = 1;
    assert_eq!(accepted(&town, &late, &mut of_late, "bob", 1).await, 1, "who gets an answer is no stranger any more");
}

/// What a device of the account saw makes room, at once and exactly.
pub async fn s22_room_comes_back_as_entries_are_seen<P: Place>(place: P) {
    let mut town = Town::new(place, settings()).await;
    let mallory = town.arrive("mallory", 1).await;
    let bob = town.arrive("bob", 2).await;
    let mut cseq = 0;
    assert_eq!(accepted(&town, &mallory, &mut cseq, "bob", 150).await, 100);
    let mut seen = 0;
    for round in 0..30_u64 {
        let page = town.page(bob.acct(), seen, 7, usize::MAX).await.entries;
        seen = page.last().map_or(seen, |entry| entry.n);
        town.ack(&bob, seen).await;
        if round % 3 == 1 {
            town.fold().await;
        }
        assert_eq!(accepted(&town, &mallory, &mut cseq, "bob", 20).await, page.len(), "round {round}");
    }
    let top = town.page(bob.acct(), seen, 1000, usize::MAX).await.entries.last().map_or(seen, |entry| entry.n);
    town.ack(&bob, top).await;
    assert_eq!(accepted(&town, &mallory, &mut cseq, "bob", 150).await, 100);
    town.ack(&bob, top + 1_000_000).await;
    assert_eq!(accepted(&town, &mallory, &mut cseq, "bob", 150).await, 100, "an acknowledgement beyond the head");
}

//! What is kept and for how long: acknowledgements, devices that stay away, retention, old copies, a store set back.

use chat_proto::fault::Code;
use chat_proto::id::{Incarnation, Position};
use chat_proto::machine::presence::Reason;
use chat_proto::wire::{self, kind};
use prost::Message;

use super::town::{Place, Told, Town};
use crate::store::{Ending, Settings};

/// A row stays for as long as one device lacks it, and goes with the last acknowledgement.
pub async fn rows_go_with_the_last_acknowledgement<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let mut desk = town.enrol(bob.acct(), 22).await.unwrap();
    town.open(&mut desk, None).await;
    let carol = town.arrive("carol", 3).await;
    let direct = town.accepted(&alice, 1, "bob", "direct").await.n;
    let all = town.accepted(&alice, 2, "", "all").await.n;
    town.ack(&bob, all).await;
    town.fold().await;
    assert_eq!(town.inbox(&desk, direct - 1).await, ["direct", "all"]);
    town.ack(&carol, all).await;
    town.fold().await;
    assert_eq!(town.inbox(&desk, direct - 1).await, ["direct", "all"]);
    assert!(town.place.kept() > 0);
    town.ack(&desk, direct).await;
    town.fold().await;
    assert_eq!(town.inbox(&desk, direct).await, ["all"]);
    town.ack(&desk, all + 1_000_000).await;
    town.fold().await;
    assert_eq!(town.place.kept(), 0);
    let next = town.accepted(&alice, 3, "bob", "next").await.n;
    assert_eq!(town.inbox(&desk, all).await, ["next"], "an acknowledgement beyond the head is cut there");
    town.ack(&bob, next).await;
    town.fold().await;
    assert_eq!(town.inbox(&desk, all).await, ["next"]);
}

/// An acknowledgement that a crash forgot is in the next HELLO.
pub async fn a_lost_acknowledgement_is_in_the_hello<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    let at = town.accepted(&alice, 1, "bob", "hi").await;
    town.ack(&bob, at.n).await;
    town.told().await;
    town.crash();
    town.start().await;
    assert_eq!(town.inbox(&bob, 0).await, ["hi"]);
    let opened = town.open(&mut bob, Some(at)).await;
    assert_eq!((opened.cursor, opened.welcome.copy, opened.welcome.restored), (at.n, false, false));
    town.fold().await;
    assert_eq!(town.place.kept(), 0);
}

/// A new device gets what waits for the account, and nothing older.
pub async fn a_new_device_starts_at_the_highest_cursor<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let phone = town.enrol(bob.acct(), 22).await.unwrap();
    let old = town.accepted(&alice, 1, "bob", "old").await.n;
    town.ack(&bob, old).await;
    town.accepted(&alice, 2, "bob", "waits").await;
    town.fold().await;
    let mut desk = town.enrol(bob.acct(), 23).await.unwrap();
    let opened = town.open(&mut desk, None).await;
    assert_eq!(opened.cursor, old);
    assert_eq!(town.page(bob.acct(), opened.cursor, 10, 1000).await.entries.len(), 2, "what waits, and its own notice");
    assert_eq!(town.inbox(&phone, 0).await.len(), 3, "two messages, the notice of the other new device");
}

/// A device that was away for 30 days holds nothing back, and learns how much it missed.
pub async fn a_device_away_too_long_is_told<P: Place>(place: P) {
    let settings = Settings { offline_keep_hours: 10_000, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let mut away = town.enrol(bob.acct(), 22).await.unwrap();
    let start = town.open(&mut away, None).await.welcome.cursor.unwrap();
    town.log_out(&away).await;
    let notice = town.page(bob.acct(), 0, 1, 1).await.entries[0].n;
    town.ack(&bob, notice).await;
    let first = town.accepted(&alice, 1, "bob", "first").await.n;
    town.ack(&bob, first).await;
    town.hours(24 * 30 - 1).await;
    assert_eq!(town.inbox(&away, start.n).await, ["first"], "not yet");
    town.hours(1).await;
    assert_eq!(town.inbox(&away, start.n).await, Vec::<String>::new());
    let acked = town.accepted(&alice, 2, "bob", "second").await.n;
    town.ack(&bob, acked).await;
    town.fold().await;
    assert_eq!(town.place.kept(), 0);
    let waits = town.accepted(&alice, 3, "bob", "waits").await.n;
    town.fold().await;
    town.crash();
    town.start().await;
    let welcome = town.open(&mut away, Some(start.into())).await.welcome;
    assert_eq!(welcome.resync, 2, "what others acknowledged meanwhile; its own notice does not count");
    let again = town.open(&mut away, Some(start.into())).await.welcome;
    assert_eq!(again.resync, 2, "told until it acknowledges something: a link may be cut with WELCOME on it");
    town.crash();
    town.start().await;
    assert_eq!(town.open(&mut away, Some(start.into())).await.welcome.resync, 2);
    assert_eq!(town.inbox(&away, start.n).await, ["waits"]);
    town.ack(&away, waits).await;
    let again = town.open(&mut away, None).await.welcome;
    assert_eq!((again.resync, again.copy), (0, false));
}

/// A live device holds its entries back however long it is silent, over a restart too.
pub async fn a_live_device_is_not_away<P: Place>(place: P) {
    let settings = Settings { offline_keep_hours: 10_000, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let mut quiet = town.enrol(bob.acct(), 22).await.unwrap();
    let start = town.open(&mut quiet, None).await.cursor;
    town.hours(24 * 31).await;
    town.crash();
    town.start().await;
    let (mut alice, mut bob) = (alice, bob);
    town.open(&mut alice, None).await;
    town.open(&mut bob, None).await;
    let at = town.accepted(&alice, 1, "bob", "hi").await.n;
    town.ack(&bob, at).await;
    town.fold().await;
    assert_eq!(town.inbox(&quiet, start).await, ["hi"]);
}

/// What nobody fetched in time is taken, and its sender is told.
pub async fn retention_tells_the_sender<P: Place>(place: P) {
    let settings = Settings { offline_keep_hours: 48, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let mut alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    town.accepted(&alice, 1, "bob", "direct").await;
    town.accepted(&alice, 2, "", "all").await;
    town.leave(&bob, Ending::Left(Reason::Logout)).await;
    town.hours(47).await;
    assert_eq!(town.inbox(&bob, 0).await, ["direct", "all"]);
    town.accepted(&alice, 3, "bob", "younger").await;
    town.told().await;
    town.hours(1).await;
    town.fold().await;
    assert_eq!(town.inbox(&bob, 0).await, ["younger"]);
    let told = town.told().await;
    let expired: Vec<_> = told
        .iter()
        .filter_map(|t| match t {
            Told::Entry(acct, entry) => Some((*acct, wire::Deliver::decode(entry.tail.clone()).unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(expired.len(), 1, "a broadcast has no receipts");
    let (to, entry) = &expired[0];
    assert_eq!((*to, entry.kind, entry.from.as_str()), (alice.acct(), kind::EXPIRED, ""));
    let body = wire::Expired::decode(entry.body.clone()).unwrap();
    assert_eq!((body.device, body.incarnation, body.cseq), (vec![1; 16], alice.inc.0, 1));
    assert_eq!(Code(body.code), Code::EXPIRED);
    assert_eq!(town.open(&mut bob, None).await.welcome.resync, 2);
    let head = town.open(&mut alice, None).await.welcome.head.unwrap().n;
    town.ack(&alice, head).await;
    town.ack(&bob, head).await;
    town.fold().await;
    assert_eq!(town.place.kept(), 0);
}

/// A live device that lags behind retention learns at its next session how much it missed.
pub async fn retention_is_told_to_those_who_are_there<P: Place>(place: P) {
    let settings = Settings { offline_keep_hours: 2, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    let first = town.accepted(&alice, 1, "bob", "given").await;
    town.accepted(&alice, 2, "bob", "never given").await;
    town.ack(&bob, first.n).await;
    town.hours(3).await;
    assert_eq!(town.inbox(&bob, 0).await, Vec::<String>::new());
    let welcome = town.open(&mut bob, Some(first)).await.welcome;
    assert_eq!((welcome.resync, welcome.copy), (1, false));
    let later = town.accepted(&alice, 3, "bob", "later").await;
    town.ack(&bob, later.n).await;
    assert_eq!(town.open(&mut bob, Some(later)).await.welcome.resync, 0, "told until it got further");
}

/// An old copy of a device shows by its cursor or by a stream that it does not know.
pub async fn old_copies_are_noticed<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    let old = town.accepted(&alice, 1, "bob", "one").await;
    let new = town.accepted(&alice, 2, "bob", "two").await;
    town.ack(&bob, new.n).await;
    assert!(!town.open(&mut bob, Some(new)).await.welcome.copy);
    town.told().await;
    let opened = town.open(&mut bob, Some(old)).await;
    assert!(opened.welcome.copy, "behind what it acknowledged itself");
    assert_eq!(opened.cursor, old.n);
    let told = town.told().await;
    let notices = told.iter().filter(|t| matches!(t, Told::Entry(acct, _) if *acct == bob.acct()));
    assert_eq!(notices.count(), 1, "all devices of the account are told: {told:?}");
    town.accepted(&bob, 1, "alice", "in the newest stream").await;
    assert!(!town.open(&mut bob, Some(new)).await.welcome.copy);
    let older = std::mem::replace(&mut bob.inc, Incarnation(5));
    assert!(town.open(&mut bob, Some(new)).await.welcome.copy, "a stream that it does not know");
    town.known = vec![Incarnation(4), older];
    let copy = town.open(&mut bob, Some(new)).await.welcome.copy;
    assert!(!copy, "one that it used before: it is the server that was set back");
}

/// A store that was set back knows what it lost, gives no position twice, and takes what is offered again.
pub async fn a_store_set_back<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    let kept = town.accepted(&alice, 1, "bob", "kept").await;
    town.ack(&bob, kept.n).await;
    town.shut_down().await;
    town.place.save();
    town.start().await;
    town.open(&mut alice, None).await;
    town.open(&mut bob, Some(kept)).await;
    let lost = town.accepted(&alice, 2, "bob", "lost").await;
    town.ack(&bob, lost.n).await;
    town.shut_down().await;
    town.place.set_back();
    town.start().await;
    let welcome = town.open(&mut alice, None).await.welcome;
    assert_eq!(welcome.streams[0].last, 1);
    let epochs = welcome.epochs.iter().map(|e| (e.epoch, e.nonce)).collect::<Vec<_>>();
    assert!(!epochs.contains(&(lost.epoch, lost.nonce)) && epochs.contains(&(kept.epoch, kept.nonce)));
    let opened = town.open(&mut bob, Some(lost)).await;
    assert!(opened.welcome.restored && !opened.welcome.copy);
    assert_eq!((opened.cursor, opened.welcome.cursor), (kept.n, Some(kept.into())));
    let again = town.accepted(&alice, 2, "bob", "lost").await;
    assert_ne!(again, lost);
    assert_eq!(town.inbox(&bob, opened.cursor).await, ["lost"]);
}

/// A crash right behind the first message of a new stream makes no old copy of the device that sent it.
pub async fn a_crash_makes_no_old_copy<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    town.arrive("bob", 2).await;
    town.accepted(&alice, 1, "bob", "in the old stream").await;
    town.fold().await;
    alice.inc = Incarnation(77);
    town.accepted(&alice, 1, "bob", "in the new one").await;
    town.crash();
    town.start().await;
    assert!(!town.open(&mut alice, None).await.welcome.copy, "it names the newest stream there is");
}

/// A cursor beyond everything that was ever given is not known, whatever epoch it claims.
pub async fn a_cursor_from_nowhere_is_not_believed<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let mut bob = town.arrive("bob", 2).await;
    let one = town.accepted(&alice, 1, "bob", "one").await;
    town.ack(&bob, one.n).await;
    town.accepted(&alice, 2, "bob", "two").await;
    for n in [one.n + 2, one.n + 1000, u64::MAX] {
        let opened = town.open(&mut bob, Some(Position { n, ..one })).await;
        assert!(opened.welcome.restored && !opened.welcome.copy, "{n}");
        assert_eq!((opened.cursor, opened.welcome.cursor), (one.n, Some(one.into())));
    }
    assert_eq!(town.inbox(&bob, one.n).await, ["two"], "nothing was given up for it");
}

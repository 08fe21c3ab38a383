//! Accounts, devices, sessions, presence, receipts and blocks.

use chat_proto::fault::Code;
use chat_proto::id::Position;
use chat_proto::limits::DEVICES_MAX;
use chat_proto::machine::presence::Reason;
use chat_proto::wire;

use super::town::{Device, Place, Told, Town, codes, message, name, new_device};
use crate::store::{AcctId, Ending, Failure, NewDevice, Op, Policy, Query, Settings};

/// Who came (true) or went, and why.
pub(super) fn announced(told: &[Told]) -> Vec<(String, bool, Reason)> {
    let change = |t: &Told| match t {
        Told::Presence(p) => Some((p.name.to_string(), p.change.online, p.change.reason)),
        _ => None,
    };
    told.iter().filter_map(change).collect()
}

pub(super) fn ends(told: &[Told]) -> Vec<(u64, Code)> {
    told.iter().filter_map(|t| if let Told::End(s, code) = t { Some((s.0, *code)) } else { None }).collect()
}

/// Names, devices and their limits.
pub async fn accounts_and_devices<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.sign_up("alice", 1).await;
    assert_eq!(town.create("alice", 9).await, Err(Code::NAME_TAKEN));
    assert_eq!(town.create("bob", 1).await, Err(Code::FORBIDDEN), "a device belongs to one account");
    assert_eq!(town.enrol(alice.acct(), 1).await.map(|d| d.login), Ok(alice.login.clone()), "the same key again");
    let forged = NewDevice { key: [9; 32], ..new_device(1) };
    let acct = alice.acct();
    assert_eq!(
        town.ask(|answer| Op::Enrol { acct, phc: "phc".into(), device: forged, answer }).await,
        Err(Code::FORBIDDEN)
    );
    for n in 1..DEVICES_MAX as u8 {
        town.enrol(acct, 100 + n).await.unwrap();
    }
    assert_eq!(town.enrol(acct, 200).await.unwrap_err(), Code::TOO_MANY_DEVICES);
    town.submit(Op::Rehash { acct, old: "phc".into(), phc: "better".into() }).await;
    town.submit(Op::Rehash { acct, old: "phc".into(), phc: "late".into() }).await;
    town.told().await;
    for _ in 0..2 {
        let known = town.query(|answer| Query::Credentials(name("alice"), answer)).await;
        assert_eq!(known, Some((acct, "better".into())));
        assert_eq!(town.query(|answer| Query::Credentials(name("bob"), answer)).await, None);
        let device = town.query(|answer| Query::Device(name("alice"), new_device(1).id, answer)).await;
        assert_eq!(device, Some((alice.login.clone(), [1; 32])));
        assert_eq!(town.query(|answer| Query::Device(name("bob"), new_device(1).id, answer)).await, None);
        let users = town.users().await;
        assert_eq!((users.len(), users[0].devices, users[0].since_ms), (1, 8, super::town::NOW));
        town.crash();
        town.start().await;
    }
    assert_eq!(town.create("alice", 9).await, Err(Code::NAME_TAKEN));
}

/// Other devices of the account, by policy.
pub async fn policies<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let phone = town.arrive("alice", 1).await;
    let mut desk = town.enrol(phone.acct(), 2).await.unwrap();
    town.told().await;
    assert_eq!(town.open_as(&mut desk, None, Policy::Refuse).await.unwrap_err(), Code::ALREADY_LOGGED_IN);
    town.open_as(&mut desk, None, Policy::Many).await.unwrap();
    assert_eq!((ends(&town.told().await), 0), (vec![], 0));
    let mut again = phone.clone();
    town.open_as(&mut again, None, Policy::Replace).await.unwrap();
    let told = town.told().await;
    let mut ended = ends(&told);
    ended.sort_unstable_by_key(|e| e.0);
    assert_eq!(ended, [(phone.session.0, Code::REPLACED), (desk.session.0, Code::REPLACED)]);
    assert_eq!(announced(&told), [], "taking over is not news");
    town.leave(&desk, Ending::Left(Reason::Logout)).await;
    town.leave(&phone, Ending::Left(Reason::Logout)).await;
    assert_eq!(announced(&town.told().await), [], "a late goodbye on an old connection stops nothing");
    town.accepted(&again, 1, "", "still here").await;
    town.log_out(&again).await;
    assert_eq!(announced(&town.told().await), [("alice".into(), false, Reason::Logout)]);
    town.open_as(&mut desk, None, Policy::Refuse).await.unwrap();
}

/// Under `refuse` only those who were asked and did not answer make way.
pub async fn a_silent_session_makes_way_and_no_other<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let phone = town.arrive("alice", 1).await;
    let mut desk = town.enrol(phone.acct(), 2).await.unwrap();
    let mut pad = town.enrol(phone.acct(), 3).await.unwrap();
    town.told().await;
    let silent = [phone.session];
    town.open_over(&mut desk, None, Policy::Refuse, &silent).await.unwrap();
    let told = town.told().await;
    assert_eq!(ends(&told), [(phone.session.0, Code::REPLACED)]);
    assert_eq!(announced(&told), []);
    // The second who found the same session silent comes too late.
    assert_eq!(town.open_over(&mut pad, None, Policy::Refuse, &silent).await.unwrap_err(), Code::ALREADY_LOGGED_IN);
    assert_eq!(ends(&town.told().await), []);
    town.accepted(&desk, 1, "", "still here").await;
}

/// An account of the operator's, or of the credentials file: there before any device is.
pub async fn an_account_without_a_device<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let add = |who: &str| {
        let name = name(who);
        |answer| Op::AddAccount { name, phc: "phc".into(), answer }
    };
    let acct = town.ask(add("yoda")).await.unwrap();
    assert_eq!(town.ask(add("yoda")).await, Err(Code::NAME_TAKEN));
    assert_eq!(town.create("yoda", 9).await, Err(Code::NAME_TAKEN));
    let bob = town.arrive("bob", 1).await;
    town.accepted(&bob, 1, "yoda", "for later").await;
    town.crash();
    town.start().await;
    let mut yoda = town.enrol(acct, 2).await.unwrap();
    let opened = town.open(&mut yoda, None).await;
    assert_eq!(town.inbox(&yoda, opened.cursor).await, ["for later"]);
}

/// `sessions.forget_device_at_logout`: the key goes, the device with its streams and its place in the inbox stays.
pub async fn a_logout_forgets_the_key<P: Place>(place: P) {
    let mut town = Town::new(place, Settings { forget_device: true, ..Settings::default() }).await;
    let mut phone = town.arrive("alice", 1).await;
    let acct = phone.acct();
    let bob = town.arrive("bob", 9).await;
    town.accepted(&phone, 1, "bob", "one").await;
    let key = async |town: &Town<P>| {
        let found = town.query(|answer| Query::Device(name("alice"), new_device(1).id, answer)).await;
        found.map(|(_, key)| key)
    };
    let admissible =
        async |town: &Town<P>| town.query(|answer| Query::Admissible(name("alice"), new_device(1).id, answer)).await;
    let barred = async |town: &Town<P>| town.told().await.contains(&Told::Barred);
    let grace_until = town.mono;
    town.leave(&phone, Ending::Lost { grace_until }).await;
    assert!(!barred(&town).await);
    assert_eq!(key(&town).await, Some([1; 32]), "a lost link forgets nothing");
    assert!(admissible(&town).await);
    town.open(&mut phone, None).await;
    town.leave(&phone, Ending::Left(Reason::Idle)).await;
    assert!(barred(&town).await, "whoever was admitted for it must go");
    for _ in 0..2 {
        assert_eq!(key(&town).await, None);
        assert!(!admissible(&town).await);
        town.crash();
        town.start().await;
    }
    let renewed = NewDevice { key: [7; 32], ..new_device(1) };
    let login = town.ask(|answer| Op::Enrol { acct, phc: "phc".into(), device: renewed, answer }).await.unwrap();
    assert_eq!(login, phone.login);
    assert_eq!(key(&town).await, Some([7; 32]));
    assert!(admissible(&town).await && !barred(&town).await, "a key that is given bars nobody");
    town.open(&mut phone, None).await;
    town.accepted(&phone, 2, "bob", "two").await;
    // A logout that did not come through: the password says whose device it is, a stranger's stays his.
    let again = NewDevice { key: [8; 32], ..new_device(1) };
    town.ask(|answer| Op::Enrol { acct, phc: "phc".into(), device: again, answer }).await.unwrap();
    let theft = NewDevice { key: [8; 32], ..new_device(9) };
    assert_eq!(
        town.ask(|answer| Op::Enrol { acct, phc: "phc".into(), device: theft, answer }).await,
        Err(Code::FORBIDDEN)
    );
    assert_eq!(town.inbox(&bob, 0).await, ["one", "two"]);
    // Devices that were logged out are in nobody's way; those that were not are.
    for n in 100..100 + DEVICES_MAX as u8 {
        let mut other = town.enrol(acct, n).await.unwrap();
        town.open(&mut other, None).await;
        if n != 103 {
            town.log_out(&other).await;
        }
    }
    assert_eq!(town.users().await[0].devices, DEVICES_MAX as u32);
    assert!(town.query(|answer| Query::Device(name("alice"), new_device(103).id, answer)).await.is_some());
}

/// A device that was away hears what the others read meanwhile; a lone one hears nothing.
pub async fn marks_wait_for_other_devices<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut phone = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 9).await;
    let at = town.accepted(&bob, 1, "alice", "hi").await.n;
    let fence = phone.fence();
    town.ask(|answer| Op::Mark { fence, sender: name("bob"), n: at, share: false, answer }).await.unwrap();
    assert_eq!(town.open(&mut phone, None).await.marks, []);
    let mut desk = town.enrol(phone.acct(), 2).await.unwrap();
    let marks = town.open(&mut desk, None).await.marks;
    let marks: Vec<_> = marks.iter().map(|m| (m.account.as_str(), m.position.unwrap().n, m.share)).collect();
    assert_eq!(marks, [("bob", at, false)]);
}

/// Runs A, B, A within a minute: two living copies of one device.
pub async fn two_living_copies<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut first = town.arrive("alice", 1).await;
    let mut copy = first.clone();
    copy.run = 99;
    town.open(&mut copy, None).await;
    town.told().await;
    assert_eq!(town.open_as(&mut first, None, Policy::Many).await.unwrap_err(), Code::DUPLICATE_DEVICE);
    assert_eq!(ends(&town.told().await), [(copy.session.0, Code::DUPLICATE_DEVICE)]);
    assert_eq!(town.open_as(&mut copy, None, Policy::Many).await.unwrap_err(), Code::DUPLICATE_DEVICE);
    town.enrol(first.acct(), 1).await.unwrap();
    town.open(&mut first, None).await;
    // Nor are two that come one after the other, a minute apart, whatever the clock on the wall says.
    copy.run = 100;
    town.open(&mut copy, None).await;
    town.now -= 3_600_000;
    town.tick(60_000).await;
    town.open(&mut first, None).await;
    // A restart of one program is no copy, nor is a network that comes and goes.
    for run in [5, 6, 7, 8] {
        first.run = run;
        town.open(&mut first, None).await;
        town.open(&mut first, None).await;
    }
}

/// From none to some devices live or in grace, and back.
pub async fn presence_is_per_account<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let bob = town.arrive("bob", 9).await;
    let carol = town.sign_up("carol", 8).await;
    let mut phone = town.sign_up("alice", 1).await;
    let mut desk = town.enrol(phone.acct(), 2).await.unwrap();
    town.told().await;
    town.open(&mut phone, None).await;
    let told = town.told().await;
    assert_eq!(announced(&told), [("alice".into(), true, Reason::Login)]);
    let fence = phone.fence();
    town.ask(|answer| Op::Block { fence, who: name("carol"), on: true, answer }).await.unwrap();
    town.open(&mut desk, None).await;
    town.log_out(&phone).await;
    assert_eq!(announced(&town.told().await), []);
    let grace_until = town.mono + 5_000;
    town.leave(&desk, Ending::Lost { grace_until }).await;
    town.tick(4_999).await;
    assert_eq!(announced(&town.told().await), [], "in grace");
    assert_eq!(town.open_as(&mut phone, None, Policy::Refuse).await.map(|o| o.epoch), Ok(2), "taken without probe");
    town.tick(60_000).await;
    assert_eq!(announced(&town.told().await), []);
    let grace_until = town.mono + 10;
    town.leave(&phone, Ending::Lost { grace_until }).await;
    town.tick(10).await;
    let told = town.told().await;
    assert_eq!(announced(&told), [("alice".into(), false, Reason::Link)]);
    let Some(Told::Presence(change)) = told.iter().find(|t| matches!(t, Told::Presence(_))) else { panic!() };
    let mut hidden = change.hidden_from.clone();
    hidden.sort_unstable();
    let mut expected = vec![phone.acct(), carol.acct()];
    expected.sort_unstable();
    assert_eq!(hidden, expected);
    assert!(!hidden.contains(&bob.acct()));
    town.open(&mut phone, None).await;
    town.open(&mut desk, None).await;
    town.told().await;
    town.close(&phone, Ending::Left(Reason::Logout), true).await;
    let told = town.told().await;
    assert_eq!(announced(&told), [("alice".into(), false, Reason::Logout)]);
    assert_eq!(ends(&told), [(desk.session.0, Code::NOT_LOGGED_IN)]);
    assert_eq!(codes(&town.send(&desk, vec![message(desk.inc, 1, "bob", "x")]).await), []);
}

/// A restart announces nobody who comes back within its grace.
pub async fn a_restart_is_not_news<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let carol = town.arrive("carol", 3).await;
    town.log_out(&carol).await;
    town.told().await;
    for orderly in [false, true] {
        if orderly {
            town.shut_down().await
        } else {
            town.crash()
        }
        town.out.take();
        town.start().await;
        assert_eq!(whoelse(&town, carol.acct(), "", 10).await, (vec!["alice".into(), "bob".into()], false));
        town.open(&mut alice, None).await;
        assert_eq!(announced(&town.told().await), [], "orderly: {orderly}");
        assert_eq!(codes(&town.send(&alice, vec![message(alice.inc, 1, "", "x")]).await), [Code::ACCEPTED]);
        assert_eq!(town.inbox(&bob, 0).await, ["x"], "those in grace are in the audience");
    }
    town.tick(59_000).await;
    assert_eq!(announced(&town.told().await), []);
    town.tick(2_000).await;
    assert_eq!(announced(&town.told().await), [("bob".into(), false, Reason::Link)]);
    assert_eq!(whoelse(&town, carol.acct(), "", 10).await, (vec!["alice".into()], false));
}

async fn whoelse<P: Place>(town: &Town<P>, caller: AcctId, after: &str, limit: usize) -> (Vec<String>, bool) {
    let after = after.to_owned();
    let page = town.query(|answer| Query::Whoelse { caller, after, limit, answer }).await;
    (page.items.into_iter().map(|p| p.account).collect(), page.more)
}

async fn since<P: Place>(town: &Town<P>, caller: AcctId, since_ms: i64, after: &str, limit: usize) -> wire::People {
    let after = after.to_owned();
    town.query(|answer| Query::Whoelsesince { caller, since_ms, after, limit, answer }).await
}

/// Who is there, who was there; both bounds inclusive, blockers unseen, in pages.
pub async fn who_else<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let came = town.now;
    let bob = town.arrive("bob", 2).await;
    let carol = town.arrive("carol", 3).await;
    let dave = town.arrive("dave", 4).await;
    town.tick(1_000).await;
    town.log_out(&bob).await;
    let left = town.now;
    town.tick(1_000).await;
    let fence = dave.fence();
    town.ask(|answer| Op::Block { fence, who: name("alice"), on: true, answer }).await.unwrap();
    town.told().await;
    assert_eq!(whoelse(&town, alice.acct(), "", 10).await, (vec!["carol".into()], false));
    assert_eq!(whoelse(&town, carol.acct(), "", 1).await, (vec!["alice".into()], true));
    assert_eq!(whoelse(&town, carol.acct(), "alice", 1).await, (vec!["dave".into()], false));
    let names = |page: &wire::People| page.items.iter().map(|p| p.account.clone()).collect::<Vec<_>>();
    let page = since(&town, alice.acct(), left, "", 10).await;
    assert_eq!(names(&page), ["bob", "carol"], "inclusive, and dave blocks alice");
    let times: Vec<_> = page.items.iter().map(|p| (p.online, p.since_ms, p.last_seen_ms)).collect();
    assert_eq!(times, [(false, came, left), (true, came, 0)]);
    assert_eq!(names(&since(&town, alice.acct(), left + 1, "", 10).await), ["carol"]);
    let first = since(&town, carol.acct(), 0, "", 2).await;
    assert_eq!((names(&first), first.more), (vec!["alice".into(), "bob".into()], true));
    let rest = since(&town, carol.acct(), 0, "bob", 2).await;
    assert_eq!((names(&rest), rest.more), (vec!["dave".into()], false));
    let users = town.users().await;
    let seen: Vec<_> = users.iter().map(|u| (u.name.as_str(), u.online, u.last_seen_ms)).collect();
    assert_eq!(seen, [("alice", true, 0), ("bob", false, left), ("carol", true, 0), ("dave", true, 0)]);
}

/// A sender asks what was decided about its own places; of others it learns nothing.
pub async fn own_places_are_traced<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let (alice, bob) = (town.arrive("alice", 1).await, town.arrive("bob", 2).await);
    let at = town.accepted(&alice, 1, "bob", "hi").await;
    let fence = bob.fence();
    town.ask(|answer| Op::Block { fence, who: name("alice"), on: true, answer }).await.unwrap();
    town.send(&alice, vec![message(alice.inc, 2, "bob", "there")]).await;
    let trace = async |town: &Town<P>, who: &Device, cseq: u64| {
        let (fence, incarnation) = (who.fence(), alice.inc);
        town.ask(|answer| Op::Trace { fence, incarnation, cseq, answer }).await.unwrap()
    };
    let accepted = trace(&town, &alice, 1).await;
    assert_eq!((accepted.decided, accepted.kept, accepted.code), (true, true, 0));
    assert_eq!(accepted.position.map(Position::from), Some(at));
    let refused = trace(&town, &alice, 2).await;
    assert_eq!((refused.kept, Code(refused.code), refused.position), (true, Code::RECIPIENT_BLOCKED, None));
    for (who, cseq) in [(&alice, 0), (&alice, 3), (&bob, 1), (&bob, 2)] {
        assert_eq!(trace(&town, who, cseq).await, wire::Traced::default(), "{cseq}");
    }
}

/// How far the others got, asked and told; nothing for those whom the reader blocks.
pub async fn receipts_and_marks<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let carol = town.arrive("carol", 3).await;
    let at = town.accepted(&alice, 1, "bob", "hi").await.n;
    let carols = town.accepted(&carol, 1, "bob", "hello").await.n;
    let later = town.accepted(&alice, 2, "bob", "there").await.n;
    let follow = async |town: &Town<P>| {
        let (fence, accounts) = (alice.fence(), vec![name("bob"), name("nobody")]);
        let told = town.ask(|answer| Op::Follow { fence, accounts, answer }).await.unwrap();
        told.items.into_iter().map(|r| (r.account, r.delivered, r.read)).collect::<Vec<_>>()
    };
    let before = follow(&town).await;
    assert!(before[0].1 < at);
    town.told().await;
    town.ack(&bob, at).await;
    assert_eq!(town.told().await, [Told::Receipt(alice.acct(), "bob".into(), at, 0)], "one of hers");
    town.ack(&bob, carols).await;
    assert_eq!(town.told().await, [], "that bob got somebody else's is not her business");
    assert_eq!(follow(&town).await, [("bob".into(), carols, 0)]);
    let mark = async |town: &Town<P>, n: u64, share: bool, who: &str| {
        let (fence, sender) = (bob.fence(), name(who));
        town.ask(|answer| Op::Mark { fence, sender, n, share, answer }).await
    };
    assert_eq!(mark(&town, at, true, "nobody").await, Err(Code::UNKNOWN_USER));
    assert_eq!(mark(&town, later, false, "alice").await, Ok(()));
    assert_eq!(town.told().await, [Told::Mark(bob.acct(), bob.session, later)], "kept to oneself");
    assert_eq!(mark(&town, at, true, "alice").await, Ok(()));
    let told = town.told().await;
    assert!(told.contains(&Told::Receipt(alice.acct(), "bob".into(), at, at)), "{told:?}");
    assert_eq!(follow(&town).await, [("bob".into(), carols, at)]);
    for folded in [false, true] {
        let next = town.accepted(&alice, if folded { 4 } else { 3 }, "bob", "waits").await.n;
        if folded {
            town.fold().await;
        }
        follow(&town).await;
        town.told().await;
        town.ack(&bob, next).await;
        assert_eq!(town.told().await, [Told::Receipt(alice.acct(), "bob".into(), next, 0)], "folded: {folded}");
    }
    let later = town.accepted(&alice, 5, "bob", "and this").await.n;
    town.told().await;
    assert_eq!(mark(&town, at, true, "alice").await, Ok(()));
    assert_eq!(town.told().await, [], "nothing moved");
    assert_eq!(mark(&town, at + 1, false, "alice").await, Ok(()));
    assert_eq!(town.told().await, [], "a mark never falls");
    let fence = bob.fence();
    town.ask(|answer| Op::Block { fence, who: name("alice"), on: true, answer }).await.unwrap();
    town.ack(&bob, later).await;
    mark(&town, later, true, "alice").await.unwrap();
    assert!(!town.told().await.iter().any(|t| matches!(t, Told::Receipt(..))), "blocked");
    assert_eq!(follow(&town).await, []);
}

/// Block, unblock, and what each answers.
pub async fn blocks<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let block = async |town: &Town<P>, fence, who: &str, on: bool| {
        let who = name(who);
        town.ask(|answer| Op::Block { fence, who, on, answer }).await
    };
    assert_eq!(block(&town, alice.fence(), "nobody", true).await, Err(Code::UNKNOWN_USER));
    assert_eq!(block(&town, alice.fence(), "alice", true).await, Err(Code::YOURSELF));
    assert_eq!(block(&town, alice.fence(), "bob", false).await, Err(Code::NOT_BLOCKED));
    assert_eq!(block(&town, alice.fence(), "bob", true).await, Ok(true));
    assert_eq!(block(&town, alice.fence(), "bob", true).await, Ok(false));
    let told = town.told().await;
    let blocked: Vec<_> = told.iter().filter(|t| matches!(t, Told::Block(..))).collect();
    assert_eq!(blocked, [&Told::Block(alice.acct(), bob.acct(), true)], "told once");
    town.crash();
    town.start().await;
    town.open(&mut alice, None).await;
    let acct = alice.acct();
    assert_eq!(town.query(|answer| Query::Blocked(acct, answer)).await, [name("bob")]);
    let mut bob = bob;
    town.open(&mut bob, None).await;
    let mixed = vec![message(bob.inc, 1, "alice", "x"), message(bob.inc, 2, "", "all")];
    assert_eq!(codes(&town.send(&bob, mixed).await), [Code::RECIPIENT_BLOCKED, Code::ACCEPTED]);
    assert_eq!(town.inbox(&alice, 0).await, Vec::<String>::new());
    assert_eq!(block(&town, alice.fence(), "bob", false).await, Ok(true));
    assert_eq!(town.query(|answer| Query::Blocked(acct, answer)).await, []);
    town.accepted(&bob, 3, "alice", "again").await;
}

/// Failure counters outlive the server.
pub async fn failure_counters<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let failure = |key: u8, count, left_ms| Failure { key: [key; 16], count, locks: 1, left_ms };
    town.submit(Op::Failure(failure(1, 1, 0))).await;
    town.submit(Op::Failure(failure(2, 2, 0))).await;
    town.submit(Op::Failure(failure(2, 3, 60_000))).await;
    town.submit(Op::Failure(Failure { key: [1; 16], count: 0, locks: 0, left_ms: 0 })).await;
    town.told().await;
    town.crash();
    town.start().await;
    assert_eq!(town.query(Query::Failures).await, [failure(2, 3, 60_000)]);
}

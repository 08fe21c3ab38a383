//! What the operator does to accounts: delete, lock, announce.

use chat_proto::fault::Code;
use chat_proto::machine::presence::Reason;
use chat_proto::wire::{self, kind};
use prost::Message;

use super::people::{announced, ends};
use super::town::{Place, Told, Town, name, new_device};
use crate::store::{AcctId, Deleted, Ending, Op, Policy, Query, Settings};

async fn delete<P: Place>(town: &Town<P>, acct: AcctId) -> Result<Deleted, Code> {
    let now_ms = town.now;
    town.ask(|answer| Op::DeleteAccount { acct, now_ms, answer }).await
}

/// The messages that an account is told to have expired: their places and why.
fn expired(told: &[Told], acct: AcctId) -> Vec<(u64, Code)> {
    let notice = |t: &Told| match t {
        Told::Entry(to, entry) if *to == acct => {
            let deliver = wire::Deliver::decode(entry.tail.clone()).ok().filter(|d| d.kind == kind::EXPIRED)?;
            let expired = wire::Expired::decode(deliver.body).ok()?;
            Some((expired.cseq, Code(expired.code)))
        }
        _ => None,
    };
    told.iter().filter_map(notice).collect()
}

/// What waits for a deleted account expires for its senders; neither its name nor its number comes back, over restarts too.
pub async fn a_deleted_account_is_gone<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let alice = town.arrive("alice", 1).await;
    let bob = town.arrive("bob", 2).await;
    let carol = town.arrive("carol", 3).await;
    let seen = town.accepted(&alice, 1, "bob", "seen").await;
    town.ack(&bob, seen.n).await;
    town.accepted(&alice, 2, "bob", "folded").await;
    town.fold().await;
    town.accepted(&alice, 3, "bob", "not folded").await;
    town.accepted(&alice, 4, "", "to all").await;
    town.accepted(&bob, 1, "carol", "from bob").await;
    town.accepted(&carol, 1, "alice", "of others").await;
    town.told().await;

    assert_eq!(delete(&town, bob.acct()).await, Ok(Deleted { devices: 1, expired: 2 }));
    let told = town.told().await;
    assert_eq!(expired(&told, alice.acct()), [(2, Code::ACCOUNT_GONE), (3, Code::ACCOUNT_GONE)], "{told:?}");
    assert_eq!(expired(&told, carol.acct()), []);
    assert_eq!(announced(&told), [("bob".to_owned(), false, Reason::Kicked)]);
    assert!(ends(&told).contains(&(bob.session.0, Code::ACCOUNT_GONE)), "{told:?}");
    assert_eq!(delete(&town, bob.acct()).await, Err(Code::UNKNOWN_USER));
    assert_eq!(town.inbox(&carol, 0).await, ["to all", "from bob"], "what he sent before stays");
    assert_eq!(town.query(|answer| Query::Device(name("bob"), new_device(2).id, answer)).await, None);

    assert_eq!(delete(&town, carol.acct()).await.map(|gone| gone.devices), Ok(1), "the newest account");
    for restarted in [false, true] {
        if restarted {
            town.crash();
            town.start().await;
        }
        assert_eq!(town.create("bob", 40).await, Err(Code::NAME_TAKEN));
        let (name, phc) = (name("carol"), "phc".to_owned());
        assert_eq!(town.ask(|answer| Op::AddAccount { name, phc, answer }).await, Err(Code::NAME_TAKEN));
        assert_eq!(town.users().await.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["alice"]);
    }
    let dave = town.arrive("dave", 4).await;
    assert!(dave.acct() > carol.acct() && dave.dev() > carol.dev(), "no number is given again");
    assert_eq!(town.inbox(&dave, 0).await, Vec::<String>::new(), "nor what belonged to it");
    town.fold().await;
}

/// Nobody logs in to a locked account, and its grace ends with its sessions.
pub async fn a_locked_account<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let mut alice = town.arrive("alice", 1).await;
    let acct = alice.acct();
    let now_ms = town.now;
    let set = |on| move |answer| Op::Lock { acct, on, now_ms, answer };
    let mut second = town.enrol(acct, 2).await.unwrap();
    town.open(&mut second, None).await;
    town.leave(&second, Ending::Lost { grace_until: u64::MAX }).await;
    town.told().await;
    assert_eq!(town.ask(set(true)).await, Ok(true));
    assert_eq!(town.ask(set(true)).await, Ok(false), "it was");
    let told = town.told().await;
    assert_eq!(announced(&told), [("alice".to_owned(), false, Reason::Kicked)]);
    assert_eq!(ends(&told).first(), Some(&(alice.session.0, Code::ACCOUNT_LOCKED)), "{told:?}");
    for restarted in [false, true] {
        if restarted {
            town.crash();
            town.start().await;
        }
        assert_eq!(town.enrol(acct, 1).await.map(|d| d.dev()), Err(Code::ACCOUNT_LOCKED));
        assert_eq!(town.enrol(acct, 9).await.map(|d| d.dev()), Err(Code::ACCOUNT_LOCKED));
        let opened = town.open_as(&mut alice, None, Policy::Many).await;
        assert_eq!(opened.map(|_| ()), Err(Code::ACCOUNT_LOCKED));
        assert!(town.users().await[0].locked);
    }
    assert_eq!(town.ask(set(false)).await, Ok(true));
    town.open(&mut alice, None).await;
}

//! Passwords, revoked devices and invitations.

use chat_proto::fault::Code;
use chat_proto::machine::presence::Reason;
use chat_proto::wire::{self, DeviceNotice};
use prost::Message;

use super::people::{announced, ends};
use super::town::{Device, Place, Told, Town, codes, message, name, new_device};
use crate::store::{AcctId, Asker, Invite, InviteHash, Login, Op, Policy, Query, Revoke, Settings};

/// The notices about devices and passwords that were put into an account's inbox.
fn notices(told: &[Told], acct: AcctId) -> Vec<(u32, String)> {
    let notice = |t: &Told| match t {
        Told::Entry(to, entry) if *to == acct => {
            let deliver = wire::Deliver::decode(entry.tail.clone()).unwrap();
            let notice = DeviceNotice::decode(deliver.body).unwrap();
            Some((notice.what, notice.name))
        }
        _ => None,
    };
    told.iter().filter_map(notice).collect()
}

async fn set_password<P: Place>(
    town: &Town<P>,
    acct: AcctId,
    phc: &str,
    revoke: Revoke,
    asker: Option<Asker>,
) -> Result<u32, Code> {
    let phc = phc.to_owned();
    town.ask(|answer| Op::SetPassword { acct, phc, revoke, asker, answer }).await
}

async fn revoke<P: Place>(town: &Town<P>, by: &Device, n: u8) -> Result<(), Code> {
    let (fence, device) = (by.fence(), new_device(n).id);
    town.ask(|answer| Op::Revoke { fence, device, answer }).await
}

/// A password changes once for each old one, and takes keys along as far as it is asked to.
pub async fn passwords_and_keys<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let phone = town.arrive("alice", 1).await;
    let mut desk = town.enrol(phone.acct(), 2).await.unwrap();
    town.open(&mut desk, None).await;
    town.enrol(phone.acct(), 3).await.unwrap();
    town.told().await;
    let acct = phone.acct();
    let asker = |device: &Device, old: &str| Some(Asker { fence: device.fence(), old: old.into() });
    assert_eq!(set_password(&town, acct, "two", Revoke::None, asker(&phone, "phc")).await, Ok(0));
    let told = town.told().await;
    assert_eq!(notices(&told, acct), [(DeviceNotice::PASSWORD_CHANGED, String::new())]);
    let late = set_password(&town, acct, "late", Revoke::None, asker(&desk, "phc")).await;
    assert_eq!(late, Err(Code::WRONG_CREDENTIALS), "checked against a hash that was replaced meanwhile");
    assert_eq!(town.enrol_by(acct, "phc", 4).await, Err(Code::WRONG_CREDENTIALS), "so is a login");
    town.submit(Op::Rehash { acct, old: "phc".into(), phc: "stronger".into() }).await;
    assert_eq!(town.query(|answer| Query::Credentials(name("alice"), answer)).await, Some((acct, "two".into())));
    town.told().await;
    let others = Revoke::Others(phone.dev());
    assert_eq!(set_password(&town, acct, "three", others, asker(&phone, "two")).await, Ok(2));
    let told = town.told().await;
    assert_eq!(ends(&told), [(desk.session.0, Code::REVOKED)]);
    assert_eq!(announced(&told), [], "the phone is still there");
    let gone = set_password(&town, acct, "x", Revoke::None, asker(&desk, "three")).await;
    assert_eq!(gone, Err(Code::REPLACED));
    assert_eq!(set_password(&town, acct, "four", Revoke::All, None).await, Ok(1));
    let told = town.told().await;
    assert!(ends(&told).contains(&(phone.session.0, Code::REVOKED)), "{told:?}");
    assert_eq!(announced(&told), [("alice".into(), false, Reason::Logout)]);
    assert_eq!(notices(&told, acct), [(DeviceNotice::PASSWORD_RESET, String::new())]);
    assert_eq!(set_password(&town, AcctId(99), "x", Revoke::All, None).await, Err(Code::UNKNOWN_USER));
    town.crash();
    town.start().await;
    assert_eq!(town.query(|answer| Query::Devices(acct, answer)).await, []);
    let known = town.query(|answer| Query::Credentials(name("alice"), answer)).await;
    assert_eq!(known, Some((acct, "four".into())));
}

/// No key, no session, no place in its streams; and neither its id nor its number comes back.
pub async fn a_revoked_device_is_none<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let phone = town.arrive("alice", 1).await;
    let mut desk = town.enrol(phone.acct(), 2).await.unwrap();
    town.open(&mut desk, None).await;
    let bob = town.arrive("bob", 9).await;
    town.accepted(&desk, 1, "bob", "sent before").await;
    town.tick(5_000).await;
    town.told().await;
    assert_eq!(revoke(&town, &phone, 7).await, Err(Code::UNKNOWN_DEVICE));
    assert_eq!(revoke(&town, &bob, 2).await, Err(Code::UNKNOWN_DEVICE), "another account's: the same answer");
    assert_eq!(revoke(&town, &phone, 2).await, Ok(()));
    let told = town.told().await;
    assert_eq!(ends(&told), [(desk.session.0, Code::REVOKED)]);
    assert_eq!(notices(&told, phone.acct()), [(DeviceNotice::REVOKED, "device 2".into())]);
    assert_eq!(revoke(&town, &phone, 2).await, Err(Code::UNKNOWN_DEVICE));
    assert_eq!(codes(&town.send(&desk, vec![message(desk.inc, 2, "bob", "x")]).await), [], "fenced");
    assert_eq!(town.open_as(&mut desk.clone(), None, Policy::Many).await.unwrap_err(), Code::WRONG_CREDENTIALS);
    for restarted in [false, true] {
        if restarted {
            town.crash();
            town.start().await;
        }
        let known = town.query(|answer| Query::Device(name("alice"), new_device(2).id, answer)).await;
        assert_eq!(known, None);
        assert_eq!(town.enrol(phone.acct(), 2).await.map(|d| d.dev()), Err(Code::REVOKED));
        assert_eq!(town.enrol(bob.acct(), 2).await.map(|d| d.dev()), Err(Code::FORBIDDEN));
        assert_eq!(town.create("eve", 2).await, Err(Code::FORBIDDEN));
        let devices = town.query(|answer| Query::Devices(phone.acct(), answer)).await;
        let ids: Vec<_> = devices.iter().map(|d| (d.id, d.name.as_str(), d.since_ms)).collect();
        assert_eq!(ids, [(new_device(1).id, "device 1", super::town::NOW)]);
        let users = town.users().await;
        assert_eq!(users.iter().map(|u| u.devices).collect::<Vec<_>>(), [1, 1]);
    }
    let fresh = town.enrol(phone.acct(), 3).await.unwrap();
    assert!(fresh.dev() > bob.dev(), "a number is never given twice");
    assert_eq!(town.inbox(&bob, 0).await, ["sent before"], "what was accepted stays");
}

/// What waits for a revoked device alone is let go; a message of its own expires without it.
pub async fn a_revoked_device_holds_nothing_back<P: Place>(place: P) {
    let settings = Settings { offline_keep_hours: 2, ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let phone = town.arrive("alice", 1).await;
    let desk = town.enrol(phone.acct(), 2).await.unwrap();
    let mut laptop = town.enrol(phone.acct(), 3).await.unwrap();
    town.open(&mut laptop, None).await;
    let bob = town.arrive("bob", 9).await;
    let at = town.accepted(&bob, 1, "alice", "for alice").await.n;
    town.accepted(&laptop, 1, "bob", "never fetched").await;
    town.ack(&phone, at + 1).await;
    town.ack(&laptop, at + 1).await;
    town.fold().await;
    assert_eq!(town.inbox(&desk, at - 1).await.first().map(String::as_str), Some("for alice"));
    assert_eq!(revoke(&town, &phone, 2).await, Ok(()));
    town.fold().await;
    assert_eq!(town.page(phone.acct(), 0, 10, 1 << 20).await.entries.iter().filter(|e| e.n <= at).count(), 0);
    assert_eq!(revoke(&town, &phone, 3).await, Ok(()));
    town.told().await;
    town.hours(3).await;
    let told = town.told().await;
    let expired = told.iter().filter(|t| matches!(t, Told::Entry(acct, _) if *acct == phone.acct())).count();
    assert_eq!(expired, 1, "its account is told that the message of the revoked device expired");
    assert_eq!(town.inbox(&bob, 0).await, Vec::<String>::new());
}

async fn invite<P: Place>(town: &Town<P>, hash: u8, only: Option<&str>, uses: u32, lasts_ms: u64) -> Result<u32, Code> {
    let (hash, name): (InviteHash, _) = ([hash; 32], only.map(name));
    town.ask(|answer| Op::CreateInvite { hash, name, uses, lasts_ms, answer }).await
}

async fn redeem<P: Place>(town: &Town<P>, who: &str, n: u8, hash: Option<u8>) -> Result<Login, Code> {
    let (name, device, invite) = (name(who), new_device(n), hash.map(|hash| [hash; 32]));
    town.ask(|answer| Op::CreateAccount { name, phc: "phc".into(), device, invite, answer }).await
}

async fn list<P: Place>(town: &Town<P>) -> Vec<Invite> {
    town.ask(Op::Invites).await.unwrap()
}

const DAY: u64 = 24 * 3_600_000;

/// Made, listed, used up, withdrawn; for anybody, or for one name.
pub async fn invitations<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    assert_eq!(invite(&town, 1, None, 2, DAY).await, Ok(1));
    assert_eq!(redeem(&town, "alice", 1, Some(9)).await, Err(Code::BAD_INVITE));
    assert!(redeem(&town, "alice", 1, Some(1)).await.is_ok());
    assert_eq!(redeem(&town, "alice", 2, Some(1)).await, Err(Code::NAME_TAKEN));
    assert_eq!(redeem(&town, "bob", 1, Some(1)).await, Err(Code::FORBIDDEN));
    for crashed in [false, true] {
        if crashed {
            town.crash();
            town.start().await;
        }
        let kept: Vec<_> = list(&town).await.into_iter().map(|i| (i.id, i.uses, i.used)).collect();
        assert_eq!(kept, [(1, 2, 1)], "what was refused used nothing");
    }
    assert!(redeem(&town, "bob", 2, Some(1)).await.is_ok());
    assert_eq!(redeem(&town, "carol", 3, Some(1)).await, Err(Code::BAD_INVITE), "used up");
    assert_eq!(list(&town).await, []);
    assert_eq!(invite(&town, 2, Some("alice"), 1, DAY).await, Err(Code::NAME_TAKEN));
    assert_eq!(invite(&town, 2, Some("carol"), 1, DAY).await, Ok(2), "a number is never given twice");
    assert_eq!(invite(&town, 3, Some("carol"), 1, DAY).await, Err(Code::NAME_TAKEN));
    let found = town.query(|answer| Query::Invite([2; 32], answer)).await;
    assert_eq!(found, Some(Some(name("carol"))));
    assert_eq!(town.query(|answer| Query::Invite([9; 32], answer)).await, None);
    assert_eq!(redeem(&town, "carol", 3, None).await, Err(Code::NAME_TAKEN), "kept for the one who was invited");
    assert_eq!(redeem(&town, "dave", 3, Some(2)).await, Err(Code::BAD_INVITE), "for another name");
    assert!(redeem(&town, "carol", 3, Some(2)).await.is_ok());
    assert_eq!(invite(&town, 4, Some("dave"), 1, DAY).await, Ok(3));
    let withdraw = async |town: &Town<P>| town.ask(|answer| Op::RevokeInvite { id: 3, answer }).await;
    assert_eq!(withdraw(&town).await, Ok(()));
    assert_eq!(withdraw(&town).await, Err(Code::UNKNOWN_INVITE));
    assert!(redeem(&town, "dave", 4, None).await.is_ok(), "the name is free again");
}

/// A clock that jumps does nothing to an invitation; running does, over restarts too.
pub async fn invitations_age_by_running_time<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    invite(&town, 1, None, 5, 100_000).await.unwrap();
    town.now += 3650 * DAY as i64;
    town.tick(40_000).await;
    assert_eq!(list(&town).await[0].left_ms, 60_000);
    town.shut_down().await;
    town.mono = 5;
    town.start().await;
    town.tick(59_000).await;
    assert_eq!(list(&town).await[0].left_ms, 1_000);
    assert!(redeem(&town, "alice", 1, Some(1)).await.is_ok());
    town.tick(1_000).await;
    assert_eq!(redeem(&town, "bob", 2, Some(1)).await, Err(Code::BAD_INVITE));
    assert_eq!(list(&town).await, []);
    invite(&town, 2, Some("bob"), 1, 120_000).await.unwrap();
    // A killed server forgets a minute at most.
    town.tick(61_000).await;
    town.told().await;
    town.crash();
    town.start().await;
    assert_eq!(list(&town).await[0].left_ms, 59_000);
}

/// Many at once with one invitation: exactly as many accounts as it has uses.
pub async fn one_use_is_one_account<P: Place>(place: P) {
    let town = Town::new(place, Settings::default()).await;
    invite(&town, 1, None, 3, DAY).await.unwrap();
    let mut waits = Vec::new();
    for n in 1..=20u8 {
        let (answer, wait) = tokio::sync::oneshot::channel();
        let (name, device) = (name(&format!("user{n}")), new_device(n));
        town.submit(Op::CreateAccount { name, phc: "phc".into(), device, invite: Some([1; 32]), answer }).await;
        waits.push(wait);
    }
    let mut made = 0;
    for wait in waits {
        match wait.await.unwrap() {
            Ok(_) => made += 1,
            Err(fault) => assert_eq!(fault.code, Code::BAD_INVITE),
        }
    }
    assert_eq!((made, town.users().await.len()), (3, 3));
}

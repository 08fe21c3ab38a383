//! Private requests: decided in one order with logins, logouts and blocks, told after it, and kept by nobody.

use chat_proto::fault::Code;
use chat_proto::machine::presence::Reason;
use chat_proto::machine::private::broker::{Terms, Whom};
use chat_proto::machine::private::requests::RequestId;
use chat_proto::wire::{PeerEndpoint, PrivateNotice};

use super::town::{Device, Place, Told, Town, name};
use crate::rate::Rate;
use crate::store::private::{Ask, Asked, Notice, Open, Ruling};
use crate::store::{AcctId, DevId, Ending, Op, Settings};

const ONE: RequestId = [1; 16];
const TWO: RequestId = [2; 16];

fn at(device: &Device) -> PeerEndpoint {
    let n = u8::try_from(device.login.dev.0).unwrap();
    PeerEndpoint {
        endpoint_id: vec![n; 32],
        addresses: vec![format!("192.0.2.{n}:7")],
        peer_key: vec![n; 32],
        ..PeerEndpoint::default()
    }
}

async fn ask<P: Place>(town: &Town<P>, id: RequestId, from: &Device, to: &str) -> Result<Asked, Code> {
    let ask = Ask {
        fence: from.fence(),
        id,
        to: Some(name(to)),
        note: "re: keys".into(),
        ttl_ms: 0,
        endpoint: at(from),
        check: false,
    };
    ruled(town.ask(|answer| Op::PrivateAsk(Box::new(ask), answer)).await)
}

fn ruled<T>(ruling: Result<Ruling<T>, Code>) -> Result<T, Code> {
    ruling?.done.map_err(|fault| fault.code)
}

async fn accept<P: Place>(town: &Town<P>, id: RequestId, by: &Device) -> Result<Open, Code> {
    let (fence, accept) = (by.fence(), Some(Box::new(at(by))));
    ruled(town.ask(|answer| Op::PrivateAnswer { fence, id, accept, answer }).await).map(Option::unwrap)
}

async fn block<P: Place>(town: &Town<P>, by: &Device, who: &str, on: bool) {
    let (fence, who) = (by.fence(), name(who));
    assert_eq!(town.ask(|answer| Op::Block { fence, who, on, answer }).await, Ok(true));
}

/// To whom what was told of private requests, and of whom.
async fn notices<P: Place>(town: &Town<P>) -> Vec<(Whom<AcctId, DevId>, u32, String)> {
    let told = town.told().await.into_iter();
    told.filter_map(|told| match told {
        Told::Private(Notice { to, what, account, .. }) => Some((to, what.number(), account.to_string())),
        _ => None,
    })
    .collect()
}

/// Asked, accepted, and told to each side's one device.
pub async fn consent<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let (alice, phone) = (town.arrive("alice", 1).await, town.arrive("bob", 2).await);
    let mut desk = town.enrol(phone.acct(), 3).await.unwrap();
    town.told().await;
    let asked = ask(&town, ONE, &alice, "bob").await.unwrap();
    assert_eq!((asked.id, asked.expires_in_ms, asked.open), (ONE, 120_000, None));
    let to_bob = Whom::Account(phone.acct(), None);
    assert_eq!(notices(&town).await, [(to_bob, PrivateNotice::REQUEST, "alice".into())]);
    town.open(&mut desk, None).await;
    let to_desk = Whom::Device(desk.acct(), desk.dev());
    assert_eq!(notices(&town).await, [(to_desk, PrivateNotice::REQUEST, "alice".into())], "told when it comes");
    let open = accept(&town, ONE, &desk).await.unwrap();
    assert_eq!(
        (open.account, open.device, open.endpoint, open.asker),
        (name("alice"), alice.login.id, at(&alice), false)
    );
    let told = notices(&town).await;
    let to_alice = Whom::Device(alice.acct(), alice.dev());
    let others = Whom::Account(phone.acct(), Some(desk.dev()));
    assert_eq!(
        told,
        [(to_alice, PrivateNotice::ACCEPTED, "bob".into()), (others, PrivateNotice::ANSWERED, "alice".into())]
    );
    assert_eq!(accept(&town, ONE, &phone).await, Err(Code::UNKNOWN_REQUEST), "the first one has it");
    let again = ask(&town, ONE, &alice, "bob").await.unwrap().open.unwrap();
    assert_eq!((again.device, again.endpoint, again.asker), (desk.login.id, at(&desk), true));
    // An old session of the device decides nothing.
    town.open(&mut desk.clone(), None).await;
    assert_eq!(ask(&town, TWO, &desk, "alice").await, Err(Code::REPLACED));
}

/// What is refused, and in which order; that somebody is blocked is told whether the blocker is there or not.
pub async fn refusals<P: Place>(place: P) {
    let settings = Settings { unknown_recipients: Rate::per(1, 3600), ..Settings::default() };
    let mut town = Town::new(place, settings).await;
    let (alice, bob) = (town.arrive("alice", 1).await, town.arrive("bob", 2).await);
    assert_eq!(ask(&town, ONE, &alice, "nobody").await, Err(Code::UNKNOWN_USER));
    assert_eq!(ask(&town, ONE, &alice, "nobody").await, Err(Code::LIMIT), "names are not to be tried");
    assert_eq!(ask(&town, ONE, &alice, "alice").await, Err(Code::YOURSELF));
    block(&town, &bob, "alice", true).await;
    assert_eq!(ask(&town, ONE, &alice, "bob").await, Err(Code::RECIPIENT_BLOCKED));
    assert_eq!(ask(&town, ONE, &bob, "alice").await, Err(Code::BLOCKED_BY_YOU));
    town.log_out(&bob).await;
    assert_eq!(ask(&town, ONE, &alice, "bob").await, Err(Code::RECIPIENT_BLOCKED), "the same while he is away");
    let mut bob = bob;
    town.open(&mut bob, None).await;
    block(&town, &bob, "alice", false).await;
    town.log_out(&bob).await;
    assert_eq!(ask(&town, ONE, &alice, "bob").await, Err(Code::OFFLINE));
    let closed = Settings { private: Terms { allowed: false, relay: false, ttl_ms: 1 }, ..Settings::default() };
    town.submit(Op::Configure(Box::new(closed))).await;
    assert_eq!(ask(&town, ONE, &alice, "bob").await, Err(Code::PRIVATE_OFF));
    let limited = Settings { private_requests: Rate::per(1, 60), ..Settings::default() };
    town.submit(Op::Configure(Box::new(limited))).await;
    town.open(&mut bob, None).await;
    assert!(ask(&town, ONE, &alice, "bob").await.is_ok());
    assert!(ask(&town, ONE, &alice, "bob").await.is_ok(), "asked again it is the same request");
    assert_eq!(ask(&town, TWO, &alice, "bob").await, Err(Code::LIMIT));
    assert_eq!(accept(&town, ONE, &alice).await, Err(Code::UNKNOWN_REQUEST), "one's own is not to be answered");
}

/// Who leaves, blocks, logs out, or waits too long.
pub async fn requests_end<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let (mut alice, mut bob) = (town.arrive("alice", 1).await, town.arrive("bob", 2).await);
    let mut pad = town.enrol(alice.acct(), 3).await.unwrap();
    town.open(&mut pad, None).await;
    let (to_bob, to_alice) = (Whom::Account(bob.acct(), None), Whom::Device(alice.acct(), alice.dev()));
    let begin = async |town: &Town<P>, id: u8, alice: &Device| {
        ask(town, [id; 16], alice, "bob").await.unwrap();
        notices(town).await;
    };

    // The device that asked logs out, the account stays.
    begin(&town, 1, &alice).await;
    town.log_out(&alice).await;
    assert_eq!(notices(&town).await, [(to_bob, PrivateNotice::WITHDRAWN, "alice".into())]);
    town.open(&mut alice, None).await;

    // The account leaves; a lost link only when its grace is over.
    town.log_out(&pad).await;
    begin(&town, 2, &alice).await;
    town.leave(&alice, Ending::Lost { grace_until: town.mono + 10_000 }).await;
    town.tick(9_999).await;
    assert_eq!(notices(&town).await, []);
    town.tick(1).await;
    assert_eq!(notices(&town).await, [(to_bob, PrivateNotice::LEFT, "alice".into())]);
    town.open(&mut alice, None).await;
    assert_eq!(ask(&town, [2; 16], &alice, "bob").await, Err(Code::WITHDRAWN), "it is over for her too");

    // The asked one leaves.
    begin(&town, 3, &alice).await;
    town.leave(&bob, Ending::Left(Reason::Idle)).await;
    assert_eq!(notices(&town).await, [(to_alice, PrivateNotice::LEFT, "bob".into())]);
    town.open(&mut bob, None).await;
    assert_eq!(notices(&town).await, []);

    // The asked one blocks her, which looks like a no.
    begin(&town, 4, &alice).await;
    block(&town, &bob, "alice", true).await;
    let told = notices(&town).await;
    assert_eq!(told[0], (to_alice, PrivateNotice::DECLINED, "bob".into()));
    assert_eq!(accept(&town, [4; 16], &bob).await, Err(Code::UNKNOWN_REQUEST));
    block(&town, &bob, "alice", false).await;

    // Nobody answers.
    begin(&town, 5, &alice).await;
    town.tick(120_000).await;
    assert_eq!(
        notices(&town).await,
        [(to_alice, PrivateNotice::EXPIRED, "bob".into()), (to_bob, PrivateNotice::EXPIRED, "alice".into())]
    );

    // Her key is taken, or her account.
    begin(&town, 6, &alice).await;
    let (fence, device) = (alice.fence(), alice.login.id);
    town.open(&mut pad, None).await;
    assert_eq!(town.ask(|answer| Op::Revoke { fence, device, answer }).await, Ok(()));
    assert_eq!(notices(&town).await, [(to_bob, PrivateNotice::WITHDRAWN, "alice".into())]);
    begin(&town, 7, &pad).await;
    let (acct, now_ms) = (pad.acct(), town.now);
    town.ask(|answer| Op::DeleteAccount { acct, now_ms, answer }).await.unwrap();
    assert_eq!(notices(&town).await, [(to_bob, PrivateNotice::LEFT, "alice".into())]);
}

/// A restart forgets requests; whoever still wants his asks again under the same id.
pub async fn a_restart_forgets_requests<P: Place>(place: P) {
    let mut town = Town::new(place, Settings::default()).await;
    let (mut alice, mut bob) = (town.arrive("alice", 1).await, town.arrive("bob", 2).await);
    ask(&town, ONE, &alice, "bob").await.unwrap();
    town.crash();
    town.start().await;
    town.open(&mut bob, None).await;
    town.open(&mut alice, None).await;
    notices(&town).await;
    assert_eq!(accept(&town, ONE, &bob).await, Err(Code::UNKNOWN_REQUEST));
    assert!(ask(&town, ONE, &alice, "bob").await.is_ok());
    assert_eq!(notices(&town).await.len(), 1);
    assert!(accept(&town, ONE, &bob).await.is_ok());
}

//! Private requests over real links: who is asked, who is told what, and that nobody learns an address before the other consented.

use chat_proto::fault::{Code, Fault};
use chat_proto::wire::{PeerEndpoint, PrivateNotice, PrivateOpen};
use chat_proto::{limits, method, wire};
use chat_server::admin::ask as operate;
use chat_server::admin::audit::AuditPage;
use prost::Message;

use crate::client::Client;
use crate::world::World;

const ONE: [u8; 16] = [1; 16];
const TWO: [u8; 16] = [2; 16];

/// An endpoint whose keys and address are made of one number.
pub fn endpoint(n: u8) -> PeerEndpoint {
    PeerEndpoint {
        endpoint_id: vec![n; 32],
        addresses: vec![format!("192.0.2.{n}:4711")],
        peer_key: vec![n; 32],
        ..PeerEndpoint::default()
    }
}

pub fn asking(id: [u8; 16], to: &str, endpoint: PeerEndpoint) -> wire::PrivateAsk {
    wire::PrivateAsk {
        id: id.to_vec(),
        to: to.into(),
        note: "re: keys".into(),
        endpoint: Some(endpoint),
        ..wire::PrivateAsk::default()
    }
}

async fn ask(client: &mut Client, id: [u8; 16], to: &str, n: u8) -> Result<wire::PrivateAsked, Fault> {
    client.ask(method::PRIVATE_ASK, &asking(id, to, endpoint(n))).await
}

async fn accept(client: &mut Client, id: [u8; 16], n: u8) -> Result<PrivateOpen, Fault> {
    let yes = wire::PrivateAnswer { id: id.to_vec(), accept: true, endpoint: Some(endpoint(n)) };
    let answered: wire::PrivateAnswered = client.ask(method::PRIVATE_ANSWER, &yes).await?;
    Ok(answered.open.expect("what is needed to meet"))
}

async fn decline(client: &mut Client, id: [u8; 16]) -> Result<wire::PrivateAnswered, Fault> {
    let no = wire::PrivateAnswer { id: id.to_vec(), accept: false, endpoint: None };
    client.ask(method::PRIVATE_ANSWER, &no).await
}

async fn cancel(client: &mut Client, id: [u8; 16]) -> Result<wire::Empty, Fault> {
    client.ask(method::PRIVATE_CANCEL, &wire::PrivateCancel { id: id.to_vec() }).await
}

async fn notice(client: &mut Client) -> PrivateNotice {
    client.push(method::PRIVATE).await
}

/// What the next notice says, of whom.
async fn told(client: &mut Client) -> (u32, String) {
    let notice = notice(client).await;
    (notice.what, notice.account)
}

async fn block(client: &mut Client, who: &str, on: bool) {
    let method = if on { method::BLOCK } else { method::UNBLOCK };
    client.ask::<wire::BlockChanged>(method, &wire::Account { account: who.into() }).await.unwrap();
}

async fn log_out(client: &mut Client) {
    client.ask::<wire::Empty>(method::LOGOUT, &wire::Logout { all_devices: false }).await.unwrap();
}

/// The same device on a new connection.
async fn back(world: &World, client: &Client, name: &str) -> Client {
    let mut back = Client::connect_as(world, client.device.clone()).await;
    back.by_key(name).await.unwrap();
    // The same start of its chatd.
    back.go_on(client.incarnation, client.cseq());
    back.hello().await;
    back
}

#[tokio::test]
async fn consent_tells_each_side_where_the_other_is() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let asked = ask(&mut alice, ONE, "bob", 1).await.unwrap();
    assert_eq!((asked.id, asked.open), (ONE.to_vec(), None));
    assert!((100_000..=120_000).contains(&asked.expires_in_ms));
    let request = notice(&mut bob).await;
    assert_eq!((request.what, &*request.account, &*request.note), (PrivateNotice::REQUEST, "alice", "re: keys"));
    assert_eq!((request.id, request.open), (ONE.to_vec(), None), "and no address");
    assert!(request.expires_in_ms > 100_000);

    let for_bob = accept(&mut bob, ONE, 2).await.unwrap();
    assert_eq!((&*for_bob.account, for_bob.asker, for_bob.endpoint), ("alice", false, Some(endpoint(1))));
    assert_eq!(for_bob.device_id, alice.device.id.0);
    let accepted = notice(&mut alice).await;
    assert_eq!((accepted.what, &*accepted.account), (PrivateNotice::ACCEPTED, "bob"));
    let for_alice = accepted.open.unwrap();
    assert_eq!((for_alice.id, for_alice.asker, for_alice.endpoint), (ONE.to_vec(), true, Some(endpoint(2))));
    assert_eq!((for_alice.device_id, for_alice.relay), (bob.device.id.0.to_vec(), None));
    assert_ne!(for_alice.ticket, for_bob.ticket);
    assert!(for_alice.ticket.len() <= limits::TICKET_MAX && !for_alice.ticket.is_empty());
    // Said again after a lost answer, both get the same.
    assert_eq!(accept(&mut bob, ONE, 2).await.unwrap().endpoint, Some(endpoint(1)));
    assert_eq!(ask(&mut alice, ONE, "bob", 1).await.unwrap().open.unwrap().endpoint, Some(endpoint(2)));
}

#[tokio::test]
async fn refusals_come_in_their_order() {
    let mut world = World::with("").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let refused = async |alice: &mut Client, to: &str| ask(alice, ONE, to, 1).await.unwrap_err().code;
    assert_eq!(refused(&mut alice, "nobody").await, Code::UNKNOWN_USER);
    assert_eq!(refused(&mut alice, "alice").await, Code::YOURSELF);
    block(&mut alice, "bob", true).await;
    block(&mut bob, "alice", true).await;
    assert_eq!(refused(&mut alice, "bob").await, Code::RECIPIENT_BLOCKED);
    log_out(&mut bob).await;
    assert_eq!(refused(&mut alice, "bob").await, Code::RECIPIENT_BLOCKED, "whether he is there or not");
    let mut bob = back(&world, &bob, "bob").await;
    block(&mut bob, "alice", false).await;
    assert_eq!(refused(&mut alice, "bob").await, Code::BLOCKED_BY_YOU);
    block(&mut alice, "bob", false).await;
    let hidden = PeerEndpoint { relay_only: true, ..endpoint(1) };
    let through = alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &asking(ONE, "bob", hidden)).await;
    assert_eq!(through.unwrap_err().code, Code::NO_RELAY);
    let check = wire::PrivateAsk { check: true, endpoint: None, ..asking(TWO, "bob", endpoint(1)) };
    assert!(alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &check).await.is_ok());
    assert!(ask(&mut alice, ONE, "BOB", 1).await.is_ok(), "names as everywhere");
    assert_eq!(ask(&mut alice, TWO, "bob", 1).await.unwrap_err().code, Code::REQUEST_PENDING);
    bob.barrier().await;
    assert_eq!(bob.seen(method::PRIVATE), 1, "of all that he heard once");
    log_out(&mut bob).await;
    assert_eq!(told(&mut alice).await, (PrivateNotice::LEFT, "bob".into()));
    assert_eq!(ask(&mut alice, TWO, "bob", 1).await.unwrap_err().code, Code::OFFLINE);
    world.set("[private]\nallow = false\n");
    world.server.as_ref().unwrap().running().reload().await.unwrap();
    assert_eq!(ask(&mut alice, TWO, "bob", 1).await.unwrap_err().code, Code::PRIVATE_OFF);
    world.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::start().await;
    let _bob = world.user("bob").await;
    let mut alice = world.user("alice").await;
    let long = wire::PrivateAsk { note: "x".repeat(limits::NOTE_MAX + 1), ..asking(ONE, "bob", endpoint(1)) };
    let refused = alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &long).await.unwrap_err();
    assert_eq!(refused.code, Code::TOO_LARGE);
    let broken: [fn(&mut wire::PrivateAsk, &mut PeerEndpoint); 6] = [
        |ask, _| ask.id = vec![1; 15],
        |_, at| at.endpoint_id = vec![1; 31],
        |_, at| at.peer_key = vec![],
        |_, at| at.addresses = vec!["localhost:1".into()],
        |_, at| at.addresses = vec!["192.0.2.1:1".into(); limits::PEER_ADDRESSES_MAX + 1],
        |_, at| (at.relay_only, at.direct_only) = (true, true),
    ];
    for (index, breaks) in broken.into_iter().enumerate() {
        let mut alice = back(&world, &alice, "alice").await;
        let (mut ask, mut at) = (asking(ONE, "bob", endpoint(1)), endpoint(1));
        breaks(&mut ask, &mut at);
        alice.request(method::PRIVATE_ASK, &wire::PrivateAsk { endpoint: Some(at), ..ask }).await;
        assert_eq!(alice.end().await, Some(Code::PROTOCOL), "{index}");
    }
    // A notice is the server's to send.
    let mut alice = back(&world, &alice, "alice").await;
    let forged = alice.ask::<wire::Empty>(method::PRIVATE, &PrivateNotice::default()).await.unwrap_err();
    assert_eq!(forged.code, Code::FORBIDDEN);
}

#[tokio::test]
async fn of_addresses_only_usable_ones_are_told_and_none_of_who_hides() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let addresses = ["0.0.0.0:5", "192.0.2.9:0", "224.0.0.1:5", "[ff02::1]:5", "[2001:db8::1]:5", "127.0.0.1:5"];
    let at = PeerEndpoint { addresses: addresses.map(String::from).to_vec(), ..endpoint(1) };
    alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &asking(ONE, "bob", at)).await.unwrap();
    notice(&mut bob).await;
    let open = accept(&mut bob, ONE, 2).await.unwrap();
    assert_eq!(open.endpoint.unwrap().addresses, ["[2001:db8::1]:5", "127.0.0.1:5"]);
}

#[tokio::test]
async fn a_no_a_withdrawal_and_too_late() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    ask(&mut alice, ONE, "bob", 1).await.unwrap();
    notice(&mut bob).await;
    decline(&mut bob, ONE).await.unwrap();
    assert_eq!(told(&mut alice).await, (PrivateNotice::DECLINED, "bob".into()));
    decline(&mut bob, ONE).await.unwrap();
    assert_eq!(accept(&mut bob, ONE, 2).await.unwrap_err().code, Code::UNKNOWN_REQUEST);
    assert_eq!(ask(&mut alice, ONE, "bob", 1).await.unwrap_err().code, Code::DECLINED, "asked again: the same no");

    ask(&mut alice, TWO, "bob", 1).await.unwrap();
    notice(&mut bob).await;
    assert_eq!(cancel(&mut bob, TWO).await.unwrap_err().code, Code::UNKNOWN_REQUEST, "not his");
    cancel(&mut alice, TWO).await.unwrap();
    assert_eq!(told(&mut bob).await, (PrivateNotice::WITHDRAWN, "alice".into()));
    assert_eq!(accept(&mut bob, TWO, 2).await.unwrap_err().code, Code::WITHDRAWN);
    for client in [&mut alice, &mut bob] {
        client.barrier().await;
        assert_eq!(client.seen(method::PRIVATE), 0, "nobody is told twice");
    }
}

#[tokio::test]
async fn a_request_runs_out() {
    let world = World::with("[private]\nrequest_ttl = \"1s\"\n").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    assert!(ask(&mut alice, ONE, "bob", 1).await.unwrap().expires_in_ms <= 1000);
    notice(&mut bob).await;
    assert_eq!(told(&mut alice).await, (PrivateNotice::EXPIRED, "bob".into()));
    assert_eq!(told(&mut bob).await, (PrivateNotice::EXPIRED, "alice".into()));
    assert_eq!(accept(&mut bob, ONE, 2).await.unwrap_err().code, Code::REQUEST_EXPIRED);
}

#[tokio::test]
async fn crossing_requests_become_one_session() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    ask(&mut alice, ONE, "bob", 1).await.unwrap();
    let joined = ask(&mut bob, TWO, "alice", 2).await.unwrap();
    let open = joined.open.unwrap();
    assert_eq!((joined.id, open.id, open.asker), (ONE.to_vec(), ONE.to_vec(), false));
    assert_eq!(open.endpoint, Some(endpoint(1)));
    let accepted = notice(&mut alice).await;
    assert_eq!((accepted.what, accepted.id), (PrivateNotice::ACCEPTED, ONE.to_vec()));
    alice.barrier().await;
    assert_eq!(alice.seen(method::PRIVATE), 0, "she is not asked");
}

#[tokio::test]
async fn any_device_may_answer_and_the_others_are_told() {
    let world = World::start().await;
    let (mut alice, mut phone) = (world.user("alice").await, world.user("bob").await);
    let mut desk = Client::connect(&world).await;
    desk.login("bob", crate::world::PASSWORD).await.unwrap();
    desk.hello().await;
    ask(&mut alice, ONE, "bob", 1).await.unwrap();
    notice(&mut phone).await;
    notice(&mut desk).await;
    let open = accept(&mut desk, ONE, 3).await.unwrap();
    assert_eq!(open.account, "alice");
    assert_eq!(told(&mut phone).await, (PrivateNotice::ANSWERED, "alice".into()));
    assert_eq!(accept(&mut phone, ONE, 2).await.unwrap_err().code, Code::UNKNOWN_REQUEST);
    assert_eq!(notice(&mut alice).await.open.unwrap().device_id, desk.device.id.0);
}

#[tokio::test]
async fn a_lost_link_loses_no_request_and_no_answer() {
    let mut world = World::start().await;
    let (mut alice, bob) = (world.user("alice").await, world.user("bob").await);
    let peer = bob.device.clone();
    drop(bob);
    // In his grace he is announced, so he can be asked.
    ask(&mut alice, ONE, "bob", 1).await.unwrap();
    let mut bob = Client::connect_as(&world, peer).await;
    bob.by_key("bob").await.unwrap();
    bob.hello().await;
    assert_eq!(told(&mut bob).await, (PrivateNotice::REQUEST, "alice".into()), "told when he comes back");
    let again = back(&world, &alice, "alice").await;
    drop(alice);
    let mut alice = again;
    // Accepted while she is away: she asks again and has it.
    drop(back(&world, &alice, "alice").await);
    accept(&mut bob, ONE, 2).await.unwrap();
    alice = back(&world, &alice, "alice").await;
    assert_eq!(ask(&mut alice, ONE, "bob", 1).await.unwrap().open.unwrap().endpoint, Some(endpoint(2)));

    // Another start of her chatd knows nothing of what it asked before.
    ask(&mut alice, TWO, "bob", 1).await.unwrap();
    assert_eq!(told(&mut bob).await, (PrivateNotice::REQUEST, "alice".into()));
    let mut anew = Client::connect_as(&world, alice.device.clone()).await;
    anew.by_key("alice").await.unwrap();
    anew.hello().await;
    assert_eq!(told(&mut bob).await, (PrivateNotice::WITHDRAWN, "alice".into()));
    world.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_server_forgets_requests_and_keeps_tickets() {
    let mut world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    ask(&mut alice, ONE, "bob", 1).await.unwrap();
    notice(&mut bob).await;
    let open = accept(&mut bob, ONE, 2).await.unwrap();
    ask(&mut alice, TWO, "bob", 1).await.unwrap_or_default();
    world.restart().await;
    let (mut alice, mut bob) = (back(&world, &alice, "alice").await, back(&world, &bob, "bob").await);
    assert_eq!(accept(&mut bob, TWO, 2).await.unwrap_err().code, Code::UNKNOWN_REQUEST);
    ask(&mut alice, TWO, "bob", 1).await.unwrap();
    assert_eq!(told(&mut bob).await, (PrivateNotice::REQUEST, "alice".into()));

    // Bob is elsewhere: the server remembers nothing of the session, his ticket does.
    let elsewhere = PeerEndpoint { endpoint_id: vec![9; 32], ..endpoint(2) };
    let moved = wire::PrivateMove { ticket: open.ticket.clone(), endpoint: Some(elsewhere.clone()) };
    let answer: wire::PrivateMoved = bob.ask(method::PRIVATE_MOVE, &moved).await.unwrap();
    assert!(answer.told && answer.ticket != open.ticket);
    let moved_to = notice(&mut alice).await;
    let at = moved_to.open.unwrap();
    assert_eq!((moved_to.what, &*moved_to.account, moved_to.id), (PrivateNotice::MOVED, "bob", ONE.to_vec()));
    assert_eq!((at.endpoint, at.asker, at.device_id), (Some(elsewhere), true, bob.device.id.0.to_vec()));
    // Only his, and only as it is.
    let refused = alice.ask::<wire::PrivateMoved>(method::PRIVATE_MOVE, &moved).await.unwrap_err();
    assert_eq!(refused.code, Code::FORBIDDEN);
    let forged = wire::PrivateMove { ticket: open.ticket.replace('a', "b"), endpoint: None };
    let refused = bob.ask::<wire::PrivateMoved>(method::PRIVATE_MOVE, &forged).await.unwrap_err();
    assert_eq!(refused.code, Code::FORBIDDEN);
    // To who is blocked the peer seems not to be here; it is told all the same, for the session goes on.
    block(&mut alice, "bob", true).await;
    let answer: wire::PrivateMoved = bob.ask(method::PRIVATE_MOVE, &moved).await.unwrap();
    assert!(!answer.told);
    assert_eq!(told(&mut alice).await, (PrivateNotice::WITHDRAWN, "bob".into()), "what she asked him is over");
    assert_eq!(notice(&mut alice).await.what, PrivateNotice::MOVED);
}

#[tokio::test]
async fn requests_are_limited() {
    let world = World::with("[limits]\nprivate_requests_per_minute = 2\n").await;
    let (mut alice, _bob) = (world.user("alice").await, world.user("bob").await);
    for id in [ONE, TWO] {
        ask(&mut alice, id, "bob", 1).await.unwrap();
        cancel(&mut alice, id).await.unwrap();
    }
    let refused = ask(&mut alice, [3; 16], "bob", 1).await.unwrap_err();
    assert_eq!(refused.code, Code::LIMIT);
    assert!(refused.retry_after_ms.is_some_and(|wait| (1..=60_000).contains(&wait)));
}

/// What the audit log says of private requests.
async fn audited(world: &World) -> Vec<String> {
    let entries = operate(world.config(), AuditPage::default()).await.unwrap().entries;
    entries.into_iter().map(|entry| entry.text).filter(|text| text.starts_with("private request")).collect()
}

#[tokio::test]
async fn nobody_fills_the_audit_log() {
    let world = World::with("[limits]\nprivate_requests_per_minute = 1\n").await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let no_name = "\u{1b}".repeat(10_000);
    assert_eq!(ask(&mut alice, ONE, &no_name, 1).await.unwrap_err().code, Code::UNKNOWN_USER);
    for n in 3..20 {
        assert_eq!(ask(&mut alice, [n; 16], &no_name, 1).await.unwrap_err().code, Code::LIMIT);
        assert_eq!(ask(&mut alice, [n; 16], "bob", 1).await.unwrap_err().code, Code::LIMIT);
        let check = wire::PrivateAsk { check: true, ..asking([n; 16], &no_name, endpoint(1)) };
        let refused = alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &check).await.unwrap_err();
        assert_eq!(refused.code, Code::LIMIT, "names are not to be tried");
        assert_eq!(accept(&mut alice, [n; 16], 1).await.unwrap_err().code, Code::UNKNOWN_REQUEST);
        assert_eq!(decline(&mut alice, [n; 16]).await.unwrap_err().code, Code::UNKNOWN_REQUEST);
        assert_eq!(cancel(&mut alice, [n; 16]).await.unwrap_err().code, Code::UNKNOWN_REQUEST);
    }
    assert_eq!(audited(&world).await, ["private request asked refused, unknown_user: account alice, peer -"]);
    for _ in 0..20 {
        ask(&mut bob, TWO, "alice", 2).await.unwrap();
    }
    for _ in 0..20 {
        decline(&mut alice, TWO).await.unwrap();
    }
    let once = ["asked: account bob, peer alice", "declined: account alice, peer -"];
    assert_eq!(audited(&world).await[1..], once.map(|line| format!("private request {line}")), "said again is no news");
}

#[tokio::test]
async fn no_address_of_anybody_is_told_before_a_yes() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    // The key is told with the request, where it is meant to be; nothing of where the host is.
    let canary = PeerEndpoint { peer_key: vec![78; 32], ..endpoint(77) };
    alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &asking(ONE, "bob", canary.clone())).await.unwrap();
    bob.barrier().await;
    decline(&mut bob, ONE).await.unwrap();
    alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &asking(TWO, "bob", canary.clone())).await.unwrap();
    bob.barrier().await;
    cancel(&mut alice, TWO).await.unwrap();
    bob.barrier().await;
    let told = bob.take_seen(method::PRIVATE);
    assert_eq!(told.len(), 3);
    for body in told {
        let notice = PrivateNotice::decode(body.clone()).unwrap();
        assert_eq!(notice.open, None);
        let key = if notice.what == PrivateNotice::REQUEST { canary.peer_key.clone() } else { Vec::new() };
        assert_eq!(notice.peer_key, key);
        for secret in [canary.addresses[0].as_bytes(), &canary.endpoint_id] {
            assert!(!body.windows(secret.len()).any(|window| window == secret));
        }
    }
}

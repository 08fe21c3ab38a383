//! S29, S31, S42: keys that are not proven, not known, or proven for something else.

use chat_link::PeerKey;
use chat_proto::peer::{Bye, Hello};
use chat_proto::wire::{PeerEndpoint, PrivateNotice};
use chat_tests::World;
use prost::Message as _;

use crate::account::random;
use crate::peer::{Claims, Foe, Session, Wire, agreed, connect, endpoint, exporter};
use crate::victim::{Pair, Victim, world};

/// Connects, says this hello, and hears how bob ends it.
async fn refused<'a>(foe: &'a Foe, session: &Session, edit: impl FnOnce(&mut Claims<'a>)) -> Option<u32> {
    let mut wire = Wire::open(connect(&foe.endpoint, &session.at).await).await;
    let hello = foe.hello(session, &wire.connection, edit);
    wire.say(chat_proto::method::peer::HELLO, &hello).await;
    assert!(wire.frame().await.is_none(), "a wrong hello is not answered");
    wire.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_a_hello_proves_one_session_one_side_one_connection() {
    let (_world, pair, foe, session) = agreed().await;
    let bob = &pair.bob;
    let other = PeerKey::generate().expect("a key");

    assert_eq!(refused(&foe, &session, |claims| claims.session = random()).await, Some(Bye::UNKNOWN));
    assert_eq!(refused(&foe, &session, |claims| claims.from = "alice".into()).await, Some(Bye::UNKNOWN));
    assert_eq!(refused(&foe, &session, |claims| claims.to = "alice".into()).await, Some(Bye::UNKNOWN));
    let device = chat_proto::id::DeviceId(random());
    assert_eq!(refused(&foe, &session, |claims| claims.device = device).await, Some(Bye::PROTOCOL));
    // as if bob's own proof came back
    assert_eq!(refused(&foe, &session, |claims| claims.connected = false).await, Some(Bye::PROTOCOL));
    // made for another connection
    let recorded = exporter(&connect(&foe.endpoint, &session.at).await);
    assert_eq!(refused(&foe, &session, |claims| claims.exporter = recorded).await, Some(Bye::PROTOCOL));
    // S42: the server named a key that this peer cannot prove
    assert_eq!(refused(&foe, &session, |claims| claims.key = &other).await, Some(Bye::PROTOCOL));
    assert_ne!(bob.state("mallory").as_deref(), Some("open"));

    // the same with a proof of nothing, and with no hello at all
    let mut wire = Wire::open(connect(&foe.endpoint, &session.at).await).await;
    let right = foe.hello(&session, &wire.connection, |_| {});
    wire.say(chat_proto::method::peer::HELLO, &Hello { proof: vec![0; 64], ..right.clone() }).await;
    assert_eq!(wire.end().await, Some(Bye::PROTOCOL));
    for version in [0, 7] {
        let mut wire = Wire::open(connect(&foe.endpoint, &session.at).await).await;
        let right = foe.hello(&session, &wire.connection, |_| {});
        let hello = Hello { version_min: version, version_max: version, ..right };
        wire.say(chat_proto::method::peer::HELLO, &hello).await;
        assert_eq!(wire.end().await, Some(Bye::PROTOCOL), "version {version}");
    }
    let mut wire = Wire::open(connect(&foe.endpoint, &session.at).await).await;
    wire.raw(&[0xff; 64]).await;
    assert_eq!(wire.end().await, Some(Bye::PROTOCOL));

    // after all that the right one opens the session
    foe.meets(&session, bob).await;
    pair.goes_on("after false hellos");
}

/// Mallory's second key, for the same account: what a hostile server would name, or a new device.
async fn with_another_key(world: &World, bob: &Victim) -> (Foe, PeerEndpoint) {
    let mut foe = Foe::new(world, "mallory").await;
    let session = foe.consented(bob).await;
    let wire = foe.meets(&session, bob).await;
    bob.home.run(&["stopprivate", "mallory"]).ok();
    wire.end().await;
    foe.account.key = PeerKey::generate().expect("a key");
    foe.endpoint = endpoint().await;
    let own = foe.own();
    (foe, own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s29_another_key_of_a_known_contact_is_a_hard_stop() {
    let mut world = world();
    let pair = Pair::new(&mut world);
    let (mut foe, own) = with_another_key(&world, &pair.bob).await;
    foe.account.request("bob", 0, &own).await.expect("a request");
    let bob = &pair.bob.home;
    pair.bob.is_asked_by("mallory");
    let refused = bob.json(&["accept", "mallory"]).fails_with("identity_changed", 11);
    let shown = refused.error()["fingerprint"].as_str().expect("which key").to_owned();
    assert_eq!(pair.bob.state("mallory"), None);
    assert!(!opened(&foe), "nothing of where bob is was told to who came with another key");
    // once its user believes it, it is as good as the first, and the request is still there
    bob.run(&["trust", "accept", &shown]).ok();
    pair.bob.accepts("mallory");
    let open = foe.account.told(PrivateNotice::ACCEPTED).await.open.expect("what is needed to meet");
    foe.meets(&Session::of(open), &pair.bob).await;
    pair.goes_on("after another key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s42_another_key_is_never_accepted_by_itself() {
    let mut world = world();
    let victim = Victim::new(&mut world, "bob");
    let (mut foe, own) = with_another_key(&world, &victim).await;
    let bob = &victim.home;
    bob.run(&["config", "set", "private.auto_accept", "[\"mallory\", \"trent\"]"]).ok();
    bob.restart();
    bob.online();
    foe.account.request("bob", 2_000, &own).await.expect("a request");
    foe.account.told(PrivateNotice::EXPIRED).await;
    assert!(!opened(&foe), "bob's place was told for a key that is not known");
    assert_eq!(victim.state("mallory"), None);
    // crossing it is accepting it
    foe.account.request("bob", 0, &own).await.expect("a request");
    victim.is_asked_by("mallory");
    bob.json(&["startprivate", "mallory"]).fails_with("identity_changed", 11);
    assert!(!opened(&foe));
    // somebody on the list without a known key is let in, so the above means something
    let mut other = Foe::new(&world, "trent").await;
    let own = other.own();
    other.account.request("bob", 0, &own).await.expect("a request");
    other.account.told(PrivateNotice::ACCEPTED).await;
}

/// Whether the foe was told where somebody is, since it has its second key.
fn opened(foe: &Foe) -> bool {
    let told = foe.account.heard.iter().filter_map(|heard| PrivateNotice::decode(heard.clone()).ok());
    told.filter(|notice| notice.what == PrivateNotice::ACCEPTED).count() > 1
}

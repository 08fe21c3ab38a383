//! S28: nothing of an address before its user consented, and nobody is let in without.

use chat_proto::peer::Bye;
use chat_proto::wire::{PeerEndpoint, PrivateNotice};

use crate::peer::{Foe, closed, connect, endpoint};
use crate::victim::{Pair, Victim, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s28_no_address_leaves_before_consent() {
    let mut world = world();
    let bob = Victim::new(&mut world, "bob");
    let mut foe = Foe::new(&world, "mallory").await;
    let own = foe.own();
    assert!(bob.udp_ports().is_empty(), "no socket for peers before there is a session");
    foe.account.request("bob", 0, &own).await.expect("a request");
    bob.is_asked_by("mallory");
    bob.home.run(&["decline", "mallory"]).ok();
    foe.account.told(PrivateNotice::DECLINED).await;
    foe.account.request("bob", 300, &own).await.expect("a request");
    foe.account.told(PrivateNotice::EXPIRED).await;
    let before = foe.account.heard.len();
    assert!(bob.udp_ports().is_empty(), "neither a decline nor an expiry opens one");
    let session = foe.consented(&bob).await;
    let (at, open) = (&session.at, foe.account.heard.len());
    assert!(!at.addresses.is_empty() && open > before);
    assert!(foe.account.knows(&at.endpoint_id), "now it knows, so the check below can fail");
    foe.account.heard.truncate(before);
    for secret in [&at.endpoint_id[..], &at.peer_key[..]] {
        assert!(!foe.account.knows(secret));
    }
    for address in &at.addresses {
        let bare = address.rsplit_once(':').expect("a port").0;
        assert!(!foe.account.knows(address.as_bytes()) && !foe.account.knows(bare.as_bytes()), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s28_a_connection_without_a_session_is_closed_at_once() {
    let mut world = world();
    let pair = Pair::new(&mut world);
    let mut foe = Foe::new(&world, "mallory").await;
    let session = foe.consented(&pair.bob).await;
    let wire = foe.meets(&session, &pair.bob).await;
    // somebody who knows where bob is, with whom he agreed nothing
    let stranger = endpoint().await;
    let refused = connect(&stranger, &session.at).await;
    assert_eq!(closed(&refused).await, Some(Bye::UNKNOWN));
    assert_eq!(pair.bob.state("mallory").as_deref(), Some("open"), "the stranger ended nobody's session");
    // and the foe itself, once its session is over
    pair.bob.home.run(&["stopprivate", "mallory"]).ok();
    assert_eq!(wire.end().await, Some(Bye::STOPPED));
    let again = connect(&foe.endpoint, &session.at).await;
    assert_eq!(closed(&again).await, Some(Bye::UNKNOWN));
    pair.goes_on("after strangers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s28_who_claims_another_ones_endpoint_takes_nothing_from_it() {
    let mut world = world();
    let pair = Pair::new(&mut world);
    let mut foe = Foe::new(&world, "mallory").await;
    // mallory knows alice's endpoint from a session of their own, and says that it is hers
    let with_alice = foe.consented(&pair.alice).await;
    let stolen = PeerEndpoint { addresses: Vec::new(), peer_key: foe.own().peer_key, ..with_alice.at.clone() };
    // while she is there, where she has proven herself
    foe.account.request("bob", 0, &stolen).await.expect("a request");
    pair.bob.accepts("mallory");
    foe.account.told(PrivateNotice::ACCEPTED).await;
    pair.goes_on("beside a false claim");
    pair.bob.has_none("mallory");
    // and before she comes: her session with bob must find its way to him
    pair.alice.home.run(&["stopprivate", "bob"]).ok();
    pair.bob.has_none("alice");
    foe.consented_as(&pair.bob, &stolen).await;
    pair.alice.home.run(&["startprivate", "bob"]).ok();
    pair.bob.accepts("alice");
    pair.bob.shows("alice", "open");
    pair.bob.has_none("mallory");
    pair.goes_on("after a false claim");
}

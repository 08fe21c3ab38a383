//! The configuration read anew while the server runs: all of it counts at once, or nothing.

use chat_proto::fault::Code;
use chat_proto::{method, wire};

use crate::client::Client;
use crate::world::{PASSWORD, World};

#[tokio::test]
async fn what_may_change_live_changes_for_those_who_are_here() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let bob = world.user("bob").await;
    world.set(
        "name = \"other\"\n[registration]\nmode = \"closed\"\n[messages]\nmax_size = 5\n[limits]\nmessages_per_second = 1\n\
         message_burst = 2\n[sessions]\npolicy = \"replace\"\n[presence]\nbroadcast = false",
    );
    let done = world.server.as_ref().unwrap().running().reload().await.unwrap();
    let keys = [
        "limits.message_burst",
        "limits.messages_per_second",
        "messages.max_size",
        "name",
        "presence.broadcast",
        "registration.mode",
        "sessions.policy",
    ];
    assert_eq!((done.changed, done.restart), (keys.map(str::to_owned).to_vec(), vec![]));

    let mut carol = Client::connect(&world).await;
    assert_eq!(carol.register("carol", PASSWORD).await.unwrap_err().code, Code::REGISTRATION_CLOSED);
    assert_eq!(alice.text("bob", "123456").await.code, Code::TOO_LARGE.0);
    assert_eq!(alice.text("bob", "12345").await.code, Code::ACCEPTED.0);
    alice.queue_text("bob", "3");
    let later: wire::TryLater = alice.push(method::TRY_LATER).await;
    assert_eq!(later.code, Code::SLOW_DOWN.0);
    let mut two = Client::connect(&world).await;
    two.login("alice", PASSWORD).await.unwrap();
    two.hello().await;
    assert_eq!(alice.end().await, Some(Code::REPLACED));
    drop(bob);
}

#[tokio::test]
async fn a_mistake_leaves_everything_as_it_was() {
    let world = World::start().await;
    let running = world.server.as_ref().unwrap().running();
    world.set("[registration]\nmode = \"closed\"\n[sessions]\nidle_after = \"30 min\"");
    let error = running.reload().await.unwrap_err().to_string();
    assert!(error.ends_with("2.toml:4:14: sessions.idle_after: \"30 min\": write 30m"), "{error}");
    world.set("[registration]\nmode = \"closed\"\n[tls]\ncert = \"nowhere.pem\"");
    running.reload().await.unwrap_err();
    world.user("alice").await;
    world.set("[registration]\nmode = \"closed\"");
    running.reload().await.unwrap();
    let mut bob = Client::connect(&world).await;
    assert_eq!(bob.register("bob", PASSWORD).await.unwrap_err().code, Code::REGISTRATION_CLOSED);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_until_there_was_one() {
    let world = World::start().await;
    let running = world.server.as_ref().unwrap().running();
    world.set("[log]\nformat = \"text\"");
    let done = running.reload().await.unwrap();
    assert_eq!((done.changed, done.restart), (vec!["log.format".to_owned()], vec!["log.format".to_owned()]));
    let done = running.reload().await.unwrap();
    assert_eq!((done.changed, done.restart), (vec![], vec!["log.format".to_owned()]));
}

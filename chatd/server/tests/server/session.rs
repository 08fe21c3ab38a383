//! Sessions: another device, the same device again, idleness, the end.

use chat_proto::fault::Code;
use chat_proto::{method, wire};

use crate::client::Client;
use crate::world::{PASSWORD, World};

#[tokio::test]
async fn the_same_device_again_replaces() {
    let world = World::start().await;
    let mut old = world.user("alice").await;
    let mut new = Client::connect_as(&world, old.device.clone()).await;
    new.by_key("alice").await.unwrap();
    new.hello().await;
    assert_eq!(old.end().await, Some(Code::REPLACED));
    new.barrier().await;
}

#[tokio::test]
async fn policy_replace_ends_the_other_device() {
    let world = World::with("sessions = { policy = \"replace\" }").await;
    let mut one = world.user("alice").await;
    let mut two = Client::connect(&world).await;
    two.login("alice", PASSWORD).await.unwrap();
    two.hello().await;
    assert_eq!(one.end().await, Some(Code::REPLACED));
}

#[tokio::test]
async fn policy_refuse_asks_the_old_one_first() {
    let world = World::with("sessions = { policy = \"refuse\" }").await;
    let mut one = world.user("alice").await;
    let mut two = Client::connect(&world).await;
    let asked = tokio::spawn(async move { two.login("alice", PASSWORD).await });
    let ping: wire::Empty = one.push(method::PING).await;
    one.request(method::PONG, &ping).await;
    assert_eq!(asked.await.unwrap().unwrap_err().code, Code::ALREADY_LOGGED_IN);
    one.barrier().await;

    // One that does not answer is taken over.
    let mut three = Client::connect(&world).await;
    three.login("alice", PASSWORD).await.unwrap();
    three.hello_from(None).await.unwrap();
    assert_eq!(one.end().await, Some(Code::REPLACED));
}

#[tokio::test]
async fn without_activity_a_session_is_logged_out_and_nonsense_does_not_save_it() {
    let world = World::with("sessions = { idle = \"logout\", idle_after = \"3s\" }").await;
    let mut watcher = world.user("watcher").await;
    let mut idle = world.user("idle").await;
    let active = async {
        loop {
            // More often than once a notice: his own time runs from his last word.
            watcher.ask::<wire::Empty>(method::ACTIVE, &wire::Empty {}).await.unwrap();
            if watcher.seen(method::PRESENCE) == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
            let notice: wire::Presence = watcher.push(method::PRESENCE).await;
            if notice.items.iter().any(|item| (item.account.as_str(), item.online, item.reason) == ("idle", false, 3)) {
                return;
            }
        }
    };
    let nonsense = async {
        // So much of it that there is always some to be read when the time comes.
        for _ in 0..64 {
            idle.request(*b"WHAT", &wire::Empty {}).await;
        }
        loop {
            let frame = match idle.frame().await {
                Ok(Some(frame)) => frame,
                _ => return None,
            };
            if frame.name == chat_proto::status::END {
                return Some(frame);
            }
            idle.request(*b"WHAT", &wire::Empty {}).await;
        }
    };
    let (end, ()) = tokio::join!(nonsense, active);
    let bye: wire::Bye = prost::Message::decode(end.unwrap().body).unwrap();
    assert_eq!((bye.code, bye.may_reconnect), (Code::IDLE.0, false));
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_a_restart_announces_nobody() {
    let mut world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    alice.text("bob", "before").await;
    let ((), one, two) = tokio::join!(world.stop(), alice.end(), bob.end());
    assert_eq!((one, two), (Some(Code::SHUTTING_DOWN), Some(Code::SHUTTING_DOWN)));
    world.restart().await;
    let mut again = Client::connect_as(&world, alice.device.clone()).await;
    again.by_key("alice").await.unwrap();
    again.hello().await;
    let people: wire::People = again.ask(method::WHOELSE, &wire::PeopleQuery::default()).await.unwrap();
    assert_eq!(people.items.len(), 1, "bob is in his grace");
    let mut back = Client::connect_as(&world, bob.device.clone()).await;
    back.by_key("bob").await.unwrap();
    back.hello().await;
    assert_eq!(back.read().await.1, "before");
    back.text("alice", "here again").await;
    again.delivery().await;
    // Notices come in the order of what they tell: whatever was said of bob came before the one about carol.
    let _carol = world.user("carol").await;
    let notice: wire::Presence = again.push(method::PRESENCE).await;
    let told: Vec<_> = notice.items.iter().map(|item| item.account.as_str()).collect();
    assert_eq!(told, ["carol"], "nobody was announced for the restart");
}

#[tokio::test]
async fn log_out_of_all_devices() {
    let world = World::start().await;
    let mut one = world.user("alice").await;
    let mut two = Client::connect(&world).await;
    two.login("alice", PASSWORD).await.unwrap();
    two.hello().await;
    let tag = two.request(method::LOGOUT, &wire::Logout { all_devices: true }).await;
    two.answer::<wire::Empty>(tag).await.unwrap();
    assert!(one.end().await.is_some());
}

#[tokio::test]
async fn log_out_answers_after_the_verdicts_of_what_was_sent() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    for n in 0..20 {
        alice.queue_text("bob", &n.to_string());
    }
    let tag = alice.request(method::LOGOUT, &wire::Logout { all_devices: false }).await;
    alice.answer::<wire::Empty>(tag).await.unwrap();
    let mut decided = 0;
    while decided < 20 {
        assert!(alice.seen(method::VERDICT) > 0, "all verdicts came before the answer");
        let verdict: wire::Verdict = alice.push(method::VERDICT).await;
        decided += verdict.runs.iter().map(|run| run.count).sum::<u32>();
    }
    for n in 0..20 {
        assert_eq!(bob.read().await.1, n.to_string());
    }
}

//! Registering, logging in, guessing.

use chat_proto::fault::Code;

use crate::client::Client;
use crate::world::{PASSWORD, World};

#[tokio::test]
async fn register_log_out_log_in_by_password_and_key() {
    let world = World::start().await;
    let mut alice = world.user("Alice").await;
    let tag = alice.request(chat_proto::method::LOGOUT, &chat_proto::wire::Logout { all_devices: false }).await;
    alice.answer::<chat_proto::wire::Empty>(tag).await.unwrap();
    assert_eq!(alice.end().await, Some(Code::ACCEPTED));

    let mut by_key = Client::connect_as(&world, alice.device.clone()).await;
    by_key.by_key("alice").await.unwrap();
    by_key.hello().await;
    let mut second = Client::connect(&world).await;
    second.login("ALICE", PASSWORD).await.unwrap();
    second.hello().await;
}

#[tokio::test]
async fn what_a_stranger_may_not() {
    let world = World::start().await;
    world.user("alice").await;
    let mut stranger = Client::connect(&world).await;
    let refused = |done: Result<(), chat_proto::fault::Fault>| done.unwrap_err().code;
    assert_eq!(refused(stranger.register("alice", "x").await), Code::NAME_TAKEN);
    assert_eq!(refused(stranger.register("root", "x").await), Code::BAD_NAME);
    assert_eq!(refused(stranger.register("a\u{202e}b", "x").await), Code::BAD_NAME);
    assert_eq!(refused(stranger.register("bob", "").await), Code::BAD_PASSWORD);
    assert_eq!(refused(stranger.register("bob", &"x".repeat(1025)).await), Code::BAD_PASSWORD);
    assert_eq!(refused(stranger.by_key("alice").await), Code::WRONG_CREDENTIALS);
    assert_eq!(refused(stranger.by_key("nobody").await), Code::WRONG_CREDENTIALS);
    assert_eq!(refused(stranger.login("alice", "x").await), Code::WRONG_CREDENTIALS);
    assert_eq!(refused(stranger.login("nobody", "x").await), Code::WRONG_CREDENTIALS);
    stranger.register("bob", &"x".repeat(1024)).await.unwrap();
}

#[tokio::test]
async fn three_wrong_ones_lock_for_known_and_unknown_alike() {
    let world = World::with("auth = { lockout_duration = \"1h\" }").await;
    let mut alice = world.user("alice").await;
    for name in ["alice", "nobody"] {
        let mut guesser = Client::connect(&world).await;
        let mut codes = Vec::new();
        for password in ["a", "b", "c", PASSWORD] {
            let fault = guesser.login(name, password).await.unwrap_err();
            assert_eq!(fault.retry_after_ms.is_some(), fault.code == Code::LOCKED_OUT);
            codes.push(fault.code);
        }
        let expected = [Code::WRONG_CREDENTIALS, Code::WRONG_CREDENTIALS, Code::LOCKED_OUT, Code::LOCKED_OUT];
        assert_eq!(codes, expected, "{name}");
    }
    let mut other = Client::connect(&world).await;
    assert_eq!(other.login("ALICE", PASSWORD).await.unwrap_err().code, Code::LOCKED_OUT, "another connection");
    alice.barrier().await;
    let mut again = Client::connect_as(&world, alice.device.clone()).await;
    again.by_key("alice").await.expect("the lock never touches an enrolled device");
}

#[tokio::test]
async fn a_lock_survives_a_restart_and_ends() {
    let mut world = World::with("auth = { lockout_duration = \"6s\" }").await;
    world.user("alice").await;
    let mut guesser = Client::connect(&world).await;
    for password in ["a", "b", "c"] {
        guesser.login("alice", password).await.unwrap_err();
    }
    world.restart().await;
    let mut guesser = Client::connect(&world).await;
    let fault = guesser.login("alice", PASSWORD).await.unwrap_err();
    assert_eq!(fault.code, Code::LOCKED_OUT);
    let left = std::time::Duration::from_millis(fault.retry_after_ms.unwrap() + 1);
    assert!(left <= std::time::Duration::from_secs(6));
    tokio::time::sleep(left).await;
    guesser.login("alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn closed_and_by_invitation() {
    for (mode, code) in [("closed", Code::REGISTRATION_CLOSED), ("invite", Code::BAD_INVITE)] {
        let world = World::with(&format!("registration = {{ mode = \"{mode}\" }}")).await;
        let mut stranger = Client::connect(&world).await;
        assert_eq!(stranger.register("alice", PASSWORD).await.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn rates_of_a_source() {
    let limits = "limits = { new_accounts_per_hour_per_source = 1, password_logins_per_minute_per_source = 1 }";
    let world = World::with(limits).await;
    let mut one = Client::connect(&world).await;
    one.register("alice", PASSWORD).await.unwrap();
    let mut two = Client::connect(&world).await;
    let fault = two.register("bob", PASSWORD).await.unwrap_err();
    assert_eq!(fault.code, Code::SLOW_DOWN);
    assert!(fault.retry_after_ms.is_some());
    let taken = two.register("alice", PASSWORD).await.unwrap_err();
    assert_eq!(taken.code, Code::SLOW_DOWN, "names are not tried out faster than accounts are made");
    two.login("alice", PASSWORD).await.unwrap();
    let mut three = Client::connect(&world).await;
    assert_eq!(three.login("alice", PASSWORD).await.unwrap_err().code, Code::SLOW_DOWN);
    let mut again = Client::connect_as(&world, one.device.clone()).await;
    again.by_key("alice").await.expect("reconnects by key never count");
}

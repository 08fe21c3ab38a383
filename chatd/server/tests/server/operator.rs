//! The operator's verbs: over the admin socket, and at the store of a stopped server.

use std::os::unix::fs::PermissionsExt as _;

use chat_proto::fault::Code;
use chat_proto::limits::TEXT_MAX;
use chat_proto::{method, wire};
use chat_server::admin::audit::AuditPage;
use chat_server::admin::session::{Announce, SessionKick, SessionList, Whose};
use chat_server::admin::user::UserList;
use chat_server::admin::{AskError, Call, Desk, Line, Refusal, ask};
use chat_server::store::Store;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::client::Client;
use crate::world::World;

/// A verb that no server knows.
#[derive(Debug, Serialize, Deserialize)]
struct OfTomorrow {}

impl Call for OfTomorrow {
    const METHOD: &'static str = "of_tomorrow";
    const LIVE: bool = true;
    type Reply = ();

    async fn answer<S: Store>(self, _: &Desk<S>) -> Result<(), Refusal> {
        Ok(())
    }
}

#[tokio::test]
async fn accounts_are_listed_live_and_from_the_store() {
    let mut world = World::start().await;
    let _alice = world.user("alice").await;
    let rows = ask(world.config(), UserList::default()).await.unwrap().rows;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].online);
    world.stop().await;
    let rows = ask(world.config(), UserList::default()).await.unwrap().rows;
    assert_eq!(rows[0].name, "alice");
}

#[tokio::test]
async fn a_verb_says_why_nobody_answers() {
    let mut world = World::start().await;
    let socket = world.config().admin_socket.clone();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(matches!(ask(world.config(), OfTomorrow {}).await, Err(AskError::Older)));
    world.stop().await;
    assert!(matches!(ask(world.config(), OfTomorrow {}).await, Err(AskError::NotRunning(at)) if at == socket));
}

#[tokio::test]
async fn nonsense_is_answered_and_does_not_end_the_conversation() {
    let world = World::start().await;
    let mut stream = BufReader::new(UnixStream::connect(&world.config().admin_socket).await.unwrap());
    for (line, code) in [
        ("what\n", Code::PROTOCOL),
        ("{\"method\":\"user_list\"}\n", Code::BAD_PARAMS),
        ("{\"method\":\"\\u001b[2J\\n\",\"params\":{}}\n", Code::UNSUPPORTED),
    ] {
        stream.get_mut().write_all(line.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_line(&mut answer).await.unwrap();
        assert!(answer.contains(code.name()), "{line:?}: {answer}");
    }
    let mut line = Line::open(&world.config().admin_socket).await.unwrap().unwrap();
    assert!(line.ask(&UserList::default()).await.unwrap().rows.is_empty());
    assert!(line.ask(&UserList::default()).await.unwrap().rows.is_empty(), "one connection, many questions");
}

#[tokio::test]
async fn kicked_sessions_end_as_kicked_and_at_once() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let mut bob = world.user("bob").await;
    let rows = ask(world.config(), SessionList {}).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.user.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
    assert!(rows[0].address.starts_with("127.0.0.1:"));

    let kick = |typed: &str| ask(world.config(), SessionKick { whose: Whose::Typed(typed.to_owned()) });
    let code = |refused: Result<_, AskError>| match refused {
        Err(AskError::Refused { refusal, .. }) => refusal.code,
        Err(other) => panic!("{other:?}"),
        Ok(rows) => panic!("{rows:?}"),
    };
    assert_eq!(code(kick("carol").await), Code::UNKNOWN_USER);
    assert_eq!(code(kick("a\u{1b}[2J\n; DROP TABLE account; ../").await), Code::UNKNOWN_USER);
    assert_eq!(code(kick("4711").await), Code::UNKNOWN_USER);
    let ended = kick(&rows[0].id.to_string()).await.unwrap();
    assert_eq!(ended.iter().map(|row| (row.id, row.user.as_str())).collect::<Vec<_>>(), [(rows[0].id, "alice")]);
    assert_eq!(alice.end().await, Some(Code::KICKED));
    let gone = loop {
        let notice: wire::Presence = bob.push(method::PRESENCE).await;
        if let Some(gone) = notice.items.into_iter().find(|item| item.account == "alice" && !item.online) {
            break gone;
        }
    };
    assert_eq!(gone.reason, 5, "kicked");
    assert_eq!(code(kick("alice").await), Code::UNKNOWN_ID, "she has no session now");
    assert_eq!(kick("BOB").await.unwrap().len(), 1);
    assert_eq!(bob.end().await, Some(Code::KICKED));
}

#[tokio::test]
async fn a_number_that_is_a_name_too_is_not_guessed_at() {
    let world = World::start().await;
    let mut one = world.user("1").await;
    let other = world.user("other").await;
    let kick = |whose| ask(world.config(), SessionKick { whose });
    let first = ask(world.config(), SessionList {}).await.unwrap()[0].id;
    assert_eq!(first, 1);
    let refused = kick(Whose::Typed("1".into())).await;
    assert!(matches!(refused, Err(AskError::Refused { refusal, .. }) if refusal.code == Code::CONFLICT));
    kick(Whose::User("1".into())).await.unwrap();
    assert_eq!(one.end().await, Some(Code::KICKED));
    drop(other);
}

#[tokio::test]
async fn an_announcement_is_from_the_server_and_waits_for_who_just_left() {
    let mut world = World::start().await;
    let mut alice = world.user("alice").await;
    let mut bob = world.user("bob").await;
    let device = bob.device.clone();
    let announce = |text: &str| ask(world.config(), Announce { text: text.to_owned() });
    assert_eq!(announce("down at \u{1b}[31m18:00").await.unwrap().sent, 2);
    let told = alice.delivery().await;
    assert_eq!((told.from.as_str(), told.kind), ("", wire::kind::ANNOUNCEMENT));
    assert_eq!(told.body.as_ref(), "down at \u{1b}[31m18:00".as_bytes());
    bob.delivery().await;
    drop(bob);
    assert_eq!(announce("again").await.unwrap().sent, 2, "bob is announced online in his grace");
    assert!(announce(" \n").await.is_err());
    assert!(announce(&"x".repeat(TEXT_MAX + 1)).await.is_err());
    world.restart().await;
    let mut bob = Client::connect_as(&world, device).await;
    bob.by_key("bob").await.unwrap();
    bob.hello().await;
    let texts = [bob.delivery().await, bob.delivery().await].map(|told| told.body);
    assert_eq!(texts[1].as_ref(), b"again", "kept over the restart: {texts:?}");
}

#[tokio::test]
async fn the_audit_log_says_who_asked_and_for_what() {
    let mut world = World::start().await;
    let _alice = world.user("alice").await;
    let _ = ask(world.config(), SessionKick { whose: Whose::Typed("no\u{1b}[2J\nbody".into()) }).await;
    let uid = rustix::process::getuid().as_raw();
    let page = |world: &World| {
        let config = world.config().clone();
        async move { ask(&config, AuditPage::default()).await.unwrap().entries }
    };
    let entries = page(&world).await;
    let kick: Vec<_> = entries.iter().filter(|entry| entry.text.starts_with("session_kick")).collect();
    assert_eq!(kick.len(), 1, "{entries:?}");
    assert!(kick[0].from.starts_with(&format!("uid {uid}")), "{kick:?}");
    assert!(kick[0].text.starts_with("session_kick unknown_user: no"), "{kick:?}");
    assert!(!kick[0].text.contains(['\u{1b}', '\n']), "{kick:?}");
    assert!(entries.iter().any(|entry| entry.from.starts_with("127.0.0.1:") && entry.text.contains("account alice")));
    world.stop().await;
    let alone = page(&world).await;
    assert!(alone.len() > entries.len(), "the call before is in it, and the stopped server's lines are too");
}

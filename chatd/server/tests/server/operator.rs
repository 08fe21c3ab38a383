//! The operator's verbs: over the admin socket, and at the store of a stopped server.

use std::os::unix::fs::PermissionsExt as _;

use chat_proto::fault::Code;
use chat_server::admin::user::UserList;
use chat_server::admin::{AskError, Call, Desk, Line, Refusal, ask};
use chat_server::store::Store;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

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
    let rows = ask(world.config(), UserList {}).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].online);
    world.stop().await;
    let rows = ask(world.config(), UserList {}).await.unwrap();
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
    assert!(line.ask(&UserList {}).await.unwrap().is_empty());
    assert!(line.ask(&UserList {}).await.unwrap().is_empty(), "one connection, many questions");
}

//! Who is online, who came and went, who blocks whom.

use chat_proto::fault::{Code, Fault};
use chat_proto::{method, wire};

use crate::client::Client;
use crate::world::World;

async fn online(client: &mut Client) -> Vec<String> {
    let people: wire::People = client.ask(method::WHOELSE, &wire::PeopleQuery::default()).await.unwrap();
    people.items.into_iter().map(|person| person.account).collect()
}

async fn block(client: &mut Client, name: &str, on: bool) -> Result<bool, Fault> {
    let method = if on { method::BLOCK } else { method::UNBLOCK };
    let changed: wire::BlockChanged = client.ask(method, &wire::Account { account: name.into() }).await?;
    Ok(changed.changed)
}

async fn names(client: &mut Client) -> Vec<(String, bool)> {
    let notice: wire::Presence = client.push(method::PRESENCE).await;
    notice.items.into_iter().map(|item| (item.account, item.online)).collect()
}

#[tokio::test]
async fn comings_and_goings_are_told_to_all_but_the_subject() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let mut bob = world.user("bob").await;
    assert_eq!(names(&mut alice).await, [("bob".to_owned(), true)]);
    assert_eq!(online(&mut alice).await, ["bob"]);
    assert_eq!(online(&mut bob).await, ["alice"]);
    let tag = bob.request(method::LOGOUT, &wire::Logout { all_devices: false }).await;
    bob.answer::<wire::Empty>(tag).await.unwrap();
    assert_eq!(names(&mut alice).await, [("bob".to_owned(), false)]);
    while bob.seen(method::PRESENCE) > 0 {
        // He may hear of alice, who came in the same tick.
        assert_eq!(names(&mut bob).await, [("alice".to_owned(), true)], "the subject is not told");
    }
    assert!(online(&mut alice).await.is_empty());
    let query = wire::PeopleQuery { after: String::new(), seconds: 60 };
    let since: wire::People = alice.ask(method::WHOELSESINCE, &query).await.unwrap();
    assert_eq!(since.items.len(), 1);
}

#[tokio::test]
async fn a_blocked_one_sees_nothing_of_the_blocker() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    assert_eq!(block(&mut alice, "bob", true).await, Ok(true));
    assert_eq!(block(&mut alice, "BOB", true).await, Ok(false), "again: harmless");
    assert_eq!(block(&mut alice, "alice", true).await.unwrap_err().code, Code::YOURSELF);
    assert_eq!(block(&mut alice, "nobody", true).await.unwrap_err().code, Code::UNKNOWN_USER);
    let blocked: wire::Blocked = alice.ask(method::BLOCKED, &wire::Empty {}).await.unwrap();
    assert_eq!(blocked.accounts, ["bob"]);
    assert!(online(&mut bob).await.is_empty());
    assert_eq!(online(&mut alice).await, ["bob"], "those whom one blocks stay listed");
    assert_eq!(bob.text("alice", "x").await.code, Code::RECIPIENT_BLOCKED.0);

    let mut carol = world.user("carol").await;
    let tag = alice.request(method::LOGOUT, &wire::Logout { all_devices: false }).await;
    alice.answer::<wire::Empty>(tag).await.unwrap();
    loop {
        if names(&mut carol).await.contains(&("alice".to_owned(), false)) {
            break;
        }
    }
    bob.barrier().await;
    loop {
        // Carol's coming is the last thing that bob may see, alice's going he may not.
        let seen = names(&mut bob).await;
        assert!(!seen.contains(&("alice".to_owned(), false)));
        if seen.contains(&("carol".to_owned(), true)) {
            break;
        }
    }
    bob.barrier().await;
    assert_eq!(bob.seen(method::PRESENCE), 0);
}

#[tokio::test]
async fn a_broadcast_reaches_everybody_else() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let mut carol = world.user("carol").await;
    let run = alice.text("", "all hands").await;
    assert_eq!((run.code, run.audience), (Code::ACCEPTED.0, 2));
    assert_eq!(bob.read().await.1, "all hands");
    assert_eq!(carol.read().await.1, "all hands");
}

#[tokio::test]
async fn nobody_is_left_out_of_the_notices() {
    let world = World::start().await;
    let mut alice = world.user("alice").await;
    let (mut named, mut counted) = (0, 0);
    let mut others = Vec::new();
    for n in 0..6 {
        others.push(world.user(&format!("user{n}")).await);
    }
    while named + counted < 6 {
        let notice: wire::Presence = alice.push(method::PRESENCE).await;
        named += notice.items.len();
        counted += notice.count as usize - notice.items.len();
    }
    assert_eq!((named, counted), (6, 0));
}

#[tokio::test]
async fn receipts_are_told_to_who_follows() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.user("alice").await, world.user("bob").await);
    let follow = wire::Follow { accounts: vec!["bob".into()] };
    let receipts: wire::Receipts = alice.ask(method::RECEIPT, &follow).await.unwrap();
    assert_eq!(receipts.items.len(), 1);
    let run = alice.text("bob", "hello").await;
    let delivery = bob.delivery().await;
    bob.ack(delivery.position).await;
    let told: wire::Receipts = alice.push(method::RECEIPT).await;
    assert_eq!(told.items[0].account, "bob");
    assert!(told.items[0].delivered >= run.n[0]);
    let mark = wire::Mark { account: "alice".into(), position: delivery.position, share: true };
    bob.ask::<wire::Empty>(method::MARK, &mark).await.unwrap();
    let told: wire::Receipts = alice.push(method::RECEIPT).await;
    assert!(told.items[0].read >= run.n[0]);
}

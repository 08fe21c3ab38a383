//! Private requests against a server that lies.

mod common;

use std::io::Write as _;

use chat_local::directory::Directory;
use chat_proto::control::events::{Event, Topic, Watch};
use chat_proto::control::message::State;
use chat_proto::control::private::{Accept, Private, RequestState, Requests, Sessions, Startprivate};
use chat_proto::fault::Code;
use chat_proto::id::{DeviceId, Incarnation, hex};
use chat_proto::limits::OPEN_STREAMS_MAX;
use chat_proto::wire::{TEXT_PLAIN, content_hash, kind};
use chat_proto::{method, wire};
use chatd::history::sqlite::Sqlite;
use chatd::history::{History, NewMessage, PeerDevice, Write};
use common::{Chatd, Ctl, Fake, Peer, SOON, World, code};
use tokio::time::Instant;

const ID: [u8; 16] = [1; 16];

/// Somebody asks; the user sees it.
async fn asked_by(user: &str, ctl: &mut Ctl, peer: &mut Peer) {
    let watch = Watch {
        profile: "default".into(),
        only: vec![Topic::Private],
        from: None,
        since: None,
        cursor: None,
        after_index: None,
    };
    ctl.call(watch).await.expect("watched");
    let begun = Instant::now();
    let notice = wire::PrivateNotice {
        what: wire::PrivateNotice::REQUEST,
        id: ID.to_vec(),
        account: user.into(),
        expires_in_ms: 60_000,
        ..Default::default()
    };
    peer.push(method::PRIVATE, &notice).await;
    while begun.elapsed() < SOON {
        if let Event::PrivateRequest(request) = ctl.event().await
            && (request.peer.as_str(), request.state) == (user, RequestState::Asked)
        {
            return;
        }
    }
    panic!("{user} asks, and nobody is told");
}

fn open(account: &str, device: u8, endpoint: u8) -> wire::PrivateOpen {
    let endpoint = wire::PeerEndpoint {
        endpoint_id: vec![endpoint; 32],
        addresses: vec!["192.0.2.1:9".into()],
        peer_key: vec![device; 32],
        ..Default::default()
    };
    wire::PrivateOpen {
        id: ID.to_vec(),
        account: account.into(),
        device_id: vec![device; 16],
        endpoint: Some(endpoint),
        ..Default::default()
    }
}

fn accept(user: &str) -> Accept {
    Accept { profile: "default".into(), user: user.into(), relay_only: false, for_ms: None, timeout_ms: 1000 }
}

async fn sessions(ctl: &mut Ctl) -> Vec<String> {
    let sessions = ctl.call(Sessions { profile: "default".into() }).await.expect("listed").items;
    sessions.into_iter().map(|session| session.peer).collect()
}

#[tokio::test]
async fn s42_nobody_takes_the_place_of_whom_the_user_said_yes_to() {
    let World { mut ctl, mut peer, chatd, home: _home, fake: _fake } = World::new().await;
    let mut other = chatd.ctl().await;
    asked_by("mallory", &mut ctl, &mut peer).await;
    let (accepted, ()) = tokio::join!(other.call(accept("mallory")), async {
        let asked = peer.expect(method::PRIVATE_ANSWER).await;
        peer.confirm(&asked, &wire::PrivateAnswered { open: Some(open("bob", 2, 3)) });
        peer.push(method::PRESENCE, &wire::Presence::default()).await;
    });
    assert_eq!(code(accepted), Code::PROTOCOL);
    assert!(sessions(&mut other).await.is_empty());
}

#[tokio::test]
async fn s42_a_second_session_is_never_given_the_name_of_the_first() {
    let World { mut ctl, mut peer, chatd, home: _home, fake: _fake } = World::new().await;
    let mut other = chatd.ctl().await;
    for (user, device, expected) in [("bob", 2, Code::TIMED_OUT), ("mallory", 4, Code::PROTOCOL)] {
        asked_by(user, &mut ctl, &mut peer).await;
        let (accepted, ()) = tokio::join!(other.call(accept(user)), async {
            let asked = peer.expect(method::PRIVATE_ANSWER).await;
            // The same session for both, or the same endpoint.
            peer.confirm(&asked, &wire::PrivateAnswered { open: Some(open(user, device, 3)) });
            peer.push(method::PRESENCE, &wire::Presence::default()).await;
        });
        assert_eq!(code(accepted), expected, "{user}");
    }
    assert_eq!(sessions(&mut other).await, ["bob"]);
}

#[tokio::test]
async fn terms_that_exclude_each_other_never_reach_the_server() {
    let World { mut ctl, peer: _peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let start = Startprivate {
        profile: "default".into(),
        user: "bob".into(),
        note: None,
        relay_only: true,
        direct_only: true,
        wait_ms: None,
        timeout_ms: 1000,
    };
    assert_eq!(code(ctl.call(start).await), Code::BAD_PARAMS);
    let requests = ctl.call(Requests { profile: "default".into(), dir: None }).await.expect("listed");
    assert!(requests.items.is_empty());
}

/// alice, who began a session with bob, and whose chatd ended then. bob's key is known.
struct Left {
    home: tempfile::TempDir,
    _fake: Fake,
    own: DeviceId,
}

impl Left {
    async fn new() -> Left {
        let World { mut ctl, mut peer, mut chatd, home, fake } = World::new().await;
        let mut other = chatd.ctl().await;
        asked_by("bob", &mut ctl, &mut peer).await;
        let (accepted, ()) = tokio::join!(other.call(accept("bob")), async {
            let asked = peer.expect(method::PRIVATE_ANSWER).await;
            peer.confirm(&asked, &wire::PrivateAnswered { open: Some(open("bob", 2, 3)) });
            peer.push(method::PRESENCE, &wire::Presence::default()).await;
        });
        assert_eq!(code(accepted), Code::TIMED_OUT);
        let own = peer.device;
        drop((ctl, other, peer));
        chatd.stop().await;
        let server = hex(&fake.identity.id().0);
        let known = serde_json::json!({ "server_id": server, "name": "bob", "key": hex(&[2; 32]), "since_ms": 1, "by": "first" });
        let left = Left { home, _fake: fake, own };
        let known = serde_json::json!({ "known": [known] }).to_string();
        let state = Directory::open(&left.home.path().join("h").join("state")).expect("there");
        let mut file = state.open_file("known-peers.json", true).expect("made");
        file.write_all(known.as_bytes()).expect("written");
        left
    }

    async fn start(&self) -> (Chatd, Ctl) {
        let chatd = Chatd::start(&self.home.path().join("h")).await;
        let ctl = chatd.ctl().await;
        (chatd, ctl)
    }
}

#[tokio::test]
async fn streams_to_a_peer_are_no_more_than_it_takes() {
    let left = Left::new().await;
    let mut history = Sqlite::open(&left.home.path().join("h/data/default/chat.db")).expect("opened");
    for start in 0..OPEN_STREAMS_MAX as u64 {
        let text = NewMessage {
            key: format!("key-of-start-{start}"),
            kind: kind::PRIVATE,
            from: "alice".into(),
            to: "bob".into(),
            content_type: TEXT_PLAIN.into(),
            body: "hello".into(),
            h: content_hash("bob", kind::PRIVATE, TEXT_PLAIN, b"hello"),
            at_ms: 5,
            device: left.own,
            incarnation: Incarnation(1000 + start),
            peer: Some(PeerDevice { device: DeviceId([2; 16]), key: [2; 32] }),
        };
        history.commit(&[Write::Queue(text)]).expect("committed");
    }
    drop(history);
    let (_chatd, mut ctl) = left.start().await;
    let begun = Instant::now();
    while sessions(&mut ctl).await.is_empty() {
        assert!(begun.elapsed() < SOON, "the session goes on after a restart");
    }
    let one_more = Private {
        profile: "default".into(),
        user: "bob".into(),
        text: "one more".into(),
        key: "key-of-one-more".into(),
        wait: State::Queued,
        timeout_ms: 5000,
    };
    assert_eq!(code(ctl.call(one_more).await), Code::OUTBOX_FULL);
}

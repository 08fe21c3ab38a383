//! chatd against a server that does what a test says: the delivery contract as a user of chatd sees it.

mod common;

use chat_proto::control::account::{LinkState, Login, Logout, Status, Trust};
use chat_proto::control::events::{Event, Watch};
use chat_proto::control::message::{Kind, MarkRead, Pending, Show, State, Unread};
use chat_proto::control::people::Names;
use chat_proto::fault::Code;
use chat_proto::method;
use chat_proto::{status, wire};
use common::{Chatd, Fake, World, at, code, deliver, message, open, run};
use prost::Message as _;

fn show(id: &str, wait: State) -> Show {
    Show { profile: "default".into(), id: id.into(), wait: Some(wait), timeout_ms: 5000 }
}

#[tokio::test]
async fn a_message_is_sent_decided_and_read_back() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let (sent, send) = tokio::join!(ctl.message("hi", "k1"), async {
        let send = peer.send().await;
        peer.accept(&send, 10).await;
        send
    });
    let sent = sent.expect("accepted");
    assert_eq!((sent.state, sent.duplicate), (State::Accepted, false));
    assert_eq!(send.h, wire::content_hash("bob", wire::kind::DIRECT, &send.content_type, b"hi"));
    let again = ctl.message("hi", "k1").await.expect("the same answer");
    assert_eq!((again.id, again.state, again.duplicate), (sent.id, State::Accepted, true));
    assert_eq!(code(ctl.message("other", "k1").await), Code::CONFLICT);
    let items = ctl.read().await;
    assert_eq!(items.iter().map(|m| (m.text.as_str(), m.state)).collect::<Vec<_>>(), [("hi", State::Accepted)]);
}

#[tokio::test]
async fn a_refusal_is_an_error_with_the_message() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let (refused, ()) = tokio::join!(ctl.message("hi", "k1"), async {
        let send = peer.send().await;
        let run = wire::Run { retry_after_ms: 700, ..run(&send, Code::INBOX_FULL.0) };
        peer.push(method::VERDICT, &wire::Verdict { runs: vec![run] }).await;
    });
    let refused = refused.expect_err("refused");
    assert_eq!((refused.code, refused.retry_after_ms), (Code::INBOX_FULL, Some(700)));
    assert_eq!(refused.message.expect("what became of it").state, State::Failed);
}

#[tokio::test]
async fn a_gap_is_sent_again_and_try_later_is_waited_for() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let (pending, ()) = tokio::join!(ctl.message("hi", "k1"), async {
        let first = peer.send().await;
        peer.push(method::GAP, &wire::Gap { incarnation: first.incarnation, last: 0 }).await;
        assert_eq!(peer.send().await.cseq, first.cseq);
        peer.push(method::TRY_LATER, &wire::TryLater { after_ms: 50, code: Code::STORAGE.0 }).await;
    });
    let pending = pending.expect("still queued");
    assert_eq!((pending.state, pending.pending), (State::Queued, Some(Pending::Unreachable)));
    assert!(pending.retry_after_ms.is_some());
    assert_eq!(pending.cause.map(|cause| cause.code), Some(Code::STORAGE));
    let send = peer.send().await;
    let (shown, ()) = tokio::join!(ctl.call(show("k1", State::Accepted)), peer.accept(&send, 3));
    assert_eq!(shown.expect("shown").state, State::Accepted);
}

#[tokio::test]
async fn a_cut_leaves_it_queued_and_welcome_settles_it() {
    let World { mut ctl, mut peer, fake, chatd: _chatd, home: _home } = World::new().await;
    let (pending, first) = tokio::join!(ctl.message("hi", "k1"), async {
        let send = peer.send().await;
        drop(peer);
        send
    });
    assert_eq!(pending.expect("queued").pending, Some(Pending::Unreachable));
    let (mut peer, hello) = fake.session().await;
    assert_eq!(hello.streams, [wire::OpenStream { incarnation: first.incarnation, settled: 0 }]);
    let h8 = wire::h8(&first.h).expect("32 bytes");
    let decision = wire::Decision { h8, code: 0, position: Some(at(4)) };
    let stream = wire::StreamState { incarnation: first.incarnation, last: 1, decisions: vec![decision] };
    let welcome = wire::Welcome { streams: vec![stream], cursor: Some(at(0)), ..open() };
    let (shown, ()) = tokio::join!(ctl.call(show("k1", State::Accepted)), peer.welcome(welcome));
    assert_eq!(shown.expect("shown").state, State::Accepted);
}

#[tokio::test]
async fn a_decision_that_is_not_known_any_more_is_lost_and_never_sent_again() {
    let World { mut ctl, mut peer, fake, chatd: _chatd, home: _home } = World::new().await;
    let (_, first) = tokio::join!(ctl.message("hi", "k1"), async {
        let send = peer.send().await;
        drop(peer);
        send
    });
    let (mut peer, _) = fake.session().await;
    let stream = wire::StreamState { incarnation: first.incarnation, last: 9, decisions: Vec::new() };
    peer.welcome(wire::Welcome { streams: vec![stream], cursor: Some(at(0)), ..open() }).await;
    let shown = ctl.call(show("k1", State::Accepted)).await.expect("shown");
    assert_eq!((shown.state, shown.code), (State::Failed, Some(Code::OUTCOME_LOST)));
}

#[tokio::test]
async fn a_restored_server_is_offered_again_what_it_lost_before_anything_new() {
    let World { mut ctl, mut peer, fake, chatd: _chatd, home: _home } = World::new().await;
    let (_, first) = tokio::join!(ctl.message("old", "k1"), async {
        let send = peer.send().await;
        peer.accept(&send, 10).await;
        send
    });
    drop(peer);
    let (mut peer, hello) = fake.session().await;
    assert_eq!(hello.streams.first().map(|s| s.settled), Some(1));
    let stream = wire::StreamState { incarnation: first.incarnation, last: 0, decisions: Vec::new() };
    peer.welcome(wire::Welcome { streams: vec![stream], cursor: Some(at(0)), restored: true, ..open() }).await;
    let (new, (again, next)) = tokio::join!(ctl.message("new", "k2"), async {
        let again = peer.send().await;
        peer.accept(&again, 11).await;
        let next = peer.send().await;
        peer.accept(&next, 12).await;
        (again, next)
    });
    assert_eq!(new.expect("accepted").state, State::Accepted);
    assert_eq!((again.cseq, again.h, &again.body[..]), (1, first.h, &b"old"[..]));
    assert_eq!((next.cseq, &next.body[..]), (2, &b"new"[..]));
    assert_eq!(ctl.call(show("k1", State::Accepted)).await.expect("shown").state, State::Accepted);
}

#[tokio::test]
async fn what_comes_is_kept_once_acknowledged_and_counted() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    peer.push(method::DELIVER, &deliver(0, 5, 1, "one")).await;
    assert_acked(&mut peer, 5).await;
    // The same message at another place: a server that was restored. Then one of a kind that this build does not know.
    peer.push(method::DELIVER, &deliver(5, 6, 1, "one")).await;
    let strange = wire::Deliver { kind: 99, content_type: "x/y".into(), ..deliver(6, 7, 2, "??") };
    peer.push(method::DELIVER, &strange).await;
    assert_acked(&mut peer, 7).await;
    let items = ctl.read().await;
    assert_eq!(items.len(), 2);
    assert_eq!((items[0].text.as_str(), items[0].kind), ("one", Kind::Direct));
    assert_eq!((items[1].text.as_str(), items[1].kind), ("[x/y, 2 bytes]", Kind::System));
    let unread = Unread { profile: "default".into(), user: None };
    assert_eq!(ctl.call(unread.clone()).await.expect("counted").total, 2);
    let of_bob = Unread { user: Some("Bob".into()), ..unread.clone() };
    assert_eq!(ctl.call(of_bob).await.expect("counted").total, 2, "names are folded");
    let read = MarkRead { profile: "default".into(), indices: items.iter().map(|m| m.index).collect() };
    ctl.call(read).await.expect("marked");
    assert_eq!(ctl.call(unread).await.expect("counted").total, 0);
    let mark = wire::Mark::decode(peer.expect(method::MARK).await.body).expect("MARK");
    assert_eq!((mark.account.as_str(), mark.position, mark.share), ("bob", Some(at(7)), true));
}

async fn assert_acked(peer: &mut common::Peer, n: u64) {
    loop {
        let frame = peer.recv().await;
        assert_eq!(frame.name, method::ACK);
        let ack = wire::Ack::decode(frame.body).expect("ACK");
        if ack.position == Some(at(n)) {
            return;
        }
    }
}

#[tokio::test]
async fn a_broken_chain_is_fetched() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    peer.push(method::DELIVER, &deliver(0, 5, 1, "one")).await;
    peer.push(method::DELIVER, &deliver(6, 7, 3, "three")).await;
    let fetch = wire::Fetch::decode(peer.expect(method::FETCH).await.body).expect("FETCH");
    assert_eq!(fetch.from, Some(at(5)));
    peer.push(method::DELIVER, &deliver(5, 6, 2, "two")).await;
    peer.push(method::DELIVER, &deliver(6, 7, 3, "three")).await;
    assert_acked(&mut peer, 7).await;
    let texts: Vec<String> = ctl.read().await.into_iter().map(|m| m.text).collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[tokio::test]
async fn receipts_move_a_message_and_its_waiter() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let call = chat_proto::control::message::SendMessage { wait: State::Read, ..message("hi", "k1") };
    let (sent, ()) = tokio::join!(ctl.call(call), async {
        let send = peer.send().await;
        peer.accept(&send, 10).await;
        let asked = peer.recv().await;
        assert_eq!(asked.name, method::RECEIPT);
        let receipt =
            |delivered, read| wire::Receipts { items: vec![wire::Receipt { account: "bob".into(), delivered, read }] };
        peer.confirm(&asked, &receipt(10, 0));
        peer.push(method::RECEIPT, &receipt(10, 10)).await;
    });
    assert_eq!(sent.expect("read").state, State::Read);
}

#[tokio::test]
async fn a_follower_gets_each_message_once_across_a_reconnect() {
    let World { mut ctl, mut peer, chatd, home: _home, fake: _fake } = World::new().await;
    peer.push(method::DELIVER, &deliver(0, 1, 1, "one")).await;
    assert_acked(&mut peer, 1).await;
    let watch = |after| Watch {
        profile: "default".into(),
        only: vec![],
        from: None,
        since: None,
        cursor: None,
        after_index: after,
    };
    let watching = ctl.call(watch(Some(0))).await.expect("watching");
    peer.push(method::DELIVER, &deliver(1, 2, 2, "two")).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Event::Message(m) = ctl.event().await {
            seen.push((m.index, m.text));
        }
    }
    assert_eq!(seen, [(1, "one".to_owned()), (2, "two".to_owned())]);
    assert_eq!(watching.index, 1);
    let mut second = chatd.ctl().await;
    second.call(watch(Some(1))).await.expect("watching");
    assert!(matches!(second.event().await, Event::Message(m) if m.text == "two"));
}

#[tokio::test]
async fn another_server_key_is_a_hard_stop_and_nothing_is_said_to_it() {
    let World { mut ctl, peer, fake, home: _home, chatd: _chatd } = World::new().await;
    let address = fake.address();
    drop((fake, peer));
    let other = Fake::at(address);
    let login = Login {
        profile: "default".into(),
        user: None,
        server: None,
        password: Some("correct horse".into()),
        device: None,
        take_over: false,
        sign_up: false,
        trust: Trust::default(),
        timeout_ms: 5000,
    };
    let call = ctl.call(login);
    tokio::pin!(call);
    // chatd may come by itself before its user does, and give that up: each of its connections hears who this is, and says no more.
    let refused = loop {
        let came = tokio::select! {
            biased;
            refused = &mut call => break refused,
            came = other.try_accept() => came,
        };
        let Some(mut peer) = came else { continue };
        if let Ok(Some(asked)) = peer.try_recv().await {
            assert_eq!(asked.name, method::IDENTIFY);
            peer.answer_identify(&asked, &other.identity);
            assert!(!matches!(peer.try_recv().await, Ok(Some(_))), "something was said to a stranger");
        }
    };
    let refused = refused.expect_err("refused");
    assert_eq!(refused.code, Code::TRUST_CHANGED);
    let question = refused.trust.expect("what it showed");
    assert_eq!(question.fingerprint, other.identity.id().fingerprint());
}

#[tokio::test]
async fn a_logout_is_confirmed_and_remembered() {
    let World { mut ctl, mut peer, mut chatd, home, fake } = World::new().await;
    let logout = Logout { profile: "default".into(), all_devices: false, wipe: false, force: false, timeout_ms: 5000 };
    let (done, ()) = tokio::join!(ctl.call(logout.clone()), async {
        let asked = peer.expect(method::LOGOUT).await;
        peer.confirm(&asked, &wire::Empty {});
        let bye = wire::Bye { code: 0, may_reconnect: false, after_ms: 0 };
        peer.push(status::END, &bye).await;
    });
    assert!(done.expect("logged out").confirmed);
    assert_eq!(code(ctl.message("hi", "k1").await), Code::NOT_LOGGED_IN);
    drop(ctl);
    chatd.stop().await;
    let chatd = Chatd::start(&home.path().join("h")).await;
    let mut ctl = chatd.ctl().await;
    let status = ctl.call(Status { profile: "default".into(), wait_online_ms: None }).await.expect("status");
    assert_eq!(status.link, LinkState::LoggedOut);
    assert_eq!(status.ended.map(|ended| ended.code), Some(Code::NOT_LOGGED_IN));
    drop(fake);
}

#[tokio::test]
async fn a_restart_reconnects_by_key_and_sends_what_waits() {
    let World { mut ctl, peer, mut chatd, home, fake } = World::new().await;
    let call = chat_proto::control::message::SendMessage { wait: State::Queued, ..message("hi", "k1") };
    assert_eq!(ctl.call(call).await.expect("queued").state, State::Queued);
    drop(ctl);
    drop(peer);
    chatd.stop().await;
    let chatd = Chatd::start(&home.path().join("h")).await;
    let (mut peer, hello) = fake.session().await;
    assert_eq!(hello.streams.len(), 1);
    peer.welcome_plainly(&hello).await;
    let send = peer.send().await;
    assert_eq!((send.cseq, &send.body[..]), (1, &b"hi"[..]));
    peer.accept(&send, 3).await;
    let mut ctl = chatd.ctl().await;
    assert_eq!(ctl.call(show("k1", State::Accepted)).await.expect("shown").state, State::Accepted);
    let (next, send) = tokio::join!(ctl.message("next", "k2"), async {
        let send = peer.send().await;
        peer.accept(&send, 4).await;
        send
    });
    next.expect("accepted");
    assert_ne!(send.incarnation, hello.streams[0].incarnation, "a new start has a new stream");
    assert_eq!(send.cseq, 1);
}

#[tokio::test]
async fn without_a_server_it_is_queued_or_refused() {
    let World { mut ctl, peer, fake, chatd: _chatd, home: _home } = World::new().await;
    drop((peer, fake));
    let pending = ctl.message("hi", "k1").await.expect("queued");
    assert_eq!((pending.state, pending.pending), (State::Queued, Some(Pending::Unreachable)));
    let call = chat_proto::control::message::SendMessage { no_queue: true, ..message("hi", "k2") };
    assert_eq!(code(ctl.call(call).await), Code::SERVER_UNREACHABLE);
    let logout = Logout { profile: "default".into(), all_devices: false, wipe: false, force: false, timeout_ms: 2000 };
    assert_eq!(code(ctl.call(logout.clone()).await), Code::UNSENT);
    let done = ctl.call(Logout { force: true, ..logout }).await.expect("logged out");
    assert_eq!((done.unsent, done.confirmed), (1, false));
}

#[tokio::test]
async fn a_slow_follower_misses_no_message() {
    let World { mut ctl, mut peer, chatd, home: _home, fake: _fake } = World::new().await;
    let watch =
        Watch { profile: "default".into(), only: vec![], from: None, since: None, cursor: None, after_index: Some(0) };
    let mut slow = chatd.ctl().await;
    slow.call(watch).await.expect("watching");
    // More than an owner keeps for a follower, in texts that fill the socket's buffer.
    let count = chat_proto::limits::CONTROL_EVENTS as u64 + 500;
    let text = "x".repeat(2000);
    for first in (0..count).step_by(100) {
        for n in first..(first + 100).min(count) {
            peer.push(method::DELIVER, &deliver(n, n + 1, n + 1, &text)).await;
        }
        assert_acked(&mut peer, (first + 100).min(count)).await;
    }
    let unread = Unread { profile: "default".into(), user: None };
    assert_eq!(ctl.call(unread).await.expect("counted").total, count);
    let mut expected = 1;
    while expected <= count {
        if let Event::Message(m) = slow.event().await {
            assert_eq!(m.index, expected);
            expected += 1;
        }
    }
}

fn by_key() -> Login {
    Login {
        profile: "default".into(),
        user: None,
        server: None,
        password: None,
        device: None,
        take_over: false,
        sign_up: false,
        trust: Trust::default(),
        timeout_ms: 5000,
    }
}

#[tokio::test]
async fn a_login_while_logging_out_is_not_a_login() {
    let World { mut ctl, mut peer, chatd, home: _home, fake } = World::new().await;
    let logout = Logout { profile: "default".into(), all_devices: false, wipe: false, force: false, timeout_ms: 5000 };
    let mut second = chatd.ctl().await;
    let (done, login) = tokio::join!(ctl.call(logout), async {
        let asked = peer.expect(method::LOGOUT).await;
        let login = second.call(by_key()).await;
        peer.confirm(&asked, &wire::Empty {});
        peer.push(status::END, &wire::Bye::default()).await;
        login
    });
    assert!(done.expect("logged out").confirmed);
    assert_eq!(code(login), Code::BUSY, "it would be over at once");
    let (login, mut peer) = tokio::join!(ctl.call(by_key()), async {
        let (mut peer, hello) = fake.session().await;
        peer.welcome_plainly(&hello).await;
        peer
    });
    login.expect("logged in");
    let (sent, ()) = tokio::join!(ctl.message("hi", "k1"), async {
        let send = peer.send().await;
        peer.accept(&send, 10).await;
    });
    assert_eq!(sent.expect("accepted").state, State::Accepted);
}

#[tokio::test]
async fn a_server_that_opens_and_ends_sessions_is_asked_ever_more_rarely() {
    let World { ctl: _ctl, mut peer, chatd: _chatd, home: _home, fake } = World::new().await;
    let began = tokio::time::Instant::now();
    for _ in 0..5 {
        peer.push(status::END, &wire::Bye { code: Code::SHUTTING_DOWN.0, may_reconnect: true, after_ms: 0 }).await;
        let (next, hello) = fake.session().await;
        peer = next;
        peer.welcome_plainly(&hello).await;
    }
    // At least half of 250 ms, 500 ms, 1 s, 2 s, 4 s.
    assert!(began.elapsed() > std::time::Duration::from_millis(3_800), "{:?}", began.elapsed());
}

#[tokio::test]
async fn behind_a_conflict_a_new_stream_begins() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let (refused, first) = tokio::join!(ctl.message("one", "k1"), async {
        let send = peer.send().await;
        peer.push(method::VERDICT, &wire::Verdict { runs: vec![run(&send, Code::CONFLICT.0)] }).await;
        send
    });
    assert_eq!(code(refused), Code::CONFLICT);
    let (sent, send) = tokio::join!(ctl.message("two", "k2"), async {
        let send = peer.send().await;
        peer.accept(&send, 10).await;
        send
    });
    assert_eq!(sent.expect("accepted").state, State::Accepted);
    assert_ne!(send.incarnation, first.incarnation);
}

#[tokio::test]
async fn a_logout_ends_a_login_that_is_under_way() {
    let World { mut ctl, peer, chatd, home: _home, fake } = World::new().await;
    let mut second = chatd.ctl().await;
    let logout = Logout { profile: "default".into(), all_devices: false, wipe: false, force: false, timeout_ms: 400 };
    let password = Login { password: Some("correct horse".into()), ..by_key() };
    let (login, done) = tokio::join!(ctl.call(password), async {
        let _silent = fake.accept().await;
        // The loss of the old link is not the end of the login.
        drop(peer);
        let status = Status { profile: "default".into(), wait_online_ms: None };
        while second.call(status.clone()).await.expect("status").link == LinkState::Online {}
        second.call(logout).await
    });
    assert_eq!(code(login), Code::NOT_LOGGED_IN);
    assert_eq!(done.expect("logged out").state, "logged_out");
}

#[tokio::test]
async fn a_server_that_asks_for_everything_all_the_time_gets_it_now_and_then() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let queued = chat_proto::control::message::SendMessage { wait: State::Queued, ..message("hi", "k1") };
    ctl.call(queued).await.expect("queued");
    let first = peer.send().await;
    let gap = wire::Gap { incarnation: first.incarnation, last: 0 };
    let later = wire::TryLater { after_ms: 0, code: Code::STORAGE.0 };
    let (began, mut copies) = (tokio::time::Instant::now(), 0);
    for asked in 0..100 {
        match asked % 2 {
            0 => peer.push(method::GAP, &gap).await,
            _ => peer.push(method::TRY_LATER, &later).await,
        }
        peer.push(method::PING, &wire::Empty {}).await;
        while peer.recv().await.name != method::PONG {
            copies += 1;
        }
    }
    let times = began.elapsed().as_millis() / chat_proto::limits::SEND_AGAIN_AFTER.as_millis();
    assert!(copies <= times + 1, "{copies} in {:?}", began.elapsed());
    let again = peer.send().await;
    assert_eq!((again.cseq, again.h), (first.cseq, first.h.clone()));
    let (shown, ()) = tokio::join!(ctl.call(show("k1", State::Accepted)), peer.accept(&first, 3));
    assert_eq!(shown.expect("shown").state, State::Accepted);
}

#[tokio::test]
async fn a_pong_repeats_nothing() {
    let World { mut peer, ctl: _ctl, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    peer.push(method::PING, &wire::Account { account: "x".repeat(60_000) }).await;
    assert!(peer.expect(method::PONG).await.body.is_empty());
}

#[tokio::test]
async fn a_server_sends_nobody_away_for_ever() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let bye = wire::Bye { code: Code::SHUTTING_DOWN.0, may_reconnect: true, after_ms: u64::MAX };
    peer.push(status::END, &bye).await;
    let status = Status { profile: "default".into(), wait_online_ms: None };
    let begun = tokio::time::Instant::now();
    let told = loop {
        let status = ctl.call(status.clone()).await.expect("status");
        if status.link != LinkState::Online {
            break status;
        }
        assert!(begun.elapsed() < common::SOON, "the link is over");
    };
    let longest = chat_proto::limits::TRY_LATER_MAX.as_millis();
    let wait = told.retry_after_ms.map(u128::from);
    assert!(wait.is_some_and(|wait| wait > 0 && wait <= longest), "{wait:?}");
}

#[tokio::test]
async fn what_is_no_name_is_not_remembered_as_one() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let item = |account: String| wire::PresenceItem { account, online: true, ..Default::default() };
    let items = vec![item("x".repeat(60_000)), item("two words".into()), item("carol".into())];
    peer.push(method::PRESENCE, &wire::Presence { items, count: 0 }).await;
    peer.push(method::PING, &wire::Empty {}).await;
    peer.expect(method::PONG).await;
    let names = Names { profile: "default".into(), prefix: String::new(), limit: 100 };
    assert_eq!(ctl.call(names).await.expect("listed").items, ["carol"]);
}

#[tokio::test]
async fn a_whole_window_is_taken() {
    let World { mut ctl, mut peer, chatd: _chatd, home: _home, fake: _fake } = World::new().await;
    let count = chat_proto::limits::DELIVER_WINDOW as u64;
    let text = "x".repeat(chat_proto::limits::DELIVER_WINDOW_BYTES / chat_proto::limits::DELIVER_WINDOW);
    for n in 0..count {
        peer.push(method::DELIVER, &deliver(n, n + 1, n + 1, &text)).await;
    }
    assert_acked(&mut peer, count).await;
    let unread = Unread { profile: "default".into(), user: None };
    assert_eq!(ctl.call(unread).await.expect("counted").total, count);
}

//! A control conversation, the same tests over everything that can carry one: a pipe in memory, and what the system has (a socket on
//! Unix, a named pipe on Windows) with the real listener at its end.

use std::time::Duration;

use chat_local::connection::Transport;
use chat_local::paths::{Layout, Surroundings};
use chat_local::rpc::{Client, ErrorObject, Id, Incoming, METHOD_NOT_FOUND, Notification, Response, RpcError};
use chat_local::{BindError, Connection, DialError, LineError, Listener, bind, connect};
use chat_proto::limits::{CONTROL_CONNECTIONS, CONTROL_LINE_MAX};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

macro_rules! over_every_transport {
    ($($name:ident)*) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Ends::in_memory()).await })*
        }
        mod over_the_system {
            $(#[tokio::test] async fn $name() { super::$name(super::Ends::of_the_system().await).await })*
        }
    };
}

over_every_transport! {
    values_travel_both_ways_and_the_end_is_seen
    wrong_lines_are_errors_and_the_next_one_is_read
    half_a_line_at_the_end_is_no_line
    the_longest_line_passes_and_a_longer_one_is_not_sent
    a_line_without_end_is_refused
    a_call_finds_its_answer_among_events
    both_halves_work_at_once
    what_was_sent_before_the_end_arrives
}

/// Both ends of one conversation.
struct Ends {
    /// As chatctl holds it, or whoever else has dialled: raw.
    client: Box<dyn Transport>,
    /// As chatd holds it.
    server: Connection,
    _place: Option<(Home, Listener)>,
}

impl Ends {
    fn in_memory() -> Ends {
        let (client, server) = tokio::io::duplex(4096);
        Ends { client: Box::new(client), server: Connection::over(server), _place: None }
    }

    async fn of_the_system() -> Ends {
        let home = Home::new();
        let listener = home.bind().expect("bound");
        let (client, server) = tokio::join!(raw(&home), listener.accept());
        Ends { client, server: server.expect("accepted"), _place: Some((home, listener)) }
    }

    fn connections(self) -> (Connection, Connection, Option<(Home, Listener)>) {
        (Connection::over(self.client), self.server, self._place)
    }
}

#[cfg(unix)]
async fn raw(home: &Home) -> Box<dyn Transport> {
    Box::new(tokio::net::UnixStream::connect(&home.layout.sockets[0]).await.expect("connected"))
}

#[cfg(windows)]
async fn raw(home: &Home) -> Box<dyn Transport> {
    let options = tokio::net::windows::named_pipe::ClientOptions::new();
    Box::new(options.open(&home.layout.sockets[0]).expect("connected"))
}

/// The places of a user who has nothing else.
struct Home {
    layout: Layout,
    _dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let layout = Surroundings::of_process(Some(dir.path().join("home"))).layout().expect("a home");
        Home { layout, _dir: dir }
    }

    fn bind(&self) -> Result<Listener, BindError> {
        bind(&self.layout.sockets[0], &self.layout.state)
    }

    async fn connect(&self) -> Result<Connection, DialError> {
        connect(&self.layout.sockets[0], Instant::now() + Duration::from_secs(10)).await
    }
}

async fn values_travel_both_ways_and_the_end_is_seen(ends: Ends) {
    let (mut client, mut server, _place) = ends.connections();
    let value = json!({"text": "line one\nline two \u{1b} \u{1f980}"});
    for _ in 0..3 {
        client.send(&value).await.expect("sent");
        assert_eq!(server.recv::<Value>().await.expect("received"), Some(value.clone()));
        server.send(&value).await.expect("sent");
        assert_eq!(client.recv::<Value>().await.expect("received"), Some(value.clone()));
    }
    drop(client);
    assert_eq!(server.recv::<Value>().await.expect("closed"), None);
}

async fn wrong_lines_are_errors_and_the_next_one_is_read(mut ends: Ends) {
    ends.client.write_all(b"{]\n\xff\xfe\n\n7\r\n").await.expect("written");
    assert!(matches!(ends.server.recv::<Value>().await, Err(LineError::Json(_))));
    assert!(matches!(ends.server.recv::<Value>().await, Err(LineError::NotUtf8)));
    assert!(matches!(ends.server.recv::<Value>().await, Err(LineError::Json(_))));
    assert_eq!(ends.server.recv::<u8>().await.expect("good"), Some(7));
}

async fn half_a_line_at_the_end_is_no_line(mut ends: Ends) {
    ends.client.write_all(b"7\n8").await.expect("written");
    ends.client.flush().await.expect("flushed");
    assert_eq!(ends.server.recv::<u8>().await.expect("good"), Some(7));
    drop(ends.client);
    assert!(matches!(ends.server.recv::<u8>().await, Err(LineError::Truncated)));
    assert_eq!(ends.server.recv::<u8>().await.expect("the end stays"), None);
}

async fn the_longest_line_passes_and_a_longer_one_is_not_sent(ends: Ends) {
    let (mut client, mut server, _place) = ends.connections();
    let longest = "x".repeat(CONTROL_LINE_MAX - 2);
    let (sent, got) = tokio::join!(client.send(&longest), server.recv::<String>());
    sent.expect("sent");
    assert_eq!(got.expect("received"), Some(longest));
    assert!(matches!(client.send(&"x".repeat(CONTROL_LINE_MAX - 1)).await, Err(LineError::TooLong)));
    client.send(&1).await.expect("nothing of the long one was sent");
    assert_eq!(server.recv::<u8>().await.expect("received"), Some(1));
}

async fn a_line_without_end_is_refused(ends: Ends) {
    let Ends { mut client, mut server, _place } = ends;
    let flood = tokio::spawn(async move { while client.write_all(&[b'x'; 4096]).await.is_ok() {} });
    assert!(matches!(server.recv::<Value>().await, Err(LineError::TooLong)));
    assert!(matches!(server.recv::<Value>().await, Ok(None)));
    drop(server);
    flood.await.expect("ended by the closed connection");
}

async fn a_call_finds_its_answer_among_events(ends: Ends) {
    let (client, mut server, _place) = ends.connections();
    let mut client = Client::new(client);
    let serve = async {
        for _ in 0..2 {
            let line = server.recv_line().await.expect("a line").expect("open");
            let incoming = Incoming::parse(&line).expect("a request");
            server.send(&Response::ok(Id::Number(99), json!("late"))).await.expect("sent");
            server.send(&Notification::new("message", json!({"text": "hi"}))).await.expect("sent");
            let outcome = match incoming.method.as_str() {
                "double" => Ok(json!(incoming.params["n"].as_i64().expect("a number") * 2)),
                other => Err(ErrorObject::method_not_found(other)),
            };
            server.send(&incoming.answer(outcome)).await.expect("sent");
        }
    };
    let ask = async {
        assert_eq!(client.call::<_, i64>("double", json!({"n": 4})).await.expect("answered"), 8);
        let refused = client.call::<_, i64>("treble", json!({"n": 4})).await;
        assert!(matches!(refused, Err(RpcError::Refused(error)) if error.code == METHOD_NOT_FOUND));
        assert_eq!(client.next_event().await.expect("kept").expect("open").method, "message");
    };
    tokio::join!(ask, serve);
}

/// Each side sends more than anything between them holds and reads at the same time.
async fn both_halves_work_at_once(ends: Ends) {
    const LINES: usize = 64;
    let (client, server, _place) = ends.connections();
    let text = "y".repeat(32 * 1024);
    let talk = |connection: Connection| {
        let text = text.clone();
        async move {
            let (mut reader, mut writer) = connection.split();
            let send = async {
                for number in 0..LINES {
                    writer.send(&json!({"n": number, "text": text})).await.expect("sent");
                }
            };
            let receive = async {
                for number in 0..LINES {
                    let value = reader.recv::<Value>().await.expect("received").expect("open");
                    assert_eq!(value["n"], number);
                    assert_eq!(value["text"].as_str().map(str::len), Some(text.len()));
                }
            };
            tokio::join!(send, receive);
            (reader, writer)
        }
    };
    tokio::join!(talk(client), talk(server));
}

/// chatd answers and ends; chatctl reads later.
async fn what_was_sent_before_the_end_arrives(ends: Ends) {
    let Ends { mut client, mut server, _place } = ends;
    for number in 0..20 {
        server.send(&number).await.expect("sent");
    }
    drop(server);
    let mut received = String::new();
    // How the end is told after the last byte is the system's matter.
    let _ = client.read_to_string(&mut received).await;
    assert_eq!(received.lines().count(), 20, "{received:?}");
}

#[tokio::test]
async fn a_name_is_there_while_its_listener_lives() {
    let home = Home::new();
    assert!(matches!(home.connect().await, Err(DialError::NotRunning)));
    for _ in 0..3 {
        let listener = home.bind().expect("bound");
        let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
        let (mut ours, mut theirs) = (ours.expect("connected"), theirs.expect("accepted"));
        ours.send("hello").await.expect("sent");
        assert_eq!(theirs.recv::<String>().await.expect("received").as_deref(), Some("hello"));
        drop((ours, theirs, listener));
        assert!(matches!(home.connect().await, Err(DialError::NotRunning)));
    }
}

#[tokio::test]
async fn a_second_chatd_of_a_home_is_refused_and_the_first_serves_on() {
    let home = Home::new();
    let listener = home.bind().expect("bound");
    assert!(matches!(home.bind(), Err(BindError::AlreadyRunning { .. })));
    let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
    ours.expect("connected");
    theirs.expect("accepted");
    let other = Home::new();
    other.bind().expect("another home has a socket of its own");
}

#[test]
fn of_two_chatds_exactly_one_lives() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let home = Home::new();
    let start = std::sync::Barrier::new(2);
    for race in 0..100 {
        let daemon = || {
            let _inside = runtime.enter();
            start.wait();
            home.bind()
        };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(daemon);
            (daemon(), other.join().expect("no panic"))
        });
        let (alive, dead) = if one.is_ok() { (one, two) } else { (two, one) };
        assert!(matches!(dead, Err(BindError::AlreadyRunning { .. })), "race {race}: {dead:?}");
        let alive = alive.unwrap_or_else(|error| panic!("race {race}: nobody lives: {error}"));
        let talk = async { tokio::join!(home.connect(), alive.accept()) };
        let (ours, theirs) = runtime.block_on(talk);
        ours.expect("connected");
        theirs.expect("accepted");
    }
}

#[tokio::test]
async fn many_are_served_and_no_more_than_there_are_seats() {
    let home = Home::new();
    let listener = home.bind().expect("bound");
    let mut taken = Vec::new();
    for number in 0..CONTROL_CONNECTIONS {
        let (ours, theirs) = tokio::join!(home.connect(), listener.accept());
        let (mut ours, mut theirs) = (ours.expect("connected"), theirs.expect("accepted"));
        ours.send(&number).await.expect("sent");
        assert_eq!(theirs.recv::<usize>().await.expect("received"), Some(number));
        taken.push((ours, theirs));
    }
    let (waiting, mut next) = (home.connect(), std::pin::pin!(listener.accept()));
    let mut waiting = std::pin::pin!(waiting);
    // Whether the system lets one wait before or behind the door is its matter.
    let early = tokio::select! {
        biased;
        _ = &mut next => panic!("no seat is free"),
        connected = timeout(Duration::from_millis(50), &mut waiting) => connected.ok(),
    };
    taken.pop();
    let late = async { if early.is_none() { Some(waiting.await) } else { None } };
    let (late, accepted) = tokio::join!(late, next);
    let mut ours = early.or(late).expect("one of both").expect("connected");
    let mut theirs = accepted.expect("a seat is free again");
    ours.send(&1).await.expect("sent");
    assert_eq!(theirs.recv::<u8>().await.expect("received"), Some(1));
}

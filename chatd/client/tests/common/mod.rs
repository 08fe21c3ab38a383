//! What the tests of chatd share: a server that does as the test says, a chatd in this process, and a client of its control socket.
#![allow(dead_code, missing_docs, reason = "each test file uses a part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chat_link::{Link, LinkError, ServerIdentity};
use chat_local::paths::Surroundings;
use chat_local::rpc::{Client, RpcError};
use chat_process::shutdown::Shutdown;
use chat_process::watchdog::Workers;
use chat_proto::control::account::{Account, Register, Trust};
use chat_proto::control::events::Event;
use chat_proto::control::message::{Message, Page, Read, SendMessage, Sent, State};
use chat_proto::control::{Call, EVENT, ErrorData};
use chat_proto::fault::Code;
use chat_proto::frame::Frame;
use chat_proto::id::DeviceId;
use chat_proto::method::{self, Tag4};
use chat_proto::{limits, status, wire};
use chatd::config::Config;
use chatd::{RunError, Setup};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Nothing here takes so long; whoever waits longer waits for ever.
pub const SOON: Duration = Duration::from_secs(10);

/// A server in which nothing happens by itself.
pub struct Fake {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    pub identity: ServerIdentity,
}

impl Fake {
    pub fn new() -> Fake {
        Fake::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    pub fn at(address: SocketAddr) -> Fake {
        let made = chat_link::self_signed(&["127.0.0.1".to_owned()], SystemTime::now()).expect("a certificate");
        let tls = chat_link::server_config(made.cert_pem.as_bytes(), made.key_pem.as_bytes()).expect("a config");
        let listener = chat_link::listen(address).expect("a port");
        Fake { listener, tls, identity: ServerIdentity::generate().expect("a key") }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("bound")
    }

    pub async fn accept(&self) -> Peer {
        self.try_accept().await.expect("TLS")
    }

    /// The next connection; nothing where chatd gave it up meanwhile.
    pub async fn try_accept(&self) -> Option<Peer> {
        let (stream, _) = timeout(SOON, self.listener.accept()).await.expect("chatd connects").expect("accepted");
        let link = chat_link::handshake(stream, &self.tls, SOON).await.ok()?;
        Some(Peer { link, device: DeviceId([0; 16]), hello: None })
    }

    /// Takes a connection up to HELLO.
    pub async fn session(&self) -> (Peer, wire::Hello) {
        let mut peer = self.accept().await;
        peer.identify(&self.identity).await;
        let name = peer.expect(method::NAME).await;
        peer.confirm(&name, &wire::NameState::default());
        let login = peer.recv().await;
        let account = match login.name {
            method::REGISTER | method::LOGIN => {
                let body = wire::Password::decode(login.body.clone()).expect("a password");
                let device = body.enrol.expect("a device").device_id;
                peer.device = DeviceId::try_from(&device[..]).expect("16 bytes");
                body.account
            }
            method::DEVICE => {
                let body = wire::DeviceLogin::decode(login.body.clone()).expect("a login");
                peer.device = DeviceId::try_from(&body.device_id[..]).expect("16 bytes");
                body.account
            }
            other => panic!("{other:?} where a login was due"),
        };
        peer.confirm(&login, &wire::LoggedIn { account });
        let hello = peer.expect(method::HELLO).await;
        let body = wire::Hello::decode(hello.body.clone()).expect("HELLO");
        peer.hello = Some(hello);
        (peer, body)
    }
}

/// chatd at the other end of a connection.
pub struct Peer {
    link: Link,
    pub device: DeviceId,
    hello: Option<Frame>,
}

impl Peer {
    pub async fn identify(&mut self, identity: &ServerIdentity) {
        let asked = self.expect(method::IDENTIFY).await;
        self.answer_identify(&asked, identity);
    }

    pub fn answer_identify(&mut self, asked: &Frame, identity: &ServerIdentity) {
        let answer = wire::Identity {
            server_id: identity.id().0.to_vec(),
            proof: identity.prove(&self.link.exporter(), 1).expect("signed").to_vec(),
            version: 1,
            server_version: "0.0.0".into(),
            name: "fake".into(),
            ..Default::default()
        };
        self.confirm(asked, &answer);
    }

    /// The next frame; pings are answered.
    pub async fn recv(&mut self) -> Frame {
        self.try_recv().await.expect("a link").expect("a frame")
    }

    pub async fn try_recv(&mut self) -> Result<Option<Frame>, LinkError> {
        self.link.set_frame_max(limits::FRAME_MAX);
        timeout(SOON, self.link.recv_while_flushing()).await.expect("chatd says something")
    }

    /// The next frame of this name; questions about receipts are answered with nothing meanwhile.
    pub async fn expect(&mut self, name: Tag4) -> Frame {
        loop {
            let frame = self.recv().await;
            match frame.name {
                found if found == name => return frame,
                method::RECEIPT => self.confirm(&frame, &wire::Receipts::default()),
                method::ACTIVE => self.confirm(&frame, &wire::Empty {}),
                method::ACK => {}
                other => panic!("{} where {} was due", String::from_utf8_lossy(&other), String::from_utf8_lossy(&name)),
            }
        }
    }

    pub async fn send(&mut self) -> wire::Send {
        wire::Send::decode(self.expect(method::SEND).await.body).expect("SEND")
    }

    pub fn confirm(&mut self, asked: &Frame, body: &impl prost::Message) {
        self.link.queue(&Frame::new(status::CONFIRMATION, asked.tag, body));
    }

    pub async fn push(&mut self, name: Tag4, body: &impl prost::Message) {
        self.link.queue(&Frame::new(name, 0, body));
        self.link.flush().await.expect("written");
    }

    pub async fn welcome(&mut self, welcome: wire::Welcome) {
        let hello = self.hello.take().expect("HELLO came");
        self.confirm(&hello, &welcome);
        self.link.flush().await.expect("written");
    }

    /// WELCOME of a server that has nothing of its own to say.
    pub async fn welcome_plainly(&mut self, hello: &wire::Hello) {
        let streams = hello
            .streams
            .iter()
            .map(|s| wire::StreamState { incarnation: s.incarnation, last: s.settled, decisions: Vec::new() })
            .collect();
        let cursor = hello.cursor.unwrap_or(at(0));
        self.welcome(wire::Welcome { streams, cursor: Some(cursor), ..open() }).await;
    }

    pub async fn accept(&mut self, send: &wire::Send, n: u64) {
        let run = wire::Run { n: vec![n], epoch: 1, nonce: 7, ..run(send, 0) };
        self.push(method::VERDICT, &wire::Verdict { runs: vec![run] }).await;
    }
}

/// A run of one place.
pub fn run(send: &wire::Send, code: u32) -> wire::Run {
    wire::Run { incarnation: send.incarnation, first: send.cseq, count: 1, code, ..wire::Run::default() }
}

pub fn open() -> wire::Welcome {
    wire::Welcome {
        session_epoch: 1,
        text_max: limits::TEXT_MAX as u64,
        epochs: vec![wire::Epoch { epoch: 1, nonce: 7, first: 0 }],
        ..wire::Welcome::default()
    }
}

/// A position of the fake server's only epoch.
pub fn at(n: u64) -> wire::Position {
    wire::Position { epoch: 1, nonce: 7, n }
}

/// An entry of bob's only device.
pub fn deliver(prev: u64, n: u64, cseq: u64, text: &str) -> wire::Deliver {
    wire::Deliver {
        prev: Some(at(prev)),
        ack_now: true,
        position: Some(at(n)),
        kind: wire::kind::DIRECT,
        from: "bob".into(),
        device: vec![9; 16],
        incarnation: 5,
        cseq,
        at_ms: 1_700_000_000_000,
        content_type: wire::TEXT_PLAIN.into(),
        body: text.as_bytes().to_vec().into(),
        to: "alice".into(),
    }
}

/// A chatd of its own.
pub struct Chatd {
    pub home: PathBuf,
    socket: PathBuf,
    shutdown: Shutdown,
    running: Option<JoinHandle<Result<(), RunError>>>,
}

impl Chatd {
    pub async fn start(home: &Path) -> Chatd {
        let layout = Surroundings::of_process(Some(home.to_owned())).layout().expect("a home");
        let socket = layout.listen_path(|_| true);
        let listener = chat_local::bind(&socket, &layout.state).expect("bound");
        let config = Config::load(&layout.config_file(), false).expect("defaults");
        let (host, boot_id, environment) = ("laptop".into(), "boot".into(), Vec::new());
        let (workers, confined, runner) = (Workers::default(), None, None);
        let place = socket.clone();
        let setup = Setup { config, layout, socket, log: None, host, boot_id, workers, environment, confined, runner };
        let shutdown = Shutdown::new();
        let running = tokio::spawn(chatd::run(listener, setup, shutdown.clone(), || {}));
        Chatd { home: home.to_owned(), socket: place, shutdown, running: Some(running) }
    }

    pub async fn ctl(&self) -> Ctl {
        let connection = chat_local::connect(&self.socket, Instant::now() + SOON).await.expect("chatd listens");
        Ctl(Client::new(connection))
    }

    pub async fn stop(&mut self) {
        self.shutdown.begin();
        let running = self.running.take().expect("not stopped before");
        timeout(SOON, running).await.expect("it ends").expect("no panic").expect("cleanly");
    }
}

/// A chatctl.
pub struct Ctl(Client);

impl Ctl {
    pub async fn call<C: Call>(&mut self, call: C) -> Result<C::Reply, ErrorData> {
        match timeout(SOON, self.0.call(C::METHOD, call)).await.expect("an answer") {
            Ok(reply) => Ok(reply),
            Err(RpcError::Refused(error)) => {
                Err(serde_json::from_value(error.data.expect("data")).expect("data of a refusal"))
            }
            Err(error) => panic!("{}: {error}", C::METHOD),
        }
    }

    pub async fn event(&mut self) -> Event {
        let event = timeout(SOON, self.0.next_event()).await.expect("an event").expect("read").expect("open");
        assert_eq!(event.method, EVENT);
        serde_json::from_value(event.params).expect("an event")
    }

    pub async fn register(&mut self, fake: &Fake) -> Result<Account, ErrorData> {
        self.call(Register {
            profile: "default".into(),
            user: "alice".into(),
            server: fake.address().to_string(),
            password: "correct horse".into(),
            invite: None,
            device: None,
            trust: Trust { trust: Some(fake.identity.id().fingerprint()), ca: None },
            timeout_ms: 5000,
        })
        .await
    }

    pub async fn message(&mut self, text: &str, key: &str) -> Result<Sent, ErrorData> {
        self.call(message(text, key)).await
    }

    pub async fn read(&mut self) -> Vec<Message> {
        let read = Read {
            profile: "default".into(),
            user: None,
            limit: None,
            unread: false,
            since_ms: None,
            before: None,
            next: None,
        };
        let page: Page = self.call(read).await.expect("a page");
        page.items
    }
}

pub fn message(text: &str, key: &str) -> SendMessage {
    SendMessage {
        profile: "default".into(),
        to: "bob".into(),
        text: text.into(),
        key: key.into(),
        wait: State::Accepted,
        timeout_ms: 5000,
        no_queue: false,
        reply: None,
        urgent: false,
        run: None,
    }
}

/// A home, a server, a chatd with alice registered and online.
pub struct World {
    pub home: tempfile::TempDir,
    pub fake: Fake,
    pub chatd: Chatd,
    pub ctl: Ctl,
    pub peer: Peer,
}

impl World {
    pub async fn new() -> World {
        let home = tempfile::tempdir().expect("a directory");
        let fake = Fake::new();
        let chatd = Chatd::start(&home.path().join("h")).await;
        let mut ctl = chatd.ctl().await;
        let (registered, peer) = tokio::join!(ctl.register(&fake), async {
            let (mut peer, hello) = fake.session().await;
            peer.welcome_plainly(&hello).await;
            peer
        });
        assert_eq!(registered.expect("registered").user, "alice");
        World { home, fake, chatd, ctl, peer }
    }
}

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, ErrorData>) -> Code {
    answer.expect_err("refused").code
}

//! The hostile user as a peer: an endpoint, connections to a chatd, and everything that may be said on them, right or wrong.

use std::iter;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chat_link::PeerKey;
use chat_proto::frame::{self, Frame};
use chat_proto::id::DeviceId;
use chat_proto::limits::FRAME_MAX;
use chat_proto::method::{Tag4, peer as method};
use chat_proto::peer::{self, ALPN, Claim, EXPORTER_LABEL, Hello};
use chat_proto::wire::{self, kind};
use chat_tests::World;
use iroh::endpoint::{Connection, ConnectionError, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, TransportAddr};
use prost::Message;
use tokio::time::timeout;

use crate::account::{Account, SOON, random};
use crate::victim::{Pair, Victim, world};

/// A hostile host: an account, and an endpoint that a victim agreed to meet, or did not.
pub struct Foe {
    /// At the server.
    pub account: Account,
    /// For QUIC.
    pub endpoint: Endpoint,
    /// Addresses that it tells of beside those of its endpoint.
    pub also_at: Vec<String>,
}

/// A session that the victim consented to, as the server told it to the foe.
#[derive(Clone)]
pub struct Session {
    /// Its id.
    pub id: [u8; 16],
    /// Who consented.
    pub victim: String,
    /// On which device.
    pub device: DeviceId,
    /// Where that is.
    pub at: wire::PeerEndpoint,
}

impl Session {
    /// What the server told.
    pub fn of(open: wire::PrivateOpen) -> Session {
        Session {
            id: open.id[..].try_into().expect("16 bytes"),
            victim: open.account,
            device: DeviceId(open.device_id[..].try_into().expect("16 bytes")),
            at: open.endpoint.expect("an endpoint"),
        }
    }
}

/// An endpoint that looks for nobody.
pub async fn endpoint() -> Endpoint {
    chat_link::install_provider();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = Endpoint::builder(presets::Empty).crypto_provider(provider).alpns(vec![ALPN.to_vec()]);
    builder.bind().await.expect("an endpoint")
}

/// Connects to where somebody is.
pub async fn connect(from: &Endpoint, at: &wire::PeerEndpoint) -> Connection {
    let id = EndpointId::from_bytes(at.endpoint_id[..].try_into().expect("32 bytes")).expect("a key");
    let addresses = at.addresses.iter().map(|address| TransportAddr::Ip(address.parse().expect("an address")));
    let address = EndpointAddr::from_parts(id, addresses);
    timeout(SOON, from.connect(address, ALPN)).await.expect("a connection soon").expect("a connection")
}

/// Bob and alice in a session, and mallory, with whom bob agreed to have one too.
pub async fn agreed() -> (World, Pair, Foe, Session) {
    let mut world = world();
    let pair = Pair::new(&mut world);
    let mut foe = Foe::new(&world, "mallory").await;
    let session = foe.consented(&pair.bob).await;
    (world, pair, foe, session)
}

/// As [`agreed`], and mallory is connected and has proven its key.
pub async fn met() -> (World, Pair, Foe, Session, Wire) {
    let (world, pair, foe, session) = agreed().await;
    let wire = foe.meets(&session, &pair.bob).await;
    (world, pair, foe, session, wire)
}

impl Foe {
    /// Registers and starts an endpoint.
    pub async fn new(world: &World, name: &str) -> Foe {
        Foe { account: Account::register(world, name).await, endpoint: endpoint().await, also_at: Vec::new() }
    }

    /// What it tells the server of itself.
    pub fn own(&self) -> wire::PeerEndpoint {
        let port = self.endpoint.bound_sockets().iter().find(|address| address.is_ipv4()).expect("a socket").port();
        wire::PeerEndpoint {
            endpoint_id: self.endpoint.id().as_bytes().to_vec(),
            addresses: iter::once(format!("127.0.0.1:{port}")).chain(self.also_at.clone()).collect(),
            peer_key: self.account.key.public().to_vec(),
            ..wire::PeerEndpoint::default()
        }
    }

    /// Asks, and the victim's user says yes.
    pub async fn consented(&mut self, victim: &Victim) -> Session {
        let own = self.own();
        self.consented_as(victim, &own).await
    }

    /// As [`Foe::consented`], with another endpoint told to the server.
    pub async fn consented_as(&mut self, victim: &Victim, own: &wire::PeerEndpoint) -> Session {
        let id = self.account.request(&victim.name, 0, own).await.expect("a request");
        victim.accepts(&self.account.name);
        let open = self.account.told(wire::PrivateNotice::ACCEPTED).await.open.expect("what is needed to meet");
        // the server tells both at once: who asked may be faster than who accepted
        chat_tests::process::until("the victim expects the foe", || victim.state(&self.account.name).map(drop));
        assert_eq!(open.id, id, "the session is what was asked for");
        Session::of(open)
    }

    /// Connects, proves its key, and waits until the victim shows the session as open.
    pub async fn meets(&self, session: &Session, victim: &Victim) -> Wire {
        let end = Instant::now() + SOON;
        let wire = loop {
            let connection = connect(&self.endpoint, &session.at).await;
            if let Ok((sender, receiver)) = connection.open_bi().await {
                let connection = connection.clone();
                let mut wire = Wire { connection, sender, receiver: Some(receiver), left: BytesMut::new() };
                wire.say(method::HELLO, &self.hello(session, &wire.connection, |_| {})).await;
                if let Some(frame) = wire.frame().await {
                    assert_eq!(frame.name, method::HELLO);
                    self.is_proven(session, &wire.connection, &Hello::decode(frame.body).expect("a hello"));
                    break wire;
                }
            }
            // The victim may not have heard from the server yet that there is a session.
            assert_eq!(closed(&connection).await, Some(peer::Bye::UNKNOWN));
            assert!(Instant::now() < end, "the victim knows of no session");
        };
        victim.shows(&self.account.name, "open");
        wire
    }

    /// The victim must prove its key as well.
    fn is_proven(&self, session: &Session, connection: &Connection, hello: &Hello) {
        assert_eq!((&hello.from, &hello.to), (&session.victim, &self.account.name));
        assert_eq!((&hello.device_id[..], &hello.peer_key), (&session.device.0[..], &session.at.peer_key));
        let claim = Claim {
            exporter: &exporter(connection),
            server: self.account.server,
            session: &session.id,
            from: &session.victim,
            to: &self.account.name,
            device: session.device,
            connected: false,
        };
        assert!(chat_link::verify_peer(&session.at.peer_key, &claim, &hello.proof), "the victim's own proof");
    }

    /// The right hello on this connection, with what `edit` makes of it.
    pub fn hello<'a>(
        &'a self,
        session: &Session,
        connection: &Connection,
        edit: impl FnOnce(&mut Claims<'a>),
    ) -> Hello {
        let mut claims = Claims {
            session: session.id,
            from: self.account.name.clone(),
            to: session.victim.clone(),
            device: self.account.device,
            connected: true,
            exporter: exporter(connection),
            key: &self.account.key,
        };
        edit(&mut claims);
        claims.hello(self.account.server)
    }
}

/// What a hello says and proves.
pub struct Claims<'a> {
    /// Which session.
    pub session: [u8; 16],
    /// Who.
    pub from: String,
    /// To whom.
    pub to: String,
    /// From which device.
    pub device: DeviceId,
    /// As who connected.
    pub connected: bool,
    /// On which connection.
    pub exporter: [u8; 32],
    /// By which key.
    pub key: &'a PeerKey,
}

impl Claims<'_> {
    fn hello(&self, server: chat_proto::id::ServerId) -> Hello {
        let claim = Claim {
            exporter: &self.exporter,
            server,
            session: &self.session,
            from: &self.from,
            to: &self.to,
            device: self.device,
            connected: self.connected,
        };
        Hello {
            version_min: 1,
            version_max: 1,
            session: self.session.to_vec(),
            from: self.from.clone(),
            to: self.to.clone(),
            device_id: self.device.0.to_vec(),
            peer_key: self.key.public().to_vec(),
            proof: self.key.prove(&claim).expect("a signature").to_vec(),
            agent: "hostile".into(),
        }
    }
}

/// The exporter of a connection.
pub fn exporter(connection: &Connection) -> [u8; 32] {
    let mut out = [0; 32];
    connection.export_keying_material(&mut out, EXPORTER_LABEL, &[]).expect("an exporter");
    out
}

/// The reason by which the other side closed, once it did.
pub async fn closed(connection: &Connection) -> Option<u32> {
    match timeout(SOON, connection.closed()).await.expect("the victim closes it") {
        ConnectionError::ApplicationClosed(close) => u32::try_from(close.error_code.into_inner()).ok(),
        _ => None,
    }
}

/// A conversation with a chatd.
pub struct Wire {
    /// Under it.
    pub connection: Connection,
    /// To the victim.
    pub sender: SendStream,
    /// From it; taken out where a test only drains it.
    receiver: Option<RecvStream>,
    left: BytesMut,
}

impl Wire {
    /// Opens the stream; nothing is said.
    pub async fn open(connection: Connection) -> Wire {
        let (sender, receiver) = connection.open_bi().await.expect("a stream");
        Wire { connection, sender, receiver: Some(receiver), left: BytesMut::new() }
    }

    /// Says something; false when nobody listens any more.
    pub async fn say(&mut self, name: Tag4, body: &impl Message) -> bool {
        let mut out = BytesMut::new();
        Frame::new(name, 0, body).encode(&mut out);
        self.raw(&out).await
    }

    /// Says bytes.
    pub async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.sender.write_all(bytes).await.is_ok()
    }

    /// The next frame; nothing at the end.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = frame::decode(&mut self.left, FRAME_MAX).expect("frames") {
                return Some(frame);
            }
            let receiver = self.receiver.as_mut()?;
            let chunk = timeout(SOON, receiver.read_chunk(FRAME_MAX)).await.expect("bytes soon").ok()??;
            self.left.extend_from_slice(&chunk);
        }
    }

    /// The next frame of this kind; others are passed over.
    pub async fn hears<T: Message + Default>(&mut self, name: Tag4) -> T {
        loop {
            let frame = self.frame().await.expect("the victim goes on");
            if frame.name == name {
                return T::decode(frame.body).expect("a body");
            }
        }
    }

    /// Names its streams, as it must before it sends.
    pub async fn names(&mut self, incarnations: &[u64]) -> peer::Welcome {
        let streams = incarnations.iter().map(|incarnation| wire::OpenStream { incarnation: *incarnation, settled: 0 });
        self.say(method::STREAMS, &peer::Streams { streams: streams.collect() }).await;
        self.hears(method::WELCOME).await
    }

    /// Begins a stream of its own; its number.
    pub async fn begins(&mut self) -> u64 {
        let stream = incarnation();
        self.names(&[stream]).await;
        stream
    }

    /// Answers the victim's streams: nothing of them is here.
    pub async fn welcomes(&mut self) {
        let named: peer::Streams = self.hears(method::STREAMS).await;
        let streams = named.streams.iter().map(|stream| wire::StreamState {
            incarnation: stream.incarnation,
            last: 0,
            decisions: Vec::new(),
        });
        self.say(method::WELCOME, &peer::Welcome { streams: streams.collect() }).await;
    }

    /// Waits for the verdict on a place.
    pub async fn verdict(&mut self, incarnation: u64, cseq: u64) {
        loop {
            let upto: peer::Verdict = self.hears(method::VERDICT).await;
            if upto.incarnation == incarnation && upto.last >= cseq {
                return;
            }
        }
    }

    /// From now on everything that is heard is forgotten.
    pub fn drains(&mut self) {
        let Some(mut receiver) = self.receiver.take() else { return };
        tokio::spawn(async move { while let Ok(Some(_)) = receiver.read_chunk(FRAME_MAX).await {} });
    }

    /// The reason by which the victim closed.
    pub async fn end(&self) -> Option<u32> {
        closed(&self.connection).await
    }
}

/// A text to somebody, with its right hash.
pub fn text(to: &str, incarnation: u64, cseq: u64, body: &str) -> peer::Send {
    let body = body.as_bytes().to_vec();
    peer::Send {
        incarnation,
        cseq,
        settled: 0,
        h: wire::content_hash(to, kind::PRIVATE, wire::TEXT_PLAIN, &body).to_vec(),
        content_type: wire::TEXT_PLAIN.into(),
        body: body.into(),
        at_ms: 1_800_000_000_000,
    }
}

/// A number for a new stream.
pub fn incarnation() -> u64 {
    u64::from_ne_bytes(random())
}

/// What a test lets pass before it looks again, where nothing is to happen.
pub const A_WHILE: Duration = Duration::from_millis(500);

//! The hostile user at the server: a registered account that says what a test wants, and keeps every frame that it is told.

use std::time::Duration;

use bytes::Bytes;
use chat_link::{DeviceClaim, DeviceKey, Link, PeerKey, Roots, Target};
use chat_proto::fault::Fault;
use chat_proto::frame::Frame;
use chat_proto::id::{DeviceId, ServerId};
use chat_proto::limits::FRAME_MAX;
use chat_proto::method::{self, Tag4};
use chat_proto::version::WIRE;
use chat_proto::{status, wire};
use chat_tests::World;
use chat_tests::world::PASSWORD;
use prost::Message;
use tokio::time::timeout;

/// Nothing here takes longer, unless it hangs.
pub const SOON: Duration = Duration::from_secs(20);

/// An account on a device of its own.
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its device.
    pub device: DeviceId,
    /// The server that it belongs to.
    pub server: ServerId,
    /// Its key for peers.
    pub key: PeerKey,
    /// Everything that the server ever told it.
    pub heard: Vec<Bytes>,
    link: Link,
    pushes: Vec<Frame>,
    tag: u32,
}

impl Account {
    /// Registers and opens a session.
    pub async fn register(world: &World, name: &str) -> Account {
        chat_link::install_provider();
        let target = Target { host: "127.0.0.1".into(), port: world.server.address().port() };
        let link = chat_link::connect(&target, &Roots::system(), SOON).await.expect("the server is there").link;
        let (device, device_key) = (DeviceId(random()), DeviceKey::generate().expect("a key"));
        let key = PeerKey::generate().expect("a key");
        let server = ServerId([0; 32]);
        let mut account =
            Account { name: name.into(), device, server, key, heard: Vec::new(), link, pushes: Vec::new(), tag: 0 };
        let identify = wire::Identify { version_min: WIRE.min, version_max: WIRE.max, agent: "hostile".into() };
        let identity: wire::Identity = account.ask(method::IDENTIFY, &identify).await.expect("an identity");
        account.server = ServerId(identity.server_id[..].try_into().expect("32 bytes"));
        let exporter = account.link.exporter();
        let claim = DeviceClaim { exporter, server: account.server, account: name, device, versions: WIRE };
        let proof = device_key.sign(&claim).expect("a signature").to_vec();
        let enrol = wire::Enrol {
            device_id: device.0.to_vec(),
            public_key: device_key.public().to_vec(),
            name: "laptop".into(),
            proof,
        };
        let password = wire::Password {
            account: name.into(),
            password: PASSWORD.into(),
            enrol: Some(enrol),
            ..wire::Password::default()
        };
        let _: wire::LoggedIn = account.ask(method::REGISTER, &password).await.expect("an account");
        let run = u64::from_ne_bytes(random());
        let streams = vec![wire::OpenStream { incarnation: run, settled: 0 }];
        let hello = wire::Hello { run, streams, cursor: None, known: vec![] };
        let _: wire::Welcome = account.ask(method::HELLO, &hello).await.expect("a session");
        account.link.set_frame_max(FRAME_MAX);
        account
    }

    /// Asks the server and waits for its answer; what it pushes meanwhile is kept.
    pub async fn ask<T: Message + Default>(&mut self, method: Tag4, body: &impl Message) -> Result<T, Fault> {
        self.tag += 1;
        let tag = self.tag;
        self.link.queue(&Frame::new(method, tag, body));
        self.link.flush().await.expect("the server reads");
        loop {
            let frame = self.frame().await;
            if frame.tag != tag {
                self.pushes.push(frame);
            } else if frame.name == status::ERROR {
                return Err(wire::Refusal::decode(frame.body).expect("a refusal").into());
            } else {
                return Ok(T::decode(frame.body).expect("an answer"));
            }
        }
    }

    async fn frame(&mut self) -> Frame {
        let frame = timeout(SOON, self.link.recv_while_flushing()).await.expect("a frame soon");
        let frame = frame.expect("a frame").expect("the server stays");
        self.heard.push(frame.body.clone());
        frame
    }

    /// The next word about private requests of this kind.
    pub async fn told(&mut self, what: u32) -> wire::PrivateNotice {
        loop {
            let frame = match self.pushes.is_empty() {
                false => self.pushes.remove(0),
                true => self.frame().await,
            };
            if frame.name == method::PRIVATE {
                let notice = wire::PrivateNotice::decode(frame.body).expect("a notice");
                if notice.what == what {
                    return notice;
                }
            }
        }
    }

    /// A request for a private session, reached at this endpoint; its id.
    pub async fn request(&mut self, to: &str, ttl_ms: u64, endpoint: &wire::PeerEndpoint) -> Result<[u8; 16], Fault> {
        let id = random();
        let ask = wire::PrivateAsk {
            id: id.to_vec(),
            to: to.into(),
            ttl_ms,
            endpoint: Some(endpoint.clone()),
            ..wire::PrivateAsk::default()
        };
        self.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &ask).await.map(|_| id)
    }

    /// Whether anything that the server told so far holds these bytes.
    pub fn knows(&self, bytes: &[u8]) -> bool {
        self.heard.iter().any(|heard| heard.windows(bytes.len()).any(|window| window == bytes))
    }
}

/// Bytes from the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("randomness");
    bytes
}

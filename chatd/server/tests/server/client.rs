//! A client that says exactly what a test wants.

use std::collections::VecDeque;
use std::time::Duration;

use chat_link::{DeviceClaim, DeviceKey, Link, LinkError, Roots, Target, verify_server};
use chat_proto::fault::{Code, Fault};
use chat_proto::frame::Frame;
use chat_proto::id::{DeviceId, Position, ServerId};
use chat_proto::method::{self, Tag4};
use chat_proto::version::WIRE;
use chat_proto::{limits, status, wire};
use prost::Message;
use tokio::time::timeout;

use crate::world::World;

/// Nothing here takes long; whoever waits longer hangs.
pub const SOON: Duration = Duration::from_secs(10);

pub struct Client {
    pub link: Link,
    pub device: Device,
    pub welcome: wire::Welcome,
    pub incarnation: u64,
    server: ServerId,
    account: String,
    cseq: u64,
    tag: u32,
    pushes: VecDeque<Frame>,
    /// How long it waits for a frame.
    pub patience: Duration,
}

/// A device: what is kept over connections.
#[derive(Clone)]
pub struct Device {
    pub id: DeviceId,
    pub key: std::sync::Arc<DeviceKey>,
}

impl Device {
    /// The same device after its key was forgotten.
    pub fn renewed(&self) -> Device {
        Device { key: DeviceKey::generate().unwrap().into(), ..self.clone() }
    }

    pub fn new() -> Device {
        let mut id = [0; 16];
        getrandom::fill(&mut id).unwrap();
        Device { id: DeviceId(id), key: DeviceKey::generate().unwrap().into() }
    }
}

impl Client {
    /// A connection that knows the server, with a new device.
    pub async fn connect(world: &World) -> Client {
        Client::connect_as(world, Device::new()).await
    }

    pub async fn connect_as(world: &World, device: Device) -> Client {
        let mut client = Client::bare(world, device).await;
        let identify = wire::Identify { version_min: WIRE.min, version_max: WIRE.max, agent: "test".into() };
        let identity: wire::Identity = client.ask(method::IDENTIFY, &identify).await.unwrap();
        assert_eq!(identity.server_id, world.id.0);
        assert!(verify_server(&world.id, &client.link.exporter(), identity.version, &identity.proof));
        client
    }

    /// A connection without a word said.
    pub async fn bare(world: &World, device: Device) -> Client {
        let link = try_link(world).await.unwrap();
        let incarnation = getrandom::u64().unwrap();
        Client {
            link,
            device,
            welcome: wire::Welcome::default(),
            incarnation,
            server: world.id,
            account: String::new(),
            cseq: 0,
            tag: 0,
            pushes: VecDeque::new(),
            patience: SOON,
        }
    }

    pub async fn register(&mut self, name: &str, password: &str) -> Result<(), Fault> {
        self.password(method::REGISTER, name, password).await
    }

    pub async fn login(&mut self, name: &str, password: &str) -> Result<(), Fault> {
        self.password(method::LOGIN, name, password).await
    }

    async fn password(&mut self, method: Tag4, name: &str, password: &str) -> Result<(), Fault> {
        let done: wire::LoggedIn = self.ask(method, &self.credentials(name, password)).await?;
        self.account = done.account;
        Ok(())
    }

    /// What a login by password says.
    pub fn credentials(&self, name: &str, password: &str) -> wire::Password {
        let proof = self.device.key.sign(&self.claim(name)).unwrap().to_vec();
        let enrol = wire::Enrol {
            device_id: self.device.id.0.to_vec(),
            public_key: self.device.key.public().to_vec(),
            name: "laptop".into(),
            proof,
        };
        wire::Password {
            account: name.into(),
            password: password.into(),
            enrol: Some(enrol),
            ..wire::Password::default()
        }
    }

    /// NAME's answer.
    pub async fn name(&mut self, name: &str) -> Result<wire::NameState, Fault> {
        let ask = wire::Name { account: name.into(), device_id: self.device.id.0.to_vec() };
        self.ask(method::NAME, &ask).await
    }

    /// Logs in by key.
    pub async fn by_key(&mut self, name: &str) -> Result<(), Fault> {
        let proof = self.device.key.sign(&self.claim(name)).unwrap().to_vec();
        let ask = wire::DeviceLogin {
            account: name.into(),
            device_id: self.device.id.0.to_vec(),
            proof,
            ..wire::DeviceLogin::default()
        };
        let done: wire::LoggedIn = self.ask(method::DEVICE, &ask).await?;
        self.account = done.account;
        Ok(())
    }

    fn claim<'a>(&self, account: &'a str) -> DeviceClaim<'a> {
        let (exporter, device) = (self.link.exporter(), self.device.id);
        DeviceClaim { exporter, server: self.server, account, device, versions: WIRE }
    }

    pub async fn hello(&mut self) {
        self.hello_from(None).await.unwrap();
    }

    /// HELLO with a cursor.
    pub async fn hello_from(&mut self, cursor: Option<wire::Position>) -> Result<(), Fault> {
        let streams = vec![wire::OpenStream { incarnation: self.incarnation, settled: 0 }];
        let hello = wire::Hello { run: self.incarnation, streams, cursor, known: vec![] };
        self.welcome = self.ask(method::HELLO, &hello).await?;
        self.link.set_frame_max(limits::FRAME_MAX);
        Ok(())
    }

    /// Goes on with the stream of an earlier connection of the device, behind so many places.
    pub fn go_on(&mut self, incarnation: u64, cseq: u64) {
        (self.incarnation, self.cseq) = (incarnation, cseq);
    }

    /// The last place of its stream.
    pub fn cseq(&self) -> u64 {
        self.cseq
    }

    /// Asks and waits for the answer; pushes that come before it are kept.
    pub async fn ask<T: Message + Default>(&mut self, method: Tag4, body: &impl Message) -> Result<T, Fault> {
        let tag = self.request(method, body).await;
        self.answer(tag).await
    }

    pub async fn request(&mut self, method: Tag4, body: &impl Message) -> u32 {
        self.tag += 1;
        self.link.queue(&Frame::new(method, self.tag, body));
        self.link.flush().await.unwrap();
        self.tag
    }

    pub async fn answer<T: Message + Default>(&mut self, tag: u32) -> Result<T, Fault> {
        loop {
            let frame = self.frame().await.unwrap().expect("an answer before the end");
            if frame.tag != tag {
                assert_ne!(frame.name, status::END, "{:?}", wire::Bye::decode(frame.body));
                self.pushes.push_back(frame);
                continue;
            }
            if frame.name == status::ERROR {
                return Err(wire::Refusal::decode(frame.body).unwrap().into());
            }
            assert_eq!(frame.name, status::CONFIRMATION);
            return Ok(T::decode(frame.body).unwrap());
        }
    }

    pub async fn frame(&mut self) -> Result<Option<Frame>, LinkError> {
        timeout(self.patience, self.link.recv_while_flushing()).await.expect("a frame soon")
    }

    /// The next push of a kind; others are kept.
    pub async fn push<T: Message + Default>(&mut self, method: Tag4) -> T {
        let kept = self.pushes.iter().position(|frame| frame.name == method);
        if let Some(frame) = kept.and_then(|at| self.pushes.remove(at)) {
            return T::decode(frame.body).unwrap();
        }
        loop {
            let frame = self.frame().await.unwrap().expect("a push before the end");
            if frame.name == method {
                return T::decode(frame.body).unwrap();
            }
            assert_ne!(frame.name, status::END, "{:?}", wire::Bye::decode(frame.body));
            self.pushes.push_back(frame);
        }
    }

    /// Everything up to the end of the connection; the code of the END, if there is one.
    pub async fn end(&mut self) -> Option<Code> {
        let mut code = None;
        while let Ok(Some(frame)) = self.frame().await {
            if frame.name == status::END {
                code = Some(Code(wire::Bye::decode(frame.body).unwrap().code));
            }
        }
        code
    }

    /// Sends a text without waiting; answers its place.
    pub fn queue_text(&mut self, to: &str, text: &str) -> u64 {
        self.cseq += 1;
        let item = self.item(to, text, self.cseq);
        self.link.queue(&Frame::new(method::SEND, 0, &item));
        self.cseq
    }

    pub fn item(&self, to: &str, text: &str, cseq: u64) -> wire::Send {
        let kind = if to.is_empty() { wire::kind::BROADCAST } else { wire::kind::DIRECT };
        wire::Send {
            incarnation: self.incarnation,
            cseq,
            settled: cseq.saturating_sub(1),
            to: to.into(),
            kind,
            h: wire::content_hash(to, kind, wire::TEXT_PLAIN, text.as_bytes()).to_vec(),
            content_type: wire::TEXT_PLAIN.into(),
            body: text.as_bytes().to_vec().into(),
        }
    }

    /// Sends a text and waits for its verdict.
    pub async fn text(&mut self, to: &str, text: &str) -> wire::Run {
        let cseq = self.queue_text(to, text);
        self.link.flush().await.unwrap();
        loop {
            let verdict: wire::Verdict = self.push(method::VERDICT).await;
            let found = verdict.runs.into_iter().find(|r| (r.first..r.first + u64::from(r.count)).contains(&cseq));
            if let Some(run) = found {
                return run;
            }
        }
    }

    pub async fn delivery(&mut self) -> wire::Deliver {
        self.push(method::DELIVER).await
    }

    /// The next delivery's sender and text, acknowledged.
    pub async fn read(&mut self) -> (String, String) {
        let delivery = self.delivery().await;
        self.ack(delivery.position).await;
        (delivery.from, String::from_utf8(delivery.body.to_vec()).unwrap())
    }

    pub async fn ack(&mut self, position: Option<wire::Position>) {
        self.link.queue(&Frame::new(method::ACK, 0, &wire::Ack { position }));
        self.link.flush().await.unwrap();
    }

    /// A question whose answer comes behind everything that the server did before it.
    pub async fn barrier(&mut self) {
        let tag = self.request(method::PING, &wire::Empty {}).await;
        loop {
            let frame = self.frame().await.unwrap().expect("PONG");
            if (frame.name, frame.tag) == (method::PONG, tag) {
                return;
            }
            self.pushes.push_back(frame);
        }
    }

    /// Takes the bodies of the pushes of a kind that came so far.
    pub fn take_seen(&mut self, method: Tag4) -> Vec<bytes::Bytes> {
        let (taken, rest) = std::mem::take(&mut self.pushes).into_iter().partition(|frame| frame.name == method);
        self.pushes = rest;
        let taken: VecDeque<Frame> = taken;
        taken.into_iter().map(|frame| frame.body).collect()
    }

    /// Pushes of a kind that came so far.
    pub fn seen(&self, method: Tag4) -> usize {
        self.pushes.iter().filter(|frame| frame.name == method).count()
    }
}

pub async fn try_link(world: &World) -> Result<Link, chat_link::ConnectError> {
    let target = Target { host: "127.0.0.1".into(), port: world.address.port() };
    Ok(chat_link::connect(&target, &Roots::system(), SOON).await?.link)
}

pub fn at(position: Option<wire::Position>) -> Position {
    position.expect("a position").into()
}

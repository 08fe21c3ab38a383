//! A client that speaks the protocol and keeps nothing on a disk: opening sessions, sending, receiving, acknowledging.
//!
//! The rows drive it. It costs little, so that the load's core does not become what is measured.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use chat_link::{DeviceClaim, DeviceKey, Link, Roots, Target, connect, verify_server};
use chat_proto::frame::Frame;
use chat_proto::id::{DeviceId, ServerId};
use chat_proto::method::{self, Tag4};
use chat_proto::{limits, status, version, wire};
use prost::Message;

/// The body of a message: what the rivals were measured with.
pub const BODY: usize = 64;
/// Deliveries after which a client acknowledges: a quarter of the window (contract rule 12).
const ACK_AFTER: u32 = limits::DELIVER_WINDOW as u32 / 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// The name of the account with this number.
pub fn name(n: usize) -> String {
    format!("load{n}")
}

/// The id of its device.
pub fn device_id(n: usize) -> [u8; 16] {
    let mut id = *b"load-device-....";
    id[8..].copy_from_slice(&(n as u64).to_be_bytes());
    id
}

/// A server as clients know it.
#[derive(Clone)]
pub struct Site {
    /// Where it is.
    pub target: Target,
    /// The key of all devices.
    pub key: Rc<DeviceKey>,
    roots: Roots,
}

/// An open session.
pub struct Session {
    /// The connection.
    pub link: Link,
    /// Where its inbox goes on.
    start: Option<wire::Position>,
    incarnation: u64,
    /// The last place used.
    sent: u64,
    /// Verdicts came up to here.
    settled: u64,
    newest: Option<wire::Position>,
    unacked: u32,
    unacked_since: Instant,
}

/// What a frame meant.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each is looked at once and dropped; a box would cost the load more")]
pub enum Event {
    /// Verdicts: how many were accepted.
    Accepted(u64),
    /// An entry.
    Delivered(wire::Deliver),
    /// Nothing that a row counts.
    Other,
}

impl Site {
    /// A server at `target` for devices with `key`.
    pub fn new(target: Target, key: DeviceKey) -> Site {
        Site { target, key: Rc::new(key), roots: Roots::system() }
    }

    /// Makes an account by password, with its device.
    pub async fn register(&self, n: usize) -> Result<()> {
        let (mut link, server) = self.identify().await?;
        let account = name(n);
        let device = DeviceId(device_id(n));
        let proof = self.prove(&link, server, &account, device)?;
        let enrol = wire::Enrol {
            device_id: device.0.to_vec(),
            public_key: self.key.public().to_vec(),
            name: "load".into(),
            proof,
        };
        let mut secret = [0; 12];
        getrandom::fill(&mut secret)?;
        let password = chat_proto::id::hex(&secret);
        let body = wire::Password { account, password, enrol: Some(enrol), ..Default::default() };
        ask::<wire::LoggedIn>(&mut link, method::REGISTER, &body).await?;
        link.close().await;
        Ok(())
    }

    /// Logs in by the device's key and opens a session, as after every lost connection.
    pub async fn open(self, n: usize) -> Result<Session> {
        let (mut link, server) = self.identify().await?;
        let account = name(n);
        let device = DeviceId(device_id(n));
        let proof = self.prove(&link, server, &account, device)?;
        let login = wire::DeviceLogin { account, device_id: device.0.to_vec(), proof, ..Default::default() };
        ask::<wire::LoggedIn>(&mut link, method::DEVICE, &login).await?;
        link.set_frame_max(limits::FRAME_MAX);
        let incarnation = n as u64 + 1;
        let hello = wire::Hello {
            run: rand_u64()?,
            streams: vec![wire::OpenStream { incarnation, settled: 0 }],
            ..Default::default()
        };
        let welcome: wire::Welcome = ask(&mut link, method::HELLO, &hello).await?;
        ensure!(!welcome.copy, "the server takes {} for a copy", name(n));
        let last = welcome.streams.first().map_or(0, |stream| stream.last);
        Ok(Session {
            link,
            start: welcome.cursor,
            incarnation,
            sent: last,
            settled: last,
            newest: None,
            unacked: 0,
            unacked_since: Instant::now(),
        })
    }

    /// Connects and has the server prove itself.
    async fn identify(&self) -> Result<(Link, ServerId)> {
        let mut link = connect(&self.target, &self.roots, PATIENCE).await?.link;
        let ours = wire::Identify {
            version_min: version::WIRE.min,
            version_max: version::WIRE.max,
            agent: concat!("chat-load ", env!("CARGO_PKG_VERSION")).into(),
        };
        let identity: wire::Identity = ask(&mut link, method::IDENTIFY, &ours).await?;
        let server = ServerId::try_from(&identity.server_id[..])?;
        let proven = verify_server(&server, &link.exporter(), identity.version, &identity.proof);
        ensure!(proven, "the server did not prove its key");
        Ok((link, server))
    }

    fn prove(&self, link: &Link, server: ServerId, account: &str, device: DeviceId) -> Result<Vec<u8>> {
        let claim = DeviceClaim { exporter: link.exporter(), server, account, device, versions: version::WIRE };
        Ok(self.key.sign(&claim)?.to_vec())
    }
}

impl Session {
    /// Queues a message; it leaves with the next flush.
    pub fn send(&mut self, to: &str, body: Bytes) {
        let kind = if to.is_empty() { wire::kind::BROADCAST } else { wire::kind::DIRECT };
        self.sent += 1;
        let message = wire::Send {
            incarnation: self.incarnation,
            cseq: self.sent,
            settled: self.settled,
            to: to.into(),
            kind,
            h: wire::content_hash(to, kind, wire::TEXT_PLAIN, &body).to_vec(),
            content_type: wire::TEXT_PLAIN.into(),
            body,
        };
        self.link.queue(&Frame::new(method::SEND, 0, &message));
    }

    /// Where its inbox went on when it was opened.
    pub fn start(&self) -> Option<wire::Position> {
        self.start
    }

    /// Messages without a verdict.
    pub fn open(&self) -> u64 {
        self.sent - self.settled
    }

    /// The place of the last message sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Verdicts came up to this place.
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// Waits for the next frame, writing what is queued meanwhile.
    pub async fn next(&mut self) -> Result<Event> {
        let frame = self.link.recv_while_flushing().await?.context("the server hung up")?;
        self.take(frame)
    }

    /// The next frame that is here already.
    pub fn ready(&mut self) -> Result<Option<Event>> {
        self.link.try_recv()?.map(|frame| self.take(frame)).transpose()
    }

    /// Ends the session on purpose, so that the account is not online in any later row.
    pub async fn logout(mut self) -> Result<()> {
        self.acknowledge();
        ask::<wire::Empty>(&mut self.link, method::LOGOUT, &wire::Logout { all_devices: false }).await?;
        Ok(())
    }

    /// Acknowledges what came, whatever the window says.
    pub fn acknowledge(&mut self) {
        if self.unacked > 0 {
            let ack = wire::Ack { position: self.newest };
            self.link.queue(&Frame::new(method::ACK, 0, &ack));
            self.unacked = 0;
        }
    }

    fn take(&mut self, frame: Frame) -> Result<Event> {
        match frame.name {
            method::DELIVER => self.delivered(wire::Deliver::decode(frame.body)?),
            method::VERDICT => self.verdicts(wire::Verdict::decode(frame.body)?),
            method::PING => {
                self.link.queue(&Frame::new(method::PONG, frame.tag, &wire::Empty {}));
                Ok(Event::Other)
            }
            method::GAP => bail!("the server sees a gap: {:?}", wire::Gap::decode(frame.body)?),
            method::TRY_LATER => bail!("the server asks to try later: {:?}", wire::TryLater::decode(frame.body)?),
            status::END => bail!("the server ended the session: {:?}", wire::Bye::decode(frame.body)?),
            _ => Ok(Event::Other),
        }
    }

    fn delivered(&mut self, entry: wire::Deliver) -> Result<Event> {
        if self.unacked == 0 {
            self.unacked_since = Instant::now();
        }
        self.unacked += 1;
        self.newest = entry.position;
        if entry.ack_now || self.unacked >= ACK_AFTER || self.unacked_since.elapsed() >= limits::ACK_DELAY {
            self.acknowledge();
        }
        Ok(Event::Delivered(entry))
    }

    fn verdicts(&mut self, verdict: wire::Verdict) -> Result<Event> {
        let mut accepted = 0;
        for run in verdict.runs {
            ensure!(run.code == 0, "a message was refused with code {}", run.code);
            ensure!(run.first == self.settled + 1, "verdict {} after {}", run.first, self.settled);
            self.settled += u64::from(run.count);
            accepted += u64::from(run.count);
        }
        Ok(Event::Accepted(accepted))
    }
}

/// Asks and waits for the answer; pushes in between are left out.
async fn ask<A: Message + Default>(link: &mut Link, what: Tag4, body: &impl Message) -> Result<A> {
    link.queue(&Frame::new(what, 1, body));
    loop {
        let frame = link.recv_while_flushing().await?.context("the server hung up")?;
        match frame.name {
            status::CONFIRMATION if frame.tag == 1 => return Ok(A::decode(frame.body)?),
            status::ERROR => bail!("{} refused: {:?}", what.escape_ascii(), wire::Refusal::decode(frame.body)?),
            status::END => bail!("{} ended: {:?}", what.escape_ascii(), wire::Bye::decode(frame.body)?),
            _ => {}
        }
    }
}

fn rand_u64() -> Result<u64> {
    Ok(getrandom::u64()?)
}

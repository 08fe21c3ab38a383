//! What strangers make the server hold (S6): each kind of them against a program of its own, half as many as there may be.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::BytesMut;
use chat_link::DeviceClaim;
use chat_proto::frame::{self, Frame};
use chat_proto::id::ServerId;
use chat_proto::method::Tag4;
use chat_proto::version::{ALPN, WIRE};
use chat_proto::{limits, method, status, wire};
use prost::Message;
use rustls::ClientConnection;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::network::{from, hangs_up, tls};
use super::program::Program;
use crate::client::{Device, SOON};
use crate::world::{PASSWORD, World};

/// What one of them may cost: its sockets' memory is the system's, and the code that it makes run is a file's.
const EACH: u64 = 64 * 1024;
/// A server that takes nothing for this long has stopped reading.
const STALLED: Duration = Duration::from_millis(200);

/// Somebody with a TLS library of his own, who says what he likes.
pub struct Stranger {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Stranger {
    /// From this address of the loopback network, with little room in the system for what is said.
    pub async fn connect(world: &World, source: u8) -> Stranger {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
        // Small segments: the system holds little for the server, which stalls the sooner.
        SockRef::from(&socket).set_tcp_mss(536).unwrap();
        socket.bind(([127, 0, 0, source], 0).into()).unwrap();
        let socket = socket.connect(world.address).await.unwrap().into_std().unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_write_timeout(Some(STALLED)).unwrap();
        Stranger { tls: tls(world, &[ALPN]), socket }
    }

    /// Knows the server from now on, and may log in.
    pub fn identify(&mut self) {
        let ask = wire::Identify { version_min: WIRE.min, version_max: WIRE.max, agent: "test".into() };
        self.ask(method::IDENTIFY, &ask);
    }

    /// Is somebody new with an open session from now on.
    pub fn enter(&mut self, name: &str, server: ServerId, device: &Device) {
        self.identify();
        let enrol = wire::Enrol {
            device_id: device.id.0.to_vec(),
            public_key: device.key.public().to_vec(),
            name: "laptop".into(),
            proof: self.proof(name, server, device),
        };
        let password = PASSWORD.to_owned();
        let ask = wire::Password { account: name.into(), password, enrol: Some(enrol), ..wire::Password::default() };
        self.ask(method::REGISTER, &ask);
        self.ask(method::HELLO, &wire::Hello::default());
    }

    /// Is there again with a device that was enrolled.
    pub fn come_back(&mut self, name: &str, server: ServerId, device: &Device) {
        self.identify();
        let proof = self.proof(name, server, device);
        let device_id = device.id.0.to_vec();
        let ask = wire::DeviceLogin { account: name.into(), device_id, proof, ..wire::DeviceLogin::default() };
        self.ask(method::DEVICE, &ask);
        self.ask(method::HELLO, &wire::Hello::default());
    }

    fn proof(&self, account: &str, server: ServerId, device: &Device) -> Vec<u8> {
        let exporter = self.tls.export_keying_material([0; 32], b"EXPORTER-chat-v1", None).unwrap();
        let claim = DeviceClaim { exporter, server, account, device: device.id, versions: WIRE };
        device.key.sign(&claim).unwrap().to_vec()
    }

    fn ask(&mut self, method: Tag4, body: &impl Message) {
        let mut bytes = BytesMut::new();
        Frame::new(method, 1, body).encode(&mut bytes);
        self.say(&bytes).unwrap();
        assert_eq!(self.hear().name, status::CONFIRMATION, "{}", method.escape_ascii());
    }

    /// The next frame, which must come soon.
    pub fn hear(&mut self) -> Frame {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        let (mut heard, mut byte) = (BytesMut::new(), [0]);
        loop {
            if let Some(frame) = frame::decode(&mut heard, limits::FRAME_MAX).unwrap() {
                return frame;
            }
            // One by one: what follows belongs to the next frame.
            stream.read_exact(&mut byte).unwrap();
            heard.extend_from_slice(&byte);
        }
    }

    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Asks and reads no answer, until the server reads no question.
    fn asks_without_end(&mut self) {
        self.identify();
        let mut questions = BytesMut::new();
        while questions.len() < 16_000 {
            Frame::new(method::PING, 1, &wire::Empty {}).encode(&mut questions);
        }
        let ended = loop {
            if let Err(error) = self.say(&questions) {
                break error;
            }
        };
        assert_eq!(ended.kind(), io::ErrorKind::WouldBlock, "{ended}");
    }

    /// Half of the largest frame, behind a question that is answered.
    fn says_half_a_frame(&mut self) {
        self.identify();
        let mut bytes = BytesMut::new();
        Frame::new(method::PING, 1, &wire::Empty {}).encode(&mut bytes);
        frame::put_header(&mut bytes, method::NAME, 1, limits::FRAME_MAX_STRANGER - frame::HEADER);
        bytes.resize(bytes.len() + limits::FRAME_MAX_STRANGER / 2, 0);
        self.say(&bytes).unwrap();
    }

    /// The longest record of TLS but for its last byte.
    fn says_half_a_record(&mut self) {
        self.says_half_a_frame();
        self.tls.writer().write_all(&[0; 16 * 1024]).unwrap();
        let mut record = Vec::new();
        self.tls.write_tls(&mut record).unwrap();
        self.socket.write_all(&record[..record.len() - 1]).unwrap();
    }

    /// Most of as long a ClientHello as the server reads.
    fn says_half_a_hello(&mut self) {
        self.socket.write_all(&hello(limits::HANDSHAKE_MAX - 1024)).unwrap();
    }
}

/// So many bytes of a ClientHello that claims as many as TLS libraries take, in records (RFC 8446, sections 4 and 5.1).
fn hello(said: usize) -> Vec<u8> {
    let mut message = vec![1, 0, 0xff, 0xf0];
    message.resize(said, 0);
    let mut records = Vec::new();
    for part in message.chunks(16 * 1024) {
        records.extend_from_slice(&[22, 3, 1]);
        records.extend_from_slice(&(part.len() as u16).to_be_bytes());
        records.extend_from_slice(part);
    }
    records
}

/// Sources that fill half of the places for strangers.
const SOURCES: RangeInclusive<u8> = 1..=(limits::STRANGERS_MAX / 2 / limits::STRANGERS_PER_SOURCE) as u8;

/// As many strangers from these sources as each may have, all at once.
async fn strangers(program: &Program, sources: RangeInclusive<u8>, act: fn(&mut Stranger)) -> Vec<Stranger> {
    let mut acting = JoinSet::new();
    for source in sources {
        for _ in 0..limits::STRANGERS_PER_SOURCE {
            let mut stranger = Stranger::connect(&program.world, source).await;
            acting.spawn_blocking(move || {
                act(&mut stranger);
                stranger
            });
        }
    }
    acting.join_all().await
}

/// Sees what each of half as many strangers as there may be costs.
async fn costs_little(act: fn(&mut Stranger)) {
    // The first ones bring threads and tables along, which stay.
    const FIRST: RangeInclusive<u8> = 1..=2;
    let program = Program::start("").await;
    let first = strangers(&program, FIRST, act).await;
    program.idles().await;
    let before = program.anonymous();
    let others = strangers(&program, FIRST.end() + 1..=*SOURCES.end(), act).await;
    program.idles().await;
    let each = program.anonymous().saturating_sub(before) / others.len() as u64;
    // All of them are still there: no source of theirs has a place left, while others have.
    for source in SOURCES {
        let mut another = from(source, program.world.address).await.unwrap();
        // At once: later it would be sent away for its silence.
        let refused = hangs_up(&mut another, limits::HANDSHAKE_WITHIN / 4).await;
        assert!(refused, "a stranger from {source} is gone");
    }
    let mut other = from(100, program.world.address).await.unwrap();
    assert!(!hangs_up(&mut other, STALLED).await, "there is no place at all");
    drop((first, others));
    assert!(each <= EACH, "{each} bytes each");
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_who_reads_no_answer_costs_little() {
    costs_little(Stranger::asks_without_end).await;
}

#[tokio::test]
async fn s06_half_a_frame_costs_little() {
    costs_little(Stranger::says_half_a_frame).await;
}

#[tokio::test]
async fn s06_half_a_record_costs_little() {
    costs_little(Stranger::says_half_a_record).await;
}

#[tokio::test]
async fn s06_half_a_hello_costs_little() {
    costs_little(Stranger::says_half_a_hello).await;
}

#[tokio::test]
async fn s06_a_hello_without_end_is_refused() {
    let world = World::start().await;
    let mut socket = from(2, world.address).await.unwrap();
    socket.write_all(&hello(2 * limits::HANDSHAKE_MAX)).await.unwrap();
    assert!(hangs_up(&mut socket, limits::HANDSHAKE_WITHIN / 2).await);
}

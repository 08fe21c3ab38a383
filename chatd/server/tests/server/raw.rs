//! A client that says what it likes, byte by byte, and reads nothing that it is not told to: for what `client` is too well-behaved for.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
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
use tokio::net::TcpSocket;

use crate::client::{Device, SOON};
use crate::safety::network::tls;
use crate::world::{PASSWORD, World};

/// A server that takes nothing for this long has stopped reading.
pub const STALLED: Duration = Duration::from_millis(200);

/// Somebody with a TLS library of his own.
pub struct Raw {
    pub tls: ClientConnection,
    pub socket: TcpStream,
}

impl Raw {
    /// From this address of the loopback network, with little room in the system for what is said.
    pub async fn connect(world: &World, source: u8) -> Raw {
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
        Raw { tls: tls(world, &[ALPN]), socket }
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
}

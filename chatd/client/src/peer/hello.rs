//! The first words on a connection: each side shows who it is and proves its key on this connection (S29, S31). Nothing else is taken
//! before, and no more than a stranger's frame of memory.

use std::sync::Arc;

use bytes::BytesMut;
use chat_link::{PeerKey, verify_peer};
use chat_proto::frame::{self, Frame};
use chat_proto::id::{DeviceId, ServerId};
use chat_proto::limits::{FRAME_MAX_STRANGER, PEER_HELLO_WITHIN};
use chat_proto::method::peer as method;
use chat_proto::peer::{Claim, Hello};
use chat_proto::version::PEER;
use iroh::endpoint::{RecvStream, SendStream};
use prost::Message as _;

use super::{Connection, PeerError};

/// This side of a session.
#[derive(Clone)]
pub struct Own {
    /// The server that brokered it.
    pub server: ServerId,
    /// The session.
    pub session: [u8; 16],
    /// The account.
    pub name: String,
    /// The device.
    pub device: DeviceId,
    /// Its key for peers.
    pub key: Arc<PeerKey>,
}

/// The other side, as it must prove to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The account.
    pub name: String,
    /// The device.
    pub device: DeviceId,
    /// Its key for peers.
    pub key: [u8; 32],
}

/// A connection on which both sides are proven.
pub(super) struct Talk {
    pub connection: Connection,
    pub sender: SendStream,
    pub receiver: RecvStream,
    /// Bytes that came behind the peer's hello.
    pub left: BytesMut,
}

/// Says hello and hears it.
pub(super) async fn meet(connection: Connection, own: &Own, known: &Known) -> Result<Talk, PeerError> {
    match tokio::time::timeout(PEER_HELLO_WITHIN, steps(&connection, own, known)).await {
        Ok(Ok((sender, receiver, left))) => Ok(Talk { connection, sender, receiver, left }),
        // What the peer said when it closed the connection says more than the stream that broke.
        Ok(Err(error)) => Err(connection.close_reason().unwrap_or(error)),
        Err(_) => Err(PeerError::TimedOut),
    }
}

async fn steps(
    connection: &Connection,
    own: &Own,
    known: &Known,
) -> Result<(SendStream, RecvStream, BytesMut), PeerError> {
    let exporter = connection.exporter()?;
    let hello = say(connection, own, known, &exporter)?;
    let (mut sender, mut receiver) = connection.conversation().await?;
    let mut left = BytesMut::new();
    if connection.dialled {
        write(&mut sender, &hello).await?;
        check(&read(&mut receiver, &mut left).await?, connection, own, known, &exporter)?;
    } else {
        check(&read(&mut receiver, &mut left).await?, connection, own, known, &exporter)?;
        write(&mut sender, &hello).await?;
    }
    Ok((sender, receiver, left))
}

fn say(connection: &Connection, own: &Own, known: &Known, exporter: &[u8; 32]) -> Result<Hello, PeerError> {
    let claim = Claim {
        exporter,
        server: own.server,
        session: &own.session,
        from: &own.name,
        to: &known.name,
        device: own.device,
        connected: connection.dialled,
    };
    let proof = own.key.prove(&claim).map_err(|_| PeerError::Unproven("the own key cannot sign"))?;
    Ok(Hello {
        version_min: PEER.min,
        version_max: PEER.max,
        session: own.session.to_vec(),
        from: own.name.clone(),
        to: known.name.clone(),
        device_id: own.device.0.to_vec(),
        peer_key: own.key.public().to_vec(),
        proof: proof.to_vec(),
        agent: concat!("chatd/", env!("CARGO_PKG_VERSION")).into(),
    })
}

fn check(
    hello: &Hello,
    connection: &Connection,
    own: &Own,
    known: &Known,
    exporter: &[u8; 32],
) -> Result<(), PeerError> {
    if hello.version_min > PEER.max || hello.version_max < PEER.min {
        return Err(PeerError::Unproven("it speaks another version"));
    }
    if hello.session != own.session || hello.from != known.name || hello.to != own.name {
        return Err(PeerError::OtherSession);
    }
    if hello.device_id != known.device.0 || hello.peer_key != known.key {
        return Err(PeerError::Unproven("it shows another key"));
    }
    let claim = Claim {
        exporter,
        server: own.server,
        session: &own.session,
        from: &known.name,
        to: &own.name,
        device: known.device,
        connected: !connection.dialled,
    };
    match verify_peer(&known.key, &claim, &hello.proof) {
        true => Ok(()),
        false => Err(PeerError::Unproven("its proof is wrong")),
    }
}

async fn write(sender: &mut SendStream, hello: &Hello) -> Result<(), PeerError> {
    let mut out = BytesMut::new();
    Frame::new(method::HELLO, 0, hello).encode(&mut out);
    sender.write_all(&out).await.map_err(|error| PeerError::NotReached(error.to_string()))
}

async fn read(receiver: &mut RecvStream, left: &mut BytesMut) -> Result<Hello, PeerError> {
    loop {
        match frame::decode(left, FRAME_MAX_STRANGER) {
            Ok(Some(frame)) if frame.name == method::HELLO => {
                return Hello::decode(frame.body).map_err(|_| PeerError::Unproven("its hello is malformed"));
            }
            Ok(Some(_)) => return Err(PeerError::Unproven("it did not say hello")),
            Ok(None) => {}
            Err(_) => return Err(PeerError::Unproven("its hello is malformed")),
        }
        let mut piece = [0; FRAME_MAX_STRANGER];
        match receiver.read(&mut piece).await {
            Ok(Some(count)) => left.extend_from_slice(&piece[..count]),
            Ok(None) => return Err(PeerError::Unproven("it said nothing")),
            Err(error) => return Err(PeerError::NotReached(error.to_string())),
        }
    }
}

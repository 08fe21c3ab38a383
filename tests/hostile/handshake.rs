//! S13: handshakes whose transport parameters make no sense, written byte by byte (RFC 9000, RFC 9001).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chat_proto::peer::ALPN;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::quic::{ClientConnection, Keys, Version};
use rustls::{ClientConfig, DigitallySignedStruct, Error, Side, SignatureScheme, SupportedCipherSuite};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::account::{SOON, random};
use crate::datagrams::{QUIET, target};
use crate::peer::agreed;

/// What a datagram that begins a connection has at least.
const FIRST: usize = 1200;
/// RFC 9000 section 20.1.
const TRANSPORT_PARAMETER_ERROR: u64 = 0x08;

/// Speaks raw keys, and never comes to the point of having to show or check one.
#[derive(Debug)]
struct Bare;

impl ServerCertVerifier for Bare {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl rustls::client::ResolvesClientCert for Bare {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The first words of a TLS client in QUIC with these transport parameters.
fn client_hello(parameters: &[u8]) -> Vec<u8> {
    let mut provider = default_provider();
    // a key share that fits into one datagram
    provider.kx_groups = vec![kx_group::X25519];
    let versions =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13]);
    let verifier = versions.expect("TLS 1.3").dangerous().with_custom_certificate_verifier(Arc::new(Bare));
    let mut config = verifier.with_client_cert_resolver(Arc::new(Bare));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let name = ServerName::try_from("peer.invalid").expect("a name");
    let mut tls = ClientConnection::new(Arc::new(config), Version::V1, name, parameters.to_vec()).expect("a client");
    let mut hello = Vec::new();
    tls.write_hs(&mut hello);
    hello
}

fn initial_keys(destination: &[u8]) -> Keys {
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else { panic!("TLS 1.3") };
    Keys::initial(Version::V1, suite, suite.quic.expect("for QUIC"), destination, Side::Client)
}

/// Numbers of QUIC, two bytes long.
fn two_bytes(number: usize) -> [u8; 2] {
    (u16::try_from(number).expect("small") | 0x4000).to_be_bytes()
}

/// An Initial packet with this in its CRYPTO frame.
fn initial(destination: &[u8], source: &[u8], token: &[u8], crypto: &[u8]) -> Vec<u8> {
    let keys = initial_keys(destination);
    // a packet number of four bytes
    let mut header = vec![0xc3, 0, 0, 0, 1];
    for id in [destination, source] {
        header.push(u8::try_from(id.len()).expect("short"));
        header.extend_from_slice(id);
    }
    header.extend_from_slice(&two_bytes(token.len()));
    header.extend_from_slice(token);
    let rest = FIRST - header.len() - 2;
    header.extend_from_slice(&two_bytes(rest));
    let number_at = header.len();
    header.extend_from_slice(&[0; 4]);
    let mut payload = vec![0x06, 0];
    payload.extend_from_slice(&two_bytes(crypto.len()));
    payload.extend_from_slice(crypto);
    payload.resize(rest - 4 - 16, 0);
    let tag = keys.local.packet.encrypt_in_place(0, &header, &mut payload).expect("sealed");
    payload.extend_from_slice(tag.as_ref());
    let (first, others) = header.split_at_mut(1);
    let number = &mut others[number_at - 1..];
    keys.local.header.encrypt_in_place(&payload[..16], &mut first[0], number).expect("hidden");
    [header, payload].concat()
}

/// What a Retry packet asks to be sent back: the id to speak to from now on, and the token that proves the address.
fn asked_back(datagram: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (first, rest) = datagram.split_first()?;
    let own = usize::from(*rest.get(4)?);
    let (length, rest) = rest.get(5 + own..)?.split_first()?;
    let (id, rest) = rest.split_at_checked(usize::from(*length))?;
    let (token, _seal) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
    (first & 0xf0 == 0xf0).then(|| (id.to_vec(), token.to_vec()))
}

/// Reads a number of QUIC.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let more = (1_usize << (first >> 6)) - 1;
    let value = rest.get(..more)?.iter().fold(u64::from(first & 0x3f), |sum, byte| sum << 8 | u64::from(*byte));
    *bytes = &rest[more..];
    Some(value)
}

/// The error by which an Initial packet closes the connection, where it does.
fn closes_with(keys: &Keys, datagram: &[u8]) -> Option<u64> {
    let mut packet = datagram.to_vec();
    let to = usize::from(*packet.get(5)?);
    let from = usize::from(*packet.get(6 + to)?);
    let mut rest = packet.get(7 + to + from..)?;
    let token = number(&mut rest)?;
    let length = usize::try_from(number(&mut rest.get(usize::try_from(token).ok()?..)?)?).ok()?;
    // the two numbers before it: an empty token, and a length of one, two or four bytes
    let size_of_length = 1 << (packet.get(7 + to + from + 1)? >> 6);
    let number_at = 7 + to + from + 1 + size_of_length;
    let sample = packet.get(number_at + 4..number_at + 20)?.to_vec();
    let (first, others) = packet.split_at_mut(1);
    keys.remote.header.decrypt_in_place(&sample, &mut first[0], &mut others[number_at - 1..number_at + 3]).ok()?;
    let size = usize::from(packet[0] & 3) + 1;
    let packet_number = packet[number_at..number_at + size].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (header, payload) = packet.split_at_mut(number_at + size);
    let payload = payload.get_mut(..length - size)?;
    let mut frames = keys.remote.packet.decrypt_in_place(packet_number, header, payload).ok()?;
    while !frames.is_empty() {
        match number(&mut frames)? {
            0 | 1 => {}
            2 => {
                number(&mut frames)?;
                number(&mut frames)?;
                for _ in 0..=2 * number(&mut frames)? {
                    number(&mut frames)?;
                }
            }
            0x1c | 0x1d => return number(&mut frames),
            _ => return None,
        }
    }
    None
}

/// With which error the victim answers a handshake with these parameters behind the ones that are right, once the address is proven. It
/// answers in any case; once it did, `quiet` may pass before more comes.
async fn answer(at: SocketAddr, quiet: Duration, parameters: impl FnOnce(&[u8; 8]) -> Vec<u8>) -> Option<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let (destination, source): ([u8; 8], [u8; 8]) = (random(), random());
    let (hello, mut buffer) = (client_hello(&parameters(&source)), [0; 2048]);
    socket.send_to(&initial(&destination, &source, &[], &hello), at).await.expect("sent");
    let size = timeout(SOON, socket.recv(&mut buffer)).await.expect("an answer").expect("one");
    let (destination, token) = asked_back(&buffer[..size]).expect("the address must be proven first");
    socket.send_to(&initial(&destination, &source, &token, &hello), at).await.expect("sent");
    let (keys, mut answered, mut patience) = (initial_keys(&destination), false, SOON);
    while let Ok(Ok(size)) = timeout(patience, socket.recv(&mut buffer)).await {
        (answered, patience) = (true, quiet);
        if let Some(code) = closes_with(&keys, &buffer[..size]) {
            return Some(code);
        }
    }
    assert!(answered, "no answer at all");
    None
}

/// The parameter that every client must name: the id it goes by.
fn source_id(source: &[u8]) -> Vec<u8> {
    [&[0x0f, u8::try_from(source.len()).expect("short")], source].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s13_transport_parameters_that_make_no_sense_are_an_error() {
    let (_world, pair, foe, session) = agreed().await;
    let at = target(&session);
    let wrong: [(&str, Vec<u8>); 9] = [
        ("noise", vec![0xff; 40]),
        ("a parameter that ends in its middle", vec![0x04, 8, 1]),
        ("one twice", vec![0x04, 1, 1, 0x04, 1, 1]),
        ("an exponent beyond 20", vec![0x0a, 1, 21]),
        ("a packet size below 1200", vec![0x03, 2, 0x40, 0x64]),
        ("a token that only the other side has", [vec![0x02, 16], vec![7; 16]].concat()),
        ("fewer ids than two", vec![0x0e, 1, 1]),
        ("streams without end", vec![0x08, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("an id that is too long", [vec![0x00, 21], vec![7; 21]].concat()),
    ];
    for (what, bytes) in wrong {
        let told = answer(at, SOON, |source| [source_id(source), bytes].concat()).await;
        assert_eq!(told, Some(TRANSPORT_PARAMETER_ERROR), "{what}");
    }
    assert_eq!(answer(at, SOON, |_| Vec::new()).await, Some(TRANSPORT_PARAMETER_ERROR), "no id at all");
    assert_eq!(answer(at, SOON, |_| source_id(&[9; 8])).await, Some(TRANSPORT_PARAMETER_ERROR), "another one's id");
    // the right ones are no error, so those above were what was wrong
    assert_eq!(answer(at, QUIET, |source| source_id(source)).await, None);
    foe.meets(&session, &pair.bob).await;
    pair.goes_on("after false parameters");
}

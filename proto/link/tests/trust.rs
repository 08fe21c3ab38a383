//! Who is let in and what a certificate is worth; proofs hold on their own channel only.

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chat_link::{
    AcceptError, CertificateProblem, ConnectError, DeviceClaim, DeviceKey, Roots, ServerIdentity, verify_device,
    verify_server,
};
use chat_proto::id::DeviceId;
use chat_proto::version::WIRE;
use common::{SOON, Server, certificate};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn s02_certificates_are_judged() {
    let server = Server::new();
    assert_eq!(server.verdict(&server.roots).await, Ok(()));
    assert_eq!(server.verdict(&Roots::system()).await, Err(CertificateProblem::UnknownIssuer));

    let past = Server::dated(SystemTime::now() - DAY * 366 * 11, "127.0.0.1");
    assert_eq!(past.verdict(&past.roots).await, Err(CertificateProblem::Expired));
    let future = Server::dated(SystemTime::now() + DAY * 3, "127.0.0.1");
    assert_eq!(future.verdict(&future.roots).await, Err(CertificateProblem::NotYetValid));
    let other = Server::dated(SystemTime::now(), "chat.example.org");
    assert_eq!(other.verdict(&other.roots).await, Err(CertificateProblem::WrongName));
}

/// A pinned server may bear any certificate: the link works and the server proves itself over it.
#[tokio::test]
async fn s02_a_pin_needs_no_authority() {
    let (server, client) = Server::new().meet(&Roots::system()).await;
    let (server, client) = (server.unwrap(), client.unwrap());
    assert_eq!(client.certificate, Err(CertificateProblem::UnknownIssuer));
    let identity = ServerIdentity::generate().unwrap();
    let proof = identity.prove(&server.exporter(), 1).unwrap();
    assert!(verify_server(&identity.id(), &client.link.exporter(), 1, &proof));
    assert!(!verify_server(&identity.id(), &client.link.exporter(), 2, &proof));
    assert!(!verify_server(&ServerIdentity::generate().unwrap().id(), &client.link.exporter(), 1, &proof));
}

#[tokio::test]
async fn proofs_are_bound_to_their_channel() {
    let server = Server::new();
    let (one, other) = (server.pair().await, server.pair().await);
    let (device, id) = (DeviceKey::generate().unwrap(), ServerIdentity::generate().unwrap().id());
    let claim =
        |exporter| DeviceClaim { exporter, server: id, account: "alice", device: DeviceId([3; 16]), versions: WIRE };
    let proof = device.sign(&claim(one.1.exporter())).unwrap();
    assert!(verify_device(&device.public(), &claim(one.0.exporter()), &proof));
    assert!(!verify_device(&device.public(), &claim(other.0.exporter()), &proof));
}

/// A config that the product never makes: `names` as protocols.
fn foreign(names: &[&[u8]]) -> Arc<ServerConfig> {
    let (cert, key) = certificate("127.0.0.1", SystemTime::now());
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = names.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

#[tokio::test]
async fn another_protocol_is_refused_on_both_sides() {
    for names in [&[][..], &[&b"http/1.1"[..]][..]] {
        let mut server = Server::new();
        server.config = foreign(names);
        let (accepted, connected) = server.meet(&server.roots).await;
        assert!(matches!(accepted, Err(AcceptError::WrongProtocol)), "{accepted:?}");
        assert!(matches!(connected, Err(ConnectError::WrongProtocol)), "{connected:?}");
    }
}

/// What a client that is not ours begins with, and which records must come of it: an alert at most.
#[tokio::test]
async fn tls_1_2_and_garbage_are_refused_at_once() {
    // A ClientHello of TLS 1.2 without supported_versions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let server = Server::new();
    for opening in [&hello[..], b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x08SEND\0\0\0\x01", &[0xff; 64]] {
        let address = server.address();
        let (accepted, answer) = tokio::join!(server.accept(), async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(opening).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        });
        assert!(matches!(accepted, Err(AcceptError::Tls(_))), "{accepted:?}");
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
}

#[tokio::test]
async fn a_silent_client_is_dropped_in_time() {
    let server = Server::new();
    let _client = TcpStream::connect(server.address()).await.unwrap();
    let (stream, _) = server.listener.accept().await.unwrap();
    let accepted = chat_link::handshake(stream, &server.config, Duration::from_millis(20)).await;
    assert!(matches!(accepted, Err(AcceptError::TimedOut)), "{accepted:?}");
}

#[tokio::test]
async fn connecting_says_why_it_failed() {
    let server = Server::new();
    let mut target = server.target();
    target.host = "not a name".into();
    assert!(matches!(chat_link::connect(&target, &server.roots, SOON).await, Err(ConnectError::BadAddress(_))));
    let target = server.target();
    drop(server);
    assert!(matches!(chat_link::connect(&target, &Roots::system(), SOON).await, Err(ConnectError::Refused)));
}

#[test]
fn certificates_and_keys_that_cannot_be_served() {
    let (cert, key) = certificate("a.example", SystemTime::now());
    let (_, other_key) = certificate("a.example", SystemTime::now());
    let serve = |cert: &str, key: &str| {
        chat_link::server_config(cert.as_bytes(), key.as_bytes()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(serve(&cert, &key), Ok(()));
    assert!(serve(&cert, &other_key).unwrap_err().contains("cannot be used"));
    assert!(serve("", &key).unwrap_err().contains("no certificate"));
    assert!(serve(&cert, "").unwrap_err().contains("no private key"));
}

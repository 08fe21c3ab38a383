//! What the tests of the link share: two ends on loopback, with a certificate made for the occasion.
#![allow(dead_code, missing_docs)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chat_link::{AcceptError, CertificateProblem, ConnectError, Connected, Link, Roots, Target};
use rustls::ServerConfig;
use tokio::net::TcpListener;

pub const SOON: Duration = Duration::from_secs(10);

pub fn certificate(name: &str, now: SystemTime) -> (String, String) {
    let made = chat_link::self_signed(&[name.to_owned()], now).unwrap();
    (made.cert_pem, made.key_pem.to_string())
}

pub struct Server {
    pub listener: TcpListener,
    pub config: Arc<ServerConfig>,
    pub roots: Roots,
}

impl Server {
    pub fn new() -> Server {
        Server::dated(SystemTime::now(), "127.0.0.1")
    }

    pub fn dated(now: SystemTime, name: &str) -> Server {
        let (cert, key) = certificate(name, now);
        let config = chat_link::server_config(cert.as_bytes(), key.as_bytes()).unwrap();
        let listener = chat_link::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Server { listener, config, roots: Roots::pem(cert.as_bytes()).unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub fn target(&self) -> Target {
        Target { host: "127.0.0.1".into(), port: self.address().port() }
    }

    pub async fn accept(&self) -> Result<Link, AcceptError> {
        let (stream, _) = self.listener.accept().await.unwrap();
        chat_link::handshake(stream, &self.config, SOON).await
    }

    pub async fn meet(&self, roots: &Roots) -> (Result<Link, AcceptError>, Result<Connected, ConnectError>) {
        let target = self.target();
        tokio::join!(self.accept(), chat_link::connect(&target, roots, SOON))
    }

    /// Server's and client's end.
    pub async fn pair(&self) -> (Link, Link) {
        let (server, client) = self.meet(&self.roots).await;
        (server.unwrap(), client.unwrap().link)
    }

    pub async fn verdict(&self, roots: &Roots) -> Result<(), CertificateProblem> {
        let (server, client) = self.meet(roots).await;
        server.unwrap();
        client.unwrap().certificate
    }
}

//! The relay by real clients of its protocol: a ticket admits its endpoint and nobody else, and what two of them say goes through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chat_link::Pins;
use chat_proto::id::{AccountName, DeviceId};
use chat_proto::limits::{AUTH_WITHIN, HANDSHAKE_WITHIN, RELAY_CONNECTIONS, RELAY_REQUEST_MAX, TICKET_TTL};
use chat_proto::wire::{PeerEndpoint, PrivateOpen};
use chat_proto::{method, wire};
use chat_server::admin::user::{UserDel, UserLock, UserPasswd, UserUnlock};
use chat_server::admin::{Call, Secret, ask};
use chat_server::private::ticket::{Ticket, Tickets};
use chat_server::{certificate, keys};
use iroh::endpoint::{NetReportConfig, PortmapperConfig, presets};
use iroh::{Endpoint, EndpointAddr, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey, TransportAddr};
use iroh_dns::dns::DnsResolver;
use iroh_relay::client::{Client as Relayed, ClientBuilder, ConnectError};
use iroh_relay::protos::relay::{ClientToRelayMsg, RelayToClientMsg};
use iroh_relay::tls::CaTlsConfig;
use n0_future::{SinkExt as _, StreamExt as _};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::client::{Client, SOON};
use crate::private::{asking, endpoint};
use crate::safety::network::hangs_up;
use crate::world::{PASSWORD, World};

const ALPN: &[u8] = b"test";

/// A world with a relay, and what is needed to go there.
pub struct Place {
    world: World,
    tickets: Tickets,
    port: u16,
}

impl Place {
    pub async fn with(settings: &str) -> Place {
        let world = World::with(&format!("[private]\nrelay_listen = \"127.0.0.1:0\"\n{settings}")).await;
        let tickets = Tickets::new(&keys::load(&world.config().data).unwrap().tickets);
        let port = world.server.as_ref().unwrap().running().gateway.private.relay().unwrap().port;
        Place { world, tickets, port: u16::try_from(port).unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The certificate that clients are told of.
    pub fn certificate(&self) -> [u8; 32] {
        let relay = self.world.server.as_ref().unwrap().running().gateway.private.relay().unwrap();
        relay.certificate.try_into().unwrap()
    }

    fn ticket(&self, key: &SecretKey, of: &Client, account: &str) -> String {
        self.tickets.issue(&said(key, of, account), now_ms())
    }

    async fn operate(&self, call: impl Call) {
        assert!(ask(self.world.config(), call).await.is_ok());
    }

    fn refused(&self) -> u64 {
        self.world.server.as_ref().unwrap().running().gateway.private.carried().unwrap().refused
    }

    fn relayed(&self) -> usize {
        self.world.server.as_ref().unwrap().running().gateway.private.relayed()
    }

    async fn join(&self, key: &SecretKey, ticket: Option<&str>) -> Result<Relayed, ConnectError> {
        join(self.address(), self.certificate(), key, ticket).await
    }
}

fn now_ms() -> i64 {
    certificate::now_ms(std::time::SystemTime::now())
}

fn said(key: &SecretKey, of: &Client, account: &str) -> Ticket {
    let name = |name: &str| AccountName::try_from(name.to_owned()).unwrap();
    Ticket {
        session: [1; 16],
        account: name(account),
        device: of.device.id,
        endpoint: *key.public().as_bytes(),
        peer: name("somebody"),
        peer_device: DeviceId([3; 16]),
        asker: true,
    }
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

/// Trusts one certificate and nothing else.
pub fn tls(certificate: [u8; 32]) -> CaTlsConfig {
    let pins = Pins::default();
    pins.add(certificate);
    CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| Ok(pins.verifier(provider))))
}

fn url(address: SocketAddr) -> RelayUrl {
    format!("https://{address}").parse().unwrap()
}

async fn join(
    address: SocketAddr,
    certificate: [u8; 32],
    key: &SecretKey,
    ticket: Option<&str>,
) -> Result<Relayed, ConnectError> {
    let config = tls(certificate).client_config(default_provider().into()).unwrap();
    let mut builder = ClientBuilder::new(url(address), key.clone(), DnsResolver::new()).tls_client_config(config);
    if let Some(ticket) = ticket {
        builder = builder.auth_token(ticket);
    }
    tokio::time::timeout(SOON, builder.connect()).await.expect("an answer soon")
}

/// An endpoint that has no addresses of its own.
async fn hidden(place: &Place, key: &SecretKey, ticket: &str) -> Endpoint {
    let relay = RelayConfig::new(url(place.address()), None).with_auth_token(ticket);
    let mut probes = NetReportConfig::minimal();
    probes.https_probes = true;
    Endpoint::builder(presets::Empty)
        .secret_key(key.clone())
        .crypto_provider(default_provider().into())
        .alpns(vec![ALPN.to_vec()])
        .ca_tls_config(tls(place.certificate()))
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(probes)
        .relay_mode(RelayMode::Custom(RelayMap::from(relay)))
        .clear_ip_transports()
        .bind()
        .await
        .unwrap()
}

/// Closed by the server, whatever it said before.
async fn closed(mut here: Relayed) {
    let all = async { while let Some(Ok(_)) = here.next().await {} };
    tokio::time::timeout(SOON, all).await.expect("closed soon");
}

#[tokio::test]
async fn a_ticket_admits_its_endpoint_and_no_other() {
    let place = Place::with("").await;
    let (alice, mallory) = (key(1), key(2));
    let (hers, his) = (place.world.user("alice").await, place.world.user("mallory").await);
    let good = place.ticket(&alice, &hers, "alice");
    let here = place.join(&alice, Some(&good)).await.expect("admitted");
    assert_eq!(place.relayed(), 1);
    let forged = Tickets::new(&[9; 32]).issue(&said(&mallory, &hers, "alice"), now_ms());
    let lasts = i64::try_from(TICKET_TTL.as_millis()).unwrap();
    let old = place.tickets.issue(&said(&mallory, &his, "mallory"), now_ms() - lasts);
    for (index, ticket) in [None, Some("x"), Some(&*forged), Some(&*old), Some(&*good)].into_iter().enumerate() {
        assert!(place.join(&mallory, ticket).await.is_err(), "{index}");
        assert_eq!(place.refused(), index as u64 + 1);
    }
    drop(here);
    assert!(place.join(&alice, Some(&good)).await.is_ok(), "as often as it likes");
    place.world.set("[private]\nallow = false\n");
    place.world.server.as_ref().unwrap().running().reload().await.unwrap();
    assert!(place.join(&alice, Some(&good)).await.is_err(), "not where the operator allows none");
}

#[tokio::test]
async fn an_account_has_its_share() {
    let place = Place::with("").await;
    let (alice, bob) = (place.world.user("alice").await, place.world.user("bob").await);
    let good: Vec<_> = (0..=RELAY_CONNECTIONS).map(|n| key(u8::try_from(n).unwrap())).collect();
    let mut here = Vec::new();
    for key in &good[..RELAY_CONNECTIONS] {
        here.push(place.join(key, Some(&place.ticket(key, &alice, "alice"))).await.expect("admitted"));
    }
    let last = &good[RELAY_CONNECTIONS];
    assert!(place.join(last, Some(&place.ticket(last, &alice, "alice"))).await.is_err());
    assert!(place.join(last, Some(&place.ticket(last, &bob, "bob"))).await.is_ok(), "others have theirs");
}

#[tokio::test]
async fn a_ticket_is_no_better_than_its_device() {
    let place = Place::with("").await;
    let (one, two, other) = (key(1), key(2), key(3));
    let name = || String::from("alice");
    let (mut phone, bob) = (place.world.user("alice").await, place.world.user("bob").await);
    let mut desk = Client::connect(&place.world).await;
    desk.login("alice", PASSWORD).await.unwrap();
    desk.hello().await;
    let of = [place.ticket(&one, &phone, "alice"), place.ticket(&two, &desk, "alice")];
    let theirs = place.ticket(&other, &bob, "bob");
    let mut bystander = place.join(&other, Some(&theirs)).await.expect("admitted");

    let here = place.join(&two, Some(&of[1])).await.expect("admitted");
    let revoke = wire::Revoke { device_id: desk.device.id.0.to_vec() };
    phone.ask::<wire::Empty>(method::REVOKE, &revoke).await.unwrap();
    closed(here).await;
    assert!(place.join(&two, Some(&of[1])).await.is_err(), "its key was taken");
    let here = place.join(&one, Some(&of[0])).await.expect("the other one is as good as before");

    place.operate(UserLock { name: name() }).await;
    closed(here).await;
    assert!(place.join(&one, Some(&of[0])).await.is_err(), "locked");
    place.operate(UserUnlock { name: name(), source: None }).await;
    let here = place.join(&one, Some(&of[0])).await.expect("not locked any more");

    place
        .operate(UserPasswd { name: name(), password: Secret(PASSWORD.to_owned().into()), revoke_devices: true })
        .await;
    closed(here).await;
    assert!(place.join(&one, Some(&of[0])).await.is_err(), "all keys were taken");

    let mut pad = Client::connect(&place.world).await;
    pad.login("alice", PASSWORD).await.unwrap();
    let ticket = place.ticket(&one, &pad, "alice");
    let here = place.join(&one, Some(&ticket)).await.expect("a new device");
    place.operate(UserDel { name: name() }).await;
    closed(here).await;
    assert!(place.join(&one, Some(&ticket)).await.is_err(), "there is no such account");
    assert!(place.join(&one, Some(&place.ticket(&one, &bob, "alice"))).await.is_err(), "nor any device of it");

    bystander.send(ClientToRelayMsg::Ping([7; 8])).await.unwrap();
    let pong = RelayToClientMsg::Pong([7; 8]);
    let pong = async { while bystander.next().await.unwrap().unwrap() != pong {} };
    tokio::time::timeout(SOON, pong).await.expect("others stay");
}

#[tokio::test]
async fn a_ticket_is_good_for_nothing_once_a_logout_forgot_the_key() {
    let place = Place::with("[sessions]\nforget_device_at_logout = true\n").await;
    let (one, two) = (key(1), key(2));
    let mut phone = place.world.user("alice").await;
    let mut desk = Client::connect(&place.world).await;
    desk.login("alice", PASSWORD).await.unwrap();
    desk.hello().await;
    let of = [place.ticket(&one, &phone, "alice"), place.ticket(&two, &desk, "alice")];
    let logout = |all_devices| wire::Logout { all_devices };

    let here = place.join(&one, Some(&of[0])).await.expect("admitted");
    let others = place.join(&two, Some(&of[1])).await.expect("admitted");
    phone.ask::<wire::Empty>(method::LOGOUT, &logout(false)).await.unwrap();
    closed(here).await;
    assert!(place.join(&one, Some(&of[0])).await.is_err(), "its key is forgotten");
    assert_eq!(place.relayed(), 1, "the other device stays");

    let mut phone = Client::connect_as(&place.world, phone.device.renewed()).await;
    phone.login("alice", PASSWORD).await.unwrap();
    phone.hello().await;
    let here = place.join(&one, Some(&of[0])).await.expect("it has a key again");
    phone.ask::<wire::Empty>(method::LOGOUT, &logout(true)).await.unwrap();
    closed(here).await;
    closed(others).await;
    assert!(place.join(&two, Some(&of[1])).await.is_err(), "and so are those of all devices");
}

#[tokio::test]
async fn what_two_endpoints_say_goes_through() {
    let place = Place::with("").await;
    let (one, two) = (key(1), key(2));
    let (mut alice, mut bob) = (place.world.user("alice").await, place.world.user("bob").await);
    let at = |key: &SecretKey| PeerEndpoint {
        endpoint_id: key.public().as_bytes().to_vec(),
        relay_only: true,
        ..endpoint(1)
    };
    let ask = asking([1; 16], "bob", at(&one));
    alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &ask).await.unwrap();
    let yes = wire::PrivateAnswer { id: ask.id, accept: true, endpoint: Some(at(&two)) };
    let for_bob: wire::PrivateAnswered = bob.ask(method::PRIVATE_ANSWER, &yes).await.unwrap();
    let for_alice: wire::PrivateNotice = alice.push(method::PRIVATE).await;
    let (for_alice, for_bob): (PrivateOpen, _) = (for_alice.open.unwrap(), for_bob.open.unwrap());
    assert_eq!(for_alice.endpoint.as_ref().unwrap().addresses, Vec::<String>::new());
    let relay = for_alice.relay.clone().unwrap();
    assert_eq!((relay.port, relay.certificate), (u32::from(place.port), place.certificate().to_vec()));

    let caller = hidden(&place, &one, &for_alice.ticket).await;
    let callee = hidden(&place, &two, &for_bob.ticket).await;
    let answers = callee.clone();
    let answering = tokio::spawn(async move {
        let connection = answers.accept().await.unwrap().await.unwrap();
        let (mut say, mut hear) = connection.accept_bi().await.unwrap();
        let heard = hear.read_to_end(1000).await.unwrap();
        say.write_all(&heard).await.unwrap();
        say.finish().unwrap();
        connection.closed().await;
    });
    let way = TransportAddr::Relay(url(place.address()));
    let there = EndpointAddr::from_parts(two.public(), [way]);
    let connection = tokio::time::timeout(SOON, caller.connect(there, ALPN)).await.unwrap().unwrap();
    let (mut say, mut hear) = connection.open_bi().await.unwrap();
    say.write_all(b"through the relay").await.unwrap();
    say.finish().unwrap();
    assert_eq!(hear.read_to_end(1000).await.unwrap(), b"through the relay");
    connection.close(0u32.into(), b"");
    answering.await.unwrap();
    let running = Arc::clone(place.world.server.as_ref().unwrap().running());
    let carried = running.gateway.private.carried().unwrap();
    assert!(carried.bytes > 1000 && carried.connections == 2 && carried.refused == 0, "{carried:?}");
    running.measure().await;
    let text = running.gateway.metrics.text().unwrap();
    for name in [
        "chat_relay_connections 2",
        "chat_relay_bytes_total ",
        "chat_relay_refused_total 0",
        "chat_private_requests_total{outcome=\"accepted\"} 1",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert_eq!(running.status().await.relay.unwrap().connections, 2);
    caller.close().await;
    callee.close().await;
}

#[tokio::test]
async fn the_relay_follows_the_certificate() {
    let place = Place::with("").await;
    let (alice, before) = (key(1), place.certificate());
    let ticket = place.ticket(&alice, &place.world.user("alice").await, "alice");
    let config = place.world.config();
    let made = chat_link::self_signed(&["localhost".into()], std::time::SystemTime::now()).unwrap();
    std::fs::write(&config.cert, &made.cert_pem).unwrap();
    std::fs::write(&config.key, made.key_pem.as_bytes()).unwrap();
    place.world.server.as_ref().unwrap().running().reload().await.unwrap();
    assert_ne!(place.certificate(), before);
    assert!(place.join(&alice, Some(&ticket)).await.is_ok());
    assert!(join(place.address(), before, &alice, Some(&ticket)).await.is_err(), "the old one is not served");
}

#[tokio::test]
async fn nothing_is_said_in_plain_text() {
    let place = Place::with("").await;
    let mut stream = TcpStream::connect(place.address()).await.unwrap();
    stream.write_all(b"GET /relay HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    // An alert of TLS at most.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await.expect("closed soon");
    assert!(said.len() < 32 && !said.starts_with(b"HTTP"), "{said:?}");
    assert_eq!(place.relayed(), 0);
}

/// What the relay answers to this request, as far as it answers before it hangs up or has the answer's head out.
async fn answer(place: &Place, request: &[u8]) -> String {
    let config = tls(place.certificate()).client_config(default_provider().into()).unwrap();
    let socket = TcpStream::connect(place.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    // Who is refused in the middle of what he says may find the connection closed.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let head = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n")
            && stream.read_buf(&mut answer).await.is_ok_and(|n| n > 0)
        {}
    };
    tokio::time::timeout(SOON, head).await.expect("an answer soon");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Who says nothing, or half a hello, is sent away when a handshake should be done, not when a login should be.
#[tokio::test]
async fn s04_a_silent_connection_to_the_relay_is_closed() {
    let place = Place::with("").await;
    let mut waiting = JoinSet::new();
    for bytes in [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]] {
        let address = place.address();
        waiting.spawn(async move {
            let began = Instant::now();
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            assert!(hangs_up(&mut socket, 2 * AUTH_WITHIN).await);
            began.elapsed()
        });
    }
    while let Some(took) = waiting.join_next().await {
        let took = took.unwrap();
        let due = (HANDSHAKE_WITHIN + AUTH_WITHIN) / 2;
        assert!((HANDSHAKE_WITHIN..due).contains(&took), "{took:?}");
    }
}

/// Behind the upgrade a message may have a MiB and before it a request what the library likes: neither is for strangers.
#[tokio::test]
async fn s06_strangers_have_little_to_say_to_the_relay() {
    let place = Place::with("").await;
    let (alice, hers) = (key(1), place.world.user("alice").await);
    let good = place.ticket(&alice, &hers, "alice");
    let upgrade = |more: &str| {
        format!(
            "GET /relay HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: iroh-relay-v2,iroh-relay-v1\r\n{more}\r\n"
        )
    };
    for (bearer, status) in [
        (String::new(), "401"),
        ("authorization: Bearer x\r\n".into(), "401"),
        (format!("authorization: Bearer {good}\r\n"), "101"),
    ] {
        let answer = answer(&place, upgrade(&bearer).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bearer:?}: {answer:?}");
    }
    let endless = format!("GET /relay HTTP/1.1\r\nx-endless: {}", "x".repeat(2 * RELAY_REQUEST_MAX));
    let answer = answer(&place, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
}

#[tokio::test]
async fn the_address_of_the_relay_needs_a_restart_and_its_rate_does_not() {
    let place = Place::with("").await;
    place.world.set("[private]\nrelay_listen = \"\"\n[limits]\nrelay_bytes_per_second = \"1MiB\"\n");
    // The settings of the test lie over those of the operator, save what they do not speak of.
    let reloaded = place.world.server.as_ref().unwrap().running().reload().await.unwrap();
    assert_eq!(reloaded.changed, ["limits.relay_bytes_per_second"]);
    let mut world = World::with("").await;
    world.set("[private]\nrelay_listen = \"127.0.0.1:0\"\n");
    let reloaded = world.server.as_ref().unwrap().running().reload().await.unwrap();
    assert_eq!(reloaded.restart, ["private.relay_listen"]);
    let mut alice = world.user("alice").await;
    let _bob = world.user("bob").await;
    let hidden = PeerEndpoint { relay_only: true, ..endpoint(1) };
    let refused = alice.ask::<wire::PrivateAsked>(method::PRIVATE_ASK, &asking([1; 16], "bob", hidden)).await;
    assert_eq!(refused.unwrap_err().code, chat_proto::fault::Code::NO_RELAY, "there is none before");
    world.stop().await;
}

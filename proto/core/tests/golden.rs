//! Golden bytes and the schema: what travelled once travels for ever. A change of a line here is a break, not an edit;
//! adding lines is free.

use bytes::BytesMut;
use chat_proto::control::{Call, Items, account, daemon, events, file, message, private};
use chat_proto::fault::Code;
use chat_proto::frame::{self, Frame};
use chat_proto::id::{DeviceId, Fingerprint, Incarnation, MessageId, Mid, ServerId, StreamId, hex};
use chat_proto::version::CONTROL;
use chat_proto::{method, peer, status, wire};
use serde::Serialize;

const AT: wire::Position = wire::Position { epoch: 3, nonce: 0x0102_0304_0506_0708, n: 300 };

/// A frame as it travels, which must also come back as it was.
fn framed(frame: Frame) -> String {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    let mut back = out.clone();
    assert_eq!(frame::decode(&mut back, 1 << 20), Ok(Some(frame)));
    hex(&out)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn wire_samples() -> Vec<(&'static str, String)> {
    let streams = vec![wire::OpenStream { incarnation: 9, settled: 2 }];
    let hello = wire::Hello { run: 7, streams, cursor: Some(AT), known: vec![] };
    let send = wire::Send {
        incarnation: 9,
        cseq: 3,
        settled: 2,
        to: "bob".into(),
        kind: wire::kind::DIRECT,
        h: wire::content_hash("bob", wire::kind::DIRECT, wire::TEXT_PLAIN, b"hi").to_vec(),
        content_type: wire::TEXT_PLAIN.into(),
        body: "hi".into(),
    };
    let run = wire::Run {
        incarnation: 9,
        first: 3,
        count: 1,
        n: vec![300],
        epoch: 3,
        nonce: AT.nonce,
        online: true,
        ..Default::default()
    };
    let tail = wire::Deliver {
        position: Some(AT),
        kind: wire::kind::DIRECT,
        from: "alice".into(),
        device: vec![1; 16],
        incarnation: 9,
        cseq: 3,
        at_ms: 1_763_820_131_120,
        content_type: wire::TEXT_PLAIN.into(),
        body: "hi".into(),
        to: "bob".into(),
        ..Default::default()
    };
    let endpoint = wire::PeerEndpoint {
        endpoint_id: vec![2; 32],
        addresses: vec!["192.0.2.1:4711".into()],
        peer_key: vec![3; 32],
        relay_only: false,
        direct_only: true,
    };
    let ask = wire::PrivateAsk {
        id: vec![4; 16],
        to: "bob".into(),
        note: "re: keys".into(),
        ttl_ms: 60_000,
        endpoint: Some(endpoint.clone()),
        check: false,
    };
    let yes = wire::PrivateAnswer { id: vec![4; 16], accept: true, endpoint: Some(endpoint.clone()) };
    let moved = wire::PrivateMove { ticket: "0a".into(), endpoint: Some(endpoint.clone()) };
    let open = wire::PrivateOpen {
        id: vec![4; 16],
        account: "bob".into(),
        device_id: vec![5; 16],
        endpoint: Some(endpoint),
        asker: true,
        relay: Some(wire::PrivateRelay { port: 7444, certificate: vec![6; 32] }),
        ticket: "0a".into(),
    };
    let accepted = wire::PrivateNotice {
        what: wire::PrivateNotice::ACCEPTED,
        id: vec![4; 16],
        account: "bob".into(),
        open: Some(open),
        ..Default::default()
    };
    let refusal = wire::Refusal { code: Code::LOCKED_OUT.0, retry_after_ms: Some(60_000) };
    vec![
        ("HELO", framed(Frame::new(method::HELLO, 1, &hello))),
        ("SEND", framed(Frame::new(method::SEND, 0, &send))),
        ("VRDT", framed(Frame::new(method::VERDICT, 0, &wire::Verdict { runs: vec![run] }))),
        ("DLVR", framed(Frame::new(method::DELIVER, 0, &tail))),
        ("ACKN", framed(Frame::new(method::ACK, 0, &wire::Ack { position: Some(AT) }))),
        ("FAIL", framed(Frame::new(status::ERROR, 4, &refusal))),
        ("PASK", framed(Frame::new(method::PRIVATE_ASK, 6, &ask))),
        ("PANS", framed(Frame::new(method::PRIVATE_ANSWER, 7, &yes))),
        ("PCAN", framed(Frame::new(method::PRIVATE_CANCEL, 8, &wire::PrivateCancel { id: vec![4; 16] }))),
        ("PMOV", framed(Frame::new(method::PRIVATE_MOVE, 9, &moved))),
        ("PRIV", framed(Frame::new(method::PRIVATE, 0, &accepted))),
        ("PING", framed(Frame::new(method::PING, 5, &wire::Empty {}))),
    ]
}

fn control_samples() -> Vec<(&'static str, String)> {
    let sent = message::Sent {
        id: MessageId("01k9zt4m7k2aaaaa".into()),
        key: "build-7".into(),
        to: Some("bob".into()),
        state: message::State::Accepted,
        at_ms: 1_763_820_131_120,
        recipient_online: false,
        duplicate: false,
        audience: 0,
        missed: false,
        pending: None,
        retry_after_ms: None,
        cause: None,
    };
    let event =
        events::Event::Presence { user: "yoda".into(), state: "offline".into(), reason: "logout".into(), at_ms: 5 };
    let cursor = events::Cursor {
        name: "triage".parse().unwrap(),
        index: 7,
        id: Some(MessageId("01k9zt4m7k2aaaaa".into())),
        at_ms: 8,
        waiting: 2,
    };
    let gap = events::Event::Gap {
        index: 8,
        from: cursor.id.clone(),
        to: Some(MessageId("01k9zt4m7k2bbbbb".into())),
        count: 3,
        at_ms: 9,
    };
    let search = message::Search {
        profile: "work".into(),
        text: "disk 91%".into(),
        with: None,
        from: Some("ci".into()),
        since_ms: None,
        regex: false,
        context: 2,
        next: None,
    };
    let link = events::Event::Link { state: account::LinkState::Waiting, cause: None, at_ms: 6 };
    vec![
        (daemon::Hello::METHOD, json(&daemon::Hello { versions: CONTROL, build: "0.1.0".into() })),
        ("sent", json(&sent)),
        ("event", json(&event)),
        ("event", json(&link)),
        ("event", json(&gap)),
        (message::Search::METHOD, json(&search)),
        ("acked", json(&events::Acked { cursor, changed: true })),
        ("items", json(&Items { items: vec!["bob".to_owned()] })),
        ("error", json(&chat_proto::control::ErrorData::from(Code::RECIPIENT_BLOCKED))),
    ]
}

fn peer_samples() -> Vec<(&'static str, String)> {
    let claim = peer::Claim {
        exporter: &[1; 32],
        server: ServerId([2; 32]),
        session: &[3; 16],
        from: "alice",
        to: "bob",
        device: DeviceId([4; 16]),
        connected: true,
    };
    let hello = peer::Hello {
        version_min: 1,
        version_max: 1,
        session: vec![3; 16],
        from: "alice".into(),
        to: "bob".into(),
        device_id: vec![4; 16],
        peer_key: vec![5; 32],
        proof: vec![6; 64],
        agent: "chatd/0.1.0".into(),
    };
    let streams = peer::Streams { streams: vec![wire::OpenStream { incarnation: 9, settled: 2 }] };
    let send = peer::Send {
        incarnation: 9,
        cseq: 3,
        settled: 2,
        h: wire::content_hash("bob", wire::kind::PRIVATE, wire::TEXT_PLAIN, b"hi").to_vec(),
        content_type: wire::TEXT_PLAIN.into(),
        body: "hi".into(),
        at_ms: 1_763_820_131_120,
    };
    let verdict = peer::Verdict { incarnation: 9, last: 3, voids: vec![] };
    let offer = peer::FileOffer { id: vec![7; 16], name: "report.pdf".into(), size: 4_200_000, sha256: vec![8; 32] };
    vec![
        ("peer proof", hex(&peer::proof_bytes(&claim))),
        ("PHEL", framed(Frame::new(method::peer::HELLO, 0, &hello))),
        ("PSTR", framed(Frame::new(method::peer::STREAMS, 0, &streams))),
        ("PSND", framed(Frame::new(method::peer::SEND, 0, &send))),
        ("PVRD", framed(Frame::new(method::peer::VERDICT, 0, &verdict))),
        ("PFOF", framed(Frame::new(method::peer::FILE_OFFER, 0, &offer))),
        ("PFAC", framed(Frame::new(method::peer::FILE_ACCEPT, 0, &peer::FileAccept { id: vec![7; 16], offset: 300 }))),
        ("PBYE", framed(Frame::new(method::peer::BYE, 0, &peer::Bye { reason: peer::Bye::LOGOUT }))),
    ]
}

fn private_samples() -> Vec<(&'static str, String)> {
    let session = private::PrivateSession {
        id: "03".repeat(16),
        peer: "bob".into(),
        state: private::SessionState::Open,
        path: Some(private::Path::Relay),
        why: Some(private::PathReason::NoDirectPath),
        address: None,
        rtt_us: Some(420),
        since_ms: 7,
        changed_ms: 8,
        until_ms: None,
        key: Some(Fingerprint([5; 32])),
        known: Some(private::KeyState::FirstSeen),
        relay_only: false,
        direct_only: false,
        queued: 1,
    };
    let request = private::PrivateRequest {
        id: "03".repeat(16),
        peer: "bob".into(),
        dir: private::Direction::Out,
        state: private::RequestState::Accepted,
        note: Some("re: keys".into()),
        at_ms: 5,
        expires_at_ms: 120_005,
        session: Some(session),
    };
    let ended = private::PrivateEnded {
        peer: "bob".into(),
        reason: private::EndReason::Link,
        by_peer: true,
        failed: vec![MessageId("01k9zt4m7k2aaaaa".into())],
        unsettled: 1,
        at_ms: 9,
    };
    let offer = file::File {
        id: "07".repeat(16),
        peer: "bob".into(),
        dir: private::Direction::In,
        name: "report.pdf".into(),
        size: 4_200_000,
        done: 0,
        state: file::FileState::Offered,
        sha256: Some("08".repeat(32)),
        path: None,
        code: None,
        by_peer: false,
        rate: None,
        at_ms: 10,
    };
    let accept =
        file::FileAccept { profile: "work".into(), id: "0707".into(), hold: true, conflict: file::Conflict::Resume };
    vec![
        ("private_request", json(&request)),
        ("stopped", json(&private::Stopped { items: vec![ended.clone()], withdrawn: vec!["carol".into()] })),
        ("event", json(&events::Event::PrivateEnded(ended))),
        ("event", json(&events::Event::FileOffer(offer))),
        (file::FileAccept::METHOD, json(&accept)),
        (
            "PVRD",
            framed(Frame::new(method::peer::VERDICT, 0, &peer::Verdict { incarnation: 9, last: 3, voids: vec![2] })),
        ),
    ]
}

fn identity_samples() -> Vec<(&'static str, String)> {
    let stream = StreamId { device: DeviceId([1; 16]), incarnation: Incarnation(9) };
    let print: Fingerprint = ServerId([7; 32]).fingerprint();
    vec![("message id", Mid { stream, cseq: 3 }.public().to_string()), ("fingerprint", print.to_string())]
}

#[test]
fn golden() {
    let lines: Vec<String> = [wire_samples(), control_samples(), identity_samples(), peer_samples(), private_samples()]
        .concat()
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let kept: Vec<&str> = include_str!("../../spec/golden.txt").lines().collect();
    assert_eq!(lines, kept, "\n{}\n", lines.join("\n"));
}

/// The head of a DLVR frame and its shared tail are together one body.
#[test]
fn a_delivery_in_two_parts_is_one_body() {
    use prost::Message;
    let tail = wire::Deliver { position: Some(AT), from: "alice".into(), body: "hi".into(), ..Default::default() };
    let prev = chat_proto::id::Position { epoch: 3, nonce: 4, n: 299 };
    let bytes = [wire::deliver_head(prev, true), tail.encode_to_vec()].concat();
    let whole = wire::Deliver::decode(bytes.as_slice()).unwrap();
    assert_eq!(whole, wire::Deliver { prev: Some(prev.into()), ack_now: true, ..tail });
}

/// Every body of a source, as lines `Message.field type tag`.
fn fields_in_code(source: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let (mut message, mut attribute) = (String::new(), String::new());
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("pub struct ") {
            message = name.trim_end_matches(['{', '}', ' ']).to_owned();
        } else if let Some(inner) = line.strip_prefix("#[prost(") {
            attribute = inner.trim_end_matches(")]").to_owned();
        } else if let (Some(field), false) = (line.strip_prefix("pub "), attribute.is_empty()) {
            let (name, kind) = field.trim_end_matches(',').split_once(": ").unwrap();
            fields.push(format!("{message}.{name} {}", proto_type(&std::mem::take(&mut attribute), kind)));
        }
    }
    fields
}

fn proto_type(attribute: &str, rust: &str) -> String {
    let parts: Vec<&str> = attribute.split(", ").collect();
    let tag = parts.last().unwrap().trim_start_matches("tag = ").trim_matches('"');
    let inner = rust.rsplit_once('<').map_or(rust, |(_, i)| i.trim_end_matches('>'));
    let base = match parts[0].split(' ').next().unwrap() {
        "message" => inner.trim_start_matches("wire::"),
        scalar => scalar,
    };
    let label = match () {
        () if parts.contains(&"repeated") => "repeated ",
        () if parts.contains(&"optional") && base != inner => "optional ",
        () => "",
    };
    format!("{label}{base} {tag}")
}

/// The same from the schema that other clients are written by.
fn fields_in_schema(schema: &str) -> Vec<String> {
    let mut message = String::new();
    let mut fields = Vec::new();
    for line in schema.lines().map(str::trim).filter(|l| !l.starts_with("//")) {
        if let Some(name) = line.strip_prefix("message ") {
            message = name.trim_end_matches(" {").to_owned();
        } else if let Some((left, tag)) = line.trim_end_matches(';').split_once(" = ").filter(|_| !message.is_empty()) {
            let (kind, name) = left.rsplit_once(' ').unwrap();
            let kind = kind.replace("chat.wire.v1.", "");
            fields.push(format!("{message}.{name} {kind} {tag}"));
        }
    }
    fields
}

#[test]
fn the_schema_says_what_the_code_does() {
    let source = concat!(
        include_str!("../src/wire/mod.rs"),
        include_str!("../src/wire/account.rs"),
        include_str!("../src/wire/device.rs"),
        include_str!("../src/wire/message.rs"),
        include_str!("../src/wire/people.rs"),
        include_str!("../src/wire/private.rs"),
        include_str!("../src/wire/session.rs"),
        include_str!("../src/wire/trace.rs"),
    );
    let (mut code, mut schema) = (fields_in_code(source), fields_in_schema(include_str!("../../spec/wire.proto")));
    assert!(code.len() > 100, "{}", code.len());
    // The schema has them in an order of its own.
    code.sort();
    schema.sort();
    assert_eq!(code, schema);
}

#[test]
fn the_schema_of_peers_says_what_the_code_does() {
    let code = fields_in_code(include_str!("../src/peer.rs"));
    assert!(code.len() > 25, "{}", code.len());
    assert_eq!(code, fields_in_schema(include_str!("../../spec/peer.proto")));
}

#[test]
fn every_method_and_status_is_four_letters_and_its_own() {
    let all = || method::ALL.iter().chain(method::peer::ALL).chain(status::ALL);
    let mut names: Vec<_> = all().collect();
    assert!(names.iter().all(|name| name.iter().all(u8::is_ascii_uppercase)));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().count());
}

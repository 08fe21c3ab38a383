//! What a stranger sends a server, a server a client, and a peer a peer: frames in any pieces, bodies of every method.

use bytes::BytesMut;
use chat_proto::frame::{Frame, FrameError, decode};
use chat_proto::limits::{FRAME_MAX, FRAME_MAX_STRANGER};
use chat_proto::{id, peer, wire};
use prost::Message;

/// Frames fed in pieces of a size that the first byte gives: the same frames come out as from the whole, and encode back.
pub fn frame(data: &[u8]) {
    let Some((&head, data)) = data.split_first() else {
        return;
    };
    let max = if head & 1 == 0 { FRAME_MAX } else { FRAME_MAX_STRANGER };
    let piece = usize::from(head >> 1).max(1);
    let (whole, end) = frames(data, data.len().max(1), max);
    assert_eq!((&whole, &end), (&frames(data, piece, max).0, &frames(data, piece, max).1), "pieces of {piece}");
    let mut again = BytesMut::new();
    for frame in &whole {
        frame.encode(&mut again);
        assert!(frame.size() <= max + 4);
    }
    assert_eq!(again[..], data[..again.len()], "frames encode back to the bytes they came from");
}

/// What comes out when `data` arrives in pieces: frames up to the end or the first error.
fn frames(data: &[u8], piece: usize, max: usize) -> (Vec<Frame>, Option<FrameError>) {
    let (mut input, mut out) = (BytesMut::new(), Vec::new());
    for piece in data.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            match decode(&mut input, max) {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
    }
    (out, None)
}

/// A body decoder that checks that what it took encodes and decodes to the same.
fn round<T: Message + Default + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(body) = T::decode(data) else {
        return;
    };
    let bytes = body.encode_to_vec();
    assert_eq!(bytes.len(), body.encoded_len());
    assert_eq!(T::decode(&bytes[..]).as_ref(), Ok(&body));
}

macro_rules! bodies {
    ($($body:ident)+; peer $($peer:ident)+) => {
        &[$((stringify!($body), round::<wire::$body>)),+, $((stringify!($peer), round::<peer::$peer>)),+]
    };
}

/// A body's name, and its decoder with the check.
type Body = (&'static str, fn(&[u8]));

/// Every struct of `chat_proto::wire` and `chat_proto::peer`, those inside others too.
const BODIES: &[Body] = bodies![
    Position Identify Identity Name NameState Enrol Password DeviceLogin LoggedIn Hello OpenStream Welcome Epoch StreamState
    Decision Send Void Verdict Run Gap TryLater Deliver Expired DeviceNotice Fetch Gone Ack Mark Follow Receipts Receipt
    Presence PresenceItem PeopleQuery People Person Account BlockChanged Blocked Logout Empty Refusal Bye
    Device Devices Revoke NewPassword PasswordChanged Trace Traced PeerEndpoint PrivateAsk PrivateAsked PrivateAnswer PrivateAnswered PrivateCancel PrivateOpen PrivateRelay PrivateMove
    PrivateMoved PrivateNotice; peer Hello Streams Welcome Send Verdict FileOffer FileAccept FileEnd FileBytes Bye
];

/// A body: the first byte picks its type. What becomes a well-formed identity is tried on the bytes as well.
pub fn body(data: &[u8]) {
    let Some((&pick, data)) = data.split_first() else {
        return;
    };
    let (_, round) = BODIES[usize::from(pick) % BODIES.len()];
    round(data);
    let _ = (id::DeviceId::try_from(data), id::ServerId::try_from(data));
    assert_eq!(wire::h8(data).is_some(), data.len() >= 8);
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// The names of the bodies that a source file declares.
    fn declared(file: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap();
        let parts = text.split(" Message)]").skip(1);
        let name = |part: &str| {
            part.split("pub struct ").nth(1)?.split(|c: char| !c.is_alphanumeric()).next().map(str::to_owned)
        };
        parts.filter_map(name).collect()
    }

    #[test]
    fn every_body_is_fuzzed() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../proto/core/src");
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(sources.join("wire")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.push(sources.join("peer.rs"));
        let mut declared: Vec<String> = files.iter().flat_map(|file| declared(file)).collect();
        let mut ours: Vec<&str> = super::BODIES.iter().map(|(name, _)| *name).collect();
        declared.sort();
        ours.sort_unstable();
        assert_eq!(ours, declared);
    }
}

//! Tickets: what the server said to one side of a private session, sealed so that it need not remember it. The relay admits by
//! them, and a session names its peer by them when it moves.

use aws_lc_rs::hmac;
use chat_proto::id::{AccountName, DeviceId, hex};
use chat_proto::limits::{TICKET_MAX, TICKET_TTL};
use chat_proto::machine::private::requests::RequestId;
use prost::Message;

/// What a seal begins with, so that it fits nothing else.
const DOMAIN: &[u8] = b"chat-ticket-v1";
/// Bytes of a seal: HMAC-SHA-256.
const SEAL: usize = 32;

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The session.
    pub session: RequestId,
    /// Whose it is.
    pub account: AccountName,
    /// That account's device.
    pub device: DeviceId,
    /// That device's endpoint: the only one that the relay admits by it.
    pub endpoint: [u8; 32],
    /// The other side.
    pub peer: AccountName,
    /// Its device.
    pub peer_device: DeviceId,
    /// Its owner asked.
    pub asker: bool,
}

/// As it is sealed.
#[derive(Clone, PartialEq, Message)]
struct Sealed {
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
    #[prost(string, tag = "2")]
    account: String,
    #[prost(bytes = "vec", tag = "3")]
    device: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    endpoint: Vec<u8>,
    #[prost(string, tag = "5")]
    peer: String,
    #[prost(bytes = "vec", tag = "6")]
    peer_device: Vec<u8>,
    #[prost(bool, tag = "7")]
    asker: bool,
    #[prost(int64, tag = "8")]
    until_ms: i64,
}

/// Issues tickets and checks them.
pub struct Tickets {
    key: hmac::Key,
}

impl Tickets {
    /// Those sealed with this secret.
    pub fn new(secret: &[u8; 32]) -> Tickets {
        Tickets { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// A ticket that is good for [`TICKET_TTL`]. By the wall clock: it must hold over a restart, which no other clock does. A clock
    /// that jumps ends tickets early or late, and chatd renews its own long before.
    pub fn issue(&self, ticket: &Ticket, now_ms: i64) -> String {
        let lasts = i64::try_from(TICKET_TTL.as_millis()).unwrap_or(i64::MAX);
        let mut bytes = Sealed {
            session: ticket.session.to_vec(),
            account: ticket.account.to_string(),
            device: ticket.device.0.to_vec(),
            endpoint: ticket.endpoint.to_vec(),
            peer: ticket.peer.to_string(),
            peer_device: ticket.peer_device.0.to_vec(),
            asker: ticket.asker,
            until_ms: now_ms.saturating_add(lasts),
        }
        .encode_to_vec();
        let seal = hmac::sign(&self.key, &under_seal(&bytes));
        bytes.extend_from_slice(seal.as_ref());
        hex(&bytes)
    }

    /// What a ticket says; nothing when it is not ours, was changed, or is too old: which of these is nobody's business.
    pub fn check(&self, text: &str, now_ms: i64) -> Option<Ticket> {
        if text.len() > TICKET_MAX {
            return None;
        }
        let bytes = bytes(text)?;
        let (bytes, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        // Compares in constant time.
        hmac::verify(&self.key, &under_seal(bytes), seal).ok()?;
        let sealed = Sealed::decode(bytes).ok()?;
        (now_ms < sealed.until_ms).then_some(())?;
        Some(Ticket {
            session: sealed.session.try_into().ok()?,
            account: AccountName::try_from(sealed.account).ok()?,
            device: DeviceId::try_from(sealed.device.as_slice()).ok()?,
            endpoint: sealed.endpoint.try_into().ok()?,
            peer: AccountName::try_from(sealed.peer).ok()?,
            peer_device: DeviceId::try_from(sealed.peer_device.as_slice()).ok()?,
            asker: sealed.asker,
        })
    }
}

fn under_seal(bytes: &[u8]) -> Vec<u8> {
    [DOMAIN, bytes].concat()
}

/// The bytes of lower-case hex digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn ticket() -> Ticket {
        let name = |text: &str| AccountName::try_from(text.to_owned()).unwrap();
        Ticket {
            session: [1; 16],
            account: name(&"a".repeat(chat_proto::limits::NAME_MAX)),
            device: DeviceId([2; 16]),
            endpoint: [3; 32],
            peer: name(&"b".repeat(chat_proto::limits::NAME_MAX)),
            peer_device: DeviceId([4; 16]),
            asker: true,
        }
    }

    #[test]
    fn a_good_one_says_what_was_said() {
        let tickets = Tickets::new(&[7; 32]);
        let text = tickets.issue(&ticket(), NOW);
        assert!(text.len() <= TICKET_MAX, "the longest has {}", text.len());
        assert_eq!(tickets.check(&text, NOW), Some(ticket()));
        let lasts = TICKET_TTL.as_millis() as i64;
        assert_eq!(tickets.check(&text, NOW + lasts - 1), Some(ticket()));
        assert_eq!(tickets.check(&text, NOW + lasts), None, "too old");
    }

    #[test]
    fn a_changed_one_is_none() {
        let tickets = Tickets::new(&[7; 32]);
        let text = tickets.issue(&ticket(), NOW);
        assert_eq!(Tickets::new(&[8; 32]).check(&text, NOW), None, "another server");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(tickets.check(std::str::from_utf8(&changed).unwrap(), NOW), None, "digit {at}");
            assert_eq!(tickets.check(&text[..at], NOW), None, "cut at {at}");
        }
        assert_eq!(tickets.check(&text.to_ascii_uppercase(), NOW), None, "one spelling");
        assert_eq!(tickets.check(&format!("{text}00"), NOW), None);
        assert_eq!(tickets.check("ü", NOW), None);
    }
}

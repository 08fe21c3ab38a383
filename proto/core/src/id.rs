//! Newtypes for everything that has an identity: accounts, devices, streams, messages, positions, servers.
//!
//! A value of one of these types is well formed; strings and byte strings become one only through the checks here.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits;

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("a name cannot be empty")]
    Empty,
    /// More than [`limits::NAME_MAX`] characters.
    #[error("a name has at most 32 characters")]
    TooLong,
    /// A character outside the rule.
    #[error("a name has only a-z, 0-9, '.', '_' and '-', and starts with a letter or digit")]
    BadCharacter,
    /// A name that would look like the system itself.
    #[error("this name is reserved")]
    Reserved,
}

/// Names that nobody may register because they would look like the system (S19).
const RESERVED: &[&str] = &[
    "admin",
    "administrator",
    "all",
    "chatd",
    "chatctl",
    "daemon",
    "everyone",
    "here",
    "me",
    "nobody",
    "root",
    "server",
    "system",
];

/// Which names are allowed (S19).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRule {
    /// `[a-z0-9][a-z0-9._-]{0,31}`, upper case folded, reserved names refused.
    #[default]
    Standard,
    /// The exercise's: any printable ASCII without blanks, case kept.
    Classic,
}

/// A well-formed account name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(Box<str>);

impl AccountName {
    /// A new name under `rule`; the standard rule folds upper case.
    pub fn parse(text: &str, rule: NameRule) -> Result<Self, NameError> {
        let name = match rule {
            NameRule::Standard => text.to_ascii_lowercase(),
            NameRule::Classic => text.to_owned(),
        };
        check_shape(&name)?;
        if rule == NameRule::Standard {
            let mut bytes = name.bytes();
            let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !first || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)) {
                return Err(NameError::BadCharacter);
            }
            if RESERVED.contains(&name.as_str()) {
                return Err(NameError::Reserved);
            }
        }
        Ok(AccountName(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What both rules share: some printable ASCII without blanks, not too much of it.
fn check_shape(name: &str) -> Result<(), NameError> {
    match name.len() {
        0 => Err(NameError::Empty),
        n if n > limits::NAME_MAX => Err(NameError::TooLong),
        _ if name.bytes().all(|b| b.is_ascii_graphic()) => Ok(()),
        _ => Err(NameError::BadCharacter),
    }
}

impl TryFrom<String> for AccountName {
    type Error = NameError;

    /// Accepts what some server's rule may have accepted; the stricter rule is applied where accounts are made.
    fn try_from(name: String) -> Result<Self, NameError> {
        check_shape(&name)?;
        Ok(AccountName(name.into()))
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> String {
        name.0.into()
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One machine of an account: 128 random bits, beside an Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 16]);

/// 64 random bits that name one start of a chatd that queues; new at every start, so a restored copy never reuses a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u64);

/// The stream of a sending device: places 1, 2, 3... are given in the outbox commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// The sending device.
    pub device: DeviceId,
    /// The start of its chatd.
    pub incarnation: Incarnation,
}

/// The identity of a message, for ever: a stream and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mid {
    /// The stream it was queued in.
    pub stream: StreamId,
    /// Its place, from 1.
    pub cseq: u64,
}

impl Mid {
    /// The id that people and scripts see: 80 bits of SHA-256 over the identity, in Crockford's base 32, equal on all hosts.
    pub fn public(&self) -> MessageId {
        let mut hash = Sha256::new();
        hash.update(b"chat-mid-v1");
        hash.update(self.stream.device.0);
        hash.update(self.stream.incarnation.0.to_be_bytes());
        hash.update(self.cseq.to_be_bytes());
        let digest = hash.finalize();
        MessageId(base32(&digest[..10]))
    }
}

/// The id of a message as people see it: 16 lower-case base-32 characters, opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub String);

impl MessageId {
    /// The last characters, as printed for people; any unambiguous suffix is accepted back.
    pub fn short(&self) -> &str {
        let cut = self.0.len().saturating_sub(4);
        self.0.get(cut..).unwrap_or(&self.0)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Crockford's base 32 in lower case: no i, l, o, u, so that people can read it aloud.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(char::from(ALPHABET[(bits >> held & 31) as usize]));
        }
    }
    if held > 0 {
        out.push(char::from(ALPHABET[(bits << (5 - held) & 31) as usize]));
    }
    out
}

/// The name of a place in a history that a reader keeps for itself: letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CursorName(Box<str>);

/// A text that is no name of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor's name is 1 to {} letters, digits, '.', '_' or '-'", limits::CURSOR_NAME_MAX)]
pub struct CursorNameError;

impl CursorName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for CursorName {
    type Err = CursorNameError;

    fn from_str(text: &str) -> Result<Self, CursorNameError> {
        let fits = (1..=limits::CURSOR_NAME_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if fits && plain { Ok(CursorName(text.into())) } else { Err(CursorNameError) }
    }
}

impl TryFrom<String> for CursorName {
    type Error = CursorNameError;

    fn try_from(text: String) -> Result<Self, CursorNameError> {
        text.parse()
    }
}

impl From<CursorName> for String {
    fn from(name: CursorName) -> String {
        name.0.into()
    }
}

impl fmt::Display for CursorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the server's log: opaque to clients, compared for equality and handed back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Raised at every server start, promotion and restore.
    pub epoch: u64,
    /// Random per server start, so that two histories with the same epoch differ.
    pub nonce: u64,
    /// The place.
    pub n: u64,
}

/// The server's long-term Ed25519 public key; certificates may renew, this stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub [u8; 32]);

impl ServerId {
    /// `sha256:` and 64 lower-case hex digits over the key: what people compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.0).into())
    }
}

/// A fingerprint of a [`ServerId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is not `sha256:` and 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is \"sha256:\" and 64 hex digits")]
pub struct FingerprintError;

impl std::str::FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits = text.strip_prefix("sha256:").ok_or(FingerprintError)?;
        Ok(Fingerprint(unhex(digits).ok_or(FingerprintError)?))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(print: Fingerprint) -> String {
        print.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! hex_shown {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), hex(&self.0))
            }
        }
        impl TryFrom<&[u8]> for $type {
            type Error = WrongLength;

            fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
                Ok($type(bytes.try_into().map_err(|_| WrongLength)?))
            }
        }
    };
}
hex_shown!(DeviceId);
hex_shown!(ServerId);

/// A byte string whose length is not that of the identity it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity has the wrong length")]
pub struct WrongLength;

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes of exactly `2 * N` hex digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_names() {
        let parse = |t| AccountName::parse(t, NameRule::Standard).map(|n| n.as_str().to_owned());
        assert_eq!(parse("Alice.b-c_9"), Ok("alice.b-c_9".into()));
        assert_eq!(parse(""), Err(NameError::Empty));
        assert_eq!(parse("-a"), Err(NameError::BadCharacter));
        assert_eq!(parse("a b"), Err(NameError::BadCharacter));
        assert_eq!(parse("a\u{202e}b"), Err(NameError::BadCharacter));
        assert_eq!(parse("Root"), Err(NameError::Reserved));
        assert_eq!(parse(&"a".repeat(33)), Err(NameError::TooLong));
        assert_eq!(AccountName::parse("Yoda!@", NameRule::Classic).map(String::from), Ok("Yoda!@".into()));
    }

    #[test]
    fn cursor_names() {
        assert_eq!("triage.2_a-B".parse::<CursorName>().map(String::from), Ok("triage.2_a-B".into()));
        for wrong in ["", "a b", "a/b", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(wrong.parse::<CursorName>(), Err(CursorNameError), "{wrong:?}");
        }
    }

    #[test]
    fn fingerprint_round_trip() {
        let print = ServerId([7; 32]).fingerprint();
        assert_eq!(print.to_string().parse(), Ok(print));
        assert!("sha256:zz".parse::<Fingerprint>().is_err());
        assert!(format!("sha256:{}", "+1".repeat(32)).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn public_ids_differ_by_place() {
        let stream = StreamId { device: DeviceId([1; 16]), incarnation: Incarnation(2) };
        let (a, b) = (Mid { stream, cseq: 1 }.public(), Mid { stream, cseq: 2 }.public());
        assert_ne!(a, b);
        assert_eq!(a.0.len(), 16);
        assert_eq!(a.short().len(), 4);
    }
}

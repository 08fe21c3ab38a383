//! Long-term Ed25519 keys and what they sign: the server's identity and a device's login, both bound to one TLS channel.
//!
//! chat-server proves itself and verifies devices; chatd proves its device and verifies the server. The exporter in the
//! signed bytes makes a proof worthless on any other connection (contract.md, "Sessions and devices").

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use chat_proto::id::{DeviceId, ServerId};
use chat_proto::peer::{Claim, proof_bytes};
use chat_proto::version::Versions;
use zeroize::Zeroizing;

/// 32 bytes that only the two ends of one TLS connection know.
pub type Exporter = [u8; 32];
/// An Ed25519 signature.
pub type Proof = [u8; 64];

const SERVER_DOMAIN: &[u8] = b"chat-server-v1";
const DEVICE_DOMAIN: &[u8] = b"chat-device-v1";

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The stored bytes are no Ed25519 key in PKCS #8.
    #[error("not an Ed25519 key in PKCS #8")]
    Malformed,
    /// The cryptographic library failed, for instance for want of randomness.
    #[error("the cryptographic library failed")]
    Library,
}

/// The server's long-term key. Certificates may change; this stays, and people compare its fingerprint.
pub struct ServerIdentity(Key);

impl ServerIdentity {
    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Key::generate().map(ServerIdentity)
    }

    /// The key that [`ServerIdentity::to_pkcs8`] wrote.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        Key::from_pkcs8(bytes).map(ServerIdentity)
    }

    /// The secret key for storage; wiped from memory when dropped.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0.to_pkcs8()
    }

    /// The public half, which pins name.
    pub fn id(&self) -> ServerId {
        ServerId(self.0.public)
    }

    /// Proves to the client at the other end of the channel of `exporter` that this server holds the key.
    pub fn prove(&self, exporter: &Exporter, version: u32) -> Result<Proof, KeyError> {
        self.0.sign(&server_bytes(exporter, version))
    }
}

/// Whether the server at the other end of the channel of `exporter` holds the key of `id`.
pub fn verify_server(id: &ServerId, exporter: &Exporter, version: u32, proof: &[u8]) -> bool {
    verify(&id.0, &server_bytes(exporter, version), proof)
}

/// The key of one device of an account.
pub struct DeviceKey(Key);

impl DeviceKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Key::generate().map(DeviceKey)
    }

    /// The key that [`DeviceKey::to_pkcs8`] wrote.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        Key::from_pkcs8(bytes).map(DeviceKey)
    }

    /// The secret key for storage; wiped from memory when dropped.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0.to_pkcs8()
    }

    /// The public half, which the server enrols.
    pub fn public(&self) -> [u8; 32] {
        self.0.public
    }

    /// Signs a login.
    pub fn sign(&self, claim: &DeviceClaim<'_>) -> Result<Proof, KeyError> {
        self.0.sign(&claim.bytes())
    }
}

/// The key by which an account on one device is known to the peers of its private sessions.
pub struct PeerKey(Key);

impl PeerKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Key::generate().map(PeerKey)
    }

    /// The key that [`PeerKey::to_pkcs8`] wrote.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        Key::from_pkcs8(bytes).map(PeerKey)
    }

    /// The secret key for storage; wiped from memory when dropped.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0.to_pkcs8()
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.public
    }

    /// Proves this side of a private session's connection.
    pub fn prove(&self, claim: &Claim<'_>) -> Result<Proof, KeyError> {
        self.0.sign(&proof_bytes(claim))
    }
}

/// Whether `proof` is the claim's signature by the peer key `public`.
pub fn verify_peer(public: &[u8], claim: &Claim<'_>, proof: &[u8]) -> bool {
    verify(public, &proof_bytes(claim), proof)
}

/// What a device claims when it logs in by key.
#[derive(Clone, Copy, Debug)]
pub struct DeviceClaim<'a> {
    /// The channel that the claim is made on.
    pub exporter: Exporter,
    /// The server that the claim is made to.
    pub server: ServerId,
    /// The account that the device belongs to.
    pub account: &'a str,
    /// The device.
    pub device: DeviceId,
    /// The versions that the client offered: nobody can talk both sides down.
    pub versions: Versions,
}

impl DeviceClaim<'_> {
    /// The bytes that are signed.
    fn bytes(&self) -> Vec<u8> {
        let (min, max) = (self.versions.min.to_be_bytes(), self.versions.max.to_be_bytes());
        signed_bytes(
            DEVICE_DOMAIN,
            &[&self.exporter, &self.server.0, self.account.as_bytes(), &self.device.0, &min, &max],
        )
    }
}

/// Whether `proof` is the claim's signature by the key `public`. A malformed key or signature is a wrong one.
pub fn verify_device(public: &[u8], claim: &DeviceClaim<'_>, proof: &[u8]) -> bool {
    verify(public, &claim.bytes(), proof)
}

fn server_bytes(exporter: &Exporter, version: u32) -> Vec<u8> {
    signed_bytes(SERVER_DOMAIN, &[exporter, &version.to_be_bytes()])
}

/// The domain, then each field behind its length as a big-endian u32, so that no two claims share their bytes.
fn signed_bytes(domain: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut out = domain.to_vec();
    for field in fields {
        out.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

fn verify(public: &[u8], message: &[u8], proof: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, proof).is_ok()
}

/// A key pair beside its public half in the form that travels.
struct Key {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Key {
    fn generate() -> Result<Self, KeyError> {
        Key::new(Ed25519KeyPair::generate().map_err(|_| KeyError::Library)?)
    }

    fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        Key::new(Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| KeyError::Malformed)?)
    }

    fn new(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Key { pair, public })
    }

    fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = self.pair.to_pkcs8().map_err(|_| KeyError::Library)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    fn sign(&self, message: &[u8]) -> Result<Proof, KeyError> {
        let signature = self.pair.try_sign(message).map_err(|_| KeyError::Library)?;
        signature.as_ref().try_into().map_err(|_| KeyError::Library)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_proto::id::hex;

    /// PKCS #8 of the key whose seed is 32 bytes of `seed`.
    fn pkcs8(seed: u8) -> Vec<u8> {
        let mut out = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        out.extend([seed; 32]);
        out
    }

    fn claim() -> DeviceClaim<'static> {
        DeviceClaim {
            exporter: [1; 32],
            server: ServerId([2; 32]),
            account: "alice",
            device: DeviceId([3; 16]),
            versions: Versions { min: 1, max: 2 },
        }
    }

    #[test]
    fn golden_bytes() {
        let fields = [
            &hex(b"chat-device-v1")[..],
            "00000020",
            &"01".repeat(32),
            "00000020",
            &"02".repeat(32),
            "00000005",
            &hex(b"alice"),
        ];
        let rest = ["00000010", &"03".repeat(16), "00000004", "00000001", "00000004", "00000002"];
        assert_eq!(hex(&claim().bytes()), fields.concat() + &rest.concat());
        let server = [&hex(b"chat-server-v1")[..], "00000020", &"01".repeat(32), "00000004", "00000007"];
        assert_eq!(hex(&server_bytes(&[1; 32], 7)), server.concat());
    }

    #[test]
    fn golden_signature() {
        let key = DeviceKey::from_pkcs8(&pkcs8(9)).unwrap();
        assert_eq!(hex(&key.public()), "fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618");
        assert_eq!(
            hex(&key.sign(&claim()).unwrap()),
            "fcaf62572786b25989d79225b11b9f747b22a69ebd997acb6c8a4fa1f55aa3d4cb85581b3ca8438e4c5de2273615439aa004d42b90eb8b9f92a6053014e6780d"
        );
    }

    #[test]
    fn every_field_counts() {
        let key = DeviceKey::generate().unwrap();
        let proof = key.sign(&claim()).unwrap();
        assert!(verify_device(&key.public(), &claim(), &proof));
        let others = [
            DeviceClaim { exporter: [9; 32], ..claim() },
            DeviceClaim { server: ServerId([9; 32]), ..claim() },
            DeviceClaim { account: "bob", ..claim() },
            DeviceClaim { device: DeviceId([9; 16]), ..claim() },
            DeviceClaim { versions: Versions { min: 1, max: 1 }, ..claim() },
        ];
        for other in others {
            assert!(!verify_device(&key.public(), &other, &proof), "{other:?}");
        }
        assert!(!verify_device(&[], &claim(), &proof));
        assert!(!verify_device(&key.public(), &claim(), &proof[..63]));
    }

    #[test]
    fn keys_survive_storage() {
        let key = ServerIdentity::generate().unwrap();
        let again = ServerIdentity::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(key.id(), again.id());
        assert_eq!(DeviceKey::from_pkcs8(b"nothing").map(|key| key.public()), Err(KeyError::Malformed));
    }
}

//! The server's long-term key and the secrets that come from it. `init` makes the file, the assembly and `cert fingerprint`
//! read it.

use std::path::{Path, PathBuf};

use chat_link::ServerIdentity;
use chat_link::identity::KeyError;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its bytes.
    #[error("{}: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyError,
    },
}

/// The key and what comes from it.
pub struct Keys {
    /// The key that people compare by its fingerprint.
    pub identity: ServerIdentity,
    /// Mixed into password hashes (S45).
    pub pepper: Zeroizing<[u8; 32]>,
    /// Keys the table of wrong passwords.
    pub lockout: Zeroizing<[u8; 32]>,
    /// Seals tickets of private sessions: a restart and a restored backup honour those of before.
    pub tickets: Zeroizing<[u8; 32]>,
}

/// Where the key is, in the data directory.
pub fn path(data: &Path) -> PathBuf {
    data.join("identity.key")
}

/// Reads the key.
pub fn load(data: &Path) -> Result<Keys, KeysError> {
    let path = path(data);
    let bytes = files::read_secret(&path)?;
    let identity = ServerIdentity::from_pkcs8(&bytes).map_err(|error| KeysError::Key { path, error })?;
    let secret = |purpose| derive(purpose, &bytes);
    let (pepper, lockout) = (secret(b"chat-pepper-v1"), secret(b"chat-lockout-key-v1"));
    Ok(Keys { identity, pepper, lockout, tickets: secret(b"chat-ticket-key-v1") })
}

/// Makes a new key; refuses where one is.
pub fn create(data: &Path) -> Result<ServerIdentity, KeysError> {
    let path = path(data);
    let wrong = |error| KeysError::Key { path: path.clone(), error };
    let identity = ServerIdentity::generate().map_err(wrong)?;
    let bytes = identity.to_pkcs8().map_err(wrong)?;
    files::write_new(&path, &bytes, 0o600)?;
    Ok(identity)
}

/// A secret of its own for each purpose, so that none tells of another.
fn derive(purpose: &[u8], secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update((purpose.len() as u64).to_be_bytes());
    hash.update(purpose);
    hash.update(secret);
    Zeroizing::new(hash.finalize().into())
}

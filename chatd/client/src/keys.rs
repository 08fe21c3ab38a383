//! The device key of each profile: an Ed25519 key in PKCS #8, one private file each (S40). Used by the profile's owner.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_link::{DeviceKey, PeerKey};
use chat_proto::id::DeviceId;

use crate::files;

/// Name of the key file in a profile's state directory.
const FILE: &str = "device.key";

/// Name of the file with the key for peers. The server may forget the device's key; peers do not forget this one.
const PEER_FILE: &str = "peer.key";

/// A device of an account: its id and the key that proves it.
#[derive(Clone)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its key.
    pub key: Arc<DeviceKey>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is not safe to use or cannot be read or written.
    #[error(transparent)]
    File(#[from] chat_local::directory::OpenError),
    /// Its content is no key.
    #[error("{}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: chat_link::identity::KeyError,
    },
    /// The system gives no randomness.
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
}

/// Where a profile's key lies.
pub fn directory(state: &Path, profile: &str) -> PathBuf {
    state.join("profiles").join(profile)
}

/// The device of a profile, if it has one. The file holds the id's 16 bytes and then the key.
pub fn load(directory: &Path) -> Result<Option<Device>, KeyFileError> {
    let Some(content) = files::read(directory, FILE)?.map(zeroize::Zeroizing::new) else { return Ok(None) };
    let malformed = |source| KeyFileError::Content { path: directory.join(FILE), source };
    let (id, key) = content.split_at_checked(16).ok_or_else(|| malformed(chat_link::identity::KeyError::Malformed))?;
    let id = DeviceId::try_from(id).map_err(|_| malformed(chat_link::identity::KeyError::Malformed))?;
    let key = DeviceKey::from_pkcs8(key).map_err(malformed)?;
    Ok(Some(Device { id, key: Arc::new(key) }))
}

/// A new device; nothing is written.
pub fn generate() -> Result<Device, KeyFileError> {
    let malformed = |source| KeyFileError::Content { path: FILE.into(), source };
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(KeyFileError::Random)?;
    Ok(Device { id: DeviceId(id), key: Arc::new(DeviceKey::generate().map_err(malformed)?) })
}

/// The same device with a new key, where the server forgot the old one; nothing is written. What it sent and received stays its own.
pub fn renew(device: &Device) -> Result<Device, KeyFileError> {
    Ok(Device { id: device.id, ..generate()? })
}

/// Writes a device down, in the place of an old one.
pub fn store(directory: &Path, device: &Device) -> Result<(), KeyFileError> {
    let malformed = |source| KeyFileError::Content { path: directory.join(FILE), source };
    let mut content = zeroize::Zeroizing::new(device.id.0.to_vec());
    content.extend_from_slice(&device.key.to_pkcs8().map_err(malformed)?);
    Ok(files::replace(directory, FILE, &content)?)
}

/// The key for peers; made and written down where there is none.
pub fn peer_key(directory: &Path) -> Result<PeerKey, KeyFileError> {
    let malformed = |source| KeyFileError::Content { path: directory.join(PEER_FILE), source };
    if let Some(content) = files::read(directory, PEER_FILE)? {
        return PeerKey::from_pkcs8(&zeroize::Zeroizing::new(content)).map_err(malformed);
    }
    let key = PeerKey::generate().map_err(malformed)?;
    files::replace(directory, PEER_FILE, &key.to_pkcs8().map_err(malformed)?)?;
    Ok(key)
}

/// Another account moves in: its peers must not take it for the old one.
pub fn forget_peer_key(directory: &Path) -> Result<(), KeyFileError> {
    match std::fs::remove_file(directory.join(PEER_FILE)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(chat_local::directory::OpenError::Io { path: directory.join(PEER_FILE), source }.into())
        }
        _ => Ok(()),
    }
}

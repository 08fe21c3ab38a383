//! Sessions on the disk: one file beside the profile's keys (0600), so that a chatd which is killed or restarted goes on with them as
//! if its link had been lost. It holds what the server told when both sides consented, and the endpoint's key while a session needs
//! it: the peer expects that endpoint, so no server is needed to come back.

use std::fmt;
use std::path::Path;

use chat_local::directory::OpenError;
use chat_proto::id::{DeviceId, hex, unhex};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::files;
use crate::history::PeerDevice;

/// Name of the file in a profile's state directory.
const FILE: &str = "private-sessions.json";

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::profile) struct Kept {
    /// The server that brokered them, in hex.
    pub server: String,
    /// The key of the endpoint.
    pub endpoint: Option<Secret>,
    /// The key of the endpoint without addresses.
    pub hidden: Option<Secret>,
    /// The sessions.
    pub sessions: Vec<Saved>,
}

/// An endpoint's secret key in hex; wiped from memory when dropped (S37).
#[derive(Clone, PartialEq)]
pub(in crate::profile) struct Secret(Zeroizing<String>);

impl Secret {
    /// Of an endpoint.
    pub fn new(key: &[u8; 32]) -> Secret {
        Secret(Zeroizing::new(hex(key)))
    }

    /// The key; nothing where it makes no sense.
    pub fn key(&self) -> Option<[u8; 32]> {
        unhex(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(|text| Secret(Zeroizing::new(text)))
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::profile) struct Saved {
    pub id: String,
    pub peer: String,
    pub device: String,
    pub key: String,
    pub target: String,
    pub addresses: Vec<String>,
    pub relay: Option<(String, String)>,
    pub ticket: String,
    pub since_ms: i64,
    pub until_ms: Option<i64>,
    pub relay_only: bool,
    pub direct_only: bool,
    pub peer_hidden: bool,
    pub asker: bool,
}

impl Saved {
    /// The peer's device and key; nothing where they make no sense.
    pub fn device(&self) -> Option<PeerDevice> {
        Some(PeerDevice { device: DeviceId(unhex(&self.device)?), key: unhex(&self.key)? })
    }
}

/// What a start finds; nothing where there is no file, or one that makes no sense: sessions are no more than convenience then.
pub(in crate::profile) fn load(directory: &Path) -> Result<Kept, OpenError> {
    let Some(bytes) = files::read(directory, FILE)?.map(Zeroizing::new) else { return Ok(Kept::default()) };
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(%error, "what was kept of private sessions cannot be read");
        Kept::default()
    }))
}

/// Writes it down; without sessions there is no file.
pub(in crate::profile) fn store(directory: &Path, kept: &Kept) -> Result<(), OpenError> {
    if kept.sessions.is_empty() {
        return match std::fs::remove_file(directory.join(FILE)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(OpenError::Io { path: directory.join(FILE), source })
            }
            _ => Ok(()),
        };
    }
    let bytes =
        serde_json::to_vec(kept).map_err(|error| OpenError::Io { path: directory.join(FILE), source: error.into() })?;
    files::replace(directory, FILE, &Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_file_while_there_are_sessions() {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("profiles/work");
        assert_eq!(load(&state).expect("none"), Kept::default());
        let saved = Saved {
            id: "00".into(),
            peer: "bob".into(),
            device: "01".into(),
            key: "02".into(),
            target: "03".into(),
            addresses: vec!["10.0.0.1:9".into()],
            relay: None,
            ticket: "t".into(),
            since_ms: 5,
            until_ms: None,
            relay_only: false,
            direct_only: false,
            peer_hidden: false,
            asker: true,
        };
        let kept =
            Kept { server: "ff".into(), endpoint: Some(Secret::new(&[7; 32])), hidden: None, sessions: vec![saved] };
        store(&state, &kept).expect("written");
        let read = load(&state).expect("read");
        assert_eq!((read.endpoint.as_ref().and_then(Secret::key), &read), (Some([7; 32]), &kept));
        assert!(!format!("{kept:?}").contains("0707"), "no secret is ever written to a log");
        store(&state, &Kept { sessions: Vec::new(), ..kept }).expect("removed");
        assert!(!state.join(FILE).exists());
        files::replace(&state, FILE, b"{").expect("written");
        assert_eq!(load(&state).expect("no error"), Kept::default());
    }
}

//! Control calls about profiles and trusted servers.

use serde::{Deserialize, Serialize};

use crate::id::Fingerprint;

/// Which profiles are there?
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ProfileList {}

/// A profile: an account on a server, with its own history and outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Account, empty before the first login.
    pub user: String,
    /// Server, empty before the first login.
    pub server: String,
    /// Used when no `--profile` is given.
    pub default: bool,
    /// State of its link.
    pub link: super::account::LinkState,
}

/// Make an empty profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileAdd {
    /// Its name.
    pub name: String,
}

/// Forget a profile, its history, outbox and device key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileRemove {
    /// Its name.
    pub name: String,
    /// Although messages wait in its outbox.
    #[serde(default)]
    pub force: bool,
}

/// Make a profile the default one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileDefault {
    /// Its name.
    pub name: String,
}

/// Which servers are trusted?
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TrustList {}

/// A trusted key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// `server`; later also `user`.
    pub kind: String,
    /// `HOST:PORT`.
    pub name: String,
    /// The key.
    pub fingerprint: Fingerprint,
    /// Since when.
    pub since_ms: i64,
    /// `ca`, `pin` (by `--trust` or `trust accept`).
    pub by: String,
}

/// What a server showed when it was not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustQuestion {
    /// `HOST:PORT`.
    pub server: String,
    /// The key it showed and proved.
    pub fingerprint: Fingerprint,
    /// `trust_changed`: the key known before.
    #[serde(default)]
    pub known: Option<Fingerprint>,
    /// `trust_changed`: since when that was known.
    #[serde(default)]
    pub known_since_ms: Option<i64>,
    /// Why its certificate alone did not verify.
    pub certificate: String,
}

/// Trust the key with this fingerprint that a known host showed last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustAccept {
    /// The fingerprint that the admin confirmed.
    pub fingerprint: Fingerprint,
}

/// Forget a server's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustRemove {
    /// `HOST:PORT` or `HOST`.
    pub name: String,
}

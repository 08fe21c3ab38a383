//! What `doctor` asks chatd: how the way to a profile's server is. chatd alone speaks TLS and knows which keys are trusted.

use serde::{Deserialize, Serialize};

use super::ErrorData;
use crate::id::Fingerprint;

/// Goes the way to the profile's server up to the point where a login would begin, and changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Doctor {
    /// Profile.
    pub profile: String,
    /// Give up after so many milliseconds.
    pub timeout_ms: u64,
}

/// How the way was, as far as it went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Examined {
    /// `HOST:PORT`; empty: the profile has no server yet.
    pub server: String,
    /// Addresses of the host.
    pub addresses: Vec<String>,
    /// Why the name has none, in English.
    pub unresolved: Option<String>,
    /// Why no server proved itself there.
    pub failure: Option<Box<ErrorData>>,
    /// What the way ended at then, where that is known.
    pub obstacle: Option<Obstacle>,
    /// What came of the proof.
    pub proven: Option<Proven>,
    /// The folder for received files.
    pub folder: Option<String>,
    /// Why nothing can be received into it.
    pub folder_refusal: Option<Box<ErrorData>>,
    /// The UDP port that is set for private sessions; 0: any.
    pub private_port: u16,
}

/// What the way to a server ends at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The name has no address any more.
    Name,
    /// The host is there, and nothing listens on the port.
    Refused,
    /// No answer in time.
    Silent,
    /// The network knows no way to the host.
    NoWay,
    /// What answers there speaks no TLS that fits.
    Tls,
    /// The connection was taken, and ended before the server had proved its key.
    Cut,
    /// Whatever a newer chatd stands before.
    #[serde(other)]
    Other,
}

/// A server that proved its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Whether it would be trusted.
    pub trust: TrustState,
    /// Why its certificate alone does not verify, in English; absent: it does.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Its program's version.
    pub version: String,
    /// Milliseconds of the round trip.
    pub rtt_ms: u64,
    /// Milliseconds by which this host's clock is ahead of the server's; absent: the server does not say.
    #[serde(default)]
    pub ahead_ms: Option<i64>,
    /// This host's address on the connection.
    pub local: String,
    /// The address that the server sees; absent: it does not say.
    #[serde(default)]
    pub seen: Option<String>,
}

/// How a server's key stands to what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustState {
    /// By its certificate.
    Certificate,
    /// By its key, which is known.
    Known,
    /// Nothing is known of it.
    Unknown,
    /// Another key is known.
    Changed,
}

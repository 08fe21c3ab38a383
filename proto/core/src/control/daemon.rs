//! Control calls about chatd itself.

use serde::{Deserialize, Serialize};

use crate::version::Versions;

/// First on every connection: which versions the caller speaks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Control versions spoken.
    pub versions: Versions,
    /// The caller's build, e.g. `0.1.0`.
    pub build: String,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelloReply {
    /// The settled version.
    pub version: u32,
    /// chatd's build.
    pub build: String,
    /// chatd's process id, for display only.
    pub pid: u32,
}

/// How is the daemon?
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DaemonStatus {}

/// Answer to [`DaemonStatus`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DaemonInfo {
    /// Build.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Control version range.
    pub proto: Versions,
    /// When it started.
    pub since_ms: i64,
    /// Path of its control socket.
    pub socket: String,
    /// Path of its log file; absent when it logs to stderr or the journal.
    pub log: Option<String>,
    /// Names of the profiles it serves.
    pub profiles: Vec<String>,
    /// Connections on the control socket now.
    pub connections: u32,
    /// How it is confined; absent in older ones.
    #[serde(default)]
    pub sandbox: Option<Sandbox>,
}

/// What chatd gave up when it began to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its configuration asks for it.
    pub wanted: bool,
    /// Landlock's ABI; absent where the kernel has none, or none is wanted.
    pub landlock: Option<u32>,
    /// System calls are filtered.
    pub seccomp: bool,
}

/// End the daemon once everything accepted is on disk.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DaemonStop {}

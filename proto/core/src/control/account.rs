//! Control calls about the account: register, login, logout, status, passwd.

use serde::{Deserialize, Serialize};

use crate::fault::Code;
use crate::id::Fingerprint;

/// How the server's key may be trusted on this call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Trust {
    /// `--trust`: the key with this fingerprint, and no other.
    #[serde(default)]
    pub trust: Option<Fingerprint>,
    /// `--ca`: certificates in PEM to verify by, in place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
}

/// Create an account and log in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Register {
    /// Profile to create.
    pub profile: String,
    /// Account name as typed.
    pub user: String,
    /// `HOST` or `HOST:PORT`.
    pub server: String,
    /// The new password.
    pub password: String,
    /// Invitation code.
    #[serde(default)]
    pub invite: Option<String>,
    /// The device's display name; the host name by default.
    #[serde(default)]
    pub device: Option<String>,
    /// Trust in the server.
    #[serde(flatten)]
    pub trust: Trust,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Log in: by password when one is given, else by the device's key. The server hears the name before anything else; where it tells of
/// names, a name that is active elsewhere is `already_logged_in` and one that nobody has `sign_up` or `unknown_user`, password or not.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// Profile to use or create.
    pub profile: String,
    /// Account name; the profile's by default.
    #[serde(default)]
    pub user: Option<String>,
    /// `HOST` or `HOST:PORT`; the profile's by default.
    #[serde(default)]
    pub server: Option<String>,
    /// The password; `wrong_credentials` without one means: ask for it.
    #[serde(default)]
    pub password: Option<String>,
    /// The device's display name.
    #[serde(default)]
    pub device: Option<String>,
    /// End another device's session where the policy would refuse.
    #[serde(default)]
    pub take_over: bool,
    /// The user said yes to a new account, should nobody have the name; needs `password`.
    #[serde(default)]
    pub sign_up: bool,
    /// Trust in the server.
    #[serde(flatten)]
    pub trust: Trust,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Answer to [`Register`] and [`Login`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Account name.
    pub user: String,
    /// Server as typed.
    pub server: String,
    /// This device's name.
    pub device: String,
    /// `online`.
    pub state: String,
    /// Unread messages.
    pub unread: u64,
    /// From how many people.
    pub unread_people: u64,
}

/// End the session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Logout {
    /// Profile.
    pub profile: String,
    /// The account's other devices too.
    #[serde(default)]
    pub all_devices: bool,
    /// Forget history, outbox and device key too.
    #[serde(default)]
    pub wipe: bool,
    /// Although messages wait in the outbox.
    #[serde(default)]
    pub force: bool,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Answer to [`Logout`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// Account name.
    pub user: String,
    /// `logged_out`.
    pub state: String,
    /// Peers whose private sessions ended.
    pub ended: Vec<String>,
    /// Messages that stay queued for the next login.
    pub unsent: u64,
    /// The server confirmed it; false: it was not reachable and learns it by the silence.
    pub confirmed: bool,
}

/// Change the account's password.
#[derive(Clone, Serialize, Deserialize)]
pub struct Passwd {
    /// Profile.
    pub profile: String,
    /// The password as it is.
    pub old: String,
    /// The password as it is to be.
    pub new: String,
    /// The account's other devices lose their keys.
    pub revoke_others: bool,
    /// Give up after this long.
    pub timeout_ms: u64,
}

/// Answer to [`Passwd`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// Account name.
    pub user: String,
    /// How many devices lost their keys.
    pub revoked: u32,
}

/// How is the profile? Answered locally, no network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Profile.
    pub profile: String,
    /// Answer only once it is online, or after this long.
    #[serde(default)]
    pub wait_online_ms: Option<u64>,
}

/// State of the server link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Logged in, session open.
    Online,
    /// Logged in, working on a connection.
    Connecting,
    /// Logged in, waiting before the next try.
    Waiting,
    /// Not logged in.
    LoggedOut,
}

/// Why and when a login ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `not_logged_in` (by the user), `idle`, `replaced`, `kicked`, `duplicate_device`, `wrong_credentials`, ...
    pub code: Code,
    /// When.
    pub at_ms: i64,
}

/// Something that needs its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What.
    pub code: Code,
    /// What it speaks of.
    #[serde(default)]
    pub subject: Option<String>,
}

/// Answer to [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// Profile.
    pub profile: String,
    /// Account name; empty when the profile has none yet.
    pub user: String,
    /// Server as typed.
    pub server: String,
    /// This device's name.
    pub device: String,
    /// State of the link.
    pub link: LinkState,
    /// Since when.
    pub since_ms: i64,
    /// Last measured round trip.
    #[serde(default)]
    pub rtt_ms: Option<u64>,
    /// Why the last try to connect failed.
    #[serde(default)]
    pub cause: Option<Problem>,
    /// Milliseconds until the next try.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// Why the login ended.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// Unread messages.
    pub unread: u64,
    /// Messages without a verdict.
    pub queued: u64,
    /// Messages that failed since the user last looked (show, outbox, watch).
    pub failed: u64,
    /// Open private requests.
    pub requests: u64,
    /// Private sessions.
    #[serde(default)]
    pub sessions: u64,
    /// The server's program version, where known.
    #[serde(default)]
    pub server_version: Option<String>,
    /// What needs the user.
    pub problems: Vec<Problem>,
    /// The server keeps the classic rules, as far as is known.
    #[serde(default)]
    pub classic: bool,
}

impl StatusReply {
    /// That of a profile without an account: logged out since then.
    pub fn nobody(profile: String, since_ms: i64) -> StatusReply {
        StatusReply {
            profile,
            user: String::new(),
            server: String::new(),
            device: String::new(),
            link: LinkState::LoggedOut,
            since_ms,
            rtt_ms: None,
            cause: None,
            retry_after_ms: None,
            ended: None,
            unread: 0,
            queued: 0,
            failed: 0,
            requests: 0,
            sessions: 0,
            server_version: None,
            problems: Vec::new(),
            classic: false,
        }
    }
}

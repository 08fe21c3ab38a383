//! What the assembly needs before anything runs: keys, certificates, settings for each owner, and the error that says which
//! of them is missing and with which code the process ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use chat_link::CertError;
use chat_process::sandbox::SandboxError;
use chat_process::{descriptors, exit};
use chat_proto::id::NameRule;
use chat_proto::limits;
use chat_proto::machine::private::broker::Terms;
use tracing::level_filters::LevelFilter;

use crate::account::{self, CredentialsError, HashError, Rules};
use crate::backup::restore;
use crate::certificate::{self, Served};
use crate::config::{Config, Devices, Level, Names};
use crate::files::{self, FileError};
use crate::gateway;
use crate::keys::{self, Keys, KeysError};
use crate::listen::{Door, Given, HandedError};
use crate::rate::Rate;
use crate::settings::Settings;
use crate::store::{self, Policy, StoreError};

/// Descriptors that the server itself needs: database, listeners, sockets, logs.
const OWN_DESCRIPTORS: u64 = 64;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The server's key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate, or its key.
    #[error("{}: {error}", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        error: CertError,
    },
    /// An address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// What the service manager handed over.
    #[error(transparent)]
    Handed(#[from] HandedError),
    /// The configuration wants a door for which the service manager, who has the network, handed over no socket.
    #[error("{0} is set, but the service manager hands over no socket for it, and what it starts binds none by itself")]
    NotHanded(Door),
    /// The sandbox that the kernel has and refuses.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// What the relay serves.
    #[error("the relay cannot start: {0}")]
    Relay(String),
    /// A restore was cut short.
    #[error("a restore of {} was cut short; it must be done again", .0.display())]
    HalfRestored(PathBuf),
    /// Password hashing.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The credentials file.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl StartError {
    /// The code that the process ends with (sysexits.h).
    pub fn exit(&self) -> u8 {
        match self {
            StartError::Store(StoreError::Locked(_)) => exit::UNAVAILABLE,
            // No restart will help.
            StartError::Store(StoreError::Newer { .. }) | StartError::HalfRestored(_) => exit::CONFIG,
            StartError::Store(_) => exit::IO,
            StartError::File(error) | StartError::Keys(KeysError::File(error)) => Self::exit_of_file(error),
            StartError::Keys(_) | StartError::Certificate { .. } => exit::CONFIG,
            StartError::Handed(_) | StartError::NotHanded(_) => exit::CONFIG,
            StartError::Listen { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => exit::PERMISSION,
            StartError::Listen { .. } => exit::UNAVAILABLE,
            StartError::Sandbox(_) => exit::OS,
            StartError::Hash(_) | StartError::Relay(_) => exit::SOFTWARE,
            StartError::Credentials(CredentialsError::File(error)) => Self::exit_of_file(error),
            StartError::Credentials(CredentialsError::Store(_)) => exit::IO,
        }
    }

    /// The code of a file that cannot be used.
    pub fn exit_of_file(error: &FileError) -> u8 {
        match error {
            FileError::Exposed(_) => exit::PERMISSION,
            FileError::Exists(_) => exit::CANNOT_CREATE,
            FileError::Io { error, .. } => match error.kind() {
                io::ErrorKind::NotFound => exit::CONFIG,
                io::ErrorKind::PermissionDenied => exit::PERMISSION,
                _ => exit::CANNOT_CREATE,
            },
        }
    }
}

/// What a restore left half done is not served: the database may be that of another time than its log.
pub(crate) fn refuse_half_restored(config: &Config) -> Result<(), StartError> {
    match fs::read(config.data.join(restore::MARKER)) {
        Ok(backup) => Err(StartError::HalfRestored(PathBuf::from(String::from_utf8_lossy(&backup).into_owned()))),
        Err(_) => Ok(()),
    }
}

pub(crate) fn keys(config: &Config) -> Result<Keys, StartError> {
    Ok(keys::load(&config.data)?)
}

pub(crate) fn tls(config: &Config) -> Result<Served, StartError> {
    let chain = files::read(&config.cert)?;
    let key = files::read_secret(&config.key)?;
    certificate::served(&chain, &key).map_err(|error| StartError::Certificate { path: config.cert.clone(), error })
}

/// Everything that may change while the server runs, save what the store's writer owns. `relay`: see [`store()`].
pub(crate) fn settings(config: &Config, relay: bool) -> Settings {
    Settings {
        sessions: sessions(config, relay),
        accounts: accounts(config),
        announce: config.keys.presence.broadcast,
        addresses: config.keys.log.addresses,
    }
}

fn accounts(config: &Config) -> account::Settings {
    let keys = &config.keys;
    account::Settings {
        registration: keys.registration.mode,
        sign_up_at_login: keys.registration.at_login,
        names: names(config),
        tell_names: keys.auth.tell_names,
        forget_device: keys.sessions.forget_device_at_logout,
        lockout_by: keys.auth.lockout_by,
        lock_devices: keys.auth.lock_devices,
        lockout: Rules {
            after: keys.auth.lockout_after,
            duration_ms: ms(keys.auth.lockout_duration.0),
            doubles: keys.auth.lockout_doubles,
        },
        logins: Rate::per(keys.limits.password_logins_per_minute_per_source, 60),
        tries: Rate::per(keys.limits.password_tries_per_minute_per_name, 60),
        newcomers: Rate::per(keys.limits.new_accounts_per_hour_per_source, 3600),
    }
}

/// The rule for the names of new accounts.
pub fn names(config: &Config) -> NameRule {
    match config.keys.names {
        Names::Standard => NameRule::Standard,
        Names::Classic => NameRule::Classic,
    }
}

fn sessions(config: &Config, relay: bool) -> gateway::Settings {
    let keys = &config.keys;
    gateway::Settings {
        name: config.name.clone(),
        policy: match keys.sessions.policy {
            Devices::Many => Policy::Many,
            Devices::Replace => Policy::Replace,
            Devices::Refuse => Policy::Refuse,
        },
        idle: keys.sessions.idle,
        idle_after: keys.sessions.idle_after.0,
        grace_ms: ms(keys.sessions.grace.0),
        sending: Rate::burst(keys.limits.message_burst, keys.limits.messages_per_second),
        connections: connections(keys.limits.connections, relay),
        seen_since_start: keys.presence.seen_since_start,
        private: keys.private.allow,
    }
}

/// How much is logged.
pub fn level(config: &Config) -> LevelFilter {
    filter(config.keys.log.level)
}

pub(crate) fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// `relay`: one runs, whatever the configuration says by now.
pub(crate) fn store(config: &Config, relay: bool) -> store::Settings {
    let keys = &config.keys;
    store::Settings {
        reserve: keys.storage.reserve.0,
        text_max: keys.messages.max_size.0,
        offline_keep_hours: keys.messages.offline_keep.0.as_secs().div_ceil(3600),
        offline_max_per_user: u32::try_from(keys.messages.offline_max_per_user).unwrap_or(u32::MAX),
        devices_per_user: keys.sessions.devices_per_user as usize,
        seen_keep_ms: i64::try_from(keys.presence.seen_keep.0.as_millis()).unwrap_or(i64::MAX),
        names: names(config),
        forget_device: keys.sessions.forget_device_at_logout,
        tell_missed: keys.messages.tell_missed,
        broadcasts: Rate::per(keys.limits.broadcasts_per_minute, 60),
        unknown_recipients: Rate::per(keys.limits.unknown_recipients_per_hour, 3600),
        private_requests: Rate::per(keys.limits.private_requests_per_minute, 60),
        private: Terms { allowed: keys.private.allow, relay, ttl_ms: ms(keys.private.request_ttl.0) },
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How many connections there may be: what the operator says, within what the system gives, less a reserve for those who are
/// logged in (S5). Takes all descriptors that may be had without asking anybody.
fn connections(wanted: u32, relay: bool) -> usize {
    // Too few to run at all were refused before.
    let given = descriptors::take(0).unwrap_or(0);
    let room = room(given, relay);
    let wanted = if wanted == 0 { u64::MAX } else { wanted.into() };
    if wanted != u64::MAX && wanted > room {
        tracing::warn!(wanted, room, "limits.connections is more than the open files that the system allows");
    }
    usize::try_from(room.min(wanted)).unwrap_or(usize::MAX)
}

/// How many connections so many descriptors are enough for. A connection to the relay that is not admitted yet has two.
pub(crate) fn room(given: u64, relay: bool) -> u64 {
    let second = if relay { limits::STRANGERS_MAX } else { 0 };
    given.saturating_sub(OWN_DESCRIPTORS + (limits::DESCRIPTOR_RESERVE + second) as u64).max(1)
}

/// Where the addresses are written, one a line, for those who asked for any port.
const LISTEN_FILE: &str = "listen";
/// Where the doors are written whose sockets were handed over: the key and an address, one a line.
const GIVEN_FILE: &str = "sockets";

/// Writes where it listens.
pub(crate) fn tell_addresses(config: &Config, addresses: &[SocketAddr], given: &[Given]) -> Result<(), StartError> {
    let lines = given.iter().flat_map(|given| given.addresses.iter().map(move |address| (given.door, address)));
    tell(
        &config.run.join(GIVEN_FILE),
        &lines.map(|(door, address)| format!("{door} {address}\n")).collect::<String>(),
    )?;
    // Last: somebody waits for this one.
    tell(&config.run.join(LISTEN_FILE), &addresses.iter().map(|address| format!("{address}\n")).collect::<String>())
}

/// In one piece: somebody waits for the file and reads it at once.
fn tell(path: &Path, text: &str) -> Result<(), StartError> {
    let io = |error| FileError::Io { path: path.to_owned(), error };
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    Ok(())
}

/// What a running server wrote of the doors whose sockets were handed over.
pub(crate) fn told_doors(config: &Config) -> Vec<Given> {
    let text = fs::read_to_string(config.run.join(GIVEN_FILE)).unwrap_or_default();
    let parsed = |line: &str| {
        let (key, address) = line.split_once(' ')?;
        Some((Door::ALL.into_iter().find(|door| door.key() == key)?, address.parse().ok()?))
    };
    let lines: Vec<(Door, SocketAddr)> = text.lines().filter_map(parsed).collect();
    let of = |door| lines.iter().filter(|line| line.0 == door).map(|line| line.1).collect::<Vec<_>>();
    let given = Door::ALL.into_iter().map(|door| Given { door, addresses: of(door) });
    given.filter(|given| !given.addresses.is_empty()).collect()
}

pub(crate) fn forget_addresses(config: &Config) {
    for path in [config.run.join(LISTEN_FILE), config.run.join(GIVEN_FILE), config.admin_socket.clone()] {
        // Gone already is as good.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_for_the_server_for_sessions_and_for_second_ones_at_the_relay() {
        let strangers = limits::STRANGERS_MAX as u64;
        let kept = OWN_DESCRIPTORS + limits::DESCRIPTOR_RESERVE as u64;
        for (given, relay, left) in [
            (1024, false, 1024 - kept),
            (1024, true, 1024 - kept - strangers),
            (u64::MAX, true, u64::MAX - kept - strangers),
            (kept + strangers, true, 1),
            (kept, false, 1),
            (0, true, 1),
        ] {
            assert_eq!(room(given, relay), left, "{given} {relay}");
        }
        let given = descriptors::take(0).unwrap_or(0);
        for relay in [false, true] {
            assert_eq!(connections(0, relay) as u64, room(given, relay), "{relay}");
        }
    }
}

//! The configuration as it is written: all keys of chat-server.toml with their defaults, unknown ones refused.
//!
//! Some keys have no effect in this version yet; they are read and checked all the same, so that a file stays good.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::values::{
    Addresses, Devices, Format, Idle, Level, Listen, LockoutBy, Names, Registration, Size, Switch, Wait,
};

macro_rules! tables {
    ($($(#[doc = $doc:literal])+ $table:ident { $($(#[doc = $key_doc:literal])+ $key:ident: $type:ty = $default:expr,)+ })+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, Deserialize, Serialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $table { $($(#[doc = $key_doc])+ pub $key: $type,)+ }

            impl Default for $table {
                fn default() -> Self {
                    $table { $($key: $default,)+ }
                }
            }
        )+
    };
}

tables! {
    /// The whole file.
    Written {
        /// Where to listen.
        listen: Vec<Listen> = vec![Listen((std::net::Ipv6Addr::UNSPECIFIED, super::PORT).into())],
        /// Shown to users and used in certificates; empty: the host's name.
        name: String = String::new(),
        /// Which names an account may have.
        names: Names = Names::Standard,
        /// The server gives up what it has no use for once it runs.
        sandbox: Switch = Switch::On,
        /// Certificates.
        tls: Tls = Tls::default(),
        /// New accounts.
        registration: RegistrationTable = RegistrationTable::default(),
        /// Passwords.
        auth: Auth = Auth::default(),
        /// Sessions.
        sessions: Sessions = Sessions::default(),
        /// Messages.
        messages: Messages = Messages::default(),
        /// Who is online.
        presence: Presence = Presence::default(),
        /// Private sessions.
        private: Private = Private::default(),
        /// Rates and numbers; 0 = off.
        limits: Limits = Limits::default(),
        /// The store.
        storage: Storage = Storage::default(),
        /// The operator's ways in.
        admin: Admin = Admin::default(),
        /// The log.
        log: Log = Log::default(),
        /// Backups.
        backup: Backup = Backup::default(),
    }

    /// `[tls]`
    Tls {
        /// The chain, its own certificate first.
        cert: Option<PathBuf> = None,
        /// Its private key.
        key: Option<PathBuf> = None,
        /// How often the files are looked at.
        reload_check: Wait = Wait::secs(60),
    }

    /// `[registration]`
    RegistrationTable {
        /// Who may make an account.
        mode: Registration = Registration::Open,
        /// A login with a name that nobody has may sign up, after asking; needs `auth.tell_names`.
        at_login: bool = false,
    }

    /// `[auth]`
    Auth {
        /// Wrong passwords in a row before a lock; 0: never.
        lockout_after: u32 = chat_proto::limits::LOCKOUT_AFTER,
        /// The first lock.
        lockout_duration: Wait = Wait::secs(60),
        /// Each lock of a row is twice the one before, up to 15 minutes.
        lockout_doubles: bool = true,
        /// What a lock belongs to.
        lockout_by: LockoutBy = LockoutBy::Source,
        /// A lock holds for logins by device key too.
        lock_devices: bool = false,
        /// Who asks with a name learns whether somebody has it, and whether he is online.
        tell_names: bool = false,
        /// The file `name password` that is read at start and appended to; empty: none.
        credentials: PathBuf = PathBuf::new(),
    }

    /// `[sessions]`
    Sessions {
        /// Other devices of an account that logs in.
        policy: Devices = Devices::Many,
        /// Devices that an account may have.
        devices_per_user: u32 = chat_proto::limits::DEVICES_MAX as u32,
        /// What happens without activity.
        idle: Idle = Idle::Away,
        /// After this long.
        idle_after: Wait = Wait::secs(30 * 60),
        /// A lost link is announced after this long.
        grace: Wait = Wait::secs(10),
        /// A logout forgets the device's key: the next login asks for the password.
        forget_device_at_logout: bool = false,
    }

    /// `[messages]`
    Messages {
        /// Bytes of a text.
        max_size: Size = Size(chat_proto::limits::TEXT_MAX as u64),
        /// How long a message waits for somebody who is away.
        offline_keep: Wait = Wait::secs(90 * 86_400),
        /// How many wait for one account.
        offline_max_per_user: u64 = 10_000,
        /// The sender of a broadcast learns that somebody online was left out, never who.
        tell_missed: bool = false,
    }

    /// `[presence]`
    Presence {
        /// Announce who comes and goes.
        broadcast: bool = true,
        /// How far whoelsesince reaches.
        seen_keep: Wait = Wait::secs(30 * 86_400),
        /// whoelsesince reaches back to the server's start and no further.
        seen_since_start: bool = false,
    }

    /// `[private]`
    Private {
        /// Broker private sessions.
        allow: bool = true,
        /// Where the relay listens; empty: nowhere.
        relay_listen: String = String::new(),
        /// How long a request stays open.
        request_ttl: Wait = Wait::secs(120),
    }

    /// `[limits]`
    Limits {
        /// Messages of one account.
        messages_per_second: u32 = 10,
        /// Messages of one account at once.
        message_burst: u32 = 20,
        /// Broadcasts of one account.
        broadcasts_per_minute: u32 = 4,
        /// Password logins from one address.
        password_logins_per_minute_per_source: u32 = 10,
        /// Passwords tried for one name, from everywhere; who is over it waits, nobody is refused.
        password_tries_per_minute_per_name: u32 = chat_proto::limits::HASHES_PER_NAME_AND_MINUTE,
        /// New accounts from one address.
        new_accounts_per_hour_per_source: u32 = 20,
        /// Recipients that do not exist, of one account.
        unknown_recipients_per_hour: u32 = 20,
        /// Private requests of one account.
        private_requests_per_minute: u32 = 10,
        /// Bytes a second that the relay takes from one connection.
        relay_bytes_per_second: Size = Size(4 << 20),
        /// Connections in all.
        connections: u32 = 10_000,
    }

    /// `[storage]`
    Storage {
        /// Where the database is.
        dir: Option<PathBuf> = None,
        /// Free space that is kept: this, or 5 % if that is more; 0: none.
        reserve: Size = Size(256 << 20),
    }

    /// `[admin]`
    Admin {
        /// The socket for live verbs.
        socket: Option<PathBuf> = None,
        /// Health and metrics over HTTP; empty: off.
        http: String = String::new(),
    }

    /// `[log]`
    Log {
        /// How much.
        level: Level = Level::Info,
        /// How it looks.
        format: Format = Format::Auto,
        /// Addresses of clients.
        addresses: Addresses = Addresses::Full,
    }

    /// `[backup]`
    Backup {
        /// Where backups go.
        dir: Option<PathBuf> = None,
        /// A warning when the last one is older.
        warn_age: Wait = Wait::secs(48 * 3600),
    }
}

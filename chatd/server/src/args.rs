//! The arguments of `chat-server`; `--help` and the manual come from here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use chat_manual::shells::Shell;
use chat_server::config::values::Wait;
use chat_server::config::{Classic, Level};
use clap::builder::TypedValueParser as _;
use clap::{Parser, Subcommand, ValueEnum};

/// The chat server: accounts, inboxes, relaying.
#[derive(Debug, Parser)]
#[command(name = "chat-server", version, max_term_width = 100)]
pub struct Args {
    /// Keep config, data and admin socket under this directory: for trying out and tests
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Use this configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a commented configuration, make the server's key and database, and print the fingerprint
    Init(Init),
    /// Serve, in the foreground
    Run(Run),
    /// Certificates and the server's key
    #[command(subcommand)]
    Cert(CertVerb),
    /// Look for what is wrong, or will be: exit 0 clean, 1 warnings, 14 errors
    Check(Check),
    /// The configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Accounts
    #[command(subcommand)]
    User(UserVerb),
    /// Invitations: who may make an account where registration.mode is "invite"
    #[command(subcommand)]
    Invite(InviteVerb),
    /// Open sessions of the running server
    Sessions(Sessions),
    /// Say something to everybody who is online, from the server itself
    Announce(Announce),
    /// Bring accounts in from elsewhere
    #[command(subcommand)]
    Import(ImportVerb),
    /// Write out what the server keeps, one JSON object a line
    #[command(subcommand)]
    Export(ExportVerb),
    /// How the running server is
    Status(StatusArgs),
    /// Who keeps the running server busy
    Top,
    /// Let the running server read configuration and certificate anew: all of it counts, or on any mistake nothing
    Reload,
    /// End the running server; returns when it is gone
    Stop(StopArgs),
    /// The log of the running server
    #[command(subcommand)]
    Log(LogVerb),
    /// Backups: one file with configuration, keys and database
    #[command(subcommand)]
    Backup(BackupVerb),
    /// Put back what a backup holds; the server must be stopped, and what was there is moved aside
    Restore(Restore),
    /// The database
    #[command(subcommand)]
    Db(DbVerb),
    /// Print a page of the manual
    Man(Man),
    /// Print the JSON Schema of what --json prints
    Schema(Schema),
    /// Print the completion script of a shell
    Completions(Completions),
}

/// `man`
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The page: chat-server, a command, chat-server.toml or chat-server-json
    pub page: Vec<String>,
    /// Write every page into man5, man7 and man8 under D
    #[arg(long = "into", value_name = "D", conflicts_with = "page")]
    pub into: Option<PathBuf>,
}

/// `schema`
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// One type of object; all of them where absent
    pub name: Option<String>,
}

/// `completions`
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// `init`
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The name under which clients reach this server
    #[arg(long, value_name = "HOST")]
    pub name: Option<String>,
    /// Make a certificate too; clients trust the server by its fingerprint
    #[arg(long)]
    pub self_signed: bool,
}

/// `run`
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Listen here instead of where the configuration says; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub classic: ClassicArgs,
}

/// `run --port P --block-duration S --timeout S`
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Classic profile (the rules of the exercise; any of these flags switches it on)")]
pub struct ClassicArgs {
    /// Listen on this port of the configured addresses
    #[arg(long, value_name = "P", conflicts_with = "listen")]
    pub port: Option<u16>,
    /// Lock a name for this long after three wrong passwords, in seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub block_duration: Option<Wait>,
    /// Log out who gives no command for this long, in seconds
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub timeout: Option<Wait>,
    /// Read accounts from this file and append new ones ("name password" a line; default: credentials.txt in --dir)
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
}

impl ClassicArgs {
    /// As the configuration takes it: a path that was typed starts where it was typed.
    pub fn meant(&self) -> Classic {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Classic {
            port: self.port,
            block_duration: self.block_duration,
            timeout: self.timeout,
            credentials: self.credentials.as_ref().map(absolute),
        }
    }
}

/// A time in seconds, or with a unit as in the configuration.
fn seconds(text: &str) -> Result<Wait, String> {
    match Wait::parse(text) {
        Some(wait) if !wait.0.is_zero() => Ok(wait),
        _ => Err("use a number of seconds, 1 or more, or a time such as 90s, 15m or 2h".to_owned()),
    }
}

/// `cert`
#[derive(Debug, Subcommand)]
pub enum CertVerb {
    /// Print the fingerprint of the server's key, which clients compare
    Fingerprint,
    /// Make a certificate where the configuration wants one; clients trust the server by its fingerprint
    SelfSigned,
    /// Print what the certificate says: names, times, chain
    Show,
    /// Print a request for a certificate authority, signed by the key that is there, or by a new one
    Csr {
        /// Names and addresses to be in it; the server's name where absent
        name: Vec<String>,
    },
    /// Look at the files as the running server will when they change: a pair, valid, for this name, chain whole
    WatchTest,
}

/// `check`
#[derive(Debug, clap::Args)]
pub struct Check {
    /// What to look at; everything where absent
    #[arg(value_enum)]
    pub what: Option<What>,
    /// One line with numbers for monitoring; exit 0 ok, 1 warning, 2 critical, 3 unknown
    #[arg(long)]
    pub nagios: bool,
}

/// What `check` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The configuration
    Config,
    /// Certificate and key
    Tls,
    /// Addresses and open files
    Net,
    /// Database, room on the disk, backups
    Storage,
    /// The clock
    Time,
    /// Everything
    All,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print a configuration with every key, its default and what it means
    Default,
    /// Print what is written
    Show {
        /// Every key with the value that counts
        #[arg(long)]
        effective: bool,
    },
    /// Print the keys whose value is not the default
    Diff,
}

/// `status`
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Again every 2 seconds
    #[arg(long)]
    pub watch: bool,
}

/// `stop`
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// How long sessions get for their last words
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub grace: Wait,
}

/// `log`
#[derive(Debug, Subcommand)]
pub enum LogVerb {
    /// Log more, or less
    Level {
        /// error, warn, info, debug, trace
        #[arg(value_parser = level, value_name = "LEVEL")]
        level: Level,
        /// Then as configured again
        #[arg(long = "for", value_name = "TIME")]
        time: Option<Wait>,
    },
}

fn level(text: &str) -> Result<Level, String> {
    let known = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let named = known.into_iter().find(|level| format!("{level:?}").eq_ignore_ascii_case(text));
    named.ok_or_else(|| "write error, warn, info, debug or trace".to_owned())
}

/// `backup`
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Make a backup, of a running server too
    Create {
        /// Put it here instead of where the configuration says
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Remove older ones there, and leave N in all
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..).map(|n| n as usize))]
        keep: Option<usize>,
    },
    /// Read a whole backup and check its database
    Verify {
        /// The file, or "latest"
        file: PathBuf,
    },
    /// List backups, newest first
    List {
        /// Look here instead of where the configuration says
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// `restore`
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The file, or "latest"
    pub file: PathBuf,
    /// Put everything below this directory instead, for `chat-server --dir DIR`
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// `db`
#[derive(Debug, Subcommand)]
pub enum DbVerb {
    /// What it holds
    Info,
    /// Read all of it and say what is wrong: exit 0 sound, 14 damaged
    Check,
    /// Bring the database of a stopped server up to date, after a backup
    Upgrade,
    /// Rewrite the database of a stopped server without the room that deleted messages left
    Vacuum,
}

/// `user`
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List all accounts
    List,
    /// Show an account: devices, queued messages, last seen, locks
    Show {
        /// Its name
        name: String,
    },
    /// Invite somebody to an account of this name, or make it with a password from stdin
    Add {
        /// Its name
        name: String,
        /// Make the account now, with the password on stdin
        #[arg(long)]
        password_stdin: bool,
        /// Print an invitation, so that its user alone knows the password (the default)
        #[arg(long, conflicts_with = "password_stdin")]
        invite: bool,
    },
    /// Delete an account for ever; asks for the name again
    Del {
        /// Its name
        name: String,
        /// The name again, for scripts
        #[arg(long, value_name = "NAME")]
        yes_delete: Option<String>,
    },
    /// Give an account another password; its user is told
    Passwd {
        /// Its name
        name: String,
        /// Read the password from stdin instead of asking
        #[arg(long)]
        password_stdin: bool,
        /// Log out all its devices: they need the new password
        #[arg(long)]
        revoke_devices: bool,
    },
    /// Lock an account: its sessions end and nobody logs in
    Lock {
        /// Its name
        name: String,
    },
    /// Unlock an account, and lift locks by wrong passwords
    Unlock {
        /// Its name
        name: String,
        /// Only the locks by wrong passwords from this address
        #[arg(long, value_name = "IP")]
        source: Option<IpAddr>,
    },
}

/// `import`
#[derive(Debug, Subcommand)]
pub enum ImportVerb {
    /// Make accounts of a file with a name and a password a line; the file stays as it is
    Credentials(ImportCredentials),
}

/// `import credentials`
#[derive(Debug, clap::Args)]
pub struct ImportCredentials {
    /// The file: name, a blank, the rest of the line is the password; - is stdin
    pub file: PathBuf,
    /// Change nothing; say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// What to do where the account is there already
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnConflict::Skip)]
    pub on_conflict: OnConflict,
}

/// What to do where an account is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// Leave the line out
    Skip,
    /// Change the account's password
    Update,
    /// Import nothing at all
    Fail,
}

/// `invite`
#[derive(Debug, Subcommand)]
pub enum InviteVerb {
    /// Make an invitation and print its code, this once
    Create(InviteCreate),
    /// List the invitations that hold
    List,
    /// Withdraw an invitation
    Revoke {
        /// Its number in the list
        id: String,
    },
}

/// `invite create`
#[derive(Debug, clap::Args)]
pub struct InviteCreate {
    /// For this account alone: its name is kept until the invitation is redeemed or expires
    pub name: Option<String>,
    /// How many accounts may be made with it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "name")]
    pub uses: u32,
    /// How long it holds, by the time that the server runs: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = some_time)]
    pub expires: Wait,
}

fn some_time(text: &str) -> Result<Wait, String> {
    match text.parse()? {
        Wait(Duration::ZERO) => Err("an invitation needs some time to be redeemed".to_owned()),
        wait => Ok(wait),
    }
}

/// `sessions`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sessions {
    /// Which; `list` when none is given.
    #[command(subcommand)]
    pub verb: Option<SessionVerb>,
}

/// `sessions`
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// List them: number, user, address, since when, how long without activity
    List,
    /// End a session, or all of a user; the client says why and does not come back by itself
    Kick {
        /// A session's number or a user's name
        who: String,
        /// It is a user's name, though it looks like a number
        #[arg(long)]
        user: bool,
    },
}

/// `announce`
#[derive(Debug, clap::Args)]
pub struct Announce {
    /// What to say; read from stdin when it is not given
    #[arg(value_name = "TEXT")]
    pub text: Vec<String>,
}

/// `export`
#[derive(Debug, Subcommand)]
pub enum ExportVerb {
    /// All accounts
    Users {
        /// With the hashes of their passwords
        #[arg(long)]
        hashes: bool,
    },
    /// The audit log, oldest line first
    Audit,
}

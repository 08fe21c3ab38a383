//! The flags of each command. Doc comments are the help texts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use chat_manual::shells::Shell;
use chat_proto::control::events::Topic;
use chat_proto::control::hooks::Occasion;
use chat_proto::control::message::State;
use chat_proto::id::{CursorName, Fingerprint};
use chat_proto::limits::CONTEXT_MAX;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::time::parse_duration;

/// How to trust the server.
#[derive(Clone, Debug, Args)]
pub struct TrustArgs {
    /// Trust the server with this key, and no other
    #[arg(long, value_name = "sha256:FP")]
    pub trust: Option<Fingerprint>,
    /// Verify the server's certificate by those in FILE (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Where the password comes from; never an argument or a variable. In a unit of systemd also the credential `chat.password`.
#[derive(Clone, Debug, Args)]
pub struct PasswordArgs {
    /// Read the password from stdin
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the password from F
    #[arg(long, value_name = "F")]
    pub password_file: Option<PathBuf>,
}

/// `register`
#[derive(Debug, Args)]
pub struct Register {
    /// Name of the new account
    pub user: Option<String>,
    /// Server to register on
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: String,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Read the invitation from F ("-": stdin)
    #[arg(long, value_name = "F")]
    pub invite_file: Option<PathBuf>,
    /// Name of this device; the host name by default
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `login`
#[derive(Debug, Args)]
pub struct Login {
    /// Account; the profile's by default
    pub user: Option<String>,
    /// Server; the profile's by default
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// Name of this device; the host name by default
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// End another device's session where the server allows one only
    #[arg(long)]
    pub take_over: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `logout`
#[derive(Debug, Args)]
pub struct Logout {
    /// The account's other devices too
    #[arg(long)]
    pub all_devices: bool,
    /// Erase history, outbox and device key
    #[arg(long)]
    pub wipe: bool,
    /// Although messages wait in the outbox
    #[arg(long)]
    pub force: bool,
}

/// `status`
#[derive(Debug, Default, Args)]
pub struct Status {
    /// Say it by the exit code: 0 online, 4 not logged in, 5 not connected
    #[arg(long)]
    pub check: bool,
    /// Answer once it is online, or exit 9
    #[arg(long, value_name = "STATE", value_parser = ["online"])]
    pub wait: Option<String>,
}

/// `passwd`
#[derive(Debug, Args)]
pub struct Passwd {
    /// Read the old and the new password from stdin, a line each
    #[arg(long, conflicts_with_all = ["old_password_file", "new_password_file"])]
    pub password_stdin: bool,
    /// Read the old password from F
    #[arg(long, value_name = "F", requires = "new_password_file")]
    pub old_password_file: Option<PathBuf>,
    /// Read the new password from F
    #[arg(long, value_name = "F", requires = "old_password_file")]
    pub new_password_file: Option<PathBuf>,
    /// Log the other devices out: they need the new password
    #[arg(long, conflicts_with = "keep_others")]
    pub revoke_others: bool,
    /// Leave the other devices logged in
    #[arg(long)]
    pub keep_others: bool,
}

/// `device`
#[derive(Debug, Subcommand)]
pub enum Device {
    /// List the account's devices
    List,
    /// Log a device out and forget its key: it needs the password to come back
    Revoke {
        /// The start of its id, or its name
        #[arg(value_name = "ID")]
        device: String,
    },
}

/// `profile`
#[derive(Debug, Subcommand)]
pub enum Profile {
    /// List profiles
    List,
    /// Make an empty profile
    Add {
        /// Its name
        name: String,
    },
    /// Erase a profile with its history, outbox and device key
    Remove {
        /// Its name
        name: String,
        /// Although messages wait in its outbox
        #[arg(long)]
        force: bool,
    },
    /// Use a profile when none is named
    Default {
        /// Its name
        name: String,
    },
}

/// `trust`
#[derive(Debug, Subcommand)]
pub enum Trust {
    /// List trusted keys
    List,
    /// Show the key of a host or person
    Show {
        /// HOST, HOST:PORT or USER
        name: String,
    },
    /// Trust the key that a known host or person showed last
    Accept {
        /// The fingerprint that the admin, or the person, confirmed
        #[arg(value_name = "sha256:FP")]
        fingerprint: Fingerprint,
    },
    /// Forget the key of a host or person
    Remove {
        /// HOST, HOST:PORT or USER
        name: String,
    },
}

/// Where a text comes from.
#[derive(Debug, Args)]
pub struct TextArgs {
    /// The text; "-" or nothing: read it from stdin
    pub text: Vec<OsString>,
}

/// `message`
#[derive(Debug, Args)]
pub struct Message {
    /// Recipient
    pub user: String,
    #[command(flatten)]
    pub text: TextArgs,
    /// Read the text from FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Write the text in the editor ($VISUAL, $EDITOR)
    #[arg(short, long, conflicts_with_all = ["text", "file"])]
    pub edit: bool,
    /// Wait until it is queued, accepted, delivered or read
    #[arg(long, value_name = "STATE", default_value = "accepted", value_parser = parse_goal)]
    pub wait: State,
    /// Makes a retry safe: the same KEY never sends twice
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,
    /// The message that this answers
    #[arg(long, value_name = "ID")]
    pub reply: Option<String>,
    /// Ask the recipient's side to be loud
    #[arg(long)]
    pub urgent: bool,
    /// Refuse instead of keeping it when the server is away
    #[arg(long)]
    pub no_queue: bool,
}

/// `broadcast`
#[derive(Debug, Args)]
pub struct Broadcast {
    #[command(flatten)]
    pub text: TextArgs,
    /// Makes a retry safe: the same KEY never sends twice
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,
    /// Wait until it is queued or accepted
    #[arg(long, value_name = "STATE", num_args = 0..=1, require_equals = true, default_value = "accepted", default_missing_value = "accepted", value_parser = parse_broadcast_goal)]
    pub wait: State,
}

/// `inbox`
#[derive(Debug, Args)]
pub struct Inbox {
    /// Only conversations with unread messages
    #[arg(long)]
    pub unread: bool,
    /// At most N, newest first
    #[arg(short, value_name = "N")]
    pub n: Option<u32>,
}

/// `read`
#[derive(Debug, Args)]
pub struct Read {
    /// Only the conversation with USER
    pub user: Option<String>,
    /// The newest N (20, or all with --unread or --since)
    #[arg(short, value_name = "N")]
    pub n: Option<u32>,
    /// Only unread messages
    #[arg(long)]
    pub unread: bool,
    /// Only from this time on: 2h, today, yesterday or RFC 3339
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// Only before this message
    #[arg(long, value_name = "ID")]
    pub before: Option<String>,
    /// Do not mark them as read
    #[arg(long)]
    pub peek: bool,
}

/// `search`
#[derive(Debug, Args)]
pub struct Search {
    /// The words to find, or with --regex a pattern
    #[arg(required = true)]
    pub text: Vec<String>,
    /// Only the conversation with USER
    #[arg(long, value_name = "USER")]
    pub with: Option<String>,
    /// Only from USER
    #[arg(long, value_name = "USER")]
    pub from: Option<String>,
    /// Only from this time on: 2h, today, yesterday or RFC 3339
    #[arg(long, value_name = "T")]
    pub since: Option<String>,
    /// TEXT is a regular expression
    #[arg(long)]
    pub regex: bool,
    /// Also N messages of the same conversation before and after each
    #[arg(short = 'C', value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u32).range(0..=i64::from(CONTEXT_MAX)))]
    pub context: u32,
}

/// `export`
#[derive(Debug, Args)]
pub struct Export {
    /// Only the conversation with USER
    pub user: Option<String>,
    /// One object a line, or text for people
    #[arg(long, value_name = "FORMAT", default_value = "ndjson", conflicts_with = "plain")]
    pub format: ExportFormat,
    /// Only from this time on (2h, today, yesterday, RFC 3339), or behind the message with this id
    #[arg(long, value_name = "T or ID")]
    pub since: Option<String>,
}

/// Forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    // An object of format 1 a line.
    Ndjson,
    // As `read` prints, with whole times.
    Text,
}

/// `unread`
#[derive(Debug, Args)]
pub struct Unread {
    /// Only from USER
    pub user: Option<String>,
    /// Print for a status bar
    #[arg(long, value_name = "BAR", default_value = "plain", conflicts_with = "json")]
    pub format: Bar,
    /// Print again whenever it changes, until the reader goes
    #[arg(long)]
    pub follow: bool,
}

/// Status bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bar {
    // The number.
    Plain,
    // Waybar's JSON.
    Waybar,
    // Polybar.
    Polybar,
    // tmux.
    Tmux,
    // i3blocks.
    I3blocks,
}

/// `watch`
#[derive(Debug, Args)]
pub struct Watch {
    /// Only these: message, presence, private, file, receipt, link
    #[arg(long, value_name = "TOPIC", value_delimiter = ',', value_parser = parse_topic)]
    pub only: Vec<Topic>,
    /// Only from USER
    #[arg(long, value_name = "USER")]
    pub from: Option<String>,
    /// Messages behind this one first; with --cursor: where a new cursor begins
    #[arg(long, value_name = "ID")]
    pub since: Option<String>,
    /// Messages behind the last one acknowledged under NAME first; a new NAME begins now
    #[arg(long, value_name = "NAME")]
    pub cursor: Option<CursorName>,
    /// Acknowledge each message once its line is written
    #[arg(long, requires = "cursor", conflicts_with = "exec")]
    pub auto_ack: bool,
    /// End after N events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after DURATION; exit 9 when fewer than --count came
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub for_: Option<Duration>,
    /// End (exit 3) when chatd goes, instead of waiting for it
    #[arg(long)]
    pub no_reconnect: bool,
    /// Print a sign of life every DURATION
    #[arg(long, value_name = "DURATION", value_parser = parse_heartbeat)]
    pub heartbeat: Option<Duration>,
    /// Run CMD for each event, one at a time, with its JSON on stdin; exit 0 acknowledges it, anything else
    /// ends a watch with --cursor. All words behind it are CMD's: stands last
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    pub exec: Vec<OsString>,
}

/// `ack`
#[derive(Debug, Args)]
pub struct Ack {
    /// The cursor, made by watch --cursor
    pub name: CursorName,
    /// The message: its id, or the end of one
    pub id: String,
}

/// `cursor`
#[derive(Debug, Subcommand)]
pub enum Cursor {
    /// List cursors, where they stand, and how many messages wait behind them
    List,
    /// Forget a cursor
    Remove {
        /// Its name
        name: CursorName,
    },
}

/// `outbox`
#[derive(Debug, Args)]
pub struct Outbox {
    /// What to do; nothing: list
    #[command(subcommand)]
    pub verb: Option<OutboxVerb>,
}

/// `outbox cancel`, `outbox retry`
#[derive(Debug, Subcommand)]
pub enum OutboxVerb {
    /// Give up a message that the server has not decided on; exit 1 says that it was too late, and how far it got
    Cancel {
        /// Id, the end of one, or the --id it was sent with
        id: String,
    },
    /// Try now what waits; or send a failed message again, once however often this is run
    #[command(before_help = "Examples:
  chatctl outbox retry                  # what waits is tried now, under its id
  chatctl outbox retry m7k2             # what failed is sent again as a new message
")]
    Retry {
        /// One message: id, the end of one, or the --id it was sent with
        id: Option<String>,
    },
}

/// `call`
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The method: named as the command, e.g. message, outbox_cancel
    pub method: String,
    /// An object of parameters, named as the long flags; "-": read it from stdin
    #[arg(value_name = "JSON")]
    pub parameters: Option<String>,
}

/// `show`
#[derive(Debug, Args)]
pub struct Show {
    /// Id, the end of one, or the --id it was sent with
    pub id: String,
    /// Wait until it is accepted, delivered or read
    #[arg(long, value_name = "STATE", value_parser = parse_goal)]
    pub wait: Option<State>,
}

/// `whoelse`
#[derive(Debug, Args)]
pub struct Whoelse {
    /// Only USER
    pub user: Option<String>,
}

/// `whoelsesince`
#[derive(Debug, Args)]
pub struct Whoelsesince {
    /// How far back: seconds, or 90s, 15m, 2h, 3d
    #[arg(value_name = "SECONDS or DURATION", value_parser = parse_duration)]
    pub since: Duration,
}

/// `block`, `unblock`
#[derive(Debug, Args)]
pub struct Other {
    /// Whom
    pub user: String,
}

/// `startprivate`
#[derive(Debug, Args)]
pub struct Startprivate {
    /// Whom
    pub user: String,
    /// Wait for the answer and the connection, 60s where no DURATION is given
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "60s", value_parser = parse_duration)]
    pub wait: Option<Duration>,
    /// A word about why, shown with the request; the server can read it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Through the server's relay alone: USER does not see your address
    #[arg(long)]
    pub relay_only: bool,
    /// Directly, or not at all
    #[arg(long, conflicts_with = "relay_only")]
    pub direct_only: bool,
}

/// `requests`
#[derive(Debug, Args)]
pub struct Requests {
    /// Only those of others
    #[arg(long, conflicts_with = "outgoing")]
    pub incoming: bool,
    /// Only your own
    #[arg(long)]
    pub outgoing: bool,
}

/// `accept`
#[derive(Debug, Args)]
pub struct Accept {
    /// Whose request
    pub user: String,
    /// Through the server's relay alone: USER does not see your address
    #[arg(long)]
    pub relay_only: bool,
    /// End the session by itself after DURATION
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub for_: Option<Duration>,
}

/// `decline`
#[derive(Debug, Args)]
pub struct Decline {
    /// Whose request
    pub user: String,
    /// Block the user too
    #[arg(long)]
    pub block: bool,
}

/// `private`
#[derive(Debug, Args)]
pub struct Private {
    /// Recipient
    pub user: String,
    #[command(flatten)]
    pub text: TextArgs,
    /// Read the text from FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Write the text in the editor ($VISUAL, $EDITOR)
    #[arg(short, long, conflicts_with_all = ["text", "file"])]
    pub edit: bool,
    /// Makes a retry safe: the same KEY never sends twice
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,
    /// Wait until it is queued, delivered or read
    #[arg(long, value_name = "STATE", default_value = "delivered", value_parser = parse_private_goal)]
    pub wait: State,
}

/// `stopprivate`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("with").required(true))]
pub struct Stopprivate {
    /// With whom
    #[arg(group = "with")]
    pub user: Option<String>,
    /// All sessions and requests of your own
    #[arg(long, group = "with")]
    pub all: bool,
}

/// `sessions`
#[derive(Debug, Args)]
pub struct Sessions {
    /// What to do; nothing: list
    #[command(subcommand)]
    pub verb: Option<SessionsVerb>,
}

/// `sessions verify`
#[derive(Debug, Subcommand)]
pub enum SessionsVerb {
    /// Show a code that is equal on both sides, and both keys; asks whether it is
    #[command(before_help = "Examples:
  chatctl sessions verify bob
  chatctl sessions verify bob --confirm

Read the code to each other by another way, say on the phone. If it is the same, nobody stands
between you two, the server included; the key is remembered then as verified.
")]
    Verify {
        /// With whom
        user: String,
        /// The code was compared: remember the key as verified
        #[arg(long)]
        confirm: bool,
    },
}

/// `file`
#[derive(Debug, Subcommand)]
pub enum File {
    /// Offer files to the peer of a private session; chatd sends them once they are accepted
    #[command(before_help = "Examples:
  chatctl file send bob report.pdf
  chatctl file send bob *.jpg --wait

What your home directory hides (names that begin with a dot: keys, passwords) is not sent; a copy
elsewhere is.
")]
    Send(FileSend),
    /// List offers and transfers
    List,
    /// Take an offered file
    #[command(before_help = "Examples:
  chatctl file accept 9f3c
  chatctl file accept 9f3c -o /srv/reports/ --conflict rename
  chatctl file accept 9f3c -o - | tar xz

Without -o it goes into the directory files.dir of chatd's configuration. The peer names the file,
never the place.
")]
    Accept(FileAccept),
    /// Say no to an offered file
    Decline {
        /// Its id, or the end of it
        id: String,
    },
    /// Give up an offer or a transfer, of either side
    Cancel {
        /// Its id, or the end of it
        id: String,
    },
}

/// `file send`
#[derive(Debug, Args)]
pub struct FileSend {
    /// To whom
    pub user: String,
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Follow them to their end, or for DURATION (exit 9: they go on)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = parse_duration)]
    pub wait: Option<Option<Duration>>,
}

/// `file accept`
#[derive(Debug, Args)]
pub struct FileAccept {
    /// Its id, or the end of it
    pub id: String,
    /// Wait, and put it at PATH, a file or a directory ("-": stdout)
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Where a file is already: fail, skip, overwrite, rename (to "name (2)"), or resume an earlier try
    #[arg(long, value_name = "HOW", default_value = "fail", hide_possible_values = true)]
    pub conflict: OnConflict,
    /// Follow it to its end, or for DURATION (exit 9: it goes on)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = parse_duration)]
    pub wait: Option<Option<Duration>>,
}

/// What to do where a file is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    // Refuse.
    Fail,
    // Take nothing, and be content.
    Skip,
    // Replace it once the new one is whole.
    Overwrite,
    // Take another name.
    Rename,
    // Go on with what an earlier try left.
    Resume,
}

/// `daemon`
#[derive(Debug, Subcommand)]
pub enum Daemon {
    /// Say how chatd is; never starts it
    Status,
    /// Start chatd
    Start,
    /// Stop chatd; what waits to be sent stays on disk
    Stop,
    /// Stop and start chatd
    Restart,
    /// Print chatd's log
    Logs {
        /// Go on printing what is added
        #[arg(short, long)]
        follow: bool,
        /// The last N lines
        #[arg(short, value_name = "N", default_value_t = 100)]
        n: usize,
    },
    /// Have the system start chatd for you: a unit of your own, started with your sessions and by the first command
    Install {
        /// Keep it running while you are logged out, and start it with the host
        #[arg(long)]
        linger: bool,
    },
    /// Undo install; what waits to be sent stays on disk
    Uninstall,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Write a report for whoever helps into FILE, without names, addresses, keys and texts
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print where config, data, state, log and socket are
    Path,
    /// Check the configuration
    Check,
    /// Print the value of a key
    Get {
        /// The key, e.g. receipts.send_read
        key: String,
    },
    /// Set a key; comments are kept
    Set {
        /// The key, e.g. receipts.send_read
        key: String,
        /// Its value: true, 5, a text, or TOML such as [\"a\", \"b\"]
        value: String,
    },
    /// List all keys with their values
    List,
    /// Write the configuration in the editor ($VISUAL, $EDITOR)
    Edit,
}

/// `help`
#[derive(Debug, Args)]
pub struct Help {
    /// A command, or a topic
    pub of: Vec<String>,
}

/// `man`
#[derive(Debug, Args)]
pub struct Man {
    /// The page: chatctl, a command, chat-json or chat-exit-codes
    pub page: Vec<String>,
    /// Write every page into man1 and man7 under DIR
    #[arg(long, value_name = "DIR", conflicts_with = "page")]
    pub dir: Option<PathBuf>,
}

/// `schema`
#[derive(Debug, Args)]
pub struct Schema {
    /// One type of object; all of them where absent
    pub name: Option<String>,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// `trace`
#[derive(Debug, Args)]
pub struct Trace {
    /// The message: its id, an unambiguous end of it, or its key
    pub id: String,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// Who is told
    #[arg(long, value_name = "USER")]
    pub to: String,
    /// Tell always, or only when it failed
    #[arg(long, value_name = "WHEN", default_value = "always")]
    pub on: Told,
    /// Send the last N lines of its output
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_lines)]
    pub tail: usize,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// When `run` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Told {
    // Whatever happens.
    Always,
    // It failed.
    Failure,
}

fn parse_lines(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|lines| *lines <= 1000).ok_or_else(|| "use 0 to 1000".to_owned())
}

/// `hooks`
#[derive(Debug, Subcommand)]
pub enum Hooks {
    /// List hooks with their runs, failures and dead letters
    List,
    /// Run the hooks that wait for EVENT once now, with a sample; exit 1 when one fails
    Test {
        /// message, presence, private_request, private_ended, file_offer, login or link
        event: Occasion,
        /// Only the hook with this name
        #[arg(long, value_name = "HOOK")]
        name: Option<String>,
    },
    /// List dead letters: events for which a hook failed for good
    Letters,
    /// Try dead letters again
    #[command(group = ArgGroup::new("which").required(true))]
    Replay {
        /// Only this one
        #[arg(group = "which")]
        id: Option<u64>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
    /// Forget dead letters
    #[command(group = ArgGroup::new("which").required(true))]
    Drop {
        /// Only this one
        #[arg(group = "which")]
        id: Option<u64>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
}

/// `shell`
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// Account; the profile's by default
    pub user: Option<String>,
    /// Server; the profile's by default
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Read the password from F
    #[arg(long, value_name = "F")]
    pub password_file: Option<PathBuf>,
    /// Name of this device; the host name by default
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// End another device's session where the server allows one only
    #[arg(long)]
    pub take_over: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

fn parse_goal(text: &str) -> Result<State, String> {
    match text {
        "queued" => Ok(State::Queued),
        "accepted" => Ok(State::Accepted),
        "delivered" => Ok(State::Delivered),
        "read" => Ok(State::Read),
        _ => Err("use queued, accepted, delivered or read".to_owned()),
    }
}

fn parse_broadcast_goal(text: &str) -> Result<State, String> {
    match parse_goal(text) {
        Ok(goal @ (State::Queued | State::Accepted)) => Ok(goal),
        _ => Err("use queued or accepted".to_owned()),
    }
}

fn parse_private_goal(text: &str) -> Result<State, String> {
    match parse_goal(text) {
        Ok(goal @ (State::Queued | State::Delivered | State::Read)) => Ok(goal),
        _ => Err("use queued, delivered or read".to_owned()),
    }
}

fn parse_topic(text: &str) -> Result<Topic, String> {
    match text {
        "message" => Ok(Topic::Message),
        "presence" => Ok(Topic::Presence),
        "private" => Ok(Topic::Private),
        "file" => Ok(Topic::File),
        "receipt" => Ok(Topic::Receipt),
        "link" => Ok(Topic::Link),
        _ => Err("use message, presence, private, file, receipt or link".to_owned()),
    }
}

fn parse_heartbeat(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a heartbeat needs a time between beats".to_owned()),
        duration => Ok(duration),
    }
}

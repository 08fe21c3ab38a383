//! What can be typed: every verb with its flags. One definition yields parsing and help; `main` hands the result to the commands.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use chat_proto::control::events::Topic;
use chat_proto::control::message::State;
use chat_proto::id::Fingerprint;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::time::{Style, parse_duration};

/// The deadline of a call when none is given.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Talk to people from the command line: messages, presence, blocks.
#[derive(Debug, Parser)]
#[command(
    name = "chatctl",
    version,
    before_help = "Examples:
  chatctl register alice --server chat.example.org
  chatctl message bob \"lunch?\"
  make test 2>&1 | tail -5 | chatctl message ops
  chatctl read
"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    /// The command; none: status and everyday commands.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Account to act for; the default profile when absent
    #[arg(long, global = true, value_name = "NAME", env = "CHAT_PROFILE", hide_env_values = true)]
    pub profile: Option<String>,
    /// Keep everything (config, data, state, socket) under DIR
    #[arg(long, global = true, value_name = "DIR", env = "CHAT_HOME", hide_env_values = true)]
    pub home: Option<PathBuf>,
    /// Control socket of chatd
    #[arg(long, global = true, value_name = "PATH", env = "CHAT_SOCKET", hide_env_values = true)]
    pub socket: Option<PathBuf>,
    /// Print objects of the JSON format N (1)
    #[arg(long, global = true, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = clap::value_parser!(u8).range(1..=1), conflicts_with = "plain")]
    pub json: Option<u8>,
    /// Print tab-separated columns
    #[arg(long, global = true)]
    pub plain: bool,
    /// No success lines, no notes
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Print times as auto, iso, unix, relative or a FORMAT such as %H:%M
    #[arg(long, global = true, value_name = "STYLE", default_value = "auto")]
    pub time: Style,
    /// Print times in UTC
    #[arg(long, global = true)]
    pub utc: bool,
    /// Never ask; exit 12 instead
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Answer yes to questions, save those about keys
    #[arg(long, global = true)]
    pub yes: bool,
    /// Give up after DURATION
    #[arg(long, global = true, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Do not start chatd
    #[arg(long, global = true)]
    pub no_autostart: bool,
    /// Exit 1 when the answer is empty
    #[arg(long, global = true)]
    pub exit_code: bool,
}

impl Global {
    /// For the error of a command line that was not understood, but asks for JSON.
    pub fn silent_json() -> Global {
        Global {
            profile: None,
            home: None,
            socket: None,
            json: Some(1),
            plain: false,
            quiet: false,
            verbose: false,
            color: When::Never,
            time: Style::Auto,
            utc: true,
            no_input: true,
            yes: false,
            timeout: TIMEOUT,
            no_autostart: true,
            exit_code: false,
        }
    }
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create an account and log in
    #[command(before_help = "Examples:
  chatctl register alice --server chat.example.org
  chatctl register alice --server localhost --password-file secret.txt --trust sha256:9f2c...
")]
    Register(Register),
    /// Log in, by this device's key or by password
    #[command(before_help = "Examples:
  chatctl login
  chatctl login alice --server chat.example.org
")]
    Login(Login),
    /// Log out
    Logout(Logout),
    /// Say how the account is; local, no network
    Status(Status),
    /// List and change profiles: accounts, each with its own history and outbox
    #[command(subcommand, arg_required_else_help = true)]
    Profile(Profile),
    /// List and change trusted server keys
    #[command(subcommand, arg_required_else_help = true)]
    Trust(Trust),
    /// Send a message
    #[command(before_help = "Examples:
  chatctl message bob \"lunch?\"
  echo \"the code is 7\" | chatctl message bob
  chatctl message oncall \"disk 91%\" --urgent --wait read --timeout 10m
  chatctl message ops -f report.txt --id build-77

Text given as an argument is visible in ps and in the shell's history; text on stdin is not.
")]
    Message(Message),
    /// Send a message to everyone online
    Broadcast(Broadcast),
    /// List conversations
    Inbox(Inbox),
    /// Read messages, oldest first, and mark what was shown as read
    #[command(before_help = "Examples:
  chatctl read
  chatctl read bob --since yesterday
  chatctl read --unread --peek
")]
    Read(Read),
    /// Count unread messages; never marks, never uses the network
    Unread(Unread),
    /// Follow what happens
    #[command(before_help = "Examples:
  chatctl watch
  chatctl watch --json --only message --from ci --count 1 --for 10m
")]
    Watch(Watch),
    /// Show one message and how far it got
    Show(Show),
    /// List own messages without a verdict, and those that failed
    Outbox,
    /// List who else is online
    Whoelse(Whoelse),
    /// List who else was online in the last SECONDS or DURATION
    Whoelsesince(Whoelsesince),
    /// Refuse messages and notices of a user
    Block(Other),
    /// Take them again
    Unblock(Other),
    /// List whom you block
    Blocked,
    /// Look at and steer chatd, the daemon
    #[command(subcommand, arg_required_else_help = true)]
    Daemon(Daemon),
    /// Look at the configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
}

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

/// Where the password comes from; never an argument or a variable.
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
    /// Show the key of a host
    Show {
        /// HOST, HOST:PORT or USER
        name: String,
    },
    /// Trust the key that a known host showed last
    Accept {
        /// The fingerprint that the admin confirmed
        #[arg(value_name = "sha256:FP")]
        fingerprint: Fingerprint,
    },
    /// Forget a host's key
    Remove {
        /// HOST or HOST:PORT
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

/// `unread`
#[derive(Debug, Args)]
pub struct Unread {
    /// Only from USER
    pub user: Option<String>,
    /// Print for a status bar
    #[arg(long, value_name = "BAR", default_value = "plain", conflicts_with = "json")]
    pub format: Bar,
}

/// Status bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bar {
    /// The number.
    Plain,
    /// Waybar's JSON.
    Waybar,
    /// Polybar.
    Polybar,
    /// tmux.
    Tmux,
    /// i3blocks.
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
    /// Messages behind this one first
    #[arg(long, value_name = "ID")]
    pub since: Option<String>,
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
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print where config, data, state, log and socket are
    Path,
    /// Check the configuration
    Check,
}

/// Sections in the order in which people need them: what it does, examples, form, arguments.
const TEMPLATE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The command line with the house's help layout on every level.
pub fn command() -> clap::Command {
    fn dress(command: clap::Command) -> clap::Command {
        command.help_template(TEMPLATE).mut_subcommands(dress)
    }
    dress(Cli::command())
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let matches = command().try_get_matches_from(line.split(' '))?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere() {
        let cli = parse("chatctl --json message bob hi there --timeout 2m").expect("parsed");
        assert_eq!((cli.global.json, cli.global.timeout), (Some(1), Duration::from_secs(120)));
        let Some(Verb::Message(message)) = cli.verb else { panic!("a message") };
        assert_eq!(message.text.text, ["hi", "there"]);
        assert_eq!(message.wait, State::Accepted);
    }

    #[test]
    fn json_versions_are_pinned() {
        assert!(parse("chatctl --json=1 status").is_ok());
        assert!(parse("chatctl --json=2 status").is_err());
        assert!(parse("chatctl --json --plain status").is_err());
    }

    #[test]
    fn verbs_are_not_guessed() {
        assert!(parse("chatctl mess bob hi").is_err());
        assert!(parse("chatctl whoels").is_err());
        assert!(parse("chatctl whoelsesince -1").is_err());
        assert!(parse("chatctl message bob - --wait failed").is_err());
        assert!(parse("chatctl message bob -").is_ok());
        assert!(parse("chatctl message bob -- --not-a-flag").is_ok());
    }
}

//! What can be typed: every verb with its flags. One definition yields parsing and help, a file a noun with
//! doc comments that are the help texts; `main` hands the result to the commands.

mod account;
mod config;
mod daemon;
mod device;
mod doctor;
mod events;
mod file;
mod help;
mod hooks;
mod message;
mod outbox;
mod people;
mod private;
mod read;
mod rpc;
mod run;
mod search;
mod shell;
mod trace;
mod unread;

pub use account::*;
pub use config::*;
pub use daemon::*;
pub use device::*;
pub use doctor::*;
pub use events::*;
pub use file::*;
pub use help::*;
pub use hooks::*;
pub use message::*;
pub use outbox::*;
pub use people::*;
pub use private::*;
pub use read::*;
pub use rpc::*;
pub use run::*;
pub use search::*;
pub use shell::*;
pub use trace::*;
pub use unread::*;

use std::path::PathBuf;
use std::time::Duration;

use chat_manual::environment::heeded;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::time::{Style, parse_duration};

/// The deadline of a call when none is given.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Talk to people from the command line: messages, presence, blocks.
#[derive(Debug, Parser)]
#[command(
    name = "chatctl",
    bin_name = "chatctl",
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

/// When to colour. The values have no help of their own: with it, -h and --help would differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    // On a terminal.
    Auto,
    // Always.
    Always,
    // Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create an account and log in
    #[command(before_help = "Examples:
  chatctl register alice --server chat.example.org
  chatctl register alice --server localhost --password-file secret.txt --trust sha256:9f2c...

Without a flag the password is asked for, twice. A server whose certificate no authority vouches for
shows its key: compare it with what its admin says (chat-server cert fingerprint) before you trust it.
")]
    Register(Register),
    /// Log in, by this device's key or by password
    #[command(before_help = "Examples:
  chatctl login
  chatctl login alice --server chat.example.org
  chatctl login alice --server chat.example.org --password-file /run/secrets/chat

In a unit of systemd: LoadCredential=chat.password:FILE, and no flag.
")]
    Login(Login),
    /// Log out
    Logout(Logout),
    /// Say how the account is; local, no network
    Status(Status),
    /// Change the account's password
    #[command(before_help = "Examples:
  chatctl passwd
  chatctl passwd --keep-others --old-password-file old.txt --new-password-file new.txt
")]
    Passwd(Passwd),
    /// List and revoke the account's devices
    #[command(subcommand, arg_required_else_help = true)]
    Device(Device),
    /// List and change profiles: accounts, each with its own history and outbox
    #[command(subcommand, arg_required_else_help = true)]
    Profile(Profile),
    /// List and change trusted keys of servers and people
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
    /// Find messages by their words, oldest first; never marks
    #[command(before_help = "Examples:
  chatctl search backup failed --from ci --since 7d
  chatctl search --regex disk.9.% -C 2

Every word must be in the message, whole or (from 3 letters) as the beginning of one, in any case;
no sign in the text means anything else. A pattern is in the syntax of Rust's regex crate, without
look-around, and minds the case: (?i) makes it not.
")]
    Search(Search),
    /// Write the whole history to stdout, oldest first; never marks, works logged out
    #[command(before_help = "Examples:
  chatctl export > history.ndjson
  chatctl export bob --format text --since 30d
  chatctl export --since \"$(tail -1 history.ndjson | jq -r .id)\" >> history.ndjson
")]
    Export(Export),
    /// Count unread messages; never marks, never uses the network
    Unread(Unread),
    /// Follow what happens
    #[command(before_help = "Examples:
  chatctl watch
  chatctl watch --json --only message --from ci --count 1 --for 10m
  chatctl watch --only message --cursor triage --exec ./handle --verbose
  chatctl watch --json --only message --cursor triage | while read -r line; do
    handle \"$line\" && chatctl ack triage \"$(jq -r .id <<<\"$line\")\" || break; done

A cursor is kept by chatd: a watch with --cursor begins behind the last acknowledged message,
whatever was killed meanwhile. Presence, receipts and the like are told as they happen and never
again. A cursor is for one reader: two that watch it at once get the same messages.
")]
    Watch(Watch),
    /// Say that everything up to a message was handled: moves a cursor of watch
    Ack(Ack),
    /// List and forget cursors of watch
    #[command(subcommand, arg_required_else_help = true)]
    Cursor(Cursor),
    /// Show one message and how far it got
    Show(Show),
    /// List own messages without a verdict, and those that failed; cancel or retry them
    #[command(args_conflicts_with_subcommands = true)]
    Outbox(Outbox),
    /// Talk to chatd in its own words: JSON-RPC 2.0, a line each, on stdin and stdout, until stdin ends
    #[command(before_help = "Example:
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"unread\"}' | chatctl rpc

The profile and the timeout are filled in where they are missing; chatctl says hello itself.
After the method watch, events come as notifications until stdin ends.
")]
    Rpc,
    /// Call one method of chatd and print its result
    #[command(before_help = "Examples:
  chatctl call unread
  chatctl call read '{\"user\": \"bob\", \"since\": \"2h\"}'

Result and error are objects of the control protocol; the exit code is that of the command.
")]
    Call(CallArgs),
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
    /// Ask a user for a private session: from daemon to daemon, unreadable for the server
    #[command(before_help = "Examples:
  chatctl startprivate bob
  chatctl startprivate bob --wait --note keys
  chatctl startprivate bob --relay-only

The two daemons connect directly when bob accepts; each proves its key to the other. Each sees the
other's address then; with --relay-only only the server's relay, which passes ciphertext.
")]
    Startprivate(Startprivate),
    /// List open private requests
    Requests(Requests),
    /// Accept a user's private request
    #[command(before_help = "Examples:
  chatctl accept alice
  chatctl accept alice --relay-only --for 1h
")]
    Accept(Accept),
    /// Decline a user's private request
    Decline(Decline),
    /// Send a text within a private session: never through the server in readable form
    #[command(before_help = "Examples:
  echo \"the code is 7\" | chatctl private bob
  chatctl private bob -f secret.txt
  chatctl private bob -e
  chatctl private bob \"see you at 3\"

Text given as an argument is visible in ps and in the shell's history; text on stdin is not:
  chatctl private bob < secret.txt
")]
    Private(Private),
    /// End a private session, or withdraw a request of your own
    Stopprivate(Stopprivate),
    /// List private sessions; compare keys
    #[command(args_conflicts_with_subcommands = true)]
    Sessions(Sessions),
    /// Send and receive files within private sessions
    #[command(subcommand, arg_required_else_help = true)]
    File(File),
    /// Look at and steer chatd, the daemon
    #[command(subcommand, arg_required_else_help = true)]
    Daemon(Daemon),
    /// Look for what is wrong between here and the server; each finding names the command that mends it
    #[command(before_help = "Examples:
  chatctl doctor
  chatctl doctor --bundle report.txt
")]
    Doctor(Doctor),
    /// Look at the configuration and change it
    #[command(subcommand, arg_required_else_help = true)]
    Config(Config),
    /// Type commands line by line and see what happens meanwhile
    #[command(before_help = "Examples:
  chatctl shell
  chatctl shell alice --server chat.example.org
  printf 'message bob lunch?\\nwhoelse\\n' | chatctl shell

Lines are message bob TEXT, whoelse, block bob and so on; help lists them. Without a terminal the
lines come from stdin, one result after the other; when nobody is logged in, the first two are
name and password.
")]
    Shell(ShellArgs),
    /// Explain a command or a topic: exit-codes, environment, json, files, privacy, scripting
    Help(Help),
    /// Print a page of the manual
    #[command(before_help = "Examples:
  chatctl man
  chatctl man message
  chatctl man chat-json
  chatctl man --dir /usr/local/share/man
")]
    Man(Man),
    /// Print the JSON Schema of what --json prints
    Schema(Schema),
    /// Print the completion script of a shell
    #[command(before_help = "Examples:
  bash:  source <(chatctl completions bash)        in ~/.bashrc
  zsh:   source <(chatctl completions zsh)         in ~/.zshrc, behind compinit
  fish:  chatctl completions fish | source         in ~/.config/fish/config.fish
")]
    Completions(Completions),
    /// Show what happened to one message, when, and what it waits for
    #[command(before_help = "Examples:
  chatctl trace m7k2
  chatctl --json trace build-77

Times are those of this host. Of an own message the server is asked too, when it can be reached.
")]
    Trace(Trace),
    /// Run a command and send USER how it ended; the exit code is the command's
    #[command(before_help = "Examples:
  chatctl run --to ops --on failure -- /usr/local/sbin/backup.sh
  chatctl run --to oncall -- /usr/local/sbin/nightly.sh

The command has this terminal's input; its output goes through here as it comes. A message that cannot go
out now is kept and goes out later. Trouble with the message is said on stderr and changes no exit code.
")]
    Run(Run),
    /// Look at hooks: programs that chatd runs when something happens
    #[command(subcommand, arg_required_else_help = true, before_help = HOOKS_HELP)]
    Hooks(Hooks),
}

/// How a hook is written, and what it gets.
const HOOKS_HELP: &str = "A hook stands in the configuration file (chatctl config path):
  hook = [ { on = \"message\", from = [\"ci\"], run = [\"/usr/local/bin/page\"], timeout = \"10s\" } ]

  on           message, presence, private_request, private_ended, file_offer, login, link
  run          the program, a full path, and its arguments; no shell
  from         only of these people
  profile      only in this profile
  timeout      then it is ended with all that it started (10s)
  retries      a failed run is repeated so often (4); after that it is a dead letter
  retry_after  wait before the first repetition, then four times as long (2s)
  name         what hooks list calls it

It gets the event on stdin, as watch --json prints it, and in its environment CHAT_EVENT,
CHAT_FROM, CHAT_ID, CHAT_PROFILE, CHAT_SOCKET, PATH, HOME, USER, LOGNAME, LANG, LC_ALL and TZ; in a
test CHAT_TEST=1. Exit 0 means done. A hook runs once at a time; for a message it runs at least once,
also after a crash: CHAT_ID tells whether it is the same one. What it prints goes to chatd's log.

Examples:
  chatctl hooks list
  chatctl hooks test message
  chatctl hooks replay --all
";

/// Sections in the order in which people need them: what it does, examples, form, arguments.
const TEMPLATE: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The command line with the house's help layout on every level.
pub fn command() -> clap::Command {
    fn dress(command: clap::Command) -> clap::Command {
        command.help_template(TEMPLATE).disable_help_subcommand(true).mut_subcommands(dress)
    }
    heeded(dress(Cli::command()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_proto::control::message::State;
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

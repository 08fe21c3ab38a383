//! Control calls about hooks: programs of the user that chatd runs when something happens.

use serde::{Deserialize, Serialize};

use crate::display;

/// What a hook waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A message of somebody else is in the history.
    Message,
    /// Somebody came or went.
    Presence,
    /// Somebody asks for a private session.
    PrivateRequest,
    /// A private session is over.
    PrivateEnded,
    /// Somebody offers a file.
    FileOffer,
    /// This account logged in or out.
    Login,
    /// The link to the server changed.
    Link,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Occasion; 7] = [
        Occasion::Message,
        Occasion::Presence,
        Occasion::PrivateRequest,
        Occasion::PrivateEnded,
        Occasion::FileOffer,
        Occasion::Login,
        Occasion::Link,
    ];

    /// The word in the configuration, on the command line and in `CHAT_EVENT`.
    pub fn word(self) -> &'static str {
        match self {
            Occasion::Message => "message",
            Occasion::Presence => "presence",
            Occasion::PrivateRequest => "private_request",
            Occasion::PrivateEnded => "private_ended",
            Occasion::FileOffer => "file_offer",
            Occasion::Login => "login",
            Occasion::Link => "link",
        }
    }

    /// Whether somebody else caused it, so that a hook can ask for certain people.
    pub fn has_person(self) -> bool {
        !matches!(self, Occasion::Login | Occasion::Link)
    }
}

impl std::str::FromStr for Occasion {
    type Err = String;

    fn from_str(text: &str) -> Result<Occasion, String> {
        let known = Occasion::ALL.into_iter().find(|one| one.word() == text);
        known.ok_or_else(|| format!("use one of {}", Occasion::ALL.map(Occasion::word).join(", ")))
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Outcome {
    /// By itself; 0 is success.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// By a signal that chatd did not send.
    Killed {
        /// Its number.
        signal: i32,
    },
    /// It ran longer than it may and was ended with all that it had started.
    TimedOut,
    /// It could not be started.
    NotStarted {
        /// What the system said.
        detail: String,
    },
}

impl Outcome {
    /// It could not be started, for what the system said.
    pub fn not_started(error: &impl std::fmt::Display) -> Outcome {
        Outcome::NotStarted { detail: display::cause(&error.to_string()).into_owned() }
    }

    /// Whether the hook did its work.
    pub fn is_success(&self) -> bool {
        *self == Outcome::Exited { code: 0 }
    }
}

/// Which hooks are there, and how do they do?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HooksList {
    /// Profile.
    pub profile: String,
}

/// Answer to [`HooksList`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// In the order of the configuration.
    pub items: Vec<Hook>,
    /// The configuration was changed since chatd read it.
    pub config_changed: bool,
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// What it waits for.
    pub on: Occasion,
    /// Only of these people; empty: of everybody.
    pub from: Vec<String>,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// A run may take so long.
    pub timeout_ms: u64,
    /// A failed run is repeated so often.
    pub retries: u32,
    /// Runs that ended.
    pub runs: u64,
    /// Runs that failed.
    pub failures: u64,
    /// When the last run ended.
    #[serde(default)]
    pub last_at_ms: Option<i64>,
    /// How the last failed run ended, when no later one succeeded.
    #[serde(default)]
    pub last_error: Option<Outcome>,
    /// It runs now.
    pub running: bool,
    /// Events that wait for their first run.
    pub waiting: u64,
    /// Events that failed and are tried again by themselves.
    pub retrying: u64,
    /// Events that failed for good.
    pub dead: u64,
    /// Events that were left out because too many waited; messages never are.
    pub missed: u64,
}

/// Run hooks once now with a sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HooksTest {
    /// Profile.
    pub profile: String,
    /// Those that wait for this.
    pub on: Occasion,
    /// Only the one with this name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A test run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The hook.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub duration_ms: u64,
    /// The beginning of what it printed, on stdout and stderr.
    pub output: String,
    /// It printed more.
    pub cut: bool,
}

/// Which events failed for good?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HooksLetters {
    /// Profile.
    pub profile: String,
}

/// An event for which a hook failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number.
    pub id: u64,
    /// The hook.
    pub hook: String,
    /// The message's id, where it is a message.
    #[serde(default)]
    pub message: Option<String>,
    /// Who caused it.
    #[serde(default)]
    pub from: Option<String>,
    /// When the last run ended.
    pub at_ms: i64,
    /// Runs so far.
    pub tries: u32,
    /// How the last one ended.
    pub outcome: Outcome,
}

/// Try dead letters again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HooksReplay {
    /// Profile.
    pub profile: String,
    /// Only this one; absent: all.
    #[serde(default)]
    pub id: Option<u64>,
}

/// Forget dead letters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HooksDrop {
    /// Profile.
    pub profile: String,
    /// Only this one; absent: all.
    #[serde(default)]
    pub id: Option<u64>,
}

/// How many dead letters that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letters {
    /// So many.
    pub count: u64,
}

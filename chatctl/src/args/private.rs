//! The flags of private sessions.

use std::time::Duration;

use chat_proto::control::message::State;
use clap::{ArgGroup, Args, Subcommand};

use super::TextArgs;
use super::message::parse_goal;
use crate::time::parse_duration;

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

fn parse_private_goal(text: &str) -> Result<State, String> {
    match parse_goal(text) {
        Ok(goal @ (State::Queued | State::Delivered | State::Read)) => Ok(goal),
        _ => Err("use queued, delivered or read".to_owned()),
    }
}

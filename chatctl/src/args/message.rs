//! The flags of `message`, `broadcast` and `show`.

use std::ffi::OsString;
use std::path::PathBuf;

use chat_proto::control::message::State;
use clap::Args;

/// Where a text comes from.
#[derive(Debug, Args)]
pub struct TextArgs {
    /// The text; "-" or nothing: read it from stdin
    pub text: Vec<OsString>,
    /// Read the text from FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "text")]
    pub file: Option<PathBuf>,
    /// Write the text in the editor ($VISUAL, $EDITOR)
    #[arg(short, long, conflicts_with_all = ["text", "file"])]
    pub edit: bool,
}

/// `message`
#[derive(Debug, Args)]
pub struct Message {
    /// Recipient
    pub user: String,
    #[command(flatten)]
    pub text: TextArgs,
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
    /// The text; "-" or nothing: read it from stdin
    pub text: Vec<OsString>,
    /// Makes a retry safe: the same KEY never sends twice
    #[arg(long, value_name = "KEY")]
    pub id: Option<String>,
    /// Wait until it is queued or accepted
    #[arg(long, value_name = "STATE", num_args = 0..=1, require_equals = true, default_value = "accepted", default_missing_value = "accepted", value_parser = parse_broadcast_goal)]
    pub wait: State,
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

pub(super) fn parse_goal(text: &str) -> Result<State, String> {
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

//! The flags of `watch`, `ack` and `cursor`.

use std::ffi::OsString;
use std::time::Duration;

use chat_proto::control::events::Topic;
use chat_proto::id::CursorName;
use clap::{Args, Subcommand};

use crate::time::parse_duration;

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

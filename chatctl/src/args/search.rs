//! The flags of `search` and `export`.

use chat_proto::limits::CONTEXT_MAX;
use clap::{Args, ValueEnum};

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

//! The flags of `inbox` and `read`.

use clap::Args;

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

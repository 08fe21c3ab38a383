//! The flags of `help`, `man`, `schema` and `completions`.

use std::path::PathBuf;

use chat_manual::shells::Shell;
use clap::Args;

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

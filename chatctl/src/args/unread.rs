//! The flags of `unread`.

use clap::{Args, ValueEnum};

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

//! The flags of `daemon`.

use clap::Subcommand;

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
    /// Have the system start chatd for you: a unit of your own, started with your sessions and by the first command
    Install {
        /// Keep it running while you are logged out, and start it with the host
        #[arg(long)]
        linger: bool,
    },
    /// Undo install; what waits to be sent stays on disk
    Uninstall,
}

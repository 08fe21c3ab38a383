//! The flags of `hooks`.

use chat_proto::control::hooks::Occasion;
use clap::{ArgGroup, Subcommand};

/// `hooks`
#[derive(Debug, Subcommand)]
pub enum Hooks {
    /// List hooks with their runs, failures and dead letters
    List,
    /// Run the hooks that wait for EVENT once now, with a sample; exit 1 when one fails
    Test {
        /// message, presence, private_request, private_ended, file_offer, login or link
        event: Occasion,
        /// Only the hook with this name
        #[arg(long, value_name = "HOOK")]
        name: Option<String>,
    },
    /// List dead letters: events for which a hook failed for good
    Letters,
    /// Try dead letters again
    #[command(group = ArgGroup::new("which").required(true))]
    Replay {
        /// Only this one
        #[arg(group = "which")]
        id: Option<u64>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
    /// Forget dead letters
    #[command(group = ArgGroup::new("which").required(true))]
    Drop {
        /// Only this one
        #[arg(group = "which")]
        id: Option<u64>,
        /// All of them
        #[arg(long, group = "which")]
        all: bool,
    },
}

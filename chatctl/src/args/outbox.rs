//! The flags of `outbox`.

use clap::{Args, Subcommand};

/// `outbox`
#[derive(Debug, Args)]
pub struct Outbox {
    /// What to do; nothing: list
    #[command(subcommand)]
    pub verb: Option<OutboxVerb>,
}

/// `outbox cancel`, `outbox retry`
#[derive(Debug, Subcommand)]
pub enum OutboxVerb {
    /// Give up a message that the server has not decided on; exit 1 says that it was too late, and how far it got
    Cancel {
        /// Id, the end of one, or the --id it was sent with
        id: String,
    },
    /// Try now what waits; or send a failed message again, once however often this is run
    #[command(before_help = "Examples:
  chatctl outbox retry                  # what waits is tried now, under its id
  chatctl outbox retry m7k2             # what failed is sent again as a new message
")]
    Retry {
        /// One message: id, the end of one, or the --id it was sent with
        id: Option<String>,
    },
}

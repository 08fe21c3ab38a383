//! The flags of `trace`.

use clap::Args;

/// `trace`
#[derive(Debug, Args)]
pub struct Trace {
    /// The message: its id, an unambiguous end of it, or its key
    pub id: String,
}

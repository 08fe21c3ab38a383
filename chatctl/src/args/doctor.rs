//! The flags of `doctor`.

use std::path::PathBuf;

use clap::Args;

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Write a report for whoever helps into FILE, without names, addresses, keys and texts
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}

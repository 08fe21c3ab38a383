//! The flags of `device`.

use clap::Subcommand;

/// `device`
#[derive(Debug, Subcommand)]
pub enum Device {
    /// List the account's devices
    List,
    /// Log a device out and forget its key: it needs the password to come back
    Revoke {
        /// The start of its id, or its name
        #[arg(value_name = "ID")]
        device: String,
    },
}

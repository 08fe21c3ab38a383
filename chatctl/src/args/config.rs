//! The flags of `config`, `profile` and `trust`.

use chat_proto::id::Fingerprint;
use clap::Subcommand;

/// `profile`
#[derive(Debug, Subcommand)]
pub enum Profile {
    /// List profiles
    List,
    /// Make an empty profile
    Add {
        /// Its name
        name: String,
    },
    /// Erase a profile with its history, outbox and device key
    Remove {
        /// Its name
        name: String,
        /// Although messages wait in its outbox
        #[arg(long)]
        force: bool,
    },
    /// Use a profile when none is named
    Default {
        /// Its name
        name: String,
    },
}

/// `trust`
#[derive(Debug, Subcommand)]
pub enum Trust {
    /// List trusted keys
    List,
    /// Show the key of a host or person
    Show {
        /// HOST, HOST:PORT or USER
        name: String,
    },
    /// Trust the key that a known host or person showed last
    Accept {
        /// The fingerprint that the admin, or the person, confirmed
        #[arg(value_name = "sha256:FP")]
        fingerprint: Fingerprint,
    },
    /// Forget the key of a host or person
    Remove {
        /// HOST, HOST:PORT or USER
        name: String,
    },
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print where config, data, state, log and socket are
    Path,
    /// Check the configuration
    Check,
    /// Print the value of a key
    Get {
        /// The key, e.g. receipts.send_read
        key: String,
    },
    /// Set a key; comments are kept
    Set {
        /// The key, e.g. receipts.send_read
        key: String,
        /// Its value: true, 5, a text, or TOML such as [\"a\", \"b\"]
        value: String,
    },
    /// List all keys with their values
    List,
    /// Write the configuration in the editor ($VISUAL, $EDITOR)
    Edit,
}

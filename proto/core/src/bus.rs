//! What server nodes say to each other: "there may be something new for this account", and nothing more.
//!
//! A hint has no authority and no content: a bus that loses, delays, doubles or forges costs latency, nothing else.

use crate::id::AccountName;

/// A wake-up hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The inbox of this account may have grown.
    Inbox(AccountName),
    /// The presence of this account may have changed.
    Presence(AccountName),
}

//! The chat server: accounts, inboxes, relaying.
pub mod store;

//! The chat server: accounts, inboxes, relaying.
pub mod message;
pub mod store;

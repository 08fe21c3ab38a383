//! The operator's verbs that are not `run`: called by `main`, answered from files or by the running server.

pub mod init;
pub mod socket;
pub mod user;

//! The operator's verbs that are not `run`. Each noun's file holds its [`Call`]s: what is asked, what is answered, and how.
//!
//! A verb asks with [`ask()`]: the running server over its admin socket, or, where no server runs and the verb needs none, the
//! store itself under its lock. Both end in the same [`Call::answer`], on a [`Desk`].

mod ask;
pub mod audit;
pub mod backup;
mod call;
mod caller;
pub mod daemon;
pub mod db;
mod desk;
pub mod init;
pub mod invite;
pub mod session;
pub mod socket;
pub mod user;
pub mod words;

pub use ask::{Allowed, AskError, Line, Talk, ask};
pub use call::{Call, METHODS, Refusal, Secret};
pub use caller::Caller;
pub use desk::{Closed, Desk};

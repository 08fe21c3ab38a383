//! Consent to private sessions: who asked whom, who answered what, and what each side is told (mission rules 22 to 24).
//!
//! [`broker`] is the server's side, which decides; [`requests`] is that of one profile in its chatd.

pub mod broker;
pub mod requests;

//! Consent to private sessions: who asked whom, who answered what, and what each side is told (mission rules 22 to 24).

pub mod requests;

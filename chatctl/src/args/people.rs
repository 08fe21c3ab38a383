//! The flags of `whoelse`, `whoelsesince`, `block` and `unblock`.

use std::time::Duration;

use clap::Args;

use crate::time::parse_duration;

/// `whoelse`
#[derive(Debug, Args)]
pub struct Whoelse {
    /// Only USER
    pub user: Option<String>,
}

/// `whoelsesince`
#[derive(Debug, Args)]
pub struct Whoelsesince {
    /// How far back: seconds, or 90s, 15m, 2h, 3d
    #[arg(value_name = "SECONDS or DURATION", value_parser = parse_duration)]
    pub since: Duration,
}

/// `block`, `unblock`
#[derive(Debug, Args)]
pub struct Other {
    /// Whom
    pub user: String,
}

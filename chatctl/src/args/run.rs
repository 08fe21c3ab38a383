//! The flags of `run`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// Who is told
    #[arg(long, value_name = "USER")]
    pub to: String,
    /// Tell always, or only when it failed
    #[arg(long, value_name = "WHEN", default_value = "always")]
    pub on: Told,
    /// Send the last N lines of its output
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = parse_lines)]
    pub tail: usize,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// When `run` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Told {
    // Whatever happens.
    Always,
    // It failed.
    Failure,
}

fn parse_lines(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|lines| *lines <= 1000).ok_or_else(|| "use 0 to 1000".to_owned())
}

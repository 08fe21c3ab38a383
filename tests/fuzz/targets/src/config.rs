//! The configuration files of both daemons, as written: any text is taken or refused with a place, never a panic.

use std::path::Path;

use chat_process::config::{ConfigError, parse};

#[path = "../../../../chatd/server/src/config/mod.rs"]
#[allow(dead_code, unused_imports)]
mod server;

/// One text as either daemon's file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    explained(text, parse::<server::Written>(text, Path::new("f.toml")).err());
}

/// A refusal names the file and, where it names a place, one that exists.
fn explained(text: &str, refusal: Option<ConfigError>) {
    let Some(refusal) = refusal else {
        return;
    };
    assert!(refusal.to_string().starts_with("f.toml"));
    if let Some((line, column)) = refusal.place {
        assert!(line <= text.matches('\n').count() + 1 && column <= text.chars().count() + 1);
    }
}

//! The configuration files of both daemons: any text is taken or refused with a place that exists, never a panic.

use std::path::PathBuf;

use chat_process::config::ConfigError;
use chat_server::config::Layout;

/// One text as either daemon's file; the daemons read files alone, so it goes through one.
pub fn config(data: &[u8]) {
    let file = std::env::temp_dir().join(format!("chat-fuzz-config-{}.toml", std::process::id()));
    if std::fs::write(&file, data).is_err() {
        // no room for the file says nothing about the parsers
        return;
    }
    let text = String::from_utf8_lossy(data);
    explained(&text, &file, chatd::config::Config::load(&file, true).err());
    explained(&text, &file, chat_server::config::load(&Layout::new(None, Some(&file)), "host").err());
    let _ = std::fs::remove_file(&file);
}

/// A refusal names the file and, where it names a place, one that exists.
fn explained(text: &str, file: &PathBuf, refusal: Option<ConfigError>) {
    let Some(refusal) = refusal else {
        return;
    };
    assert_eq!(&refusal.file, file);
    assert!(refusal.to_string().starts_with(&*file.to_string_lossy()));
    if let Some((line, column)) = refusal.place {
        assert!(line <= text.matches('\n').count() + 1 && column <= text.chars().count() + 1);
    }
}

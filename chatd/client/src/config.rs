//! The configuration: as written (strict: unknown keys are refused with a suggestion), then as meant.

use std::collections::BTreeMap;
use std::path::Path;

use chat_process::config::{ConfigError, load};
use serde::Deserialize;

/// The file as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    default_profile: Option<String>,
    profile: BTreeMap<String, WrittenProfile>,
    receipts: WrittenReceipts,
    log: WrittenLog,
    /// chatctl's; read there.
    display: toml::Table,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenProfile {
    server: String,
    user: String,
    autologin: bool,
}

impl Default for WrittenProfile {
    fn default() -> Self {
        WrittenProfile { server: String::new(), user: String::new(), autologin: true }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenReceipts {
    send_read: bool,
}

impl Default for WrittenReceipts {
    fn default() -> Self {
        WrittenReceipts { send_read: true }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenLog {
    level: Option<String>,
}

/// A profile that the file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Server; empty when not said.
    pub server: String,
    /// Account; empty when not said.
    pub user: String,
    /// Connect at start when it was logged in.
    pub autologin: bool,
}

/// The configuration as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The profile used when none is named.
    pub default_profile: Option<String>,
    /// Profiles that the file names.
    pub profiles: BTreeMap<String, Named>,
    /// Tell senders what was read.
    pub send_read: bool,
    /// Level of the log.
    pub log_level: Option<String>,
}

impl Config {
    /// Reads the file; without one everything has its default. A file that was asked for must be there.
    pub fn load(file: &Path, asked_for: bool) -> Result<Config, ConfigError> {
        let written = match file.exists() || asked_for {
            true => load::<Written>(file)?,
            false => Written::default(),
        };
        written.meant().map_err(|(key, problem)| ConfigError {
            file: file.to_owned(),
            place: None,
            key: Some(key),
            problem,
            suggestion: None,
        })
    }
}

impl Written {
    fn meant(self) -> Result<Config, (String, String)> {
        let named = |(name, p): (String, WrittenProfile)| match is_profile_name(&name) {
            true => Ok((name, Named { server: p.server, user: p.user, autologin: p.autologin })),
            false => Err((format!("profile.{name}"), "not a name for a profile".to_owned())),
        };
        if let Some(level) = self.log.level.as_deref().filter(|level| !LEVELS.contains(level)) {
            return Err(("log.level".into(), format!("{level:?} is none of {}", LEVELS.join(", "))));
        }
        Ok(Config {
            default_profile: self.default_profile,
            profiles: self.profile.into_iter().map(named).collect::<Result<_, _>>()?,
            send_read: self.receipts.send_read,
            log_level: self.log.level,
        })
    }
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Whether a text can name a profile: it becomes the name of directories.
pub fn is_profile_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    first
        && name.len() <= chat_proto::limits::NAME_MAX
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &str) -> Result<Config, String> {
        let written: Written =
            chat_process::config::parse(text, Path::new("config.toml")).map_err(|error| error.to_string())?;
        written.meant().map_err(|(key, problem)| format!("{key}: {problem}"))
    }

    #[test]
    fn defaults_and_profiles() {
        let config = meant("").expect("empty is right");
        assert!(config.send_read && config.profiles.is_empty());
        let config =
            meant("default_profile = \"work\"\nprofile.work = { server = \"chat.example.org\", user = \"alice\" }\n")
                .expect("right");
        assert!(config.profiles["work"].autologin);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(meant("[receipts]\nsend_raed = true").expect_err("unknown").contains("did you mean \"send_read\"?"));
        assert!(meant("log.level = \"loud\"").expect_err("no level").contains("log.level"));
        assert!(meant("profile.\"../x\" = {}").expect_err("no name").contains("profile"));
        for bad in ["", ".x", "a/b", "a b", "-a", &"a".repeat(33)] {
            assert!(!is_profile_name(bad), "{bad}");
        }
    }
}

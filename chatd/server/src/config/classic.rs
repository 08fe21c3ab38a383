//! The classic profile as flags of `run`: the shipped `classic.toml` over the configuration that is there, and what the flags
//! say over both. Nothing in it is hidden: every rule is a key of that file.

use std::path::PathBuf;

use chat_process::config::{ConfigError, load_layers_under};

use super::values::{Listen, Wait};
use super::{Config, Layout, Written, files, mean};

/// The file as it is shipped.
pub const PROFILE: &str = include_str!("../../../../packaging/config/classic.toml");

/// What the flags say; what they do not is as in the file.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    /// `--port`: in place of the port of every address in `listen`.
    pub port: Option<u16>,
    /// `--block-duration`: `auth.lockout_duration`.
    pub block_duration: Option<Wait>,
    /// `--timeout`: `sessions.idle_after`.
    pub timeout: Option<Wait>,
    /// `--credentials`: `auth.credentials`, from the caller's directory on.
    pub credentials: Option<PathBuf>,
}

impl Classic {
    /// Whether any of the flags was given: one is enough for the whole profile.
    pub fn is_asked_for(&self) -> bool {
        self.port.is_some() || self.block_duration.is_some() || self.timeout.is_some() || self.credentials.is_some()
    }

    fn lay_over(&self, keys: &mut Written) {
        if let Some(port) = self.port {
            keys.listen.iter_mut().for_each(|Listen(address)| address.set_port(port));
        }
        if let Some(duration) = self.block_duration {
            keys.auth.lockout_duration = duration;
        }
        if let Some(timeout) = self.timeout {
            keys.sessions.idle_after = timeout;
        }
        if let Some(file) = &self.credentials {
            keys.auth.credentials.clone_from(file);
        }
    }
}

/// Loads the configuration with the classic profile over it.
pub fn load(layout: &Layout, host_name: &str, flags: &Classic) -> Result<Config, ConfigError> {
    let files = files(&layout.config)?;
    let mut keys: Written = load_layers_under(&files, &[("classic.toml", PROFILE)])?;
    flags.lay_over(&mut keys);
    mean(keys, files, layout, host_name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Devices, Idle, LockoutBy, Names, template};

    #[test]
    fn flags_lie_over_the_file_and_the_file_over_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(Some(dir.path()), None);
        let text = template::text(&layout, "chat.example.org", Some("127.0.0.1:7443"));
        std::fs::write(&layout.config, text).unwrap();
        let usual = load(&layout, "host", &Classic::default()).unwrap();
        assert_eq!(usual.keys.names, Names::Classic);
        assert_eq!((usual.keys.sessions.policy, usual.keys.sessions.idle), (Devices::Refuse, Idle::Logout));
        assert_eq!(usual.keys.auth.lockout_by, LockoutBy::Account);
        assert_eq!(usual.credentials.as_deref(), Some(dir.path().join("credentials.txt").as_path()));
        assert_eq!(usual.name, "chat.example.org", "what the profile does not speak of stays");
        let flags = Classic {
            port: Some(4711),
            block_duration: Some(Wait::secs(3)),
            timeout: Some(Wait::secs(5)),
            credentials: Some("/elsewhere".into()),
        };
        let meant = load(&layout, "host", &flags).unwrap();
        assert_eq!(meant.listen, ["127.0.0.1:4711".parse().unwrap()]);
        assert_eq!(meant.keys.auth.lockout_duration, Wait::secs(3));
        assert_eq!(meant.keys.sessions.idle_after, Wait::secs(5));
        assert_eq!(meant.credentials.as_deref(), Some(Path::new("/elsewhere")));
    }

    #[test]
    fn the_shipped_file_is_the_strict_form_of_every_rule_and_nothing_else() {
        let mut keys: Written = chat_process::config::parse(PROFILE, Path::new("classic.toml")).unwrap();
        let usual = Written::default();
        assert!(keys.registration.at_login && keys.auth.tell_names && keys.auth.lock_devices);
        assert!(!keys.auth.lockout_doubles && keys.sessions.forget_device_at_logout);
        assert!(keys.messages.tell_missed && keys.presence.seen_since_start);
        (keys.names, keys.auth, keys.registration) = (usual.names, usual.auth.clone(), usual.registration.clone());
        (keys.sessions.policy, keys.sessions.idle) = (usual.sessions.policy, usual.sessions.idle);
        keys.sessions.forget_device_at_logout = false;
        keys.messages.tell_missed = false;
        keys.presence.seen_since_start = false;
        let connections = keys.limits.connections;
        keys.limits = usual.limits.clone();
        assert_eq!(connections, usual.limits.connections);
        assert_eq!(format!("{keys:?}"), format!("{usual:?}"));
    }
}

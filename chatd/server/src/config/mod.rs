//! The configuration as it is meant: paths resolved, values checked. `main` loads it, the assembly takes it apart.
//!
//! Two layers (house rule 8): [`written`] is what the file says, this is what the server does with it.

pub mod classic;
pub mod flat;
pub mod template;
pub mod values;
pub mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chat_process::config::{ConfigError, find, load_layers};
use chat_proto::limits;

pub use classic::Classic;
pub use values::{Addresses, Devices, Format, Idle, Level, LockoutBy, Names, Registration};
pub use written::Written;

/// Where systemd keeps the credentials of our unit: its operator's verbs look there too, without being told.
const UNIT_CREDENTIALS: &str = "/run/credentials/chat-server.service";
/// The credential that is the private key of the certificate. One that is there counts in place of `tls.key`.
pub const KEY_CREDENTIAL: &str = "chat-server.tls-key";

/// The port of chat-server.
pub const PORT: u16 = 7443;

/// Where everything is, before the configuration says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The configuration file.
    pub config: PathBuf,
    /// Where relative paths in it start: `--dir`, else its directory.
    pub base: PathBuf,
    /// The database and the server's key.
    pub data: PathBuf,
    /// Certificate and its key.
    pub tls: PathBuf,
    /// Sockets and what changes with every start.
    pub run: PathBuf,
    /// Backups.
    pub backup: PathBuf,
    /// Whether it is all under one directory (`--dir`).
    pub own: bool,
    /// What the service manager gives to its units' processes to read.
    pub credentials: Option<PathBuf>,
}

impl Layout {
    /// The system's places, or everything under `dir`; `config` names another configuration file.
    pub fn new(dir: Option<&Path>, config: Option<&Path>) -> Layout {
        let mut layout = match dir {
            Some(dir) => Layout {
                config: dir.join("chat-server.toml"),
                base: dir.to_owned(),
                data: dir.join("data"),
                tls: dir.join("tls"),
                run: dir.join("run"),
                backup: dir.join("backups"),
                own: true,
                credentials: None,
            },
            None => Layout {
                config: "/etc/chat-server/chat-server.toml".into(),
                base: "/etc/chat-server".into(),
                data: "/var/lib/chat-server".into(),
                tls: "/etc/chat-server/tls".into(),
                run: "/run/chat-server".into(),
                backup: "/var/backups/chat-server".into(),
                own: false,
                credentials: Some(UNIT_CREDENTIALS.into()),
            },
        };
        if let Some(config) = config {
            layout.config = config.to_owned();
            if !layout.own {
                layout.base = config.parent().unwrap_or(Path::new("")).to_owned();
            }
        }
        layout
    }

    /// With the directory that the service manager names (CREDENTIALS_DIRECTORY); an empty name is none.
    pub fn with_credentials(self, dir: Option<PathBuf>) -> Layout {
        Layout { credentials: dir.filter(|dir| !dir.as_os_str().is_empty()).or(self.credentials), ..self }
    }

    /// A credential, where there is one of this name.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        self.credentials.as_ref().map(|dir| dir.join(name)).filter(|path| path.exists())
    }
}

/// What the server is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// The server's name for people.
    pub name: String,
    /// The certificate chain in PEM.
    pub cert: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
    /// Database and server key.
    pub data: PathBuf,
    /// The credentials file, where there is one.
    pub credentials: Option<PathBuf>,
    /// The admin socket.
    pub admin_socket: PathBuf,
    /// Sockets and what changes with every start.
    pub run: PathBuf,
    /// Where health and metrics are, over HTTP on this host.
    pub http: Option<SocketAddr>,
    /// Where the relay for private sessions listens, over TCP and UDP.
    pub relay: Option<SocketAddr>,
    /// Where backups go.
    pub backups: PathBuf,
    /// The files that this was read from: the main one first, then its drop-ins.
    pub files: Vec<PathBuf>,
    /// Everything that needs no other form than the written one.
    pub keys: Written,
}

impl Config {
    /// Whether the private key of the certificate is a credential of the service manager, which reads it anew at each start alone.
    pub fn key_is_credential(&self) -> bool {
        self.key.ends_with(KEY_CREDENTIAL)
    }
}

/// Loads the file and its drop-ins (`chat-server.d/*.toml` beside it, in the order of their names, later ones win).
pub fn load(layout: &Layout, host_name: &str) -> Result<Config, ConfigError> {
    let files = files(&layout.config)?;
    let keys: Written = load_layers(&files)?;
    mean(keys, files, layout, host_name)
}

/// The configuration of an empty file.
pub fn usual(layout: &Layout, host_name: &str) -> Result<Config, ConfigError> {
    mean(Written::default(), vec![layout.config.clone()], layout, host_name)
}

fn files(main: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = vec![main.to_owned()];
    let folder = main.with_extension("d");
    let unreadable = |error: std::io::Error| wrong(&folder, None, format!("cannot be read: {error}"));
    match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(unreadable(error)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(unreadable)?.path();
                if path.extension().is_some_and(|ending| ending == "toml") {
                    files.push(path);
                }
            }
        }
    }
    files[1..].sort();
    Ok(files)
}

/// From words to meaning; `files` are where the words stand.
pub(crate) fn mean(
    keys: Written,
    files: Vec<PathBuf>,
    layout: &Layout,
    host_name: &str,
) -> Result<Config, ConfigError> {
    check(&keys).map_err(|(key, problem)| {
        let (file, place) =
            find(&files, key).map_or((layout.config.clone(), None), |(file, place)| (file, Some(place)));
        ConfigError { place, ..wrong(&file, Some(key), problem) }
    })?;
    let place =
        |written: &Option<PathBuf>, usual: PathBuf| written.as_ref().map_or(usual, |path| layout.base.join(path));
    let name = if keys.name.is_empty() { host_name.to_owned() } else { keys.name.clone() };
    Ok(Config {
        listen: keys.listen.iter().map(|listen| listen.0).collect(),
        name,
        cert: place(&keys.tls.cert, layout.tls.join("fullchain.pem")),
        key: layout.credential(KEY_CREDENTIAL).unwrap_or_else(|| place(&keys.tls.key, layout.tls.join("privkey.pem"))),
        data: place(&keys.storage.dir, layout.data.clone()),
        credentials: Some(&keys.auth.credentials)
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| layout.base.join(path)),
        admin_socket: place(&keys.admin.socket, layout.run.join("admin.sock")),
        run: layout.run.clone(),
        // Checked above.
        http: keys.admin.http.parse().ok(),
        relay: keys.private.relay_listen.parse().ok(),
        backups: place(&keys.backup.dir, layout.backup.clone()),
        files,
        keys,
    })
}

/// What no single value shows: the key and what is wrong with it.
fn check(keys: &Written) -> Result<(), (&'static str, String)> {
    let within = |key, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err((key, format!("{value} is not between {least} and {most}")))
        }
    };
    if keys.listen.is_empty() {
        return Err(("listen", "names no address".into()));
    }
    within("sessions.devices_per_user", keys.sessions.devices_per_user.into(), 1, limits::DEVICES_MAX as u64)?;
    within("messages.max_size", keys.messages.max_size.0, 1, limits::TEXT_MAX as u64)?;
    within("messages.offline_max_per_user", keys.messages.offline_max_per_user, 1, u64::from(u32::MAX))?;
    within("auth.lockout_duration", keys.auth.lockout_duration.0.as_secs(), 1, 86_400)?;
    if keys.registration.at_login && !keys.auth.tell_names {
        return Err((
            "registration.at_login",
            "needs auth.tell_names: who is not told of a name cannot be asked".into(),
        ));
    }
    within("limits.connections", keys.limits.connections.into(), 0, 1_000_000)?;
    within("sessions.idle_after", keys.sessions.idle_after.0.as_secs(), 1, 365 * 86_400)?;
    within("tls.reload_check", keys.tls.reload_check.0.as_secs(), 1, 86_400)?;
    within("private.request_ttl", keys.private.request_ttl.0.as_secs(), 1, limits::REQUEST_TTL_MAX.as_secs())?;
    within("sessions.grace", keys.sessions.grace.0.as_secs(), 0, 3600)?;
    within("limits.relay_bytes_per_second", keys.limits.relay_bytes_per_second.0, 0, u64::from(u32::MAX))?;
    let relay = &keys.private.relay_listen;
    if !relay.is_empty() {
        let address: SocketAddr = relay.parse().map_err(|_| {
            let problem = format!("\"{relay}\" is not an address with a port such as \"[::]:7444\"");
            ("private.relay_listen", problem)
        })?;
        if address.port() != 0 && keys.listen.iter().any(|listen| listen.0.port() == address.port()) {
            let problem = format!("port {} is that of \"listen\": the relay needs its own", address.port());
            return Err(("private.relay_listen", problem));
        }
    }
    if !keys.admin.http.is_empty() {
        let address: SocketAddr = keys.admin.http.parse().map_err(|_| {
            ("admin.http", format!("\"{}\" is not an address with a port such as \"127.0.0.1:7480\"", keys.admin.http))
        })?;
        if !address.ip().is_loopback() {
            let problem = format!(
                "{address} can be reached by others, and nobody is asked who he is there: write 127.0.0.1:{}",
                address.port()
            );
            return Err(("admin.http", problem));
        }
    }
    Ok(())
}

fn wrong(file: &Path, key: Option<&str>, problem: String) -> ConfigError {
    ConfigError { file: file.to_owned(), place: None, key: key.map(str::to_owned), problem, suggestion: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new(Some(Path::new("/d")), None)
    }

    fn read(text: &str) -> Result<Config, ConfigError> {
        mean(chat_process::config::parse(text, Path::new("c.toml"))?, vec![], &layout(), "host")
    }

    #[test]
    fn an_empty_file_is_good() {
        let config = read("").unwrap();
        assert_eq!(config.name, "host");
        assert_eq!(config.listen, ["[::]:7443".parse().unwrap()]);
        assert_eq!(config.data, Path::new("/d/data"));
        assert_eq!(config.admin_socket, Path::new("/d/run/admin.sock"));
    }

    #[test]
    fn what_init_writes_is_good_and_means_the_defaults() {
        for own in [true, false] {
            let layout = Layout::new(own.then_some(Path::new("/d")), None);
            let text = template::text(&layout, "chat.example.org", None);
            let keys: Written = chat_process::config::parse(&text, Path::new("c.toml")).unwrap();
            let (comments, rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
            let keys_written = rest.iter().filter(|line| line.contains(" = ")).count();
            assert_eq!(comments.len(), keys_written + 2, "a head of two lines, and one for each key");
            let (meant, usual) = (
                mean(keys, vec![], &layout, "host").unwrap(),
                mean(Written::default(), vec![], &layout, "host").unwrap(),
            );
            assert_eq!(meant.name, "chat.example.org");
            let alike = |config: Config| {
                let mut keys = config.keys;
                keys.name.clear();
                (keys.tls.cert, keys.tls.key, keys.storage.dir, keys.admin.socket, keys.backup.dir) =
                    Default::default();
                format!("{:?}{:?}{:?}{:?}{:?}", config.cert, config.key, config.data, config.admin_socket, keys)
            };
            assert_eq!(alike(meant), alike(usual));
        }
    }

    #[test]
    fn a_credential_counts_in_place_of_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout().with_credentials(Some(dir.path().to_owned()));
        let key = || mean(Written::default(), vec![], &layout, "host").unwrap().key;
        assert_eq!(key(), Path::new("/d/tls/privkey.pem"));
        std::fs::write(dir.path().join(KEY_CREDENTIAL), "secret").unwrap();
        assert_eq!(key(), dir.path().join(KEY_CREDENTIAL));
        // a variable that is set to nothing takes away no directory that is known
        let again = layout.clone().with_credentials(Some(PathBuf::new()));
        assert_eq!(again.credentials, layout.credentials);
    }

    #[test]
    fn mistakes_name_line_and_key() {
        let says = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            says("[sessions]\nidle_after = \"30 min\""),
            "c.toml:2:14: sessions.idle_after: \"30 min\": write 30m"
        );
        assert!(says("[limits]\nconection = 3").contains("did you mean \"connections\""));
        assert!(says("listen = [\"localhost\"]").contains("an address with a port"));
        assert!(
            says("[messages]\nmax_size = \"65KiB\"").contains("messages.max_size: 66560 is not between 1 and 65536")
        );
        assert!(says("listen = []").contains("listen: names no address"));
    }
}

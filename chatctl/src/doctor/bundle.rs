//! The report for whoever helps: everything that `doctor` found and what it stands on, with all that names somebody or some place
//! replaced. Equal things are replaced by equal words, so that the report can still be followed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;

use chat_proto::control::account::Status;
use chat_proto::control::config::{Profile, ProfileList};
use chat_proto::control::daemon::DaemonStatus;
use chat_proto::control::people::Names;

use super::Finding;
use crate::commands::Context;
use crate::daemon::Daemon;
use crate::json::{self, members};
use crate::output::End;
use crate::settings::Settings;
use crate::words;
use crate::words::doctor::BUNDLE_HEAD;

/// Lines of the log that go along.
const LOG_LINES: usize = 200;
/// People whose names are looked for.
const PEOPLE: u32 = 200;
/// Where hooks say what their programs printed: that may be anything.
const HOOKS: &str = "chatd::hooks";
/// Variables that say where things are and how they look.
const VARIABLES: &[&str] = &[
    "CHAT_HOME",
    "CHAT_PROFILE",
    "CHAT_SOCKET",
    "CI",
    "HOME",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "SHELL",
    "TERM",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// The whole report.
pub async fn text(ctx: &mut Context, findings: &[Finding]) -> Result<String, End> {
    let places = ctx.places()?;
    // The way to a server that is away has taken its time.
    ctx.restart_clock();
    let mut daemon = ctx.dial().await.unwrap_or_default();
    let (mut masks, mut parts) = (Masks::default(), Vec::new());
    masks.host(places.layout.home.as_deref());
    let found = findings.iter().map(words::doctor::finding).collect::<Vec<_>>().join("\n");
    parts.push(("Findings", found));
    parts.push(("Programs", programs(daemon.as_ref())));
    let variable = |name: &&str| Some(format!("{name}={}", std::env::var(name).ok()?));
    parts.push(("Environment", VARIABLES.iter().filter_map(variable).collect::<Vec<_>>().join("\n")));
    parts.push(("Settings", settings(ctx, &mut masks)));
    if let Some(daemon) = &mut daemon {
        parts.push(("Status", status(ctx, daemon, &mut masks).await));
    }
    let log = crate::commands::daemon::last_lines(&places.layout.log_file(), LOG_LINES).unwrap_or_default();
    let log: Vec<_> = log.into_iter().filter(|line| !line.contains(HOOKS)).collect();
    parts.push(("The end of chatd's log", log.join("\n")));
    let parts = parts.iter().map(|(name, text)| format!("\n== {name}\n{}\n", masks.over(text)));
    Ok(format!("{BUNDLE_HEAD}{}", parts.collect::<String>()))
}

/// Writes it where nothing is yet, for its owner alone.
pub fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

fn programs(daemon: Option<&Daemon>) -> String {
    let chatd = daemon.map_or("not running", |daemon| &daemon.hello.build);
    format!("chatctl {}\nchatd {chatd}\n{}", env!("CARGO_PKG_VERSION"), system())
}

/// The system, its release and the machine.
#[cfg(unix)]
fn system() -> String {
    let system = rustix::system::uname();
    let parts = [system.sysname(), system.release(), system.machine()];
    parts.map(|part| part.to_string_lossy().into_owned()).join(" ")
}

#[cfg(windows)]
fn system() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(windows)]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// What the user wrote. Whom it names is replaced everywhere.
fn settings(ctx: &Context, masks: &mut Masks) -> String {
    let all = ctx.places().ok().and_then(|places| Settings::read(&places).ok()?.all().ok());
    let Some(all) = all else { return "the configuration cannot be read".to_owned() };
    let mut lines = Vec::new();
    for setting in all.iter().filter(|setting| !setting.default) {
        match setting.key.split('.').collect::<Vec<_>>()[..] {
            ["profile", name, key] => {
                masks.add("profile", name);
                let named = setting.value.trim_matches('"');
                match key {
                    "server" => masks.add("server", named),
                    "user" => masks.add("person", named),
                    _ => {}
                }
            }
            [_, "auto_accept"] => {
                // What stands between quotes is a name.
                setting.value.split('"').skip(1).step_by(2).for_each(|name| masks.add("person", name));
            }
            _ => {}
        }
        // A hook's command line may hold anything.
        let value = if setting.key.starts_with("hook") { "(left out)" } else { &setting.value };
        lines.push(format!("{} = {value}", setting.key));
    }
    lines.join("\n")
}

async fn status(ctx: &Context, daemon: &mut Daemon, masks: &mut Masks) -> String {
    let mut lines = Vec::new();
    if let Ok(info) = daemon.call(&DaemonStatus {}, super::daemon::soon(ctx)).await {
        lines.push(json::daemon(&info).0);
    }
    let profiles = daemon.call(&ProfileList {}, super::daemon::soon(ctx)).await.map(|list| list.items);
    for profile in profiles.unwrap_or_default() {
        name(masks, &profile);
        let names = Names { profile: profile.name.clone(), prefix: String::new(), limit: PEOPLE };
        let names = daemon.call(&names, super::daemon::soon(ctx)).await.map(|names| names.items);
        names.unwrap_or_default().iter().for_each(|name| masks.add("person", name));
        let status = Status { profile: profile.name.clone(), wait_online_ms: None };
        if let Ok(reply) = daemon.call(&status, super::daemon::soon(ctx)).await {
            masks.add("device", &reply.device);
            lines.push(json::status(&reply, &daemon.hello).0);
        }
    }
    let trusted = daemon.call(&chat_proto::control::config::TrustList {}, super::daemon::soon(ctx)).await;
    for known in trusted.map(|list| list.items).unwrap_or_default() {
        masks.add(if known.kind == "user" { "person" } else { "server" }, &known.name);
        lines.push(members!({ "trust": known.kind, "by": known.by, "name": known.name }).0);
    }
    lines.join("\n")
}

fn name(masks: &mut Masks, profile: &Profile) {
    masks.add("person", &profile.user);
    masks.add("server", &profile.server);
    masks.add("profile", &profile.name);
}

/// What is replaced, and by what.
#[derive(Debug, Default)]
struct Masks {
    names: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
}

impl Masks {
    /// Replaces a name from here on; the first word for it stays.
    fn add(&mut self, kind: &'static str, name: &str) {
        // The usual name of a profile tells nothing.
        if name.is_empty() || name == "default" || self.names.contains_key(name) {
            return;
        }
        let mask = self.numbered(kind);
        self.names.insert(name.to_owned(), mask);
        // A server is also named without its port.
        if let ("server", Some((host, port))) = (kind, name.rsplit_once(':'))
            && port.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.add("server", host);
        }
    }

    /// This host, whose home is on it, and the home that was named.
    fn host(&mut self, named: Option<&Path>) {
        if let Some(home) = std::env::home_dir().filter(|home| home.components().count() > 1) {
            self.names.insert(home.to_string_lossy().into_owned(), "~".to_owned());
        }
        if let Some(named) = named {
            self.names.insert(named.to_string_lossy().into_owned(), "CHAT-HOME".to_owned());
        }
        self.add("host", &host_name());
        for variable in ["USER", "LOGNAME", "USERNAME"] {
            std::env::var(variable).iter().for_each(|name| self.add("login", name));
        }
    }

    fn numbered(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        format!("{kind}-{count}")
    }

    /// The text with everything replaced: what is known by name, then what looks like an address or a key.
    fn over(&mut self, text: &str) -> String {
        let mut names: Vec<(String, String)> = self.names.clone().into_iter().collect();
        // The longest first: a name may be part of another.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let text = names.iter().fold(text.to_owned(), |text, (name, mask)| replaced(&text, name, mask));
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(|c: char| !is_part(c)) {
            let word = piece.trim_end_matches(|c: char| !is_part(c));
            // A sentence may end behind it, and an address may begin with colons.
            let ended = word.trim_end_matches(['.', ':']);
            let found =
                [word, ended, ended.trim_start_matches(':')].into_iter().find_map(|bare| Some((bare, kind(bare)?)));
            let bare = found.map_or(word, |(bare, _)| bare);
            let mask = found.map(|(bare, kind)| self.known(kind, bare));
            match mask {
                Some(mask) => out.push_str(&piece.replacen(bare, &mask, 1)),
                None => out.push_str(piece),
            }
        }
        out
    }

    fn known(&mut self, kind: &'static str, word: &str) -> String {
        if let Some(mask) = self.names.get(word) {
            return mask.clone();
        }
        self.add(kind, word);
        self.names.get(word).cloned().unwrap_or_default()
    }
}

/// Characters of which names, addresses and keys are made.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || ".:_-".contains(c)
}

/// Whether a word is an address, with or without a port, or a key.
fn kind(word: &str) -> Option<&'static str> {
    let bare = word.rsplit_once(':').map_or(word, |(host, _)| host);
    if [word, bare].iter().any(|text| text.len() > 2 && text.parse::<IpAddr>().is_ok()) {
        return Some("address");
    }
    let hex = word.strip_prefix("sha256:").unwrap_or(word);
    (hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some("key")
}

/// The text with every occurrence of `name` that is a word of its own replaced.
fn replaced(text: &str, name: &str, mask: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
        let is_word = !joined(before.chars().next_back()) && !joined(after.chars().next());
        out.push_str(before);
        out.push_str(if is_word { mask } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_keys_are_replaced_alike_everywhere() {
        let mut masks = Masks::default();
        masks.add("person", "bob");
        masks.add("person", "bob.b");
        masks.add("server", "chat.example.org:7443");
        let key = "sha256:9f2c000000000000000000000000000000000000000000000000000000000000";
        let text = format!("bob@chat.example.org:7443 at 192.168.1.7:4000, bob.b is no bobby; {key} bob [::1]:99");
        assert_eq!(
            masks.over(&text),
            "person-1@server-1 at address-1, person-2 is no bobby; key-1 person-1 [address-2]:99"
        );
        assert_eq!(
            masks.over("192.168.1.7:4000 chat.example.org 10:22:41 v0.1.0"),
            "address-1 server-2 10:22:41 v0.1.0"
        );
    }

    #[test]
    fn a_report_replaces_nothing_that_is_there() {
        let dir = tempfile::tempdir().expect("a directory to play in");
        let file = dir.path().join("report");
        write(&file, "x").expect("a new file");
        assert!(write(&file, "y").is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        }
    }
}

//! The report for whoever helps: everything that `doctor` found and what it stands on, with all that names somebody or some place
//! replaced ([`super::masks`]).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use chat_proto::control::account::Status;
use chat_proto::control::config::{Profile, ProfileList};
use chat_proto::control::daemon::DaemonStatus;
use chat_proto::control::people::Names;

use super::Finding;
use super::masks::Masks;
use crate::commands::Context;
use crate::commands::daemon::last_lines;
use crate::daemon::Daemon;
use crate::json::{self, members};
use crate::output::End;
use crate::paths::Places;
use crate::settings::Settings;
use crate::words;
use crate::words::doctor::{BUNDLE_ALONE, BUNDLE_HEAD};

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

/// A report.
pub struct Report {
    /// The whole of it.
    pub text: String,
    /// There was no chatd to ask for names.
    pub alone: bool,
}

/// Gathers it.
pub async fn report(ctx: &mut Context, findings: &[Finding]) -> Result<Report, End> {
    let places = ctx.places()?;
    // The way to a server that is away has taken its time.
    ctx.restart_clock();
    let mut daemon = ctx.dial().await.unwrap_or_default();
    let (mut masks, mut parts) = (Masks::default(), Vec::new());
    masks.host(places.layout.home.as_deref());
    ctx.named_profile().iter().for_each(|name| masks.add("profile", name));
    // Each profile's history has a directory of its own.
    fs::read_dir(&places.layout.data).into_iter().flatten().flatten().for_each(|entry| {
        masks.add("profile", &entry.file_name().to_string_lossy());
    });
    let found = findings.iter().map(words::doctor::finding).collect::<Vec<_>>().join("\n");
    parts.push(("Findings", found));
    parts.push(("Programs", programs(daemon.as_ref())));
    let variable = |name: &&str| Some(format!("{name}={}", std::env::var(name).ok()?));
    parts.push(("Environment", VARIABLES.iter().filter_map(variable).collect::<Vec<_>>().join("\n")));
    parts.push(("Settings", settings(ctx, &mut masks)));
    if let Some(daemon) = &mut daemon {
        parts.push(("Status", status(ctx, daemon, &mut masks).await));
    }
    parts.push(("The end of chatd's log", log(ctx, &places, daemon.as_mut(), &mut masks).await));
    let parts = parts.iter().map(|(name, text)| format!("\n== {name}\n{}\n", masks.over(text)));
    let alone = daemon.is_none();
    let head = if alone { BUNDLE_ALONE } else { "" };
    Ok(Report { text: format!("{BUNDLE_HEAD}{head}{}", parts.collect::<String>()), alone })
}

/// The last lines of the file that the running chatd keeps, or else a chatd before it kept; of the journal where there is none.
async fn log(ctx: &Context, places: &Places, daemon: Option<&mut Daemon>, masks: &mut Masks) -> String {
    let file = match daemon {
        Some(daemon) => {
            let info = daemon.call(&DaemonStatus {}, super::daemon::soon(ctx)).await;
            info.map_or(Some(places.layout.log_file()), |info| info.log.map(Into::into))
        }
        None => Some(places.layout.log_file()),
    };
    let lines = file.and_then(|file| last_lines(&file, LOG_LINES).ok());
    let lines = lines.or_else(|| crate::units::systemd::journal(LOG_LINES)).unwrap_or_default();
    let kept = lines.iter().filter(|line| !line.contains(HOOKS));
    kept.map(|line| masks.of_log(line)).collect::<Vec<_>>().join("\n")
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

/// What the user wrote. Whom it names is replaced everywhere.
fn settings(ctx: &Context, masks: &mut Masks) -> String {
    let all = ctx.places().ok().and_then(|places| Settings::read(&places).ok()?.all().ok());
    let Some(all) = all else {
        let file = ctx.places().map(|places| places.layout.config_file());
        masks.of_config(&file.ok().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default());
        return "the configuration cannot be read".to_owned();
    };
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

#[cfg(test)]
mod tests {
    use super::*;

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

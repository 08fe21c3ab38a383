//! What the shell's completion is offered beyond verbs and flags: names of people and profiles, asked of a chatd that runs. Within
//! a budget, silent on failure, and never starting anything: a slow or absent chatd offers nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use chat_proto::control::config::ProfileList;
use chat_proto::control::people::Names;
use clap::Command;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use tokio::time::Instant;

use crate::args::Global;
use crate::commands::default_profile;
use crate::daemon::Daemon;
use crate::paths::Places;

/// The variable by which the shell's stub asks: `chatctl completions` writes it into the stub.
pub const VARIABLE: &str = "CHAT_COMPLETE";
/// A person who pressed Tab does not notice this.
const BUDGET: Duration = Duration::from_millis(50);
/// Names offered at once: more do not fit on a screen.
const NAMES: u32 = 200;

/// Arguments that name somebody, by their id; `register` names nobody yet.
const PEOPLE: &[&str] = &["user", "from", "with", "to"];

/// The command line with its completers.
pub fn command(command: Command) -> Command {
    if command.get_name() == "register" {
        return command;
    }
    command
        .mut_args(|arg| match arg.get_id().as_str() {
            id if PEOPLE.contains(&id) => arg.add(ArgValueCompleter::new(people)),
            "profile" => arg.add(ArgValueCompleter::new(profiles)),
            _ => arg,
        })
        .mut_subcommands(self::command)
}

/// Answers the shell's stub when it asks, and says so: then nothing else is to be done.
pub fn asked() -> bool {
    chat_manual::shells::asked(VARIABLE, || command(crate::args::command()))
}

fn people(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(prefix) = current.to_str().map(str::to_owned) else { return Vec::new() };
    offered(async move |daemon, deadline| {
        let profile = match typed("profile", "CHAT_PROFILE") {
            Some(profile) => profile.into_string().ok()?,
            None => {
                let profiles = daemon.call(&ProfileList {}, deadline).await.ok()?.items;
                default_profile(&profiles)?.to_owned()
            }
        };
        let names = daemon.call(&Names { profile, prefix, limit: NAMES }, deadline).await.ok()?;
        Some(names.items)
    })
}

fn profiles(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(prefix) = current.to_str().map(str::to_owned) else { return Vec::new() };
    offered(async move |daemon, deadline| {
        let profiles = daemon.call(&ProfileList {}, deadline).await.ok()?.items;
        Some(profiles.into_iter().map(|profile| profile.name).filter(|name| name.starts_with(&prefix)).collect())
    })
}

/// Asks chatd within the budget. What could not be typed or shown as it is, is not offered.
fn offered(ask: impl AsyncFnOnce(&mut Daemon, Instant) -> Option<Vec<String>>) -> Vec<CompletionCandidate> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let names = runtime.block_on(async {
        let deadline = Instant::now() + BUDGET;
        let asked = async {
            let mut daemon = daemon(deadline).await?;
            ask(&mut daemon, deadline).await
        };
        tokio::time::timeout_at(deadline, asked).await.ok().flatten()
    });
    let shown = |name: &String| chat_proto::display::line(name) == *name;
    names.unwrap_or_default().into_iter().filter(shown).map(CompletionCandidate::new).collect()
}

async fn daemon(deadline: Instant) -> Option<Daemon> {
    let global = Global {
        home: typed("home", "CHAT_HOME").map(PathBuf::from),
        socket: typed("socket", "CHAT_SOCKET").map(PathBuf::from),
        ..Global::silent_json()
    };
    let places = Places::find(&global).ok()?;
    Daemon::connect(&places.sockets(), deadline, &crate::time::Clock::utc()).await.ok()
}

/// The value of a global flag in the unfinished line, which has no meaning as a whole yet; else of its variable.
fn typed(flag: &str, variable: &str) -> Option<OsString> {
    let long = format!("--{flag}");
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let mut found = None;
    while let Some(word) = words.next() {
        if word == *long {
            found = words.next();
        } else if let Some(value) = word.to_str().and_then(|word| word.strip_prefix(&long)?.strip_prefix('=')) {
            found = Some(value.into());
        }
    }
    found.or_else(|| std::env::var_os(variable)).filter(|value| !value.is_empty())
}

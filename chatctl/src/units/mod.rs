//! chatd as a unit of the user's own service manager, whichever answers: systemd's ([`systemd`]), else launchd ([`launchd`]). Called by
//! `daemon install` and `daemon uninstall`.

mod launchd;
pub mod systemd;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::paths::Places;
use launchd::Agent;
use systemd::Units;

/// Why chatd cannot be made a unit, or be one no longer.
#[derive(Debug)]
pub enum Failure {
    /// There is no service manager of this user.
    NoManager(String),
    /// A file of the same name was written by somebody else.
    Foreign(PathBuf),
    /// A file cannot be written or removed.
    File(PathBuf, io::Error),
    /// A program of the system failed, with its last words.
    Program(&'static str, String),
}

/// What was undone.
pub struct Undone {
    /// There was anything.
    pub changed: bool,
    /// Lingering was a part of it.
    pub lingered: bool,
    /// The socket of a package listens again from the user's next login on.
    pub packaged: bool,
}

/// The user's own service manager.
pub enum Manager {
    /// That of systemd, with its units.
    Systemd(Units),
    /// launchd, with its agent.
    Launchd(Agent),
}

impl Manager {
    /// The one that answers.
    pub fn of(places: &Places) -> Result<Manager, Failure> {
        let configurations = places.layout.config.parent().unwrap_or(&places.layout.config);
        match Units::of(configurations) {
            Err(Failure::NoManager(why)) => match Agent::of_process() {
                Ok(agent) => Ok(Manager::Launchd(agent)),
                // The reason is that of the manager that would be expected there.
                Err(Failure::Program(_, launchd)) if cfg!(target_os = "macos") => Err(Failure::NoManager(launchd)),
                Err(_) => Err(Failure::NoManager(why)),
            },
            units => units.map(Manager::Systemd),
        }
    }

    /// Writes the files for this chatd.
    pub fn write(&self, program: &Path, lingers: bool) -> Result<(), Failure> {
        match self {
            Manager::Systemd(units) => units.write(program, lingers),
            Manager::Launchd(agent) => agent.write(program),
        }
    }

    /// Whether chatd starts with the user's sessions.
    pub fn is_installed(&self) -> bool {
        match self {
            Manager::Systemd(units) => units.is_installed(),
            Manager::Launchd(agent) => agent.is_installed(),
        }
    }

    /// Has the manager start chatd, now and with the user's sessions.
    pub async fn enable(&self) -> Result<(), Failure> {
        match self {
            Manager::Systemd(units) => units.enable(),
            Manager::Launchd(agent) => agent.enable().await,
        }
    }

    /// Undoes all of it.
    pub fn disable(&self) -> Result<Undone, Failure> {
        match self {
            Manager::Systemd(units) => units.disable(),
            Manager::Launchd(agent) => agent.disable(),
        }
    }
}

/// cron, su and ssh may not say where the user's manager listens: it is known by the user's number.
pub fn reachable(command: &mut Command) {
    let usual = PathBuf::from(format!("/run/user/{}", uid()));
    if std::env::var_os("XDG_RUNTIME_DIR").is_none_or(|dir| dir.is_empty()) && usual.is_dir() {
        command.env("XDG_RUNTIME_DIR", usual);
    }
}

/// This user's number, by which service managers know him.
#[cfg(unix)]
fn uid() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

/// Windows gives users no numbers, and has no such managers to ask.
#[cfg(windows)]
fn uid() -> String {
    String::new()
}

/// What a program of the system prints; its last words where it fails.
fn run(program: &'static str, arguments: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(program);
    reachable(&mut command);
    match command.args(arguments).stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::Program(program, format!("there is no program {program}")))
        }
        Err(error) => Err(Failure::Program(program, error.to_string())),
        Ok(outcome) if outcome.status.success() => Ok(String::from_utf8_lossy(&outcome.stdout).into_owned()),
        Ok(outcome) => {
            let words = String::from_utf8_lossy(&outcome.stderr).into_owned();
            Err(Failure::Program(program, words.lines().next().unwrap_or("it gave no reason").trim().to_owned()))
        }
    }
}

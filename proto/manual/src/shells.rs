//! Completion: a stub for each shell that calls the program back for every Tab, so that it knows what is there now and is never older
//! than the program.

use std::io;

use clap::{Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

/// Shells with a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    // The values have no help of their own: with it, -h and --help would differ.
    /// GNU Bash.
    #[value(help = None)]
    Bash,
    /// Z shell.
    #[value(help = None)]
    Zsh,
    /// fish.
    #[value(help = None)]
    Fish,
    /// Elvish.
    #[value(help = None)]
    Elvish,
    /// PowerShell.
    #[value(help = None)]
    Powershell,
}

/// The script of a shell for a program found in PATH; `variable` is how its stub asks.
pub fn script(shell: Shell, program: &str, variable: &str) -> io::Result<String> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        Shell::Elvish => &Elvish,
        Shell::Powershell => &Powershell,
    };
    let mut text = Vec::new();
    completer.write_registration(variable, program, program, program, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Answers a stub when one asks, and says so: then nothing else is to be done. Silent on failure: whatever is wrong is not for the
/// middle of somebody's command line.
pub fn asked(variable: &'static str, command: impl Fn() -> Command) -> bool {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(command).var(variable).try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

//! Variables of the environment that stand for flags. One that is set to nothing counts as one that is not set, as the XDG base
//! directories have it; for clap it would be a flag without its value. Called by chatctl's `args` and by the `main` of both daemons.

use clap::builder::Resettable;
use clap::{Arg, Command, Parser};

/// What was typed, with the variables that count; help, version and wrong usage end the process here.
pub fn parsed<P: Parser>() -> P {
    let mut matches = heeded(P::command()).get_matches();
    P::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut P::command()).exit())
}

/// The command line, on every level, without the variables that are set to nothing.
pub fn heeded(command: Command) -> Command {
    command.mut_args(unless_empty).mut_subcommands(heeded)
}

fn unless_empty(arg: Arg) -> Arg {
    let named = arg.get_env().map(|name| name.to_string_lossy().into_owned());
    match named.filter(|name| std::env::var_os(name).is_some_and(|value| value.is_empty())) {
        Some(name) => {
            // The help says still that there is such a variable.
            let help = format!("{} [env: {name}]", arg.get_help().cloned().unwrap_or_default());
            arg.env(Resettable::Reset).help(help)
        }
        None => arg,
    }
}

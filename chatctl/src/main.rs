//! chatctl: parses what was typed, talks to chatd, prints, exits. This file alone ends the process.

mod args;
mod commands;
mod complete;
mod daemon;
mod doctor;
mod exit;
mod follow;
mod handler;
mod json;
mod key;
mod manual;
mod output;
mod paths;
mod progress;
mod prompt;
mod schema;
mod settings;
mod shell;
mod signals;
mod spawn;
mod text;
mod time;
mod units;
mod words;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};

use args::{Cli, Global, Verb, When};
use commands::{Session, Underway};
use exit::Exit;
use output::{End, Form, Output, Trouble};
use time::Clock;
use words::troubles;

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        // stderr may be closed; the exit code still says it.
        let _ = writeln!(std::io::stderr(), "{}", troubles::bug(&panic.to_string()));
        std::process::exit(Exit::Bug.number().into());
    }));
    if complete::asked() {
        return;
    }
    let exit = match parse(std::env::args_os().collect()) {
        Ok((cli, matches)) => run(cli, &matches),
        Err(exit) => exit.number(),
    };
    // Not a return: a thread may still wait for the terminal or for stdin.
    std::process::exit(exit.into());
}

/// The command line as meant; help, version and wrong usage are answered here.
fn parse(typed: Vec<OsString>) -> Result<(Cli, ArgMatches), Exit> {
    let json = typed.iter().any(|arg| arg == "--json" || arg.to_string_lossy().starts_with("--json="));
    let parsed = args::command().try_get_matches_from(typed);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    parsed.map_err(|error| {
        if json && error.use_stderr() {
            let words = error.to_string();
            let what = words.lines().next().unwrap_or_default().trim_start_matches("error: ");
            output(&Global::silent_json(), "chatctl".into())
                .trouble(&Trouble::new("usage", Exit::Usage, what).next("help"));
        } else {
            // A closed pipe behind help is no trouble.
            let _ = error.print();
        }
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
            _ => Exit::Usage,
        }
    })
}

/// The exit code of what was typed.
fn run(cli: Cli, matches: &ArgMatches) -> u8 {
    let mut out = output(&cli.global, spelled(&cli.global, matches));
    if matches!(cli.verb, Some(Verb::Call(_))) {
        // What it says is JSON in any case: errors too.
        out.form = Form::Json;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            out.trouble(&troubles::no_runtime(&error));
            return Exit::BadState.number();
        }
    };
    let (underway, session) = (Underway::default(), Session::default());
    // The keys of the terminal are the command's that is run.
    let own_keys = !matches!(cli.verb, Some(args::Verb::Run(_)));
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = commands::run(cli, out.clone(), underway.clone(), session.clone()) => ended,
            () = interrupt(&session), if own_keys => Err(interrupted(&underway)),
        }
    });
    // Not dropped: that would wait for a thread that reads stdin or the terminal.
    std::mem::forget(runtime);
    match ended {
        Ok(()) => Exit::Done.number(),
        Err(End::Quiet(exit)) => exit.number(),
        Err(End::Program(exit)) => exit,
        Err(End::Said(trouble)) => {
            out.trouble(&trouble);
            trouble.exit.number()
        }
    }
}

/// Waits for a Ctrl-C that is meant for the whole program.
async fn interrupt(session: &Session) {
    loop {
        // An error is as good as one: without it nothing could be interrupted.
        let heard = tokio::signal::ctrl_c().await;
        if heard.is_err() || !session.get() {
            return;
        }
    }
}

fn interrupted(underway: &Underway) -> End {
    match &*underway.borrow() {
        Some(waited) => troubles::interrupted(Some(waited)).into(),
        None => End::Quiet(Exit::Interrupted),
    }
}

/// The output that the flags, the terminal and the environment ask for.
fn output(global: &Global, chatctl: String) -> Output {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let form = match (global.json, global.plain) {
        (Some(_), _) => Form::Json,
        (None, true) => Form::Plain,
        (None, false) => Form::Human,
    };
    let color = match global.color {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stdout().is_terminal() && variable("NO_COLOR").is_empty() && variable("TERM") != "dumb",
    };
    let locale = ["LC_ALL", "LC_TIME", "LANG"].map(variable).into_iter().find(|value| !value.is_empty());
    let clock = Clock {
        now: jiff::Timestamp::now(),
        zone: if global.utc { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() },
        twelve: locale.is_some_and(|locale| time::is_twelve_hour(&locale)),
        style: global.time.clone(),
    };
    Output { form, quiet: global.quiet, verbose: global.verbose, color, clock, chatctl }
}

/// How the next command is spelled for the same home and profile: with the flags that were typed; variables hold anyway.
fn spelled(global: &Global, matches: &ArgMatches) -> String {
    let flags = [
        ("home", global.home.as_ref().map(|path| path.to_string_lossy().into_owned())),
        ("socket", global.socket.as_ref().map(|path| path.to_string_lossy().into_owned())),
        ("profile", global.profile.clone()),
    ];
    let mut text = "chatctl".to_owned();
    for (name, value) in flags {
        if let (Some(ValueSource::CommandLine), Some(value)) = (typed(matches, name), value) {
            text += &format!(" --{name} {}", chat_proto::display::quoted(&value));
        }
    }
    text
}

/// Where a global flag's value is from; it may stand behind the verb.
fn typed(matches: &ArgMatches, name: &str) -> Option<ValueSource> {
    let here = matches.value_source(name);
    match matches.subcommand() {
        Some((_, inner)) => typed(inner, name).filter(|source| *source == ValueSource::CommandLine).or(here),
        None => here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_carry_the_flags_that_were_typed() {
        let parsed = |line: &str| parse(line.split(' ').map(OsString::from).collect());
        let spelled = |line: &str| parsed(line).map(|(cli, matches)| spelled(&cli.global, &matches));
        let home = chat_proto::display::quoted("/tmp/a&b");
        assert_eq!(
            spelled("chatctl status --profile bob --home /tmp/a&b"),
            Ok(format!("chatctl --home {home} --profile bob"))
        );
        assert_eq!(spelled("chatctl --profile bob status").as_deref(), Ok("chatctl --profile bob"));
    }

    #[test]
    fn every_hint_is_a_command() {
        use chat_proto::fault::Code;
        let typed = |hint: &str| args::command().try_get_matches_from(format!("chatctl {hint}").split(' '));
        let of_codes = Code::ALL.iter().filter_map(|code| words::refusals::next(*code));
        let path = std::path::Path::new("/x");
        let gone = || std::io::Error::other("gone");
        let id = chat_proto::id::MessageId("01k9zt000000m7k2".into());
        let own = [
            troubles::not_running(),
            troubles::not_started("x"),
            troubles::command_not_started("x", &chat_proto::control::hooks::Outcome::TimedOut),
            troubles::no_program(),
            troubles::socket("x"),
            troubles::silent(),
            troubles::broken("x"),
            troubles::versions("x"),
            troubles::no_account(),
            troubles::first_login(),
            troubles::bad_server("x", "login"),
            troubles::bad_server("x", "register"),
            troubles::which_profile(),
            troubles::unknown_trust("x"),
            troubles::passwords_differ("passwd"),
            troubles::empty_text(),
            troubles::too_large(None),
            troubles::bad_key(),
            troubles::no_paths("x"),
            troubles::state_file(path, &gone()),
            troubles::bad_config("x"),
            troubles::bad_setting("x"),
            troubles::no_setting("x"),
            troubles::no_log(path),
            troubles::not_stopped(),
            troubles::not_online(),
            troubles::interrupted(Some(&commands::Waited::Message("key".into()))),
            troubles::no_help("x"),
            troubles::no_page("x"),
            troubles::no_schema("x"),
            troubles::cannot_write(path, &gone()),
            troubles::cannot_make(&gone()),
            troubles::unknown_method("x", &[]),
            troubles::bad_params("x"),
            troubles::no_handler("x", "y"),
            troubles::not_handled("x", "y", &id, &"triage".parse().expect("a name")),
        ];
        let of_own =
            own.into_iter().map(|trouble| trouble.next.unwrap_or_else(|| panic!("{} has no hint", trouble.what)));
        for hint in of_codes.chain(of_own) {
            match typed(&hint) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::DisplayHelp, "chatctl {hint}: {error}"),
            }
        }
    }
}

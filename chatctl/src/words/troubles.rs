//! Troubles of chatctl's own making or finding: no daemon, no terminal to ask on, input that cannot be used.

use std::path::Path;

use chat_local::refusal::cannot_use;
use chat_proto::control::config::TrustQuestion;
use chat_proto::control::hooks::Outcome;
use chat_proto::control::message::{Message, Pending};
use chat_proto::display::quoted;
use chat_proto::id::{CursorName, MessageId};
use chat_proto::limits;

use crate::commands::Waited;
use crate::exit::Exit;
use crate::output::{Shown, Trouble};
use crate::time::Clock;
use crate::units::Failure;

fn path(path: &Path) -> Shown {
    Shown::line(&path.to_string_lossy())
}

/// chatd is not there and must not be started.
pub fn not_running() -> Trouble {
    Trouble::new("daemon_unreachable", Exit::NoDaemon, "chatd is not running.").next("daemon start")
}

/// chatd is not there and would not start; `reason` is its last words.
pub fn not_started(reason: &str) -> Trouble {
    let what = match reason.trim() {
        "" => "chatd is not running and could not be started.".to_owned(),
        reason => {
            format!("chatd is not running and could not be started ({}).", Shown::line(reason.trim_end_matches('.')))
        }
    };
    Trouble::new("daemon_unreachable", Exit::NoDaemon, what).next("config check")
}

/// As [`not_started`], with what chatd itself says to run next.
pub fn not_started_but(reason: &str, next: &str) -> Trouble {
    let trouble = not_started(reason);
    match next.strip_prefix("chatctl ") {
        Some(verb) => trouble.next(Shown::line(verb).to_string()),
        None => trouble.run(Shown::line(next).to_string()),
    }
}

/// `daemon install` in a home of its own.
pub fn no_unit_for_home() -> Trouble {
    let what = "a chatd with a home or socket of its own (--home, CHAT_HOME, --socket) is no unit: the first command that needs it starts it.";
    Trouble::new("no_unit", Exit::No, what).next("daemon start")
}

/// The user's service manager would not.
pub fn units(failure: Failure) -> Trouble {
    match failure {
        Failure::NoManager(why) => {
            let what = format!(
                "no service manager of yours answers here ({}), and none is needed: the first command starts chatd, and it stays.",
                Shown::line(&why)
            );
            Trouble::new("no_service_manager", Exit::No, what).next("daemon start")
        }
        Failure::Foreign(file) => {
            let what = format!("{} is there and was not written by chatctl; nothing was changed.", path(&file));
            let moved = quoted(&file.to_string_lossy());
            Trouble::new("unit_exists", Exit::Refused, what).run(format!("mv {moved} {moved}.old"))
        }
        Failure::File(file, error) => cannot_write(&file, &error),
        Failure::Program(program, why) => {
            let what = format!("{program} refused: {}.", Shown::line(why.trim_end_matches('.')));
            let next = match program {
                "launchctl" => "launchctl print \"gui/$(id -u)/chatd\"",
                _ => "systemctl --user status chatd.socket chatd.service",
            };
            Trouble::new("service_manager", Exit::BadState, what).run(next)
        }
    }
}

/// launchd keeps no agent behind its user's logout.
pub fn no_lingering() -> Trouble {
    let what =
        "launchd runs agents while you are logged in, and lets none linger; what comes meanwhile waits on the server.";
    Trouble::new("no_linger", Exit::No, what).next("daemon install")
}

/// chatd is a unit, and lingering was refused.
pub fn no_linger(failure: Failure) -> Trouble {
    let why = match failure {
        Failure::Program(_, why) | Failure::NoManager(why) => why,
        Failure::Foreign(file) | Failure::File(file, _) => file.to_string_lossy().into_owned(),
    };
    let what = format!(
        "chatd is a unit of yours now, but lingering was refused ({}): it ends when you log out. An admin can allow it.",
        Shown::line(why.trim_end_matches('.'))
    );
    Trouble::new("no_linger", Exit::Partly, what).run("sudo loginctl enable-linger \"$USER\"")
}

/// A key that names nothing to set.
pub fn bad_setting(key: &str) -> Trouble {
    let what = format!("{} is not a key that can be set.", Shown::line(key));
    Trouble::new("bad_key", Exit::Usage, what).next("config list")
}

/// A key that is not known.
pub fn no_setting(key: &str) -> Trouble {
    let what = format!("there is no key {}.", Shown::line(key));
    Trouble::new("unknown_key", Exit::Unknown, what).next("config list")
}

/// The command of `run` is not there or cannot be run.
pub fn command_not_started(command: &str, outcome: &Outcome) -> Trouble {
    let exit = Exit::Unknown;
    Trouble::new("not_started", exit, format!("{} {}.", Shown::line(command), super::hooks::outcome(outcome)))
        .next("help run")
}

/// The program chatd is nowhere.
pub fn no_program() -> Trouble {
    let what = "chatd is not running, and no program chatd lies beside chatctl or in PATH.";
    Trouble::new("daemon_unreachable", Exit::NoDaemon, what).next("daemon status")
}

/// The control socket cannot be used.
pub fn socket(reason: &str) -> Trouble {
    let what = format!("cannot talk to chatd: {}.", Shown::line(reason.trim_end_matches('.')));
    Trouble::new("daemon_unreachable", Exit::NoDaemon, what).next("config path")
}

/// The code of [`silent`].
pub const SILENT: &str = "daemon_timed_out";

/// chatd did not answer.
pub fn silent() -> Trouble {
    Trouble::new(SILENT, Exit::TimedOut, "chatd did not answer in time.").next("daemon status")
}

/// The connection ended before an answer; nothing was changed by the request, or it does not matter.
pub fn broken(reason: &str) -> Trouble {
    let what = format!("the connection to chatd ended before its answer ({}).", Shown::line(reason));
    Trouble::new("daemon_gone", Exit::NoDaemon, what).next("daemon status")
}

/// The conversation ended with a message on the way: only the key makes a retry safe.
pub fn outcome_unknown(exit: Exit, retry: &str, key: &str) -> Trouble {
    let what = match exit {
        Exit::TimedOut => "chatd did not answer in time; whether the message was kept is not known.",
        _ => "the connection to chatd ended before its answer; whether the message was kept is not known.",
    };
    let mut trouble = Trouble::new("outcome_unknown", exit, what).next(retry);
    trouble.add("key", key.to_owned());
    trouble
}

/// chatd answered in a form that this build does not know.
pub fn versions(detail: &str) -> Trouble {
    let what =
        format!("chatctl {} and the running chatd do not fit ({}).", env!("CARGO_PKG_VERSION"), Shown::line(detail));
    Trouble::new("version_mismatch", Exit::Versions, what).next("daemon restart")
}

/// There is no account yet.
pub fn no_account() -> Trouble {
    Trouble::new("not_logged_in", Exit::NotLoggedIn, "not logged in: there is no account here yet.")
        .next("help register")
}

/// The first login names a server.
pub fn first_login() -> Trouble {
    let what = "this profile has never been logged in; say who and where: chatctl login NAME --server HOST.";
    Trouble::new("not_logged_in", Exit::NotLoggedIn, what).next("help login")
}

/// What was given as the server is none. `verb` takes it.
pub fn bad_server(server: &str, verb: &str) -> Trouble {
    let what = format!("{} is not a server's address; give HOST, HOST:PORT or [IPv6]:PORT.", quoted(server));
    Trouble::new("bad_params", Exit::Usage, what).next(format!("help {verb}"))
}

/// Several profiles, none of them the default.
pub fn which_profile() -> Trouble {
    let what = "there are several profiles and none is the default; name one by --profile.";
    Trouble::new("unknown_profile", Exit::Unknown, what).next("profile list")
}

/// `trust show` of a host that is not known.
pub fn unknown_trust(name: &str) -> Trouble {
    let what = format!("no key is known for {}.", Shown::line(name));
    Trouble::new("unknown_trust", Exit::Unknown, what).next("trust list")
}

/// A prompt would be needed. `how` says what to give instead.
pub fn no_prompt(what: &str, how: &str) -> Trouble {
    let what = format!("{what} is needed, and asking is not possible here; give it by {how}.");
    Trouble::new("prompt_needed", Exit::Prompt, what)
}

/// A password that no server takes.
pub fn bad_password() -> Trouble {
    let what = format!("a password has 1 to {} bytes; nothing was sent.", limits::PASSWORD_MAX);
    Trouble::new("bad_password", Exit::BadInput, what)
}

/// The two passwords differ; `verb` goes on.
pub fn passwords_differ(verb: &str) -> Trouble {
    Trouble::new("bad_password", Exit::BadInput, "the two passwords differ; nothing was done.").next(verb)
}

/// `passwd` with a wrong old password.
pub fn wrong_old_password() -> Trouble {
    Trouble::new("wrong_credentials", Exit::Refused, "the old password is wrong; nothing was changed.").next("passwd")
}

/// One line where two passwords are wanted.
pub fn one_password() -> Trouble {
    usage("stdin must hold two lines: the old password and the new one.", "help passwd")
}

/// Neither a command nor a topic.
pub fn no_help(what: &str) -> Trouble {
    let what = format!("there is no command and no topic {}.", Shown::line(what));
    Trouble::new("usage", Exit::Usage, what).next("help")
}

/// No page of the manual has this name.
pub fn no_page(name: &str) -> Trouble {
    let what = format!("the manual has no page {}.", Shown::line(name));
    Trouble::new("usage", Exit::Usage, what).next("help")
}

/// No object has this type.
pub fn no_schema(name: &str) -> Trouble {
    let what = format!("--json prints no object of type {}.", Shown::line(name));
    Trouble::new("usage", Exit::Usage, what).next("help json")
}

/// A file or directory cannot be written.
pub fn cannot_write(file: &Path, error: &std::io::Error) -> Trouble {
    let what = format!("cannot write {}: {error}.", path(file));
    Trouble::new("output", Exit::BadState, what).next("help files")
}

/// A text could not be made.
pub fn cannot_make(error: &std::io::Error) -> Trouble {
    Trouble::new("internal", Exit::Bug, format!("the text cannot be made: {error}.")).next("help")
}

/// The user said no.
pub fn declined() -> Trouble {
    Trouble::new("declined", Exit::No, "nothing was done.")
}

/// A file or stdin cannot be read.
pub fn unreadable(name: &str, error: &std::io::Error) -> Trouble {
    let what = format!("cannot read {}: {error}.", Shown::line(name));
    Trouble::new("bad_input", Exit::BadInput, what)
}

/// The text is not UTF-8; the offset is where it goes wrong.
pub fn not_utf8(what: &str, at: usize) -> Trouble {
    Trouble::new("bad_input", Exit::BadInput, format!("the {what} is not UTF-8 (byte {at}); nothing was sent."))
        .next("help")
}

/// There is no text.
pub fn empty_text() -> Trouble {
    Trouble::new("bad_input", Exit::BadInput, "the text is empty; nothing was sent.").next("help message")
}

/// The text is over the limit.
pub fn too_large(bytes: Option<usize>) -> Trouble {
    let limit = limits::TEXT_MAX / 1024;
    let what = match bytes {
        Some(bytes) => format!("the text has {bytes} bytes; a message holds {limit} KiB. Nothing was sent."),
        None => format!("the text is larger than the {limit} KiB that a message holds. Nothing was sent."),
    };
    Trouble::new("too_large", Exit::BadInput, what).next("help message")
}

/// `--id` breaks its rule.
pub fn bad_key() -> Trouble {
    let what = format!("an --id has 1 to {} bytes and no control characters.", limits::KEY_MAX);
    Trouble::new("bad_input", Exit::BadInput, what).next("help message")
}

/// An argument makes no sense.
pub fn usage(what: impl Into<String>, help: &str) -> Trouble {
    Trouble::new("usage", Exit::Usage, what).next(help)
}

/// The editor failed.
pub fn editor(name: &str, reason: &str) -> Trouble {
    let what = format!("the editor {} failed ({}); nothing was done.", Shown::line(name), Shown::line(reason));
    Trouble::new("editor", Exit::No, what).next("help message")
}

/// No directory for the user's files.
pub fn no_paths(reason: &str) -> Trouble {
    let what = format!("cannot tell where your files are: {reason}. Set HOME, or CHAT_HOME to a directory for chat.");
    Trouble::new("bad_config", Exit::BadState, what).next("help")
}

/// A file of state cannot be used.
pub fn state_file(file: &Path, error: &std::io::Error) -> Trouble {
    let what = format!("{}.", Shown::line(&cannot_use(file, error)));
    Trouble::new("bad_config", Exit::BadState, what).next("doctor")
}

/// chatd's check found something.
pub fn bad_config(reason: &str) -> Trouble {
    let what = format!("the configuration is wrong: {}.", Shown::line(reason.trim().trim_end_matches('.')));
    Trouble::new("bad_config", Exit::BadState, what).next("config path")
}

/// There is no log in a file.
pub fn no_log(file: &Path) -> Trouble {
    let what = format!("there is no log at {}; chatd may log to the journal.", path(file));
    Trouble::new("no_log", Exit::Unknown, what).next("daemon status")
}

/// chatd said that it stops, and did not.
pub fn not_stopped() -> Trouble {
    Trouble::new("timed_out", Exit::TimedOut, "chatd did not stop in time.").next("daemon logs")
}

/// `watch --for` ended with fewer events than `--count`.
pub fn too_few(got: u64, wanted: u64) -> Trouble {
    Trouble::new("timed_out", Exit::TimedOut, format!("only {got} of {wanted} events came in time."))
}

/// The program of `watch --exec` cannot be started.
pub fn no_handler(name: &str, reason: &str) -> Trouble {
    let what = format!("cannot run {}: {}. Nothing was acknowledged for it.", Shown::line(name), Shown::line(reason));
    Trouble::new("handler", Exit::Usage, what).next("help watch")
}

/// The program of `watch --exec` did not handle a message.
pub fn not_handled(name: &str, how: &str, id: &MessageId, cursor: &CursorName) -> Trouble {
    let (name, how, cursor) = (Shown::line(name), Shown::line(how), Shown::line(cursor.as_str()));
    let what = format!(
        "{name} failed ({how}) on {}; it is not acknowledged and comes first when cursor {cursor} is watched again. To pass it over: chatctl ack {cursor} {}",
        Shown::line(id.short()),
        Shown::line(id.short())
    );
    let mut trouble = Trouble::new("handler", Exit::No, what).next(format!("show {}", id.short()));
    trouble.add("id", id.to_string());
    trouble
}

/// `outbox retry` left messages waiting.
pub fn still_waiting(count: u64, pending: Pending) -> Trouble {
    let (code, exit, why) = match pending {
        Pending::TimedOut => ("timed_out", Exit::TimedOut, "no verdict from the server in time"),
        Pending::Unreachable => ("server_unreachable", Exit::Unreachable, "the server cannot be reached"),
    };
    let (wait, go) = if count == 1 { ("1 message waits", "it goes out") } else { ("messages wait", "they go out") };
    let wait = if count == 1 { wait.to_owned() } else { format!("{count} {wait}") };
    Trouble::new(code, exit, format!("{wait}: {why}; {go} as soon as that changes.")).next("status")
}

/// A message was given up, and the server may have had it.
pub fn not_cancelled_yet(message: &Message, pending: Pending) -> Trouble {
    let (code, exit, why) = match pending {
        Pending::TimedOut => ("timed_out", Exit::TimedOut, "the server did not answer in time"),
        Pending::Unreachable => ("server_unreachable", Exit::Unreachable, "the server cannot be reached"),
    };
    let named = super::named(message);
    let what = format!("{named} is given up, but the server may have had it before: {why}. It tells when it can.");
    let mut trouble = Trouble::new(code, exit, what).next(format!("show {}", message.id.short()));
    trouble.add("id", message.id.to_string());
    trouble
}

/// `call` of a method that there is not.
pub fn unknown_method(name: &str, known: &[&str]) -> Trouble {
    let what = format!("chatd has no method {}; it has: {}.", Shown::line(name), known.join(", "));
    Trouble::new("unknown_method", Exit::Usage, what).next("help call")
}

/// `call` with parameters that are no object.
pub fn bad_params(reason: &str) -> Trouble {
    let what = format!("the parameters are no JSON object: {}.", Shown::line(reason));
    Trouble::new("bad_params", Exit::Usage, what).next("help call")
}

/// `status --wait online` ended without it.
pub fn not_online() -> Trouble {
    Trouble::new("timed_out", Exit::TimedOut, "not online in time.").next("status")
}

/// Ctrl-C while something was waited for, which stays as it is.
pub fn interrupted(waited: Option<&Waited>) -> Trouble {
    match waited {
        None => Trouble::new("interrupted", Exit::Interrupted, ""),
        Some(Waited::Request(user)) => {
            let what = format!("interrupted; the request to {} stays open.", Shown::name(user));
            Trouble::new("interrupted", Exit::Interrupted, what).next("requests --outgoing")
        }
        Some(Waited::Session(user)) => {
            let what = format!("interrupted; the private session with {} is still being opened.", Shown::name(user));
            Trouble::new("interrupted", Exit::Interrupted, what).next("sessions")
        }
        Some(Waited::File(id)) => {
            let what = format!("interrupted; the file with id {} goes on.", Shown::line(id));
            let mut trouble = Trouble::new("interrupted", Exit::Interrupted, what).next("file list");
            trouble.add("id", id.clone());
            trouble
        }
        Some(Waited::Message(key)) => {
            let what = format!("interrupted; the message with id {} stays as it is.", Shown::line(key));
            let mut trouble =
                Trouble::new("interrupted", Exit::Interrupted, what).next(format!("show {}", quoted(key)));
            trouble.add("key", key.to_owned());
            trouble
        }
    }
}

/// The system gives this program nothing to run on.
pub fn no_runtime(error: &std::io::Error) -> Trouble {
    let what = format!("the system refuses what chatctl needs to run: {error}.");
    Trouble::new("system", Exit::BadState, what).run("ulimit -n 256")
}

/// A defect: how to report it.
pub fn bug(detail: &str) -> String {
    format!(
        "chatctl: this is a bug in chatctl {} ({}): {}\n  please report it with this line and the command you typed (without secrets)",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        Shown::line(detail)
    )
}

/// What a peer showed that is known by another key, and what to run.
pub fn identity(question: &TrustQuestion, clock: &Clock) -> (String, Option<String>) {
    let (peer, key) = (Shown::name(&question.server), question.fingerprint);
    let since =
        question.known_since_ms.map_or_else(|| " than before".to_owned(), |at| format!(" than on {}", clock.show(at)));
    let was = question.known.map_or_else(String::new, |known| format!("\n  was {known}"));
    let what = format!(
        "{peer} shows a different key{since}. Someone may be in between, or {peer} has a new device.{was}\n  now {key}\n  Ask {peer} by another way and compare first."
    );
    (what, Some(format!("trust accept {key}")))
}

/// What a server showed when it was not trusted, and what to run.
pub fn trust(question: &TrustQuestion, clock: &Clock) -> (String, Option<String>) {
    let server = Shown::line(&question.server);
    let (key, cause) = (question.fingerprint, Shown::line(&question.certificate));
    let Some(known) = question.known else {
        let what = format!(
            "{server} is not known yet: its certificate alone does not verify ({cause}).\n  Its key is {key}\n  Ask whoever runs it what \"chat-server cert fingerprint\" says there. If that is the same key, it is safe to accept; then try again, or at once with --trust {key}"
        );
        return (what, Some(format!("trust accept {key}")));
    };
    let since =
        question.known_since_ms.map_or_else(|| " than before".to_owned(), |at| format!(" than on {}", clock.show(at)));
    let what = format!(
        "{server} shows a different key{since}. Someone may be in between, or the key was renewed.\n  was {known}\n  now {key}\n  Ask the admin to run \"chat-server cert fingerprint\" and compare first."
    );
    (what, Some(format!("trust accept {key}")))
}

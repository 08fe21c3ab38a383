//! What `doctor` says: each finding with its sentence and the command that mends it. `chatctl` is how the caller called it.

use std::path::Path;

use chat_local::directory::{Rule, Unsafe};
use chat_local::endpoint::Unfit;
use chat_local::mend;
use chat_proto::control::ErrorData;
use chat_proto::control::account::StatusReply;
use chat_proto::control::daemon::Sandbox;
use chat_proto::control::doctor::{Obstacle, Proven};
use chat_proto::display::quoted;
use chat_proto::fault::Code;

use super::{in_time, refusals};
use crate::doctor::{Finding, Known};
use crate::output::{Shown, Trouble};
use crate::time::Clock;

fn path(path: &Path) -> Shown {
    Shown::line(&path.to_string_lossy())
}

/// A path for a command line.
#[cfg(unix)]
fn word(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn line(text: &str) -> Shown {
    Shown::line(text)
}

/// A trouble as a finding: it has its words and its next step already.
fn of_trouble(check: &'static str, trouble: &Trouble, chatctl: &str) -> Finding {
    let hint = trouble.hint(chatctl).unwrap_or_else(|| format!("{chatctl} daemon logs"));
    Finding::fail(check, trouble.what.trim_end_matches('.'), hint)
}

/// All directories are as they must be.
pub fn directories(data: &Path, state: &Path) -> Finding {
    Finding::ok("directories", format!("{} and {} are yours alone", path(data), path(state)))
}

/// A directory that others could use.
pub fn not_safe(broken: &Unsafe) -> Finding {
    Finding::fail("directories", line(&broken.to_string()).to_string(), mend::mended(broken.rule, &broken.path))
}

/// A directory that may not be written.
pub fn not_writable(dir: &Path) -> Finding {
    let text = format!("{} cannot be written by you; another place is given by --home DIR or CHAT_HOME", path(dir));
    Finding::fail("directories", text, mend::look(dir))
}

/// A directory that is missing and could not be made.
pub fn cannot_be_made(dir: &Path, above: &Path) -> Finding {
    let text = format!(
        "{} is not there, and {} cannot be written by you; another place is given by --home DIR or CHAT_HOME",
        path(dir),
        path(above)
    );
    Finding::fail("directories", text, mend::look(above))
}

/// Whatever else the system says of a directory.
pub fn not_usable(dir: &Path, why: &str) -> Finding {
    Finding::fail("directories", line(why).to_string(), mend::look(dir))
}

/// Keys and histories are for their owner alone.
pub fn credentials(files: usize) -> Finding {
    Finding::ok("credentials", format!("keys and histories are files that you alone can read ({files} looked at)"))
}

/// A file that is not its user's alone, by the rule that it breaks.
pub fn exposed(file: &Path, rule: Rule) -> Finding {
    let shown = path(file);
    let text = match rule {
        Rule::Owner => format!("{shown} belongs to somebody else, who can use it"),
        _ => format!("{shown} can be used by others"),
    };
    Finding::fail("credentials", text, mend::mended(rule, file))
}

/// No such path can be a socket: it is too long, or on Windows no pipe.
pub fn socket_unfit(error: &Unfit, chatctl: &str) -> Finding {
    Finding::fail("socket", line(&error.to_string()).to_string(), format!("{chatctl} config path"))
}

/// Where chatd listens.
pub fn socket(path: &str) -> Finding {
    Finding::ok("socket", line(path).to_string())
}

/// A variable that counts only with a full path.
pub fn relative_variable(name: &str) -> Finding {
    Finding::warn("environment", format!("{name} is no full path, so it is not heeded"), format!("unset {name}"))
}

#[cfg(unix)]
fn mebibytes(bytes: u64) -> String {
    match bytes >> 20 {
        0..=9999 => format!("{} MiB", bytes >> 20),
        many => format!("{} GiB", many >> 10),
    }
}

/// Room enough.
#[cfg(unix)]
pub fn room(free: u64) -> Finding {
    Finding::ok("disk", format!("{} free", mebibytes(free)))
}

/// Not much room.
#[cfg(unix)]
pub fn little_room(dir: &Path, free: u64) -> Finding {
    let text = format!("only {} are free at {}", mebibytes(free), path(dir));
    Finding::warn("disk", text, format!("df -h {}", word(dir)))
}

/// No room.
#[cfg(unix)]
pub fn no_room(dir: &Path, free: u64) -> Finding {
    let text = format!(
        "{} KiB are free at {}: nothing can be sent, and what comes stays on the server",
        free >> 10,
        path(dir)
    );
    Finding::fail("disk", text, format!("df -h {}", word(dir)))
}

/// No more files can be made.
#[cfg(unix)]
pub fn no_inodes(dir: &Path) -> Finding {
    Finding::fail("disk", format!("no more files can be made at {}", path(dir)), format!("df -i {}", word(dir)))
}

/// Descriptors enough.
#[cfg(unix)]
pub fn descriptors(limit: u64) -> Finding {
    let limit = if limit == u64::MAX { "without a limit".to_owned() } else { format!("up to {limit}") };
    Finding::ok("open files", limit)
}

/// Too few descriptors for a chatd that is started from here.
#[cfg(unix)]
pub fn few_descriptors(limit: u64, wanted: u64) -> Finding {
    let text = format!("a program may have only {limit} files open here; chatd wants {wanted}");
    Finding::warn("open files", text, format!("ulimit -n {wanted}"))
}

/// The configuration is right.
pub fn config(file: &Path) -> Finding {
    let text = if file.exists() { path(file).to_string() } else { format!("the defaults hold; no {}", path(file)) };
    Finding::ok("config", text)
}

/// The configuration is wrong, or cannot be judged.
pub fn bad_config(trouble: &Trouble, chatctl: &str) -> Finding {
    of_trouble("config", trouble, chatctl)
}

/// chatd is not there, and would be started.
pub fn not_running(program: &Path, chatctl: &str) -> Finding {
    let text = format!("chatd is not running; the next command starts {}", path(program));
    Finding::warn("daemon", text, format!("{chatctl} daemon start"))
}

/// chatd is nowhere.
pub fn no_program() -> Finding {
    let text = "chatd is not running, and no program chatd lies beside chatctl or in PATH; install it, or put it there";
    Finding::fail("daemon", text, "command -v chatctl chatd")
}

/// chatd cannot be talked to.
pub fn unusable(trouble: &Trouble, chatctl: &str) -> Finding {
    of_trouble("daemon", trouble, chatctl)
}

/// How chatd is confined.
pub fn sandbox(sandbox: &Sandbox, chatctl: &str) -> Finding {
    let state = super::sandbox_state(sandbox);
    match (sandbox.wanted, sandbox.landlock.is_some() && sandbox.seccomp) {
        (false, _) => Finding::warn("sandbox", "off by configuration", format!("{chatctl} config set sandbox on")),
        (true, true) => Finding::ok("sandbox", state),
        (true, false) if cfg!(target_os = "linux") => Finding::warn("sandbox", state, "uname -r"),
        // Nothing can be done about it.
        (true, false) => Finding::ok("sandbox", state),
    }
}

/// Both are of one age, or chatd is newer.
pub fn versions(chatd: &str, chatctl: &str) -> Finding {
    Finding::ok("versions", format!("chatctl {chatctl}, chatd {}", line(chatd)))
}

/// chatd was not restarted since an upgrade.
pub fn older(chatd: &str, ours: &str, chatctl: &str) -> Finding {
    let text = format!("chatd {} is older than chatctl {ours}; a restart keeps what waits", line(chatd));
    Finding::warn("versions", text, format!("{chatctl} daemon restart"))
}

/// Nobody has an account here.
pub fn no_account(chatctl: &str) -> Finding {
    Finding::warn("login", "there is no account here yet", format!("{chatctl} help register"))
}

/// The account is not logged in.
pub fn logged_out(reply: &StatusReply, clock: &Clock, chatctl: &str) -> Finding {
    let (user, server) = (Shown::name(&reply.user), line(&reply.server));
    let why = reply.ended.as_ref().map_or_else(String::new, |ended| {
        let data = ErrorData { ended: Some(ended.clone()), ..ErrorData::from(Code::NOT_LOGGED_IN) };
        format!(" ({})", refusals::refusal(&data, clock).what.trim_end_matches('.'))
    });
    Finding::warn("login", format!("{user}@{server} is not logged in{why}"), format!("{chatctl} login"))
}

/// The account is logged in, and its server is not reached.
pub fn not_online(reply: &StatusReply, clock: &Clock, chatctl: &str) -> Finding {
    let (user, server) = (Shown::name(&reply.user), line(&reply.server));
    let why = reply.cause.as_ref().map_or_else(String::new, |cause| {
        format!(": {}", refusals::of_problem(cause, clock).what.trim_end_matches('.'))
    });
    let again = reply.retry_after_ms.map_or_else(String::new, |ms| format!("; next try in {}", in_time(ms)));
    Finding::warn(
        "login",
        format!("{user}@{server} is not online{why}{again}"),
        format!("{chatctl} status --wait online"),
    )
}

/// Files can come.
pub fn folder(folder: &str) -> Finding {
    Finding::ok("files", format!("received files go into {}", line(folder)))
}

/// No file can be received.
pub fn folder_refused(folder: &str, refusal: &ErrorData, chatctl: &str) -> Finding {
    let shown = line(folder);
    match refusal.code {
        Code::FOLDER_REPLACED => {
            let text = format!(
                "{shown} is not the folder that was there when chatd began: confined, it may write into no other one"
            );
            Finding::fail("files", text, format!("{chatctl} daemon restart"))
        }
        Code::TIMED_OUT => {
            let text = format!("{shown} does not answer: no file can be received there");
            Finding::fail("files", text, format!("df {}", quoted(folder)))
        }
        _ => {
            let why = refusal.detail.as_deref().unwrap_or_default();
            let text = format!("no file can be received: {}", line(why));
            Finding::fail("files", text, mend::look(Path::new(folder)))
        }
    }
}

/// Without chatd nobody can go the way to the server.
pub fn way_not_looked_at(chatctl: &str) -> Finding {
    let text = "name, connection, key and clock were not looked at, as chatd is not there to do it";
    Finding::warn("server", text, format!("{chatctl} daemon start"))
}

/// The server's name has addresses.
pub fn resolved(server: &str, addresses: &[String]) -> Finding {
    let addresses: Vec<_> = addresses.iter().map(|address| line(address).to_string()).collect();
    Finding::ok("dns", format!("{} is {}", line(server), addresses.join(", ")))
}

/// The server's name has none.
pub fn unresolved(server: &str, why: &str) -> Finding {
    let text = format!("the name of {} has no address here: {}", line(server), line(why));
    Finding::fail("dns", text, looked_up(server))
}

/// Nobody proved to be the server: what the way ended at, and what shows more of it.
pub fn not_reached(server: &str, obstacle: Option<Obstacle>, failure: &ErrorData, profile: &Known) -> Finding {
    let chatctl = &profile.chatctl;
    let why = failure
        .detail
        .as_deref()
        .map_or_else(|| refusals::reason(failure.code).to_owned(), |why| line(why).to_string());
    // chatd tries again by itself where the user is logged in; else it may be another server that is meant.
    let patience = match profile.logged_in {
        true => format!("{chatctl} status --wait online --timeout 10m"),
        false => format!("{chatctl} profile list"),
    };
    let shown = line(server);
    match (obstacle, failure.code) {
        (_, Code::VERSION) => {
            let text = format!("{shown} and this chatd do not fit ({why}); the older one must be upgraded");
            Finding::fail("versions", text, format!("{chatctl} --version"))
        }
        (Some(Obstacle::Name), _) => Finding::fail("dns", format!("{shown} is not reached: {why}"), looked_up(server)),
        (Some(Obstacle::Refused), _) => {
            let text = format!("{shown} refuses the connection: no server runs there now, or it has another port");
            Finding::fail("server", text, patience)
        }
        (Some(Obstacle::Silent), _) => {
            let text = format!(
                "{shown} gives no answer in time: the host is down, what runs there is stuck, or a firewall drops what is sent to it"
            );
            Finding::fail("server", text, pinged(server))
        }
        (Some(Obstacle::NoWay), _) => {
            let text = format!("this host has no way to {shown}: {why}");
            Finding::fail("server", text, pinged(server))
        }
        (Some(Obstacle::Cut), _) => {
            let text = format!("{shown} takes the connection, and it ends at once: {why}");
            Finding::fail("server", text, patience)
        }
        (Some(Obstacle::Tls), _) => {
            let text = format!("{shown} answers, and not in TLS 1.3 as a chat server does: {why}");
            Finding::fail("tls", text, handshake(server, chatctl))
        }
        (_, Code::PROTOCOL) => {
            let text = format!("{shown} answers in TLS, and does not prove to be a chat server: {why}");
            Finding::fail("tls", text, handshake(server, chatctl))
        }
        _ => Finding::fail("server", format!("{shown} is not reached: {why}"), patience),
    }
}

fn host(server: &str) -> String {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    quoted(host.trim_matches(['[', ']']))
}

/// Asks the system for a name's addresses.
fn looked_up(server: &str) -> String {
    let asks = if cfg!(target_os = "linux") { "getent hosts" } else { "nslookup" };
    format!("{asks} {}", host(server))
}

/// Shows whether the host answers at all.
fn pinged(server: &str) -> String {
    format!("ping {} 3 {}", if cfg!(windows) { "-n" } else { "-c" }, host(server))
}

/// Shows who answers on the port; Windows has no program for it, and the port may be the wrong one.
fn handshake(server: &str, chatctl: &str) -> String {
    if cfg!(windows) {
        return format!("{chatctl} profile list");
    }
    format!("openssl s_client -connect {} </dev/null", quoted(server))
}

/// The server answers.
pub fn reached(server: &str, proven: &Proven) -> Finding {
    let text = format!("{} answers in {} ms; server {}", line(server), proven.rtt_ms, line(&proven.version));
    Finding::ok("server", text)
}

/// The server proved a key that is trusted.
pub fn trusted(proven: &Proven) -> Finding {
    let by = match &proven.certificate {
        None => "its certificate verifies".to_owned(),
        Some(_) => format!("known by its key {}", proven.fingerprint),
    };
    Finding::ok("tls", format!("TLS 1.3; {by}"))
}

/// Nothing is known of the server's key.
pub fn not_trusted(server: &str, proven: &Proven, chatctl: &str) -> Finding {
    let why = proven.certificate.as_deref().unwrap_or("its certificate was not looked at");
    let text = format!("the key {} of {} is not known, and {}", proven.fingerprint, line(server), line(why));
    Finding::fail("tls", text, format!("{chatctl} trust accept {}", proven.fingerprint))
}

/// The server has another key than before.
pub fn another_key(server: &str, proven: &Proven, chatctl: &str) -> Finding {
    let text = format!(
        "{} shows another key than before, {}: compare it with what the admin says before you accept it",
        line(server),
        proven.fingerprint
    );
    Finding::fail("tls", text, format!("{chatctl} trust show {}", quoted(server)))
}

/// The clock is right.
pub fn clock() -> Finding {
    Finding::ok("clock", "right, by the server's")
}

/// The clock is off by more than shows.
pub fn clock_is_off(ahead_ms: i64, fail: bool) -> Finding {
    let seconds = ahead_ms.unsigned_abs() / 1000;
    let off = match seconds {
        0..600 => format!("{seconds} s"),
        600..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    let text = format!("{off} {} the server's", if ahead_ms > 0 { "ahead of" } else { "behind" });
    let make = if fail { Finding::fail::<String, &str> } else { Finding::warn::<String, &str> };
    make("clock", text, "timedatectl set-ntp true")
}

/// Nothing translates this host's addresses.
pub fn no_router(local: &str) -> Finding {
    Finding::ok("nat", format!("no router in between: the server sees this host as {}", line(local)))
}

/// A router stands in between.
pub fn router(local: &str) -> Finding {
    let text = format!(
        "this host is {} behind a router: private sessions find a way through most, else they take the server's relay; \
         a port that the router passes on is set as private.port",
        line(local)
    );
    Finding::ok("nat", text)
}

/// A router stands in between, and a port is set for it.
pub fn router_with_port(local: &str, port: u16) -> Finding {
    let text = format!("this host is {} behind a router, which must pass UDP port {port} on to it", line(local));
    Finding::ok("nat", text)
}

/// chatd is a unit and stays.
pub fn lingers() -> Finding {
    Finding::ok("linger", "chatd is a unit of yours and stays when you log out")
}

/// chatd is a unit and ends with the last session.
pub fn does_not_linger() -> Finding {
    let text = "chatd is a unit of yours and ends when you log out; what comes then waits on the server";
    Finding::warn("linger", text, "loginctl enable-linger")
}

/// chatd is no unit.
pub fn no_unit() -> Finding {
    Finding::ok("linger", "chatd is no unit here: the first command starts it, and it stays until the host stops")
}

/// Tab completes.
pub fn completes(shell: &str) -> Finding {
    Finding::ok("completions", format!("set up for {shell}"))
}

/// The one line that sets up completion.
pub fn completion_line(shell: &str) -> &'static str {
    match shell {
        "zsh" => "echo 'source <(chatctl completions zsh)' >> ~/.zshrc",
        "fish" => "echo 'chatctl completions fish | source' >> ~/.config/fish/config.fish",
        _ => "echo 'source <(chatctl completions bash)' >> ~/.bashrc",
    }
}

/// Tab does not complete.
pub fn does_not_complete(shell: &str) -> Finding {
    Finding::warn(
        "completions",
        format!("{shell} does not complete chatctl's commands and names"),
        completion_line(shell),
    )
}

/// One line of the report, and what to do below it.
pub fn finding(finding: &Finding) -> String {
    let head = format!("{:<4} {}: {}", finding.verdict.word(), finding.check, finding.detail);
    match &finding.hint {
        Some(hint) => format!("{head}\n  next: {hint}"),
        None => head,
    }
}

/// After `--bundle`; `alone`: without chatd to ask for names.
pub fn bundled(file: &Path, bytes: usize, alone: bool, chatctl: &str) -> String {
    let text = format!(
        "{} is written ({} KiB, readable by you alone): findings, versions, settings, counts and the end of chatd's log. Names, servers, addresses, \
         keys and paths of yours are replaced; texts of messages are never in it. Read it before you hand it on.",
        path(file),
        bytes.div_ceil(1024)
    );
    match alone {
        true => format!(
            "{text}\nchatd did not answer, and it alone knows whose names to look for: read it with care, or make it anew after: {chatctl} daemon start"
        ),
        false => text,
    }
}

/// The head of a bundle.
pub const BUNDLE_HEAD: &str = "\
A report by doctor, a command of chatctl, for whoever helps you. Read it before you hand it on.

In it: what was found, versions, the settings that differ from their defaults, counts, the end of chatd's log.
Replaced: names of people, profiles and devices, servers, hosts, addresses, keys, your home directory; the same one is replaced by the same word.
Never in it: texts of messages, passwords, keys, names of files sent.
";

/// Below the head of a bundle that was made without chatd.
pub const BUNDLE_ALONE: &str = "
chatd did not answer, and it alone knows the people of the history. In its log everything is replaced that is a name by where or how it
stands there: fields of names, paths, hosts, what is quoted. Look through it with care all the same, before you hand it on.
";

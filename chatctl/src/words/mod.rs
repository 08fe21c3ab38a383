//! Every sentence that chatctl says, and nothing else: results here, refusals of the daemon and the server in [`refusals`], troubles
//! of chatctl's own in [`troubles`], the shell's in [`shell`]. Commands hand in data that is safe to print ([`Shown`]) and get text back.
//!
//! Text is plain ASCII apart from what others wrote. A sentence starts small, as it stands behind `chatctl: `, when it is a trouble.

pub mod doctor;
pub mod file;
pub mod hooks;
pub mod private;
pub mod refusals;
pub mod run;
pub mod shell;
pub mod topics;
pub mod trace;
pub mod troubles;

use std::path::Path;

use chat_proto::control::account::{Account, LinkState, LoggedOut, PasswordChanged, Problem, StatusReply};
use chat_proto::control::config::{Profile, Trusted};
use chat_proto::control::daemon::{DaemonInfo, Sandbox};
use chat_proto::control::device::Device;
use chat_proto::control::events::Cursor;
use chat_proto::control::message::{Message, Sent, State};
use chat_proto::control::people::Person;
use chat_proto::fault::Code;
use chat_proto::id::{CursorName, MessageId};

pub use private::{private_ended, private_request, private_session};

use crate::output::Shown;
use crate::time::Clock;
use crate::units::Undone;

/// What bare `chatctl` prints below the status.
pub const EVERYDAY: &str = "
Everyday commands:
  chatctl message USER TEXT   send a message
  chatctl read                read what is new
  chatctl inbox               list conversations
  chatctl whoelse             who else is online
  chatctl watch               follow what happens
  chatctl help                all commands";

/// A list of messages that is empty.
pub const NO_MESSAGES: &str = "no messages";
/// A search without result.
pub const NOTHING_FOUND: &str = "nothing found";
/// An empty outbox.
pub const NOTHING_WAITS: &str = "nothing waits to be sent";
/// chatd keeps no log of its own.
pub const LOG_ELSEWHERE: &str = match cfg!(target_os = "macos") {
    true => "chatd logs to its stderr, or where launchd puts it: tail ~/Library/Logs/chatd.log",
    false => "chatd logs to its stderr or to the journal: journalctl --user -u chatd",
};
/// A heartbeat of `watch`.
pub const ALIVE: &str = "alive";
/// No named cursors.
pub const NO_CURSORS: &str = "no cursors; watch --cursor NAME makes one";
/// An event for status bars alone.
pub const UNREAD_CHANGED: &str = "unread messages changed";
/// `watch` lost chatd.
pub const WAITING_FOR_DAEMON: &str = "chatctl: chatd went away; waiting for it";

/// `3 unread from 2 people`.
fn unread_from(unread: u64, people: u64) -> String {
    format!("{unread} unread from {people} {}", if people == 1 { "person" } else { "people" })
}

/// After `man --dir`.
pub fn pages_written(count: usize, dir: &Path) -> String {
    format!("{count} pages of the manual written under {}", Shown::line(&dir.to_string_lossy()))
}

/// After `register`.
pub fn registered(account: &Account) -> String {
    let (user, server) = (Shown::name(&account.user), Shown::line(&account.server));
    let device = Shown::line(&account.device);
    format!("Registered {user} on {server}; logged in (device {device}).")
}

/// After `login`; `inbox` is the command that shows what waits.
pub fn logged_in(account: &Account, inbox: &str) -> String {
    let (user, server) = (Shown::name(&account.user), Shown::line(&account.server));
    let device = Shown::line(&account.device);
    let mut text = format!("Logged in as {user} on {server} (device {device}).");
    if account.unread > 0 {
        text += &format!(" {}: {inbox}", unread_from(account.unread, account.unread_people));
    }
    text
}

/// After `logout`.
pub fn logged_out(reply: &LoggedOut) -> String {
    let mut text = format!("Logged out {}.", Shown::name(&reply.user));
    for peer in &reply.ended {
        text += &format!(" Private session with {} ended.", Shown::name(peer));
    }
    if reply.unsent > 0 {
        text += &format!(" {} unsent {} kept for the next login.", reply.unsent, messages(reply.unsent));
    }
    if !reply.confirmed {
        text += " The server was not reachable and will notice by the silence.";
    }
    text
}

fn messages(count: u64) -> &'static str {
    if count == 1 { "message" } else { "messages" }
}

/// The link's state in words.
pub fn link(state: LinkState) -> &'static str {
    match state {
        LinkState::Online => "online",
        LinkState::Connecting => "connecting",
        LinkState::Waiting => "offline",
        LinkState::LoggedOut => "logged out",
    }
}

/// The line of `status`. `daemon` is chatd's version.
pub fn status(reply: &StatusReply, daemon: &str, clock: &Clock) -> String {
    let daemon = Shown::line(daemon);
    if reply.user.is_empty() {
        return format!("not logged in; chatd {daemon}");
    }
    let (user, server) = (Shown::name(&reply.user), Shown::line(&reply.server));
    let mut text = format!("{user}@{server} {} {}", link(reply.link), clock.since(reply.since_ms));
    if !reply.device.is_empty() {
        text += &format!(" ({})", Shown::line(&reply.device));
    }
    if let (true, Some(wait)) = (reply.link != LinkState::Online, reply.retry_after_ms) {
        text += &format!(", next try in {}", in_time(wait));
    }
    text += &format!("; {} unread, {} queued", reply.unread, reply.queued);
    if reply.failed > 0 {
        text += &format!(", {} failed: chatctl outbox", reply.failed);
    }
    if reply.requests > 0 {
        let plural = if reply.requests == 1 { "request" } else { "requests" };
        text += &format!("; {} private {plural}: chatctl requests", reply.requests);
    }
    if reply.sessions > 0 {
        let plural = if reply.sessions == 1 { "session" } else { "sessions" };
        text += &format!("; {} private {plural}: chatctl sessions", reply.sessions);
    }
    text += &format!("; chatd {daemon}");
    if let Some(version) = &reply.server_version {
        text += &format!(", server {}", Shown::line(version));
    }
    text
}

/// A wait in words, rounded up so that nobody comes too early.
pub fn in_time(ms: u64) -> String {
    crate::time::length(std::time::Duration::from_secs(ms.div_ceil(1000)))
}

/// After `message`, when it got as far as was asked or is at least kept.
pub fn sent(sent: &Sent) -> String {
    let id = Shown::line(sent.id.short());
    let to = Shown::name(sent.to.as_deref().unwrap_or("everyone online"));
    let again = if sent.duplicate { "; sent before, not doubled" } else { "" };
    match sent.state {
        State::Queued => format!("Queued for {to} ({id}{again})."),
        State::Accepted if !sent.recipient_online => {
            format!("Sent to {to} ({id}, accepted; {to} is offline, will get it at next login{again}).")
        }
        state => format!("Sent to {to} ({id}, {}{again}).", state.word()),
    }
}

/// After `broadcast`.
pub fn broadcast(sent: &Sent) -> String {
    if sent.state == State::Queued {
        return format!("Queued for everyone online ({}).", Shown::line(sent.id.short()));
    }
    let people = if sent.audience == 1 { "person" } else { "people" };
    let mut text = format!("Sent to {} {people} online.", sent.audience);
    if sent.missed {
        text += " Your message could not be delivered to some recipients.";
    }
    text
}

/// One line of `show` about an own message, e.g. `m7k2 to bob: delivered 14:05`.
pub fn progress(message: &Message, clock: &Clock) -> String {
    let id = Shown::line(message.id.short());
    let at = clock.show(message.at_ms);
    let mut text = match (message.own, &message.to) {
        (true, Some(to)) => format!("{id} to {}: {} {at}", Shown::name(to), message.state.word()),
        (true, None) => format!("{id} to all: {} {at}", message.state.word()),
        (false, _) => format!("{id} from {}: {} {at}", Shown::name(&message.from), message.state.word()),
    };
    match (message.state, message.code) {
        (State::Queued, Some(Code::CANCELLED)) => text += " (being cancelled)",
        (_, Some(code)) => text += &format!(" ({})", refusals::reason(code)),
        (_, None) => {}
    }
    text
}

/// Whose message it is, as in `m7k2 to bob`.
pub fn named(message: &Message) -> String {
    let to = message.to.as_deref().map_or_else(|| "all".to_owned(), |to| Shown::name(to).to_string());
    format!("{} to {to}", Shown::line(message.id.short()))
}

/// After `outbox cancel`.
pub fn cancelled(message: &Message) -> String {
    format!("Cancelled {}; it was not sent and will not be.", named(message))
}

/// After `outbox retry ID`.
pub fn sent_again(again: &Sent, replaces: Option<&MessageId>) -> String {
    match replaces {
        None => sent(again),
        Some(failed) => format!("{} It is a new message in the place of {}.", sent(again), Shown::line(failed.short())),
    }
}

/// After `outbox retry`.
pub fn went(count: u64) -> String {
    match count {
        0 => "Nothing waits to be sent.".to_owned(),
        1 => "1 message that waited has its answer from the server.".to_owned(),
        count => format!("{count} messages that waited have their answers from the server."),
    }
}

/// Who wrote it to whom, as it stands before the colon.
pub fn speaker(message: &Message) -> String {
    use chat_proto::control::message::Kind;
    let from = Shown::name(&message.from);
    match (&message.to, message.kind) {
        (_, Kind::System) if message.from.is_empty() => "the server".to_owned(),
        (Some(to), Kind::Private) if message.own => format!("{from}(private) to {}", Shown::name(to)),
        (_, Kind::Private) => format!("{from}(private)"),
        (_, Kind::Broadcast) | (None, _) => format!("{from} to all"),
        (Some(to), _) if message.own => format!("{from} to {}", Shown::name(to)),
        _ => from.to_string(),
    }
}

/// What is added behind a message that is not simply delivered.
pub fn state_note(message: &Message) -> Option<String> {
    match (message.own, message.state, message.code) {
        (true, State::Failed | State::Expired, Some(code)) => {
            Some(format!("{}: {}", message.state.word(), refusals::reason(code)))
        }
        (true, State::Queued | State::Failed | State::Expired, _) => Some(message.state.word().to_owned()),
        _ => None,
    }
}

/// A presence notice.
pub fn presence(user: &str, state: &str, reason: &str) -> String {
    let user = Shown::name(user);
    match (state, reason) {
        ("online", _) => format!("{user} logged in"),
        ("offline", "logout" | "") => format!("{user} logged out"),
        ("offline", "idle") => format!("{user} logged out (no activity)"),
        ("offline", "link") => format!("{user} logged out (connection lost)"),
        ("offline", "kicked") => format!("{user} logged out (by an operator)"),
        (state, reason) => format!("{user} is {} ({})", Shown::line(state), Shown::line(reason)),
    }
}

/// A presence notice without names.
pub fn presence_many(count: u32) -> String {
    format!("{count} people came or went: chatctl whoelse")
}

/// Entries that are gone for good.
pub fn gap(count: u64) -> String {
    format!("{count} older {} no longer on the server", messages(count))
}

/// After `ack`.
pub fn acked(cursor: &Cursor, changed: bool) -> String {
    let name = Shown::line(cursor.name.as_str());
    let at = cursor.id.as_ref().map_or_else(|| "its place".to_owned(), |id| Shown::line(id.short()).to_string());
    let waiting = waiting(cursor.waiting);
    match changed {
        true => format!("Cursor {name} is at {at}; {waiting}."),
        false => format!("Cursor {name} was at {at} already and stays there; {waiting}."),
    }
}

/// A line of `cursor list`.
pub fn cursor(cursor: &Cursor, clock: &Clock) -> String {
    let name = Shown::line(cursor.name.as_str());
    let at = cursor.id.as_ref().map_or_else(|| "the beginning".to_owned(), |id| Shown::line(id.short()).to_string());
    format!("{name}  at {at} since {}  {}", clock.show(cursor.at_ms), waiting(cursor.waiting))
}

fn waiting(count: u64) -> String {
    match count {
        0 => "nothing waits".to_owned(),
        1 => "1 message waits".to_owned(),
        count if count >= chat_proto::limits::CURSOR_WAITING => format!("{count} messages or more wait"),
        count => format!("{count} messages wait"),
    }
}

/// After `cursor remove`.
pub fn cursor_removed(name: &CursorName) -> String {
    format!("Cursor {} is forgotten.", Shown::line(name.as_str()))
}

/// The program of `watch --exec` failed on something that is not acknowledged anyway.
pub fn handler_failed(name: &str, how: &str) -> String {
    format!("chatctl: {} failed ({}); going on", Shown::line(name), Shown::line(how))
}

/// After `passwd`; `kept` other devices stay, `chatctl` is how to call it.
pub fn password_changed(changed: &PasswordChanged, kept: usize, chatctl: &str) -> String {
    let devices =
        |count: usize| if count == 1 { "1 other device".to_owned() } else { format!("{count} other devices") };
    let mut text = format!("Password of {} changed.", Shown::name(&changed.user));
    if changed.revoked > 0 {
        text += &format!(" {} logged out.", devices(changed.revoked as usize));
    } else if kept > 0 {
        let stay = if kept == 1 { "stays" } else { "stay" };
        text += &format!(" {} {stay} logged in: {chatctl} device list", devices(kept));
    }
    text
}

/// The start of a device's id, long enough among eight.
fn device_id(device: &Device) -> String {
    Shown::line(device.id.get(..8).unwrap_or(&device.id)).to_string()
}

fn device_name(device: &Device) -> Shown {
    if device.name.is_empty() { Shown::line("(no name)") } else { Shown::line(&device.name) }
}

/// Columns of a device's name.
pub fn device_width(device: &Device) -> usize {
    device_name(device).width()
}

/// A line of `device list`, names in a column of `widest`.
pub fn device(device: &Device, widest: usize, clock: &Clock) -> String {
    let name = device_name(device);
    let room = " ".repeat(widest.saturating_sub(name.width()));
    let seen = match (device.online, device.seen_ms) {
        (true, _) => "online".to_owned(),
        (false, Some(at)) => format!("last seen {}", clock.show(at)),
        (false, None) => "never seen".to_owned(),
    };
    let since = device.since_ms.map_or_else(String::new, |at| format!("  since {}", clock.show(at)));
    let own = if device.own { "  (this device)" } else { "" };
    format!("{}  {name}{room}{since}  {seen}{own}", device_id(device))
}

/// After `device revoke`.
pub fn device_revoked(device: &Device, chatctl: &str) -> String {
    let (id, name) = (device_id(device), device_name(device));
    if device.own {
        return format!("Device {name} ({id}) is revoked. It is this one, so you are logged out: {chatctl} login");
    }
    format!("Device {name} ({id}) is revoked; it needs the password to come back.")
}

/// After `block` and `unblock`.
pub fn blocked(user: &str, blocked: bool, changed: bool, session: bool) -> String {
    let user = Shown::name(user);
    let mut text = match (blocked, changed) {
        (true, true) => format!("{user} is blocked and is not told now; a message from {user} will be refused."),
        (true, false) => format!("{user} was blocked already."),
        (false, true) => format!("{user} is no longer blocked."),
        (false, false) => format!("{user} was not blocked."),
    };
    if blocked && session {
        text += &format!(" Your private session with {user} stays open: chatctl stopprivate {user}");
    }
    text
}

/// The question about an unknown server key.
pub fn trust_question(server: &str, fingerprint: &str) -> String {
    let server = Shown::line(server);
    format!(
        "{server} is not known yet. So that nobody can stand in between, compare its key once:\n  {fingerprint}\n\
         Whoever runs the server sees it by: chat-server cert fingerprint\nIt is remembered, and another key later is refused. Trust it? [y/N] "
    )
}

/// Two daemons' builds differ: said once to a terminal.
pub fn older_daemon(daemon: &str) -> String {
    format!(
        "chatctl: note: chatd {} is older than chatctl {}.  next: chatctl daemon restart",
        Shown::line(daemon),
        env!("CARGO_PKG_VERSION")
    )
}

/// An own message got further.
pub fn receipt(id: &MessageId, to: Option<&str>, state: State, code: Option<Code>) -> String {
    let to = to.map_or_else(|| "all".to_owned(), |to| Shown::name(to).to_string());
    let text = format!("{} to {to}: {}", Shown::line(id.short()), state.word());
    match code {
        Some(code) => format!("{text} ({})", refusals::reason(code)),
        None => text,
    }
}

/// The link changed.
pub fn link_changed(state: LinkState, cause: Option<&Problem>) -> String {
    match cause {
        Some(cause) => format!("{} ({})", link(state), refusals::reason(cause.code)),
        None => link(state).to_owned(),
    }
}

/// The column of unread messages in `inbox`.
pub fn unread_column(count: u64) -> String {
    if count == 0 { "-".to_owned() } else { format!("{count} unread") }
}

/// A person with `-v`.
pub fn person(user: &Shown, person: &Person, clock: &Clock) -> String {
    let since = clock.show(person.since_ms);
    match (person.online, person.last_seen_ms) {
        (true, _) if person.away => format!("{user}  online since {since}, away"),
        (true, _) => format!("{user}  online since {since}"),
        (false, Some(seen)) => format!("{user}  offline, last seen {}", clock.show(seen)),
        (false, None) => format!("{user}  offline"),
    }
}

/// A line of `profile list`.
pub fn profile(profile: &Profile) -> String {
    let mark = if profile.default { "*" } else { " " };
    let name = Shown::line(&profile.name);
    if profile.user.is_empty() {
        return format!("{mark} {name}  (no account yet)");
    }
    let (user, server) = (Shown::name(&profile.user), Shown::line(&profile.server));
    format!("{mark} {name}  {user}@{server}  {}", link(profile.link))
}

/// After `profile add`.
pub fn profile_added(name: &str) -> String {
    format!("Profile {} is there; it has no account yet.", Shown::line(name))
}

/// After `profile default`.
pub fn profile_default(name: &str) -> String {
    format!("Profile {} is used when none is named.", Shown::line(name))
}

/// After `profile remove`.
pub fn profile_removed(name: &str) -> String {
    format!("Profile {} is erased.", Shown::line(name))
}

/// A line of `trust list`.
pub fn trusted(key: &Trusted, clock: &Clock) -> String {
    let by = match key.by.as_str() {
        "ca" => "by certificate".to_owned(),
        "pin" => "by fingerprint".to_owned(),
        "first_seen" => "first seen".to_owned(),
        other => Shown::line(other).to_string(),
    };
    let what = if key.kind == "user" { " (person)" } else { "" };
    format!("{}{what}  {}  {by}, since {}", Shown::name(&key.name), key.fingerprint, clock.show(key.since_ms))
}

/// After `trust accept`.
pub fn trust_accepted(key: &Trusted) -> String {
    format!("{} is trusted with the key {}.", Shown::name(&key.name), key.fingerprint)
}

/// After `trust remove`.
pub fn trust_removed(name: &str) -> String {
    format!("The key of {} is forgotten.", Shown::line(name))
}

/// After `config check`.
pub fn config_ok(file: &Path, exists: bool) -> String {
    let name = Shown::line(&file.to_string_lossy()).to_string();
    if exists { format!("{name} is right.") } else { format!("{name} is not there; the defaults hold.") }
}

/// After `config set`. A running chatd has read the file before.
pub fn setting_changed(key: &str, value: &str, running: bool) -> String {
    let text = format!("{} = {}", Shown::line(key), Shown::line(value));
    if running { format!("{text}; chatd reads it anew: chatctl daemon restart") } else { text }
}

/// After `config edit`.
pub fn config_written(file: &Path, running: bool) -> String {
    let text = format!("{} is written", Shown::line(&file.to_string_lossy()));
    if running { format!("{text}; chatd reads it anew: chatctl daemon restart") } else { format!("{text}.") }
}

/// `config edit` that changed nothing.
pub const CONFIG_UNCHANGED: &str = "nothing was changed";

/// A line of `config list`.
pub fn setting(key: &str, value: &str, default: bool, about: &str) -> String {
    let mut text = format!("{} = {}", Shown::line(key), Shown::line(value));
    if default {
        text += "  (default)";
    }
    if !about.is_empty() {
        text += &format!("  # {}", Shown::line(about));
    }
    text
}

/// The line of `daemon status`; what is missing of the sandbox in one more, or with `verbose` all of it.
pub fn daemon(info: &DaemonInfo, verbose: bool, clock: &Clock) -> String {
    let some = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut text = format!(
        "chatd {} running {} (pid {}); {}, {}; socket {}",
        Shown::line(&info.version),
        clock.since(info.since_ms),
        info.pid,
        some(info.profiles.len() as u64, "profile"),
        some(info.connections.into(), "connection"),
        Shown::line(&info.socket)
    );
    if let Some(sandbox) = info.sandbox
        && (verbose || sandbox.landlock.is_none() || !sandbox.seccomp)
    {
        text += &format!("\nsandbox: {}", sandbox_state(&sandbox));
    }
    text
}

fn sandbox_state(sandbox: &Sandbox) -> String {
    let lacks = |what| format!("{what} here; Linux 5.19 or newer has it, where no SystemCallFilter hides it");
    match (sandbox.wanted, sandbox.landlock, sandbox.seccomp) {
        (false, ..) => "off by configuration.  next: chatctl config set sandbox on".to_owned(),
        (true, Some(abi), true) => format!("landlock ABI {abi} + seccomp"),
        (true, Some(abi), false) => format!("landlock ABI {abi}; {}", lacks("no seccomp")),
        (true, None, true) => format!("seccomp; {}", lacks("no landlock")),
        (true, None, false) if cfg!(target_os = "linux") => lacks("none: no landlock and no seccomp"),
        (true, None, false) => "none: this system has nothing to confine chatd with".to_owned(),
    }
}

/// After `daemon start`.
pub fn daemon_started(version: &str, before: bool) -> String {
    let version = Shown::line(version);
    if before { format!("chatd {version} was running already.") } else { format!("chatd {version} started.") }
}

/// After `daemon stop`.
pub fn daemon_stopped(changed: bool) -> &'static str {
    if changed { "chatd stopped; what waits to be sent is kept." } else { "chatd was not running." }
}

/// After `daemon restart`.
pub fn daemon_restarted(old: Option<&str>, new: &str) -> String {
    let new = Shown::line(new);
    match old {
        Some(old) => format!("chatd restarted ({} to {new}); queue kept.", Shown::line(old)),
        None => format!("chatd {new} started."),
    }
}

/// After `daemon install`; it may have been installed before.
pub fn daemon_installed(before: bool, lingers: bool, chatctl: &str) -> String {
    let is_unit = match before {
        true => "chatd is a unit of yours already (chatd.socket, chatd.service), and was started anew.",
        false => "chatd is a unit of yours now (chatd.socket, chatd.service).",
    };
    let stays = match lingers {
        true => "It starts with the host and stays when you log out.".to_owned(),
        false => format!("It ends when you log out; to keep it running: {chatctl} daemon install --linger"),
    };
    format!("{is_unit} {stays}\n  to undo it: {chatctl} daemon uninstall")
}

/// After `daemon install` where launchd is the manager.
pub fn agent_installed(before: bool, chatctl: &str) -> String {
    let is_agent = match before {
        true => "chatd is an agent of yours already (~/Library/LaunchAgents/chatd.plist), and was started anew.",
        false => "chatd is an agent of yours now (~/Library/LaunchAgents/chatd.plist).",
    };
    let stays = "It starts when you log in, ends when you log out, and logs to ~/Library/Logs/chatd.log.";
    format!("{is_agent} {stays}\n  to undo it: {chatctl} daemon uninstall")
}

/// After `daemon uninstall`.
pub fn daemon_uninstalled(undone: &Undone) -> &'static str {
    match undone {
        Undone { packaged: true, .. } => {
            "chatd is stopped, and the next command that needs it starts it. What waits to be sent is kept. The package's socket for it stays \
             and listens again from your next login on.\n  to have it not: systemctl --user mask chatd.socket"
        }
        Undone { changed: true, .. } => {
            "chatd is no unit any more; the next command that needs it starts it. What waits to be sent is kept."
        }
        Undone { .. } => "chatd was no unit.",
    }
}

/// Questions and prompts.
pub mod ask {
    use crate::output::Shown;

    /// For the account name.
    pub const NAME: &str = "Name: ";
    /// For a password.
    pub const PASSWORD: &str = "Password: ";
    /// For the password as it is.
    pub const OLD_PASSWORD: &str = "Old password: ";
    /// For the password as it is to be.
    pub const NEW_PASSWORD: &str = "New password: ";
    /// For a new password once more.
    pub const AGAIN: &str = "Again: ";

    /// Before lingering is switched on.
    pub const LINGER: &str = "Units of yours end when you log out. With lingering they start with the host and stay: chatd then goes on receiving, \
                              and whatever else you made a unit runs on too. Switch lingering on? [y/N] ";

    /// After a text that chatd refuses.
    pub const EDIT_AGAIN: &str = "Edit it again? [y/N] ";

    /// Before all dead letters are forgotten.
    pub const DROP_LETTERS: &str = "Forget all dead letters? [y/N] ";

    /// Before a login makes an account of a name that nobody has.
    pub fn sign_up(name: &str) -> String {
        format!("Nobody is called {} here yet. Sign up with this name? [y/N] ", Shown::name(name))
    }

    /// After a name that is active elsewhere; an empty line gives up.
    pub fn another_name(name: &str) -> String {
        format!("{} is active on another device. Another name: ", Shown::name(name))
    }

    /// Whether the code of a private session was compared and found equal.
    pub fn same_code(peer: &str) -> String {
        format!("Is it the same on {}'s side? [y/N] ", Shown::name(peer))
    }

    /// For a text.
    pub fn text(to: &str) -> String {
        format!("Message to {}: ", Shown::name(to))
    }

    /// Before a new password is sent, where there are other devices.
    pub fn revoke_others(count: usize) -> String {
        if count == 1 {
            return "Log out the other device too? It logs in by key, without the password. [y/N] ".to_owned();
        }
        format!("Log out the {count} other devices too? They log in by key, without the password. [y/N] ")
    }

    /// Before everything of a profile is erased.
    pub fn wipe(profile: &str) -> String {
        format!("Erase history, outbox and device key of profile {}? [y/N] ", Shown::line(profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(state: State) -> Sent {
        Sent {
            id: MessageId("01k9zt4m7k200000".into()),
            key: "k".into(),
            to: Some("bob".into()),
            state,
            at_ms: 0,
            recipient_online: true,
            duplicate: false,
            audience: 11,
            missed: false,
            pending: None,
            retry_after_ms: None,
            cause: None,
        }
    }

    #[test]
    fn sent_says_how_far() {
        let mut sent_to = sample(State::Accepted);
        sent_to.id = MessageId("000000000000m7k2".into());
        assert_eq!(sent(&sent_to), "Sent to bob (m7k2, accepted).");
        sent_to.recipient_online = false;
        assert_eq!(sent(&sent_to), "Sent to bob (m7k2, accepted; bob is offline, will get it at next login).");
        sent_to.state = State::Delivered;
        assert_eq!(sent(&sent_to), "Sent to bob (m7k2, delivered).");
        sent_to.state = State::Queued;
        assert_eq!(sent(&sent_to), "Queued for bob (m7k2).");
        sent_to.duplicate = true;
        assert_eq!(sent(&sent_to), "Queued for bob (m7k2; sent before, not doubled).");
    }

    #[test]
    fn broadcast_counts_and_never_names() {
        let mut all = sample(State::Accepted);
        assert_eq!(broadcast(&all), "Sent to 11 people online.");
        all.missed = true;
        all.audience = 1;
        assert_eq!(broadcast(&all), "Sent to 1 person online. Your message could not be delivered to some recipients.");
    }

    #[test]
    fn presence_in_the_exercise_words() {
        assert_eq!(presence("yoda", "online", "login"), "yoda logged in");
        assert_eq!(presence("yoda", "offline", "logout"), "yoda logged out");
        assert_eq!(presence("y\x1bda", "offline", "logout"), r"y\x1bda logged out");
    }
}

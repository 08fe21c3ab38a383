//! What `chatctl shell` says: the exercise's sentences where it has them (a refusal begins with `Error.`), else those of the other
//! commands (behind `Error:`).

use chat_proto::control::account::{Problem, StatusReply};
use chat_proto::control::file::{File, FileState};
use chat_proto::control::message::{Kind, Message, Sent, State};
use chat_proto::control::private::{Direction, EndReason, PrivateEnded, PrivateRequest, PrivateSession, RequestState};
use chat_proto::fault::Code;
use chat_proto::limits::PEER_AWAY;

use super::{messages, refusals};
use crate::output::{Shown, Trouble};
use crate::shell::line::{WORDS, Word};
use crate::time::{Clock, length};

/// Asks for the account.
pub const USERNAME: &str = "Username: ";
/// Something else than y or n where nothing else makes sense.
pub const Y_OR_N: &str = "Please enter y or n.";
/// No word of the shell.
pub const UNKNOWN: &str = "Error. Invalid command";
/// No such user.
pub const NOBODY: &str = "Error. Invalid user";
/// The recipient has blocked the caller.
pub const BLOCKED_YOU: &str = "Your message could not be delivered as the recipient has blocked you";
/// A broadcast left somebody out who is online.
pub const SOME_MISSED: &str = "Your message could not be delivered to some recipients";
/// A broadcast that reached nobody, as nobody is there.
pub const NOBODY_ONLINE: &str = "Nobody else is online.";
/// A private request reaches nobody, as the asked one blocks the caller.
pub const BLOCKS_REQUESTS: &str = "Private messaging could not be started as the recipient has blocked you";
/// A line that no command needs.
pub const LONG_LINE: &str = "Error: the line is too long; a message holds 64 KiB. Nothing was sent.";
/// The shell lost chatd.
pub const DAEMON_GONE: &str = "chatd went away; waiting for it.";
/// And found it again.
pub const DAEMON_BACK: &str = "chatd is back.";
/// The link to the server is there again.
pub const LINK_BACK: &str = "The server is back.";
/// A command was given up with Ctrl-C.
pub const INTERRUPTED: &str = "Interrupted.";
/// What is shown where help is one word away.
pub const SEE_HELP: &str = "  next: help";

/// The prompt of somebody.
pub fn prompt(user: &str) -> String {
    format!("{}> ", Shown::name(user))
}

/// First words on a terminal.
pub fn greeting(status: &StatusReply) -> String {
    let (user, server) = (Shown::name(&status.user), Shown::line(&status.server));
    format!("{user}@{server} {}. help lists the commands, quit leaves.", super::link(status.link))
}

/// After a login.
pub fn logged_in(user: &str, server: &str) -> String {
    format!("Logged in as {} on {}.", Shown::name(user), Shown::line(server))
}

/// The line is not UTF-8; the offset is where it goes wrong.
pub fn not_utf8(at: usize) -> String {
    format!("Error: the line is not UTF-8 (byte {at}). Nothing was sent.")
}

/// The word is right, its arguments are not.
pub fn form(word: &Word) -> String {
    format!("Error. The form is: {}", word.form)
}

/// Arguments of a command of chatctl that were not understood.
pub fn wrong_arguments(what: &str) -> String {
    format!("Error: {}", Shown::line(what))
}

/// All words, or one.
pub fn help(of: Option<&Word>) -> String {
    let line = |word: &Word| format!("  {:43} {}", word.form, word.about);
    match of {
        Some(word) => line(word),
        None => {
            let lines: Vec<_> = WORDS.iter().map(line).collect();
            let text = "A text is the rest of its line as it is. Tab completes, Ctrl-C clears the line, Ctrl-D leaves.";
            format!("{}\n{text}", lines.join("\n"))
        }
    }
}

/// The caller named himself; `what` he wanted to do.
pub fn yourself(what: &str) -> String {
    format!("Error. Cannot {what} self")
}

/// After `block`.
pub fn blocked(user: &str, changed: bool) -> String {
    format!("{} is {}blocked", Shown::name(user), if changed { "" } else { "already " })
}

/// After `unblock`.
pub fn unblocked(user: &str) -> String {
    format!("{} is unblocked", Shown::name(user))
}

/// `unblock` of somebody who was not blocked.
pub fn not_blocked(user: &str) -> String {
    format!("Error. {} was not blocked", Shown::name(user))
}

/// There is no private session with them.
pub fn not_private(user: &str) -> String {
    format!("Error. Private messaging to {} not enabled", Shown::name(user))
}

/// They are not online.
pub fn offline(user: &str) -> String {
    format!("Error. {} is offline", Shown::name(user))
}

/// The caller blocks them.
pub fn you_block(user: &str) -> String {
    let user = Shown::name(user);
    format!("Error. You block {user}\n  next: unblock {user}")
}

/// They were asked already and have not answered.
pub fn pending(user: &str) -> String {
    format!("Error. Your request to {} is still open", Shown::name(user))
}

/// There is a session already.
pub fn private_already(user: &str) -> String {
    format!("Error. Private messaging with {} is enabled already", Shown::name(user))
}

/// After `startprivate`.
pub fn asked(user: &str) -> String {
    format!("{} is asked; the answer is shown here.", Shown::name(user))
}

/// Somebody asks. Exercise words save for the note, which only this client can send.
pub fn private_question(request: &PrivateRequest) -> String {
    let note = match request.note.as_deref().filter(|note| !note.is_empty()) {
        Some(note) => format!(" (\"{}\")", Shown::line(note)),
        None => String::new(),
    };
    format!("{} would like to private message{note}, enter y or n: ", Shown::name(&request.peer))
}

/// Somebody asks while another question is open.
pub fn asks_too(user: &str) -> String {
    let user = Shown::name(user);
    format!("{user} would like to private message, too: accept {user}, decline {user}")
}

/// No request of theirs is open.
pub fn no_request(user: &str) -> String {
    format!("Error. There is no request of {}", Shown::name(user))
}

/// Their request is over.
pub fn request_over(user: &str) -> String {
    format!("Error. The request of {} is over", Shown::name(user))
}

/// After `decline`.
pub fn declined(user: &str) -> String {
    format!("You have declined the request of {}", Shown::name(user))
}

/// What became of a request that was open here; nothing where the rest says it.
pub fn request(request: &PrivateRequest) -> Option<String> {
    let peer = Shown::name(&request.peer);
    match (request.dir, request.state) {
        (_, RequestState::Asked) | (Direction::Out, RequestState::Accepted) => None,
        (Direction::Out, RequestState::Declined) => Some(format!("{peer} has declined your request")),
        (Direction::Out, RequestState::Expired) => Some(format!("{peer} has not answered your request; it is over")),
        (Direction::Out, RequestState::Cancelled) => Some(format!("{peer} has left; your request is over")),
        (Direction::Out, RequestState::Withdrawn) => Some(format!("Your request to {peer} is withdrawn")),
        (Direction::In, RequestState::Accepted | RequestState::Declined) => {
            Some(format!("The request of {peer} was answered elsewhere"))
        }
        (Direction::In, RequestState::Expired) => Some(format!("The request of {peer} has run out")),
        (Direction::In, RequestState::Cancelled) => Some(format!("{peer} has left; the request is over")),
        (Direction::In, RequestState::Withdrawn) => {
            Some(format!("The request of {peer} was withdrawn, or answered elsewhere"))
        }
    }
}

/// A session is open: the exercise's sentence, and how it goes.
pub fn private_started(session: &PrivateSession) -> String {
    format!(
        "Start private messaging with {}.\n  ({})",
        Shown::name(&session.peer),
        super::private::way_and_key(session)
    )
}

/// There was one before this shell.
pub fn private_on(session: &PrivateSession) -> String {
    format!("Private messaging with {} is on ({}).", Shown::name(&session.peer), super::private::way_and_key(session))
}

/// It goes another way than before.
pub fn private_moved(session: &PrivateSession) -> String {
    format!(
        "Private messaging with {} goes another way now ({}).",
        Shown::name(&session.peer),
        super::private::way_and_key(session)
    )
}

/// The peer is out of reach for now.
pub fn private_away(user: &str) -> String {
    let user = Shown::name(user);
    format!("{user} cannot be reached; private messages are kept for {}.", length(PEER_AWAY))
}

/// And is there again.
pub fn private_back(user: &str) -> String {
    format!("{} is back.", Shown::name(user))
}

/// After `stopprivate`.
pub fn private_stopped(ended: &PrivateEnded) -> String {
    format!("Private messaging with {} has ended.{}", Shown::name(&ended.peer), super::private::left_over(ended))
}

/// After `stopprivate` of somebody who had not answered yet.
pub fn withdrawn(user: &str) -> String {
    format!("Your request to {} is withdrawn", Shown::name(user))
}

/// A session ended, and not by a line of this shell. `started`: it had been open here.
pub fn private_ended(ended: &PrivateEnded, started: bool) -> String {
    let peer = Shown::name(&ended.peer);
    let why = match (ended.reason, ended.by_peer) {
        (EndReason::You, _) => "You have stopped it.".to_owned(),
        (EndReason::Peer, _) => format!("{peer} has stopped it."),
        (EndReason::Logout, true) => format!("{peer} has logged out."),
        (EndReason::Logout, false) => "You have logged out.".to_owned(),
        (EndReason::Idle, true) => format!("{peer} was logged out without activity."),
        (EndReason::Idle, false) => "You were logged out without activity.".to_owned(),
        (EndReason::Link, _) => format!("{peer} could not be reached."),
        (EndReason::Time, _) => "Its time is over.".to_owned(),
        (EndReason::Identity, true) => format!("{peer} knows you by another key."),
        (EndReason::Identity, false) => {
            format!("{peer} showed another key than before; somebody may be in between: chatctl trust list")
        }
        (EndReason::NoDirectPath, _) => "No direct path was found.".to_owned(),
        (EndReason::Other, _) => String::new(),
    };
    let what = if started { "has ended." } else { "was not started." };
    let text = format!("Private messaging with {peer} {what} {why}{}", super::private::left_over(ended));
    text.trim_end().to_owned()
}

/// A file was offered, or is over; nothing for what is on its way.
pub fn file(file: &File) -> Option<String> {
    match (file.state, file.dir) {
        (FileState::Offered, Direction::In) => {
            let (peer, name, id) =
                (Shown::name(&file.peer), Shown::name(&file.name), Shown::line(super::file::short(file)));
            Some(format!(
                "{peer} offers {name} ({}): file accept {id}, file decline {id}",
                super::file::size(file.size)
            ))
        }
        (state, _) if state.is_over() => Some(super::file::file(file)),
        _ => None,
    }
}

/// After `private`; nothing where there is nothing to say.
pub fn private_sent(sent: &Sent, verbose: bool) -> Option<String> {
    match sent.pending {
        Some(pending) => Some(capital(&super::private::private_kept(sent, pending).what)),
        None => verbose.then(|| super::private::private_sent(sent)),
    }
}

/// A refusal that the exercise has no sentence for. `next` is the command to run next, as it is typed here.
pub fn refused(trouble: &Trouble, next: Option<&str>) -> String {
    let what = &trouble.what;
    match next {
        Some(next) => format!("Error: {what}\n  next: {next}"),
        None => format!("Error: {what}"),
    }
}

/// After `message`; nothing where there is nothing to say.
pub fn sent(sent: &Sent, verbose: bool) -> Option<String> {
    match sent.pending {
        Some(pending) => return Some(capital(&refusals::kept(sent, pending).what)),
        None if verbose => return Some(super::sent(sent)),
        None => {}
    }
    let to = Shown::name(sent.to.as_deref()?);
    match sent.state {
        State::Accepted if !sent.recipient_online => Some(format!("{to} is offline and gets it at the next login.")),
        _ => None,
    }
}

/// After `broadcast`; nothing where there is nothing to say.
pub fn broadcast(sent: &Sent, verbose: bool) -> Option<String> {
    match sent.pending {
        Some(pending) => return Some(capital(&refusals::kept(sent, pending).what)),
        None if sent.missed => return Some(SOME_MISSED.to_owned()),
        None if verbose => return Some(super::broadcast(sent)),
        None => {}
    }
    (sent.state >= State::Accepted && sent.audience == 0).then(|| NOBODY_ONLINE.to_owned())
}

/// A message as it comes. The exercise has one form for all; otherwise one to all says so.
pub fn message(message: &Message, classic: bool) -> String {
    let text = Shown::message(&message.text);
    let from = Shown::name(&message.from);
    match (message.kind, &message.to) {
        (Kind::System, _) => format!("* {text}"),
        (Kind::Private, Some(to)) if message.own => format!("{from}(private) to {}: {text}", Shown::name(to)),
        (Kind::Private, _) => format!("{from}(private): {text}"),
        (_, Some(to)) if message.own => format!("{from} to {}: {text}", Shown::name(to)),
        (Kind::Broadcast, _) if message.own || !classic => format!("{from} to all: {text}"),
        _ => format!("{from}: {text}"),
    }
}

/// Above the messages that came while no shell was open.
pub fn waiting(count: usize, oldest_ms: i64, clock: &Clock) -> String {
    format!("{count} unread, the oldest of {}:", clock.show(oldest_ms))
}

/// More of them than anyone wants at once.
pub fn many_waiting(count: u64) -> String {
    format!("{count} unread {}: read --unread, inbox", messages(count))
}

/// Somebody came or went.
pub fn presence(user: &str, online: bool) -> String {
    format!("{} logged {}", Shown::name(user), if online { "in" } else { "out" })
}

/// More people came or went than are named.
pub fn presence_many(count: u32) -> String {
    format!("{count} people came or went: whoelse")
}

/// A message that waited was refused, or did not get there in time.
pub fn failed(to: Option<&str>, code: Option<Code>) -> String {
    let to = to.map_or_else(|| "all".to_owned(), |to| Shown::name(to).to_string());
    match code {
        Some(Code::RECIPIENT_BLOCKED) => BLOCKED_YOU.to_owned(),
        Some(code) => format!("Error: your message to {to} failed: {}", refusals::reason(code)),
        None => format!("Error: your message to {to} failed"),
    }
}

/// The link to the server is lost.
pub fn link_lost(cause: Option<&Problem>) -> String {
    let why = cause.map_or_else(String::new, |cause| format!(" ({})", refusals::reason(cause.code)));
    format!("The link to the server is lost{why}. Messages are kept and go out when it is back.")
}

/// The session ends while the server is away.
pub fn left_unlinked(status: &StatusReply) -> String {
    let why = status.cause.as_ref().map_or_else(String::new, |cause| format!(" ({})", refusals::reason(cause.code)));
    let kept = match status.queued {
        0 => String::new(),
        count => format!(" {count} {} kept and will go out.", messages(count)),
    };
    format!("The server is not reachable{why}.{kept}")
}

/// A name that nobody has may become an account.
pub fn sign_up(name: &str) -> String {
    format!("Nobody is called {} here yet. Sign up with this name, enter y or n: ", Shown::name(name))
}

/// Logging out although messages wait.
pub fn unsent(count: &str) -> String {
    format!("{} unsent; they go out at the next login. Log out, enter y or n: ", Shown::line(count))
}

/// A server key that is not known yet.
pub fn trust(server: &str, fingerprint: &str) -> String {
    format!(
        "{} is not known yet. Its key is {fingerprint}\n(compare with \"chat-server cert fingerprint\"). Trust it, enter y or n: ",
        Shown::line(server)
    )
}

/// Words of the other commands start small; a line of its own here does not. Only for those that begin with no name.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), chars.as_str()))
}

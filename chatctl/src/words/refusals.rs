//! What a refusal of chatd or the server means: what happened, the cause where known, one command to run next.

use chat_proto::control::ErrorData;
use chat_proto::control::account::{Ended, Problem};
use chat_proto::control::message::{Pending, Sent};
use chat_proto::display::quoted;
use chat_proto::fault::Code;

use crate::exit::Exit;
use crate::output::{Shown, Trouble};
use crate::time::Clock;
use crate::words::in_time;

/// The trouble that a refusal is. `clock` prints times in it.
pub fn refusal(data: &ErrorData, clock: &Clock) -> Trouble {
    let (mut what, mut next) = sentence(data);
    if let (Code::NOT_LOGGED_IN, Some(ended)) = (data.code, &data.ended) {
        what = ended_login(ended, clock);
    }
    if let Some(detail) = &data.detail {
        what += &format!(" ({})", Shown::line(detail));
    }
    if let Some(wait) = data.retry_after_ms {
        what += &format!(" Try again in {}.", in_time(wait));
    }
    if let Some(trust) = &data.trust {
        (what, next) = match data.code {
            Code::IDENTITY_CHANGED => super::troubles::identity(trust, clock),
            _ => super::troubles::trust(trust, clock),
        };
    }
    let mut trouble = Trouble::new(data.code.name(), Exit::of(data.code), what);
    trouble.next = next;
    trouble.retry_after_ms = data.retry_after_ms;
    if let Some(trust) = &data.trust {
        trouble.add("fingerprint", trust.fingerprint.to_string());
        let of = if data.code == Code::IDENTITY_CHANGED { "user" } else { "server" };
        trouble.add(of, trust.server.clone());
    }
    if let Some(message) = &data.message {
        trouble.add("id", message.id.to_string());
    }
    if let Some(key) = data.key.as_ref().or(data.message.as_ref().map(|m| &m.key)) {
        trouble.add("key", key.clone());
    }
    trouble
}

/// The wait for a verdict ended early: the message is kept. `waited` says how far the caller wanted it.
pub fn kept(sent: &Sent, pending: Pending) -> Trouble {
    let id = sent.id.short().to_owned();
    let (code, mut what) = match pending {
        Pending::TimedOut => (Code::TIMED_OUT, timed_out(sent)),
        Pending::Unreachable => {
            let code = sent.cause.as_ref().map_or(Code::SERVER_UNREACHABLE, |cause| cause.code);
            (code, unreachable(code))
        }
    };
    if let (Pending::Unreachable, Some(wait)) = (pending, sent.retry_after_ms) {
        what += &format!(" Next try in {}.", in_time(wait));
    }
    let exit = match pending {
        Pending::TimedOut => Exit::TimedOut,
        Pending::Unreachable => Exit::Unreachable,
    };
    let mut trouble = Trouble::new(code.name(), exit, what);
    trouble.next = Some(format!("show {id}"));
    trouble.retry_after_ms = sent.retry_after_ms;
    trouble.add("id", sent.id.to_string());
    trouble.add("key", sent.key.clone());
    trouble
}

fn timed_out(sent: &Sent) -> String {
    match sent.state {
        chat_proto::control::message::State::Queued => {
            "no verdict from the server in time; the message is kept, and will go out.".to_owned()
        }
        state => format!("the message is {}, and did not get further in time.", state.word()),
    }
}

fn unreachable(code: Code) -> String {
    match code {
        Code::SERVER_UNREACHABLE => "the server cannot be reached; the message is kept, and will go out.".to_owned(),
        code => format!("not sent yet: {}; the message is kept, and will go out.", reason(code)),
    }
}

fn ended_login(ended: &Ended, clock: &Clock) -> String {
    let at = clock.show(ended.at_ms);
    match ended.code {
        Code::IDLE => format!("logged out by the server at {at} after a time without activity."),
        Code::KICKED => format!("logged out by an operator of the server at {at}."),
        Code::REPLACED => format!("logged out at {at}: another login took over."),
        Code::NOT_LOGGED_IN | Code::ACCEPTED => format!("not logged in (logged out at {at})."),
        code => format!("not logged in since {at}: {}.", reason(code)),
    }
}

/// The trouble that a problem of `status` is. That of a link names no one: its subject is the technical cause.
pub fn of_problem(problem: &Problem, clock: &Clock) -> Trouble {
    let mut data = ErrorData { subject: problem.subject.clone(), ..ErrorData::from(problem.code) };
    if problem.code == Code::SERVER_UNREACHABLE {
        data.detail = data.subject.take();
    }
    refusal(&data, clock)
}

/// The cause in a few words, for the middle of a sentence.
pub fn reason(code: Code) -> String {
    let (text, _) = sentence(&ErrorData::from(code));
    text.trim_end_matches('.').to_owned()
}

/// What to run when this code is the problem.
pub fn next(code: Code) -> Option<String> {
    sentence(&ErrorData::from(code)).1
}

/// The message of the data got so far already.
fn too_late(data: &ErrorData) -> String {
    match &data.message {
        Some(sent) => {
            let id = Shown::line(sent.id.short());
            format!("it is too late: {id} is {} already; nothing was changed.", sent.state.word())
        }
        None => "it is too late: it is under way or over already; nothing was changed.".to_owned(),
    }
}

/// What happened and what to run next. The subject is a user unless the code speaks of something else.
fn sentence(data: &ErrorData) -> (String, Option<String>) {
    let subject = data.subject.as_deref().filter(|subject| !subject.is_empty());
    let who = |default: &str| subject.map_or_else(|| default.to_owned(), |name| Shown::name(name).to_string());
    let what = |default: &str| subject.map_or_else(|| default.to_owned(), |text| Shown::line(text).to_string());
    let (text, next) = match data.code {
        Code::ACCEPTED => ("done.".into(), ""),
        Code::INTERNAL => ("something failed inside; the log says what.".into(), "daemon logs"),
        Code::PROTOCOL => ("the other side said something that makes no sense here.".into(), "daemon logs"),
        Code::VERSION => {
            ("chatd and the server speak no common version; the older one must be upgraded.".into(), "daemon status")
        }
        Code::NOT_LOGGED_IN => ("not logged in.".into(), "login"),
        Code::WRONG_CREDENTIALS => ("wrong name or password.".into(), "login"),
        Code::LOCKED_OUT => ("too many wrong passwords; login is locked for a while.".into(), "login"),
        Code::NAME_TAKEN => (format!("the name {} is taken.", what("you asked for")), "help register"),
        Code::BAD_NAME => (
            format!(
                "{} is not a name that can be used: 1-32 characters without blanks; save in the classic profile of a-z 0-9 . _ - alone, starting with a letter or digit, and none of the reserved ones.",
                what("that")
            ),
            "help register",
        ),
        Code::BAD_PASSWORD => ("the password is empty, too long, not UTF-8, or breaks a line.".into(), "login"),
        Code::REGISTRATION_CLOSED => ("the server takes no new accounts; ask its admin for one.".into(), "login"),
        Code::BAD_INVITE => {
            ("the invitation is missing, wrong, used up or expired; ask the server's admin.".into(), "help register")
        }
        Code::ALREADY_LOGGED_IN => ("the account is active on another device.".into(), "login --take-over"),
        Code::SIGN_UP => (
            format!("nobody is called {} here yet; a login makes the account when told so.", what("that")),
            "help login",
        ),
        Code::SLOW_DOWN => ("too many requests of this kind.".into(), "status"),
        Code::BUSY => ("the other side has no room for this now.".into(), "status"),
        Code::UNKNOWN_USER => (format!("there is no user {}.", what("of that name")), "whoelse"),
        Code::YOURSELF => ("that is yourself.".into(), "whoelse"),
        Code::RECIPIENT_BLOCKED => {
            (format!("{} has blocked you, so the message was not delivered.", who("the recipient")), "")
        }
        Code::TOO_LARGE => ("the text is too large.".into(), "help message"),
        Code::INBOX_FULL => {
            (format!("the inbox of {} is full, so the message was not delivered.", who("the recipient")), "")
        }
        Code::LIMIT => ("too many messages of this kind.".into(), "status"),
        Code::VOID => ("the message was given up before the server decided.".into(), "outbox"),
        Code::CONFLICT => ("this --id was used before for another text or recipient.".into(), "outbox"),
        Code::NOT_BLOCKED => (format!("{} was not blocked.", what("that user")), "blocked"),
        Code::STORAGE => ("the server has no disk space for this now.".into(), "status"),
        Code::FORBIDDEN => ("this is not yours to do.".into(), ""),
        Code::DUPLICATE_DEVICE => ("two copies of this device are alive; this one was logged out.".into(), "login"),
        Code::TOO_MANY_DEVICES => {
            ("the account has as many devices as it may; on one of them, revoke one.".into(), "help device")
        }
        Code::TOO_MANY_BLOCKS => ("you block as many people as you may.".into(), "blocked"),
        Code::SHUTTING_DOWN => ("the server is going down and comes back.".into(), "status --wait online"),
        Code::SLOW_READER => ("the connection was too slow and resumes.".into(), "status --wait online"),
        Code::REPLACED => ("another login took over.".into(), "login"),
        Code::IDLE => ("logged out by the server after a time without activity.".into(), "login"),
        // What chatd itself does not know is no refusal of its.
        Code::UNSUPPORTED => {
            ("the server is too old for this; ask its operator to upgrade it.".into(), "daemon status")
        }
        Code::OUTCOME_LOST => ("what became of the message is no longer known; it is not sent again.".into(), "outbox"),
        Code::ACCOUNT_LOCKED => ("the account is locked by an operator of the server.".into(), "status"),
        Code::ACCOUNT_GONE => ("the account was deleted.".into(), "help register"),
        Code::EXPIRED => (format!("{} did not fetch the message in time.", who("the recipient")), "outbox"),
        Code::KICKED => ("logged out by an operator of the server.".into(), "login"),
        Code::TIMED_OUT => ("no answer in time.".into(), "status"),
        Code::TRUST_UNKNOWN => ("the server's key is not known yet.".into(), "help login"),
        Code::TRUST_CHANGED => ("the server shows a different key than before.".into(), "trust list"),
        Code::SERVER_UNREACHABLE => (format!("{} cannot be reached.", what("the server")), "status"),
        Code::UNKNOWN_PROFILE => (format!("there is no profile {}.", what("of that name")), "profile list"),
        Code::UNKNOWN_ID => (format!("no message has the id {}, or several end with it.", what("given")), "read"),
        Code::OUTBOX_FULL => ("the outbox is full; wait until messages have gone out.".into(), "status"),
        Code::UNSENT => ("messages wait in the outbox; --force leaves them there.".into(), "outbox"),
        Code::BAD_CONFIG => (format!("the configuration is wrong: {}.", what("see the check")), "config check"),
        Code::BAD_PARAMS => (format!("chatd does not take this: {}.", what("wrong parameters")), "help"),
        Code::DISK_FULL => (format!("cannot write {}: no space or no permission.", what("to disk")), "doctor"),
        Code::UNKNOWN_TRUST => (format!("no such server or key is known: {}.", what("nothing given")), "trust list"),
        Code::CANCELLED => ("the message was cancelled before it was sent.".into(), "outbox"),
        Code::PROFILE_EXISTS => (format!("the profile {} is in use.", what("of that name")), "profile list"),
        Code::REVOKED => ("this device was revoked; it can come back by password, as a new device.".into(), "login"),
        Code::UNKNOWN_DEVICE => {
            (format!("no device has the id or name {}, or several do.", what("given")), "device list")
        }
        Code::UNKNOWN_INVITE => (format!("there is no invitation {}.", what("of that number")), "help register"),
        Code::UNKNOWN_CURSOR => {
            (format!("there is no cursor {}; watch --cursor makes one.", what("of that name")), "cursor list")
        }
        Code::TOO_MANY_CURSORS => ("there are as many cursors as may be; forget some.".into(), "cursor list"),
        Code::UNKNOWN_HOOK => (format!("no hook is called or waits for {}.", what("that")), "hooks list"),
        Code::UNKNOWN_LETTER => (format!("no dead letter has the number {}.", what("given")), "hooks letters"),
        Code::TOO_LATE if data.message.is_some() => (too_late(data), "outbox"),
        // Only files have no message.
        Code::TOO_LATE => (too_late(data), "file list"),
        Code::BAD_PATTERN => ("this cannot be searched for.".into(), "help search"),
        Code::DAEMON_STOPPING => ("chatd is stopping.".into(), "daemon start"),
        Code::OFFLINE => (format!("{} is not online.", who("that user")), "whoelse"),
        Code::REQUEST_PENDING => {
            (format!("a private request to {} is open already.", who("that user")), "requests --outgoing")
        }
        Code::BLOCKED_BY_YOU => (format!("you block {}.", who("that user")), "unblock {}"),
        Code::UNKNOWN_REQUEST => (format!("no private request of {} is open.", who("that user")), "requests"),
        Code::WITHDRAWN => {
            (format!("the private request of {} is over: withdrawn, or its sender left.", who("that user")), "requests")
        }
        Code::NO_SESSION => (format!("no private session with {}.", who("that user")), "startprivate {}"),
        Code::PEER_UNREACHABLE => (format!("{} cannot be reached now.", who("the peer")), "sessions"),
        Code::NO_DIRECT_PATH => {
            (format!("there is no direct path to {}; only the relay would do.", who("the peer")), "help startprivate")
        }
        Code::NO_RELAY => (
            "the server has no relay, so without direct paths there is none; ask its admin.".into(),
            "help startprivate",
        ),
        Code::IDENTITY_CHANGED => (format!("{} shows a different key than before.", who("the peer")), "trust list"),
        Code::DECLINED => (format!("{} has declined.", who("the other side")), "whoelse"),
        Code::PRIVATE_OFF => ("the server's operator allows no private sessions.".into(), "help message"),
        Code::SESSION_EXISTS => (format!("there is a private session with {} already.", who("that user")), "sessions"),
        Code::SESSION_ENDED => {
            (format!("the private session with {} ended before the text was sent.", who("the peer")), "startprivate {}")
        }
        Code::REQUEST_EXPIRED => {
            (format!("the private request ran out before {} answered.", who("the other side")), "startprivate {}")
        }
        Code::UNKNOWN_FILE => (format!("no file has the id {}, or several end with it.", what("given")), "file list"),
        Code::FILE_EXISTS => (
            format!("{} is there already; --conflict says what to do.", what("a file of this name")),
            "help file accept",
        ),
        Code::FILE_DAMAGED => (
            "what arrived is not what was offered: it changed while it was sent; nothing of it was kept.".into(),
            "file list",
        ),
        Code::BAD_FILE => (format!("{} cannot be read, or is no file.", what("what is to be sent")), "help file send"),
        Code::TOO_MANY_FILES => {
            ("as many files are offered or on their way as may be; wait, or give some up.".into(), "file list")
        }
        Code::RUNNER_GONE => (
            "the process that starts hooks and opens files for chatd has ended: hooks wait, and no file is sent."
                .into(),
            "daemon restart",
        ),
        Code::FOLDER_REPLACED => (
            "the folder for received files is not the one that was there when chatd began, and into no other one it may write; \
             nothing is wrong with the folder."
                .into(),
            "daemon restart",
        ),
        Code::NEWER_HISTORY => (
            format!(
                "the history of profile {} was written by a newer chatd, and is left as it is; install that chatd again.",
                what("asked for")
            ),
            "daemon restart",
        ),
        _ => ("refused for a reason that only a newer chatctl knows.".into(), "daemon status"),
    };
    (text, Some(next).filter(|next| !next.is_empty()).map(|next| filled(next, subject)))
}

/// What to run next, with the name where one belongs; where none is known, how it is run.
fn filled(next: &str, subject: Option<&str>) -> String {
    match (next.strip_suffix(" {}"), subject) {
        (Some(verb), Some(name)) => format!("{verb} {}", quoted(name)),
        (Some(verb), None) => format!("help {verb}"),
        (None, _) => next.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Style;

    fn clock() -> Clock {
        Clock { now: jiff::Timestamp::UNIX_EPOCH, zone: jiff::tz::TimeZone::UTC, twelve: false, style: Style::Auto }
    }

    #[test]
    fn every_code_has_its_own_sentence() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| reason(*code)).collect();
        assert!(texts.iter().all(|text| text.is_ascii() && !text.contains("newer chatctl")), "{texts:?}");
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(reason(Code(u32::MAX)).contains("newer chatctl"));
    }

    #[test]
    fn a_lost_link_names_its_cause_as_such() {
        let problem = Problem { code: Code::SERVER_UNREACHABLE, subject: Some("connection refused".into()) };
        let said = of_problem(&problem, &clock()).what;
        assert_eq!(said, "the server cannot be reached. (connection refused)");
    }

    #[test]
    fn every_refusal_has_a_next_step_where_there_is_one() {
        const NOTHING_TO_DO: &[Code] = &[Code::ACCEPTED, Code::RECIPIENT_BLOCKED, Code::INBOX_FULL, Code::FORBIDDEN];
        for code in Code::ALL {
            let (_, next) = sentence(&ErrorData::from(*code));
            assert_eq!(next.is_none(), NOTHING_TO_DO.contains(code), "{}", code.name());
        }
    }

    #[test]
    fn the_subject_is_named_and_safe() {
        let mut data = ErrorData::from(Code::RECIPIENT_BLOCKED);
        data.subject = Some("bob".into());
        assert_eq!(refusal(&data, &clock()).what, "bob has blocked you, so the message was not delivered.");
        data.subject = Some("b\x1b[2Jb".into());
        assert!(refusal(&data, &clock()).what.starts_with(r"b\x1b[2Jb has"));
    }

    #[test]
    fn the_next_step_names_who_it_is_about() {
        let mut data = ErrorData::from(Code::NO_SESSION);
        assert_eq!(refusal(&data, &clock()).next.as_deref(), Some("help startprivate"));
        data.subject = Some("luke".into());
        let trouble = refusal(&data, &clock());
        assert_eq!((trouble.what.as_str(), trouble.exit), ("no private session with luke.", Exit::Unknown));
        assert_eq!(trouble.next.as_deref(), Some("startprivate luke"));
    }

    #[test]
    fn an_ended_login_says_why_and_when() {
        let mut data = ErrorData::from(Code::NOT_LOGGED_IN);
        data.ended = Some(Ended { code: Code::IDLE, at_ms: 60_000 });
        let trouble = refusal(&data, &clock());
        assert_eq!(trouble.what, "logged out by the server at 00:01 after a time without activity.");
        assert_eq!(trouble.next.as_deref(), Some("login"));
        assert_eq!(trouble.exit, Exit::NotLoggedIn);
    }

    #[test]
    fn waiting_times_are_said() {
        let mut data = ErrorData::from(Code::LOCKED_OUT);
        data.retry_after_ms = Some(59_200);
        let trouble = refusal(&data, &clock());
        assert!(trouble.what.ends_with("Try again in 1m."), "{}", trouble.what);
        assert_eq!(trouble.retry_after_ms, Some(59_200));
    }
}

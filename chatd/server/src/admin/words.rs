//! What the operator reads when a verb was refused, what to type next, and with which code the program ends (the same numbers
//! as chatctl's). Called by [`crate::advice`].

use chat_process::exit;
use chat_proto::display;
use chat_proto::fault::Code;
use chat_proto::limits::{PASSWORD_MAX, TEXT_MAX};

use super::session::{Announce, SessionKick};
use super::user::UserPasswd;
use super::{AskError, Call as _, Refusal};

/// The error in words.
pub fn text(error: &AskError) -> String {
    match error {
        AskError::Refused { method, refusal } => refused(method, refusal),
        other => other.to_string(),
    }
}

fn refused(method: &str, refusal: &Refusal) -> String {
    let subject = refusal.subject.as_deref().map(|subject| display::name(subject).into_owned()).unwrap_or_default();
    let said = match (refusal.code, method) {
        (Code::UNKNOWN_ID, SessionKick::METHOD) if subject.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("there is no session {subject}")
        }
        (Code::UNKNOWN_ID, SessionKick::METHOD) => format!("{subject} is not logged in"),
        (Code::CONFLICT, SessionKick::METHOD) => format!("{subject} is the number of a session and the name of a user"),
        (Code::BAD_PARAMS, Announce::METHOD) => "there is no text to announce".into(),
        (Code::TOO_LARGE, Announce::METHOD) => format!("the text has more than {TEXT_MAX} bytes"),
        (Code::FORBIDDEN, UserPasswd::METHOD) => {
            "this server's passwords are in its credentials file: change the line there and restart".into()
        }
        (Code::BAD_PASSWORD, _) => format!("a password has 1 to {PASSWORD_MAX} bytes"),
        (Code::UNKNOWN_INVITE, _) => format!("there is no invitation {subject}"),
        (Code::NAME_TAKEN, _) => {
            format!("the name \"{subject}\" is taken, was an account's that is deleted, or is kept for an invitation")
        }
        (Code::BAD_NAME, _) => format!(
            "\"{subject}\" is not a name that can be used: 1-32 of a-z 0-9 . _ - starting with a letter or digit, none of the reserved ones"
        ),
        (Code::LIMIT, _) => "there are as many open invitations as there may be".into(),
        (Code::UNKNOWN_USER, _) => format!("there is no account \"{subject}\""),
        (Code::INTERNAL, _) => "the server failed; its log says why".into(),
        (Code::STORAGE, _) => "the server's disk is full, or the server is stopping; nothing was changed".into(),
        (Code::DISK_FULL, _) => "the file cannot be written".into(),
        (Code::BAD_CONFIG, _) => {
            let detail = refusal.detail.as_deref().unwrap_or("the configuration cannot be used");
            let point = if detail.ends_with('?') { "" } else { "." };
            return format!("{}{point} Old settings stay in force.", display::line(detail));
        }
        (Code::BAD_PARAMS | Code::PROTOCOL, _) => "the server does not understand this chat-server".into(),
        (code, _) => code.name().replace('_', " "),
    };
    match &refusal.detail {
        Some(detail) => format!("{said}: {}", display::line(detail)),
        None => said,
    }
}

/// The command that helps; `program` is how the caller called, `typed` all of it.
pub fn next(error: &AskError, program: &str, typed: &str) -> Option<String> {
    match error {
        AskError::NotRunning(_) if program == "chat-server" => Some("systemctl start chat-server".into()),
        AskError::NotRunning(_) => Some(format!("{program} run")),
        AskError::Denied { allowed, .. } => allowed.as_ref().map(|allowed| format!("{} {typed}", allowed.sudo())),
        AskError::Older | AskError::Broken { .. } | AskError::Silent(_) if program == "chat-server" => {
            Some("systemctl restart chat-server".into())
        }
        AskError::Older | AskError::Broken { .. } | AskError::Silent(_) => None,
        AskError::Refused { method, refusal } => step(method, refusal).map(|verb| format!("{program} {verb}")),
        AskError::Start(_) => None,
    }
}

/// The verb that helps after a refusal.
fn step(method: &str, refusal: &Refusal) -> Option<String> {
    match (refusal.code, method) {
        (Code::UNKNOWN_ID, SessionKick::METHOD) => Some("sessions list".into()),
        (Code::CONFLICT, SessionKick::METHOD) => {
            Some(format!("sessions kick --user {}", display::quoted(refusal.subject.as_deref()?)))
        }
        (Code::UNKNOWN_INVITE | Code::LIMIT, _) => Some("invite list".into()),
        (Code::UNKNOWN_USER | Code::NAME_TAKEN, _) => Some("user list".into()),
        (Code::DISK_FULL, _) => Some("check storage".into()),
        (Code::BAD_CONFIG, _) => Some("check".into()),
        (Code::INTERNAL, _) => Some("check all".into()),
        _ => None,
    }
}

/// The code that the program ends with.
pub fn code(error: &AskError) -> u8 {
    match error {
        AskError::NotRunning(_) | AskError::Broken { .. } => 3,
        AskError::Denied { .. } => exit::PERMISSION,
        AskError::Older => 10,
        AskError::Silent(_) => 9,
        AskError::Refused { refusal, .. } => of(refusal.code),
        AskError::Start(error) => error.exit(),
    }
}

fn of(code: Code) -> u8 {
    match code {
        Code::BAD_PARAMS => 2,
        Code::SERVER_UNREACHABLE => 3,
        Code::STORAGE | Code::SHUTTING_DOWN => 5,
        Code::UNKNOWN_USER | Code::UNKNOWN_ID | Code::UNKNOWN_INVITE => 6,
        Code::TIMED_OUT => 9,
        Code::UNSUPPORTED | Code::PROTOCOL => 10,
        Code::BUSY | Code::SLOW_DOWN | Code::LIMIT => 13,
        Code::BAD_CONFIG | Code::DISK_FULL => 14,
        Code::BAD_NAME | Code::BAD_PASSWORD | Code::TOO_LARGE => 15,
        Code::INTERNAL => exit::SOFTWARE,
        _ => 7,
    }
}

/// The error's name for scripts.
pub fn name(error: &AskError) -> &'static str {
    match error {
        AskError::NotRunning(_) | AskError::Broken { .. } => Code::SERVER_UNREACHABLE.name(),
        AskError::Denied { .. } => Code::FORBIDDEN.name(),
        AskError::Older => Code::UNSUPPORTED.name(),
        AskError::Silent(_) => Code::TIMED_OUT.name(),
        AskError::Refused { refusal, .. } => refusal.code.name(),
        AskError::Start(_) => "cannot_start",
    }
}

//! What one side may tell the other when something is refused: a code, who must act, whether trying again can help.
//!
//! Codes are an open set: a number on the wire, a name in JSON. Words are made by chatctl alone.

use serde::{Deserialize, Serialize};

/// Who must act for the same request to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The caller: the request itself is wrong or not allowed.
    Caller,
    /// Nobody: it may succeed later by itself.
    Passing,
    /// The other side's operator or author.
    Other,
}

/// Why something was refused. Numbers are for ever; new ones are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Code(pub u32);

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal, $blame:ident;)+) => {
        impl Code {
            $($(#[doc = $doc])+ pub const $name: Code = Code($number);)+

            /// Every code that this build knows.
            pub const ALL: &'static [Code] = &[$(Code($number)),+];

            /// The name in JSON; a code from a newer build is `unknown`.
            pub fn name(self) -> &'static str {
                match self.0 { $($number => $text,)+ _ => "unknown" }
            }

            /// Who must act.
            pub fn blame(self) -> Blame {
                match self.0 { $($number => Blame::$blame,)+ _ => Blame::Other }
            }
        }
    };
}

codes! {
    /// Not a refusal: the request, or the message, was accepted.
    ACCEPTED = 0, "accepted", Passing;
    /// Something failed inside the other side; its log says what.
    INTERNAL = 1, "internal", Other;
    /// The other side's bytes make no sense here.
    PROTOCOL = 2, "protocol_error", Other;
    /// No protocol version that both sides speak.
    VERSION = 3, "version_mismatch", Other;
    /// The request needs a login.
    NOT_LOGGED_IN = 4, "not_logged_in", Caller;
    /// Name, password or device key is wrong; which one is not said (S9).
    WRONG_CREDENTIALS = 5, "wrong_credentials", Caller;
    /// Too many wrong passwords; wait.
    LOCKED_OUT = 6, "locked_out", Caller;
    /// The name belongs to somebody.
    NAME_TAKEN = 7, "name_taken", Caller;
    /// The name breaks the rule for names.
    BAD_NAME = 8, "bad_name", Caller;
    /// The password is empty, too long or not UTF-8.
    BAD_PASSWORD = 9, "bad_password", Caller;
    /// The server takes no new accounts.
    REGISTRATION_CLOSED = 10, "registration_closed", Caller;
    /// The server takes new accounts by invitation, and this one is not valid.
    BAD_INVITE = 11, "bad_invite", Caller;
    /// The account is active on another device and the policy is `refuse`.
    ALREADY_LOGGED_IN = 12, "already_logged_in", Caller;
    /// Too many requests of this kind; wait.
    SLOW_DOWN = 13, "slow_down", Passing;
    /// The other side has no room for this now; wait.
    BUSY = 14, "busy", Passing;
    /// No such account.
    UNKNOWN_USER = 15, "unknown_user", Caller;
    /// The request names the caller itself.
    YOURSELF = 16, "yourself", Caller;
    /// The recipient has blocked the sender.
    RECIPIENT_BLOCKED = 17, "recipient_blocked", Caller;
    /// The text is over the limit.
    TOO_LARGE = 18, "too_large", Caller;
    /// The recipient's inbox, or the sender's share of it, is full.
    INBOX_FULL = 19, "inbox_full", Caller;
    /// Too many messages of this kind or to this recipient.
    LIMIT = 20, "limit", Caller;
    /// The sender gave the place up before it was decided.
    VOID = 21, "void", Caller;
    /// The same place or key with other content.
    CONFLICT = 22, "conflict", Caller;
    /// The account was not blocked.
    NOT_BLOCKED = 23, "not_blocked", Caller;
    /// The disk cannot take more now; nothing was decided.
    STORAGE = 24, "storage", Passing;
    /// Not the caller's to do; the same answer whether the thing exists or not (S27).
    FORBIDDEN = 25, "forbidden", Caller;
    /// Two living copies of this device exist.
    DUPLICATE_DEVICE = 26, "duplicate_device", Caller;
    /// The account has as many devices as it may.
    TOO_MANY_DEVICES = 27, "too_many_devices", Caller;
    /// The account blocks as many others as it may.
    TOO_MANY_BLOCKS = 28, "too_many_blocks", Caller;
    /// The server is going down and comes back.
    SHUTTING_DOWN = 29, "shutting_down", Passing;
    /// The reader took too long; it resumes where it was.
    SLOW_READER = 30, "slow_reader", Passing;
    /// A newer connection of this device or account took over.
    REPLACED = 31, "replaced", Caller;
    /// Logged out after a time without activity.
    IDLE = 32, "idle", Caller;
    /// The method is not known here.
    UNSUPPORTED = 33, "unsupported", Caller;
    /// The decision is no longer known; never sent again.
    OUTCOME_LOST = 34, "outcome_lost", Other;
    /// The account was deleted.
    ACCOUNT_GONE = 35, "account_gone", Caller;
    /// Nobody fetched it within the time that the server keeps it.
    EXPIRED = 36, "expired", Other;
    /// Thrown out by an operator.
    KICKED = 37, "kicked", Other;
    /// Too slow: login, handshake or answer did not come in time.
    TIMED_OUT = 38, "timed_out", Passing;
    /// The server's long-term key is not known yet.
    TRUST_UNKNOWN = 39, "trust_unknown", Caller;
    /// The server shows another long-term key than before.
    TRUST_CHANGED = 40, "trust_changed", Caller;
    /// The server cannot be reached.
    SERVER_UNREACHABLE = 41, "server_unreachable", Passing;
    /// No such profile.
    UNKNOWN_PROFILE = 42, "unknown_profile", Caller;
    /// No message has this id, or several end with it.
    UNKNOWN_ID = 43, "unknown_id", Caller;
    /// The outbox holds as many messages as it may.
    OUTBOX_FULL = 44, "outbox_full", Caller;
    /// Messages wait in the outbox; say `--force` to leave them.
    UNSENT = 45, "unsent", Caller;
    /// The configuration or a file of it is wrong.
    BAD_CONFIG = 46, "bad_config", Caller;
    /// The parameters of a control request are wrong.
    BAD_PARAMS = 47, "bad_params", Caller;
    /// The place to write is there but the file cannot be written: no space or no permission.
    DISK_FULL = 48, "disk_full", Caller;
    /// No such server or key in the list of the trusted.
    UNKNOWN_TRUST = 49, "unknown_trust", Caller;
    /// The message was cancelled before it was sent.
    CANCELLED = 50, "cancelled", Caller;
    /// The profile is in use.
    PROFILE_EXISTS = 51, "profile_exists", Caller;
    /// The daemon is stopping.
    DAEMON_STOPPING = 52, "daemon_stopping", Passing;
    /// The device's key was taken from the account: it may come back as a new device, by password.
    REVOKED = 53, "revoked", Caller;
    /// No device of the account has this id, or several begin with it.
    UNKNOWN_DEVICE = 54, "unknown_device", Caller;
    /// No invitation has this number.
    UNKNOWN_INVITE = 55, "unknown_invite", Caller;
    /// No named cursor has this name.
    UNKNOWN_CURSOR = 56, "unknown_cursor", Caller;
    /// The profile has as many named cursors as it may.
    TOO_MANY_CURSORS = 57, "too_many_cursors", Caller;
    /// No such hook, or no hook that waits for this.
    UNKNOWN_HOOK = 58, "unknown_hook", Caller;
    /// No dead letter has this number.
    UNKNOWN_LETTER = 59, "unknown_letter", Caller;
    /// Nobody has this name, and a login may make it an account once the user said so (`sign_up`).
    SIGN_UP = 60, "sign_up", Caller;
    /// The text to search for is empty, too long, or no pattern.
    BAD_PATTERN = 61, "bad_pattern", Caller;
    /// The message got further than the request allows; the data says how far.
    TOO_LATE = 62, "too_late", Caller;
    /// An operator locked the account: nobody logs in to it. Said only to who proved to be its user.
    ACCOUNT_LOCKED = 63, "account_locked", Caller;
    /// The user is not online.
    OFFLINE = 64, "offline", Passing;
    /// A private request to this user is open already.
    REQUEST_PENDING = 65, "request_pending", Caller;
    /// The caller blocks this user.
    BLOCKED_BY_YOU = 66, "blocked_by_you", Caller;
    /// No private request of this user is open.
    UNKNOWN_REQUEST = 67, "unknown_request", Caller;
    /// The private request is over: its sender left or withdrew it.
    WITHDRAWN = 68, "withdrawn", Caller;
    /// There is no private session with this user.
    NO_SESSION = 69, "no_session", Caller;
    /// The peer of a private session cannot be reached now.
    PEER_UNREACHABLE = 70, "peer_unreachable", Passing;
    /// Only a direct path was allowed, and there is none.
    NO_DIRECT_PATH = 71, "no_direct_path", Passing;
    /// The path was to go through the server's relay, and the server has none.
    NO_RELAY = 72, "no_relay", Other;
    /// The peer shows another key than the one that is known for it (S29).
    IDENTITY_CHANGED = 73, "identity_changed", Caller;
    /// The user said no.
    DECLINED = 74, "declined", Caller;
    /// The server's operator allows no private sessions.
    PRIVATE_OFF = 75, "private_off", Caller;
    /// There is a private session with this user already.
    SESSION_EXISTS = 76, "session_exists", Caller;
    /// The private session ended before the message was handed to the peer's connection.
    SESSION_ENDED = 77, "session_ended", Caller;
    /// The request ran out before it was answered.
    REQUEST_EXPIRED = 78, "request_expired", Passing;
    /// No offered or running transfer has this id, or several end with it.
    UNKNOWN_FILE = 79, "unknown_file", Caller;
    /// There is a file of this name where the received one is to go.
    FILE_EXISTS = 80, "file_exists", Caller;
    /// What arrived is not what was offered, or the file changed while it was sent.
    FILE_DAMAGED = 81, "file_damaged", Other;
    /// The file to be sent cannot be read, or is none.
    BAD_FILE = 82, "bad_file", Caller;
    /// As many transfers or offers are open as there may be.
    TOO_MANY_FILES = 83, "too_many_files", Caller;
    /// The process that starts hooks and opens files for a confined chatd has ended.
    RUNNER_GONE = 84, "runner_gone", Other;
    /// The history was written by a newer chatd; nothing of it was changed.
    NEWER_HISTORY = 85, "newer_history", Caller;
    /// The folder for received files is another one than at the daemon's start, to which its sandbox keeps it.
    FOLDER_REPLACED = 86, "folder_replaced", Caller;
}

impl Code {
    /// The code of a JSON name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl From<Code> for String {
    fn from(code: Code) -> String {
        code.name().to_owned()
    }
}

impl From<String> for Code {
    /// A name from a newer build becomes a code that no build has.
    fn from(name: String) -> Code {
        Code::from_name(&name).unwrap_or(Code(u32::MAX))
    }
}

/// A refusal that is meant for the other side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", code.name())]
pub struct Fault {
    /// Why.
    pub code: Code,
    /// When trying again may help, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A fault that says when to try again.
    pub fn retry(code: Code, after: std::time::Duration) -> Fault {
        Fault { code, retry_after_ms: Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)) }
    }
}

impl From<Code> for Fault {
    fn from(code: Code) -> Fault {
        Fault { code, retry_after_ms: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.0 as usize, index);
            assert_eq!(Code::from_name(code.name()), Some(*code));
        }
    }
}

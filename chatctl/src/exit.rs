//! Exit codes: what each number means, and which refusal ends with which. Frozen at 1.0; `main` is the one who ends the process.

use chat_proto::fault::Code;

/// How chatctl ends. Small numbers, as sysexits has no word for "not logged in", "declined" or "partial".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no where a flag asked for that, or undone for a stated reason.
    No = 1,
    /// Wrong usage.
    Usage = 2,
    /// chatd cannot be reached.
    NoDaemon = 3,
    /// Not logged in.
    NotLoggedIn = 4,
    /// Server or peer not reachable; the message is kept unless `--no-queue`.
    Unreachable = 5,
    /// No such user, id, session.
    Unknown = 6,
    /// Refused: blocked, declined, not allowed.
    Refused = 7,
    /// Partly done.
    Partly = 8,
    /// Ran out of time.
    TimedOut = 9,
    /// Versions do not fit.
    Versions = 10,
    /// Unknown or changed key.
    Trust = 11,
    /// Would need a prompt.
    Prompt = 12,
    /// Slow down, or locked out.
    SlowDown = 13,
    /// Bad config or state.
    BadState = 14,
    /// Bad or too large input.
    BadInput = 15,
    /// A defect of this program.
    Bug = 70,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// Every one, in the order of numbers.
    pub const ALL: &'static [Exit] = &[
        Exit::Done,
        Exit::No,
        Exit::Usage,
        Exit::NoDaemon,
        Exit::NotLoggedIn,
        Exit::Unreachable,
        Exit::Unknown,
        Exit::Refused,
        Exit::Partly,
        Exit::TimedOut,
        Exit::Versions,
        Exit::Trust,
        Exit::Prompt,
        Exit::SlowDown,
        Exit::BadState,
        Exit::BadInput,
        Exit::Bug,
        Exit::Interrupted,
    ];

    /// What it means, for the manual.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::No => "the answer is no, where a flag asked for that; or undone for a stated reason",
            Exit::Usage => "usage: the command line makes no sense",
            Exit::NoDaemon => "chatd is unreachable",
            Exit::NotLoggedIn => "not logged in",
            Exit::Unreachable => {
                "server or peer not reachable, or not online; a message is kept and goes out (not with --no-queue)"
            }
            Exit::Unknown => "no such user, id, private session or request, file or profile",
            Exit::Refused => "refused: blocked, declined, wrong password, not allowed",
            Exit::Partly => "partly done; the result says what was left out; or a file arrived damaged",
            Exit::TimedOut => "ran out of time; a message is kept, a request stays open",
            Exit::Versions => "versions do not fit",
            Exit::Trust => "a key is unknown, or another than before: the server's or a peer's",
            Exit::Prompt => "would have to ask, and may not; the text names the flag",
            Exit::SlowDown => "slow down, or locked out; the text says how long",
            Exit::BadState => "bad configuration or state",
            Exit::BadInput => "bad or too large input",
            Exit::Bug => "a defect of this program",
            Exit::Interrupted => "interrupted (Ctrl-C)",
        }
    }

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The exit of a refusal. A code from a newer build is a refusal like any other.
    pub fn of(code: Code) -> Exit {
        match code {
            Code::ACCEPTED => Exit::Done,
            Code::FILE_DAMAGED => Exit::Partly,
            Code::UNSENT | Code::VOID | Code::CANCELLED | Code::OUTCOME_LOST | Code::TOO_LATE => Exit::No,
            Code::YOURSELF | Code::BAD_PARAMS => Exit::Usage,
            Code::DAEMON_STOPPING => Exit::NoDaemon,
            Code::NOT_LOGGED_IN | Code::IDLE | Code::KICKED | Code::REPLACED | Code::REVOKED => Exit::NotLoggedIn,
            Code::SERVER_UNREACHABLE
            | Code::SHUTTING_DOWN
            | Code::SLOW_READER
            | Code::STORAGE
            | Code::OFFLINE
            | Code::PEER_UNREACHABLE
            | Code::NO_DIRECT_PATH
            | Code::NO_RELAY
            | Code::SESSION_ENDED => Exit::Unreachable,
            Code::UNKNOWN_USER
            | Code::UNKNOWN_ID
            | Code::UNKNOWN_PROFILE
            | Code::UNKNOWN_TRUST
            | Code::UNKNOWN_DEVICE
            | Code::UNKNOWN_INVITE
            | Code::UNKNOWN_CURSOR
            | Code::NOT_BLOCKED
            | Code::UNKNOWN_HOOK
            | Code::UNKNOWN_LETTER
            | Code::UNKNOWN_REQUEST
            | Code::NO_SESSION
            | Code::UNKNOWN_FILE => Exit::Unknown,
            Code::TIMED_OUT | Code::EXPIRED | Code::REQUEST_EXPIRED => Exit::TimedOut,
            Code::VERSION | Code::UNSUPPORTED | Code::NEWER_HISTORY => Exit::Versions,
            Code::TRUST_UNKNOWN | Code::TRUST_CHANGED | Code::IDENTITY_CHANGED => Exit::Trust,
            Code::SIGN_UP => Exit::Prompt,
            Code::LOCKED_OUT | Code::SLOW_DOWN | Code::BUSY | Code::LIMIT | Code::OUTBOX_FULL => Exit::SlowDown,
            Code::BAD_CONFIG | Code::DISK_FULL | Code::DUPLICATE_DEVICE | Code::RUNNER_GONE | Code::FOLDER_REPLACED => {
                Exit::BadState
            }
            Code::BAD_NAME | Code::BAD_PASSWORD | Code::TOO_LARGE | Code::BAD_PATTERN | Code::BAD_FILE => {
                Exit::BadInput
            }
            Code::INTERNAL | Code::PROTOCOL => Exit::Bug,
            _ => Exit::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, so that a change of one line is seen. Codes that are not named here are refusals (7).
    const TABLE: &[(Exit, &[Code])] = &[
        (Exit::Done, &[Code::ACCEPTED]),
        (
            Exit::Refused,
            &[
                Code::WRONG_CREDENTIALS,
                Code::NAME_TAKEN,
                Code::REGISTRATION_CLOSED,
                Code::BAD_INVITE,
                Code::ALREADY_LOGGED_IN,
                Code::RECIPIENT_BLOCKED,
                Code::INBOX_FULL,
                Code::FORBIDDEN,
                Code::TOO_MANY_DEVICES,
                Code::TOO_MANY_BLOCKS,
                Code::ACCOUNT_GONE,
                Code::CONFLICT,
                Code::PROFILE_EXISTS,
                Code::TOO_MANY_CURSORS,
                Code::ACCOUNT_LOCKED,
                Code::REQUEST_PENDING,
                Code::BLOCKED_BY_YOU,
                Code::WITHDRAWN,
                Code::DECLINED,
                Code::PRIVATE_OFF,
                Code::SESSION_EXISTS,
                Code::FILE_EXISTS,
                Code::TOO_MANY_FILES,
            ],
        ),
        (Exit::SlowDown, &[Code::LOCKED_OUT, Code::SLOW_DOWN]),
        (Exit::BadInput, &[Code::BAD_NAME, Code::TOO_LARGE, Code::BAD_FILE]),
        (
            Exit::Unreachable,
            &[
                Code::SERVER_UNREACHABLE,
                Code::OFFLINE,
                Code::PEER_UNREACHABLE,
                Code::NO_DIRECT_PATH,
                Code::NO_RELAY,
                Code::SESSION_ENDED,
            ],
        ),
        (Exit::TimedOut, &[Code::TIMED_OUT, Code::REQUEST_EXPIRED]),
        (
            Exit::Unknown,
            &[Code::UNKNOWN_USER, Code::NOT_BLOCKED, Code::UNKNOWN_REQUEST, Code::NO_SESSION, Code::UNKNOWN_FILE],
        ),
        (Exit::Trust, &[Code::TRUST_CHANGED, Code::IDENTITY_CHANGED]),
        (Exit::Partly, &[Code::FILE_DAMAGED]),
        (Exit::Usage, &[Code::YOURSELF]),
        (Exit::No, &[Code::UNSENT, Code::TOO_LATE]),
    ];

    #[test]
    fn the_table_of_the_manual_holds() {
        for (exit, codes) in TABLE {
            for code in *codes {
                assert_eq!(Exit::of(*code), *exit, "{}", code.name());
            }
        }
    }

    #[test]
    fn every_code_but_accepted_is_no_success() {
        for code in Code::ALL {
            assert_eq!(Exit::of(*code) == Exit::Done, *code == Code::ACCEPTED, "{}", code.name());
        }
        let refused: Vec<_> = Code::ALL.iter().filter(|c| Exit::of(**c) == Exit::Refused).collect();
        assert_eq!(refused.len(), TABLE[1].1.len(), "a new code needs its line in the table: {refused:?}");
        assert_eq!(Exit::of(Code(u32::MAX)), Exit::Refused);
    }

    #[test]
    fn all_are_listed_in_order() {
        assert!(Exit::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        let named = Code::ALL.iter().map(|code| Exit::of(*code));
        assert!(named.into_iter().all(|exit| Exit::ALL.contains(&exit)));
    }

    #[test]
    fn numbers_are_frozen() {
        let numbers = [Exit::Done, Exit::NoDaemon, Exit::Partly, Exit::BadInput, Exit::Bug, Exit::Interrupted];
        assert_eq!(numbers.map(Exit::number), [0, 3, 8, 15, 70, 130]);
    }
}

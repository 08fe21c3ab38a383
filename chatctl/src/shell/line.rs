//! What a typed line means: the exercise's words and the everyday ones of chatctl. Pure; the session asks for every line, the editor
//! for its completions, `help` for its lists.

use std::time::Duration;

use crate::time::parse_duration;

/// A word that begins a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Word {
    /// As it is typed, whole and in small letters.
    pub name: &'static str,
    /// How the line is written.
    pub form: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The next word is a user.
    pub takes_user: bool,
}

const fn word(name: &'static str, form: &'static str, about: &'static str) -> Word {
    Word { name, form, about, takes_user: false }
}

const fn of_user(name: &'static str, form: &'static str, about: &'static str) -> Word {
    Word { name, form, about, takes_user: true }
}

/// Every word, in the order of `help`.
pub const WORDS: &[Word] = &[
    of_user("message", "message USER TEXT", "send a message"),
    word("broadcast", "broadcast TEXT", "send a message to everyone online"),
    word("whoelse", "whoelse", "who else is online"),
    word("whoelsesince", "whoelsesince SECONDS", "who else was online in the last SECONDS (or 15m, 2h, 3d)"),
    of_user("block", "block USER", "refuse messages and notices of a user"),
    of_user("unblock", "unblock USER", "take them again"),
    word("blocked", "blocked", "whom you block"),
    of_user("startprivate", "startprivate USER", "ask a user for a private session"),
    of_user("accept", "accept USER", "accept a user's private request"),
    of_user("decline", "decline USER", "decline it"),
    word("requests", "requests", "open private requests"),
    of_user("private", "private USER TEXT", "send a text within a private session"),
    of_user("stopprivate", "stopprivate USER", "end a private session"),
    word("sessions", "sessions [verify USER]", "private sessions; compare keys"),
    word("file", "file send USER FILE | accept ID | list", "files within private sessions"),
    of_user("read", "read [USER] [-n N] [--unread] [--since T]", "read messages again"),
    word("inbox", "inbox [--unread]", "list conversations"),
    word("unread", "unread [USER]", "count unread messages"),
    word("outbox", "outbox", "own messages that wait or failed"),
    word("show", "show ID", "one message and how far it got"),
    word("status", "status", "how the account is"),
    word("logout", "logout", "log out and leave"),
    word("quit", "quit", "leave and stay logged in"),
    word("help", "help [WORD]", "this list, or one word of it"),
];

/// The word of this name.
pub fn known(name: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.name == name)
}

/// A line that is understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `message`
    Message {
        /// To whom.
        user: &'a str,
        /// The rest of the line, as it is.
        text: &'a str,
    },
    /// `broadcast`; the rest of the line, as it is.
    Broadcast(&'a str),
    /// `whoelse`
    Whoelse,
    /// `whoelsesince`
    Whoelsesince(Duration),
    /// `block`
    Block(&'a str),
    /// `unblock`
    Unblock(&'a str),
    /// `startprivate`
    Startprivate(&'a str),
    /// `accept`
    Accept(&'a str),
    /// `decline`
    Decline(&'a str),
    /// `private`
    Private {
        /// To whom.
        user: &'a str,
        /// The rest of the line, as it is.
        text: &'a str,
    },
    /// `stopprivate`
    Stopprivate(&'a str),
    /// `logout`
    Logout,
    /// `quit`
    Quit,
    /// `help`, of one word or of all.
    Help(Option<&'static Word>),
    /// A command of chatctl with its arguments.
    Chatctl(Vec<&'a str>),
}

/// Why a line is not understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It begins with no word of [`WORDS`].
    Unknown,
    /// The word is right; what follows is not its form.
    Form(&'static Word),
}

/// Reads a line; nothing for a blank one.
pub fn parse(line: &str) -> Option<Result<Command<'_>, Wrong>> {
    let (name, rest) = first(line)?;
    let Some(word) = known(name) else {
        return Some(Err(Wrong::Unknown));
    };
    Some(arguments(word, rest).ok_or(Wrong::Form(word)))
}

fn arguments<'a>(word: &'static Word, rest: &'a str) -> Option<Command<'a>> {
    match word.name {
        "message" => user_and_text(rest).map(|(user, text)| Command::Message { user, text }),
        "private" => user_and_text(rest).map(|(user, text)| Command::Private { user, text }),
        "broadcast" => is_text(rest).then_some(Command::Broadcast(rest)),
        "whoelse" => none(rest).then_some(Command::Whoelse),
        "whoelsesince" => only(rest).and_then(|time| parse_duration(time).ok()).map(Command::Whoelsesince),
        "block" => only(rest).map(Command::Block),
        "unblock" => only(rest).map(Command::Unblock),
        "startprivate" => only(rest).map(Command::Startprivate),
        "accept" => only(rest).map(Command::Accept),
        "decline" => only(rest).map(Command::Decline),
        "stopprivate" => only(rest).map(Command::Stopprivate),
        "logout" => none(rest).then_some(Command::Logout),
        "quit" => none(rest).then_some(Command::Quit),
        "help" if none(rest) => Some(Command::Help(None)),
        "help" => only(rest).and_then(known).map(|word| Command::Help(Some(word))),
        name => Some(Command::Chatctl(std::iter::once(name).chain(rest.split_ascii_whitespace()).collect())),
    }
}

/// The first word, and what stands behind the one blank after it: the rest of a line belongs to its text byte for byte.
fn first(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(is_blank);
    let end = text.find(is_blank).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word, rest.strip_prefix(is_blank).unwrap_or_default()))
}

fn user_and_text(rest: &str) -> Option<(&str, &str)> {
    first(rest).filter(|(_, text)| is_text(text))
}

fn is_text(rest: &str) -> bool {
    !rest.chars().all(is_blank)
}

fn none(rest: &str) -> bool {
    first(rest).is_none()
}

fn only(rest: &str) -> Option<&str> {
    first(rest).filter(|(_, more)| none(more)).map(|(word, _)| word)
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(line: &str) -> Command<'_> {
        parse(line).expect("not blank").expect("understood")
    }

    fn form(line: &str) -> Option<&str> {
        match parse(line) {
            Some(Err(Wrong::Form(word))) => Some(word.form),
            _ => None,
        }
    }

    #[test]
    fn a_text_is_the_rest_of_the_line_byte_for_byte() {
        let message = |user, text| Command::Message { user, text };
        assert_eq!(understood("message hans hi there"), message("hans", "hi there"));
        assert_eq!(understood("message hans  two  blanks \t "), message("hans", " two  blanks \t "));
        assert_eq!(understood("  message\t hans hi"), message("hans", "hi"));
        assert_eq!(understood("message hans \u{1b}[2J"), message("hans", "\u{1b}[2J"));
        assert_eq!(understood("broadcast  hi all "), Command::Broadcast(" hi all "));
        assert_eq!(understood("broadcast message hans hi"), Command::Broadcast("message hans hi"));
        assert_eq!(understood("private luke a  b"), Command::Private { user: "luke", text: "a  b" });
    }

    #[test]
    fn whoelse_is_never_taken_for_whoelsesince() {
        assert_eq!(understood("whoelse"), Command::Whoelse);
        assert_eq!(understood("whoelse "), Command::Whoelse);
        assert_eq!(understood("whoelsesince 300"), Command::Whoelsesince(Duration::from_secs(300)));
        assert_eq!(understood("whoelsesince 15m"), Command::Whoelsesince(Duration::from_secs(900)));
        for line in ["whoelses", "whoels", "whoelsesinc 300", "whoelsesince300", "Whoelse", "who", "messages hans hi"] {
            assert_eq!(parse(line), Some(Err(Wrong::Unknown)), "{line}");
        }
        assert_eq!(form("whoelse 300"), Some("whoelse"));
    }

    #[test]
    fn a_wrong_number_of_arguments_shows_the_form() {
        for line in ["message", "message hans", "message hans   ", "message \t"] {
            assert_eq!(form(line), Some("message USER TEXT"), "{line:?}");
        }
        for line in ["whoelsesince", "whoelsesince 1 2", "whoelsesince -1", "whoelsesince soon", "whoelsesince 1.5"] {
            assert_eq!(form(line), Some("whoelsesince SECONDS"), "{line:?}");
        }
        for line in [
            "block",
            "unblock han solo",
            "startprivate",
            "stopprivate a b",
            "private luke",
            "accept",
            "decline a b",
            "broadcast  ",
        ] {
            assert!(form(line).is_some(), "{line:?}");
        }
        for line in ["logout now", "quit 1", "help nothing"] {
            assert!(form(line).is_some(), "{line:?}");
        }
    }

    #[test]
    fn blank_lines_mean_nothing() {
        for line in ["", "   ", "\t"] {
            assert_eq!(parse(line), None);
        }
        assert_eq!(parse("\u{0}\u{1}\u{7}"), Some(Err(Wrong::Unknown)));
        assert_eq!(parse("\u{a0}"), Some(Err(Wrong::Unknown)));
    }

    #[test]
    fn commands_of_chatctl_are_handed_on() {
        assert_eq!(understood("read  hans -n 5"), Command::Chatctl(vec!["read", "hans", "-n", "5"]));
        assert_eq!(understood("inbox"), Command::Chatctl(vec!["inbox"]));
        assert_eq!(understood("help block"), Command::Help(known("block")));
    }
}

//! The credentials file of the exercise: `name password` a line. What a line says, or what is wrong with it, never with a
//! password in the words. Pure; called by the classic profile's file and by `import credentials`.
//!
//! The name ends at the first space or tab, the rest of the line is the password, blanks included. A byte order mark, CRLF,
//! blank lines and a missing final newline are no mistakes. The file itself is [`mod@file`]'s.

pub mod file;

use std::collections::HashMap;
use std::fmt;

use chat_proto::display;
use chat_proto::id::{AccountName, NameError, NameRule};
use chat_proto::limits::PASSWORD_MAX;

/// A good line.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The name as the rule has it.
    pub name: AccountName,
    /// The password: a secret, so this type has no `Debug` that would print it.
    pub password: &'a str,
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.name)
    }
}

/// Whether a password can stand in a line: one that breaks it, or that would be read back as another, cannot.
pub fn fits(password: &str) -> bool {
    (1..=PASSWORD_MAX).contains(&password.len()) && !password.contains(['\n', '\r', '\0'])
}

/// What is wrong with a line; its words hold nothing of it but a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// It is no text.
    NotUtf8,
    /// It begins with a blank.
    NoName,
    /// Its first word can be no name; not shown, as it may be a password.
    BadName(NameError, NameRule),
    /// It ends behind the name.
    NoPassword(AccountName),
    /// The password has more than [`PASSWORD_MAX`] bytes.
    LongPassword(AccountName),
    /// An earlier line has this name.
    Twice {
        /// The name.
        name: AccountName,
        /// The earlier line's number.
        first: usize,
    },
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &AccountName| display::name(name.as_str()).to_string();
        match self {
            BadLine::NotUtf8 => f.write_str("not UTF-8 text"),
            BadLine::NoName => f.write_str("no name before the first blank"),
            BadLine::BadName(NameError::BadCharacter, NameRule::Classic) => {
                f.write_str("a name has only printable ASCII characters and no blanks")
            }
            BadLine::BadName(error, _) => error.fmt(f),
            BadLine::NoPassword(name) => write!(f, "no password after the name \"{}\"", shown(name)),
            BadLine::LongPassword(name) => {
                write!(f, "the password of \"{}\" has more than {PASSWORD_MAX} bytes", shown(name))
            }
            BadLine::Twice { name, first } => write!(f, "\"{}\" stands in line {first} already", shown(name)),
        }
    }
}

/// The lines of a file with their numbers, from 1; blank ones are left out. Names are held to `rule`.
pub fn lines(bytes: &[u8], rule: NameRule) -> impl Iterator<Item = (usize, Result<Credential<'_>, BadLine>)> {
    let mut seen: HashMap<AccountName, usize> = HashMap::new();
    numbered(bytes).map(move |(number, line)| {
        let read = read(line, rule).and_then(|credential| match seen.get(&credential.name) {
            Some(first) => Err(BadLine::Twice { name: credential.name, first: *first }),
            None => {
                seen.insert(credential.name.clone(), number);
                Ok(credential)
            }
        });
        (number, read)
    })
}

/// The lines as bytes, without their ends; blank ones are left out.
fn numbered(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
}

fn read(line: &[u8], rule: NameRule) -> Result<Credential<'_>, BadLine> {
    let line = std::str::from_utf8(line).map_err(|_| BadLine::NotUtf8)?;
    let (name, password) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if name.is_empty() {
        return Err(BadLine::NoName);
    }
    let name = AccountName::parse(name, rule).map_err(|error| BadLine::BadName(error, rule))?;
    match password.len() {
        0 => Err(BadLine::NoPassword(name)),
        1..=PASSWORD_MAX => Ok(Credential { name, password }),
        _ => Err(BadLine::LongPassword(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line's number, and its name and password or the words about it.
    type Told = (usize, Result<(String, String), String>);

    fn read_all(bytes: &[u8], rule: NameRule) -> Vec<Told> {
        let told = |line: Result<Credential<'_>, BadLine>| {
            line.map(|c| (c.name.to_string(), c.password.to_owned())).map_err(|bad| bad.to_string())
        };
        lines(bytes, rule).map(|(number, line)| (number, told(line))).collect()
    }

    fn good(number: usize, name: &str, password: &str) -> Told {
        (number, Ok((name.to_owned(), password.to_owned())))
    }

    fn bad(number: usize, words: &str) -> Told {
        (number, Err(words.to_owned()))
    }

    #[test]
    fn odd_characters_blanks_and_the_end_of_the_file() {
        let file = b"\xef\xbb\xbfyoda wise@!man\r\n\r\n   \nluke light==saber\nHan  two  blanks \nr2-d2!\tbeep";
        assert_eq!(
            read_all(file, NameRule::Classic),
            [
                good(1, "yoda", "wise@!man"),
                good(4, "luke", "light==saber"),
                good(5, "Han", " two  blanks "),
                good(6, "r2-d2!", "beep"),
            ]
        );
        assert_eq!(read_all(b"", NameRule::Classic), []);
        assert_eq!(read_all(b"\xef\xbb\xbf", NameRule::Classic), []);
        assert_eq!(read_all(b"\n\n", NameRule::Classic), []);
    }

    #[test]
    fn mistakes_are_named_by_number_and_hold_no_password() {
        let long = "x".repeat(PASSWORD_MAX + 1);
        let file = format!("r2d2\nleia \n secret\nse\u{fc}ret x\nhan {long}\nyoda one\nyoda secret\n{long} secret\n");
        assert_eq!(
            read_all(file.as_bytes(), NameRule::Classic),
            [
                bad(1, "no password after the name \"r2d2\""),
                bad(2, "no password after the name \"leia\""),
                bad(3, "no name before the first blank"),
                bad(4, "a name has only printable ASCII characters and no blanks"),
                bad(5, "the password of \"han\" has more than 1024 bytes"),
                good(6, "yoda", "one"),
                bad(7, "\"yoda\" stands in line 6 already"),
                bad(8, "a name has at most 32 characters"),
            ]
        );
        assert_eq!(read_all(b"a \xff\xfe", NameRule::Classic), [bad(1, "not UTF-8 text")]);
    }

    #[test]
    fn the_rule_for_names_is_the_servers() {
        let file = b"Yoda a\nyoda b\nroot c\nr2!d2 d\n";
        assert_eq!(
            read_all(file, NameRule::Standard),
            [
                good(1, "yoda", "a"),
                bad(2, "\"yoda\" stands in line 1 already"),
                bad(3, "this name is reserved"),
                bad(4, "a name has only a-z, 0-9, '.', '_' and '-', and starts with a letter or digit"),
            ]
        );
        assert_eq!(read_all(file, NameRule::Classic).iter().filter(|(_, line)| line.is_ok()).count(), 4);
    }

    #[test]
    fn debugging_shows_no_password() {
        let (_, line) = lines(b"yoda secret", NameRule::Classic).next().unwrap();
        assert_eq!(format!("{line:?}"), "Ok(Credential(yoda))");
    }
}

//! Values of the configuration that are written as text and meant as something else; errors come while the file is read,
//! so that they name file, line and key.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time: `90s`, `15m`, `2h`, `3d`; a bare number is seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

/// A number of bytes: `64KiB`, `256MiB`; a bare number is bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// An address and port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub SocketAddr);

impl Wait {
    /// So many whole seconds.
    pub const fn secs(seconds: u64) -> Wait {
        Wait(Duration::from_secs(seconds))
    }

    /// Reads a time as it is written in the file.
    pub fn parse(text: &str) -> Option<Wait> {
        let (number, unit) = split(text)?;
        let seconds = match unit {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        number.checked_mul(seconds).map(Wait::secs)
    }

    /// What was meant by `30 min`, `2 hours` or `1h `.
    fn guess(text: &str) -> Option<String> {
        let (number, unit) = split(text.trim())?;
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => "s",
            "m" | "min" | "mins" | "minute" | "minutes" => "m",
            "h" | "hr" | "hrs" | "hour" | "hours" => "h",
            "d" | "day" | "days" => "d",
            _ => return None,
        };
        Some(format!("{number}{unit}"))
    }
}

/// In the largest unit that says it exactly.
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [(86_400, "d"), (3600, "h"), (60, "m")];
        match units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", seconds / unit),
            None => write!(f, "{seconds}s"),
        }
    }
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Wait, String> {
        Wait::parse(text).ok_or_else(|| "a time is such as 90s, 30m, 2h or 7d".to_owned())
    }
}

impl Size {
    fn parse(text: &str) -> Option<Size> {
        let (number, unit) = split(text)?;
        let bytes = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(bytes).map(Size)
    }

    /// What was meant by `64 kb` or `1 GB`.
    fn guess(text: &str) -> Option<String> {
        let (number, unit) = split(text.trim())?;
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "b" | "byte" | "bytes" => "B",
            "k" | "kb" | "kib" => "KiB",
            "m" | "mb" | "mib" => "MiB",
            "g" | "gb" | "gib" => "GiB",
            _ => return None,
        };
        Some(format!("{number}{unit}"))
    }
}

/// In the largest unit that says it exactly.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Digits, and the unit right behind them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

/// Reads a text, or a bare number where one makes sense.
struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    /// What was probably meant.
    guess: fn(&str) -> Option<String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| match (self.guess)(text) {
            Some(meant) => E::custom(format_args!("{text:?}: write {meant}")),
            None => E::custom(format_args!("{text:?} is not {}", self.expected)),
        })
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Wait, D::Error> {
        from.deserialize_any(Text {
            expected: "a time such as \"90s\", \"30m\", \"2h\" or \"3d\"",
            parse: Wait::parse,
            guess: Wait::guess,
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        from.deserialize_any(Text {
            expected: "a size such as \"64KiB\" or \"256MiB\"",
            parse: Size::parse,
            guess: Size::guess,
        })
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Listen, D::Error> {
        let parse = |text: &str| text.parse().ok().map(Listen);
        from.deserialize_any(Text {
            expected: "an address with a port such as \"[::]:7443\" or \"127.0.0.1:7443\"",
            parse,
            guess: |_| None,
        })
    }
}

impl Serialize for Wait {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everybody.
    #[default]
    Open,
    /// Who has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// Which names an account may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// `a-z 0-9 . _ -`, upper case folded, some reserved.
    #[default]
    Standard,
    /// Any printable ASCII without blanks, case kept (classic).
    Classic,
}

/// What a lock of wrong passwords belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LockoutBy {
    /// Name and source: a stranger cannot lock the owner out.
    #[default]
    Source,
    /// The name, from every address (classic).
    Account,
}

/// What happens to a session without activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// It is shown as away.
    #[default]
    Away,
    /// It is logged out (classic).
    Logout,
}

/// What happens to another device's session when an account logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Devices {
    /// Devices live beside each other.
    #[default]
    Many,
    /// The new one ends the old ones.
    Replace,
    /// A live old one refuses the new one (classic).
    Refuse,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is.
    #[default]
    On,
    /// It is not.
    Off,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What needs the operator.
    Error,
    /// What may.
    Warn,
    /// What happened, a line each.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Everything.
    Trace,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The journal's under systemd, plain text elsewhere.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// The journal's.
    Journal,
}

/// Whether addresses of clients are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// As they are.
    #[default]
    Full,
    /// Not at all.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(Wait::parse("30m"), Some(Wait::secs(1800)));
        assert_eq!(Wait::parse("90"), Some(Wait::secs(90)));
        assert_eq!(Wait::parse("30 min"), None);
        assert_eq!(Wait::parse("-1s"), None);
        assert_eq!(Size::parse("64KiB"), Some(Size(65_536)));
        assert_eq!(Size::parse("0"), Some(Size(0)));
        assert_eq!(Size::parse("64kb"), None);
        assert_eq!(Size::parse("99999999999999999999"), None);
        assert_eq!(Size::parse("99999999999999GiB"), None);
        assert_eq!(Wait::guess("30 min").as_deref(), Some("30m"));
        assert_eq!(Size::guess("64kb").as_deref(), Some("64KiB"));
        assert_eq!(Wait::guess("soon"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in [0, 1, 90, 60, 1800, 7200, 86_400, 86_401] {
            assert_eq!(Wait::parse(&Wait::secs(seconds).to_string()), Some(Wait::secs(seconds)));
        }
        for bytes in [0, 1, 1024, 1025, 256 << 20, 3 << 30] {
            assert_eq!(Size::parse(&Size(bytes).to_string()), Some(Size(bytes)));
        }
        assert_eq!((Wait::secs(1800).to_string(), Size(1 << 16).to_string()), ("30m".into(), "64KiB".into()));
    }
}

//! Times as people read and type them. Pure: the clock, the zone and the locale come in as arguments (see `output.rs`, `args.rs`).

use std::time::Duration;

pub use chat_local::json::iso;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// How times are printed (`--time`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// Short: `14:02` today, else with the day, with the year when it differs.
    Auto,
    /// RFC 3339.
    Iso,
    /// Seconds since 1970.
    Unix,
    /// `3m ago`.
    Relative,
    /// A strftime format.
    Format(String),
}

impl std::str::FromStr for Style {
    type Err = String;

    fn from_str(text: &str) -> Result<Style, String> {
        match text {
            "auto" => Ok(Style::Auto),
            "iso" => Ok(Style::Iso),
            "unix" => Ok(Style::Unix),
            "relative" => Ok(Style::Relative),
            format if format.contains('%') => match jiff::fmt::strtime::format(format, &Zoned::default()) {
                Ok(_) => Ok(Style::Format(format.to_owned())),
                Err(error) => Err(error.to_string()),
            },
            _ => Err("use auto, iso, unix, relative or a format such as %H:%M".to_owned()),
        }
    }
}

/// Everything that printing a time depends on.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Now.
    pub now: Timestamp,
    /// The zone to print in.
    pub zone: TimeZone,
    /// Hours from 1 to 12, as the locale has it.
    pub twelve: bool,
    /// The style.
    pub style: Style,
}

impl Clock {
    /// Now, in UTC.
    pub fn utc() -> Clock {
        Clock { now: Timestamp::now(), zone: TimeZone::UTC, twelve: false, style: Style::Auto }
    }

    /// A time of `ms` milliseconds since 1970 for people.
    pub fn show(&self, ms: i64) -> String {
        let Ok(at) = Timestamp::from_millisecond(ms) else {
            return "?".to_owned();
        };
        let zoned = at.to_zoned(self.zone.clone());
        match &self.style {
            Style::Auto => self.short(&zoned),
            Style::Iso => zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            Style::Unix => at.as_second().to_string(),
            Style::Relative => self.relative(ms),
            Style::Format(format) => jiff::fmt::strtime::format(format, &zoned).unwrap_or_else(|_| iso(ms)),
        }
    }

    /// The same to the millisecond, for timelines.
    pub fn show_exact(&self, ms: i64) -> String {
        let Ok(at) = Timestamp::from_millisecond(ms) else {
            return "?".to_owned();
        };
        let zoned = at.to_zoned(self.zone.clone());
        match &self.style {
            Style::Auto => format!("{}{}", self.day(&zoned), zoned.strftime("%H:%M:%S%.3f")),
            Style::Iso => zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
            Style::Unix => format!("{}.{:03}", at.as_second(), ms.rem_euclid(1000)),
            Style::Relative | Style::Format(_) => self.show(ms),
        }
    }

    fn short(&self, at: &Zoned) -> String {
        let hour = if self.twelve { "%-I:%M %p" } else { "%H:%M" };
        format!("{}{}", self.day(at), at.strftime(hour))
    }

    /// The day where it is not today, with the year where that is another.
    fn day(&self, at: &Zoned) -> String {
        let now = self.now.to_zoned(self.zone.clone());
        let day = match () {
            () if at.date() == now.date() => return String::new(),
            () if at.year() == now.year() => "%b %-d ",
            () => "%b %-d %Y ",
        };
        at.strftime(day).to_string()
    }

    fn relative(&self, ms: i64) -> String {
        let passed = self.now.as_millisecond().saturating_sub(ms);
        let length = length(Duration::from_millis(passed.unsigned_abs()));
        if passed < 0 { format!("in {length}") } else { format!("{length} ago") }
    }

    /// How long ago `ms` was, e.g. `2h`.
    pub fn since(&self, ms: i64) -> String {
        let passed = self.now.as_millisecond().saturating_sub(ms).max(0);
        length(Duration::from_millis(passed.unsigned_abs()))
    }
}

/// A length of time in its largest unit: `40s`, `5m`, `2h`, `3d`.
pub fn length(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// How long something took, as people compare it: `12ms`, `1.2s`, `4m10s`, `2h03m`.
pub fn exact(duration: Duration) -> String {
    match (duration.as_millis(), duration.as_secs()) {
        (ms @ 0..1000, _) => format!("{ms}ms"),
        (ms @ 1000..10_000, _) => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        (_, s @ 0..60) => format!("{s}s"),
        (_, s @ 60..3600) => format!("{}m{:02}s", s / 60, s % 60),
        (_, s) => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

/// Reads `90s 15m 2h 3d`, `500ms`, or a bare number of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a length of time; write 90s, 15m, 2h or 3d");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(86_400),
        _ => None,
    };
    // A century is beyond every use and keeps all later sums in range.
    match seconds {
        Some(seconds) if seconds <= 100 * 366 * 86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

/// A length of time as chatd is told it.
pub fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a moment: a length of time ago, RFC 3339, `today` or `yesterday`; milliseconds since 1970.
pub fn parse_moment(text: &str, now: Timestamp, zone: &TimeZone) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a time; write 2h (ago), today, yesterday or 2026-11-22T14:00:00Z");
    let days_back = match text {
        "today" => Some(0),
        "yesterday" => Some(1),
        _ => None,
    };
    if let Some(days) = days_back {
        let day = now.to_zoned(zone.clone()).date().checked_sub(jiff::Span::new().days(days));
        let start = day.and_then(|day| day.to_zoned(zone.clone())).map_err(|_| wrong())?;
        return Ok(start.timestamp().as_millisecond());
    }
    if let Ok(ago) = parse_duration(text) {
        let ago = i64::try_from(ago.as_millis()).map_err(|_| wrong())?;
        return Ok(now.as_millisecond().saturating_sub(ago));
    }
    let at: Timestamp = text.parse().map_err(|_| wrong())?;
    Ok(at.as_millisecond())
}

/// Does this locale (LC_ALL, LC_TIME or LANG) read hours from 1 to 12?
pub fn is_twelve_hour(locale: &str) -> bool {
    const TWELVE: &[&str] = &["en_US", "en_CA", "en_AU", "en_NZ", "en_PH", "en_IN", "es_MX", "es_CO", "hi_IN", "ko_KR"];
    TWELVE
        .iter()
        .any(|name| locale.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '@'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T14:30:00Z.
    const NOW: i64 = 1_795_357_800_000;

    fn clock(style: Style) -> Clock {
        let now = Timestamp::from_millisecond(NOW).expect("in range");
        Clock { now, zone: TimeZone::UTC, twelve: false, style }
    }

    #[test]
    fn today_is_short_and_other_days_say_which() {
        let clock = clock(Style::Auto);
        assert_eq!(clock.show(NOW - 28 * 60_000), "14:02");
        assert_eq!(clock.show(NOW - 86_400_000), "Nov 21 14:30");
        assert_eq!(clock.show(NOW - 400 * 86_400_000), "Oct 18 2025 14:30");
        let twelve = Clock { twelve: true, ..clock };
        assert_eq!(twelve.show(NOW), "2:30 PM");
    }

    #[test]
    fn styles() {
        assert_eq!(clock(Style::Iso).show(NOW), "2026-11-22T14:30:00+00:00");
        assert_eq!(clock(Style::Unix).show(NOW), "1795357800");
        assert_eq!(clock(Style::Relative).show(NOW - 180_000), "3m ago");
        assert_eq!(clock(Style::Relative).show(NOW + 5_000), "in 5s");
        assert_eq!(clock("%Hh%M".parse().expect("a format")).show(NOW), "14h30");
        assert_eq!(clock(Style::Auto).show(i64::MAX), "?");
        assert_eq!(clock(Style::Auto).since(NOW - 7_300_000), "2h");
        assert!("%Q%!".parse::<Style>().is_err());
        assert!("soon".parse::<Style>().is_err());
    }

    #[test]
    fn json_times_are_utc_with_milliseconds() {
        assert_eq!(iso(NOW + 120), "2026-11-22T14:30:00.120Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(i64::MIN), "?");
    }

    #[test]
    fn durations() {
        let seconds = |text| parse_duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("3d"), Ok(259_200));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "-1", "s", "1x", "1h30m", "99999999999999999999", "999999999999d", "1.5h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments() {
        let now = Timestamp::from_millisecond(NOW).expect("in range");
        let moment = |text| parse_moment(text, now, &TimeZone::UTC);
        let midnight = NOW - (14 * 60 + 30) * 60_000;
        assert_eq!(moment("today"), Ok(midnight));
        assert_eq!(moment("yesterday"), Ok(midnight - 86_400_000));
        assert_eq!(moment("2h"), Ok(NOW - 7_200_000));
        assert_eq!(moment("2026-11-22T14:30:00Z"), Ok(NOW));
        assert_eq!(moment("2026-11-22T15:30:00+01:00"), Ok(NOW));
        assert!(moment("tomorrow").is_err());
    }

    #[test]
    fn locales() {
        assert!(is_twelve_hour("en_US.UTF-8"));
        assert!(!is_twelve_hour("en_GB.UTF-8"));
        assert!(!is_twelve_hour("C"));
        assert!(!is_twelve_hour(""));
    }
}

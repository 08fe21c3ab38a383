//! From when to when a certificate is valid: chat-server warns before its own expires.
//!
//! Reads just far enough into the DER (RFC 5280, section 4.1) to find the two times; the libraries for TLS keep them to
//! themselves.

use std::time::{Duration, SystemTime};

use crate::cert::{CertError, certificates};

/// Tags of DER that a certificate's head is made of.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From here.
    pub not_before: SystemTime,
    /// To here.
    pub not_after: SystemTime,
}

/// The validity of the first certificate of a PEM text, which is the server's own.
pub fn validity(chain_pem: &[u8]) -> Result<Validity, CertError> {
    let chain = certificates(chain_pem)?;
    let own = chain.first().ok_or_else(|| CertError::Chain("the file holds none".into()))?;
    read(own).ok_or_else(|| CertError::Chain("the certificate is malformed".into()))
}

/// Certificate -> its signed part -> behind version, serial, algorithm and issuer: the two times.
fn read(der: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let mut rest = element(signed, VERSION).map_or(signed, |(_, rest)| rest);
    for _ in 0..3 {
        rest = any(rest)?.2;
    }
    let (times, _) = element(rest, SEQUENCE)?;
    let (tag, begin, times) = any(times)?;
    let not_before = time(tag, begin)?;
    let (tag, end, _) = any(times)?;
    Some(Validity { not_before, not_after: time(tag, end)? })
}

/// The content of an element that must have `tag`, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(der).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag and content of the next element, and what comes after it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` (from 1950 to 2049) or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => (text[..2].parse::<i64>().ok()?, &text[2..]),
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let year = match tag {
        UTC_TIME if year < 50 => 2000 + year,
        UTC_TIME => 1900 + year,
        _ => year,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let days = days_from_1970(year, part(0)?, part(2)?)?;
    let seconds = days * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?;
    let offset = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::UNIX_EPOCH.checked_sub(offset) } else { SystemTime::UNIX_EPOCH.checked_add(offset) }
}

/// Days of the Gregorian calendar, counted in years that begin in March so that leap days come last.
fn days_from_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Option<i64> {
        let time = time(tag, text.as_bytes())?;
        Some(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        })
    }

    #[test]
    fn times() {
        assert_eq!(at(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(at(UTC_TIME, "000229120001Z"), Some(951_825_601));
        assert_eq!(at(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(at(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(at(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        for bad in ["", "Z", "70010100000Z", "701301000000Z", "70+101000000Z", "700101000000"] {
            assert_eq!(at(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_tells_when() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = crate::self_signed(&["chat.example.org".into()], now).unwrap();
        let validity = validity(made.cert_pem.as_bytes()).unwrap();
        assert_eq!(validity.not_before, now - Duration::from_secs(86_400));
        assert_eq!(validity.not_after, now + Duration::from_secs(10 * 365 * 86_400));
    }

    #[test]
    fn cut_certificates_are_malformed() {
        let made = crate::self_signed(&["chat.example.org".into()], SystemTime::now()).unwrap();
        let der = certificates(made.cert_pem.as_bytes()).unwrap().remove(0);
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None);
        }
    }
}

//! The certificate and its key: readable, a pair, valid, for this server's name, and whole.

use std::os::unix::fs::PermissionsExt as _;

use super::{Found, Level, Section, on_file};
use crate::certificate::{self, Trouble, now_ms};
use crate::files::{self, FileError};

pub(super) fn look(found: &mut Found<'_>) {
    let config = found.config;
    let chain = match files::read(&config.cert) {
        Ok(pem) => pem,
        Err(error) => return found.error(Section::Tls, "tls.cert", error.to_string(), "cert self-signed"),
    };
    let key = match files::read_secret(&config.key) {
        Ok(key) => key,
        Err(error @ FileError::Exposed(_)) => {
            let next = on_file("chmod 600", &config.key);
            return found.add(Level::Error, Section::Tls, Some("tls.key"), error.to_string(), Some(next));
        }
        Err(error) => return found.error(Section::Tls, "tls.key", error.to_string(), "cert self-signed"),
    };
    if std::fs::metadata(&config.cert).is_ok_and(|file| file.permissions().mode() & 0o002 != 0) {
        let next = on_file("chmod o-w", &config.cert);
        let text = format!("{}: anybody may write it", config.cert.display());
        found.add(Level::Error, Section::Tls, Some("tls.cert"), text, Some(next));
    }
    if let Err(error) = chat_link::server_config(&chain, &key) {
        return found.error(Section::Tls, "tls.cert", error.to_string(), "cert show");
    }
    let chain = match certificate::read(&chain) {
        Ok(chain) => chain,
        Err(error) => return found.error(Section::Tls, "tls.cert", error, "cert self-signed"),
    };
    let now = now_ms(found.looked.now);
    let days = chain.first().map_or(0, |own| own.days_left(now));
    found.report.numbers.certificate_days = Some(days);
    let pinned = chain.first().is_some_and(|own| own.self_signed);
    let troubles = certificate::troubles(&chain, &config.name, now);
    if troubles.is_empty() {
        let kind = if pinned { "self-signed" } else { "chain whole" };
        let key = if config.key_is_credential() { ", key from a credential" } else { "" };
        found.ok(Section::Tls, format!("{kind}, {days} days left{key}"));
    }
    for trouble in troubles {
        // Who trusts by the fingerprint does not look at the certificate's times and names.
        let level = if trouble.is_fatal() && !pinned { Level::Error } else { Level::Warn };
        let next = format!("{} {}", found.looked.program, next(&trouble));
        found.add(level, Section::Tls, Some("tls.cert"), text(&trouble, &config.name), Some(next));
    }
}

/// A trouble in words.
pub fn text(trouble: &Trouble, name: &str) -> String {
    match trouble {
        Trouble::Ended(days) => format!("the certificate ended {days} days ago"),
        Trouble::NotBegun(days) => format!("the certificate begins in {days} days; is the clock right?"),
        Trouble::EndsSoon(days) => format!("the certificate ends in {days} days"),
        Trouble::OtherName(names) if names.is_empty() => format!("the certificate names no host, so not {name}"),
        Trouble::OtherName(names) => format!("the certificate is for {names}, not for {name}"),
        Trouble::Order(at) => format!("certificate {at} of the file was not made by the one behind it"),
        Trouble::NoIntermediate(issuer) => {
            format!("chain lacks the intermediate ({issuer}): use fullchain.pem")
        }
    }
}

fn next(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::NotBegun(_) => "check time",
        Trouble::OtherName(_) => "cert csr",
        _ => "cert show",
    }
}

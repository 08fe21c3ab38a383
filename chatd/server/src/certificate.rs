//! Certificates as a client sees them: who they are for, how long, and whether a chain holds together. For `cert` and `check`, for
//! the watch over the files and for metrics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate that ends sooner than this is spoken of.
pub const WARN_BEFORE: Duration = Duration::from_secs(21 * 86_400);
const DAY_MS: i64 = 86_400_000;

/// The certificate that is served, as TLS serves it.
#[derive(Clone, Debug)]
pub struct Served {
    /// The chain and its key, for the chat protocol.
    pub tls: Arc<ServerConfig>,
    /// SHA-256 of the server's own certificate in DER.
    pub sha256: [u8; 32],
}

/// What is to be served, by a chain and its key in PEM.
pub fn served(chain_pem: &[u8], key_pem: &[u8]) -> Result<Served, chat_link::CertError> {
    let tls = chat_link::server_config(chain_pem, key_pem)?;
    let own = CertificateDer::from_pem_slice(chain_pem).map_err(|e| chat_link::CertError::Chain(e.to_string()))?;
    Ok(Served { tls, sha256: Sha256::digest(&own).into() })
}

/// What one certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who made it.
    pub issuer: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// It begins then, milliseconds since 1970.
    pub not_before_ms: i64,
    /// It ends then.
    pub not_after_ms: i64,
    /// SHA-256 of all of it.
    pub sha256: String,
    /// It vouches for itself.
    pub self_signed: bool,
}

/// What is wrong with a chain; the worst first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It has ended, so many days ago.
    Ended(i64),
    /// It has not begun, for so many days.
    NotBegun(i64),
    /// It ends in so many days.
    EndsSoon(i64),
    /// It is not for the server's name.
    OtherName(String),
    /// The certificate at this place, from 1, was not made by the one behind it.
    Order(usize),
    /// The one who made the last certificate is not in the file.
    NoIntermediate(String),
}

impl Trouble {
    /// Clients that trust by a certificate authority are refused by it.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Trouble::Ended(_) | Trouble::NotBegun(_))
    }
}

/// The certificates of a PEM text, the server's own first.
pub fn read(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let chain: Vec<CertificateDer<'_>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("it holds no certificate in PEM".into());
    }
    chain.iter().map(|der| one(der)).collect()
}

fn one(der: &[u8]) -> Result<Certificate, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| format!("a certificate is malformed: {error}"))?;
    let mut names = Vec::new();
    if let Ok(Some(alternative)) = parsed.subject_alternative_name() {
        names.extend(alternative.value.general_names.iter().filter_map(name));
    }
    let digest: [u8; 32] = Sha256::digest(der).into();
    Ok(Certificate {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        names,
        not_before_ms: parsed.validity().not_before.timestamp().saturating_mul(1000),
        not_after_ms: parsed.validity().not_after.timestamp().saturating_mul(1000),
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        self_signed: parsed.subject() == parsed.issuer(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

impl Certificate {
    /// Whole days until it ends; below 0: since.
    pub fn days_left(&self, now_ms: i64) -> i64 {
        (self.not_after_ms - now_ms).div_euclid(DAY_MS)
    }

    /// Whether it is for a host of this name.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.names.iter().any(|name| {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                // A star stands for one label.
                Some(domain) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
                None => name == host,
            }
        })
    }
}

/// What a client would hold against a chain; `name` is the server's.
pub fn troubles(chain: &[Certificate], name: &str, now_ms: i64) -> Vec<Trouble> {
    let Some(own) = chain.first() else { return Vec::new() };
    let mut found = Vec::new();
    let days = own.days_left(now_ms);
    if own.not_after_ms <= now_ms {
        found.push(Trouble::Ended(-days));
    } else if own.not_before_ms > now_ms {
        found.push(Trouble::NotBegun((own.not_before_ms - now_ms).div_euclid(DAY_MS)));
    } else if days < i64::try_from(WARN_BEFORE.as_secs() / 86_400).unwrap_or(i64::MAX) {
        found.push(Trouble::EndsSoon(days));
    }
    if !own.is_for(name) {
        found.push(Trouble::OtherName(own.names.join(", ")));
    }
    if let Some(at) = chain.windows(2).position(|pair| pair[0].issuer != pair[1].subject) {
        found.push(Trouble::Order(at + 1));
    }
    if chain.len() == 1 && !own.self_signed {
        found.push(Trouble::NoIntermediate(own.issuer.clone()));
    }
    found
}

/// A time of this host as certificates count it.
pub fn now_ms(now: SystemTime) -> i64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(subject: &str, issuer: &str) -> Certificate {
        Certificate {
            subject: subject.into(),
            issuer: issuer.into(),
            names: vec!["chat.example.org".into(), "*.example.net".into()],
            not_before_ms: 0,
            not_after_ms: 100 * DAY_MS,
            sha256: String::new(),
            self_signed: subject == issuer,
        }
    }

    #[test]
    fn a_self_signed_one_is_read() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = chat_link::self_signed(&["chat.example.org".into(), "127.0.0.1".into()], now).unwrap();
        let chain = read(made.cert_pem.as_bytes()).unwrap();
        assert_eq!(chain.len(), 1);
        assert_eq!(chain[0].names, ["chat.example.org", "127.0.0.1"]);
        assert_eq!((chain[0].days_left(now_ms(now)), chain[0].self_signed), (3650, true));
        assert_eq!(troubles(&chain, "chat.example.org", now_ms(now)), []);
        assert!(read(b"nothing").is_err());
    }

    #[test]
    fn names_are_matched_as_clients_do() {
        let one = certificate("a", "a");
        assert!(one.is_for("CHAT.example.org") && one.is_for("x.example.net"));
        assert!(!one.is_for("example.net") && !one.is_for("x.y.example.net") && !one.is_for("other"));
    }

    #[test]
    fn every_trouble_is_found() {
        let found = |chain: &[Certificate], name: &str, day: i64| troubles(chain, name, day * DAY_MS);
        let (leaf, middle, root) =
            (certificate("leaf", "mid"), certificate("mid", "root"), certificate("root", "root"));
        let name = "chat.example.org";
        assert_eq!(found(&[leaf.clone(), middle.clone()], name, 1), []);
        assert_eq!(found(std::slice::from_ref(&leaf), name, 1), [Trouble::NoIntermediate("mid".into())]);
        assert_eq!(found(&[leaf.clone(), root, middle.clone()], name, 1), [Trouble::Order(1)]);
        assert_eq!(found(&[leaf.clone(), middle.clone()], name, 85), [Trouble::EndsSoon(15)]);
        assert_eq!(found(&[leaf.clone(), middle.clone()], name, 101), [Trouble::Ended(1)]);
        assert_eq!(found(&[leaf.clone(), middle.clone()], name, -2), [Trouble::NotBegun(2)]);
        let other = Trouble::OtherName("chat.example.org, *.example.net".into());
        assert_eq!(found(&[leaf, middle], "chat", 1), [other]);
    }
}

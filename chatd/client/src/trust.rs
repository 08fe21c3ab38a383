//! Which servers are trusted: the file of known server keys, and the decision about one that shows itself (S2, S3).
//!
//! All profiles' connections ask here, the `trust` calls change it.

use std::path::Path;

use chat_link::CertificateProblem;
use chat_local::directory::OpenError;
use chat_proto::control::config::{TrustQuestion, Trusted};
use chat_proto::fault::Code;
use chat_proto::id::{Fingerprint, ServerId, hex, unhex};
use serde::{Deserialize, Serialize};

use crate::files::Held;

/// Name of the file in the state directory.
const FILE: &str = "known-servers.json";
/// Keys of servers that were not trusted, remembered so that they may be accepted.
const SHOWN_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    name: String,
    server_id: String,
    since_ms: i64,
    by: String,
}

impl Known {
    fn id(&self) -> Option<ServerId> {
        unhex(&self.server_id).map(ServerId)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    #[serde(default)]
    known: Vec<Known>,
    /// What untrusted servers showed last, newest at the end.
    #[serde(default)]
    shown: Vec<Known>,
}

/// The known servers.
pub struct TrustStore {
    file: Held<Content>,
}

/// A server that showed itself.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// `HOST:PORT`.
    pub name: &'a str,
    /// The key that it proved.
    pub server: ServerId,
    /// What its certificate is worth.
    pub certificate: &'a Result<(), CertificateProblem>,
    /// `--trust`: this key and no other.
    pub asked: Option<Fingerprint>,
}

/// Why a server is not trusted.
#[derive(Clone, Debug)]
pub struct Distrust {
    /// [`Code::TRUST_UNKNOWN`] or [`Code::TRUST_CHANGED`].
    pub code: Code,
    /// What it showed.
    pub question: TrustQuestion,
}

impl TrustStore {
    /// Reads the file.
    pub fn load(directory: &Path) -> Result<TrustStore, OpenError> {
        Ok(TrustStore { file: Held::load(directory, FILE)? })
    }

    /// Decides about a server, and remembers what was decided.
    pub fn judge(&self, shown: Shown<'_>, now_ms: i64) -> Result<Result<(), Box<Distrust>>, OpenError> {
        self.file.change(|content| {
            let by = decide(&shown, content.known.iter().find(|k| k.name == shown.name));
            match by {
                Ok(Some(by)) => put(&mut content.known, entry(shown.name, shown.server, now_ms, by)),
                Ok(None) => {}
                Err(_) if content.shown.iter().any(|k| k.name == shown.name && k.id() == Some(shown.server)) => {}
                Err(_) => {
                    content.shown.push(entry(shown.name, shown.server, now_ms, "shown"));
                    let surplus = content.shown.len().saturating_sub(SHOWN_MAX);
                    content.shown.drain(..surplus);
                }
            }
            by.map(|_| ())
        })
    }

    /// How a server would be decided about; nothing is remembered.
    pub fn look(&self, shown: &Shown<'_>) -> Result<(), Box<Distrust>> {
        let content = self.file.lock();
        decide(shown, content.known.iter().find(|k| k.name == shown.name)).map(drop)
    }

    /// All trusted keys.
    pub fn list(&self) -> Vec<Trusted> {
        self.file.lock().known.iter().filter_map(trusted).collect()
    }

    /// Trusts the key that some server showed.
    pub fn accept(&self, fingerprint: Fingerprint, now_ms: i64) -> Result<Option<Trusted>, OpenError> {
        let matches = |k: &&Known| k.id().is_some_and(|id| id.fingerprint() == fingerprint);
        self.file.change(|content| {
            let shown = content.shown.iter().rev().chain(&content.known).find(matches).cloned()?;
            let accepted = Known { since_ms: now_ms, by: "pin".into(), ..shown };
            content.shown.retain(|k| k.name != accepted.name);
            put(&mut content.known, accepted.clone());
            trusted(&accepted)
        })
    }

    /// Forgets a server; `name` with or without port. Answers whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, OpenError> {
        let named = |k: &mut Known| k.name == name || k.name.rsplit_once(':').is_some_and(|(host, _)| host == name);
        self.file.change(|content| content.known.extract_if(.., named).count() > 0)
    }
}

/// `Ok(Some(by))`: trusted, to be remembered; `Ok(None)`: trusted as known.
fn decide(shown: &Shown<'_>, known: Option<&Known>) -> Result<Option<&'static str>, Box<Distrust>> {
    let same = known.is_some_and(|k| k.id() == Some(shown.server));
    if let Some(asked) = shown.asked {
        return match asked == shown.server.fingerprint() {
            true if same && known.is_some_and(|k| k.by == "pin") => Ok(None),
            true => Ok(Some("pin")),
            false => Err(distrust(shown, known.filter(|_| !same))),
        };
    }
    match known {
        Some(k) if same && (k.by == "pin" || shown.certificate.is_ok()) => Ok(None),
        Some(_) if same => Err(distrust(shown, None)),
        Some(k) => Err(distrust(shown, Some(k))),
        None if shown.certificate.is_ok() => Ok(Some("ca")),
        None => Err(distrust(shown, None)),
    }
}

fn distrust(shown: &Shown<'_>, known: Option<&Known>) -> Box<Distrust> {
    let certificate = match shown.certificate {
        Ok(()) => String::new(),
        Err(problem) => problem.to_string(),
    };
    Box::new(Distrust {
        code: if known.is_some() { Code::TRUST_CHANGED } else { Code::TRUST_UNKNOWN },
        question: TrustQuestion {
            server: shown.name.to_owned(),
            fingerprint: shown.server.fingerprint(),
            known: known.and_then(Known::id).map(|id| id.fingerprint()),
            known_since_ms: known.map(|k| k.since_ms),
            certificate,
        },
    })
}

fn entry(name: &str, server: ServerId, since_ms: i64, by: &str) -> Known {
    Known { name: name.to_owned(), server_id: hex(&server.0), since_ms, by: by.to_owned() }
}

fn put(list: &mut Vec<Known>, new: Known) {
    list.retain(|k| k.name != new.name);
    list.push(new);
}

fn trusted(known: &Known) -> Option<Trusted> {
    Some(Trusted {
        kind: "server".into(),
        name: known.name.clone(),
        fingerprint: known.id()?.fingerprint(),
        since_ms: known.since_ms,
        by: known.by.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "chat.example.org:7443";

    fn shown(key: u8, certificate: &Result<(), CertificateProblem>, asked: Option<u8>) -> Shown<'_> {
        let asked = asked.map(|key| ServerId([key; 32]).fingerprint());
        Shown { name: NAME, server: ServerId([key; 32]), certificate, asked }
    }

    fn code(store: &TrustStore, shown: Shown<'_>) -> Option<Code> {
        store.judge(shown, 7).expect("written").err().map(|d| d.code)
    }

    #[test]
    fn s02_unknown_keys_are_asked_for_and_changed_ones_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("state");
        let (good, bad) = (Ok(()), Err(CertificateProblem::UnknownIssuer));
        let store = TrustStore::load(&state).expect("empty");
        assert_eq!(code(&store, shown(1, &bad, None)), Some(Code::TRUST_UNKNOWN));
        assert_eq!(code(&store, shown(1, &bad, Some(2))), Some(Code::TRUST_UNKNOWN));
        assert!(store.accept(ServerId([3; 32]).fingerprint(), 8).expect("read").is_none());
        assert_eq!(
            store.accept(ServerId([1; 32]).fingerprint(), 8).expect("written").map(|t| t.by),
            Some("pin".into())
        );
        let store = TrustStore::load(&state).expect("read again");
        assert_eq!(code(&store, shown(1, &bad, None)), None);
        assert_eq!(code(&store, shown(2, &good, None)), Some(Code::TRUST_CHANGED));
        assert_eq!(code(&store, shown(2, &bad, Some(2))), None, "asked for by its fingerprint");
        assert!(store.remove("chat.example.org").expect("written"));
        assert!(!store.remove("chat.example.org").expect("read"));
    }

    #[test]
    fn what_cannot_be_written_down_is_not_believed() {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("state");
        let (good, bad) = (Ok(()), Err(CertificateProblem::UnknownIssuer));
        let store = TrustStore::load(&state).expect("empty");
        assert_eq!(code(&store, shown(2, &bad, None)), Some(Code::TRUST_UNKNOWN));
        // In the place of the file nothing can be put.
        std::fs::remove_file(state.join(FILE)).expect("written before");
        std::fs::create_dir(state.join(FILE)).expect("a directory");
        for (server, certificate, asked) in [(1, &good, None), (1, &bad, Some(1)), (3, &bad, None)] {
            assert!(store.judge(shown(server, certificate, asked), 7).is_err());
        }
        assert!(store.accept(ServerId([2; 32]).fingerprint(), 8).is_err());
        assert!(store.list().is_empty());
        std::fs::remove_dir(state.join(FILE)).expect("empty");
        assert!(store.accept(ServerId([3; 32]).fingerprint(), 8).expect("read").is_none(), "never shown");
        assert!(store.accept(ServerId([2; 32]).fingerprint(), 8).expect("written").is_some());
        assert!(store.remove(NAME).expect("written"));
    }

    #[test]
    fn s02_a_certificate_that_was_good_must_stay_good() {
        let home = tempfile::tempdir().expect("a directory");
        let store = TrustStore::load(&home.path().join("state")).expect("empty");
        let (good, bad) = (Ok(()), Err(CertificateProblem::Expired));
        assert_eq!(code(&store, shown(1, &good, None)), None);
        assert_eq!(store.list()[0].by, "ca");
        assert_eq!(code(&store, shown(1, &bad, None)), Some(Code::TRUST_UNKNOWN));
    }
}

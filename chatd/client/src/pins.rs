//! Which keys of peers are known: the file of accepted keys, and the decision about one that a server names (S29, S42).
//!
//! A server could put itself between two users by naming its own keys. So the first key of an account is remembered, and another one
//! is a hard stop until its user accepts it. Profiles' owners ask here, the `trust` calls change it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_local::directory::OpenError;
use chat_proto::control::config::{TrustQuestion, Trusted};
use chat_proto::control::private::KeyState;
use chat_proto::id::{Fingerprint, ServerId, hex, unhex};
use chat_proto::limits::PEER_NOTICES_EVERY;
use serde::{Deserialize, Serialize};

use crate::files::Held;

/// Name of the file in the state directory.
const FILE: &str = "known-peers.json";
/// Keys that were not believed, remembered so that they may be accepted.
const SHOWN_MAX: usize = 64;
/// The two users compared it.
const VERIFIED: &str = "verified";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    server_id: String,
    name: String,
    key: String,
    since_ms: i64,
    /// `first` (seen first), `pin` (accepted), `verified` (compared).
    by: String,
}

impl Known {
    fn fingerprint(&self) -> Option<Fingerprint> {
        unhex(&self.key).map(|key| ServerId(key).fingerprint())
    }

    fn is(&self, server: &str, name: &str) -> bool {
        self.server_id == server && self.name == name
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    known: Vec<Known>,
    /// Keys that were not believed, newest at the end.
    shown: Vec<Known>,
}

/// What is thought of a key.
#[derive(Clone, Debug)]
pub enum Judged {
    /// Nobody has seen a key of this account yet.
    Unknown,
    /// It is one of this account's.
    Known(KeyState),
    /// This account has others.
    Changed(TrustQuestion),
}

/// The known peers.
pub struct PeerPins {
    file: Held<Content>,
    /// The newest key of each account that was not believed, newest at the end: what the file has, or will have when it is shown again.
    /// Not an owner task, as the file's content is not.
    latest: Mutex<Vec<Known>>,
}

impl PeerPins {
    /// Reads the file.
    pub fn load(directory: &Path) -> Result<PeerPins, OpenError> {
        Ok(PeerPins { file: Held::load(directory, FILE)?, latest: Mutex::default() })
    }

    /// What is thought of this key of this account.
    pub fn judge(&self, server: ServerId, name: &str, key: [u8; 32]) -> Judged {
        let (server, key) = (hex(&server.0), ServerId(key));
        let content = self.file.lock();
        let of_account: Vec<&Known> = content.known.iter().filter(|known| known.is(&server, name)).collect();
        match of_account.iter().find(|known| known.fingerprint() == Some(key.fingerprint())) {
            Some(known) if known.by == VERIFIED => Judged::Known(KeyState::Verified),
            Some(_) => Judged::Known(KeyState::Known),
            None => match of_account.last() {
                None => Judged::Unknown,
                Some(last) => Judged::Changed(TrustQuestion {
                    server: name.to_owned(),
                    fingerprint: key.fingerprint(),
                    known: last.fingerprint(),
                    known_since_ms: Some(last.since_ms),
                    certificate: String::new(),
                }),
            },
        }
    }

    /// The first key of an account was proven.
    pub fn remember(&self, server: ServerId, name: &str, key: [u8; 32], now_ms: i64) -> Result<(), OpenError> {
        let new = entry(server, name, key, now_ms, "first");
        self.file.change(|content| {
            if !content.known.iter().any(|known| known.is(&new.server_id, name) && known.key == new.key) {
                content.known.push(new);
            }
        })
    }

    /// A key that is not believed is remembered, so that its user may accept it: the newest of an account. It is written down at most
    /// once in a while for each, so that who asks with ever new keys neither costs a flush each time nor takes the place of others.
    pub fn show(&self, server: ServerId, name: &str, key: [u8; 32], now_ms: i64) -> Result<(), OpenError> {
        let new = entry(server, name, key, now_ms, "shown");
        put(&mut self.latest(), new.clone());
        let every = u64::try_from(PEER_NOTICES_EVERY.as_millis()).unwrap_or(u64::MAX);
        let rests = |shown: &Known| shown.key == new.key || shown.since_ms.abs_diff(now_ms) < every;
        self.file.change(|content| {
            if !content.shown.iter().any(|shown| shown.is(&new.server_id, name) && rests(shown)) {
                put(&mut content.shown, new.clone());
            }
        })
    }

    fn latest(&self) -> MutexGuard<'_, Vec<Known>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The two users compared the key.
    pub fn verify(&self, server: ServerId, name: &str, key: [u8; 32]) -> Result<(), OpenError> {
        let (server, key) = (hex(&server.0), hex(&key));
        self.file.change(|content| {
            let known = content.known.iter_mut().find(|known| known.is(&server, name) && known.key == key);
            if let Some(known) = known {
                VERIFIED.clone_into(&mut known.by);
            }
        })
    }

    /// All known keys.
    pub fn list(&self) -> Vec<Trusted> {
        self.file.lock().known.iter().filter_map(trusted).collect()
    }

    /// Believes a key that was shown, beside those that are known.
    pub fn accept(&self, fingerprint: Fingerprint, now_ms: i64) -> Result<Option<Trusted>, OpenError> {
        let is = |known: &Known| known.fingerprint() == Some(fingerprint);
        let latest = self.latest().iter().rfind(|shown| is(shown)).cloned();
        let accepted = self.file.change(|content| {
            let Some(shown) = content.shown.extract_if(.., |shown| is(shown)).last().or(latest) else {
                return content.known.iter().find(|known| is(known)).and_then(trusted);
            };
            let accepted = Known { since_ms: now_ms, by: "pin".into(), ..shown };
            content.known.push(accepted.clone());
            trusted(&accepted)
        })?;
        self.latest().retain(|shown| !is(shown));
        Ok(accepted)
    }

    /// Forgets all keys of a user, on every server. Answers whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, OpenError> {
        self.file.change(|content| content.known.extract_if(.., |known| known.name == name).count() > 0)
    }
}

/// Takes the place of the account's older ones, at the end; the oldest of all makes room.
fn put(shown: &mut Vec<Known>, new: Known) {
    shown.retain(|old| !old.is(&new.server_id, &new.name));
    shown.push(new);
    let surplus = shown.len().saturating_sub(SHOWN_MAX);
    shown.drain(..surplus);
}

fn entry(server: ServerId, name: &str, key: [u8; 32], since_ms: i64, by: &str) -> Known {
    Known { server_id: hex(&server.0), name: name.to_owned(), key: hex(&key), since_ms, by: by.to_owned() }
}

fn trusted(known: &Known) -> Option<Trusted> {
    Some(Trusted {
        kind: "user".into(),
        name: known.name.clone(),
        fingerprint: known.fingerprint()?,
        since_ms: known.since_ms,
        by: known.by.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId([1; 32]);

    #[test]
    fn s29_another_key_is_a_hard_stop_until_it_is_accepted() {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("state");
        let pins = PeerPins::load(&state).expect("empty");
        assert!(matches!(pins.judge(SERVER, "bob", [2; 32]), Judged::Unknown));
        pins.remember(SERVER, "bob", [2; 32], 5).expect("written");
        let pins = PeerPins::load(&state).expect("read again");
        assert!(matches!(pins.judge(SERVER, "bob", [2; 32]), Judged::Known(KeyState::Known)));
        assert!(matches!(pins.judge(ServerId([9; 32]), "bob", [2; 32]), Judged::Unknown), "another server's bob");
        let Judged::Changed(question) = pins.judge(SERVER, "bob", [3; 32]) else { panic!("believed") };
        assert_eq!(question.known, Some(ServerId([2; 32]).fingerprint()));
        assert!(pins.accept(question.fingerprint, 6).expect("read").is_none(), "never shown");
        pins.show(SERVER, "bob", [3; 32], 6).expect("written");
        std::fs::remove_file(state.join(FILE)).expect("written before");
        pins.show(SERVER, "bob", [3; 32], 7).expect("nothing to write");
        assert!(!state.join(FILE).exists(), "it was written down already");
        assert!(matches!(pins.judge(SERVER, "bob", [3; 32]), Judged::Changed(_)), "shown is not believed");
        assert_eq!(pins.accept(question.fingerprint, 7).expect("written").map(|t| t.name), Some("bob".into()));
        for key in [2, 3] {
            assert!(matches!(pins.judge(SERVER, "bob", [key; 32]), Judged::Known(KeyState::Known)), "both devices");
        }
        pins.verify(SERVER, "bob", [3; 32]).expect("written");
        assert!(matches!(pins.judge(SERVER, "bob", [3; 32]), Judged::Known(KeyState::Verified)));
        assert!(pins.remove("bob").expect("written") && !pins.remove("bob").expect("read"));
        assert!(matches!(pins.judge(SERVER, "bob", [4; 32]), Judged::Unknown));
    }

    #[test]
    fn s29_ever_new_keys_of_one_take_nobody_elses_place_and_cost_no_flush_each() {
        let home = tempfile::tempdir().expect("a directory");
        let state = home.path().join("state");
        let pins = PeerPins::load(&state).expect("empty");
        let fingerprint = |key: u8| ServerId([key; 32]).fingerprint();
        for name in ["bob", "carol"] {
            pins.remember(SERVER, name, [1; 32], 5).expect("written");
        }
        pins.show(SERVER, "carol", [2; 32], 1_000).expect("written");
        pins.show(SERVER, "bob", [3; 32], 1_000).expect("written");
        std::fs::remove_file(state.join(FILE)).expect("written before");
        for key in 4..=200 {
            pins.show(SERVER, "bob", [key; 32], 1_000 + i64::from(key)).expect("held");
        }
        assert!(!state.join(FILE).exists(), "not each of them is written down");
        let later = 1_000 + i64::try_from(PEER_NOTICES_EVERY.as_millis()).expect("a second");
        pins.show(SERVER, "bob", [201; 32], later).expect("written");
        let shown = PeerPins::load(&state).expect("read").file.lock().shown.clone();
        assert_eq!(shown.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["carol", "bob"]);
        pins.show(SERVER, "bob", [202; 32], later + 1).expect("held");
        assert!(pins.accept(fingerprint(200), later).expect("read").is_none(), "the newest alone is shown");
        assert_eq!(pins.accept(fingerprint(202), later).expect("written").map(|t| t.name), Some("bob".into()));
        assert_eq!(pins.accept(fingerprint(2), later).expect("written").map(|t| t.name), Some("carol".into()));
    }
}

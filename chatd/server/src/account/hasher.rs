//! Password hashing: Argon2id with a pepper that is not in the database (S45), off the async threads, two at once, a
//! bounded queue before them in which sources take turns (S11). Owned by [`super::Accounts`].

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use chat_proto::fault::{Code, Fault};
use chat_proto::limits::{HASH_QUEUE, HASHES_AT_ONCE};
use zeroize::Zeroizing;

use super::turns::{Full, Turns};
use crate::source::Source;

/// What a client is asked to wait when the queue is full: about the time that a full queue takes.
const BUSY_FOR: Duration = Duration::from_secs(2);

/// A secret that is mixed into every hash and kept outside the database.
pub type Pepper = Zeroizing<[u8; 32]>;

/// What a check of a password says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The password is the one that was hashed.
    pub right: bool,
    /// The hash was made with weaker parameters than today's.
    pub stale: bool,
}

/// The way to the hashing threads.
pub struct Hasher {
    pepper: Arc<Pepper>,
    params: Params,
    turns: Arc<Turns>,
    /// A hash that no password has, of today's cost: what is checked when a name does not exist (S9).
    nobody: Arc<str>,
}

/// Argon2id did not do as asked; its own words go to the log.
#[derive(Debug, thiserror::Error)]
#[error("cannot hash passwords: {0}")]
pub struct HashError(String);

impl Hasher {
    /// Hashes once, for names that do not exist; takes about 30 ms.
    pub fn new(pepper: Pepper) -> Result<Hasher, HashError> {
        Hasher::with(pepper, Params::default())
    }

    /// One that costs next to nothing, for tests of everything but the cost.
    #[cfg(test)]
    pub fn cheap(pepper: Pepper) -> Result<Hasher, HashError> {
        Hasher::with(pepper, Params::new(8, 1, 1, None).map_err(|error| HashError(error.to_string()))?)
    }

    /// This one, with a leak: unknown names cost a hash of other parameters, or none.
    #[cfg(test)]
    pub fn leaking(mut self, dummy: Option<Params>) -> Hasher {
        let phc = dummy.and_then(|params| hash(&self.pepper, &params, b"nobody's").ok());
        self.nobody = phc.unwrap_or_else(|| "none".to_owned()).into();
        self
    }

    /// Of this cost.
    pub(super) fn with(pepper: Pepper, params: Params) -> Result<Hasher, HashError> {
        let mut unknown = Zeroizing::new([0; 32]);
        getrandom::fill(unknown.as_mut()).map_err(|error| HashError(error.to_string()))?;
        let nobody = hash(&pepper, &params, unknown.as_ref())?.into();
        Ok(Hasher { pepper: Arc::new(pepper), params, turns: Turns::new(HASHES_AT_ONCE, HASH_QUEUE), nobody })
    }

    /// Work that runs or waits.
    pub fn waiting(&self) -> usize {
        self.turns.busy()
    }

    /// Hashes a new password; the result is in PHC form.
    pub async fn hash(&self, source: Source, password: Zeroizing<String>) -> Result<String, Fault> {
        let (pepper, params) = (Arc::clone(&self.pepper), self.params.clone());
        let made = self.run(source, move || hash(&pepper, &params, password.as_bytes())).await?;
        made.map_err(|error| {
            tracing::error!(%error, "no password can be hashed");
            Fault::from(Code::INTERNAL)
        })
    }

    /// Checks a password against a stored hash, or against one that never fits, at the same cost.
    pub async fn check(
        &self,
        source: Source,
        password: Zeroizing<String>,
        phc: Option<String>,
    ) -> Result<Checked, Fault> {
        let (pepper, params) = (Arc::clone(&self.pepper), self.params.clone());
        let known = phc.is_some();
        let phc = phc.map_or_else(|| Arc::clone(&self.nobody), Arc::from);
        let checked = self.run(source, move || check(&pepper, &params, password.as_bytes(), &phc)).await?;
        Ok(Checked { right: checked.right && known, ..checked })
    }

    async fn run<T: Send + 'static>(
        &self,
        source: Source,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.turns.turn(source, 0).await.map_err(|Full| Fault::retry(Code::BUSY, BUSY_FOR))?;
        // The turn goes along: a hash whose client has left still takes its memory until it is done.
        let done = tokio::task::spawn_blocking(move || {
            let _held = turn;
            work()
        });
        done.await.map_err(|_| Code::INTERNAL.into())
    }
}

fn argon2<'p>(pepper: &'p Pepper, params: &Params) -> Result<Argon2<'p>, HashError> {
    Argon2::new_with_secret(pepper.as_ref(), Algorithm::Argon2id, Version::V0x13, params.clone())
        .map_err(|error| HashError(error.to_string()))
}

fn hash(pepper: &Pepper, params: &Params, password: &[u8]) -> Result<String, HashError> {
    let made: PasswordHash =
        argon2(pepper, params)?.hash_password(password).map_err(|error| HashError(error.to_string()))?;
    Ok(made.to_string())
}

fn check(pepper: &Pepper, today: &Params, password: &[u8], phc: &str) -> Checked {
    let (Ok(argon2), Ok(stored)) = (argon2(pepper, today), PasswordHash::new(phc)) else {
        tracing::error!("a stored password hash cannot be read");
        return Checked { right: false, stale: false };
    };
    let right = argon2.verify_password(password, &stored).is_ok();
    Checked { right, stale: right && is_stale(&stored, today) }
}

fn is_stale(stored: &PasswordHash, today: &Params) -> bool {
    Params::try_from(stored).is_ok_and(|then| then.m_cost() < today.m_cost() || then.t_cost() < today.t_cost())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn source(n: u32) -> Source {
        Source::of(std::net::Ipv4Addr::from(n).into())
    }

    #[tokio::test]
    async fn right_wrong_unknown_and_stale() {
        let hasher = Hasher::new(Zeroizing::new([7; 32])).unwrap();
        let phc = hasher.hash(source(1), secret("wise@!man yes")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let right = hasher.check(source(1), secret("wise@!man yes"), Some(phc.clone())).await.unwrap();
        assert_eq!(right, Checked { right: true, stale: false });
        assert!(!hasher.check(source(1), secret("wise"), Some(phc.clone())).await.unwrap().right);
        assert!(!hasher.check(source(1), secret("wise@!man yes"), None).await.unwrap().right);
        let other = Hasher::new(Zeroizing::new([8; 32])).unwrap();
        assert!(!other.check(source(1), secret("wise@!man yes"), Some(phc)).await.unwrap().right, "another pepper");
        let weak = Argon2::new_with_secret(
            &[7; 32],
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8192, 1, 1, None).unwrap(),
        );
        let weak: PasswordHash = weak.unwrap().hash_password(b"x").unwrap();
        let checked = hasher.check(source(1), secret("x"), Some(weak.to_string())).await.unwrap();
        assert_eq!(checked, Checked { right: true, stale: true });
    }

    #[tokio::test]
    async fn s11_a_login_flood_is_busy_and_a_quiet_source_is_not() {
        let hasher = Arc::new(Hasher::cheap(Zeroizing::new([7; 32])).unwrap());
        let held = (hasher.turns.turn(source(9), 0).await.unwrap(), hasher.turns.turn(source(9), 0).await.unwrap());
        let mut flood = tokio::task::JoinSet::new();
        for _ in 0..HASH_QUEUE + 10 {
            let hasher = Arc::clone(&hasher);
            flood.spawn(async move { hasher.check(source(1), secret("x"), None).await });
        }
        tokio::task::yield_now().await;
        let quiet = tokio::spawn({
            let hasher = Arc::clone(&hasher);
            async move { hasher.hash(source(2), secret("x")).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert!(quiet.await.unwrap().is_ok(), "it has a place though the queue was full");
        let mut busy = 0;
        while let Some(done) = flood.join_next().await {
            if let Err(fault) = done.unwrap() {
                assert_eq!(fault.code, Code::BUSY);
                assert!(fault.retry_after_ms.is_some());
                busy += 1;
            }
        }
        assert_eq!(busy, 11, "those beyond the queue, and the one that gave way");
        assert!(HASHES_AT_ONCE as u32 * Params::DEFAULT_M_COST <= 40 * 1024, "KiB for hashing at most");
    }
}

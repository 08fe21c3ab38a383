//! Password hashing: Argon2id with a pepper that is not in the database (S45), off the async threads, two at once, a
//! bounded queue before them (S11). Owned by [`super::Accounts`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use chat_proto::fault::{Code, Fault};
use chat_proto::limits::{HASH_QUEUE, HASHES_AT_ONCE};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

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
    permits: Arc<Semaphore>,
    /// Logins that hash or wait for it.
    waiting: Arc<AtomicUsize>,
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

    fn with(pepper: Pepper, params: Params) -> Result<Hasher, HashError> {
        let mut unknown = Zeroizing::new([0; 32]);
        getrandom::fill(unknown.as_mut()).map_err(|error| HashError(error.to_string()))?;
        let nobody = hash(&pepper, &params, unknown.as_ref())?.into();
        let permits = Arc::new(Semaphore::new(HASHES_AT_ONCE));
        Ok(Hasher { pepper: Arc::new(pepper), params, permits, waiting: Arc::default(), nobody })
    }

    /// Hashes a new password; the result is in PHC form.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, Fault> {
        let (pepper, params) = (Arc::clone(&self.pepper), self.params.clone());
        let made = self.run(move || hash(&pepper, &params, password.as_bytes())).await?;
        made.map_err(|error| {
            tracing::error!(%error, "no password can be hashed");
            Fault::from(Code::INTERNAL)
        })
    }

    /// Checks a password against a stored hash, or against one that never fits, at the same cost.
    pub async fn check(&self, password: Zeroizing<String>, phc: Option<String>) -> Result<Checked, Fault> {
        let (pepper, params) = (Arc::clone(&self.pepper), self.params.clone());
        let known = phc.is_some();
        let phc = phc.map_or_else(|| Arc::clone(&self.nobody), Arc::from);
        let checked = self.run(move || check(&pepper, &params, password.as_bytes(), &phc)).await?;
        Ok(Checked { right: checked.right && known, ..checked })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let place = Place::take(&self.waiting)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Fault::from(Code::INTERNAL))?;
        // The permit goes along: a hash whose client has left still takes its memory until it is done.
        let done = tokio::task::spawn_blocking(move || {
            let _held: (Place, OwnedSemaphorePermit) = (place, permit);
            work()
        });
        done.await.map_err(|_| Code::INTERNAL.into())
    }
}

/// A place in the queue, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Place, Fault> {
        let place = Place(Arc::clone(waiting));
        if waiting.fetch_add(1, Ordering::Relaxed) >= HASH_QUEUE + HASHES_AT_ONCE {
            return Err(Fault::retry(Code::BUSY, BUSY_FOR));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

    #[tokio::test]
    async fn right_wrong_unknown_and_stale() {
        let hasher = Hasher::new(Zeroizing::new([7; 32])).unwrap();
        let phc = hasher.hash(secret("wise@!man yes")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let right = hasher.check(secret("wise@!man yes"), Some(phc.clone())).await.unwrap();
        assert_eq!(right, Checked { right: true, stale: false });
        assert!(!hasher.check(secret("wise"), Some(phc.clone())).await.unwrap().right);
        assert!(!hasher.check(secret("wise@!man yes"), None).await.unwrap().right);
        let other = Hasher::new(Zeroizing::new([8; 32])).unwrap();
        assert!(!other.check(secret("wise@!man yes"), Some(phc)).await.unwrap().right, "another pepper");
        let weak = Argon2::new_with_secret(
            &[7; 32],
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(8192, 1, 1, None).unwrap(),
        );
        let weak: PasswordHash = weak.unwrap().hash_password(b"x").unwrap();
        let checked = hasher.check(secret("x"), Some(weak.to_string())).await.unwrap();
        assert_eq!(checked, Checked { right: true, stale: true });
    }

    #[tokio::test]
    async fn a_full_queue_is_busy() {
        let hasher = Hasher::new(Zeroizing::new([7; 32])).unwrap();
        let places: Vec<_> = (0..HASH_QUEUE + HASHES_AT_ONCE).map(|_| Place::take(&hasher.waiting).unwrap()).collect();
        let refused = hasher.hash(secret("x")).await.unwrap_err();
        assert_eq!(refused.code, Code::BUSY);
        assert!(refused.retry_after_ms.is_some());
        drop(places);
        assert!(hasher.hash(secret("x")).await.is_ok());
    }
}

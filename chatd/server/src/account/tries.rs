//! Tries at the password of one name, from everywhere: so many a minute, the rest waits (S12). Owned by [`super::Accounts`].
//!
//! Who guessed wrong least goes first, and sources that are alike in that take turns: a crowd that guesses waits behind itself, and the
//! owner of the name not behind the crowd.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chat_proto::limits::STRANGERS_MAX;

use super::lockout::Key;
use super::turns::{Full, Turn, Turns};
use crate::rate::{PerKey, Rate};
use crate::source::Source;
use crate::sync::lock;

/// What was tried lately, and who waits to try.
pub struct Tries {
    // Short locks, never held across an await.
    rate: Mutex<PerKey<Key>>,
    /// By name, those at which somebody tries or waits: as many as there are strangers at most.
    names: Mutex<HashMap<Key, Arc<Turns>>>,
}

impl Tries {
    /// Nothing was tried yet.
    pub fn new(rate: Rate) -> Tries {
        Tries { rate: Mutex::new(PerKey::new(rate)), names: Mutex::default() }
    }

    /// From now on another rate.
    pub fn set_rate(&self, rate: Rate) {
        lock(&self.rate).set_rate(rate);
    }

    /// Waits until a source is the one that may take the name's next try.
    pub async fn turn(&self, name: Key, source: Source, failures: u32) -> Result<Turn, Full> {
        let turns = self.of(name);
        turns.turn(source, failures).await
    }

    /// Takes a try, or says in how many milliseconds one is there. For who holds the turn.
    pub fn take(&self, name: Key, now_ms: u64) -> Result<(), u64> {
        lock(&self.rate).take(name, now_ms)
    }

    fn of(&self, name: Key) -> Arc<Turns> {
        let mut names = lock(&self.names);
        // Whoever waits or has his turn holds them too.
        names.retain(|_, turns| Arc::strong_count(turns) > 1);
        let turns = names.entry(name).or_insert_with(|| Turns::new(1, STRANGERS_MAX));
        Arc::clone(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn names_are_forgotten_when_nobody_waits() {
        let tries = Tries::new(Rate::per(20, 60));
        let source = Source::of(Ipv4Addr::LOCALHOST.into());
        let held = tries.turn([0; 16], source, 0).await.unwrap();
        for n in 1..10 {
            drop(tries.turn([n; 16], source, 0).await.unwrap());
        }
        assert_eq!(lock(&tries.names).len(), 2, "the one that is held and the last one");
        drop(held);
        drop(tries.turn([1; 16], source, 0).await.unwrap());
        assert_eq!(lock(&tries.names).len(), 1);
    }
}

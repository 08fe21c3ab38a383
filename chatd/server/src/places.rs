//! Places for those who come from outside: how many may be here at once, in all and from one source.
//!
//! Used by the gateway for connections that are not logged in, and by the relay for endpoints that learn their address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::source::Source;
use crate::sync::lock;

/// So many places.
#[derive(Debug)]
pub struct Places {
    max: usize,
    per_source: usize,
    // Short lock: taken once when somebody comes and once when he leaves.
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    source: Source,
}

impl Places {
    /// All of them are free: `max` in all, of which one source may have `per_source`.
    pub fn new(max: usize, per_source: usize) -> Places {
        Places { max, per_source, taken: Arc::default() }
    }

    /// A place for a newcomer, unless all are taken or his source has its share.
    pub fn admit(&self, source: Source) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let of_source = taken.by_source.get(&source).copied().unwrap_or_default();
        if taken.total >= self.max || of_source >= self.per_source {
            return None;
        }
        taken.total += 1;
        taken.by_source.insert(source, of_source + 1);
        Some(Place { taken: Arc::clone(&self.taken), source })
    }

    /// How many are taken.
    pub fn count(&self) -> usize {
        lock(&self.taken).total
    }

    /// How many sources are remembered.
    #[cfg(test)]
    pub fn sources(&self) -> usize {
        lock(&self.taken).by_source.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.total -= 1;
        if let Some(of_source) = taken.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

//! Connections that are not logged in: how many may be here at once, in all and from one source (S5). Decides without
//! randomness or sockets of its own; the accept loop asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chat_proto::limits::{STRANGERS_MAX, STRANGERS_PER_SOURCE};

use crate::source::Source;
use crate::sync::lock;

/// The strangers that are here.
#[derive(Debug, Default)]
pub struct Strangers {
    // Short lock: taken once when a stranger comes and once when he leaves.
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// A stranger's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    strangers: Arc<Strangers>,
    source: Source,
}

impl Strangers {
    /// A place for a newcomer, unless there are too many. From half of the places on, more and more are turned away by
    /// chance (`dice` is random), so that a flood does not keep everybody else out.
    pub fn admit(self: &Arc<Self>, source: Source, dice: u32) -> Option<Place> {
        let mut here = lock(&self.here);
        let beyond = here.total.saturating_sub(STRANGERS_MAX / 2);
        if (dice as usize % (STRANGERS_MAX / 2)) < beyond {
            return None;
        }
        let of_source = here.by_source.entry(source).or_default();
        if *of_source >= STRANGERS_PER_SOURCE {
            return None;
        }
        *of_source += 1;
        here.total += 1;
        Some(Place { strangers: Arc::clone(self), source })
    }

    /// How many are here.
    pub fn count(&self) -> usize {
        lock(&self.here).total
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = lock(&self.strangers.here);
        here.total -= 1;
        if let Some(of_source) = here.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                here.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn source(n: usize) -> Source {
        Source::of(Ipv4Addr::from(n as u32).into())
    }

    #[test]
    fn a_source_has_its_share() {
        let strangers = Arc::new(Strangers::default());
        let mut places: Vec<_> = (0..STRANGERS_PER_SOURCE).map(|_| strangers.admit(source(1), 0).unwrap()).collect();
        assert!(strangers.admit(source(1), 0).is_none());
        assert!(strangers.admit(source(2), 0).is_some());
        places.pop();
        assert!(strangers.admit(source(1), 0).is_some());
        drop(places);
        assert_eq!(strangers.count(), 0);
        assert!(lock(&strangers.here).by_source.is_empty());
    }

    #[test]
    fn more_and_more_are_turned_away() {
        let strangers = Arc::new(Strangers::default());
        let half = STRANGERS_MAX / 2;
        let mut places: Vec<_> = (0..half).map(|n| strangers.admit(source(n), 0).unwrap()).collect();
        assert!(strangers.admit(source(half), 0).is_some(), "at the half nobody is turned away yet");
        places.push(strangers.admit(source(half), 0).unwrap());
        assert!(strangers.admit(source(half + 1), 0).is_none(), "then by chance");
        assert!(strangers.admit(source(half + 1), 1).is_some());
        while let Some(place) = strangers.admit(source(places.len()), half as u32 - 1) {
            places.push(place);
        }
        assert_eq!(strangers.count(), STRANGERS_MAX, "and in the end everybody");
    }
}

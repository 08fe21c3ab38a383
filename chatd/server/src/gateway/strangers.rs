//! Connections that are not logged in: how many may be here at once, in all and from one source (S5). Decides without
//! randomness or sockets of its own; the accept loop asks.

use chat_proto::limits::{STRANGERS_MAX, STRANGERS_PER_SOURCE};

use crate::places::{Place, Places};
use crate::source::Source;

/// The strangers that are here.
#[derive(Debug)]
pub struct Strangers(Places);

impl Default for Strangers {
    fn default() -> Strangers {
        Strangers(Places::new(STRANGERS_MAX, STRANGERS_PER_SOURCE))
    }
}

impl Strangers {
    /// A place for a newcomer, unless there are too many. From half of the places on, more and more are turned away by
    /// chance (`dice` is random), so that a flood does not keep everybody else out.
    pub fn admit(&self, source: Source, dice: u32) -> Option<Place> {
        let beyond = self.count().saturating_sub(STRANGERS_MAX / 2);
        if (dice as usize % (STRANGERS_MAX / 2)) < beyond {
            return None;
        }
        self.0.admit(source)
    }

    /// How many are here.
    pub fn count(&self) -> usize {
        self.0.count()
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
        let strangers = Strangers::default();
        let mut places: Vec<_> = (0..STRANGERS_PER_SOURCE).map(|_| strangers.admit(source(1), 0).unwrap()).collect();
        assert!(strangers.admit(source(1), 0).is_none());
        assert!(strangers.admit(source(2), 0).is_some());
        places.pop();
        assert!(strangers.admit(source(1), 0).is_some());
        drop(places);
        assert_eq!(strangers.count(), 0);
        assert_eq!(strangers.0.sources(), 0);
    }

    #[test]
    fn more_and_more_are_turned_away() {
        let strangers = Strangers::default();
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

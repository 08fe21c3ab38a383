//! Who counts as online: per account, from none to some devices live or in grace, and back (mission rules 9 to 12).
//!
//! Called by the server's owner of people; times in milliseconds of a monotonic clock. Accounts are any key.

use std::collections::HashMap;
use std::hash::Hash;

/// Why somebody came or went; numbers as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Logged in, or signed up.
    Login = 1,
    /// Logged out by the user.
    Logout = 2,
    /// Logged out by inactivity.
    Idle = 3,
    /// The link was lost and the grace ran out.
    Link = 4,
    /// Thrown out by an operator.
    Kicked = 5,
}

/// An account came or went: to be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<A> {
    /// Who.
    pub account: A,
    /// Came, or went.
    pub online: bool,
    /// Why.
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, Default)]
struct Online {
    live: u32,
    grace_until: Option<u64>,
}

/// The accounts that are announced online.
#[derive(Clone, Debug)]
pub struct Presence<A> {
    online: HashMap<A, Online>,
}

impl<A> Default for Presence<A> {
    fn default() -> Self {
        Presence { online: HashMap::new() }
    }
}

impl<A: Copy + Eq + Hash> Presence<A> {
    /// Announced online, grace included.
    pub fn is_online(&self, account: A) -> bool {
        self.online.contains_key(&account)
    }

    /// Some device is live, grace not included.
    pub fn is_live(&self, account: A) -> bool {
        self.online.get(&account).is_some_and(|o| o.live > 0)
    }

    /// All who are announced online, in no order.
    pub fn all(&self) -> impl Iterator<Item = A> {
        self.online.keys().copied()
    }

    /// How many are announced online.
    pub fn count(&self) -> usize {
        self.online.len()
    }

    /// A device's session opened.
    pub fn came(&mut self, account: A) -> Option<Change<A>> {
        let fresh = !self.online.contains_key(&account);
        let state = self.online.entry(account).or_default();
        state.live += 1;
        state.grace_until = None;
        fresh.then_some(Change { account, online: true, reason: Reason::Login })
    }

    /// A device's session ended on purpose: by the user, by inactivity, by an operator.
    pub fn left(&mut self, account: A, reason: Reason) -> Option<Change<A>> {
        let state = self.online.get_mut(&account)?;
        state.live = state.live.saturating_sub(1);
        if state.live > 0 {
            return None;
        }
        self.online.remove(&account);
        Some(Change { account, online: false, reason })
    }

    /// A device's link was lost: announced only when nobody is back by `grace_until`.
    pub fn lost(&mut self, account: A, grace_until: u64) {
        if let Some(state) = self.online.get_mut(&account) {
            state.live = state.live.saturating_sub(1);
            if state.live == 0 {
                state.grace_until = Some(grace_until);
            }
        }
    }

    /// An account whose session was open when the server went down: online until `grace_until`, nobody is told.
    pub fn was_online(&mut self, account: A, grace_until: u64) {
        self.online.entry(account).or_insert(Online { live: 0, grace_until: Some(grace_until) });
    }

    /// Those whose grace ran out.
    pub fn tick(&mut self, now: u64) -> Vec<Change<A>> {
        let over: Vec<A> =
            self.online.iter().filter(|(_, o)| o.grace_until.is_some_and(|t| t <= now)).map(|(a, _)| *a).collect();
        over.into_iter()
            .map(|account| {
                self.online.remove(&account);
                Change { account, online: false, reason: Reason::Link }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_devices_are_one_person() {
        let mut p = Presence::default();
        assert!(p.came('a').is_some());
        assert!(p.came('a').is_none());
        assert!(p.left('a', Reason::Logout).is_none());
        assert_eq!(p.left('a', Reason::Logout), Some(Change { account: 'a', online: false, reason: Reason::Logout }));
        assert!(p.left('a', Reason::Logout).is_none());
    }

    #[test]
    fn a_lost_link_is_announced_after_the_grace() {
        let mut p = Presence::default();
        p.came('a');
        p.lost('a', 100);
        assert!(p.is_online('a') && !p.is_live('a'));
        assert!(p.tick(99).is_empty());
        assert!(p.came('a').is_none());
        assert!(p.tick(1000).is_empty());
        p.lost('a', 2000);
        assert_eq!(p.tick(2000), [Change { account: 'a', online: false, reason: Reason::Link }]);
        assert!(!p.is_online('a'));
    }
}

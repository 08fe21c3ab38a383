//! Who has guessed wrong how often, and who must wait (mission rule 3). Decides without a clock or a store: time is an
//! argument, what is to be kept is an answer. Owned by [`super::Accounts`].
//!
//! Keys are keyed hashes of (name, source) or of the name, so names that do not exist take as much room as others.

use std::collections::{BTreeSet, HashMap};

use chat_proto::limits::{LOCKOUT_ENTRIES, LOCKOUT_MAX};

use crate::planted::planted;
use crate::store::Failure;

/// A keyed hash: first of the name, then of name and source.
pub type Key = [u8; 16];

/// Bytes of a key that are the name's.
pub const NAME_BYTES: usize = 8;

/// When a lock comes and how long the first one lasts.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Wrong ones in a row before a lock; 0: never.
    pub after: u32,
    /// The first lock.
    pub duration_ms: u64,
    /// Each lock of a row is twice the one before.
    pub doubles: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    count: u32,
    locks: u32,
    until: Option<u64>,
    touched: u64,
}

/// The table. Bounded by [`LOCKOUT_ENTRIES`]; the longest untouched goes first, those that are locked last.
#[derive(Debug)]
pub struct Lockout {
    rules: Rules,
    entries: HashMap<Key, State>,
    /// By the time they were touched.
    order: BTreeSet<(u64, Key)>,
    /// By the end of their lock.
    locked: BTreeSet<(u64, Key)>,
}

impl Lockout {
    /// The table as it was kept; locks go on for what was left of them.
    pub fn new(rules: Rules, kept: Vec<Failure>, now: u64) -> Lockout {
        let mut table = Lockout { rules, entries: HashMap::new(), order: BTreeSet::new(), locked: BTreeSet::new() };
        for failure in kept.into_iter().take(LOCKOUT_ENTRIES) {
            let until = (failure.left_ms > 0).then(|| now + failure.left_ms);
            let served = until.is_none() && rules.after > 0 && failure.count >= rules.after;
            let count = if served { 0 } else { failure.count };
            table.put(failure.key, State { count, locks: failure.locks, until, touched: now });
        }
        table
    }

    /// From now on other rules; locks that run go on as they are.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// How many milliseconds of lock are left.
    pub fn left(&self, key: &Key, now: u64) -> Option<u64> {
        let until = self.entries.get(key)?.until?;
        (until > now).then(|| until - now)
    }

    /// How often a key was wrong since it was right, those before its locks too.
    pub fn failures(&self, key: &Key) -> u32 {
        let before = |state: &State| state.locks.saturating_mul(self.rules.after.max(1));
        self.entries.get(key).map_or(0, |state| before(state).saturating_add(state.count))
    }

    /// A wrong password while no lock held. Answers the lock that follows, and what is to be kept.
    pub fn wrong(&mut self, key: Key, now: u64) -> (Option<u64>, Vec<Failure>) {
        let mut kept = Vec::new();
        let mut state = self.entries.get(&key).copied().unwrap_or_default();
        if state.until.is_some_and(|until| until <= now) {
            state = State { count: 0, until: None, ..state };
        }
        state.count += 1;
        state.touched = now;
        let lock = (self.rules.after > 0 && state.count >= self.rules.after).then(|| {
            let doubles = self.rules.doubles && !planted("locks-do-not-double");
            let length = lock_ms(self.rules.duration_ms, if doubles { state.locks } else { 0 });
            state.locks += 1;
            state.until = Some(now + length);
            length
        });
        if !self.entries.contains_key(&key) && self.entries.len() >= LOCKOUT_ENTRIES {
            kept.extend(self.evict());
        }
        self.put(key, state);
        kept.push(Failure { key, count: state.count, locks: state.locks, left_ms: lock.unwrap_or(0) });
        (lock, kept)
    }

    /// A right password while no lock held.
    pub fn right(&mut self, key: &Key) -> Option<Failure> {
        self.remove(key).map(|_| forgotten(*key))
    }

    /// The locks of the name that a key is of, from whichever source: milliseconds that are left of each.
    pub fn locks_of(&self, key: &Key, now: u64) -> Vec<u64> {
        self.of_name(key).filter_map(|key| self.left(key, now)).collect()
    }

    /// Forgets all that is counted for the name that a key is of.
    pub fn forget_name(&mut self, key: &Key) -> Vec<Failure> {
        let keys: Vec<Key> = self.of_name(key).copied().collect();
        keys.iter().filter_map(|key| self.right(key)).collect()
    }

    /// All of them are looked at: only the operator asks.
    fn of_name(&self, key: &Key) -> impl Iterator<Item = &Key> {
        let name = key[..NAME_BYTES].to_owned();
        self.entries.keys().filter(move |key| key[..NAME_BYTES] == name)
    }

    /// Locks that ended: what is to be kept of them.
    pub fn tick(&mut self, now: u64) -> Vec<Failure> {
        let mut kept = Vec::new();
        while let Some(&(until, key)) = self.locked.first() {
            if until > now {
                break;
            }
            let Some(state) = self.remove(&key) else { break };
            self.put(key, State { count: 0, until: None, ..state });
            kept.push(Failure { key, count: self.rules.after.max(1), locks: state.locks, left_ms: 0 });
        }
        kept
    }

    /// The locks that run, with what is left of them: kept at a shutdown, so that a restart does not lengthen them.
    pub fn running(&self, now: u64) -> Vec<Failure> {
        let left = |&(until, key): &(u64, Key)| {
            let state = self.entries.get(&key)?;
            Some(Failure { key, count: state.count, locks: state.locks, left_ms: until.saturating_sub(now) })
        };
        self.locked.iter().filter_map(left).collect()
    }

    fn put(&mut self, key: Key, state: State) {
        self.remove(&key);
        self.order.insert((state.touched, key));
        if let Some(until) = state.until {
            self.locked.insert((until, key));
        }
        self.entries.insert(key, state);
    }

    fn remove(&mut self, key: &Key) -> Option<State> {
        let state = self.entries.remove(key)?;
        self.order.remove(&(state.touched, *key));
        if let Some(until) = state.until {
            self.locked.remove(&(until, *key));
        }
        Some(state)
    }

    /// Makes room. Looks at a few of the oldest only, so that a table full of locks costs no more than another.
    fn evict(&mut self) -> Option<Failure> {
        const LOOK_AT: usize = 16;
        let free =
            self.order.iter().take(LOOK_AT).find(|(_, key)| self.entries.get(key).is_some_and(|s| s.until.is_none()));
        let (_, key) = *free.or_else(|| self.order.first())?;
        self.remove(&key);
        Some(forgotten(key))
    }
}

fn forgotten(key: Key) -> Failure {
    Failure { key, count: 0, locks: 0, left_ms: 0 }
}

/// Each lock is twice the one before, up to the limit; a longer one that the operator wants stays as it is.
fn lock_ms(first: u64, before: u32) -> u64 {
    let longest = u64::try_from(LOCKOUT_MAX.as_millis()).unwrap_or(u64::MAX);
    first.saturating_mul(1 << before.min(20)).min(longest.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { after: 3, duration_ms: 60_000, doubles: true };
    const KEY: Key = [1; 16];

    fn guess(table: &mut Lockout, now: u64) -> Option<u64> {
        assert_eq!(table.left(&KEY, now), None);
        table.wrong(KEY, now).0
    }

    #[test]
    fn the_third_in_a_row_locks_and_locks_double() {
        let mut table = Lockout::new(RULES, vec![], 0);
        assert_eq!(guess(&mut table, 0), None);
        assert_eq!(guess(&mut table, 1), None);
        assert_eq!(guess(&mut table, 2), Some(60_000));
        assert_eq!(table.left(&KEY, 60_001), Some(1));
        assert_eq!(table.left(&KEY, 60_002), None);
        let mut now = 60_002;
        for length in [120_000, 240_000, 480_000, 900_000, 900_000] {
            assert_eq!(guess(&mut table, now), None);
            assert_eq!(guess(&mut table, now), None);
            assert_eq!(guess(&mut table, now), Some(length));
            now += length;
        }
    }

    #[test]
    fn without_doubling_every_lock_is_the_first() {
        let mut table = Lockout::new(Rules { doubles: false, ..RULES }, vec![], 0);
        let mut now = 0;
        for _ in 0..4 {
            assert_eq!(guess(&mut table, now), None);
            assert_eq!(guess(&mut table, now), None);
            assert_eq!(guess(&mut table, now), Some(60_000));
            now += 60_000;
        }
    }

    #[test]
    fn all_locks_of_a_name_are_found_and_no_others() {
        let mut table = Lockout::new(RULES, vec![], 0);
        let mut other_source = KEY;
        other_source[NAME_BYTES] = 2;
        let mut other_name = KEY;
        other_name[0] = 2;
        for key in [KEY, other_source, other_name] {
            (0..3).for_each(|_| drop(table.wrong(key, 0)));
        }
        assert_eq!(table.locks_of(&KEY, 1), [59_999, 59_999]);
        let forgotten = table.forget_name(&KEY);
        assert_eq!(forgotten.iter().map(|failure| failure.count).collect::<Vec<_>>(), [0, 0]);
        assert!(table.locks_of(&KEY, 1).is_empty());
        assert_eq!(table.left(&other_name, 1), Some(59_999));
    }

    #[test]
    fn success_resets() {
        let mut table = Lockout::new(RULES, vec![], 0);
        guess(&mut table, 0);
        guess(&mut table, 0);
        assert_eq!(table.right(&KEY).map(|f| f.count), Some(0));
        assert_eq!(table.right(&KEY), None);
        assert_eq!(guess(&mut table, 0), None);
        assert_eq!(guess(&mut table, 0), None);
        assert!(guess(&mut table, 0).is_some());
    }

    #[test]
    fn a_restart_keeps_counts_and_what_is_left_of_locks() {
        let mut table = Lockout::new(RULES, vec![], 0);
        guess(&mut table, 0);
        let (_, kept) = table.wrong(KEY, 0);
        let mut again = Lockout::new(RULES, kept, 7);
        let (lock, kept) = again.wrong(KEY, 7);
        assert_eq!(lock, Some(60_000));
        assert_eq!(kept.last().map(|f| f.left_ms), Some(60_000));
        let running = again.running(10_007);
        let mut third = Lockout::new(RULES, running, 0);
        assert_eq!(third.left(&KEY, 0), Some(50_000));
        let kept = third.tick(50_000);
        assert_eq!(third.left(&KEY, 50_000), None);
        let mut fourth = Lockout::new(RULES, kept, 0);
        assert_eq!(guess(&mut fourth, 0), None, "the count began anew");
        guess(&mut fourth, 0);
        assert_eq!(guess(&mut fourth, 0), Some(120_000), "and locks go on doubling");
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Lockout::new(RULES, vec![], 0);
        for n in 0..LOCKOUT_ENTRIES as u64 + 10 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&n.to_be_bytes());
            let (_, kept) = table.wrong(key, n);
            assert_eq!(kept.len(), if n < LOCKOUT_ENTRIES as u64 { 1 } else { 2 });
        }
        assert_eq!(table.entries.len(), LOCKOUT_ENTRIES);
        assert_eq!(table.order.len(), LOCKOUT_ENTRIES);
    }
}

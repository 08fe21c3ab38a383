//! What waits in an inbox, and whether there is room for more from a sender (S22). Decides without a database: whoever keeps
//! the rows counts them when asked to, which is seldom, and then tells of each that comes or goes.
//!
//! Three limits, so that nobody shuts an inbox for others: all that waits is at most the quota; what one sender has waiting
//! there is at most a tenth of it; and what comes from strangers, people to whom the account never wrote, is at most half of
//! it, so that a crowd of them leaves room for those it knows.

use std::collections::HashMap;

use chat_proto::limits::{SENDER_SHARE_MIN, SENDER_SHARE_PERCENT, STRANGERS_SHARE_PERCENT};

use super::AcctId;

/// How many entries may wait in one inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    all: u32,
    of_sender: u32,
    of_strangers: u32,
}

/// What waits for one account.
#[derive(Debug)]
pub struct Waiting {
    /// At least as many entries as wait.
    bound: u32,
    /// Exactly, while many wait: else nobody can be over his share, and nothing need be known.
    counted: Option<Counted>,
}

/// Exact numbers.
#[derive(Debug, Default)]
struct Counted {
    all: u32,
    strangers: u32,
    senders: HashMap<AcctId, Sender>,
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    waiting: u32,
    /// The account wrote to it.
    contact: bool,
}

impl Quota {
    /// The shares of a quota. Small ones are not cut up: one window of sends always fits.
    pub fn of(all: u32) -> Quota {
        let percent = |percent: u32| u32::try_from(u64::from(all) * u64::from(percent) / 100).unwrap_or(all);
        let least = SENDER_SHARE_MIN.min(all);
        Quota {
            all,
            of_sender: percent(SENDER_SHARE_PERCENT).max(least),
            of_strangers: percent(STRANGERS_SHARE_PERCENT).max(least),
        }
    }
}

impl Waiting {
    /// Not counted yet; at most `bound` entries.
    pub fn at_most(bound: u32) -> Waiting {
        Waiting { bound, counted: None }
    }

    /// Whether it must be counted before [`Waiting::has_room`] is asked.
    pub fn must_be_counted(&self, quota: Quota) -> bool {
        self.counted.is_none() && self.bound >= quota.of_sender
    }

    /// Takes a count: how many wait from whom (nobody: the server itself), and whether the account wrote to him. Kept while
    /// so many wait that another count would soon be due.
    pub fn count(&mut self, quota: Quota, rows: impl IntoIterator<Item = (Option<AcctId>, u32, bool)>) {
        let mut counted = Counted::default();
        for (from, waiting, contact) in rows {
            counted.all += waiting;
            let Some(from) = from else { continue };
            counted.strangers += if contact { 0 } else { waiting };
            counted.senders.entry(from).or_insert(Sender { waiting: 0, contact }).waiting += waiting;
        }
        self.bound = counted.all;
        self.counted = Some(counted);
        self.forget_few(quota);
    }

    /// Whether one more from this sender has room. `contact` is asked when he is not known from what waits.
    pub fn has_room<E>(
        &mut self,
        quota: Quota,
        from: AcctId,
        contact: impl FnOnce() -> Result<bool, E>,
    ) -> Result<bool, E> {
        let Some(counted) = &mut self.counted else { return Ok(self.bound < quota.all) };
        if counted.all >= quota.all {
            return Ok(false);
        }
        let sender = match counted.senders.get(&from) {
            Some(sender) => *sender,
            None => *counted.senders.entry(from).or_insert(Sender { waiting: 0, contact: contact()? }),
        };
        Ok(sender.waiting < quota.of_sender && (sender.contact || counted.strangers < quota.of_strangers))
    }

    /// An entry came, after [`Waiting::has_room`] when somebody sent it.
    pub fn came(&mut self, from: Option<AcctId>) {
        self.bound = self.bound.saturating_add(1);
        let Some(counted) = &mut self.counted else { return };
        counted.all += 1;
        let Some(from) = from else { return };
        let sender = counted.senders.entry(from).or_insert(Sender { waiting: 0, contact: false });
        sender.waiting += 1;
        counted.strangers += u32::from(!sender.contact);
    }

    /// Whether it wants to hear of entries that were seen.
    pub fn is_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// These were seen: they wait no longer.
    pub fn seen(&mut self, quota: Quota, froms: impl IntoIterator<Item = Option<AcctId>>) {
        let Some(counted) = &mut self.counted else { return };
        for from in froms {
            counted.all = counted.all.saturating_sub(1);
            let Some(sender) = from.and_then(|from| counted.senders.get_mut(&from)) else { continue };
            sender.waiting = sender.waiting.saturating_sub(1);
            counted.strangers = counted.strangers.saturating_sub(u32::from(!sender.contact));
        }
        counted.senders.retain(|_, sender| sender.waiting > 0);
        self.bound = counted.all;
        self.forget_few(quota);
    }

    /// The account wrote to somebody: he is no stranger from now on, nor is what he sent before.
    pub fn wrote_to(&mut self, to: AcctId) {
        let Some(counted) = &mut self.counted else { return };
        if let Some(sender) = counted.senders.get_mut(&to).filter(|sender| !sender.contact) {
            sender.contact = true;
            counted.strangers = counted.strangers.saturating_sub(sender.waiting);
        }
    }

    /// Entries went that nobody told of: it is counted anew when that matters.
    pub fn forget(&mut self) {
        self.counted = None;
    }

    /// Half a share lies between forgetting and counting, so a count costs little for each entry that made it due.
    fn forget_few(&mut self, quota: Quota) {
        if self.counted.as_ref().is_some_and(|counted| counted.all < quota.of_sender / 2) {
            self.counted = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { all: 1000, of_sender: 100, of_strangers: 500 };

    fn room(waiting: &mut Waiting, from: u32, contact: bool) -> bool {
        let Ok(room) = waiting.has_room(QUOTA, AcctId(from), || Ok::<_, std::convert::Infallible>(contact));
        room
    }

    /// Sends until there is no room; how many had.
    fn fill(waiting: &mut Waiting, from: u32, contact: bool) -> u32 {
        let mut sent = 0;
        while sent < 2000 && room(waiting, from, contact) {
            waiting.came(Some(AcctId(from)));
            sent += 1;
        }
        sent
    }

    #[test]
    fn shares_of_a_quota() {
        assert_eq!(Quota::of(10_000), Quota { all: 10_000, of_sender: 1000, of_strangers: 5000 });
        assert_eq!(Quota::of(100), Quota { all: 100, of_sender: 64, of_strangers: 64 });
        assert_eq!(Quota::of(3), Quota { all: 3, of_sender: 3, of_strangers: 3 });
        assert_eq!(Quota::of(u32::MAX).of_sender, 429_496_729);
    }

    #[test]
    fn one_sender_a_crowd_and_those_whom_one_knows() {
        let mut waiting = Waiting::at_most(0);
        waiting.count(QUOTA, [(Some(AcctId(1)), 60, false)]);
        assert_eq!(fill(&mut waiting, 1, false), 40, "a tenth");
        let crowd: u32 = (2..20).map(|stranger| fill(&mut waiting, stranger, false)).sum();
        assert_eq!(crowd, 400, "and half for all strangers");
        assert_eq!(fill(&mut waiting, 30, true), 100, "whom one wrote to has room still");
        waiting.wrote_to(AcctId(1));
        assert!(room(&mut waiting, 31, false), "what he has waiting is no stranger's any more");
        assert!(!room(&mut waiting, 1, true), "but his share is his share");
        let rest: u32 = (40..60).map(|known| fill(&mut waiting, known, true)).sum();
        assert_eq!(100 + 400 + 100 + rest, 1000, "and in all the quota");
        assert!(!room(&mut waiting, 99, true));
        waiting.came(None);
        waiting.seen(QUOTA, [Some(AcctId(1)), Some(AcctId(30)), None]);
        assert!(room(&mut waiting, 1, true) && room(&mut waiting, 99, true));
    }

    #[test]
    fn nothing_is_counted_while_little_waits() {
        let mut waiting = Waiting::at_most(0);
        for _ in 0..99 {
            assert!(!waiting.must_be_counted(QUOTA) && room(&mut waiting, 1, false));
            waiting.came(Some(AcctId(1)));
        }
        waiting.came(Some(AcctId(1)));
        assert!(waiting.must_be_counted(QUOTA));
        waiting.count(QUOTA, [(Some(AcctId(1)), 49, false)]);
        assert!(!waiting.is_counted() && !waiting.must_be_counted(QUOTA), "the bound was too high");
        for _ in 0..51 {
            waiting.came(Some(AcctId(1)));
        }
        assert!(waiting.must_be_counted(QUOTA));
        waiting.count(QUOTA, [(Some(AcctId(1)), 100, false)]);
        assert!(waiting.is_counted() && !room(&mut waiting, 1, false));
        waiting.seen(QUOTA, std::iter::repeat_n(Some(AcctId(1)), 51));
        assert!(!waiting.is_counted(), "few wait");
        waiting.forget();
        assert!(room(&mut waiting, 1, false));
    }
}

//! Who came and went, told to everybody else: changes of one tick together, encoded once for all who may see them all
//! (mission rules 9 and 12). The directory hands changes in, one task of the assembly sends them out.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use chat_proto::limits;
use chat_proto::wire;
use prost::Message;
use tokio::sync::Notify;

use crate::gateway::Directory;
use crate::settings::Live;
use crate::store::{AcctId, PresenceChange};
use crate::sync::lock;

/// The changes of the present tick.
#[derive(Default)]
pub struct People {
    // Filled on the store's writer thread, emptied by the task: a lock held for a push or a swap.
    pending: Mutex<Pending>,
    bell: Notify,
}

#[derive(Default)]
struct Pending {
    changes: Vec<PresenceChange>,
    /// Those beyond what is kept by name.
    more: u32,
}

impl People {
    /// Somebody came or went.
    pub fn changed(&self, changes: Vec<PresenceChange>) {
        let mut pending = lock(&self.pending);
        for change in changes {
            if pending.changes.len() < limits::PRESENCE_CHANGES {
                pending.changes.push(change);
            } else {
                pending.more = pending.more.saturating_add(1);
            }
        }
        drop(pending);
        self.bell.notify_one();
    }

    /// An account blocks another, or does no more: what waits for the tick heeds what holds when it goes out (contract rule 10).
    pub fn blocked(&self, by: AcctId, who: AcctId, on: bool) {
        let mut pending = lock(&self.pending);
        for change in pending.changes.iter_mut().filter(|change| change.change.account == by) {
            change.hidden_from.retain(|hidden| *hidden != who);
            if on {
                change.hidden_from.push(who);
            }
        }
    }

    /// Sends out what came, a tick after the first change. Runs until dropped.
    pub async fn run(&self, directory: &Directory, live: &Live) {
        loop {
            self.bell.notified().await;
            tokio::time::sleep(tick(directory.count())).await;
            let pending = std::mem::take(&mut *lock(&self.pending));
            if let Some(notice) = Notice::of(&pending).filter(|_| live.get().announce) {
                directory.announce(&notice.all, notice.count, &notice.own);
            }
        }
    }
}

/// The more receivers, the longer a tick, so that the cost of a storm stays bounded.
fn tick(receivers: usize) -> Duration {
    let receivers = u32::try_from(receivers).unwrap_or(u32::MAX);
    limits::PRESENCE_TICK.max(limits::PRESENCE_TICK_PER_RECEIVER.saturating_mul(receivers))
}

/// What is sent out.
struct Notice {
    /// For all who may see all.
    all: Bytes,
    count: u32,
    /// For those who may not: theirs, or nothing.
    own: HashMap<AcctId, Option<(Bytes, u32)>>,
}

impl Notice {
    fn of(pending: &Pending) -> Option<Notice> {
        let visible: Vec<&PresenceChange> = pending.changes.iter().collect();
        let (all, count) = encode(&visible, pending.more)?;
        let mut hidden: HashMap<AcctId, Vec<usize>> = HashMap::new();
        for (index, change) in pending.changes.iter().enumerate() {
            for acct in std::iter::once(&change.change.account).chain(&change.hidden_from) {
                hidden.entry(*acct).or_default().push(index);
            }
        }
        let own =
            hidden.into_iter().map(|(acct, hidden)| (acct, without(&pending.changes, &hidden, pending.more))).collect();
        Some(Notice { all, count, own })
    }
}

/// The notice for somebody who may not see the changes at `hidden`.
fn without(changes: &[PresenceChange], hidden: &[usize], more: u32) -> Option<(Bytes, u32)> {
    let mut hidden = hidden.to_vec();
    hidden.dedup();
    if changes.len() - hidden.len() > limits::PRESENCE_NAMES {
        // Names are left out anyway: only the count is needed, and a storm must not cost its square.
        return Some(counted((changes.len() - hidden.len()) as u32 + more));
    }
    let visible: Vec<_> =
        changes.iter().enumerate().filter(|(index, _)| hidden.binary_search(index).is_err()).map(|(_, c)| c).collect();
    encode(&visible, more)
}

fn encode(changes: &[&PresenceChange], more: u32) -> Option<(Bytes, u32)> {
    let count = u32::try_from(changes.len()).unwrap_or(u32::MAX).saturating_add(more);
    if count == 0 {
        return None;
    }
    if count as usize > limits::PRESENCE_NAMES {
        return Some(counted(count));
    }
    let items = changes.iter().map(|c| wire::PresenceItem {
        account: c.name.to_string(),
        online: c.change.online,
        reason: c.change.reason as u32,
        at_ms: c.at_ms,
    });
    Some((wire::Presence { items: items.collect(), count }.encode_to_vec().into(), count))
}

fn counted(count: u32) -> (Bytes, u32) {
    (wire::Presence { items: Vec::new(), count }.encode_to_vec().into(), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_proto::machine::presence::{Change, Reason};

    fn came(number: u32, hidden_from: &[u32]) -> PresenceChange {
        PresenceChange {
            change: Change { account: AcctId(number), online: true, reason: Reason::Login },
            name: format!("user{number}").try_into().unwrap(),
            at_ms: 5,
            hidden_from: hidden_from.iter().copied().map(AcctId).collect(),
        }
    }

    fn names(body: &Bytes) -> (Vec<String>, u32) {
        let notice = wire::Presence::decode(body.clone()).unwrap();
        (notice.items.into_iter().map(|item| item.account).collect(), notice.count)
    }

    #[test]
    fn nobody_hears_of_himself_nor_of_who_blocks_him() {
        let pending = Pending { changes: vec![came(1, &[1, 3]), came(2, &[])], more: 0 };
        let notice = Notice::of(&pending).unwrap();
        assert_eq!(names(&notice.all), (vec!["user1".into(), "user2".into()], 2));
        let own = |n| notice.own.get(&AcctId(n)).map(|own| names(&own.as_ref().unwrap().0));
        assert_eq!(own(1), Some((vec!["user2".into()], 1)));
        assert_eq!(own(2), Some((vec!["user1".into()], 1)));
        assert_eq!(own(3), Some((vec!["user2".into()], 1)));
        assert_eq!(own(4), None);
        let alone = Notice::of(&Pending { changes: vec![came(1, &[])], more: 0 }).unwrap();
        assert_eq!(alone.own.get(&AcctId(1)), Some(&None));
    }

    #[test]
    fn a_block_within_the_tick_counts() {
        let people = People::default();
        people.changed(vec![came(1, &[1, 3]), came(2, &[2])]);
        people.blocked(AcctId(1), AcctId(2), true);
        people.blocked(AcctId(1), AcctId(3), false);
        people.blocked(AcctId(4), AcctId(2), true);
        let pending = std::mem::take(&mut *lock(&people.pending));
        let notice = Notice::of(&pending).unwrap();
        assert_eq!(notice.own.get(&AcctId(2)), Some(&None), "neither himself nor his blocker");
        assert_eq!(notice.own.get(&AcctId(3)), None, "unblocked: all of it");
        assert_eq!(names(&notice.all).1, 2);
    }

    #[test]
    fn many_become_a_count() {
        let changes = (1..=limits::PRESENCE_NAMES as u32 + 1).map(|n| came(n, &[])).collect();
        let notice = Notice::of(&Pending { changes, more: 0 }).unwrap();
        assert_eq!(names(&notice.all), (vec![], 33));
        let (body, _) = notice.own.get(&AcctId(1)).unwrap().as_ref().unwrap();
        assert_eq!(names(body).0.len(), 32, "without himself they are few enough to name");
        assert!(Notice::of(&Pending::default()).is_none());
    }

    #[test]
    fn ticks_grow_with_the_receivers() {
        assert_eq!(tick(10), limits::PRESENCE_TICK);
        assert_eq!(tick(10_000), Duration::from_secs(1));
    }
}

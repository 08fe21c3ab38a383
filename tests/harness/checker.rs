//! The one checker: from what senders were told and what every device's history shows, was the contract kept?
//!
//! Rules: accepted = present once on every device of the recipient, in the sender's order; all devices of an account agree on
//! the order; nothing unknown; what has no verdict is there at most once; what was refused is nowhere. Used by the kill tests,
//! the fault program and the load program; its own negative controls are below.

use std::collections::{BTreeMap, BTreeSet};

/// What the sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `accepted` or further.
    Accepted,
    /// `failed`: refused for good.
    Rejected,
    /// Nothing final.
    Pending,
}

/// One message as its sender meant it. Senders note these in the order in which they send.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Device that sent it: messages of one device to one account have an order.
    pub device: String,
    /// Its account.
    pub from: String,
    /// Receiving account.
    pub to: String,
    /// The text, different for every message of a run.
    pub text: String,
    /// What the sender was told in the end.
    pub verdict: Verdict,
}

/// One device's history, oldest first.
#[derive(Clone, Debug)]
pub struct History {
    /// The device's account.
    pub account: String,
    /// The device.
    pub device: String,
    /// Its messages.
    pub items: Vec<Item>,
}

/// One message in a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Message id.
    pub id: String,
    /// Sender shown.
    pub from: String,
    /// The text.
    pub text: String,
}

/// A promise of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Accepted, and not in this device's history.
    Lost,
    /// In this device's history more than once.
    Twice,
    /// An id that stands twice in this device's history.
    SameId,
    /// Refused, and in this device's history.
    Refused,
    /// Nobody sent it to this account, or not under this name.
    Unknown,
    /// Behind something that its sender sent later.
    Order,
    /// Two devices of an account show received messages in different order, or not the same ones.
    Disagree,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which promise.
    pub broken: Broken,
    /// On which device.
    pub device: String,
    /// The message, or for [`Broken::Disagree`] the other device and the first place where they differ.
    pub about: String,
}

impl Violation {
    fn new(broken: Broken, history: &History, about: impl Into<String>) -> Violation {
        Violation { broken, device: history.device.clone(), about: about.into() }
    }
}

/// Every broken promise in a finished run; empty when the contract held.
pub fn check(sent: &[Sent], histories: &[History]) -> Vec<Violation> {
    let mut found = BTreeSet::new();
    for history in histories {
        unknown(sent, history, &mut found);
        counts(sent, history, &mut found);
        order(sent, history, &mut found);
    }
    for (index, history) in histories.iter().enumerate() {
        for other in &histories[index + 1..] {
            if history.account == other.account {
                agree(history, other, &mut found);
            }
        }
    }
    found.into_iter().collect()
}

/// Everything shown was sent, to this account, by the account shown.
fn unknown(sent: &[Sent], history: &History, found: &mut BTreeSet<Violation>) {
    let known: BTreeSet<(&str, &str)> = sent
        .iter()
        .filter(|one| one.to == history.account || one.from == history.account)
        .map(|one| (one.from.as_str(), one.text.as_str()))
        .collect();
    let mut ids = BTreeSet::new();
    for item in &history.items {
        if !known.contains(&(item.from.as_str(), item.text.as_str())) {
            let about = format!("{:?} from {}", item.text, item.from);
            found.insert(Violation::new(Broken::Unknown, history, about));
        }
        if !ids.insert(&item.id) {
            found.insert(Violation::new(Broken::SameId, history, &item.id));
        }
    }
}

/// How often each message may stand in a history. The sending account's own copies are counted by the same rule.
fn counts(sent: &[Sent], history: &History, found: &mut BTreeSet<Violation>) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &history.items {
        *times.entry(&item.text).or_default() += 1;
    }
    for one in sent.iter().filter(|one| one.to == history.account || one.from == history.account) {
        let broken = match (one.verdict, times.get(one.text.as_str()).copied().unwrap_or(0)) {
            (Verdict::Accepted, 0) => Broken::Lost,
            (_, 2..) => Broken::Twice,
            // the sending account keeps what was refused, marked as failed
            (Verdict::Rejected, 1) if one.to == history.account => Broken::Refused,
            _ => continue,
        };
        found.insert(Violation::new(broken, history, &one.text));
    }
}

/// Per sending device and receiving account the history follows the order of sending.
fn order(sent: &[Sent], history: &History, found: &mut BTreeSet<Violation>) {
    let place: BTreeMap<&str, usize> = sent.iter().enumerate().map(|(index, one)| (one.text.as_str(), index)).collect();
    let mut newest: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for item in &history.items {
        let Some(&index) = place.get(item.text.as_str()) else {
            continue;
        };
        let one = &sent[index];
        let last = newest.entry((&one.device, &one.to)).or_insert(index);
        if index < *last {
            found.insert(Violation::new(Broken::Order, history, &one.text));
        }
        *last = index.max(*last);
    }
}

/// Two devices of one account show the same received messages in the same order.
fn agree(one: &History, other: &History, found: &mut BTreeSet<Violation>) {
    let received = |history: &History| -> Vec<String> {
        let theirs = history.items.iter().filter(|item| item.from != history.account);
        theirs.map(|item| item.id.clone()).collect()
    };
    let (left, right) = (received(one), received(other));
    if left != right {
        let at = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
        found.insert(Violation::new(Broken::Disagree, one, format!("{} at {at}", other.device)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(number: usize, verdict: Verdict) -> Sent {
        let [device, from, to] = ["a1", "alice", "bob"].map(str::to_owned);
        Sent { device, from, to, text: format!("t{number}"), verdict }
    }

    fn item(number: usize) -> Item {
        Item { id: format!("id{number}"), from: "alice".into(), text: format!("t{number}") }
    }

    fn history(device: &str, numbers: &[usize]) -> History {
        History { account: "bob".into(), device: device.into(), items: numbers.iter().map(|&n| item(n)).collect() }
    }

    fn kinds(found: &[Violation]) -> Vec<Broken> {
        found.iter().map(|one| one.broken).collect()
    }

    /// Three accepted, one refused, one pending.
    fn run() -> Vec<Sent> {
        use Verdict::{Accepted, Pending, Rejected};
        [Accepted, Accepted, Accepted, Rejected, Pending].into_iter().enumerate().map(|(n, v)| sent(n, v)).collect()
    }

    #[test]
    fn right_histories_pass() {
        assert_eq!(check(&run(), &[history("b1", &[0, 1, 2]), history("b2", &[0, 1, 2])]), []);
        assert_eq!(check(&run(), &[history("b1", &[0, 1, 2, 4])]), []);
    }

    #[test]
    fn a_lost_message_is_found() {
        assert_eq!(kinds(&check(&run(), &[history("b1", &[0, 2])])), [Broken::Lost]);
    }

    #[test]
    fn a_doubled_message_is_found() {
        let found = check(&run(), &[history("b1", &[0, 1, 1, 2])]);
        assert!(kinds(&found).contains(&Broken::Twice), "{found:?}");
        assert!(kinds(&found).contains(&Broken::SameId), "{found:?}");
    }

    #[test]
    fn a_pending_message_shown_twice_is_found() {
        let found = check(&run(), &[history("b1", &[0, 1, 2, 4, 4])]);
        assert!(kinds(&found).contains(&Broken::Twice), "{found:?}");
    }

    #[test]
    fn a_wrong_order_is_found() {
        assert_eq!(kinds(&check(&run(), &[history("b1", &[1, 0, 2])])), [Broken::Order]);
    }

    #[test]
    fn a_pending_message_that_overtook_is_found() {
        assert_eq!(kinds(&check(&run(), &[history("b1", &[0, 1, 4, 2])])), [Broken::Order]);
    }

    #[test]
    fn a_refused_message_is_found() {
        assert_eq!(kinds(&check(&run(), &[history("b1", &[0, 1, 2, 3])])), [Broken::Refused]);
    }

    #[test]
    fn an_invented_message_and_a_wrong_sender_are_found() {
        assert_eq!(kinds(&check(&run(), &[history("b1", &[0, 1, 2, 9])])), [Broken::Unknown]);
        let mut forged = history("b1", &[0, 1, 2]);
        forged.items[1].from = "carol".into();
        assert_eq!(kinds(&check(&run(), &[forged])), [Broken::Unknown]);
    }

    #[test]
    fn devices_that_disagree_are_found() {
        let mut all = run();
        for one in &mut all {
            // two senders: each one's order is kept on both devices, the whole order is not
            if one.text == "t1" {
                one.device = "a2".into();
            }
        }
        let found = check(&all, &[history("b1", &[0, 1, 2]), history("b2", &[1, 0, 2])]);
        assert_eq!(found[0].about, "b2 at 0");
        assert_eq!(kinds(&found), [Broken::Disagree]);
        let found = check(&run(), &[history("b1", &[0, 1, 2, 4]), history("b2", &[0, 1, 2])]);
        assert_eq!(found[0].about, "b2 at 3");
        assert_eq!(kinds(&found), [Broken::Disagree]);
    }

    #[test]
    fn the_senders_own_other_device_must_have_it_too() {
        let own = History { account: "alice".into(), device: "a2".into(), items: vec![item(0), item(2)] };
        assert_eq!(kinds(&check(&run(), &[own])), [Broken::Lost]);
    }
}

//! What every bus must do; each implementation's tests call it.
#![cfg(test)]

use chat_proto::bus::Hint;
use chat_proto::id::AccountName;

use super::{Bus, Heard, Subscription};

/// Checks a fresh bus.
pub(crate) async fn check(bus: impl Bus) {
    let hint = |name: &str| Hint::Inbox(AccountName::try_from(name.to_owned()).unwrap());
    bus.publish(hint("nobody-listens"));
    let (mut one, mut two) = (bus.subscribe(), bus.subscribe());
    bus.publish(hint("alice"));
    bus.publish(hint("bob"));
    for heard in [one.next().await, two.next().await] {
        assert_eq!(heard, Some(Heard::Hint(hint("alice"))), "subscribers hear what comes after they subscribed");
    }
    assert_eq!(one.next().await, Some(Heard::Hint(hint("bob"))));
    drop(one);
    bus.publish(hint("carol"));
    assert_eq!(two.next().await, Some(Heard::Hint(hint("bob"))), "others do not disturb each other");
    assert_eq!(two.next().await, Some(Heard::Hint(hint("carol"))));
    drop(bus);
    assert_eq!(two.next().await, None, "the end is heard");
}

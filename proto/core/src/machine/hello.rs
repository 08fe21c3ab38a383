//! How a session begins: from which place the inbox goes on, whether an old copy is running (contract rule 3).

use crate::id::{Incarnation, Position};

/// One server start: positions from `first` on, up to the next start's, belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number, rising.
    pub epoch: u64,
    /// Its random number.
    pub nonce: u64,
    /// The first place that it may give.
    pub first: u64,
}

/// The server's starts, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs(pub Vec<Epoch>);

impl Epochs {
    /// The full position of a place in the log.
    pub fn position(&self, n: u64) -> Position {
        let index = self.0.partition_point(|e| e.first <= n);
        match index.checked_sub(1).and_then(|i| self.0.get(i)) {
            Some(e) => Position { epoch: e.epoch, nonce: e.nonce, n },
            None => Position { n, ..Position::default() },
        }
    }

    /// Whether this history holds `position`; a cursor at the very start is known to everyone.
    pub fn knows(&self, position: Position) -> bool {
        self.position(position.n) == position
    }
}

/// Where a device's session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The place behind which deliveries go on.
    pub cursor: u64,
    /// An old copy of the device's data is running.
    pub copy: bool,
    /// The client's cursor is from a history that this server lost.
    pub restored: bool,
}

/// Decides where to go on. `claimed` is the HELLO cursor, `stored` the server's own cursor of the device (its last
/// acknowledgement), `newest` the newest stream that the server knows of the device, `named` those that HELLO names.
pub fn resume(
    epochs: &Epochs,
    claimed: Option<Position>,
    stored: u64,
    newest: Option<Incarnation>,
    named: &[Incarnation],
) -> Resume {
    let foreign_stream = newest.is_some_and(|newest| !named.contains(&newest));
    match claimed {
        None => Resume { cursor: stored, copy: foreign_stream, restored: false },
        Some(p) if !epochs.knows(p) => Resume { cursor: stored, copy: false, restored: true },
        Some(p) => Resume { cursor: p.n, copy: foreign_stream || p.n < stored, restored: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resumes_where_both_agree() {
        let epochs = Epochs(vec![Epoch { epoch: 1, nonce: 11, first: 1 }, Epoch { epoch: 2, nonce: 22, first: 50 }]);
        assert_eq!(epochs.position(49), Position { epoch: 1, nonce: 11, n: 49 });
        assert_eq!(epochs.position(50), Position { epoch: 2, nonce: 22, n: 50 });
        assert!(epochs.knows(Position::default()));
        let known = Position { epoch: 1, nonce: 11, n: 20 };
        assert_eq!(resume(&epochs, Some(known), 20, None, &[]), Resume { cursor: 20, copy: false, restored: false });
        assert!(resume(&epochs, Some(known), 30, None, &[]).copy);
        let lost = Position { epoch: 2, nonce: 99, n: 60 };
        assert_eq!(resume(&epochs, Some(lost), 30, None, &[]), Resume { cursor: 30, copy: false, restored: true });
        assert!(resume(&epochs, Some(known), 20, Some(Incarnation(5)), &[Incarnation(4)]).copy);
        assert!(!resume(&epochs, Some(known), 20, Some(Incarnation(5)), &[Incarnation(5)]).copy);
    }
}

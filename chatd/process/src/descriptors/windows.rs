//! Windows has no such limit: a process may hold handles as long as there is memory for them.

/// There is nothing to raise.
pub(super) fn raise() -> u64 {
    u64::MAX
}

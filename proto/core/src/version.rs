//! How two sides settle on a version: each names the range it speaks, the highest common number wins.

use serde::{Deserialize, Serialize};

/// A closed range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Lowest version spoken.
    pub min: u32,
    /// Highest version spoken.
    pub max: u32,
}

/// Versions of the conversation between chatd and chat-server spoken by this build.
pub const WIRE: Versions = Versions { min: 1, max: 1 };
/// Versions of the control conversation spoken by this build.
pub const CONTROL: Versions = Versions { min: 1, max: 1 };
/// Versions of the conversation between two chatd spoken by this build.
pub const PEER: Versions = Versions { min: 1, max: 1 };
/// The ALPN name of the conversation between chatd and chat-server (RFC 7301); its number changes only when frames do.
pub const ALPN: &[u8] = b"chatd/1";

impl Versions {
    /// The highest version that both ranges hold, or nothing.
    pub fn settle(self, other: Versions) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min && highest >= other.min).then_some(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_common_version_wins() {
        let v = |min, max| Versions { min, max };
        assert_eq!(v(1, 3).settle(v(2, 5)), Some(3));
        assert_eq!(v(1, 1).settle(v(2, 5)), None);
        assert_eq!(v(4, 5).settle(v(1, 3)), None);
        assert_eq!(v(3, 1).settle(v(1, 3)), None);
    }
}

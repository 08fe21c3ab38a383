//! Who asks: the user of the process at the other end of the admin socket, as the system vouches for it.

use std::fmt;

use nix::unistd::{Uid, User};

/// A user of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    uid: u32,
    name: Option<String>,
}

impl Caller {
    /// The user with this number. Asks the system for the name, which may take as long as its directory service does.
    pub fn of(uid: u32) -> Caller {
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        Caller { uid, name }
    }

    /// The user of this process.
    pub fn own() -> Caller {
        Caller::of(Uid::current().as_raw())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "uid {} ({name})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_nobody_knows_the_last_number() {
        assert_eq!(Caller::of(0).to_string(), "uid 0 (root)");
        assert_eq!(Caller::of(u32::MAX - 2).to_string(), "uid 4294967293");
    }
}

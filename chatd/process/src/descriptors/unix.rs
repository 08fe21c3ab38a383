//! The limit of open files, which a process may raise by itself as far as its maximum goes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises it as far as it goes; how many may be open then.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused only by a system that then leaves the lower limit, which is read again.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

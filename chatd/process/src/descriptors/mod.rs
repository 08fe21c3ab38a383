//! How many files the process may have open: all that can be had without asking anybody, and at least as many as it needs. Called by
//! `main` before anything is opened, so that too few are said in words and not by the first thing that fails.

#[cfg(unix)]
#[path = "unix.rs"]
mod system;
#[cfg(windows)]
#[path = "windows.rs"]
mod system;

/// The system gives fewer than are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a program may have only {given} files open here, and this one needs {needed}")]
pub struct TooFew {
    /// So many may be open.
    pub given: u64,
    /// So many must be.
    pub needed: u64,
}

/// Raises the limit as far as it goes; how many may be open then.
pub fn take(needed: u64) -> Result<u64, TooFew> {
    let given = system::raise();
    if given < needed { Err(TooFew { given, needed }) } else { Ok(given) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_are_said() {
        let given = take(1).expect("this process has one");
        assert!(given > 1);
        let refused = take(u64::MAX).map_err(|few| few.to_string());
        assert!(given == u64::MAX || refused.is_err_and(|text| text.starts_with("a program may have only ")));
    }
}

//! Defects planted on purpose, so that the programmes that look for such can show that they would find them: tests/faults on the
//! real programs, the model test on the rules. Only builds with the feature `planted-bugs` and this crate's own unit tests have
//! any, which no release is; the code asks at the places where a rule is kept.

/// Whether `CHAT_PLANT` names this defect.
#[cfg(any(test, feature = "planted-bugs"))]
pub fn planted(defect: &str) -> bool {
    static NAMED: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    NAMED.get_or_init(|| std::env::var_os("CHAT_PLANT")).as_deref().is_some_and(|named| named == defect)
}

/// Nothing is planted in this build.
#[cfg(not(any(test, feature = "planted-bugs")))]
pub const fn planted(_defect: &str) -> bool {
    false
}

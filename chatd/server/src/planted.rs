//! Defects planted on purpose, so that the fault programme can show that it would find them (tests/faults). Only builds with the
//! feature `planted-bugs` have any, which no release has; the storage code asks at the places where a rule of the contract is kept.

/// Whether `CHAT_PLANT` names this defect.
#[cfg(feature = "planted-bugs")]
pub fn planted(defect: &str) -> bool {
    std::env::var_os("CHAT_PLANT").is_some_and(|named| named == defect)
}

/// Nothing is planted in this build.
#[cfg(not(feature = "planted-bugs"))]
pub const fn planted(_defect: &str) -> bool {
    false
}

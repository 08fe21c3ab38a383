//! Fuzzes [`chat_fuzz_targets::names`]; run by tests/fuzz/run.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chat_fuzz_targets::names(data));

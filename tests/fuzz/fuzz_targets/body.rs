//! Fuzzes [`chat_fuzz_targets::body`]; run by tests/fuzz/run.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chat_fuzz_targets::body(data));

//! Fuzzes [`chat_fuzz_targets::control_line`]; run by tests/fuzz/run.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chat_fuzz_targets::control_line(data));

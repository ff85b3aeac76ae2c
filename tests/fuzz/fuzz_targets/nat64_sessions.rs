//! See `portreeve_tests::fuzz::translator::sessions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::translator::sessions(data));

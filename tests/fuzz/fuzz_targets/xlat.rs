//! See `portreeve_tests::fuzz::translator::xlat`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::translator::xlat(data));

//! See `portreeve_tests::fuzz::translator::translator_section`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::translator::translator_section(data));

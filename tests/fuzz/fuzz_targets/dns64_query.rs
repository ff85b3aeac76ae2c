//! See `portreeve_tests::fuzz::translator::dns64_query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::translator::dns64_query(data));

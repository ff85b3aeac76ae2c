//! See `portreeve_tests::fuzz::translator::dns64_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::translator::dns64_response(data));

//! See `portreeve_tests::fuzz::varlink_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::varlink_request(data));

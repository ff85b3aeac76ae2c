//! See `portreeve_tests::fuzz::router_solicitation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::router_solicitation(data));

//! See `portreeve_tests::fuzz::nd_options`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::nd_options(data));

//! See `portreeve_tests::fuzz::gateway::sixin4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::gateway::sixin4(data));

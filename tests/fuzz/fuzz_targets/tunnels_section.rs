//! See `portreeve_tests::fuzz::gateway::tunnels_section`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::gateway::tunnels_section(data));

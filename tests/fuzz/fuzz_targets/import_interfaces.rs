//! See `portreeve_tests::fuzz::gateway::import_interfaces`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::gateway::import_interfaces(data));

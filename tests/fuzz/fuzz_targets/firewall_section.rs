//! See `portreeve_tests::fuzz::firewall::firewall_section`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::firewall::firewall_section(data));

//! See `portreeve_tests::fuzz::firewall::import_iptables`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::firewall::import_iptables(data));

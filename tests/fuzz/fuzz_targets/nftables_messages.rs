//! See `portreeve_tests::fuzz::firewall::nftables_messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::firewall::nftables_messages(data));

//! See `portreeve_tests::fuzz::netlink_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portreeve_tests::fuzz::netlink_answer(data));

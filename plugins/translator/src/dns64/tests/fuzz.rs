//! Any bytes, and bytes that are nearly right.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::dns64::fuzz::{queries, responses};

/// Records with plausible names, types and lengths.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(vec![0xc0, 12]),
        Just(vec![1, b'a', 0]),
        Just(vec![1, b'b', 0xc0, 12]),
        vec(any::<u8>(), 0..4),
    ];
    let rtype = prop_oneof![
        Just(1_u16),
        Just(28),
        Just(5),
        Just(39),
        Just(6),
        Just(12),
        Just(46),
        Just(41),
        Just(2),
        Just(33),
        Just(35),
        any::<u16>()
    ];
    let data = prop_oneof![
        vec(any::<u8>(), 4),
        vec(any::<u8>(), 16),
        Just(vec![0xc0, 12]),
        Just(vec![1, b'b', 0xc0, 12]),
        vec(any::<u8>(), 0..40),
    ];
    let one = (name, rtype, any::<u32>(), data, 0..20_u16).prop_map(|(name, rtype, ttl, data, odd)| {
        let mut bytes = name;
        bytes.extend_from_slice(&rtype.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes.extend_from_slice(&ttl.to_be_bytes());
        let length = u16::try_from(data.len()).unwrap_or(0) + u16::from(odd == 0);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend(data);
        bytes
    });
    vec(one, 0..8).prop_map(|records| records.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_survived(bytes in vec(any::<u8>(), 0..80)) {
        prop_assert!(queries(&bytes));
    }

    #[test]
    fn a_damaged_query_is_survived(at in 0_usize..40, byte: u8, length in 0_usize..60) {
        let mut bytes = query(7, "www.example.com", AAAA, Flags { edns: Some(1232), ..Flags::default() });
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(length);
        prop_assert!(queries(&bytes));
    }

    #[test]
    fn any_response_is_survived(bytes in vec(any::<u8>(), 0..120)) {
        prop_assert!(responses(&bytes));
    }

    #[test]
    fn a_nearly_right_response_is_survived(low in 0_u8..4, counts in [0_u8..6, 0..4, 0..4], records in records()) {
        let mut bytes = vec![0, 1, low, counts[0], counts[1], counts[2]];
        bytes.extend(records);
        prop_assert!(responses(&bytes));
    }
}

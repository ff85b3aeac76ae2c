//! Batches byte for byte, both byte orders.

use proptest::prelude::*;

use super::*;
use crate::{
    BaseChain, DataType, DeleteChain, DeleteFlowtable, DeleteObject, DeleteRule, DeleteSet, DeleteTable, Expression,
    FlushSet, NewChain, NewFlowtable, NewObject, NewRule, NewSet, NewTable, Object, SetData, Verdict,
    constants::{NFT_OBJECT_COUNTER, NFT_SET_INTERVAL, NLM_F_ACK},
    inspect, messages,
};

const F: Family = Family::Inet;

/// The attributes of a message.
fn body(endian: Endian, message: &impl Encode) -> Vec<u8> {
    let mut batch = Batch::new(endian);
    batch.push(message, 0);
    batch.into_bytes().unwrap().split_off(20)
}

#[test]
fn a_transaction_is_the_same_in_both_orders_but_for_headers() {
    let write = |endian| {
        let mut batch = Batch::starting_at(endian, 7);
        assert_eq!(batch.begin(Some(0x0102)), 7);
        let table = NewTable { family: F, name: "t", flags: 0, comment: Some("hi") };
        assert_eq!(batch.push(&table, NLM_F_ACK), 8);
        assert_eq!(batch.end(0), 9);
        assert_eq!(batch.sequence(), 10);
        batch.into_bytes().unwrap()
    };
    #[rustfmt::skip]
    assert_eq!(write(Endian::Little), [
        28, 0, 0, 0, 0x10, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 8, 0, 1, 0, 0, 0, 1, 2,
        48, 0, 0, 0, 0, 10, 5, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
        6, 0, 1, 0, b't', 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 0, 9, 0, 6, 0, 0, 3, b'h', b'i', 0, 0, 0, 0,
        20, 0, 0, 0, 0x11, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10,
    ]);
    #[rustfmt::skip]
    assert_eq!(write(Endian::Big), [
        0, 0, 0, 28, 0, 0x10, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 10, 0, 8, 0, 1, 0, 0, 1, 2,
        0, 0, 0, 48, 10, 0, 4, 5, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0,
        0, 6, 0, 1, b't', 0, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 0, 9, 0, 6, 0, 3, b'h', b'i', 0, 0, 0, 0,
        0, 0, 0, 20, 0, 0x11, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10,
    ]);
}

#[test]
fn a_base_chain_has_hook_priority_policy_and_type() {
    let base = BaseChain { hook: 2, priority: -100, kind: "nat", accept: Some(false), devices: &[] };
    let chain = NewChain { family: F, table: "t", name: "c", base: Some(base), comment: None };
    #[rustfmt::skip]
    assert_eq!(body(Endian::Little, &chain), [
        6, 0, 1, 0, b't', 0, 0, 0, 6, 0, 3, 0, b'c', 0, 0, 0,
        20, 0, 4, 0x80, 8, 0, 1, 0, 0, 0, 0, 2, 8, 0, 2, 0, 0xff, 0xff, 0xff, 0x9c,
        8, 0, 5, 0, 0, 0, 0, 0, 8, 0, 7, 0, b'n', b'a', b't', 0,
    ]);
}

#[test]
fn a_rule_holds_its_expressions_and_comment() {
    let expressions = [Expression::Notrack, Expression::Verdict(Verdict::Drop)];
    let rule = NewRule {
        family: F,
        table: "t",
        chain: "c",
        expressions: &expressions,
        comment: Some("x"),
        handle: None,
        position: None,
    };
    #[rustfmt::skip]
    assert_eq!(body(Endian::Little, &rule), [
        6, 0, 1, 0, b't', 0, 0, 0, 6, 0, 2, 0, b'c', 0, 0, 0,
        68, 0, 4, 0x80,
        16, 0, 1, 0x80, 12, 0, 1, 0, b'n', b'o', b't', b'r', b'a', b'c', b'k', 0,
        48, 0, 1, 0x80, 14, 0, 1, 0, b'i', b'm', b'm', b'e', b'd', b'i', b'a', b't', b'e', 0, 0, 0,
        28, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0,
        16, 0, 2, 0x80, 12, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0,
        8, 0, 7, 0, 0, 2, b'x', 0,
    ]);
}

/// The set `ci { type ipv4_addr . inet_service; flags interval; }` as nft 1.0.6 writes it, but for its userdata.
#[test]
fn a_concatenation_of_ranges_tells_its_fields() {
    let key = [DataType::IPV4_ADDR, DataType::INET_SERVICE];
    let set = NewSet { flags: NFT_SET_INTERVAL, ..NewSet::new(F, "t", "ci", 6, &key) };
    #[rustfmt::skip]
    assert_eq!(body(Endian::Little, &set)[..84], [
        6, 0, 1, 0, b't', 0, 0, 0, 7, 0, 2, 0, b'c', b'i', 0, 0,
        8, 0, 3, 0, 0, 0, 0, 0x84, 8, 0, 4, 0, 0, 0, 1, 0xcd, 8, 0, 5, 0, 0, 0, 0, 8, 8, 0, 10, 0, 0, 0, 0, 6,
        32, 0, 9, 0x80, 28, 0, 2, 0x80,
        12, 0, 1, 0x80, 8, 0, 1, 0, 0, 0, 0, 4, 12, 0, 1, 0x80, 8, 0, 1, 0, 0, 0, 0, 2,
        16, 0, 13, 0,
    ]);
}

#[test]
fn a_map_of_verdicts_has_its_data_type_size_timeout_and_notes() {
    let set = NewSet {
        data: SetData::Verdict,
        size: Some(2),
        timeout_ms: Some(60_000),
        comment: Some("x"),
        ..NewSet::new(F, "t", "m", 8, &[DataType::CT_STATE])
    };
    #[rustfmt::skip]
    let tail = [
        12, 0, 9, 0x80, 8, 0, 1, 0, 0, 0, 0, 2,
        12, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0xea, 0x60,
        20, 0, 13, 0, 0, 4, 1, 0, 0, 0, 1, 4, 0, 0, 0, 0, 7, 2, b'x', 0,
    ];
    let little = body(Endian::Little, &set);
    assert_eq!(
        little[16..56],
        [
            8, 0, 3, 0, 0, 0, 0, 0x18, 8, 0, 4, 0, 0, 0, 0, 26, 8, 0, 5, 0, 0, 0, 0, 4, 8, 0, 6, 0, 0xff, 0xff, 0xff,
            0, 8, 0, 7, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(little[64..], tail);
    // nft's notes are in the host's order too.
    assert_eq!(body(Endian::Big, &set)[88..], [0, 20, 0, 13, 0, 4, 0, 0, 0, 1, 1, 4, 0, 0, 0, 0, 7, 2, b'x', 0]);
}

#[test]
fn objects_and_flowtables_are_as_nft_writes_them() {
    let object = Object::Counter { packets: 1, bytes: 2 };
    let counter = NewObject { family: F, table: "t", name: "c", object, comment: None };
    #[rustfmt::skip]
    assert_eq!(body(Endian::Little, &counter), [
        6, 0, 1, 0, b't', 0, 0, 0, 6, 0, 2, 0, b'c', 0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 1,
        28, 0, 4, 0x80, 12, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 12, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ]);
    let flowtable = NewFlowtable { family: F, table: "t", name: "f", priority: -1, devices: &["lo"], flags: 1 };
    #[rustfmt::skip]
    assert_eq!(body(Endian::Little, &flowtable)[16..], [
        32, 0, 3, 0x80, 8, 0, 1, 0, 0, 0, 0, 0, 8, 0, 2, 0, 0xff, 0xff, 0xff, 0xff,
        12, 0, 3, 0x80, 7, 0, 1, 0, b'l', b'o', 0, 0, 8, 0, 7, 0, 0, 0, 0, 1,
    ]);
}

#[test]
fn what_is_removed_is_named() {
    let mut batch = Batch::new(Endian::Little);
    batch.push(&DeleteTable { family: F, name: "t" }, 0);
    batch.push(&DeleteChain { family: F, table: "t", name: "n" }, 0);
    batch.push(&DeleteRule { family: F, table: "t", chain: Some("n"), handle: Some(3) }, 0);
    batch.push(&DeleteSet { family: F, table: "t", name: "n" }, 0);
    batch.push(&FlushSet { family: F, table: "t", name: "n" }, 0);
    batch.push(&DeleteObject { family: F, table: "t", name: "n", kind: NFT_OBJECT_COUNTER }, 0);
    batch.push(&DeleteFlowtable { family: F, table: "t", name: "n" }, 0);
    let found: Vec<_> = inspect(Endian::Little, batch.bytes()).map(Result::unwrap).collect();
    assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), [2, 5, 8, 11, 14, 20, 24]);
    assert!(found.iter().all(|one| one.table == Some("t") && one.flags == NLM_F_REQUEST));
    let attributes: Vec<Vec<u16>> = messages(Endian::Little, batch.bytes())
        .map(|message| message.unwrap().attributes().map(|attribute| attribute.kind).collect())
        .collect();
    assert_eq!(attributes, [vec![1], vec![1, 3], vec![1, 2, 3], vec![1, 2], vec![1, 2], vec![1, 2, 3], vec![1, 2]]);
}

#[test]
fn an_expression_that_is_too_long_is_told_by_the_number_of_its_message() {
    let mut batch = Batch::new(Endian::Little);
    batch.begin(None);
    let expressions = [Expression::Other { name: "x".into(), data: vec![0; 70_000].into() }];
    let rule = |expressions| NewRule {
        family: F,
        table: "t",
        chain: "c",
        expressions,
        comment: None,
        handle: None,
        position: None,
    };
    assert_eq!(batch.push(&rule(&expressions), 0), 2);
    batch.push(&rule(&[]), 0);
    assert_eq!(batch.oversized(), Some(Oversized { sequence: 2 }));
    assert_eq!(batch.into_bytes(), Err(Oversized { sequence: 2 }));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        big: bool,
        start: u32,
        tables in proptest::collection::vec(("[a-z]{1,20}", "[ -~]{0,60}"), 0..20),
    ) {
        let endian = if big { Endian::Big } else { Endian::Little };
        let mut batch = Batch::starting_at(endian, start);
        for (name, comment) in &tables {
            batch.push(&NewTable { family: F, name, flags: 0, comment: Some(comment) }, 0);
        }
        let bytes = batch.into_bytes().unwrap();
        let read: Vec<_> = messages(endian, &bytes)
            .map(|message| match crate::decode(&message.unwrap()) {
                Some(crate::Decoded::Table(table)) => (table.name, table.comment.unwrap_or_default()),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(read, tables);
        for (index, one) in inspect(endian, &bytes).enumerate() {
            prop_assert_eq!(one.unwrap().sequence, start.wrapping_add(u32::try_from(index).unwrap()));
        }
    }
}

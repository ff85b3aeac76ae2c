//! Elements of sets: bulk against one by one, and how they are divided.

use super::*;
use crate::{Decoded, Message, decode, messages};

const SET: SetRef<'static> = SetRef { family: Family::Inet, table: "t", name: "s", id: Some(3) };
/// Before the elements: headers, table, set, its number, header of the list.
const BEFORE: usize = 48;

fn read<'a>(batch: &'a Batch) -> Vec<Message<'a>> {
    messages(batch.endian(), batch.bytes()).collect::<Result<_, _>>().unwrap()
}

fn elements(batch: &Batch) -> Vec<crate::ElementInfo> {
    let tell = |message| match decode(message) {
        Some(Decoded::Elements(found)) => found.elements,
        other => panic!("{other:?}"),
    };
    read(batch).iter().flat_map(tell).collect()
}

#[test]
fn points_are_written_as_elements_are() {
    for endian in [Endian::Little, Endian::Big] {
        let (mut bulk, mut single) = (Batch::new(endian), Batch::new(endian));
        let keys = [0, 80, 1, 187, 0xff];
        assert_eq!(bulk.push_points(&SET, Change::Add, &keys, 2), [Part { sequence: 1, first: 0 }]);
        single.push_elements(&SET, Change::Add, keys.chunks_exact(2).map(Element::new));
        assert_eq!(bulk.bytes(), single.bytes());
    }
    let mut batch = Batch::new(Endian::Little);
    batch.push_points(&SET, Change::Add, &[0, 80], 2);
    #[rustfmt::skip]
    assert_eq!(batch.bytes(), [
        64, 0, 0, 0, 12, 10, 1, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
        6, 0, 1, 0, b't', 0, 0, 0, 6, 0, 2, 0, b's', 0, 0, 0, 8, 0, 4, 0, 0, 0, 0, 3,
        20, 0, 3, 0x80, 16, 0, 1, 0x80, 12, 0, 1, 0x80, 6, 0, 1, 0, 0, 80, 0, 0,
    ]);
}

#[test]
fn a_range_has_an_end_after_its_last_key_unless_there_is_none() {
    let mut batch = Batch::new(Endian::Little);
    let ranges = [10, 0, 0, 0, 10, 255, 255, 255, 11, 0, 0, 0, 255, 255, 255, 255];
    batch.push_ranges(&SET, Change::Add, &ranges, 4);
    let found = elements(&batch);
    let told: Vec<(&[u8], u32)> = found.iter().map(|one| (one.key.as_slice(), one.flags)).collect();
    assert_eq!(told, [(&[10, 0, 0, 0][..], 0), (&[11, 0, 0, 0], NFT_SET_ELEM_INTERVAL_END), (&[11, 0, 0, 0], 0)]);
    #[rustfmt::skip]
    assert_eq!(batch.bytes()[BEFORE..], [
        16, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, 0,
        24, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 11, 0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 1,
        28, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 11, 0, 0, 0, 10, 0, 6, 0, 1, 4, 1, 0, 0, 0, 0, 0,
    ]);
    let (first, end) = Element::range_of(&[1_u8, 2][..], &[1, 255]);
    assert_eq!((first.flags, end), (0, Some(Element { flags: 1, ..Element::new(&[2_u8, 0][..]) })));
    assert_eq!(Element::range_of(&[0_u8][..], &[255]).1, None);
}

#[test]
fn ranges_of_several_fields_are_one_element() {
    let mut batch = Batch::new(Endian::Big);
    let range = [10, 0, 0, 0, 0, 80, 0, 0, 10, 255, 255, 255, 0, 90, 0, 0];
    batch.push_field_ranges(&SET, Change::Add, &range, 8);
    let found = elements(&batch);
    assert_eq!((found.len(), &*found[0].key, found[0].key_end.as_deref()), (1, &range[..8], Some(&range[8..])));
    assert_eq!(read(&batch)[0].kind, 0x0a0c);
    batch.push_field_ranges(&SET, Change::Delete, &range, 8);
    assert_eq!((read(&batch)[1].kind, read(&batch)[1].flags), (0x0a0e, NLM_F_REQUEST));
}

#[test]
fn a_long_list_goes_into_several_messages_and_none_is_too_long() {
    let keys: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut batch = Batch::new(Endian::Little);
    let parts = batch.push_points(&SET, Change::Add, &keys, 4);
    assert_eq!(batch.oversized(), None);
    // 16 bytes each, after the list's header.
    assert_eq!(parts.len(), 3);
    assert_eq!((parts[1].first, parts[2].first), (4095, 8190));
    let read = read(&batch);
    let sequences: Vec<u32> = read.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, parts.iter().map(|part| part.sequence).collect::<Vec<_>>());
    let found: Vec<u8> = elements(&batch).into_iter().flat_map(|one| one.key).collect();
    assert_eq!(found, keys);
}

#[test]
fn a_ranges_two_elements_stay_in_one_message() {
    let ranges: Vec<u8> =
        (0..4000_u32).flat_map(|n| [(n * 4).to_be_bytes(), (n * 4 + 1).to_be_bytes()]).flatten().collect();
    let mut batch = Batch::new(Endian::Little);
    let parts = batch.push_ranges(&SET, Change::Add, &ranges, 4);
    assert!(parts.len() > 1 && batch.oversized().is_none());
    for message in read(&batch) {
        let Some(Decoded::Elements(found)) = decode(&message) else { panic!("{message:?}") };
        assert_eq!(found.elements.len() % 2, 0);
        assert_eq!(found.elements[0].flags, 0);
    }
    assert_eq!(elements(&batch).len(), 8000);
}

#[test]
fn an_element_has_all_that_was_said_of_it() {
    let mut batch = Batch::new(Endian::Little);
    let element = Element {
        key_end: Some(vec![2].into()),
        timeout_ms: Some(10_000),
        expiration_ms: Some(5000),
        expressions: vec![Expression::Counter { packets: 3, bytes: 4 }].into(),
        comment: Some("ec"),
        ..Element::new(vec![1]).verdict(Verdict::Jump("chain".into()))
    };
    batch.push_elements(&SET, Change::Add, [element]);
    let expected = crate::ElementInfo {
        key: vec![1],
        key_end: Some(vec![2]),
        flags: 0,
        timeout_ms: Some(10_000),
        expiration_ms: Some(5000),
        counter: Some((3, 4)),
        verdict: Some((-3, Some("chain".to_owned()))),
        comment: Some("ec".to_owned()),
    };
    assert_eq!(elements(&batch), [expected]);
}

#[test]
fn verdicts_by_the_thousand_are_written_like_single_elements() {
    for endian in [Endian::Little, Endian::Big] {
        for width in [1, 2, 6, 20] {
            let keys: Vec<Vec<u8>> =
                (0..4000_u32).map(|n| (0..width).map(|at| (n >> (at % 4 * 8)) as u8).collect()).collect();
            let verdict = |n: usize| match n % 11 {
                0 => Verdict::Drop,
                1 => Verdict::Return,
                other => Verdict::Goto(format!("chain-{other}").into()),
            };
            let mut batch = Batch::new(endian);
            let entries = keys.iter().enumerate().map(|(n, key)| (key.as_slice(), verdict(n)));
            let parts = batch.push_verdicts(&SET, Change::Add, width, entries);
            let mut same = Batch::new(endian);
            let single = keys.iter().enumerate().map(|(n, key)| Element::new(key).verdict(verdict(n)));
            assert_eq!(parts, same.push_elements(&SET, Change::Add, single));
            assert!(parts.len() > 1);
            assert_eq!(batch.bytes(), same.bytes());
        }
    }
    let mut batch = Batch::new(Endian::Little);
    let keys: [&[u8]; 3] = [&[1], &[1, 2], &[]];
    batch.push_verdicts(&SET, Change::Add, 2, keys.into_iter().map(|key| (key, Verdict::Accept)));
    assert_eq!(elements(&batch).into_iter().map(|one| one.key).collect::<Vec<_>>(), [[1, 2]]);
    assert!(batch.push_verdicts(&SET, Change::Add, 0, [(&[][..], Verdict::Accept)].into_iter()).is_empty());
}

#[test]
fn nothing_is_written_for_nothing() {
    let mut batch = Batch::new(Endian::Little);
    assert!(batch.push_points(&SET, Change::Add, &[], 4).is_empty());
    assert!(batch.push_points(&SET, Change::Add, &[1, 2, 3], 0).is_empty());
    assert!(batch.push_ranges(&SET, Change::Add, &[1, 2, 3], 0).is_empty());
    assert!(batch.push_ranges(&SET, Change::Add, &[1, 2, 3], usize::MAX / 2 + 1).is_empty());
    assert!(batch.push_elements(&SET, Change::Add, []).is_empty());
    assert_eq!((batch.bytes().len(), batch.sequence()), (0, 1));
}

#[test]
fn one_element_that_is_too_long_is_told() {
    let mut batch = Batch::new(Endian::Little);
    batch.push_elements(&SET, Change::Add, [Element::new(vec![0; 4]), Element::new(vec![0; 66_000])]);
    assert_eq!(batch.oversized().map(|oversized| oversized.sequence), Some(2));
    let mut batch = Batch::new(Endian::Little);
    let chain = "c".repeat(66_000);
    batch.push_verdicts(&SET, Change::Add, 1, [(&[1][..], Verdict::Goto(chain.into()))].into_iter());
    assert_eq!(batch.oversized().map(|oversized| oversized.sequence), Some(1));
}

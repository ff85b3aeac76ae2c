//! Batches taken apart for the grant, whole and damaged.

use super::*;
use crate::{Batch, DeleteTable, Family, NewTable, constants::NFNL_MSG_BATCH_BEGIN};

fn batch(endian: Endian) -> Vec<u8> {
    let mut batch = Batch::new(endian);
    batch.begin(Some(5));
    batch.push(&NewTable { family: Family::Inet, name: "mine", flags: 0, comment: None }, 0);
    batch.end(0);
    batch.into_bytes().unwrap()
}

#[test]
fn tables_are_told_in_either_order() {
    for endian in [Endian::Little, Endian::Big] {
        let found: Vec<_> = inspect(endian, &batch(endian)).map(|one| one.unwrap().table.map(str::to_owned)).collect();
        assert_eq!(found, [None, Some("mine".to_owned()), None]);
    }
    let bytes = batch(Endian::Little);
    let first = inspect(Endian::Little, &bytes).next().unwrap().unwrap();
    assert_eq!((first.subsystem, first.kind, first.resource), (0, NFNL_MSG_BATCH_BEGIN, NFNL_SUBSYS_NFTABLES));
}

#[test]
fn what_is_cut_off_or_follows_is_an_error() {
    let bytes = batch(Endian::Little);
    let boundaries = [0, 28, 68, bytes.len()];
    for cut in 0..bytes.len() {
        let fails = inspect(Endian::Little, &bytes[..cut]).any(|one| one.is_err());
        assert_eq!(fails, !boundaries.contains(&cut), "{cut}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(inspect(Endian::Little, &longer).last().unwrap().is_err());
}

#[test]
fn a_name_that_the_kernel_would_understand_otherwise_is_an_error() {
    let one = |fill: &dyn Fn(&mut crate::Writer)| {
        let mut batch = Batch::new(Endian::Little);
        let start = batch.open(0x0a00, 1, Family::Inet, 0);
        fill(&mut batch.writer);
        batch.close(start);
        inspect(Endian::Little, batch.bytes()).next().unwrap().map(|one| one.table.map(str::to_owned))
    };
    assert_eq!(one(&|w| w.text(1, "t")), Ok(Some("t".to_owned())));
    assert_eq!(one(&|w| w.data(1, b"t")), Ok(Some("t".to_owned())));
    // The flag of a nested attribute does not make it another.
    assert_eq!(one(&|w| w.text(0x8001, "t")), Ok(Some("t".to_owned())));
    let twice = one(&|w| ["a", "b"].iter().for_each(|name| w.text(1, name)));
    assert_eq!(twice, Err(Malformed { offset: 28, what: "a second name of a table" }));
    assert!(one(&|w| w.data(1, b"a\0b\0")).is_err());
    assert!(one(&|w| w.data(1, &[0xff, 0])).is_err());
    assert!(one(&|w| w.raw(&[3, 0, 1, 0])).is_err());
}

#[test]
fn a_removal_that_does_not_go_by_the_name_has_no_table() {
    let table = |family, handle: bool| {
        let mut batch = Batch::new(Endian::Little);
        let start = batch.open(0x0a02, 1, family, 0);
        batch.writer.text(1, "t");
        if handle {
            batch.writer.u64(4, 1);
        }
        batch.close(start);
        inspect(Endian::Little, batch.bytes()).next().unwrap().unwrap().table.is_some()
    };
    assert!(table(Family::Inet, false));
    assert!(!table(Family::Inet, true));
    assert!(!table(Family::Unspec, false));
    let mut all = Batch::new(Endian::Little);
    all.push(&DeleteTable { family: Family::Unspec, name: "t" }, 0);
    assert_eq!(inspect(Endian::Little, all.bytes()).next().unwrap().unwrap().table, None);
}

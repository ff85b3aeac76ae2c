//! Counters and elements for people.

use portreeve_nftables::{Batch, Change, Endian, Family, NewObject, Object, SetRef};

use super::{built, each, set};
use crate::{
    install::{CounterValue, Elements, Existing, ReadError, counters},
    ruleset::{self, KeyType, Ruleset},
};

fn shown(key: &[KeyType], elements: ruleset::Elements) -> Vec<(String, Option<String>)> {
    let ruleset = Ruleset { sets: vec![set("s", key, elements)], ..Ruleset::default() };
    let built = built(&ruleset, &Existing::default());
    let mut elements = Elements::new(key, Endian::Little);
    for message in each(&built).iter().filter(|message| message.operation() == 12 && message.subsystem() == 10) {
        elements.absorb(message.bytes).expect("elements");
    }
    elements.shown().into_iter().map(|shown| (shown.first, shown.last)).collect()
}

fn one(first: &str) -> (String, Option<String>) {
    (first.to_owned(), None)
}

fn range(first: &str, last: &str) -> (String, Option<String>) {
    (first.to_owned(), Some(last.to_owned()))
}

#[test]
fn points_are_sorted_and_readable() {
    let addresses = ruleset::Elements::Points(vec![192, 0, 2, 9, 192, 0, 2, 1]);
    assert_eq!(shown(&[KeyType::Ipv4], addresses), [one("192.0.2.1"), one("192.0.2.9")]);
    let key = [KeyType::Ipv6Network, KeyType::Port, KeyType::Mark, KeyType::Interface];
    let mut bytes = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 22, 0, 0, 0, 0, 1, 2];
    bytes.extend_from_slice(b"lan0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(shown(&key, ruleset::Elements::Points(bytes)), [one("2001:db8:0:1::/64 . 22 . 0x102 . lan0")]);
}

#[test]
fn ranges_that_adjoin_are_one_and_the_last_may_be_open() {
    let ports = ruleset::Elements::Ranges(vec![0, 22, 0, 22, 0, 80, 0, 90, 0, 91, 0, 99, 255, 0, 255, 255]);
    assert_eq!(shown(&[KeyType::Port], ports), [one("22"), range("80", "99"), range("65280", "65535")]);
    let marks = ruleset::Elements::Ranges(vec![0, 0, 0, 1, 0, 0, 1, 0]);
    assert_eq!(shown(&[KeyType::Mark], marks), [range("0x1", "0x100")]);
    let pairs = ruleset::Elements::Ranges(vec![10, 0, 0, 0, 0, 1, 0, 0, 10, 0, 0, 9, 0, 5, 0, 0]);
    assert_eq!(shown(&[KeyType::Ipv4, KeyType::Port], pairs), [range("10.0.0.0 . 1", "10.0.0.9 . 5")]);
}

#[test]
fn counters_have_their_values_and_other_tables_are_not_ours() {
    let mut batch = Batch::new(Endian::Little);
    for (table, name, packets) in [("portreeve-firewall", "ssh", 7), ("other", "ssh", 9)] {
        let object = Object::Counter { packets, bytes: 1000 };
        batch.push(&NewObject { family: Family::Inet, table, name, object, comment: None }, 0);
    }
    let found = counters(Endian::Little, batch.bytes()).expect("counters");
    assert_eq!(found, [CounterValue { name: "ssh".to_owned(), packets: 7, bytes: 1000 }]);
}

#[test]
fn an_interrupted_dump_is_asked_for_again() {
    let mut batch = Batch::new(Endian::Little);
    let to = SetRef { family: Family::Inet, table: "portreeve-firewall", name: "s", id: None };
    batch.push_points(&to, Change::Add, &[1, 2, 3, 4], 4);
    let mut bytes = batch.bytes().to_vec();
    // NLM_F_DUMP_INTR
    bytes[6] |= 0x10;
    assert_eq!(Elements::new(&[KeyType::Ipv4], Endian::Little).absorb(&bytes), Err(ReadError::Interrupted));
}

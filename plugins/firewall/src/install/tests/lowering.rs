//! Selectors, tests and statements as expressions.

use std::net::IpAddr;

use portreeve_nftables::{
    Endian, Expression, Register, Verdict as KernelVerdict,
    constants::{
        NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_NETMAP, NFT_CMP_EQ, NFT_CMP_GT, NFT_CMP_GTE, NFT_CMP_LTE, NFT_CMP_NEQ,
        NFT_DYNSET_OP_UPDATE,
    },
};

use super::{chain, rule, set};
use crate::{
    config::{Masked, Reject},
    install::{
        answer,
        load::{load, load_key},
        statement,
        test::test,
    },
    ruleset::{Elements, KeyType, NatTo, RejectWith, Ruleset, Selector, Statement, Test, ct},
};

const R: Register = Register::word(0);

fn tested(selector: Selector, asked: &Test) -> Vec<Expression<'static>> {
    // Leaked: what is compared borrows bytes from the test.
    let mut out = Vec::new();
    test(Endian::Little, selector, Box::leak(Box::new(asked.clone())), &mut out);
    out
}

fn payload(base: u32, offset: u32, length: u32) -> Expression<'static> {
    Expression::Payload { destination: R, base, offset, length }
}

fn compare(operation: u32, data: &[u8]) -> Expression<'static> {
    Expression::Compare { source: R, operation, data: data.to_vec().into() }
}

fn lowered(ruleset: &Ruleset, statements: Vec<Statement>) -> Vec<Vec<Expression<'static>>> {
    // Leaked: what is compared borrows names from the rule.
    let rule = Box::leak(Box::new(rule(statements, 1)));
    let ruleset = Box::leak(Box::new(ruleset.clone()));
    vec![statement::rule(ruleset, Endian::Little, rule)]
}

#[test]
fn a_prefix_of_whole_bytes_loads_only_those() {
    let masked = |mask: [u8; 4]| Test::Masked { mask: mask.to_vec(), value: vec![10, 0, 0, 0], invert: false };
    assert_eq!(
        tested(Selector::Source4, &masked([255, 255, 0, 0])),
        [payload(1, 12, 2), compare(NFT_CMP_EQ, &[10, 0])]
    );
    assert_eq!(
        tested(Selector::Source4, &masked([255, 240, 0, 0])),
        [
            payload(1, 12, 4),
            Expression::Bitwise {
                source: R,
                destination: R,
                mask: vec![255, 240, 0, 0].into(),
                xor: vec![0; 4].into()
            },
            compare(NFT_CMP_EQ, &[10, 0, 0, 0]),
        ]
    );
}

#[test]
fn a_range_that_is_a_prefix_of_whole_bytes_is_lowered_as_one() {
    let range = Test::NotRange(vec![127, 0, 0, 0], vec![127, 255, 255, 255]);
    assert_eq!(tested(Selector::Source4, &range), [payload(1, 12, 1), compare(NFT_CMP_NEQ, &[127])]);
    let short = Test::Range(vec![127, 0, 0, 1], vec![127, 255, 255, 255]);
    assert_eq!(
        tested(Selector::Source4, &short)[1..],
        [compare(NFT_CMP_GTE, &[127, 0, 0, 1]), compare(NFT_CMP_LTE, &[127, 255, 255, 255])]
    );
    let all = Test::Range(vec![0; 4], vec![255; 4]);
    assert_eq!(tested(Selector::Source4, &all).len(), 3, "nothing is no prefix");
}

#[test]
fn a_value_outside_of_its_mask_is_no_prefix_and_never_fits() {
    let asked = Test::Masked { mask: vec![255, 0, 0, 0], value: vec![10, 1, 0, 0], invert: false };
    let expressions = tested(Selector::Destination4, &asked);
    assert_eq!(expressions.len(), 3);
    assert_eq!(expressions[2], compare(NFT_CMP_EQ, &[10, 1, 0, 0]));
}

#[test]
fn names_of_interfaces_compare_whole_or_their_beginning() {
    let meta = Expression::Meta { destination: R, key: 6 };
    assert_eq!(
        tested(Selector::InputInterface, &Test::Prefix(b"wlan".to_vec())),
        [meta.clone(), compare(NFT_CMP_EQ, b"wlan")]
    );
    assert_eq!(
        tested(Selector::InputInterface, &Test::NotEqual(b"lo".to_vec())),
        [meta, compare(NFT_CMP_NEQ, b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0")]
    );
}

#[test]
fn marks_and_states_are_the_hosts_and_in_order_only_as_the_networks() {
    let state = Test::Any((ct::ESTABLISHED | ct::RELATED).to_be_bytes().to_vec());
    assert_eq!(
        tested(Selector::CtState, &state)[1..],
        [
            Expression::Bitwise { source: R, destination: R, mask: vec![6, 0, 0, 0].into(), xor: vec![0; 4].into() },
            compare(NFT_CMP_NEQ, &[0; 4]),
        ]
    );
    let (asked, mut big) = (Test::Equal(vec![0, 0, 0, 5]), Vec::new());
    test(Endian::Big, Selector::Mark, &asked, &mut big);
    assert_eq!(big[1], compare(NFT_CMP_EQ, &[0, 0, 0, 5]));
    let range = tested(Selector::Mark, &Test::Range(vec![0, 0, 0, 1], vec![0, 0, 1, 0]));
    assert!(matches!(range[1], Expression::ByteOrder { operation: 1, length: 4, size: 4, .. }), "{range:?}");
    assert_eq!(range[2..], [compare(NFT_CMP_GTE, &[0, 0, 0, 1]), compare(NFT_CMP_LTE, &[0, 0, 1, 0])]);
}

#[test]
fn routes_back_are_asked_for_presence() {
    assert_eq!(
        tested(Selector::SourceRoutesBack, &Test::Equal(vec![0])),
        [Expression::Fib { destination: R, result: 1, flags: 0x29 }, compare(NFT_CMP_EQ, &[0; 4])]
    );
    assert_eq!(
        tested(Selector::DestinationType, &Test::Equal(vec![0, 0, 0, 2])),
        [Expression::Fib { destination: R, result: 3, flags: 2 }, compare(NFT_CMP_EQ, &[2, 0, 0, 0])]
    );
}

#[test]
fn ethernet_addresses_are_asked_of_ethernet_only() {
    let mut out = Vec::new();
    load(Endian::Big, Selector::SourceMac, 0, 6, &mut out);
    assert_eq!(out, [Expression::Meta { destination: R, key: 8 }, compare(NFT_CMP_EQ, &[0, 1]), payload(0, 6, 6)]);
}

#[test]
fn parts_of_a_key_are_in_registers_one_after_the_other() {
    let mut out = Vec::new();
    load_key(
        Endian::Little,
        &[Selector::Source6Network, Selector::Protocol, Selector::DestinationPort],
        false,
        &mut out,
    );
    assert_eq!(out[0], payload(1, 8, 16));
    let mask = [[255; 8], [0; 8]].concat();
    assert_eq!(out[1], Expression::Bitwise { source: R, destination: R, mask: mask.into(), xor: vec![0; 16].into() });
    assert_eq!(out[2], Expression::Meta { destination: Register::word(4), key: 16 });
    assert_eq!(out[3], Expression::Payload { destination: Register::word(5), base: 2, offset: 2, length: 2 });
}

#[test]
fn a_fixed_segment_size_only_lowers() {
    let rules = lowered(&Ruleset::default(), vec![Statement::ClampMss(Some(1400))]);
    assert_eq!(rules[0][1], compare(NFT_CMP_GT, &[5, 120]));
    assert_eq!(rules[0][3], Expression::ExthdrSet { source: R, operation: 1, kind: 2, offset: 2, length: 2 });
}

#[test]
fn a_mark_keeps_its_other_bits() {
    let rules = lowered(&Ruleset::default(), vec![Statement::SetMark(Masked { value: 0x101, mask: 0xff })]);
    assert_eq!(
        rules[0][1],
        Expression::Bitwise {
            source: R,
            destination: R,
            mask: vec![0, 255, 255, 255].into(),
            xor: vec![1, 0, 0, 0].into()
        }
    );
}

#[test]
fn a_rejection_that_no_one_expression_can_say_goes_to_a_chain_of_both_families() {
    let reject = Statement::Reject(RejectWith::Icmp(Reject::ProtocolUnreachable));
    let either = lowered(&Ruleset::default(), vec![reject.clone()]);
    assert_eq!(either, [[Expression::Verdict(KernelVerdict::Goto("reject/protocol-unreachable".into()))]]);
    let six = Statement::Match(Selector::Family, Test::Equal(vec![10]));
    let one = lowered(&Ruleset::default(), vec![six, reject]);
    assert_eq!(one[0].last(), Some(&Expression::Reject { kind: 0, code: 4 }));
    let codes: Vec<_> = answer::rules(Reject::SourcePolicy).into_iter().map(|mut rule| rule.pop()).collect();
    assert_eq!(codes, [13, 5].map(|code| Some(Expression::Reject { kind: 0, code })));
    assert_eq!(answer::single(Reject::AdminProhibited, None), Some(Expression::Reject { kind: 2, code: 3 }));
}

#[test]
fn what_is_added_to_a_set_keeps_its_place_and_starts_its_time_anew() {
    let mut seen = set("seen", &[KeyType::Ipv4], Elements::Points(Vec::new()));
    seen.dynamic = true;
    seen.timeout = Some(core::time::Duration::from_secs(1));
    let ruleset = Ruleset { sets: vec![seen], chains: vec![chain("a", vec![])], ..Ruleset::default() };
    let four = Statement::Match(Selector::Family, Test::Equal(vec![2]));
    let add = Statement::AddTo { key: vec![Selector::Source4], set: 0 };
    let rules = lowered(&ruleset, vec![four, add]);
    assert!(matches!(rules[0].last(), Some(Expression::DynamicSet { operation: NFT_DYNSET_OP_UPDATE, .. })));
}

#[test]
fn addresses_are_translated_for_their_family_only() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let to = NatTo::SourcePrefix { first: ip("2001:db8::"), last: ip("2001:db8::ffff") };
    let rules = lowered(&Ruleset::default(), vec![Statement::Nat(to)]);
    assert_eq!(rules[0][..2], answer::of_family(crate::config::Family::V6));
    let Some(Expression::Nat { flags, addresses, ports: None, .. }) = rules[0].last() else { panic!("{rules:?}") };
    assert_eq!(*flags, NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_NETMAP);
    assert_eq!(*addresses, Some((Register::word(0), Register::word(4))));
}

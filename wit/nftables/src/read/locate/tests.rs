//! Which expression or element an offset lies in.

use super::*;
use crate::{Batch, Change, Element, Expression, Family, NewRule, SetRef};

#[test]
fn an_offset_is_told_as_expression_element_or_attribute() {
    for endian in [Endian::Little, Endian::Big] {
        let mut batch = Batch::new(endian);
        let expressions = [Expression::Notrack, Expression::FlowOffload { flowtable: "f".into() }];
        let rule = NewRule {
            family: Family::Inet,
            table: "t",
            chain: "c",
            expressions: &expressions,
            comment: None,
            handle: None,
            position: None,
        };
        batch.push(&rule, 0);
        let at = |offset| locate(endian, batch.bytes(), offset).map(|place| place.to_string());
        assert_eq!(at(19), None);
        assert_eq!(at(20).as_deref(), Some("attribute 1"));
        assert_eq!(at(40).as_deref(), Some("expression 1 (notrack)"));
        assert_eq!(at(60).as_deref(), Some("expression 2 (flow_offload)"));
        assert_eq!(expression_at(endian, batch.bytes(), 60).as_deref(), Some("flow_offload"));
        assert_eq!(at(u32::MAX), None);
        for cut in 0..batch.bytes().len() {
            assert_eq!(locate(endian, &batch.bytes()[..cut], 60), None);
        }
        let mut batch = Batch::new(endian);
        let set = SetRef { family: Family::Inet, table: "t", name: "s", id: None };
        batch.push_elements(&set, Change::Add, [Element::new(vec![1]), Element::new(vec![2])]);
        let place = locate(endian, batch.bytes(), 60).unwrap();
        assert_eq!((place.attribute, place.element, place.to_string()), (3, Some(1), "element 2".to_owned()));
    }
}

//! Errors of the kernel as complaints.

use portreeve_nftables::{Acknowledgement, Endian, locate};

use super::{accept, base, built, chain, each, rule, set, span};
use crate::{
    install::{Built, Existing, explain, is_stale},
    ruleset::{ChainKind, Elements, Entry, Flowtable, KeyType, Rate, Ruleset, Selector, Statement, Test, Verdict},
};

fn error(sequence: u32, errno: i32, offset: Option<u32>) -> Acknowledgement {
    Acknowledgement { sequence, errno, offset, message: None, missing: None }
}

fn strict() -> Ruleset {
    let fib = Statement::Match(Selector::SourceRoutesBack, Test::Equal(vec![0]));
    let drop = Statement::Verdict(Verdict::Drop);
    Ruleset {
        chains: vec![base(
            "input",
            vec![rule(vec![accept()], 10), rule(vec![fib.clone(), drop.clone()], 20), rule(vec![fib, drop], 30)],
        )],
        ..Ruleset::default()
    }
}

/// The offset of the expression of this number in the message of this sequence number.
fn offset(built: &Built, sequence: u32, expression: usize) -> Option<u32> {
    let all = each(built);
    let message = all.iter().find(|message| message.sequence == sequence)?;
    (16..u32::try_from(message.bytes.len()).ok()?).step_by(4).find(|offset| {
        locate(Endian::Little, message.bytes, *offset)
            .is_some_and(|place| place.expression.is_some_and(|(index, _)| index == expression))
    })
}

#[test]
fn an_expression_that_the_kernel_lacks_is_named_with_its_module() {
    let ruleset = strict();
    let built = built(&ruleset, &Existing::default());
    // begin, table, chain, rule 10, rule 20, rule 30
    let at = offset(&built, 5, 0);
    assert!(at.is_some());
    let told = explain(&ruleset, &built, &[error(5, 2, at), error(6, 2, at)]);
    assert_eq!(
        told[0].message,
        "the kernel refused the rule `rule 20`: it has no expression `fib` (ENOENT; module nft_fib_inet)"
    );
    assert_eq!(told[0].hint.as_deref(), Some("load the module, or remove `anti_spoofing` and addresses `local`"));
    assert_eq!(told.iter().map(|all| all.span).collect::<Vec<_>>(), [span(20), span(30)]);
}

#[test]
fn what_is_kept_for_each_source_names_its_own_module() {
    let key = vec![Selector::Source4];
    let rate = Rate { packets: 5, seconds: 60, burst: 5, over: false };
    for (statement, words) in [
        (Statement::LimitEach { key: key.clone(), set: 0, rate }, "`limit` (ENOENT; module nft_limit)"),
        (
            Statement::ConnectionsEach { key: key.clone(), set: 0, count: 3, above: true },
            "`connlimit` (ENOENT; module nft_connlimit)",
        ),
    ] {
        let mut sources = set("sources", &[KeyType::Ipv4], Elements::Points(Vec::new()));
        (sources.dynamic, sources.stateful) = (true, true);
        let ruleset = Ruleset {
            sets: vec![sources],
            chains: vec![base("input", vec![rule(vec![statement, accept()], 20)])],
            ..Ruleset::default()
        };
        let built = built(&ruleset, &Existing::default());
        // begin, table, chain, set, rule
        let dynset = (0..4).filter_map(|number| offset(&built, 5, number)).find(|at| {
            let message = each(&built).into_iter().find(|message| message.sequence == 5);
            let place = message.and_then(|message| locate(Endian::Little, message.bytes, *at));
            place.and_then(|place| place.expression).is_some_and(|(_, name)| name == "dynset")
        });
        assert!(dynset.is_some());
        let told = explain(&ruleset, &built, &[error(5, 2, dynset)]);
        assert!(told[0].message.contains(words), "{told:?}");
        assert_eq!(told[0].span, span(20));
    }
}

#[test]
fn errors_that_follow_from_the_first_are_left_out() {
    let ruleset = strict();
    let built = built(&ruleset, &Existing::default());
    let told = explain(&ruleset, &built, &[error(4, -95, None), error(5, -95, None), error(6, -95, None)]);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].span, span(10));
    assert!(told[0].message.ends_with("something in it may not stand at this hook (EOPNOTSUPP)"), "{told:?}");
    assert_eq!(explain(&ruleset, &built, &[error(7, 0, None)]), []);
}

#[test]
fn without_the_right_nothing_else_is_said() {
    let ruleset = strict();
    let built = built(&ruleset, &Existing::default());
    let told = explain(&ruleset, &built, &[error(1, 1, None), error(5, 2, offset(&built, 5, 0))]);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].message, "this process may not change nf_tables (EPERM; CAP_NET_ADMIN)");
}

#[test]
fn chains_of_nat_and_flowtables_name_their_modules() {
    let mut ruleset = strict();
    ruleset.flowtable = Some(Flowtable { devices: vec!["lan0".to_owned()], hardware: false, span: span(40) });
    let mut nat = base("nat-prerouting", vec![]);
    nat.base.as_mut().expect("a base chain").kind = ChainKind::Nat;
    ruleset.chains.insert(0, nat);
    let built = built(&ruleset, &Existing::default());
    let told = explain(&ruleset, &built, &[error(3, 2, None)]);
    assert_eq!((told[0].span, told[0].message.contains("nf_flow_table")), (span(40), true), "{told:?}");
    let told = explain(&ruleset, &built, &[error(4, 2, None)]);
    assert!(
        told[0].message.contains("`nat-prerouting`: it has no chains of type nat (ENOENT; module nft_chain_nat)"),
        "{told:?}"
    );
}

#[test]
fn an_element_leads_to_its_place() {
    let entry = |port: u8, last: Option<u8>, at: usize| Entry {
        key: vec![0, port],
        last: last.map(|last| vec![0, last]),
        verdict: Verdict::Jump(1),
        span: span(at),
    };
    for interval in [false, true] {
        let mut map = set(
            "ports",
            &[KeyType::Port],
            Elements::Verdicts(vec![entry(1, None, 100), entry(5, interval.then_some(8), 101), entry(7, None, 102)]),
        );
        map.interval = interval;
        let ruleset = Ruleset {
            sets: vec![map],
            chains: vec![base("input", vec![]), chain("user-a", vec![])],
            ..Ruleset::default()
        };
        let built = built(&ruleset, &Existing::default());
        // begin, table, two chains, set, elements
        let all = each(&built);
        let message = all.iter().find(|message| message.sequence == 6).expect("elements");
        let wanted = if interval { 4 } else { 2 };
        let at = (16..u32::try_from(message.bytes.len()).expect("short"))
            .find(|at| locate(Endian::Little, message.bytes, *at).is_some_and(|place| place.element == Some(wanted)));
        let told = explain(&ruleset, &built, &[error(6, 17, at)]);
        assert_eq!(told[0].span, span(102));
        assert_eq!(
            told[0].message,
            "the kernel refused an element of the set `ports`: it overlaps another element (EEXIST)"
        );
        let told = explain(&ruleset, &built, &[error(6, 23, None)]);
        assert!(told[0].message.contains("the set is full (ENFILE)"), "{told:?}");
    }
}

#[test]
fn a_stale_generation_is_known() {
    assert!(is_stale(&[error(1, 85, None)]));
    assert!(!is_stale(&[error(1, 0, None), error(1, 4, None)]));
}

#[test]
fn any_number_is_explained() {
    let ruleset = strict();
    let built = built(&ruleset, &Existing::default());
    for errno in 1..140 {
        for sequence in [0, 1, 2, 3, 4, 7, 99, u32::MAX] {
            for at in [None, Some(0), Some(24), Some(u32::MAX)] {
                assert_eq!(explain(&ruleset, &built, &[error(sequence, errno, at)]).len(), 1);
            }
        }
    }
}

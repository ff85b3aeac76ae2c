//! Rows for people.

use super::super::{COLUMNS, missed, report};
use super::*;

const SECTION: &str = "(\n    rules: [\n        (name: \"ssh\", to: [\"router\"], protocol: [\"tcp\"], destination_port: [\"22\"], then: Accept),\n        (then: Drop),\n    ],\n)";

fn at(text: &str) -> Span {
    let start = SECTION.find(text).unwrap();
    Span::new(start, start + text.len())
}

#[test]
fn the_last_row_says_the_verdict_and_the_rule() {
    let ssh = at("(name: \"ssh\", to: [\"router\"], protocol: [\"tcp\"], destination_port: [\"22\"], then: Accept)");
    let rules = [
        Rule { label: Label::Named("ssh".to_owned()), span: ssh, ..rule(&[is(Selector::Protocol, &[17]), ACCEPT]) },
        Rule { label: Label::Default("RFC 4890: ping"), ..rule(&[Statement::Count(0)]) },
        Rule { span: at("(then: Drop)"), ..rule(&[DROP]) },
    ];
    let found = trace(&chains(vec![forward(true, &rules)]), &ssh6());
    let rows = report(&found, SECTION.into());
    assert_eq!(
        rows,
        [
            ["forward", "RFC 4890: ping", "", "", "counted as one"],
            ["forward", "", "4:9", "(then: Drop)", "drop"],
            ["verdict", "", "4:9", "(then: Drop)", "dropped, by the rule of line 4"],
        ]
    );
    assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
    let text = "(name: \"ssh\", to: [\"router\"], protocol: [\"tcp\"], destinatio…";
    assert_eq!(text.chars().count(), 60);
    assert_eq!(missed(&found, SECTION.into()), [["forward", "ssh", "3:9", text, "protocol is 6, asked for: 17"]]);
}

#[test]
fn policies_names_and_defaults_are_said_to_decide() {
    let last =
        |chain: Chain| report(&trace(&chains(vec![chain]), &ssh6()), SECTION.into()).pop().unwrap().pop().unwrap();
    assert_eq!(last(forward(false, &[])), "dropped, by the policy of forward");
    assert_eq!(
        last(forward(false, &[Rule { label: Label::Named("x".to_owned()), ..rule(&[ACCEPT]) }])),
        "accepted, by rule x"
    );
    assert_eq!(
        last(forward(false, &[Rule { label: Label::Default("loopback"), ..rule(&[ACCEPT]) }])),
        "accepted, by a default, loopback"
    );
    let nothing = report(&trace(&Ruleset::default(), &ssh6()), SECTION.into());
    assert_eq!(nothing, [["verdict", "", "", "", "accepted, no rule decides"]]);
}

#[test]
fn a_span_outside_of_the_section_is_no_place() {
    let found = trace(&chains(vec![forward(true, &[Rule { span: Span::new(5000, 6000), ..rule(&[DROP]) }])]), &ssh6());
    assert_eq!(report(&found, SECTION.into())[0], ["forward", "", "", "", "drop"]);
}

//! What goes, what comes and what stays.

use portreeve_nftables::{Endian, constants::NLM_F_ACK, constants::NLM_F_EXCL, inspect};

use super::{accept, base, built, chain, each, installed, rule, set, span, told};
use crate::{
    config::Reject,
    install::{COMMENT, Existing, Refusal, batch, remove, requests, stamp},
    ruleset::{
        Elements, Entry, Flowtable, HookPoint, KeyType, Rate, RejectWith, Ruleset, Selector, Statement, Verdict,
    },
};

fn ruleset() -> Ruleset {
    let jump = Entry { key: vec![0, 22], last: None, verdict: Verdict::Jump(1), span: span(20) };
    let mut seen = set("seen", &[KeyType::Ipv4], Elements::Points(Vec::new()));
    seen.dynamic = true;
    seen.stateful = true;
    let rate = Rate { packets: 5, seconds: 60, burst: 5, over: false };
    let each = Statement::LimitEach { key: vec![Selector::Source4], set: 2, rate };
    Ruleset {
        counters: vec!["ssh".to_owned(), "web".to_owned()],
        sets: vec![
            set("bad-4", &[KeyType::Ipv4], Elements::Points(vec![192, 0, 2, 1])),
            set("ports", &[KeyType::Port], Elements::Verdicts(vec![jump])),
            seen,
        ],
        chains: vec![
            base("input", vec![rule(vec![Statement::Count(0), accept()], 10), rule(vec![each, accept()], 11)]),
            chain("user-a", vec![rule(vec![accept()], 12)]),
        ],
        flowtable: None,
    }
}

#[test]
fn a_new_table_gets_all_and_asks_for_one_acknowledgement() {
    let new = built(&ruleset(), &Existing::default());
    assert_eq!(
        told(&new),
        [
            "begin",
            "+table portreeve-firewall",
            "+object ssh",
            "+object web",
            "+chain input",
            "+chain user-a",
            "+set bad-4",
            "+elements bad-4",
            "+set ports",
            "+elements ports",
            "+set seen",
            "+rule input",
            "+rule input",
            "+rule user-a",
            "end",
        ]
    );
    let all = each(&new);
    assert_eq!(all.iter().filter(|message| message.flags & NLM_F_ACK != 0).count(), 1);
    assert_eq!(
        all.last().map(|message| (message.sequence, message.flags & NLM_F_ACK)),
        Some((new.last_sequence(), NLM_F_ACK))
    );
    assert!(all[1].flags & NLM_F_EXCL != 0, "somebody else's table must not be taken");
    // Everything names our table.
    for message in inspect(Endian::Little, &new.stages[0]) {
        let message = message.expect("well formed");
        assert!(
            message.subsystem == 0
                || (message.table == Some("portreeve-firewall") && message.family == 1)
                || matches!(message.kind, 0x10 | 0x11),
            "{message:?}"
        );
    }
    assert_eq!((new.stages.len(), new.switch), (1, 0), "there is nothing to be kept apart from");
}

#[test]
fn an_unchanged_reload_writes_rules_only() {
    let first = built(&ruleset(), &Existing::default());
    let again = built(&ruleset(), &installed(&first));
    assert_eq!(
        told(&again),
        [
            "begin",
            "+table portreeve-firewall",
            "-rule portreeve-firewall",
            "+chain input",
            "+rule input",
            "+rule input",
            "+rule user-a",
            "end"
        ]
    );
    assert_eq!(again.kept, ["bad-4", "ports", "seen"]);
}

#[test]
fn what_changed_is_made_ready_before_the_switch_and_what_is_unused_goes_after_it() {
    let stamped = |mut ruleset: Ruleset| {
        stamp(&mut ruleset);
        ruleset
    };
    let existing = installed(&built(&stamped(ruleset()), &Existing::default()));
    let mut wanted = ruleset();
    wanted.counters = vec!["web".to_owned(), "new".to_owned()];
    wanted.sets[0].elements = Elements::Points(vec![192, 0, 2, 2]);
    wanted.chains[1].name = "user-b".to_owned();
    let (old, new) = (stamped(ruleset()), stamped(wanted));
    let name = |ruleset: &Ruleset, set: usize| ruleset.sets[set].name.clone();
    assert!(name(&old, 0).starts_with("bad-4-") && name(&old, 0) != name(&new, 0));
    assert_eq!(name(&old, 2), name(&new, 2), "what packets add to stays");
    let again = built(&new, &existing);
    let lines = [
        "begin".to_owned(),
        "+chain user-b".to_owned(),
        format!("+set {}", name(&new, 0)),
        format!("+elements {}", name(&new, 0)),
        format!("+set {}", name(&new, 1)),
        format!("+elements {}", name(&new, 1)),
        "end".to_owned(),
        "begin".to_owned(),
        "+table portreeve-firewall".to_owned(),
        "-rule portreeve-firewall".to_owned(),
        "+object new".to_owned(),
        "+chain input".to_owned(),
        "+rule input".to_owned(),
        "+rule input".to_owned(),
        "+rule user-b".to_owned(),
        "end".to_owned(),
        "begin".to_owned(),
        format!("-set {}", name(&old, 0)),
        format!("-set {}", name(&old, 1)),
        "-chain user-a".to_owned(),
        "-object ssh".to_owned(),
        "end".to_owned(),
    ];
    assert_eq!(told(&again), lines);
    assert_eq!((again.stages.len(), again.switch), (3, 1));
    // Numbers go on, so that an error of any stage leads to its message; each is bound to the generation of the one before.
    let all = each(&again);
    assert!(all.iter().zip(1..).all(|(message, number)| message.sequence == number));
    let bound = |stage: usize| again.stages[stage].windows(8).find(|bytes| bytes[..4] == [8, 0, 1, 0]).map(|b| b[7]);
    assert_eq!([bound(0), bound(1), bound(2)], [Some(7), Some(8), Some(9)]);
}

#[test]
fn what_has_a_name_that_is_taken_is_replaced_with_the_rules() {
    let existing = installed(&built(&ruleset(), &Existing::default()));
    let mut wanted = ruleset();
    wanted.counters = vec!["web".to_owned(), "new".to_owned()];
    wanted.sets[0].elements = Elements::Points(vec![192, 0, 2, 2]);
    wanted.chains[1].name = "user-b".to_owned();
    assert_eq!(
        told(&built(&wanted, &existing)),
        [
            "begin",
            "+table portreeve-firewall",
            "-rule portreeve-firewall",
            "-set bad-4",
            "-set ports",
            "+object new",
            "+chain input",
            "+chain user-b",
            "+set bad-4",
            "+elements bad-4",
            "+set ports",
            "+elements ports",
            "+rule input",
            "+rule input",
            "+rule user-b",
            "end",
            "begin",
            "-chain user-a",
            "-object ssh",
            "end",
        ]
    );
}

#[test]
fn another_rate_makes_a_stateful_set_anew_and_another_rule_does_not() {
    let existing = installed(&built(&ruleset(), &Existing::default()));
    let mut wanted = ruleset();
    wanted.chains[0].rules.push(rule(vec![accept()], 30));
    assert_eq!(built(&wanted, &existing).kept.len(), 3);
    if let Statement::LimitEach { rate, .. } = &mut wanted.chains[0].rules[1].statements[0] {
        rate.packets = 6;
    }
    assert_eq!(built(&wanted, &existing).kept, ["bad-4", "ports"]);
}

#[test]
fn any_change_of_a_set_is_seen() {
    let before = ruleset();
    let existing = installed(&built(&before, &Existing::default()));
    let changed = |change: fn(&mut Ruleset)| {
        let mut wanted = ruleset();
        change(&mut wanted);
        built(&wanted, &existing).kept.len()
    };
    assert_eq!(changed(|_| {}), 3);
    assert_eq!(changed(|all| all.sets[0].timeout = Some(core::time::Duration::from_millis(1))), 2);
    assert_eq!(changed(|all| all.sets[0].size = 9), 2);
    assert_eq!(changed(|all| all.sets[0].interval = true), 2);
    assert_eq!(changed(|all| all.sets[0].filled_at = 9), 2, "it is to be filled anew");
    assert_eq!(changed(|all| all.sets[0].key = vec![KeyType::Mark]), 2);
    assert_eq!(changed(|all| all.sets[0].elements = Elements::Points(vec![192, 0, 2, 1, 0, 0, 0, 0])), 2);
    assert_eq!(changed(|all| all.sets[0].elements = Elements::Points(Vec::new())), 2);
    assert_eq!(changed(|all| all.sets[0].span = span(77)), 3, "its place is no part of it");
    assert_eq!(
        changed(|all| if let Elements::Verdicts(entries) = &mut all.sets[1].elements {
            entries[0].verdict = Verdict::Goto(1);
        }),
        2
    );
}

#[test]
fn a_base_chain_is_made_anew_only_for_another_hook_or_priority() {
    let existing = installed(&built(&ruleset(), &Existing::default()));
    let mut wanted = ruleset();
    let base = wanted.chains[0].base.as_mut().expect("a base chain");
    base.accept = true;
    assert!(!told(&built(&wanted, &existing)).contains(&"-chain input".to_owned()));
    let base = wanted.chains[0].base.as_mut().expect("a base chain");
    base.hook = HookPoint::Forward;
    let told = told(&built(&wanted, &existing));
    let (gone, new) =
        (told.iter().position(|all| all == "-chain input"), told.iter().position(|all| all == "+chain input"));
    assert!(gone.is_some() && gone < new, "{told:?}");
}

#[test]
fn chains_of_rejections_come_with_the_first_rule_that_goes_there() {
    let mut wanted = ruleset();
    wanted.chains[0].rules.push(rule(vec![Statement::Reject(RejectWith::Icmp(Reject::TcpReset))], 30));
    let first = built(&wanted, &Existing::default());
    let all = told(&first);
    assert_eq!(all.iter().filter(|told| *told == "+rule reject/tcp-reset").count(), 2);
    let existing = installed(&first);
    assert!(!told(&built(&wanted, &existing)).contains(&"+chain reject/tcp-reset".to_owned()));
    assert!(told(&built(&ruleset(), &existing)).contains(&"-chain reject/tcp-reset".to_owned()));
}

#[test]
fn a_flowtable_stays_while_its_interfaces_do() {
    let mut wanted = ruleset();
    let table = |devices: &[&str]| {
        let devices = devices.iter().map(|name| (*name).to_owned()).collect();
        Some(Flowtable { devices, hardware: false, span: span(40) })
    };
    wanted.flowtable = table(&["wan0", "lan0"]);
    let existing = installed(&built(&wanted, &Existing::default()));
    wanted.flowtable = table(&["lan0", "wan0"]);
    assert!(!told(&built(&wanted, &existing)).iter().any(|told| told.contains("flowtable")));
    wanted.flowtable = table(&["lan0"]);
    let all = told(&built(&wanted, &existing));
    assert!(all.contains(&"-flowtable flows".to_owned()) && all.contains(&"+flowtable flows".to_owned()), "{all:?}");
}

#[test]
fn somebody_elses_table_is_left_alone() {
    let first = built(&ruleset(), &Existing::default());
    let at = first.stages[0].windows(COMMENT.len()).position(|bytes| bytes == COMMENT.as_bytes()).expect("the comment");
    let mut bytes = first.stages[0].clone();
    bytes[at] = b'M';
    let mut existing = Existing::default();
    existing.absorb(Endian::Little, &bytes).expect("messages");
    assert_eq!(batch(&ruleset(), &existing, None, Endian::Little), Err(Refusal::Foreign));
    assert!(Refusal::Foreign.diagnostic().message.contains("portreeve-firewall"));
}

#[test]
fn nothing_is_deleted_of_what_is_not_there() {
    assert!(told(&built(&Ruleset::default(), &Existing::default())).iter().all(|told| !told.starts_with('-')));
    let messages = inspect(Endian::Big, &remove(Endian::Big)).map(|all| all.map(|all| all.kind)).collect::<Vec<_>>();
    assert_eq!(messages, [Ok(0x10), Ok(2), Ok(0x11)]);
    assert_eq!(requests(Endian::Little, 5).len(), 5);
}

#[test]
fn any_bytes_are_read_without_panic() {
    let whole = built(&ruleset(), &Existing::default()).stages.remove(0);
    for cut in 0..whole.len() {
        let _ = Existing::default().absorb(Endian::Little, &whole[..cut]);
        let _ = Existing::default().absorb(Endian::Big, &whole[cut..]);
    }
}

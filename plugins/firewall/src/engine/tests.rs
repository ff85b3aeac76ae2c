//! The engine on a virtual clock, with a kernel that says what a test wants.

use portreeve_nftables::{Endian, inspect, messages};

use super::repair::{REPAIR_PAUSE, REPAIR_QUIET};
use super::*;

const START: Instant = Instant::from_nanos(1_000_000_000);
/// ERESTART and EPERM of linux/errno.h.
const ERESTART: i32 = 85;
const EPERM: i32 = 1;

struct Lab {
    engine: Engine,
    now: Instant,
    /// Those that were asked for last.
    parameters: Option<Vec<(String, String)>>,
}

fn config(section: &str) -> Config {
    match Config::parse(section) {
        Ok((config, _)) => config,
        Err(list) => panic!("{section}: {list:?}"),
    }
}

fn refused(sequence: u32, errno: i32) -> Vec<Acknowledgement> {
    vec![Acknowledgement { sequence, errno, offset: None, message: None, missing: None }]
}

const ONE: &str =
    r#"(zones: {"lan": (interfaces: ["lan0"])}, policies: [(from: ["lan"], to: ["router"], then: Accept)])"#;
const OTHER: &str =
    r#"(zones: {"lan": (interfaces: ["lan1"])}, policies: [(from: ["lan"], to: ["router"], then: Accept)])"#;
const LISTED: &str = r#"(
    sets: {"bad": (file: "bad.txt")},
    input: (rules: [(source: ["@bad"], then: Drop)]),
)"#;

impl Lab {
    fn new() -> Self {
        Self { engine: Engine::new(Endian::Little), now: START, parameters: None }
    }

    /// With this section in force, in generation 8.
    fn standing(section: &str) -> Self {
        let mut lab = Self::new();
        lab.engine.handle_section(config(section), lab.now);
        lab.install(7);
        assert_eq!(lab.actions(), [Action::Settled(Ok(()))]);
        lab
    }

    /// What is to be done, but for parameters.
    fn actions(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::SetParameters(wanted) => self.parameters = Some(wanted),
                other => actions.push(other),
            }
        }
        actions
    }

    /// Takes the only action.
    fn action(&mut self) -> Action {
        let mut actions = self.actions();
        assert_eq!(actions.len(), 1, "{actions:?}");
        actions.remove(0)
    }

    fn existing(&mut self, generation: u32) {
        self.engine.handle_existing(Ok((generation, Existing::default())), self.now);
    }

    fn answer(&mut self, errors: Vec<Acknowledgement>) {
        self.engine.handle_committed(Ok(errors), self.now);
    }

    /// The kernel plays along.
    fn install(&mut self, generation: u32) {
        assert_eq!(self.action(), Action::Look);
        self.existing(generation);
        assert!(matches!(self.action(), Action::Commit(_)));
        self.answer(Vec::new());
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.engine.handle_timeout(self.now);
    }

    fn touched(&mut self, generation: u32) {
        self.engine.handle_change(generation, false, true, false, "nft", self.now);
    }
}

#[test]
fn a_section_is_in_force_when_the_kernel_has_nothing_against_its_batch() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(ONE), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(7);
    let Action::Commit(batch) = lab.action() else { panic!("no batch") };
    let messages: Vec<_> = inspect(Endian::Little, &batch).map(|message| message.unwrap()).collect();
    assert!(messages.len() > 4 && messages[1].table == Some(install::TABLE));
    assert!(lab.engine.in_force().is_none());
    lab.answer(Vec::new());
    assert_eq!(lab.action(), Action::Settled(Ok(())));
    assert_eq!(lab.engine.in_force().unwrap().config.zones[0].name, "lan");
    assert_eq!((lab.engine.generation(), lab.engine.counters().installed), (Some(8), 1));
}

#[test]
fn a_section_that_the_kernel_refuses_leaves_the_old_one_in_force() {
    let mut lab = Lab::standing(ONE);
    lab.engine.handle_section(config(OTHER), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(8);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(refused(1, EPERM));
    let Action::Settled(Err(list)) = lab.action() else { panic!("it is in force") };
    assert!(
        list[0].message.contains("CAP_NET_ADMIN") || list[0].hint.as_ref().unwrap().contains("CAP_NET_ADMIN"),
        "{list:?}"
    );
    assert_eq!(lab.engine.in_force().unwrap().config.zones[0].interfaces[0].name, "lan0");
    assert_eq!(lab.engine.counters().refused, 1);
}

#[test]
fn a_batch_that_somebody_overtook_is_built_anew_and_at_last_sent_unbound() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(ONE), lab.now);
    for generation in 0..BOUND_TRIES {
        assert_eq!(lab.action(), Action::Look);
        lab.existing(generation);
        assert!(matches!(lab.action(), Action::Commit(_)));
        lab.answer(refused(1, ERESTART));
    }
    lab.install(99);
    assert_eq!(lab.action(), Action::Settled(Ok(())));
    // What an unbound batch made of the generation nobody knows.
    assert_eq!((lab.engine.generation(), lab.engine.counters().stale), (None, u64::from(BOUND_TRIES)));
}

#[test]
fn when_others_change_tables_without_end_the_operator_is_told() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(ONE), lab.now);
    for _ in 0..=MAX_LOOKS {
        assert_eq!(lab.action(), Action::Look);
        lab.engine.handle_existing(Err(CommitError::Busy), lab.now);
    }
    let Action::Settled(Err(list)) = lab.action() else { panic!("it is in force") };
    assert!(list[0].message.contains("change nf_tables all the time"));
}

#[test]
fn a_batch_too_big_for_the_socket_is_told_with_its_size_and_what_to_raise() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(ONE), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(1);
    let Action::Commit(batch) = lab.action() else { panic!("no batch") };
    lab.engine.handle_committed(Err(CommitError::TooBig), lab.now);
    let Action::Settled(Err(list)) = lab.action() else { panic!("it is in force") };
    assert!(list[0].message.contains(&batch.len().to_string()));
    assert!(list[0].hint.as_ref().unwrap().contains("net.core.wmem_max"));
}

#[test]
fn our_own_changes_and_those_of_other_tables_are_no_reason_to_act() {
    let mut lab = Lab::standing(ONE);
    lab.engine.handle_change(8, true, true, false, "portreeve", lab.now);
    lab.engine.handle_change(9, false, false, false, "nft", lab.now);
    // Lost news of what we did ourselves.
    lab.engine.handle_change(8, false, false, true, "", lab.now);
    assert_eq!(lab.actions(), []);
}

#[test]
fn a_table_that_others_touch_is_mended_at_once_and_then_after_growing_pauses() {
    let mut lab = Lab::standing(ONE);
    lab.touched(9);
    assert_eq!(lab.actions(), [Action::Touched("nft".to_owned()), Action::Look]);
    lab.existing(9);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    assert_eq!(lab.actions(), []);
    for pause in [REPAIR_PAUSE, REPAIR_PAUSE * 2, REPAIR_PAUSE * 4] {
        lab.touched(20);
        assert_eq!(lab.actions(), [Action::Touched("nft".to_owned())]);
        assert_eq!(lab.engine.poll_timeout(), Some(lab.now + pause));
        lab.wait(pause);
        lab.install(20);
        assert_eq!(lab.actions(), []);
    }
    lab.wait(REPAIR_QUIET + Duration::from_secs(1));
    lab.touched(30);
    assert_eq!(lab.actions(), [Action::Touched("nft".to_owned()), Action::Look]);
    assert_eq!(lab.engine.counters().touched, 5);
}

#[test]
fn lost_news_of_an_unknown_generation_have_the_table_mended() {
    let mut lab = Lab::standing(ONE);
    lab.engine.handle_change(12, false, false, true, "", lab.now);
    lab.install(12);
    assert_eq!((lab.actions(), lab.engine.counters().touched), (vec![], 0));
}

#[test]
fn a_section_waits_for_the_files_of_its_sets() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(LISTED), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n# none\n192.0.2.7\n"), lab.now);
    lab.install(7);
    assert_eq!(lab.action(), Action::Settled(Ok(())));
    let addresses = |lab: &Lab| {
        let sets = &lab.engine.in_force().unwrap().ruleset.sets;
        sets.iter().find(|set| set.named.as_deref() == Some("bad")).map_or(0, crate::ruleset::Set::len)
    };
    assert_eq!(addresses(&lab), 2);
    // The same again is no change.
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n192.0.2.7\n"), lab.now);
    assert_eq!(lab.actions(), []);
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n"), lab.now);
    lab.install(8);
    assert_eq!((lab.actions(), addresses(&lab)), (vec![], 1));
}

#[test]
fn a_file_that_turns_bad_leaves_its_set_as_it_was_and_is_told() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(LISTED), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n"), lab.now);
    lab.install(7);
    assert_eq!(lab.action(), Action::Settled(Ok(())));
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\nnonsense\n"), lab.now);
    let Action::Condition(Some(why)) = lab.action() else { panic!("nobody was told") };
    assert!(why.starts_with("bad.txt:2: "), "{why}");
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.9\n"), lab.now);
    lab.install(8);
    assert_eq!(lab.actions(), [Action::Condition(None)]);
}

#[test]
fn a_missing_file_refuses_a_new_section_but_does_not_keep_a_machine_without_its_first() {
    let missing = || Err("cannot read bad.txt: there is no such file".to_owned());
    let mut lab = Lab::new();
    lab.engine.handle_section(config(LISTED), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", missing(), lab.now);
    lab.install(7);
    let actions = lab.actions();
    assert_eq!(actions[0], Action::Settled(Ok(())));
    assert!(matches!(&actions[1], Action::Condition(Some(why)) if why.contains("no such file")), "{actions:?}");

    let mut lab = Lab::standing(ONE);
    lab.engine.handle_section(config(LISTED), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", missing(), lab.now);
    let actions = lab.actions();
    let Action::Settled(Err(list)) = &actions[0] else { panic!("{actions:?}") };
    assert!(list[0].message.contains("no such file"));
    let span = list[0].span;
    assert_eq!(&LISTED[span.start..span.end], "\"bad\"");
    assert_eq!(actions[1], Action::Forget("bad.txt".to_owned()));
}

#[test]
fn what_could_not_be_mended_is_tried_again_soon_then_after_growing_pauses() {
    let mut lab = Lab::standing(ONE);
    lab.touched(9);
    assert!(matches!(lab.actions()[..], [Action::Touched(_), Action::Look]));
    for (round, pause) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        lab.existing(9);
        assert!(matches!(lab.action(), Action::Commit(_)));
        lab.answer(refused(1, EPERM));
        // Said once.
        let said = lab.actions();
        assert!(matches!((round, &said[..]), (0, [Action::Condition(Some(_))]) | (1.., [])), "{said:?}");
        lab.wait(Duration::from_millis(pause * 1000 - 1));
        assert_eq!(lab.actions(), []);
        lab.wait(Duration::from_millis(1));
        assert_eq!(lab.action(), Action::Look);
    }
    lab.existing(9);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    assert_eq!((lab.action(), lab.engine.poll_timeout()), (Action::Condition(None), None));
}

#[test]
fn parameters_that_could_not_be_set_are_tried_again_after_growing_pauses_and_told_until_they_are() {
    let mut lab = Lab::standing(ONE);
    assert!(lab.parameters.take().is_some());
    for pause in [1, 2, 4] {
        lab.engine.handle_parameters(Some("busy".to_owned()), lab.now);
        lab.wait(Duration::from_millis(pause * 1000 - 1));
        lab.actions();
        assert_eq!((lab.engine.condition(), lab.parameters.take()), (Some("busy"), None));
        assert_eq!(lab.engine.poll_timeout(), Some(lab.now + Duration::from_millis(1)));
        lab.wait(Duration::from_millis(1));
        lab.actions();
        assert!(lab.parameters.take().is_some());
    }
    // What stands otherwise is no reason to forget it.
    lab.touched(9);
    lab.actions();
    lab.existing(9);
    lab.actions();
    lab.answer(Vec::new());
    assert_eq!((lab.actions(), lab.engine.condition()), (vec![], Some("busy")));
    lab.engine.handle_parameters(None, lab.now);
    assert_eq!((lab.action(), lab.engine.poll_timeout()), (Action::Condition(None), None));
}

#[test]
fn another_section_sets_its_own_parameters_at_once() {
    let mut lab = Lab::standing(ONE);
    let options = r#"(zones: {"lan": (interfaces: ["lan0"])}, conntrack: (max: 4096))"#;
    lab.engine.handle_parameters(Some("busy".to_owned()), lab.now);
    lab.actions();
    lab.parameters = None;
    lab.engine.handle_section(config(options), lab.now);
    lab.install(8);
    assert_eq!(lab.actions(), [Action::Settled(Ok(()))]);
    let wanted = lab.parameters.take().unwrap();
    assert!(wanted.iter().any(|(name, value)| name.ends_with("nf_conntrack_max") && value == "4096"), "{wanted:?}");
    lab.engine.handle_parameters(None, lab.now);
    assert_eq!(lab.action(), Action::Condition(None));
}

#[test]
fn a_kernel_without_transparent_proxies_puts_fragments_together_by_tracking_connections() {
    const ENOENT: i32 = 2;
    const ENOMEM: i32 = 12;
    let mut lab = Lab::new();
    let stateless = r#"(zones: {"lan": (interfaces: ["lan0"])}, defaults: (stateful: false))"#;
    lab.engine.handle_section(config(stateless), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(7);
    let Action::Commit(batch) = lab.action() else { panic!("no batch") };
    assert!(has(&batch, b"tproxy") && !has(&batch, b"notrack"));
    let mut all = messages(Endian::Little, &batch).map(|message| message.unwrap());
    let sequence = all.find(|message| has(message.bytes, b"tproxy")).unwrap().sequence;
    // A lack of memory says nothing about what the kernel has.
    lab.answer(refused(sequence, ENOMEM));
    assert!(matches!(&lab.actions()[..], [Action::Settled(Err(_))]));
    lab.engine.handle_section(config(stateless), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(7);
    assert_eq!(lab.action(), Action::Commit(batch));
    lab.answer(refused(sequence, ENOENT));
    assert_eq!(lab.action(), Action::Look);
    lab.existing(7);
    let Action::Commit(batch) = lab.action() else { panic!("no batch") };
    assert!(!has(&batch, b"tproxy") && has(&batch, b"notrack"));
    lab.answer(Vec::new());
    assert_eq!(lab.actions(), [Action::Settled(Ok(()))]);
    // It is remembered.
    lab.engine.handle_section(config(stateless), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(8);
    let Action::Commit(batch) = lab.action() else { panic!("no batch") };
    assert!(!has(&batch, b"tproxy"));
}

#[test]
fn a_spurious_answer_is_nothing() {
    let mut lab = Lab::standing(ONE);
    lab.answer(Vec::new());
    lab.existing(3);
    lab.engine.handle_file("other.txt", Ok(b""), lab.now);
    lab.engine.handle_devices(vec!["eth0".to_owned()], lab.now);
    assert_eq!(lab.actions(), []);
}

#[test]
fn a_section_with_a_flowtable_waits_for_the_interfaces_and_follows_them() {
    let section = r#"(
        zones: {"lan": (interfaces: ["lan0"]), "wan": (interfaces: ["wan0"])},
        policies: [(from: ["lan"], to: ["wan"], then: Accept)],
        offload: (zones: ["lan", "wan"]),
    )"#;
    let mut lab = Lab::new();
    lab.engine.handle_section(config(section), lab.now);
    assert_eq!(lab.actions(), []);
    lab.engine.handle_devices(vec!["lan0".to_owned(), "lo".to_owned()], lab.now);
    assert_eq!(lab.action(), Action::Look);
    // One that comes while the first batch is on its way is not forgotten.
    lab.engine.handle_devices(vec!["lan0".to_owned(), "lo".to_owned(), "wan0".to_owned()], lab.now);
    lab.existing(7);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    assert_eq!(lab.actions(), [Action::Settled(Ok(())), Action::Look]);
    lab.existing(8);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    let flowtable = lab.engine.in_force().unwrap().ruleset.flowtable.as_ref().unwrap();
    assert_eq!(flowtable.devices, ["lan0", "wan0"]);
}

/// What the kernel has after this batch.
fn after(batch: &[u8]) -> Existing {
    let mut existing = Existing::default();
    existing.absorb(Endian::Little, batch).unwrap();
    existing
}

fn has(batch: &[u8], bytes: &[u8]) -> bool {
    batch.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn what_may_have_been_emptied_is_filled_even_if_that_fails_at_first() {
    const ADDRESS: [u8; 4] = [192, 0, 2, 1];
    let mut lab = Lab::new();
    lab.engine.handle_section(config(LISTED), lab.now);
    lab.actions();
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n"), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(7);
    let Action::Commit(first) = lab.action() else { panic!("no batch") };
    assert!(has(&first, &ADDRESS));
    let existing = after(&first);
    lab.answer(Vec::new());
    lab.actions();
    let round = |lab: &mut Lab, errors: Vec<Acknowledgement>| {
        lab.engine.handle_existing(Ok((9, existing.clone())), lab.now);
        let Some(Action::Commit(batch)) = lab.actions().pop() else { panic!("no batch") };
        lab.answer(errors);
        lab.actions();
        has(&batch, &ADDRESS)
    };
    lab.touched(9);
    assert!(round(&mut lab, refused(1, EPERM)), "the set is not filled");
    lab.wait(Duration::from_secs(1));
    assert!(round(&mut lab, Vec::new()), "what was to be filled was forgotten");
    // A set of the right name is believed to be whole otherwise.
    lab.engine.handle_section(config(LISTED), lab.now);
    assert!(!round(&mut lab, Vec::new()));
}

#[test]
fn what_was_touched_before_the_first_section_stood_is_looked_at_again() {
    const ADDRESS: [u8; 4] = [192, 0, 2, 1];
    let mut lab = Lab::new();
    lab.engine.handle_section(config(LISTED), lab.now);
    lab.actions();
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n"), lab.now);
    lab.actions();
    lab.existing(7);
    let Action::Commit(batch) = lab.action() else { panic!("no batch") };
    lab.touched(9);
    lab.answer(Vec::new());
    assert_eq!(lab.actions(), [Action::Settled(Ok(())), Action::Look]);
    lab.engine.handle_existing(Ok((9, after(&batch))), lab.now);
    assert!(matches!(lab.action(), Action::Commit(batch) if has(&batch, &ADDRESS)));
}

#[test]
fn sets_of_a_section_that_was_refused_are_removed_once() {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(LISTED), lab.now);
    lab.actions();
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n"), lab.now);
    lab.actions();
    lab.existing(7);
    let Action::Commit(first) = lab.action() else { panic!("no batch") };
    let existing = after(&first);
    lab.answer(Vec::new());
    lab.actions();
    let two = LISTED.replace(r#""bad":"#, r#""worse": (elements: ["192.0.2.9"]), "bad":"#);
    lab.engine.handle_section(config(&two.replace("\"@bad\"", "\"@worse\"")), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.engine.handle_existing(Ok((8, existing.clone())), lab.now);
    // The new set is taken, the new rules are not.
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(refused(1, EPERM));
    assert!(matches!(&lab.actions()[..], [Action::Settled(Err(_)), Action::Look]));
    // When that fails too it is tried again after a pause, not at once.
    lab.engine.handle_existing(Ok((9, existing)), lab.now);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(refused(1, EPERM));
    assert!(matches!(&lab.actions()[..], [Action::Condition(Some(_))]));
    assert_eq!(lab.engine.poll_timeout(), Some(lab.now + Duration::from_secs(1)));
}

#[test]
fn parameters_are_set_one_list_at_a_time() {
    let mut lab = Lab::standing(ONE);
    assert!(lab.parameters.take().is_some());
    // Another section while they are being set.
    lab.engine.handle_section(config(r#"(zones: {"lan": (interfaces: ["lan0"])}, conntrack: (max: 4096))"#), lab.now);
    lab.install(8);
    assert_eq!(lab.actions(), [Action::Settled(Ok(()))]);
    assert_eq!(lab.parameters, None);
    lab.engine.handle_parameters(None, lab.now);
    lab.actions();
    assert!(lab.parameters.take().unwrap().iter().any(|(_, value)| value == "4096"));
    lab.engine.handle_parameters(None, lab.now);
    assert_eq!((lab.actions(), lab.parameters.take(), lab.engine.poll_timeout()), (vec![], None, None));
}

/// A set with its own line of the section.
fn listed(set: &str) -> String {
    LISTED.replace(r#"file: "bad.txt""#, set)
}

/// So many different addresses, one a line.
fn lines(count: u32) -> String {
    (0..count).map(|number| format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0000 + number))).collect()
}

/// Elements of what is in force.
fn held(lab: &Lab) -> usize {
    let sets = &lab.engine.in_force().unwrap().ruleset.sets;
    sets.iter().filter(|set| set.named.as_deref() == Some("bad")).map(crate::ruleset::Set::len).sum()
}

/// A machine boots with this file.
fn booted(section: &str, file: &str) -> (Lab, Vec<Action>) {
    let mut lab = Lab::new();
    lab.engine.handle_section(config(section), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", Ok(file.as_bytes()), lab.now);
    lab.install(7);
    let actions = lab.actions();
    (lab, actions)
}

#[test]
fn a_list_that_outgrew_its_size_is_cut_when_a_machine_boots_and_told() {
    for (count, size) in [(70_000, 65_536), (8_000, 5_000)] {
        let (lab, actions) = booted(&listed(&format!(r#"file: "bad.txt", size: {size}"#)), &lines(count));
        let [Action::Settled(Ok(())), Action::Condition(Some(why))] = &actions[..] else { panic!("{actions:?}") };
        let surplus = count - size;
        let line = size + 1;
        assert!(
            why.starts_with(&format!("bad.txt:{line}: the set is full, {surplus} from here on do not fit")),
            "{why}"
        );
        assert!(why.ends_with(&format!("raise the set's `size` from {size} to {count}")), "{why}");
        assert_eq!(held(&lab), size as usize);
    }
}

#[test]
fn bad_lines_of_a_list_that_outgrew_its_size_take_no_room_and_both_are_told() {
    let text = format!("nonsense\n{}more\n{}", lines(4), lines(3));
    let (lab, actions) = booted(&listed(r#"elements: ["192.0.2.1"], file: "bad.txt", size: 3"#), &text);
    let [Action::Settled(Ok(())), Action::Condition(Some(why))] = &actions[..] else { panic!("{actions:?}") };
    assert!(why.starts_with("bad.txt:1: \"nonsense\" is not an address"), "{why}");
    assert!(why.contains("(and 1 more); bad.txt:4: the set is full, 5 from here on do not fit"), "{why}");
    assert!(why.ends_with("from 3 to 8"), "{why}");
    assert_eq!(held(&lab), 3);
}

#[test]
fn a_file_that_is_no_list_at_all_leaves_the_set_empty_and_is_told() {
    let text = format!("{}192.0.2.1\n", "nonsense\n".repeat(1001));
    let (lab, actions) = booted(LISTED, &text);
    let [Action::Settled(Ok(())), Action::Condition(Some(why))] = &actions[..] else { panic!("{actions:?}") };
    assert!(why.starts_with("bad.txt:1: ") && why.contains("more than 1000 lines"), "{why}");
    assert_eq!(held(&lab), 0);
}

#[test]
fn two_sets_of_one_file_get_what_fits_both() {
    let section = LISTED.replace(
        r#""bad": (file: "bad.txt")"#,
        r#""bad": (file: "bad.txt", size: 9), "worse": (file: "bad.txt", size: 2)"#,
    );
    let (lab, actions) = booted(&section, &lines(5));
    assert!(matches!(&actions[..], [Action::Settled(Ok(())), Action::Condition(Some(_))]), "{actions:?}");
    assert_eq!(held(&lab), 2);
}

#[test]
fn a_list_that_outgrows_its_size_leaves_its_set_as_it_was_and_raising_the_size_takes_all_of_it() {
    let (mut lab, actions) = booted(&listed(r#"file: "bad.txt", size: 2"#), &lines(2));
    assert_eq!(actions, [Action::Settled(Ok(()))]);
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\n192.0.2.7\n192.0.2.9\n"), lab.now);
    let Action::Condition(Some(why)) = lab.action() else { panic!("nobody was told") };
    assert!(why.starts_with("bad.txt:3: "), "{why}");
    assert_eq!(held(&lab), 2);
    // A section that does not mend it is refused, and leaves what is in force as it is.
    lab.engine.handle_section(config(&listed(r#"file: "bad.txt", size: 1"#)), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", Ok(lines(3).as_bytes()), lab.now);
    assert!(matches!(lab.action(), Action::Settled(Err(_))));
    // What is followed for what is in force is not forgotten.
    lab.engine.handle_section(config(&listed(r#"file: "bad.txt", size: 3"#)), lab.now);
    assert_eq!(lab.action(), Action::Read("bad.txt".to_owned()));
    lab.engine.handle_file("bad.txt", Ok(lines(3).as_bytes()), lab.now);
    lab.install(8);
    assert_eq!((lab.actions(), held(&lab)), (vec![Action::Settled(Ok(())), Action::Condition(None)], 3));
}

#[test]
fn what_can_be_read_of_a_bad_file_takes_the_place_of_what_was_not_whole_either() {
    let (mut lab, _) = booted(LISTED, "nonsense\n");
    assert_eq!(held(&lab), 0);
    lab.engine.handle_file("bad.txt", Ok(b"192.0.2.1\nnonsense\n192.0.2.7\n"), lab.now);
    lab.install(8);
    assert!(matches!(lab.action(), Action::Condition(Some(_))));
    assert_eq!(held(&lab), 2);
    // But not nothing.
    lab.engine.handle_file("bad.txt", Err("cannot read bad.txt".to_owned()), lab.now);
    assert!(matches!(lab.action(), Action::Condition(Some(_))));
    assert_eq!(held(&lab), 2);
}

#[test]
fn a_file_that_is_written_while_a_section_waits_is_not_forgotten_when_that_is_refused() {
    let waiting = listed(r#"file: "bad.txt"), "worse": (file: "worse.txt""#);
    let missing = || Err("cannot read worse.txt".to_owned());
    let (mut lab, _) = booted(LISTED, &lines(1));
    lab.engine.handle_section(config(&waiting), lab.now);
    assert_eq!(lab.action(), Action::Read("worse.txt".to_owned()));
    lab.engine.handle_file("bad.txt", Ok(lines(2).as_bytes()), lab.now);
    lab.engine.handle_file("worse.txt", missing(), lab.now);
    let actions = lab.actions();
    let [Action::Settled(Err(_)), Action::Forget(_), Action::Look] = &actions[..] else { panic!("{actions:?}") };
    lab.existing(8);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    assert_eq!((lab.actions(), held(&lab)), (vec![], 2));
    // By the kernel.
    lab.engine.handle_section(config(&waiting), lab.now);
    lab.actions();
    lab.engine.handle_file("bad.txt", Ok(lines(3).as_bytes()), lab.now);
    lab.engine.handle_file("worse.txt", Ok(b""), lab.now);
    assert_eq!(lab.action(), Action::Look);
    lab.existing(9);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(refused(1, EPERM));
    let actions = lab.actions();
    let [Action::Forget(_), Action::Settled(Err(_)), Action::Look] = &actions[..] else { panic!("{actions:?}") };
    lab.existing(9);
    assert!(matches!(lab.action(), Action::Commit(_)));
    lab.answer(Vec::new());
    assert_eq!((lab.actions(), held(&lab)), (vec![], 3));
    // By nobody: once is enough.
    lab.engine.handle_section(config(&waiting), lab.now);
    lab.actions();
    lab.engine.handle_file("bad.txt", Ok(lines(4).as_bytes()), lab.now);
    lab.engine.handle_file("worse.txt", Ok(b""), lab.now);
    lab.install(10);
    assert_eq!((lab.actions(), held(&lab)), (vec![Action::Settled(Ok(()))], 4));
}

/// A section with a set that loses its elements, and what the kernel has of it.
struct Expiring {
    lab: Lab,
    section: String,
    existing: Existing,
    generation: u32,
}

impl Expiring {
    const ADDRESS: [u8; 4] = [192, 0, 2, 1];

    fn new(set: &str, now: Instant) -> Self {
        let mut all = Self { lab: Lab::new(), section: listed(set), existing: Existing::default(), generation: 7 };
        all.lab.now = now;
        all
    }

    fn reload(&mut self) {
        self.lab.engine.handle_section(config(&self.section), self.lab.now);
    }

    fn write(&mut self, contents: &[u8]) {
        self.lab.wait(Duration::from_secs(3600));
        self.lab.engine.handle_file("bad.txt", Ok(contents), self.lab.now);
    }

    /// Whether the address is put in. The kernel takes everything.
    fn is_filled(&mut self) -> bool {
        let mut stages = Vec::new();
        loop {
            match self.lab.actions().pop() {
                Some(Action::Look) => {
                    self.lab.engine.handle_existing(Ok((self.generation, self.existing.clone())), self.lab.now);
                }
                Some(Action::Commit(batch)) => {
                    self.existing.absorb(Endian::Little, &batch).unwrap();
                    stages.push(batch);
                    self.generation += 1;
                    self.lab.answer(Vec::new());
                }
                _ => return stages.iter().any(|batch| has(batch, &Self::ADDRESS)),
            }
        }
    }
}

const EXPIRING: &str = r#"file: "bad.txt", timeout: "1h""#;

#[test]
fn a_set_whose_elements_time_out_is_filled_whenever_its_file_is_written() {
    let mut all = Expiring::new(EXPIRING, START);
    all.reload();
    assert_eq!(all.lab.action(), Action::Read("bad.txt".to_owned()));
    all.write(b"192.0.2.1\n");
    assert!(all.is_filled());
    all.write(b"192.0.2.1\n");
    assert!(all.is_filled(), "the same content is not put in again");
    // A reload is no write.
    all.lab.wait(Duration::from_secs(1800));
    all.reload();
    assert!(!all.is_filled(), "a reload begins the time anew");
    // A file that turned bad neither.
    all.write(b"192.0.2.1\nnonsense\n");
    assert!(matches!(&all.lab.actions()[..], [Action::Condition(Some(_))]));
    all.lab.touched(99);
    all.lab.actions();
    all.lab.engine.handle_existing(Ok((99, all.existing.clone())), all.lab.now);
    let before = all.existing.clone();
    let Action::Commit(batch) = all.lab.action() else { panic!("no batch") };
    all.existing.absorb(Endian::Little, &batch).unwrap();
    assert_eq!(all.existing, before, "it is another set");
    all.lab.answer(Vec::new());
    all.write(b"192.0.2.1\n");
    assert!(all.is_filled());
}

#[test]
fn a_restart_fills_a_set_whose_elements_time_out() {
    let mut first = Expiring::new(EXPIRING, START);
    first.reload();
    first.write(b"192.0.2.1\n");
    assert!(first.is_filled());
    let mut second = Expiring::new(EXPIRING, first.lab.now);
    (second.existing, second.generation) = (first.existing, first.generation);
    second.reload();
    second.write(b"192.0.2.1\n");
    assert!(second.is_filled());
}

#[test]
fn what_is_written_out_beside_a_file_comes_back_with_it() {
    let mut all = Expiring::new(r#"elements: ["192.0.2.1"], file: "bad.txt", timeout: "1h""#, START);
    all.reload();
    all.write(b"192.0.2.7\n");
    assert!(all.is_filled());
    all.write(b"192.0.2.7\n");
    assert!(all.is_filled());
}

#[test]
fn a_set_that_keeps_its_elements_or_that_packets_add_to_is_not_filled_again_by_the_same_file() {
    for set in [r#"file: "bad.txt""#, r#"file: "bad.txt", dynamic: true, timeout: "1h""#] {
        let mut all = Expiring::new(set, START);
        all.reload();
        all.write(b"192.0.2.1\n");
        assert!(all.is_filled());
        all.write(b"192.0.2.1\n");
        assert_eq!(all.lab.actions(), [], "{set}");
        all.reload();
        assert!(!all.is_filled(), "{set}");
    }
}

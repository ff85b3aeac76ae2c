//! Forged answers (RFC 5452), and what an honest server may look like beside them.

use super::*;

const ANSWER: [&[&str]; 3] = [&["www.example.com. 60 A 192.0.2.80"], &[], &[]];
const FORGED: [&[&str]; 3] = [&["www.example.com. 60 A 192.0.2.66"], &[], &[]];

#[test]
fn another_identifier_slot_question_or_type_is_not_taken() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    lab.ask("b.example.com", A);
    let (asked, other) = (lab.sent(), lab.sent());
    assert_ne!(asked.via, other.via);
    let good = reply(&asked, 0, FORGED);
    let mut id = good.clone();
    id[0] ^= 1;
    let mut name = good.clone();
    name[13] = b'x';
    let mut qtype = good.clone();
    qtype[12 + 17 + 1] = 28;
    let mut class = good.clone();
    class[12 + 17 + 3] = 3;
    let mut none = good[..12].to_vec();
    none[5] = 0;
    let mut two = good.clone();
    two[5] = 2;
    let mut question = good.clone();
    question[2] = 1;
    for message in [id, name, qtype, class, none, two, question, good[..11].to_vec()] {
        lab.respond(&asked, &message);
        assert!(lab.answers.is_empty());
    }
    lab.respond(&other, &good);
    assert!(lab.answers.is_empty());
    assert_eq!(lab.engine.stats().upstream_mismatched, 9);
    let message = reply(&asked, 0, ANSWER);
    lab.respond(&asked, &message);
    assert_eq!(answer_text(&lab.answers[0].1).1, ["www.example.com. 60 A 192.0.2.80"]);
}

#[test]
fn a_burst_of_wrong_answers_closes_the_socket_and_asks_over_tcp() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    let asked = lab.sent();
    let slot = asked.via.unwrap();
    for guess in 0..=MAX_MISMATCHES {
        assert!(lab.asked.is_empty() && lab.open.contains(&slot), "after {guess}");
        let mut message = reply(&asked, 0, FORGED);
        message[0] ^= 0x80;
        lab.respond(&asked, &message);
    }
    assert!(!lab.open.contains(&slot));
    let tcp = lab.sent();
    assert!(tcp.via.is_err());
    // The right one comes too late, for the port is known.
    let message = reply(&asked, 0, FORGED);
    lab.respond(&asked, &message);
    assert!(lab.answers.is_empty());
    let message = reply(&tcp, 0, ANSWER);
    lab.respond(&tcp, &message);
    assert_eq!(answer_text(&lab.answer()).1, ["www.example.com. 60 A 192.0.2.80"]);
    assert_eq!(lab.engine.stats().upstream_bursts, 1);
}

#[test]
fn identifiers_ports_and_case_vary() {
    let mut lab = Lab::new(settings());
    let (mut ids, mut slots, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..40 {
        lab.engine.flush();
        lab.ask("www.example.com", A);
        let asked = lab.sent();
        ids.push(asked.bytes[..2].to_vec());
        slots.push(asked.via.unwrap());
        names.push(asked.bytes[12..29].to_vec());
        let message = reply(&asked, 0, ANSWER);
        lab.respond(&asked, &message);
    }
    for values in [&mut ids, &mut names] {
        values.sort();
        values.dedup();
        assert!(values.len() > 35, "{}", values.len());
    }
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), SLOTS_PER_SERVER);
}

#[test]
fn sockets_are_replaced_after_so_many_questions_and_after_so_long() {
    let mut lab = Lab::new(Settings { rate: None, ..settings() });
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..SLOT_QUERIES * 20 {
        lab.ask(&format!("{number}.example.com"), A);
        seen.extend(lab.open.iter().copied());
        let asked = lab.sent();
        let message = reply(&asked, 3, [&[], &[], &[]]);
        lab.respond(&asked, &message);
        assert!(lab.open.len() <= SLOTS_PER_SERVER + RETIRED_PER_SERVER);
    }
    assert!((20..=28).contains(&seen.len()), "{}", seen.len());
}

/// The answer of a server that writes the question anew in lower case.
fn folded(asked: &Asked) -> Vec<u8> {
    let mut message = reply(asked, 0, ANSWER);
    message[12..29].make_ascii_lowercase();
    message
}

/// Asks, and answers in lower case over UDP and then over TCP.
fn answer_folded(lab: &mut Lab) {
    lab.engine.flush();
    lab.ask("www.example.com", A);
    let asked = lab.sent();
    let message = folded(&asked);
    lab.respond(&asked, &message);
    assert!(lab.answers.is_empty());
    let tcp = lab.sent();
    assert!(tcp.via.is_err());
    let message = folded(&tcp);
    lab.respond(&tcp, &message);
    lab.answer();
}

#[test]
fn a_lost_case_is_checked_over_tcp_until_the_server_is_known_for_it() {
    let mut lab = Lab::new(settings());
    for _ in 0..CASE_CHECKS {
        answer_folded(&mut lab);
    }
    assert!(lab.engine.servers(lab.now)[0].folds_case);
    lab.engine.flush();
    lab.ask("www.example.com", A);
    let asked = lab.sent();
    assert_eq!(asked.bytes[12..29], *b"\x03www\x07example\x03com\x00");
    let message = folded(&asked);
    lab.respond(&asked, &message);
    lab.answer();
    assert_eq!(lab.engine.stats().upstream_case, u64::from(CASE_CHECKS));
}

#[test]
fn a_server_that_keeps_the_case_once_is_not_known_for_losing_it() {
    let mut lab = Lab::new(settings());
    for round in 0..2 {
        for _ in 1..CASE_CHECKS {
            answer_folded(&mut lab);
        }
        lab.engine.flush();
        lab.ask("www.example.com", A);
        let asked = lab.sent();
        let message = reply(&asked, 0, ANSWER);
        lab.respond(&asked, &message);
        lab.answer();
        assert!(!lab.engine.servers(lab.now)[0].folds_case, "round {round}");
    }
}

#[test]
fn a_lost_case_is_taken_in_the_end_from_a_server_without_tcp() {
    let mut lab = Lab::new(settings());
    for _ in 0..CASE_CHECKS {
        lab.engine.flush();
        lab.ask("www.example.com", A);
        let asked = lab.sent();
        let message = folded(&asked);
        lab.respond(&asked, &message);
        let query = lab.sent().via.unwrap_err();
        lab.engine.handle_tcp_response(query, Err(()), lab.now);
        lab.drain();
        assert_eq!(lab.answer()[3] & 15, 2);
    }
    assert!(lab.engine.servers(lab.now)[0].folds_case);
}

#[test]
fn pointers_that_loop_or_lead_forward_are_malformed() {
    for pointer in [[0xc0, 0x21], [0xc0, 0x22], [0xc0, 0xff], [0xff, 0xff]] {
        let mut lab = Lab::new(settings());
        lab.ask("www.example.com", A);
        let asked = lab.sent();
        let mut message = reply(&asked, 0, [&[], &[], &[]]);
        message[7] = 1;
        assert_eq!(message.len(), 0x21);
        message.extend_from_slice(&pointer);
        message.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        lab.respond(&asked, &message);
        assert_eq!(lab.engine.stats().upstream_malformed, 1, "{pointer:x?}");
        assert_eq!(lab.answer()[3] & 15, 2);
    }
}

#[test]
fn aliases_that_loop_are_malformed() {
    let mut lab = Lab::new(settings());
    lab.ask("a.example.com", A);
    let answer = ["a.example.com. 60 CNAME b.example.com.", "b.example.com. 60 CNAME a.example.com."];
    lab.expect("a.example.com.", A, 0, [&answer, &[], &[]]);
    assert_eq!(lab.engine.stats().upstream_malformed, 1);
    assert_eq!(lab.answer()[3] & 15, 2);
}

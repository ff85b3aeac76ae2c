//! The client's side: errors, policy, EDNS, truncation (RFC 1035, RFC 6891, RFC 2181 section 9).

use super::*;

fn immediate(lab: &mut Lab, message: &[u8]) -> Option<Vec<u8>> {
    lab.send(udp(1), message);
    lab.answers.pop().map(|(_, bytes)| bytes)
}

#[test]
fn what_is_no_question_gets_no_answer() {
    let mut lab = Lab::new(settings());
    assert_eq!(immediate(&mut lab, b""), None);
    assert_eq!(immediate(&mut lab, &[0; 11]), None);
    let mut message = query(7, "example.com", A, Flags::default());
    message[2] |= 0x80;
    assert_eq!(immediate(&mut lab, &message), None);
    assert_eq!(lab.engine.stats().not_a_query, 3);
    assert!(lab.asked.is_empty());
}

#[test]
fn malformed_questions_and_other_opcodes_are_answered_with_an_error() {
    let mut lab = Lab::new(settings());
    let message = query(0x1234, "example.com", A, Flags::default());
    assert_eq!(immediate(&mut lab, &message[..20]).unwrap(), [0x12, 0x34, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut update = message.clone();
    update[2] = 5 << 3;
    assert_eq!(immediate(&mut lab, &update).unwrap(), [0x12, 0x34, 0xa8, 0x84, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lab.engine.stats().malformed_query, 2);
}

#[test]
fn other_classes_transfers_and_meta_types_are_refused() {
    let mut lab = Lab::new(settings());
    for qtype in [0, 41, 249, 250, 251, 252, 253, 254] {
        let message = query(7, "example.com", qtype, Flags::default());
        let answer = immediate(&mut lab, &message).unwrap();
        assert_eq!(answer[3] & 15, 5, "type {qtype}");
        assert_eq!(answer[12..], message[12..], "the question is there");
    }
    let mut chaos = query(7, "version.bind", 16, Flags::default());
    let last = chaos.len() - 1;
    chaos[last] = 3;
    assert_eq!(immediate(&mut lab, &chaos).unwrap()[3] & 15, 5);
    assert_eq!(lab.engine.stats().refused, 9);
}

#[test]
fn without_recursion_desired_only_what_is_known_is_answered() {
    let mut lab = Lab::new(settings());
    let message = query(7, "www.example.com", A, Flags { no_recursion: true, ..Flags::default() });
    let answer = immediate(&mut lab, &message).unwrap();
    assert_eq!((answer[2], answer[3]), (0x80, 0x85));
    lab.ask("www.example.com", A);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    lab.answer();
    let answer = immediate(&mut lab, &message).unwrap();
    assert_eq!((answer[2], answer[3], answer[7]), (0x80, 0x80, 1));
}

#[test]
fn another_edns_version_is_badvers_by_rfc_6891_section_6_1_3() {
    let mut lab = Lab::new(settings());
    let mut message = query(7, "example.com", A, Flags { edns: Some(4096), ..Flags::default() });
    let version = message.len() - 5;
    message[version] = 1;
    let answer = immediate(&mut lab, &message).unwrap();
    assert_eq!(answer[3] & 15, 0);
    assert_eq!(answer[answer.len() - 11..], [0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn policies_are_by_client() {
    let clients = vec![
        (IpPrefix::new("2001:db8:1::".parse().unwrap(), 48), Policy::NoSynthesis),
        (IpPrefix::new("2001:db8:2::".parse().unwrap(), 48), Policy::AOnly),
        (IpPrefix::new("2001:db8:3::".parse().unwrap(), 48), Policy::Refuse),
    ];
    let mut lab = Lab::new(Settings { clients, ..settings() });
    let message = query(7, "www.example.com", AAAA, Flags::default());

    lab.send(client(Transport::Udp, "[2001:db8:1::1]:4000"), &message);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec![]));

    lab.send(client(Transport::Udp, "[2001:db8:2::1]:4000"), &message);
    assert_eq!(text(&lab.answer()), (0, [vec![], vec![], vec![]]));

    lab.send(client(Transport::Udp, "[2001:db8:3::1]:4000"), &message);
    assert_eq!(answer_text(&lab.answer()), (5, vec![]));

    // The kept answer without synthesis is not given to one who has it.
    lab.send(udp(1), &message);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, vec!["www.example.com. 60 AAAA 64:ff9b::c000:250".to_owned()]);

    let ipv4only = query(7, "ipv4only.arpa", AAAA, Flags::default());
    lab.send(client(Transport::Udp, "[2001:db8:1::1]:4000"), &ipv4only);
    assert_eq!(answer_text(&lab.answer()), (0, vec![]));
}

/// Fills the cache with an answer of `count` records for `big.example.com`, and an additional section.
fn big(count: u8) -> Lab {
    let mut lab = Lab::new(settings());
    lab.ask("big.example.com", A);
    let records: Vec<String> = (0..count).map(|number| format!("big.example.com. 60 A 192.0.2.{number}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let (authority, additional) = (["example.com. 60 NS ns.example.com."], ["ns.example.com. 60 A 192.0.2.53"]);
    lab.expect("big.example.com.", A, 0, [&records, &authority, &additional]);
    lab.answers.clear();
    lab
}

#[test]
fn answers_fit_what_the_client_takes_at_each_size() {
    let mut lab = big(60);
    let whole = {
        lab.send(client(Transport::Tcp(1), "[2001:db8::1]:4000"), &query(7, "big.example.com", A, Flags::default()));
        lab.answer()
    };
    let (_, [answer, authority, additional]) = text(&whole);
    assert_eq!((answer.len(), authority.len(), additional.len()), (60, 1, 1));
    let mut kinds = std::collections::BTreeSet::new();
    for size in 0..1300 {
        lab.send(udp(1), &query(7, "big.example.com", A, Flags { edns: Some(size), ..Flags::default() }));
        let bytes = lab.answer();
        assert!(bytes.len() <= usize::from(size.clamp(512, 1232)), "{} for {size}", bytes.len());
        let truncated = bytes[2] & 2 != 0;
        let (rcode, sections) = text(&bytes);
        let counts = sections.map(|section| section.len());
        assert_eq!(rcode, 0);
        assert_eq!(truncated, counts[0] == 0);
        kinds.insert((truncated, counts));
        assert_eq!(bytes[bytes.len() - 11..], [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    // 12 + 21 + 60 * 16 is 993 bytes with the answer alone.
    let expected = [(false, [60, 0, 0]), (false, [60, 1, 0]), (false, [60, 1, 1]), (true, [0, 0, 0])];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn without_edns_an_answer_has_512_bytes_at_most() {
    let mut lab = big(40);
    lab.ask("big.example.com", A);
    let answer = lab.answer();
    assert_eq!(answer[2] & 2, 2);
    assert_eq!(answer[4..12], [0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lab.engine.stats().truncated, 2);
    let mut lab = big(20);
    lab.ask("big.example.com", A);
    assert_eq!(answer_text(&lab.answer()).1.len(), 20);
}

#[test]
fn a_negative_answer_that_does_not_fit_is_truncated_and_keeps_its_response_code() {
    let mut lab = Lab::new(settings());
    lab.ask("no.example.com", A);
    let long = format!("{}.{}.{}.example.com", "a".repeat(60), "b".repeat(60), "c".repeat(60));
    let texts: Vec<String> = (0..3).map(|number| format!("{number}.{long}. 60 TXT x")).collect();
    let mut authority: Vec<&str> = texts.iter().map(String::as_str).collect();
    authority.push(SOA);
    let other = format!(
        "d.{}. 60 SOA e.{} f.{} 1 2 3 4 5",
        long.replace('a', "x"),
        long.replace('a', "y"),
        long.replace('b', "z")
    );
    authority.push(&other);
    lab.expect("no.example.com.", A, 3, [&[], &authority, &[]]);
    let answer = lab.answer();
    assert_eq!((answer[2] & 2, answer[3] & 15, answer.len()), (2, 3, 32));
}

#[test]
fn questions_over_tcp_are_answered_on_their_connection() {
    let mut lab = Lab::new(settings());
    let tcp = client(Transport::Tcp(9), "[2001:db8::1]:4000");
    lab.send(tcp, &query(7, "www.example.com", A, Flags::default()));
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(lab.answers[0].0, tcp);
    assert_eq!(lab.engine.stats().queries_tcp, 1);
}

#[test]
fn the_same_question_of_several_is_asked_once_and_each_gets_the_answer() {
    let mut lab = Lab::new(settings());
    lab.send(udp(1), &query(7, "www.example.com", A, Flags::default()));
    lab.send(udp(2), &query(8, "WWW.example.com", A, Flags { edns: Some(1232), ..Flags::default() }));
    lab.send(udp(1), &query(7, "www.example.com", A, Flags::default()));
    assert_eq!((lab.asked.len(), lab.engine.outstanding()), (1, (2, 1)));
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(lab.answers.len(), 2);
    assert_eq!((lab.answers[0].0, lab.answers[0].1[1]), (udp(1), 7));
    assert_eq!((lab.answers[1].0, lab.answers[1].1[1], lab.answers[1].1[11]), (udp(2), 8, 1));
    assert_eq!(lab.answers[1].1[12..16], *b"\x03WWW");
    assert_eq!((lab.engine.stats().coalesced, lab.engine.stats().repeated), (1, 1));
    assert_eq!(lab.engine.outstanding(), (0, 0));
}

#[test]
fn ipv4_clients_on_a_socket_for_both_families_have_their_policy() {
    let clients = vec![(IpPrefix::new("192.0.2.0".parse().unwrap(), 24), Policy::AOnly)];
    let mut lab = Lab::new(Settings { clients, ..settings() });
    for address in ["192.0.2.7:4000", "[::ffff:192.0.2.7]:4000"] {
        lab.send(client(Transport::Udp, address), &query(7, "www.example.com", AAAA, Flags::default()));
        assert_eq!(text(&lab.answer()), (0, [vec![], vec![], vec![]]));
    }
}

#[test]
fn an_edns_size_below_512_counts_as_512_by_rfc_6891_section_6_2_3() {
    let mut lab = big(20);
    lab.send(udp(1), &query(7, "big.example.com", A, Flags { edns: Some(100), ..Flags::default() }));
    assert_eq!(answer_text(&lab.answer()).1.len(), 20);
}

#[test]
fn with_do_the_authority_section_may_hold_proofs_and_is_not_left_out() {
    let mut lab = Lab::new(settings());
    let flags = |size| Flags { edns: Some(size), dnssec_ok: true, ..Flags::default() };
    lab.send(udp(1), &query(7, "www.example.com", A, flags(1232)));
    let long = format!("{}.example.com", "x".repeat(60));
    let texts: Vec<String> = (0..9).map(|number| format!("{number}.{long}. 60 TXT {}", "y".repeat(60))).collect();
    let authority: Vec<&str> = texts.iter().map(String::as_str).collect();
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &authority, &[]]);
    assert_eq!(lab.answer()[2] & 2, 0);
    lab.send(udp(1), &query(7, "www.example.com", A, flags(512)));
    assert_eq!(lab.answer()[2] & 2, 2);
}

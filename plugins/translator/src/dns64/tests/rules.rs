//! RFC 6147 section 5, rule by rule; section 5.3.1 is in `reverse.rs`, section 5.5 in `dnssec.rs`.

use super::*;

#[test]
fn section_5_1_1_an_answer_with_aaaa_is_passed_on() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&["www.example.com. 60 AAAA 2001:db8::80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec!["www.example.com. 60 AAAA 2001:db8::80".into()]));
}

#[test]
fn section_5_1_2_a_name_error_is_returned() {
    let mut lab = Lab::new(settings());
    lab.ask("no.example.com", AAAA);
    lab.expect("no.example.com.", AAAA, 3, [&[], &[SOA], &[]]);
    let (rcode, [answer, authority, _]) = text(&lab.answer());
    assert_eq!((rcode, answer.len(), authority.len()), (3, 0, 1));
}

#[test]
fn section_5_1_2_other_response_codes_count_as_empty() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 2, [&[], &[], &[]]);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec!["www.example.com. 60 AAAA 64:ff9b::c000:250".into()]));
}

#[test]
fn section_5_1_3_a_timeout_counts_as_server_failure_and_so_as_empty() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    let start = lab.now;
    while lab.answers.is_empty() && lab.asked.back().is_some_and(|asked| asked.question().1 == AAAA) {
        lab.run(Duration::from_millis(10));
    }
    assert!(lab.now.since(start) <= Duration::from_millis(3010), "{:?}", lab.now.since(start));
    let last = lab.asked.pop_back().unwrap();
    lab.asked.clear();
    let message = reply(&last, 0, [&["www.example.com. 900 A 192.0.2.80"], &[], &[]]);
    lab.respond(&last, &message);
    assert_eq!(answer_text(&lab.answer()), (0, vec!["www.example.com. 600 AAAA 64:ff9b::c000:250".into()]));
}

#[test]
fn section_5_1_4_excluded_aaaa_count_as_empty() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&["www.example.com. 60 AAAA ::ffff:192.0.2.1"], &[], &[]]);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec!["www.example.com. 60 AAAA 64:ff9b::c000:250".into()]));
}

#[test]
fn section_5_1_4_excluded_aaaa_beside_others_are_not_returned() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    let answer = [
        "www.example.com. 60 AAAA ::ffff:192.0.2.1",
        "www.example.com. 60 AAAA 2001:db8::80",
        "www.example.com. 60 RRSIG 28 example.com.",
    ];
    lab.expect("www.example.com.", AAAA, 0, [&answer, &[], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec!["www.example.com. 60 AAAA 2001:db8::80".into()]));
}

#[test]
fn section_5_1_5_a_chain_of_cname_is_kept_and_its_end_is_synthesised() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    let chain = ["www.example.com. 60 CNAME a.example.net.", "a.example.net. 50 CNAME b.example.org."];
    lab.expect("www.example.com.", AAAA, 0, [&chain, &[SOA], &[]]);
    let answer = [chain[0], chain[1], "b.example.org. 40 A 192.0.2.80"];
    lab.expect("www.example.com.", A, 0, [&answer, &[], &[]]);
    let expected = [
        "www.example.com. 60 CNAME a.example.net.",
        "a.example.net. 50 CNAME b.example.org.",
        "b.example.org. 40 AAAA 64:ff9b::c000:250",
    ];
    assert_eq!(answer_text(&lab.answer()), (0, expected.map(String::from).to_vec()));
}

#[test]
fn section_5_1_5_a_chain_with_dname_is_kept() {
    let mut lab = Lab::new(settings());
    lab.ask("www.sub.example.com", AAAA);
    let chain = ["sub.example.com. 60 DNAME example.net.", "www.sub.example.com. 60 CNAME www.example.net."];
    lab.expect("www.sub.example.com.", AAAA, 0, [&chain, &[SOA], &[]]);
    let answer = [chain[0], chain[1], "www.example.net. 40 A 192.0.2.80"];
    lab.expect("www.sub.example.com.", A, 0, [&answer, &[], &[]]);
    let expected = [
        "sub.example.com. 60 DNAME example.net.",
        "www.sub.example.com. 60 CNAME www.example.net.",
        "www.example.net. 40 AAAA 64:ff9b::c000:250",
    ];
    assert_eq!(answer_text(&lab.answer()), (0, expected.map(String::from).to_vec()));
}

#[test]
fn section_5_1_5_a_chain_that_ends_in_aaaa_is_passed_on() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    let chain = ["www.example.com. 60 CNAME a.example.net.", "a.example.net. 50 AAAA 2001:db8::80"];
    lab.expect("www.example.com.", AAAA, 0, [&chain, &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, chain.map(String::from).to_vec());
}

#[test]
fn section_5_1_6_without_a_the_empty_answer_to_a_is_the_basis() {
    let mut lab = Lab::new(settings());
    lab.ask("mail.example.com", AAAA);
    lab.expect("mail.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    lab.expect("mail.example.com.", A, 0, [&[], &[SOA], &[]]);
    let (rcode, [answer, authority, _]) = text(&lab.answer());
    // The SOA lives as long as the absence holds: its minimum.
    let soa = "example.com. 120 SOA ns.example.com. root.example.com. 1 2 3 4 120";
    assert_eq!((rcode, answer.len(), authority), (0, 0, vec![soa.to_owned()]));
}

#[test]
fn section_5_1_6_an_error_of_the_a_question_is_the_basis() {
    let mut lab = Lab::new(settings());
    lab.ask("mail.example.com", AAAA);
    lab.expect("mail.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    lab.expect("mail.example.com.", A, 2, [&[], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()), (2, vec![]));
}

#[test]
fn section_5_1_7_the_time_to_live_is_that_of_a_or_of_the_soa_record() {
    for (soa, a, ttl) in [
        (Some(("300", "120")), "900", 120),
        (Some(("100", "120")), "900", 100),
        (Some(("300", "120")), "30", 30),
        (None, "900", 600),
        (None, "30", 30),
    ] {
        let mut lab = Lab::new(settings());
        lab.ask("www.example.com", AAAA);
        let soa = soa
            .map(|(ttl, minimum)| format!("example.com. {ttl} SOA ns.example.com. r.example.com. 1 2 3 4 {minimum}"));
        let authority: Vec<&str> = soa.iter().map(String::as_str).collect();
        lab.expect("www.example.com.", AAAA, 0, [&[], &authority, &[]]);
        let address = format!("www.example.com. {a} A 192.0.2.80");
        lab.expect("www.example.com.", A, 0, [&[&address], &[], &[]]);
        let expected = format!("www.example.com. {ttl} AAAA 64:ff9b::c000:250");
        assert_eq!(answer_text(&lab.answer()).1, vec![expected]);
    }
}

#[test]
fn section_5_1_7_excluded_a_records_are_not_synthesised() {
    let exclude_a = vec![IpPrefix::new("10.0.0.0".parse().unwrap(), 8)];
    let mut lab = Lab::new(Settings { exclude_a, ..settings() });
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    let a = ["www.example.com. 60 A 10.1.2.3", "www.example.com. 60 A 192.0.2.80"];
    lab.expect("www.example.com.", A, 0, [&a, &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, vec!["www.example.com. 60 AAAA 64:ff9b::c000:250".to_owned()]);

    lab.ask("in.example.com", AAAA);
    lab.expect("in.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    lab.expect("in.example.com.", A, 0, [&["in.example.com. 60 A 10.1.2.3"], &[], &[]]);
    let (rcode, [answer, authority, _]) = text(&lab.answer());
    assert_eq!((rcode, answer.len(), authority.len()), (0, 0, 1));
}

#[test]
fn section_5_2_each_prefix_gives_one_address() {
    let other = Pref64::new("2001:db8:64::".parse().unwrap(), 48).unwrap();
    let mut lab = Lab::new(Settings { prefixes: vec![other, Pref64::WELL_KNOWN], ..settings() });
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    let expected = ["www.example.com. 60 AAAA 2001:db8:64:c000:2:5000::", "www.example.com. 60 AAAA 64:ff9b::c000:250"];
    assert_eq!(answer_text(&lab.answer()).1, expected.map(String::from).to_vec());
}

#[test]
fn without_a_prefix_nothing_is_synthesised() {
    let mut lab = Lab::new(Settings { prefixes: Vec::new(), ..settings() });
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec![]));
}

#[test]
fn section_5_3_2_the_additional_section_is_passed_on_and_not_synthesised() {
    let mut lab = Lab::new(settings());
    lab.ask("example.com", 15);
    let additional = ["mx.example.com. 60 A 192.0.2.25"];
    lab.expect("example.com.", 15, 0, [&["example.com. 60 MX 10 mx.example.com."], &[], &additional]);
    let (_, [answer, _, additional]) = text(&lab.answer());
    assert_eq!(answer, ["example.com. 60 MX 10 mx.example.com."]);
    assert_eq!(additional, ["mx.example.com. 60 A 192.0.2.25"]);
}

#[test]
fn section_5_3_3_other_types_are_passed_on() {
    let mut lab = Lab::new(settings());
    for (qtype, data) in
        [(A, "A 192.0.2.80"), (16, "TXT hello"), (ANY, "A 192.0.2.80"), (CNAME, "CNAME a.example.net.")]
    {
        lab.ask("x.example.com", qtype);
        lab.expect("x.example.com.", qtype, 0, [&[&format!("x.example.com. 60 {data}")], &[], &[]]);
        let (rcode, answer) = answer_text(&lab.answer());
        assert_eq!((rcode, answer.len()), (0, 1), "{data}");
    }
}

#[test]
fn section_5_4_authority_and_additional_are_those_of_the_last_question() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &["first.example.com. 60 A 192.0.2.1"]]);
    let authority = ["example.com. 60 NS ns.example.com."];
    let additional = ["ns.example.com. 60 A 192.0.2.53"];
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &authority, &additional]);
    let (_, [_, found_authority, found_additional]) = text(&lab.answer());
    assert_eq!(found_authority, authority);
    assert_eq!(found_additional, additional);
}

#[test]
fn section_5_4_the_question_is_that_of_the_client() {
    let mut lab = Lab::new(settings());
    lab.ask("wWw.Example.COM", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    let answer = lab.answer();
    assert_eq!(answer[..2], [0, 7]);
    assert_eq!(answer[12..33], *b"\x03wWw\x07Example\x03COM\x00\x00\x1c\x00\x01");
    assert_eq!(answer[2..4], [0x81, 0x80]);
}

#[test]
fn excluded_names_are_never_and_always_names_always_synthesised() {
    let (exclude_names, always_names) =
        (vec!["v6.example.com".parse().unwrap()], vec!["v4.example.com".parse().unwrap()]);
    let mut lab = Lab::new(Settings { exclude_names, always_names, ..settings() });
    lab.ask("a.v6.example.com", AAAA);
    lab.expect("a.v6.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec![]));

    lab.ask("a.v4.example.com", AAAA);
    lab.expect("a.v4.example.com.", A, 0, [&["a.v4.example.com. 60 A 192.0.2.80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, vec!["a.v4.example.com. 60 AAAA 64:ff9b::c000:250".to_owned()]);

    lab.ask("b.v4.example.com", AAAA);
    lab.expect("b.v4.example.com.", A, 0, [&[], &[SOA], &[]]);
    lab.expect("b.v4.example.com.", AAAA, 0, [&["b.v4.example.com. 60 AAAA 2001:db8::80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, vec!["b.v4.example.com. 60 AAAA 2001:db8::80".to_owned()]);
}

#[test]
fn records_that_do_not_belong_to_the_question_are_not_taken() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    let answer = ["www.example.com. 60 TXT x", "www.example.com. 60 A 192.0.2.80", "bank.example. 60 A 192.0.2.66"];
    lab.expect("www.example.com.", A, 0, [&answer, &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, vec!["www.example.com. 60 A 192.0.2.80".to_owned()]);
}

#[test]
fn a_known_a_record_is_not_asked_again() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
    lab.answer();
    lab.run(Duration::from_secs(10));
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, vec!["www.example.com. 50 AAAA 64:ff9b::c000:250".to_owned()]);
}

#[test]
fn names_inside_of_records_are_written_anew_where_pointers_would_lead_elsewhere() {
    let mut lab = Lab::new(settings());
    lab.ask("example.com", 15);
    let asked = lab.sent();
    let mut message = reply(&asked, 0, [&["junk.example. 60 TXT x"], &[], &[]]);
    message[7] = 2;
    // example.com. MX 10 mx.sub.example.com. and SOA, with pointers into the question and into each other.
    message.extend_from_slice(b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x3c\x00\x0b\x00\x0a\x02mx\x03sub\xc0\x0c");
    let mx = u8::try_from(message.len() - 9).unwrap();
    message[11] = 1;
    message.extend_from_slice(&[0xc0, mx]);
    message.extend_from_slice(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x19");
    lab.respond(&asked, &message);
    let (_, [answer, _, additional]) = text(&lab.answer());
    assert_eq!(answer, ["example.com. 60 MX 10 mx.sub.example.com."]);
    assert_eq!(additional, ["mx.sub.example.com. 60 A 192.0.2.25"]);
}

#[test]
fn a_large_answer_is_synthesised_for_tcp() {
    let mut lab = Lab::new(settings());
    let tcp = client(Transport::Tcp(1), "[2001:db8::1]:4000");
    lab.send(tcp, &query(7, "big.example.com", AAAA, Flags::default()));
    lab.expect("big.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    let asked = lab.sent();
    let mut message = reply(&asked, 0, [&[], &[], &[]]);
    message[6..8].copy_from_slice(&1000_u16.to_be_bytes());
    for number in 0..1000_u16 {
        message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x12");
        message.extend_from_slice(&number.to_be_bytes());
    }
    lab.respond(&asked, &message);
    let answer = lab.answer();
    assert_eq!(answer.len(), 12 + 21 + 1000 * 28);
    let expected = format!("big.example.com. 60 AAAA 64:ff9b::c612:{:x}", 999);
    assert_eq!(answer_text(&answer).1[999], expected);
}

#[test]
fn section_5_1_7_a_synthesised_answer_is_kept_no_longer_than_the_absence_of_aaaa() {
    let mut lab = Lab::new(settings());
    let ask = |lab: &mut Lab, ttl: &str| {
        lab.ask("www.example.com", AAAA);
        lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
        if ttl == "900" {
            lab.expect("www.example.com.", A, 0, [&["www.example.com. 900 A 192.0.2.80"], &[], &[]]);
        }
        assert_eq!(answer_text(&lab.answer()).1.len(), 1);
    };
    ask(&mut lab, "900");
    lab.run(Duration::from_secs(119));
    lab.ask("www.example.com", AAAA);
    assert_eq!(answer_text(&lab.answer()).1, ["www.example.com. 1 AAAA 64:ff9b::c000:250"]);
    lab.run(Duration::from_secs(1));
    // AAAA is asked again, A is still known.
    ask(&mut lab, "780");
}

#[test]
fn section_5_1_7_an_soa_record_beside_excluded_aaaa_limits_nothing() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&["www.example.com. 60 AAAA ::ffff:192.0.2.1"], &[SOA], &[]]);
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 900 A 192.0.2.80"], &[], &[]]);
    assert_eq!(answer_text(&lab.answer()).1, ["www.example.com. 600 AAAA 64:ff9b::c000:250"]);
}

#[test]
fn an_alias_with_bytes_behind_its_name_is_malformed() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    let asked = lab.sent();
    let mut message = reply(&asked, 0, [&["www.example.com. 60 CNAME a.example.net."], &[], &[]]);
    let length = message.len() - 16;
    message[length] += 1;
    message.push(0);
    lab.respond(&asked, &message);
    assert_eq!(lab.engine.stats().upstream_malformed, 1);
}

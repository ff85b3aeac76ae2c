//! What is kept, for how long, and that it comes out as it went in (RFC 2308).

use super::*;

#[test]
fn a_hit_differs_from_the_first_answer_in_identifier_and_time_to_live_only() {
    let mut lab = Lab::new(settings());
    lab.send(udp(1), &query(0x1111, "www.example.com", AAAA, Flags { edns: Some(1232), ..Flags::default() }));
    lab.expect("www.example.com.", AAAA, 0, [&["www.example.com. 60 CNAME a.example.net."], &[SOA], &[]]);
    let answer = ["www.example.com. 60 CNAME a.example.net.", "a.example.net. 90 A 192.0.2.80"];
    let authority = ["example.net. 300 NS ns.example.net."];
    lab.expect("www.example.com.", A, 0, [&answer, &authority, &["ns.example.net. 20 A 192.0.2.53"]]);
    let first = lab.answer();
    lab.run(Duration::from_secs(25));
    lab.send(udp(2), &query(0x2222, "WWW.example.com", AAAA, Flags { edns: Some(1232), ..Flags::default() }));
    let second = lab.answer();
    assert_eq!(lab.engine.stats().cache_hits, 1);

    let mut expected = first.clone();
    expected[..2].copy_from_slice(&[0x22, 0x22]);
    expected[13..16].copy_from_slice(b"WWW");
    let mut ttls = 0;
    for (before, after) in [(60, 35), (90, 65), (300, 275), (20, 0_u32)] {
        let at = (33..expected.len() - 4).find(|at| expected[*at..at + 4] == u32::to_be_bytes(before)).unwrap();
        expected[at..at + 4].copy_from_slice(&after.to_be_bytes());
        ttls += 1;
    }
    assert_eq!((second, ttls), (expected, 4));
}

#[test]
fn a_positive_answer_is_kept_as_long_as_its_shortest_record() {
    let mut lab = Lab::new(settings());
    let answer = ["www.example.com. 60 CNAME a.example.net.", "a.example.net. 20 A 192.0.2.80"];
    lab.ask("www.example.com", A);
    lab.expect("www.example.com.", A, 0, [&answer, &[], &[]]);
    lab.answer();
    lab.run(Duration::from_secs(19));
    lab.ask("www.example.com", A);
    assert_eq!(answer_text(&lab.answer()).1[1], "a.example.net. 1 A 192.0.2.80");
    lab.run(Duration::from_secs(1));
    lab.ask("www.example.com", A);
    lab.expect("www.example.com.", A, 0, [&answer, &[], &[]]);
}

#[test]
fn negative_answers_are_kept_by_their_soa_record_and_not_without_one() {
    for rcode in [0, 3] {
        let mut lab = Lab::new(settings());
        lab.ask("no.example.com", A);
        lab.expect("no.example.com.", A, rcode, [&[], &[SOA], &[]]);
        lab.answer();
        lab.run(Duration::from_secs(119));
        lab.ask("no.example.com", A);
        let (found, [_, authority, _]) = text(&lab.answer());
        let soa = "example.com. 1 SOA ns.example.com. root.example.com. 1 2 3 4 120";
        assert_eq!((found, authority), (rcode, vec![soa.to_owned()]));
        lab.run(Duration::from_secs(1));
        lab.ask("no.example.com", A);
        assert_eq!(lab.asked.len(), 1);
    }
    let mut lab = Lab::new(settings());
    lab.ask("no.example.com", A);
    lab.expect("no.example.com.", A, 3, [&[], &[], &[]]);
    lab.answer();
    lab.ask("no.example.com", A);
    assert_eq!(lab.asked.len(), 1);
}

#[test]
fn negative_answers_are_kept_for_three_hours_at_most() {
    let mut lab = Lab::new(settings());
    lab.ask("no.example.com", A);
    let soa = "example.com. 90000 SOA ns.example.com. root.example.com. 1 2 3 4 90000";
    lab.expect("no.example.com.", A, 3, [&[], &[soa], &[]]);
    lab.answer();
    assert_eq!(lab.engine.cache_rows(10, lab.now)[0].ttl, MAX_NEGATIVE_TTL);
}

#[test]
fn times_to_live_are_kept_within_the_settings_and_the_top_bit_means_zero() {
    let mut lab = Lab::new(Settings { min_ttl: 30, max_ttl: 100, ..settings() });
    lab.ask("www.example.com", A);
    let answer = [
        "www.example.com. 1 A 192.0.2.1",
        "www.example.com. 86400 A 192.0.2.2",
        "www.example.com. 2147483648 A 192.0.2.3",
    ];
    lab.expect("www.example.com.", A, 0, [&answer, &[], &[]]);
    let expected =
        ["www.example.com. 30 A 192.0.2.1", "www.example.com. 100 A 192.0.2.2", "www.example.com. 30 A 192.0.2.3"];
    assert_eq!(answer_text(&lab.answer()).1, expected);
}

#[test]
fn do_and_cd_have_answers_of_their_own() {
    let mut lab = Lab::new(settings());
    let flags = Flags { edns: Some(1232), ..Flags::default() };
    for flags in [
        flags,
        Flags { dnssec_ok: true, ..flags },
        Flags { checking_disabled: true, ..flags },
        Flags { dnssec_ok: true, checking_disabled: true, ..flags },
    ] {
        lab.send(udp(1), &query(7, "www.example.com", A, flags));
        lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
        lab.answer();
    }
    assert_eq!(lab.engine.cache_size().0, 4);
}

#[test]
fn a_failure_is_kept_for_a_moment_by_rfc_9520() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", A);
    lab.expect("www.example.com.", A, 5, [&[], &[], &[]]);
    assert_eq!(lab.answer()[3] & 15, 2);
    lab.run(Duration::from_secs(4));
    lab.ask("www.example.com", A);
    assert_eq!(lab.answer()[3] & 15, 2);
    lab.run(Duration::from_secs(1));
    lab.ask("www.example.com", A);
    assert_eq!(lab.asked.len(), 1);
}

#[test]
fn rows_show_what_is_kept_and_a_flush_forgets_it() {
    let mut lab = Lab::new(settings());
    lab.ask("www.example.com", AAAA);
    lab.expect("www.example.com.", AAAA, 0, [&["www.example.com. 60 AAAA 2001:db8::80"], &[], &[]]);
    lab.answer();
    let row = CacheRow { name: "www.example.com.".into(), qtype: AAAA, rcode: 0, answers: 1, ttl: 60, synthesis: true };
    assert_eq!(lab.engine.cache_rows(10, lab.now), [row]);
    assert!(lab.engine.cache_rows(0, lab.now).is_empty());
    lab.engine.flush();
    assert_eq!(lab.engine.cache_size(), (0, 0));
}

#[test]
fn other_prefixes_forget_what_was_made_with_the_old_ones() {
    let mut lab = Lab::new(settings());
    let ask = |lab: &mut Lab| {
        lab.ask("www.example.com", AAAA);
        lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
        lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
        answer_text(&lab.answer()).1
    };
    assert_eq!(ask(&mut lab), ["www.example.com. 60 AAAA 64:ff9b::c000:250"]);
    lab.engine.reconfigure(Settings { timeout: Duration::from_secs(3), ..settings() }, lab.now);
    assert_eq!(lab.engine.cache_size().0, 2, "what would not change stays");
    let prefix = Pref64::new("2001:db8:64::".parse().unwrap(), 96).unwrap();
    lab.engine.reconfigure(Settings { prefixes: vec![prefix], ..settings() }, lab.now);
    assert_eq!(ask(&mut lab), ["www.example.com. 60 AAAA 2001:db8:64::c000:250"]);
}

#[test]
fn each_setting_that_changes_answers_forgets_them() {
    let any = || vec![IpPrefix::new("10.0.0.0".parse().unwrap(), 8)];
    let name = || vec!["example.com".parse::<Domain>().unwrap()];
    let before = settings();
    for after in [
        Settings { prefixes: Vec::new(), ..before.clone() },
        Settings { exclude_aaaa: Vec::new(), ..before.clone() },
        Settings { exclude_a: any(), ..before.clone() },
        Settings { exclude_names: name(), ..before.clone() },
        Settings { always_names: name(), ..before.clone() },
        Settings { min_ttl: 1, ..before.clone() },
        Settings { max_ttl: 1, ..before.clone() },
        Settings { trust_ad: true, ..before.clone() },
        Settings { cache_entries: 0, ..before.clone() },
    ] {
        let mut lab = Lab::new(before.clone());
        lab.ask("www.example.com", A);
        lab.expect("www.example.com.", A, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
        assert_eq!(lab.engine.cache_size().0, 1);
        lab.engine.reconfigure(after.clone(), lab.now);
        assert_eq!(lab.engine.cache_size().0, 0, "{after:?}");
    }
}

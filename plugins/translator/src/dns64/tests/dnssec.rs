//! RFC 6147 section 5.5: DO, CD and AD.

use super::*;

const DO: Flags =
    Flags { edns: Some(1232), dnssec_ok: true, checking_disabled: false, authentic: false, no_recursion: false };

#[test]
fn section_5_5_do_and_cd_together_mean_no_synthesis() {
    let mut lab = Lab::new(settings());
    let flags = Flags { checking_disabled: true, ..DO };
    lab.send(udp(1), &query(7, "www.example.com", AAAA, flags));
    let asked = lab.sent();
    assert_eq!(asked.bytes[3] & 0x10, 0x10, "CD is passed on");
    assert_eq!(asked.bytes[asked.bytes.len() - 4], 0x80, "DO is passed on");
    let message = reply(&asked, 0, [&[], &[SOA], &[]]);
    lab.respond(&asked, &message);
    let answer = lab.answer();
    assert_eq!(answer_text(&answer), (0, vec![]));
    assert_eq!(answer[3] & 0x10, 0x10, "CD is copied");
}

#[test]
fn section_5_5_do_alone_is_synthesised_without_ad_and_without_the_signature_of_a() {
    let mut lab = Lab::new(Settings { trust_ad: true, ..settings() });
    lab.send(udp(1), &query(7, "www.example.com", AAAA, DO));
    lab.expect("www.example.com.", AAAA, 0, [&[], &[SOA], &[]]);
    let asked = lab.sent();
    let answer = ["www.example.com. 60 A 192.0.2.80", "www.example.com. 60 RRSIG 1 example.com."];
    let mut message = reply(&asked, 0, [&answer, &[], &[]]);
    message[3] |= 0x20;
    lab.respond(&asked, &message);
    let answer = lab.answer();
    assert_eq!(answer[3] & 0x20, 0);
    assert_eq!(answer_text(&answer).1, vec!["www.example.com. 60 AAAA 64:ff9b::c000:250".to_owned()]);
}

#[test]
fn section_5_5_ad_is_handed_on_only_if_it_is_believed_and_understood() {
    for (trust_ad, authentic, expected) in [(false, true, 0), (true, false, 0), (true, true, 0x20)] {
        let mut lab = Lab::new(Settings { trust_ad, ..settings() });
        lab.send(udp(1), &query(7, "www.example.com", A, Flags { authentic, ..Flags::default() }));
        let asked = lab.sent();
        let mut message = reply(&asked, 0, [&["www.example.com. 60 A 192.0.2.80"], &[], &[]]);
        message[3] |= 0x20;
        lab.respond(&asked, &message);
        assert_eq!(lab.answer()[3] & 0x20, expected, "{trust_ad} {authentic}");
    }
}

#[test]
fn section_5_5_aaaa_that_are_passed_on_keep_ad_and_their_signature() {
    let mut lab = Lab::new(Settings { trust_ad: true, ..settings() });
    lab.send(udp(1), &query(7, "www.example.com", AAAA, DO));
    let asked = lab.sent();
    let answer = ["www.example.com. 60 AAAA 2001:db8::80", "www.example.com. 60 RRSIG 28 example.com."];
    let mut message = reply(&asked, 0, [&answer, &[], &[]]);
    message[3] |= 0x20;
    lab.respond(&asked, &message);
    let answer = lab.answer();
    assert_eq!(answer[3] & 0x20, 0x20);
    assert_eq!(answer_text(&answer).1.len(), 2);
}

#[test]
fn a_signature_over_nothing_is_no_answer() {
    let mut lab = Lab::new(settings());
    lab.send(udp(1), &query(7, "www.example.com", A, DO));
    lab.expect("www.example.com.", A, 0, [&["www.example.com. 900 RRSIG 1 example.com."], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()), (0, vec![]));
    assert_eq!(lab.engine.cache_rows(1, lab.now)[0].ttl, 120);
}

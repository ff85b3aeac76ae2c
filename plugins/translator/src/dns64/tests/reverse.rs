//! RFC 6147 section 5.3.1, and the names of RFC 8880.

use super::*;

fn reverse_name(address: &str) -> String {
    let bits = address.parse::<std::net::Ipv6Addr>().unwrap().to_bits();
    (0..32).map(|nibble| format!("{:x}.", bits >> (4 * nibble) & 15)).collect::<String>() + "ip6.arpa."
}

#[test]
fn section_5_3_1_ptr_within_a_prefix_is_an_alias_to_in_addr_arpa() {
    let mut lab = Lab::new(settings());
    let name = reverse_name("64:ff9b::192.0.2.80");
    lab.ask(&name, PTR);
    lab.expect("80.2.0.192.in-addr.arpa.", PTR, 0, [&["80.2.0.192.in-addr.arpa. 70 PTR www.example.com."], &[], &[]]);
    let expected = [
        format!("{name} 70 CNAME 80.2.0.192.in-addr.arpa."),
        "80.2.0.192.in-addr.arpa. 70 PTR www.example.com.".into(),
    ];
    assert_eq!(answer_text(&lab.answer()), (0, expected.to_vec()));
}

#[test]
fn section_5_3_1_a_missing_reverse_name_stays_missing_behind_its_alias() {
    let mut lab = Lab::new(settings());
    let name = reverse_name("64:ff9b::192.0.2.80");
    lab.ask(&name, PTR);
    let soa = "192.in-addr.arpa. 50 SOA a. b. 1 2 3 4 50";
    lab.expect("80.2.0.192.in-addr.arpa.", PTR, 3, [&[], &[soa], &[]]);
    assert_eq!(answer_text(&lab.answer()), (3, vec![format!("{name} 50 CNAME 80.2.0.192.in-addr.arpa.")]));
}

#[test]
fn section_5_3_1_ptr_outside_the_prefixes_and_other_types_are_passed_on() {
    let mut lab = Lab::new(settings());
    let name = reverse_name("2001:db8::1");
    lab.ask(&name, PTR);
    lab.expect(&name, PTR, 3, [&[], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()).0, 3);
    let name = reverse_name("64:ff9b::192.0.2.80");
    lab.ask(&name, 16);
    lab.expect(&name, 16, 3, [&[], &[SOA], &[]]);
    assert_eq!(answer_text(&lab.answer()).0, 3);
}

#[test]
fn section_5_3_1_reverse_names_of_excluded_addresses_are_passed_on() {
    let exclude_a = vec![IpPrefix::new("10.0.0.0".parse().unwrap(), 8)];
    let mut lab = Lab::new(Settings { exclude_a, ..settings() });
    let name = reverse_name("64:ff9b::10.1.2.3");
    lab.ask(&name, PTR);
    assert_eq!(lab.sent().question(), (name, PTR));
}

#[test]
fn rfc_8880_ipv4only_arpa_is_answered_without_asking() {
    let mut lab = Lab::new(settings());
    lab.ask("ipv4only.arpa", AAAA);
    let expected = ["ipv4only.arpa. 600 AAAA 64:ff9b::c000:aa", "ipv4only.arpa. 600 AAAA 64:ff9b::c000:ab"];
    assert_eq!(answer_text(&lab.answer()), (0, expected.map(String::from).to_vec()));
    lab.ask("ipv4only.ARPA", A);
    let expected = ["ipv4only.ARPA. 600 A 192.0.0.170", "ipv4only.ARPA. 600 A 192.0.0.171"];
    assert_eq!(answer_text(&lab.answer()), (0, expected.map(String::from).to_vec()));
    lab.ask("170.0.0.192.in-addr.arpa", PTR);
    assert_eq!(answer_text(&lab.answer()), (0, vec!["170.0.0.192.in-addr.arpa. 600 PTR ipv4only.arpa.".into()]));
    lab.ask("x.ipv4only.arpa", AAAA);
    let (rcode, [answer, authority, _]) = text(&lab.answer());
    assert_eq!((rcode, answer.len(), authority.len()), (3, 0, 1));
    lab.ask("ipv4only.arpa", 16);
    let (rcode, [answer, authority, _]) = text(&lab.answer());
    assert_eq!((rcode, answer.len(), authority.len()), (0, 0, 1));
    lab.ask("ipv4only.arpa", 43);
    assert_eq!(lab.sent().question(), ("ipv4only.arpa.".to_owned(), 43));
}

#[test]
fn rfc_8880_the_reverse_name_in_the_prefix_leads_to_ipv4only_arpa_without_asking() {
    let mut lab = Lab::new(settings());
    let name = reverse_name("64:ff9b::192.0.0.171");
    lab.ask(&name, PTR);
    let expected = [
        format!("{name} 600 CNAME 171.0.0.192.in-addr.arpa."),
        "171.0.0.192.in-addr.arpa. 600 PTR ipv4only.arpa.".into(),
    ];
    assert_eq!(answer_text(&lab.answer()), (0, expected.to_vec()));
}

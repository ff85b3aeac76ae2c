//! The lengths of RFC 6052 section 2.4, illegal prefixes, and discovery by RFC 7050.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn pref64(text: &str) -> Result<Pref64, Pref64Error> {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).try_into()
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn addresses_are_embedded_as_the_table_of_rfc_6052_section_2_4_shows() {
    let v4 = Ipv4Addr::new(192, 0, 2, 33);
    for (prefix, expected) in [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
    ] {
        let prefix = pref64(prefix).unwrap();
        let expected: Ipv6Addr = expected.parse().unwrap();
        assert_eq!((prefix.embed(v4), prefix.extract(expected)), (expected, Some(v4)), "{prefix}");
        assert_eq!(discover(&[prefix.embed(Ipv4Addr::new(192, 0, 0, 170)).into()]), [prefix], "{prefix}");
    }
    assert_eq!(Pref64::WELL_KNOWN.extract("64:ff9b:1::192.0.2.33".parse().unwrap()), None);
}

#[test]
fn what_is_no_prefix_of_rfc_6052_is_refused() {
    assert_eq!(pref64("64:ff9b::/96"), Ok(Pref64::WELL_KNOWN));
    for (text, error) in [
        ("10.0.0.0/8", Pref64Error::Family),
        ("2001:db8::/33", Pref64Error::Length),
        ("2001:db8::/128", Pref64Error::Length),
        ("2001:db8::1/96", Pref64Error::Bits),
        ("2001:db8:0:0:100::/96", Pref64Error::Bits),
        ("ff00::/32", Pref64Error::Unusable),
        ("fe80::/64", Pref64Error::Unusable),
        ("::/96", Pref64Error::Unusable),
        ("::/32", Pref64Error::Unusable),
        ("::ffff:0:0/96", Pref64Error::Unusable),
    ] {
        assert_eq!(pref64(text), Err(error), "{text}");
    }
}

#[test]
fn a_part_of_ipv4_has_a_prefix_of_its_own() {
    let part = |prefix: &str, v4: &str| {
        let (address, length) = v4.split_once('/').unwrap();
        let v4 = Prefix::new(address.parse().unwrap(), length.parse().unwrap());
        pref64(prefix).unwrap().embed_prefix(v4).unwrap().to_string()
    };
    assert_eq!(part("64:ff9b::/96", "198.51.100.0/24"), "64:ff9b::c633:6400/120");
    assert_eq!(part("2001:db8::/32", "198.51.100.0/24"), "2001:db8:c633:6400::/56");
    assert_eq!(part("2001:db8:122::/48", "198.51.100.0/24"), "2001:db8:122:c633:64::/80");
    assert_eq!(part("2001:db8:122::/48", "198.51.0.0/16"), "2001:db8:122:c633::/64");
    assert_eq!(part("2001:db8:122:344::/64", "198.0.0.0/8"), "2001:db8:122:344:c6::/80");
}

#[test]
fn an_ambiguous_answer_says_nothing_and_the_other_address_decides_rfc_7050_section_3() {
    // 192.0.0.170 stands at /96 and at /32.
    let twice = "2001:db8:c000:aa:0:0:c000:aa";
    assert_eq!(discover(&addresses(&[twice])), []);
    let other = "2001:db8:c000:aa:0:0:c000:ab";
    assert_eq!(discover(&addresses(&[other])), []);
    assert_eq!(discover(&addresses(&[twice, "64:ff9b::c000:ab", "64:ff9b::c000:aa"])), [Pref64::WELL_KNOWN]);
    assert_eq!(discover(&addresses(&["192.0.0.170", "2001:db8::1", "64:ff9b::c000:ac"])), []);
    let both = discover(&addresses(&["2001:db8:64::c000:aa", "64:ff9b::c000:aa", "2001:db8:64::c000:ab"]));
    assert_eq!(both, [pref64("2001:db8:64::/96").unwrap(), Pref64::WELL_KNOWN]);
}

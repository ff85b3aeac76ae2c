//! What a reader of configuration may rely on: every mistake is found, at its place.

use super::*;
use crate::net::Ipv6Prefix;
use proptest::prelude::*;

#[derive(serde::Deserialize, Debug, PartialEq)]
enum Level {
    Low,
    High,
}

#[test]
fn every_mistake_of_a_struct_is_reported_at_its_place() {
    let text =
        "(\n  mtu: \"big\", // how big\n  level: Hgih,\n  after: 30,\n  prefix: \"2001:db8::1/64\",\n  mtuu: 3,\n)";
    let mut d = Diagnostics::new();
    let mut f = Value::root(text, &mut d).unwrap().fields(&mut d).unwrap();
    assert!(f.take("mtu").unwrap().get::<u32>(&mut d).is_none());
    assert!(f.take("level").unwrap().get::<Level>(&mut d).is_none());
    assert!(f.take("after").unwrap().duration(&mut d).is_none());
    assert!(f.take("prefix").unwrap().parse::<Ipv6Prefix>(&mut d, "a prefix").is_none());
    f.finish(&mut d);
    let found: Vec<_> = d.into_vec().iter().map(|d| d.span.slice(text).to_owned()).collect();
    assert_eq!(found, ["\"big\"", "Hgih", "30", "\"2001:db8::1/64\"", "mtuu"]);
}

#[test]
fn hints_name_the_nearest_field_and_the_unit() {
    let text = "(mtuu: 30)";
    let mut d = Diagnostics::new();
    let mut f = Value::root(text, &mut d).unwrap().fields(&mut d).unwrap();
    assert!(f.take("mtu").is_none());
    f.finish(&mut d);
    assert_eq!(d.as_slice()[0].hint.as_deref(), Some("did you mean `mtu`?"));
}

#[test]
fn maps_lists_and_variants_are_taken_apart_with_their_places() {
    let text = "{ \"lan0\": [1, /* two */ 2], \"lan1\": Udp(connect: \"x\"), \"lan0\": [] }";
    let mut d = Diagnostics::new();
    let entries = Value::root(text, &mut d).unwrap().entries(&mut d);
    assert_eq!(entries.len(), 2);
    let items = entries[0].1.list(&mut d);
    assert_eq!(items[1].span().slice(text), "2");
    assert_eq!(items[1].get::<u8>(&mut d).unwrap().value, 2);
    let udp = entries[1].1;
    assert_eq!(udp.name().unwrap().value, "Udp");
    let mut fields = udp.fields(&mut d).unwrap();
    assert_eq!(fields.take("connect").unwrap().get::<String>(&mut d).unwrap().value, "x");
    let d = d.into_vec();
    assert_eq!(d.len(), 1);
    assert_eq!(d[0].message, "\"lan0\" is given twice");
}

#[test]
fn an_empty_struct_and_a_unit_variant_have_no_fields_and_a_bool_is_no_struct() {
    let mut d = Diagnostics::new();
    for text in ["()", "Any", "Any()", "( /* nothing */ )"] {
        Value::root(text, &mut d).unwrap().fields(&mut d).unwrap().finish(&mut d);
    }
    assert!(d.is_empty(), "{d:?}");
    for text in ["true", "[1]", "{}", "3", "(1, 2)"] {
        assert!(Value::root(text, &mut d).unwrap().fields(&mut d).is_none(), "{text}");
    }
}

#[test]
fn a_syntax_error_has_its_place() {
    let text = "(\n  a: 1\n  b: 2,\n)";
    let mut d = Diagnostics::new();
    assert!(Value::root(text, &mut d).is_none());
    let d = d.into_vec();
    assert_eq!(d.len(), 1);
    let place = Position::of(text, d[0].span.start);
    assert!(place.line == 2 || place.line == 3, "{place:?} {}", d[0].message);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\](){}\"a-z0-9:,_./ #\\n\\\\]{0,60}") {
        let mut d = Diagnostics::new();
        if let Some(v) = Value::root(&text, &mut d) {
            let _ = v.fields(&mut d).map(|f| f.finish(&mut d));
            let _ = v.list(&mut d);
            let _ = v.entries(&mut d);
            let _ = v.get::<u32>(&mut d);
            let _ = v.duration(&mut d);
        }
        for one in d.into_vec() {
            let _ = one.render("f", &text);
        }
    }
}

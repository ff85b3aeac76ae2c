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

/// Takes both apart in every way, all that is in them too: they are alike.
fn alike(indexed: &Value<'_>, scanned: &Value<'_>, d: &mut [Diagnostics; 2]) {
    assert_eq!((indexed.text(), indexed.span()), (scanned.text(), scanned.span()));
    assert_eq!((indexed.name(), indexed.string()), (scanned.name(), scanned.string()));
    let [first, second] = d;
    let names = |members: &Option<Members<'_>>| {
        members
            .as_ref()
            .map(|members| members.iter().map(|(name, _)| (name.value.to_owned(), name.span)).collect::<Vec<_>>())
    };
    let (members, others) = (indexed.members(first), scanned.members(second));
    assert_eq!(names(&members), names(&others));
    for ((name, a), (_, b)) in members.iter().flat_map(Members::iter).zip(others.iter().flat_map(Members::iter)) {
        let found = members.as_ref().and_then(|members| members.get(name.value));
        assert_eq!(found.map(|value| value.span()), Some(a.span()));
        alike(&a, &b, d);
    }
    if let Some(only) = indexed.only_string() {
        let strings: Vec<_> = scanned.list(&mut d[1]).iter().map(|item| (item.string(), item.span())).collect();
        assert_eq!(strings, [(Some(only.value.into()), only.span)]);
    }
    let [first, second] = d;
    let (items, others) = (indexed.items(first), scanned.list(second));
    assert_eq!(items.len(), others.len());
    assert_eq!(items.map(|item| item.span()).collect::<Vec<_>>(), others.iter().map(Value::span).collect::<Vec<_>>());
    for (a, b) in indexed.items(first).zip(scanned.items(second)).collect::<Vec<_>>() {
        alike(&a, &b, d);
    }
    let [first, second] = d;
    let (entries, others) = (indexed.entries(first), scanned.entries(second));
    assert_eq!(entries.len(), others.len());
    for ((key, a), (other, b)) in entries.iter().zip(&others) {
        assert_eq!(key, other);
        alike(a, b, d);
    }
    let (single, other) = (indexed.single(), scanned.single());
    assert_eq!(single.is_some(), other.is_some());
    if let (Some(a), Some(b)) = (single, other) {
        alike(&a, &b, d);
    }
}

/// A text read with and without an index gives the same.
fn with_and_without_index(text: &str) {
    let mut d = [Diagnostics::new(), Diagnostics::new()];
    let [first, second] = &mut d;
    let (document, scanned) = (Document::read(text, first), Value::root(text, second));
    assert_eq!(document.is_some(), scanned.is_some(), "{text}");
    if let (Some(document), Some(scanned)) = (document, scanned) {
        alike(&document.root(), &scanned, &mut d);
    }
    let [first, second] = d;
    assert_eq!(first.into_vec(), second.into_vec(), "{text}");
}

#[test]
fn an_index_changes_nothing_of_what_is_found_and_said() {
    for text in [
        "(a: 1, b: 2, a: (c: 3), b: 4)",
        "(aaaa: 1, \n qaaa: [1, 2,], aaaa: 3)",
        "A(a: 1, 2)",
        "(1, 2)",
        "Name // why\n (x: \"y\\n\")",
        "[Name(), Other(\"1\"), true, {\"a\\\"b\": [], \"a\\\"b\": 2, \"c\" : (d: \"e\")}]",
        "(a: r#\"x\"#, /* c */ b: [1.5])",
        "(a: 1 b: 2)",
        "",
    ] {
        with_and_without_index(text);
    }
}

#[test]
fn a_list_of_one_string_is_seen() {
    let mut d = Diagnostics::new();
    let mut only = |text| {
        let document = Document::read(text, &mut d)?;
        document.root().only_string().map(|only| (only.value.to_owned(), only.span))
    };
    assert_eq!(only(" [ \"a\", ]"), Some(("a".to_owned(), Span::new(3, 6))));
    for text in
        ["[]", "\"a\"", "[1]", "[\"a\", \"b\"]", "[\"\\n\"]", "[[\"a\"]]", "(\"a\")", "{\"a\": \"b\"}", "A(\"b\")"]
    {
        assert_eq!(only(text), None, "{text}");
    }
}

#[test]
fn of_a_list_that_is_cut_the_first_are_left() {
    let mut d = Diagnostics::new();
    for text in ["[1, 2, 3]", "[1, /* two */ 2, 3]"] {
        let document = Document::read(text, &mut d).unwrap();
        let mut items = document.root().items(&mut d);
        items.truncate(2);
        assert_eq!(items.map(|item| item.text().to_owned()).collect::<Vec<_>>(), ["1", "2"]);
    }
}

proptest! {
    #[test]
    fn legal_texts_are_the_same_with_an_index(text in check::tests::legal()) {
        with_and_without_index(&text);
    }

    #[test]
    fn other_texts_are_the_same_with_an_index(text in check::tests::ron_like()) {
        with_and_without_index(&text);
    }

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

//! The frame of router.ron.

use portreeve_config::Diagnostics;

use super::*;

fn read(text: &str) -> (RouterConfig, Vec<Diagnostic>) {
    let mut d = Diagnostics::new();
    let config = parse(text, &mut d);
    (config, d.into_vec())
}

#[test]
fn a_section_stays_text_and_knows_its_place() {
    let text = r#"Router(
    system: (hostname: "gw", log: Debug),
    plugins: {
        "radvd": (config: ( interfaces: {} )), // comment
        "acme": (component: "acme.wasm", allow: [Links("lan*")], limits: (memory_mib: 8)),
    },
)"#;
    let (config, d) = read(text);
    assert_eq!(d, []);
    assert_eq!(config.system, System { hostname: Some("gw".into()), log: LogLevel::Debug });
    let radvd = &config.plugins[0];
    assert_eq!(radvd.section.value, "( interfaces: {} )");
    assert_eq!(radvd.section.span.slice(text), radvd.section.value);
    assert!(radvd.is_shipped());
    assert_eq!(radvd.component_path(Path::new("/f/r.ron"), Path::new("/p")), Path::new("/p/radvd.wasm"));
    let acme = &config.plugins[1];
    assert_eq!(acme.limits.memory, 8 << 20);
    assert_eq!(acme.section.value, "()");
    assert_eq!(acme.component_path(Path::new("/f/r.ron"), Path::new("/p")), Path::new("/f/acme.wasm"));
}

#[test]
fn mistakes_of_the_frame_are_all_reported_and_the_rest_is_kept() {
    let text = r#"Router(
    system: (hostname: "-gw", log: Lots),
    plugin: {},
    plugins: {
        "Radvd": (),
        "acme": (allow: [Link("x"), Icmpv6(interfaces: 3)], limits: (memory_mib: 0), confg: ()),
    },
)"#;
    let (config, d) = read(text);
    let found: Vec<_> = d.iter().map(|d| d.span.slice(text)).collect();
    assert_eq!(found, ["\"-gw\"", "Lots", "plugin", "\"Radvd\"", "Link", "3", "0", "confg"]);
    assert_eq!(config.plugins.len(), 2);
}

#[test]
fn a_file_without_router_around_it_is_named_as_such() {
    assert!(read("(plugins: {})").1.is_empty(), "the name may be left out");
    assert!(read("Ruter(plugins: {})").1[0].message.contains("expected `Router(…)`"));
    assert!(read("").1[0].message.contains("nothing here"));
}

//! Sections of router.ron and what is complained about in them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use portreeve_config::{Diagnostic, Severity};
use portreeve_translator::Config;

/// Everything the section can say.
pub const FULL: &str = r#"(
  instances: {
    "nat64": Nat64(
      prefix: "2001:db8:46::/96",
      pool: Addresses(["198.51.100.0/28", (addresses: "203.0.113.7", ports: (2048, 65535))]),
      sessions: 100000, per_prefix: 5000, port_block: 512, filtering: AddressDependent, inbound_tcp: true,
      timeouts: (udp: "3m", tcp: "3h", tcp_transitory: "5m", icmp: "30s"),
      static: [(protocol: Tcp, host: "[2001:db8:60::10]:443", public: "198.51.100.1:443")],
      sources: ["2001:db8:60::/60"], deny: ["192.0.0.0/8"], private: false,
      mtu: (ipv6: 9000, ipv4: 1400), mss_clamp: false, hairpin: false, log: Blocks, advertise: false,
      udp_zero_checksum: Drop, traffic_class: Zero, icmp_errors: 50, icmp_source: "2001:db8:60::1",
    ),
    "siit0": Siit(prefix: "2001:db8:64::/96", eam: [("192.0.2.1/32", "2001:db8:1::1/128"),
      (ipv4: "192.0.2.16/28", ipv6: "2001:db8:2::/120", host: Ipv4)], pool6791: ["192.0.2.99"],
      ipv4: ["192.0.2.128/25"], advertise: true),
    "clat": Clat(prefix: "64:ff9b::/96", address: "2001:db8:60:f::464/128", ipv4: "192.0.0.2", default_route: true,
      metric: 4096, masquerade: ["192.168.1.0/24"]),
  },
  dns64: (
    interfaces: ["lan*", "lo"], resolvers: ["192.0.2.53", "[2001:db8::53]:5353"], port: 5300, instance: "nat64",
    exclude_names: ["Corp.Example."], always_names: ["v4.example"], exclude_aaaa: ["2001:db8:bad::/48"],
    exclude_a: ["10.0.0.0/8"], clients: [(from: "2001:db8:60:2::/64", policy: NoSynthesis), (from: "10.0.0.0/8", policy: AOnly)],
    udp_size: 1400, trust_ad: true, random_case: false, cache: (entries: 5, bytes: 65536, min_ttl: "1s", max_ttl: "1h"), timeout: "3s", attempts: 1,
    rate: (queries: 10, burst: 20), max_outstanding: 100, max_outstanding_per_client: 10,
    tcp: (connections: 5, idle: "5s"), advertise: false,
  ),
  forwarding: false,
)"#;

/// A section with one instance.
pub fn of(instance: &str) -> String {
    format!("(instances: {{\"x\": {instance}}})")
}

pub fn nat64(fields: &str) -> String {
    of(&format!("Nat64({fields})"))
}

pub fn siit(fields: &str) -> String {
    of(&format!("Siit({fields})"))
}

pub fn clat(fields: &str) -> String {
    of(&format!("Clat({fields})"))
}

pub fn two(one: &str, other: &str) -> String {
    format!("(instances: {{\"a\": {one}, \"b\": {other}}})")
}

/// A section with DNS64 and what it must have.
pub fn dns64(fields: &str) -> String {
    format!("(dns64: (interfaces: [\"lan0\"], resolvers: [\"192.0.2.53\"], {fields}))")
}

pub fn parsed(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|list| panic!("{text}: {list:?}")).0
}

pub fn complaints(text: &str) -> Vec<(Severity, String, String)> {
    let list = match Config::parse(text) {
        Ok((_, warnings)) => warnings,
        Err(list) => list,
    };
    let shown = |d: Diagnostic| (d.severity, d.span.slice(text).to_owned(), d.hint.unwrap_or_default());
    list.into_iter().map(shown).collect()
}

/// That `text` has exactly one error, at `place`, with `hint` in its hint.
#[track_caller]
pub fn refused(text: &str, place: &str, hint: &str) {
    let list = complaints(text);
    assert_eq!(list.len(), 1, "{text}: {list:?}");
    assert_eq!((list[0].0, list[0].1.as_str()), (Severity::Error, place), "{text}");
    assert!(list[0].2.contains(hint), "{text}: {:?}", list[0].2);
}

#[track_caller]
pub fn accepted(text: &str) {
    assert_eq!(complaints(text), [], "{text}");
}

#[track_caller]
pub fn warned(text: &str, place: &str, hint: &str) {
    let list = complaints(text);
    let right = matches!(&list[..], [(Severity::Warning, at, what)] if at == place && what.contains(hint));
    assert!(right, "{text}: {list:?}");
}

//! Sections of router.ron and what is complained about in them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use portreeve_config::{Diagnostic, Severity};
use portreeve_tunnels::Config;

pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Everything the section can say.
pub const FULL: &str = r#"(
  tunnels: {
    "sixbone": (
      kind: SixInFour(remote: "192.0.2.1", local: Interface("wan0"), path: Userspace),
      up: true, ttl: 255, tos: Fixed(0), dont_fragment: false, mtu: 1472, mss_clamp: true,
      addresses: ["2001:db8:1::2/127"], routes: [(to: "::/0", via: "2001:db8:1::1")],
      source_routes: [(from: "2001:db8:60::/60", table: 100, priority: 900)],
      own_prefixes: ["2001:db8:60::/60"],
      keepalive: (target: "2001:db8:1::1", interval: "5s", timeout: "20s"), failover: true,
    ),
    "rd": (kind: SixRd(prefix: "2001:db8::/32", relay: "10.0.0.1", ipv4_mask_length: 8, local: Address("10.100.100.1"),
      path: Kernel), tos: Inherit),
    "six": (kind: Ip6Tunnel(remote: "six.example.net", local: Auto, mode: Ipv4, encapsulation_limit: 4), hop_limit: 0,
      mtu: 1000, addresses: ["10.1.0.1/30"]),
    "gre4": (kind: Gre(remote: "192.0.2.9", key: 42), up: false),
    "gre6": (kind: Gre(remote: "name.example", local: Address("2001:db8::9"))),
    "wg": (kind: WireGuard(key: "wg0", listen_port: 51820, mark: "0x1", peers: [
      (public_key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", preshared_key: "psk", endpoint: "[2001:db8::1]:51820",
       keepalive: "25s", allowed_ips: ["::/0", "10.0.0.0/8"])])),
  },
)"#;

pub fn of(fields: &str) -> String {
    format!("(tunnels: {{\"sixbone\": ({fields})}})")
}

pub fn sit(fields: &str) -> String {
    of(&format!("kind: SixInFour(remote: \"192.0.2.1\"), {fields}"))
}

pub fn kind(kind: &str) -> String {
    of(&format!("kind: {kind}"))
}

pub fn two(one: &str, other: &str) -> String {
    format!("(tunnels: {{\"a\": ({one}), \"b\": ({other})}})")
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

//! What each kind of tunnel says of itself: its ends, its bounds, its defaults.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod section;

use portreeve_config::Severity;
use portreeve_tunnels::Config;
use portreeve_tunnels::config::{Host, Kind, Local, Path};
use section::*;

#[test]
fn two_lines_make_a_tunnel_with_the_defaults_of_the_field() {
    let (config, _) = Config::parse(&kind("SixInFour(remote: \"192.0.2.1\")")).unwrap();
    let tunnel = config.tunnel("sixbone").unwrap();
    let (remote, local) = (Host::Address("192.0.2.1".parse().unwrap()), Local::Auto);
    assert_eq!(tunnel.kind, Kind::SixInFour { remote, local, path: Path::Auto });
    assert_eq!((tunnel.up, tunnel.ttl, tunnel.mtu, tunnel.failover), (true, 64, 1480, false));
    assert!(tunnel.mss_clamp && tunnel.dont_fragment && tunnel.keepalive.is_none());
    for (text, mtu) in [
        ("SixRd(prefix: \"2001:db8::/32\", relay: \"192.0.2.1\", local: Interface(\"wan0\"))", 1480),
        ("Ip6Tunnel(remote: \"2001:db8::1\")", 1460),
        ("Ip6Tunnel(remote: \"2001:db8::1\", encapsulation_limit: 4)", 1452),
        ("Gre(remote: \"192.0.2.1\")", 1476),
        ("Gre(remote: \"192.0.2.1\", key: 1)", 1472),
        ("Gre(remote: \"2001:db8::1\")", 1456),
        ("Gre(remote: \"2001:db8::1\", key: 1)", 1452),
    ] {
        let (config, warnings) = Config::parse(&kind(text)).unwrap();
        assert_eq!((config.tunnel("sixbone").unwrap().mtu, warnings), (mtu, vec![]), "{text}");
    }
}

#[test]
fn the_ends_of_a_tunnel_are_addresses_that_packets_can_be_sent_to() {
    let remote = |remote: &str| kind(&format!("SixInFour(remote: \"{remote}\")"));
    for (bad, hint) in [
        ("0.0.0.0", "192.0.2.1"),
        ("0.1.2.3", ""),
        ("127.0.0.1", ""),
        ("224.0.0.1", ""),
        ("255.255.255.255", ""),
        ("240.0.0.1", ""),
        ("2001:db8::1", "IPv4 address"),
        ("192.0.2.300", "or a name"),
        ("a b", "or a name"),
        ("", "or a name"),
    ] {
        refused(&remote(bad), &format!("\"{bad}\""), hint);
    }
    accepted(&remote("10.0.0.1"));
    accepted(&remote("tunnel.example.net"));
    warned(&remote("192.88.99.1"), "\"192.88.99.1\"", "6rd");
    let six = |remote: &str| kind(&format!("Ip6Tunnel(remote: \"{remote}\")"));
    for bad in ["::", "::1", "ff02::1", "fe80::1", "::ffff:192.0.2.1", "192.0.2.1"] {
        refused(&six(bad), &format!("\"{bad}\""), "IPv6 address");
    }
    let local = |local: &str| kind(&format!("SixInFour(remote: \"192.0.2.1\", local: {local})"));
    accepted(&local("Auto"));
    accepted(&local("Interface(\"wan0\")"));
    accepted(&local("Address(\"10.0.0.1\")"));
    refused(&local("Address(\"2001:db8::1\")"), "\"2001:db8::1\"", "IPv4");
    refused(&local("Address(\"192.0.2.1\")"), "Address(\"192.0.2.1\")", "our own");
    refused(&local("Interface(\"wan 0\")"), "\"wan 0\"", "lan0");
    refused(&local("\"192.0.2.2\""), "\"192.0.2.2\"", "Address(");
    refused(
        &kind("Gre(remote: \"192.0.2.1\", local: Address(\"2001:db8::1\"))"),
        "Address(\"2001:db8::1\")",
        "two IPv4",
    );
}

#[test]
fn an_mtu_is_what_ipv6_needs_and_ethernet_holds() {
    refused(&sit("mtu: 1279"), "1279", "1280 to 65515");
    refused(&sit("mtu: 65516"), "65516", "1280 to 65515");
    accepted(&sit("mtu: 1280"));
    warned(&sit("mtu: 1481"), "1481", "at most 1480");
    accepted(&of("kind: Gre(remote: \"192.0.2.1\"), mtu: 576"));
    refused(&of("kind: Gre(remote: \"192.0.2.1\"), mtu: 576, addresses: [\"2001:db8::1/64\"]"), "576", "1280");
    accepted(&of("kind: Ip6Tunnel(remote: \"2001:db8::1\", mode: Ipv4), mtu: 576"));
    refused(&of("kind: Ip6Tunnel(remote: \"2001:db8::1\"), mtu: 576"), "576", "1280");
}

#[test]
fn settings_that_the_kind_does_not_have_are_errors() {
    let gre = |fields: &str| of(&format!("kind: Gre(remote: \"192.0.2.1\"), {fields}"));
    let six = |fields: &str| of(&format!("kind: Ip6Tunnel(remote: \"2001:db8::1\"), {fields}"));
    refused(&gre("tos: Inherit"), "Inherit", "remove");
    refused(&gre("dont_fragment: true"), "true", "remove");
    refused(&gre("hop_limit: 3"), "3", "remove");
    accepted(&gre("ttl: 3"));
    refused(&six("ttl: 3"), "3", "remove");
    accepted(&six("hop_limit: 3"));
    refused(&sit("ttl: 256"), "256", "0 to 255");
    refused(&sit("tos: Fixed(1)"), "1", "write 0");
    refused(&sit("tos: 8"), "8", "Fixed(0)");
    accepted(&sit("tos: Fixed(184)"));
    refused(&sit("addresses: [\"10.0.0.1/24\"]"), "\"10.0.0.1/24\"", "another kind");
    refused(&sit("source_routes: [(from: \"10.0.0.0/8\", table: 7)]"), "\"10.0.0.0/8\"", "another kind");
    refused(&sit("mttu: 1480"), "mttu", "`mtu`");
}

#[test]
fn a_6rd_prefix_leaves_room_for_the_address_and_ours_is_known() {
    let rd = |fields: &str| kind(&format!("SixRd(relay: \"192.0.2.1\", {fields})"));
    let local = "local: Interface(\"wan0\")";
    accepted(&rd(&format!("prefix: \"2001:db8::/32\", {local}")));
    refused(&rd(&format!("prefix: \"2001:db8::/33\", {local}")), "\"2001:db8::/33\"", "shorter");
    accepted(&rd(&format!("prefix: \"2001:db8::/40\", ipv4_mask_length: 8, {local}")));
    refused(&rd(&format!("prefix: \"10.0.0.0/8\", {local}")), "\"10.0.0.0/8\"", "2001:db8::/32");
    refused(&rd(&format!("prefix: \"2001:db8::/32\", ipv4_mask_length: 33, {local}")), "33", "0 to 32");
    refused(&rd("prefix: \"2001:db8::/32\", local: Auto"), "Auto", "Interface");
    let without = rd("prefix: \"2001:db8::/32\"");
    refused(&without, "SixRd(relay: \"192.0.2.1\", prefix: \"2001:db8::/32\")", "add `local");
    let (config, _) = Config::parse(FULL).unwrap();
    let Kind::SixRd(rd) = &config.tunnel("rd").unwrap().kind else { panic!("no 6rd") };
    // The example of RFC 5969 section 4.
    assert_eq!(rd.delegated("10.100.100.1".parse().unwrap()).to_string(), "2001:db8:6464:100::/56");
}

#[test]
fn wireguard_keys_peers_and_endpoints_are_checked() {
    let wg = |fields: &str| kind(&format!("WireGuard(key: \"wg0\", {fields})"));
    let peer = |fields: &str| wg(&format!("peers: [(public_key: \"{KEY}\", {fields})]"));
    accepted(&peer("allowed_ips: [\"::/0\"]"));
    refused(&wg("peers: [(public_key: \"AAAA\", allowed_ips: [\"::/0\"])]"), "\"AAAA\"", "wg pubkey");
    refused(&peer("allowed_ips: [\"::/0\", \"::/0\"]"), "\"::/0\"", "keep one");
    refused(&peer("allowed_ips: [\"2001:db8::1/64\"]"), "\"2001:db8::1/64\"", "2001:db8::/64");
    warned(&peer("allowed_ips: []"), "[]", "::/0");
    let other = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let pair = |ips: &str, key: &str| {
        wg(&format!(
            "peers: [(public_key: \"{KEY}\", allowed_ips: [\"::/0\"]), (public_key: \"{key}\", allowed_ips: [\"{ips}\"])]"
        ))
    };
    accepted(&pair("2001:db8::/32", other));
    refused(&pair("::/0", other), "\"::/0\"", "keep one");
    refused(&pair("2001:db8::/32", KEY), &format!("\"{KEY}\""), "keep one");
    for good in ["192.0.2.1:51820", "[2001:db8::1]:1", "vpn.example.net:65535"] {
        accepted(&peer(&format!("endpoint: \"{good}\", allowed_ips: [\"::/0\"]")));
    }
    for bad in ["192.0.2.1", "192.0.2.1:0", "192.0.2.1:65536", "2001:db8::1:51820", "[192.0.2.1]:1", ":1", "[::1]:1"] {
        let text = peer(&format!("endpoint: \"{bad}\", allowed_ips: [\"::/0\"]"));
        refused(&text, &format!("\"{bad}\""), "");
    }
    refused(&peer("keepalive: \"0s\", allowed_ips: [\"::/0\"]"), "\"0s\"", "1s");
    refused(&peer("keepalive: \"1500ms\", allowed_ips: [\"::/0\"]"), "\"1500ms\"", "1s");
    refused(&kind(&format!("WireGuard(key: \"{KEY}\", peers: [])")), &format!("\"{KEY}\""), "name");
    refused(&kind("WireGuard(key: \"../a\", peers: [])"), "\"../a\"", "letters");
    let warnings = complaints(&kind("WireGuard(key: \"a\")"));
    assert!(matches!(&warnings[..], [(Severity::Warning, _, hint)] if hint.contains("peers")), "{warnings:?}");
    let ports = two(
        &format!(
            "kind: WireGuard(key: \"a\", listen_port: 1, peers: [(public_key: \"{KEY}\", allowed_ips: [\"::/0\"])])"
        ),
        &format!(
            "kind: WireGuard(key: \"b\", listen_port: 1, peers: [(public_key: \"{KEY}\", allowed_ips: [\"::/0\"])])"
        ),
    );
    refused(&ports, "WireGuard", "listen_port");
}

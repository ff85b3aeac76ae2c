//! The section of router.ron: every mistake is found at its place; what instances share, and what they may not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod section;

use core::time::Duration;

use portreeve_config::Severity;
use portreeve_network::Prefix;
use portreeve_translator::Config;
use portreeve_translator::config::{
    ClatAddress, Filtering, Instance, Log, Mode, NON_GLOBAL4, Nat64, Policy, Pref64, Side, ZeroChecksum, summary,
};
use proptest::prelude::*;
use section::*;

const EXAMPLE: &str = include_str!("../src/guest/example.ron");

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

fn shown(list: &[Prefix]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn stateful(config: &Config, name: &str) -> (Nat64, Instance) {
    let instance = config.instance(name).unwrap();
    let Mode::Nat64(nat64) = &instance.mode else { panic!("{instance:?}") };
    (nat64.clone(), Instance::clone(instance))
}

#[test]
fn the_whole_section_is_read_without_a_complaint_and_summed_up() {
    let (config, warnings) = Config::parse(FULL).unwrap();
    assert_eq!(warnings, []);
    let lines = summary(&config);
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "clat: clat by 64:ff9b::/96 from 2001:db8:60:f::464/128; own address 192.0.0.2; default route with metric \
             4096; for 192.168.1.0/24; never to addresses that are not global",
            "nat64: nat64 of 2001:db8:46::/96 to 198.51.100.0/28, 203.0.113.7/32; 100000 sessions, 5000 of one /64; for \
             2001:db8:60::/60; timeouts udp 3m, tcp 3h, tcp transitory 5m, icmp 30s; ports in blocks of 512; tcp \
             connections from outside where a mapping is there; 198.51.100.1:443 -> [2001:db8:60::10]:443; mtu 9000 of \
             IPv6, 1400 of IPv4; never to 192.0.0.0/8; never to addresses that are not global",
            "siit0: siit of 2001:db8:64::/96; 192.0.2.1/32 = 2001:db8:1::1/128, 192.0.2.16/28 = 2001:db8:2::/120; hosts \
             of 192.0.2.128/25; advertised",
            "dns64: asked on lan*, lo port 5300; asks 192.0.2.53:53, [2001:db8::53]:5353; synthesises from \
             2001:db8:46::/96; not for corp.example; no synthesis for 2001:db8:60:2::/64; IPv4 addresses only for \
             10.0.0.0/8",
        ]
    );
    let (nat64, instance) = stateful(&config, "nat64");
    assert_eq!((nat64.filtering, nat64.log, nat64.port_block), (Filtering::AddressDependent, Log::Blocks, Some(512)));
    assert_eq!(nat64.pool.ranges[1].ports, 2048..=65_535);
    assert_eq!((nat64.timeouts.udp, nat64.timeouts.icmp), (Duration::from_secs(180), Duration::from_secs(30)));
    let traffic = &instance.traffic;
    assert_eq!((traffic.udp_zero_checksum, traffic.copy_traffic_class), (ZeroChecksum::Drop, false));
    assert_eq!((traffic.mss_clamp, traffic.hairpin, traffic.private), (false, false, Some(false)));
    // What is within a prefix that is written is not there twice.
    assert_eq!(shown(&traffic.deny)[..3], ["192.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10"]);
    assert_eq!(traffic.deny.len(), 7);
    assert_eq!((instance.device_mtu(), traffic.icmp_errors), (9000, 50));
    assert_eq!(instance.icmp_source(), "2001:db8:60::1".parse().ok());
    let Mode::Siit(siit) = &config.instance("siit0").unwrap().mode else { panic!() };
    assert_eq!((siit.eam[0].host, siit.eam[1].host), (Side::Ipv6, Side::Ipv4));
    let dns64 = config.dns64().unwrap();
    assert_eq!((dns64.clients[0].policy, dns64.clients[1].policy), (Policy::NoSynthesis, Policy::AOnly));
    assert_eq!((dns64.exclude_names.as_slice(), dns64.tcp_connections), (&["corp.example".to_owned()][..], 5));
}

#[test]
fn the_example_is_legal() {
    let (config, warnings) = Config::parse(EXAMPLE).unwrap();
    assert_eq!((config.instances().count(), config.dns64().is_some(), warnings), (3, true, vec![]));
}

#[test]
fn an_empty_section_is_nat64_with_the_well_known_prefix_behind_the_routers_address() {
    for text in ["()", &dns64("")] {
        accepted(text);
        let (nat64, instance) = stateful(&parsed(text), "nat64");
        assert_eq!((nat64.prefix, nat64.pool.masquerade), (Pref64::WELL_KNOWN, true));
        assert_eq!(shown(&instance.masquerades()), ["192.0.0.4/30"]);
        assert_eq!((nat64.sessions, nat64.per_prefix, instance.advertise), (65_536, 16_384, true));
        assert_eq!(shown(&instance.routes()), ["192.0.0.4/30", "64:ff9b::/96"]);
        assert_eq!(instance.icmp_source(), "64:ff9b::192.0.0.4".parse().ok());
        assert!(!instance.allows_private(Some(Pref64::WELL_KNOWN)));
    }
    accepted(&of("Nat64"));
    assert_eq!(stateful(&parsed(&of("Nat64()")), "x").0, Nat64::default());
    warned("(instances: {})", "{}", "");
    accepted(
        "(instances: {}, dns64: (interfaces: [\"lan0\"], resolvers: [\"192.0.2.53\"], prefixes: [\"64:ff9b::/96\"]))",
    );
    assert_eq!(parsed(&dns64("")).dns64().unwrap().prefixes, [Pref64::WELL_KNOWN]);
}

#[test]
fn kinds_and_names_have_their_words() {
    refused(&of("Nat46()"), "Nat46", "`Nat64`");
    refused(&of("(prefix: \"64:ff9b::/96\")"), "(prefix: \"64:ff9b::/96\")", "one of");
    refused(&nat64("prefx: 1").replace("prefx: 1", "prefx: \"64:ff9b::/96\""), "prefx", "`prefix`");
    refused("(instance: {})", "instance", "`instances`");
    for name in ["a/b", "", "sixteen-letters0", "nat*", "lo"] {
        refused(&format!("(instances: {{\"{name}\": Nat64()}})"), &format!("\"{name}\""), "such as");
    }
    refused("(instances: {\"a\": Nat64(), \"a\": Nat64()})", "\"a\"", "keep one");
    let many: Vec<_> =
        (0..17).map(|n| format!("\"n{n}\": Clat(address: \"2001:db8::{n:x}\", ipv4: \"192.0.2.{n}\")")).collect();
    let list = complaints(&format!("(instances: {{{}}})", many.join(", ")));
    assert!(matches!(&list[..], [(Severity::Error, _, hint)] if hint == "write fewer"), "{list:?}");
}

#[test]
fn a_prefix_is_one_of_rfc_6052() {
    for good in
        ["64:ff9b::/96", "64:ff9b:1::/48", "2001:db8::/32", "2001:db8:100::/40", "2001:db8:0:100::/56", "2001:db8::/64"]
    {
        accepted(&nat64(&format!("prefix: \"{good}\", sources: [\"2001:db9::/32\"]")));
    }
    for bad in
        ["2001:db8::/33", "2001:db8::/128", "10.0.0.0/8", "ff02::/96", "fe80::/64", "2001:db8:0:0:ff00::/96", "::/96"]
    {
        refused(&nat64(&format!("prefix: \"{bad}\"")), &format!("\"{bad}\""), "such as");
    }
    refused(&nat64("prefix: \"2001:db8::1/96\""), "\"2001:db8::1/96\"", "2001:db8::/96");
}

#[test]
fn a_pool_has_usable_addresses_each_once_and_legal_ports() {
    let pool = |list: &str| nat64(&format!("pool: Addresses([{list}])"));
    accepted(&pool("\"198.51.100.0/28\", \"203.0.113.7\", (addresses: \"203.0.113.8/32\", ports: (1, 1))"));
    accepted(&nat64("pool: Masquerade(\"10.255.0.0/30\")"));
    for bad in ["127.0.0.1", "0.0.0.0/8", "224.0.0.0/24", "255.255.255.255", "169.254.0.0/24", "240.0.0.1", "0.0.0.0/0"]
    {
        let list = complaints(&pool(&format!("\"{bad}\"")));
        assert!(list.iter().any(|(_, at, _)| *at == format!("\"{bad}\"")), "{bad}: {list:?}");
    }
    refused(&pool("\"2001:db8::/96\""), "\"2001:db8::/96\"", "192.0.2.0/24");
    refused(&pool("\"198.51.100.1/28\""), "\"198.51.100.1/28\"", "198.51.100.0/28");
    refused(&pool("\"198.51.100.0/28\", \"198.51.100.3\""), "\"198.51.100.3\"", "keep one");
    refused(&pool(""), "[]", "such as");
    refused(&nat64("pool: Masquerad"), "Masquerad", "Masquerade, or");
    refused(&nat64("pool: Addresses([\"198.0.0.0/16\"])"), "Addresses([\"198.0.0.0/16\"])", "longer prefix");
    for ports in ["(0, 5)", "(9, 8)", "(1, 65536)", "\"1-2\"", "(1, 2, 3)"] {
        let entry = format!("(addresses: \"203.0.113.7\", ports: {ports})");
        refused(&pool(&entry), ports, "(1024, 65535)");
    }
}

#[test]
fn table_sizes_and_times_are_bounded() {
    refused(&nat64("sessions: 100"), "100", "256 to 4194304");
    refused(&nat64("sessions: 5000000"), "5000000", "256 to");
    refused(&nat64("sessions: 1000, per_prefix: 1001"), "1001", "1 to 1000");
    assert_eq!(stateful(&parsed(&nat64("sessions: 1000")), "x").0.per_prefix, 250);
    refused(&nat64("port_block: 8"), "8", "16 to");
    let ports = |range: &str, block: u16| {
        let pool = format!("pool: Addresses([(addresses: \"203.0.113.7\", ports: {range})])");
        nat64(&format!("{pool}, port_block: {block}"))
    };
    refused(&ports("(1024, 1100)", 128), "128", "smaller block");
    // Blocks begin at multiples of their size.
    refused(&ports("(1000, 1140)", 128), "128", "larger range");
    accepted(&ports("(1024, 1151)", 128));
    refused(&ports("(1, 31)", 16).replace("31", "30"), "16", "larger range");
    accepted(&ports("(1, 31)", 16));
    refused(&nat64("log: Blocks"), "Blocks", "port_block");
    refused(&nat64("log: Session"), "Session", "`Sessions`");
    refused(&nat64("timeouts: (udp: \"119s\")"), "\"119s\"", "\"2m\"");
    refused(&nat64("timeouts: (udp: 120)"), "120", "\"120s\"");
    refused(&nat64("timeouts: (tcp: \"4m\")"), "\"4m\"", "\"5m\"");
    warned(&nat64("timeouts: (tcp: \"1h\")"), "(tcp: \"1h\")", "2h4m");
    refused(&nat64("port_block: 256, log: Sessions"), "Sessions", "Blocks");
    refused(&nat64("timeouts: (tpc: \"1h\")"), "tpc", "`tcp`");
    refused(&nat64("mtu: (ipv6: 1279)"), "1279", "1280 to");
    refused(&nat64("mtu: (ipv4: 575)"), "575", "576 to");
    refused(&nat64("mtu: (ipv6: 1400, lowest_ipv6: 1401)"), "1401", "1280 to 1400");
    let (_, instance) = stateful(&parsed(&nat64("mtu: (lowest_ipv6: 1500)")), "x");
    assert_eq!((instance.traffic.mtu6, instance.traffic.lowest_mtu6), (1500, 1500));
    assert_eq!(stateful(&parsed("()"), "nat64").1.traffic.lowest_mtu6, 1280);
    refused(&nat64("filtering: Endpoint"), "Endpoint", "");
    refused(&nat64("sources: [\"10.0.0.0/8\"]"), "\"10.0.0.0/8\"", "2001:db8::/32");
    refused(&nat64("sources: [\"64:ff9b::/112\"]"), "\"64:ff9b::/112\"", "hosts");
    refused(&nat64("deny: [\"2001:db8::/32\"]"), "\"2001:db8::/32\"", "192.0.2.0/24");
}

#[test]
fn a_prefix_that_others_may_have_a_route_to_is_pointed_out_where_nobody_is_named() {
    accepted("()");
    accepted(&nat64("prefix: \"64:ff9b::/96\""));
    warned(&nat64("prefix: \"2001:db8:64::/96\""), "\"2001:db8:64::/96\"", "sources");
    accepted(&nat64("prefix: \"2001:db8:64::/96\", sources: [\"2001:db8:60::/60\"]"));
    // Everyone, on purpose.
    accepted(&nat64("prefix: \"2001:db8:64::/96\", sources: [\"::/0\"]"));
}

#[test]
fn what_the_kernels_masquerading_undoes_is_pointed_out() {
    warned(&nat64("inbound_tcp: true"), "true", "Addresses");
    warned(&nat64("pool: Masquerade(\"10.0.0.0/30\"), filtering: AddressDependent"), "AddressDependent", "Addresses");
    accepted(&nat64("inbound_tcp: false, filtering: EndpointIndependent"));
    accepted(&nat64("pool: Addresses([\"198.51.100.1\"]), inbound_tcp: true, filtering: AddressDependent"));
}

#[test]
fn a_static_mapping_is_of_the_pool_of_a_host_and_there_once() {
    let pool = "pool: Addresses([\"198.51.100.1\"]), ";
    let entry = |protocol: &str, host: &str, public: &str| {
        format!("(protocol: {protocol}, host: \"{host}\", public: \"{public}\")")
    };
    let with = |entries: &str| nat64(&format!("{pool}static: [{entries}]"));
    let good = entry("Tcp", "[2001:db8::10]:443", "198.51.100.1:443");
    accepted(&with(&good));
    accepted(&with(&format!("{good}, {}", good.replace("Tcp", "Udp"))));
    for (bad, hint) in [
        (entry("Tcp", "[2001:db8::10]:443", "198.51.100.2:443"), "of the pool"),
        (entry("Tcp", "[64:ff9b::1]:443", "198.51.100.1:443"), "address of a host"),
        (entry("Udp", "[2001:db8::10]:443", "198.51.100.1:0"), "from 1 on"),
    ] {
        refused(&with(&bad), &bad, hint);
    }
    refused(&with(&entry("Tcp", "[fe80::1]:443", "198.51.100.1:443")), "\"[fe80::1]:443\"", "host");
    refused(&with(&entry("Tcp", "[2001:db8::1%2]:443", "198.51.100.1:443")), "\"[2001:db8::1%2]:443\"", "host");
    refused(&with(&entry("Tcp", "2001:db8::1", "198.51.100.1:443")), "\"2001:db8::1\"", "[2001:db8::10]:443");
    refused(&with(&entry("Sctp", "[2001:db8::1]:1", "198.51.100.1:443")), "Sctp", "");
    let other = entry("Tcp", "[2001:db8::11]:443", "198.51.100.1:443");
    refused(&with(&format!("{good}, {other}")), &other, "keep one");
    let other = entry("Tcp", "[2001:db8::10]:443", "198.51.100.1:444");
    refused(&with(&format!("{good}, {other}")), &other, "keep one");
    refused(&with(&good).replace("static", "sources: [\"2001:db8:1::/48\"], static"), &good, "sources");
    let hidden = entry("Tcp", "[2001:db8::10]:443", "192.0.0.5:443");
    warned(&nat64(&format!("static: [{hidden}]")), &format!("[{hidden}]"), "Addresses");
}

#[test]
fn explicit_mappings_fit_and_are_there_once_rfc_7757_section_3_2() {
    let eam = |list: &str| siit(&format!("eam: [{list}]"));
    accepted(&eam("(\"192.0.2.0/28\", \"2001:db8::/124\"), (\"192.0.2.1\", \"2001:db8:1::1\")"));
    accepted(&eam("(\"192.0.2.0/28\", \"2001:db8::/64\")"));
    let bad = "(\"192.0.2.0/28\", \"2001:db8::/125\")";
    refused(&eam(bad), bad, "at most 124");
    let twice = "(\"192.0.2.1\", \"2001:db8::2\")";
    refused(&eam(&format!("(\"192.0.2.1\", \"2001:db8::1\"), {twice}")), twice, "keep one");
    let twice = "(\"192.0.2.2\", \"2001:db8::1\")";
    refused(&eam(&format!("(\"192.0.2.1\", \"2001:db8::1\"), {twice}")), twice, "keep one");
    for bad in [
        "(\"2001:db8::1\", \"192.0.2.1\")",
        "(\"x\", \"y\")",
        "(\"192.0.2.1/24\", \"::/0\")",
        "(\"127.0.0.1\", \"::1\")",
    ] {
        let list = complaints(&eam(bad));
        assert_eq!(list.len(), 2, "{bad}: {list:?}");
    }
    refused(&eam("(ipv4: \"192.0.2.1\")"), "(ipv4: \"192.0.2.1\")", "ipv6");
    refused(&eam("(ipv4: \"192.0.2.1\", ipv6: \"2001:db8::1\", host: Ipv5)"), "Ipv5", "`Ipv4`");
    refused(&siit(""), "\"x\"", "eam");
    refused(&siit("eam: []"), "\"x\"", "eam");
    accepted(&siit("prefix: \"2001:db8:64::/96\""));
    refused(&siit("eam: [(\"192.0.2.1\", \"2001:db8::1\")], ipv4: [\"192.0.2.0/24\"]"), "[\"192.0.2.0/24\"]", "prefix");
    refused(&siit("prefix: \"2001:db8:64::/96\", pool6791: []"), "[]", "remove");
    refused(&siit("prefix: \"2001:db8:64::/96\", pool6791: [\"0.0.0.1\"]"), "\"0.0.0.1\"", "such as");
    refused(&eam("(\"192.0.2.1\", \"2001:db8::1\")").replace("])", "], advertise: true)"), "true", "prefix");
}

#[test]
fn the_other_side_of_a_mapping_is_routed_to_the_device() {
    let text = siit(
        "prefix: \"2001:db8:64::/96\", eam: [(\"192.0.2.1\", \"2001:db8::1\"), (ipv4: \"10.0.0.0/24\", \
        ipv6: \"2001:db8:5::/120\", host: Ipv4)], ipv4: [\"198.51.100.0/24\"]",
    );
    let routes = shown(&parsed(&text).instance("x").unwrap().routes());
    assert_eq!(routes, ["192.0.2.1/32", "198.51.100.0/24", "2001:db8:5::/120", "2001:db8:64::/96"]);
}

#[test]
fn neighbouring_mappings_are_one_route_and_the_routes_are_bounded() {
    let eam = |step: u32, count: u32| {
        let entry = |n: u32| format!("(\"{}\", \"2001:db8::{n:x}\")", std::net::Ipv4Addr::from(0x0a00_0000 + n * step));
        siit(&format!("eam: [{}]", (1..=count).map(entry).collect::<Vec<_>>().join(", ")))
    };
    let routes = |text: &str| shown(&parsed(text).instance("x").unwrap().routes());
    assert_eq!(routes(&eam(1, 4)), ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
    assert_eq!(routes(&eam(2, 2048)).len(), 2048);
    accepted(&eam(1, 16_384));
    refused(&eam(2, 2049), "(\"10.0.0.2\", \"2001:db8::1\")", "next to each other");
    let list = complaints(&eam(1, 16_385));
    assert!(matches!(&list[..], [(Severity::Error, _, hint)] if hint == "write fewer"), "{}", list.len());
}

#[test]
fn a_clat_has_an_address_of_its_own() {
    let address = "address: \"2001:db8:f::464\"";
    accepted(&clat(address));
    accepted(&clat("prefix: Auto, address: \"2001:db8:f::/96\""));
    let config = parsed(&clat("address: \"2001:db8:f::/96\""));
    let Mode::Clat(found) = &config.instance("x").unwrap().mode else { panic!() };
    assert!(matches!(found.address, ClatAddress::Within(prefix) if prefix.length() == 96));
    assert_eq!(config.instance("x").unwrap().icmp_source(), "2001:db8:f::192.0.0.1".parse().ok());
    refused(&clat(""), "Clat()", "address");
    refused(&clat("address: \"10.0.0.1\""), "\"10.0.0.1\"", "of ours");
    refused(&clat("address: \"fe80::1\""), "\"fe80::1\"", "of ours");
    refused(&clat("address: \"2001:db8::/80\""), "\"2001:db8::/80\"", "such as");
    for cut in ["2001:db8::/40", "2001:db8:f::/48", "2001:db8:f::/56"] {
        refused(&clat(&format!("address: \"{cut}\"")), &format!("\"{cut}\""), "96 bits");
    }
    accepted(&clat("address: \"2001:db8:f::/64\""));
    accepted(&clat("address: \"2001:db8::/32\""));
    refused(&clat(&format!("prefix: \"2001:db8::/32\", {address}")), "\"2001:db8:f::464\"", "of ours");
    refused(&clat(&format!("prefix: Aut, {address}")), "Aut", "");
    refused(&clat(&format!("{address}, default_route: false, metric: 5")), "5", "remove");
    refused(&clat(&format!("{address}, masquerade: [\"192.0.0.0/24\"]")), "\"192.0.0.0/24\"", "behind");
    let all = "address: \"2001:db8:f::/96\", masquerade: [\"10.0.0.0/8\"]";
    warned(&clat(all), "[\"10.0.0.0/8\"]", "single");
    refused(&clat(&format!("{address}, sessions: 5")), "sessions", "known");
}

#[test]
fn no_two_instances_lay_claim_to_the_same_addresses() {
    let pool = |list: &str| format!("pool: Addresses([\"{list}\"])");
    let nat =
        |prefix: &str, list: &str| format!("Nat64(prefix: \"{prefix}\", sources: [\"2001:db9::/32\"], {})", pool(list));
    accepted(&two(&nat("2001:db8:a::/96", "198.51.100.1"), &nat("2001:db8:b::/96", "198.51.100.2")));
    let same = two(&nat("2001:db8:a::/96", "198.51.100.1"), &nat("2001:db8:a::/96", "198.51.100.2"));
    refused(&same, "\"2001:db8:a::/96\"", "one of the two");
    let within = two(&nat("2001:db8:a:1::/96", "198.51.100.1"), &nat("2001:db8:a::/48", "198.51.100.2"));
    refused(&within, "\"2001:db8:a::/48\"", "one of the two");
    let pools = two(&nat("2001:db8:a::/96", "198.51.100.0/24"), &nat("2001:db8:b::/96", "198.51.100.7"));
    refused(&pools, "\"198.51.100.7\"", "one of the two");
    refused(&two("Nat64()", "Nat64(prefix: \"2001:db8:b::/96\", sources: [\"::/0\"])"), "\"b\"", "one of the two");
    let other = "Nat64(prefix: \"2001:db8:b::/96\", sources: [\"::/0\"], pool: Masquerade(\"10.0.0.0/30\"))";
    accepted(&two("Nat64()", other));
    let eam = "Siit(eam: [(\"198.51.100.1\", \"2001:db8::1\")])";
    refused(&two(eam, &nat("2001:db8:b::/96", "198.51.100.0/24")), "\"198.51.100.0/24\"", "one of the two");
    let clats = two("Clat(address: \"2001:db8::1\")", "Clat(address: \"2001:db8::2\")");
    refused(&clats, "\"b\"", "one of the two");
    accepted(&two("Clat(address: \"2001:db8::1\")", "Clat(address: \"2001:db8::2\", ipv4: \"192.0.0.2\")"));
    let back = two("Nat64()", "Clat(prefix: \"64:ff9b::/96\", address: \"2001:db8::2\")");
    refused(&back, "\"64:ff9b::/96\"", "provider");
}

#[test]
fn dns64_names_who_asks_who_is_asked_and_whose_prefix() {
    accepted(&dns64("rate: Off, cache: (entries: 0)"));
    for (resolver, address) in
        [("192.0.2.1", "192.0.2.1:53"), ("2001:db8::1", "[2001:db8::1]:53"), ("127.0.0.1:5353", "127.0.0.1:5353")]
    {
        let text = dns64("").replace("192.0.2.53", resolver);
        accepted(&text);
        assert_eq!(parsed(&text).dns64().unwrap().resolvers[0].to_string(), address);
    }
    for bad in ["ns.example", "0.0.0.0", "192.0.2.1:0", "fe80::1", "[fe80::1%2]:53", "224.0.0.251", "192.0.2"] {
        refused(&dns64("").replace("192.0.2.53", bad), &format!("\"{bad}\""), "such as");
    }
    refused(&dns64("").replace("\"192.0.2.53\"", ""), "[]", "such as");
    refused(&dns64("").replace("\"192.0.2.53\"", "\"192.0.2.53\", \"192.0.2.53:53\""), "\"192.0.2.53:53\"", "keep one");
    refused(&dns64("").replace("192.0.2.53", "64:ff9b::1"), "\"64:ff9b::1\"", "own address");
    refused(&dns64("").replace("192.0.2.53", "192.0.0.5"), "\"192.0.0.5\"", "own address");
    let own = dns64("").replace("192.0.2.53", "::1").replace("lan0", "l*");
    refused(&own, "\"::1\"", "another");
    accepted(&dns64("port: 54").replace("192.0.2.53", "::1").replace("lan0", "lo"));
    refused(&dns64("").replace("\"lan0\"", ""), "[]", "clients");
    refused(&dns64("").replace("\"lan0\"", "\"lan*\", \"lan0\""), "\"lan0\"", "keep one");
    refused(&dns64("").replace("lan0", "a b"), "\"a b\"", "such as");
    refused(&dns64("instance: \"nat46\""), "\"nat46\"", "`nat64`");
    refused(&dns64("instance: \"nat64\", prefixes: [\"64:ff9b::/96\"]"), "\"nat64\"", "keep");
    refused(&dns64("prefixes: []"), "[]", "such as");
    let dns = "dns64: (interfaces: [\"lan0\"], resolvers: [\"192.0.2.53\"])";
    let several = "\"a\": Nat64(), \"b\": Nat64(prefix: \"2001:db8:b::/96\", sources: [\"::/0\"], pool: Masquerade(\"10.0.0.0/30\"))";
    let at = dns.strip_prefix("dns64: ").unwrap();
    refused(&format!("(instances: {{{several}}}, {dns})"), at, "instance");
    refused(&format!("(instances: {{\"c\": Clat(address: \"2001:db8::1\")}}, {dns})"), at, "prefixes");
    let eam = "\"s\": Siit(eam: [(\"192.0.2.1\", \"2001:db8::1\")])";
    let named = dns.replace(")", ", instance: \"s\")");
    refused(&format!("(instances: {{{eam}}}, {named})"), "\"s\"", "prefixes");
}

#[test]
fn every_setting_of_dns64_is_bounded() {
    refused(&dns64("port: 0"), "0", "1 to 65535");
    refused(&dns64("timeout: \"31s\""), "\"31s\"", "\"30s\"");
    refused(&dns64("attempts: 17"), "17", "1 to 16");
    refused(&dns64("udp_size: 511"), "511", "512 to 4096");
    refused(&dns64("cache: (min_ttl: \"1500ms\")"), "\"1500ms\"", "\"0s\" to \"1h\"");
    refused(&dns64("rate: (queries: 0)"), "0", "1 to");
    refused(&dns64("cache: (entries: 1000001)"), "1000001", "0 to 1000000");
    refused(&dns64("cache: (min_ttl: \"1m\", max_ttl: \"30s\")"), "\"30s\"", "\"1m\"");
    refused(&dns64("max_outstanding: 100, max_outstanding_per_client: 101"), "101", "1 to 100");
    refused(&dns64("tcp: (connections: 0)"), "0", "1 to 512");
    refused(&dns64("tcp: (connections: 513)"), "513", "1 to 512");
    refused(&dns64("exclude_names: [\"a..b\"]"), "\"a..b\"", "below");
    refused(&dns64("exclude_names: [\"a.b\", \"A.B.\"]"), "\"A.B.\"", "keep one");
    refused(&dns64("exclude_aaaa: [\"10.0.0.0/8\"]"), "\"10.0.0.0/8\"", "2001:db8::/32");
    refused(&dns64("exclude_a: [\"::/0\"]"), "\"::/0\"", "192.0.2.0/24");
    refused(&dns64("clients: [(from: \"::/0\", policy: Ful)]"), "Ful", "`Full`");
    let twice = "clients: [(from: \"::/0\", policy: Full), (from: \"::/0\", policy: Refuse)]";
    refused(&dns64(twice), "\"::/0\"", "keep one");
    let usual = parsed(&dns64(""));
    assert_eq!(usual.dns64().unwrap().exclude_aaaa, [prefix("::ffff:0:0/96")]);
    let nine: Vec<_> = (1..=9).map(|n| format!("\"192.0.2.{n}\"")).collect();
    let list = complaints(&dns64("").replace("\"192.0.2.53\"", &nine.join(", ")));
    assert!(matches!(&list[..], [(Severity::Error, _, hint)] if hint == "write fewer"), "{list:?}");
}

#[test]
fn addresses_that_are_not_global_are_not_synthesised_where_they_are_not_translated_rfc_6052_section_3_1() {
    let excluded = |text: &str| shown(&parsed(text).dns64().unwrap().exclude_a);
    let private = shown(&NON_GLOBAL4);
    assert_eq!(excluded(&dns64("")), private);
    assert_eq!(excluded(&dns64("prefixes: [\"64:ff9b::/96\"]")), private);
    assert_eq!(excluded(&dns64("prefixes: [\"64:ff9b::/96\", \"2001:db8::/96\"]")), Vec::<String>::new());
    assert_eq!(excluded(&dns64("exclude_a: []")), Vec::<String>::new());
    let with = |fields: &str| dns64("").replacen('(', &format!("(instances: {{\"x\": Nat64({fields})}}, "), 1);
    assert_eq!(excluded(&with("private: true")), Vec::<String>::new());
    assert_eq!(excluded(&with("prefix: \"2001:db8::/96\"")), Vec::<String>::new());
    assert_eq!(excluded(&with("prefix: \"2001:db8::/96\", private: false")), private);
}

#[test]
fn tables_beyond_the_usual_memory_are_pointed_out() {
    accepted(&nat64("sessions: 300000"));
    // 16 MiB, and for each session 128 bytes and 35 in a snapshot.
    warned(&nat64("sessions: 1048576"), "1048576", "memory_mib: 179");
    warned(&dns64("cache: (bytes: 100000000)"), "(", "memory_mib: 122");
}

#[test]
fn the_needs_are_no_more_than_the_section_takes() {
    let needs = parsed(&dns64("")).needs();
    assert_eq!((needs.devices.as_slice(), needs.modules), (&["nat64".to_owned()][..], vec!["tun"]));
    assert_eq!(
        (shown(&needs.routes), shown(&needs.masquerade)),
        (vec!["192.0.0.4/30".to_owned(), "64:ff9b::/96".to_owned()], vec!["192.0.0.4/30".to_owned()])
    );
    assert_eq!(needs.sysctls, ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]);
    assert_eq!((needs.links.as_slice(), needs.listen[0].port), (&["lan0".to_owned()][..], 53));
    assert_eq!(needs.connect, ["192.0.2.53:53".parse().unwrap()]);
    assert_eq!((needs.publishes_prefix, needs.publishes_dns, needs.watches_prefix), (true, true, false));
    assert_eq!((needs.volatile_bytes, needs.names), (65_536 * 48 + 4096, vec![]));
    let needs = parsed(FULL).needs();
    assert_eq!((needs.sysctls.len(), needs.listen.len(), needs.publishes_dns), (0, 2, false));
    assert_eq!(shown(&needs.masquerade), ["192.168.1.0/24"]);
    assert!(needs.routes.contains(&prefix("0.0.0.0/0")) && needs.routes.contains(&prefix("2001:db8:60:f::464/128")));
    let needs = parsed(&clat("address: \"2001:db8::1\", default_route: false")).needs();
    assert_eq!((needs.names, needs.watches_prefix, needs.publishes_prefix), (vec!["ipv4only.arpa"], true, false));
    assert_eq!((shown(&needs.routes), needs.volatile_bytes), (vec!["2001:db8::1/128".to_owned()], 0));
    assert_eq!(parsed("(instances: {})").needs(), Default::default());
}

#[test]
fn many_mistakes_are_reported_at_once_in_the_order_of_the_text() {
    let text = r#"(
  instances: {
    "a b": Nat64(prefix: "2001:db8::/33", pool: None, sessions: 1, static: [(protocol: Tpc)], log: Blocks),
    "b": Siit(eam: [("192.0.2.1", "x")], pool6791: [7]),
    "c": Clat(prefix: Now, address: "::1", metrik: 5),
  },
  dns64: (interfaces: [""], resolvers: ["y"], instance: "z", timeout: 5),
  dns46: (),
)"#;
    let list = Config::parse(text).unwrap_err();
    let found: Vec<_> = list.iter().map(|d| d.span.slice(text)).collect();
    let expected = [
        "\"a b\"",
        "\"2001:db8::/33\"",
        "None",
        "1",
        "(protocol: Tpc)",
        "(protocol: Tpc)",
        "Tpc",
        "Blocks",
        "(\"192.0.2.1\", \"x\")",
        "7",
        "Now",
        "\"::1\"",
        "metrik",
        "\"\"",
        "\"y\"",
        "5",
        "dns46",
    ];
    assert_eq!(found, expected);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}", at in 0..FULL.len(), cut in 0..30_usize) {
        let _ = Config::parse(&text);
        let mut damaged = FULL.to_owned();
        let end = (at + cut).min(FULL.len());
        damaged.replace_range(at..end, text.get(..cut).unwrap_or("\""));
        if let Err(list) = Config::parse(&damaged) {
            prop_assert!(!list.is_empty());
            for d in list {
                prop_assert!(d.span.start <= d.span.end && d.span.end <= damaged.len());
            }
        }
    }
}

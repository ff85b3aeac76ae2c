//! What fuzzing runs: one function for each parser that takes bytes from outside. None may panic, and each
//! checks what must hold of whatever it accepted.
//!
//! `tests/fuzz` wraps these for cargo-fuzz, which needs a nightly compiler; `tests/fuzz_short.rs` runs them
//! for a few seconds on mutated samples in every test run.

pub mod firewall;
pub mod gateway;
pub mod translator;

use std::net::Ipv6Addr;
use std::sync::OnceLock;

use portreeve::control::server::{self, Service};
use portreeve::stores::logs::LogStore;
use portreeve::sys::LinkTable;
use portreeve::sys::linux::convert;
use portreeve_config::{Diagnostics, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use portreeve_packet::nd::{NdOptions, RouterAdvertisement, RouterSolicitation, validate_ra, validate_rs};

/// A fuzz target: its name, what it does with bytes, and samples to start from.
pub struct Target {
    /// Name, as in `tests/fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Legal inputs.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 19] = [
    Target { name: "router_solicitation", run: router_solicitation, samples: solicitations },
    Target { name: "router_advertisement", run: router_advertisement, samples: advertisements },
    Target { name: "nd_options", run: nd_options, samples: advertisements },
    Target { name: "router_ron", run: router_ron, samples: configurations },
    Target { name: "radvd_section", run: radvd_section, samples: sections },
    Target { name: "varlink_request", run: varlink_request, samples: requests },
    Target { name: "netlink_answer", run: netlink_answer, samples: netlink_messages },
    Target { name: "sixin4", run: gateway::sixin4, samples: gateway::sixin4_samples },
    Target { name: "interfaces_section", run: gateway::interfaces_section, samples: gateway::interfaces_samples },
    Target { name: "tunnels_section", run: gateway::tunnels_section, samples: gateway::tunnels_samples },
    Target { name: "import_interfaces", run: gateway::import_interfaces, samples: gateway::import_samples },
    Target { name: "xlat", run: translator::xlat, samples: translator::xlat_samples },
    Target { name: "nat64_sessions", run: translator::sessions, samples: translator::sessions_samples },
    Target { name: "dns64_query", run: translator::dns64_query, samples: translator::query_samples },
    Target { name: "dns64_response", run: translator::dns64_response, samples: translator::response_samples },
    Target { name: "translator_section", run: translator::translator_section, samples: translator::section_samples },
    Target { name: "firewall_section", run: firewall::firewall_section, samples: firewall::section_samples },
    Target { name: "nftables_messages", run: firewall::nftables_messages, samples: firewall::messages_samples },
    Target { name: "import_iptables", run: firewall::import_iptables, samples: firewall::import_samples },
];

/// Router solicitations (RFC 4861 section 4.1).
pub fn router_solicitation(data: &[u8]) {
    for source in [Ipv6Addr::UNSPECIFIED, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)] {
        let _ = validate_rs(data, 255, source);
    }
    if let Ok(parsed) = RouterSolicitation::parse(data) {
        let mut buffer = vec![0xa5; parsed.buffer_len()];
        if parsed.emit(&mut buffer).is_ok() {
            let again = RouterSolicitation::parse(&buffer).expect("what was emitted parses");
            assert_eq!(again, parsed, "a round trip changes nothing");
        }
    }
}

/// Router advertisements (RFC 4861 section 4.2) with all options.
pub fn router_advertisement(data: &[u8]) {
    let _ = validate_ra(data, 255, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    if let Ok(parsed) = RouterAdvertisement::parse(data) {
        let mut buffer = vec![0xa5; parsed.buffer_len()];
        if parsed.emit(&mut buffer).is_ok() {
            let again = RouterAdvertisement::parse(&buffer).expect("what was emitted parses");
            assert_eq!(again, parsed, "a round trip changes nothing");
        }
    }
}

/// The options alone.
pub fn nd_options(data: &[u8]) {
    let _ = NdOptions::parse_all(data);
}

/// The frame of router.ron, and printing every complaint against it.
pub fn router_ron(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut d = Diagnostics::new();
    let config = portreeve::config::parse(text, &mut d);
    for plugin in &config.plugins {
        assert!(plugin.section.span.end <= text.len(), "a span is within the text");
    }
    for diagnostic in d.into_vec() {
        assert!(diagnostic.render("router.ron", text).starts_with("router.ron:"));
    }
}

/// A plugin's section: radvd's, and taking any value apart.
pub fn radvd_section(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let complaints = match portreeve_radvd::Config::parse(text) {
        Ok((config, warnings)) => {
            let _ = portreeve_radvd::config::summary(&config);
            warnings
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal has a reason");
            errors
        }
    };
    for diagnostic in complaints {
        let _ = diagnostic.render("router.ron", text);
    }
    let mut d = Diagnostics::new();
    let _ = Value::root(text, &mut d).map(|value| value.entries(&mut d));
}

/// What a client writes to the control socket: framing, parsing and dispatch, as the core serves it.
pub fn varlink_request(data: &[u8]) {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the target")
    });
    // No core answers: whatever needs one is refused, everything else is dispatched for real.
    let (core, _) = tokio::sync::mpsc::channel(1);
    let service = Service { core, logs: LogStore::new(portreeve::config::LogLevel::Error, false) };
    runtime.block_on(async {
        let (mut client, server_side) = UnixStream::pair().expect("a socket pair");
        let serving = server::serve(server_side, service);
        let asking = async {
            let _ = client.write_all(data).await;
            let _ = client.write_all(&[0]).await;
            let _ = client.shutdown().await;
            let mut replies = Vec::new();
            let _ = client.read_to_end(&mut replies).await;
            for reply in replies.split(|byte| *byte == 0).filter(|reply| !reply.is_empty()) {
                assert!(serde_json::from_slice::<serde_json::Value>(reply).is_ok(), "a reply is JSON");
            }
        };
        let _ = tokio::join!(serving, asking);
    });
}

/// The kernel's answers on route netlink.
pub fn netlink_answer(data: &[u8]) {
    let mut table = LinkTable::default();
    convert::apply_bytes(&mut table, data);
    let _ = convert::routes_and_neighbours(data);
    let empty = LinkTable::default();
    let _ = table.changes_since(&empty, |_| true, |_| true);
    let _ = empty.changes_since(&table, |_| true, |_| true);
}

fn solicitations() -> Vec<Vec<u8>> {
    vec![
        vec![133, 0, 0, 0, 0, 0, 0, 0],
        vec![133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1],
        vec![133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1, 14, 1, 1, 2, 3, 4, 5, 6],
    ]
}

fn advertisements() -> Vec<Vec<u8>> {
    let mut all = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    let address = [0x20, 1, 0x0d, 0xb8, 0, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x53];
    all.extend([1, 1, 2, 0, 0, 0, 0, 1]);
    all.extend([5, 1, 0, 0, 0, 0, 0x05, 0xc8]);
    all.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0]);
    all.extend(address);
    all.extend([25, 3, 0, 0, 0, 0, 0x07, 0x08]);
    all.extend(address);
    all.extend([24, 2, 32, 8, 0, 0, 0x07, 0x08, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0]);
    all.extend([31, 3, 0, 0, 0, 0, 0x07, 0x08]);
    all.extend(*b"\x04home\x07example\x00\x00\x00");
    all.extend([38, 2, 0x07, 0x08, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]);
    all.extend(*b"\x25\x04https://portal.example/api\x00\x00\x00\x00");
    vec![all[..16].to_vec(), all]
}

fn configurations() -> Vec<Vec<u8>> {
    let shipped = include_str!("../../images/router.ron");
    let third = r#"Router(plugins: {"a": (component: "a.wasm", allow: [Links("lan*"), Icmpv6(interfaces: "x", receive: [133]), Publish(Tunnel), Storage(flash: 3)], limits: (memory_mib: 8, handles: 9), config: (x: [1, "b", {}]))})"#;
    vec![shipped.as_bytes().to_vec(), third.as_bytes().to_vec()]
}

fn sections() -> Vec<Vec<u8>> {
    let full = r#"(interfaces: {"lan*": (max_interval: "10m", min_interval: "3m", router_lifetime: "30m", preference: High, mtu: 1480, prefixes: {"2001:db8::/64": (valid_lifetime: "infinity", preferred_lifetime: "1d"), "::/64": ()}, routes: {"2001:db8:1::/48": (preference: Low)}, rdnss: [(servers: ["2001:db8::53", "::"])], dnssl: [(domains: ["home.example"])], pref64: [(prefix: "64:ff9b::/96")], captive_portal: "https://p.example/")})"#;
    vec![full.as_bytes().to_vec(), b"()".to_vec(), include_bytes!("../../plugins/radvd/src/guest/example.ron").to_vec()]
}

fn requests() -> Vec<Vec<u8>> {
    [
        r#"{"method":"org.varlink.service.GetInfo"}"#,
        r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.portreeve.Control"}}"#,
        r#"{"method":"org.portreeve.Control.Query","parameters":{"plugin":"radvd","request":["lan0"]}}"#,
        r#"{"method":"org.portreeve.Control.Logs","more":true,"parameters":{"plugin":null,"follow":false}}"#,
        r#"{"method":"org.portreeve.Control.Status","oneway":true}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// RTM_NEWLINK and RTM_NEWADDR as a kernel sends them, cut to the attributes that are read.
fn netlink_messages() -> Vec<Vec<u8>> {
    let message = |kind: u16, body: &[u8]| {
        let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    };
    let mut link = vec![0, 0, 1, 0, 2, 0, 0, 0, 0x43, 0x10, 1, 0, 0, 0, 0, 0];
    link.extend(*b"\x09\x00\x03\x00lan0\x00\x00\x00\x00");
    link.extend([10, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0]);
    link.extend([8, 0, 4, 0, 0xdc, 5, 0, 0]);
    link.extend(*b"\x10\x00\x12\x00\x09\x00\x01\x00veth\x00\x00\x00\x00");
    let mut address = vec![10, 64, 0x80, 253, 2, 0, 0, 0, 20, 0, 1, 0];
    address.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
    address.extend([20, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut route = vec![10, 64, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 20, 0, 1, 0];
    route.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).octets());
    route.extend([8, 0, 4, 0, 2, 0, 0, 0, 8, 0, 6, 0, 0, 4, 0, 0]);
    let mut neighbour = vec![10, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0x80, 1, 20, 0, 1, 0];
    neighbour.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9).octets());
    neighbour.extend([10, 0, 2, 0, 2, 0, 0, 0, 0, 9, 0, 0]);
    let (link, address) = (message(16, &link), message(20, &address));
    let (route, neighbour) = (message(24, &route), message(28, &neighbour));
    vec![link.clone(), address.clone(), [link, address].concat(), [route, neighbour].concat()]
}

//! What the firewall reads from outside: its section, files of sets, the kernel's answers of nf_tables, rules of iptables.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use portreeve_config::Diagnostics;
use portreeve_firewall::compile::{Options, compile};
use portreeve_firewall::config::Config;
use portreeve_firewall::install::{self, Existing};
use portreeve_firewall::trace::trace;
use portreeve_nftables::{
    Batch, Endian, Family, NewChain, NewTable, Query, answer, decode, expression_at, inspect, locate, messages, request,
};

/// A section: parsed, compiled with and without folding, written as messages that are well-formed.
pub fn firewall_section(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (config, warnings) = match Config::parse(text) {
        Ok(parsed) => parsed,
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal has a reason");
            for error in errors {
                let _ = error.render("router.ron", text);
            }
            return;
        }
    };
    for warning in warnings {
        let _ = warning.render("router.ron", text);
    }
    for fold in [true, false] {
        let compiled = compile(&config, &BTreeMap::new(), &["lan0".to_owned()], Options { fold, ..Options::default() });
        let complaints = match compiled {
            Ok((mut ruleset, warnings)) => {
                install::stamp(&mut ruleset);
                for endian in [Endian::Little, Endian::Big] {
                    if let Ok(built) = install::batch(&ruleset, &Existing::default(), Some(1), endian) {
                        let sound =
                            built.stages.iter().all(|stage| inspect(endian, stage).all(|message| message.is_ok()));
                        assert!(sound, "a batch is well-formed");
                    }
                }
                for packet in packets() {
                    let _ = trace(&ruleset, &packet);
                }
                warnings
            }
            Err(errors) => {
                assert!(!errors.is_empty(), "a refusal has a reason");
                errors
            }
        };
        for complaint in complaints {
            let _ = complaint.render("router.ron", text);
        }
    }
}

/// What the kernel says, or what a plugin hands over as a batch: in both byte orders.
pub fn nftables_messages(data: &[u8]) {
    for endian in [Endian::Little, Endian::Big] {
        for message in messages(endian, data).map_while(Result::ok) {
            assert!(message.offset + message.bytes.len() <= data.len(), "a message is within the bytes");
            let _ = (answer(&message), decode(&message), portreeve_nftables::conntrack::decode(&message));
            for offset in [0, 4, 16, 20, 24, 40, 100, u32::MAX] {
                let _ = (locate(endian, message.bytes, offset), expression_at(endian, message.bytes, offset));
            }
        }
        for message in inspect(endian, data) {
            let Ok(message) = message else { break };
            assert!(message.table.is_none_or(|table| table.len() < data.len()), "a name is within the bytes");
        }
        let mut existing = Existing::default();
        let _ = existing.absorb(endian, data);
        let _ = install::counters(endian, data);
    }
}

/// ip6tables-save and iptables-save: what is imported is a router.ron whose section the plugin takes.
pub fn import_iptables(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = |_: &Path| -> io::Result<String> { Ok(text.to_owned()) };
    for family in [portreeve::import::iptables::Family::Ipv4, portreeve::import::iptables::Family::Ipv6] {
        let Ok(imported) = portreeve::import::iptables::import(Path::new("rules"), family, &read) else { continue };
        let mut d = Diagnostics::new();
        let config = portreeve::config::parse(&imported.ron, &mut d);
        let complaints = d.into_vec();
        assert!(complaints.is_empty(), "{}\n{complaints:?}", imported.ron);
        for plugin in config.plugins {
            assert_eq!(plugin.name.value, "firewall", "nothing is imported for others");
            let section = &plugin.section.value;
            let parsed = Config::parse(section);
            assert!(parsed.is_ok(), "{section}\n{:?}", parsed.err());
            firewall_section(section.as_bytes());
        }
    }
}

fn packets() -> Vec<portreeve_firewall::trace::Packet> {
    use portreeve_firewall::trace::{Packet, Path};
    let of = |path, source: &str, destination: &str, protocol| {
        let (source, destination) = (source.parse().expect("an address"), destination.parse().expect("an address"));
        let mut packet = Packet::new(path, source, destination, protocol);
        packet.input = Some("wan0".to_owned());
        packet.output = Some("lan0".to_owned());
        (packet.source_port, packet.destination_port) = (Some(40_000), Some(22));
        packet
    };
    vec![
        of(Path::Through, "2001:db8:f::9", "2001:db8:1::2", 6),
        of(Path::ToRouter, "192.0.2.1", "198.51.100.1", 17),
        of(Path::FromRouter, "198.51.100.1", "192.0.2.1", 1),
    ]
}

/// From nothing to a gateway with everything.
pub fn section_samples() -> Vec<Vec<u8>> {
    let gateway = r#"(
    zones: {
        "lan": (interfaces: ["lan0", "wlan*"], networks: ["192.168.0.0/16", "2001:db8:1::/48"]),
        "wan": (interfaces: ["wan0"], anti_spoofing: Loose, mss_clamp: PathMtu, rfc3964: true),
    },
    policies: [
        (from: ["lan"], to: ["wan", "router"], then: Accept),
        (from: ["wan"], to: ["lan"], then: Drop, log: (prefix: "wan-lan ")),
        (from: ["*"], to: ["*"], then: Reject(AdminProhibited)),
    ],
    rules: [
        (from: ["wan"], to: ["router"], protocol: ["tcp"], destination_port: ["ssh"], then: Accept,
            limit: (rate: "5/minute", burst: 5, per: Source), count: true, log: (), name: "ssh"),
        (from: ["wan"], source: ["@bad"], then: Drop, add_source_to: "seen"),
        (to: ["lan"], destination: ["::1234/::ffff:ffff:ffff:ffff"], protocol: ["tcp"], destination_port: ["@web"], then: Accept),
    ],
    sets: {
        "bad": (elements: ["192.0.2.0/24", "2001:db8::1-2001:db8::9"], timeout: "1h"),
        "web": (kind: Ports, elements: ["80", "443", "8000-8010"]),
        "seen": (dynamic: true, timeout: "10m", size: 65535),
    },
    nat: [
        (to: ["wan"], source: ["192.168.0.0/16"], then: Masquerade),
        (from: ["wan"], protocol: ["tcp"], destination_port: ["80"],
            then: Destination(to: "192.168.1.10", port: "8080", hairpin: true, accept: true)),
    ],
)"#;
    let maps = r#"(forward: (policy: Drop, rules: [
        (source: ["10.1.0.2"], protocol: ["tcp"], destination_port: ["22"], then: Accept),
        (source: ["10.1.0.3"], protocol: ["tcp"], destination_port: ["80"], then: Drop),
        (source: ["10.1.0.2"], protocol: ["udp"], destination_port: ["53"], then: Jump("c")),
        (icmp: ["echo-request", "3/4"], family: Ipv4, then: Accept),
        (tcp_flags: "syn/syn,ack,fin,rst", protocol: ["tcp"], mark: "0x1/0xff", set_mark: "0x2/0x3", then: Reject(TcpReset)),
    ]), chains: {"c": [(hop_limit: "<10", then: Drop), (states: [New], then: Return)]}, defaults: (stateful: false))"#;
    [gateway, maps, "()"].map(|text| text.as_bytes().to_vec()).into()
}

/// A batch, a request, an error with its attributes.
pub fn messages_samples() -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    for endian in [Endian::Little, Endian::Big] {
        let mut batch = Batch::new(endian);
        batch.begin(Some(7));
        batch.push(&NewTable { family: Family::Inet, name: "there", flags: 0, comment: Some("kept by portreeve") }, 0);
        let chain = NewChain { family: Family::Inet, table: "there", name: "input", base: None, comment: None };
        batch.push(&chain, 0);
        batch.end(0);
        samples.push(batch.bytes().to_vec());
        samples.push(request(endian, 1, &Query::Rules { family: Family::Inet, table: Some("there"), chain: None }));
        // NLMSG_ERROR with NLM_F_CAPPED and NLM_F_ACK_TLVS: EBUSY for message 9, NLMSGERR_ATTR_OFFS 20.
        let mut error = endian.u32(44).to_vec();
        error.extend([endian.u16(2), endian.u16(0x300)].concat());
        error.extend([endian.u32(9), endian.u32(1), endian.u32(0xffff_fff0)].concat());
        error.extend([endian.u32(20), endian.u32(0), endian.u32(9), endian.u32(0)].concat());
        error.extend([endian.u16(8), endian.u16(2)].concat());
        error.extend(endian.u32(20));
        samples.push(error);
    }
    let compiled = Config::parse("(forward: (rules: [(source: [\"192.0.2.1\"], then: Drop)]))")
        .ok()
        .and_then(|(config, _)| compile(&config, &BTreeMap::new(), &[], Options::default()).ok());
    if let Some(built) = compiled.and_then(|c| install::batch(&c.0, &Existing::default(), None, Endian::Little).ok()) {
        samples.extend(built.stages);
    }
    samples
}

/// The rules of a gateway of 2006, and a bit of everything.
pub fn import_samples() -> Vec<Vec<u8>> {
    let classic = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        -A INPUT -s ::/0 -d ::/0 -i sixbone -p tcp -m tcp --dport 22 -m state --state NEW -j ACCEPT\n\
        -A INPUT -s ::/0 -d ::/0 -i sixbone -p tcp -m tcp --dport 113 -m state --state NEW -j REJECT --reject-with icmp6-port-unreachable\n\
        -A FORWARD -s ::/0 -d ::/0 -i sixbone -m state --state RELATED,ESTABLISHED -j ACCEPT\n\
        -A FORWARD -s ::/0 -d ::/0 -i sixbone -j DROP\nCOMMIT\n";
    let many = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
        -A PREROUTING -i wan0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.1.10:8080\n\
        -A POSTROUTING -s 192.168.0.0/16 -o wan0 -j MASQUERADE\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:own - [0:0]\n\
        -A INPUT -p tcp -m multiport --dports 22,80:90 -m limit --limit 5/min --limit-burst 7 -j own\n\
        -A own ! -s 10.0.0.0/8 -m comment --comment \"a b\" -j LOG --log-prefix \"own: \"\n-A own -j RETURN\nCOMMIT\n";
    [classic, many].map(|text| text.as_bytes().to_vec()).into()
}

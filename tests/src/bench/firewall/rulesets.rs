//! The rules that are loaded, as a section of router.ron and as a file of `nft -f` that says the same.
//!
//! Rules stand in the forward hook. Where a figure compares loads, nft's file says what people write: a rule for each rule,
//! elements between braces.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

/// Rules of a large policy.
pub const RULES: u32 = 10_000;
/// Elements of a large set.
pub const ELEMENTS: u32 = 100_000;
/// Where the hosts of rules and elements lie.
const HOSTS: u128 = 0x2001_0db8_0f00 << 80;
/// Without zones and defaults: what is measured is the rules.
const BARE: &str =
    "defaults: (stateful: false, loopback: false, rfc4890: false, rfc6092: false, ping: false, dhcp_client: false)";

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// 10,000 rules, each of a network of 64 bits and a port: they stay rules.
    Linear,
    /// 10,000 rules, each of a host and a port: they become a map.
    Foldable,
    /// 100,000 addresses.
    Elements,
    /// 100,000 disjoint ranges.
    Intervals,
}

impl Case {
    /// In the order of the figures.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Foldable, Self::Elements, Self::Intervals];

    /// In names of figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "load_10k_linear",
            Self::Foldable => "load_10k_foldable",
            Self::Elements => "load_100k_elements",
            Self::Intervals => "load_100k_intervals",
        }
    }

    /// The section; `file` is the path of [`Case::file`].
    #[must_use]
    pub fn section(self, file: &str) -> String {
        match self {
            Self::Linear => rules(|number| format!("{}/64", network(number))),
            Self::Foldable => rules(|number| host(number).to_string()),
            Self::Elements | Self::Intervals => format!(
                "(forward: (policy: Accept, rules: [(source: [\"@bad\"], then: Drop)]), {BARE},\n\
                 sets: {{\"bad\": (file: \"{file}\", size: {})}})",
                ELEMENTS * 2
            ),
        }
    }

    /// The file that a set is read from, an element a line; empty if there is none.
    #[must_use]
    pub fn file(self) -> String {
        self.elements("\n")
    }

    /// The same for `nft -f`.
    #[must_use]
    pub fn nft(self) -> String {
        let set = |flags: &str| {
            format!(
                "table inet bench {{\nset bad {{ type ipv6_addr; {flags} elements = {{ {} }} }}\n{} ip6 saddr @bad drop\n}}\n}}\n",
                self.elements(", "),
                chain("accept")
            )
        };
        match self {
            Self::Linear => nft_rules(|number| format!("{}/64", network(number))),
            Self::Foldable => nft_rules(|number| host(number).to_string()),
            Self::Elements => set(""),
            Self::Intervals => set("flags interval;"),
        }
    }

    fn elements(self, between: &str) -> String {
        let one = |number: u32| match self {
            Self::Elements => host(number).to_string(),
            // Neither adjacent nor a prefix.
            _ => format!("{}-{}", host(number * 16 + 1), host(number * 16 + 6)),
        };
        match self {
            Self::Linear | Self::Foldable => String::new(),
            Self::Elements | Self::Intervals => (0..ELEMENTS).map(one).collect::<Vec<_>>().join(between),
        }
    }
}

/// The foldable rules as somebody writes them who knows nft well.
#[must_use]
pub fn nft_map() -> String {
    let entries: Vec<String> =
        (0..RULES).map(|number| format!("{} . {} : accept", host(number), port(number))).collect();
    format!("table inet bench {{\n{} ip6 saddr . tcp dport vmap {{ {} }}\n}}\n}}\n", chain("drop"), entries.join(", "))
}

/// A table that does nothing.
#[must_use]
pub fn nft_empty() -> String {
    format!("table inet bench {{\n{}\n}}\n}}\n", chain("accept"))
}

/// Before each load: no rules.
#[must_use]
pub fn nothing() -> String {
    format!("(forward: (policy: Accept), input: (policy: Accept), {BARE})")
}

/// A gateway as people have it. Two of them differ in a port.
#[must_use]
pub fn gateway(port: u16) -> String {
    format!(
        r#"(
    zones: {{
        "lan": (interfaces: ["lan0"]),
        "wan": (interfaces: ["wan0"], mss_clamp: PathMtu),
    }},
    policies: [
        (from: ["lan"], to: ["wan", "router"], then: Accept),
        (from: ["wan"], to: ["lan", "router"], then: Drop),
    ],
    rules: [
        (from: ["wan"], to: ["router"], protocol: ["tcp"], destination_port: ["22"], then: Accept,
            limit: (rate: "5/minute", burst: 5, per: Source), name: "ssh", count: true),
        (from: ["wan"], to: ["lan"], destination: ["2001:db8:1::80"], protocol: ["tcp"], destination_port: ["{port}"], then: Accept),
    ],
    sets: {{"bad": (elements: ["192.0.2.0/24", "2001:db8:bad::/48"])}},
    nat: [(to: ["wan"], source: ["192.168.0.0/16"], then: Masquerade)],
)"#
    )
}

/// What packets need to pass is in sets and maps that differ from one number to the next: a wildcard of a zone, networks.
#[must_use]
pub fn moving(number: u64) -> String {
    let number = number % 2;
    format!(
        r#"(
    zones: {{
        "lan": (interfaces: ["lan0", "wl{number}*"]),
        "wan": (interfaces: ["wan0"]),
    }},
    policies: [(from: ["*"], to: ["*"], then: Drop)],
    rules: [
        (from: ["lan"], to: ["wan"], source: ["@good"], protocol: ["udp"], then: Accept),
        (from: ["wan"], source: ["2001:db8:bad{number}::/48", "2001:db8:bade::/48"], then: Reject),
    ],
    sets: {{"good": (elements: ["2001:db8:1::/64", "2001:db8:a{number}::/48"])}},
    defaults: (stateful: false),
)"#
    )
}

/// A router.ron with this section.
#[must_use]
pub fn router_ron(section: &str) -> String {
    format!("Router(plugins: {{ \"firewall\": (config: {section}) }})")
}

/// The source and the port that a foldable rule is about.
#[must_use]
pub const fn flow(number: u32) -> (Ipv6Addr, u16) {
    (host(number), port(number))
}

fn rules(source: impl Fn(u32) -> String) -> String {
    let mut text = format!("({BARE}, input: (policy: Accept), forward: (policy: Drop, rules: [\n");
    for number in 0..RULES {
        let (source, port) = (source(number), port(number));
        let _ = writeln!(
            text,
            "    (source: [\"{source}\"], protocol: [\"tcp\"], destination_port: [\"{port}\"], then: Accept),"
        );
    }
    text + "]))"
}

fn nft_rules(source: impl Fn(u32) -> String) -> String {
    let mut text = format!("table inet bench {{\n{}\n", chain("drop"));
    for number in 0..RULES {
        let _ = writeln!(text, "ip6 saddr {} tcp dport {} accept", source(number), port(number));
    }
    text + "}\n}\n"
}

fn chain(policy: &str) -> String {
    format!("chain forward {{ type filter hook forward priority 0; policy {policy};\n")
}

const fn host(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(HOSTS | number as u128)
}

const fn network(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(HOSTS | (number as u128) << 64)
}

const fn port(number: u32) -> u16 {
    1024 + (number % 50_000) as u16
}

#[cfg(test)]
mod tests {
    use portreeve_firewall::config::Config;

    use super::*;

    #[test]
    fn sections_are_legal_and_say_as_much_as_the_files_of_nft() {
        for case in Case::ALL {
            let section = case.section("/tmp/bad.txt");
            let config = Config::parse(&section).expect("a legal section").0;
            match case {
                Case::Linear | Case::Foldable => {
                    assert_eq!(config.forward.rules.len(), RULES as usize);
                    assert_eq!(case.nft().matches(" accept\n").count(), RULES as usize);
                }
                Case::Elements | Case::Intervals => {
                    assert_eq!(case.file().lines().count(), ELEMENTS as usize);
                    assert_eq!(case.nft().matches("2001:db8:f00:").count() % ELEMENTS as usize, 0);
                }
            }
        }
        assert_eq!(nft_map().matches(" : accept").count(), RULES as usize);
        for section in [gateway(80), nothing(), moving(0), moving(1)] {
            assert!(Config::parse(&section).is_ok(), "{section}");
        }
    }
}

//! Random sections of the firewall as text, so that the parser is asked as well. Rules come in runs of one shape with values
//! from a small pool, as people write them and as they fold into maps, with others of every kind between them.

use std::fmt::Write as _;

use fastrand::Rng;

use crate::packets::{HOSTS4, HOSTS6, PORTS, SENTINEL};

const PREFIXES4: [&str; 5] = ["10.1.0.0/24", "10.0.0.0/8", "10.3.0.0/31", "192.0.2.0/24", "0.0.0.0/1"];
const PREFIXES6: [&str; 5] = ["2001:db8:1::/48", "2001:db8:1::/126", "2001:db8::/32", "2001:db8:aaaa::/47", "8000::/1"];
const RANGES4: [&str; 3] = ["10.1.0.2-10.1.0.50", "10.1.0.3-10.3.0.2", "192.0.2.1-198.51.100.9"];
const RANGES6: [&str; 3] =
    ["2001:db8:1::2-2001:db8:1::3", "2001:db8:1::3-2001:db8:3::2", "2001:db8:f::-2001:db8:ffff::"];
const MASKED: [&str; 2] = ["::77/::ffff", "2001:db8:0:9::/ffff:ffff:0:ffff::"];
const PORT_RANGES: [&str; 6] = ["1000-2000", "20-60", "443-8080", "1-1023", "1024-65535", "100-200"];
const CHAINS: usize = 4;
/// All of them hold both families.
const SETS: [&str; 3] = ["hosts", "nets", "mixed"];
const PORT_SETS: [&str; 2] = ["web", "ranges"];

/// A section in parts, so that some can be left out.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub zones: Vec<String>,
    pub policies: Vec<String>,
    pub rules: Vec<String>,
    pub prerouting: Vec<String>,
    pub input: Vec<String>,
    pub forward: Vec<String>,
    pub output: Vec<String>,
    pub chains: [Vec<String>; CHAINS],
    /// What the hooks do with what no rule decides: input, forward, output.
    accept: [bool; 3],
    defaults: String,
}

/// Where a rule stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Zones,
    Prerouting,
    Input,
    Forward,
    Output,
    /// By number: it may jump to later ones only.
    Chain(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Families {
    V4,
    V6,
    Both,
}

/// A section. With states it asks connection tracking, and what becomes of a packet depends on those before it.
pub fn section(random: &mut Rng, states: bool) -> Section {
    let mut zones = vec![zone(random, "lan", "lan0", true), zone(random, "wan", "w*", false)];
    let mut names = vec!["lan", "wan"];
    if random.bool() {
        let interface = if random.bool() { "dmz0" } else { "dmz*" };
        zones.push(zone(random, "dmz", interface, false));
        names.push("dmz");
    }
    let ends = Ends(names);
    let policies = (0..random.usize(0..6)).map(|_| policy(random, &ends)).collect();
    let writer = |place| Writer { place, ends: &ends, states };
    let switch = |random: &mut Rng| random.bool();
    let defaults = format!(
        "stateful: {states}, loopback: {}, rfc4890: {}, rfc6092: {}, ping: {}, dhcp_client: {}",
        switch(random),
        switch(random),
        switch(random),
        switch(random),
        switch(random)
    );
    Section {
        zones,
        policies,
        rules: writer(Place::Zones).rules(random, 18),
        prerouting: if random.u8(0..3) == 0 { writer(Place::Prerouting).rules(random, 5) } else { Vec::new() },
        input: writer(Place::Input).rules(random, 10),
        forward: writer(Place::Forward).rules(random, 14),
        output: writer(Place::Output).rules(random, 6),
        chains: std::array::from_fn(|number| writer(Place::Chain(number)).rules(random, 10)),
        accept: [random.bool(), random.bool(), random.u8(0..4) > 0],
        defaults,
    }
}

impl Section {
    /// As it stands in router.ron.
    pub fn text(&self) -> String {
        let list = |rules: &[String]| rules.iter().map(|rule| format!("        {rule},\n")).collect::<String>();
        let last = format!("        (protocol: [\"{SENTINEL}\"], then: Accept),\n");
        let policy = |accept: bool| if accept { "Accept" } else { "Drop" };
        let mut text = String::from("(\n    zones: {\n");
        for zone in &self.zones {
            let _ = writeln!(text, "        {zone},");
        }
        let _ = write!(text, "    }},\n    policies: [\n{}    ],\n", list(&self.policies));
        let _ = write!(text, "    rules: [\n{}    ],\n", list(&self.rules));
        let before = if self.prerouting.is_empty() { "" } else { &last };
        let _ = write!(text, "    prerouting: [\n{before}{}    ],\n", list(&self.prerouting));
        for (hook, rules, accept) in [
            ("input", &self.input, self.accept[0]),
            ("forward", &self.forward, self.accept[1]),
            ("output", &self.output, self.accept[2]),
        ] {
            let _ = write!(text, "    {hook}: (policy: {}, rules: [\n{last}{}    ]),\n", policy(accept), list(rules));
        }
        text.push_str("    chains: {\n");
        for (number, rules) in self.chains.iter().enumerate() {
            let _ = write!(text, "        \"c{number}\": [\n{}        ],\n", list(rules));
        }
        let _ = write!(
            text,
            "    }},\n    sets: {{\n        \
             \"hosts\": (elements: [\"{}\", \"{}\", \"{}\", \"{}\"]),\n        \
             \"nets\": (elements: [\"10.1.0.0/24\", \"10.3.0.5\", \"2001:db8:1::/64\", \"2001:db8:f::9\"]),\n        \
             \"mixed\": (elements: [\"10.1.0.77-10.3.0.2\", \"2001:db8:1::3-2001:db8:1:9::77\"]),\n        \
             \"web\": (kind: Ports, elements: [\"80\", \"443\", \"8080\"]),\n        \
             \"ranges\": (kind: Ports, elements: [\"20-60\", \"1000-1999\"]),\n        \
             \"seen\": (dynamic: true, timeout: \"1h\", size: 1000),\n    }},\n",
            HOSTS4[0], HOSTS4[6], HOSTS6[0], HOSTS6[7]
        );
        let _ = write!(text, "    defaults: ({}),\n    guard: false,\n)\n", self.defaults);
        text
    }

    /// The lists whose entries can be left out one by one.
    pub fn lists(&mut self) -> Vec<&mut Vec<String>> {
        let mut lists = vec![
            &mut self.policies,
            &mut self.rules,
            &mut self.prerouting,
            &mut self.input,
            &mut self.forward,
            &mut self.output,
        ];
        lists.extend(self.chains.iter_mut());
        lists
    }
}

struct Ends<'a>(Vec<&'a str>);

impl Ends<'_> {
    fn list(&self, random: &mut Rng, router: bool) -> String {
        if random.u8(0..4) == 0 {
            return "[\"*\"]".to_owned();
        }
        let mut names = self.0.clone();
        if router {
            names.push("router");
        }
        random.shuffle(&mut names);
        names.truncate(random.usize(1..=2));
        quoted(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }
}

fn zone(random: &mut Rng, name: &str, interface: &str, inner: bool) -> String {
    let mut fields = vec![format!("interfaces: [\"{interface}\"]")];
    if inner && random.u8(0..3) == 0 {
        fields.push("networks: [\"10.1.0.0/16\", \"2001:db8:1::/48\"]".to_owned());
    }
    fields.push(format!("anti_spoofing: {}", ["Strict", "Loose", "Off", "Off"][random.usize(0..4)]));
    if random.u8(0..4) == 0 {
        fields.push("mss_clamp: PathMtu".to_owned());
    }
    if random.u8(0..4) == 0 {
        fields.push("rfc3964: true".to_owned());
    }
    format!("\"{name}\": ({})", fields.join(", "))
}

fn policy(random: &mut Rng, ends: &Ends<'_>) -> String {
    let then = ["Accept", "Accept", "Drop", "Reject", "Reject(PortUnreachable)"][random.usize(0..5)];
    // From this machine to itself nothing goes.
    let router = random.bool();
    let (from, to) = (ends.list(random, router), ends.list(random, !router));
    format!("(from: {from}, to: {to}, then: {then})")
}

struct Writer<'a> {
    place: Place,
    ends: &'a Ends<'a>,
    states: bool,
}

impl Writer<'_> {
    fn rules(&self, random: &mut Rng, most: usize) -> Vec<String> {
        let (count, mut rules) = (random.usize(0..=most), Vec::new());
        while rules.len() < count {
            if random.bool() { rules.extend(self.run(random)) } else { rules.push(self.rule(random)) }
        }
        rules
    }

    /// Rules with the same fields, an exact value in each, as they fold.
    fn run(&self, random: &mut Rng) -> Vec<String> {
        let family = if random.bool() { Families::V4 } else { Families::V6 };
        let shape = random.u8(0..10);
        let ends = self.ends_of_rule(random);
        let word = if random.bool() { "tcp" } else { "udp" };
        (0..random.usize(2..9))
            .map(|_| {
                let mut fields = ends.clone();
                let host = |random: &mut Rng| quoted(&[one_address(random, family)]);
                match shape {
                    0 => fields.push(format!("destination_port: [\"{}\"]", port(random))),
                    1 => {
                        fields.push(format!("protocol: [\"{word}\"]"));
                        fields.push(format!("destination_port: [\"{}\"]", port(random)));
                    }
                    2 => fields.push(format!("source: {}", host(random))),
                    3 => {
                        fields.push(format!("source: {}", host(random)));
                        fields.push(format!("destination: {}", host(random)));
                    }
                    4 => {
                        fields.push(format!("source: {}", host(random)));
                        fields.push(format!("protocol: [\"{word}\"]"));
                        fields.push(format!("destination_port: [\"{}\"]", port(random)));
                    }
                    5 => fields
                        .push(format!("protocol: [\"{}\"]", ["tcp", "udp", "esp", "gre", "ospf"][random.usize(0..5)])),
                    6 => {
                        let (family, kind) = if family == Families::V4 {
                            ("Ipv4", [8, 0, 3, 11, 13][random.usize(0..5)])
                        } else {
                            ("Ipv6", [128, 129, 1, 2, 135][random.usize(0..5)])
                        };
                        fields.push(format!("family: {family}"));
                        fields.push(format!("icmp: [\"{kind}\"]"));
                    }
                    7 => {
                        let prefixes = if family == Families::V4 { PREFIXES4 } else { PREFIXES6 };
                        fields.push(format!("destination: [\"{}\"]", prefixes[random.usize(0..5)]));
                    }
                    8 => {
                        fields.push(format!("protocol: [\"{word}\"]"));
                        fields.push(format!("destination_port: [\"{}\"]", PORT_RANGES[random.usize(0..6)]));
                    }
                    _ => {
                        let (one, other) = (port(random), port(random));
                        fields.push(format!("protocol: [\"{word}\"]"));
                        let ports = if one == other { vec![one] } else { vec![one, other] };
                        fields.push(format!("source_port: {}", quoted(&ports)));
                        fields.push(format!("destination_port: [\"{}\"]", port(random)));
                    }
                }
                self.finished(random, fields, false)
            })
            .collect()
    }

    fn rule(&self, random: &mut Rng) -> String {
        let mut fields = self.ends_of_rule(random);
        let family = [Families::V4, Families::V6, Families::Both][random.usize(0..3)];
        let mut names_family = random.bool();
        if random.u8(0..3) == 0 {
            fields.push(format!("source: {}", addresses(random, family)));
        }
        if random.u8(0..3) == 0 {
            fields.push(format!("destination: {}", addresses(random, family)));
        }
        let mut is_tcp = false;
        match random.u8(0..10) {
            0..4 => {
                let protocols = ["", "protocol: [\"tcp\"]", "protocol: [\"udp\"]", "protocol: [\"tcp\", \"udp\"]"];
                let chosen = random.usize(0..4);
                is_tcp = chosen == 1;
                fields.extend((chosen > 0).then(|| protocols[chosen].to_owned()));
                let which = random.u8(0..4);
                if which > 0 {
                    fields.push(format!("destination_port: {}", ports(random)));
                }
                if which == 0 || random.u8(0..4) == 0 {
                    fields.push(format!("source_port: {}", ports(random)));
                }
            }
            4..6 => {
                let kinds: &[&str] = match family {
                    Families::V4 => &["\"8\"", "\"3/4\", \"11\"", "\"echo-request\"", "\"!destination-unreachable\""],
                    Families::V6 => &["\"128\"", "\"4/1\", \"2\"", "\"echo-reply\", \"packet-too-big\"", "\"!1/4\""],
                    Families::Both => {
                        &["\"echo-request\"", "\"destination-unreachable\"", "\"!echo-request\"", "\"time-exceeded\""]
                    }
                };
                names_family = true;
                fields.push(format!("icmp: [{}]", kinds[random.usize(0..kinds.len())]));
            }
            6..8 => {
                let list =
                    ["\"tcp\"", "\"udp\", \"esp\"", "\"47\"", "\"!tcp\"", "\"!udp\", \"!esp\""][random.usize(0..5)];
                is_tcp = list == "\"tcp\"";
                fields.push(format!("protocol: [{list}]"));
            }
            _ => {}
        }
        if names_family && family != Families::Both {
            fields.push(format!("family: {}", if family == Families::V4 { "Ipv4" } else { "Ipv6" }));
        }
        if is_tcp && random.u8(0..3) == 0 {
            let flags =
                ["syn/syn,ack", "syn/syn,ack,fin,rst", "none/syn,rst", "!syn/fin,syn,rst,ack"][random.usize(0..4)];
            fields.push(format!("tcp_flags: \"{flags}\""));
        }
        if random.u8(0..10) == 0 {
            fields.push(format!("mark: \"{}\"", ["0x1/0xff", "0x2/0x3", "0x0/0x1"][random.usize(0..3)]));
        }
        let has_input = matches!(self.place, Place::Prerouting | Place::Input | Place::Forward);
        if has_input && random.u8(0..6) == 0 {
            fields.push(format!("incoming: {}", interfaces(random)));
        }
        if matches!(self.place, Place::Forward | Place::Output) && random.u8(0..6) == 0 {
            fields.push(format!("outgoing: {}", interfaces(random)));
        }
        if self.place != Place::Prerouting && random.u8(0..12) == 0 {
            fields.push(format!("hop_limit: \"{}\"", ["63", "!63", "<64", ">100"][random.usize(0..4)]));
        }
        self.finished(random, fields, is_tcp)
    }

    fn ends_of_rule(&self, random: &mut Rng) -> Vec<String> {
        let mut fields = Vec::new();
        if self.place == Place::Zones {
            let router = random.bool();
            if random.u8(0..4) > 0 {
                fields.push(format!("from: {}", self.ends.list(random, router)));
            }
            if random.u8(0..4) > 0 {
                fields.push(format!("to: {}", self.ends.list(random, !router)));
            }
        }
        fields
    }

    fn finished(&self, random: &mut Rng, mut fields: Vec<String>, is_tcp: bool) -> String {
        if self.states && self.place != Place::Prerouting && random.u8(0..5) == 0 {
            let asked = [
                "states: [New]",
                "states: [Established, Related]",
                "not_states: [Invalid]",
                "states: [Untracked, New]",
            ];
            fields.push(asked[random.usize(0..4)].to_owned());
        }
        if self.states && random.u8(0..15) == 0 {
            fields.push("add_source_to: \"seen\"".to_owned());
        }
        match random.u8(0..40) {
            0 => fields.push("log: ()".to_owned()),
            1 => fields.push("count: true".to_owned()),
            2 => fields.push(format!("count: \"counter-{}\"", random.u8(0..3))),
            3 => fields.push("limit: (rate: \"10000/second\", burst: 10000)".to_owned()),
            4 => fields.push("limit: (rate: \"10000/second\", burst: 10000, per: Source)".to_owned()),
            5..8 => fields.push(format!("set_mark: \"{}\"", ["0x1/0xff", "0x2/0x3", "0x0/0x3"][random.usize(0..3)])),
            _ => {}
        }
        fields.push(format!("then: {}", self.action(random, is_tcp)));
        format!("({})", fields.join(", "))
    }

    fn action(&self, random: &mut Rng, is_tcp: bool) -> String {
        let chosen = random.u8(0..40);
        if self.place == Place::Prerouting {
            return ["Accept", "Drop", "Continue"][usize::from(chosen) % 3].to_owned();
        }
        let first = if let Place::Chain(number) = self.place { number + 1 } else { 0 };
        match chosen {
            0..15 => "Accept".to_owned(),
            15..25 => "Drop".to_owned(),
            25..27 => "Reject".to_owned(),
            27 => "Reject(TcpReset)".to_owned(),
            28 => "Reject(NoRoute)".to_owned(),
            29..33 if first < CHAINS => format!("Jump(\"c{}\")", random.usize(first..CHAINS)),
            33..35 if first < CHAINS => format!("Goto(\"c{}\")", random.usize(first..CHAINS)),
            35..37 if matches!(self.place, Place::Chain(_)) => "Return".to_owned(),
            37 if is_tcp && self.place == Place::Forward => "ClampMss(PathMtu)".to_owned(),
            _ => "Continue".to_owned(),
        }
    }
}

fn one_address(random: &mut Rng, family: Families) -> String {
    let hosts = if family == Families::V4 { HOSTS4 } else { HOSTS6 };
    hosts[random.usize(0..hosts.len())].to_owned()
}

/// A list of addresses; of both families if it is to be of both.
fn addresses(random: &mut Rng, family: Families) -> String {
    let mut items = Vec::new();
    match random.u8(0..8) {
        0 => items.push(format!("@{}", SETS[random.usize(0..SETS.len())])),
        1 => items.push("local".to_owned()),
        2 if family == Families::V6 => items.push(MASKED[random.usize(0..MASKED.len())].to_owned()),
        _ => {
            for one in [Families::V4, Families::V6] {
                if family == one || family == Families::Both {
                    items.extend((0..random.usize(1..=3)).map(|_| item(random, one)));
                }
            }
        }
    }
    items.sort_unstable();
    items.dedup();
    negated(random, items)
}

fn item(random: &mut Rng, family: Families) -> String {
    let (prefixes, ranges) = if family == Families::V4 { (PREFIXES4, RANGES4) } else { (PREFIXES6, RANGES6) };
    match random.u8(0..4) {
        0 | 1 => one_address(random, family),
        2 => prefixes[random.usize(0..prefixes.len())].to_owned(),
        _ => ranges[random.usize(0..ranges.len())].to_owned(),
    }
}

fn ports(random: &mut Rng) -> String {
    let mut items: Vec<String> = match random.u8(0..5) {
        0 => vec![format!("@{}", PORT_SETS[random.usize(0..PORT_SETS.len())])],
        1 => vec!["ssh".to_owned(), "domain".to_owned()],
        2 => vec![PORT_RANGES[random.usize(0..PORT_RANGES.len())].to_owned()],
        _ => (0..random.usize(1..=3)).map(|_| port(random)).collect(),
    };
    items.sort_unstable();
    items.dedup();
    negated(random, items)
}

fn port(random: &mut Rng) -> String {
    PORTS[random.usize(0..PORTS.len())].to_string()
}

fn interfaces(random: &mut Rng) -> String {
    let items = match random.u8(0..4) {
        0 => vec!["lan0".to_owned()],
        1 => vec!["w*".to_owned()],
        2 => vec!["lan0".to_owned(), "dmz*".to_owned()],
        _ => vec!["wan0".to_owned(), "dmz0".to_owned()],
    };
    negated(random, items)
}

/// The list, or everything but it.
fn negated(random: &mut Rng, items: Vec<String>) -> String {
    let sign = if random.u8(0..4) == 0 { "!" } else { "" };
    quoted(&items.into_iter().map(|item| format!("{sign}{item}")).collect::<Vec<_>>())
}

fn quoted(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}

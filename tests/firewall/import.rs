//! Rules of iptables, imported and put in force, against iptables itself: one place runs Portreeve with what `portreeve import`
//! prints, another the very file, through `iptables-restore`. The same packets go through both, one after the other with all
//! state that they leave, and the same must come of each, to the byte.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use portreeve_tests::lab::{Failure, Lab, Result, Router, Site, Stage, ensure};

use super::packet::{ACK, At, FIN, IPV6, MARKER, PSH, Packet, RST, SYN, TCP};
use super::place::{NEIGHBOUR, OTHER, OTHER4, Place, ROUTER_LINK, SERVER, SERVER4, SIDES, Seen, Side};
use super::scene::{WITHIN, stands};
use super::status;

/// An IPv6 gateway of 2006, as it stood in its start script.
const CLASSIC: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -s ::/0 -d ::/0 -i sixbone -p tcp -m tcp --dport 22 -m state --state NEW -j ACCEPT
-A INPUT -s ::/0 -d ::/0 -i sixbone -p tcp -m tcp --dport 113 -m state --state NEW -j REJECT --reject-with icmp6-port-unreachable
-A INPUT -s ::/0 -d ::/0 -i sixbone -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s ::/0 -d ::/0 -i sixbone -j DROP
-A FORWARD -s ::/0 -d ::/0 -i sixbone -p tcp -m tcp --dport 22 -m state --state NEW -j ACCEPT
-A FORWARD -s ::/0 -d ::/0 -i sixbone -p tcp -m tcp --dport 113 -m state --state NEW -j REJECT --reject-with icmp6-port-unreachable
-A FORWARD -s ::/0 -d ::/0 -i sixbone -m state --state RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s ::/0 -d ::/0 -i sixbone -j DROP
COMMIT
";

/// Its one rule for IPv4, in front of what closes everything else.
const CLASSIC4: &str = "*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-I INPUT -j ACCEPT --proto 41
COMMIT
";

const CHAINS: &str = "*filter
:INPUT DROP [12:3456]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:services - [0:0]
:strangers - [0:0]
[3:180] -A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p ipv6-icmp -j ACCEPT
-A INPUT -p tcp -m tcp ! --syn -j DROP
-A INPUT ! -i lan0 -j strangers
-A INPUT -p tcp -m multiport --dports 22,80,8000:8010 -j services
-A INPUT -p udp -m udp --dport 53 -m comment --comment \"names for all\" -j ACCEPT
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
-A INPUT -j REJECT --reject-with icmp6-adm-prohibited
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 ! -o sixbone -j ACCEPT
-A FORWARD -i lan0 -p tcp -m tcp --sport 1024:65535 --dport 113 -j REJECT --reject-with icmp6-no-route
-A FORWARD -s 2001:db8:f::/48 -d 2001:db8:1::b/128 -p udp -m udp --dport 53 -j ACCEPT
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST,ACK,FIN SYN -m tcp --dport 443 -j services
-A FORWARD ! -s 2001:db8:f::/48 -i wan0 -j REJECT --reject-with icmp6-addr-unreachable
-A services -s 2001:db8:e::e/128 -j RETURN
-A services -j ACCEPT
-A strangers -p tcp -m tcp --dport 25 -j DROP
-A strangers -p udp -m udp --dport 7 -j ACCEPT
COMMIT
";

const NAT4: &str = "*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A FORWARD -o wan0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1200
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i wan0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.1.20:8000
-A PREROUTING -i wan0 -p udp -m udp --dport 7 -j DNAT --to-destination 192.168.1.20
-A PREROUTING -i lan0 -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353
-A POSTROUTING -s 192.168.0.0/16 -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lan0 -p udp -m udp --dport 5353 -j ACCEPT
-A INPUT -p icmp -m icmp --icmp-type 8 -m limit --limit 1/hour --limit-burst 3 -j ACCEPT
-A INPUT -p udp -j REJECT --reject-with icmp-host-prohibited
-A INPUT -p tcp -m tcp --dport 113 -j REJECT --reject-with tcp-reset
-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i lan0 -o wan0 -j ACCEPT
-A FORWARD -d 192.168.1.20/32 -i wan0 -p tcp -m tcp --dport 8000 -j ACCEPT
-A FORWARD -d 192.168.1.20/32 -i wan0 -p udp -m udp --dport 7 -j ACCEPT
-A FORWARD -i sixbone -j REJECT
COMMIT
";

/// What the packets are sent through.
struct Pair {
    core: Router,
    imported: Place,
    original: Place,
    log: String,
    _lab: Lab,
}

/// `ip6tables` or `iptables`.
fn program(v6: bool) -> &'static str {
    if v6 { "ip6tables" } else { "iptables" }
}

impl Pair {
    fn new(file: &Path, v6: bool) -> Result<Self> {
        let stage = Stage::find()?;
        let output = Command::new(stage.binary()).args(["import", program(v6)]).arg(file).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (ron, notes) = (text(&output.stdout), text(&output.stderr));
        ensure(output.status.success(), || format!("the import failed: {notes}"))?;
        let mut lab = Lab::new()?;
        let (imported, original) = (Place::new(&mut lab, "imported")?, Place::new(&mut lab, "original")?);
        let site = Site::new(&lab, &stage, &ron)?;
        let mut core = site.start(&imported.router)?;
        core.wait_ready(status::PLUGIN, WITHIN).map_err(|failure| failure.with("imported", &ron))?;
        stands(&mut core, &imported)?;
        original.router.run(&format!("{}-restore {}", program(v6), file.display()))?;
        let log = format!("{ron}\n--- notes\n{notes}");
        Ok(Self { core, imported, original, log, _lab: lab })
    }

    /// All kinds of packets through both.
    fn compare(&self, v6: bool) -> Result {
        let mut comparison = Comparison { pair: self, different: Vec::new(), sent: 0 };
        for (side, packet) in packets(v6) {
            comparison.send(side, &packet)?;
        }
        flows(v6, &mut comparison)?;
        let Comparison { different, sent, .. } = comparison;
        ensure(different.is_empty(), || format!("{} of {sent} packets:\n{}", different.len(), different.join("\n")))
            .map_err(|failure| {
                let rules = self.imported.router.output("nft list ruleset").unwrap_or_default();
                failure.with("imported", &self.log).with("rules", &rules).with("log", &self.core.log())
            })
    }
}

/// What was different so far.
struct Comparison<'a> {
    pair: &'a Pair,
    different: Vec<String>,
    sent: usize,
}

impl Comparison<'_> {
    /// Through both; gives what came of it in the original.
    fn send(&mut self, side: Side, packet: &Packet) -> Result<Seen> {
        let (ours, theirs) = (self.pair.imported.pass(side, packet)?, self.pair.original.pass(side, packet)?);
        if ours != theirs {
            self.different.push(format!("{packet:?} from {side:?}\n  imported: {ours:?}\n  original: {theirs:?}"));
        }
        self.sent += 1;
        Ok(theirs)
    }

    /// The router itself asks, and is answered from there.
    fn ask(&mut self, side: Side, port: u16, v6: bool) -> Result {
        let (here, there) = if v6 {
            (IpAddr::from(side.router()), IpAddr::from(side.host()))
        } else {
            (side.router4().into(), side.host4().into())
        };
        let asked = |place: &Place| {
            let socket = place.router.enter(|| UdpSocket::bind((here, port)))??;
            let seen = place.during(|_| {
                // What the rules refuse is refused here already.
                let _ = socket.send_to(MARKER, (there, 53));
                Ok(())
            })?;
            Ok::<_, Failure>((socket, seen))
        };
        let (ours, theirs) = (asked(&self.pair.imported)?, asked(&self.pair.original)?);
        if ours.1 != theirs.1 {
            self.different
                .push(format!("from the router to {there}\n  imported: {:?}\n  original: {:?}", ours.1, theirs.1));
        }
        self.send(side, &Packet::udp((there, 53), (here, port))).map(drop)
    }

    /// The same; gives where it came out and as what.
    fn through(&mut self, side: Side, packet: &Packet) -> Result<Option<(Side, Packet)>> {
        let seen = self.send(side, packet)?;
        Ok(seen.out.into_iter().find(|(_, out)| out.is_ours() && out.protocol == packet.protocol))
    }
}

/// A host behind each wire, of either family.
fn host(side: Side, v6: bool) -> IpAddr {
    if v6 { side.host().into() } else { side.host4().into() }
}

/// Packets of all kinds between all wires and to the router; every first packet of a flow has a source port of its own.
fn packets(v6: bool) -> Vec<(Side, Packet)> {
    let mut ports = 10_000..;
    let mut port = || ports.next().unwrap();
    let mut packets = Vec::new();
    let (server, other): (IpAddr, IpAddr) =
        if v6 { (SERVER.into(), OTHER.into()) } else { (SERVER4.into(), OTHER4.into()) };
    for from in SIDES {
        let router = if v6 { IpAddr::from(from.router()) } else { from.router4().into() };
        let mut sources = vec![host(from, v6)];
        if from == Side::Wan {
            sources.push(other);
        }
        let mut destinations: Vec<IpAddr> = SIDES.iter().filter(|to| **to != from).map(|to| host(*to, v6)).collect();
        destinations.push(router);
        if from != Side::Lan {
            destinations.push(server);
        }
        for source in sources {
            for &destination in &destinations {
                for to in [7, 22, 25, 53, 80, 113, 443, 5353, 7999, 8000, 8010, 8011] {
                    packets.push((from, Packet::syn((source, port()), (destination, to))));
                    packets.push((from, Packet::udp((source, port()), (destination, to))));
                }
                for flags in [ACK, SYN | ACK, RST, FIN | ACK, SYN | FIN, 0, FIN | PSH | 32] {
                    let at = At { flags, sequence: 7, acknowledgement: 7 };
                    packets.push((from, Packet::tcp((source, port()), (destination, 80), at)));
                }
                packets.push((
                    from,
                    Packet::tcp((source, 900), (destination, 113), At { flags: SYN, sequence: 7, acknowledgement: 0 }),
                ));
                for kind in if v6 { [128, 129, 1, 2, 3, 4, 144] } else { [8, 0, 3, 11, 12, 9, 17] } {
                    packets.push((from, Packet::icmp(source, destination, kind, 0)));
                }
                for protocol in [IPV6, 47, 50] {
                    let body = [&[0x60; 8][..], MARKER].concat();
                    packets.push((from, Packet::new(source, destination, protocol, body)));
                }
            }
        }
        if v6 {
            for kind in 130..=137 {
                packets.push((from, Packet::icmp(NEIGHBOUR, ROUTER_LINK, kind, 0).hop_limit(255)));
            }
        }
    }
    packets
}

/// Questions of the router, and connections between every two wires, answered from where their packets come out, with errors about them and about others.
fn flows(v6: bool, comparison: &mut Comparison<'_>) -> Result {
    let errors = if v6 { [(1, 4), (2, 0)] } else { [(3, 3), (3, 4)] };
    for (side, port) in SIDES.into_iter().zip(700..) {
        comparison.ask(side, port, v6)?;
    }
    let pairs = SIDES.into_iter().flat_map(|from| SIDES.map(|to| (from, to))).filter(|(from, to)| from != to);
    for (from, to) in pairs {
        // Ports of their own: where two flows collide, translation draws another at random.
        for (number, port) in (500 + 10 * (3 * from as u16 + to as u16)..).zip([22, 53, 80, 113]) {
            let (source, destination) = (host(from, v6), host(to, v6));
            let unasked = Packet::udp((destination, port), (source, number + 5));
            comparison.send(to, &unasked)?;
            let (syn, question) = (
                Packet::syn((source, number), (destination, port)),
                Packet::udp((source, number), (destination, port)),
            );
            for first in [&syn, &question] {
                let Some((at, outside)) = comparison.through(from, first)? else { continue };
                let answer = At { flags: SYN | ACK, sequence: 5000, acknowledgement: 1017 };
                let next = At { flags: ACK, sequence: 1017, acknowledgement: 5017 };
                let is_tcp = first.protocol == TCP;
                comparison.send(at, &if is_tcp { outside.back().at(answer) } else { outside.back() })?;
                comparison.send(from, &if is_tcp { first.at(next) } else { first.clone() })?;
                let mut unknown = outside.clone();
                unknown.body[1] ^= 0x55;
                for (kind, code) in errors {
                    comparison.send(at, &Packet::error(outside.destination, kind, code, &outside))?;
                    comparison.send(at, &Packet::error(outside.destination, kind, code, &unknown))?;
                }
            }
        }
    }
    Ok(())
}

fn same(rules: &str, v6: bool) -> Result {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("rules");
    std::fs::write(&file, rules)?;
    Pair::new(&file, v6)?.compare(v6)
}

#[test]
fn the_eight_rules_of_2006_mean_the_same() -> Result {
    same(CLASSIC, true)
}

/// The comparison would notice an import that leaves any of them out.
#[test]
fn each_of_the_eight_rules_is_missed_when_it_is_left_out() -> Result {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("rules");
    std::fs::write(&file, CLASSIC)?;
    let pair = Pair::new(&file, true)?;
    for rule in CLASSIC.lines().filter(|line| line.starts_with("-A")) {
        let others: String = CLASSIC.lines().filter(|line| *line != rule).map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, others)?;
        pair.original.router.run(&format!("ip6tables-restore {}", file.display()))?;
        for place in [&pair.imported, &pair.original] {
            place.router.run("conntrack -F")?;
        }
        ensure(pair.compare(true).is_err(), || format!("nothing differs without {rule}"))?;
    }
    Ok(())
}

#[test]
fn the_rule_for_protocol_41_means_the_same() -> Result {
    same(CLASSIC4, false)
}

#[test]
fn chains_negation_ports_and_reject_codes_mean_the_same() -> Result {
    same(CHAINS, true)
}

#[test]
fn translation_of_addresses_and_segment_sizes_mean_the_same() -> Result {
    same(NAT4, false)
}

/// What the classic rules do to ICMPv6 is kept, and said.
#[test]
fn the_import_of_the_eight_rules_warns_where_rfc_4890_wants_something_else() -> Result {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("rules");
    std::fs::write(&file, CLASSIC)?;
    let output = Command::new(Stage::find()?.binary()).args(["import", "ip6tables"]).arg(&file).output()?;
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure(output.status.success() && notes.contains("warning") && notes.contains("4890"), || notes.clone())
}

/// Interfaces and networks of the fixtures, and what stands for them here; rates, so that none fills again meanwhile.
const HERE: [(&str, &str); 8] = [
    ("ppp0", "wan0"),
    ("eth1", "wan0"),
    ("eth0", "lan0"),
    ("br-lan", "lan0"),
    ("docker0", "sixbone"),
    ("172.17.0.", "10.6.0."),
    ("/sec", "/hour"),
    ("/min", "/hour"),
];
/// How many fixtures iptables itself must take.
const AT_LEAST: usize = 7;

/// The files whose names end in `.v6.rules` or `.v4.rules`, as far as iptables itself takes them.
#[test]
fn fixtures_mean_the_same() -> Result {
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/iptables"))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let (directory, mut lab) = (tempfile::tempdir()?, Lab::new()?);
    let judge = lab.netns("judge")?;
    let (mut failures, mut tried) = (Vec::new(), 0);
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let v6 = name.ends_with(".v6.rules");
        let text = std::fs::read_to_string(&file)?.replace("/second", "/sec").replace("/minute", "/min");
        let text = HERE.iter().fold(text, |text, (there, here)| text.replace(there, here));
        let rules = directory.path().join(&name);
        std::fs::write(&rules, text)?;
        if judge.run(&format!("{}-restore --test {}", program(v6), rules.display())).is_err() {
            continue;
        }
        tried += 1;
        let compared = Pair::new(&rules, v6).and_then(|pair| pair.compare(v6));
        failures.extend(compared.err().map(|failure| format!("=== {name}: {failure}")));
    }
    ensure(tried >= AT_LEAST, || format!("only {tried} fixtures were tried"))?;
    ensure(failures.is_empty(), || format!("{} of {tried} failed\n{}", failures.len(), failures.join("\n")))
}

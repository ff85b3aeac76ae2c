//! The operator's words, such as `from=lan to=wan protocol=tcp destination=2001:db8::1 port=22`, as packets.
//!
//! What is not said is taken for granted and told: an address of a documentation prefix (RFC 5737, RFC 3849), a zone's
//! first interface, a new connection, high source ports. Where nothing says the family there is a packet of each. What this
//! machine sends to itself crosses the hooks twice: two packets.

mod words;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_config::did_you_mean;

use self::words::{EXAMPLE, Words};
use super::packet::{Packet, Path, has_ports, protocol};
use crate::config::words::{ICMP, PORTS, PROTOCOLS, TCP_FLAGS, icmp};
use crate::config::{Config, Family, ROUTER, Zone};
use crate::ruleset::ct;

/// A source port if none is said.
const SOURCE_PORT: u16 = 40_000;
/// A destination port if none is said.
const DESTINATION_PORT: u16 = 80;
/// Addresses if none are said (RFC 5737, RFC 3849).
const SOURCE4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const DESTINATION4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const SOURCE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const DESTINATION6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2));
/// A later fragment's offset, in units of 8 bytes.
const LATER: u16 = 185;
/// What is to be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// One, or two for what this machine sends to itself: going out, coming in. As many again where the family is not said.
    pub packets: Vec<Packet>,
    /// What was not said and is taken for granted.
    pub assumed: Vec<String>,
}

/// Packets of these words.
///
/// # Errors
/// What is wrong, and what to write.
pub fn parse_request(words: &[String], config: &Config) -> Result<Request, String> {
    let words = Words::of(words)?;
    let number = number_of_protocol(&words)?;
    if let Some(family) = family(&words, number)? {
        return of_family(&words, number, family, config);
    }
    // What there is in one of them only, such as a message of ICMPv6, is of that.
    let [v6, v4] = [Family::V6, Family::V4].map(|family| of_family(&words, number, family, config));
    match (v6, v4) {
        (Ok(mut both), Ok(v4)) => {
            both.packets.extend(v4.packets);
            let more: Vec<String> = v4.assumed.into_iter().filter(|said| !both.assumed.contains(said)).collect();
            both.assumed.extend(more);
            Ok(both)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(why), Err(_)) => Err(why),
    }
}

fn of_family(words: &Words<'_>, number: Option<u8>, family: Family, config: &Config) -> Result<Request, String> {
    let mut assumed = Vec::new();
    let from = end(words, "from", "interface", config)?;
    let to = end(words, "to", "out", config)?;
    let (source, destination) = addresses(words, family, (&from, &to), &mut assumed)?;
    let path = match (&from, &to) {
        (End::Router, _) => Path::FromRouter,
        (_, End::Router) => Path::ToRouter,
        _ => Path::Through,
    };
    let message = words.get("icmp").map(|text| message(text, family)).transpose()?;
    let has_port = words.get("port").or(words.get("source_port")).is_some();
    let number = match (number, family) {
        (Some(number), _) => number,
        (None, Family::V4) if message.is_some() => protocol::ICMP,
        (None, Family::V6) if message.is_some() => protocol::ICMPV6,
        _ => {
            assumed.push("protocol=tcp".to_owned());
            protocol::TCP
        }
    };
    let icmp_number = if family == Family::V4 { protocol::ICMP } else { protocol::ICMPV6 };
    if message.is_some() && number != icmp_number {
        return Err("icmp= and that protocol do not go together; leave protocol= out".to_owned());
    }
    if has_port && !has_ports(number) {
        return Err(format!("protocol {number} has no ports; leave port= and source_port= out"));
    }
    let mut packet = Packet::new(path, source, destination, number);
    packet.input = interface(&from, "interface", &mut assumed);
    packet.output = interface(&to, "out", &mut assumed);
    if path == Path::ToRouter {
        packet.output = None;
    }
    transport(&mut packet, words, message, icmp_number, &mut assumed)?;
    connection(&mut packet, words, &mut assumed)?;
    circumstances(&mut packet, words)?;
    Ok(Request { packets: both_ways(packet, &from, &to), assumed })
}

/// An end of the packet's way.
enum End<'a> {
    Router,
    Zone(&'a Zone),
    /// By this interface, whatever its zone.
    Interface(String),
}

fn end<'a>(words: &Words<'_>, key: &str, interface: &str, config: &'a Config) -> Result<End<'a>, String> {
    if let Some(name) = words.get(interface) {
        if name.len() > 15 {
            return Err(format!("`{interface}={name}`: names of interfaces have 15 bytes at most"));
        }
        if words.get(key) == Some(ROUTER) {
            return Err(format!("`{key}={ROUTER}` has no interface: leave `{interface}=` out"));
        }
    }
    match (words.get(key), words.get(interface)) {
        (Some(ROUTER), _) => Ok(End::Router),
        (_, Some(name)) => Ok(End::Interface(name.to_owned())),
        (Some(name), None) => config.zones.iter().find(|zone| zone.name == name).map(End::Zone).ok_or_else(|| {
            let known: Vec<&str> = config.zones.iter().map(|zone| zone.name.as_str()).chain([ROUTER]).collect();
            format!("`{key}={name}`: no such zone; there is: {}", known.join(", "))
        }),
        (None, None) => Err(format!("say {key}=ZONE, {key}={ROUTER} or {interface}=NAME, as in {EXAMPLE}")),
    }
}

fn interface(end: &End<'_>, key: &str, assumed: &mut Vec<String>) -> Option<String> {
    match end {
        End::Router => None,
        End::Interface(name) => Some(name.clone()),
        End::Zone(zone) => {
            let Some(first) = zone.interfaces.first() else {
                assumed.push(format!("no interface: zone {} has none", zone.name));
                return None;
            };
            // Any name that begins so is one of the zone's.
            let name =
                if first.prefix && first.name.len() < 15 { format!("{}0", first.name) } else { first.name.clone() };
            if first.prefix || zone.interfaces.len() > 1 {
                assumed.push(format!("{key}={name}"));
            }
            Some(name)
        }
    }
}

fn number_of_protocol(words: &Words<'_>) -> Result<Option<u8>, String> {
    let Some(text) = words.get("protocol") else { return Ok(None) };
    let known = PROTOCOLS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    match known.or(text.parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(format!("`protocol={text}`: write tcp, udp, icmp, icmpv6, another name or a number up to 255")),
    }
}

/// None if nothing says it.
fn family(words: &Words<'_>, number: Option<u8>) -> Result<Option<Family>, String> {
    let mut said = Vec::new();
    for key in ["source", "destination"] {
        if let Some(address) = address(words, key)? {
            said.push(if address.is_ipv4() { Family::V4 } else { Family::V6 });
        }
    }
    said.extend(words.choice("family", &[("Ipv4", Family::V4), ("Ipv6", Family::V6)])?);
    match number {
        Some(protocol::ICMP) => said.push(Family::V4),
        Some(protocol::ICMPV6) => said.push(Family::V6),
        _ => {}
    }
    if said.iter().any(|family| Some(family) != said.first()) {
        return Err("IPv4 and IPv6 mixed: source, destination, family and protocol must be of one".to_owned());
    }
    Ok(said.first().copied())
}

fn address(words: &Words<'_>, key: &str) -> Result<Option<IpAddr>, String> {
    let Some(text) = words.get(key) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| format!("`{key}={text}` is no address; write one such as 192.0.2.1 or 2001:db8::1"))
}

fn addresses(
    words: &Words<'_>,
    family: Family,
    ends: (&End<'_>, &End<'_>),
    assumed: &mut Vec<String>,
) -> Result<(IpAddr, IpAddr), String> {
    let (mut source, mut destination) = match family {
        Family::V4 => (SOURCE4, DESTINATION4),
        Family::V6 => (SOURCE6, DESTINATION6),
    };
    if let End::Zone(zone) = ends.0 {
        // A zone's own hosts are within its networks.
        source = zone.networks.iter().find(|range| range.family() == family).map_or(source, inside);
    }
    if let (End::Router, End::Router) = ends {
        let loopback = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        (source, destination) = (loopback, loopback);
    }
    for (key, value) in [("source", &mut source), ("destination", &mut destination)] {
        match address(words, key)? {
            Some(said) => *value = said,
            None => assumed.push(format!("{key}={value}")),
        }
    }
    Ok((source, destination))
}

/// The range's second address if it has one: the first is the network's own.
fn inside(range: &crate::config::IpRange) -> IpAddr {
    use crate::config::IpRange;
    match *range {
        IpRange::V4(first, last) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().saturating_add(1)).min(last)),
        IpRange::V6(first, last) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().saturating_add(1)).min(last)),
    }
}

fn port(words: &Words<'_>, key: &str) -> Result<Option<u16>, String> {
    let Some(text) = words.get(key) else { return Ok(None) };
    let known = PORTS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    known.or(text.parse().ok()).map(Some).ok_or_else(|| format!("`{key}={text}`: write a port up to 65535"))
}

fn message(text: &str, family: Family) -> Result<(u8, u8), String> {
    if let Some(found) = icmp(text, family) {
        let name = if family == Family::V4 { "ICMP" } else { "ICMPv6" };
        return found.map(|(kind, code)| (kind, code.unwrap_or(0))).ok_or_else(|| format!("{name} has no {text}"));
    }
    let (kind, code) = text.split_once('/').unwrap_or((text, "0"));
    match (kind.parse(), code.parse()) {
        (Ok(kind), Ok(code)) => Ok((kind, code)),
        _ => {
            let near = did_you_mean(text, ICMP.iter().map(|(name, ..)| *name));
            let hint = near.map(|near| format!(", did you mean {near}")).unwrap_or_default();
            Err(format!("`icmp={text}`: write a name such as echo-request, or TYPE/CODE in numbers{hint}"))
        }
    }
}

fn transport(
    packet: &mut Packet,
    words: &Words<'_>,
    message: Option<(u8, u8)>,
    icmp_number: u8,
    assumed: &mut Vec<String>,
) -> Result<(), String> {
    if has_ports(packet.protocol) {
        for (key, default, value) in [
            ("source_port", SOURCE_PORT, &mut packet.source_port),
            ("port", DESTINATION_PORT, &mut packet.destination_port),
        ] {
            let said = port(words, key)?;
            if said.is_none() {
                assumed.push(format!("{key}={default}"));
            }
            *value = said.or(Some(default));
        }
    }
    if packet.protocol == icmp_number {
        packet.icmp = message;
        if message.is_none() {
            packet.icmp = Some((if icmp_number == protocol::ICMP { 8 } else { 128 }, 0));
            assumed.push("icmp=echo-request".to_owned());
        }
    }
    match (words.get("flags"), packet.protocol) {
        (Some(text), protocol::TCP) => {
            let mut bits = 0;
            for name in text.split(',').filter(|name| *name != "none") {
                let known = TCP_FLAGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                let Some((_, bit)) = known else {
                    return Err(format!("`flags={text}`: write some of fin,syn,rst,psh,ack,urg,ece,cwr, or none"));
                };
                bits |= bit;
            }
            packet.tcp_flags = Some(bits);
        }
        (Some(_), _) => return Err("flags= is for protocol=tcp only".to_owned()),
        (None, _) => {}
    }
    Ok(())
}

fn connection(packet: &mut Packet, words: &Words<'_>, assumed: &mut Vec<String>) -> Result<(), String> {
    const STATES: [(&str, u32); 5] = [
        ("New", ct::NEW),
        ("Established", ct::ESTABLISHED),
        ("Related", ct::RELATED),
        ("Invalid", ct::INVALID),
        ("Untracked", ct::UNTRACKED),
    ];
    packet.ct_state = if let Some(state) = words.choice("state", &STATES)? {
        state
    } else {
        let state = usual_state(packet);
        let name = STATES.iter().find(|(_, bits)| *bits == state).map_or("New", |(name, _)| name);
        assumed.push(format!("state={name}"));
        state
    };
    if packet.protocol == protocol::TCP && packet.tcp_flags.is_none() {
        let (bits, name) = if packet.ct_state == ct::NEW { (0x02, "syn") } else { (0x10, "ack") };
        packet.tcp_flags = Some(bits);
        assumed.push(format!("flags={name}"));
    }
    if words.choice("translated", &[("yes", true), ("no", false)])? == Some(true) {
        packet.ct_status |= ct::STATUS_DNAT;
    }
    Ok(())
}

/// What connection tracking makes of a first packet: not every ICMP message begins a connection, and neighbour discovery is
/// left alone (nf_conntrack_proto_icmp.c, nf_conntrack_proto_icmpv6.c). Errors are taken for those of a known one.
fn usual_state(packet: &Packet) -> u32 {
    match (packet.protocol, packet.icmp) {
        (protocol::ICMP, Some((kind, _))) => match kind {
            8 | 13 | 15 | 17 => ct::NEW,
            0 | 14 | 16 | 18 => ct::ESTABLISHED,
            3 | 4 | 5 | 11 | 12 => ct::RELATED,
            _ => ct::INVALID,
        },
        (protocol::ICMPV6, Some((kind, _))) => match kind {
            128 | 139 => ct::NEW,
            129 | 140 => ct::ESTABLISHED,
            // Also numbers that mean nothing: all below 128 are taken for errors.
            0..=127 => ct::RELATED,
            130..=136 | 143 => ct::UNTRACKED,
            _ => ct::INVALID,
        },
        _ => ct::NEW,
    }
}

fn circumstances(packet: &mut Packet, words: &Words<'_>) -> Result<(), String> {
    const YES: [(&str, bool); 2] = [("yes", true), ("no", false)];
    packet.mark = words.number("mark", u32::MAX)?.unwrap_or(0);
    if let Some(limit) = words.number("hop_limit", 255)? {
        packet.hop_limit = u8::try_from(limit).unwrap_or(u8::MAX);
    } else if matches!((packet.protocol, packet.icmp), (protocol::ICMPV6, Some((133..=137, _)))) {
        // RFC 4861 section 6.1: anything else is not neighbour discovery.
        packet.hop_limit = 255;
    }
    if let Some(text) = words.get("mac") {
        let bytes: Option<Vec<u8>> =
            text.split(':').map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2)).collect();
        let address = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        packet.source_mac =
            Some(address.ok_or_else(|| format!("`mac={text}`: write six bytes such as 02:00:00:00:00:01"))?);
    }
    if words.choice("fragment", &[("first", false), ("later", true)])? == Some(true) {
        packet.fragment = LATER;
    }
    packet.assume.destination_is_local = words.choice("local", &YES)?;
    let route = words.choice("route", &[("back", (true, true)), ("other", (false, true)), ("none", (false, false))])?;
    if let Some((back, any)) = route {
        packet.assume.source_routes_back = back;
        packet.assume.source_has_route = any;
    }
    packet.assume.member_of = words.all("in");
    Ok(())
}

/// What this machine sends to itself goes out by the loopback interface and comes in by it.
fn both_ways(mut packet: Packet, from: &End<'_>, to: &End<'_>) -> Vec<Packet> {
    let (End::Router, End::Router) = (from, to) else { return vec![packet] };
    let mut coming = packet.clone();
    packet.output = Some("lo".to_owned());
    coming.path = Path::ToRouter;
    coming.input = Some("lo".to_owned());
    vec![packet, coming]
}

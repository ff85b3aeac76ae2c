//! What address translation makes of a packet.
//!
//! The kernel chooses among several addresses by a hash and among ports by what is free; here the first serves, and the
//! text says so. The address of an interface is not known here: a masqueraded packet keeps its source for what follows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{Packet, Path, has_ports};
use crate::config::Family;
use crate::ruleset::{HookPoint, NatTo, ct};

/// IPS_SRC_NAT (linux/netfilter/nf_conntrack_common.h).
const STATUS_SNAT: u32 = 16;

/// Changes the packet and says what became of it; none where the translation is of the other family, which the kernel
/// passes by.
pub(super) fn apply(packet: &mut Packet, hook: HookPoint, to: &NatTo) -> Option<String> {
    let before = packet.clone();
    let text = match to {
        NatTo::Nothing => return Some("no translation".to_owned()),
        NatTo::Masquerade { ports, .. } => {
            packet.ct_status |= STATUS_SNAT;
            packet.source_port = port(packet, packet.source_port, *ports);
            let interface = packet.output.as_deref().unwrap_or("its interface");
            format!("source becomes the address of {interface}{}", ports_text(*ports))
        }
        NatTo::Source { addresses, ports } => {
            packet.source = pick(packet.source, *addresses)?;
            packet.source_port = port(packet, packet.source_port, *ports);
            format!("source becomes {}{}", range_text(*addresses), ports_text(*ports))
        }
        NatTo::SourcePrefix { first, last } => {
            packet.source = prefix(packet.source, *first, *last)?;
            format!("source becomes {}", packet.source)
        }
        NatTo::Destination { addresses, ports } => {
            let destination = pick(packet.destination, *addresses)?;
            packet.destination_port = port(packet, packet.destination_port, *ports);
            let text = format!("destination becomes {}{}", range_text(*addresses), ports_text(*ports));
            text + redirected(packet, destination)
        }
        NatTo::DestinationPrefix { first, last } => {
            let destination = prefix(packet.destination, *first, *last)?;
            format!("destination becomes {destination}") + redirected(packet, destination)
        }
        NatTo::Redirect { ports } => {
            packet.ct_status |= ct::STATUS_DNAT;
            packet.destination_port = port(packet, packet.destination_port, *ports);
            if hook == HookPoint::Output {
                packet.output = Some("lo".to_owned());
                packet.destination = match packet.family() {
                    Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
                };
            } else {
                packet.path = Path::ToRouter;
                packet.output = None;
            }
            packet.assume.destination_is_local = Some(true);
            format!("destination becomes this machine{}", ports_text(*ports))
        }
    };
    if (before.source, before.source_port) != (packet.source, packet.source_port) {
        packet.ct_status |= STATUS_SNAT;
    }
    if (before.destination, before.destination_port) != (packet.destination, packet.destination_port) {
        packet.ct_status |= ct::STATUS_DNAT;
    }
    Some(text)
}

/// A new destination: where it lies is not known here, the packet's way stays.
fn redirected(packet: &mut Packet, destination: IpAddr) -> &'static str {
    let is_other = packet.destination != destination;
    packet.destination = destination;
    if is_other {
        packet.assume.destination_is_local = None;
    }
    if is_other && packet.path == Path::ToRouter {
        " (taken for this machine's; if it is not, ask with to=ZONE)"
    } else {
        ""
    }
}

fn pick(old: IpAddr, (first, last): (IpAddr, IpAddr)) -> Option<IpAddr> {
    (old.is_ipv4() == first.is_ipv4() && old.is_ipv4() == last.is_ipv4()).then_some(first)
}

/// The bits that `first` and `last` have in common, the others from `old`.
fn prefix(old: IpAddr, first: IpAddr, last: IpAddr) -> Option<IpAddr> {
    Some(match (old, first, last) {
        (IpAddr::V4(old), IpAddr::V4(first), IpAddr::V4(last)) => {
            let hosts = first.to_bits() ^ last.to_bits();
            IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() & !hosts | old.to_bits() & hosts))
        }
        (IpAddr::V6(old), IpAddr::V6(first), IpAddr::V6(last)) => {
            let hosts = first.to_bits() ^ last.to_bits();
            IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() & !hosts | old.to_bits() & hosts))
        }
        _ => return None,
    })
}

/// The port stays where it is one of those allowed.
fn port(packet: &Packet, old: Option<u16>, ports: Option<(u16, u16)>) -> Option<u16> {
    match (old, ports) {
        (Some(old), Some((first, last))) if has_ports(packet.protocol) && !(first..=last).contains(&old) => Some(first),
        _ => old,
    }
}

fn range_text((first, last): (IpAddr, IpAddr)) -> String {
    if first == last { first.to_string() } else { format!("one of {first}-{last}, here {first}") }
}

fn ports_text(ports: Option<(u16, u16)>) -> String {
    match ports {
        None => String::new(),
        Some((first, last)) if first == last => format!(", port {first}"),
        Some((first, last)) => format!(", a port of {first}-{last}"),
    }
}

//! Types of ICMP by iptables' names, as the plugin writes them.

use super::Family;

/// Name, type, code.
type Named = (&'static str, u8, Option<u8>);

const V4: [Named; 39] = [
    ("echo-reply", 0, None),
    ("pong", 0, None),
    ("destination-unreachable", 3, None),
    ("network-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("source-route-failed", 3, Some(5)),
    ("network-unknown", 3, Some(6)),
    ("host-unknown", 3, Some(7)),
    ("network-prohibited", 3, Some(9)),
    ("host-prohibited", 3, Some(10)),
    ("tos-network-unreachable", 3, Some(11)),
    ("tos-host-unreachable", 3, Some(12)),
    ("communication-prohibited", 3, Some(13)),
    ("host-precedence-violation", 3, Some(14)),
    ("precedence-cutoff", 3, Some(15)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("network-redirect", 5, Some(0)),
    ("host-redirect", 5, Some(1)),
    ("tos-network-redirect", 5, Some(2)),
    ("tos-host-redirect", 5, Some(3)),
    ("echo-request", 8, None),
    ("ping", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, Some(0)),
    ("ttl-zero-during-reassembly", 11, Some(1)),
    ("parameter-problem", 12, None),
    ("ip-header-bad", 12, Some(0)),
    ("required-option-missing", 12, Some(1)),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
    ("address-mask-request", 17, None),
    ("address-mask-reply", 18, None),
];

const V6: [Named; 31] = [
    ("destination-unreachable", 1, None),
    ("no-route", 1, Some(0)),
    ("communication-prohibited", 1, Some(1)),
    ("beyond-scope", 1, Some(2)),
    ("address-unreachable", 1, Some(3)),
    ("port-unreachable", 1, Some(4)),
    ("failed-policy", 1, Some(5)),
    ("reject-route", 1, Some(6)),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("ttl-exceeded", 3, None),
    ("ttl-zero-during-transit", 3, Some(0)),
    ("ttl-zero-during-reassembly", 3, Some(1)),
    ("parameter-problem", 4, None),
    ("bad-header", 4, Some(0)),
    ("unknown-header-type", 4, Some(1)),
    ("unknown-option", 4, Some(2)),
    ("echo-request", 128, None),
    ("ping", 128, None),
    ("echo-reply", 129, None),
    ("pong", 129, None),
    ("mld-listener-query", 130, None),
    ("mld-listener-report", 131, None),
    ("mld-listener-done", 132, None),
    ("router-solicitation", 133, None),
    ("router-advertisement", 134, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-solicitation", 135, None),
    ("neighbour-advertisement", 136, None),
    ("neighbor-advertisement", 136, None),
    ("redirect", 137, None),
];

/// Names that router.ron has for both families; all others are clearer as numbers.
const RON: [&str; 11] = [
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "parameter-problem",
    "echo-request",
    "echo-reply",
    "router-solicitation",
    "router-advertisement",
    "neighbour-solicitation",
    "neighbour-advertisement",
    "redirect",
];

/// A kind of message as the plugin writes it; nothing for any.
pub(super) fn parse(text: &str, family: Family) -> Result<Option<String>, String> {
    let names = if family == Family::Ipv4 { V4.as_slice() } else { V6.as_slice() };
    let lower = text.to_ascii_lowercase();
    if lower == "any" || (family == Family::Ipv4 && lower == "255") {
        return Ok(None);
    }
    let wrong = || format!("`{text}` is no type of ICMP that is known here; write it as TYPE or TYPE/CODE");
    let (kind, code) = match names.iter().find(|(name, ..)| *name == lower) {
        Some((_, kind, code)) => (*kind, *code),
        None => {
            let (kind, code) = lower.split_once('/').map_or((lower.as_str(), None), |(kind, code)| (kind, Some(code)));
            let number = |text: &str| text.parse::<u8>().map_err(|_| wrong());
            (number(kind)?, code.map(number).transpose()?)
        }
    };
    let Some(code) = code else {
        let name = names.iter().find(|(name, known, code)| *known == kind && code.is_none() && RON.contains(name));
        return Ok(Some(name.map_or_else(|| kind.to_string(), |(name, ..)| (*name).to_owned())));
    };
    Ok(Some(format!("{kind}/{code}")))
}

/// Type and code of what [`parse`] made of an option of ip6tables.
pub(in super::super) fn number(text: &str) -> Option<(u8, Option<u8>)> {
    if let Some((_, kind, code)) = V6.iter().find(|(name, ..)| *name == text) {
        return Some((*kind, *code));
    }
    let (kind, code) = text.split_once('/').map_or((text, None), |(kind, code)| (kind, Some(code)));
    Some((kind.parse().ok()?, code.map(str::parse).transpose().ok()?))
}

//! Reads `Nat64(…)`: prefix, pool, table sizes, timeouts, static mappings.

use core::ops::RangeInclusive;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, SocketAddrV6};

use portreeve_config::{Diagnostics, Fields, Span, Spanned, Value};
use portreeve_network::{Family, Prefix, read};

use super::read::Places;
use super::{
    Filtering, Log, MAX_POOL_ADDRESSES, MAX_STATIC, Nat64, Pool, PoolRange, Pref64, StaticEntry, Timeouts, leaf,
};
use crate::flow::Protocol;
use crate::nat64::settings::whole_blocks;

/// Sessions where nothing is said.
const SESSIONS: u32 = 65_536;
/// Most sessions of an instance.
const MAX_SESSIONS: u32 = 4_194_304;
/// Ports below are for servers (RFC 6056 section 3.2 counts from here).
const FIRST_PORT: u16 = 1024;
/// Most ranges of a pool.
const MAX_RANGES: usize = 256;
/// The part of the IPv4 service continuity prefix (RFC 7335) that no CLAT takes.
const HIDDEN: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::new(192, 0, 0, 4)), length: 30 };

const ALL_PORTS: RangeInclusive<u16> = FIRST_PORT..=u16::MAX;

impl Default for Pool {
    fn default() -> Self {
        Self { masquerade: true, ranges: vec![PoolRange { addresses: HIDDEN, ports: ALL_PORTS }] }
    }
}

impl Default for Nat64 {
    fn default() -> Self {
        Self {
            prefix: Pref64::WELL_KNOWN,
            pool: Pool::default(),
            sessions: SESSIONS,
            per_prefix: SESSIONS / 4,
            port_block: None,
            filtering: Filtering::default(),
            inbound_tcp: false,
            timeouts: Timeouts::default(),
            statics: Vec::new(),
            sources: Vec::new(),
            log: Log::default(),
        }
    }
}

pub(super) fn read(f: &mut Fields<'_>, places: &mut Places, d: &mut Diagnostics) -> Option<Nat64> {
    let prefix = match f.take("prefix") {
        Some(value) => leaf::pref64(&value, d).map(|found| {
            places.prefix = Some(found.span);
            found.value
        }),
        None => Some(Pref64::WELL_KNOWN),
    };
    let pool = match f.take("pool") {
        Some(value) => pool(&value, places, d),
        None => Some(Pool::default()),
    };
    let sessions = f.take("sessions");
    places.sessions = sessions.map(|v| v.span());
    let sessions = sessions.and_then(|v| read::within::<u32>(&v, 256..=MAX_SESSIONS, "sessions", d));
    let sessions = sessions.map_or(SESSIONS, |found| found.value);
    let per_prefix = f.take("per_prefix").and_then(|v| read::within::<u32>(&v, 1..=sessions, "per_prefix", d));
    let port_block = f.take("port_block").and_then(|v| read::within::<u16>(&v, 16..=16_384, "port_block", d));
    if let (Some(block), Some(pool)) = (&port_block, &pool) {
        blocks_fit(block, pool, d);
    }
    let filtering =
        [("EndpointIndependent", Filtering::EndpointIndependent), ("AddressDependent", Filtering::AddressDependent)];
    let filtering_value = f.take("filtering");
    let filtering = filtering_value.and_then(|v| leaf::word(&v, &filtering, d)).unwrap_or_default();
    let inbound_value = f.take("inbound_tcp");
    let inbound_tcp = inbound_value.and_then(|v| v.get::<bool>(d)).is_some_and(|found| found.value);
    if pool.as_ref().is_some_and(|pool| pool.masquerade) {
        let restricted = filtering_value.filter(|_| filtering == Filtering::AddressDependent);
        undone(inbound_value.filter(|_| inbound_tcp).into_iter().chain(restricted), d);
    }
    let timeouts = f.take("timeouts").and_then(|v| timeouts(&v, d)).unwrap_or_default();
    let sources = sources(f.take("sources"), prefix, places, d);
    let statics = f.take("static").map(|v| (v.span(), statics(&v, d)));
    let log = f.take("log").and_then(|v| log(&v, port_block.is_some(), d)).unwrap_or_default();
    let (prefix, pool) = (prefix?, pool?);
    let mut nat64 = Nat64 {
        prefix,
        pool,
        sessions,
        per_prefix: per_prefix.map_or((sessions / 4).max(1), |found| found.value),
        port_block: port_block.map(|found| found.value),
        filtering,
        inbound_tcp,
        timeouts,
        statics: Vec::new(),
        sources,
        log,
    };
    if let Some((span, found)) = statics {
        check_statics(&nat64, span, &found, d);
        nat64.statics = found.into_iter().map(|entry| entry.value).collect();
    }
    Some(nat64)
}

/// Says of `settings` that they change nothing: behind masquerading connection tracking lets in nothing but answers
/// (address and port-dependent filtering, RFC 4787 section 5).
fn undone<'a>(settings: impl Iterator<Item = Value<'a>>, d: &mut Diagnostics) {
    for value in settings {
        let message = "the kernel hides the pool and lets in only answers, whatever is written here";
        d.warning_with_hint(value.span(), message, "remove it, or write pool: Addresses([…])");
    }
}

/// Who may use it; all if nothing is written.
fn sources(value: Option<Value<'_>>, prefix: Option<Pref64>, places: &Places, d: &mut Diagnostics) -> Vec<Prefix> {
    let found = value.map(|v| leaf::prefixes(&v, Family::Ipv6, d)).unwrap_or_default();
    if let Some(prefix) = prefix {
        for source in found.iter().filter(|source| prefix.prefix().contains(source.value)) {
            let message = format!("{} is within {prefix}: its packets would come from the translator", source.value);
            d.error_with_hint(source.span, message, "write prefixes of hosts");
        }
        // Nobody else has a route to the well-known prefix; to one of ours perhaps everybody.
        if value.is_none() && !prefix.is_well_known() {
            let message = format!("anyone who can route to {prefix} may use it, and appears under our addresses");
            let hint = "add `sources: […]` with the prefixes of the hosts that may";
            d.warning_with_hint(places.or_name(places.prefix), message, hint);
        }
    }
    found.into_iter().map(|source| source.value).collect()
}

/// `Masquerade`, `Masquerade("10.0.0.0/30")` or `Addresses([…])`.
fn pool(value: &Value<'_>, places: &mut Places, d: &mut Diagnostics) -> Option<Pool> {
    let mut ranges: Vec<Spanned<PoolRange>> = Vec::new();
    let masquerade = match (value.name().map(|name| name.value), value.single()) {
        (Some("Masquerade"), None) if value.text() == "Masquerade" => {
            places.pool = vec![value.span()];
            return Some(Pool::default());
        }
        (Some("Masquerade"), Some(inner)) => {
            ranges.extend(addresses(&inner, d).map(|found| found.map(all_ports)));
            true
        }
        (Some("Addresses"), Some(list)) => {
            for item in leaf::bounded(&list, MAX_RANGES, "entries", d) {
                ranges.extend(range(&item, &ranges, d));
            }
            if ranges.is_empty() && !d.has_errors() {
                d.error_with_hint(list.span(), "the pool is empty", "write an address, such as \"198.51.100.1\"");
            }
            false
        }
        _ => {
            let hint = "write Masquerade, or Addresses([\"198.51.100.0/28\"])";
            d.error_with_hint(value.span(), "expected the addresses that hosts come from", hint);
            return None;
        }
    };
    let size = |range: &Spanned<PoolRange>| 1_u64 << 32_u8.saturating_sub(range.value.addresses.length).min(32);
    let total: u64 = ranges.iter().map(size).sum();
    if total > MAX_POOL_ADDRESSES {
        let message = format!("{total} addresses are more than the {MAX_POOL_ADDRESSES} that a pool may have");
        d.error_with_hint(value.span(), message, "write a longer prefix, or fewer");
    }
    places.pool = ranges.iter().map(|range| range.span).collect();
    let ranges: Vec<PoolRange> = ranges.into_iter().map(|range| range.value).collect();
    (!ranges.is_empty()).then_some(Pool { masquerade, ranges })
}

const fn all_ports(addresses: Prefix) -> PoolRange {
    PoolRange { addresses, ports: ALL_PORTS }
}

/// One entry of a pool: a prefix, an address, or either with its ports.
fn range(item: &Value<'_>, others: &[Spanned<PoolRange>], d: &mut Diagnostics) -> Option<Spanned<PoolRange>> {
    let found = if item.text().starts_with('(') {
        let mut f = item.fields(d)?;
        let found = f.require("addresses", d).and_then(|v| addresses(&v, d));
        let ports = f.take("ports").map(|v| ports(&v, d));
        f.finish(d);
        let ports = ports.flatten().unwrap_or(ALL_PORTS);
        found.map(|found| found.map(|addresses| PoolRange { addresses, ports }))
    } else {
        addresses(item, d).map(|found| found.map(all_ports))
    }?;
    let own = found.value.addresses;
    if let Some(other) = others.iter().find(|other| leaf::overlap(own, other.value.addresses)) {
        let message = format!("{own} and {} have addresses in common", other.value.addresses);
        d.error_with_hint(found.span, message, "keep one of the two");
    }
    Some(found)
}

fn addresses(value: &Value<'_>, d: &mut Diagnostics) -> Option<Spanned<Prefix>> {
    let text = value.text().trim_matches('"');
    let found = match text.parse::<Ipv4Addr>() {
        Ok(address) => Spanned::new(Prefix::new(address.into(), 32), value.span()),
        Err(_) => read::prefix(value, d)?,
    };
    if found.value.address.is_ipv6() {
        leaf::wrong_family(&found, Family::Ipv4, d);
        return None;
    }
    leaf::usable4(&found, "part of a pool", d).then_some(found)
}

/// `(1024, 65535)`: the first and the last one.
fn ports(value: &Value<'_>, d: &mut Diagnostics) -> Option<RangeInclusive<u16>> {
    let hint = "write the first and the last one, such as (1024, 65535)";
    let mut unused = Diagnostics::new();
    match value.get::<(u16, u16)>(&mut unused).map(|found| found.value) {
        Some((first, last)) if first != 0 && first <= last => Some(first..=last),
        Some(_) => {
            d.error_with_hint(value.span(), "there is no port in this range", hint);
            None
        }
        None => {
            d.error_with_hint(value.span(), "expected a range of ports, 1 to 65535", hint);
            None
        }
    }
}

fn blocks_fit(block: &Spanned<u16>, pool: &Pool, d: &mut Diagnostics) {
    let has_none = |range: &&PoolRange| whole_blocks(*range.ports.start(), *range.ports.end(), block.value).is_empty();
    if let Some(range) = pool.ranges.iter().find(has_none) {
        let (first, last) = (range.ports.start(), range.ports.end());
        // Blocks begin at multiples of their size, so as many ports are not always a block.
        let message =
            format!("no whole block of {} lies in ports {first} to {last} of {}", block.value, range.addresses);
        d.error_with_hint(block.span, message, "write a smaller block, or a larger range of ports");
    }
}

fn timeouts(value: &Value<'_>, d: &mut Diagnostics) -> Option<Timeouts> {
    let usual = Timeouts::default();
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let (second, minute, day) = (1000, 60_000, 86_400_000);
    let found = Timeouts {
        // UDP_MIN (RFC 6146 section 4).
        udp: leaf::time(f, "udp", 2 * minute..=day, usual.udp, d),
        tcp: leaf::time(f, "tcp", 5 * minute..=7 * day, usual.tcp, d),
        tcp_transitory: leaf::time(f, "tcp_transitory", 10 * second..=day, usual.tcp_transitory, d),
        icmp: leaf::time(f, "icmp", second..=day, usual.icmp, d),
    };
    fields.finish(d);
    if found.tcp < usual.tcp && !d.has_errors() {
        let message = "established connections are forgotten sooner than RFC 5382 allows";
        d.warning_with_hint(value.span(), message, "write tcp: \"2h4m\", and more sessions if the table fills up");
    }
    Some(found)
}

fn log(value: &Value<'_>, blocks: bool, d: &mut Diagnostics) -> Option<Log> {
    let words = [("Off", Log::Off), ("Sessions", Log::Sessions), ("Blocks", Log::Blocks)];
    let found = leaf::word(value, &words, d)?;
    if found == Log::Blocks && !blocks {
        d.error_with_hint(value.span(), "there are no blocks of ports to log", "add `port_block: 256`");
    }
    if found == Log::Sessions && blocks {
        // That is what blocks are for (RFC 6888 section 4).
        d.error_with_hint(value.span(), "with port_block only the blocks are logged", "write Blocks");
    }
    Some(found)
}

fn statics(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Spanned<StaticEntry>> {
    let words = [("Tcp", Protocol::Tcp), ("Udp", Protocol::Udp), ("Icmp", Protocol::Icmp)];
    let mut list = Vec::new();
    for item in leaf::bounded(value, MAX_STATIC, "static mappings", d) {
        let Some(mut f) = item.fields(d) else { continue };
        let protocol = f.require("protocol", d).and_then(|v| leaf::word(&v, &words, d));
        let host = f.require("host", d).and_then(|v| v.parse::<SocketAddrV6>(d, "one such as \"[2001:db8::10]:443\""));
        let public =
            f.require("public", d).and_then(|v| v.parse::<SocketAddrV4>(d, "one such as \"198.51.100.1:443\""));
        f.finish(d);
        let host = host.filter(|host| {
            let why = leaf::unusable((*host.value.ip()).into());
            let why = why.or((host.value.scope_id() != 0).then_some("is only good on one link"));
            if let Some(why) = why {
                d.error_with_hint(host.span, format!("{} {why}", host.value.ip()), "write the address of a host");
            }
            why.is_none()
        });
        let ports = (host.as_ref().map(|h| h.value.port()), public.as_ref().map(|p| p.value.port()));
        if (ports.0 == Some(0) || ports.1 == Some(0)) && protocol != Some(Protocol::Icmp) {
            d.error_with_hint(item.span(), "port 0 is nobody's", "write a port from 1 on");
        } else if let (Some(protocol), Some(host), Some(public)) = (protocol, host, public) {
            list.push(Spanned::new(StaticEntry { protocol, host: host.value, public: public.value }, item.span()));
        }
    }
    list
}

fn check_statics(nat64: &Nat64, span: Span, found: &[Spanned<StaticEntry>], d: &mut Diagnostics) {
    let (mut hosts, mut publics) = (HashSet::new(), HashSet::new());
    for Spanned { value: entry, span } in found {
        let public = Prefix::new((*entry.public.ip()).into(), 32);
        let host = Prefix::new((*entry.host.ip()).into(), 128);
        // Its port may be one of those that are for servers, outside of the pool's.
        if !nat64.pool.ranges.iter().any(|range| range.addresses.contains(public)) {
            let message = format!("{} is no address of the pool", entry.public.ip());
            d.error_with_hint(*span, message, "write one of the pool, or add it there");
        }
        if nat64.prefix.contains(*entry.host.ip()) {
            let message = format!("{} is within the prefix of the translator", entry.host.ip());
            d.error_with_hint(*span, message, "write the address of a host");
        } else if !nat64.sources.is_empty() && !nat64.sources.iter().any(|source| source.contains(host)) {
            let message = format!("{} may not use the translator: it is in none of the sources", entry.host.ip());
            d.error_with_hint(*span, message, "add it to sources");
        }
        if !hosts.insert((entry.protocol, entry.host)) {
            let message = format!("{} is mapped twice for this protocol", entry.host);
            d.error_with_hint(*span, message, "keep one of the two");
        }
        if !publics.insert((entry.protocol, entry.public)) {
            let message = format!("{} is mapped twice for this protocol", entry.public);
            d.error_with_hint(*span, message, "keep one of the two");
        }
    }
    if nat64.pool.masquerade && !found.is_empty() {
        let message = "the pool is hidden behind the router, so nobody outside can reach a static mapping";
        d.warning_with_hint(span, message, "write pool: Addresses([…]), or let the firewall lead connections there");
    }
}

//! Reads `dns64: (…)`: where clients ask, who is asked, what is synthesised (RFC 6147), and the bounds of it all.
//! Lists and small structs are read in `dns64/parts.rs`.

mod parts;

use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use portreeve_config::{Diagnostics, Fields, Pattern, Span, Value};
use portreeve_network::{Family, Prefix, read};

use super::read::Found as Instance;
use super::{Mode, NON_GLOBAL4, Pref64, leaf};
use parts::{cache, clients, interfaces, names, rate, resolvers};

/// Most prefixes that are synthesised from.
const MAX_SYNTHESISED: usize = 8;
/// Most TCP connections of clients: beside them an instance has handles for everything else.
const MAX_CONNECTIONS: u32 = 512;
/// Domain (RFC 1035).
const PORT: u16 = 53;
/// The largest answer that needs no fragments on any IPv6 link (RFC 9715).
const UDP_SIZE: u16 = 1232;
/// Never a real IPv6 address of a host (RFC 6147 section 5.1.4).
const MAPPED: Prefix = Prefix { address: IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)), length: 96 };

/// The resolver for the clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns64 {
    /// Where clients ask: on which interfaces.
    pub interfaces: Vec<Pattern>,
    /// On which port, UDP and TCP.
    pub port: u16,
    /// Who is asked, the first one first; not empty.
    pub resolvers: Vec<SocketAddr>,
    /// The instance whose prefix it is; none if `prefixes` are written.
    pub instance: Option<String>,
    /// What addresses are synthesised from; not empty.
    pub prefixes: Vec<Pref64>,
    /// Names, with all below them, that are never synthesised. Lower case, without the last dot.
    pub exclude_names: Vec<String>,
    /// Names, with all below them, that are synthesised even if they have IPv6 addresses.
    pub always_names: Vec<String>,
    /// IPv6 addresses that count as none (RFC 6147 section 5.1.4).
    pub exclude_aaaa: Vec<Prefix>,
    /// IPv4 addresses that are not synthesised; if nothing is said [`super::NON_GLOBAL4`], where they are not
    /// translated.
    pub exclude_a: Vec<Prefix>,
    /// Who gets what; the longest prefix counts, all others get [`Policy::Full`].
    pub clients: Vec<ClientRule>,
    /// What is remembered.
    pub cache: CacheSettings,
    /// How long a client waits at most.
    pub timeout: Duration,
    /// How often one question is sent to resolvers at most.
    pub attempts: u8,
    /// The largest answer over UDP, in bytes.
    pub udp_size: u16,
    /// The resolvers are believed when they say that an answer is authentic (RFC 6840 section 5.8).
    pub trust_ad: bool,
    /// The case of questions is random, so that answers are harder to forge (draft-vixie-dnsext-dns0x20).
    pub random_case: bool,
    /// How much one client prefix (/64, /32 of IPv4) may ask; none for any amount.
    pub rate: Option<Rate>,
    /// Questions that wait for a resolver.
    pub max_outstanding: u32,
    /// The same of one client prefix; at most as many.
    pub max_outstanding_per_client: u32,
    /// TCP connections of clients at once.
    pub tcp_connections: u32,
    /// How long one stays without a question.
    pub tcp_idle: Duration,
    /// Tells others the router's address on each interface: radvd advertises it (RFC 8106).
    pub advertise: bool,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Everything.
    #[default]
    Full,
    /// Answers as they are.
    NoSynthesis,
    /// IPv4 addresses only: questions for IPv6 ones have no answer.
    AOnly,
    /// No answers.
    Refuse,
}

/// One entry of [`Dns64::clients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRule {
    /// Clients of this prefix.
    pub from: Prefix,
    /// What they get.
    pub policy: Policy,
}

/// See [`Dns64::cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Most answers; 0 for none.
    pub entries: u32,
    /// Most bytes.
    pub bytes: u32,
    /// Answers stay at least so long, in seconds.
    pub min_ttl: u32,
    /// Answers stay at most so long, in seconds.
    pub max_ttl: u32,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { entries: 10_000, bytes: 8 << 20, min_ttl: 0, max_ttl: 86_400 }
    }
}

/// See [`Dns64::rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A second.
    pub queries: u32,
    /// At once.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { queries: 1000, burst: 2000 }
    }
}

/// The resolver and the places that checks with the instances need.
pub(super) struct Found {
    pub(super) dns64: Dns64,
    pub(super) resolvers: Vec<Span>,
}

/// `complete` says that no instance was left out for its mistakes.
pub(super) fn read(value: &Value<'_>, instances: &[Instance], complete: bool, d: &mut Diagnostics) -> Option<Found> {
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let interfaces = f.require("interfaces", d).map(|v| interfaces(&v, d)).unwrap_or_default();
    let resolvers = f.require("resolvers", d).map(|v| resolvers(&v, d)).unwrap_or_default();
    let port = f.take("port").and_then(|v| read::within::<u16>(&v, 1..=u16::MAX, "port", d));
    let (instance, prefixes) = source(f, instances, complete, d);
    let exclude_names = f.take("exclude_names").map(|v| names(&v, d)).unwrap_or_default();
    let always_names = f.take("always_names").map(|v| names(&v, d)).unwrap_or_default();
    let exclude_aaaa = f.take("exclude_aaaa").map(|v| leaf::prefixes(&v, Family::Ipv6, d));
    let exclude_a = f.take("exclude_a").map(|v| leaf::prefixes(&v, Family::Ipv4, d));
    let exclude_a = match exclude_a {
        Some(list) => list.into_iter().map(|prefix| prefix.value).collect(),
        None => unreachable4(instance.as_deref(), &prefixes, instances),
    };
    let clients = f.take("clients").map(|v| clients(&v, d)).unwrap_or_default();
    let cache = f.take("cache").and_then(|v| cache(&v, d)).unwrap_or_default();
    let timeout = leaf::time(f, "timeout", 500..=30_000, Duration::from_secs(5), d);
    let attempts = f.take("attempts").and_then(|v| read::within::<u8>(&v, 1..=16, "attempts", d));
    // RFC 6891 section 6.2.5.
    let udp_size = f.take("udp_size").and_then(|v| read::within::<u16>(&v, 512..=4096, "udp_size", d));
    let trust_ad = leaf::flag(f, "trust_ad", false, d);
    let random_case = leaf::flag(f, "random_case", true, d);
    let rate = f.take("rate").map_or(Some(Rate::default()), |v| rate(&v, d));
    let max_outstanding = leaf::number(f, "max_outstanding", 16..=65_536, 4096, d);
    let per_client = f.take("max_outstanding_per_client");
    let per_client =
        per_client.and_then(|v| read::within::<u32>(&v, 1..=max_outstanding, "max_outstanding_per_client", d));
    let (mut tcp_connections, mut tcp_idle) = (64, Duration::from_secs(10));
    if let Some(mut tcp) = f.take("tcp").and_then(|v| v.fields(d)) {
        tcp_connections = leaf::number(&mut tcp, "connections", 1..=MAX_CONNECTIONS, tcp_connections, d);
        tcp_idle = leaf::time(&mut tcp, "idle", 1000..=300_000, tcp_idle, d);
        tcp.finish(d);
    }
    let advertise = leaf::flag(f, "advertise", true, d);
    fields.finish(d);
    let port = port.map_or(PORT, |port| port.value);
    let own = interfaces.iter().any(|pattern| pattern.matches("lo"));
    for resolver in resolvers.iter().filter(|r| own && r.value.ip().is_loopback() && r.value.port() == port) {
        let message = format!("{} is this resolver itself", resolver.value);
        d.error_with_hint(resolver.span, message, "write another resolver, or another port");
    }
    let places = resolvers.iter().map(|resolver| resolver.span).collect();
    let dns64 = Dns64 {
        interfaces,
        port,
        resolvers: resolvers.into_iter().map(|resolver| resolver.value).collect(),
        instance,
        prefixes,
        exclude_names,
        always_names,
        exclude_aaaa: exclude_aaaa.map_or_else(|| vec![MAPPED], |list| list.into_iter().map(|p| p.value).collect()),
        exclude_a,
        clients,
        cache,
        timeout,
        attempts: attempts.map_or(6, |found| found.value),
        udp_size: udp_size.map_or(UDP_SIZE, |found| found.value),
        trust_ad,
        random_case,
        rate,
        max_outstanding,
        max_outstanding_per_client: per_client.map_or((max_outstanding / 16).max(1), |found| found.value),
        tcp_connections,
        tcp_idle,
        advertise,
    };
    Some(Found { dns64, resolvers: places })
}

/// Addresses that are not global, where the translator would not take packets to them: with the well-known prefix (RFC 6052
/// section 3.1).
fn unreachable4(name: Option<&str>, prefixes: &[Pref64], instances: &[Instance]) -> Vec<Prefix> {
    let instance = instances.iter().find(|found| Some(found.instance.name.as_str()) == name);
    let allows = |prefix: &Pref64| match instance {
        Some(found) => found.instance.allows_private(Some(*prefix)),
        None => *prefix != Pref64::WELL_KNOWN,
    };
    if prefixes.iter().any(allows) { Vec::new() } else { NON_GLOBAL4.to_vec() }
}

/// The instance and the prefixes that addresses are synthesised from.
fn source(
    f: &mut Fields<'_>,
    instances: &[Instance],
    complete: bool,
    d: &mut Diagnostics,
) -> (Option<String>, Vec<Pref64>) {
    let prefix_of = |found: &Instance| match &found.instance.mode {
        Mode::Nat64(nat64) => Some(nat64.prefix),
        Mode::Siit(siit) => siit.prefix,
        Mode::Clat(_) => None,
    };
    let (name, written) = (f.take("instance"), f.take("prefixes"));
    if let Some(written) = written {
        if let Some(name) = name {
            d.error_with_hint(name.span(), "the prefixes are written already", "keep instance or prefixes");
        }
        let mut list = Vec::new();
        for item in leaf::bounded(&written, MAX_SYNTHESISED, "prefixes", d) {
            let Some(found) = leaf::pref64(&item, d) else { continue };
            if list.contains(&found.value) {
                d.error_with_hint(found.span, format!("{} is given twice", found.value), "keep one of the two");
            } else {
                list.push(found.value);
            }
        }
        if list.is_empty() && !d.has_errors() {
            let message = "there is nothing to synthesise from";
            d.error_with_hint(written.span(), message, "write a prefix, such as \"64:ff9b::/96\", or remove this");
        }
        return (None, list);
    }
    if let Some(value) = name {
        let Some(text) = value.get::<String>(d) else { return (None, Vec::new()) };
        let found = instances.iter().find(|found| found.instance.name == text.value);
        match found.map(prefix_of) {
            Some(Some(prefix)) => return (Some(text.value), vec![prefix]),
            Some(None) => {
                let message = format!("{} has no prefix of its own", text.value);
                d.error_with_hint(text.span, message, "write the name of a Nat64 instance, or prefixes: […]");
            }
            // One that has mistakes of its own is not there.
            None if !complete => {}
            None => {
                let names: Vec<&str> = instances.iter().map(|found| found.instance.name.as_str()).collect();
                leaf::unknown(text.span, "there is no such instance", &text.value, &names, d);
            }
        }
        return (None, Vec::new());
    }
    let stateful = |found: &&Instance| matches!(found.instance.mode, Mode::Nat64(_));
    let mut candidates = instances.iter().filter(stateful);
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => {
            let prefixes = prefix_of(only).into_iter().collect();
            return (Some(only.instance.name.clone()), prefixes);
        }
        _ if !complete => {}
        (Some(_), Some(_)) => {
            let message = "there are several Nat64 instances, and it is open whose prefix is meant";
            d.error_with_hint(f.span(), message, "add `instance: \"nat64\"`");
        }
        (None, _) => {
            let message = "there is no Nat64 instance whose prefix could be used";
            d.error_with_hint(f.span(), message, "add `prefixes: [\"64:ff9b::/96\"]`");
        }
    }
    (None, Vec::new())
}

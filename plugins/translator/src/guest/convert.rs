//! What is configured, as the packet path, the session table and the resolver take it.

use std::net::IpAddr;

use portreeve_network::Prefix;

use crate::config::{self, Clat, ClatAddress, Filtering, Log, Mode, Nat64, PoolRange, Pref64, ZeroChecksum};
use crate::engine::PathSettings;
use crate::flow::{Endpoint4, Endpoint6};
use crate::xlat::{self, AddressMap, Eam, Prefix4, UdpZero};
use crate::{dns64, nat64};

/// How an instance comes from the addresses of one family to those of the other.
pub enum Wanted {
    Stateful(nat64::Settings),
    Stateless(AddressMap),
}

pub fn mode(settings: &PathSettings) -> Result<Wanted, String> {
    Ok(match &settings.instance.mode {
        Mode::Nat64(nat64) => Wanted::Stateful(table(nat64)),
        Mode::Siit(siit) => {
            let pairs = siit.eam.iter().map(|eam| (eam.ipv4, eam.ipv6));
            Wanted::Stateless(map(pairs)?)
        }
        Mode::Clat(clat) => Wanted::Stateless(map(clat_pairs(clat))?),
    })
}

/// A CLAT is a stateless translator whose own side is a few explicit mappings (RFC 6877 section 6.3).
fn clat_pairs(clat: &Clat) -> Vec<(Prefix, Prefix)> {
    match clat.address {
        ClatAddress::One(address) => vec![(Prefix::host(clat.ipv4.into()), Prefix::host(address.into()))],
        // Each private address has an IPv6 address of its own.
        ClatAddress::Within(prefix) => {
            let own = config::PRIVATE4.into_iter().chain([Prefix::host(clat.ipv4.into())]);
            own.filter_map(|ipv4| Some((ipv4, prefix.embed_prefix(ipv4)?))).collect()
        }
    }
}

fn map(pairs: impl IntoIterator<Item = (Prefix, Prefix)>) -> Result<AddressMap, String> {
    let eam = |(ipv4, ipv6): (Prefix, Prefix)| match (ipv4.address, ipv6.address) {
        (IpAddr::V4(a), IpAddr::V6(b)) => Eam::new(a, ipv4.length, b, ipv6.length),
        // The section has been read: one of each family.
        _ => Err(xlat::EamError::Length),
    };
    let eams: Result<Vec<Eam>, _> = pairs.into_iter().map(eam).collect();
    eams.and_then(AddressMap::new).map_err(|error| error.to_string())
}

pub fn xlat(settings: &PathSettings) -> Result<xlat::Settings, String> {
    let traffic = &settings.instance.traffic;
    Ok(xlat::Settings {
        allow_private: settings.allow_private,
        mtu6: u16::try_from(traffic.mtu6).unwrap_or(u16::MAX),
        mtu4: u16::try_from(traffic.mtu4).unwrap_or(u16::MAX),
        lowest_mtu6: u16::try_from(traffic.lowest_mtu6).unwrap_or(u16::MAX),
        mss_clamp: traffic.mss_clamp,
        sources4: settings.icmp_sources4.clone(),
        udp_zero: match traffic.udp_zero_checksum {
            ZeroChecksum::Compute => UdpZero::Compute,
            ZeroChecksum::Drop => UdpZero::Drop,
        },
        copy_traffic_class: traffic.copy_traffic_class,
        deny4: traffic.deny.iter().filter_map(prefix4).collect(),
        errors_per_second: traffic.icmp_errors,
        hairpin: traffic.hairpin,
        explicit_only: settings.prefix.is_none(),
        own_explicit: matches!(settings.instance.mode, Mode::Clat(_)),
        ..xlat::Settings::new(settings.prefix.unwrap_or(Pref64::WELL_KNOWN), settings.icmp_source)
    })
}

fn table(nat64: &Nat64) -> nat64::Settings {
    let config::Timeouts { udp, tcp, tcp_transitory, icmp } = nat64.timeouts;
    nat64::Settings {
        pools: nat64.pool.ranges.iter().filter_map(pool).collect(),
        max_sessions: nat64.sessions,
        per_prefix: nat64.per_prefix,
        port_block: nat64.port_block,
        timeouts: nat64::Timeouts { udp, tcp_established: tcp, tcp_transitory, icmp },
        filtering: match nat64.filtering {
            Filtering::EndpointIndependent => nat64::Filtering::EndpointIndependent,
            Filtering::AddressDependent => nat64::Filtering::AddressDependent,
        },
        tcp_inbound: nat64.inbound_tcp,
        static_entries: nat64
            .statics
            .iter()
            .map(|entry| nat64::StaticEntry {
                protocol: entry.protocol,
                host: Endpoint6 { address: *entry.host.ip(), port: entry.host.port() },
                public: Endpoint4 { address: *entry.public.ip(), port: entry.public.port() },
            })
            .collect(),
        sources: nat64.sources.iter().filter_map(source).collect(),
        log: nat64.log != Log::Off,
    }
}

fn pool(range: &PoolRange) -> Option<nat64::Pool> {
    let IpAddr::V4(address) = range.addresses.address else { return None };
    Some(nat64::Pool { ports: range.ports.clone(), ..nat64::Pool::prefix(address, range.addresses.length) })
}

fn source(prefix: &Prefix) -> Option<nat64::Sources> {
    let IpAddr::V6(address) = prefix.address else { return None };
    Some(nat64::Sources { address, length: prefix.length })
}

fn prefix4(prefix: &Prefix) -> Option<Prefix4> {
    let IpAddr::V4(address) = prefix.address else { return None };
    Prefix4::new(address, prefix.length)
}

/// The resolver's settings.
pub fn dns64(dns64: &config::Dns64) -> dns64::Settings {
    let ranges = |list: &[Prefix]| list.iter().copied().map(ip_prefix).collect();
    dns64::Settings {
        prefixes: dns64.prefixes.clone(),
        resolvers: dns64.resolvers.clone(),
        exclude_aaaa: ranges(&dns64.exclude_aaaa),
        exclude_a: ranges(&dns64.exclude_a),
        // The section has been read: they are names.
        exclude_names: dns64.exclude_names.iter().filter_map(|name| name.parse().ok()).collect(),
        always_names: dns64.always_names.iter().filter_map(|name| name.parse().ok()).collect(),
        cache_entries: dns64.cache.entries as usize,
        cache_bytes: dns64.cache.bytes as usize,
        min_ttl: dns64.cache.min_ttl,
        max_ttl: dns64.cache.max_ttl,
        clients: dns64.clients.iter().map(|rule| (ip_prefix(rule.from), policy(rule.policy))).collect(),
        timeout: dns64.timeout,
        attempts: dns64.attempts,
        rate: dns64.rate.map(|rate| dns64::Rate { per_second: rate.queries, burst: rate.burst }),
        max_outstanding: dns64.max_outstanding as usize,
        max_outstanding_per_client: dns64.max_outstanding_per_client as usize,
        udp_size: dns64.udp_size,
        trust_ad: dns64.trust_ad,
        random_case: dns64.random_case,
    }
}

const fn policy(policy: config::Policy) -> dns64::Policy {
    match policy {
        config::Policy::Full => dns64::Policy::Full,
        config::Policy::NoSynthesis => dns64::Policy::NoSynthesis,
        config::Policy::AOnly => dns64::Policy::AOnly,
        config::Policy::Refuse => dns64::Policy::Refuse,
    }
}

fn ip_prefix(prefix: Prefix) -> dns64::IpPrefix {
    dns64::IpPrefix::new(prefix.address, prefix.length)
}

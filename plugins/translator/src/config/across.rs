//! What no instance can be wrong about alone: addresses that two lay claim to, resolvers behind the translator, and the
//! memory that all of them take together.
//!
//! Prefixes either lie within each other or have nothing in common, so one walk over all of them in order finds every
//! pair that overlaps.

use std::net::IpAddr;

use portreeve_config::{Diagnostics, Span};
use portreeve_network::Prefix;

use super::dns64::Found as Dns64;
use super::read::Found;
use super::{MAX_ROUTES, Mode, SESSION_BYTES, Side};
use crate::nat64::snapshot::RECORD;

/// What the plugin takes without a single session.
const BASE_MEMORY: u64 = 16 << 20;
/// What a plugin may take if the operator says nothing.
const DEFAULT_MEMORY: u64 = 64 << 20;

/// A prefix that one instance takes for itself.
struct Claim<'a> {
    prefix: Prefix,
    span: Span,
    owner: &'a str,
}

pub(super) fn check(found: &[Found], dns64: Option<&Dns64>, section: Span, d: &mut Diagnostics) {
    claims(found, d);
    routes(found, d);
    clats(found, d);
    if let Some(dns64) = dns64 {
        resolvers(found, dns64, d);
    }
    memory(found, dns64, section, d);
}

fn claims(found: &[Found], d: &mut Diagnostics) {
    let mut all: Vec<Claim<'_>> = Vec::new();
    for Found { instance, places } in found {
        let claim = |prefix: Prefix, span: Option<Span>| Claim {
            prefix,
            span: places.or_name(span),
            owner: instance.name.as_str(),
        };
        all.extend(instance.own_prefix().map(|prefix| claim(prefix.prefix(), places.prefix)));
        match &instance.mode {
            Mode::Nat64(nat64) => {
                let spans = each(&places.pool);
                all.extend(nat64.pool.addresses().zip(spans).map(|(prefix, span)| claim(prefix, span)));
            }
            Mode::Siit(siit) => {
                all.extend(siit.ipv4.iter().zip(each(&places.ipv4)).map(|(prefix, span)| claim(*prefix, span)));
                let routed = siit.eam.iter().zip(each(&places.eam)).map(|(eam, span)| match eam.host {
                    Side::Ipv6 => claim(eam.ipv4, span),
                    Side::Ipv4 => claim(eam.ipv6, span),
                });
                all.extend(routed);
            }
            Mode::Clat(clat) => {
                all.push(claim(clat.address.prefix(), places.address));
                all.push(claim(Prefix::new(clat.ipv4.into(), 32), places.name));
            }
        }
    }
    // Parents before what lies within them; of two that are the same the one that is written first.
    all.sort_by_key(|claim| (claim.prefix, claim.span.start));
    let mut around: Vec<&Claim<'_>> = Vec::new();
    for claim in &all {
        while around.last().is_some_and(|outer| !outer.prefix.contains(claim.prefix)) {
            around.pop();
        }
        if let Some(outer) = around.last().filter(|outer| outer.owner != claim.owner) {
            let (late, early) = if outer.span.start > claim.span.start { (*outer, claim) } else { (claim, *outer) };
            let message =
                format!("{} of {} overlaps with {} of {}", late.prefix, late.owner, early.prefix, early.owner);
            d.error_with_hint(late.span, message, "write other addresses for one of the two");
        }
        around.push(claim);
    }
}

/// Each route and each prefix that is hidden is a need of its own, and a plan has only so many.
fn routes(found: &[Found], d: &mut Diagnostics) {
    let mut total = 0;
    for Found { instance, places } in found {
        let routes = instance.routes().len() + instance.masquerades().len();
        total += routes;
        if total > MAX_ROUTES {
            let message = format!(
                "with the {routes} routes and hidden prefixes of {} there are more than {MAX_ROUTES}",
                instance.name
            );
            let hint = "write fewer and larger prefixes, next to each other";
            d.error_with_hint(places.or_name(places.eam.first().copied()), message, hint);
            return;
        }
    }
}

fn each(spans: &[Span]) -> impl Iterator<Item = Option<Span>> {
    spans.iter().copied().map(Some).chain(std::iter::repeat(None))
}

/// What a CLAT sends must not come back to a translator of ours.
fn clats(found: &[Found], d: &mut Diagnostics) {
    let own = |prefix: Prefix| {
        let all = found.iter().filter_map(|other| Some((other.instance.own_prefix()?, &other.instance.name)));
        let mut all = all.filter(move |(own, _)| super::leaf::overlap(own.prefix(), prefix));
        all.next()
    };
    for Found { instance, places } in found {
        if let Mode::Clat(clat) = &instance.mode
            && let Some(prefix) = clat.prefix
            && let Some((_, other)) = own(prefix.prefix())
        {
            let message = format!("packets to {prefix} would go to {other} of this router");
            d.error_with_hint(places.or_name(places.prefix), message, "write the prefix of the provider, or Auto");
        }
    }
}

/// Questions to a resolver do not go through the translator that the answers are for.
fn resolvers(found: &[Found], dns64: &Dns64, d: &mut Diagnostics) {
    for (resolver, span) in dns64.dns64.resolvers.iter().zip(&dns64.resolvers) {
        let address = Prefix::new(resolver.ip(), 128);
        let holds = |instance: &Found| {
            let own = match (&instance.instance.mode, resolver.ip()) {
                (Mode::Nat64(nat64), IpAddr::V4(_)) => nat64.pool.addresses().find(|pool| pool.contains(address)),
                _ => None,
            };
            own.or(instance.instance.own_prefix().map(super::Pref64::prefix).filter(|prefix| prefix.contains(address)))
        };
        if let Some((prefix, name)) = found.iter().find_map(|f| Some((holds(f)?, &f.instance.name))) {
            let message =
                format!("{} is within {prefix} of {name}: it would be asked through the translator", resolver.ip());
            d.error_with_hint(*span, message, "write the resolver's own address");
        }
    }
}

fn memory(found: &[Found], dns64: Option<&Dns64>, section: Span, d: &mut Diagnostics) {
    let tables = found.iter().map(|found| match &found.instance.mode {
        // While they are written down for the next run both are there.
        Mode::Nat64(nat64) => u64::from(nat64.sessions) * (SESSION_BYTES + RECORD as u64),
        Mode::Siit(_) | Mode::Clat(_) => 0,
    });
    let cache = dns64.map_or(0, |found| u64::from(found.dns64.cache.bytes));
    let total = BASE_MEMORY + cache + tables.sum::<u64>();
    if total <= DEFAULT_MEMORY || d.has_errors() {
        return;
    }
    let place = found.iter().rev().find_map(|found| found.places.sessions);
    let span = place.unwrap_or_else(|| Span::new(section.start, section.start + 1));
    let mib = total.div_ceil(1 << 20);
    let message = format!("full tables take about {mib} MiB, and a plugin may take 64 MiB if nothing is said");
    d.warning_with_hint(span, message, format!("write `limits: (memory_mib: {mib})` beside this plugin's config"));
}

//! Reads the section, an instance of it, and what all kinds of instances share.
//!
//! Reading never stops at a mistake. Places are kept beside the values for what `across.rs` finds between instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::{Diagnostics, Fields, Span, Spanned, Value};
use portreeve_network::{Family, read};

use super::{
    Config, Instance, MAX_INSTANCES, Mode, NON_GLOBAL4, Nat64, Traffic, ZeroChecksum, across, dns64, leaf, nat64,
    stateless,
};

/// The name of the one instance where none is written.
const DEFAULT_NAME: &str = "nat64";
const KINDS: [&str; 3] = ["Nat64", "Siit", "Clat"];

/// An instance and the places that checks between instances need.
pub(super) struct Found {
    pub(super) instance: Instance,
    pub(super) places: Places,
}

/// Places, in the order of the lists that they belong to.
#[derive(Default)]
pub(super) struct Places {
    /// Of the name, or of the whole section.
    pub(super) name: Option<Span>,
    pub(super) prefix: Option<Span>,
    /// Of the pool's ranges.
    pub(super) pool: Vec<Span>,
    pub(super) eam: Vec<Span>,
    pub(super) ipv4: Vec<Span>,
    pub(super) address: Option<Span>,
    /// Of what sets the number of sessions.
    pub(super) sessions: Option<Span>,
}

impl Places {
    /// `place`, or that of the instance.
    pub(super) fn or_name(&self, place: Option<Span>) -> Span {
        place.or(self.name).unwrap_or_else(|| Span::new(0, 0))
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            mtu6: 1500,
            mtu4: 1500,
            lowest_mtu6: 1280,
            mss_clamp: true,
            hairpin: true,
            udp_zero_checksum: ZeroChecksum::Compute,
            copy_traffic_class: true,
            deny: Vec::new(),
            private: None,
            icmp_errors: 100,
            icmp_source: None,
        }
    }
}

pub(super) fn section(value: Value<'_>, d: &mut Diagnostics) -> Option<Config> {
    let mut fields = value.fields(d)?;
    let instances = fields.take("instances");
    let dns = fields.take("dns64");
    let forwarding = leaf::flag(&mut fields, "forwarding", true, d);
    fields.finish(d);
    let mut found: Vec<Found> = Vec::new();
    match instances {
        Some(map) => {
            let entries = map.entries(d);
            if entries.len() > MAX_INSTANCES {
                let message = format!("{} instances are more than the {MAX_INSTANCES} that fit", entries.len());
                d.error_with_hint(map.span(), message, "write fewer");
            }
            if entries.is_empty() && dns.is_none() && !d.has_errors() {
                d.warning(map.span(), "no instance is listed, so there is nothing to do");
            }
            found.extend(entries.iter().take(MAX_INSTANCES).filter_map(|(name, value)| instance(name, value, d)));
        }
        None => found.push(usual(value.span())),
    }
    let complete = !d.has_errors();
    let dns64 = dns.and_then(|value| dns64::read(&value, &found, complete, d));
    across::check(&found, dns64.as_ref(), value.span(), d);
    let instances: BTreeMap<_, _> =
        found.into_iter().map(|found| (found.instance.name.clone(), Arc::new(found.instance))).collect();
    Some(Config { instances, dns64: dns64.map(|found| Arc::new(found.dns64)), forwarding })
}

/// NAT64 with the well-known prefix, behind the router's own address.
fn usual(span: Span) -> Found {
    let instance = Instance {
        name: DEFAULT_NAME.to_owned(),
        mode: Mode::Nat64(Nat64::default()),
        traffic: Traffic::default(),
        advertise: true,
    };
    // Of the section only the first bracket is shown.
    let name = Some(Span::new(span.start, span.start.saturating_add(1).min(span.end)));
    Found { instance, places: Places { name, ..Places::default() } }
}

fn instance(key: &Spanned<String>, value: &Value<'_>, d: &mut Diagnostics) -> Option<Found> {
    if let Err(message) = read::check_interface_name(&key.value) {
        d.error_with_hint(key.span, message, "expected the name of the tun device, such as \"nat64\"");
    } else if key.value == "lo" {
        d.error_with_hint(key.span, "lo is the kernel's own", "write another name, such as \"nat64\"");
    }
    let name = value.name();
    let kind = name.map_or("", |name| name.value);
    if !KINDS.contains(&kind) {
        let span = name.map_or_else(|| value.span(), |name| name.span);
        leaf::unknown(span, "expected the kind of a translator", kind, &KINDS, d);
        return None;
    }
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let mut places = Places { name: Some(key.span), ..Places::default() };
    let mode = match kind {
        "Nat64" => nat64::read(f, &mut places, d).map(Mode::Nat64),
        "Siit" => stateless::siit(f, &mut places, d).map(Mode::Siit),
        _ => stateless::clat(f, &mut places, d).map(Mode::Clat),
    };
    let advertise = match kind {
        "Nat64" => leaf::flag(f, "advertise", true, d),
        "Siit" => advertised_siit(f, mode.as_ref(), d),
        // The prefix is the provider's to advertise.
        _ => false,
    };
    let traffic = traffic(f, d);
    fields.finish(d);
    let instance = Instance { name: key.value.clone(), mode: mode?, traffic, advertise };
    Some(Found { instance, places })
}

fn advertised_siit(f: &mut Fields<'_>, mode: Option<&Mode>, d: &mut Diagnostics) -> bool {
    let Some(found) = f.take("advertise").and_then(|v| v.get::<bool>(d)) else { return false };
    if let (true, Some(Mode::Siit(siit))) = (found.value, mode)
        && siit.prefix.is_none()
    {
        d.error_with_hint(found.span, "there is no prefix to advertise", "add `prefix: \"…\"`, or remove this");
    }
    found.value
}

fn traffic(f: &mut Fields<'_>, d: &mut Diagnostics) -> Traffic {
    let usual = Traffic::default();
    let (mut mtu6, mut mtu4, mut lowest_mtu6) = (usual.mtu6, usual.mtu4, usual.lowest_mtu6);
    if let Some(mut mtu) = f.take("mtu").and_then(|v| v.fields(d)) {
        // RFC 8200 section 5; 576 is what every IPv4 host takes (RFC 791).
        mtu6 = leaf::number(&mut mtu, "ipv6", 1280..=65_535, mtu6, d);
        mtu4 = leaf::number(&mut mtu, "ipv4", 576..=65_535, mtu4, d);
        lowest_mtu6 = leaf::number(&mut mtu, "lowest_ipv6", 1280..=mtu6, lowest_mtu6, d);
        mtu.finish(d);
    }
    let zero = [("Compute", ZeroChecksum::Compute), ("Drop", ZeroChecksum::Drop)];
    let class = [("Copy", true), ("Zero", false)];
    let private = f.take("private").and_then(|v| v.get::<bool>(d)).map(|found| found.value);
    let mut deny = leaf::prefix_list(f, "deny", Family::Ipv4, d);
    if private == Some(false) {
        // Of the packet path only the well-known prefix has a rule of its own (RFC 6052 section 3.1).
        let missing = NON_GLOBAL4.into_iter().filter(|private| !deny.iter().any(|denied| denied.contains(*private)));
        deny.extend(missing.collect::<Vec<_>>());
    }
    Traffic {
        mtu6,
        mtu4,
        lowest_mtu6,
        mss_clamp: leaf::flag(f, "mss_clamp", usual.mss_clamp, d),
        hairpin: leaf::flag(f, "hairpin", usual.hairpin, d),
        udp_zero_checksum: f.take("udp_zero_checksum").and_then(|v| leaf::word(&v, &zero, d)).unwrap_or_default(),
        copy_traffic_class: f.take("traffic_class").and_then(|v| leaf::word(&v, &class, d)).unwrap_or(true),
        deny,
        private,
        icmp_errors: leaf::number(f, "icmp_errors", 0..=10_000, usual.icmp_errors, d),
        icmp_source: f.take("icmp_source").and_then(|v| leaf::ipv6(&v, d)).map(|found| found.value),
    }
}

//! Reads `kind: …` of a tunnel: which it is, its ends and what only this kind has.
//!
//! The places of the ends are kept beside them, for what `config/across.rs` finds between tunnels.

use portreeve_config::{Diagnostics, Fields, Span, Spanned, Value, did_you_mean};
use portreeve_network::{Family, Prefix, Tunnel6Mode, read};
use std::net::IpAddr;

use super::{Host, Kind, Local, Path, SixRd, ends, wireguard};

const KINDS: [&str; 5] = ["SixInFour", "SixRd", "Ip6Tunnel", "Gre", "WireGuard"];

/// A kind and the place of its word.
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

pub(super) fn kind(value: &Value<'_>, d: &mut Diagnostics) -> Option<Found> {
    let name = value.name();
    let text = name.map_or("", |name| name.value);
    if !KINDS.contains(&text) {
        let known = format!("one of {}", KINDS.join(", "));
        let hint = did_you_mean(text, KINDS).map_or(known, |near| format!("did you mean `{near}`?"));
        d.error_with_hint(name.map_or_else(|| value.span(), |name| name.span), "expected the kind of a tunnel", hint);
        return None;
    }
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let kind = match text {
        "SixInFour" => six_in_four(f, d),
        "SixRd" => six_rd(f, d),
        "Ip6Tunnel" => ip6_tunnel(f, d),
        "Gre" => gre(f, d),
        _ => wireguard::read(f, d).map(Kind::WireGuard),
    };
    fields.finish(d);
    kind.map(|kind| Found { kind, span: name.map_or_else(|| value.span(), |name| name.span) })
}

fn six_in_four(f: &mut Fields<'_>, d: &mut Diagnostics) -> Option<Kind> {
    let (remote, local) = both_ends(f, Some(Family::Ipv4), d);
    let path = path(f, d);
    Some(Kind::SixInFour { remote: remote?.value, local: local?.value, path })
}

/// The other end and ours, which must differ.
fn both_ends(
    f: &mut Fields<'_>,
    family: Option<Family>,
    d: &mut Diagnostics,
) -> (Option<Spanned<Host>>, Option<Spanned<Local>>) {
    let remote = f.require("remote", d).and_then(|v| ends::host(v, family, d));
    let local = match f.take("local") {
        Some(value) => ends::local(value, family, d),
        None => Some(Spanned::new(Local::Auto, f.span())),
    };
    if let (Some(remote), Some(local)) = (&remote, &local)
        && let (Host::Address(there), Local::Address(here)) = (&remote.value, &local.value)
        && there == here
    {
        d.error_with_hint(local.span, "both ends of the tunnel are the same address", "write our own address here");
    }
    (remote, local)
}

fn path(f: &mut Fields<'_>, d: &mut Diagnostics) -> Path {
    let Some(value) = f.take("path") else { return Path::Auto };
    match value.text() {
        "Auto" => Path::Auto,
        "Kernel" => Path::Kernel,
        "Userspace" => Path::Userspace,
        other => {
            unknown(&value, other, &["Auto", "Kernel", "Userspace"], d);
            Path::Auto
        }
    }
}

/// Says which words are known in place of `found`.
pub(super) fn unknown(value: &Value<'_>, found: &str, known: &[&str], d: &mut Diagnostics) {
    let hint = did_you_mean(found, known.iter().copied())
        .map_or_else(|| format!("one of {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    d.error_with_hint(value.span(), "unknown value", hint);
}

fn six_rd(f: &mut Fields<'_>, d: &mut Diagnostics) -> Option<Kind> {
    let prefix = f.require("prefix", d).and_then(|v| read::prefix(&v, d)).filter(|prefix| six_rd_prefix(prefix, d));
    let relay = f.require("relay", d).and_then(|v| ends::address(v, Some(Family::Ipv4), d));
    let length = match f.take("ipv4_mask_length") {
        Some(value) => read::within::<u8>(&value, 0..=32, "ipv4_mask_length", d),
        None => Some(Spanned::new(0, f.span())),
    };
    // RFC 5969 section 4: what we get is made of our address, so it must be known which one that is.
    let local = f.require("local", d).and_then(|v| ends::local(v, Some(Family::Ipv4), d)).filter(|local| {
        if local.value == Local::Auto {
            let message = "our 6rd prefix is made of our IPv4 address, so it must be known which one that is";
            d.error_with_hint(local.span, message, "write Interface(\"wan0\") or Address(\"192.0.2.2\")");
        }
        local.value != Local::Auto
    });
    if let (Some(prefix), Some(length)) = (&prefix, &length) {
        let bits = u32::from(prefix.value.length) + 32 - u32::from(length.value);
        if bits > 64 {
            let message = format!("prefix and IPv4 address together have {bits} bits, and 64 are left for them");
            let hint = "write a shorter prefix, or ipv4_mask_length for the bits that all addresses share";
            d.error_with_hint(prefix.span, message, hint);
        }
    }
    let path = path(f, d);
    let (prefix, relay, ipv4_mask_length, local) = (prefix?.value, relay?, length?.value, local?);
    let IpAddr::V4(relay_address) = relay.value else { return None };
    if local.value == Local::Address(relay.value) {
        d.error_with_hint(local.span, "our end is the relay itself", "write our own address here");
    }
    Some(Kind::SixRd(SixRd { prefix, relay: relay_address, ipv4_mask_length, local: local.value, path }))
}

fn six_rd_prefix(prefix: &Spanned<Prefix>, d: &mut Diagnostics) -> bool {
    let global = match prefix.value.address {
        IpAddr::V6(a) => !(a.is_unspecified() || a.is_multicast() || a.is_unicast_link_local()),
        IpAddr::V4(_) => false,
    };
    if !global {
        let message = format!("{} is no 6rd prefix", prefix.value);
        d.error_with_hint(prefix.span, message, "write the provider's IPv6 prefix, such as \"2001:db8::/32\"");
    }
    global
}

fn ip6_tunnel(f: &mut Fields<'_>, d: &mut Diagnostics) -> Option<Kind> {
    let (remote, local) = both_ends(f, Some(Family::Ipv6), d);
    let mode = match f.take("mode") {
        None => Tunnel6Mode::Any,
        Some(value) => match value.text() {
            "Any" => Tunnel6Mode::Any,
            "Ipv4" => Tunnel6Mode::Ipv4,
            "Ipv6" => Tunnel6Mode::Ipv6,
            other => {
                unknown(&value, other, &["Any", "Ipv4", "Ipv6"], d);
                Tunnel6Mode::Any
            }
        },
    };
    let limit = f.take("encapsulation_limit").and_then(|v| read::within::<u8>(&v, 0..=255, "encapsulation_limit", d));
    Some(Kind::Ip6Tunnel {
        remote: remote?.value,
        local: local?.value,
        mode,
        encapsulation_limit: limit.map(|limit| limit.value),
    })
}

fn gre(f: &mut Fields<'_>, d: &mut Diagnostics) -> Option<Kind> {
    let (remote, local) = both_ends(f, None, d);
    let key = f.take("key").and_then(|v| read::within::<u32>(&v, 0..=u32::MAX, "key", d));
    let (remote, local) = (remote?, local?);
    let of = |address: &IpAddr| Family::of(*address);
    let outer = match (&remote.value, &local.value) {
        (Host::Address(there), Local::Address(here)) if of(there) != of(here) => {
            d.error_with_hint(local.span, "the two ends are not of one family", "write two IPv4 or two IPv6 addresses");
            return None;
        }
        (Host::Address(address), _) | (Host::Name(_), Local::Address(address)) => of(address),
        // A name may have addresses of both families; the kind of the link must not depend on the answer.
        (Host::Name(_), Local::Auto | Local::Interface(_)) => Family::Ipv4,
    };
    Some(Kind::Gre { remote: remote.value, local: local.value, outer, key: key.map(|key| key.value) })
}

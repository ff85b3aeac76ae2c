//! Reads what becomes an option of the advertisement: prefixes, routes, DNS servers and domains, NAT64 prefixes.
//!
//! As in `config/read.rs`, a mistake is recorded and reading goes on with the next entry. Defaults that depend on the
//! interface take its maximum interval as finally read, whatever the order in the file.

use super::read::{flags, lifetime, preference, whole_seconds};
use super::{DnsslConfig, InterfaceConfig, Lifetime, Origin, Pref64Config, PrefixConfig, RdnssConfig, RouteConfig};
use portreeve_config::{Diagnostics, Fields, Ipv6Prefix, PrefixError, Span, Spanned, Value, duration};
use portreeve_packet::nd::{DomainName, Pref64, Preference, Rdnss, is_pref64_length};
use std::net::Ipv6Addr;

pub(super) fn prefixes(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) {
    let Some(list) = f.take("prefixes") else { return };
    for (key, value) in list.entries(d) {
        let prefix = prefix(&key, "2001:db8:60::/64", d);
        // The fields are read even when the prefix is wrong, to find their mistakes too.
        let placeholder = Ipv6Prefix::containing(Ipv6Addr::UNSPECIFIED, 64);
        let Some(found) = prefix_fields(value, prefix.unwrap_or(placeholder), d) else { continue };
        let Some(prefix) = prefix else { continue };
        if config.prefixes.iter().any(|other| other.prefix == prefix) {
            duplicate(key.span, &format!("prefix {prefix}"), d);
        } else if found.is_own() || usable_prefix(prefix, key.span, d) {
            if found.autonomous && prefix.length() != 64 {
                d.warning_with_hint(
                    key.span,
                    "hosts form addresses only from a /64 prefix and will ignore `autonomous`",
                    "write `autonomous: false`, or advertise a /64",
                );
            }
            config.prefixes.push(found);
        }
    }
}

fn prefix_fields(value: Value<'_>, prefix: Ipv6Prefix, d: &mut Diagnostics) -> Option<PrefixConfig> {
    let mut fields = value.fields(d)?;
    let mut config = PrefixConfig::new(prefix);
    let f = &mut fields;
    let list = [
        ("on_link", &mut config.on_link),
        ("autonomous", &mut config.autonomous),
        ("dhcpv6_pd_preferred", &mut config.dhcpv6_pd_preferred),
        ("router_address", &mut config.router_address),
        ("decrement", &mut config.decrement),
        ("deprecate_on_removal", &mut config.deprecate_on_removal),
    ];
    flags(f, list, d);
    let (valid_value, preferred_value) = (f.take("valid_lifetime"), f.take("preferred_lifetime"));
    let valid = valid_value.and_then(|v| lifetime(v, d));
    let preferred = preferred_value.and_then(|v| lifetime(v, d));
    let valid_is_known = valid_value.is_none() || valid.is_some();
    config.valid_lifetime = valid.map_or(config.valid_lifetime, |v| v.value);
    // A default that would exceed a shorter valid lifetime follows it.
    config.preferred_lifetime = config.preferred_lifetime.min(config.valid_lifetime);
    if let Some(preferred) = preferred {
        // RFC 4861 section 4.6.2
        if preferred.value > config.valid_lifetime && valid_is_known {
            let valid = show(config.valid_lifetime);
            d.error_with_hint(
                preferred.span,
                "preferred_lifetime is longer than valid_lifetime",
                format!("write at most \"{valid}\", or a longer valid_lifetime"),
            );
        }
        config.preferred_lifetime = preferred.value;
    }
    if config.decrement && config.valid_lifetime.is_infinite() {
        let span = valid.map_or_else(|| f.span(), |v| v.span);
        d.warning(span, "an infinite lifetime cannot be decremented");
    }
    fields.finish(d);
    Some(config)
}

pub(super) fn routes(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) {
    let Some(list) = f.take("routes") else { return };
    for (key, value) in list.entries(d) {
        let prefix = prefix(&key, "2001:db8::/32", d);
        let Some(mut fields) = value.fields(d) else { continue };
        let preference = fields.take("preference").and_then(|v| preference(v, d)).unwrap_or(Preference::Medium);
        let lifetime = option_lifetime(fields.take("lifetime"), config, d);
        fields.finish(d);
        let Some(prefix) = prefix else { continue };
        if config.routes.iter().any(|other| other.prefix == prefix) {
            duplicate(key.span, &format!("route {prefix}"), d);
        } else if routable(prefix, key.span, d) {
            config.routes.push(RouteConfig { prefix, preference, lifetime });
        }
    }
}

pub(super) fn rdnss(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) {
    let list = match f.take("rdnss").and_then(|value| form(value, d)) {
        Some(Form::List(list)) => list,
        Some(Form::Auto(mut fields)) => {
            let lifetime = option_lifetime(fields.take("lifetime"), config, d);
            fields.finish(d);
            config.rdnss = Origin::Published { lifetime };
            return;
        }
        None => return,
    };
    let mut seen = Vec::new();
    let mut written = Vec::new();
    for value in list {
        let Some(mut fields) = value.fields(d) else { continue };
        let lifetime = option_lifetime(fields.take("lifetime"), config, d);
        let mut servers = Vec::new();
        if let Some(list) = fields.require("servers", d) {
            for value in list.list(d) {
                let expected = "an IPv6 address such as \"2001:db8::53\", or \"::\" for the interface's own";
                let Some(server) = value.parse::<Ipv6Addr>(d, expected) else { continue };
                if server.value.is_multicast() || server.value.is_loopback() {
                    d.error(server.span, "hosts cannot reach a name server at this address");
                } else if seen.contains(&server.value) {
                    duplicate(server.span, &format!("server {}", server.value), d);
                } else {
                    seen.push(server.value);
                    servers.push(server.value);
                }
            }
            bound(list, servers.len(), Rdnss::MAX_SERVERS, "server", d);
        }
        fields.finish(d);
        written.push(RdnssConfig { servers, lifetime });
    }
    config.rdnss = Origin::Written(written);
}

pub(super) fn dnssl(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) {
    let Some(list) = f.take("dnssl") else { return };
    let mut seen = Vec::new();
    for value in list.list(d) {
        let Some(mut fields) = value.fields(d) else { continue };
        let lifetime = option_lifetime(fields.take("lifetime"), config, d);
        let mut domains = Vec::new();
        if let Some(list) = fields.require("domains", d) {
            for value in list.list(d) {
                let Some(domain) = value.parse::<DomainName>(d, "a domain such as \"example.org\"") else { continue };
                if seen.contains(&domain.value) {
                    duplicate(domain.span, &format!("domain {}", domain.value), d);
                } else {
                    seen.push(domain.value.clone());
                    domains.push(domain.value);
                }
            }
            bound(list, domains.len(), usize::MAX, "domain", d);
        }
        fields.finish(d);
        config.dnssl.push(DnsslConfig { domains, lifetime });
    }
}

pub(super) fn pref64(f: &mut Fields<'_>, config: &mut InterfaceConfig, d: &mut Diagnostics) {
    let list = match f.take("pref64").and_then(|value| form(value, d)) {
        Some(Form::List(list)) => list,
        Some(Form::Auto(mut fields)) => {
            if let Some(lifetime) = pref64_lifetime(fields.take("lifetime"), config, d) {
                config.pref64 = Origin::Published { lifetime };
            }
            fields.finish(d);
            return;
        }
        None => return,
    };
    let mut written: Vec<Pref64Config> = Vec::new();
    for value in list {
        let Some(mut fields) = value.fields(d) else { continue };
        let text = fields.require("prefix", d).and_then(|v| v.get::<String>(d));
        let lifetime = pref64_lifetime(fields.take("lifetime"), config, d);
        fields.finish(d);
        let Some(text) = text else { continue };
        let Some(prefix) = prefix(&text, "64:ff9b::/96", d) else { continue };
        if !is_pref64_length(prefix.length()) {
            let message = format!("a NAT64 prefix cannot be a /{}", prefix.length());
            d.error_with_hint(text.span, message, "its length is 32, 40, 48, 56, 64 or 96 (RFC 6052)");
        } else if written.iter().any(|other| other.prefix == prefix) {
            duplicate(text.span, &format!("NAT64 prefix {prefix}"), d);
        } else if usable_prefix(prefix, text.span, d)
            && let Some(lifetime) = lifetime
        {
            written.push(Pref64Config { prefix, lifetime });
        }
    }
    config.pref64 = Origin::Written(written);
}

/// The lifetime of NAT64 prefixes: 3 * MaxRtrAdvInterval unless written, at most 65,528 s (RFC 8781 section 4.1).
fn pref64_lifetime(value: Option<Value<'_>>, config: &InterfaceConfig, d: &mut Diagnostics) -> Option<u16> {
    let default = (config.max_interval * 3).as_secs().min(u64::from(Pref64::MAX_LIFETIME));
    let written = value.and_then(|v| whole_seconds(v, d));
    if let Some(written) = &written {
        short_lifetime(Lifetime::from_secs(written.value), written.span, config, d);
    }
    let lifetime = u16::try_from(written.map_or(default, |w| w.value)).ok().filter(|l| *l <= Pref64::MAX_LIFETIME);
    if let (None, Some(written)) = (lifetime, &written) {
        let most = duration::format(core::time::Duration::from_secs(Pref64::MAX_LIFETIME.into()));
        let message = "the lifetime of a NAT64 prefix is at most 65528 s";
        d.error_with_hint(written.span, message, format!("write at most \"{most}\""));
    }
    lifetime
}

/// How options are given.
enum Form<'a> {
    /// `Auto` or `Auto(…)`, with these fields.
    Auto(Fields<'a>),
    /// One by one.
    List(Vec<Value<'a>>),
}

fn form<'a>(value: Value<'a>, d: &mut Diagnostics) -> Option<Form<'a>> {
    if value.name().is_some_and(|name| name.value == "Auto") {
        return value.fields(d).map(Form::Auto);
    }
    if value.text().starts_with('[') {
        return Some(Form::List(value.list(d)));
    }
    d.error_with_hint(
        value.span(),
        "expected a list or `Auto`",
        "write `[…]`, or `Auto` for what other plugins publish",
    );
    None
}

/// A prefix; one with host bits is answered with the prefix that was meant.
fn prefix(text: &Spanned<String>, example: &str, d: &mut Diagnostics) -> Option<Ipv6Prefix> {
    let error = match text.value.parse::<Ipv6Prefix>() {
        Ok(prefix) => return Some(prefix),
        Err(error) => error,
    };
    let hint = match &error {
        PrefixError::HostBits { meant } => format!("write \"{meant}\""),
        _ => format!("expected an IPv6 prefix such as \"{example}\""),
    };
    d.error_with_hint(text.span, error.to_string(), hint);
    None
}

/// Refuses routes to nowhere but the link itself or to groups; a route that merely holds such addresses, such as
/// `8000::/1`, is legal (RFC 4191 section 2.3).
fn routable(prefix: Ipv6Prefix, span: Span, d: &mut Diagnostics) -> bool {
    let first = prefix.address();
    let link_local =
        prefix.length() >= 10 && Ipv6Prefix::containing(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10).contains(first);
    let multicast = prefix.length() >= 8 && first.is_multicast();
    if link_local || multicast {
        let kind = if multicast { "multicast" } else { "link-local" };
        d.error(span, format!("{prefix} holds only {kind} addresses and cannot be a route"));
    }
    !(link_local || multicast)
}

/// Refuses prefixes that hold addresses no host may have from an advertisement.
fn usable_prefix(prefix: Ipv6Prefix, span: Span, d: &mut Diagnostics) -> bool {
    let Some(kind) = unusable(prefix) else { return true };
    let message = format!("{prefix} holds {kind} addresses and cannot be advertised");
    if prefix.address().is_unspecified() {
        d.error_with_hint(span, message, "write \"::/64\" for the interface's own prefixes");
    } else {
        d.error(span, message);
    }
    false
}

/// Which addresses it holds that no host may have from an advertisement, if any.
pub(crate) fn unusable(prefix: Ipv6Prefix) -> Option<&'static str> {
    let overlaps = |address: Ipv6Addr, length: u8| {
        let other = Ipv6Prefix::containing(address, length);
        other.contains(prefix.address()) || prefix.contains(address)
    };
    if overlaps(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10) {
        Some("link-local") // RFC 4861 section 4.6.2
    } else if overlaps(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8) {
        Some("multicast")
    } else if overlaps(Ipv6Addr::UNSPECIFIED, 127) {
        Some("unspecified or loopback")
    } else {
        None
    }
}

/// The lifetime of a route, of servers or of domains: 3 * MaxRtrAdvInterval unless written (RFC 8106 section 5.1).
fn option_lifetime(value: Option<Value<'_>>, config: &InterfaceConfig, d: &mut Diagnostics) -> Lifetime {
    let default = Lifetime::from_secs((config.max_interval * 3).as_secs());
    let Some(found) = value.and_then(|v| lifetime(v, d)) else { return default };
    short_lifetime(found.value, found.span, config, d);
    found.value
}

fn short_lifetime(lifetime: Lifetime, span: Span, config: &InterfaceConfig, d: &mut Diagnostics) {
    if lifetime.wire() != 0 && u64::from(lifetime.wire()) < config.max_interval.as_secs() {
        let least = duration::format(config.max_interval);
        d.warning_with_hint(
            span,
            "this ends before the next advertisement is sure to come",
            format!("write at least max_interval, \"{least}\", better three times as much"),
        );
    }
}

fn bound(list: Value<'_>, count: usize, most: usize, what: &str, d: &mut Diagnostics) {
    if list.text().trim_matches(['[', ']', ' ', '\n', '\t', '\r']).is_empty() {
        d.error(list.span(), format!("at least one {what} is needed"));
    } else if count > most {
        d.error_with_hint(list.span(), format!("more than {most} {what}s"), "start another entry for the rest");
    }
}

fn duplicate(span: Span, what: &str, d: &mut Diagnostics) {
    d.error_with_hint(span, format!("{what} is given twice"), "keep one of the two");
}

fn show(lifetime: Lifetime) -> String {
    duration::format(core::time::Duration::from_secs(lifetime.wire().into()))
}

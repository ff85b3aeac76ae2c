//! Reads what goes through a tunnel: source routes, our own prefixes, the keepalive.

use core::time::Duration;
use std::net::IpAddr;

use portreeve_config::{Diagnostics, Spanned, Value, duration};
use portreeve_network::{MAIN_TABLE, Prefix, read};

use super::{DEFAULT_PRIORITY, Keepalive, Path, SourceRoute, Tunnel, ends};

/// The keepalive must have somebody to ask and something to ask from, and what is beyond the tunnel is not ours.
pub(super) fn reachable(tunnel: &Tunnel, keepalive: Option<Value<'_>>, own: Option<Value<'_>>, d: &mut Diagnostics) {
    let target = tunnel.keepalive.map(|keepalive| keepalive.target);
    if let (Some(target), Some(value)) = (target, keepalive) {
        if tunnel.addresses.iter().any(|address| address.address.address == IpAddr::V6(target)) {
            let hint = "write the address of the other end";
            d.error_with_hint(value.span(), format!("{target} is our own end of the tunnel"), hint);
        } else if tunnel.source_for(None).is_none() && tunnel.path() != Path::Kernel {
            let message = "there is no IPv6 address of the tunnel to ask from";
            d.error_with_hint(value.span(), message, "add `addresses: [\"…\"]`");
        }
    }
    let beyond = tunnel.routes.iter().filter_map(|route| route.gateway).chain(target.map(IpAddr::V6));
    for address in beyond {
        let ours = |own: &&Prefix| own.contains(Prefix::new(address, 128));
        if let (Some(prefix), Some(value)) = (tunnel.own_prefixes.iter().find(ours), own) {
            let message = format!("{address} is beyond the tunnel and within {prefix}, which is said to be ours");
            d.error_with_hint(value.span(), message, "leave the network between the two ends out");
            return;
        }
    }
}

pub(super) fn source_routes(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Spanned<SourceRoute>> {
    let mut list = Vec::new();
    for item in value.list(d) {
        let Some(mut f) = item.fields(d) else { continue };
        let from = f.require("from", d).and_then(|v| read::prefix(&v, d));
        let table = f.require("table", d);
        let number = table.and_then(|v| read::table(&v, d));
        if let (Some(MAIN_TABLE), Some(table)) = (number, table) {
            let message = "the default route of this table would be everybody's";
            d.error_with_hint(table.span(), message, "write a number of its own, such as 100");
        }
        // The kernel's rules for the main table stand at 32766.
        let priority = f.take("priority").and_then(|v| read::within::<u32>(&v, 1..=32_765, "priority", d));
        f.finish(d);
        if let (Some(from), Some(table)) = (from, number) {
            let priority = priority.map_or(DEFAULT_PRIORITY, |found| found.value);
            list.push(from.map(|from| SourceRoute { from, table, priority }));
        }
    }
    list
}

pub(super) fn own_prefixes(value: &Value<'_>, d: &mut Diagnostics) -> Vec<Prefix> {
    let mut list: Vec<Prefix> = Vec::new();
    for item in value.list(d) {
        let Some(prefix) = read::prefix(&item, d) else { continue };
        if !prefix.value.address.is_ipv6() || prefix.value.is_default() {
            d.error_with_hint(prefix.span, "not a prefix of ours", "write an IPv6 prefix such as \"2001:db8:60::/60\"");
        } else if list.contains(&prefix.value) {
            d.error_with_hint(prefix.span, format!("{} is given twice", prefix.value), "keep one of the two");
        } else {
            list.push(prefix.value);
        }
    }
    list
}

pub(super) fn keepalive(value: Value<'_>, d: &mut Diagnostics) -> Option<Keepalive> {
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let mut f = value.fields(d)?;
    let target = f.require("target", d).and_then(|v| read::address(&v, d)).and_then(|found| match found.value {
        IpAddr::V6(address) if address.is_unicast_link_local() || ends::unusable(found.value).is_none() => {
            Some(address)
        }
        _ => {
            let message = format!("{} cannot be asked through the tunnel", found.value);
            d.error_with_hint(
                found.span,
                message,
                "write the IPv6 address of the other end, such as \"2001:db8:1::1\"",
            );
            None
        }
    });
    let interval = f.take("interval").and_then(|v| within(v, second, hour, "interval", d));
    let interval = interval.unwrap_or(Duration::from_secs(10));
    // One lost packet is no silence.
    let timeout = f.take("timeout").and_then(|v| within(v, interval * 2, hour * 24, "timeout", d));
    let timeout = timeout.unwrap_or(interval * 3);
    f.finish(d);
    Some(Keepalive { target: target?, interval, timeout })
}

fn within(value: Value<'_>, least: Duration, most: Duration, what: &str, d: &mut Diagnostics) -> Option<Duration> {
    let found = value.duration(d)?;
    if !(least..=most).contains(&found.value) {
        let hint = format!("write \"{}\" to \"{}\"", duration::format(least), duration::format(most));
        d.error_with_hint(found.span, format!("{what} is out of range"), hint);
        return None;
    }
    Some(found.value)
}

//! Reads pools of prefixes, and the subnets that an interface takes out of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use portreeve_config::{Diagnostics, Span, Spanned, Value, did_you_mean};
use portreeve_network::{Prefix, read};

use super::{Pool, PoolSource, Subnet};

/// The longest prefix of a pool: one network for hosts.
const LONGEST: u8 = 64;

pub(super) fn pools(value: &Value<'_>, d: &mut Diagnostics) -> BTreeMap<String, Pool> {
    let mut pools = BTreeMap::new();
    let mut statics: Vec<(Spanned<Prefix>, String)> = Vec::new();
    let mut delegated: Vec<(Span, Option<String>)> = Vec::new();
    for (key, value) in value.entries(d) {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if key.value.is_empty() || key.value.len() > 32 || !key.value.chars().all(legal) {
            d.error_with_hint(key.span, "not a name for a pool", "write 1 to 32 letters, digits, `-`, `_` and `.`");
        }
        let Some((pool, span)) = pool(&value, d) else { continue };
        match &pool.source {
            PoolSource::Static(prefix) => statics.push((Spanned::new(*prefix, span), key.value.clone())),
            PoolSource::Delegated { from } => delegated.push((key.span, from.clone())),
        }
        pools.insert(key.value, pool);
    }
    apart(statics, d);
    let several = delegated.len() > 1;
    let mut seen = std::collections::HashSet::new();
    for (span, from) in delegated {
        if several && from.is_none() {
            let message = "with several delegated pools each must say which prefix it takes";
            d.error_with_hint(span, message, "add `from: \"PLUGIN\",` or `from: \"PLUGIN/KEY\",`");
        } else if !seen.insert(from) {
            d.error_with_hint(span, "another pool takes the same prefix", "write another `from`");
        }
    }
    pools
}

fn pool(value: &Value<'_>, d: &mut Diagnostics) -> Option<(Pool, Span)> {
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let delegated = f.take("delegated").and_then(|v| v.get::<bool>(d)).is_some_and(|v| v.value);
    let (prefix_value, from_value) = (f.take("prefix"), f.take("from"));
    let span = prefix_value.map_or_else(|| f.span(), |v| v.span());
    let source = if delegated {
        if let Some(value) = prefix_value {
            let message = "the prefix of a delegated pool comes from another plugin";
            d.error_with_hint(value.span(), message, "remove it, or `delegated: true`");
        }
        let from = from_value.and_then(|v| v.get::<String>(d)).map(|from| from.value);
        Some(PoolSource::Delegated { from })
    } else {
        if let Some(value) = from_value {
            let message = "from is for pools that another plugin fills";
            d.error_with_hint(value.span(), message, "remove it, or add `delegated: true,`");
        }
        if prefix_value.is_none() {
            let hint = "add `prefix: \"…\",`, or `delegated: true,` for one that another plugin tells";
            d.error_with_hint(f.span(), "field `prefix` is missing", hint);
        }
        prefix_value.and_then(|v| static_prefix(&v, d)).map(PoolSource::Static)
    };
    let unreachable = f.take("unreachable").and_then(|v| v.get::<bool>(d)).is_none_or(|v| v.value);
    let (preferred, valid) = (f.take("preferred_lifetime"), f.take("valid_lifetime"));
    for value in [preferred, valid].into_iter().flatten().filter(|_| delegated) {
        let message = "the lifetimes of a delegated pool come with its prefix";
        d.error_with_hint(value.span(), message, "remove it, or `delegated: true`");
    }
    let preferred = preferred.and_then(|v| read::lifetime(&v, d));
    let valid = valid.and_then(|v| read::lifetime(&v, d));
    fields.finish(d);
    let rank = |lifetime: Option<u32>| lifetime.unwrap_or(u32::MAX);
    if let Some(valid) = &valid
        && rank(valid.value) < 60
    {
        d.error_with_hint(valid.span, "valid_lifetime is too short to be renewed", "write at least \"1m\"");
    }
    if let (Some(preferred), Some(valid)) = (&preferred, &valid)
        && rank(preferred.value) > rank(valid.value)
    {
        let hint = "write a shorter preferred_lifetime or a longer valid_lifetime";
        d.error_with_hint(preferred.span, "preferred_lifetime is longer than valid_lifetime", hint);
    }
    let valid = valid.and_then(|valid| valid.value);
    let preferred = preferred.map_or(valid, |preferred| preferred.value);
    Some((Pool { source: source?, unreachable, preferred_lifetime: preferred, valid_lifetime: valid }, span))
}

fn static_prefix(value: &Value<'_>, d: &mut Diagnostics) -> Option<Prefix> {
    let found = read::prefix(value, d)?;
    let IpAddr::V6(address) = found.value.address else {
        d.error_with_hint(found.span, "pools are for IPv6", "write the IPv4 addresses among the `addresses`");
        return None;
    };
    if found.value.length > LONGEST {
        let message = format!("a /{} has no room for a network with hosts", found.value.length);
        d.error_with_hint(found.span, message, "write a prefix of /64 or shorter");
        return None;
    }
    if found.value.length < 3 || address.is_multicast() || address.is_unicast_link_local() {
        d.error(found.span, format!("{} cannot be given out to interfaces", found.value));
        return None;
    }
    Some(found.value)
}

/// Sorted by address a prefix overlaps another only if it overlaps one before it that reaches furthest.
fn apart(mut statics: Vec<(Spanned<Prefix>, String)>, d: &mut Diagnostics) {
    statics.sort_by_key(|(prefix, _)| prefix.value);
    let mut widest: Option<(Prefix, String)> = None;
    for (prefix, name) in statics {
        match &widest {
            Some((other, owner)) if other.contains(prefix.value) => {
                let message = format!("{} overlaps {other} of pool \"{owner}\"", prefix.value);
                d.error_with_hint(prefix.span, message, "write a prefix of its own");
            }
            _ => widest = Some((prefix.value, name)),
        }
    }
}

/// One entry of `subnets`.
pub(super) fn subnet(
    value: &Value<'_>,
    pools: &BTreeMap<String, Pool>,
    d: &mut Diagnostics,
) -> Option<Spanned<Subnet>> {
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let pool = f.require("pool", d).and_then(|v| v.get::<String>(d));
    let number = f.require("number", d).and_then(|v| read::within(&v, 0..=u64::MAX, "number", d));
    let host = f.take("host").and_then(|v| v.parse::<Ipv6Addr>(d, "host bits such as \"::1\""));
    let length_value = f.take("length");
    let length = length_value.and_then(|v| read::within(&v, 3..=127, "length", d));
    let dad = f.take("dad").and_then(|v| v.get::<bool>(d)).is_none_or(|v| v.value);
    fields.finish(d);
    if length_value.is_some() && length.is_none() {
        return None;
    }
    let (pool, number) = (pool?, number?);
    let bits = length.map_or(64, |length| length.value);
    let host = host.unwrap_or_else(|| Spanned::new(Ipv6Addr::LOCALHOST, value.span()));
    if u128::from(host.value).checked_shr(u32::from(128 - bits)).unwrap_or(0) != 0 || host.value.is_unspecified() {
        let message = format!("host {} does not fit behind a /{bits}", host.value);
        d.error_with_hint(host.span, message, "write host bits such as \"::1\"");
        return None;
    }
    let Some(found) = pools.get(&pool.value) else {
        let hint = did_you_mean(&pool.value, pools.keys().map(String::as_str))
            .map_or_else(|| "describe it under `pools`".to_owned(), |near| format!("did you mean \"{near}\"?"));
        // A pool with a mistake of its own is not missing.
        if !d.has_errors() || !pools.is_empty() {
            d.error_with_hint(pool.span, format!("there is no pool \"{}\"", pool.value), hint);
        }
        return None;
    };
    let subnet = Subnet { pool: pool.value, number: number.value, host: host.value, length: bits, dad };
    if let PoolSource::Static(prefix) = found.source
        && subnet.network(prefix).is_none()
    {
        match bits.checked_sub(prefix.length) {
            None => {
                let span = length.map_or_else(|| value.span(), |length| length.span);
                let message = format!("a /{bits} is larger than the pool {prefix}");
                d.error_with_hint(span, message, format!("write {} to 127", prefix.length));
            }
            Some(room) => {
                let last = 1_u64.checked_shl(u32::from(room)).map_or(u64::MAX, |count| count - 1);
                let message = format!("number {} is out of the pool {prefix}", number.value);
                d.error_with_hint(number.span, message, format!("write 0 to {last}"));
            }
        }
        return None;
    }
    Some(Spanned::new(subnet, number.span))
}

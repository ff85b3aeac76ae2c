//! Addresses as iptables takes them, as the plugin does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Family;

/// An address of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// Address, network, or value and mask.
    One(String),
    /// Every address.
    Any,
    /// A mask with gaps, which IPv4 has no way to write.
    Scattered,
}

/// `ADDRESS`, `ADDRESS/LENGTH`, `ADDRESS/MASK`. What lies outside of the mask is cut off.
pub(super) fn parse(text: &str, family: Family) -> Result<Parsed, String> {
    let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    match family {
        Family::Ipv4 => ipv4(address, mask),
        Family::Ipv6 => ipv6(address, mask),
    }
}

fn ipv4(text: &str, mask: Option<&str>) -> Result<Parsed, String> {
    let address = short(text)
        .ok_or_else(|| format!("`{text}` is no IPv4 address; write one such as 192.0.2.1, names are not looked up"))?;
    let mask = match mask.map(|mask| (mask, mask.parse::<u32>())) {
        None => u32::MAX,
        Some((_, Ok(length @ 0..=32))) => u32::MAX.checked_shl(32 - length).unwrap_or(0),
        Some((mask, _)) => mask
            .parse::<Ipv4Addr>()
            .map(u32::from)
            .map_err(|_| format!("`{mask}` is no netmask; write one such as 24 or 255.255.255.0"))?,
    };
    if mask.leading_ones() + mask.trailing_zeros() < 32 {
        return Ok(Parsed::Scattered);
    }
    let network = Ipv4Addr::from(u32::from(address) & mask);
    Ok(match mask.leading_ones() {
        0 => Parsed::Any,
        32 => Parsed::One(network.to_string()),
        length => Parsed::One(format!("{network}/{length}")),
    })
}

/// Also `10` and `192.168`, for 10.0.0.0 and 192.168.0.0.
fn short(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    for (octet, part) in octets.iter_mut().zip(parts) {
        if part.starts_with('+') {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    Some(Ipv4Addr::from(octets))
}

fn ipv6(text: &str, mask: Option<&str>) -> Result<Parsed, String> {
    let address: Ipv6Addr = text
        .parse()
        .map_err(|_| format!("`{text}` is no IPv6 address; write one such as 2001:db8::1, names are not looked up"))?;
    let mask = match mask.map(|mask| (mask, mask.parse::<u32>())) {
        None => u128::MAX,
        Some((_, Ok(length @ 0..=128))) => u128::MAX.checked_shl(128 - length).unwrap_or(0),
        Some((mask, _)) => mask
            .parse::<Ipv6Addr>()
            .map(u128::from)
            .map_err(|_| format!("`{mask}` is no netmask; write a number from 0 to 128 or a mask"))?,
    };
    let network = Ipv6Addr::from(u128::from(address) & mask);
    if mask != 0 && mask.leading_ones() + mask.trailing_zeros() < 128 {
        return Ok(Parsed::One(format!("{network}/{}", Ipv6Addr::from(mask))));
    }
    Ok(match mask.leading_ones() {
        0 => Parsed::Any,
        128 => Parsed::One(network.to_string()),
        length => Parsed::One(format!("{network}/{length}")),
    })
}

/// `FIRST-LAST` or an address alone.
pub(super) fn range(text: &str, family: Family) -> Result<String, String> {
    let one = |text: &str| -> Result<IpAddr, String> {
        let parsed = match family {
            Family::Ipv4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Family::Ipv6 => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        };
        parsed.ok_or_else(|| format!("`{text}` is no {} address; write one, names are not looked up", family.name()))
    };
    let Some((first, last)) = text.split_once('-') else { return Ok(one(text)?.to_string()) };
    let (first, last) = (one(first)?, one(last)?);
    if first > last {
        return Err(format!("`{text}` begins behind its end; write the smaller address first"));
    }
    Ok(if first == last { first.to_string() } else { format!("{first}-{last}") })
}

//! Addresses, masks and numbers as interfaces(5), ip(8) and route(8) write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_config::{Ipv4Prefix, Ipv6Prefix};

/// An address and a prefix length; host bits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Net {
    pub address: IpAddr,
    pub length: u8,
}

impl Net {
    /// One address alone.
    pub const fn host(address: IpAddr) -> Self {
        Self { address, length: bits(address) }
    }

    /// Without host bits.
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => Ipv4Prefix::containing(a, self.length).address().into(),
            IpAddr::V6(a) => Ipv6Prefix::containing(a, self.length).address().into(),
        };
        Self { address, ..self }
    }

    /// Whether `other` lies in the same network.
    pub fn contains(self, other: IpAddr) -> bool {
        bits(self.address) == bits(other)
            && Self { address: other, length: self.length }.network().address == self.network().address
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// 32 or 128.
pub(super) const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Every address of the same family.
pub(super) const fn default_of(family: IpAddr) -> Net {
    let address = if family.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    Net { address, length: 0 }
}

/// An address of the family, `v6` or not.
pub(super) fn address(text: &str, v6: bool) -> Result<IpAddr, String> {
    let parsed = text.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() == v6);
    parsed.ok_or_else(|| {
        let (family, example) = if v6 { ("IPv6", "2001:db8::1") } else { ("IPv4", "192.0.2.1") };
        format!("`{text}` is no {family} address; write one such as {example}")
    })
}

/// A prefix length: a number, or for IPv4 a mask such as 255.255.255.0, for IPv6 one such as ffff:ffff::.
pub(super) fn length(text: &str, v6: bool) -> Result<u8, String> {
    let max = if v6 { 128 } else { 32 };
    let number = text.parse::<u8>().ok().filter(|length| *length <= max);
    let mask = || match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(mask) if !v6 => ones(u128::from(u32::from(mask)) << 96),
        IpAddr::V6(mask) if v6 => ones(mask.into()),
        _ => None,
    };
    number.or_else(mask).ok_or_else(|| {
        let example = if v6 { "64" } else { "24 or 255.255.255.0" };
        format!("`{text}` is no netmask; write one such as {example}")
    })
}

/// How many leading ones `mask` has, if nothing but zeros follows.
fn ones(mask: u128) -> Option<u8> {
    let ones = mask.leading_ones();
    (ones + mask.trailing_zeros() >= 128).then(|| u8::try_from(ones).unwrap_or(128))
}

/// `ADDRESS/LENGTH`; the length is `None` if there is none.
pub(super) fn address_and_length(text: &str, v6: bool) -> Result<(IpAddr, Option<u8>), String> {
    match text.split_once('/') {
        Some((a, l)) => Ok((address(a, v6)?, Some(length(l, v6)?))),
        None => Ok((address(text, v6)?, None)),
    }
}

/// The length that an address without one had in the time of classes, and that ifupdown still assumes.
pub(super) fn assumed_length(address: IpAddr) -> u8 {
    match address {
        IpAddr::V6(_) => 64,
        IpAddr::V4(a) => match a.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        },
    }
}

/// A destination as ip(8) reads it: `default`, `10/8`, `192.0.2.1`, `2001:db8::/32`. `v6` is the family if it is known.
pub(super) fn destination(text: &str, v6: Option<bool>) -> Option<Net> {
    if matches!(text, "default" | "any" | "all") {
        return Some(default_of(if v6? { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }));
    }
    let (start, length) = text.split_once('/').map_or((text, None), |(start, length)| (start, Some(length)));
    let full = start.parse::<IpAddr>().ok().or_else(|| {
        let missing = 4_usize.checked_sub(start.split('.').count())?;
        length.and(format!("{start}{}", ".0".repeat(missing)).parse().ok())
    })?;
    if v6.is_some_and(|v6| v6 != full.is_ipv6()) {
        return None;
    }
    let length = match length {
        Some(text) => self::length(text, full.is_ipv6()).ok()?,
        None => bits(full),
    };
    Some(Net { address: full, length }.network())
}

/// Seconds; `None` for ever.
pub(super) fn lifetime(text: &str) -> Option<Option<u32>> {
    if matches!(text, "forever" | "infinity") { Some(None) } else { text.parse().ok().map(Some) }
}

/// A MAC address in lower case with colons; the word `ether` before it does not count.
pub(super) fn mac(text: &str) -> Option<String> {
    let text = text.strip_prefix("ether").unwrap_or(text).trim();
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let bytes: Vec<u8> = parts.iter().filter_map(|part| u8::from_str_radix(part, 16).ok()).collect();
    let legal = bytes.len() == 6 && parts.len() == 6 && parts.iter().all(|part| part.len() <= 2);
    legal.then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// Whether `name` can be that of an interface.
pub(super) fn is_interface_name(name: &str) -> bool {
    let legal = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | ':' | '*' | '"');
    (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_numbers_or_dotted_and_have_no_holes() {
        assert_eq!(length("255.255.255.0", false), Ok(24));
        assert_eq!(length("0.0.0.0", false), Ok(0));
        assert_eq!(length("ffff:ffff:ffff:ffff::", true), Ok(64));
        assert_eq!(length("127", true), Ok(127));
        assert!(length("255.0.255.0", false).is_err());
        assert!(length("33", false).is_err());
    }

    #[test]
    fn destinations_may_be_short() {
        let text = |text: &str, v6| destination(text, v6).map(|net| net.to_string());
        assert_eq!(text("10/8", None), Some("10.0.0.0/8".into()));
        assert_eq!(text("default", Some(true)), Some("::/0".into()));
        assert_eq!(text("2001:db8::1", None), Some("2001:db8::1/128".into()));
        assert_eq!(text("10.0.0.0/8", Some(true)), None);
        assert_eq!(text("lan", None), None);
    }

    #[test]
    fn mac_addresses_have_six_bytes() {
        assert_eq!(mac("ether 02:0:5E:10:00:1"), Some("02:00:5e:10:00:01".into()));
        assert_eq!(mac("random"), None);
        assert_eq!(mac("02:00:5e:10:00"), None);
    }
}

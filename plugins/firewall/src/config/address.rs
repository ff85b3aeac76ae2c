//! Addresses, prefixes, ranges, ports, names of interfaces: one text each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_config::Pattern;

use super::{Family, Interface, IpRange, words};

/// Why a text is not what was asked for: a message and what to write.
pub(super) type Mistake = (String, String);

const EXPECTED: &str = "expected an address, a prefix or a range, such as \"192.0.2.0/24\" or \"2001:db8::1\"";

/// An IPv6 address of hexadecimal digits and colons: most are, and large sections are made of them. `None` for all else,
/// also for what is none.
pub(super) fn plain_v6(text: &str) -> Option<Ipv6Addr> {
    const GROUPS: usize = 8;
    let mut groups = [0u16; GROUPS];
    // Groups so far, digits of the one that is read and its value, and how many stand before "::".
    let (mut count, mut digits, mut group) = (0, 0, 0u16);
    let mut gap = None;
    let mut rest = text.as_bytes();
    if let Some(behind) = rest.strip_prefix(b"::") {
        (gap, rest) = (Some(0), behind);
    }
    let mut bytes = rest.iter();
    while let Some(byte) = bytes.next() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b':' if digits > 0 => {
                *groups.get_mut(count)? = group;
                (count, digits, group) = (count + 1, 0, 0);
                if bytes.as_slice().first() == Some(&b':') {
                    if gap.replace(count).is_some() {
                        return None;
                    }
                    bytes.next();
                } else if bytes.as_slice().is_empty() {
                    return None;
                }
                continue;
            }
            _ => return None,
        };
        if digits == 4 {
            return None;
        }
        (digits, group) = (digits + 1, group << 4 | u16::from(digit));
    }
    if digits > 0 {
        *groups.get_mut(count)? = group;
        count += 1;
    }
    match gap {
        // "::" stands for one group at least.
        Some(gap) if count < GROUPS => {
            groups.get_mut(gap..)?.rotate_right(GROUPS - count);
        }
        None if count == GROUPS => {}
        _ => return None,
    }
    Some(Ipv6Addr::from(groups))
}

/// An address, a prefix or a range `first-last`.
pub(super) fn range(text: &str) -> Result<IpRange, Mistake> {
    if let Some(address) = plain_v6(text) {
        return Ok(IpRange::V6(address, address));
    }
    // Files of sets have many: each is parsed as one family only.
    let address = if text.contains(':') { text.parse().map(IpAddr::V6) } else { text.parse().map(IpAddr::V4) };
    if let Ok(address) = address {
        return Ok(IpRange::host(address));
    }
    if let Some((address, length)) = text.split_once('/') {
        return prefix(address, length).map(|(_, _, range)| range);
    }
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>())
    {
        let range = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => IpRange::V4(first, last),
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => IpRange::V6(first, last),
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                return Err(("the range ends before it begins".to_owned(), format!("write \"{last}-{first}\"")));
            }
            _ => return Err(("the ends of the range are of two families".to_owned(), "write two ranges".to_owned())),
        };
        return Ok(range);
    }
    Err((format!("\"{}\" is not an address", shown(text)), EXPECTED.to_owned()))
}

/// A prefix from its two sides: its address, its length, its addresses.
pub(super) fn prefix(address: &str, length: &str) -> Result<(IpAddr, u8, IpRange), Mistake> {
    let wrong = || (format!("\"{}/{}\" is not a prefix", shown(address), shown(length)), EXPECTED.to_owned());
    let base = address.parse::<IpAddr>().map_err(|_| wrong())?;
    if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
        if let (IpAddr::V4(_), Ok(mask)) = (base, length.parse::<Ipv4Addr>()) {
            let bits = u32::from(mask).leading_ones();
            if u32::from(mask).count_ones() == bits {
                let message = "a prefix is written with its length, not with a mask".to_owned();
                return Err((message, format!("write \"{base}/{bits}\"")));
            }
        }
        return Err(wrong());
    }
    let bits: u8 = if base.is_ipv4() { 32 } else { 128 };
    let Some(length) = length.parse::<u8>().ok().filter(|length| *length <= bits) else {
        return Err((format!("the length of the prefix is more than {bits}"), format!("write 0 to {bits}")));
    };
    let (meant, range) = match base {
        IpAddr::V4(base) => {
            let hosts = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            let first = u32::from(base) & !hosts;
            (first == u32::from(base), IpRange::V4(first.into(), (first | hosts).into()))
        }
        IpAddr::V6(base) => {
            let hosts = u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let first = u128::from(base) & !hosts;
            (first == u128::from(base), IpRange::V6(first.into(), (first | hosts).into()))
        }
    };
    if !meant {
        let first = match range {
            IpRange::V4(first, _) => IpAddr::V4(first),
            IpRange::V6(first, _) => IpAddr::V6(first),
        };
        let hint = format!("write \"{first}/{length}\" for the network, or \"{base}\" for the one address");
        return Err(("bits behind the length of the prefix are set".to_owned(), hint));
    }
    Ok((base, length, range))
}

/// `value/mask` of IPv6, if the mask is an address.
pub(super) fn masked(text: &str) -> Option<Result<(Ipv6Addr, Ipv6Addr), Mistake>> {
    let (value, mask) = text.split_once('/')?;
    if !mask.contains(':') {
        return None;
    }
    let (Ok(value), Ok(mask)) = (value.parse::<Ipv6Addr>(), mask.parse::<Ipv6Addr>()) else {
        let hint = "expected bits and a mask of IPv6, such as \"::1234/::ffff:ffff:ffff:ffff\"".to_owned();
        return Some(Err((format!("\"{}\" is not an address and a mask", shown(text)), hint)));
    };
    let (bits, mask_bits) = (u128::from(value), u128::from(mask));
    if bits & !mask_bits != 0 {
        let hint = format!("write \"{}/{mask}\"", Ipv6Addr::from(bits & mask_bits));
        return Some(Err(("the address has bits that its mask leaves out".to_owned(), hint)));
    }
    Some(Ok((value, mask)))
}

/// A port, a name of one, or a range.
pub(super) fn ports(text: &str) -> Result<(u16, u16), Mistake> {
    if let Ok(port) = number(text) {
        return Ok((port, port));
    }
    if let Some((_, port)) = words::PORTS.iter().find(|(name, _)| *name == text) {
        return Ok((*port, *port));
    }
    let wrong = |text: &str| format!("\"{}\" is not a port", shown(text));
    for separator in ['-', ':'] {
        let ends = text.split_once(separator).map(|(first, last)| (number(first.trim()), number(last.trim())));
        match ends {
            Some((Ok(first), Ok(last))) if first > last => {
                return Err(("the range ends before it begins".to_owned(), format!("write \"{last}-{first}\"")));
            }
            Some((Ok(first), Ok(last))) if separator == ':' => {
                return Err((wrong(text), format!("write a range as \"{first}-{last}\"")));
            }
            Some((Ok(first), Ok(last))) => return Ok((first, last)),
            _ => {}
        }
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return Err(("ports end at 65535".to_owned(), "write 0 to 65535".to_owned()));
    }
    let names = words::PORTS.iter().map(|(name, _)| *name);
    let hint =
        near(text, names).unwrap_or_else(|| "expected a port such as \"22\", \"1000-2000\" or \"ssh\"".to_owned());
    Err((wrong(text), hint))
}

fn number(text: &str) -> Result<u16, ()> {
    // No signs, no blanks.
    let mut number = 0u16;
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        let next = number.checked_mul(10).and_then(|tens| tens.checked_add(digit.into()));
        number = next.filter(|_| digit < 10).ok_or(())?;
    }
    if text.is_empty() { Err(()) } else { Ok(number) }
}

/// A hint with the name that was probably meant.
pub(super) fn near<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    if text.len() > 64 {
        return None;
    }
    portreeve_config::did_you_mean(text, names).map(|near| format!("did you mean \"{near}\"?"))
}

/// The name of an interface; an asterisk at the end makes it the beginning of names.
pub(super) fn interface(text: &str) -> Result<Interface, Mistake> {
    let hint = || "expected a name such as \"wan0\", or the beginning of names such as \"ppp*\"".to_owned();
    Pattern::check(text).map_err(|error| (error.to_string(), hint()))?;
    let (name, prefix) = match text.strip_suffix('*') {
        Some(name) => (name, true),
        None => (text, false),
    };
    if name.contains('*') {
        return Err(("an asterisk may only stand at the end".to_owned(), hint()));
    }
    if name.is_empty() {
        return Err((
            "this would be every interface".to_owned(),
            "write at least one letter before the asterisk".to_owned(),
        ));
    }
    Ok(Interface { name: name.to_owned(), prefix })
}

/// The hardware address `02:00:00:00:00:01`.
pub(super) fn mac(text: &str) -> Result<[u8; 6], Mistake> {
    let mut octets = [0; 6];
    let mut parts = text.split([':', '-']);
    let mut legal = true;
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
        match part.and_then(|part| u8::from_str_radix(part, 16).ok()) {
            Some(found) => *octet = found,
            None => legal = false,
        }
    }
    if !legal || parts.next().is_some() {
        let hint = "expected six pairs of digits, such as \"02:00:00:00:00:01\"".to_owned();
        return Err((format!("\"{}\" is not a hardware address", shown(text)), hint));
    }
    Ok(octets)
}

/// The family of the address, for messages.
pub(super) const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// The beginning of a text, for messages.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            ":",
            ":::",
            "1:",
            ":1",
            "1::2::3",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8::",
            "00001::",
            "::1.2.3.4",
            "g::",
        ] {
            assert_eq!(plain_v6(text), None, "{text}");
        }
        for text in ["::", "::1", "1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "AbCd::0:0"] {
            assert_eq!(plain_v6(text), text.parse().ok(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn addresses_are_what_the_standard_library_reads(pieces in prop::collection::vec("::|:|[0-9a-fA-F]{1,5}", 0..18)) {
            let text = pieces.concat();
            prop_assert_eq!(plain_v6(&text), text.parse::<Ipv6Addr>().ok(), "{}", text);
        }

        #[test]
        fn written_addresses_are_read(bits: u128, mask: u128) {
            let address = Ipv6Addr::from(bits & mask);
            let text = address.to_string();
            prop_assert_eq!(plain_v6(&text), Some(address).filter(|_| !text.contains('.')));
        }

        #[test]
        fn numbers_are_what_the_standard_library_reads(text in "[0-9]{0,7}|[-+0-9a: ]{0,3}|0{0,40}[0-9]{1,5}") {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            prop_assert_eq!(number(&text).ok(), text.parse::<u16>().ok().filter(|_| digits));
        }
    }
}

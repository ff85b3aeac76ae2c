//! Addresses of the WIT package to those of `std` and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bindings::portreeve::plugin::types::{IpAddress, Ipv6Address};

/// A WIT IPv6 address as `std`'s.
#[must_use]
pub const fn ipv6(address: Ipv6Address) -> Ipv6Addr {
    let (a, b, c, d, e, f, g, h) = address;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// A `std` IPv6 address for WIT.
#[must_use]
pub const fn ipv6_address(address: Ipv6Addr) -> Ipv6Address {
    let [a, b, c, d, e, f, g, h] = address.segments();
    (a, b, c, d, e, f, g, h)
}

/// A WIT address as `std`'s.
#[must_use]
pub fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6(a) => ipv6(a).into(),
    }
}

/// A `std` address for WIT.
#[must_use]
pub fn ip_address(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            IpAddress::Ipv4((a, b, c, d))
        }
        IpAddr::V6(a) => IpAddress::Ipv6(ipv6_address(a)),
    }
}

//! `types`: values of the WIT package to ours and back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::State;
use super::bindings::portreeve::plugin::types::{self, ErrorCode};

impl types::Host for State {}

/// The closed set's member for an errno.
pub fn error_code(error: &io::Error) -> ErrorCode {
    match error.raw_os_error() {
        Some(libc::EINVAL) => ErrorCode::InvalidArgument,
        Some(libc::ENOENT | libc::ESRCH) => ErrorCode::NotFound,
        Some(libc::EEXIST | libc::EADDRINUSE) => ErrorCode::Exists,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => ErrorCode::Limit,
        Some(libc::ENODEV | libc::ENETDOWN | libc::ENXIO) => ErrorCode::Gone,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => ErrorCode::Unreachable,
        Some(libc::EMSGSIZE) => ErrorCode::TooBig,
        Some(libc::ENOBUFS | libc::EAGAIN) => ErrorCode::QueueFull,
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT) => ErrorCode::NotSupported,
        _ => ErrorCode::Other,
    }
}

pub fn ipv4_in((a, b, c, d): types::Ipv4Address) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

pub fn ipv4_out(address: Ipv4Addr) -> types::Ipv4Address {
    let [a, b, c, d] = address.octets();
    (a, b, c, d)
}

pub fn ipv6_in(address: types::Ipv6Address) -> Ipv6Addr {
    let (a, b, c, d, e, f, g, h) = address;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

pub fn ipv6_out(address: Ipv6Addr) -> types::Ipv6Address {
    let [a, b, c, d, e, f, g, h] = address.segments();
    (a, b, c, d, e, f, g, h)
}

pub fn ip_in(address: types::IpAddress) -> IpAddr {
    match address {
        types::IpAddress::Ipv4(a) => ipv4_in(a).into(),
        types::IpAddress::Ipv6(a) => ipv6_in(a).into(),
    }
}

pub fn ip_out(address: IpAddr) -> types::IpAddress {
    match address {
        IpAddr::V4(a) => types::IpAddress::Ipv4(ipv4_out(a)),
        IpAddr::V6(a) => types::IpAddress::Ipv6(ipv6_out(a)),
    }
}

pub fn prefix_out(prefix: (IpAddr, u8)) -> types::IpPrefix {
    types::IpPrefix { address: ip_out(prefix.0), length: prefix.1 }
}

pub fn prefix_in(prefix: types::IpPrefix) -> (IpAddr, u8) {
    (ip_in(prefix.address), prefix.length)
}

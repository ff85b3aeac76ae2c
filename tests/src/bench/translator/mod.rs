//! What `bench-translator` is made of: the paths that are compared ([`path`]) and what is sent over them: few large
//! datagrams and many small ones ([`udp`]), very many flows ([`flows`], heard by the [`responder`]), questions for names
//! ([`asker`], and the [`authority`] for them). [`measured`] holds the rounds of a path and prints them.
//!
//! Each path is a client with IPv6 only, a router and a server in namespaces of their own, joined by veth; the server has
//! IPv4, and IPv6 for the path that only forwards.

pub mod asker;
pub mod authority;
pub mod flows;
pub mod measured;
pub mod path;
pub mod responder;
pub mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::figure;

/// The server.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
/// The server as it is called where nothing is translated.
pub const SERVER_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x80);
/// Where the server answers questions for names.
pub const AUTHORITY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
/// The router, for the client.
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 1);
/// IPv4 as hosts with IPv6 only see it: a /96 (RFC 6052) of the site's own, which may hold any IPv4 address.
pub const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0);
/// The /48 of the made-up hosts behind the client, see [`flows`].
pub const HOSTS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf000, 0, 0, 0, 0, 0);

/// An IPv4 address below [`PREFIX`].
#[must_use]
pub fn embedded(address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(PREFIX) | u128::from(u32::from(address)))
}

/// Prints a figure of the translator.
pub fn print(name: &str, value: f64, unit: &str) {
    figure(&format!("translator.{name}"), value, unit);
}

/// Both names of the server: what it listens on, and what the client calls it.
#[must_use]
pub fn server(translated: bool) -> (IpAddr, IpAddr) {
    if translated { (SERVER.into(), embedded(SERVER).into()) } else { (SERVER_IPV6.into(), SERVER_IPV6.into()) }
}

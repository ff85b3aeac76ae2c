//! The link between the tunnel's ends: addresses there are the far end's as much as ours.

use crate::support::*;
use portreeve_tunnels::sixin4::{DataPath, Prefix, Settings};
use std::net::Ipv6Addr;

#[test]
fn the_far_end_may_ask_from_its_link_local_address_whether_we_are_there() {
    let inner = udp("fe80::1".parse().unwrap(), TUNNEL, b"x");
    assert_eq!(decapsulate(&mut data_path(), &wire(&inner))[0].1, inner);
}

#[test]
fn the_tunnels_own_network_within_our_prefix_is_the_far_ends_too() {
    let far: Ipv6Addr = "2001:db8:60:f::1".parse().unwrap();
    let inner = udp(far, HOST, b"x");
    assert!(decapsulate(&mut data_path(), &wire(&inner)).is_empty());
    let transport = vec![Prefix::new(far, 64).unwrap()];
    let mut path = DataPath::new(Settings { transport, ..settings() });
    assert_eq!(decapsulate(&mut path, &wire(&inner)).len(), 1);
    assert_eq!(encapsulate(&mut path, &tun(&udp(HOST, far, b"x"))).0.len(), 1);
    assert!(decapsulate(&mut path, &wire(&udp(HOST, HOST, b"x"))).is_empty());
}

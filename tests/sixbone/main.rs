//! The gateway of 2006: a provider with IPv4 only and a tunnel server, and one router.ron that makes a box an IPv6 router
//! for two LANs. Nothing is typed in the router's namespace but the name of that file.
//!
//! ```text
//! server -- 2001:db8:ffff::/64 -- provider ==6in4== router -- lan0 2001:db8:60:1::/64 -- first host
//!                                     192.0.2.0/28         `- lan1 2001:db8:60:2::/64 -- second host
//! ```
//!
//! The provider's end is a second Portreeve. Whether the kernel or the plugin moves the packets is left to the kernel at
//! hand, and asserted from what it can do. `changes.rs` is about ends that stop and addresses that change, `nat.rs` about
//! a router behind a NAT; `site.rs` lays all of it out.

mod changes;
mod nat;
mod site;

use std::net::Ipv6Addr;

use portreeve_tests::lab::{Result, Server, ensure};

use site::{Internet, PLAIN, TRANSPORT, router_ron};

const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
const MIB: u64 = 1024 * 1024;
/// What the MTU of the tunnel, 1480, leaves for TCP behind the header of IPv6, without options.
const LARGEST_SEGMENT: u32 = 1480 - 40 - 20;

#[test]
fn hosts_of_two_lans_get_addresses_and_fetch_100_mib_from_behind_the_tunnel() -> Result {
    let mut internet = Internet::new(&router_ron(PLAIN))?;
    internet.hosts_are_connected()?;
    let server = Server::start(&internet.server, SERVER, 2, 100 * MIB)?;
    for host in &internet.hosts {
        let fetched = server.fetch(host)?;
        ensure(fetched.bytes == 100 * MIB, || format!("{fetched:?}"))?;
        // Both ends have an MTU of 1500 and have not heard of the tunnel's: the SYN was clamped.
        ensure(fetched.mss <= LARGEST_SEGMENT, || format!("segments do not fit into the tunnel: {fetched:?}"))?;
    }
    let tunnel = internet.tunnel()?;
    ensure(tunnel.path == internet.expected_path()?, || format!("{tunnel:?}"))?;
    ensure(tunnel.state == "up", || format!("{tunnel:?}"))
}

#[test]
fn large_packets_pass_and_too_large_ones_are_told_the_mtu() -> Result {
    let mut internet = Internet::new(&router_ron(PLAIN))?;
    internet.hosts_are_connected()?;
    let host = &internet.hosts[0];
    host.run(&format!("ping -6 -n -c 3 -i 0.1 -W 5 -M do -s 1400 {SERVER}"))?;
    // 1500 bytes with both headers: the router says what the tunnel takes, and the host cuts the next one.
    let said = host.output(&format!("ping -6 -n -c 1 -W 5 -M do -s 1452 {SERVER}")).unwrap_err().to_string();
    ensure(said.contains("Packet too big: mtu=1480"), || said)?;
    host.run(&format!("ping -6 -n -c 3 -i 0.1 -W 5 -s 1452 {SERVER}"))?;
    let route = host.output(&format!("ip -6 route get {SERVER}"))?;
    ensure(route.contains("mtu 1480"), || route)?;
    // The same from the other side, where the provider's end says it.
    let host = host.autoconfigured("eth0", site::SUBNETS[0]).map(|a| a.address.to_string()).unwrap_or_default();
    internet.server.run("ip -6 route flush cache")?;
    let said = internet.server.output(&format!("ping -6 -n -c 1 -W 5 -M do -s 1452 {host}")).unwrap_err().to_string();
    ensure(said.contains("mtu=1480") || said.contains("mtu: 1480"), || said)?;
    internet.server.run(&format!("ping -6 -n -c 3 -i 0.1 -W 5 -s 1452 {host}"))
}

#[test]
fn addresses_of_the_pool_that_no_lan_has_are_unreachable_instead_of_looping() -> Result {
    let mut internet = Internet::new(&router_ron(PLAIN))?;
    internet.hosts_are_connected()?;
    for netns in [&internet.server, &internet.hosts[0]] {
        let said = netns.output("ping -6 -n -c 2 -i 0.2 -W 5 2001:db8:60:f::1").unwrap_err().to_string();
        ensure(said.contains("Destination unreachable") && !said.contains("Time exceeded"), || said)?;
    }
    let routes = internet.router.output("ip -6 route show type unreachable")?;
    ensure(routes.contains("2001:db8:60::/60"), || routes)
}

#[test]
fn our_own_prefix_is_not_believed_of_the_other_end() -> Result {
    // Counting by reason belongs to the userspace path; where the kernel has sit, it is asked for.
    let userspace = PLAIN.replace("local:", "path: Userspace, local:");
    let mut internet = Internet::new(&router_ron(&userspace))?;
    internet.hosts_are_connected()?;
    let host = internet.hosts[0].autoconfigured("eth0", site::SUBNETS[0]).map(|a| a.address).unwrap_or(SERVER);
    internet.server.run("ip addr add 2001:db8:60:e::1/128 dev eth0 nodad")?;
    let said = internet.server.output(&format!("ping -6 -n -c 1 -W 1 -I 2001:db8:60:e::1 {host}")).unwrap_err();
    ensure(said.to_string().contains("100% packet loss"), || said.to_string())?;
    let rows = internet.core.table("tunnels", "packets of userspace paths")?;
    let others = rows.first().and_then(|row| row["others"].as_str()).unwrap_or_default().to_owned();
    ensure(others.contains("own_prefix") || others.contains("spoof") || others.contains("source"), || others)?;
    internet.server.run(&format!("ping -6 -n -c 1 -W 5 -I {SERVER} {host}"))?;
    internet.router.run(&format!("ping -6 -n -c 1 -W 5 {TRANSPORT}"))
}

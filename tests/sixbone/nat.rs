//! A router with a private address, behind a box that forwards protocol 41 to it.

use portreeve_tests::lab::{Lab, Netns, Result, ensure, veth};

use super::site::{Internet, router_ron_at};

/// The box: 192.0.2.2 outside, 192.168.0.1 inside.
fn nat(lab: &mut Lab, provider: &Netns, router: &Netns) -> Result {
    let nat = lab.netns("nat")?;
    veth((provider, "down0", "02:00:5e:10:00:01"), (&nat, "out0", "02:00:5e:10:00:02"))?;
    veth((&nat, "in0", "02:00:5e:10:00:03"), (router, "wan0", "02:00:5e:10:00:04"))?;
    nat.run("ip addr add 192.0.2.2/28 dev out0")?;
    nat.run("ip addr add 192.168.0.1/24 dev in0")?;
    nat.sysctl("net.ipv4.ip_forward", "1")?;
    for line in [
        "add table ip nat",
        "add chain ip nat pre { type nat hook prerouting priority -100; }",
        "add chain ip nat post { type nat hook postrouting priority 100; }",
        "add rule ip nat pre iifname out0 ip protocol 41 dnat to 192.168.0.2",
        "add rule ip nat post oifname out0 masquerade",
    ] {
        nat.run(&format!("nft {line}"))?;
    }
    Ok(())
}

#[test]
fn behind_a_nat_the_private_address_is_the_local_end() -> Result {
    let tunnel = r#"kind: SixInFour(remote: "192.0.2.1", local: Address("192.168.0.2"))"#;
    let mut internet = Internet::with(&router_ron_at("192.168.0.2/24", tunnel), nat)?;
    internet.hosts_are_connected()?;
    let tunnel = internet.tunnel()?;
    ensure(tunnel.local == "192.168.0.2", || format!("{tunnel:?}"))
}

#[test]
fn without_a_local_address_the_kernel_chooses_it() -> Result {
    let tunnel = r#"kind: SixInFour(remote: "192.0.2.1")"#;
    let mut internet = Internet::with(&router_ron_at("192.168.0.2/24", tunnel), nat)?;
    internet.hosts_are_connected()
}

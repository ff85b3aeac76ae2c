//! Links to be made and settings to be set and put back; neighbours, rules, tables.

use portreeve_tests::lab::{Result, ensure};

use super::{Scene, interfaces};

#[test]
fn a_bridge_takes_its_ports_and_lets_them_go() -> Result {
    let with = |ports: &str| {
        interfaces(&format!(
            r#"interfaces: {{"br0": (kind: Bridge(ports: [{ports}]), addresses: ["10.5.0.1/24"]), "lan0": ()}}"#
        ))
    };
    let mut scene = Scene::new(&with(r#""lan0", "port*""#))?;
    scene.start(&["interfaces"])?;
    scene.wait_output("ip -o link show master br0", |text| text.contains("lan0"))?;
    scene.router.run("ip link add port7 type veth peer name far7")?;
    scene.wait_output("ip -o link show master br0", |text| text.contains("port7"))?;
    scene.wait_output("ip -o addr show dev br0", |text| text.contains("10.5.0.1/24"))?;
    scene.router.run("ip link add hand0 type veth peer name hand1")?;
    scene.router.run("ip link set hand0 master br0")?;
    scene.reconfigure(&with(r#""port*""#))?;
    let text = scene.wait_output("ip -o link show master br0", |text| !text.contains("lan0"))?;
    ensure(text.contains("port7") && text.contains("hand0"), || text)?;
    scene.reconfigure(&interfaces(r#"interfaces: {"lan0": ()}"#))?;
    scene.wait_output("ip -o link show", |text| !text.contains(" br0"))?;
    scene.router.run("ip link show port7")
}

#[test]
fn macvlans_and_pairs_are_made_and_removed() -> Result {
    let config = interfaces(
        r#"interfaces: {
            "mac0": (kind: Macvlan(parent: "lan0", mode: Bridge), mac: "02:00:5e:10:05:01", addresses: ["10.6.0.1/24"]),
            "in0": (kind: Veth(peer: "out0"), addresses: ["10.7.0.1/24"]),
            "out0": (addresses: ["10.7.0.2/24"]),
        }"#,
    );
    let mut scene = Scene::new(&config)?;
    scene.start(&["interfaces"])?;
    let text = scene.wait_output("ip -d -o link show mac0", |text| text.contains("macvlan mode bridge"))?;
    ensure(text.contains("02:00:5e:10:05:01"), || text)?;
    for (name, address) in [("mac0", "10.6.0.1/24"), ("in0", "10.7.0.1/24"), ("out0", "10.7.0.2/24")] {
        scene.wait_output(&format!("ip -o addr show dev {name} up"), |text| text.contains(address))?;
    }
    scene.reconfigure(&interfaces(r#"interfaces: {"lan0": ()}"#))?;
    scene
        .wait_output("ip -o link show", |text| !["mac0", "in0", "out0"].iter().any(|name| text.contains(name)))
        .map(drop)
}

#[test]
fn mtu_mac_and_parameters_are_put_back() -> Result {
    let plain = interfaces(r#"interfaces: {"lan0": (), "wan0": ()}"#);
    let set = interfaces(
        r#"forwarding: (ipv4: true), sysctls: {"ipv4.tcp_ecn": "1"}, interfaces: {"wan0": (), "lan0": (mtu: 1400,
            mac: "02:00:5e:10:00:aa", rp_filter: Loose, accept_ra: Off, privacy: Preferred, forwarding: (ipv6: true),
            sysctls: {"ipv4.arp_ignore": "1"})}"#,
    );
    let mut scene = Scene::new(&plain)?;
    scene.start(&["interfaces"])?;
    let parameters = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/tcp_ecn", "1"),
        ("ipv4/conf/lan0/rp_filter", "2"),
        ("ipv4/conf/lan0/arp_ignore", "1"),
        ("ipv6/conf/lan0/accept_ra", "0"),
        ("ipv6/conf/lan0/use_tempaddr", "2"),
        ("ipv6/conf/lan0/forwarding", "1"),
    ];
    let mut before = Vec::new();
    for (name, _) in parameters {
        before.push(scene.router.output(&format!("cat /proc/sys/net/{name}"))?);
    }
    scene.reconfigure(&set)?;
    scene.wait_output("ip link show lan0", |text| text.contains("mtu 1400") && text.contains("02:00:5e:10:00:aa"))?;
    for (name, value) in parameters {
        scene.wait_output(&format!("cat /proc/sys/net/{name}"), |text| text.trim() == value)?;
    }
    scene.reconfigure(&plain)?;
    scene.wait_output("ip link show lan0", |text| text.contains("mtu 1500") && text.contains("02:00:5e:10:00:01"))?;
    for ((name, _), value) in parameters.iter().zip(before) {
        scene.wait_output(&format!("cat /proc/sys/net/{name}"), |text| text == value)?;
    }
    Ok(())
}

#[test]
fn neighbours_rules_tables_and_unreachable_routes_come_and_go() -> Result {
    let full = interfaces(
        r#"interfaces: {"lan0": (addresses: ["10.1.0.1/24", "2001:db8:1::1/64"],
            neighbours: [(address: "10.1.0.9", mac: "02:00:5e:10:00:09"), (address: "2001:db8:1::9", mac: "02:00:5e:10:00:09")],
            proxy: ["2001:db8:1::5"], routes: [(to: "0.0.0.0/0", via: "10.1.0.9", table: 77)])},
        routes: [(to: "2001:db8:dead::/48", kind: Unreachable), (to: "10.99.0.0/16", kind: Blackhole)],
        rules: [(priority: 700, from: "10.1.0.0/24", table: 77), (priority: 701, family: Ipv6, incoming: "lan0", mark: "0x1/0xff", table: 78),
            (priority: 702, to: "10.66.0.0/16", action: Unreachable)]"#,
    );
    let mut scene = Scene::new(&full)?;
    scene.start(&["interfaces"])?;
    let there = [
        ("ip neigh show nud permanent", "10.1.0.9 dev lan0 lladdr 02:00:5e:10:00:09"),
        ("ip -6 neigh show nud permanent", "2001:db8:1::9 dev lan0 lladdr 02:00:5e:10:00:09"),
        ("ip -6 neigh show proxy", "2001:db8:1::5 dev lan0"),
        ("ip route show table 77", "default via 10.1.0.9 dev lan0"),
        ("ip -6 route show type unreachable", "2001:db8:dead::/48"),
        ("ip route show type blackhole", "10.99.0.0/16"),
        ("ip rule show", "700:	from 10.1.0.0/24 lookup 77"),
        ("ip -6 rule show", "701:	from all fwmark 0x1/0xff iif lan0 lookup 78"),
        ("ip rule show", "702:	from all to 10.66.0.0/16 unreachable"),
    ];
    for (line, part) in there {
        scene.wait_output(line, |text| text.contains(part))?;
    }
    scene.reconfigure(&interfaces(r#"interfaces: {"lan0": ()}"#))?;
    for (line, part) in there {
        let router = scene.router.clone();
        // A table that is empty is an error to `ip`.
        scene.core().wait_until(&format!("the end of {part}"), super::WITHIN, || {
            (!router.output(line).is_ok_and(|text| text.contains(part))).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn a_kind_that_the_kernel_lacks_is_named_with_its_module() -> Result {
    let kinds = [
        ("vlan5", r#"kind: Vlan(parent: "lan0", id: 5)"#, "8021q"),
        ("bond0", r#"kind: Bond(mode: ActiveBackup, members: ["wan0"])"#, "bonding"),
    ];
    let mut scene = Scene::new(&interfaces(r#"interfaces: {"lan0": ()}"#))?;
    scene.start(&["interfaces"])?;
    for (name, kind, module) in kinds {
        if scene.router.run(&format!("modprobe --quiet {module}")).is_ok() {
            continue;
        }
        scene.reconfigure(&interfaces(&format!(
            r#"interfaces: {{"lan0": (addresses: ["10.1.0.1/24"]), "{name}": ({kind})}}"#
        )))?;
        scene.wait_state("interfaces", "degraded", module)?;
        // The rest is done all the same.
        scene.wait_output("ip addr show dev lan0", |text| text.contains("10.1.0.1/24"))?;
    }
    Ok(())
}

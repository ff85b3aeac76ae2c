//! Every kind of link that the machine that tests may lack: made by both sections at two ends, and used.

use portreeve_tests::lab::{Failure, Result, ensure};
use portreeve_tests::qemu::section;
use serde_json::Value;

const MODULES: [&str; 11] =
    ["8021q", "dummy", "bonding", "vrf", "macvlan", "sit", "ip_gre", "ip6_gre", "ip6_tunnel", "wireguard", "tun"];

const CONFIG: &str = r#"Router(system: (log: Debug), plugins: {
    "interfaces": (config: (interfaces: {
        "eth0": (addresses: ["192.0.2.US/24", "2001:db8:1::US/64"]),
        "eth0.5": (kind: Vlan(parent: "eth0", id: 5), addresses: ["2001:db8:5::US/64"]),
        "mac0": (kind: Macvlan(parent: "eth0", mode: Bridge), addresses: ["2001:db8:6::US/64"]),
        "dum0": (kind: Dummy, mtu: 9000, addresses: ["2001:db8:d::US/128"], routes: [(to: "2001:db8:dd::/48")]),
        "bond0": (
            kind: Bond(mode: ActiveBackup, members: ["eth1"], miimon: "100ms"),
            addresses: ["2001:db8:b::US/64"],
        ),
        "vrf0": (kind: Vrf(table: 10, members: ["eth2"])),
        "eth2": (addresses: ["2001:db8:f::US/64"]),
    })),
    "tunnels": (config: (tunnels: {
        "gre4": (
            kind: Gre(remote: "192.0.2.THEM", local: Address("192.0.2.US"), key: 42),
            addresses: ["2001:db8:40::US/64"],
        ),
        "gre6": (
            kind: Gre(remote: "2001:db8:1::THEM", local: Address("2001:db8:1::US")),
            addresses: ["2001:db8:46::US/64"],
        ),
        "ip6t": (
            kind: Ip6Tunnel(remote: "2001:db8:1::THEM", local: Address("2001:db8:1::US"), mode: Any),
            addresses: ["2001:db8:66::US/64", "198.51.100.US/24"],
        ),
        "six": (
            kind: SixInFour(remote: "192.0.2.THEM", local: Address("192.0.2.US"), path: Kernel),
            addresses: ["2001:db8:41::US/64"],
        ),
        // The far end's address is in its prefix; the relay is somebody else.
        "rd0": (
            kind: SixRd(
                prefix: "2001:db9::/32", relay: "192.0.2.99", ipv4_mask_length: 0, local: Address("192.0.2.US"),
                path: Kernel,
            ),
            addresses: ["2001:db9:c000:20US::1/32"],
        ),
        "wg0": (
            kind: WireGuard(key: "NAME", listen_port: 51820, peers: [(
                public_key: "PEER", preshared_key: "shared", endpoint: "192.0.2.THEM:51820", keepalive: "25s",
                allowed_ips: ["2001:db8:77::/64"],
            )]),
            addresses: ["2001:db8:77::US/64"],
        ),
    })),
})"#;

/// Two pairs for these tests only: private, public.
const KEYS: [(&str, &str); 2] = [
    ("kA2RidHkyR28PlnT2gubLZeGMHU+7pKQZ5KM5g9WVUs=", "dCtsmtutoftfh7Zujetq3YOhuDt8a6zgpO4P8jtsjns="),
    ("yMTISp+d88lePLZ6hn5LmS6Mi2zf6SGuaqobM8AWWVU=", "D25SjCc48wGb03ThTGRMnIyvcJOdoQDiiS3suyYEdmU="),
];

const SCRIPT: &str = r#"
space a; space b
for n in 0 1 2; do join a eth$n b eth$n; done
# A member of a bond must be down when it joins.
ip -n a link set eth1 down; ip -n b link set eth1 down
for name in a b; do
    mkdir -p /run/portreeve/$name.flash/keys
    chmod 700 /run/portreeve/$name.flash/keys
done
(umask 077
echo A_KEY >/run/portreeve/a.flash/keys/a; echo B_KEY >/run/portreeve/b.flash/keys/b
echo B_KEY >/run/portreeve/a.flash/keys/shared; echo B_KEY >/run/portreeve/b.flash/keys/shared)
core a a; core b b
for prefix in 5 6 b 40 46 66 41 77; do
    within 60 pings a 2001:db8:$prefix::2
    echo "ping $prefix"
done
within 30 pings a 198.51.100.2
echo "ping 198.51.100"
within 30 pings a 2001:db9:c000:202::1
echo "ping 2001:db9"
within 30 ip netns exec a ping -n -c 3 -i 0.2 -W 5 -I vrf0 2001:db8:f::2
echo "ping vrf"
echo "== links"
ip -n a -d -j link
echo "== routes"
ip -n a -j -6 route show table all
echo "== status"
ask a status tunnels
ask a status interfaces
ask a status
echo "== end"
"#;

fn config(name: &str, us: &str, them: &str, peer: &str) -> String {
    let config = CONFIG.replace("US", us).replace("THEM", them).replace("NAME", name);
    config.replace("PEER", peer)
}

#[test]
fn links_of_every_kind_are_made_by_the_core_which_loads_their_modules_and_they_carry_packets() -> Result {
    let configurations = [("a", &*config("a", "1", "2", KEYS[1].1)), ("b", &*config("b", "2", "1", KEYS[0].1))];
    let script = SCRIPT.replace("A_KEY", KEYS[0].0).replace("B_KEY", KEYS[1].0);
    let output = super::run(&MODULES, &configurations, &script)?;
    let links: Value = serde_json::from_str(section(&output, "links")?)
        .map_err(|error| Failure::new(format!("ip -j link: {error}")).with("output", &output))?;
    let link = |name: &str| {
        let mut links = links.as_array().into_iter().flatten();
        links.find(|link| link["ifname"] == name).cloned().unwrap_or_default()
    };
    let kinds = [
        ("eth0.5", "vlan"),
        ("mac0", "macvlan"),
        ("dum0", "dummy"),
        ("bond0", "bond"),
        ("vrf0", "vrf"),
        ("gre4", "gre"),
        ("gre6", "ip6gre"),
        ("ip6t", "ip6tnl"),
        ("six", "sit"),
        ("rd0", "sit"),
        ("wg0", "wireguard"),
    ];
    for (name, kind) in kinds {
        let link = link(name);
        ensure(link["linkinfo"]["info_kind"] == kind, || format!("{name} is no {kind}: {link}"))?;
        ensure(link["ifalias"].as_str().unwrap_or_default().starts_with("portreeve:"), || link.to_string())?;
    }
    let data = |name: &str, field: &str| link(name)["linkinfo"]["info_data"][field].clone();
    for (name, field, value) in [
        ("eth0.5", "id", Value::from(5)),
        ("eth0.5", "protocol", "802.1Q".into()),
        ("mac0", "mode", "bridge".into()),
        ("bond0", "mode", "active-backup".into()),
        ("bond0", "miimon", 100.into()),
        ("vrf0", "table", 10.into()),
        ("gre4", "ikey", "0.0.0.42".into()),
        ("gre4", "remote", "192.0.2.2".into()),
        ("gre6", "local", "2001:db8:1::1".into()),
        ("ip6t", "remote", "2001:db8:1::2".into()),
        ("six", "remote", "192.0.2.2".into()),
    ] {
        let there = data(name, field);
        ensure(there == value, || format!("{field} of {name} is {there}, not {value}: {}", link(name)))?;
    }
    ensure(link("eth1")["master"] == "bond0" && link("eth2")["master"] == "vrf0", || links.to_string())?;
    ensure(link("dum0")["mtu"] == 9000, || link("dum0").to_string())
}

//! The gateway of 2006 on a kernel with sit: the provider's end is made by hand, ours by one router.ron.

use portreeve_tests::lab::{Result, ensure};
use portreeve_tests::qemu::section;

const ROUTER: &str = r#"Router(system: (log: Debug), plugins: {
    "interfaces": (config: (
        forwarding: (ipv6: true),
        pools: {"isp": (prefix: "2001:db8:60::/60")},
        interfaces: {
            "wan0": (addresses: ["192.0.2.2/30"]),
            "lan0": (subnets: [(pool: "isp", number: 1)]),
            "lan1": (subnets: [(pool: "isp", number: 2)]),
        },
    )),
    "tunnels": (config: (tunnels: {"sixbone": (
        kind: SixInFour(remote: "192.0.2.1", local: Address("192.0.2.2"), path: Auto),
        ttl: 255,
        addresses: ["2001:db8:1::2/127"],
        routes: [(to: "::/0", via: "2001:db8:1::3")],
        own_prefixes: ["2001:db8:60::/60"],
        keepalive: (target: "2001:db8:1::3", interval: "2s", timeout: "20s"),
    )})),
    "radvd": (config: (interfaces: {"lan0": (prefixes: {"::/64": ()}), "lan1": (prefixes: {"::/64": ()})})),
})"#;

const SCRIPT: &str = r#"
space provider; space router; space one; space two
join provider eth0 router wan0; join router lan0 one eth0; join router lan1 two eth0
! grep '^sit ' /proc/modules
core router router
within 60 grep '^sit ' /proc/modules
# The provider's end, as it was typed then.
ip -n provider addr add 192.0.2.1/30 dev eth0
ip netns exec provider sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
ip -n provider tunnel add customer mode sit remote 192.0.2.2 local 192.0.2.1 ttl 255
ip -n provider link set customer up
ip -n provider addr add 2001:db8:1::3/127 dev customer
ip -n provider route add 2001:db8:60::/60 via 2001:db8:1::2
ip -n provider addr add 2001:db8:ffff::1/128 dev lo
within 60 shows 2001:db8:60:1: ip -n one -6 addr show dev eth0 dynamic
within 60 shows 2001:db8:60:2: ip -n two -6 addr show dev eth0 dynamic
within 60 shows 'default via fe80::' ip -n one -6 route
within 60 shows 'default via fe80::' ip -n two -6 route
echo "== ping"
pings one 2001:db8:ffff::1
pings two 2001:db8:ffff::1
truncate -s 100M /tmp/data
ip netns exec provider httpd -p '[2001:db8:ffff::1]:80' -h /tmp
echo "== fetch"
from=$(cut -d' ' -f1 /proc/uptime)
ip netns exec one wget -q -O - 'http://[2001:db8:ffff::1]/data' | wc -c
echo "from $from to $(cut -d' ' -f1 /proc/uptime)"
within 30 shows ' ms' ask router status tunnels
echo "== status"
ask router status tunnels
echo "== tunnel"
ip -n router -d link show sixbone
ip -n router -6 route show type unreachable
echo "== end"
ask router status
stop router
echo "== after"
ip -n router -d link show sixbone
pings router 2001:db8:ffff::1
"#;

#[test]
fn the_gateway_of_2006_uses_the_kernels_sit_which_it_loads_itself() -> Result {
    let output = super::run(&["sit", "tun", "bridge"], &[("router", ROUTER)], SCRIPT)?;
    ensure(section(&output, "ping")?.matches(" 0% packet loss").count() == 2, || output.clone())?;
    ensure(section(&output, "fetch")?.starts_with("104857600\n"), || output.clone())?;
    let status = section(&output, "status")?;
    let row = status.lines().find(|line| line.contains("sixbone")).unwrap_or_default();
    ensure(row.contains(" kernel ") && row.contains(" up ") && !row.contains("userspace"), || status.to_owned())?;
    let tunnel = section(&output, "tunnel")?;
    for fact in ["sit ip6ip remote 192.0.2.1 local 192.0.2.2 ttl 255", "mtu 1480", "unreachable 2001:db8:60::/60"] {
        ensure(tunnel.contains(fact), || format!("no {fact:?} in\n{tunnel}"))?;
    }
    // A core that ended has changed nothing; but the hosts were told that it goes.
    ensure(section(&output, "after")?.contains(" 0% packet loss"), || output.clone())
}

//! The firewall on Debian's kernel, whose nf_tables come as modules: flows are offloaded, and a kernel without transparent
//! proxies puts fragments together all the same. What is logged comes to the kernel's log.

use portreeve_tests::lab::{Result, Stage, ensure};
use portreeve_tests::qemu::{self, Image, Kernel, Machine, Options, section};

/// What a policy with offloading needs. Not nft_tproxy.
const MODULES: [&str; 12] = [
    "nf_tables",
    "nf_conntrack",
    "nft_ct",
    "nft_limit",
    "nft_objref",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_flow_offload",
    "nf_flow_table_inet",
    "nft_log",
    "nf_log_syslog",
    "veth",
];

const OFFLOADED: &str = r#"Router(system: (log: Debug), plugins: {"firewall": (config: (
    zones: {"lan": (interfaces: ["lan0"]), "wan": (interfaces: ["wan0"])},
    policies: [(from: ["lan"], to: ["wan"], then: Accept)],
    rules: [(from: ["wan"], to: ["router"], icmp: ["echo-request"], log: (prefix: "pinged: ", level: Notice), then: Accept)],
    defaults: (ping: false),
    offload: (zones: ["lan", "wan"]),
))})"#;

const STATELESS: &str = r#"Router(system: (log: Debug), plugins: {"firewall": (config: (
    zones: {"lan": (interfaces: ["lan0"]), "wan": (interfaces: ["wan0"])},
    rules: [
        (from: ["lan"], to: ["wan"], protocol: ["udp"], destination_port: ["9"], then: Accept),
        (from: ["lan", "wan"], icmp: ["echo-request", "echo-reply"], then: Accept),
    ],
    defaults: (stateful: false),
))})"#;

const SCRIPT: &str = r#"
space lan; space router; space wan
join lan eth0 router lan0; join router wan0 wan eth0
ip -n lan addr add 2001:db8:1::2/64 dev eth0; ip -n router addr add 2001:db8:1::1/64 dev lan0
ip -n wan addr add 2001:db8:2::2/64 dev eth0; ip -n router addr add 2001:db8:2::1/64 dev wan0
ip -n lan route add default via 2001:db8:1::1; ip -n wan route add default via 2001:db8:2::1
ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
! grep '^nft_flow_offload ' /proc/modules
core router router
within 60 shows ready ask router status
within 60 shows 'flow add' ip netns exec router nft list table inet portreeve-firewall
echo "== rules"
ip netns exec router nft list table inet portreeve-firewall
# Without this only the machine's own namespace may write there.
echo 1 >/proc/sys/net/netfilter/nf_log_all_netns
ip netns exec wan ping -n -c 1 -W 5 2001:db8:2::1
echo "== log"
dmesg -r | grep 'pinged: '
truncate -s 64M /tmp/data
ip netns exec wan httpd -p '[2001:db8:2::2]:80' -h /tmp
ip netns exec lan sh -c 'wget -q -O - "http://[2001:db8:2::2]/data" | wc -c' >/tmp/fetched &
within 60 shows OFFLOAD ip netns exec router cat /proc/net/nf_conntrack
echo "== flows"
ip netns exec router cat /proc/net/nf_conntrack
within 120 grep -q . /tmp/fetched
echo "== fetched"
cat /tmp/fetched
cp /etc/portreeve/stateless.ron /etc/portreeve/router.ron
kill -HUP "$(cat /run/portreeve/router.pid)"
within 60 shows 'plugin reconfigured' cat /run/portreeve/router.log
echo "== stateless"
ip netns exec router nft list table inet portreeve-firewall
echo "== ping"
ip netns exec lan ping -n -c 3 -i 0.2 -W 5 -s 4000 2001:db8:2::2
echo "== status"
ask router status
stop router
"#;

#[test]
fn flows_are_offloaded_and_fragments_put_together_with_the_modules_that_are_there() -> Result {
    let _turn = super::turn();
    let kernel = Kernel::fetch(&qemu::cache())?;
    let mut image = Image::new(&kernel);
    image.modules(&MODULES)?;
    image.portreeve(&Stage::find()?)?;
    image.program("/usr/sbin/nft", "/usr/sbin/nft")?;
    image.configure("router", OFFLOADED);
    image.configure("stateless", STATELESS);
    image.script(&format!(". /lib.sh\n{SCRIPT}"));
    let run = Machine::boot(&image, &Options { memory: 768, cpus: 2, ..Options::default() })?.wait()?;
    println!("the guest took {:.1} s", run.elapsed.as_secs_f64());
    let output = run.success()?;
    println!("{output}");
    let rules = section(&output, "rules")?;
    ensure(rules.contains("flowtable flows") && rules.contains("flow add @flows"), || rules.to_owned())?;
    let log = section(&output, "log")?;
    ensure(log.contains("<5>") && log.contains("IN=wan0") && log.contains("SRC=2001:0db8:0002:"), || log.to_owned())?;
    let flows = section(&output, "flows")?;
    ensure(flows.lines().any(|line| line.contains("dport=80") && line.contains("OFFLOAD")), || flows.to_owned())?;
    ensure(section(&output, "fetched")?.trim() == (64 << 20).to_string(), || output.clone())?;
    let stateless = section(&output, "stateless")?;
    let by_tracking = stateless.contains("notrack") && stateless.contains("ct state") && !stateless.contains("tproxy");
    ensure(by_tracking && !stateless.contains("flow add"), || stateless.to_owned())?;
    ensure(section(&output, "ping")?.contains(" 0% packet loss"), || output.clone())?;
    ensure(section(&output, "status")?.contains("ready"), || output.clone())
}

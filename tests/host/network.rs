//! `network`, `tun`, `udp`, `tcp`, `raw-ip` of IPv4, `netlink` and `names`: what is granted goes through, everything else is denied
//! before the kernel hears of it.

use portreeve::grants::{NamePattern, Need, Pattern, Prefix, Transport};
use portreeve::sys::network::{Change, Found, FoundLink};

use super::*;

fn configure(pattern: &str) -> Need {
    Need::Configure(Pattern::new(pattern).unwrap())
}

fn route(text: &str, length: u8) -> Need {
    Need::Route(Prefix::new(text.parse().unwrap(), length))
}

fn name(text: &str) -> NamePattern {
    NamePattern::new(text).unwrap()
}

/// A host whose kernel tells the reconciler of the same two links.
fn host() -> Host {
    let host = Host::new();
    let link = |index, name: &str| FoundLink { index, name: name.to_owned(), up: true, ..FoundLink::default() };
    let links = vec![link(2, "lan0"), link(3, "wan0")];
    host.kernel.set_found(Found { links, addresses_are_tagged: true, ..Found::default() });
    host
}

#[tokio::test]
async fn network_changes_what_is_granted_and_waits_for_what_is_not_there() {
    let host = host();
    let probe = host.probe(&[configure("lan*"), route("2001:db8::", 32)]).await;
    assert_eq!(probe.call("address lan0 2001:db8::1/64").await, ["changes 1"]);
    assert!(matches!(host.kernel.changes()[..], [Change::SetAddress(_)]));
    // The fake does not hold it: it is stated, and set, again.
    assert_eq!(probe.call("address lan9 2001:db8::1/64").await, ["changes 0", "waiting lan9"]);
    assert_eq!(probe.call("route lan0 2001:db8:1:: 48 254").await, ["changes 1"]);
}

#[tokio::test]
async fn network_denies_what_is_not_granted_and_the_kernel_hears_nothing() {
    let host = host();
    let probe = host.probe(&[configure("lan*"), route("2001:db8::", 32), links("lan*")]).await;
    for call in [
        "address wan0 2001:db8::1/64",
        "route wan0 2001:db8:1:: 48 254",
        "route lan0 2001:: 16 254",
        "address lan0 2001:db8::1/31",
        "address lan0 192.0.2.1/1",
        "route lan0 2001:db8:1:: 48 100",
        "sysctl ipv6/conf/all/forwarding 1",
        "sysctl ipv6/conf/wan0/forwarding 1",
        "make lan5 dummy",
        "rename 3 lan7",
        "kind sit",
        "key wg0",
        "tun lan5",
        "ipv4 41 192.0.2.1",
        "ipv4 41",
        "netlink 0 16",
        "resolve example.net",
        "masquerade 192.0.2.0 24",
        "listen udp lan0 53",
        "listen tcp lan0 53",
        "connect udp 192.0.2.53:53",
        "connect tcp 192.0.2.53:53",
    ] {
        assert_eq!(probe.call(call).await.first().map(String::as_str), Some("denied"), "{call}");
    }
    assert_eq!(host.kernel.changes(), []);
    assert_eq!(probe.call("hardware").await, ["2"], "hardware of links that are not shown is not shown either");
}

#[tokio::test]
async fn network_wants_a_route_for_an_address_whose_prefix_is_half_the_internet() {
    let host = host();
    let probe = host.probe(&[configure("lan*"), route("2000::", 3), route("10.0.0.0", 7)]).await;
    for granted in ["2001:db8::1/3", "10.1.2.3/7", "192.0.2.1/8", "3fff::1/32", "fd00::1/64"] {
        assert_eq!(probe.call(&format!("address lan0 {granted}")).await, ["changes 1"], "{granted}");
        assert_eq!(host.kernel.changes().len(), 1);
    }
    for wider in ["2001:db8::1/2", "10.1.2.3/6", "192.0.2.1/7", "fd00::1/31"] {
        assert_eq!(probe.call(&format!("address lan0 {wider}")).await, ["denied"], "{wider}");
    }
    assert_eq!(host.kernel.changes(), []);
}

#[tokio::test]
async fn network_takes_only_plain_names_of_links() {
    let host = host();
    let create = Need::Create { interfaces: Pattern::new("*").unwrap(), kinds: ["dummy".to_owned()].into() };
    let probe = host.probe(&[create, configure("*")]).await;
    for bad in ["lan+", "a:b", "eth%d", "lan*", "a/b", "..", "a123456789012345"] {
        assert_eq!(probe.call(&format!("make {bad} dummy")).await, ["invalid-argument"], "{bad}");
    }
    assert_eq!(host.kernel.changes(), []);
}

#[tokio::test]
async fn network_parameters_do_not_lead_out_of_net() {
    let host = host();
    let probe = host.probe(&[Need::Sysctl(name("*")), configure("*")]).await;
    for bad in ["ipv6/../../kernel/panic", "../kernel/panic", "ipv6//x", "/ipv6/x"] {
        assert_eq!(probe.call(&format!("sysctl {bad} 1")).await, ["invalid-argument"], "{bad}");
    }
    assert_eq!(host.kernel.changes(), []);
}

#[tokio::test]
async fn network_makes_links_under_granted_names_and_of_granted_kinds() {
    let host = host();
    let kinds = ["tun".to_owned()].into();
    let create = Need::Create { interfaces: Pattern::new("tun*").unwrap(), kinds };
    let probe = host.probe(&[create, configure("*")]).await;
    assert_eq!(probe.call("make tun0 tun").await, ["changes 1"]);
    assert!(matches!(&host.kernel.changes()[..], [Change::MakeLink { alias, .. }] if alias == "portreeve:probe"));
    assert_eq!(probe.call("make tun0 dummy").await, ["denied"]);
    assert_eq!(probe.call("make lan9 tun").await, ["denied"]);
    assert_eq!(probe.call("kind tun").await, ["ok"]);
}

#[tokio::test]
async fn network_keys_stay_in_the_core() {
    let host = host();
    let probe = host.probe(&[Need::Key(name("wg*"))]).await;
    assert_eq!(probe.call("key wg0").await, ["32"]);
    assert_eq!(probe.call("key ssh").await, ["denied"]);
    let kept = std::fs::read_to_string(host.directory.path().join("flash/keys/wg0")).unwrap();
    assert_eq!(kept.trim().len(), 44, "32 bytes as base64");
}

#[tokio::test]
async fn network_makes_keys_up_to_a_limit() {
    let host = host();
    let probe = host.probe(&[Need::Key(name("*"))]).await;
    assert_eq!(probe.call("key wg0").await, ["32"]);
    let keys = host.directory.path().join("flash/keys");
    (1..256).for_each(|number| std::fs::write(keys.join(format!("k{number}")), "").unwrap());
    assert_eq!(probe.call("key wg1").await, ["limit"]);
    assert_eq!(probe.call("key wg0").await, ["32"], "those that are there are given");
}

#[tokio::test]
async fn tun_denies_a_device_that_was_made_for_another_plugin() {
    let host = host();
    let probe = host.probe(&[Need::Tun(Pattern::new("tun*").unwrap())]).await;
    let device = |alias: &str| Link { alias: Some(alias.to_owned()), ..link(9, "tun0") };
    for others in ["portreeve:tunnels", "portreeve:probe2", "portreeve:"] {
        host.kernel.set_link(device(others));
        assert_eq!(probe.call("tun tun0").await, ["denied"], "{others}");
    }
    for open in ["portreeve:probe", "somebody's"] {
        host.kernel.set_link(device(open));
        assert_eq!(probe.call("tun tun0").await, ["not-found"], "{open}: the fake has none");
    }
}

#[tokio::test]
async fn tun_raw_ip_netlink_and_names_pass_what_is_granted_on_to_the_kernel() {
    let host = host();
    let needs = [
        Need::Tun(Pattern::new("tun*").unwrap()),
        Need::Ipv4 { protocol: 41, remotes: Prefix::new("192.0.2.0".parse().unwrap(), 24) },
        Need::Netlink { family: 16, send: [26].into() },
        Need::Resolve(name("*.example.net")),
    ];
    let probe = host.probe(&needs).await;
    // The fake has none of these: its own errors come back, not the grant's.
    assert_eq!(probe.call("tun tun0").await, ["not-found"]);
    assert_eq!(probe.call("ipv4 41 192.0.2.1").await, ["not-supported"]);
    assert_eq!(probe.call("netlink 16 26").await, ["not-supported"]);
    assert_eq!(probe.call("resolve gw.example.net").await, ["not-found"]);
    for call in ["ipv4 41 198.51.100.1", "ipv4 41", "ipv4 47 192.0.2.1", "netlink 0 26", "resolve example.net"] {
        assert_eq!(probe.call(call).await, ["denied"], "{call}");
    }
    assert_eq!(probe.call("resolve -x!").await, ["invalid-argument"]);
}

#[tokio::test]
async fn network_masquerades_only_within_the_granted_prefix() {
    let host = host();
    let probe = host.probe(&[Need::Masquerade(Prefix::new("192.0.2.0".parse().unwrap(), 24))]).await;
    assert_eq!(probe.call("masquerade 192.0.2.128 25").await, ["changes 1"]);
    assert_eq!(probe.call("masquerade 192.0.2.128 25").await, ["changes 0"], "it stands already");
    assert_eq!(probe.call("masquerade 192.0.0.0 16").await, ["denied"]);
    assert_eq!(probe.call("masquerade 2001:db8:: 32").await, ["invalid-argument"]);
}

#[tokio::test]
async fn network_masquerades_up_to_a_limit_and_tells_what_could_not_be_removed() {
    let host = host();
    let probe = host.probe(&[Need::Masquerade(Prefix::new("192.0.0.0".parse().unwrap(), 16))]).await;
    assert_eq!(probe.call("masquerades 65").await, ["limit"]);
    assert_eq!(probe.call("masquerades 64").await, ["changes 1"]);
    host.kernel.refuse_masquerades(Some(28));
    let answer = probe.call("masquerades 0").await;
    assert!(answer.len() == 2 && answer[1].starts_with("masquerade: No space left"), "{answer:?}");
    host.kernel.refuse_masquerades(None);
    assert_eq!(probe.call("masquerades 0").await, ["changes 1"], "it is tried again");
    assert_eq!(probe.call("masquerades 0").await, ["changes 0"]);
}

#[tokio::test]
async fn udp_and_tcp_sockets_go_by_transport_interface_address_and_port() {
    let listen = |transport| Need::Listen { transport, interfaces: Pattern::new("lan*").unwrap(), port: 53 };
    let connect =
        |transport, port| Need::Connect { transport, remotes: Prefix::new("192.0.2.0".parse().unwrap(), 24), port };
    let host = host();
    let probe = host.probe(&[listen(Transport::Udp), connect(Transport::Udp, 53), connect(Transport::Tcp, 0)]).await;
    // The fake has no sockets: what it is asked for has passed the grant.
    for granted in ["listen udp lan0 53", "connect udp 192.0.2.53:53", "connect tcp 192.0.2.53:853"] {
        assert_eq!(probe.call(granted).await, ["not-supported"], "{granted}");
    }
    for other in [
        "listen tcp lan0 53",
        "listen udp wan0 53",
        "listen udp lan0 54",
        "connect udp 192.0.2.53:54",
        "connect udp 192.0.3.53:53",
        "connect tcp [2001:db8::53]:853",
    ] {
        assert_eq!(probe.call(other).await, ["denied"], "{other}");
    }
    assert_eq!(probe.call("listen udp lan9 53").await, ["not-found"]);
    assert_eq!(probe.call("connect udp [::ffff:192.0.2.53]:53").await, ["not-supported"], "IPv4 as well");
    let every_v6 = Need::connect(Transport::Udp, Prefix::new("::".parse().unwrap(), 0), 53);
    let probe = host.probe(&[every_v6]).await;
    assert_eq!(probe.call("connect udp [2001:db8::53]:53").await, ["not-supported"]);
    for four in ["192.0.2.53:53", "[::ffff:192.0.2.53]:53"] {
        assert_eq!(probe.call(&format!("connect udp {four}")).await, ["denied"], "{four}");
    }
}

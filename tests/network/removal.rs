//! What is no longer in router.ron goes, exactly; what was made by hand beside it stays.

use portreeve_tests::lab::{Monitor, Netns, Result, ensure};

use super::{Scene, interfaces, same, tunnels};

const SIXBONE: &str = r#""sixbone": (kind: SixInFour(remote: "192.0.2.1", local: Address("192.0.2.2")),
    addresses: ["2001:db8:1::2/127"], routes: [(to: "::/0", via: "2001:db8:1::3")],
    source_routes: [(from: "2001:db8:60::/60", table: 100, priority: 1000)]),"#;
const OTHER: &str = r#""other": (kind: SixInFour(remote: "192.0.2.5", local: Address("192.0.2.2")),
    addresses: ["2001:db8:5::2/64"], routes: [(to: "2001:db8:6::/48")]),"#;

fn base() -> String {
    interfaces(
        r#"forwarding: (ipv6: true),
        pools: {"isp": (prefix: "2001:db8:60::/60")},
        interfaces: {
            "wan0": (addresses: ["192.0.2.2/29"], routes: [(to: "203.0.113.0/24", via: "192.0.2.1")], rp_filter: Loose),
            "lan0": (subnets: [(pool: "isp", number: 1)], addresses: ["10.1.0.1/24"], mtu: 1400, proxy: ["2001:db8:60:1::7"]),
            "pair0": (kind: Veth(peer: "pair1"), addresses: ["10.2.0.1/24"]),
        },
        rules: [(priority: 900, from: "10.1.0.0/24", table: 90)],
        routes: [(to: "10.9.0.0/16", kind: Unreachable, table: 90)]"#,
    )
}

/// Everything that somebody typed, on the same interfaces as ours.
fn by_hand(router: &Netns) -> Result {
    for line in [
        "ip addr add 10.1.0.99/24 dev lan0",
        "ip addr add 2001:db8:60:1::99/64 dev lan0 nodad",
        "ip route add 198.51.100.0/24 via 192.0.2.1 dev wan0",
        "ip route add 198.51.101.0/24 via 192.0.2.1 dev wan0 proto 99",
        "ip -6 route add 2001:db8:99::/48 dev lan0 proto static",
        "ip -6 route add default dev lan0 metric 4000 table 100",
        "ip route add 10.8.0.0/16 via 192.0.2.1 table 90",
        "ip rule add priority 901 from 10.1.0.0/24 lookup 91",
        "ip -6 rule add priority 1001 from 2001:db8:60::/60 lookup 101",
        "ip link add hand0 type veth peer name hand1",
        "ip link set hand0 up",
        "ip neigh add 10.1.0.77 lladdr 02:00:5e:10:00:77 dev lan0 nud permanent",
        "ip -6 neigh add proxy 2001:db8:60:1::8 dev lan0",
    ] {
        router.run(line)?;
    }
    router.sysctl("net.ipv4.conf.lan0.arp_ignore", "2")
}

/// All that the namespace holds, without numbers that change by themselves.
fn snapshot(router: &Netns) -> Result<String> {
    let mut text = String::new();
    for line in [
        "ip -o addr show",
        "ip -d -o link show",
        "ip -4 route show table all",
        "ip -6 route show table all",
        "ip rule show",
        "ip -6 rule show",
        "ip -4 neigh show nud permanent",
        "ip neigh show proxy",
        "ip -6 neigh show proxy",
        "sysctl -a -e --pattern ^net.ipv[46].(conf|ip_forward|tcp)",
    ] {
        let mut lines: Vec<String> = router.output(line)?.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.contains("stable_secret") && !line.contains("dev hand0 table local proto kernel"));
        lines.sort();
        text += &format!("# {line}\n{}\n", lines.join("\n"));
    }
    Ok(text)
}

fn difference(before: &str, after: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| -> String {
        a.lines().filter(|line| !b.lines().any(|l| l == *line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    only(before, after, "-") + &only(after, before, "+")
}

fn unchanged(before: &str, after: &str) -> Result {
    let difference = difference(before, after);
    ensure(difference.is_empty(), || format!("what was there is not as it was:\n{difference}"))
}

#[test]
fn a_removed_tunnel_takes_exactly_its_own_with_it() -> Result {
    let mut scene = Scene::new(&(base() + &tunnels(OTHER)))?;
    scene.start(&["interfaces", "tunnels"])?;
    by_hand(&scene.router)?;
    let before = snapshot(&scene.router)?;
    let mut monitor = Monitor::start(&scene.lab, &scene.router)?;
    scene.reconfigure(&(base() + &tunnels(&format!("{SIXBONE}{OTHER}"))))?;
    scene.wait_output("ip -6 rule show", |text| text.contains("lookup 100"))?;
    scene.wait_output("ip -6 route show default", |text| text.contains("sixbone"))?;
    monitor.events()?;
    scene.reconfigure(&(base() + &tunnels(OTHER)))?;
    scene.wait_output("ip link show", |text| !text.contains("sixbone"))?;
    scene.wait_output("ip -6 rule show", |text| !text.contains("lookup 100"))?;
    let heard = monitor.events()?;
    // Only its own: the link, its addresses and routes, its rule.
    let stray: Vec<_> = heard.iter().filter(|e| !e.is_on("sixbone") && !e.text.contains("lookup 100")).collect();
    let stray: Vec<_> = stray.iter().filter(|e| !e.text.contains("2001:db8:1::2")).collect();
    ensure(stray.is_empty(), || format!("{stray:#?}"))?;
    unchanged(&before, &snapshot(&scene.router)?)
}

#[test]
fn a_removed_plugin_takes_all_it_made_and_puts_back_what_it_changed() -> Result {
    // A plugin that stays keeps the core busy.
    let rest = r#""radvd": (config: (interfaces: {}))"#;
    let mut scene = Scene::new(&format!("{}{rest}", base()))?;
    let clean = snapshot(&scene.router)?;
    by_hand_without_ours(&scene.router)?;
    let with_hand = snapshot(&scene.router)?;
    scene.start(&["interfaces"])?;
    ensure(snapshot(&scene.router)? != with_hand && clean != with_hand, || "nothing was made".to_owned())?;
    scene.reconfigure(rest)?;
    scene.wait_output("ip link show", |text| !text.contains("pair0"))?;
    let router = scene.router.clone();
    scene.wait_output("ip link show lan0", |text| text.contains("mtu 1500"))?;
    scene
        .core()
        .wait_until("the state from before", super::WITHIN, || {
            let now = snapshot(&router).ok()?;
            difference(&with_hand, &now).is_empty().then_some(())
        })
        .map_err(|failure| {
            let now = snapshot(&router).unwrap_or_default();
            failure.with("difference", &difference(&with_hand, &now))
        })
}

/// As [`by_hand`], as far as it does not stand on our addresses.
fn by_hand_without_ours(router: &Netns) -> Result {
    router.run("ip addr add 10.1.0.99/16 dev lan0")?;
    router.run("ip -6 route add 2001:db8:99::/48 dev lan0 proto static")?;
    router.run("ip rule add priority 901 from 10.1.0.0/24 lookup 91")?;
    router.run("ip neigh add 10.1.0.77 lladdr 02:00:5e:10:00:77 dev lan0 nud permanent")?;
    router.sysctl("net.ipv4.conf.lan0.arp_ignore", "2")
}

#[test]
fn what_was_taken_out_while_the_core_was_away_goes_with_its_next_start() -> Result {
    let mut scene = Scene::new(&(base() + &tunnels(OTHER)))?;
    scene.start(&["interfaces", "tunnels"])?;
    by_hand(&scene.router)?;
    let before = snapshot(&scene.router)?;
    scene.reconfigure(&(base() + &tunnels(&format!("{SIXBONE}{OTHER}"))))?;
    scene.wait_output("ip -6 rule show", |text| text.contains("lookup 100"))?;
    if let Some(core) = scene.core.take() {
        core.kill()?;
    }
    scene.site.configure(&super::ron(&(base() + &tunnels(OTHER))))?;
    scene.start(&["interfaces", "tunnels"])?;
    scene.wait_output("ip link show", |text| !text.contains("sixbone"))?;
    scene.wait_output("ip link show other", |text| text.contains("LOWER_UP"))?;
    unchanged(&before, &snapshot(&scene.router)?)?;
    // The whole plugin.
    if let Some(core) = scene.core.take() {
        core.stop()?;
    }
    scene.site.configure(&super::ron(&base()))?;
    scene.start(&["interfaces"])?;
    scene.wait_output("ip link show", |text| !text.contains("other"))?;
    let rules = scene.router.output("ip rule show")?;
    same("a rule made by hand", "true", &rules.contains("lookup 91").to_string())
}

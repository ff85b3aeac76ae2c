//! The router as the hosts behind it live it: they get an address, a route and the far side; they follow what changes;
//! and when the router goes, it says so.

use std::net::Ipv6Addr;
use std::time::Duration;

use portreeve_tests::lab::{Icmpv6, Lab, Netns, Result, Router, Site, Stage, ensure, veth, wait_until};

const WITHIN: Duration = Duration::from_secs(30);
const FIRST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 0);
const SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x60, 2, 0, 0, 0, 0);
const FAR_SIDE: &str = "2001:db8:ffff::1";
const ROUTER_LINK_LOCAL: &str = "fe80::5eff:fe10:1";

fn config(interface: &str) -> String {
    format!("Router(system: (log: Debug), plugins: {{\"radvd\": (config: (interfaces: {{\"lan0\": ({interface})}}))}})")
}

/// A router with something behind it, and a host in front.
fn gateway(lab: &mut Lab) -> Result<(Netns, Netns)> {
    let (router, host) = (lab.netns("router")?, lab.netns("host")?);
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    veth((&router, "lan0", "02:00:5e:10:00:01"), (&host, "eth0", "02:00:5e:10:00:02"))?;
    router.run("ip addr add 2001:db8:60:1::1/64 dev lan0 nodad")?;
    router.run(&format!("ip addr add {FAR_SIDE}/128 dev lo nodad"))?;
    Ok((router, host))
}

fn host_reaches_the_far_side(core: &mut Router, host: &Netns) -> Result {
    core.wait_until("an address", WITHIN, || host.autoconfigured("eth0", FIRST))?;
    let via = format!("default via {ROUTER_LINK_LOCAL} dev eth0");
    core.wait_until("a default route", WITHIN, || {
        host.default_routes().iter().any(|route| route.starts_with(&via)).then_some(())
    })?;
    host.run(&format!("ping -6 -n -c 1 -W 5 {FAR_SIDE}"))
}

#[test]
fn a_host_gets_address_and_route_and_reaches_the_far_side() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(r#"prefixes: {"2001:db8:60:1::/64": ()}"#))?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)
}

#[test]
fn the_shipped_router_ron_makes_a_host_configure_itself() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let stage = Stage::find()?;
    let site = Site::new(&lab, &stage, &stage.router_ron()?)?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)
}

#[test]
fn without_the_right_to_raw_sockets_the_plugin_says_so_and_not_ready() -> Result {
    let mut lab = Lab::new()?;
    let (router, _host) = gateway(&mut lab)?;
    let site = Site::powerless(&lab, &Stage::find()?, &config(r#"prefixes: {"2001:db8:60:1::/64": ()}"#))?;
    let mut core = site.start(&router)?;
    let log = core.log_path();
    core.wait_until("the plugin's word", WITHIN, || {
        std::fs::read_to_string(&log).ok()?.contains("plugin degraded").then_some(())
    })?;
    let status = core.command(&["status"])?;
    ensure(status.contains("degraded") && status.contains("no socket on lan0"), || status)
}

#[test]
fn on_sigterm_the_last_advertisement_takes_the_default_route_away() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(r#"prefixes: {"2001:db8:60:1::/64": ()}"#))?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)?;
    let status = core.stop()?;
    ensure(status.success(), || format!("the core ended with {status}"))?;
    wait_until("the end of the default route", WITHIN, || host.default_routes().is_empty().then_some(()))
}

#[test]
fn two_capabilities_are_enough() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let site = Site::unprivileged(&lab, &Stage::find()?, &config(r#"prefixes: {"2001:db8:60:1::/64": ()}"#))?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)?;
    let pids = router.processes();
    ensure(!pids.is_empty(), || "no process in the router's namespace".to_owned())?;
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
        // CAP_NET_ADMIN and CAP_NET_RAW are the bits 12 and 13.
        for line in ["Uid:\t65534\t65534\t65534\t65534", "CapEff:\t0000000000003000", "CapBnd:\t0000000000003000"] {
            ensure(status.contains(line), || format!("not {line}:\n{status}"))?;
        }
    }
    ensure(core.stop()?.success(), || "the core did not end well".to_owned())
}

#[test]
fn own_prefixes_follow_addresses_that_come_and_go() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(r#"prefixes: {"::/64": ()}, rdnss: [(servers: ["::"])]"#))?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)?;
    ensure(host.autoconfigured("eth0", SECOND).is_none(), || "an address of a prefix to come".to_owned())?;

    router.run("ip addr add 2001:db8:60:2::1/64 dev lan0 nodad")?;
    core.wait_until("an address in the new prefix", WITHIN, || host.autoconfigured("eth0", SECOND))?;
    ensure(host.autoconfigured("eth0", FIRST).is_some_and(|a| !a.deprecated), || "the first one suffered".to_owned())?;

    router.run("ip addr del 2001:db8:60:2::1/64 dev lan0")?;
    core.wait_until("the address in the removed prefix is deprecated", WITHIN, || {
        host.autoconfigured("eth0", SECOND).filter(|address| address.deprecated)
    })?;
    ensure(host.autoconfigured("eth0", FIRST).is_some_and(|a| !a.deprecated), || "the first one suffered".to_owned())
}

#[test]
fn a_changed_router_ron_reaches_hosts_on_sighup() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(r#"prefixes: {"2001:db8:60:1::/64": ()}"#))?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)?;
    site.configure(&config(
        r#"prefixes: {"2001:db8:60:1::/64": (), "2001:db8:60:2::/64": ()}, router_lifetime: "1h""#,
    ))?;
    core.reload()?;
    core.wait_until("an address in the new prefix", WITHIN, || host.autoconfigured("eth0", SECOND))?;
    let listener = Icmpv6::listen(&host, "eth0")?;
    listener.solicit()?;
    let heard = listener.expect_advertisement(WITHIN)?;
    ensure(heard.router_lifetime() == 3600, || format!("a router lifetime of {}", heard.router_lifetime()))
}

#[test]
fn a_broken_router_ron_on_sighup_changes_nothing() -> Result {
    let mut lab = Lab::new()?;
    let (router, host) = gateway(&mut lab)?;
    let site = Site::new(&lab, &Stage::find()?, &config(r#"prefixes: {"2001:db8:60:1::/64": ()}"#))?;
    let mut core = site.start(&router)?;
    host_reaches_the_far_side(&mut core, &host)?;
    core.wait_ready("radvd", WITHIN)?;
    let errors = |log: &str| log.lines().filter(|line| line.contains(" ERROR ")).count();
    let before = errors(&core.log());
    site.configure(&config(r#"prefixes: {"2001:db8:60:1::/65000": ()}"#))?;
    core.reload()?;
    let log = core.log_path();
    core.wait_until("a complaint in the log", WITHIN, || {
        (errors(&std::fs::read_to_string(&log).unwrap_or_default()) > before).then_some(())
    })?;
    ensure(core.plugin_state("radvd").as_deref() == Some("ready"), || "radvd is not ready".to_owned())?;
    let listener = Icmpv6::listen(&host, "eth0")?;
    listener.solicit()?;
    let heard = listener.expect_advertisement(WITHIN)?;
    ensure(heard.router_lifetime() == 1800, || format!("a router lifetime of {}", heard.router_lifetime()))
}

//! The story that `cargo xtask demo` tells: a client, a router with an IPv4 uplink, and a provider with the other end of a
//! 6in4 tunnel, in three network namespaces. Each line was seen happening, with the milliseconds since the router's
//! core was started; what is not seen ends the story with status 1. Nothing outside the namespaces is touched, and
//! they are gone at the end.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portreeve_tests::lab::{Icmpv6, Lab, Netns, Result, Router, Site, Stage, ensure, veth};

const WITHIN: Duration = Duration::from_secs(30);
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 0);
/// The provider's end of the tunnel, and what lies behind it.
const PROVIDER: &str = r#"Router(plugins: {
    "interfaces": (config: (forwarding: (ipv6: true), interfaces: {
        "eth0": (addresses: ["192.0.2.1/30"]),
        "lo": (addresses: ["2001:db8:ffff::1/128"]),
    })),
    "tunnels": (config: (tunnels: {"customer": (
        kind: SixInFour(remote: "192.0.2.2", local: Address("192.0.2.1")),
        addresses: ["2001:db8:1::3/127"],
        routes: [(to: "2001:db8:60::/60", via: "2001:db8:1::2")],
    )})),
})"#;
const FAR_SIDE: &str = "2001:db8:ffff::1";
/// 192.0.2.1, the provider, as hosts with IPv6 only see it.
const BY_NAT64: &str = "2001:db8:60:f::192.0.2.1";

fn main() -> ExitCode {
    let stage = match std::env::args_os().nth(1) {
        Some(directory) => Stage::at(PathBuf::from(directory)),
        None => Stage::find(),
    };
    match stage.and_then(|stage| story(&stage)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("demo: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn story(stage: &Stage) -> Result {
    let mut lab = Lab::new()?;
    let (router, client, provider) = (lab.netns("router")?, lab.netns("client")?, lab.netns("provider")?);
    veth((&router, "lan0", "02:00:5e:10:00:01"), (&client, "eth0", "02:00:5e:10:00:02"))?;
    veth((&router, "wan0", "02:00:5e:10:00:03"), (&provider, "eth0", "02:00:5e:10:00:04"))?;
    let far = Site::new(&lab, stage, PROVIDER)?;
    let mut far = far.start(&provider)?;
    far.wait_ready("tunnels", WITHIN)?;
    let site = Site::new(&lab, stage, &stage.gateway_ron()?)?;
    let listener = Icmpv6::listen(&client, "eth0")?;

    println!("\n  client eth0 ---- lan0 router wan0 ---- IPv4 ---- provider ---- {FAR_SIDE} (the far side)\n");
    ensure(client.default_routes().is_empty(), || "the client has a default route already".to_owned())?;
    println!("             the client has no address, no route and no configuration");
    let mut core = site.start(&router)?;
    println!("             the router has no address, no route, no tunnel and does not forward");
    told(&core, "portreeve starts with the gateway.ron that ships");
    let outcome = life(&mut core, &client, &listener);
    outcome.map_err(|failure| failure.with("what the core logged", &core.log()))?;
    goodbye(core, &client, &listener)?;
    println!("\n  All of it was seen. The namespaces are gone again.\n");
    Ok(())
}

/// From the start to the ping.
fn life(core: &mut Router, client: &Netns, listener: &Icmpv6) -> Result {
    let first = core.wait_until("the first router advertisement", WITHIN, || {
        listener.advertisement(Duration::from_millis(50)).ok().flatten()
    })?;
    let at = first.at.duration_since(core.started()).as_millis();
    let (source, lifetime) = (first.source, first.router_lifetime());
    line(at, &format!("the first router advertisement, from {source}: a default router for {lifetime} s"));
    let address = core.wait_until("the client's own address", WITHIN, || client.autoconfigured("eth0", PREFIX))?;
    told(core, &format!("the client has formed the address {}", address.address));
    let via = format!("default via {source} dev eth0");
    let route = core.wait_until("the client's default route", WITHIN, || {
        client.default_routes().into_iter().find(|route| route.starts_with(&via))
    })?;
    told(core, &format!("and has the route: {}", shortened(&route)));
    for plugin in ["interfaces", "tunnels", "translator", "radvd"] {
        core.wait_ready(plugin, WITHIN)?;
    }
    told(core, "the core answers on its control socket: interfaces, tunnels, translator and radvd are ready");

    // The DNS server is told once the router's address on lan0 has passed duplicate address detection.
    let wanted = ["Router lifetime", "Prefix", "Recursive DNS server", "DNS search list"];
    let found = core.wait_until("an advertisement with a DNS server, as rdisc6 reads it", WITHIN, || {
        let printed = client.output("rdisc6 -1 -n eth0").ok()?;
        let find =
            |wanted: &str| printed.lines().map(str::trim).find(|line| line.starts_with(wanted)).map(str::to_owned);
        wanted.into_iter().map(find).collect::<Option<Vec<String>>>()
    })?;
    told(core, "what rdisc6 on the client reads in an advertisement:");
    for text in found {
        println!("               {text}");
    }
    told(core, "portreeve status tunnels:");
    for text in core.command(&["status", "tunnels"])?.lines() {
        println!("               {text}");
    }
    let summary = pinged(client, FAR_SIDE)?;
    told(core, &format!("the client pings the far side through router and tunnel: {summary}"));
    let summary = pinged(client, BY_NAT64)?;
    told(core, &format!("and, without an IPv4 address, the provider's 192.0.2.1 by NAT64: {summary}"));

    told(core, "portreeve status radvd:");
    for text in core.command(&["status", "radvd"])?.lines() {
        println!("               {text}");
    }
    Ok(())
}

/// SIGTERM and what the client makes of it.
fn goodbye(core: Router, client: &Netns, listener: &Icmpv6) -> Result {
    listener.drain()?;
    told(&core, "SIGTERM");
    let (started, stopped) = (core.started(), Instant::now());
    let status = core.stop()?;
    line(started.elapsed().as_millis(), &format!("the core has ended ({status})"));
    ensure(status.success(), || format!("the core ended with {status}"))?;
    let last = listener.expect_advertisement(WITHIN)?;
    ensure(last.router_lifetime() == 0, || "the last advertisement has a lifetime".to_owned())?;
    let gone = |client: &Netns| client.default_routes().is_empty().then_some(());
    portreeve_tests::lab::wait_until("the client loses its default route", WITHIN, || gone(client))?;
    let after = stopped.elapsed().as_millis();
    line(started.elapsed().as_millis(), &format!("its last advertisement withdrew the default route ({after} ms)"));
    Ok(())
}

/// What ping says at the end, if it lost nothing.
fn pinged(client: &Netns, address: &str) -> Result<String> {
    let ping = client.output(&format!("ping -6 -n -c 3 -i 0.2 -W 2 {address}"))?;
    let summary = ping.lines().find(|line| line.contains("packets transmitted")).unwrap_or_default();
    ensure(summary.contains(" 0% packet loss"), || format!("ping lost packets: {summary}"))?;
    Ok(summary.to_owned())
}

fn told(core: &Router, text: &str) {
    line(core.started().elapsed().as_millis(), text);
}

fn line(milliseconds: u128, text: &str) {
    println!("  {milliseconds:>5} ms   {text}");
}

/// A route up to the words that only the kernel's tables need.
fn shortened(route: &str) -> &str {
    route.split(" proto").next().unwrap_or(route)
}

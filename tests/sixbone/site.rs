//! The provider, the router and what is behind them.
//!
//! Everybody is given links by the lab; the server is set up by hand, as it is no part of what is tested. The router's and
//! the provider's namespaces get nothing but a router.ron each.

use std::net::Ipv6Addr;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Lab, Netns, Result, Router, Site, Stage, ensure, veth};

pub const WITHIN: Duration = Duration::from_secs(40);
/// The provider's end of the transport network.
pub const TRANSPORT: &str = "2001:db8:1::3";
/// What the first and the second LAN get.
pub const SUBNETS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 0), Ipv6Addr::new(0x2001, 0xdb8, 0x60, 2, 0, 0, 0, 0)];
/// The tunnel of the gateway of 2006.
pub const PLAIN: &str = r#"kind: SixInFour(remote: "192.0.2.1", local: Address("192.0.2.2"))"#;

/// See the head of `main.rs`.
pub struct Internet {
    /// Of the router.
    pub core: Router,
    /// Of the provider.
    pub peer: Option<Router>,
    pub site: Site,
    pub peer_site: Site,
    pub server: Netns,
    pub provider: Netns,
    pub router: Netns,
    pub hosts: [Netns; 2],
    /// Last, so that the cores end before their namespaces go.
    _lab: Lab,
}

/// A row of `portreeve status tunnels`.
#[derive(Debug)]
pub struct Tunnel {
    pub path: String,
    pub state: String,
    pub local: String,
}

/// The one file of the router, with this tunnel.
pub fn router_ron(tunnel: &str) -> String {
    router_ron_at("192.0.2.2/28", tunnel)
}

/// The same with another address of `wan0`.
pub fn router_ron_at(wan: &str, tunnel: &str) -> String {
    let gateway = if wan.starts_with("192.168.") { r#", routes: [(to: "0.0.0.0/0", via: "192.168.0.1")]"# } else { "" };
    format!(
        r#"Router(plugins: {{
            "interfaces": (config: (
                forwarding: (ipv6: true),
                pools: {{"isp": (prefix: "2001:db8:60::/60")}},
                interfaces: {{
                    "wan0": (addresses: ["{wan}"]{gateway}),
                    "lan0": (subnets: [(pool: "isp", number: 1)]),
                    "lan1": (subnets: [(pool: "isp", number: 2)]),
                }},
            )),
            "tunnels": (config: (tunnels: {{"sixbone": (
                {tunnel},
                addresses: ["2001:db8:1::2/127"],
                routes: [(to: "::/0", via: "{TRANSPORT}")],
                own_prefixes: ["2001:db8:60::/60"],
            )}})),
            "radvd": (config: (interfaces: {{
                "lan0": (prefixes: {{"::/64": ()}}),
                "lan1": (prefixes: {{"::/64": ()}}),
            }})),
        }})"#
    )
}

/// The provider's file, for a customer at this address.
pub fn provider_ron(customer: &str) -> String {
    format!(
        r#"Router(plugins: {{
            "interfaces": (config: (
                forwarding: (ipv6: true),
                interfaces: {{
                    "down0": (addresses: ["192.0.2.1/28"]),
                    "srv0": (addresses: ["2001:db8:ffff::ff/64"]),
                }},
            )),
            "tunnels": (config: (tunnels: {{"customer": (
                kind: SixInFour(remote: "{customer}", local: Address("192.0.2.1")),
                addresses: ["{TRANSPORT}/127"],
                routes: [(to: "2001:db8:60::/60", via: "2001:db8:1::2")],
            )}})),
        }})"#
    )
}

impl Internet {
    /// With this file in the router.
    pub fn new(router_ron: &str) -> Result<Self> {
        Self::with(router_ron, |_, provider, router| {
            veth((provider, "down0", "02:00:5e:10:00:01"), (router, "wan0", "02:00:5e:10:00:02"))
        })
    }

    /// As [`Self::new`], with something of `wire` between provider and router.
    pub fn with(router_ron: &str, wire: impl FnOnce(&mut Lab, &Netns, &Netns) -> Result) -> Result<Self> {
        let mut lab = Lab::new()?;
        let (server, provider, router) = (lab.netns("server")?, lab.netns("provider")?, lab.netns("router")?);
        let hosts = [lab.netns("host0")?, lab.netns("host1")?];
        wire(&mut lab, &provider, &router)?;
        veth((&provider, "srv0", "02:00:5e:10:01:01"), (&server, "eth0", "02:00:5e:10:01:02"))?;
        server.run("ip addr add 2001:db8:ffff::1/64 dev eth0 nodad")?;
        server.run("ip route add default via 2001:db8:ffff::ff")?;
        for (number, host) in hosts.iter().enumerate() {
            let (router_mac, mac) = (format!("02:00:5e:10:02:{number:02}"), format!("02:00:5e:10:03:{number:02}"));
            veth((&router, &format!("lan{number}"), &router_mac), (host, "eth0", &mac))?;
        }
        let stage = Stage::find()?;
        let peer_site = Site::new(&lab, &stage, &provider_ron("192.0.2.2"))?;
        let site = Site::new(&lab, &stage, router_ron)?;
        let peer = Some(peer_site.start(&provider)?);
        let core = site.start(&router)?;
        Ok(Self { core, peer, site, peer_site, server, provider, router, hosts, _lab: lab })
    }

    /// Both hosts have an address, a default route, and an answer from the server.
    pub fn hosts_are_connected(&mut self) -> Result {
        for (host, subnet) in self.hosts.iter().zip(SUBNETS) {
            self.core.wait_until("an address", WITHIN, || host.autoconfigured("eth0", subnet))?;
            self.core.wait_until("a default route", WITHIN, || (!host.default_routes().is_empty()).then_some(()))?;
        }
        for host in 0..self.hosts.len() {
            self.reaches_the_server(host)?;
        }
        Ok(())
    }

    /// The host has an answer from the server, now or soon.
    pub fn reaches_the_server(&mut self, host: usize) -> Result {
        let host = &self.hosts[host];
        let mut last = String::new();
        let reached = self.core.wait_until("an answer from behind the tunnel", WITHIN, || {
            host.run("ping -6 -n -c 1 -W 1 2001:db8:ffff::1").map_err(|failure| last = failure.to_string()).ok()
        });
        let log = || self.peer.as_ref().map(Router::log).unwrap_or_default();
        reached.map_err(|failure| failure.with("ping", &last).with("provider", &log()))
    }

    /// What the router says of its tunnel.
    pub fn tunnel(&self) -> Result<Tunnel> {
        let rows = self.core.table("tunnels", "tunnels")?;
        let row = rows.first().ok_or_else(|| Failure::new("`status tunnels` shows none"))?;
        let cell = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        ensure(row["tunnel"] == "sixbone", || row.to_string())?;
        Ok(Tunnel { path: cell("path"), state: cell("state"), local: cell("local") })
    }

    /// Waits until the router says this of its tunnel.
    pub fn wait_tunnel(&mut self, what: &str, is_so: impl Fn(&Tunnel) -> bool) -> Result {
        let mut last = None;
        let (found, log) = (
            portreeve_tests::lab::wait_until(what, WITHIN, || {
                last = self.tunnel().ok();
                last.as_ref().filter(|tunnel| is_so(tunnel)).map(drop)
            }),
            self.core.log(),
        );
        found.map_err(|failure| failure.with("tunnel", &format!("{last:?}")).with("log", &log))
    }

    /// `kernel` or `userspace`: whether this kernel has sit links.
    pub fn expected_path(&self) -> Result<&'static str> {
        let made = self.server.run("ip link add probe0 type sit local 192.0.2.99");
        if made.is_ok() {
            self.server.run("ip link del probe0")?;
        }
        Ok(if made.is_ok() { "kernel" } else { "userspace" })
    }
}

//! The internet as `main.rs` draws it. Everybody is given links by the lab; server, far router, provider and switch are
//! set up by hand, as they are no part of what is tested. The router's namespace gets nothing but a router.ron.
//!
//! Link addresses are formed from MACs, so that a host's address is known before it has formed it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use portreeve_tests::lab::{Lab, Netns, Result, Router, Site, Stage, ensure, veth, wait_until};

use super::dns::{Manner, Resolver};
use super::echo::Echo;
use super::status;

pub const WITHIN: Duration = Duration::from_secs(40);
/// The server.
pub const SERVER: Ipv4Addr = super::dns::SERVER;
/// The resolver beside it, and one that scenes start on their own.
pub const RESOLVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 51, 100, 53), Ipv4Addr::new(198, 51, 100, 54)];
/// What the provider knows the router by.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The provider's end of that link, and the far router's end of the next one.
pub const PROVIDERS: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(203, 0, 113, 6)];
/// Of 192.0.2.0/24, which the provider routes to the router: the first address of [`OWN_POOL`].
pub const POOL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 8);
/// A pool of the router's own.
pub const OWN_POOL: &str = r#"pool: Addresses(["192.0.2.8/32"]), private: true"#;
/// What the two LANs get.
pub const SUBNETS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 0), Ipv6Addr::new(0x2001, 0xdb8, 0x60, 2, 0, 0, 0, 0)];
/// The router on each, where its DNS64 answers.
pub const GATEWAYS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0x60, 1, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0x60, 2, 0, 0, 0, 1)];
/// On which LAN a host is.
const LANS: [usize; 3] = [0, 0, 1];
/// Of the echo.
pub const ECHO: u16 = 7;
/// The section of most scenes. Addresses of documentation count as private, and the internet here has no others.
pub const DNS64: &str =
    r#"instances: {"nat64": Nat64(private: true)}, dns64: (interfaces: ["lan*"], resolvers: ["198.51.100.53"])"#;

/// Fields are dropped in this order: the core before the namespaces, the lab last.
pub struct Scene {
    pub core: Option<Router>,
    pub echo: Echo,
    pub resolver: Resolver,
    pub site: Site,
    pub server: Netns,
    pub far: Netns,
    pub provider: Netns,
    pub router: Netns,
    pub hosts: [Netns; 3],
    pub lab: Lab,
}

/// The section of an instance `nat64` with these fields, and of the DNS64.
pub fn nat64(fields: &str) -> String {
    DNS64.replace("private: true", fields)
}

/// The router's file; none without the plugin.
pub fn router_ron(translator: Option<&str>) -> String {
    let entry = translator.map(|fields| format!(r#""translator": (config: ({fields})),"#));
    router_ron_with(&entry.unwrap_or_default(), "")
}

/// The router's file with this entry of a plugin, and these routes besides the usual ones.
pub fn router_ron_with(entry: &str, routes: &str) -> String {
    format!(
        r#"Router(system: (log: Debug), plugins: {{
            "interfaces": (config: (
                forwarding: (ipv6: true),
                pools: {{"isp": (prefix: "2001:db8:60::/60")}},
                interfaces: {{
                    "wan0": (addresses: ["{ROUTER}/30"], routes: [(to: "0.0.0.0/0", via: "{}")]),
                    "lan0": (subnets: [(pool: "isp", number: 1)]),
                    "lan1": (subnets: [(pool: "isp", number: 2)]),
                }},
                routes: [{routes}],
            )),
            "radvd": (config: (interfaces: {{
                "lan0": (prefixes: {{"::/64": ()}}, pref64: Auto, rdnss: Auto),
                "lan1": (prefixes: {{"::/64": ()}}, pref64: Auto, rdnss: Auto),
            }})),
            {entry}
        }})"#,
        PROVIDERS[0]
    )
}

impl Scene {
    /// Everything but the core, with these fields in the section of the translator.
    pub fn laid_out(translator: &str) -> Result<Self> {
        let mut lab = Lab::new()?;
        let mut named = |name: &str| lab.netns(name);
        let (server, far, provider) = (named("server")?, named("far")?, named("provider")?);
        let (router, switch) = (named("router")?, named("switch")?);
        let hosts = [named("host0")?, named("host1")?, named("host2")?];
        veth((&far, "srv0", "02:00:5e:10:01:01"), (&server, "eth0", "02:00:5e:10:01:02"))?;
        veth((&provider, "mid0", "02:00:5e:10:01:03"), (&far, "mid0", "02:00:5e:10:01:04"))?;
        veth((&provider, "isp0", "02:00:5e:10:01:05"), (&router, "wan0", "02:00:5e:10:01:06"))?;
        veth((&router, "lan0", "02:00:5e:10:02:00"), (&switch, "port9", "02:00:5e:10:02:09"))?;
        veth((&switch, "port0", "02:00:5e:10:02:03"), (&hosts[0], "eth0", &host_mac(0)))?;
        veth((&switch, "port1", "02:00:5e:10:02:04"), (&hosts[1], "eth0", &host_mac(1)))?;
        veth((&router, "lan1", "02:00:5e:10:02:01"), (&hosts[2], "eth0", &host_mac(2)))?;
        let by_hand: [(&Netns, &[&str]); 4] = [
            (
                &switch,
                &[
                    "ip link add br0 type bridge forward_delay 0",
                    "ip link set br0 up",
                    "ip link set port9 master br0",
                    "ip link set port0 master br0",
                    "ip link set port1 master br0",
                ],
            ),
            (
                &server,
                &[
                    "ip addr add 198.51.100.80/24 dev eth0",
                    "ip addr add 198.51.100.53/24 dev eth0",
                    "ip addr add 198.51.100.54/24 dev eth0",
                    "ip route add default via 198.51.100.1",
                ],
            ),
            (
                &far,
                &[
                    "ip addr add 198.51.100.1/24 dev srv0",
                    "ip addr add 203.0.113.6/30 dev mid0",
                    "ip route add default via 203.0.113.5",
                ],
            ),
            (
                &provider,
                &[
                    "ip addr add 203.0.113.5/30 dev mid0",
                    "ip addr add 203.0.113.1/30 dev isp0",
                    "ip route add 198.51.100.0/24 via 203.0.113.6",
                    "ip route add 192.0.2.0/24 via 203.0.113.2",
                ],
            ),
        ];
        for (netns, lines) in by_hand {
            for line in lines {
                netns.run(line)?;
            }
        }
        for netns in [&server, &far, &provider] {
            netns.sysctl("net.ipv4.ip_forward", "1")?;
            // Every error is told: traceroute asks more than one a second.
            netns.sysctl("net.ipv4.icmp_ratemask", "0")?;
        }
        for host in &hosts {
            // ICMPv6 errors of the host are answers to what these tests ask.
            host.sysctl("net.ipv6.icmp.ratelimit", "0")?;
        }
        let echo = Echo::start(&server, SERVER, ECHO)?;
        let resolver = Resolver::start(&server, RESOLVERS[0], Manner::Honest)?;
        let site = Site::new(&lab, &Stage::find()?, &router_ron(Some(translator)))?;
        Ok(Self { core: None, echo, resolver, site, server, far, provider, router, hosts, lab })
    }

    /// All of it, and all hosts reach the server through the default prefix.
    pub fn new(translator: &str) -> Result<Self> {
        let mut scene = Self::laid_out(translator)?;
        scene.start(&[])?;
        scene.hosts_are_connected(nat64_of(SERVER))?;
        Ok(scene)
    }

    /// Starts the core with these environment variables; the translator is ready.
    pub fn start(&mut self, environment: &[(&str, &str)]) -> Result {
        let mut core = self.site.start_with(&self.router, environment)?;
        core.wait_ready(status::PLUGIN, WITHIN)?;
        self.core = Some(core);
        Ok(())
    }

    /// The running core.
    pub fn core(&self) -> &Router {
        self.core.as_ref().unwrap()
    }

    /// Every host has an address, a default route, and an answer from `address`.
    pub fn hosts_are_connected(&mut self, address: Ipv6Addr) -> Result {
        let core = self.core.as_mut().unwrap();
        for (number, host) in self.hosts.iter().enumerate() {
            core.wait_until("an address", WITHIN, || host.autoconfigured("eth0", SUBNETS[LANS[number]]))?;
            core.wait_until("a default route", WITHIN, || (!host.default_routes().is_empty()).then_some(()))?;
            let mut last = String::new();
            let ping = || host.run(&ping(address)).map_err(|failure| last = failure.to_string()).ok();
            let reached = core.wait_until("an answer of the server", WITHIN, ping);
            reached.map_err(|failure| failure.with("ping", &last))?;
        }
        Ok(())
    }

    /// Has the core read another file.
    pub fn put(&self, file: &str) -> Result {
        self.site.configure(file)?;
        self.core().reload()
    }

    /// Puts other fields in the translator's section, and waits until the running plugin has changed over.
    pub fn reconfigure(&mut self, translator: &str) -> Result {
        let before = changes(&self.core().log());
        self.put(&router_ron(Some(translator)))?;
        let core = self.core.as_mut().unwrap();
        let log = core.log_path();
        core.wait_until("the plugin has changed over", WITHIN, || {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            (changes(&log) > before).then_some(())
        })
    }

    /// The host's address.
    pub fn host_address(&self, number: usize) -> Ipv6Addr {
        slaac(SUBNETS[LANS[number]], number)
    }

    /// Where a host has the echo.
    pub fn echo_at(&self) -> SocketAddr {
        SocketAddr::new(nat64_of(SERVER).into(), self.echo.port())
    }

    /// Waits for something that `portreeve status` is to show; a failure shows the whole of it.
    pub fn wait_status<T>(&self, what: &str, mut probe: impl FnMut(&Router) -> Result<Option<T>>) -> Result<T> {
        let mut last = None;
        let found =
            wait_until(what, WITHIN, || probe(self.core()).map_err(|failure| last = Some(failure)).ok().flatten());
        found.map_err(|failure| {
            let status = self.core().command(&["status", status::PLUGIN]).unwrap_or_else(|failure| failure.to_string());
            let last = last.map(|failure| failure.to_string()).unwrap_or_default();
            failure.with("last", &last).with("status", &status).with("log", &self.core().log())
        })
    }

    /// A counter grows beyond what it was.
    pub fn counts(&self, what: &str, before: u64, mut read: impl FnMut(&Router) -> Result<u64>) -> Result<u64> {
        self.wait_status(what, |core| Ok(Some(read(core)?).filter(|now| *now > before)))
    }
}

/// How often the core has logged that the running plugin took another section.
fn changes(log: &str) -> usize {
    log.lines().filter(|line| line.contains("plugin reconfigured") && line.contains(status::PLUGIN)).count()
}

fn host_mac(number: usize) -> String {
    format!("02:00:5e:10:03:{number:02}")
}

/// What a host of [`host_mac`] forms (RFC 4291 appendix A).
fn slaac(subnet: Ipv6Addr, number: usize) -> Ipv6Addr {
    let [a, b, c, d, ..] = subnet.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0x5eff, 0xfe10, 0x0300 | u16::try_from(number).unwrap())
}

/// The address in the well-known prefix (RFC 6052 section 2.1).
pub fn nat64_of(address: Ipv4Addr) -> Ipv6Addr {
    embedded(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), address)
}

/// The address in a prefix of 96 bits (RFC 6052 section 2.2).
pub fn embedded(prefix: Ipv6Addr, address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.to_bits() | u128::from(address.to_bits()))
}

/// The line that asks an address for one answer.
pub fn ping(address: impl Into<IpAddr>) -> String {
    format!("ping -n -c 1 -W 2 {}", address.into())
}

/// Fails unless somebody came, and all were this address.
pub fn all_are(peers: &[SocketAddr], address: impl Into<IpAddr>) -> Result {
    let address = address.into();
    ensure(!peers.is_empty() && peers.iter().all(|peer| peer.ip() == address), || {
        format!("not all {address}: {peers:?}")
    })
}

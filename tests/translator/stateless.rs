//! Address by address, without sessions: SIIT with explicit mappings, and the customer's side of 464XLAT in front of a
//! NAT64.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use portreeve_tests::lab::{Netns, Result, Router, Server, Site, Stage, ensure, veth};

use super::echo::{self, Echo};
use super::programs::traceroute;
use super::scene::{
    DNS64, GATEWAYS, PROVIDERS, ROUTER, SERVER, SUBNETS, Scene, WITHIN, all_are, embedded, nat64_of, ping,
    router_ron_with,
};
use super::status::{self, PREFIX};

const MIB: u64 = 1024 * 1024;
/// Where SIIT has the IPv4 internet.
const SIIT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0);
/// What the internet knows the first host by.
const MAPPED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The customer's IPv4 network: its host.
const OLD: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
/// Routed to the customer; its CLAT has an address of it.
const DELEGATED: &str = "2001:db8:60:f::/64";

fn siit() -> Result<Scene> {
    let host = Ipv6Addr::from_bits(SUBNETS[0].to_bits() | 0x5eff_fe10_0300);
    let instance = format!(r#""siit0": Siit(prefix: "{SIIT}/96", eam: [("{MAPPED}/32", "{host}/128")])"#);
    let mut scene = Scene::laid_out(&format!("instances: {{{instance}}}"))?;
    scene.start(&[])?;
    let (host, core) = (scene.hosts[0].clone(), scene.core.as_mut().unwrap());
    let reached = || host.run(&ping(embedded(SIIT, SERVER))).ok();
    core.wait_until("an answer through SIIT", WITHIN, reached)?;
    Ok(scene)
}

#[test]
fn a_host_with_an_explicit_mapping_talks_both_ways() -> Result {
    let scene = siit()?;
    let host = &scene.hosts[0];
    let server = embedded(SIIT, SERVER);
    echo::tcp(host, (server, scene.echo.port()).into())?;
    echo::udp(host, (server, scene.echo.port()).into(), 1000)?;
    echo::udp(host, (server, scene.echo.port()).into(), 4000)?;
    host.run(&format!("ping -n -c 2 -i 0.2 -W 5 -s 1400 {server}"))?;
    all_are(&scene.echo.tcp_peers(), MAPPED)?;
    all_are(&scene.echo.udp_peers(), MAPPED)?;
    // Fragments of ICMP are not translated one by one (RFC 7915 section 1.2); those of UDP were. The other way: nothing has to be opened first.
    let service = Echo::start(host, Ipv6Addr::UNSPECIFIED, 7)?;
    echo::tcp(&scene.server, (MAPPED, 7).into())?;
    echo::udp(&scene.server, (MAPPED, 7).into(), 4000)?;
    scene.server.run(&format!("ping -n -c 2 -i 0.2 -W 5 -s 1400 {MAPPED}"))?;
    all_are(&service.tcp_peers(), server)?;
    all_are(&service.udp_peers(), server)
}

#[test]
fn megabytes_go_both_ways_through_siit() -> Result {
    let scene = siit()?;
    let down = Server::start(&scene.server, SERVER, 1, 50 * MIB)?;
    let up = Server::taking(&scene.server, SERVER, 1)?;
    let fetched = down.fetch_at(&scene.hosts[0], embedded(SIIT, SERVER))?;
    let pushed = up.push_to(&scene.hosts[0], embedded(SIIT, SERVER), 50 * MIB)?;
    ensure(fetched.bytes == 50 * MIB && pushed.bytes == 50 * MIB, || format!("{fetched:?}, {pushed:?}"))
}

#[test]
fn traceroute_passes_siit_in_both_families() -> Result {
    let scene = siit()?;
    let hops = traceroute(&scene.hosts[0], &format!("-6 -I {}", embedded(SIIT, SERVER)))?;
    let position = |address: IpAddr| hops.iter().position(|hop| *hop == Some(address));
    let provider = position(embedded(SIIT, PROVIDERS[0]).into());
    ensure(provider.is_some() && provider < position(embedded(SIIT, SERVER).into()), || format!("{hops:?}"))?;
    let hops = traceroute(&scene.server, &format!("-4 -I {MAPPED}"))?;
    let position = |address: IpAddr| hops.iter().position(|hop| *hop == Some(address));
    ensure(position(ROUTER.into()) == Some(2), || format!("{hops:?}"))?;
    ensure(position(MAPPED.into()) == Some(hops.len() - 1), || format!("{hops:?}"))
}

#[test]
fn a_host_without_a_mapping_does_not_get_through_and_the_others_do() -> Result {
    let scene = siit()?;
    let refused = scene.hosts[1].output(&ping(embedded(SIIT, SERVER)));
    ensure(refused.is_err(), || "it got an answer".to_owned())?;
    scene.hosts[0].run(&ping(embedded(SIIT, SERVER)))
}

/// The third host's namespace as a customer's router, and a host with IPv4 only behind it.
struct Customer {
    core: Router,
    old: Netns,
    scene: Scene,
}

impl Customer {
    fn new(prefix: &str) -> Result<Self> {
        let mut scene = Scene::laid_out(DNS64)?;
        let old = scene.lab.netns("old")?;
        let router = &scene.hosts[2];
        veth((router, "lan4", "02:00:5e:10:04:01"), (&old, "eth0", "02:00:5e:10:04:02"))?;
        old.sysctl("net.ipv6.conf.all.disable_ipv6", "1")?;
        old.run(&format!("ip addr add {OLD}/24 dev eth0"))?;
        old.run("ip route add default via 192.168.1.1")?;
        let entry = format!(r#""translator": (config: ({DNS64})),"#);
        let route = format!(r#"(to: "{DELEGATED}", via: "{}", interface: "lan1")"#, scene.host_address(2));
        scene.site.configure(&router_ron_with(&entry, &route))?;
        scene.start(&[])?;
        let file = format!(
            r#"Router(system: (log: Debug), plugins: {{
                "interfaces": (config: (forwarding: (ipv6: true, ipv4: true), interfaces: {{
                    "eth0": (accept_ra: Always),
                    "lan4": (addresses: ["192.168.1.1/24"]),
                }})),
                "translator": (config: (instances: {{"clat": Clat(
                    prefix: {prefix},
                    address: "2001:db8:60:f::464/128",
                    masquerade: ["192.168.1.0/24"], private: true,
                )}}, forwarding: false)),
            }})"#
        );
        let site = Site::new(&scene.lab, &Stage::find()?, &file)?.with_resolver(GATEWAYS[1].into())?;
        let mut core = site.start(&scene.hosts[2])?;
        let mut last = String::new();
        let reached = core.wait_until("an answer through both translators", WITHIN, || {
            old.run(&ping(SERVER)).map_err(|failure| last = failure.to_string()).ok()
        });
        reached.map_err(|failure| {
            let said = |line: &str| scene.hosts[2].output(line).unwrap_or_else(|failure| failure.to_string());
            let status = core.command(&["status", status::PLUGIN]).unwrap_or_else(|failure| failure.to_string());
            failure
                .with("ping", &last)
                .with("status", &status)
                .with("addresses", &said("ip addr show"))
                .with("routes", &(said("ip -4 route show") + &said("ip -6 route show")))
                .with("nftables", &said("nft list ruleset"))
                .with("the provider's", &scene.core().log())
        })?;
        Ok(Self { core, old, scene })
    }

    fn works(&self) -> Result {
        let server: SocketAddr = (SERVER, self.scene.echo.port()).into();
        echo::tcp(&self.old, server)?;
        for length in [10, 1400, 4000] {
            echo::udp(&self.old, server, length)?;
        }
        // Answers that may be fragmented are (RFC 7915 section 4), and fragments of ICMP end at the customer's side
        // (section 1.2): so none of more than 1280 bytes.
        self.old.run(&format!("ping -n -c 3 -i 0.2 -W 5 -s 1200 {SERVER}"))?;
        all_are(&self.scene.echo.tcp_peers(), ROUTER)?;
        let found = status::instance(&self.core, "clat", PREFIX)?;
        ensure(found.contains("64:ff9b::/96"), || found)
    }
}

#[test]
fn a_host_with_ipv4_only_reaches_the_server_through_464xlat() -> Result {
    let customer = Customer::new(r#""64:ff9b::/96""#)?;
    customer.works()?;
    let (server, old) = (&customer.scene.server, &customer.old);
    let down = Server::start(server, SERVER, 1, 50 * MIB)?;
    let up = Server::taking(server, SERVER, 1)?;
    ensure(down.fetch(old)?.bytes == 50 * MIB, || "other bytes came down".to_owned())?;
    up.push_to(old, SERVER, 50 * MIB)?;
    let hops = traceroute(old, &format!("-4 {SERVER}"))?;
    ensure(hops.last() == Some(&Some(SERVER.into())), || format!("{hops:?}"))?;
    let position = |address: Ipv4Addr| hops.iter().position(|hop| *hop == Some(address.into()));
    ensure(position(PROVIDERS[0]).is_some(), || format!("{hops:?}"))
}

/// RFC 7050 section 3.
#[test]
fn the_customers_side_finds_the_prefix_in_ipv4only_arpa() -> Result {
    let customer = Customer::new("Auto")?;
    customer.works()?;
    ensure(customer.scene.hosts[0].run(&ping(nat64_of(SERVER))).is_ok(), || {
        "the provider's own host is cut off".to_owned()
    })
}

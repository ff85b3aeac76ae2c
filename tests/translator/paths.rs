//! What happens on the way is told to both ends: hops, the path's MTU on either side, fragments.

use std::net::{IpAddr, Ipv6Addr};

use portreeve_tests::lab::{Failure, Netns, Result, Server, ensure};

use super::echo;
use super::programs::traceroute;
use super::scene::{DNS64, OWN_POOL, POOL, PROVIDERS, ROUTER, SERVER, SUBNETS, Scene, nat64, nat64_of};

const MIB: u64 = 1024 * 1024;
/// Behind a UDP or ICMP header with IPv4's: needs three fragments at 1500.
const LARGE: usize = 4000;

/// The MTU that a host has learnt of the path to an address.
fn learnt_mtu(netns: &Netns, to: impl Into<IpAddr>) -> Result<u32> {
    let (to, text) = (to.into(), String::new());
    let family = if to.is_ipv6() { "-6" } else { "-4" };
    let text = text + &netns.output(&format!("ip {family} route get {to}"))?;
    let mut words = text.split_whitespace();
    let mtu = words.find(|word| *word == "mtu").and_then(|_| words.next()?.parse().ok());
    mtu.ok_or_else(|| Failure::new(format!("{} has learnt no MTU: {text}", netns.name())))
}

/// The link between provider and far router takes no more.
fn narrow_middle(scene: &Scene, mtu: u32) -> Result {
    for netns in [&scene.provider, &scene.far] {
        netns.run(&format!("ip link set mid0 mtu {mtu}"))?;
    }
    Ok(())
}

#[test]
fn traceroute_of_a_host_shows_the_hops_behind_the_translator_in_the_prefix() -> Result {
    let scene = Scene::new(DNS64)?;
    for kind in ["", "-I", "-T -p 7"] {
        let hops = traceroute(&scene.hosts[0], &format!("-6 {kind} {}", nat64_of(SERVER)))?;
        let position = |address: IpAddr| hops.iter().position(|hop| *hop == Some(address));
        let lan = position(super::scene::GATEWAYS[0].into());
        let behind = PROVIDERS.map(|address| position(nat64_of(address).into()));
        let last = position(nat64_of(SERVER).into());
        ensure(lan == Some(0), || format!("{kind}: the first hop is not the router: {hops:?}"))?;
        let [Some(provider), Some(far)] = behind else {
            return Err(Failure::new(format!("{kind}: hops behind the translator are missing: {hops:?}")));
        };
        ensure(provider + 1 == far && Some(far + 1) == last, || format!("{kind}: another order: {hops:?}"))?;
    }
    Ok(())
}

#[test]
fn traceroute_from_the_internet_to_a_static_entry_passes_the_router() -> Result {
    let host = Ipv6Addr::from_bits(SUBNETS[0].to_bits() | 0x5eff_fe10_0300);
    let entry = format!(r#"{OWN_POOL}, static: [(protocol: Tcp, host: "[{host}]:7", public: "{POOL}:443")]"#);
    let scene = Scene::new(&nat64(&entry))?;
    ensure(host == scene.host_address(0), || format!("{host} is not the first host"))?;
    let _echo = echo::Echo::start(&scene.hosts[0], Ipv6Addr::UNSPECIFIED, 7)?;
    let hops = traceroute(&scene.server, &format!("-4 -T -p 443 {POOL}"))?;
    let position = |address: IpAddr| hops.iter().position(|hop| *hop == Some(address));
    ensure(position(ROUTER.into()) == Some(2), || format!("the router is not the third hop: {hops:?}"))?;
    // The translator itself and routers behind it have an address of the pool, too (RFC 6791).
    ensure(hops.last() == Some(&Some(POOL.into())), || format!("the host is not the last: {hops:?}"))
}

/// RFC 7915 section 5.2: 1280 bytes of IPv4 are 1300 of IPv6.
#[test]
fn a_link_of_1280_bytes_behind_the_router_is_told_to_the_host_as_1300() -> Result {
    let scene = Scene::new(DNS64)?;
    narrow_middle(&scene, 1280)?;
    let up = Server::taking(&scene.server, SERVER, 1)?;
    let down = Server::start(&scene.server, SERVER, 1, 5 * MIB)?;
    up.push_to(&scene.hosts[0], nat64_of(SERVER), 5 * MIB)?;
    let mtu = learnt_mtu(&scene.hosts[0], nat64_of(SERVER))?;
    ensure(mtu == 1300, || format!("the host learnt {mtu}"))?;
    // The far router tells the server itself.
    down.fetch_at(&scene.hosts[2], nat64_of(SERVER))?;
    let said = scene.hosts[1].output(&format!("ping -n -c 1 -W 5 -M do -s 1400 {}", nat64_of(SERVER)));
    let said = said.unwrap_err().to_string();
    ensure(said.contains("mtu=1300") || said.contains("mtu: 1300"), || said)?;
    echo::udp(&scene.hosts[1], scene.echo_at(), 1400)
}

/// IPv6 goes no lower than 1280, so that the translator lets IPv4 routers fragment smaller packets (RFC 7915 section 5.1).
#[test]
fn a_link_of_1000_bytes_behind_the_router_is_passed_in_fragments() -> Result {
    let scene = Scene::new(DNS64)?;
    narrow_middle(&scene, 1000)?;
    let up = Server::taking(&scene.server, SERVER, 1)?;
    up.push_to(&scene.hosts[0], nat64_of(SERVER), MIB)?;
    let mtu = learnt_mtu(&scene.hosts[0], nat64_of(SERVER))?;
    ensure(mtu == 1280, || format!("the host learnt {mtu}"))
}

/// RFC 7915 section 4.2: 1280 bytes of IPv6 are 1260 of IPv4.
#[test]
fn a_link_of_1280_bytes_on_the_side_of_the_hosts_is_told_to_the_server_as_1260() -> Result {
    for fields in [DNS64.to_owned(), nat64(OWN_POOL)] {
        let scene = Scene::new(&fields)?;
        scene.router.run("ip link set lan1 mtu 1280")?;
        let down = Server::start(&scene.server, SERVER, 1, 5 * MIB)?;
        down.fetch_at(&scene.hosts[2], nat64_of(SERVER))?;
        let seen_by_server = if fields == DNS64 { ROUTER } else { POOL };
        let mtu = learnt_mtu(&scene.server, seen_by_server)?;
        ensure(mtu == 1260, || format!("the server learnt {mtu} of {seen_by_server}"))?;
    }
    Ok(())
}

#[test]
fn fragments_pass_both_ways_with_masquerade_and_with_an_own_pool() -> Result {
    for fields in [DNS64.to_owned(), nat64(OWN_POOL)] {
        let scene = Scene::new(&fields)?;
        for host in &scene.hosts {
            echo::udp(host, scene.echo_at(), LARGE)?;
            host.run(&format!("ping -n -c 3 -i 0.2 -W 5 -s 3000 {}", nat64_of(SERVER)))?;
        }
        // The largest that UDP has.
        echo::udp(&scene.hosts[0], scene.echo_at(), 60_000)?;
    }
    Ok(())
}

#[test]
fn the_hop_limit_is_carried_over_and_counted_down() -> Result {
    let scene = Scene::new(&nat64(OWN_POOL))?;
    // From 64: the far router, the provider, the router's kernel on either side of the translator, and itself.
    let said = scene.hosts[0].output(&format!("ping -n -c 1 -W 5 {}", nat64_of(SERVER)))?;
    let ttl = said.split("ttl=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    ensure(ttl.is_some_and(|ttl| ttl == 59), || said)
}

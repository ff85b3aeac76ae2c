//! Public addresses of the router's own: mappings, static entries, hosts that meet each other there.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use portreeve_tests::lab::{Result, ensure};

use super::echo::{self, Echo};
use super::scene::{OWN_POOL, POOL, SERVER, SUBNETS, Scene, all_are, nat64, nat64_of};
use super::status::{self, FILTERED, HAIRPINNED, NAT64, NO_MAPPING};

/// At the first host.
const SERVICE: u16 = 7;
/// The same from outside.
const PUBLIC: u16 = 443;
/// Long enough for something that shall not come, when what shall come was there at once.
const SILENCE: Duration = Duration::from_millis(500);

/// An own pool, and the first host's service at its public port, TCP and UDP.
fn with_service(more: &str) -> String {
    let host = Ipv6Addr::from_bits(SUBNETS[0].to_bits() | 0x5eff_fe10_0300);
    let entry =
        |protocol: &str| format!(r#"(protocol: {protocol}, host: "[{host}]:{SERVICE}", public: "{POOL}:{PUBLIC}")"#);
    nat64(&format!("{OWN_POOL}, static: [{}, {}]{more}", entry("Tcp"), entry("Udp")))
}

#[test]
fn the_server_sees_an_address_of_the_pool() -> Result {
    let scene = Scene::new(&nat64(OWN_POOL))?;
    for host in &scene.hosts {
        echo::tcp(host, scene.echo_at())?;
        echo::udp(host, scene.echo_at(), 100)?;
    }
    all_are(&scene.echo.tcp_peers(), POOL)?;
    all_are(&scene.echo.udp_peers(), POOL)?;
    let used = status::ports_used(scene.core(), NAT64, &POOL.to_string())?;
    ensure(used >= 6, || format!("{used} ports in use"))
}

/// RFC 6146 section 3.5.1: endpoint-independent mapping.
#[test]
fn a_port_of_a_host_is_the_same_for_all_it_talks_to() -> Result {
    let scene = Scene::new(&nat64(OWN_POOL))?;
    let other = Echo::start(&scene.server, super::scene::RESOLVERS[1], 0)?;
    let socket = echo::udp_socket(&scene.hosts[0], scene.echo_at())?;
    echo::udp_over(&socket, 10)?;
    socket.connect((nat64_of(super::scene::RESOLVERS[1]), other.port()))?;
    echo::udp_over(&socket, 10)?;
    let (first, second) = (scene.echo.udp_peers(), other.udp_peers());
    ensure(first.last().is_some() && first.last() == second.last(), || format!("{first:?} and {second:?}"))
}

#[test]
fn a_static_entry_is_reached_from_the_internet() -> Result {
    let scene = Scene::new(&with_service(""))?;
    let service = Echo::start(&scene.hosts[0], Ipv6Addr::UNSPECIFIED, SERVICE)?;
    let public: SocketAddr = (POOL, PUBLIC).into();
    echo::tcp(&scene.server, public)?;
    echo::udp(&scene.server, public, 1000)?;
    all_are(&service.tcp_peers(), nat64_of(SERVER))?;
    all_are(&service.udp_peers(), nat64_of(SERVER))?;
    // A port beside it is nobody's, and that is said.
    let refused = echo::connect(&scene.server, (POOL, PUBLIC + 1).into());
    ensure(refused.is_err(), || "somebody answers at another port".to_owned())?;
    scene.counts("a drop", 0, |core| status::drops(core, NAT64, NO_MAPPING)).map(drop)
}

/// RFC 6146 section 3.8.
#[test]
fn two_hosts_meet_at_a_static_entry() -> Result {
    let scene = Scene::new(&with_service(""))?;
    let service = Echo::start(&scene.hosts[0], Ipv6Addr::UNSPECIFIED, SERVICE)?;
    let public: SocketAddr = (nat64_of(POOL), PUBLIC).into();
    for host in [&scene.hosts[1], &scene.hosts[2], &scene.hosts[0]] {
        echo::tcp(host, public)?;
        echo::udp(host, public, 1000)?;
        echo::udp(host, public, 4000)?;
    }
    // Each is seen as it would be from outside.
    all_are(&service.tcp_peers(), nat64_of(POOL))?;
    all_are(&service.udp_peers(), nat64_of(POOL))?;
    scene.counts("hairpinned packets", 0, |core| status::packets(core, NAT64, HAIRPINNED)).map(drop)
}

/// RFC 6146 section 3.8, with what the hosts learn of their mappings from the server.
#[test]
fn two_hosts_meet_at_mappings_that_they_made() -> Result {
    let scene = Scene::new(&nat64(OWN_POOL))?;
    let mut ends = Vec::new();
    for host in &scene.hosts[..2] {
        let socket = echo::udp_socket(host, scene.echo_at())?;
        echo::udp_over(&socket, 10)?;
        let mapped = *scene.echo.udp_peers().last().unwrap();
        ends.push((socket, mapped));
    }
    let at = |mapped: SocketAddr| match mapped.ip() {
        IpAddr::V4(address) => SocketAddr::from((nat64_of(address), mapped.port())),
        IpAddr::V6(_) => mapped,
    };
    let ((first, first_mapped), (second, second_mapped)) = (&ends[0], &ends[1]);
    ensure(first_mapped != second_mapped, || format!("one mapping for two: {first_mapped}"))?;
    first.connect(at(*second_mapped))?;
    second.connect(at(*first_mapped))?;
    let mut heard = [0; 16];
    for (from, to, word) in [(first, second, b"hello"), (second, first, b"hallo")] {
        from.send(word)?;
        let length = to.recv(&mut heard)?;
        ensure(heard[..length] == *word, || format!("{:02x?}", &heard[..length]))?;
    }
    Ok(())
}

#[test]
fn with_endpoint_independent_filtering_a_stranger_reaches_a_mapping() -> Result {
    let scene = Scene::new(&nat64(&format!("{OWN_POOL}, filtering: EndpointIndependent")))?;
    let (inside, stranger, mapped) = mapping_and_stranger(&scene)?;
    stranger.send_to(b"hello", mapped)?;
    let length = inside.recv(&mut [0; 16])?;
    ensure(length == 5, || format!("{length} bytes"))
}

#[test]
fn with_address_dependent_filtering_a_stranger_is_dropped_and_counted() -> Result {
    let scene = Scene::new(&nat64(&format!("{OWN_POOL}, filtering: AddressDependent")))?;
    let (inside, stranger, mapped) = mapping_and_stranger(&scene)?;
    inside.set_read_timeout(Some(SILENCE))?;
    stranger.send_to(b"hello", mapped)?;
    scene.counts("the stranger's packet", 0, |core| status::drops(core, NAT64, FILTERED))?;
    let heard = inside.recv(&mut [0; 16]);
    ensure(heard.as_ref().is_err_and(echo::is_timeout), || format!("{heard:?}"))?;
    // Whom the host has talked to may go on.
    inside.connect(scene.echo_at())?;
    echo::udp_over(&inside, 10)
}

/// A socket inside with a mapping, one at an address that it has not talked to, and the mapping.
fn mapping_and_stranger(scene: &Scene) -> Result<(std::net::UdpSocket, std::net::UdpSocket, SocketAddr)> {
    let inside = echo::udp_socket(&scene.hosts[0], scene.echo_at())?;
    echo::udp_over(&inside, 10)?;
    let mapped = *scene.echo.udp_peers().last().unwrap();
    let stranger = scene.server.enter(|| std::net::UdpSocket::bind((super::scene::RESOLVERS[1], 0)))??;
    // So that the kernel of the host would let it in; nothing is sent by that.
    inside.connect((nat64_of(super::scene::RESOLVERS[1]), stranger.local_addr()?.port()))?;
    Ok((inside, stranger, mapped))
}

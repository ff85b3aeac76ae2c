//! Hosts with IPv6 only reach the IPv4 internet by name and by literal address, with programs that everybody has.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Icmpv6, Result, Router, Server, ensure, wait_until};

use super::dns::{LARGE, NATIVE};
use super::echo;
use super::http::Http;
use super::programs::{Ssh, dig, dig_in_full, with_resolver};
use super::scene::{
    DNS64, GATEWAYS, ROUTER, SERVER, SUBNETS, Scene, WITHIN, all_are, nat64, nat64_of, ping, router_ron,
};
use super::status::{self, DENIED, NAT64, PREFIX, PROHIBITED, STATE, UP};

const MIB: u64 = 1024 * 1024;
/// RFC 8781 section 4.
const PREF64: u8 = 38;
/// RFC 8106 section 5.1.
const RDNSS: u8 = 25;

/// The options of this type in an advertisement, without type and length.
fn options(message: &[u8], kind: u8) -> Vec<Vec<u8>> {
    let (mut rest, mut found) = (message.get(16..).unwrap_or_default(), Vec::new());
    while let [this, length, ..] = *rest {
        let Some((option, others)) = rest.split_at_checked(usize::from(length).max(1) * 8) else { break };
        if this == kind {
            found.push(option[2..].to_vec());
        }
        rest = others;
    }
    found
}

#[test]
fn hosts_are_told_the_prefix_and_the_resolver() -> Result {
    let scene = Scene::new(DNS64)?;
    for (host, gateway) in [(&scene.hosts[0], GATEWAYS[0]), (&scene.hosts[2], GATEWAYS[1])] {
        let ears = Icmpv6::listen(host, "eth0")?;
        let mut last = Vec::new();
        // The first advertisement may have been sent before the facts were there; the next one has them.
        let told = wait_until("both options", WITHIN, || {
            ears.solicit().ok()?;
            last = ears.advertisement(Duration::from_secs(4)).ok()??.message;
            let (prefixes, servers) = (options(&last, PREF64), options(&last, RDNSS));
            (!prefixes.is_empty() && !servers.is_empty()).then_some((prefixes, servers))
        });
        let (prefixes, servers) = told.map_err(|failure| failure.with("last", &format!("{last:02x?}")))?;
        // 13 bits of lifetime, 3 of the length's code, where 0 is 96; then the first 96 bits.
        ensure(prefixes.len() == 1 && prefixes[0][2..] == nat64_of(0.into()).octets()[..12], || {
            format!("{prefixes:02x?}")
        })?;
        let word = u16::from_be_bytes([prefixes[0][0], prefixes[0][1]]);
        ensure(word & 7 == 0 && word >> 3 > 0, || format!("{prefixes:02x?}"))?;
        // Two bytes reserved, four of lifetime, then addresses.
        ensure(servers.len() == 1 && servers[0][6..] == gateway.octets(), || format!("{servers:02x?}"))?;
    }
    Ok(())
}

#[test]
fn what_hosts_were_told_is_taken_back_with_the_translator() -> Result {
    let scene = Scene::new(DNS64)?;
    let ears = Icmpv6::listen(&scene.hosts[0], "eth0")?;
    scene.put(&router_ron(None))?;
    let mut last = Vec::new();
    let taken_back = wait_until("both options with no lifetime", WITHIN, || {
        last = ears.advertisement(WITHIN).ok()??.message;
        let (prefixes, servers) = (options(&last, PREF64), options(&last, RDNSS));
        let prefix_is_over = prefixes.first()?[..2] == [0, 0];
        (prefix_is_over && servers.first()?[2..6] == [0; 4]).then_some(())
    });
    taken_back.map_err(|failure| failure.with("last", &format!("{last:02x?}")).with("log", &scene.core().log()))
}

#[test]
fn tcp_udp_and_ping_reach_a_literal_address_and_the_server_sees_the_router() -> Result {
    let scene = Scene::new(DNS64)?;
    for host in &scene.hosts {
        echo::tcp(host, scene.echo_at())?;
        for length in [1, 100, 1400] {
            echo::udp(host, scene.echo_at(), length)?;
        }
        host.run(&format!("ping -n -c 3 -i 0.1 -W 5 {}", nat64_of(SERVER)))?;
    }
    all_are(&scene.echo.tcp_peers(), ROUTER)?;
    all_are(&scene.echo.udp_peers(), ROUTER)?;
    let (state, prefix) =
        (status::instance(scene.core(), NAT64, STATE)?, status::instance(scene.core(), NAT64, PREFIX)?);
    ensure(state == UP && prefix == "64:ff9b::/96", || format!("{state}, {prefix}"))?;
    ensure(status::sessions(scene.core(), NAT64)? >= 6, || "status does not count the sessions".to_owned())
}

/// RFC 6052 section 3.1: nothing private is behind the well-known prefix.
#[test]
fn private_addresses_behind_the_well_known_prefix_are_refused_and_counted() -> Result {
    let mut scene = Scene::laid_out(&nat64(""))?;
    scene.start(&[])?;
    let (host, core) = (scene.hosts[0].clone(), scene.core.as_mut().unwrap());
    core.wait_until("a default route", WITHIN, || (!host.default_routes().is_empty()).then_some(()))?;
    // The server would answer.
    let said = host.output(&ping(nat64_of(SERVER)));
    ensure(said.is_err(), || format!("an answer: {said:?}"))?;
    // The first may have been lost on the way, before the router knew its neighbours.
    let again = |core: &Router| {
        let _ = host.output(&ping(nat64_of(SERVER)));
        status::drops(core, NAT64, DENIED)
    };
    scene.counts("a drop", 0, again).map(drop)
}

#[test]
fn hosts_that_are_no_sources_are_refused_and_the_others_served() -> Result {
    let mut scene = Scene::laid_out(&nat64(&format!(r#"private: true, sources: ["{}/64"]"#, SUBNETS[1])))?;
    scene.start(&[])?;
    let (host, core) = (scene.hosts[2].clone(), scene.core.as_mut().unwrap());
    core.wait_until("an answer", WITHIN, || host.run(&ping(nat64_of(SERVER))).ok())?;
    let host = scene.hosts[0].clone();
    let core = scene.core.as_mut().unwrap();
    core.wait_until("a default route", WITHIN, || (!host.default_routes().is_empty()).then_some(()))?;
    let said = host.output(&ping(nat64_of(SERVER)));
    ensure(said.is_err(), || format!("an answer: {said:?}"))?;
    scene.counts("a drop", 0, |core| status::drops(core, NAT64, PROHIBITED)).map(drop)
}

#[test]
fn names_without_ipv6_get_an_address_in_the_prefix_and_others_their_own() -> Result {
    let scene = Scene::new(DNS64)?;
    let (host, at) = (&scene.hosts[0], GATEWAYS[0]);
    let synthesised = nat64_of(SERVER).to_string();
    let cases: [(&str, &[&str]); 8] = [
        ("AAAA only4.example", &[&synthesised]),
        ("A only4.example", &["198.51.100.80"]),
        ("AAAA both.example", &[&NATIVE.to_string()]),
        ("AAAA alias.example", &["only4.example.", &synthesised]),
        ("AAAA nothing.example", &[]),
        ("AAAA ipv4only.arpa", &["64:ff9b::c000:aa", "64:ff9b::c000:ab"]),
        ("A ipv4only.arpa", &["192.0.0.170", "192.0.0.171"]),
        ("+tcp AAAA only4.example", &[&synthesised]),
    ];
    for (words, expected) in cases {
        let mut heard = dig(host, at, words)?;
        heard.sort();
        let mut expected: Vec<String> = expected.iter().map(|&line| line.to_owned()).collect();
        expected.sort();
        ensure(heard == expected, || format!("{words}: {heard:?} instead of {expected:?}"))?;
    }
    let text = dig_in_full(host, at, "AAAA nothing.example")?;
    ensure(text.contains("status: NXDOMAIN"), || text)?;
    // RFC 6147 section 5.3.1.
    let names = dig(host, at, &format!("-x {synthesised}"))?;
    ensure(names.iter().any(|name| name == "only4.example."), || format!("{names:?}"))
}

#[test]
fn an_answer_too_large_for_udp_comes_over_tcp_from_the_resolver_and_to_the_host() -> Result {
    let scene = Scene::new(DNS64)?;
    let heard = dig(&scene.hosts[0], GATEWAYS[0], "AAAA large.example")?;
    ensure(heard.len() == usize::from(LARGE), || format!("{} addresses", heard.len()))?;
    ensure(heard.iter().all(|line| line.starts_with("64:ff9b::c633:64")), || format!("{heard:?}"))?;
    ensure(scene.resolver.asked_over_tcp() > 0, || "the resolver was not asked over TCP".to_owned())
}

#[test]
fn names_and_clients_that_are_excepted_get_no_synthesis() -> Result {
    let excepted = r#"exclude_names: ["both.example", "many.example"], clients: [(from: "2001:db8:60:2::/64", policy: NoSynthesis)], "#;
    let scene = Scene::new(&DNS64.replace("resolvers:", &format!("{excepted}resolvers:")))?;
    let synthesised = nat64_of(SERVER).to_string();
    let cases: [(usize, &str, &[&str]); 5] = [
        (0, "AAAA only4.example", &[&synthesised]),
        (0, "AAAA a.many.example", &[]),
        (0, "AAAA both.example", &[&NATIVE.to_string()]),
        (2, "AAAA only4.example", &[]),
        (2, "A only4.example", &["198.51.100.80"]),
    ];
    for (host, words, expected) in cases {
        let gateway = if host == 2 { GATEWAYS[1] } else { GATEWAYS[0] };
        let heard = dig(&scene.hosts[host], gateway, words)?;
        ensure(heard == expected, || format!("host {host}, {words}: {heard:?} instead of {expected:?}"))?;
    }
    Ok(())
}

#[test]
fn ping_and_ssh_go_by_name() -> Result {
    let scene = Scene::new(DNS64)?;
    let ssh = Ssh::start(&scene.lab, &scene.server, SERVER)?;
    let run = |line: &str| with_resolver(&scene.lab, &scene.hosts[0], GATEWAYS[0], line);
    let said = run("ping -n -c 2 -i 0.1 -W 5 only4.example")?;
    ensure(said.contains(&format!("from {}", nat64_of(SERVER))), || said)?;
    let said = run(&ssh.client("alias.example", "echo $SSH_CONNECTION; head -c 3000000 /dev/zero | wc -c"))?;
    let mut lines = said.lines();
    let connection: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    ensure(connection.first() == Some(&"203.0.113.2") && connection.get(2) == Some(&"198.51.100.80"), || said.clone())?;
    ensure(lines.next() == Some("3000000"), || said.clone())
}

/// What `sha256sum` says of a file.
fn sha256(path: &std::path::Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(path).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = text.split(' ').next().filter(|word| word.len() == 64).map(str::to_owned);
    word.ok_or_else(|| Failure::new(format!("no SHA-256 of {}: {text}", path.display())))
}

#[test]
fn curl_moves_100_mib_each_way_by_name_with_the_same_sha_256() -> Result {
    let scene = Scene::new(DNS64)?;
    let (near, far) = (scene.lab.directory().join("near"), scene.lab.directory().join("far"));
    for directory in [&near, &far] {
        std::fs::create_dir(directory)?;
    }
    let mut random = fastrand::Rng::with_seed(64);
    let mut file = std::fs::File::create(far.join("hundred"))?;
    let mut block = vec![0; 1024 * 1024];
    for _ in 0..100 {
        random.fill(&mut block);
        file.write_all(&block)?;
    }
    let _http = Http::start(&scene.server, SERVER, &far)?;
    let run = |line: &str| with_resolver(&scene.lab, &scene.hosts[0], GATEWAYS[0], line);
    let curl = "curl -6 -sS --fail --max-time 120 --noproxy *";
    run(&format!("{curl} -o {}/down http://only4.example/hundred", near.display()))?;
    run(&format!("{curl} -T {}/down http://only4.example/up", near.display()))?;
    let sent = sha256(&far.join("hundred"))?;
    ensure(sha256(&near.join("down"))? == sent, || "another file came down".to_owned())?;
    ensure(sha256(&far.join("up"))? == sent, || "another file went up".to_owned())
}

#[test]
fn every_host_moves_100_mib_each_way_and_segments_fit() -> Result {
    let scene = Scene::new(DNS64)?;
    let down = Server::start(&scene.server, SERVER, 3, 100 * MIB)?;
    let up = Server::taking(&scene.server, SERVER, 3)?;
    for host in &scene.hosts {
        for moved in [down.fetch_at(host, nat64_of(SERVER))?, up.push_to(host, nat64_of(SERVER), 100 * MIB)?] {
            println!("{:.2} Gbit/s, {moved:?}", moved.bytes as f64 * 8e-9 / moved.took.as_secs_f64());
            ensure(moved.bytes == 100 * MIB, || format!("{moved:?}"))?;
            // Behind the header of IPv6 with a packet of 1500 bytes.
            ensure(moved.mss <= 1440, || format!("segments do not fit: {moved:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_closed_port_and_an_address_that_nobody_has_are_told_at_once() -> Result {
    let scene = Scene::new(DNS64)?;
    let host = &scene.hosts[0];
    let refused = echo::connect(host, (nat64_of(SERVER), 9).into());
    ensure(refused.as_ref().is_err_and(|failure| failure.to_string().contains("refused")), || format!("{refused:?}"))?;
    let socket = echo::udp_socket(host, (nat64_of(SERVER), 9).into())?;
    let told = wait_until("port unreachable", WITHIN, || {
        socket.send(b"anybody?").err().or_else(|| socket.recv(&mut [0; 8]).err()).filter(|e| !echo::is_timeout(e))
    })?;
    ensure(told.kind() == std::io::ErrorKind::ConnectionRefused, || told.to_string())?;
    // The far router knows no such network; its ICMP error comes from its own address, in the prefix.
    scene.far.run("ip route add unreachable 198.51.101.0/24")?;
    scene.provider.run("ip route add 198.51.101.0/24 via 203.0.113.6")?;
    let nowhere = nat64_of([198, 51, 101, 1].into());
    let said = host.output(&format!("ping -n -c 1 -W 5 {nowhere}")).unwrap_err().to_string();
    let far: IpAddr = nat64_of([203, 0, 113, 6].into()).into();
    ensure(said.contains(&format!("From {far}")) && said.contains("Destination unreachable"), || said)
}

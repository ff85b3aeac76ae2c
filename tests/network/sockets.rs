//! UDP and TCP sockets of a plugin on the kernel itself: where they hear, from where they answer, when they end.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use portreeve::grants::{Grants, Need, Pattern, Prefix, Transport};
use portreeve_tests::lab::{Failure, Netns, Result, ensure};

use super::inside::Place;

use std::io::{Read as _, Write as _};

/// How long something that must not come is waited for.
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);

fn listen(transport: Transport) -> Need {
    Need::Listen { transport, interfaces: Pattern::new("lan*").expect("a pattern"), port: 5300 }
}

fn connect(transport: Transport, address: &str, length: u8) -> Need {
    Need::connect(transport, Prefix::new(address.parse().expect("an address"), length), 0)
}

fn io<T>(what: &str, result: std::io::Result<T>) -> Result<T> {
    result.map_err(|error| Failure::new(format!("{what}: {error}")))
}

/// A socket elsewhere, bound there.
fn client(elsewhere: &Netns, address: &str) -> Result<UdpSocket> {
    let socket = io(address, elsewhere.enter(|| UdpSocket::bind(address))?)?;
    io("set a timeout", socket.set_read_timeout(Some(PATIENCE)))?;
    Ok(socket)
}

fn exchange(client: &UdpSocket, to: &str, payload: &str) -> Result {
    let to: SocketAddr = to.parse().map_err(|error| Failure::new(format!("{to}: {error}")))?;
    io("send", client.send_to(payload.as_bytes(), to)).map(drop)
}

fn heard(client: &UdpSocket) -> Result<(String, String)> {
    let mut buffer = [0; 100];
    let (length, from) = io("receive", client.recv_from(&mut buffer))?;
    Ok((from.to_string(), String::from_utf8_lossy(&buffer[..length]).into_owned()))
}

#[test]
fn a_udp_listener_answers_from_the_address_that_was_asked_and_hears_its_interface_only() -> Result {
    let place = Place::new()?;
    let six = client(&place.elsewhere, "[2001:db8:1::9]:4000")?;
    let four = client(&place.elsewhere, "192.0.2.9:4000")?;
    let wan_six = client(&place.elsewhere, "[2001:db8:2::9]:4000")?;
    let wan_four = client(&place.elsewhere, "198.51.100.9:4000")?;
    let lan = place.router.link("lan0")?.0;
    place.run(&[listen(Transport::Udp)], async |probe| {
        probe.expect("socket udp listen wan0 5300", &["denied"]).await?;
        probe.expect("socket udp listen lan0 5300", &["ok"]).await?;
        exchange(&six, "[2001:db8:1::2]:5300", "six")?;
        probe.expect("socket udp echo", &[&format!("2001:db8:1::9 2001:db8:1::2 {lan} six")]).await?;
        let answer = heard(&six)?;
        ensure(answer == ("[2001:db8:1::2]:5300".to_owned(), "six".to_owned()), || format!("{answer:?}"))?;
        exchange(&four, "192.0.2.2:5300", "four")?;
        probe.expect("socket udp echo", &[&format!("192.0.2.9 192.0.2.2 {lan} four")]).await?;
        let answer = heard(&four)?;
        ensure(answer == ("192.0.2.2:5300".to_owned(), "four".to_owned()), || format!("{answer:?}"))?;
        // A veth hands over at once: what was heard of these would stand before the last.
        exchange(&wan_six, "[2001:db8:2::1]:5300", "wan")?;
        exchange(&wan_four, "198.51.100.1:5300", "wan")?;
        exchange(&six, "[2001:db8:1::1]:5300", "last")?;
        probe.expect("socket udp receive", &[&format!("2001:db8:1::9 2001:db8:1::1 {lan} last")]).await
    })
}

#[test]
fn a_udp_listener_cannot_send_out_of_another_interface_whatever_its_headers_say() -> Result {
    let place = Place::new()?;
    let wan_six = client(&place.elsewhere, "[2001:db8:2::9]:4000")?;
    let wan_four = client(&place.elsewhere, "198.51.100.9:4000")?;
    let every = client(&place.elsewhere, "[::]:4001")?;
    let wan = place.router.link("wan0")?.0;
    place.run(&[listen(Transport::Udp)], async |probe| {
        probe.expect("socket udp listen lan0 5300", &["ok"]).await?;
        for (peer, local) in [
            ("[2001:db8:2::9]:4000", "2001:db8:2::1"),
            ("[2001:db8:2::9]:4000", "::"),
            ("198.51.100.9:4000", "198.51.100.1"),
            ("198.51.100.9:4000", "::"),
            ("[fe80::5eff:fe10:4]:4001", "fe80::5eff:fe10:3"),
            ("[fe80::5eff:fe10:4]:4001", "::"),
        ] {
            probe.call(&format!("socket udp send {peer} {local} {wan} astray")).await?;
        }
        for socket in [&wan_six, &wan_four, &every] {
            io("set a timeout", socket.set_read_timeout(Some(SILENCE)))?;
            if let Ok((from, payload)) = heard(socket) {
                return Err(Failure::new(format!("{payload} from {from} went out of wan0")));
            }
        }
        // On its own interface the same goes through, with and without the right number.
        for interface in [0, wan] {
            let words = format!("socket udp send [fe80::5eff:fe10:2]:4001 :: {interface} home");
            probe.expect(&words, &["1", "0", "0", "0", "0"]).await?;
            io("set a timeout", every.set_read_timeout(Some(PATIENCE)))?;
            ensure(heard(&every)?.1 == "home", || "another datagram".to_owned())?;
        }
        Ok(())
    })
}

#[test]
fn a_connected_udp_socket_talks_to_its_peer_and_an_icmp_error_is_no_fault_of_what_is_sent_next() -> Result {
    let place = Place::new()?;
    let needs = [connect(Transport::Udp, "192.0.2.9", 32), connect(Transport::Udp, "::", 0)];
    place.run(&needs, async |probe| {
        for (remote, at) in [("192.0.2.9:4000", "192.0.2.9:4000"), ("[2001:db8:1::9]:4000", "[2001:db8:1::9]:4000")] {
            probe.expect(&format!("socket udp connect {remote}"), &["ok"]).await?;
            let send = |payload: &str| format!("socket udp send {remote} :: 0 {payload}");
            let taken = ["1", "0", "0", "0", "0"];
            // Nobody is there: the answer has come by the time of the next.
            probe.expect(&send("nobody"), &taken).await?;
            let peer = client(&place.elsewhere, at)?;
            probe.expect(&send("hello"), &taken).await?;
            let (from, payload) = heard(&peer)?;
            ensure(payload == "hello", || payload)?;
            probe.expect("socket udp receive", &["unreachable"]).await?;
            exchange(&peer, &from, "there")?;
            let got = probe.call("socket udp receive").await?;
            ensure(got.len() == 1 && got[0].ends_with(" 0 there"), || format!("{got:?}"))?;
            // What stands before a fault is sent, what is behind it not.
            probe.expect(&format!("socket udp fault {remote}"), &["invalid-argument"]).await?;
            probe.expect(&send("last"), &taken).await?;
            for expected in ["before", "last"] {
                let (_, payload) = heard(&peer)?;
                ensure(payload == expected, || format!("{payload}, not {expected}"))?;
            }
        }
        // ::/0 is IPv6 only, in whatever clothes IPv4 comes.
        for remote in ["198.51.100.9:53", "[::ffff:198.51.100.9]:53"] {
            probe.expect(&format!("socket udp connect {remote}"), &["denied"]).await?;
        }
        probe.expect("socket udp connect [::ffff:192.0.2.9]:53", &["ok"]).await
    })
}

#[test]
fn tcp_connections_come_in_and_go_out_for_both_families_and_end_when_the_peer_resets_them() -> Result {
    let place = Place::new()?;
    let needs =
        [listen(Transport::Tcp), connect(Transport::Tcp, "192.0.2.9", 32), connect(Transport::Tcp, "2001:db8:1::", 64)];
    place.run(&needs, async |probe| {
        probe.expect("socket tcp listen lan0 5300", &["ok"]).await?;
        for to in ["192.0.2.2:5300", "[2001:db8:1::2]:5300"] {
            let mut stream = io(to, place.elsewhere.enter(|| TcpStream::connect(to))?)?;
            io("set a timeout", stream.set_read_timeout(Some(PATIENCE)))?;
            let from = io("look", stream.local_addr())?.to_string();
            probe.expect("socket tcp accept", &[to, &from]).await?;
            io("write", stream.write_all(b"ping"))?;
            probe.expect("socket tcp receive", &["ping"]).await?;
            probe.expect("socket tcp send pong", &["ok"]).await?;
            let mut answer = [0; 4];
            io("read", stream.read_exact(&mut answer))?;
            ensure(&answer == b"pong", || format!("{answer:?}"))?;
            // Linger 0: a reset, no end.
            io("linger", socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)))?;
            drop(stream);
            probe.expect("socket tcp receive", &["gone"]).await?;
        }
        for at in ["192.0.2.9:4000", "[2001:db8:1::9]:4000"] {
            probe.expect(&format!("socket tcp connect {at}"), &["unreachable"]).await?;
            let listener = io(at, place.elsewhere.enter(|| TcpListener::bind(at))?)?;
            probe.expect(&format!("socket tcp connect {at}"), &["ok"]).await?;
            probe.expect("socket tcp send hello", &["ok"]).await?;
            let (mut stream, _) = io("accept", listener.accept())?;
            let mut hello = [0; 5];
            io("read", stream.read_exact(&mut hello))?;
            ensure(&hello == b"hello", || format!("{hello:?}"))?;
            drop(stream);
            probe.expect("socket tcp receive", &[""]).await?;
        }
        Ok(())
    })
}

#[test]
fn whoever_waits_at_a_socket_is_told_that_the_grant_was_taken_back() -> Result {
    let place = Place::new()?;
    let needs = [listen(Transport::Udp), listen(Transport::Tcp)];
    place.run(&needs, async |probe| {
        probe.expect("socket udp listen lan0 5300", &["ok"]).await?;
        probe.expect("socket tcp listen lan0 5300", &["ok"]).await?;
        let stream = io("connect", place.elsewhere.enter(|| TcpStream::connect("192.0.2.1:5300"))?)?;
        probe.call("socket tcp accept").await?;
        for words in ["socket udp receive", "socket tcp accept", "socket tcp receive"] {
            let take = || {
                probe.instance.set_grants(Arc::new(Grants::none()));
                Ok(())
            };
            probe.expect_after(words, take, &["denied"]).await?;
            probe.instance.set_grants(Arc::new(super::inside::grants(&needs)));
        }
        drop(stream);
        Ok(())
    })
}

#[test]
fn whoever_waits_at_a_socket_is_told_that_its_interface_is_gone() -> Result {
    for words in ["socket udp receive", "socket tcp accept", "socket tcp receive"] {
        let place = Place::new()?;
        place.run(&[listen(Transport::Udp), listen(Transport::Tcp)], async |probe| {
            probe.expect("socket udp listen lan0 5300", &["ok"]).await?;
            probe.expect("socket tcp listen lan0 5300", &["ok"]).await?;
            let stream = io("connect", place.elsewhere.enter(|| TcpStream::connect("192.0.2.1:5300"))?)?;
            probe.call("socket tcp accept").await?;
            probe.expect_after(words, || place.router.run("ip link del lan0"), &["gone"]).await?;
            drop(stream);
            Ok(())
        })?;
    }
    Ok(())
}

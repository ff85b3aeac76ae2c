//! Packets that nobody should send, made by hand, and the raw socket that sends them.
//!
//! Outer lengths and checksums are the kernel's: it overwrites both. Everything inside is ours.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use portreeve_tests::lab::{Netns, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// In every hostile packet, so that one that gets through is seen.
pub const MARKER: &[u8] = b"hostile!";
/// The provider's end, which the attacker owns or claims to be.
pub const PROVIDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Our end of the 6in4 tunnel.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Our end of the 6rd tunnel.
pub const ROUTER_6RD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
/// Outside.
pub const ABROAD: &str = "2001:db8:bad::1";

const SIX_IN_FOUR: u8 = 41;
const ICMP: u8 = 1;
const UDP: u8 = 17;

/// An IPv6 packet of a next header other than the payload may be.
pub fn ipv6_with(next_header: u8, source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(address(source));
    packet.extend(address(destination));
    packet.extend(payload);
    packet
}

/// A UDP datagram with the marker; its checksum is wrong, which only the last host would notice.
pub fn ipv6(source: &str, destination: &str) -> Vec<u8> {
    let mut datagram = vec![0, 9, 0, 9, 0, 16, 0xba, 0xad];
    datagram.extend(MARKER);
    ipv6_with(UDP, source, destination, &datagram)
}

/// So many IPv6 headers around [`ipv6`], each of them to the same host.
pub fn nested(levels: usize, destination: &str) -> Vec<u8> {
    (0..levels).fold(ipv6(ABROAD, destination), |inner, _| ipv6_with(SIX_IN_FOUR, ABROAD, destination, &inner))
}

/// An IPv4 packet; what the kernel fills in is 0.
pub fn ipv4(protocol: u8, source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(u16::try_from(payload.len() + 20).unwrap().to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// From the provider's address into the 6in4 tunnel.
pub fn tunnelled(inner: &[u8]) -> Vec<u8> {
    ipv4(SIX_IN_FOUR, PROVIDER, ROUTER, inner)
}

/// From anybody to anybody, as protocol 41.
pub fn protocol_41(source: Ipv4Addr, destination: Ipv4Addr, inner: &[u8]) -> Vec<u8> {
    ipv4(SIX_IN_FOUR, source, destination, inner)
}

/// "Destination unreachable" (RFC 792) of this code and next-hop MTU, about a packet of protocol 41 with `inner`.
pub fn unreachable(code: u8, mtu: u16, inner: &[u8]) -> Vec<u8> {
    let quoted = ipv4(SIX_IN_FOUR, ROUTER, PROVIDER, inner);
    let mut message = vec![3, code, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quoted);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(ICMP, PROVIDER, ROUTER, &message)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Sends whole IPv4 packets with any source.
pub struct Attacker(Socket);

impl Attacker {
    /// One in this namespace.
    pub fn new(netns: &Netns) -> Result<Self> {
        let open = || -> std::io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))?;
            socket.set_header_included_v4(true)?;
            Ok(socket)
        };
        Ok(Self(netns.enter(open)??))
    }

    /// Sends a packet to the destination in its header.
    pub fn send(&self, packet: &[u8]) {
        let [a, b, c, d] = *packet[16..].first_chunk().unwrap();
        self.0.send_to(packet, &SockAddr::from(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), 0))).unwrap();
    }
}

//! Packets by hand: a raw IPv6 socket that sends whole packets with any source, and what floods are made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use std::time::Duration;

use portreeve_tests::lab::{Netns, Result};
use socket2::{Domain, Protocol, Socket, Type};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// RFC 8200 section 4.5.
const FRAGMENT: u8 = 44;
const FRAGMENT_HEADER: u16 = 8;
/// A multiple of 8.
const PART: u16 = 1200;
/// linux/in.h: the header is the sender's.
const IPPROTO_RAW: i32 = 255;

/// So many datagrams at once fit into every queue on the way.
const BURST: usize = 64;

/// Sends whole IPv6 packets.
pub struct Sender(Socket);

impl Sender {
    /// One in this namespace.
    pub fn new(netns: &Netns) -> Result<Self> {
        let socket = netns.enter(|| Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(IPPROTO_RAW))))??;
        Ok(Self(socket))
    }

    /// Sends a packet to the destination in its header; whether the kernel took it.
    pub fn send(&self, packet: &[u8]) -> bool {
        let octets: [u8; 16] = *packet[24..].first_chunk().unwrap();
        let to = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), 0, 0, 0));
        self.0.send_to(packet, &to.into()).is_ok()
    }
}

/// A SYN with a right checksum.
pub fn syn(source: (Ipv6Addr, u16), destination: (Ipv6Addr, u16), sequence: u32) -> Vec<u8> {
    let mut segment = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
    segment.extend(sequence.to_be_bytes());
    // No acknowledgement; 20 bytes; SYN; a window; checksum and urgent pointer are 0 as yet.
    segment.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&source.0.octets()[..], &destination.0.octets(), &[0, 0, 0, 20, 0, 0, 0, TCP]].concat();
    let sum = checksum(&[&pseudo[..], &segment].concat());
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0, 0, 20, TCP, 64];
    packet.extend(source.0.octets());
    packet.extend(destination.0.octets());
    packet.extend(segment);
    packet
}

/// A part of a datagram whose beginning never comes (RFC 8200 section 4.5): 1200 bytes from byte 1200 on.
pub fn later_fragment(source: Ipv6Addr, destination: Ipv6Addr, identification: u32) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((FRAGMENT_HEADER + PART).to_be_bytes());
    packet.extend([FRAGMENT, 64]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend([UDP, 0]);
    // The offset is in units of 8 bytes, above three bits of which the last says that more follow.
    packet.extend((PART | 1).to_be_bytes());
    packet.extend(identification.to_be_bytes());
    packet.extend(vec![0x5a; usize::from(PART)]);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

/// A socket of one port that sends a datagram to each of many: a session each.
pub fn udp_to_many(netns: &Netns, to: impl Into<IpAddr>, ports: std::ops::Range<u16>) -> Result {
    let to = to.into();
    let any: IpAddr = if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = netns.enter(|| UdpSocket::bind((any, 0)))??;
    for (number, port) in ports.enumerate() {
        if number % BURST == BURST - 1 {
            // Not for luck: the pace at which no queue on the way is too short.
            std::thread::sleep(Duration::from_millis(5));
        }
        // An ICMP error to an earlier one is told here; the datagram goes with the second try.
        if socket.send_to(b"anybody?", (to, port)).is_err() {
            let _ = socket.send_to(b"anybody?", (to, port));
        }
    }
    Ok(())
}

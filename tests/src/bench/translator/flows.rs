//! Very many flows, by the method of RFC 9693: the initiator sends one UDP datagram of each, in an order that looks
//! random, at a given rate; the [responder](super::responder) remembers which came.
//!
//! The hosts are made up: 256 of them, each in a /64 of its own behind the client, so no socket is needed for a flow. Where
//! the RFC combines source and destination ports of two hosts, each flow here has a source of its own (host and port)
//! and all go to one port: every flow then needs a mapping besides its session, which is the dearest case of a NAT64 with
//! endpoint-independent mapping. What is sent to the hosts is dropped by a route of the client; its interface counts it.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::ops::Range;
use std::time::{Duration, Instant};

use portreeve_packet::checksum::Checksum;
use portreeve_packet::ipv6::{self, Header};
use socket2::{Domain, Protocol, Socket, Type};

use super::{HOSTS, SERVER, embedded};
use crate::bench::batch::{BATCH, Outbox};
use crate::lab::{Failure, Netns, Result};

/// Made-up hosts; a power of two.
const HOST_COUNT: u32 = 256;
/// The first port of each host.
const FIRST_PORT: u32 = 1024;
/// The server's port.
pub(super) const PORT: u16 = 7;
/// An odd number, so that multiples of it visit every flow before one comes again if their number is a power of two;
/// and a prime, so that it is also so for other numbers that it does not divide.
const STRIDE: u64 = 1_000_003;
/// A raw socket whose program makes the headers (`IPPROTO_RAW`).
const ANY: i32 = 255;
/// Of the payload: the flow and the trial, and what makes the IPv4 packet one of an Ethernet frame of 64 bytes.
pub(super) const PAYLOAD: usize = 18;
const UDP_HEADER: usize = 8;
const PACKET: usize = Header::LEN + UDP_HEADER + PAYLOAD;
/// Datagrams that were due before and are sent one behind the other.
const MOST_AT_ONCE: usize = 2 * BATCH;
/// Between two looks at the clock when nothing is due.
pub(super) const TICK: Duration = Duration::from_micros(50);

/// Sends datagrams of made-up hosts.
#[derive(Debug)]
pub struct Initiator {
    socket: Socket,
    outbox: Outbox<()>,
    packets: Vec<[u8; PACKET]>,
}

impl Initiator {
    /// On the client.
    ///
    /// # Errors
    /// No raw socket, or no route.
    pub fn new(client: &Netns) -> Result<Self> {
        let destination = embedded(SERVER);
        let socket = client.enter(|| {
            let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::from(ANY)))?;
            socket.connect(&SocketAddrV6::new(destination, 0, 0, 0).into()).map(|()| socket)
        })??;
        let mut packet = [0; PACKET];
        let header = Header {
            traffic_class: 0,
            flow_label: 0,
            payload_length: u16::try_from(PACKET - Header::LEN).unwrap_or(0),
            next_header: ipv6::UDP,
            hop_limit: 64,
            source: HOSTS,
            destination,
        };
        header.emit(&mut packet).map_err(|error| Failure::new(format!("cannot make a packet: {error}")))?;
        packet[42..44].copy_from_slice(&PORT.to_be_bytes());
        packet[44..46].copy_from_slice(&header.payload_length.to_be_bytes());
        Ok(Self { socket, outbox: Outbox::new(), packets: vec![packet; BATCH] })
    }

    /// Sends one datagram of each of `flows` flows whose turn is in `turns` and of which `wanted` says so: `rate` for each
    /// second, or as fast as it can. Time in which this thread did not run is not made up for, so it never sends many at
    /// once; the rate is then lower.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(
        &mut self,
        (flows, turns): (u32, Range<u32>),
        trial: u32,
        rate: Option<f64>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result {
        let (mut begun, mut sent) = (Instant::now(), 0_u64);
        let mut turns =
            turns.map(|turn| (u64::from(turn) * STRIDE % u64::from(flows)) as u32).filter(|flow| wanted(*flow));
        let (mut filled, mut gone) = (0, 0);
        loop {
            if gone == filled {
                (filled, gone) = (0, 0);
                for (packet, flow) in self.packets.iter_mut().zip(&mut turns) {
                    fill(packet, flow, trial);
                    filled += 1;
                }
                if filled == 0 {
                    return Ok(());
                }
            }
            let due = rate.map_or(u64::MAX, |rate| (begun.elapsed().as_secs_f64() * rate) as u64);
            let mut room = usize::try_from(due.saturating_sub(sent)).unwrap_or(usize::MAX);
            if room == 0 {
                std::thread::sleep(TICK);
                continue;
            }
            if rate.is_some() && room > MOST_AT_ONCE {
                (begun, sent, room) = (Instant::now(), 0, MOST_AT_ONCE);
            }
            let until = filled.min(gone + room);
            let count = self.outbox.send(&self.socket, &self.packets[gone..until], &[None; BATCH])?;
            gone += count;
            sent += u64::try_from(count).unwrap_or(0);
        }
    }
}

/// Makes the packet one of this flow.
fn fill(packet: &mut [u8; PACKET], flow: u32, trial: u32) {
    let source = source(flow);
    packet[8..24].copy_from_slice(&source.ip().octets());
    packet[40..42].copy_from_slice(&source.port().to_be_bytes());
    packet[46..48].fill(0);
    packet[48..52].copy_from_slice(&flow.to_be_bytes());
    packet[52..56].copy_from_slice(&trial.to_be_bytes());
    let length = u32::try_from(PACKET - Header::LEN).unwrap_or(0);
    let mut checksum = Checksum::ipv6_pseudo_header(*source.ip(), embedded(SERVER), ipv6::UDP, length);
    checksum.add(&packet[Header::LEN..]);
    let sum = if checksum.finish() == 0 { 0xffff } else { checksum.finish() };
    packet[46..48].copy_from_slice(&sum.to_be_bytes());
}

/// Who sends this flow.
fn source(flow: u32) -> SocketAddrV6 {
    let host = u128::from(HOSTS) | u128::from(flow % HOST_COUNT) << 64 | 1;
    let port = u16::try_from(FIRST_PORT + flow / HOST_COUNT).unwrap_or(u16::MAX);
    SocketAddrV6::new(Ipv6Addr::from(host), port, 0, 0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_flow_is_visited_once_and_has_a_source_of_its_own() {
        for flows in [20_000_u32, 65_536, 1 << 20] {
            let visited: HashSet<u64> = (0..u64::from(flows)).map(|n| n * STRIDE % u64::from(flows)).collect();
            assert_eq!(visited.len(), flows as usize);
            let sources: HashSet<SocketAddrV6> = (0..flows).map(source).collect();
            assert_eq!(sources.len(), flows as usize);
        }
        assert_eq!(source(257).to_string(), "[2001:db8:f000:1::1]:1025");
    }

    #[test]
    fn a_packet_of_a_flow_has_a_right_checksum() {
        let mut packet = [0x5a; PACKET];
        packet[42..46].copy_from_slice(&[0, 7, 0, 26]);
        fill(&mut packet, 77, 3);
        let mut sum = Checksum::ipv6_pseudo_header(*source(77).ip(), embedded(SERVER), ipv6::UDP, 26);
        sum.add(&packet[40..]);
        assert_eq!(sum.finish(), 0);
        assert_eq!(packet[48..56], [0, 0, 0, 77, 0, 0, 0, 3]);
    }
}

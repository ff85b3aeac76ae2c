//! The outer IPv4 header (RFC 4213 section 3.5), made once per packet and stamped with each segment's length.
//!
//! Identification and checksum stay 0: the kernel fills both of a raw socket with `IP_HDRINCL`, and the source too
//! where it is 0.0.0.0.

use super::ecn;
use super::{Settings, Tos};
use std::net::Ipv4Addr;

/// Bytes of the header.
pub(super) const LEN: usize = 20;
/// IPv6 in IPv4 (RFC 4213 section 3.5).
pub(super) const PROTOCOL: u8 = 41;

/// What the outer header takes from settings, path and the inner packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer {
    tos: u8,
    flags: u8,
    ttl: u8,
    source: [u8; 4],
    destination: [u8; 4],
}

impl Outer {
    /// The header around a packet with this traffic class and hop limit.
    pub(super) fn new(settings: &Settings, to: Ipv4Addr, dont_fragment: bool, class: u8, hop_limit: u8) -> Self {
        let dscp = match settings.tos {
            Tos::Inherit => class,
            Tos::Fixed(tos) => tos,
        };
        // A TTL of 0 may not leave a host (RFC 1122 section 3.2.1.7).
        let ttl = if settings.ttl == 0 { hop_limit.max(1) } else { settings.ttl };
        Self {
            tos: dscp & !ecn::MASK | class & ecn::MASK,
            flags: if dont_fragment { 0x40 } else { 0 },
            ttl,
            source: settings.local.unwrap_or(Ipv4Addr::UNSPECIFIED).octets(),
            destination: to.octets(),
        }
    }

    /// Appends what precedes an inner packet of `length` bytes: the frame's length and the header.
    pub(super) fn begin(&self, out: &mut Vec<u8>, length: usize) {
        // What comes here fits MAX_MTU; saturating keeps the function total.
        let total = u16::try_from(length + LEN).unwrap_or(u16::MAX);
        let [n0, n1, n2, n3] = u32::from(total).to_le_bytes();
        let [t0, t1] = total.to_be_bytes();
        let [s0, s1, s2, s3] = self.source;
        let [d0, d1, d2, d3] = self.destination;
        #[rustfmt::skip]
        let bytes = [
            n0, n1, n2, n3,
            0x45, self.tos, t0, t1, 0, 0, self.flags, 0, self.ttl, PROTOCOL, 0, 0,
            s0, s1, s2, s3, d0, d1, d2, d3,
        ];
        out.extend_from_slice(&bytes);
    }
}

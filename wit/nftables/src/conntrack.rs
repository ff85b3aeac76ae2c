//! Connections that the kernel tracks (linux/netfilter/nfnetlink_conntrack.h): the question for all, and the answers.

use core::net::IpAddr;

use crate::{
    Attribute, Attributes, Batch, Endian, Family, Message,
    constants::{NFNL_SUBSYS_CTNETLINK, NLM_F_DUMP, NLM_F_REQUEST},
};

/// IPCTNL_MSG_CT_*.
const NEW: u16 = 0;
const GET: u16 = 1;
/// CTA_*.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const TIMEOUT: u16 = 7;
const MARK: u16 = 8;
const COUNTERS_ORIGINAL: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const ID: u16 = 12;
const ZONE: u16 = 18;
/// CTA_TUPLE_*.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
/// CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE.
const TCP: u16 = 1;
const TCP_STATE: u16 = 1;

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// NFPROTO_*.
    pub family: u8,
    /// The transport protocol.
    pub protocol: u8,
    /// As its first packet was.
    pub original: Tuple,
    /// As answers are: other addresses and ports than the original's if it is translated.
    pub reply: Tuple,
    /// TCP_CONNTRACK_*.
    pub tcp_state: Option<u8>,
    /// In seconds, if nothing more comes.
    pub timeout: Option<u32>,
    /// Its mark.
    pub mark: u32,
    /// IPS_* bits.
    pub status: u32,
    /// Its zone, of both directions.
    pub zone: u16,
    /// Its number while it is there.
    pub id: u32,
    /// If the kernel counts (net.netfilter.nf_conntrack_acct).
    pub original_counter: Option<Counter>,
    /// If the kernel counts.
    pub reply_counter: Option<Counter>,
}

/// One direction of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Where from.
    pub source: IpAddr,
    /// Where to.
    pub destination: IpAddr,
    /// Where from and where to, of protocols that have ports.
    pub ports: Option<(u16, u16)>,
    /// Identifier, type, code, of ICMP and ICMPv6.
    pub icmp: Option<(u16, u8, u8)>,
}

/// What passed in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// So far.
    pub packets: u64,
    /// So far.
    pub bytes: u64,
}

/// The message that asks for all connections of a family, of all families if unspecified.
#[must_use]
pub fn request(endian: Endian, sequence: u32, family: Family) -> Vec<u8> {
    let mut batch = Batch::starting_at(endian, sequence);
    let start = batch.open(NFNL_SUBSYS_CTNETLINK << 8 | GET, NLM_F_REQUEST | NLM_F_DUMP, family, 0);
    batch.close(start);
    batch.writer.bytes
}

/// The connection that a message tells; none if it is another message or has no tuples.
#[must_use]
pub fn decode(message: &Message<'_>) -> Option<Flow> {
    if message.subsystem() != NFNL_SUBSYS_CTNETLINK || message.operation() != NEW {
        return None;
    }
    let attributes = message.attributes();
    let (original, protocol) = tuple(attributes.get(TUPLE_ORIGINAL)?.nested())?;
    let (reply, _) = tuple(attributes.get(TUPLE_REPLY)?.nested())?;
    let number = |kind| attributes.get(kind).and_then(|attribute| attribute.u32());
    let state = || attributes.get(PROTOINFO)?.nested().get(TCP)?.nested().get(TCP_STATE)?.u8();
    Some(Flow {
        family: message.family(),
        protocol,
        original,
        reply,
        tcp_state: state(),
        timeout: number(TIMEOUT),
        mark: number(MARK).unwrap_or_default(),
        status: number(STATUS).unwrap_or_default(),
        zone: attributes.get(ZONE).and_then(|attribute| attribute.u16()).unwrap_or_default(),
        id: number(ID).unwrap_or_default(),
        original_counter: attributes.get(COUNTERS_ORIGINAL).and_then(|attribute| counter(&attribute)),
        reply_counter: attributes.get(COUNTERS_REPLY).and_then(|attribute| counter(&attribute)),
    })
}

/// A direction, and its protocol.
fn tuple(attributes: Attributes<'_>) -> Option<(Tuple, u8)> {
    let (mut source, mut destination) = (None, None);
    for address in attributes.get(TUPLE_IP)?.nested() {
        // CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST
        match address.kind {
            1 | 3 => source = ip(address.value),
            2 | 4 => destination = ip(address.value),
            _ => {}
        }
    }
    let transport = attributes.get(TUPLE_PROTO)?.nested();
    let byte = |kind| transport.get(kind).and_then(|attribute| attribute.u8());
    let word = |kind| transport.get(kind).and_then(|attribute| attribute.u16());
    // CTA_PROTO_NUM, SRC_PORT, DST_PORT, ICMP_ID, ICMP_TYPE, ICMP_CODE, ICMPV6_ID, ICMPV6_TYPE, ICMPV6_CODE
    let icmp = |first: u16| Some((word(first)?, byte(first + 1)?, byte(first + 2)?));
    let tuple = Tuple {
        source: source?,
        destination: destination?,
        ports: word(2).zip(word(3)),
        icmp: icmp(4).or_else(|| icmp(7)),
    };
    Some((tuple, byte(1)?))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(value).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

fn counter(attribute: &Attribute<'_>) -> Option<Counter> {
    let counters = attribute.nested();
    // CTA_COUNTERS_PACKETS, CTA_COUNTERS_BYTES
    Some(Counter { packets: counters.get(1)?.u64()?, bytes: counters.get(2)?.u64()? })
}

#[cfg(test)]
mod tests;

//! Names this resolver answers by itself: `ipv4only.arpa` and its two reverse names (RFC 8880 section 7.1).
//!
//! Nothing of them is ever asked upstream, except DS, which belongs to the parent zone. What exists below
//! `ipv4only.arpa` is nothing.

use std::net::Ipv4Addr;

use domain::base::message_builder::StaticCompressor;
use domain::base::{MessageBuilder, Name, Rtype, Serial, Ttl};
use domain::rdata::{A, Aaaa, Ptr, Soa};

use super::build::ttl_places;
use super::query::{rcode, rtype};
use super::settings::Settings;
use super::stored::Stored;

/// The well-known addresses (RFC 7050 section 2.2).
pub const IPV4ONLY: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// The time to live of these records, in seconds; clients ask again for the prefix that often (RFC 7050 section 3).
pub const LOCAL_TTL: u32 = 600;

const NAME: &[u8] = b"\x08ipv4only\x04arpa\x00";
const REVERSE: [&[u8]; 2] =
    [b"\x03170\x010\x010\x03192\x07in-addr\x04arpa\x00", b"\x03171\x010\x010\x03192\x07in-addr\x04arpa\x00"];

/// The answer for one of our own names, in wire form and lower case; `None` for any other.
pub(super) fn answer(name: &[u8], qtype: u16, synthesise: bool, settings: &Settings) -> Option<Stored> {
    if !is_local(name) || qtype == rtype::DS && name == NAME {
        return None;
    }
    let mut builder = MessageBuilder::from_target(StaticCompressor::new(Vec::with_capacity(256))).ok()?.question();
    let owner = Name::from_slice(name).ok()?;
    builder.push((owner, Rtype::from_int(qtype))).ok()?;
    let question_end = builder.as_slice().len();
    let mut answer = builder.answer();
    let ttl = Ttl::from_secs(LOCAL_TTL);
    let any = qtype == rtype::ANY;
    if name == NAME {
        for address in IPV4ONLY.into_iter().filter(|_| any || qtype == rtype::A) {
            answer.push((owner, ttl, A::new(address))).ok()?;
        }
        let prefixes = settings.prefixes.iter().filter(|_| synthesise && (any || qtype == rtype::AAAA));
        for address in prefixes.flat_map(|prefix| IPV4ONLY.map(|address| prefix.embed(address))) {
            answer.push((owner, ttl, Aaaa::new(address))).ok()?;
        }
    } else if REVERSE.contains(&name) && (any || qtype == rtype::PTR) {
        answer.push((owner, ttl, Ptr::new(Name::from_slice(NAME).ok()?))).ok()?;
    }
    let answers = answer.counts().ancount();
    let answer_end = answer.as_slice().len();
    let mut authority = answer.authority();
    if answers == 0 {
        authority.push((Name::from_slice(apex(name)).ok()?, ttl, soa(apex(name))?)).ok()?;
    }
    let bytes = authority.finish().into_target();
    Some(Stored {
        ttls: ttl_places(&bytes, question_end)?.into(),
        counts: [answers, u16::from(answers == 0), 0],
        ends: [question_end, answer_end, bytes.len()],
        bytes: bytes.into(),
        rcode: if name == apex(name) { rcode::NOERROR } else { rcode::NXDOMAIN },
        authentic: false,
        lifetime: LOCAL_TTL,
    })
}

/// Whether this name, in wire form and lower case, is ours.
pub(super) fn is_local(name: &[u8]) -> bool {
    // Nearly every name ends here.
    name.ends_with(b"\x04arpa\x00") && (below(name, NAME) || REVERSE.iter().any(|zone| below(name, zone)))
}

/// The zone of ours that the name is in.
fn apex(name: &[u8]) -> &'static [u8] {
    REVERSE.into_iter().find(|zone| below(name, zone)).unwrap_or(NAME)
}

/// Whether `name` is `zone` or below it.
fn below(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > zone.len() {
        let label = rest.first().map_or(usize::MAX, |length| usize::from(*length) + 1);
        let Some(next) = rest.get(label..) else { return false };
        rest = next;
    }
    rest == zone
}

/// The start of authority of a zone that never changes.
fn soa(zone: &[u8]) -> Option<Soa<&Name<[u8]>>> {
    let zone = Name::from_slice(zone).ok()?;
    let hour = Ttl::from_secs(3600);
    Some(Soa::new(zone, zone, Serial(1), hour, hour, Ttl::from_secs(1_209_600), Ttl::from_secs(LOCAL_TTL)))
}

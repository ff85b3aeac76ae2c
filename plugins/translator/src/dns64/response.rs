//! What a resolver answered: the records that belong to the question.
//!
//! Only the chain of aliases from the asked name and the records at its end are taken from the answer section; nothing
//! else can get into the cache under that name.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::base::name::{ParsedName, ToName};
use domain::base::rdata::ParseRecordData;
use domain::base::{Name, RecordHeader, Rtype};
use domain::dep::octseq::Parser;
use domain::rdata::{A, Aaaa, Cname, Soa};

use super::query::{CLASS_IN, HEADER, rcode, rtype, u16_at};
use super::settings::{MAX_NEGATIVE_TTL, Settings};

/// Aliases followed in one answer.
pub const MAX_CHAIN: usize = 16;
/// Records looked at in one section of an answer.
pub const MAX_RECORDS: usize = 1024;

pub(super) type Names<'a> = ParsedName<&'a [u8]>;

/// A record whose header is read; its data is read where it matters.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) owner: Names<'a>,
    pub(super) rtype: Rtype,
    pub(super) ttl: u32,
    /// At the data; names in it may point to anything before.
    data: Parser<'a, [u8]>,
}

/// The message contradicts itself or breaks a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The records of an answer that belong to its question.
#[derive(Clone)]
pub(super) struct Reply<'a> {
    pub(super) rcode: u8,
    pub(super) authentic: bool,
    pub(super) chain: Vec<Raw<'a>>,
    pub(super) finals: Vec<Raw<'a>>,
    pub(super) authority: Vec<Raw<'a>>,
    pub(super) additional: Vec<Raw<'a>>,
    /// How long "there is none" holds, by the SOA record (RFC 2308 section 5), in seconds.
    pub(super) negative_ttl: Option<u32>,
}

/// Reads the answer to the question for `name`, in wire form, and `qtype`.
pub(super) fn parse<'a>(bytes: &'a [u8], name: &[u8], qtype: u16) -> Result<Reply<'a>, Malformed> {
    let &[_, _, _, low, q0, q1, a0, a1, n0, n1, r0, r1] = bytes.first_chunk::<HEADER>().ok_or(Malformed)?;
    let mut parser = Parser::from_ref(bytes);
    parser.advance(HEADER).map_err(|_| Malformed)?;
    for _ in 0..u16::from_be_bytes([q0, q1]) {
        ParsedName::skip(&mut parser).map_err(|_| Malformed)?;
        parser.advance(4).map_err(|_| Malformed)?;
    }
    let answers = section(&mut parser, u16::from_be_bytes([a0, a1]))?;
    let authority = section(&mut parser, u16::from_be_bytes([n0, n1]))?;
    let mut additional = section(&mut parser, u16::from_be_bytes([r0, r1]))?;
    additional.retain(|record| !matches!(record.rtype, Rtype::OPT | Rtype::TSIG | Rtype::SIG));
    let mut reply = Reply {
        rcode: low & 15,
        authentic: low & 0x20 != 0,
        chain: Vec::new(),
        finals: Vec::new(),
        negative_ttl: authority.iter().find_map(negative_ttl),
        authority,
        additional,
    };
    reply.follow(&answers, Name::from_octets(name.to_vec()).map_err(|_| Malformed)?, qtype)?;
    Ok(reply)
}

/// The next `count` records, without those of other classes.
fn section<'a>(parser: &mut Parser<'a, [u8]>, count: u16) -> Result<Vec<Raw<'a>>, Malformed> {
    if usize::from(count) > MAX_RECORDS {
        return Err(Malformed);
    }
    let mut records = Vec::new();
    for _ in 0..count {
        let header = RecordHeader::parse_ref(parser).map_err(|_| Malformed)?;
        let data = parser.parse_parser(header.rdlen().into()).map_err(|_| Malformed)?;
        if header.class().to_int() == CLASS_IN {
            let (rtype, ttl) = (header.rtype(), sane(header.ttl().as_secs()));
            records.push(Raw { owner: *header.owner(), rtype, ttl, data });
        }
    }
    Ok(records)
}

/// The data of a record, as it is.
pub(super) fn raw_data<'a>(record: &Raw<'a>) -> Option<&'a [u8]> {
    let mut parser = record.data;
    parser.parse_octets(parser.remaining()).ok()
}

/// The data of a record of a known type.
pub(super) fn data<'a, D: ParseRecordData<'a, [u8]>>(record: &Raw<'a>) -> Option<D> {
    let mut parser = record.data;
    let data = D::parse_rdata(record.rtype, &mut parser).ok().flatten()?;
    (parser.remaining() == 0).then_some(data)
}

pub(super) fn negative_ttl(record: &Raw<'_>) -> Option<u32> {
    let minimum = data::<Soa<Names<'_>>>(record)?.minimum().as_secs();
    Some(record.ttl.min(minimum).min(MAX_NEGATIVE_TTL))
}

/// A time to live; with the top bit it is zero (RFC 2181 section 8).
const fn sane(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

impl<'a> Reply<'a> {
    /// Follows the aliases from `name` to where they end (RFC 6147 section 5.1.5).
    fn follow(&mut self, answers: &[Raw<'a>], name: Name<Vec<u8>>, qtype: u16) -> Result<(), Malformed> {
        let mut current = name;
        for _ in 0..=MAX_CHAIN {
            // Once per name: the comparison is what costs.
            let here: Vec<Raw<'a>> = answers.iter().filter(|record| record.owner.name_eq(&current)).copied().collect();
            let asked = |record: &&Raw<'a>| record.rtype.to_int() == qtype;
            if qtype == rtype::ANY {
                self.finals = here;
                return Ok(());
            }
            if here.iter().any(|record| asked(&record)) || qtype == rtype::CNAME {
                self.finals = here.into_iter().filter(|record| asked(&record) || covers(record, qtype)).collect();
                return Ok(());
            }
            let mut dnames = answers.iter().filter(|record| record.rtype == Rtype::DNAME).take(MAX_CHAIN);
            let above = |owner: &Names<'a>| current.ends_with(owner) && !current.name_eq(owner);
            if let Some(dname) = dnames.find(|record| above(&record.owner)) {
                self.chain.push(*dname);
                let signatures = answers.iter().filter(|record| covers(record, rtype::DNAME));
                self.chain.extend(signatures.filter(|record| record.owner.name_eq(&dname.owner)).copied());
            }
            let Some(alias) = here.iter().find(|record| record.rtype == Rtype::CNAME) else { return Ok(()) };
            let target = data::<Cname<Names<'_>>>(alias).ok_or(Malformed)?.cname().to_vec();
            self.chain.push(*alias);
            self.chain.extend(here.iter().filter(|record| covers(record, rtype::CNAME)));
            current = target;
        }
        Err(Malformed)
    }

    /// Whether there is an AAAA record that counts (RFC 6147 sections 5.1.1 and 5.1.4).
    pub(super) fn has_usable_aaaa(&self, settings: &Settings) -> bool {
        self.finals.iter().filter_map(aaaa).any(|address| settings.is_usable_aaaa(address))
    }

    /// Whether no AAAA record is excluded.
    pub(super) fn has_only_usable_aaaa(&self, settings: &Settings) -> bool {
        self.finals.iter().filter_map(aaaa).all(|address| settings.is_usable_aaaa(address))
    }

    /// Whether there is any AAAA record.
    pub(super) fn has_aaaa(&self) -> bool {
        self.finals.iter().any(|record| record.rtype == Rtype::AAAA)
    }

    /// Whether there is an A record of which an AAAA record may be made.
    pub(super) fn has_usable_a(&self, settings: &Settings) -> bool {
        !settings.prefixes.is_empty() && self.finals.iter().filter_map(a).any(|address| settings.is_usable_a(address))
    }

    /// Whether the server points elsewhere and answers nothing itself (RFC 2308 section 2.2).
    pub(super) fn is_referral(&self) -> bool {
        let empty = self.rcode == rcode::NOERROR && self.chain.is_empty() && self.finals.is_empty();
        let has = |rtype| self.authority.iter().any(|record| record.rtype == rtype);
        empty && has(Rtype::NS) && !has(Rtype::SOA)
    }

    /// Whether there is any A record.
    pub(super) fn has_a(&self) -> bool {
        self.finals.iter().any(|record| record.rtype == Rtype::A)
    }
}

/// Whether this is a signature over records of this type.
fn covers(record: &Raw<'_>, covered: u16) -> bool {
    record.rtype.to_int() == rtype::RRSIG && raw_data(record).and_then(|data| u16_at(data, 0)) == Some(covered)
}

pub(super) fn aaaa(record: &Raw<'_>) -> Option<Ipv6Addr> {
    data::<Aaaa>(record).map(|data| data.addr())
}

pub(super) fn a(record: &Raw<'_>) -> Option<Ipv4Addr> {
    data::<A>(record).map(|data| data.addr())
}

/// Whether the message is cut off (TC), and its response code; `None` if it has no header of an answer.
pub(super) fn flags(message: &[u8]) -> Option<(bool, u8)> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    (header[2] & 0xf8 == 0x80).then_some((header[2] & 2 != 0, header[3] & 15))
}

/// Whether a response code says something about the name and not about the resolver.
pub(super) const fn is_about_the_name(code: u8) -> bool {
    matches!(code, rcode::NOERROR | rcode::NXDOMAIN)
}

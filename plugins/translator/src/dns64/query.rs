//! A client's message: what is asked and how the answer is to look (RFC 1035 section 4.1, RFC 6891 section 6.1).
//!
//! Read with offsets and without allocation, for this is on the path of each question.

use super::name::name_length;

/// Bytes of a header (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;

/// Record types by their IANA names.
pub(super) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const DS: u16 = 43;
    pub(crate) const RRSIG: u16 = 46;
    pub(crate) const TKEY: u16 = 249;
    pub(crate) const MAILA: u16 = 254;
    pub(crate) const ANY: u16 = 255;
}

/// The class IN.
pub(super) const CLASS_IN: u16 = 1;

/// Response codes by their IANA names.
pub(super) mod rcode {
    pub(crate) const NOERROR: u8 = 0;
    pub(crate) const FORMERR: u8 = 1;
    pub(crate) const SERVFAIL: u8 = 2;
    pub(crate) const NXDOMAIN: u8 = 3;
    pub(crate) const NOTIMP: u8 = 4;
    pub(crate) const REFUSED: u8 = 5;
    /// With the upper bits in the OPT record (RFC 6891 section 6.1.3).
    pub(crate) const BADVERS: u8 = 16;
}

/// The two bytes at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

/// What a client's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edns {
    /// The largest answer it takes, in bytes.
    pub(super) size: u16,
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
}

/// A question and how its answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) id: u16,
    pub(super) recursion_desired: bool,
    /// AD in a question: the client understands AD in the answer (RFC 6840 section 5.7).
    pub(super) authentic_data: bool,
    pub(super) checking_disabled: bool,
    pub(super) edns: Option<Edns>,
    /// Name, type and class as they were sent.
    pub(super) question: &'a [u8],
    pub(super) qtype: u16,
    pub(super) qclass: u16,
}

impl<'a> Query<'a> {
    /// The name as it was sent, in wire form.
    pub(super) fn name(&self) -> &'a [u8] {
        self.question.get(..self.question.len().saturating_sub(4)).unwrap_or_default()
    }

    pub(super) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }
}

/// Why a message is no question to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is to be said: too short for a header, or itself an answer.
    Silent,
    /// To be answered with this response code and without a question section.
    Answer { id: u16, opcode: u8, recursion_desired: bool, rcode: u8 },
}

/// Reads a client's message.
pub(super) fn parse(message: &[u8]) -> Result<Query<'_>, Fault> {
    let Some(&[id0, id1, high, low, q0, q1, a0, a1, n0, n1, r0, r1]) = message.first_chunk::<HEADER>() else {
        return Err(Fault::Silent);
    };
    if high & 0x80 != 0 {
        return Err(Fault::Silent);
    }
    let (id, opcode, recursion_desired) = (u16::from_be_bytes([id0, id1]), high >> 3 & 15, high & 1 != 0);
    let fault = |rcode| Fault::Answer { id, opcode, recursion_desired, rcode };
    if opcode != 0 {
        return Err(fault(rcode::NOTIMP));
    }
    if [q0, q1, a0, a1, n0, n1] != [0, 1, 0, 0, 0, 0] {
        return Err(fault(rcode::FORMERR));
    }
    let malformed = fault(rcode::FORMERR);
    let body = message.get(HEADER..).unwrap_or_default();
    let end = name_length(body).ok_or(malformed)? + 4;
    let question = body.get(..end).ok_or(malformed)?;
    let edns = additional(body.get(end..).unwrap_or_default(), u16::from_be_bytes([r0, r1])).ok_or(malformed)?;
    Ok(Query {
        id,
        recursion_desired,
        authentic_data: low & 0x20 != 0,
        checking_disabled: low & 0x10 != 0,
        edns,
        question,
        qtype: u16_at(question, end - 4).unwrap_or(0),
        qclass: u16_at(question, end - 2).unwrap_or(0),
    })
}

/// The OPT record among `count` additional ones; `None` if they are malformed or it is there twice.
fn additional(mut bytes: &[u8], count: u16) -> Option<Option<Edns>> {
    let mut edns = None;
    // A question has an OPT record and perhaps a signature; more is not looked at.
    for _ in 0..count.min(4) {
        let name = name_length(bytes)?;
        let record = bytes.get(name..)?;
        let &[t0, t1, c0, c1, _, version, flags, _, l0, l1] = record.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        record.get(10..10 + length)?;
        if u16::from_be_bytes([t0, t1]) == rtype::OPT {
            if name != 1 || edns.is_some() {
                return None;
            }
            edns = Some(Edns { size: u16::from_be_bytes([c0, c1]), version, dnssec_ok: flags & 0x80 != 0 });
        }
        bytes = record.get(10 + length..)?;
    }
    Some(edns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02BC\x00\x00\x1c\x00\x01";
    const OPT: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x02\xab\xcd";

    fn with_opts(count: u8) -> Vec<u8> {
        let mut message = PLAIN.to_vec();
        message[11] = count;
        for _ in 0..count {
            message.extend_from_slice(OPT);
        }
        message
    }

    #[test]
    fn a_question_is_read_as_it_was_sent() {
        let query = parse(PLAIN).unwrap();
        assert_eq!((query.id, query.qtype, query.qclass), (0x1234, rtype::AAAA, CLASS_IN));
        assert_eq!(query.name(), b"\x01a\x02BC\x00");
        assert!(query.recursion_desired && query.authentic_data && !query.checking_disabled);
        assert_eq!(query.edns, None);
        let message = with_opts(1);
        assert_eq!(parse(&message).unwrap().edns, Some(Edns { size: 1232, version: 0, dnssec_ok: true }));
    }

    #[test]
    fn two_opt_records_are_a_format_error_by_rfc_6891_section_6_1_1() {
        let fault = Fault::Answer { id: 0x1234, opcode: 0, recursion_desired: true, rcode: rcode::FORMERR };
        assert_eq!(parse(&with_opts(2)), Err(fault));
    }

    #[test]
    fn what_is_cut_off_is_silent_or_a_format_error_at_each_length() {
        let message = with_opts(1);
        for length in 0..message.len() {
            let error = parse(&message[..length]).unwrap_err();
            assert_eq!(error == Fault::Silent, length < HEADER, "at {length}");
        }
    }

    #[test]
    fn answers_other_opcodes_and_other_counts_are_told_apart() {
        let change = |at: usize, byte: u8| {
            let mut message = PLAIN.to_vec();
            message[at] = byte;
            parse(&message).map(|_| ()).unwrap_err()
        };
        assert_eq!(change(2, 0x81), Fault::Silent);
        let not_implemented = Fault::Answer { id: 0x1234, opcode: 5, recursion_desired: true, rcode: rcode::NOTIMP };
        assert_eq!(change(2, 0x29), not_implemented);
        let malformed = Fault::Answer { id: 0x1234, opcode: 0, recursion_desired: true, rcode: rcode::FORMERR };
        for count in [4, 5, 6, 7, 8, 9, 11] {
            assert_eq!(change(count, 2), malformed, "at {count}");
        }
        assert_eq!(change(12, 0xc0), malformed);
    }
}

//! An answer as it is kept, and how it becomes one client's answer: identifier, flags, the question as the client wrote
//! it, times to live that went by, OPT, and truncation. No name is parsed here; this is what a cache hit costs.

use super::query::{CLASS_IN, Edns, HEADER, Query, rcode, rtype};

/// Bytes of an OPT record without options.
pub(super) const OPT_LENGTH: usize = 11;

/// What of a client's question shapes its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) id: u16,
    pub(super) recursion_desired: bool,
    /// Whether AD means something to the client (RFC 6840 section 5.8).
    pub(super) wants_ad: bool,
    pub(super) checking_disabled: bool,
    /// Whether there is an OPT record, and its DO flag.
    pub(super) edns: Option<bool>,
    /// Name, type and class as they were sent.
    pub(super) question: &'a [u8],
    /// The largest answer, in bytes.
    pub(super) limit: usize,
    /// The size our OPT record gives.
    pub(super) udp_size: u16,
}

impl<'a> Asked<'a> {
    /// Over UDP the answer has at most what the client takes, `udp_size`, and never less than 512 bytes.
    pub(super) fn new(query: &Query<'a>, udp: bool, udp_size: u16) -> Self {
        let taken = query.edns.map_or(512, |edns: Edns| edns.size.max(512)).min(udp_size);
        Self {
            id: query.id,
            recursion_desired: query.recursion_desired,
            wants_ad: query.authentic_data || query.dnssec_ok(),
            checking_disabled: query.checking_disabled,
            edns: query.edns.map(|edns| edns.dnssec_ok),
            question: query.question,
            limit: if udp { usize::from(taken) } else { usize::from(u16::MAX) },
            udp_size,
        }
    }

    /// Appends an answer without records.
    pub(super) fn emit_empty(&self, code: u8, out: &mut Vec<u8>) {
        self.emit_header(code, false, false, [0; 3], out);
        out.extend_from_slice(self.question);
        self.emit_opt(code, out);
    }

    fn emit_header(
        &self,
        code: u8,
        truncated: bool,
        ad: bool,
        [answer, authority, additional]: [u16; 3],
        out: &mut Vec<u8>,
    ) {
        let [i0, i1] = self.id.to_be_bytes();
        let high = 0x80 | u8::from(truncated) << 1 | u8::from(self.recursion_desired);
        let low = 0x80 | u8::from(ad && self.wants_ad) << 5 | u8::from(self.checking_disabled) << 4 | code & 15;
        let additional = additional.saturating_add(u16::from(self.edns.is_some()));
        let ([a0, a1], [n0, n1], [r0, r1]) = (answer.to_be_bytes(), authority.to_be_bytes(), additional.to_be_bytes());
        out.extend_from_slice(&[i0, i1, high, low, 0, 1, a0, a1, n0, n1, r0, r1]);
    }

    fn emit_opt(&self, code: u8, out: &mut Vec<u8>) {
        let Some(dnssec_ok) = self.edns else { return };
        let [s0, s1] = self.udp_size.to_be_bytes();
        let [t0, t1] = rtype::OPT.to_be_bytes();
        out.extend_from_slice(&[0, t0, t1, s0, s1, code >> 4, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
    }
}

/// Appends an answer to a message whose question could not be read.
pub(super) fn emit_fault(id: u16, opcode: u8, recursion_desired: bool, code: u8, out: &mut Vec<u8>) {
    let [i0, i1] = id.to_be_bytes();
    let high = 0x80 | opcode << 3 | u8::from(recursion_desired);
    out.extend_from_slice(&[i0, i1, high, 0x80 | code & 15, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The whole message, without OPT; the flags and the identifier do not count.
    pub(super) bytes: Box<[u8]>,
    /// Where the times to live are, rising.
    pub(super) ttls: Box<[u16]>,
    /// Records in the answer, authority and additional sections.
    pub(super) counts: [u16; 3],
    /// Where the question, answer and authority sections end.
    pub(super) ends: [usize; 3],
    /// The response code.
    pub(super) rcode: u8,
    /// Whether a resolver that is believed said the data is authentic.
    pub(super) authentic: bool,
    /// How long it may be kept, in seconds.
    pub(super) lifetime: u32,
}

impl Stored {
    /// Bytes it takes, about.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + 2 * self.ttls.len() + size_of::<Self>()
    }

    /// Appends the answer for `asked`, `age` seconds after it was stored.
    ///
    /// What does not fit goes in this order: the additional section, the authority section of an answer that needs it
    /// not, then all of it, with TC set (RFC 2181 section 9).
    pub(super) fn emit(&self, asked: &Asked<'_>, age: u32, out: &mut Vec<u8>) {
        let room = asked.limit.saturating_sub(if asked.edns.is_some() { OPT_LENGTH } else { 0 });
        let [question_end, answer_end, authority_end] = self.ends;
        let [answers, authorities, _] = self.counts;
        let (end, truncated, counts) = if self.bytes.len() <= room {
            (self.bytes.len(), false, self.counts)
        } else if authority_end <= room {
            (authority_end, false, [answers, authorities, 0])
        } else if answer_end <= room && answers > 0 && asked.edns != Some(true) && self.rcode == rcode::NOERROR {
            (answer_end, false, [answers, 0, 0])
        } else {
            (question_end, true, [0; 3])
        };
        let start = out.len();
        asked.emit_header(self.rcode, truncated, self.authentic, counts, out);
        out.extend_from_slice(asked.question);
        out.extend_from_slice(self.bytes.get(question_end..end).unwrap_or_default());
        if age > 0 {
            let message = out.get_mut(start..).unwrap_or_default();
            for at in self.ttls.iter().map(|at| usize::from(*at)).take_while(|at| *at < end) {
                if let Some(field) = message.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
                    *field = u32::from_be_bytes(*field).saturating_sub(age).to_be_bytes();
                }
            }
        }
        asked.emit_opt(self.rcode, out);
    }

    /// The message as it would go to one who asks for nothing special, `age` seconds after it was stored.
    pub(super) fn message(&self, age: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len());
        let asked = Asked {
            id: 0,
            recursion_desired: true,
            wants_ad: true,
            checking_disabled: false,
            edns: None,
            question: self.bytes.get(HEADER..self.ends[0]).unwrap_or_default(),
            limit: usize::MAX,
            udp_size: 512,
        };
        self.emit(&asked, age, &mut out);
        out
    }
}

/// The question section of a name in wire form.
pub(super) fn question(name: &[u8], qtype: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 4);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&qtype.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    bytes
}

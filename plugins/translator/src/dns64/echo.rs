//! The message of an upstream question, and whether an answer echoes it: identifier aside, the name with the case of each
//! letter (draft-vixie-dnsext-dns0x20), the type, and the class.

use super::name::name_length;
use super::query::{CLASS_IN, HEADER, rcode, rtype, u16_at};
use super::question::{Attempt, Question, flag};
use super::response::flags;
use super::settings::UDP_SIZE;
use super::stored::question;

/// How the question in an answer compares to the one that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    Same,
    OtherCase,
    Other,
}

/// The message of an upstream question: RD and AD, CD as the client, and OPT with DO as the client.
pub(super) fn message(asked: &Question, id: u16, case: u64, edns: bool) -> Vec<u8> {
    let flags = asked.flags();
    let checking_disabled = if flags & flag::CHECKING_DISABLED != 0 { 0x10 } else { 0 };
    let mut bytes = Vec::with_capacity(HEADER + asked.name.len() + 15);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(&[1, 0x20 | checking_disabled, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    bytes.extend(question(&with_case(&asked.name, case), asked.qtype));
    if edns {
        bytes.push(0);
        bytes.extend_from_slice(&rtype::OPT.to_be_bytes());
        bytes.extend_from_slice(&UDP_SIZE.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, (flags & flag::DNSSEC_OK) << 7, 0, 0, 0]);
    }
    bytes
}

/// Compares the question of an answer to what was asked.
pub(super) fn echo(message: &[u8], asked: &Question, attempt: &Attempt) -> Echo {
    let Some((_, code)) = flags(message) else { return Echo::Other };
    let count = u16_at(message, 4);
    if count == Some(0) && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
        return Echo::Same;
    }
    let body = message.get(HEADER..).unwrap_or_default();
    let Some(end) = name_length(body) else { return Echo::Other };
    let same = count == Some(1) && u16_at(body, end) == Some(asked.qtype) && u16_at(body, end + 2) == Some(CLASS_IN);
    let name = body.get(..end).unwrap_or_default();
    if !same || !name.eq_ignore_ascii_case(&asked.name) {
        Echo::Other
    } else if name == with_case(&asked.name, attempt.case) {
        Echo::Same
    } else {
        Echo::OtherCase
    }
}

/// The name as it is asked: each letter in upper case whose bit of `seed` is set.
fn with_case(name: &[u8], seed: u64) -> Vec<u8> {
    let letters = name.iter().enumerate();
    letters.map(|(at, byte)| if seed >> (at % 64) & 1 == 1 { byte.to_ascii_uppercase() } else { *byte }).collect()
}

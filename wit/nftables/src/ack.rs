//! What the kernel answers: acknowledgements, errors with their extension, the end of a dump.
//!
//! With NETLINK_EXT_ACK an error says where in the message and what; where its attributes begin depends on whether the
//! message was put into the error (not with NETLINK_CAP_ACK).

use crate::{
    Attributes, Message,
    batch::MESSAGE_HEADER,
    constants::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR},
};

/// Bytes of the error's number.
const ERROR: usize = 4;
/// NLMSGERR_ATTR_*.
const TEXT: u16 = 1;
const OFFSET: u16 = 2;
const MISSING_TYPE: u16 = 5;

/// What a message of an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A message of ours was done, or refused.
    Acknowledged(Acknowledgement),
    /// A dump is at its end.
    Done(Acknowledgement),
    /// Something else: what was asked for.
    Message,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Of our message.
    pub sequence: u32,
    /// Positive; 0 if all is well.
    pub errno: i32,
    /// Where in our message, from its header on.
    pub offset: Option<u32>,
    /// What the kernel says.
    pub message: Option<String>,
    /// The attribute that is missing.
    pub missing: Option<u32>,
}

/// What this message of an answer is. An error that is cut off is EBADMSG.
#[must_use]
pub fn answer(message: &Message<'_>) -> Answer {
    match message.kind {
        NLMSG_ERROR => Answer::Acknowledged(acknowledgement(message)),
        NLMSG_DONE => Answer::Done(acknowledgement(message)),
        _ => Answer::Message,
    }
}

/// EBADMSG: an error without its number.
const CUT_OFF: i32 = 74;

fn acknowledgement(message: &Message<'_>) -> Acknowledgement {
    let body = message.body();
    let errno = match body.first_chunk::<ERROR>() {
        Some(code) => message.endian.read_u32(*code).cast_signed().saturating_neg(),
        None => CUT_OFF,
    };
    let mut found = Acknowledgement { sequence: message.sequence, errno, offset: None, message: None, missing: None };
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return found;
    }
    let Some(extension) = extension(message).and_then(|start| body.get(start..)) else { return found };
    for attribute in Attributes::new(message.endian, extension) {
        match attribute.kind {
            TEXT => found.message = Some(attribute.text()),
            OFFSET => found.offset = attribute.host_u32(),
            MISSING_TYPE => found.missing = attribute.host_u32(),
            _ => {}
        }
    }
    found
}

/// Where in the body the attributes begin.
fn extension(message: &Message<'_>) -> Option<usize> {
    if message.kind == NLMSG_DONE {
        return Some(ERROR);
    }
    if message.flags & NLM_F_CAPPED != 0 {
        return Some(ERROR + MESSAGE_HEADER);
    }
    let length = message.body().get(ERROR..)?.first_chunk::<4>()?;
    let length = usize::try_from(message.endian.read_u32(*length)).ok()?;
    Some(ERROR + length.checked_next_multiple_of(4)?)
}

#[cfg(test)]
mod tests;

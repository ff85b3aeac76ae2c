//! Messages of a datagram: headers only.

use crate::{
    Attributes, Endian,
    batch::{FAMILY_HEADER, MESSAGE_HEADER},
};

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct Malformed {
    /// Where in what was read.
    pub offset: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Of its header in what was read.
    pub offset: usize,
    /// nlmsg_type.
    pub kind: u16,
    /// nlmsg_flags.
    pub flags: u16,
    /// nlmsg_seq.
    pub sequence: u32,
    /// nlmsg_pid.
    pub port: u32,
    /// With its header, without padding.
    pub bytes: &'a [u8],
    /// The host's order.
    pub endian: Endian,
}

impl<'a> Message<'a> {
    /// What follows the header of netlink.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(MESSAGE_HEADER..).unwrap_or_default()
    }

    /// NFNL_SUBSYS_*.
    #[must_use]
    pub const fn subsystem(&self) -> u16 {
        self.kind >> 8
    }

    /// The message's number in its subsystem.
    #[must_use]
    pub const fn operation(&self) -> u16 {
        self.kind & 0xff
    }

    /// nfgen_family.
    #[must_use]
    pub fn family(&self) -> u8 {
        self.body().first().copied().unwrap_or_default()
    }

    /// res_id: of the beginning and the end of a transaction the subsystem.
    #[must_use]
    pub fn resource(&self) -> u16 {
        self.body().get(2..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }

    /// What follows struct nfgenmsg.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.endian, self.body().get(FAMILY_HEADER..).unwrap_or_default())
    }
}

/// Goes through messages; ends after an error.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    endian: Endian,
    bytes: &'a [u8],
    offset: usize,
}

/// The messages in `bytes`, one after the other.
#[must_use]
pub const fn messages(endian: Endian, bytes: &[u8]) -> Messages<'_> {
    Messages { endian, bytes, offset: 0 }
}

impl<'a> Messages<'a> {
    fn fail(&mut self, what: &'static str) -> Option<Result<Message<'a>, Malformed>> {
        self.bytes = &[];
        Some(Err(Malformed { offset: self.offset, what }))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let Some(header) = self.bytes.first_chunk::<MESSAGE_HEADER>() else {
            return self.fail("a cut off header of a message");
        };
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let length = usize::try_from(self.endian.read_u32([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if length < MESSAGE_HEADER {
            return self.fail("a message shorter than its header");
        }
        let Some(bytes) = self.bytes.get(..length) else {
            return self.fail("a cut off message");
        };
        let message = Message {
            offset: self.offset,
            kind: self.endian.read_u16([k0, k1]),
            flags: self.endian.read_u16([f0, f1]),
            sequence: self.endian.read_u32([s0, s1, s2, s3]),
            port: self.endian.read_u32([p0, p1, p2, p3]),
            bytes,
            endian: self.endian,
        };
        let step = length.next_multiple_of(4).min(self.bytes.len());
        self.bytes = self.bytes.get(step..).unwrap_or_default();
        self.offset += step;
        Some(Ok(message))
    }
}

//! A transaction: BEGIN, messages of nf_tables with consecutive sequence numbers, END.
//!
//! The kernel tells an error by the sequence number of its message and an offset in it, so what a number stands for is
//! for the caller to keep. Asking for an acknowledgement of each message overflows the socket of a large batch: ask
//! for one, of the last.

use crate::{
    Endian, Family,
    attribute::Writer,
    constants::{
        NFNL_BATCH_GENID, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NLM_F_REQUEST, nft_type,
    },
};

/// Bytes of struct nlmsghdr.
pub(crate) const MESSAGE_HEADER: usize = 16;
/// Bytes of struct nfgenmsg.
pub(crate) const FAMILY_HEADER: usize = 4;

/// A message that [`Batch::push`] takes.
pub trait Encode {
    /// NFT_MSG_*.
    fn kind(&self) -> u16;
    /// NLM_F_* that it always has, beside REQUEST.
    fn flags(&self) -> u16;
    /// Of the table.
    fn family(&self) -> Family;
    /// Writes its attributes.
    fn attributes(&self, writer: &mut Writer);
}

/// A message has an attribute that is longer than netlink can say: 65,535 bytes with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {sequence} has an attribute longer than 65,535 bytes")]
pub struct Oversized {
    /// Of the first such message.
    pub sequence: u32,
}

/// The bytes of a transaction while they are written.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) writer: Writer,
    next: u32,
    oversized: Option<Oversized>,
}

impl Batch {
    /// An empty one; its first message has the sequence number 1.
    #[must_use]
    pub const fn new(endian: Endian) -> Self {
        Self::starting_at(endian, 1)
    }

    /// An empty one whose first message has this sequence number.
    #[must_use]
    pub const fn starting_at(endian: Endian, sequence: u32) -> Self {
        Self { writer: Writer::new(endian), next: sequence, oversized: None }
    }

    /// The host's byte order.
    #[must_use]
    pub const fn endian(&self) -> Endian {
        self.writer.endian
    }

    /// Makes room for about so many more bytes, at most 64 MiB at once. Only saves time.
    pub fn reserve(&mut self, bytes: usize) {
        self.writer.reserve(bytes);
    }

    /// Begins the transaction. With a generation, the kernel refuses it (ERESTART) if there was a change since.
    pub fn begin(&mut self, generation: Option<u32>) -> u32 {
        self.boundary(NFNL_MSG_BATCH_BEGIN, 0, generation)
    }

    /// Ends it. Without an end the kernel checks the transaction and forgets it. `flags` is 0 or NLM_F_ACK, which
    /// kernels before 6.10 do not answer.
    pub fn end(&mut self, flags: u16) -> u32 {
        self.boundary(NFNL_MSG_BATCH_END, flags, None)
    }

    fn boundary(&mut self, kind: u16, flags: u16, generation: Option<u32>) -> u32 {
        let start = self.open(kind, NLM_F_REQUEST | flags, Family::Unspec, NFNL_SUBSYS_NFTABLES);
        if let Some(generation) = generation {
            self.writer.u32(NFNL_BATCH_GENID, generation);
        }
        self.close(start)
    }

    /// Appends a message; `flags` come to those that it always has. Returns its sequence number.
    pub fn push(&mut self, message: &impl Encode, flags: u16) -> u32 {
        let kind = nft_type(message.kind());
        let start = self.open(kind, NLM_F_REQUEST | message.flags() | flags, message.family(), 0);
        message.attributes(&mut self.writer);
        self.close(start)
    }

    /// Begins a message; [`Batch::close`] ends it.
    pub(crate) fn open(&mut self, kind: u16, flags: u16, family: Family, resource: u16) -> usize {
        let Writer { bytes, endian, .. } = &mut self.writer;
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&endian.u16(kind));
        bytes.extend_from_slice(&endian.u16(flags));
        bytes.extend_from_slice(&endian.u32(self.next));
        bytes.extend_from_slice(&[0; 4]);
        // NFNETLINK_V0
        bytes.extend_from_slice(&[family.number(), 0]);
        bytes.extend_from_slice(&resource.to_be_bytes());
        start
    }

    pub(crate) fn close(&mut self, start: usize) -> u32 {
        let length = self.writer.bytes.len().saturating_sub(start);
        let sequence = self.next;
        // Attributes are bounded by 16 bits, and what is beyond marks the batch.
        let length = u32::try_from(length).unwrap_or_else(|_| {
            self.writer.oversized = true;
            u32::MAX
        });
        let length = self.writer.endian.u32(length);
        self.writer.put(start, &length);
        if core::mem::take(&mut self.writer.oversized) && self.oversized.is_none() {
            self.oversized = Some(Oversized { sequence });
        }
        self.next = self.next.wrapping_add(1);
        sequence
    }

    /// Of the next message.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.next
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.writer.bytes
    }

    /// The first message that cannot be expressed, if there is one.
    #[must_use]
    pub const fn oversized(&self) -> Option<Oversized> {
        self.oversized
    }

    /// What was written.
    ///
    /// # Errors
    /// If one of the messages has an attribute that is too long.
    pub fn into_bytes(self) -> Result<Vec<u8>, Oversized> {
        match self.oversized {
            Some(oversized) => Err(oversized),
            None => Ok(self.writer.bytes),
        }
    }
}

#[cfg(test)]
mod tests;

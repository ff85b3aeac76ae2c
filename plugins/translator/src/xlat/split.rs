//! What becomes several packets: super-packets that are too large for the other family, and IPv4 packets that may be
//! fragmented and are too large for the IPv6 side (RFC 7915 section 4). All of it is rare and goes beside the batch.

use super::counters::Reason;
use super::headers::{FRAGMENT_LEN, Fragment, Head4, LEN6, New6};
use super::packet::Packet;
use super::{Beside, DataPath, Fate};
use crate::flow::Sessions;
use portreeve_packet::segment::{self, Fault};
use portreeve_packet::vnet::{Vnet, begin_tun_frame, push_headroom};

impl<S: Sessions> DataPath<S> {
    /// Cuts a super-packet into its packets and translates each.
    #[cold]
    pub(super) fn split(&mut self, packet: &Packet<'_>, beside: &mut Beside<'_>) -> Result<Fate, Reason> {
        let plan = segment::plan(packet.bytes(), &packet.vnet, usize::MAX).map_err(|fault| match fault {
            Fault::Malformed => Reason::Malformed,
            Fault::TooBig => Reason::TooBig,
        })?;
        self.counters.split += 1;
        let mut batch = Vec::new();
        plan.write(&mut batch, |batch, length| {
            push_headroom(batch);
            begin_tun_frame(batch, &Vnet::default(), length);
        });
        self.aside_batch(&mut batch, beside);
        Ok(Fate::Taken)
    }

    /// Sends `payload`, what is behind the header of `head`, as fragments under `header`; a fragment is cut further.
    #[cold]
    pub(super) fn cut(&mut self, header: &New6, head: &Head4, payload: &[u8], beside: &mut Beside<'_>) {
        let whole = Fragment { offset: 0, more: false, id: u32::from(head.id) };
        let base = head.fragment.unwrap_or(whole);
        let room = (usize::from(self.settings.fragment_mtu6()) - LEN6 - FRAGMENT_LEN) & !7;
        self.counters.fragmented += 1;
        let count = payload.len().div_ceil(room);
        let mut bytes = Vec::with_capacity(LEN6 + FRAGMENT_LEN + room);
        for (number, piece) in payload.chunks(room).enumerate() {
            let last = number + 1 == count;
            let fragment = Fragment {
                offset: base.offset.saturating_add((number * room) as u16),
                more: base.more || !last,
                id: base.id,
            };
            let header = New6 { payload: piece.len() as u16, ..*header };
            bytes.clear();
            bytes.extend_from_slice(&header.fragment_bytes(fragment));
            bytes.extend_from_slice(piece);
            self.push_packet(beside, &bytes);
        }
    }
}

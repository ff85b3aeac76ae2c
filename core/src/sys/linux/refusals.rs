//! When a kernel refuses so many frames of a kind that it cannot be the frames: then less is offloaded.
//!
//! Each kind has a count of its own, which only a frame of the same kind that was taken sets back. Traffic is mixed: TCP that
//! passes says nothing of UDP.

use crate::sys::Offloads;

/// From linux/virtio_net.h.
const NEEDS_CSUM: u8 = 1;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;
/// So many refused frames in a row mean that the kernel does not take their kind, not that one was malformed.
const REFUSALS: u32 = 16;

/// Which offload a frame takes, by its virtio_net_hdr.
#[must_use]
pub const fn kind(frame: &[u8]) -> Offloads {
    match frame {
        [_, gso, ..] if *gso & !GSO_ECN == GSO_UDP_L4 => Offloads::Udp,
        [_, gso, ..] if *gso != 0 => Offloads::Tcp,
        [flags, ..] if *flags & NEEDS_CSUM != 0 => Offloads::Checksum,
        _ => Offloads::None,
    }
}

/// Refused frames in a row, of each kind.
#[derive(Debug, Default)]
pub struct Refusals {
    checksum: u32,
    tcp: u32,
    udp: u32,
}

impl Refusals {
    /// A frame was taken.
    pub const fn taken(&mut self, kind: Offloads) {
        if let Some(count) = self.of(kind) {
            *count = 0;
        }
    }

    /// A frame was refused as illegal while `level` was in use. Gives what to come down to when that goes on. A kind above
    /// the level is not counted: nobody offered it.
    pub fn refused(&mut self, kind: Offloads, level: Offloads) -> Option<Offloads> {
        if kind > level {
            return None;
        }
        let count = self.of(kind)?;
        *count += 1;
        if *count < REFUSALS {
            return None;
        }
        *self = Self::default();
        match kind {
            Offloads::Udp => Some(Offloads::Tcp),
            Offloads::Tcp => Some(Offloads::Checksum),
            Offloads::Checksum | Offloads::None => Some(Offloads::None),
        }
    }

    const fn of(&mut self, kind: Offloads) -> Option<&mut u32> {
        match kind {
            Offloads::None => None,
            Offloads::Checksum => Some(&mut self.checksum),
            Offloads::Tcp => Some(&mut self.tcp),
            Offloads::Udp => Some(&mut self.udp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_of_the_kind_that_its_header_says() {
        assert_eq!(kind(&[1, 5]), Offloads::Udp);
        for tcp in [1, 4, 0x81, 0x84] {
            assert_eq!(kind(&[1, tcp]), Offloads::Tcp, "{tcp}");
        }
        assert_eq!(kind(&[1, 0]), Offloads::Checksum);
        assert_eq!(kind(&[2, 0]), Offloads::None);
        assert_eq!(kind(&[]), Offloads::None);
    }

    #[test]
    fn one_kind_that_is_refused_among_others_that_pass_comes_down() {
        let mut refusals = Refusals::default();
        for _ in 1..REFUSALS {
            assert_eq!(refusals.refused(Offloads::Udp, Offloads::Udp), None);
            refusals.taken(Offloads::Tcp);
            refusals.taken(Offloads::Checksum);
            refusals.taken(Offloads::None);
        }
        assert_eq!(refusals.refused(Offloads::Udp, Offloads::Udp), Some(Offloads::Tcp));
    }

    #[test]
    fn a_kind_that_passes_now_and_then_stays() {
        let mut refusals = Refusals::default();
        for _ in 0..10 * REFUSALS {
            for _ in 1..REFUSALS {
                assert_eq!(refusals.refused(Offloads::Checksum, Offloads::Tcp), None);
            }
            refusals.taken(Offloads::Checksum);
        }
        (1..REFUSALS).for_each(|_| assert_eq!(refusals.refused(Offloads::Checksum, Offloads::Tcp), None));
        assert_eq!(refusals.refused(Offloads::Checksum, Offloads::Tcp), Some(Offloads::None));
    }

    #[test]
    fn what_is_no_longer_offered_and_plain_frames_are_not_counted() {
        let mut refusals = Refusals::default();
        for _ in 0..10 * REFUSALS {
            assert_eq!(refusals.refused(Offloads::Udp, Offloads::Tcp), None);
            assert_eq!(refusals.refused(Offloads::None, Offloads::Udp), None);
        }
        (1..REFUSALS).for_each(|_| assert_eq!(refusals.refused(Offloads::Tcp, Offloads::Tcp), None));
        assert_eq!(refusals.refused(Offloads::Tcp, Offloads::Tcp), Some(Offloads::Checksum));
        assert_eq!(refusals.refused(Offloads::Checksum, Offloads::Checksum), None, "a new count after a step");
    }
}

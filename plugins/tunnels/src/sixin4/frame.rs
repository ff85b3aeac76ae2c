//! Frames in a batch: what all packet plugins share, and the name the IPv4 side's frames have here.

pub use portreeve_packet::vnet::{Frame, Frames, Vnet, push_tun_frame};
pub(super) use portreeve_packet::vnet::{GSO_NONE, GSO_TCPV6, NEEDS_CSUM, begin_tun_frame};

/// Appends an IPv4 frame to `batch`.
pub fn push_ipv4_frame(batch: &mut Vec<u8>, packet: &[u8]) {
    portreeve_packet::vnet::push_frame(batch, packet);
}

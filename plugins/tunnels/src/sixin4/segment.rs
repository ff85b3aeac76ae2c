//! Cutting large TCP and UDP frames on their way into the tunnel; how is `portreeve_packet::segment`'s business.

use super::counters::Reason;
use super::frame::Vnet;
use super::outer::{self, Outer};
use portreeve_packet::segment::{self, Fault};
pub(super) use portreeve_packet::segment::{Plan, complete, pseudo_header, put};

/// How to cut the whole packet `packet` so that no segment exceeds `mtu`.
pub(super) fn plan<'a>(packet: &'a [u8], vnet: &Vnet, mtu: u16) -> Result<Plan<'a>, Reason> {
    segment::plan(packet, vnet, usize::from(mtu)).map_err(|fault| match fault {
        Fault::Malformed => Reason::Malformed,
        Fault::TooBig => Reason::TooBig,
    })
}

/// Appends the segments to `out`; how many there were, and their bytes.
pub(super) fn write(plan: &Plan<'_>, outer: &Outer, out: &mut Vec<u8>) -> (u64, u64) {
    plan.write(out, |out, length| outer.begin(out, length))
}

/// A frame that leaves must fit its outer header's total length.
const _: () = assert!(super::MAX_MTU as usize + outer::LEN <= u16::MAX as usize);

//! ECN on leaving the tunnel (RFC 6040 section 4.2, figure 4).

/// Not ECN-capable.
pub(super) const NOT_ECT: u8 = 0b00;
/// ECN-capable, (1).
pub(super) const ECT_1: u8 = 0b01;
/// ECN-capable, (0).
pub(super) const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub(super) const CE: u8 = 0b11;
/// The two bits in a TOS or traffic class byte.
pub(super) const MASK: u8 = 0b11;

/// The field of the packet that leaves, from those that arrived; `None` when it is to be dropped.
pub(super) const fn decapsulated(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(NOT_ECT),
        (_, CE) => Some(CE),
        (ECT_0, ECT_1) => Some(ECT_1),
        (inner, _) => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rfc_6040_figure_4_holds() {
        let outer = [NOT_ECT, ECT_0, ECT_1, CE];
        let rows = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        for (inner, row) in rows {
            for (outer, expected) in outer.into_iter().zip(row) {
                assert_eq!(decapsulated(inner, outer), expected, "inner {inner:02b} outer {outer:02b}");
            }
        }
    }
}

//! What nft calls the types of keys and values: their numbers, lengths and byte orders.
//!
//! The kernel keeps the number and does not look at it; with it `nft list` shows a set as one would write it.

/// In which order a register has the bytes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// As the host has them: marks, states, indices of interfaces.
    Host,
    /// As on the wire: addresses, ports.
    Network,
}

/// A type as nft numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataType {
    /// nft's number, below 64.
    pub number: u32,
    /// Bytes.
    pub length: u32,
    /// Of its bytes.
    pub order: ByteOrder,
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $length:literal, $order:ident;)*) => {
        impl DataType {
            $($(#[$doc])* pub const $name: Self =
                Self { number: $number, length: $length, order: ByteOrder::$order };)*
        }
    };
}

types! {
    /// `verdict`.
    VERDICT = 1, 16, Host;
    /// `nf_proto`.
    NF_PROTO = 2, 1, Host;
    /// `ipv4_addr`.
    IPV4_ADDR = 7, 4, Network;
    /// `ipv6_addr`.
    IPV6_ADDR = 8, 16, Network;
    /// `ether_addr`.
    ETHER_ADDR = 9, 6, Network;
    /// `ether_type`.
    ETHER_TYPE = 10, 2, Network;
    /// `inet_proto`.
    INET_PROTO = 12, 1, Network;
    /// `inet_service`: a port.
    INET_SERVICE = 13, 2, Network;
    /// `icmp_type`.
    ICMP_TYPE = 14, 1, Network;
    /// `tcp_flag`.
    TCP_FLAG = 15, 1, Network;
    /// `mark`.
    MARK = 19, 4, Host;
    /// `iface_index`.
    IFINDEX = 20, 4, Host;
    /// `ct_state`.
    CT_STATE = 26, 4, Host;
    /// `ct_status`.
    CT_STATUS = 28, 4, Host;
    /// `icmpv6_type`.
    ICMPV6_TYPE = 29, 1, Network;
    /// `icmp_code`.
    ICMP_CODE = 32, 1, Network;
    /// `icmpv6_code`.
    ICMPV6_CODE = 33, 1, Network;
    /// `fib_addrtype`.
    FIB_ADDRTYPE = 38, 4, Host;
    /// `ifname`: 16 bytes, the rest zeros.
    IFNAME = 41, 16, Host;
}

/// Bits of a type's number in that of a concatenation.
const TYPE_BITS: u32 = 6;
/// Fields are padded to so many bytes in a concatenation.
const FIELD: u32 = 4;

impl DataType {
    /// `integer` of so many bytes, in network order.
    #[must_use]
    pub const fn integer(length: u32) -> Self {
        Self { number: 4, length, order: ByteOrder::Network }
    }

    /// Number and length of a key of these fields: each padded to 4 bytes if there are several.
    pub(crate) fn concatenated(fields: &[Self]) -> (u32, u32) {
        match fields {
            [one] => (one.number, one.length),
            _ => fields.iter().fold((0, 0), |(number, length), field| {
                (number << TYPE_BITS | field.number, length + field.length.next_multiple_of(FIELD))
            }),
        }
    }

    /// Order of a key of these fields, as nft notes it: none of a concatenation, whose fields have their own.
    pub(crate) fn noted_order(fields: &[Self]) -> u32 {
        match fields {
            [Self::VERDICT] => 0,
            [Self { order: ByteOrder::Host, .. }] => 1,
            [Self { order: ByteOrder::Network, .. }] => 2,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concatenations_fields_are_padded_and_a_single_one_is_not() {
        assert_eq!(DataType::concatenated(&[DataType::IPV6_ADDR, DataType::INET_SERVICE]), (8 << 6 | 13, 20));
        assert_eq!(DataType::concatenated(&[DataType::INET_SERVICE]), (13, 2));
        assert_eq!(DataType::concatenated(&[DataType::IFNAME, DataType::IFNAME]), (41 << 6 | 41, 32));
        assert_eq!(DataType::concatenated(&[]), (0, 0));
    }
}

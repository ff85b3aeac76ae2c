//! The host's byte order, and families of protocols.

/// In which order the host has the bytes of a number. A guest is always little-endian, its host need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endian {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

impl Endian {
    /// Of the machine that runs this code.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    /// Two bytes as the host has them.
    #[must_use]
    pub const fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// Four bytes as the host has them: what a register holds of a mark or a state of connection tracking.
    #[must_use]
    pub const fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// Eight bytes as the host has them.
    #[must_use]
    pub const fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// The number that these bytes are to the host.
    #[must_use]
    pub const fn read_u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// The number that these bytes are to the host.
    #[must_use]
    pub const fn read_u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The number that these bytes are to the host.
    #[must_use]
    pub const fn read_u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// Families of protocols (NFPROTO_*, linux/netfilter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Any.
    Unspec,
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// ARP.
    Arp,
    /// An interface.
    Netdev,
    /// A bridge.
    Bridge,
    /// IPv6.
    Ip6,
}

impl Family {
    /// As the kernel numbers it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Unspec => 0,
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }

    /// The one of this number, if nf_tables has it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Unspec,
            1 => Self::Inet,
            2 => Self::Ip,
            3 => Self::Arp,
            5 => Self::Netdev,
            7 => Self::Bridge,
            10 => Self::Ip6,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read_in_either_order() {
        assert_eq!((Endian::Little.u16(0x0102), Endian::Big.u16(0x0102)), ([2, 1], [1, 2]));
        assert_eq!((Endian::Little.u32(7), Endian::Big.u32(7)), ([7, 0, 0, 0], [0, 0, 0, 7]));
        for endian in [Endian::Little, Endian::Big] {
            assert_eq!(endian.read_u16(endian.u16(0xabcd)), 0xabcd);
            assert_eq!(endian.read_u32(endian.u32(0xabcd_ef01)), 0xabcd_ef01);
            assert_eq!(endian.read_u64(endian.u64(0x0123_4567_89ab_cdef)), 0x0123_4567_89ab_cdef);
        }
        assert_eq!(Endian::NATIVE.u32(1), 1_u32.to_ne_bytes());
    }

    #[test]
    fn families_keep_their_number() {
        for number in 0..=u8::MAX {
            if let Some(family) = Family::from_number(number) {
                assert_eq!(family.number(), number);
            }
        }
        assert_eq!((Family::Inet.number(), Family::Ip6.number(), Family::from_number(4)), (1, 10, None));
    }
}

//! Expressions: what rules are made of, and what elements of sets may carry.
//!
//! A rule's expressions load values into registers, compare and change them, and end in a verdict. Data is given as it
//! stands in a register: bytes of packets as on the wire, marks and states in the host's order
//! ([`crate::Endian::u32`]).

pub(crate) mod encode;

use std::borrow::Cow;

use crate::Family;

/// Where expressions keep values: 16 words of 4 bytes, of which each four are also one register of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register(pub u32);

impl Register {
    /// NFT_REG_VERDICT.
    pub const VERDICT: Self = Self(0);
    /// NFT_REG_1: words 0 to 3.
    pub const R1: Self = Self(1);
    /// NFT_REG_2: words 4 to 7.
    pub const R2: Self = Self(2);
    /// NFT_REG_3: words 8 to 11.
    pub const R3: Self = Self(3);
    /// NFT_REG_4: words 12 to 15.
    pub const R4: Self = Self(4);

    /// NFT_REG32_00 and those after it, up to 15.
    #[must_use]
    pub const fn word(number: u32) -> Self {
        Self(8 + number)
    }
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict<'a> {
    /// On to the next hook.
    Accept,
    /// It is gone.
    Drop,
    /// On with the rule.
    Continue,
    /// On with the next rule.
    Break,
    /// Back to where the chain was jumped to from.
    Return,
    /// Into a chain and back.
    Jump(Cow<'a, str>),
    /// Into a chain.
    Goto(Cow<'a, str>),
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// So many …
    pub rate: u64,
    /// … in so many seconds.
    pub unit: u64,
    /// So many beyond it at once.
    pub burst: u32,
    /// Of bytes, not of packets.
    pub bytes: bool,
    /// Holds beyond the rate.
    pub over: bool,
}

/// An amount of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// So many.
    pub bytes: u64,
    /// So many of them are used up.
    pub consumed: u64,
    /// Holds beyond the amount.
    pub over: bool,
}

/// What to correct when a packet's bytes change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// NFT_PAYLOAD_CSUM_*.
    pub kind: u32,
    /// Where it is, from the same base.
    pub offset: u32,
    /// NFT_PAYLOAD_L4CSUM_PSEUDOHDR, if the transport's checksum covers the bytes too.
    pub flags: u32,
}

/// Who hears of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogTarget {
    /// The kernel's log.
    Syslog {
        /// NFT_LOGLEVEL_*.
        level: u32,
        /// NF_LOG_*.
        flags: u32,
    },
    /// A group of nfnetlink_log.
    Group {
        /// Which.
        group: u16,
        /// Bytes of the packet.
        snaplen: Option<u32>,
        /// So many packets at a time.
        queue_threshold: Option<u16>,
    },
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are called as the attributes of the kernel")]
pub enum Expression<'a> {
    /// Loads bytes of the packet. `base` is NFT_PAYLOAD_*.
    Payload { destination: Register, base: u32, offset: u32, length: u32 },
    /// Writes bytes of the packet.
    PayloadSet { source: Register, base: u32, offset: u32, length: u32, checksum: Option<Checksum> },
    /// Loads what is known of the packet: NFT_META_*.
    Meta { destination: Register, key: u32 },
    /// Sets it: the mark, the priority, tracing.
    MetaSet { source: Register, key: u32 },
    /// Ends the rule unless it compares so: NFT_CMP_*.
    Compare { source: Register, operation: u32, data: Cow<'a, [u8]> },
    /// Ends the rule unless the value is within `first..=last`, or outside.
    Range { source: Register, invert: bool, first: Cow<'a, [u8]>, last: Cow<'a, [u8]> },
    /// `destination = source & mask ^ xor`; both are as long as the value.
    Bitwise { source: Register, destination: Register, mask: Cow<'a, [u8]>, xor: Cow<'a, [u8]> },
    /// Ends the rule unless the value is in the set. With a destination it is a map: [`Register::VERDICT`] for one of
    /// verdicts.
    Lookup { source: Register, set: Cow<'a, str>, id: Option<u32>, invert: bool, destination: Option<Register> },
    /// Loads a constant.
    Immediate { destination: Register, data: Cow<'a, [u8]> },
    /// Gives a verdict.
    Verdict(Verdict<'a>),
    /// Loads what connection tracking knows: NFT_CT_*, of a direction where it has one.
    Ct { destination: Register, key: u32, direction: Option<u8> },
    /// Sets it.
    CtSet { source: Register, key: u32, direction: Option<u8> },
    /// NFT_REJECT_*, and the ICMP or ICMPX code.
    Reject { kind: u32, code: u8 },
    /// Ends the rule unless within the rate.
    Limit(Limit),
    /// Counts from these numbers on.
    Counter { packets: u64, bytes: u64 },
    /// Uses a named object: NFT_OBJECT_*.
    ObjectReference { kind: u32, name: Cow<'a, str> },
    /// Logs. The prefix has at most 127 bytes.
    Log { prefix: Option<Cow<'a, str>>, target: LogTarget },
    /// The source becomes the interface's address. Flags are NF_NAT_RANGE_*, with PROTO_SPECIFIED added for ports.
    Masquerade { flags: u32, ports: Option<(Register, Register)> },
    /// NFT_NAT_*, with first and last address and port in registers. MAP_IPS and PROTO_SPECIFIED are added for them.
    Nat {
        kind: u32,
        family: Family,
        addresses: Option<(Register, Register)>,
        ports: Option<(Register, Register)>,
        flags: u32,
    },
    /// The destination becomes this machine.
    Redirect { flags: u32, ports: Option<(Register, Register)> },
    /// Loads bytes of an option or extension header, or with `present` whether there is one: NFT_EXTHDR_OP_*.
    Exthdr { destination: Register, operation: u32, kind: u8, offset: u32, length: u32, present: bool },
    /// Writes bytes of a TCP option.
    ExthdrSet { source: Register, operation: u32, kind: u8, offset: u32, length: u32 },
    /// Loads what is known of the route: NFT_RT_*.
    Rt { destination: Register, key: u32 },
    /// Looks up a route: NFT_FIB_RESULT_*, NFTA_FIB_F_*.
    Fib { destination: Register, result: u32, flags: u32 },
    /// Changes a set: NFT_DYNSET_OP_*. Expressions are the element's own, and evaluated.
    DynamicSet {
        set: Cow<'a, str>,
        id: Option<u32>,
        operation: u32,
        key: Register,
        data: Option<Register>,
        timeout_ms: Option<u64>,
        invert: bool,
        expressions: Vec<Expression<'a>>,
    },
    /// From now on by a flowtable.
    FlowOffload { flowtable: Cow<'a, str> },
    /// Not for connection tracking.
    Notrack,
    /// To a local socket as if it were the packet's (transparent proxy): one that listens on the port, of any family.
    TransparentProxy { port: Register },
    /// Ends the rule unless there are at most so many connections, or more.
    ConnectionLimit { count: u32, over: bool },
    /// Ends the rule unless within the amount.
    Quota(Quota),
    /// Turns `length` bytes, `size` at a time, into the other order: NFT_BYTEORDER_*.
    ByteOrder { source: Register, destination: Register, operation: u32, length: u32, size: u32 },
    /// Any other; `data` are its attributes as they are.
    Other { name: Cow<'a, str>, data: Cow<'a, [u8]> },
}

impl<'a> Expression<'a> {
    /// As the kernel calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Payload { .. } | Self::PayloadSet { .. } => "payload",
            Self::Meta { .. } | Self::MetaSet { .. } => "meta",
            Self::Compare { .. } => "cmp",
            Self::Range { .. } => "range",
            Self::Bitwise { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Ct { .. } | Self::CtSet { .. } => "ct",
            Self::Reject { .. } => "reject",
            Self::Limit(_) => "limit",
            Self::Counter { .. } => "counter",
            Self::ObjectReference { .. } => "objref",
            Self::Log { .. } => "log",
            Self::Masquerade { .. } => "masq",
            Self::Nat { .. } => "nat",
            Self::Redirect { .. } => "redir",
            Self::Exthdr { .. } | Self::ExthdrSet { .. } => "exthdr",
            Self::Rt { .. } => "rt",
            Self::Fib { .. } => "fib",
            Self::DynamicSet { .. } => "dynset",
            Self::FlowOffload { .. } => "flow_offload",
            Self::Notrack => "notrack",
            Self::TransparentProxy { .. } => "tproxy",
            Self::ConnectionLimit { .. } => "connlimit",
            Self::Quota(_) => "quota",
            Self::ByteOrder { .. } => "byteorder",
            Self::Other { name, .. } => name,
        }
    }

    /// Ends the rule unless the register holds this.
    #[must_use]
    pub fn equal(source: Register, data: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Compare { source, operation: crate::constants::NFT_CMP_EQ, data: data.into() }
    }

    /// Ends the rule if the register holds this.
    #[must_use]
    pub fn not_equal(source: Register, data: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Compare { source, operation: crate::constants::NFT_CMP_NEQ, data: data.into() }
    }
}

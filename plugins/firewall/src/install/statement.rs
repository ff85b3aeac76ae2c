//! Rules as the kernel has them: lists of expressions.
//!
//! The kernel ends a rule that adds to a set which is full; so the compiler puts that last, and nothing depends on it.

use std::{borrow::Cow, net::IpAddr};

use portreeve_nftables::{
    Endian, Expression, Family as Protocol, Limit, LogTarget, Register, Verdict as KernelVerdict,
    constants::{
        NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_NETMAP, NF_NAT_RANGE_PROTO_RANDOM_FULLY, NF_NAT_RANGE_PROTO_SPECIFIED,
        NFT_BYTEORDER_HTON, NFT_CMP_GT, NFT_DYNSET_OP_ADD, NFT_DYNSET_OP_UPDATE, NFT_EXTHDR_OP_TCPOPT, NFT_META_MARK,
        NFT_NAT_DNAT, NFT_NAT_SNAT, NFT_OBJECT_COUNTER, NFT_RT_TCPMSS,
    },
};

use super::{
    FLOWTABLE, answer,
    load::{load_key, to_host},
    test::test,
};
use crate::{
    config::{Family, Masked},
    ruleset::{NatTo, Rate, RejectWith, Rule, Ruleset, Selector, SetId, Statement, Verdict},
};

/// TCPOPT_MSS: its kind, and where in it the size is.
const MSS_OPTION: u8 = 2;
const MSS_OFFSET: u32 = 2;
const MSS_LENGTH: u32 = 2;
/// Bytes of a log prefix (NF_LOG_PREFIXLEN, with its zero).
const MAX_PREFIX: usize = 127;

/// Of one rule of the kernel.
pub(super) type Expressions<'a> = Vec<Expression<'a>>;

/// A rule as the kernel has it.
pub(super) fn rule<'a>(ruleset: &'a Ruleset, endian: Endian, rule: &'a Rule) -> Expressions<'a> {
    let lower = Lower { ruleset, endian, family: answer::family_of(rule) };
    lower.statements(rule.statements.iter())
}

/// A verdict, with the name of the chain it leads to.
pub(super) fn verdict(ruleset: &Ruleset, verdict: Verdict) -> KernelVerdict<'_> {
    let name = |chain: usize| Cow::Borrowed(ruleset.chains.get(chain).map_or("", |chain| chain.name.as_str()));
    match verdict {
        Verdict::Accept => KernelVerdict::Accept,
        Verdict::Drop => KernelVerdict::Drop,
        Verdict::Return => KernelVerdict::Return,
        Verdict::Jump(chain) => KernelVerdict::Jump(name(chain)),
        Verdict::Goto(chain) => KernelVerdict::Goto(name(chain)),
    }
}

/// Of bytes at a boundary of characters, at most `most`.
pub(super) fn shortened(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or("")
}

const fn limit(rate: Rate) -> Expression<'static> {
    Expression::Limit(Limit {
        rate: rate.packets,
        unit: rate.seconds,
        burst: rate.burst,
        bytes: false,
        over: rate.over,
    })
}

struct Lower<'a> {
    ruleset: &'a Ruleset,
    endian: Endian,
    family: Option<Family>,
}

impl<'a> Lower<'a> {
    fn statements(&self, statements: impl ExactSizeIterator<Item = &'a Statement>) -> Expressions<'a> {
        let mut out = Vec::with_capacity(statements.len().saturating_mul(2));
        for statement in statements {
            self.statement(statement, &mut out);
        }
        out
    }

    fn set(&self, set: SetId) -> (Cow<'a, str>, bool, bool) {
        self.ruleset.sets.get(set).map_or((Cow::Borrowed(""), false, false), |set| {
            (Cow::Borrowed(set.name.as_str()), set.interval, set.timeout.is_some())
        })
    }

    fn lookup(&self, key: &[Selector], set: SetId, invert: bool, map: bool, out: &mut Expressions<'a>) {
        let (name, interval, _) = self.set(set);
        load_key(self.endian, key, interval, out);
        let destination = map.then_some(Register::VERDICT);
        out.push(Expression::Lookup { source: Register::word(0), set: name, id: None, invert, destination });
    }

    fn dynamic(&self, key: &[Selector], set: SetId, expressions: Vec<Expression<'a>>, out: &mut Expressions<'a>) {
        let (name, interval, expires) = self.set(set);
        load_key(self.endian, key, interval, out);
        out.push(Expression::DynamicSet {
            set: name,
            id: None,
            // An update begins the time to live anew.
            operation: if expires { NFT_DYNSET_OP_UPDATE } else { NFT_DYNSET_OP_ADD },
            key: Register::word(0),
            data: None,
            timeout_ms: None,
            invert: false,
            expressions,
        });
    }

    fn statement(&self, statement: &'a Statement, out: &mut Expressions<'a>) {
        match statement {
            Statement::Match(selector, asked) => test(self.endian, *selector, asked, out),
            Statement::Lookup { key, set, invert } => self.lookup(key, *set, *invert, false, out),
            Statement::VerdictMap { key, map } => self.lookup(key, *map, false, true, out),
            Statement::Limit(rate) => out.push(limit(*rate)),
            Statement::LimitEach { key, set, rate } => self.dynamic(key, *set, vec![limit(*rate)], out),
            Statement::ConnectionsEach { key, set, count, above } => {
                let connections = Expression::ConnectionLimit { count: *count, over: *above };
                self.dynamic(key, *set, vec![connections], out);
            }
            Statement::Connections { count, above } => {
                out.push(Expression::ConnectionLimit { count: *count, over: *above });
            }
            Statement::AddTo { key, set } => self.dynamic(key, *set, Vec::new(), out),
            Statement::Count(counter) => {
                let name = self.ruleset.counters.get(*counter).map_or("", String::as_str);
                out.push(Expression::ObjectReference { kind: NFT_OBJECT_COUNTER, name: name.into() });
            }
            Statement::Log { prefix, level, group } => out.push(log(prefix, *level, *group)),
            Statement::SetMark(mark) => self.set_mark(*mark, out),
            Statement::Notrack => out.push(Expression::Notrack),
            // A transparent proxy must see whole packets, so the kernel puts them together while there is such a statement.
            Statement::Defragment => {
                let port = Register::word(0);
                out.push(Expression::Immediate { destination: port, data: vec![0, 1].into() });
                out.push(Expression::TransparentProxy { port });
            }
            Statement::Offload => out.push(Expression::FlowOffload { flowtable: FLOWTABLE.into() }),
            Statement::ClampMss(size) => clamp(*size, out),
            Statement::Nat(to) => self.nat(to, out),
            Statement::Reject(RejectWith::TcpReset) => out.push(answer::reset()),
            Statement::Reject(RejectWith::Icmp(reject)) => {
                out.push(
                    answer::single(*reject, self.family)
                        .unwrap_or_else(|| Expression::Verdict(KernelVerdict::Goto(answer::chain(*reject).into()))),
                );
            }
            Statement::Verdict(what) => out.push(Expression::Verdict(verdict(self.ruleset, *what))),
        }
    }

    fn set_mark(&self, mark: Masked, out: &mut Expressions<'a>) {
        let register = Register::word(0);
        let host = |number: u32| Cow::Owned(to_host(self.endian, &number.to_be_bytes()));
        let value = host(mark.value & mark.mask);
        if mark.mask == u32::MAX {
            out.push(Expression::Immediate { destination: register, data: value });
        } else {
            out.push(Expression::Meta { destination: register, key: NFT_META_MARK });
            out.push(Expression::Bitwise {
                source: register,
                destination: register,
                mask: host(!mark.mask),
                xor: value,
            });
        }
        out.push(Expression::MetaSet { source: register, key: NFT_META_MARK });
    }

    fn nat(&self, to: &NatTo, out: &mut Expressions<'a>) {
        match to {
            NatTo::Masquerade { ports, random } => {
                let (ports, mut flags) = ports_at(0, *ports, out);
                if *random {
                    flags |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
                }
                out.push(Expression::Masquerade { flags, ports });
            }
            NatTo::Redirect { ports } => {
                let (ports, flags) = ports_at(0, *ports, out);
                out.push(Expression::Redirect { flags, ports });
            }
            NatTo::Source { addresses, ports } => self.translate(NFT_NAT_SNAT, *addresses, *ports, 0, out),
            NatTo::Destination { addresses, ports } => self.translate(NFT_NAT_DNAT, *addresses, *ports, 0, out),
            NatTo::SourcePrefix { first, last } => {
                self.translate(NFT_NAT_SNAT, (*first, *last), None, NF_NAT_RANGE_NETMAP, out);
            }
            NatTo::DestinationPrefix { first, last } => {
                self.translate(NFT_NAT_DNAT, (*first, *last), None, NF_NAT_RANGE_NETMAP, out);
            }
            NatTo::Nothing => out.push(Expression::Verdict(KernelVerdict::Accept)),
        }
    }

    fn translate(
        &self,
        kind: u32,
        (first, last): (IpAddr, IpAddr),
        ports: Option<(u16, u16)>,
        flags: u32,
        out: &mut Expressions<'a>,
    ) {
        let (family, protocol) = match first {
            IpAddr::V4(_) => (Family::V4, Protocol::Ip),
            IpAddr::V6(_) => (Family::V6, Protocol::Ip6),
        };
        if self.family.is_none() {
            out.extend(answer::of_family(family));
        }
        let from = Register::word(0);
        let mut to = from;
        out.push(Expression::Immediate { destination: from, data: octets(first).into() });
        if first != last || flags & NF_NAT_RANGE_NETMAP != 0 {
            to = Register::word(4);
            out.push(Expression::Immediate { destination: to, data: octets(last).into() });
        }
        let (ports, port_flags) = ports_at(8, ports, out);
        let flags = flags | port_flags | NF_NAT_RANGE_MAP_IPS;
        out.push(Expression::Nat { kind, family: protocol, addresses: Some((from, to)), ports, flags });
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Puts ports into registers from `word` on; the flags that go with them.
fn ports_at(
    word: u32,
    ports: Option<(u16, u16)>,
    out: &mut Vec<Expression<'_>>,
) -> (Option<(Register, Register)>, u32) {
    let Some((first, last)) = ports else { return (None, 0) };
    let from = Register::word(word);
    let mut to = from;
    out.push(Expression::Immediate { destination: from, data: first.to_be_bytes().to_vec().into() });
    if first != last {
        to = Register::word(word.saturating_add(1));
        out.push(Expression::Immediate { destination: to, data: last.to_be_bytes().to_vec().into() });
    }
    (Some((from, to)), NF_NAT_RANGE_PROTO_SPECIFIED)
}

fn log(prefix: &str, level: u8, group: Option<u16>) -> Expression<'_> {
    let prefix = shortened(prefix, MAX_PREFIX);
    Expression::Log {
        prefix: (!prefix.is_empty()).then_some(Cow::Borrowed(prefix)),
        target: match group {
            Some(group) => LogTarget::Group { group, snaplen: None, queue_threshold: None },
            None => LogTarget::Syslog { level: u32::from(level), flags: 0 },
        },
    }
}

/// The kernel never raises the size by the route's; a fixed one is asked for by the rule.
fn clamp(size: Option<u16>, out: &mut Vec<Expression<'_>>) {
    let register = Register::word(0);
    let operation = NFT_EXTHDR_OP_TCPOPT;
    if let Some(size) = size {
        let size = size.to_be_bytes().to_vec();
        out.push(Expression::Exthdr {
            destination: register,
            operation,
            kind: MSS_OPTION,
            offset: MSS_OFFSET,
            length: MSS_LENGTH,
            present: false,
        });
        out.push(Expression::Compare { source: register, operation: NFT_CMP_GT, data: size.clone().into() });
        out.push(Expression::Immediate { destination: register, data: size.into() });
    } else {
        out.push(Expression::Rt { destination: register, key: NFT_RT_TCPMSS });
        out.push(Expression::ByteOrder {
            source: register,
            destination: register,
            operation: NFT_BYTEORDER_HTON,
            length: 2,
            size: 2,
        });
    }
    out.push(Expression::ExthdrSet {
        source: register,
        operation,
        kind: MSS_OPTION,
        offset: MSS_OFFSET,
        length: MSS_LENGTH,
    });
}

//! What a rejected sender hears.
//!
//! In a table of the family inet one expression speaks for both families, but only of four codes. For the others a rule
//! that is not of one family goes to a chain of two rules; so whatever stands before it, limits and counters too, is
//! there once. Names of these chains have a slash, which no name of the section may have.

use portreeve_nftables::{
    Expression, Register,
    constants::{
        NFPROTO_IPV4, NFPROTO_IPV6, NFT_META_L4PROTO, NFT_META_NFPROTO, NFT_REJECT_ICMP_UNREACH,
        NFT_REJECT_ICMPX_ADMIN_PROHIBITED, NFT_REJECT_ICMPX_HOST_UNREACH, NFT_REJECT_ICMPX_NO_ROUTE,
        NFT_REJECT_ICMPX_PORT_UNREACH, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_TCP_RST,
    },
};

use crate::{
    config::{Family, Reject},
    ruleset::{RejectWith, Rule, Ruleset, Selector, Statement, Test},
};

/// IPPROTO_TCP.
const TCP: u8 = 6;

/// The number of a family as `meta nfproto` gives it.
pub(super) const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    }
}

/// How one expression says it to both families.
enum Said {
    /// The same in both.
    Both(u8),
    /// ICMP's and ICMPv6's code.
    Each(u8, u8),
    /// By a reset to TCP.
    Reset,
}

const fn said(reject: Reject) -> Said {
    match reject {
        Reject::PortUnreachable => Said::Both(NFT_REJECT_ICMPX_PORT_UNREACH),
        Reject::NoRoute => Said::Both(NFT_REJECT_ICMPX_NO_ROUTE),
        Reject::HostUnreachable => Said::Both(NFT_REJECT_ICMPX_HOST_UNREACH),
        Reject::AdminProhibited => Said::Both(NFT_REJECT_ICMPX_ADMIN_PROHIBITED),
        Reject::ProtocolUnreachable => Said::Each(2, 4),
        Reject::NetworkProhibited => Said::Each(9, 1),
        Reject::HostProhibited => Said::Each(10, 1),
        Reject::SourcePolicy => Said::Each(13, 5),
        Reject::RejectRoute => Said::Each(13, 6),
        Reject::TcpReset => Said::Reset,
    }
}

const fn unreachable(code: u8) -> Expression<'static> {
    Expression::Reject { kind: NFT_REJECT_ICMP_UNREACH, code }
}

/// A TCP reset.
pub(super) const fn reset() -> Expression<'static> {
    Expression::Reject { kind: NFT_REJECT_TCP_RST, code: 0 }
}

fn is(key: u32, value: u8) -> [Expression<'static>; 2] {
    let register = Register::word(0);
    [Expression::Meta { destination: register, key }, Expression::equal(register, vec![value])]
}

/// Holds of packets of the family.
pub(super) fn of_family(family: Family) -> [Expression<'static>; 2] {
    is(NFT_META_NFPROTO, number(family))
}

/// The one expression that says it to packets of `family`; none if it takes a chain.
pub(super) fn single(reject: Reject, family: Option<Family>) -> Option<Expression<'static>> {
    match (said(reject), family) {
        (Said::Both(code), _) => Some(Expression::Reject { kind: NFT_REJECT_ICMPX_UNREACH, code }),
        (Said::Each(four, _), Some(Family::V4)) => Some(unreachable(four)),
        (Said::Each(_, six), Some(Family::V6)) => Some(unreachable(six)),
        (Said::Each(..), None) | (Said::Reset, _) => None,
    }
}

/// The chain's name.
pub(super) const fn chain(reject: Reject) -> &'static str {
    match reject {
        Reject::PortUnreachable => "reject/port-unreachable",
        Reject::NoRoute => "reject/no-route",
        Reject::HostUnreachable => "reject/host-unreachable",
        Reject::AdminProhibited => "reject/admin-prohibited",
        Reject::ProtocolUnreachable => "reject/protocol-unreachable",
        Reject::NetworkProhibited => "reject/network-prohibited",
        Reject::HostProhibited => "reject/host-prohibited",
        Reject::SourcePolicy => "reject/source-policy",
        Reject::RejectRoute => "reject/reject-route",
        Reject::TcpReset => "reject/tcp-reset",
    }
}

/// The rules of the chain.
pub(super) fn rules(reject: Reject) -> Vec<Vec<Expression<'static>>> {
    let one = |family: Family, code: u8| {
        let mut rule = of_family(family).to_vec();
        rule.push(unreachable(code));
        rule
    };
    match said(reject) {
        Said::Both(code) => vec![vec![Expression::Reject { kind: NFT_REJECT_ICMPX_UNREACH, code }]],
        Said::Each(four, six) => vec![one(Family::V4, four), one(Family::V6, six)],
        Said::Reset => {
            let mut tcp = is(NFT_META_L4PROTO, TCP).to_vec();
            tcp.push(reset());
            let others = Expression::Reject { kind: NFT_REJECT_ICMPX_UNREACH, code: NFT_REJECT_ICMPX_ADMIN_PROHIBITED };
            vec![tcp, vec![others]]
        }
    }
}

/// The only family of which a rule can hold, as far as it says so.
pub(super) fn family_of(rule: &Rule) -> Option<Family> {
    rule.statements.iter().find_map(|statement| match statement {
        Statement::Match(Selector::Family, Test::Equal(value)) => {
            [Family::V4, Family::V6].into_iter().find(|&family| *value == [number(family)])
        }
        _ => None,
    })
}

/// Chains that the ruleset's rules go to, each once.
pub(super) fn needed(ruleset: &Ruleset) -> Vec<Reject> {
    let mut needed = Vec::new();
    for rule in ruleset.chains.iter().flat_map(|chain| &chain.rules) {
        for statement in &rule.statements {
            let Statement::Reject(RejectWith::Icmp(reject)) = statement else { continue };
            if single(*reject, family_of(rule)).is_none() && !needed.contains(reject) {
                needed.push(*reject);
            }
        }
    }
    needed
}

//! What needs no rule: known connections, ICMP that has to pass (RFC 4890), answers of DHCP. What passes only where
//! nothing else decides is in `ends`.
//!
//! With connection tracking an error passes if it is about a known connection, and only then (RFC 4890 section 4.3.1 asks
//! for that where it can be checked); types decide only about the others. Without it types decide about all.

use super::Compiler;
use super::matches::{Cond, ICMP, ICMPV6, UDP, family_value, ranged};
use super::rules::is;
use super::value::{Span, Value};
use crate::config::Family;
use crate::ruleset::{ChainId, Entry, KeyType, Selector, Statement, Verdict, ct};

/// Neighbour and inverse neighbour discovery: only with a hop limit of 255 (RFC 4890 section 4.4.1, RFC 4861, RFC 3122).
const DISCOVERY: &[u8] = &[133, 134, 135, 136, 141, 142];
/// Listeners (RFC 2710, RFC 3810), certification paths (RFC 3971), multicast routers (RFC 4286): only of one link.
const ON_LINK: &[u8] = &[130, 131, 132, 143, 148, 149, 151, 152, 153];
/// Mobile IPv6 (RFC 6275; RFC 4890 section 4.3.2).
pub const MOBILE: &[u8] = &[144, 145, 146, 147];
/// Of these connection tracking knows nothing and calls them invalid, though they may pass to this machine.
const UNKNOWN_LOCAL: &[u8] = &[141, 142, 148, 149, 151, 152, 153];
/// What this machine does not hear unless it was let in before: ND and the like not from the link, redirects, renumbering,
/// experiments, what has no number yet (RFC 4890 sections 4.4.3 to 4.4.5).
const REFUSED_LOCAL: &[(u8, u8)] = &[(100, 101), (127, 127), (130, 138), (141, 143), (148, 149), (151, 255)];
/// What is never forwarded: what is of one link, renumbering, node information, experiments (RFC 4890 sections 4.3.3, 4.3.5).
const REFUSED_TRANSIT: &[(u8, u8)] =
    &[(100, 101), (127, 127), (130, 143), (148, 149), (151, 153), (200, 201), (255, 255)];
/// Redirects of ICMPv6 (RFC 4861) and ICMP (RFC 792).
const REDIRECTS: [(Family, u8, u8); 2] = [(Family::V6, ICMPV6, 137), (Family::V4, ICMP, 5)];
/// Errors without a meaning, and experiments: conntrack takes every type below 128 for an error (RFC 4890 sections 4.3.5,
/// 4.4.5). Of ICMP source quench (RFC 6633).
const UNKNOWN_ERRORS: [(Family, u8, (u8, u8)); 2] = [(Family::V6, ICMPV6, (5, 127)), (Family::V4, ICMP, (4, 4))];
const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
const DROP: Statement = Statement::Verdict(Verdict::Drop);

impl Compiler<'_> {
    pub(super) fn input_defaults(&mut self, chain: ChainId) {
        let defaults = &self.config.defaults;
        if defaults.stateful {
            self.state_map(chain, Some(("invalid-input", UNKNOWN_LOCAL)));
        }
        if defaults.rfc4890 {
            let icmp = self.icmp_chain(chain, Family::V6, "icmpv6-input");
            let discovery = [is(Selector::HopLimit, 255), bytes(Selector::IcmpType, DISCOVERY)];
            self.default_rule6(icmp, &discovery, ACCEPT, "RFC 4890: neighbour discovery");
            let on_link = [link_local(), bytes(Selector::IcmpType, ON_LINK)];
            self.default_rule6(icmp, &on_link, ACCEPT, "RFC 4890: multicast listeners, certification paths");
            let unspecified = Cond::One(Selector::Source6, Value::new(&[0; 16]));
            self.default_rule6(
                icmp,
                &[unspecified, is(Selector::IcmpType, 148)],
                ACCEPT,
                "RFC 4890: certification paths",
            );
            self.errors(icmp);
            self.default_rule6(icmp, &[spans(REFUSED_LOCAL)], DROP, "RFC 4890: not for this machine");
            self.errors4(chain, "icmp-input");
        }
        if defaults.dhcp_client {
            self.dhcp(chain, (67, 68), (547, 546), Some(link_local()));
        }
    }

    pub(super) fn forward_defaults(&mut self, chain: ChainId) {
        let defaults = &self.config.defaults;
        if defaults.stateful {
            self.state_map(chain, Some(("invalid-forward", MOBILE)));
        }
        if defaults.rfc4890 {
            let icmp = self.icmp_chain(chain, Family::V6, "icmpv6-forward");
            self.errors(icmp);
            self.default_rule6(icmp, &[spans(REFUSED_TRANSIT)], DROP, "RFC 4890: never forwarded");
            self.errors4(chain, "icmp-forward");
        }
    }

    pub(super) fn output_defaults(&mut self, chain: ChainId) {
        let defaults = &self.config.defaults;
        if defaults.stateful {
            self.state_map(chain, None);
        }
        if defaults.rfc4890 {
            let icmp = self.icmp_chain(chain, Family::V6, "icmpv6-output");
            let discovery =
                [is(Selector::HopLimit, 255), bytes(Selector::IcmpType, &[133, 134, 135, 136, 137, 141, 142])];
            self.default_rule6(icmp, &discovery, ACCEPT, "RFC 4890: neighbour discovery");
            self.default_rule6(icmp, &[bytes(Selector::IcmpType, ON_LINK)], ACCEPT, "RFC 4890: multicast listeners");
            self.errors(icmp);
            self.errors4(chain, "icmp-output");
        }
        if defaults.dhcp_client {
            self.dhcp(chain, (68, 67), (546, 547), None);
        }
    }

    /// What the state of the connection decides. `invalid`: the chain of what fits none, and the types of ICMPv6 that it
    /// spares; without it such packets go on.
    fn state_map(&mut self, chain: ChainId, invalid: Option<(&str, &[u8])>) {
        let sparing = self.config.defaults.rfc4890;
        let related = match invalid {
            Some(_) if sparing => Verdict::Goto(self.related()),
            _ => Verdict::Accept,
        };
        let mut verdicts = vec![(ct::ESTABLISHED, Verdict::Accept), (ct::RELATED, related)];
        if let Some((name, spared)) = invalid {
            let name = self.unique(name.to_owned());
            let invalid = self.push_chain(name, None, portreeve_config::Span::default());
            verdicts.push((ct::INVALID, Verdict::Jump(invalid)));
            if sparing {
                let conds = [family(Family::V6), is(Selector::Protocol, ICMPV6), bytes(Selector::IcmpType, spared)];
                let back = vec![Statement::Verdict(Verdict::Return)];
                self.default_rule(invalid, &conds, back, "RFC 4890: unknown to connection tracking");
            }
            let count = Statement::Count(self.counter("dropped-invalid"));
            self.push_rule(invalid, vec![count, DROP], "invalid packets");
        }
        let entries = verdicts
            .into_iter()
            .map(|(state, verdict)| Entry {
                key: state.to_be_bytes().to_vec(),
                last: None,
                verdict,
                span: portreeve_config::Span::default(),
            })
            .collect();
        let map = self.push_map(chain, vec![KeyType::CtState], false, entries, portreeve_config::Span::default());
        self.push_rule(chain, vec![Statement::VerdictMap { key: vec![Selector::CtState], map }], "known connections");
    }

    /// What belongs to a known connection passes, but for redirects and errors that are none.
    fn related(&mut self) -> ChainId {
        if let Some(chain) = self.related {
            return chain;
        }
        let name = self.unique("related".to_owned());
        let chain = self.push_chain(name, None, portreeve_config::Span::default());
        for (of, protocol, kind) in REDIRECTS {
            let conds = [family(of), is(Selector::Protocol, protocol), is(Selector::IcmpType, kind)];
            self.default_rule(chain, &conds, vec![DROP], "redirects");
        }
        for (of, protocol, kinds) in UNKNOWN_ERRORS {
            let conds = [family(of), is(Selector::Protocol, protocol), spans(&[kinds])];
            self.default_rule(chain, &conds, vec![DROP], "RFC 4890, RFC 6633: errors that are none");
        }
        self.push_rule(chain, vec![ACCEPT], "related to known connections");
        self.related = Some(chain);
        chain
    }

    /// A chain that sees ICMP of a family.
    fn icmp_chain(&mut self, from: ChainId, of: Family, name: &str) -> ChainId {
        let name = self.unique(name.to_owned());
        let chain = self.push_chain(name, None, portreeve_config::Span::default());
        let protocol = if of == Family::V6 { ICMPV6 } else { ICMP };
        let jump = vec![Statement::Verdict(Verdict::Jump(chain))];
        self.default_rule(from, &[family(of), is(Selector::Protocol, protocol)], jump, "RFC 4890");
        chain
    }

    /// Without connection tracking: answers and errors of ICMPv6.
    fn errors(&mut self, chain: ChainId) {
        if self.config.defaults.stateful {
            return;
        }
        let whole = bytes(Selector::IcmpType, &[1, 2, 129]);
        self.default_rule6(chain, &[whole], ACCEPT, "RFC 4890: unreachable, too big, echo replies");
        // Sections 4.3.1 and 4.3.2 (4.4.1 and 4.4.2): time exceeded 0 and 1, parameter problem 0 to 2.
        for (kind, last) in [(3, 1), (4, 2)] {
            let codes = ranged(Selector::IcmpCode, vec![(Value::byte(0), Value::byte(last))], false);
            let conds: Vec<Cond> = [is(Selector::IcmpType, kind)].into_iter().chain(codes).collect();
            self.default_rule6(chain, &conds, ACCEPT, "RFC 4890: time exceeded, parameter problem");
        }
    }

    /// The same of ICMP.
    fn errors4(&mut self, from: ChainId, name: &str) {
        if self.config.defaults.stateful {
            return;
        }
        let chain = self.icmp_chain(from, Family::V4, name);
        let conds = [bytes(Selector::IcmpType, &[0, 3, 11, 12])];
        self.default_rule(chain, &conds, vec![ACCEPT], "ICMP: echo replies, errors");
        self.default_rule(chain, &[is(Selector::IcmpType, 5)], vec![DROP], "ICMP: redirects");
    }

    /// Source and destination ports of DHCP and of DHCPv6.
    fn dhcp(&mut self, chain: ChainId, v4: (u16, u16), v6: (u16, u16), source: Option<Cond>) {
        let udp = is(Selector::Protocol, UDP);
        let ports = |ports: (u16, u16)| {
            [
                Cond::One(Selector::SourcePort, Value::port(ports.0)),
                Cond::One(Selector::DestinationPort, Value::port(ports.1)),
            ]
        };
        let conds: Vec<Cond> = [family(Family::V4), udp.clone()].into_iter().chain(ports(v4)).collect();
        self.default_rule(chain, &conds, vec![ACCEPT], "DHCP client");
        let conds: Vec<Cond> = [family(Family::V6), udp].into_iter().chain(source).chain(ports(v6)).collect();
        self.default_rule(chain, &conds, vec![ACCEPT], "DHCPv6 client");
    }

    /// A rule in a chain that sees IPv6 only.
    fn default_rule6(&mut self, chain: ChainId, conds: &[Cond], then: Statement, label: &'static str) {
        let mut statements = Vec::with_capacity(conds.len() + 1);
        for cond in conds {
            self.cond(cond, Some(Family::V6), &mut statements);
        }
        statements.push(then);
        self.push_rule(chain, statements, label);
    }
}

/// The family.
pub fn family(family: Family) -> Cond {
    Cond::One(Selector::Family, family_value(family))
}

/// One of these bytes.
pub fn bytes(selector: Selector, list: &[u8]) -> Cond {
    let ranges = list.iter().map(|byte| (Value::byte(*byte), Value::byte(*byte))).collect();
    ranged(selector, ranges, false).unwrap_or_else(|| is(selector, 0))
}

/// Types of ICMP.
fn spans(list: &[(u8, u8)]) -> Cond {
    let ranges = list.iter().map(|(first, last)| (Value::byte(*first), Value::byte(*last))).collect();
    Cond::In { selector: Selector::IcmpType, ranges, negated: false }
}

/// Sources of fe80::/10.
pub fn link_local() -> Cond {
    Cond::In { selector: Selector::Source6, ranges: vec![link_local_range()], negated: false }
}

/// fe80::/10 (RFC 4291 section 2.5.6).
pub fn link_local_range() -> Span {
    let [first, last] =
        [[0xfe80, 0, 0, 0, 0, 0, 0, 0], [0xfebf, !0, !0, !0, !0, !0, !0, !0]].map(std::net::Ipv6Addr::from);
    (Value::address(first.into()), Value::address(last.into()))
}

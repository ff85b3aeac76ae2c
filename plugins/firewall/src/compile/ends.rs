//! The ends of hooks: what passes by default where neither a rule nor a policy decides, and the count of what is dropped.
//!
//! So a rule or a policy of the operator holds for pings and IPsec as for anything else.

use super::Compiler;
use super::defaults::{MOBILE, bytes, family};
use super::matches::{Cond, ICMP, ICMPV6, UDP, ranged};
use super::pairs::Who;
use super::rules::is;
use super::value::Value;
use crate::config::{Family, Hook, PolicyAction};
use crate::ruleset::{ChainId, Selector, Statement, Verdict};

/// RFC 6092: ESP, AH (REC-23, REC-24), the mobility header (REC-28), HIP (REC-27).
const UNASKED: [u8; 4] = [50, 51, 135, 139];
/// IKE, and IKE with ESP in UDP (RFC 6092 REC-26, RFC 7296 section 2).
const IKE: [u16; 2] = [500, 4500];

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);

/// Where packets end that nothing has decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Last {
    /// To this machine.
    Input,
    /// From this machine.
    Output,
    /// From the outside to the inside, unasked.
    Inward,
    /// Between others.
    Forward,
}

impl Last {
    const fn name(self) -> &'static str {
        match self {
            Self::Input => "last-input",
            Self::Output => "last-output",
            Self::Inward => "last-inward",
            Self::Forward => "last-forward",
        }
    }
}

impl Compiler<'_> {
    /// Ends a chain in which nothing was decided about packets of this pair.
    pub(super) fn end_pair(&mut self, chain: ChainId, pair: (Who, Who)) {
        let end = match pair {
            (Who::Router, _) => Last::Output,
            (_, Who::Router) => Last::Input,
            (from, to) if self.is_inward(from, to) => Last::Inward,
            _ => Last::Forward,
        };
        self.end(chain, end);
    }

    /// The same, as a chain to go to; none if there is nothing to be done but what the hook does.
    pub(super) fn end_chain(&mut self, end: Last) -> Option<ChainId> {
        if let Some(chain) = self.ends.get(&end) {
            return Some(*chain);
        }
        if self.hook_of(end).0.accept || self.lets_pass(end).is_empty() {
            return None;
        }
        let name = self.unique(end.name().to_owned());
        let chain = self.push_chain(name, None, portreeve_config::Span::default());
        self.ends.insert(end, chain);
        for (conds, label) in self.lets_pass(end) {
            self.default_rule(chain, &conds, vec![ACCEPT], label);
        }
        self.count_end(chain, end);
        Some(chain)
    }

    /// Ends a chain.
    pub(super) fn end(&mut self, chain: ChainId, end: Last) {
        match self.end_chain(end) {
            Some(last) => {
                self.push_rule(chain, vec![Statement::Verdict(Verdict::Goto(last))], "no rule and no policy decides");
            }
            None => self.count_end(chain, end),
        }
    }

    /// What comes to the end of a chain is the hook's to decide, and comes by no rule any more: counted here.
    fn count_end(&mut self, chain: ChainId, end: Last) {
        let (hook, name) = self.hook_of(end);
        if !hook.accept {
            let counter = self.counter(name);
            self.push_rule(chain, vec![Statement::Count(counter)], "to be dropped: nothing let it pass");
        }
    }

    const fn hook_of(&self, end: Last) -> (&Hook, &'static str) {
        match end {
            Last::Input => (&self.config.input, "dropped-input"),
            Last::Output => (&self.config.output, "dropped-output"),
            Last::Inward | Last::Forward => (&self.config.forward, "dropped-forward"),
        }
    }

    /// Outside and inside are told by policies: one way accepts, the other is not spoken of.
    pub(super) fn is_inward(&self, from: Who, to: Who) -> bool {
        let accepts = |policy: usize| {
            self.config.policies.get(policy).is_some_and(|policy| policy.action == PolicyAction::Accept)
        };
        matches!((from, to), (Who::Zone(_), Who::Zone(_)))
            && from != to
            && self.policy_of(from, to).is_none()
            && self.policy_of(to, from).is_some_and(accepts)
    }

    fn lets_pass(&self, end: Last) -> Vec<(Vec<Cond>, &'static str)> {
        let defaults = &self.config.defaults;
        let icmp =
            |kinds: &[u8]| vec![family(Family::V6), is(Selector::Protocol, ICMPV6), bytes(Selector::IcmpType, kinds)];
        let mut found = Vec::new();
        if defaults.ping && end != Last::Forward {
            found.push((icmp(&[128]), "RFC 4890: echo requests"));
            if end != Last::Inward {
                let conds = vec![family(Family::V4), is(Selector::Protocol, ICMP), is(Selector::IcmpType, 8)];
                found.push((conds, "ICMP: echo requests"));
            }
        }
        if defaults.rfc4890 && end == Last::Inward {
            found.push((icmp(MOBILE), "RFC 4890: Mobile IPv6"));
        }
        if defaults.rfc6092 && end == Last::Inward {
            let conds = vec![family(Family::V6), bytes(Selector::Protocol, &UNASKED)];
            found.push((conds, "RFC 6092: IPsec, HIP, mobility"));
            let ports = IKE.iter().map(|port| (Value::port(*port), Value::port(*port))).collect();
            let mut conds = vec![family(Family::V6), is(Selector::Protocol, UDP)];
            conds.extend(ranged(Selector::DestinationPort, ports, false));
            found.push((conds, "RFC 6092: IKE"));
        }
        found
    }
}

//! Translation of addresses: destinations where packets come in or are made, sources where they leave.
//!
//! Hairpin: hosts of zones that the rule is not from reach the server under the outer address. Packets of theirs for an
//! address of this machine that is not of the interface they came in by, or for the one that the rule names, are translated
//! as those from outside are, whatever sources it asks for; what then leaves into the zone it came from gets this machine's
//! source, so answers come back here.
//!
//! NPTv6 is two rules: sources on the way out, destinations on the way in; the first is without the rule's matches on
//! sources, which do not hold of answers.

use super::hooks::Hooks;
use super::matches::{Alternative, Cond, TCP, UDP, ranged, translated};
use super::rules::{Item, label};
use super::value::{self, Value};
use super::{Compiler, RTN_LOCAL};
use crate::config::{Address, End, Family, IpRange, List, Matches, NatAction, NatRule, Per, Port};
use crate::ruleset::{ChainId, NatTo, Selector, Statement, Test, Verdict};

/// Which of the hooks of translation are used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Of what comes in.
    pub prerouting: bool,
    /// Of what this machine sends.
    pub output: bool,
    /// Of what leaves.
    pub postrouting: bool,
}

impl Compiler<'_> {
    pub(super) fn translation_hooks(&self) -> Used {
        let mut used = Used::default();
        for rule in &self.config.nat {
            let here = places(rule);
            used.prerouting |= here.prerouting;
            used.output |= here.output;
            used.postrouting |= here.postrouting || hairpin(rule);
        }
        used
    }

    pub(super) fn translation(&mut self, hooks: &Hooks) {
        let config = self.config;
        let (mut incoming, mut local, mut outgoing) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(postrouting) = hooks.nat_postrouting {
            self.hairpins(postrouting);
        }
        for rule in &config.nat {
            let here = places(rule);
            let to = target(&rule.action);
            if rule.matches.connections.is_some() || rule.matches.limit.is_some_and(|limit| limit.per != Per::Rule) {
                self.diagnostics.error(rule.span, "translation cannot be limited by address or by connections");
            }
            if here.prerouting {
                match &rule.action {
                    NatAction::Prefix { inside, outside } => {
                        let mut matches = turned(&rule.matches);
                        matches.family = Some(Family::V6);
                        matches.destination = one(prefix(*outside));
                        let (first, last) = bounds(*inside);
                        let end = self.of_end(Selector::InputInterface, &rule.to);
                        let to = NatTo::DestinationPrefix { first: first.into(), last: last.into() };
                        let mut items = self.nat_items(rule, &matches, end, to);
                        // An address of this machine within the outer prefix stays its own.
                        let local = Test::NotEqual(RTN_LOCAL.to_be_bytes().to_vec());
                        for item in &mut items {
                            let not_here = Statement::Match(Selector::DestinationType, local.clone());
                            item.conds.push(Cond::Other(not_here));
                        }
                        incoming.extend(items);
                    }
                    _ => {
                        let end = self.of_end(Selector::InputInterface, &rule.from);
                        incoming.extend(self.nat_items(rule, &rule.matches, end, to.clone()));
                        if hairpin(rule) {
                            incoming.extend(self.hairpin_items(rule, &to));
                        }
                    }
                }
            }
            if here.output {
                local.extend(self.nat_items(rule, &rule.matches, Some(None), to.clone()));
            }
            if here.postrouting {
                let mut matches = rule.matches.clone();
                if let NatAction::Prefix { inside, .. } = &rule.action {
                    matches.family = Some(Family::V6);
                    matches.source = one(prefix(*inside));
                }
                let end = self.of_end(Selector::OutputInterface, &rule.to);
                let end = match (end, &rule.action, &rule.from) {
                    // What is left alone may be told by both ends here.
                    (Some(end), NatAction::Skip, End::Zones { .. }) => match self.came_from(&rule.from) {
                        Some(from) => {
                            self.skip_both(rule, &matches, end, from, &mut outgoing);
                            continue;
                        }
                        None => None,
                    },
                    (end, _, _) => end,
                };
                outgoing.extend(self.nat_items(rule, &matches, end, to));
            }
        }
        for (chain, items) in
            [(hooks.nat_prerouting, incoming), (hooks.nat_output, local), (hooks.nat_postrouting, outgoing)]
        {
            if let Some(chain) = chain {
                self.add_items(chain, &items.iter().collect::<Vec<_>>());
            }
        }
    }

    /// Where packets that leave came from: what this machine sends came in by an interface without a name.
    fn came_from(&self, end: &End) -> Option<Option<Cond>> {
        let End::Zones { zones, router: true } = end else { return self.of_end(Selector::InputInterface, end) };
        let nameless = Value::name("");
        let names = zones.iter().flat_map(|zone| self.names_of(*zone).iter().copied()).chain([(nameless, nameless)]);
        Some(ranged(Selector::InputInterface, names.collect(), false))
    }

    fn skip_both(
        &mut self,
        rule: &NatRule,
        matches: &Matches,
        to: Option<Cond>,
        from: Option<Cond>,
        items: &mut Vec<Item>,
    ) {
        for mut item in self.nat_items(rule, matches, Some(to), NatTo::Nothing) {
            item.conds.splice(0..0, from.clone());
            items.push(item);
        }
    }

    /// One rule in one chain. `end`: the condition on interfaces; none if no packet can meet it.
    fn nat_items(&mut self, rule: &NatRule, matches: &Matches, end: Option<Option<Cond>>, to: NatTo) -> Vec<Item> {
        let Some(end) = end else { return Vec::new() };
        let mut matches = matches.clone();
        match family_of(&to) {
            Some(of) if matches.family.is_none_or(|asked| asked == of) => matches.family = Some(of),
            Some(_) => return Vec::new(),
            None => {}
        }
        if matches!(to, NatTo::Masquerade { .. }) && matches.family.is_none() && !self.says_family(&matches) {
            matches.family = Some(Family::V4);
        }
        if ports_of(&to).is_some() && matches.protocol.items.is_empty() && matches.icmp.items.is_empty() {
            matches.protocol.items = vec![TCP, UDP];
        }
        let found = self.alternatives(&matches, false);
        let count = rule.count.as_ref().map(|name| Statement::Count(self.counter(name)));
        let limit = matches.limit.map(|limit| Statement::Limit(super::rules::rate(limit)));
        let make = |alternative: Alternative| Item {
            conds: end.clone().into_iter().chain(alternative.conds).collect(),
            family: alternative.family,
            tail: limit.clone().into_iter().chain(count.clone()).chain([Statement::Nat(to.clone())]).collect(),
            label: label(rule.name.as_ref()),
            span: rule.span,
        };
        found.list.into_iter().map(make).collect()
    }

    /// The same for hosts of other zones. What the rule asks of sources and interfaces is about those that it is from, and
    /// these are left out: nobody there comes in by the hairpin whom the rule itself keeps out.
    fn hairpin_items(&mut self, rule: &NatRule, to: &NatTo) -> Vec<Item> {
        let Some(elsewhere) = self.elsewhere(rule) else { return Vec::new() };
        let mut matches = rule.matches.clone();
        matches.incoming = List::default();
        matches.source = List::default();
        let explicit = !matches.destination.items.is_empty() && !matches.destination.items.contains(&Address::Local);
        let mut conds = Vec::new();
        if !explicit {
            matches.destination = List::default();
            let local = RTN_LOCAL.to_be_bytes().to_vec();
            conds.extend([
                Cond::Other(Statement::Match(Selector::DestinationType, Test::Equal(local.clone()))),
                Cond::Other(Statement::Match(Selector::DestinationTypeHere, Test::NotEqual(local))),
            ]);
        }
        let mut items = self.nat_items(rule, &matches, Some(Some(elsewhere)), to.clone());
        for item in &mut items {
            item.conds.extend(conds.iter().cloned());
        }
        items
    }

    /// The condition that holds of interfaces of zones that the rule is not from; none if no packet can meet it. A rule
    /// from anywhere has only the interfaces beside its own, one from this machine alone none.
    fn elsewhere(&self, rule: &NatRule) -> Option<Cond> {
        let own = &rule.matches.incoming;
        match &rule.from {
            End::Any if own.items.is_empty() => None,
            End::Any => ranged(Selector::InputInterface, own.items.iter().map(value::names).collect(), !own.negated),
            End::Zones { zones, .. } if zones.is_empty() => None,
            End::Zones { zones, .. } => {
                let others = (0..self.config.zones.len()).filter(|zone| !zones.contains(zone));
                self.of_zones(Selector::InputInterface, others)
            }
        }
    }

    /// Translated packets that go back into the zone they came from get a source of this machine.
    fn hairpins(&mut self, postrouting: ChainId) {
        let config = self.config;
        let mut chain = None;
        for rule in config.nat.iter().filter(|rule| hairpin(rule)) {
            let target = match chain {
                Some(target) => target,
                None => {
                    let name = self.unique("hairpin".to_owned());
                    let target = self.push_chain(name, None, portreeve_config::Span::default());
                    for zone in 0..config.zones.len() {
                        let incoming = self.of_zones(Selector::InputInterface, [zone]);
                        let outgoing = self.of_zones(Selector::OutputInterface, [zone]);
                        if let Some((incoming, outgoing)) = incoming.zip(outgoing) {
                            let to = Statement::Nat(NatTo::Masquerade { ports: None, random: false });
                            self.default_rule(target, &[incoming, outgoing], vec![to], "hairpin");
                        }
                    }
                    chain = Some(target);
                    target
                }
            };
            let items = self.translated_items(rule, None, false, vec![Statement::Verdict(Verdict::Jump(target))]);
            self.add_items(postrouting, &items.iter().collect::<Vec<_>>());
        }
    }

    /// What the filter lets through because its destination was translated.
    pub(super) fn translated_accepts(&mut self, forward: ChainId) {
        let config = self.config;
        for rule in &config.nat {
            let NatAction::DestinationTo { accept: true, hairpin, .. } = rule.action else { continue };
            let verdict = || vec![Statement::Verdict(Verdict::Accept)];
            let mut items = match self.of_end(Selector::InputInterface, &rule.from) {
                Some(end) => self.translated_items(rule, end, true, verdict()),
                None => Vec::new(),
            };
            if hairpin && let Some(elsewhere) = self.elsewhere(rule) {
                items.extend(self.translated_items(rule, Some(elsewhere), false, verdict()));
            }
            self.add_items(forward, &items.iter().collect::<Vec<_>>());
        }
    }

    /// Packets as the rule made them; of the sources and interfaces that it asks for only if it `asks`.
    fn translated_items(&mut self, rule: &NatRule, end: Option<Cond>, asks: bool, tail: Vec<Statement>) -> Vec<Item> {
        let NatAction::DestinationTo { addresses, ports, .. } = &rule.action else { return Vec::new() };
        let of = addresses.family();
        if rule.matches.family.is_some_and(|asked| asked != of) {
            return Vec::new();
        }
        let mut matches = Matches {
            family: Some(of),
            protocol: rule.matches.protocol.clone(),
            destination_port: rule.matches.destination_port.clone(),
            icmp: rule.matches.icmp.clone(),
            ..Matches::default()
        };
        matches.source_port = rule.matches.source_port.clone();
        if asks {
            matches.source = rule.matches.source.clone();
            matches.incoming = rule.matches.incoming.clone();
        }
        if let Some((first, last)) = ports {
            matches.destination_port = List { items: vec![Port::Range(*first, *last)], ..List::default() };
        }
        matches.destination = List { items: vec![Address::Range(*addresses)], ..List::default() };
        let found = self.alternatives(&matches, false);
        let make = |alternative: Alternative| Item {
            conds: end.clone().into_iter().chain(alternative.conds).chain([translated()]).collect(),
            family: alternative.family,
            tail: tail.clone(),
            label: label(rule.name.as_ref()),
            span: rule.span,
        };
        found.list.into_iter().map(make).collect()
    }

    /// Its matches hold of one family only.
    fn says_family(&self, matches: &Matches) -> bool {
        let says =
            |list: &List<Address>| !list.negated && list.items.iter().any(|item| !matches!(item, Address::Local));
        says(&matches.source) || says(&matches.destination) || !matches.icmp.items.is_empty()
    }
}

/// Where a rule belongs.
fn places(rule: &NatRule) -> Used {
    let named = |end: &End| matches!(end, End::Zones { .. });
    let router = matches!(rule.from, End::Zones { router: true, .. });
    let zones = match &rule.from {
        End::Any => true,
        End::Zones { zones, .. } => !zones.is_empty(),
    };
    match rule.action {
        NatAction::Masquerade { .. } | NatAction::SourceTo { .. } => Used { postrouting: true, ..Used::default() },
        NatAction::DestinationTo { .. } | NatAction::Redirect { .. } => {
            Used { prerouting: zones || hairpin(rule), output: router, postrouting: false }
        }
        NatAction::Prefix { .. } => Used { prerouting: true, output: false, postrouting: true },
        NatAction::Skip if named(&rule.to) || !rule.matches.outgoing.items.is_empty() => {
            Used { postrouting: true, ..Used::default() }
        }
        NatAction::Skip => {
            let both = !named(&rule.from) && rule.matches.incoming.items.is_empty();
            Used { prerouting: zones, output: router, postrouting: both }
        }
    }
}

fn hairpin(rule: &NatRule) -> bool {
    matches!(rule.action, NatAction::DestinationTo { hairpin: true, .. })
}

fn target(action: &NatAction) -> NatTo {
    match *action {
        NatAction::Masquerade { ports, random } => NatTo::Masquerade { ports, random },
        NatAction::SourceTo { addresses, ports } => NatTo::Source { addresses: pair(addresses), ports },
        NatAction::DestinationTo { addresses, ports, .. } => NatTo::Destination { addresses: pair(addresses), ports },
        NatAction::Redirect { ports } => NatTo::Redirect { ports },
        NatAction::Prefix { outside, .. } => {
            let (first, last) = bounds(outside);
            NatTo::SourcePrefix { first: first.into(), last: last.into() }
        }
        NatAction::Skip => NatTo::Nothing,
    }
}

fn pair(range: IpRange) -> (std::net::IpAddr, std::net::IpAddr) {
    match range {
        IpRange::V4(first, last) => (first.into(), last.into()),
        IpRange::V6(first, last) => (first.into(), last.into()),
    }
}

/// First and last address of a prefix.
fn bounds((address, length): (std::net::Ipv6Addr, u8)) -> (std::net::Ipv6Addr, std::net::Ipv6Addr) {
    let host = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    let bits = u128::from(address);
    ((bits & !host).into(), (bits | host).into())
}

fn prefix(prefix: (std::net::Ipv6Addr, u8)) -> IpRange {
    let (first, last) = bounds(prefix);
    IpRange::V6(first, last)
}

fn one(range: IpRange) -> List<Address> {
    List { items: vec![Address::Range(range)], ..List::default() }
}

/// What holds of packets the other way; of their source and the interface they came in by nothing is known.
fn turned(matches: &Matches) -> Matches {
    let mut matches = matches.clone();
    matches.source = core::mem::take(&mut matches.destination);
    core::mem::swap(&mut matches.source_port, &mut matches.destination_port);
    matches.incoming = core::mem::take(&mut matches.outgoing);
    matches
}

fn family_of(to: &NatTo) -> Option<Family> {
    let address = match to {
        NatTo::Source { addresses, .. } | NatTo::Destination { addresses, .. } => addresses.0,
        NatTo::SourcePrefix { first, .. } | NatTo::DestinationPrefix { first, .. } => *first,
        NatTo::Masquerade { .. } | NatTo::Redirect { .. } | NatTo::Nothing => return None,
    };
    Some(if address.is_ipv6() { Family::V6 } else { Family::V4 })
}

fn ports_of(to: &NatTo) -> Option<(u16, u16)> {
    match to {
        NatTo::Masquerade { ports, .. }
        | NatTo::Source { ports, .. }
        | NatTo::Destination { ports, .. }
        | NatTo::Redirect { ports } => *ports,
        NatTo::SourcePrefix { .. } | NatTo::DestinationPrefix { .. } | NatTo::Nothing => None,
    }
}

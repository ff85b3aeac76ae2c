//! Rules of a section read plainly, one by one, against what their compilation does.
//!
//! Without defaults, so that every rule is the operator's: the forward hook alone, then zones in all three.

use std::net::IpAddr;

use portreeve_config::Span;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Outcome, Packet, Path, protocol, trace};
use super::differential::{packet, simple_rule};
use crate::compile::tests::arbitrary;
use crate::compile::{Options, compile};
use crate::config::*;
use crate::ruleset::ct;

/// What becomes of a packet, without the kind of rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accept,
    Drop,
    Reject,
}

fn any_of<T>(list: &List<T>, fits: impl FnMut(&T) -> bool) -> bool {
    list.items.is_empty() || list.items.iter().any(fits) != list.negated
}

fn within(range: &IpRange, address: IpAddr) -> bool {
    match (range, address) {
        (IpRange::V4(first, last), IpAddr::V4(address)) => (*first..=*last).contains(&address),
        (IpRange::V6(first, last), IpAddr::V6(address)) => (*first..=*last).contains(&address),
        _ => false,
    }
}

struct Reader<'a> {
    config: &'a Config,
    packet: Packet,
}

impl Reader<'_> {
    fn is_at(&self, of: &Address, address: IpAddr, is_local: bool) -> bool {
        match of {
            Address::Range(range) => within(range, address),
            Address::Local => is_local,
            Address::Masked { value, mask } => match address {
                IpAddr::V6(address) => address.to_bits() & mask.to_bits() == value.to_bits(),
                IpAddr::V4(_) => false,
            },
            Address::Set(set) => {
                let set = &self.config.sets[*set];
                let file = arbitrary::files(self.config);
                let more = set.file.as_ref().map(|path| file[path].as_slice()).unwrap_or_default();
                let is_in =
                    |element: &SetElement| matches!(element, SetElement::Address(range) if within(range, address));
                set.elements.iter().chain(more).any(is_in)
            }
        }
    }

    fn is_port(&self, of: &Port, port: u16) -> bool {
        match of {
            Port::Range(first, last) => (*first..=*last).contains(&port),
            Port::Set(set) => {
                let set = &self.config.sets[*set];
                let file = arbitrary::files(self.config);
                let more = set.file.as_ref().map(|path| file[path].as_slice()).unwrap_or_default();
                let is_in =
                    |element: &SetElement| matches!(element, SetElement::Port(a, b) if (*a..=*b).contains(&port));
                set.elements.iter().chain(more).any(is_in)
            }
        }
    }

    fn fits(&self, matches: &Matches) -> bool {
        let p = &self.packet;
        let named = |interface: &Interface, name: &Option<String>| {
            let name = name.as_deref().unwrap_or_default();
            if interface.prefix { name.starts_with(&interface.name) } else { name == interface.name }
        };
        let is_later = p.source.is_ipv4() && p.fragment & 0x1fff != 0;
        let has_ports = matches!(p.protocol, 6 | 17 | 33 | 132 | 136) && !is_later;
        let ports = |list: &List<Port>, port: Option<u16>| {
            list.items.is_empty() || (has_ports && any_of(list, |of| self.is_port(of, port.unwrap())))
        };
        let icmp = |kind: &IcmpKind| {
            let number = if kind.family == Family::V4 { protocol::ICMP } else { protocol::ICMPV6 };
            let (is, code) = p.icmp.unwrap();
            let asks = kind.kind.is_some();
            p.family() == kind.family
                && p.protocol == number
                && (!asks || !is_later)
                && kind.kind.is_none_or(|kind| kind == is)
                && kind.code.is_none_or(|of| of == code)
        };
        // A rule about kinds of ICMP is about ICMP of those families, also where it says which kinds it is not about.
        let is_message = matches.icmp.items.iter().any(|kind| icmp(&IcmpKind { kind: None, code: None, ..*kind }))
            && !(is_later && matches.icmp.negated);
        let state = |state: &ConnState| {
            p.ct_state
                & match state {
                    ConnState::New => ct::NEW,
                    ConnState::Established => ct::ESTABLISHED,
                    ConnState::Related => ct::RELATED,
                    ConnState::Invalid => ct::INVALID,
                    ConnState::Untracked => ct::UNTRACKED,
                }
                != 0
        };
        let is_local = p.assume.destination_is_local == Some(true);
        matches.family.is_none_or(|family| family == p.family())
            && any_of(&matches.incoming, |of| named(of, &p.input))
            && any_of(&matches.outgoing, |of| named(of, &p.output))
            && any_of(&matches.source, |of| self.is_at(of, p.source, p.path == Path::FromRouter))
            && any_of(&matches.destination, |of| self.is_at(of, p.destination, is_local))
            && any_of(&matches.protocol, |number| *number == p.protocol)
            && ports(&matches.source_port, p.source_port)
            && ports(&matches.destination_port, p.destination_port)
            && (matches.icmp.items.is_empty() || (is_message && any_of(&matches.icmp, icmp)))
            && (matches.states.is_empty() || matches.states.iter().any(state) != matches.states_negated)
            && matches.tcp_flags.is_none_or(|flags| {
                p.protocol == 6 && !is_later && (p.tcp_flags.unwrap() & flags.mask == flags.value) != flags.negated
            })
            && matches.mark.is_none_or(|mark| p.mark & mark.mask == mark.value)
            && (matches.source_mac.items.is_empty()
                || p.source_mac
                    .filter(|_| p.path != Path::FromRouter)
                    .is_some_and(|is| any_of(&matches.source_mac, |of| *of == is)))
            && matches.hop_limit.is_none_or(|compare| match compare {
                Compare::Equal(of) => p.hop_limit == of,
                Compare::NotEqual(of) => p.hop_limit != of,
                Compare::Below(of) => p.hop_limit < of,
                Compare::Above(of) => p.hop_limit > of,
            })
            && (!matches.later_fragments || is_later)
            && !matches.limit.is_some_and(|limit| limit.over)
            && matches.connections.is_none_or(|connections| (1 > connections.count) == connections.above)
    }

    /// The fate these rules decide; an error if a goto leads out of the chain that called them.
    fn read(&mut self, rules: &[Rule]) -> Option<Fate> {
        for rule in rules {
            if !self.fits(&rule.matches) {
                continue;
            }
            if let Some(mark) = rule.set_mark {
                self.packet.mark = self.packet.mark & !mark.mask | mark.value & mark.mask;
            }
            let config = self.config;
            match rule.action {
                Action::Accept => return Some(Fate::Accept),
                Action::Drop => return Some(Fate::Drop),
                Action::Reject(_) => return Some(Fate::Reject),
                Action::Jump(chain) => {
                    if let Some(fate) = self.read(&config.chains[chain].rules) {
                        return Some(fate);
                    }
                }
                // It does not come back here, but to where this list was called.
                Action::Goto(chain) => return self.read(&config.chains[chain].rules),
                Action::Return => return None,
                Action::Continue | Action::ClampMss(_) | Action::Notrack => {}
            }
        }
        None
    }
}

/// No zones, no defaults, the operator's rules in the forward hook only.
fn forward_only(mut config: Config, rules: Vec<Rule>) -> Config {
    let hook = |accept| Hook { accept, rules: Vec::new() };
    let log_rate = config.defaults.log_rate;
    (config.zones, config.policies, config.rules, config.nat) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    (config.input, config.output, config.prerouting, config.offload) = (hook(true), hook(true), Vec::new(), None);
    config.forward = Hook { accept: config.forward.accept, rules };
    config.defaults = Defaults {
        stateful: false,
        loopback: false,
        rfc4890: false,
        rfc6092: false,
        ping: false,
        dhcp_client: false,
        log_rate,
    };
    config
}

/// No hooks' rules, no defaults, no translation: zones, their rules and policies.
fn zones_only(config: Config, more: Vec<Rule>) -> Config {
    let (mut zones, policies, mut rules) = (config.zones.clone(), config.policies.clone(), config.rules.clone());
    for zone in &mut zones {
        zone.networks = Vec::new();
        zone.anti_spoofing = AntiSpoofing::Off;
        zone.rfc3964 = false;
    }
    rules.extend(more);
    let accepts = (config.input.accept, config.output.accept);
    let mut config = Config { zones, policies, rules, ..forward_only(config, Vec::new()) };
    (config.input.accept, config.output.accept) = accepts;
    config
}

/// An end of a packet's way: this machine, a zone, or an interface of no zone.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Router,
    Zone(usize),
    Nowhere,
}

fn who(config: &Config, name: Option<&String>) -> Who {
    let Some(name) = name else { return Who::Router };
    let names = |of: &Interface| if of.prefix { name.starts_with(&of.name) } else { *name == of.name };
    config.zones.iter().position(|zone| zone.interfaces.iter().any(names)).map_or(Who::Nowhere, Who::Zone)
}

fn covers(end: &End, who: Who, is_policy: bool) -> bool {
    match (end, who) {
        (End::Any, who) => !is_policy || who != Who::Router,
        (End::Zones { router, .. }, Who::Router) => *router,
        (End::Zones { zones, .. }, Who::Zone(zone)) => zones.contains(&zone),
        (End::Zones { .. }, Who::Nowhere) => false,
    }
}

fn fate_between_zones(config: &Config, packet: &Packet) -> Fate {
    let (from, to, hook) = match packet.path {
        Path::Through => (who(config, packet.input.as_ref()), who(config, packet.output.as_ref()), &config.forward),
        Path::ToRouter => {
            (packet.input.as_ref().map_or(Who::Nowhere, |name| who(config, Some(name))), Who::Router, &config.input)
        }
        Path::FromRouter => {
            (Who::Router, packet.output.as_ref().map_or(Who::Nowhere, |name| who(config, Some(name))), &config.output)
        }
    };
    let rules: Vec<Rule> = config
        .rules
        .iter()
        .filter(|rule| covers(&rule.from, from, false) && covers(&rule.to, to, false))
        // An interface that there is not is none, also of those that are not named.
        .filter(|rule| rule.matches.outgoing.items.is_empty() || to != Who::Router)
        .filter(|rule| rule.matches.incoming.items.is_empty() || from != Who::Router)
        .cloned()
        .collect();
    let mut reader = Reader { config, packet: packet.clone() };
    if let Some(fate) = reader.read(&rules) {
        return fate;
    }
    let policy = config.policies.iter().find(|policy| covers(&policy.from, from, true) && covers(&policy.to, to, true));
    match policy.map(|policy| policy.action) {
        Some(PolicyAction::Accept) => Fate::Accept,
        Some(PolicyAction::Drop) => Fate::Drop,
        Some(PolicyAction::Reject(_)) => Fate::Reject,
        None if hook.accept => Fate::Accept,
        None => Fate::Drop,
    }
}

/// Of all kinds, or of those that fold.
fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop_oneof![vec(arbitrary::rule(0, false), 1..8), vec(simple_rule(0), 2..24)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn compiled_rules_do_what_they_say(
        config in arbitrary::config(), rules in rules(), packets in vec(packet(), 24),
    ) {
        let mut config = forward_only(config, rules);
        for rule in config.forward.rules.iter_mut().chain(config.chains.iter_mut().flat_map(|chain| &mut chain.rules)) {
            rule.span = Span::default();
            // What packets add is not read here.
            rule.add_source_to = None;
        }
        let compiled = compile(&config, &arbitrary::files(&config), &[], Options::default());
        let Ok((ruleset, _)) = compiled else { return Ok(()) };
        for packet in packets {
            let mut packet = packet;
            packet.path = Path::Through;
            packet.input.get_or_insert("eth0".to_owned());
            packet.output.get_or_insert("wan0".to_owned());
            packet.assume.member_of = Vec::new();
            if packet.source.is_loopback() || packet.destination.is_loopback() || packet.destination.is_multicast() {
                continue;
            }
            let found = trace(&ruleset, &packet);
            let fate = match found.verdict {
                Outcome::Accept => Fate::Accept,
                Outcome::Drop => Fate::Drop,
                Outcome::Reject(_) => Fate::Reject,
                Outcome::Unfinished => return Err(TestCaseError::fail("unfinished")),
            };
            let mut reader = Reader { config: &config, packet: packet.clone() };
            let policy = if config.forward.accept { Fate::Accept } else { Fate::Drop };
            let wanted = reader.read(&config.forward.rules).unwrap_or(policy);
            prop_assert_eq!(fate, wanted, "{:#?}\n{:#?}\n{:#?}", packet, found.steps, config.forward.rules);
        }
    }

    #[test]
    fn zones_do_what_their_rules_and_policies_say(
        config in arbitrary::config(), more in vec(simple_rule(0), 0..12), packets in vec(packet(), 24),
    ) {
        let mut config = zones_only(config, more);
        for rule in config.rules.iter_mut().chain(config.chains.iter_mut().flat_map(|chain| &mut chain.rules)) {
            rule.add_source_to = None;
        }
        for rule in &mut config.rules {
            // Where these lead at the end of a pair's rules is the compiler's business.
            match rule.action {
                Action::Goto(chain) => rule.action = Action::Jump(chain),
                Action::Return => rule.action = Action::Continue,
                _ => {}
            }
        }
        let compiled = compile(&config, &arbitrary::files(&config), &[], Options::default());
        let Ok((ruleset, _)) = compiled else { return Ok(()) };
        for mut packet in packets {
            packet.assume.member_of = Vec::new();
            if packet.source.is_loopback() || packet.destination.is_loopback() || packet.destination.is_multicast() {
                continue;
            }
            if packet.path == Path::Through {
                packet.input.get_or_insert("eth0".to_owned());
                packet.output.get_or_insert("wan0".to_owned());
            }
            packet.assume.destination_is_local = Some(packet.path == Path::ToRouter);
            let found = trace(&ruleset, &packet);
            let fate = match found.verdict {
                Outcome::Accept => Fate::Accept,
                Outcome::Drop => Fate::Drop,
                Outcome::Reject(_) => Fate::Reject,
                Outcome::Unfinished => return Err(TestCaseError::fail("unfinished")),
            };
            let wanted = fate_between_zones(&config, &packet);
            prop_assert_eq!(fate, wanted, "{:#?}\n{:#?}\n{:#?}", packet, found.steps, (&config.zones, &config.policies, &config.rules));
        }
    }
}

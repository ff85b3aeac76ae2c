//! The base chains and what is in them, in order; chains of the operator; offloading; the maximum segment size.
//!
//! | chain | hook, priority | there if |
//! |---|---|---|
//! | `raw-prerouting` | prerouting -300 | rules of `prerouting`, or connections are of no interest |
//! | `spoof-prerouting` | prerouting -150 | a zone's sources are checked, or the loopback's addresses |
//! | `nat-prerouting`, `nat-output`, `nat-postrouting` | -100, -100, 100 | translation needs it |
//! | `mangle-forward` | forward -150 | a zone's segment size is held |
//! | `input`, `forward`, `output` | 0 | always |

use portreeve_config::Span;

use super::ends::Last;
use super::matches::{Cond, TCP, UDP, ranged};
use super::rules::{SYN_OF_SYN_RST, is};
use super::value::Value;
use super::{Compiler, LOOPBACK, Whole};
use crate::config::{AntiSpoofing, MssClamp};
use crate::ruleset::{Base, ChainId, ChainKind, Flowtable, HookPoint, Selector, Statement, Test, Verdict, ct};

/// Base chains, those that are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooks {
    /// Rules of `prerouting`.
    pub raw: Option<ChainId>,
    /// Checks of sources.
    pub spoof: Option<ChainId>,
    /// Destinations of what comes in.
    pub nat_prerouting: Option<ChainId>,
    /// Destinations of what this machine sends.
    pub nat_output: Option<ChainId>,
    /// Segment sizes.
    pub mangle: Option<ChainId>,
    /// To this machine.
    pub input: ChainId,
    /// Through it.
    pub forward: ChainId,
    /// From it.
    pub output: ChainId,
    /// Sources.
    pub nat_postrouting: Option<ChainId>,
}

impl Compiler<'_> {
    pub(super) fn hooks(&mut self, devices: &[String]) {
        let config = self.config;
        let hooks = self.base_chains();
        self.bases = self.chains.len();
        for chain in &config.chains {
            let name = self.unique(format!("user-{}", chain.name));
            let id = self.push_chain(name, None, chain.span);
            self.users.push(id);
        }
        for (index, chain) in config.chains.iter().enumerate() {
            if let Some(id) = self.user_chain(index) {
                self.add_rules(id, &chain.rules);
            }
        }
        if let Some(raw) = hooks.raw {
            if self.whole_by_tracking() {
                // Fragments are put together, and that is all that is wanted of connection tracking.
                self.push_rule(raw, vec![Statement::Notrack], "no rule asks of connections");
            }
            self.add_rules(raw, &config.prerouting);
        }
        if let Some(spoof) = hooks.spoof {
            self.spoofing(spoof);
        }
        if let Some(mangle) = hooks.mangle {
            self.segment_sizes(mangle);
        }
        self.translation(&hooks);
        let pairs = self.pairs();

        if config.defaults.loopback {
            self.loopback(hooks.input, Selector::InputInterface);
        }
        self.input_defaults(hooks.input);
        self.add_rules(hooks.input, &config.input.rules);
        self.dispatch_input(hooks.input, &pairs);

        self.embedded_out(hooks.forward);
        self.offload(hooks.forward, devices);
        self.forward_defaults(hooks.forward);
        self.add_rules(hooks.forward, &config.forward.rules);
        self.translated_accepts(hooks.forward);
        self.dispatch_forward(hooks.forward, &pairs);

        // Where everything may leave there is nothing to ask.
        let checked = config.zones.iter().any(|zone| zone.rfc3964);
        if !config.output.accept || !config.output.rules.is_empty() || pairs.has_output() || checked {
            if config.defaults.loopback {
                self.loopback(hooks.output, Selector::OutputInterface);
            }
            self.embedded_out(hooks.output);
            self.output_defaults(hooks.output);
            self.add_rules(hooks.output, &config.output.rules);
            self.dispatch_output(hooks.output, &pairs);
        }
        for (chain, end) in [(hooks.input, Last::Input), (hooks.forward, Last::Forward), (hooks.output, Last::Output)] {
            self.end(chain, end);
        }
        self.whole_packets();
    }

    /// Without connection tracking the kernel would take the first bytes of later fragments for ports. A statement that needs
    /// whole packets, where no packet comes, has it put fragments together before any rule sees them.
    fn whole_packets(&mut self) {
        if !self.wants_whole_packets() {
            return;
        }
        let statement = match self.options.whole {
            Whole::Proxy => Statement::Defragment,
            Whole::Tracking => Statement::Match(Selector::CtState, Test::Any(ct::INVALID.to_be_bytes().to_vec())),
        };
        let name = self.unique("fragments".to_owned());
        let chain = self.push_chain(name, None, Span::default());
        self.push_rule(chain, vec![statement], "fragments are put together");
    }

    fn whole_by_tracking(&self) -> bool {
        self.options.whole == Whole::Tracking && self.wants_whole_packets()
    }

    /// Whether something looks into transport headers, and nothing asks of connections: that would put fragments together, too.
    fn wants_whole_packets(&self) -> bool {
        self.config.asks_of_transport() && !self.config.tracks_connections()
    }

    fn base_chains(&mut self) -> Hooks {
        use ChainKind::{Filter, Nat};
        use HookPoint::{Forward, Input, Output, Postrouting, Prerouting};
        let config = self.config;
        let nat = self.translation_hooks();
        let spoof = config.defaults.loopback
            || config
                .zones
                .iter()
                .any(|zone| !zone.networks.is_empty() || zone.anti_spoofing != AntiSpoofing::Off || zone.rfc3964);
        let whole = self.whole_by_tracking();
        let mangle = config.zones.iter().any(|zone| zone.mss_clamp != MssClamp::Off);
        let mut base = |name: &str, hook, kind, priority, accept| {
            let name = self.unique(name.to_owned());
            self.push_chain(name, Some(Base { hook, kind, priority, accept }), Span::default())
        };
        Hooks {
            raw: (whole || !config.prerouting.is_empty())
                .then(|| base("raw-prerouting", Prerouting, Filter, -300, true)),
            spoof: spoof.then(|| base("spoof-prerouting", Prerouting, Filter, -150, true)),
            nat_prerouting: nat.prerouting.then(|| base("nat-prerouting", Prerouting, Nat, -100, true)),
            nat_output: nat.output.then(|| base("nat-output", Output, Nat, -100, true)),
            mangle: mangle.then(|| base("mangle-forward", Forward, Filter, -150, true)),
            input: base("input", Input, Filter, 0, config.input.accept),
            forward: base("forward", Forward, Filter, 0, config.forward.accept),
            output: base("output", Output, Filter, 0, config.output.accept),
            nat_postrouting: nat.postrouting.then(|| base("nat-postrouting", Postrouting, Nat, 100, true)),
        }
    }

    /// Counters of rules have their names before those of pairs.
    pub(super) fn rule_counters(&mut self) {
        let config = self.config;
        for rule in config.lists().flatten() {
            if let Some(name) = &rule.count {
                self.counter(name);
            }
        }
        for name in config.nat.iter().filter_map(|rule| rule.count.as_ref()) {
            self.counter(name);
        }
    }

    fn loopback(&mut self, chain: ChainId, selector: Selector) {
        let test = Test::Equal(Value::name(LOOPBACK).bytes().to_vec());
        self.push_rule(chain, vec![Statement::Match(selector, test), Statement::Verdict(Verdict::Accept)], "loopback");
    }

    /// A rule of a default: conditions, then what is done.
    pub(super) fn default_rule(&mut self, chain: ChainId, conds: &[Cond], tail: Vec<Statement>, label: &'static str) {
        let family = conds.iter().find_map(|cond| match cond {
            Cond::One(Selector::Family, value) if value.bytes() == [10] => Some(crate::config::Family::V6),
            Cond::One(Selector::Family, _) => Some(crate::config::Family::V4),
            _ => None,
        });
        let mut statements = Vec::with_capacity(conds.len() + tail.len());
        for cond in conds {
            self.cond(cond, family, &mut statements);
        }
        statements.extend(tail);
        self.push_rule(chain, statements, label);
    }

    fn offload(&mut self, forward: ChainId, devices: &[String]) {
        let Some(offload) = &self.config.offload else { return };
        let of = |name: &String| {
            let value = Value::name(name);
            offload
                .zones
                .iter()
                .any(|zone| self.names_of(*zone).iter().any(|(first, last)| *first <= value && value <= *last))
        };
        let mut present: Vec<String> = devices.iter().filter(|name| of(name)).cloned().collect();
        present.sort_unstable();
        present.dedup();
        if present.is_empty() {
            // Without any interface nobody asked the kernel which there are: a section is planned.
            if !devices.is_empty() {
                self.diagnostics.warning(offload.span, "no interface of these zones is there: no flow is offloaded");
            }
            return;
        }
        let incoming = self.of_zones(Selector::InputInterface, offload.zones.iter().copied());
        let outgoing = self.of_zones(Selector::OutputInterface, offload.zones.iter().copied());
        let protocols = [TCP, UDP].map(|number| (Value::byte(number), Value::byte(number)));
        let mut conds: Vec<Cond> = incoming.into_iter().chain(outgoing).collect();
        conds.extend(ranged(Selector::Protocol, protocols.to_vec(), false));
        conds.push(Cond::Other(Statement::Match(Selector::CtState, Test::Any(ct::ESTABLISHED.to_be_bytes().to_vec()))));
        self.default_rule(forward, &conds, vec![Statement::Offload], "offload");
        self.flowtable = Some(Flowtable { devices: present, hardware: offload.hardware, span: offload.span });
    }

    fn segment_sizes(&mut self, chain: ChainId) {
        let mut sizes: Vec<(MssClamp, Vec<usize>)> = Vec::new();
        for (index, zone) in self.config.zones.iter().enumerate() {
            match sizes.iter_mut().find(|(size, _)| *size == zone.mss_clamp) {
                Some((_, zones)) => zones.push(index),
                None => sizes.push((zone.mss_clamp, vec![index])),
            }
        }
        let syn = Test::Masked { mask: vec![SYN_OF_SYN_RST.mask], value: vec![SYN_OF_SYN_RST.value], invert: false };
        for (size, zones) in sizes {
            let bytes = match size {
                MssClamp::Off => continue,
                MssClamp::PathMtu => None,
                MssClamp::Bytes(bytes) => Some(bytes),
            };
            for selector in [Selector::InputInterface, Selector::OutputInterface] {
                let Some(names) = self.of_zones(selector, zones.iter().copied()) else { continue };
                let flags = Cond::Other(Statement::Match(Selector::TcpFlags, syn.clone()));
                let conds = [is(Selector::Protocol, TCP), flags, names];
                self.default_rule(chain, &conds, vec![Statement::ClampMss(bytes)], "maximum segment size of a zone");
            }
        }
    }
}

//! The section to the ruleset: zones and their pairs, rules, defaults, translation, as chains, sets and verdict maps.
//!
//! Pure: the same section, files and interfaces give the same ruleset, to the last name. What a packet costs does not grow
//! with the number of rules where it can be helped: states of connections, pairs of zones and runs of like rules are looked
//! up in verdict maps (`fold`, of a `run` of the `line`s that a chain is made of; `alone` are those that do not). `matches` says what packets, `rules` what is done
//! with them, `hooks` which chains there are, `pairs` what applies between zones, `defaults` what needs no rule, `spoof` and
//! `nat` the rest.
//!
//! Where it decides what the section leaves open:
//! - A rule "*" covers this machine too; a policy "*" does not ([`crate::config::End::Any`]).
//! - Connection tracking knows nothing of ICMPv6 141, 142, 144 to 147, 148, 149, 151 to 153 and calls them invalid; those
//!   that RFC 4890 lets pass (sections 4.3.2, 4.4.1) are kept from being dropped for it. Inverse neighbour discovery (141,
//!   142) is local traffic that must pass (section 4.4.1). Redirects are dropped although they belong to connections.
//! - RFC 6092 also names the mobility header (REC-28); it passes with IPsec and HIP.
//! - Masquerading is of IPv4 unless the rule is about IPv6: IPv6 needs none.
//! - A zone with networks of one family only has no sources of the other; that is warned of.
//! - Sources are checked by route last of all, and one that has none may still be link-local or unspecified (RFC 4862).

mod alone;
mod check;
mod defaults;
mod ends;
mod fields;
mod fold;
mod hooks;
mod keys;
mod line;
mod matches;
mod nat;
mod pairs;
mod rules;
mod run;
mod sets;
mod spoof;
mod value;
mod zones;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portreeve_config::{Diagnostic, Diagnostics, Span};

use crate::config::{Config, Reject, SetElement};
use crate::ruleset::{Base, Chain, ChainId, CounterId, Label, Rule, Ruleset, Set, SetId, Statement};

/// RTN_LOCAL (linux/rtnetlink.h): an address of this machine.
const RTN_LOCAL: u32 = 2;
/// The loopback interface's name.
const LOOPBACK: &str = "lo";

/// How it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rules in a row that differ in single values become verdict maps. Without it every rule is asked by itself: the
    /// same, slower.
    pub fold: bool,
    /// How fragments are put together where no rule asks of connections.
    pub whole: Whole,
}

/// How the kernel is made to put fragments together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whole {
    /// As for a transparent proxy: costs packets next to nothing, and needs the kernel's nft_tproxy.
    #[default]
    Proxy,
    /// As for connection tracking, which sees every packet then.
    Tracking,
}

impl Default for Options {
    fn default() -> Self {
        Self { fold: true, whole: Whole::default() }
    }
}

/// Compiles the section. `files` are the parsed contents of the sets' files by the path that the section has; `devices`
/// the interfaces that are there, of which the flowtable takes those of its zones.
///
/// # Errors
/// All that is wrong at once: chains that lead into themselves or too deep, sets too large or of the wrong kind. What is
/// legal but slow or without effect is a warning beside the ruleset.
pub fn compile(
    config: &Config,
    files: &BTreeMap<String, Vec<SetElement>>,
    devices: &[String],
    options: Options,
) -> Result<(Ruleset, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut compiler = Compiler::new(config, options);
    if compiler.cycles() {
        return Err(compiler.diagnostics.into_vec());
    }
    compiler.named_sets(files);
    compiler.zone_names();
    compiler.rule_counters();
    compiler.hooks(devices);
    compiler.depth();
    if compiler.diagnostics.has_errors() {
        return Err(compiler.diagnostics.into_vec());
    }
    let Compiler { diagnostics, counters, sets, chains, flowtable, .. } = compiler;
    Ok((Ruleset { counters, sets, chains, flowtable }, diagnostics.into_vec()))
}

/// What is made so far.
struct Compiler<'a> {
    config: &'a Config,
    options: Options,
    diagnostics: Diagnostics,
    counters: Vec<String>,
    counter_ids: BTreeMap<String, CounterId>,
    sets: Vec<Set>,
    chains: Vec<Chain>,
    flowtable: Option<crate::ruleset::Flowtable>,
    /// By index of [`Config::sets`].
    named: Vec<sets::Named>,
    /// Sets of lists, by hash of their content.
    anonymous: HashMap<u64, Vec<SetId>, value::BuildStable>,
    /// Of chains, sets and counters; those that are taken.
    names: BTreeSet<String>,
    /// The next number behind a name that was asked for again.
    repeated: BTreeMap<String, u32>,
    rejects: Vec<(Reject, ChainId)>,
    related: Option<ChainId>,
    /// Chains for what nothing was decided about.
    ends: BTreeMap<ends::Last, ChainId>,
    unroutable: Option<ChainId>,
    /// RFC 3964's checks, once a zone wants them.
    embedded: Option<ChainId>,
    /// By index of [`Config::zones`].
    zones: Vec<zones::Names>,
    /// By index of [`Config::chains`].
    users: Vec<ChainId>,
    /// How many chains, from the first, are base chains.
    bases: usize,
}

impl<'a> Compiler<'a> {
    fn new(config: &'a Config, options: Options) -> Self {
        Self {
            config,
            options,
            diagnostics: Diagnostics::new(),
            counters: Vec::new(),
            counter_ids: BTreeMap::new(),
            sets: Vec::new(),
            chains: Vec::new(),
            flowtable: None,
            named: Vec::new(),
            anonymous: HashMap::default(),
            names: BTreeSet::new(),
            repeated: BTreeMap::new(),
            rejects: Vec::new(),
            related: None,
            ends: BTreeMap::new(),
            unroutable: None,
            embedded: None,
            zones: Vec::new(),
            users: Vec::new(),
            bases: 0,
        }
    }
}

impl Compiler<'_> {
    fn push_chain(&mut self, name: String, base: Option<Base>, span: Span) -> ChainId {
        self.chains.push(Chain { name, base, rules: Vec::new(), span });
        self.chains.len() - 1
    }

    fn push(&mut self, chain: ChainId, rule: Rule) {
        if let Some(chain) = self.chains.get_mut(chain) {
            chain.rules.push(rule);
        }
    }

    /// A rule that is part of a default.
    fn push_rule(&mut self, chain: ChainId, statements: Vec<Statement>, label: &'static str) {
        self.push(chain, Rule { statements, label: Label::Default(label), span: Span::default() });
    }

    fn chain_name(&self, chain: ChainId) -> &str {
        self.chains.get(chain).map_or("", |chain| &chain.name)
    }

    fn user_chain(&self, index: usize) -> Option<ChainId> {
        self.users.get(index).copied()
    }

    /// The counter of this name, the same for all that ask for it.
    fn counter(&mut self, name: &str) -> CounterId {
        if let Some(id) = self.counter_ids.get(name) {
            return *id;
        }
        let id = self.counters.len();
        self.counters.push(name.to_owned());
        self.counter_ids.insert(name.to_owned(), id);
        id
    }
}

//! The transactions from what is there to what shall be: new sets are made ready, the rules are switched, what is unused goes.
//!
//! One transaction would do for the rules: the kernel has a packet see either the old ones or the new. Sets are another
//! matter. A new set of ranges is filled after the new rules are in force, and a packet that is still among the old rules
//! finds a set that is going empty already (both seen on 6.18 as lost packets). So sets have their fingerprint in their
//! name ([`stamp`]), and another content is another set: it is whole before a rule asks it, and goes when none does.
//!
//! What is left alone: chains that are there as they shall be (a base chain gets its policy, which is valid from the moment
//! the rules are), counters with their values, sets and maps of the same name and fingerprint, dynamic ones with what
//! packets added. Rules are all written anew. Where there is no table yet, one transaction makes all of it.

use std::collections::BTreeSet;

use portreeve_config::{Diagnostic, Severity, Span};
use portreeve_nftables::{
    BaseChain, Batch, DeleteChain, DeleteFlowtable, DeleteObject, DeleteRule, DeleteSet, DeleteTable, Endian,
    Expression, Family, NewChain, NewFlowtable, NewObject, NewRule, NewTable, Object,
    constants::{
        NF_INET_FORWARD, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING, NF_INET_PRE_ROUTING,
        NFT_FLOWTABLE_HW_OFFLOAD, NFT_OBJECT_COUNTER, NLM_F_ACK, NLM_F_EXCL,
    },
};

use super::{
    COMMENT, FLOWTABLE, TABLE, answer,
    existing::Existing,
    fingerprint, set,
    statement::{rule, shortened},
};
use crate::ruleset::{Base, ChainKind, Flowtable, HookPoint, Label, Ruleset, Set, Statement};

/// Bytes of a set's name before its fingerprint: the kernel takes 255 in all.
const MAX_SET_NAME: usize = 200;
/// About what a rule takes without its statements, and what one of these does.
const RULE_BYTES: usize = 64;
const STATEMENT_BYTES: usize = 88;
/// Bytes of a rule's comment (nft shows no more).
const MAX_COMMENT: usize = 127;

/// Transactions, and what each of their messages is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// To be sent one after the other: BEGIN … END, which asks for an acknowledgement. Each is bound to the generation that
    /// the one before makes.
    pub stages: Vec<Vec<u8>>,
    /// Which of them puts the rules in force. Those before change nothing, those behind only remove what is unused.
    pub switch: usize,
    /// By sequence number, over all of them; the first has 1.
    pub(super) origins: Vec<Origin>,
    pub(super) endian: Endian,
    /// Sets and maps that stay as they are, by name.
    pub kept: Vec<String>,
}

/// What a message is for; chains, sets and rules by their indexes in the ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Begin,
    Table,
    /// Of something by this name that was there.
    Removal(String),
    Counter(usize),
    Flowtable,
    Chain(usize),
    /// A chain that the ruleset has not, see `answer`.
    Answer,
    Set(usize),
    Elements {
        set: usize,
        /// Number of the first, as the crate counts them.
        first: usize,
    },
    Rule {
        chain: usize,
        rule: usize,
    },
    End,
}

/// Why there is no transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The table is there, and somebody else made it.
    Foreign,
    /// Something is longer than netlink can say.
    TooLong {
        /// Where it is in the section.
        span: Span,
        /// What it is.
        what: String,
    },
}

impl Refusal {
    /// For people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let (span, hint) = match self {
            Self::Foreign => {
                (Span::default(), Some(format!("see `nft list table inet {TABLE}`, and delete it if nobody needs it")))
            }
            Self::TooLong { span, .. } => (*span, None),
        };
        Diagnostic { severity: Severity::Error, span, message: self.to_string(), hint }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Foreign => write!(f, "there is a table `inet {TABLE}` already that portreeve did not make"),
            Self::TooLong { what, .. } => write!(f, "{what} is longer than a message to the kernel may be"),
        }
    }
}

impl core::error::Error for Refusal {}

impl Built {
    /// What the message with this sequence number is for.
    pub(super) fn origin(&self, sequence: u32) -> Option<&Origin> {
        self.origins.get(usize::try_from(sequence).ok()?.checked_sub(1)?)
    }

    /// Bytes of all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stages.iter().map(Vec::len).sum()
    }

    /// Never: there is always a switch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sequence number of the last END, which the kernel acknowledges (before 6.10 it does not).
    #[must_use]
    pub fn last_sequence(&self) -> u32 {
        u32::try_from(self.origins.len()).unwrap_or(u32::MAX)
    }
}

/// Puts fingerprints into the names of sets, so that what has another content has another name. To be done once, before
/// [`batch`], [`explain`](super::explain) or anything else is asked about sets in the kernel.
pub fn stamp(ruleset: &mut Ruleset) {
    let stamps: Vec<String> = fingerprints(ruleset).iter().map(fingerprint::Fingerprint::short).collect();
    for (set, stamp) in ruleset.sets.iter_mut().zip(stamps) {
        set.name = format!("{}-{stamp}", shortened(&set.name, MAX_SET_NAME));
    }
}

/// Brings the table from `existing` to `ruleset`. With a generation the kernel refuses if its rules changed since.
///
/// # Errors
/// See [`Refusal`].
pub fn batch(
    ruleset: &Ruleset,
    existing: &Existing,
    generation: Option<u32>,
    endian: Endian,
) -> Result<Built, Refusal> {
    if existing.is_foreign() {
        return Err(Refusal::Foreign);
    }
    let mut writer = Writer { batch: Batch::new(endian), origins: Vec::new(), ruleset, existing, stages: Vec::new() };
    let answers = answer::needed(ruleset);
    let chains = writer.chains_to_keep(&answers);
    let prints: Vec<String> = fingerprints(ruleset).iter().map(ToString::to_string).collect();
    let there = |(set, print): (&Set, &String)| {
        existing.sets.get(&set.name).is_some_and(|comment| comment.as_deref() == Some(print.as_str()))
    };
    let keeps: Vec<bool> = ruleset.sets.iter().zip(&prints).map(there).collect();
    let flowtable_stays =
        ruleset.flowtable.as_ref().is_some_and(|table| existing.has_flowtable(&table.devices, flags(table)));
    let ahead = writer.can_prepare(&chains, &keeps);
    if ahead {
        writer.begin(generation);
        writer.add_plain_chains(&chains, &answers);
        writer.add_sets(&keeps, &prints);
        writer.end()?;
    }
    let switch = writer.stages.len();
    writer.begin(generation);
    let new = if existing.is_present() { 0 } else { NLM_F_EXCL };
    writer.push(&NewTable { family: Family::Inet, name: TABLE, flags: 0, comment: Some(COMMENT) }, new, Origin::Table);
    if existing.is_present() {
        writer.remove_rules(&chains, &keeps, flowtable_stays, ahead);
    }
    writer.add_objects(flowtable_stays);
    writer.add_base_chains(&chains);
    if !ahead {
        writer.add_plain_chains(&chains, &answers);
        writer.add_sets(&keeps, &prints);
    }
    writer.add_rules(&answers);
    writer.end()?;
    if writer.has_unused(&chains, &keeps, ahead) {
        writer.begin(generation);
        writer.remove_unused(&chains, &keeps, ahead);
        writer.end()?;
    }
    let Writer { origins, stages, .. } = writer;
    let kept = ruleset.sets.iter().zip(&keeps).filter(|(_, keep)| **keep).map(|(set, _)| set.name.clone()).collect();
    Ok(Built { stages, switch, origins, endian, kept })
}

/// Takes the table away, with all that is in it; ENOENT if it is not there.
#[must_use]
pub fn remove(endian: Endian) -> Vec<u8> {
    let mut batch = Batch::new(endian);
    batch.begin(None);
    batch.push(&DeleteTable { family: Family::Inet, name: TABLE }, 0);
    batch.end(NLM_F_ACK);
    batch.bytes().to_vec()
}

const fn flags(table: &Flowtable) -> u32 {
    if table.hardware { NFT_FLOWTABLE_HW_OFFLOAD } else { 0 }
}

const fn hook(point: HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting => NF_INET_PRE_ROUTING,
        HookPoint::Input => NF_INET_LOCAL_IN,
        HookPoint::Forward => NF_INET_FORWARD,
        HookPoint::Output => NF_INET_LOCAL_OUT,
        HookPoint::Postrouting => NF_INET_POST_ROUTING,
    }
}

const fn kind(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    }
}

/// Fingerprints of the sets.
fn fingerprints(ruleset: &Ruleset) -> Vec<fingerprint::Fingerprint> {
    let rules = ruleset.chains.iter().flat_map(|chain| &chain.rules);
    let keeping: Vec<&Statement> = rules
        .flat_map(|rule| &rule.statements)
        .filter(|statement| matches!(statement, Statement::LimitEach { .. } | Statement::ConnectionsEach { .. }))
        .collect();
    let none: &[&Statement] = &[];
    let print = |(id, set): (usize, &Set)| {
        let rules = if set.stateful { keeping.as_slice() } else { none };
        fingerprint::of(ruleset, id, set, rules)
    };
    ruleset.sets.iter().enumerate().map(print).collect()
}

/// See [`Writer::unused`].
struct Unused<'a> {
    sets: Vec<&'a str>,
    chains: Vec<&'a str>,
    objects: Vec<(&'a str, u32)>,
}

struct Writer<'a> {
    batch: Batch,
    origins: Vec<Origin>,
    ruleset: &'a Ruleset,
    existing: &'a Existing,
    stages: Vec<Vec<u8>>,
}

impl<'a> Writer<'a> {
    fn push(&mut self, message: &impl portreeve_nftables::Encode, flags: u16, origin: Origin) {
        self.batch.push(message, flags);
        self.origins.push(origin);
    }

    /// Begins the next transaction; each that goes before makes a generation.
    fn begin(&mut self, generation: Option<u32>) {
        let before = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
        self.batch.begin(generation.map(|generation| generation.wrapping_add(before)));
        self.origins.push(Origin::Begin);
    }

    fn end(&mut self) -> Result<(), Refusal> {
        self.batch.end(NLM_F_ACK);
        self.origins.push(Origin::End);
        let next = Batch::starting_at(self.batch.endian(), self.batch.sequence());
        let bytes = core::mem::replace(&mut self.batch, next).into_bytes().map_err(|oversized| {
            let index = usize::try_from(oversized.sequence).unwrap_or(usize::MAX).saturating_sub(1);
            let origin = self.origins.get(index).unwrap_or(&Origin::Begin);
            Refusal::TooLong { span: origin.span(self.ruleset), what: origin.describe(self.ruleset) }
        })?;
        self.stages.push(bytes);
        Ok(())
    }

    /// Names of chains that are there as they shall be.
    fn chains_to_keep(&self, answers: &[crate::config::Reject]) -> BTreeSet<&'a str> {
        let same = |name: &str, base: Option<Base>| match (self.existing.chains.get(name), base) {
            (Some(None), None) => true,
            (Some(Some((there, priority, what))), Some(base)) => {
                *there == hook(base.hook) && *priority == base.priority && what == kind(base.kind)
            }
            _ => false,
        };
        let chains = self.ruleset.chains.iter().map(|chain| (chain.name.as_str(), chain.base));
        let answers = answers.iter().map(|reject| (answer::chain(*reject), None));
        chains.chain(answers).filter(|(name, base)| same(name, *base)).map(|(name, _)| name).collect()
    }

    /// Whether new sets can be made ready beside the old rules: nothing that they need has a name that is taken.
    fn can_prepare(&self, chains: &BTreeSet<&str>, keeps: &[bool]) -> bool {
        let taken = |name: &str| self.existing.chains.contains_key(name) && !chains.contains(name);
        let mut new = self.ruleset.sets.iter().zip(keeps).filter(|(_, keep)| !**keep).map(|(set, _)| set).peekable();
        self.existing.is_present()
            && new.peek().is_some()
            && !new.any(|set| self.existing.sets.contains_key(&set.name))
            && !self.ruleset.chains.iter().any(|chain| taken(&chain.name))
    }

    /// Names of sets that stay.
    fn kept_sets(&self, keeps: &[bool]) -> BTreeSet<&'a str> {
        let ruleset = self.ruleset;
        ruleset.sets.iter().zip(keeps).filter(|(_, keep)| **keep).map(|(set, _)| set.name.as_str()).collect()
    }

    /// What the switch takes away: the rules, base chains that are not wanted, and whatever stands in the way of a name.
    fn remove_rules(&mut self, chains: &BTreeSet<&str>, keeps: &[bool], flowtable_stays: bool, ahead: bool) {
        let (family, table) = (Family::Inet, TABLE);
        let existing = self.existing;
        if !existing.chains.is_empty() {
            let rules = Origin::Removal("the rules".to_owned());
            self.push(&DeleteRule { family, table, chain: None, handle: None }, 0, rules);
        }
        let wanted: BTreeSet<&str> = self.ruleset.sets.iter().map(|set| set.name.as_str()).collect();
        let kept = self.kept_sets(keeps);
        let in_the_way = |name: &str| !ahead && wanted.contains(name) && !kept.contains(name);
        for name in existing.sets.keys().filter(|name| in_the_way(name)) {
            self.push(&DeleteSet { family, table, name }, 0, Origin::Removal(format!("the set `{name}`")));
        }
        let names: BTreeSet<&str> = self.ruleset.chains.iter().map(|chain| chain.name.as_str()).collect();
        for (name, base) in existing.chains.iter().filter(|(name, _)| !chains.contains(name.as_str())) {
            if base.is_some() || names.contains(name.as_str()) {
                self.push(&DeleteChain { family, table, name }, 0, Origin::Removal(format!("the chain `{name}`")));
            }
        }
        for name in existing.flowtables.keys().filter(|name| !(flowtable_stays && *name == FLOWTABLE)) {
            self.push(&DeleteFlowtable { family, table, name }, 0, Origin::Removal(format!("the flowtable `{name}`")));
        }
    }

    /// Sets, chains and objects that no rule uses any more.
    fn unused(&self, chains: &BTreeSet<&str>, keeps: &[bool], ahead: bool) -> Unused<'a> {
        let (existing, ruleset) = (self.existing, self.ruleset);
        let kept = self.kept_sets(keeps);
        let wanted: BTreeSet<&str> = ruleset.sets.iter().map(|set| set.name.as_str()).collect();
        let names: BTreeSet<&str> = ruleset.chains.iter().map(|chain| chain.name.as_str()).collect();
        let counters: BTreeSet<&str> = ruleset.counters.iter().map(String::as_str).collect();
        // What stood in the way of a name is gone already.
        let gone = |name: &str| !ahead && wanted.contains(name);
        let sets = existing.sets.keys().map(String::as_str);
        let plain = existing.chains.iter().filter(|(_, base)| base.is_none()).map(|(name, _)| name.as_str());
        let old = existing.counters.iter().map(|name| (name.as_str(), NFT_OBJECT_COUNTER));
        let others = existing.objects.iter().map(|(name, kind)| (name.as_str(), *kind));
        Unused {
            sets: sets.filter(|name| !kept.contains(name) && !gone(name)).collect(),
            chains: plain.filter(|name| !chains.contains(name) && !names.contains(name)).collect(),
            objects: old.filter(|(name, _)| !counters.contains(name)).chain(others).collect(),
        }
    }

    fn has_unused(&self, chains: &BTreeSet<&str>, keeps: &[bool], ahead: bool) -> bool {
        let Unused { sets, chains, objects } = self.unused(chains, keeps, ahead);
        !(sets.is_empty() && chains.is_empty() && objects.is_empty())
    }

    fn remove_unused(&mut self, chains: &BTreeSet<&str>, keeps: &[bool], ahead: bool) {
        let (family, table) = (Family::Inet, TABLE);
        let Unused { sets, chains, objects } = self.unused(chains, keeps, ahead);
        for name in sets {
            self.push(&DeleteSet { family, table, name }, 0, Origin::Removal(format!("the set `{name}`")));
        }
        for name in chains {
            self.push(&DeleteChain { family, table, name }, 0, Origin::Removal(format!("the chain `{name}`")));
        }
        for (name, kind) in objects {
            let what = Origin::Removal(format!("the counter `{name}`"));
            self.push(&DeleteObject { family, table, name, kind }, 0, what);
        }
    }

    fn add_objects(&mut self, flowtable_stays: bool) {
        let (family, table, ruleset) = (Family::Inet, TABLE, self.ruleset);
        for (index, name) in ruleset.counters.iter().enumerate() {
            if !self.existing.counters.contains(name) {
                let object = Object::Counter { packets: 0, bytes: 0 };
                self.push(
                    &NewObject { family, table, name, object, comment: None },
                    NLM_F_EXCL,
                    Origin::Counter(index),
                );
            }
        }
        if let Some(wanted) = ruleset.flowtable.as_ref().filter(|_| !flowtable_stays) {
            let devices: Vec<&str> = wanted.devices.iter().map(String::as_str).collect();
            let (name, flags) = (FLOWTABLE, flags(wanted));
            let new = NewFlowtable { family, table, name, priority: 0, devices: &devices, flags };
            self.push(&new, NLM_F_EXCL, Origin::Flowtable);
        }
    }

    /// Base chains, which take effect: with the rules.
    fn add_base_chains(&mut self, kept: &BTreeSet<&str>) {
        let (family, table) = (Family::Inet, TABLE);
        for (index, chain) in self.ruleset.chains.iter().enumerate() {
            let Some(base) = chain.base else { continue };
            let stays = kept.contains(chain.name.as_str());
            let base = BaseChain {
                hook: hook(base.hook),
                priority: base.priority,
                kind: kind(base.kind),
                accept: Some(base.accept),
                devices: &[],
            };
            let new = NewChain { family, table, name: &chain.name, base: Some(base), comment: None };
            self.push(&new, if stays { 0 } else { NLM_F_EXCL }, Origin::Chain(index));
        }
    }

    /// The others, that maps and rules lead to.
    fn add_plain_chains(&mut self, kept: &BTreeSet<&str>, answers: &[crate::config::Reject]) {
        let (family, table) = (Family::Inet, TABLE);
        let chain = |name| NewChain { family, table, name, base: None, comment: None };
        for (index, wanted) in self.ruleset.chains.iter().enumerate() {
            if wanted.base.is_none() && !kept.contains(wanted.name.as_str()) {
                self.push(&chain(&wanted.name), NLM_F_EXCL, Origin::Chain(index));
            }
        }
        for name in answers.iter().map(|reject| answer::chain(*reject)).filter(|name| !kept.contains(name)) {
            self.push(&chain(name), NLM_F_EXCL, Origin::Answer);
        }
    }

    fn add_sets(&mut self, keeps: &[bool], prints: &[String]) {
        let ruleset = self.ruleset;
        for (id, ((wanted, keep), print)) in ruleset.sets.iter().zip(keeps).zip(prints).enumerate() {
            if *keep {
                continue;
            }
            set::declare(&mut self.batch, id, wanted, print);
            self.origins.push(Origin::Set(id));
            for part in set::fill(&mut self.batch, ruleset, wanted) {
                self.origins.push(Origin::Elements { set: id, first: part.first });
            }
        }
    }

    fn add_rules(&mut self, answers: &[crate::config::Reject]) {
        let (ruleset, endian) = (self.ruleset, self.batch.endian());
        let rules = ruleset.chains.iter().flat_map(|chain| &chain.rules);
        self.batch.reserve(rules.map(|rule| RULE_BYTES + STATEMENT_BYTES * rule.statements.len()).sum());
        for (index, chain) in ruleset.chains.iter().enumerate() {
            for (number, wanted) in chain.rules.iter().enumerate() {
                let comment = match &wanted.label {
                    Label::Named(name) => Some(shortened(name, MAX_COMMENT)),
                    Label::Default(text) => Some(shortened(text, MAX_COMMENT)),
                    Label::Section => None,
                };
                let expressions = rule(ruleset, endian, wanted);
                self.rule(&chain.name, &expressions, comment, Origin::Rule { chain: index, rule: number });
            }
        }
        for reject in answers {
            for expressions in answer::rules(*reject) {
                self.rule(answer::chain(*reject), &expressions, None, Origin::Answer);
            }
        }
    }

    fn rule(&mut self, chain: &str, expressions: &[Expression<'_>], comment: Option<&str>, origin: Origin) {
        let (family, table) = (Family::Inet, TABLE);
        self.push(&NewRule { family, table, chain, expressions, comment, handle: None, position: None }, 0, origin);
    }
}

//! The one transaction from what is there to what shall be.
//!
//! First goes what is not wanted any more, then comes what is new, so that nothing is referred to that is not there: rules,
//! then sets (verdict maps refer to chains), chains, flowtables, counters; and the other way round. What is left alone:
//! chains that are there as they shall be (a base chain gets its policy, which is valid from the moment the rules are),
//! counters with their values, sets and maps whose fingerprint is in their comment, dynamic ones with what packets
//! added. Rules are all written anew.

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
use crate::ruleset::{Base, ChainKind, Flowtable, HookPoint, Label, Ruleset, Statement};

/// Bytes of a rule's comment (nft shows no more).
const MAX_COMMENT: usize = 127;

/// A transaction, and what each of its messages is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// To be sent at once: BEGIN … END, which asks for an acknowledgement.
    pub bytes: Vec<u8>,
    /// By sequence number; the first has 1.
    pub(super) origins: Vec<Origin>,
    pub(super) endian: Endian,
    end: usize,
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
    /// The same without END: the kernel checks it and forgets it.
    #[must_use]
    pub fn check(&self) -> &[u8] {
        self.bytes.get(..self.end).unwrap_or(&self.bytes)
    }

    /// Sequence number of END, which the kernel acknowledges (before 6.10 it does not).
    #[must_use]
    pub fn last_sequence(&self) -> u32 {
        u32::try_from(self.origins.len()).unwrap_or(u32::MAX)
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
    let mut writer = Writer { batch: Batch::new(endian), origins: Vec::new(), ruleset, existing };
    writer.batch.begin(generation);
    writer.origins.push(Origin::Begin);
    writer.push(
        &NewTable { family: Family::Inet, name: TABLE, flags: 0, comment: Some(COMMENT) },
        if existing.is_present() { 0 } else { NLM_F_EXCL },
        Origin::Table,
    );
    let answers = answer::needed(ruleset);
    let chains = writer.chains_to_keep(&answers);
    let prints = writer.fingerprints();
    let keeps: Vec<bool> = ruleset
        .sets
        .iter()
        .zip(&prints)
        .map(|(set, print)| existing.sets.get(&set.name).is_some_and(|there| there.as_deref() == Some(print.as_str())))
        .collect();
    let flowtable_stays =
        ruleset.flowtable.as_ref().is_some_and(|table| existing.has_flowtable(&table.devices, flags(table)));
    if existing.is_present() {
        writer.remove(&chains, &keeps, flowtable_stays);
    }
    writer.add_objects(flowtable_stays);
    writer.add_chains(&chains, &answers);
    writer.add_sets(&keeps, &prints);
    writer.add_rules(&answers);
    let end = writer.batch.bytes().len();
    writer.batch.end(NLM_F_ACK);
    writer.origins.push(Origin::End);
    let Writer { batch, origins, .. } = writer;
    let bytes = batch.into_bytes().map_err(|oversized| {
        let index = usize::try_from(oversized.sequence).unwrap_or(usize::MAX).saturating_sub(1);
        let origin = origins.get(index).unwrap_or(&Origin::Begin);
        Refusal::TooLong { span: origin.span(ruleset), what: origin.describe(ruleset) }
    })?;
    let kept = ruleset.sets.iter().zip(&keeps).filter(|(_, keep)| **keep).map(|(set, _)| set.name.clone()).collect();
    Ok(Built { bytes, origins, endian, end, kept })
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

struct Writer<'a> {
    batch: Batch,
    origins: Vec<Origin>,
    ruleset: &'a Ruleset,
    existing: &'a Existing,
}

impl<'a> Writer<'a> {
    fn push(&mut self, message: &impl portreeve_nftables::Encode, flags: u16, origin: Origin) {
        self.batch.push(message, flags);
        self.origins.push(origin);
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

    /// Comments of the sets.
    fn fingerprints(&self) -> Vec<String> {
        let rules = self.ruleset.chains.iter().flat_map(|chain| &chain.rules);
        let keeping: Vec<&Statement> = rules
            .flat_map(|rule| &rule.statements)
            .filter(|statement| matches!(statement, Statement::LimitEach { .. } | Statement::ConnectionsEach { .. }))
            .collect();
        let sets = self.ruleset.sets.iter().enumerate();
        let none: &[&Statement] = &[];
        sets.map(|(id, set)| {
            let rules = if set.stateful { &keeping } else { none };
            fingerprint::of(self.ruleset, id, set, rules).to_string()
        })
        .collect()
    }

    fn remove(&mut self, chains: &BTreeSet<&str>, keeps: &[bool], flowtable_stays: bool) {
        let (family, table) = (Family::Inet, TABLE);
        let existing = self.existing;
        if !existing.chains.is_empty() {
            self.push(
                &DeleteRule { family, table, chain: None, handle: None },
                0,
                Origin::Removal("the rules".to_owned()),
            );
        }
        let kept: BTreeSet<&str> =
            self.ruleset.sets.iter().zip(keeps).filter(|(_, keep)| **keep).map(|(set, _)| set.name.as_str()).collect();
        for name in existing.sets.keys().filter(|name| !kept.contains(name.as_str())) {
            self.push(&DeleteSet { family, table, name }, 0, Origin::Removal(format!("the set `{name}`")));
        }
        for name in existing.chains.keys().filter(|name| !chains.contains(name.as_str())) {
            self.push(&DeleteChain { family, table, name }, 0, Origin::Removal(format!("the chain `{name}`")));
        }
        for name in existing.flowtables.keys().filter(|name| !(flowtable_stays && *name == FLOWTABLE)) {
            self.push(&DeleteFlowtable { family, table, name }, 0, Origin::Removal(format!("the flowtable `{name}`")));
        }
        let wanted: BTreeSet<&str> = self.ruleset.counters.iter().map(String::as_str).collect();
        let counters = existing.counters.iter().filter(|name| !wanted.contains(name.as_str()));
        let counters = counters.map(|name| (name, NFT_OBJECT_COUNTER));
        for (name, kind) in counters.chain(existing.objects.iter().map(|(name, kind)| (name, *kind))) {
            self.push(&DeleteObject { family, table, name, kind }, 0, Origin::Removal(format!("the counter `{name}`")));
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

    fn add_chains(&mut self, kept: &BTreeSet<&str>, answers: &[crate::config::Reject]) {
        let (family, table) = (Family::Inet, TABLE);
        for (index, chain) in self.ruleset.chains.iter().enumerate() {
            let stays = kept.contains(chain.name.as_str());
            let base = chain.base.map(|base| BaseChain {
                hook: hook(base.hook),
                priority: base.priority,
                kind: kind(base.kind),
                accept: Some(base.accept),
                devices: &[],
            });
            if base.is_some() || !stays {
                let new = NewChain { family, table, name: &chain.name, base, comment: None };
                self.push(&new, if stays { 0 } else { NLM_F_EXCL }, Origin::Chain(index));
            }
        }
        for name in answers.iter().map(|reject| answer::chain(*reject)).filter(|name| !kept.contains(name)) {
            self.push(&NewChain { family, table, name, base: None, comment: None }, NLM_F_EXCL, Origin::Answer);
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
        for (index, chain) in ruleset.chains.iter().enumerate() {
            for (number, wanted) in chain.rules.iter().enumerate() {
                let comment = match &wanted.label {
                    Label::Named(name) => Some(shortened(name, MAX_COMMENT)),
                    Label::Default(text) => Some(shortened(text, MAX_COMMENT)),
                    Label::Section => None,
                };
                for expressions in rule(ruleset, endian, wanted) {
                    self.rule(&chain.name, &expressions, comment, Origin::Rule { chain: index, rule: number });
                }
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

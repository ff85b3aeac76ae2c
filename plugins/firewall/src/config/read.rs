//! Reads the section: what has a name first, then what refers to it.
//!
//! Reading never stops at a mistake.

use portreeve_config::{Diagnostics, Span, Value};

use super::context::{Context, Index};
use super::{
    Config, Conntrack, Defaults, End, Hook, NamedChain, Place, Policy, PolicyAction, across, defaults, leaf, nat, rule,
    sets, zones,
};

/// Policies of a section.
const MAX_POLICIES: usize = 1024;
/// Named chains of a section.
const MAX_CHAINS: usize = 4096;
const VERDICTS: [(&str, bool); 2] = [("Accept", true), ("Drop", false)];

/// Places that checks of the whole section need.
#[derive(Default)]
pub(super) struct Places {
    /// The first bracket of the section.
    pub(super) section: Span,
    /// Of `policy` of the hooks, where written.
    pub(super) input: Option<Span>,
    pub(super) forward: Option<Span>,
    /// Of `rfc4890`, or of `defaults`.
    pub(super) rfc4890: Option<Span>,
}

pub(super) fn section(text: &str, value: Value<'_>, d: &mut Diagnostics) -> Option<Config> {
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let start = value.span().start;
    let mut places = Places { section: Span::new(start, (start + 1).min(text.len())), ..Places::default() };
    let zones = f.take("zones").map(|v| zones::read(&v, d)).unwrap_or_default();
    let sets = f.take("sets").map(|v| sets::read(&v, d)).unwrap_or_default();
    let mut chains = f.take("chains").map(|v| v.entries(d)).unwrap_or_default();
    if let Some((name, _)) = chains.get(MAX_CHAINS) {
        d.error_with_hint(name.span, format!("there are more than the {MAX_CHAINS} chains that fit"), "write fewer");
        chains.truncate(MAX_CHAINS);
    }
    let defaults_value = f.take("defaults");
    let defaults = defaults_value.map_or_else(Defaults::default, |v| defaults::defaults(&v, d));
    places.rfc4890 = defaults_value.map(|v| v.span());
    let mut cx = Context {
        zones: Index::default(),
        set_names: Index::default(),
        sets,
        chains: Index::default(),
        log_rate: defaults.log_rate,
    };
    zones.iter().for_each(|zone| cx.zones.push(&zone.name));
    cx.sets.iter().for_each(|set| cx.set_names.push(&set.name));
    chains.iter().for_each(|(name, _)| cx.chains.push(&name.value));
    let policies = f.take("policies").map(|v| policies(&v, &cx, d)).unwrap_or_default();
    let rules = f.take("rules").map(|v| rule::rules(&v, Place::Rules, &cx, d)).unwrap_or_default();
    let (input, place) = hook(f.take("input"), Place::Input, false, &cx, d);
    places.input = place;
    let (forward, place) = hook(f.take("forward"), Place::Forward, false, &cx, d);
    places.forward = place;
    let (output, _) = hook(f.take("output"), Place::Output, true, &cx, d);
    let prerouting = f.take("prerouting").map(|v| rule::rules(&v, Place::Prerouting, &cx, d)).unwrap_or_default();
    let chains = chains
        .into_iter()
        .map(|(name, value)| {
            leaf::check_name(&name.value, name.span, "a chain", d);
            NamedChain { name: name.value, rules: rule::rules(&value, Place::Chain, &cx, d), span: name.span }
        })
        .collect();
    let nat = f.take("nat").map(|v| nat::read(&v, &cx, d)).unwrap_or_default();
    let offload = f.take("offload").and_then(|v| defaults::offload(&v, &cx, d));
    let conntrack = f.take("conntrack").map_or_else(Conntrack::default, |v| defaults::conntrack(&v, d));
    let guard = f.take("guard").and_then(|v| leaf::flag(&v, d)).unwrap_or(true);
    fields.finish(d);
    let config = Config {
        zones,
        policies,
        rules,
        input,
        forward,
        output,
        prerouting,
        chains,
        sets: cx.sets,
        nat,
        defaults,
        offload,
        conntrack,
        guard,
    };
    across::check(&config, &places, d);
    Some(config)
}

/// A hook and the place of its policy.
fn hook(
    value: Option<Value<'_>>,
    place: Place,
    accept: bool,
    cx: &Context,
    d: &mut Diagnostics,
) -> (Hook, Option<Span>) {
    let mut hook = Hook { accept, rules: Vec::new() };
    let Some(mut fields) = value.and_then(|v| v.fields(d)) else { return (hook, None) };
    let policy = fields.take("policy");
    hook.accept = policy.and_then(|v| leaf::word(&v, &VERDICTS, d)).unwrap_or(accept);
    hook.rules = fields.take("rules").map(|v| rule::rules(&v, place, cx, d)).unwrap_or_default();
    fields.finish(d);
    (hook, policy.map(|v| v.span()))
}

fn policies(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> Vec<Policy> {
    leaf::bounded(value, MAX_POLICIES, "policies", d).filter_map(|value| policy(&value, cx, d)).collect()
}

fn policy(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> Option<Policy> {
    let mut fields = value.fields(d)?;
    let from = fields.take("from").map_or(End::Any, |v| rule::end(&v, true, cx, d));
    let to = fields.take("to").map_or(End::Any, |v| rule::end(&v, true, cx, d));
    let action = fields.require("then", d).and_then(|v| match v.name().map(|name| name.value) {
        Some("Accept") if v.text() == "Accept" => Some(PolicyAction::Accept),
        Some("Drop") if v.text() == "Drop" => Some(PolicyAction::Drop),
        Some("Reject") => rule::reject(&v, d).map(PolicyAction::Reject),
        name => {
            let message = format!("`{}` is not what a policy does", super::address::shown(v.text()));
            leaf::unknown(v.span(), &message, name.unwrap_or(""), ["Accept", "Drop", "Reject"].into_iter(), d);
            None
        }
    });
    let called = || super::called::called("policy", value.text());
    let log = fields.take("log").and_then(|v| rule::log(&v, called, cx, d));
    fields.finish(d);
    Some(Policy { from, to, action: action?, log, span: value.span() })
}

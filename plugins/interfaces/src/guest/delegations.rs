//! Delegated prefixes as facts: those that this router was given, and the subnets that its interfaces have.

use std::rc::Rc;

use portreeve_sdk::facts::{self, Value, Watch};
use portreeve_sdk::network::{ip_prefix, prefix};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing};

use crate::engine::{Delegated, SubnetFact};
use crate::{Config, Instant};

/// Follows delegated prefixes from now on, if a pool waits for one.
pub fn follow(config: &Config, delegations: &mut Standing<Vec<facts::Fact>>) -> Result<(), Failure> {
    if delegations.is_set() || !config.follows_delegations() {
        return Ok(());
    }
    let failed = |code: ErrorCode| Failure::Other(format!("cannot follow delegated prefixes: {}", code.name()));
    let watch = Rc::new(Watch::open(&[facts::Kind::DelegatedPrefix]).map_err(failed)?);
    *delegations = Standing::new(move || {
        let watch = watch.clone();
        async move { watch.next().await }
    });
    Ok(())
}

/// A subnet as others are told of it.
pub fn published(fact: SubnetFact) -> Value {
    Value::DelegatedPrefix(facts::DelegatedPrefix {
        prefix: ip_prefix(fact.prefix),
        preferred_until: fact.preferred_until.map(Instant::nanos),
        valid_until: fact.valid_until.map(Instant::nanos),
        interface: Some(fact.interface),
    })
}

/// The prefixes that this router was given.
pub fn delegated(list: Vec<facts::Fact>) -> Vec<Delegated> {
    let one = |fact: facts::Fact| match fact.value {
        // One for a certain interface is a subnet already.
        Value::DelegatedPrefix(value) if value.interface.is_none() => Some(Delegated {
            publisher: fact.publisher,
            key: fact.key,
            prefix: prefix(value.prefix),
            preferred_until: value.preferred_until.map(Instant::from_nanos),
            valid_until: value.valid_until.map(Instant::from_nanos),
        }),
        _ => None,
    };
    list.into_iter().filter_map(one).collect()
}

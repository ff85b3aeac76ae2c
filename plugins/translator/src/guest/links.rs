//! Changes of links, addresses and facts at the host, as the engine takes them.

use std::rc::Rc;

use portreeve_network::Prefix;
use portreeve_sdk::facts::{self, Fact, Value};
use portreeve_sdk::links::{Change, Watch};
use portreeve_sdk::network::prefix;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing};

use super::now;
use crate::engine::Link;
use crate::{Config, Engine};

/// What is followed at the host.
#[derive(Default)]
pub struct Watches {
    pub links: Standing<Vec<Change>>,
    pub facts: Standing<Vec<Fact>>,
}

impl Watches {
    /// Follows from now on what the section needs; nothing else may be followed.
    pub fn follow(&mut self, config: &Config) -> Result<(), Failure> {
        let needs = config.needs();
        let has_links = !needs.devices.is_empty() || !needs.links.is_empty();
        if has_links && !self.links.is_set() {
            let failed = |code: ErrorCode| Failure::Other(format!("cannot follow links: {}", code.name()));
            let watch = Rc::new(Watch::open().map_err(failed)?);
            self.links = Standing::new(move || {
                let watch = watch.clone();
                async move { watch.next().await }
            });
        }
        if !needs.watches_prefix {
            self.facts = Standing::default();
        } else if !self.facts.is_set() {
            let failed = |code: ErrorCode| Failure::Other(format!("cannot follow facts: {}", code.name()));
            let watch = Rc::new(facts::Watch::open(&[facts::Kind::Nat64Prefix]).map_err(failed)?);
            self.facts = Standing::new(move || {
                let watch = watch.clone();
                async move { watch.next().await }
            });
        }
        Ok(())
    }
}

pub fn apply(changes: Vec<Change>, engine: &mut Engine) {
    for change in changes {
        match change {
            Change::Link(link) => {
                let kind = link.kind.unwrap_or_default();
                engine.handle_link(Link { index: link.index, name: link.name, kind, up: link.up }, now());
            }
            Change::LinkGone(index) => engine.handle_link_gone(index, now()),
            Change::Address(address) => {
                let usable = !(address.tentative || address.duplicate || address.deprecated);
                engine.handle_address(address.index, prefix(address.address), usable, now());
            }
            Change::AddressGone((index, address)) => engine.handle_address_gone(index, prefix(address), now()),
        }
    }
}

/// The NAT64 prefixes that others publish.
pub fn prefixes(facts: Vec<Fact>) -> Vec<Prefix> {
    let prefix64 = |fact: Fact| match fact.value {
        Value::Nat64Prefix(found) if fact.publisher != "translator" => Some(prefix(found)),
        _ => None,
    };
    facts.into_iter().filter_map(prefix64).collect()
}

//! Facts of other plugins that the configuration asks for: prefixes that interfaces were given, NAT64 prefixes, DNS
//! servers. Each kind is followed for itself, so that one more of them leaves the others as they are.

use std::net::IpAddr;
use std::rc::Rc;

use portreeve_config::Ipv6Prefix;
use portreeve_sdk::facts::{Fact, Kind, Value, Watch};
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing, ip};

use super::links::LinkBook;
use super::now;
use crate::engine::PublishedServer;
use crate::{Config, Engine};

/// What there is of each kind, waited for again and again.
#[derive(Default)]
pub struct Followed {
    given: Standing<Vec<Fact>>,
    nat64_prefixes: Standing<Vec<Fact>>,
    servers: Standing<Vec<Fact>>,
}

/// All facts of one kind.
pub type Told = (Kind, Vec<Fact>);

/// The kinds that a configuration follows.
pub fn kinds(config: &Config) -> impl Iterator<Item = Kind> {
    let follows = [
        (config.follows_own_prefixes(), Kind::DelegatedPrefix),
        (config.follows_nat64_prefixes(), Kind::Nat64Prefix),
        (config.follows_servers(), Kind::DnsServer),
    ];
    follows.into_iter().filter_map(|(follows, kind)| follows.then_some(kind))
}

impl Followed {
    /// Follows what this configuration asks for, and what that is now is told at once: the engine shall know it before
    /// it takes the configuration.
    pub async fn follow(&mut self, config: &Config, book: &mut LinkBook, engine: &mut Engine) -> Result<(), Failure> {
        for kind in kinds(config) {
            let Some(call) = self.of(kind).filter(|call| !call.is_set()) else { continue };
            *call = standing(kind)?;
            let facts = call.next().await;
            hand_over((kind, facts), book, engine);
        }
        Ok(())
    }

    /// Follows no longer what this configuration does not ask for.
    pub fn unfollow(&mut self, config: &Config) {
        for kind in [Kind::DelegatedPrefix, Kind::Nat64Prefix, Kind::DnsServer] {
            if kinds(config).all(|wanted| wanted != kind)
                && let Some(call) = self.of(kind)
            {
                *call = Standing::default();
            }
        }
    }

    /// Waits until one kind is different. Dropping the future keeps the calls.
    pub async fn next(&mut self) -> Told {
        select_biased! {
            facts = self.given.next().fuse() => (Kind::DelegatedPrefix, facts),
            facts = self.nat64_prefixes.next().fuse() => (Kind::Nat64Prefix, facts),
            facts = self.servers.next().fuse() => (Kind::DnsServer, facts),
        }
    }

    const fn of(&mut self, kind: Kind) -> Option<&mut Standing<Vec<Fact>>> {
        match kind {
            Kind::DelegatedPrefix => Some(&mut self.given),
            Kind::Nat64Prefix => Some(&mut self.nat64_prefixes),
            Kind::DnsServer => Some(&mut self.servers),
            Kind::SearchDomain | Kind::Tunnel | Kind::Custom => None,
        }
    }
}

/// Hands facts to the engine, those that interfaces were given by way of their links.
pub fn hand_over((kind, facts): Told, book: &mut LinkBook, engine: &mut Engine) {
    let values = || facts.iter().map(|fact| (&fact.key, &fact.value));
    match kind {
        Kind::Nat64Prefix => {
            let prefix = |(_, value): (_, &Value)| match value {
                Value::Nat64Prefix(prefix) => match ip(prefix.address) {
                    IpAddr::V6(address) => Some(Ipv6Prefix::containing(address, prefix.length)),
                    IpAddr::V4(_) => None,
                },
                _ => None,
            };
            engine.handle_nat64_prefixes(values().filter_map(prefix).collect(), now());
        }
        Kind::DnsServer => {
            let server = |(key, value): (&String, &Value)| match value {
                Value::DnsServer(address) => match ip(*address) {
                    IpAddr::V6(address) => Some(PublishedServer { key: key.clone(), address }),
                    // Advertisements name IPv6 servers only.
                    IpAddr::V4(_) => None,
                },
                _ => None,
            };
            engine.handle_servers(values().filter_map(server).collect(), now());
        }
        _ => book.give(facts, engine),
    }
}

fn standing(kind: Kind) -> Result<Standing<Vec<Fact>>, Failure> {
    let what = match kind {
        Kind::Nat64Prefix => "NAT64 prefixes",
        Kind::DnsServer => "DNS servers",
        _ => "delegated prefixes",
    };
    let failed = |code: ErrorCode| Failure::Other(format!("cannot follow {what}: {}", code.name()));
    let watch = Rc::new(Watch::open(&[kind]).map_err(failed)?);
    Ok(Standing::new(move || {
        let watch = watch.clone();
        async move { watch.next().await }
    }))
}

//! The engine's state for people, and what of it makes the plugin degraded.

use std::collections::BTreeSet;
use std::net::IpAddr;

use portreeve_network::{Kind, Prefix};

use super::Engine;
use super::names::Names;
use super::types::{InterfaceState, InterfaceStatus, Link, PoolStatus, Problem, Status};
use crate::config::InterfaceConfig;

impl Engine {
    /// What `portreeve status` tells.
    #[must_use]
    pub fn status(&self) -> Status {
        let names = Names::new(&self.config, &self.links, &self.hardware);
        let exact = self.config.exact.iter().map(|(name, section)| (name.as_str(), &**section));
        let present = names.iter().filter(|(name, _)| *name != "lo" && !self.config.exact.contains_key(*name));
        let by_pattern = present.filter_map(|(name, _)| Some((name, &**self.config.for_interface(name)?)));
        let interfaces =
            exact.chain(by_pattern).map(|(name, section)| self.interface(name, section, names.link(name))).collect();
        Status { interfaces, pools: self.pool_status(), problems: self.problems() }
    }

    /// Everything that is wrong now, absent interfaces aside.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.health.problems().to_vec();
        problems.extend_from_slice(&self.plan.problems);
        for (index, address) in self.duplicates.iter().filter(|(index, address)| self.is_own(*index, *address)) {
            let name = self.links.get(index).map_or("", |link| link.name.as_str());
            problems.push(Problem {
                object: format!("address {address} on {name}"),
                message: "another machine on the link has it, too".to_owned(),
            });
        }
        problems
    }

    /// Interfaces that should be there and are not.
    pub(super) fn missing(&self) -> Vec<String> {
        let waiting = self.health.waiting().iter().chain(&self.plan.missing);
        let missing: BTreeSet<&String> = waiting.filter(|name| !self.is_optional(name)).collect();
        missing.into_iter().cloned().collect()
    }

    /// Whether nobody minds its absence: it is said of the interface itself, or of all that stand on it.
    fn is_optional(&self, name: &str) -> bool {
        if let Some(section) = self.config.for_interface(name) {
            return section.optional;
        }
        let mut users = self.config.exact.values().filter(|section| {
            section.members.iter().any(|member| member.as_str() == name)
                || match &section.make {
                    Some(Kind::Vlan(vlan)) => vlan.parent == name,
                    Some(Kind::Macvlan(macvlan)) => macvlan.parent == name,
                    _ => false,
                }
        });
        users.next().is_some_and(|section| section.optional) && users.all(|section| section.optional)
    }

    fn interface(&self, name: &str, section: &InterfaceConfig, link: Option<&Link>) -> InterfaceStatus {
        let state = match link {
            None if section.optional => InterfaceState::Absent,
            None => InterfaceState::Waiting,
            Some(link) if !link.up => InterfaceState::Down,
            Some(link) => {
                let any = |set: &BTreeSet<(u32, Prefix)>| {
                    // All entries of one link lie next to each other.
                    let least = Prefix { address: IpAddr::from([0, 0, 0, 0]), length: 0 };
                    let own = set.range((link.index, least)..).take_while(|(index, _)| *index == link.index);
                    own.into_iter().any(|(index, address)| self.is_own(*index, *address))
                };
                if any(&self.duplicates) {
                    InterfaceState::Duplicate
                } else if !link.running {
                    InterfaceState::NoCarrier
                } else if any(&self.tentative) {
                    InterfaceState::Tentative
                } else {
                    InterfaceState::Up
                }
            }
        };
        let made = section.make.as_ref().map(|kind| kind.name().to_owned());
        let kind = link.and_then(|link| link.kind.clone()).or(made).unwrap_or_else(|| "hardware".to_owned());
        let mut addresses: Vec<Prefix> = section.addresses.iter().map(|address| address.address).collect();
        let mut subnets = Vec::new();
        for subnet in &section.subnets {
            let pool = self.config.pools.get(&subnet.pool);
            let lease = pool.and_then(|pool| self.pools.lease(&subnet.pool, pool));
            let network = lease.and_then(|lease| subnet.network(lease.prefix));
            addresses.extend(network.map(|network| subnet.address(network)));
            subnets.push((subnet.pool.clone(), subnet.number, network));
        }
        InterfaceStatus { name: name.to_owned(), kind, state, addresses, subnets }
    }

    fn pool_status(&self) -> Vec<PoolStatus> {
        let mut lengths: std::collections::BTreeMap<&str, Vec<u8>> = std::collections::BTreeMap::new();
        for subnet in self.config.exact.values().flat_map(|section| &section.subnets) {
            lengths.entry(&subnet.pool).or_default().push(subnet.length);
        }
        let row = |(name, pool): (&String, &crate::config::Pool)| {
            let lease = self.pools.lease(name, pool);
            let used = lengths.get(name.as_str()).map_or(&[][..], Vec::as_slice);
            let networks = |length: u8| 1_u128 << 64_u8.saturating_sub(length).min(64);
            let taken: u128 = used.iter().map(|length| networks(*length)).sum();
            PoolStatus {
                name: name.clone(),
                prefix: lease.map(|lease| lease.prefix),
                valid_until: lease.and_then(|lease| lease.valid_until),
                used: used.len(),
                free: lease.map_or(0, |lease| networks(lease.prefix.length).saturating_sub(taken)),
                retired: self.pools.retired(name).iter().map(|retired| retired.prefix).collect(),
            }
        };
        self.config.pools.iter().map(row).collect()
    }
}

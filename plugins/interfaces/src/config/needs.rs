//! What the plugin needs for a section: which names it configures and makes, where its routes lead, which parameters
//! it writes. The guest turns it into the needs that the core holds against its grants.

use std::collections::{BTreeMap, BTreeSet};

use portreeve_network::{Kind, Prefix, Route, Rule, RuleAction, Sysctl};

use super::{Config, InterfaceConfig, PoolSource};

impl Config {
    /// The sections of all interfaces with their names or patterns, names first.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (&str, &InterfaceConfig)> {
        let exact = self.exact.iter().map(|(name, interface)| (name.as_str(), &**interface));
        exact.chain(self.globs.iter().map(|(pattern, interface)| (pattern.as_str(), &**interface)))
    }

    /// Names and patterns of all interfaces that are set up: those listed, their ports and members, the links that
    /// VLANs and the like stand on, the other ends of pairs.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for (name, interface) in self.sections() {
            names.insert(name);
            names.extend(interface.members.iter().map(portreeve_config::Pattern::as_str));
            match &interface.make {
                Some(Kind::Vlan(vlan)) => names.insert(vlan.parent.as_str()),
                Some(Kind::Macvlan(macvlan)) => names.insert(macvlan.parent.as_str()),
                Some(Kind::Veth(veth)) => names.insert(veth.peer.as_str()),
                _ => false,
            };
        }
        names
    }

    /// Interfaces that routes of the whole section lead through and that are not among [`Config::interfaces`].
    #[must_use]
    pub fn route_interfaces(&self) -> BTreeSet<&str> {
        let own = self.interfaces();
        self.routes
            .iter()
            .filter_map(|route| route.interface.as_deref())
            .filter(|name| !own.contains(name) && self.for_interface(name).is_none())
            .collect()
    }

    /// The links it makes: name and the kernel's name of the kind; of a pair both ends.
    #[must_use]
    pub fn makes(&self) -> BTreeMap<&str, &'static str> {
        let mut made = BTreeMap::new();
        for (name, kind) in self.kinds() {
            made.insert(name, kind.name());
            if let Kind::Veth(veth) = kind {
                made.insert(veth.peer.as_str(), kind.name());
            }
        }
        made
    }

    /// Kernel modules that the links it makes need.
    #[must_use]
    pub fn modules(&self) -> BTreeSet<&'static str> {
        self.kinds().map(|(_, kind)| kind.module()).collect()
    }

    fn kinds(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.exact.iter().filter_map(|(name, interface)| Some((name.as_str(), interface.make.as_ref()?)))
    }

    /// All routes that are written down; those of pools are not among them.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.sections().flat_map(|(_, interface)| &interface.routes).chain(&self.routes)
    }

    /// Destinations of all routes, those that keep static pools from looping and those of very wide networks among them.
    #[must_use]
    pub fn destinations(&self) -> BTreeSet<Prefix> {
        let pools = self.pools.values().filter(|pool| pool.unreachable).filter_map(|pool| match pool.source {
            PoolSource::Static(prefix) => Some(prefix),
            PoolSource::Delegated { .. } => None,
        });
        let addresses = self.sections().flat_map(|(_, interface)| &interface.addresses);
        let wide = addresses.filter_map(portreeve_network::Address::wide_route);
        self.routes().map(|route| route.destination).chain(pools).chain(wide).collect()
    }

    /// Routing tables that routes stand in, rules look into or VRFs have.
    #[must_use]
    pub fn tables(&self) -> BTreeSet<u32> {
        let rules = self.rules.iter().filter_map(|rule| match rule.action {
            RuleAction::Lookup(table) => Some(table),
            _ => None,
        });
        let domains = self.kinds().filter_map(|(_, kind)| match kind {
            Kind::Vrf { table } => Some(*table),
            _ => None,
        });
        self.routes().map(|route| route.table).chain(rules).chain(domains).collect()
    }

    /// Policy rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Kernel parameters of the whole namespace, forwarding among them.
    #[must_use]
    pub fn global_sysctls(&self) -> &[Sysctl] {
        &self.sysctls
    }

    /// The pools by name, with their prefix; none for those that another plugin fills.
    pub fn pools(&self) -> impl Iterator<Item = (&str, Option<Prefix>)> {
        self.pools.iter().map(|(name, pool)| match pool.source {
            PoolSource::Static(prefix) => (name.as_str(), Some(prefix)),
            PoolSource::Delegated { .. } => (name.as_str(), None),
        })
    }

    /// Whether any pool waits for a delegated prefix: the plugin follows such facts.
    #[must_use]
    pub fn follows_delegations(&self) -> bool {
        self.pools().any(|(_, prefix)| prefix.is_none())
    }

    /// Whether any interface takes a subnet of a pool: the plugin publishes it as a delegated prefix.
    #[must_use]
    pub fn publishes_subnets(&self) -> bool {
        self.exact.values().any(|interface| !interface.subnets.is_empty())
    }

    /// Whether hardware is looked for by its properties: the plugin must see all links.
    #[must_use]
    pub fn sees_all_links(&self) -> bool {
        self.exact.values().any(|interface| interface.hardware.is_some())
    }

    /// Whether names stand for any number of links.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.globs.is_empty() || self.sections().any(|(_, it)| it.members.iter().any(|member| !member.is_exact()))
    }
}

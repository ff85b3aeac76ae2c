//! Who this plugin is, and what a section needs.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use portreeve_network::{MAIN_TABLE, Prefix, RuleAction};
use portreeve_sdk::facts::Kind as Fact;
use portreeve_sdk::network::ip_prefix;
use portreeve_sdk::{CreateNeed, Diagnostic, Manifest, Need, Planned, TableRange, diagnostics};

use crate::config::{self, Config};

const EXAMPLE: &str = include_str!("example.ron");
/// The kinds of links it can make, as the kernel names them.
const KINDS: [&str; 7] = ["bridge", "vlan", "veth", "dummy", "macvlan", "bond", "vrf"];
/// The kernel modules that bring them.
const MODULES: [&str; 7] = ["bridge", "8021q", "veth", "dummy", "macvlan", "bonding", "vrf"];

pub fn manifest() -> Manifest {
    let everything = |address: std::net::IpAddr| Need::Route(ip_prefix(Prefix::new(address, 0)));
    let mut needs = vec![
        Need::Links("*".to_owned()),
        Need::Configure("*".to_owned()),
        create("*", KINDS),
        everything(Ipv4Addr::UNSPECIFIED.into()),
        everything(Ipv6Addr::UNSPECIFIED.into()),
        Need::Tables(TableRange { first: 0, last: u32::MAX }),
        Need::Sysctl("*".to_owned()),
        Need::Publish(Fact::DelegatedPrefix),
        Need::Watch(Fact::DelegatedPrefix),
    ];
    needs.extend(MODULES.map(|module| Need::Module(module.to_owned())));
    Manifest {
        name: "interfaces".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "links, addresses, routes, rules, sysctls and prefix pools".to_owned(),
        needs,
        config_example: EXAMPLE.to_owned(),
        state_schema: 0,
    }
}

pub fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
    let (config, warnings) = Config::parse(section).map_err(diagnostics)?;
    Ok(Planned {
        needs: needs(&config),
        warnings: diagnostics(warnings),
        summary: config::summary(&config).lines().map(str::to_owned).collect(),
    })
}

fn needs(config: &Config) -> Vec<Need> {
    // Hardware that is looked for by its properties may have any name before it is found.
    let names: BTreeSet<&str> = match config.sees_all_links() {
        true => ["*"].into(),
        false => config.interfaces().into_iter().chain(config.route_interfaces()).collect(),
    };
    let mut needs = Vec::new();
    for name in names {
        needs.push(Need::Links(name.to_owned()));
        needs.push(Need::Configure(name.to_owned()));
    }
    needs.extend(config.makes().into_iter().map(|(name, kind)| create(name, [kind])));
    needs.extend(config.modules().into_iter().map(|module| Need::Module(module.to_owned())));
    needs.extend(config.destinations().into_iter().map(|to| Need::Route(ip_prefix(to))));
    if config.follows_delegations() {
        // Which prefix it will be nobody knows, and the whole of it gets an unreachable route.
        needs.push(Need::Route(ip_prefix(Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0))));
        needs.push(Need::Watch(Fact::DelegatedPrefix));
    }
    if config.publishes_subnets() {
        needs.push(Need::Publish(Fact::DelegatedPrefix));
    }
    let leads_to_main = |action: RuleAction| action == RuleAction::Lookup(MAIN_TABLE);
    let mut tables = config.tables();
    if !config.rules().iter().any(|rule| leads_to_main(rule.action)) {
        tables.remove(&MAIN_TABLE);
    }
    if config.rules().iter().any(|rule| !matches!(rule.action, RuleAction::Lookup(_))) {
        tables.insert(0);
    }
    needs.extend(tables.into_iter().map(|table| Need::Tables(TableRange { first: table, last: table })));
    needs.extend(config.global_sysctls().iter().map(|sysctl| Need::Sysctl(sysctl.name.clone())));
    needs
}

fn create<const N: usize>(interfaces: &str, kinds: [&str; N]) -> Need {
    Need::Create(CreateNeed { interfaces: interfaces.to_owned(), kinds: kinds.map(str::to_owned).into() })
}

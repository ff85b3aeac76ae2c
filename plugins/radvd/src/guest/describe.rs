//! Who this plugin is, and what a section needs.

use portreeve_packet::icmpv6::{ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION};
use portreeve_sdk::facts::Kind as Fact;
use portreeve_sdk::{Diagnostic, Icmpv6Need, Manifest, Need, Planned, diagnostics};

use super::facts;
use crate::config::{self, Config};

const EXAMPLE: &str = include_str!("example.ron");
/// The facts it can follow.
const FACTS: [Fact; 3] = [Fact::DelegatedPrefix, Fact::Nat64Prefix, Fact::DnsServer];

pub fn manifest() -> Manifest {
    Manifest {
        name: "radvd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "router advertisements: prefixes, default route, DNS (RFC 4861)".to_owned(),
        needs: needs("*").into_iter().chain(FACTS.map(Need::Watch)).collect(),
        config_example: EXAMPLE.to_owned(),
        state_schema: 0,
    }
}

pub fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
    let (config, warnings) = Config::parse(section).map_err(diagnostics)?;
    Ok(Planned {
        needs: config.patterns().flat_map(needs).chain(facts::kinds(&config).map(Need::Watch)).collect(),
        warnings: diagnostics(warnings),
        summary: config::summary(&config).lines().map(str::to_owned).collect(),
    })
}

/// To see the interfaces, and to speak neighbour discovery there as a router does.
fn needs(interfaces: &str) -> Vec<Need> {
    vec![
        Need::Links(interfaces.to_owned()),
        Need::Icmpv6(Icmpv6Need {
            interfaces: interfaces.to_owned(),
            receive: vec![ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT],
            send: vec![ROUTER_ADVERTISEMENT],
        }),
    ]
}

//! Who this plugin is, and what a section needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portreeve_sdk::{Diagnostic, Manifest, Need, Planned, diagnostics};

use crate::compile::{Options, compile};
use crate::config::{self, Config, IpRange, SetElement, SetKind};
use crate::install::TABLE;

const EXAMPLE: &str = include_str!("example.ron");
/// Parameters of connection tracking, below `net`.
const PARAMETERS: &str = "netfilter/nf_conntrack_*";

pub fn manifest() -> Manifest {
    let needs = vec![
        table(),
        Need::Conntrack,
        Need::Guard,
        Need::Read("*".to_owned()),
        Need::Sysctl(PARAMETERS.to_owned()),
        Need::Module("nf_conntrack".to_owned()),
        Need::Links("*".to_owned()),
    ];
    Manifest {
        name: "firewall".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        summary: "packet filter and address translation: zones, rules, sets, compiled to nf_tables".to_owned(),
        needs,
        config_example: EXAMPLE.to_owned(),
        state_schema: 0,
    }
}

pub fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
    let (config, mut warnings) = Config::parse(section).map_err(diagnostics)?;
    let files = config.sets.iter().filter_map(|set| Some((set.file.clone()?, something(set.kind)))).collect();
    let (_, more) = compile(&config, &files, &[], Options::default()).map_err(diagnostics)?;
    warnings.extend(more);
    Ok(Planned {
        needs: needs(&config),
        warnings: diagnostics(warnings),
        summary: config::summary(&config).lines().map(str::to_owned).collect(),
    })
}

/// In place of what files hold, which are read when it runs: an empty set would be worth a warning.
fn something(kind: SetKind) -> Vec<SetElement> {
    match kind {
        SetKind::Addresses => {
            let hosts = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            hosts.map(|host| SetElement::Address(IpRange::host(host))).to_vec()
        }
        SetKind::Ports => vec![SetElement::Port(1, 1)],
    }
}

fn needs(config: &Config) -> Vec<Need> {
    let mut needs = vec![table(), Need::Conntrack];
    if config.guard {
        needs.push(Need::Guard);
    }
    needs.extend(config.files().into_iter().map(|path| Need::Read(path.to_owned())));
    let parameters = config.sysctls();
    if !parameters.is_empty() {
        needs.push(Need::Module("nf_conntrack".to_owned()));
    }
    needs.extend(parameters.into_iter().map(|(name, _)| Need::Sysctl(below_net(&name).to_owned())));
    if config.offload.is_some() {
        needs.push(Need::Links("*".to_owned()));
    }
    needs
}

/// A kernel parameter as grants and the stated network name it: without `net/`.
pub fn below_net(name: &str) -> &str {
    name.strip_prefix("net/").unwrap_or(name)
}

fn table() -> Need {
    Need::NfTables(format!("inet/{TABLE}"))
}

//! The plugin's section of router.ron as legal values.
//!
//! [`Config::parse`] is the only way to make one, so what the kernel would refuse is refused before. Reading is in
//! `config/section.rs` (the whole), `config/interface.rs` (one interface), `config/kind.rs` (links to make),
//! `config/sysctl.rs`, `config/pool.rs` (pools and their subnets) and `config/hardware.rs`; what two places of the
//! section say about each other is checked in `config/check.rs`. What the plugin needs for it is in `config/needs.rs`,
//! its words for people in `config/summary.rs`.

mod check;
mod hardware;
mod interface;
mod kind;
mod needs;
mod pool;
mod section;
mod summary;
mod sysctl;

pub use hardware::HardwareMatch;
pub use summary::summary;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use portreeve_config::{Diagnostic, Diagnostics, Pattern, Value};
use portreeve_network::{Address, Kind, Neighbour, Prefix, Route, Rule, Sysctl};

/// The whole section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) exact: BTreeMap<String, Arc<InterfaceConfig>>,
    /// Most specific first.
    pub(crate) globs: Vec<(Pattern, Arc<InterfaceConfig>)>,
    /// Bound to no interface by their place.
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<Rule>,
    /// Forwarding first: it resets what stands for single interfaces.
    pub(crate) sysctls: Vec<Sysctl>,
}

/// Addresses to give out to the interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub(crate) source: PoolSource,
    pub(crate) unreachable: bool,
    /// Seconds; none for ever. Those of a delegated pool come with its prefix.
    pub(crate) preferred_lifetime: Option<u32>,
    pub(crate) valid_lifetime: Option<u32>,
}

/// Where the prefix of a pool comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolSource {
    /// It is written down.
    Static(Prefix),
    /// Another plugin tells it.
    Delegated {
        /// Which: the plugin's name, its key for the fact, or `NAME/KEY`; none takes the first there is.
        from: Option<String>,
    },
}

/// What one interface shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    pub(crate) hardware: Option<HardwareMatch>,
    pub(crate) make: Option<Kind>,
    /// Ports of a bridge, members of a bond or a VRF.
    pub(crate) members: Vec<Pattern>,
    pub(crate) up: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) mac: Option<Vec<u8>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) subnets: Vec<Subnet>,
    pub(crate) routes: Vec<Route>,
    pub(crate) neighbours: Vec<Neighbour>,
    /// `FAMILY`, `NAME` and value of `FAMILY/conf/INTERFACE/NAME`.
    pub(crate) sysctls: Vec<(&'static str, String, String)>,
    pub(crate) optional: bool,
}

impl Default for InterfaceConfig {
    fn default() -> Self {
        Self {
            hardware: None,
            make: None,
            members: Vec::new(),
            up: true,
            mtu: None,
            mac: None,
            addresses: Vec::new(),
            subnets: Vec::new(),
            routes: Vec::new(),
            neighbours: Vec::new(),
            sysctls: Vec::new(),
            optional: false,
        }
    }
}

/// One network out of a pool, and our address in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    pub(crate) pool: String,
    /// Counts networks of `length` bits from the start of the pool.
    pub(crate) number: u64,
    /// Our host bits.
    pub(crate) host: Ipv6Addr,
    pub(crate) length: u8,
    pub(crate) dad: bool,
}

impl Subnet {
    /// The network within `pool`; none if the pool is too small for it.
    pub(crate) fn network(&self, pool: Prefix) -> Option<Prefix> {
        let std::net::IpAddr::V6(base) = pool.address else { return None };
        let bits = self.length.checked_sub(pool.length)?;
        if bits < 64 && self.number >> bits != 0 {
            return None;
        }
        let offset = u128::from(self.number).checked_shl(u32::from(128 - self.length)).unwrap_or(0);
        Some(Prefix::new(Ipv6Addr::from(u128::from(base) | offset).into(), self.length))
    }

    /// Our address in `network`, with its length.
    pub(crate) fn address(&self, network: Prefix) -> Prefix {
        let std::net::IpAddr::V6(base) = network.address else { return network };
        Prefix::new(Ipv6Addr::from(u128::from(base) | u128::from(self.host)).into(), self.length)
    }
}

impl Config {
    /// Reads the text of the section. Gives the configuration and its warnings.
    ///
    /// # Errors
    /// Every mistake of the section in the order of the text, warnings among them; spans count bytes of `section`.
    pub fn parse(section: &str) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut diagnostics = Diagnostics::new();
        let config = Value::root(section, &mut diagnostics).and_then(|value| section::read(value, &mut diagnostics));
        let failed = diagnostics.has_errors();
        match config {
            Some(config) if !failed => Ok((config, diagnostics.into_vec())),
            _ => Err(diagnostics.into_vec()),
        }
    }

    /// What the interface `name` shall be like: an exact name wins, then the pattern with the most literal characters.
    #[must_use]
    pub fn for_interface(&self, name: &str) -> Option<&Arc<InterfaceConfig>> {
        self.exact
            .get(name)
            .or_else(|| self.globs.iter().find(|(pattern, _)| pattern.matches(name)).map(|(_, interface)| interface))
    }
}

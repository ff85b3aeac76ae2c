//! The plugin's section of router.ron as legal values.
//!
//! [`Config::parse`] is the only way to make one, so every bound of the RFCs holds wherever one is seen. Reading is
//! in `config/read.rs` (one interface) and `config/options.rs` (its prefixes, routes, DNS, PREF64); names and globs
//! in `config/pattern.rs`. Defaults stand in [`InterfaceConfig::default`], each with its RFC.

mod options;
mod read;

pub(crate) use options::unusable;
pub use portreeve_config::{Pattern, PatternError};

use core::fmt::Write as _;
use core::time::Duration;
use portreeve_config::{Diagnostic, Diagnostics, Ipv6Prefix, Value, duration};
use portreeve_packet::nd::{DomainName, INFINITY, Preference};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// The whole section: which interfaces advertise what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    exact: BTreeMap<String, Arc<InterfaceConfig>>,
    /// Most specific first.
    globs: Vec<(Pattern, Arc<InterfaceConfig>)>,
}

/// A lifetime in whole seconds, or for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(u32);

impl Lifetime {
    /// For ever (RFC 4861 section 4.6.2).
    pub const INFINITE: Self = Self(INFINITY);

    /// So many seconds; what a finite lifetime cannot be becomes the longest finite one.
    pub fn from_secs(seconds: u64) -> Self {
        Self(u32::try_from(seconds).unwrap_or(INFINITY).min(INFINITY - 1))
    }

    /// Seconds as on the wire: all ones for ever.
    pub const fn wire(self) -> u32 {
        self.0
    }

    /// Whether it never ends.
    pub const fn is_infinite(self) -> bool {
        self.0 == INFINITY
    }
}

/// Where options come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin<T, L> {
    /// They are written here.
    Written(Vec<T>),
    /// `Auto`: other plugins publish them.
    Published {
        /// What each is advertised with.
        lifetime: L,
    },
}

impl<T, L> Origin<T, L> {
    /// What is written.
    pub(crate) fn written(&self) -> &[T] {
        match self {
            Self::Written(list) => list,
            Self::Published { .. } => &[],
        }
    }

    /// Whether it is `Auto`.
    const fn is_published(&self) -> bool {
        matches!(self, Self::Published { .. })
    }
}

/// What one interface advertises, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    pub(crate) max_interval: Duration,
    pub(crate) min_interval: Duration,
    pub(crate) min_delay_between_ras: Duration,
    pub(crate) router_lifetime: u16,
    pub(crate) preference: Preference,
    pub(crate) hop_limit: u8,
    pub(crate) managed: bool,
    pub(crate) other_config: bool,
    pub(crate) reachable_time: u32,
    pub(crate) retrans_timer: u32,
    pub(crate) mtu: Option<u32>,
    pub(crate) source_link_layer_address: bool,
    pub(crate) unicast_only: bool,
    pub(crate) solicited_unicast: bool,
    pub(crate) strict_rs_delay: bool,
    pub(crate) final_advertisements: bool,
    pub(crate) prefixes: Vec<PrefixConfig>,
    pub(crate) routes: Vec<RouteConfig>,
    pub(crate) rdnss: Origin<RdnssConfig, Lifetime>,
    pub(crate) dnssl: Vec<DnsslConfig>,
    pub(crate) pref64: Origin<Pref64Config, u16>,
    pub(crate) captive_portal: Option<String>,
    pub(crate) advertisement_interval_option: bool,
}

impl Default for InterfaceConfig {
    fn default() -> Self {
        Self {
            max_interval: Duration::from_secs(600), // MaxRtrAdvInterval, RFC 4861 section 6.2.1
            min_interval: Duration::from_secs(198), // MinRtrAdvInterval 0.33 * Max, RFC 4861 section 6.2.1
            min_delay_between_ras: Duration::from_secs(3), // MIN_DELAY_BETWEEN_RAS, RFC 4861 section 10
            router_lifetime: 1800,                  // AdvDefaultLifetime 3 * Max, RFC 4861 section 6.2.1
            preference: Preference::Medium,         // RFC 4191 section 2.2
            hop_limit: 64,                          // AdvCurHopLimit, by the assigned numbers (RFC 3232)
            managed: false,                         // AdvManagedFlag, RFC 4861 section 6.2.1
            other_config: false,                    // AdvOtherConfigFlag, RFC 4861 section 6.2.1
            reachable_time: 0,                      // AdvReachableTime, RFC 4861 section 6.2.1
            retrans_timer: 0,                       // AdvRetransTimer, RFC 4861 section 6.2.1
            mtu: None,                              // AdvLinkMTU 0, RFC 4861 section 6.2.1
            source_link_layer_address: true,        // RFC 4861 section 4.2
            unicast_only: false,
            solicited_unicast: true,    // RFC 7772 section 5.1
            strict_rs_delay: false,     // RFC 4861 section 6.2.6 delays; only multicast answers need it
            final_advertisements: true, // RFC 4861 section 6.2.5
            prefixes: Vec::new(),
            routes: Vec::new(),
            rdnss: Origin::Written(Vec::new()),
            dnssl: Vec::new(),
            pref64: Origin::Written(Vec::new()),
            captive_portal: None,
            advertisement_interval_option: false, // RFC 6275 section 7.3
        }
    }
}

/// One prefix; `::/64` stands for the interface's own global /64 prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixConfig {
    pub(crate) prefix: Ipv6Prefix,
    pub(crate) on_link: bool,
    pub(crate) autonomous: bool,
    pub(crate) dhcpv6_pd_preferred: bool,
    pub(crate) router_address: bool,
    pub(crate) valid_lifetime: Lifetime,
    pub(crate) preferred_lifetime: Lifetime,
    pub(crate) decrement: bool,
    pub(crate) deprecate_on_removal: bool,
}

impl PrefixConfig {
    /// The defaults of `prefix`.
    pub(crate) const fn new(prefix: Ipv6Prefix) -> Self {
        Self {
            prefix,
            on_link: true,                        // AdvOnLinkFlag, RFC 4861 section 6.2.1
            autonomous: true,                     // AdvAutonomousFlag, RFC 4862 section 4.1
            dhcpv6_pd_preferred: false,           // RFC 9762 section 4
            router_address: false,                // RFC 6275 section 7.2
            valid_lifetime: Lifetime(86_400),     // radvd's; RFC 4861 has 30 days, RFC 9096 less
            preferred_lifetime: Lifetime(14_400), // radvd's; RFC 4861 has 7 days, RFC 9096 less
            decrement: false,                     // RFC 4861 section 6.2.1
            deprecate_on_removal: true,           // RFC 9096 section 3.5
        }
    }

    /// Whether this is `::/64`, the interface's own prefixes.
    pub(crate) fn is_own(&self) -> bool {
        self.prefix.address().is_unspecified() && self.prefix.length() == 64
    }
}

/// One more specific route (RFC 4191).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteConfig {
    pub(crate) prefix: Ipv6Prefix,
    pub(crate) preference: Preference,
    pub(crate) lifetime: Lifetime,
}

/// DNS servers that share a lifetime; `::` stands for the interface's own address (RFC 8106).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdnssConfig {
    pub(crate) servers: Vec<Ipv6Addr>,
    pub(crate) lifetime: Lifetime,
}

/// DNS search domains that share a lifetime (RFC 8106).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsslConfig {
    pub(crate) domains: Vec<DomainName>,
    pub(crate) lifetime: Lifetime,
}

/// One NAT64 prefix (RFC 8781); the lifetime is in seconds, at most 65,528.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pref64Config {
    pub(crate) prefix: Ipv6Prefix,
    pub(crate) lifetime: u16,
}

impl Config {
    /// Reads the text of the section. Gives the configuration and its warnings.
    ///
    /// # Errors
    /// Every mistake of the section in the order of the text, warnings among them; spans count bytes of `section`.
    pub fn parse(section: &str) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut diagnostics = Diagnostics::new();
        let config = Value::root(section, &mut diagnostics).and_then(|value| read::section(value, &mut diagnostics));
        let failed = diagnostics.has_errors();
        match config {
            Some(config) if !failed => Ok((config, diagnostics.into_vec())),
            _ => Err(diagnostics.into_vec()),
        }
    }

    pub(crate) fn insert(&mut self, pattern: Pattern, interface: InterfaceConfig) {
        let interface = Arc::new(interface);
        if pattern.is_exact() {
            self.exact.insert(pattern.as_str().to_owned(), interface);
        } else {
            self.globs.push((pattern, interface));
            self.globs
                .sort_by(|(a, _), (b, _)| b.literals().cmp(&a.literals()).then_with(|| a.as_str().cmp(b.as_str())));
        }
    }

    /// What the interface `name` advertises: an exact name wins, then the glob with the most literal characters.
    pub fn for_interface(&self, name: &str) -> Option<&Arc<InterfaceConfig>> {
        self.exact
            .get(name)
            .or_else(|| self.globs.iter().find(|(pattern, _)| pattern.matches(name)).map(|(_, interface)| interface))
    }

    /// Every name and glob of the section: the interfaces the plugin needs.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str).chain(self.globs.iter().map(|(pattern, _)| pattern.as_str()))
    }

    /// Whether any interface advertises the prefixes that it has or is given (`::/64`).
    pub fn follows_own_prefixes(&self) -> bool {
        self.all().flat_map(|config| &config.prefixes).any(PrefixConfig::is_own)
    }

    /// Whether any interface advertises the NAT64 prefixes that other plugins publish (`pref64: Auto`).
    pub fn follows_nat64_prefixes(&self) -> bool {
        self.all().any(|config| config.pref64.is_published())
    }

    /// Whether any interface advertises the DNS servers that other plugins publish (`rdnss: Auto`).
    pub fn follows_servers(&self) -> bool {
        self.all().any(|config| config.rdnss.is_published())
    }

    fn all(&self) -> impl Iterator<Item = &InterfaceConfig> {
        self.exact.values().chain(self.globs.iter().map(|(_, config)| config)).map(Arc::as_ref)
    }

    /// The names that are no globs.
    pub fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str)
    }
}

/// What the section means, for people: one line per interface.
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    let exact = config.exact.iter().map(|(name, interface)| (name.as_str(), interface));
    let globs = config.globs.iter().map(|(pattern, interface)| (pattern.as_str(), interface));
    for (name, interface) in exact.chain(globs) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", describe(interface));
    }
    text
}

fn describe(interface: &InterfaceConfig) -> String {
    let mut parts = Vec::new();
    if interface.router_lifetime == 0 {
        parts.push("not a default router".to_owned());
    } else {
        let lifetime = duration::format(Duration::from_secs(interface.router_lifetime.into()));
        parts.push(format!("default router for {lifetime}"));
    }
    if interface.unicast_only {
        parts.push("unicast answers only".to_owned());
    } else {
        let (min, max) = (duration::format(interface.min_interval), duration::format(interface.max_interval));
        parts.push(format!("every {min} to {max}"));
    }
    let prefixes: Vec<String> = interface
        .prefixes
        .iter()
        .map(|prefix| if prefix.is_own() { "its own /64s".to_owned() } else { prefix.prefix.to_string() })
        .collect();
    if !prefixes.is_empty() {
        parts.push(format!("prefixes {}", prefixes.join(", ")));
    }
    let servers = interface.rdnss.written().iter().map(|rdnss| rdnss.servers.len()).sum();
    let domains = interface.dnssl.iter().map(|dnssl| dnssl.domains.len()).sum();
    for (count, published, what) in [
        (interface.routes.len(), false, "route"),
        (servers, interface.rdnss.is_published(), "DNS server"),
        (domains, false, "search domain"),
        (interface.pref64.written().len(), interface.pref64.is_published(), "NAT64 prefix"),
    ] {
        let plural = if what.ends_with('x') { "es" } else { "s" };
        match count {
            _ if published => parts.push(format!("published {what}{plural}")),
            0 => {}
            1 => parts.push(format!("1 {what}")),
            _ => parts.push(format!("{count} {what}{plural}")),
        }
    }
    parts.join("; ")
}

//! What has the kernel put fragments together before any rule sees them.

use super::{Config, Matches, Rule};

impl Config {
    /// All rules but those of translation, list by list.
    pub fn lists(&self) -> impl Iterator<Item = &[Rule]> {
        let hooks = [&self.rules, &self.input.rules, &self.forward.rules, &self.output.rules, &self.prerouting];
        hooks.into_iter().chain(self.chains.iter().map(|chain| &chain.rules)).map(Vec::as_slice)
    }

    /// Something needs connection tracking, which puts fragments together.
    #[must_use]
    pub fn tracks_connections(&self) -> bool {
        let asks =
            |matches: &Matches| !matches.states.is_empty() || matches.connections.is_some() || matches.translated;
        self.defaults.stateful
            || !self.nat.is_empty()
            || self.offload.is_some()
            || self.lists().flatten().any(|rule| asks(&rule.matches))
    }

    /// A rule or a default looks into transport headers, which the kernel would take from any part of a packet.
    #[must_use]
    pub fn asks_of_transport(&self) -> bool {
        let asks = |matches: &Matches| {
            !(matches.source_port.items.is_empty()
                && matches.destination_port.items.is_empty()
                && matches.icmp.items.is_empty())
                || matches.tcp_flags.is_some()
        };
        let defaults = &self.defaults;
        let of_defaults = defaults.rfc4890 || defaults.rfc6092 || defaults.ping || defaults.dhcp_client;
        of_defaults || self.lists().flatten().any(|rule| asks(&rule.matches))
    }
}

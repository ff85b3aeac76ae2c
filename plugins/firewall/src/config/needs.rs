//! What the section takes beyond its table, as plain data, for the plan that the operator grants.

use super::{Config, Interface};

impl Config {
    /// Files of sets, each once, in the order of the section.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = Vec::new();
        for file in self.sets.iter().filter_map(|set| set.file.as_deref()) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }

    /// Parameters of the kernel below `/proc/sys/net`, as the core names them, and what they are to be.
    #[must_use]
    pub fn sysctls(&self) -> Vec<(String, String)> {
        let found = &self.conntrack;
        let flag = |value: Option<bool>| value.map(|value| u8::from(value).to_string());
        let named = [
            ("max", found.max.map(|max| max.to_string())),
            ("tcp_loose", flag(found.tcp_loose)),
            ("tcp_be_liberal", flag(found.tcp_liberal)),
            ("acct", flag(found.accounting)),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let timeouts = found.timeouts.iter().map(|(name, time)| (name.clone(), time.as_secs().to_string()));
        named.chain(timeouts).map(|(name, value)| (format!("netfilter/nf_conntrack_{name}"), value)).collect()
    }

    /// Kernel modules that nothing loads by itself in time: parameters of connection tracking are there once it is.
    #[must_use]
    pub fn modules(&self) -> Vec<&'static str> {
        if self.sysctls().is_empty() { Vec::new() } else { vec!["nf_conntrack"] }
    }

    /// Interfaces whose established flows pass by the rules; beginnings of names among them.
    #[must_use]
    pub fn flowtable_interfaces(&self) -> Vec<&Interface> {
        let zones = self.offload.iter().flat_map(|offload| &offload.zones);
        zones.filter_map(|zone| self.zones.get(*zone)).flat_map(|zone| &zone.interfaces).collect()
    }
}

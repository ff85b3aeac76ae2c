//! Names of rules that the operator gave none: for counters and logs.
//!
//! They follow from what the rule says. So a counter stays with its rule when others are written before it, and is a new one
//! when the rule becomes another. Rules that say the same share one.

/// A name such as `rule-3fa9c1`.
pub(super) fn called(kind: &str, text: &str) -> String {
    // FNV-1a, of which 24 bits remain.
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{kind}-{:06x}", (hash ^ hash >> 24) & 0x00ff_ffff)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn counters_without_a_name_stay_with_their_rules() {
        let counters = |rules: &str| {
            let (config, _) =
                Config::parse(&format!("(zones: {{\"lan\": (interfaces: [\"lan0\"])}}, rules: [{rules}])")).unwrap();
            config.rules.into_iter().filter_map(|rule| rule.count).collect::<Vec<_>>()
        };
        let (ssh, web) = (
            r#"(from: ["lan"], protocol: ["tcp"], destination_port: ["22"], count: true, then: Accept)"#,
            r#"(from: ["lan"], protocol: ["tcp"], destination_port: ["80"], count: true, then: Accept)"#,
        );
        let [first, second] = counters(&format!("{ssh}, {web}")).try_into().unwrap();
        assert_ne!(first, second);
        assert_eq!(counters(&format!("(from: [\"lan\"], then: Drop),\n\n {web}, {ssh}")), [second, first.clone()]);
        assert_eq!(counters(&format!("{ssh}, {ssh}")), [first.clone(), first]);
    }
}
